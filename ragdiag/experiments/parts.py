"""Changing a part of a plug that is made of others: an arm, the retriever inside a filter, one of a chain.

Parts are found by what they are, in the fields of dataclasses, whoever wrote them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from typing import TypeVar

from ragdiag.stages.protocols import is_plug

__all__ = ["change_parts", "has_field", "parts_of"]

_Plug = TypeVar("_Plug")


def change_parts(stage: str, plug: _Plug, change: Callable[[object], object]) -> _Plug:
    """The plug with each part changed to which ``change`` applies; itself where it applies to none.

    Args:
        stage: whose plugs are parts, such as ``retriever``.
        plug: a plug of that stage.
        change: returns what a part becomes, or the part itself where it does not apply. It is asked of the
            plug first, and of the parts of those only to which it does not apply.
    """
    changed = change(plug)
    if changed is not plug:
        return changed  # type: ignore[return-value]  # a plug of the same stage
    changes = {
        name: new for name, old in _options(plug).items() if (new := _changed(stage, old, change)) is not old
    }
    return replace(plug, **changes) if changes else plug  # type: ignore[type-var]


def _changed(stage: str, value: object, change: Callable[[object], object]) -> object:
    if isinstance(value, tuple | list):
        items = [_changed(stage, item, change) for item in value]
        return value if all(new is old for new, old in zip(items, value, strict=True)) else tuple(items)
    return change_parts(stage, value, change) if is_plug(stage, value) else value


def parts_of(stage: str, plug: object) -> Iterator[object]:
    """A plug and all of its parts, those outside first."""
    yield plug
    for value in _options(plug).values():
        for part in value if isinstance(value, tuple | list) else (value,):
            if is_plug(stage, part):
                yield from parts_of(stage, part)


def _options(plug: object) -> dict[str, object]:
    """What a dataclass was made with, by field; nothing of anything else."""
    if not is_dataclass(plug):
        return {}
    return {f.name: getattr(plug, f.name) for f in fields(plug) if f.init}


def has_field(plug: object, name: str) -> bool:
    """Whether a plug is a dataclass that takes an option of this name."""
    return name in _options(plug)
