"""Maximal marginal relevance: hits that are near the query and unlike each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass

import numpy as np
from numpy.typing import NDArray

from ragdiag.errors import ConfigError
from ragdiag.records import Chunk, Hit, Request
from ragdiag.stages.protocols import Searcher, Vectors, uses_vectors
from ragdiag.stages.retrievers.exact import query_vector
from ragdiag.stages.retrievers.wrapping import AroundOne, known_rows
from ragdiag.stages.similarity import directions

__all__ = ["MMRRetriever"]


@dataclass(frozen=True)
class MMRRetriever(AroundOne):
    """Chooses among the candidates of another retriever, one by one, by maximal marginal relevance.

    Next comes the candidate c with the highest ``trade_off * cos(q, c) - (1 - trade_off) * max cos(c, s)``,
    where s are those chosen before; for the first one the maximum is -1, the lowest cosine. That value is
    the score of the hit. Equal values are taken in the order of the chunks.

    Both terms are cosines of the chunks' vectors, whatever the retriever's own metric and scores are, as
    they must be on one scale: under ``"dot"`` and ``"l2"`` lengths decide who is a candidate, and count no
    more afterwards. A zero vector has cosine 0 with everything.

    Args:
        retriever: what finds the candidates; it must use vectors (a hybrid does if one of its arms does).
        trade_off: 1 for relevance alone, 0 for the first one's relevance and then difference alone (the
            lambda of the paper).
        fetch: how many candidates to choose from; where more hits are asked for, as many as those.

    Raises:
        ConfigError: an option that cannot work; a retriever that ignores vectors; on `build`, no vectors.

    Source: Carbonell & Goldstein, "The use of MMR, diversity-based reranking for reordering documents and
    producing summaries", SIGIR 1998.

    Example:
        >>> from ragdiag.records import Document
        >>> from ragdiag.stages.retrievers.exact import ExactRetriever
        >>> chunks = [Chunk.of(Document(name, "text"), (0, 4)) for name in ("east", "copy", "north")]
        >>> vectors = np.array([[1, 0], [1, 0], [0, 1]], dtype=np.float32)
        >>> searcher = MMRRetriever(ExactRetriever()).build(chunks, vectors)
        >>> [hits] = searcher.search([Request("q", "?", np.array([0.8, 0.6], dtype=np.float32))], 2)
        >>> [hit.chunk_id for hit in hits]
        ['east#0-4', 'north#0-4']
    """

    _: KW_ONLY
    trade_off: float = 0.5
    fetch: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        if not uses_vectors(self.retriever):
            raise ConfigError(
                f"MMRRetriever.retriever must use vectors, by which chunks are compared; {self.retriever!r} "
                "ignores them: fuse it with a vector search in HybridRetriever"
            )
        if not 0 <= self.trade_off <= 1:
            raise ConfigError(f"MMRRetriever.trade_off must be from 0 to 1, got {self.trade_off!r}")
        if self.fetch < 1:
            raise ConfigError(f"MMRRetriever.fetch must be at least 1, got {self.fetch!r}")

    def build(self, chunks: Sequence[Chunk], vectors: Vectors | None) -> _MMRSearcher:
        """The index of the retriever over all chunks, and their vectors, shape (len(chunks), d)."""
        if vectors is None:
            raise ConfigError("MMRRetriever compares vectors: the pipeline needs an embedder")
        return _MMRSearcher(self, self.retriever.build(chunks, vectors), chunks, vectors)


class _MMRSearcher:
    def __init__(
        self, retriever: MMRRetriever, searcher: Searcher, chunks: Sequence[Chunk], vectors: Vectors
    ) -> None:
        self.arms = (searcher,)
        self._retriever = retriever
        self._ids = [chunk.id for chunk in chunks]
        self._row_of = {chunk.id: row for row, chunk in enumerate(chunks)}
        self._vectors = vectors

    def search(self, requests: Sequence[Request], n: int) -> list[list[Hit]]:
        """At most ``n`` hits a request, in the order in which they are chosen."""
        rankings = self.arms[0].search(requests, max(n, self._retriever.fetch))
        return [self._choose(request, hits, n) for request, hits in zip(requests, rankings, strict=True)]

    def _choose(self, request: Request, candidates: Sequence[Hit], n: int) -> list[Hit]:
        rows = sorted(known_rows(candidates, self._row_of, self._retriever.retriever))
        units = directions(self._vectors[rows])
        [query] = directions(query_vector(request)[None, :])
        chosen = _greedily(_cosines(query, units), units, self._retriever.trade_off, n)
        return [Hit(self._ids[rows[place]], value) for place, value in chosen]


def _greedily(
    relevance: NDArray[np.float64], units: NDArray[np.float64], trade_off: float, n: int
) -> list[tuple[int, float]]:
    """The places of the chosen, at most ``n``, with the values that they had when they were chosen.

    These values never increase, as a ranking's scores must not. A candidate's redundancy begins at -1, the
    lowest cosine, and is a maximum over more and more of them, so that its value can only fall. Whoever is
    chosen was a candidate one step before, worth at least as much then, and not more than the one that was
    chosen in its place. Rounding keeps that: it is monotone. And of two that are chosen at the same value,
    the second was worth that value, too, when the first was chosen, so the first stands first in the input.
    """
    chosen: list[tuple[int, float]] = []
    redundancy = np.full(len(units), -1.0)
    left = np.ones(len(units), dtype=bool)
    for _ in range(min(n, len(units))):
        values = np.where(left, trade_off * relevance - (1 - trade_off) * redundancy, -np.inf)
        best = int(np.argmax(values))  # of equal values the first
        chosen.append((best, float(values[best])))
        left[best] = False
        redundancy = np.maximum(redundancy, _cosines(units[best], units))
    return chosen


def _cosines(one: NDArray[np.float64], units: NDArray[np.float64]) -> NDArray[np.float64]:
    """The cosines of unit rows with one of them."""
    # Row by row, unlike a matrix product, so that equal rows get equal cosines to the last bit.
    cosines: NDArray[np.float64] = (units * one).sum(axis=1)
    return cosines
