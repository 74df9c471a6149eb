"""A retriever that delivers each passage once, however many chunks are searched for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ragdiag.records import Chunk, Hit, Request, Span
from ragdiag.stages.protocols import Retriever, Searcher, Vectors
from ragdiag.stages.retrievers.wrapping import AroundOne, known_rows

__all__ = ["DistinctRetriever"]


@dataclass(frozen=True)
class DistinctRetriever(AroundOne):
    """Of several chunks that deliver the same passage, only the one that scores best is returned.

    Chunks deliver the same passage where their ``spans`` are equal, as they are for the children of one
    parent: each child is searched by an ``index_text`` of its own, and all deliver the parent. The retriever
    is asked for more until there are n different passages, or no more hits.

    Args:
        retriever: what searches.

    Raises:
        ConfigError: ``retriever`` is none.

    Example:
        >>> import numpy as np
        >>> from ragdiag.stages.retrievers.exact import ExactRetriever
        >>> text = "Refunds take a week. Parcels take two days."
        >>> spans = (Span("faq", 0, 43),)
        >>> children = [Chunk("faq/1", spans, text, text[:20]), Chunk("faq/2", spans, text, text[21:])]
        >>> searcher = DistinctRetriever(ExactRetriever()).build(children, np.eye(2, dtype=np.float32))
        >>> searcher.search([Request("q", "?", np.array([3, 4], dtype=np.float32))], 5)
        [[Hit(chunk_id='faq/2', score=0.8)]]
    """

    def build(self, chunks: Sequence[Chunk], vectors: Vectors | None) -> _DistinctSearcher:
        """The index of the retriever over all chunks."""
        return _DistinctSearcher(self.retriever, self.retriever.build(chunks, vectors), chunks)


class _DistinctSearcher:
    def __init__(self, retriever: Retriever, searcher: Searcher, chunks: Sequence[Chunk]) -> None:
        self.arms = (searcher,)
        self._retriever = retriever
        self._row_of = {chunk.id: row for row, chunk in enumerate(chunks)}
        self._spans = [chunk.spans for chunk in chunks]

    def search(self, requests: Sequence[Request], n: int) -> list[list[Hit]]:
        """At most ``n`` hits a request, no two of the same spans."""
        found: dict[int, list[Hit]] = {}
        asked, m = list(range(len(requests))), n
        while asked:
            rankings = self.arms[0].search([requests[i] for i in asked], m)
            for i, hits in zip(asked, rankings, strict=True):
                found[i] = self._first_of_each(hits)[:n]
            # Each request is asked for as much as it would be alone: what else is asked makes no difference.
            asked = [
                i
                for i, hits in zip(asked, rankings, strict=True)
                if len(found[i]) < n and m <= len(hits) < len(self._spans)
            ]
            m *= 4
        return [found[i] for i in range(len(requests))]

    def _first_of_each(self, hits: Sequence[Hit]) -> list[Hit]:
        first: dict[tuple[Span, ...], Hit] = {}
        for row, hit in zip(known_rows(hits, self._row_of, self._retriever), hits, strict=True):
            first.setdefault(self._spans[row], hit)
        return list(first.values())
