"""The one meaning of ``Request.filter``: which chunks a query may get.

A filter maps metadata keys to values, and all of them must hold. A plain value asks for equality; a list,
tuple, set or frozenset asks for one of its members. Equality is Python's. A chunk that lacks a key does not
match, whatever the value; an empty filter, like none, allows everything.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragdiag.records import Chunk

__all__ = ["AllowedRows", "allowed_rows", "matches"]

# Filters by user or by date are often new with every query: only the most recent masks are kept.
_KEPT_MASKS = 64


def matches(metadata: Mapping[str, Any], filter: Mapping[str, Any] | None) -> bool:  # noqa: A002  # as in Request
    """Whether a chunk's ``metadata`` satisfy a request's ``filter``.

    Example:
        >>> matches({"lang": "en", "year": 2024}, {"lang": ["en", "de"], "year": 2024})
        True
        >>> matches({"lang": "en"}, {"year": 2024})
        False
    """
    return all(key in metadata and _holds(metadata[key], wanted) for key, wanted in (filter or {}).items())


def allowed_rows(chunks: Sequence[Chunk], filter: Mapping[str, Any] | None) -> NDArray[np.bool_] | None:  # noqa: A002
    """Which of ``chunks`` a filter allows, shape (len(chunks),), or None where it allows all of them."""
    if not filter:
        return None
    return np.fromiter((matches(chunk.metadata, filter) for chunk in chunks), dtype=bool, count=len(chunks))


class AllowedRows:
    """`allowed_rows` of an index's chunks, worked out once for each distinct filter.

    Example:
        >>> from ragdiag.records import Document
        >>> german = Chunk.of(Document("agb", "Rückgabe in 30 Tagen.", {"lang": "de"}), (0, 21))
        >>> AllowedRows([german]).mask({"lang": "en"}).tolist()
        [False]
    """

    def __init__(self, chunks: Sequence[Chunk]) -> None:
        self._chunks = chunks
        self._masks: dict[Hashable, NDArray[np.bool_] | None] = {}

    def mask(self, filter: Mapping[str, Any] | None) -> NDArray[np.bool_] | None:  # noqa: A002
        """The rows that a filter allows, or None where it allows all. Shared: do not write to it."""
        key = _key(filter or {})
        if key is None:
            return allowed_rows(self._chunks, filter)
        if key not in self._masks:
            if len(self._masks) == _KEPT_MASKS:
                del self._masks[next(iter(self._masks))]
            self._masks[key] = allowed_rows(self._chunks, filter)
        return self._masks[key]


def _holds(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, list | tuple | set | frozenset):
        return any(value == option for option in wanted)
    return bool(value == wanted)


def _key(filter: Mapping[str, Any]) -> Hashable | None:  # noqa: A002
    """What equal filters have in common, or None where values cannot be hashed."""
    try:
        return frozenset(
            (name, frozenset(wanted) if isinstance(wanted, list | tuple | set) else wanted)
            for name, wanted in filter.items()
        )
    except TypeError:
        return None
