"""The options of a table, checked against the signature of what they configure.

Imports pydantic, so it is itself imported inside the functions that read a file. A signature is the only
schema: an option is known, required and typed as the constructor says. Numbers, strings and truth values
are not coerced; an array may stand for any sequence, and a string for a path.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Collection, Mapping
from contextlib import nullcontext
from dataclasses import is_dataclass
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import (
    AllowInfNan,
    ConfigDict,
    InstanceOf,
    PydanticUserError,
    Strict,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import SchemaError

from ragdiag.errors import ConfigError, RagdiagError
from ragdiag.formats.jsonl import located
from ragdiag.formats.problems import describe, unknown_name

__all__ = ["call", "parameters_of", "takes_counter"]

T = TypeVar("T")


class _Unknown(type):
    """Lets any attribute or argument of an unknown name be as unknown."""

    def __getattr__(cls, name: str) -> _Unknown:
        if name.startswith("_"):
            raise AttributeError(name)
        return cls

    def __getitem__(cls, _: object) -> _Unknown:
        return cls


class _NotInAFile(metaclass=_Unknown):
    """Stands for a type that is imported for type checkers alone: no file can hold a value of it."""


def parameters_of(target: Callable[..., object]) -> Mapping[str, inspect.Parameter]:
    """The parameters of a class or function, with their types evaluated where that can be done.

    Raises:
        ConfigError: it has no signature that Python can tell.
    """
    names: dict[str, object] = {}
    while True:
        try:
            return inspect.signature(target, eval_str=True, locals=names).parameters
        except NameError as error:
            names[str(error.name)] = _named_by_a_base(target, str(error.name))
        except (ValueError, TypeError) as error:
            raise ConfigError(f"{target!r} has no signature to check options against: {error}") from error


def _named_by_a_base(target: Callable[..., object], name: str) -> object:
    """What a name means where a base class was written: a dataclass takes over annotations as strings."""
    modules = [vars(sys.modules[base.__module__]) for base in getattr(target, "__mro__", ())]
    return next((module[name] for module in modules if name in module), _NotInAFile)


def takes_counter(parameter: inspect.Parameter) -> bool:
    """Whether a parameter may be a token counter: a type with ``count_tokens``, or a union with one."""
    members = get_args(parameter.annotation) or [parameter.annotation]
    return any(hasattr(member, "count_tokens") and member is not _NotInAFile for member in members)


def call(target: Callable[..., T], options: Mapping[str, Any], place: str) -> T:
    """``target(**options)``, once the options fit its signature; ``place`` is the table's dotted name.

    Raises:
        ConfigError: naming each option that is missing, unknown or of the wrong type; or what ``target``
            itself raised.
    """
    parameters = parameters_of(target)
    named = {
        name: parameter
        for name, parameter in parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    problems = [
        f"{_join(place, name)}: is missing"
        for name, parameter in named.items()
        if parameter.default is parameter.empty and name not in options
    ]
    checked = {}
    for name, value in options.items():
        if name in named:
            try:
                checked[name] = _check(named[name].annotation, value)
            except ValidationError as error:
                problems.append(describe(error, value, within=_join(place, name)))
        elif takes_any:
            checked[name] = value
        else:
            problems.append(f"{_join(place, name)}: is not known; {unknown_name(name, list(named))}")
    if problems:
        raise ConfigError("; ".join(problems))
    try:
        with located(place) if place else nullcontext():
            return target(**checked)
    except RagdiagError:
        raise
    except Exception as error:  # a plug from elsewhere may raise anything
        raise ConfigError(f"{place}: {target!r} raised {type(error).__name__}: {error}") from error


def _join(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _check(annotation: Any, value: object) -> object:
    """``value`` as the type asks for it; a type that pydantic cannot check is left to the plug."""
    if annotation is inspect.Parameter.empty or isinstance(annotation, str):
        return value
    adapted = _without_coercion(annotation)
    try:
        checked = TypeAdapter(adapted, config=ConfigDict(arbitrary_types_allowed=True)).validate_python(value)
    except (
        PydanticUserError,
        SchemaError,
        NameError,
    ):  # a name defined nowhere, a protocol without isinstance
        return value
    # 4 stays 4 where a float may stand, as it does in code: a stage prints the same from both.
    return value if checked == value else checked


def _without_coercion(annotation: Any) -> Any:
    """The same type, with no coercion between scalars and no table taken for the arguments of a class."""
    if annotation is float:
        return Annotated[float, Strict(), AllowInfNan(allow_inf_nan=False)]
    if annotation in (str, int, bool):
        return Annotated[annotation, Strict()]
    if is_dataclass(annotation):
        return Annotated[annotation, InstanceOf()]  # type: ignore[type-arg]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return Union[tuple(map(_without_coercion, arguments))]  # noqa: UP007 - made of a tuple
    if isinstance(origin, type) and issubclass(origin, Collection):
        return origin[tuple(map(_without_coercion, arguments))]  # type: ignore[index]
    return annotation
