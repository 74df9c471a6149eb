"""A retriever that leaves out what scores too low."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass

from ragdiag.errors import ConfigError
from ragdiag.records import Chunk, Hit, Request
from ragdiag.stages.protocols import Searcher, Vectors
from ragdiag.stages.retrievers.wrapping import AroundOne

__all__ = ["ThresholdRetriever"]


@dataclass(frozen=True)
class ThresholdRetriever(AroundOne):
    """Drops the hits of another retriever that score below ``min_score``.

    A query may get fewer than n hits, or none: no context in place of one that has nothing to say.

    Args:
        retriever: what searches.
        min_score: the lowest score that stays, on the scale of that retriever: from -1 to 1 for cosines,
            negative squared distances for ``"l2"``, any number for dot products, BM25 and fused ranks.

    Raises:
        ConfigError: an option that cannot work.

    Example:
        >>> import numpy as np
        >>> from ragdiag.records import Document
        >>> from ragdiag.stages.retrievers.exact import ExactRetriever
        >>> chunks = [Chunk.of(Document(name, "text"), (0, 4)) for name in ("east", "north")]
        >>> retriever = ThresholdRetriever(ExactRetriever(), min_score=0.7)
        >>> searcher = retriever.build(chunks, np.eye(2, dtype=np.float32))
        >>> [[hit]] = searcher.search([Request("q", "?", np.array([3, 4], dtype=np.float32))], 5)
        >>> hit
        Hit(chunk_id='north#0-4', score=0.8)
    """

    _: KW_ONLY
    min_score: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if not math.isfinite(self.min_score):
            raise ConfigError(f"ThresholdRetriever.min_score must be a finite number, got {self.min_score!r}")

    def build(self, chunks: Sequence[Chunk], vectors: Vectors | None) -> _ThresholdSearcher:
        """The index of the retriever over all chunks."""
        return _ThresholdSearcher(self.retriever.build(chunks, vectors), self.min_score)


class _ThresholdSearcher:
    def __init__(self, searcher: Searcher, min_score: float) -> None:
        self.arms = (searcher,)
        self._min_score = min_score

    def search(self, requests: Sequence[Request], n: int) -> list[list[Hit]]:
        """Those of the first ``n`` hits a request that score at least ``min_score``."""
        return [
            [hit for hit in hits if hit.score >= self._min_score] for hits in self.arms[0].search(requests, n)
        ]
