"""What an object of another library is set to do, as text: the same for the same settings, in every process.

Few of these objects show their options. So an object is described by what pickle would keep of it, and what
pickle cannot name (a lambda, a function inside a function) by its code and by the values that it uses.
Libraries keep counts and caches inside their objects too; so an object is described before it is used.

What cannot be known, such as the inside of an extension module's object, is shown with its address in memory,
by which everybody sees that it is not the same twice.
"""

from __future__ import annotations

import copyreg
import hashlib
import re
import sys
from collections.abc import Iterable, Mapping
from functools import partial
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

__all__ = ["describe"]

_PLAIN = (type(None), bool, int, float, complex, str, bytes)
_LONGEST = 120  # characters of a part; what is longer is shown as its digest
_ADDRESS = re.compile(r" object at 0x[0-9a-f]+>")
_LEARNED = {
    # What these keep of the texts that they have seen: no setting, and another after use than before.
    "chonkie.tokenizer.CharacterTokenizer": ("vocab", "token2id"),
    "chonkie.tokenizer.WordTokenizer": ("vocab", "token2id"),
    "chonkie.tokenizer.RowTokenizer": ("vocab", "token2id"),
}
_OBSERVERS = ("callback_manager",)  # LlamaIndex tells these what happens; they change nothing


def describe(value: object) -> str:
    """The settings of ``value`` as text.

    Example:
        >>> describe([partial(int, base=2), {"length": len}])
        "[partial(builtins.int, base=2), {'length': builtins.len}]"
    """
    return _Walk().text(value)


class _Walk:
    """One walk through an object; what is met again is not walked again."""

    def __init__(self) -> None:
        self.known: dict[int, str] = {}
        self.alive: list[object] = []  # of what is made on the way no other may take the identity

    def text(self, value: object) -> str:
        if (
            isinstance(value, bytes) and len(value) > _LONGEST
        ):  # weights; their repr would be four times as long
            return f"<{_digest(value)}>"
        if isinstance(value, _PLAIN):
            return repr(value)
        if id(value) not in self.known:
            self.alive.append(value)
            self.known[id(value)] = f"<the {type(value).__name__} around it>"
            try:
                self.known[id(value)] = self._compound(value)
            except Exception:  # noqa: BLE001  # whatever an object raises when it is asked what it is
                self.known[id(value)] = object.__repr__(value)
        return self.known[id(value)]

    def _part(self, value: object) -> str:
        text = self.text(value)
        return text if len(text) <= _LONGEST else _unknown(text) or f"<{_digest(text)}>"

    def _parts(self, values: Iterable[object]) -> str:
        return ", ".join(map(self._part, values))

    def _named(self, values: Mapping[str, object]) -> str:
        return ", ".join(f"{name.lstrip('_')}={self._part(value)}" for name, value in values.items())

    def _compound(self, value: Any) -> str:
        return self._container(value) or self._definition(value) or self._object(value)

    def _container(self, value: Any) -> str:
        """A container of Python's own; empty for anything else."""
        if type(value) is list:
            return f"[{self._parts(value)}]"
        if type(value) is tuple:
            return f"({self._parts(value)}{',' * (len(value) == 1)})"
        if type(value) is dict:
            return f"{{{', '.join(f'{self._part(k)}: {self._part(v)}' for k, v in value.items())}}}"
        if type(value) in (set, frozenset):
            return f"{type(value).__name__}({{{', '.join(sorted(map(self._part, value)))}}})"
        return ""

    def _definition(self, value: Any) -> str:
        """A module, a class or something that is called; empty for anything else."""
        if isinstance(value, ModuleType):
            return value.__name__
        if isinstance(value, type) or _found_by_name(value):
            return _name(value)
        if isinstance(value, MethodType | BuiltinFunctionType):
            return f"{self._part(value.__self__)}.{value.__name__}"
        if isinstance(value, FunctionType):
            return self._function(value)
        return (
            f"{_name(type(value))}({self._part(value.__wrapped__)})" if hasattr(value, "__wrapped__") else ""
        )

    def _function(self, function: FunctionType) -> str:
        """A function that no import finds: its code, its defaults and the values that it refers to.

        What stands in a module belongs to its library, as what a module's own functions do does; only what
        stands in a session or a script is looked at.
        """
        codes = list(_codes(function.__code__))
        names = (
            {name for code in codes for name in code.co_names} if function.__module__ == "__main__" else ()
        )
        used = {name: function.__globals__[name] for name in sorted(names) if name in function.__globals__}
        cells = [cell.cell_contents for cell in function.__closure__ or ()]
        text = " ".join(
            [
                *(f"{code.co_code.hex()} {code.co_names} {code.co_varnames}" for code in codes),
                *(self.text(c) for code in codes for c in code.co_consts if not isinstance(c, CodeType)),
                *map(self.text, (function.__defaults__, function.__kwdefaults__, used, cells)),
            ]
        )
        return f"<{_name(function)} {_unknown(text) or _digest(text)}>"

    def _object(self, value: Any) -> str:
        if isinstance(value, partial):
            arguments = (self._parts([value.func, *value.args]), self._named(value.keywords))
            return f"partial({', '.join(filter(None, arguments))})"
        if hasattr(type(value), "__pydantic_fields__"):  # where pickle may leave out what it cannot keep
            return f"{_name(type(value))}({self._state(value, vars(value), value.__pydantic_private__)})"
        registered = copyreg.dispatch_table.get(type(value))
        reduced = registered(value) if registered else value.__reduce_ex__(2)
        if isinstance(reduced, str):
            return f"{type(value).__module__}.{reduced}"
        make, args, state, items, pairs = (*reduced, None, None, None)[:5]
        name = _name(make)
        if name == "copyreg.__newobj__":
            name, args = _name(args[0]), args[1:]
        parts = [self._parts(args)]
        if isinstance(state, tuple) and all(isinstance(s, dict | None) for s in state):
            # What lies in slots comes apart.
            parts.append(self._state(value, *state))
        elif isinstance(state, dict):
            parts.append(self._state(value, state))
        elif state is not None:
            parts.append(self._part(state))
        parts += [self._part(list(rest)) for rest in (items, pairs) if rest is not None]
        return f"{name}({', '.join(filter(None, parts))})"

    def _state(self, value: object, *states: Mapping[str, object] | None) -> str:
        without = (*_OBSERVERS, *_LEARNED.get(_name(type(value)), ()))
        return self._named({k: v for state in states for k, v in (state or {}).items() if k not in without})


def _codes(code: CodeType) -> Iterable[CodeType]:
    """The code and all code that stands inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _name(value: Any) -> str:
    return f"{value.__module__}.{value.__qualname__}"


def _found_by_name(value: Any) -> bool:
    """Whether it is a function that its module has under its name: all of it is known by that."""
    if not isinstance(value, FunctionType | BuiltinFunctionType) or value.__module__ in (None, "__main__"):
        return False
    found: Any = sys.modules.get(value.__module__)
    for name in value.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is value


def _unknown(text: str) -> str:
    """The first object in a description that is known by its address alone, which a digest would hide."""
    found = _ADDRESS.search(text)
    return text[text.rfind(" ", 0, found.start()) + 1 : found.end()] if found else ""


def _digest(data: str | bytes) -> str:
    if isinstance(data, str):
        data = data.encode("utf-8", "backslashreplace")
    return hashlib.blake2b(data, digest_size=8).hexdigest()
