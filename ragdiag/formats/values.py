"""Values of metadata and filters in the files of a trace or a diagnosis, which read back as they are.

Strings, numbers, truth values, None, lists and mappings with string keys stand as JSON says them. What JSON
lacks but metadata and filters often hold is marked: ``{"$tuple": […]}``, ``{"$set": […]}``,
``{"$frozenset": […]}``. All else is refused, by its key.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from ragdiag.errors import DataError

__all__ = ["from_json", "to_json"]

_MARKS: dict[str, type] = {"$tuple": tuple, "$set": set, "$frozenset": frozenset}


def to_json(value: object, place: str) -> Any:
    """``value`` as JSON can hold it; ``place`` names it in an error.

    Raises:
        DataError: it is, or holds, what cannot be written.

    Example:
        >>> to_json({"headings": ("Guide", "Limits")}, "metadata")
        {'headings': {'$tuple': ['Guide', 'Limits']}}
    """
    if value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, list):
        return [to_json(item, f"{place}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, Mapping):
        return _mapping(value, place)
    for mark, kind in _MARKS.items():
        if isinstance(value, kind):
            items = [to_json(item, f"{place}[{i}]") for i, item in enumerate(value)]
            # A set has no order of its own: that of its items' texts is the same in every process.
            return {mark: items if kind is tuple else sorted(items, key=json.dumps)}
    raise DataError(
        f"{place}: a file cannot hold {value!r} of type {type(value).__name__}; expected strings, finite "
        "numbers, truth values, None, or lists, tuples, sets and mappings of them"
    )


def from_json(value: Any) -> Any:
    """What `to_json` was given.

    Raises:
        DataError: a marked set holds what no set can.
    """
    if isinstance(value, list):
        return [from_json(item) for item in value]
    if not isinstance(value, dict):
        return value
    for mark, kind in _MARKS.items():
        if value.keys() == {mark} and isinstance(value[mark], list):
            return _collect(kind, [from_json(item) for item in value[mark]])
    return {key: from_json(item) for key, item in value.items()}


def _mapping(value: Mapping[Any, object], place: str) -> dict[str, Any]:
    for key in value:
        if not isinstance(key, str):
            raise DataError(f"{place}: a key must be a string, got {key!r}")
        if key in _MARKS:
            raise DataError(f"{place}: the key {key!r} is one by which a file marks other types; rename it")
    return {key: to_json(item, f"{place}[{key!r}]") for key, item in value.items()}


def _collect(kind: Callable[[list[Any]], Any], items: list[Any]) -> Any:
    try:
        return kind(items)
    except TypeError as error:
        raise DataError(f"a set cannot hold all of {items!r}: {error}") from error
