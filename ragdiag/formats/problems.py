"""pydantic's errors in ragdiag's words: which field, what was expected, what came.

Imports pydantic, so it is itself imported inside the functions that read a file.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from difflib import get_close_matches

from pydantic import ValidationError
from pydantic_core import ErrorDetails

__all__ = ["describe", "unknown_name"]

_WORDS = {
    "callable_type": "a function",
    "dict_type": "an object",
    "list_type": "a list",
    "mapping_type": "an object",
    "model_type": "an object",
    "path_type": "a path",
    "sequence_str": "a list",
    "tuple_type": "a list",
}
"""What was expected, where pydantic's own message says it in Python's terms, or says only what was not."""

_NOT_IN_A_FILE = {"is_instance_of", "callable_type"}


def describe(
    error: ValidationError,
    value: object,
    *,
    names: Collection[str] = (),
    inner: Collection[str] = (),
    within: str = "",
) -> str:
    """All problems of ``value``, which stands at the place ``within``.

    Its fields may be ``names``, those of the objects inside it ``inner``. Each problem is like
    ``"evidence[0].start: expected a valid integer, got '12'"``.
    """
    problems: dict[str, list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        problems.setdefault(_path(detail, value, within), []).append(detail)
    return "; ".join(
        (f"{place}: " if place else "") + _problem(details, inner if len(details[0]["loc"]) > 1 else names)
        for place, details in problems.items()
    )


def unknown_name(name: str, names: Collection[str]) -> str:
    """What can be said of a name that is none of ``names``: the closest of them, else all.

    A name may also be one of them, in the wrong place.

    Example:
        >>> unknown_name("titel", ["title", "text"])
        "did you mean 'title'?"
        >>> unknown_name("x", ["title", "text"])
        "expected one of 'title', 'text'"
    """
    if name in names:
        return "it does not belong here"
    close = get_close_matches(name, names, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"expected one of {', '.join(map(repr, names))}" if names else "none is expected"


def _path(detail: ErrorDetails, value: object, within: str) -> str:
    """The place as a person writes it; pydantic's labels for the members of a union are left out."""
    path = within
    last = len(detail["loc"]) - 1
    for position, step in enumerate(detail["loc"]):
        if isinstance(value, list) and isinstance(step, int):
            path, value = f"{path}[{step}]", value[step] if step < len(value) else None  # an item is missing
        elif isinstance(value, dict) and (
            step in value or (position == last and detail["type"] == "missing")
        ):
            path, value = f"{path}.{step}" if path else str(step), value.get(step)
    return path


def _problem(details: Sequence[ErrorDetails], names: Collection[str]) -> str:
    """What is wrong at one place; more than one detail says that a value fits no member of a union."""
    if details[0]["type"] == "missing":
        return "is missing"
    if details[0]["type"] == "extra_forbidden":
        return f"is not known; {unknown_name(str(details[0]['loc'][-1]), names)}"
    # Where a file could hold a value that fits, what only a program can hand over is no help.
    writable = [detail for detail in details if detail["type"] not in _NOT_IN_A_FILE] or details
    expected = dict.fromkeys(
        _WORDS.get(detail["type"], detail["msg"].removeprefix("Input should be ")) for detail in writable
    )
    return f"expected {' or '.join(expected)}, got {_short(details[0]['input'])}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:79] + "…"
