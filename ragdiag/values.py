"""Metadata and filters as JSON: they read back as they are.

Strings, numbers, truth values, None, lists and mappings with string keys stand as JSON says them. What JSON
lacks but metadata and filters often hold is marked: ``{"$tuple": […]}``, ``{"$set": […]}``,
``{"$frozenset": […]}``. All else is refused, by its key.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from ragdiag.errors import DataError

__all__ = ["from_json", "to_json"]

_MARKS: dict[str, type[tuple[Any, ...] | set[Any] | frozenset[Any]]] = {
    "$tuple": tuple,
    "$set": set,
    "$frozenset": frozenset,
}


def to_json(fields: Mapping[str, Any], name: str) -> dict[str, Any]:
    """``fields`` as JSON can hold them; ``name`` is what they are called in an error.

    Raises:
        DataError: a value, or one inside it, is of a type that cannot be written; the key is named.

    Example:
        >>> to_json({"headings": ("Guide", "Limits")}, "metadata")
        {'headings': {'$tuple': ['Guide', 'Limits']}}
    """
    try:
        return _mapping_to_json(fields, name)
    except RecursionError as error:
        raise DataError(f"{name}: nested too deeply") from error


def from_json(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What `to_json` was given.

    Raises:
        DataError: a marked set holds what no set can.
    """
    return {key: _value_from_json(value) for key, value in fields.items()}


def _mapping_to_json(value: Mapping[Any, Any], place: str) -> dict[str, Any]:
    for key in value:
        if not isinstance(key, str):
            raise DataError(f"{place}: a key must be a string, got {key!r}")
        if key in _MARKS:
            raise DataError(f"{place}: the key {key!r} is one by which files mark types; rename it")
    return {key: _value_to_json(item, f"{place}[{key!r}]") for key, item in value.items()}


def _value_to_json(value: Any, place: str) -> Any:
    if value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, Mapping):
        return _mapping_to_json(value, place)
    if isinstance(value, list):
        return [_value_to_json(item, place) for item in value]
    for mark, kind in _MARKS.items():
        if isinstance(value, kind):
            items = [_value_to_json(item, place) for item in value]
            # A set has no order of its own: that of its items' texts is the same in every process.
            return {mark: items if kind is tuple else sorted(items, key=json.dumps)}
    raise DataError(
        f"{place}: a file cannot hold {value!r}, of type {type(value).__name__}; expected strings, finite "
        "numbers, truth values, None, or lists, tuples, sets and mappings of them"
    )


def _value_from_json(value: Any) -> Any:
    if isinstance(value, list):
        return [_value_from_json(item) for item in value]
    if not isinstance(value, dict):
        return value
    for mark, kind in _MARKS.items():
        if value.keys() == {mark} and isinstance(value[mark], list):
            items = [_value_from_json(item) for item in value[mark]]
            try:
                return kind(items)
            except TypeError as error:
                raise DataError(f"a set cannot hold {items!r}: {error}") from error
    return from_json(value)
