"""Arithmetic on character ranges, and the check that evidence lies inside its sources.

Coverage counts *non-whitespace* characters, so that a chunker which trims or folds blanks loses nothing.
Whitespace is what `str.isspace` says.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ragdiag.errors import DataError
from ragdiag.records import Alternative, Document, Query, WholeDocument

__all__ = ["Range", "check_evidence", "code_points", "merge", "nonspace_before", "quote"]

Range = tuple[int, int]
"""A half-open range of code points: (start, end)."""


def code_points(text: str) -> NDArray[np.uint32]:
    """The code points of ``text``, shape (len(text),); lone surrogates are kept as they are."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


@lru_cache(maxsize=1)
def _whitespace() -> NDArray[np.uint32]:
    return np.array([c for c in range(sys.maxunicode + 1) if chr(c).isspace()], dtype=np.uint32)


def nonspace_before(text: str) -> NDArray[np.int64]:
    """How many non-whitespace characters stand before each offset, shape (len(text) + 1,).

    The non-whitespace length of ``text[a:b]`` is ``counts[b] - counts[a]``.

    Example:
        >>> nonspace_before("a b").tolist()
        [0, 1, 1, 2]
    """
    counts = np.zeros(len(text) + 1, dtype=np.int64)
    np.cumsum(~np.isin(code_points(text), _whitespace()), out=counts[1:])
    return counts


def merge(ranges: Iterable[Range], *, touching: bool = True) -> list[Range]:
    """The union of ``ranges`` as sorted ranges that do not overlap.

    Args:
        ranges: in any order.
        touching: whether ranges that touch become one; else only those that overlap do.

    Example:
        >>> merge([(5, 8), (0, 3), (3, 5), (10, 12)])
        [(0, 8), (10, 12)]
        >>> merge([(0, 3), (3, 5), (4, 8)], touching=False)
        [(0, 3), (3, 8)]
    """
    union: list[Range] = []
    for start, end in sorted(ranges):
        if union and (start < union[-1][1] or (touching and start == union[-1][1])):
            union[-1] = (union[-1][0], max(end, union[-1][1]))
        else:
            union.append((start, end))
    return union


def quote(text: str, *, limit: int = 80) -> str:
    """A short, printable form of ``text`` for messages."""
    return repr(text if len(text) <= limit else text[: limit - 1] + "…")


def check_evidence(queries: Sequence[Query], sources: Mapping[str, Document]) -> None:
    """Check that all evidence lies inside its sources and is more than whitespace.

    Raises:
        DataError: naming the query, the unit (counted from 0) and the span.
    """
    for query in queries:
        for number, unit in enumerate(query.evidence):
            for alternative in unit.alternatives:
                problem = _problem(alternative, sources)
                if problem:
                    raise DataError(f"query {query.id!r}, evidence unit {number}: {problem}")


def _problem(alternative: Alternative, sources: Mapping[str, Document]) -> str:
    for part in alternative:
        source = sources.get(part.doc_id)
        if source is None:
            return f"names document {part.doc_id!r}, which is not among the {len(sources)} sources"
        if isinstance(part, WholeDocument):
            continue
        if part.end > len(source.text):
            return (
                f"span {part.start}-{part.end} lies outside document {part.doc_id!r}, "
                f"which has {len(source.text)} characters"
            )
        if source.text[part.start : part.end].isspace():
            return f"span {part.start}-{part.end} of document {part.doc_id!r} is only whitespace"
    return ""
