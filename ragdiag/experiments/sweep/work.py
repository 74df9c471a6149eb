"""What a sweep asked of the plugs, because its store did not hold it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Work"]


@dataclass(frozen=True, slots=True)
class Work:
    """Counts of what was really done; the work of several steps adds up.

    Attributes:
        chunked: documents that were cut.
        texts: texts that were embedded as documents.
        queries: texts that were embedded as queries.
        searches: queries that an index was asked for.
        pairs: pairs of query and text that were scored.
        pipelines: pipelines that were measured.

    Example:
        >>> Work(texts=3) + Work(texts=2, pairs=1)
        Work(chunked=0, texts=5, queries=0, searches=0, pairs=1, pipelines=0)
    """

    chunked: int = 0
    texts: int = 0
    queries: int = 0
    searches: int = 0
    pairs: int = 0
    pipelines: int = 0

    def __add__(self, other: Work) -> Work:
        """The two together."""
        return Work(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))
