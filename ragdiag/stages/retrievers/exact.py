"""Exact vector search: every chunk is compared with every query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ragdiag.errors import ConfigError, StageError
from ragdiag.records import Chunk, Hit, Request
from ragdiag.stages.protocols import Similarity, Vectors
from ragdiag.stages.retrievers.filters import AllowedRows
from ragdiag.stages.similarity import nearest

__all__ = ["ExactRetriever", "query_vector"]


@dataclass(frozen=True, slots=True)
class ExactRetriever:
    """Compares every chunk with every query: no approximation, time linear in the number of chunks.

    Attributes:
        metric: ``"cosine"``, ``"dot"`` or ``"l2"`` (scores are negative squared distances).

    Example:
        >>> ExactRetriever()
        ExactRetriever(metric='cosine')
    """

    metric: Similarity = "cosine"

    def __post_init__(self) -> None:
        if self.metric not in ("cosine", "dot", "l2"):
            raise ConfigError(f"ExactRetriever.metric must be 'cosine', 'dot' or 'l2', got {self.metric!r}")

    def build(self, chunks: Sequence[Chunk], vectors: Vectors | None) -> _ExactSearcher:
        """Keep the vectors, shape (len(chunks), d).

        Raises:
            ConfigError: there are no vectors.
        """
        if vectors is None:
            raise ConfigError("ExactRetriever searches vectors: the pipeline needs an embedder")
        return _ExactSearcher(chunks, vectors, self.metric)


class _ExactSearcher:
    def __init__(self, chunks: Sequence[Chunk], vectors: Vectors, metric: Similarity) -> None:
        self._ids = [chunk.id for chunk in chunks]
        self._vectors = vectors
        self._metric: Similarity = metric
        self._allowed = AllowedRows(chunks)

    @property
    def nbytes(self) -> int:
        """The vectors."""
        return self._vectors.nbytes

    def search(self, requests: Sequence[Request], n: int) -> list[list[Hit]]:
        if not requests:
            return []
        queries = np.stack([query_vector(request) for request in requests])
        found = nearest(
            self._vectors,
            queries,
            n,
            self._metric,
            allowed=[self._allowed.mask(request.filter) for request in requests],
        )
        return [
            [Hit(self._ids[row], float(score)) for row, score in zip(f.rows, f.scores, strict=True)]
            for f in found
        ]


def query_vector(request: Request) -> Vectors:
    """The vector of a request, shape (d,).

    Raises:
        StageError: it has none.
    """
    if request.vector is None:
        raise StageError(
            "retriever", "has no vector: the pipeline needs an embedder", where=f"query {request.query_id!r}"
        )
    return request.vector
