"""Several retrievers, their rankings fused into one."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import Literal

from ragdiag.errors import ConfigError
from ragdiag.records import Chunk, Hit, Request
from ragdiag.stages.protocols import Retriever, Searcher, Vectors, recipe_of, uses_vectors
from ragdiag.stages.ranking import order_by_score
from ragdiag.stages.retrievers.wrapping import known_rows

__all__ = ["HybridRetriever"]


@dataclass(frozen=True)
class HybridRetriever:
    """Searches with several retrievers (its arms) and sums, chunk by chunk, what each says.

    ``"rrf"``: an arm that has a chunk at rank r (from 1) adds ``weight / (k + r)``; scores are not looked at.
    ``"weighted"``: it adds ``weight * (score - min) / (max - min)``, over the scores that this arm returned
    for this query (1 where they are all equal). So the last of an arm's hits adds nothing, like a chunk that
    the arm did not return, and what a score is worth depends on ``depth``.

    Args:
        arms: two or more retrievers; those that use vectors are built with them.
        fusion: ``"rrf"`` or ``"weighted"``.
        weights: one an arm, >= 0 and not all 0; all 1 where not given.
        k: how little the first ranks stand out, for ``"rrf"``, >= 0.
        depth: how many hits each arm is asked for; as many as the hybrid is asked for where not given.

    Raises:
        ConfigError: an option that cannot work.

    Source: Cormack, Clarke & Büttcher, "Reciprocal rank fusion outperforms Condorcet and individual rank
    learning methods", SIGIR 2009 (k = 60 is theirs).

    Example:
        >>> from ragdiag.stages.retrievers.bm25 import BM25Retriever
        >>> HybridRetriever([BM25Retriever(), BM25Retriever(b=0)], depth=100).uses_vectors
        False
    """

    arms: Sequence[Retriever]
    _: KW_ONLY
    fusion: Literal["rrf", "weighted"] = "rrf"
    weights: Sequence[float] | None = None
    k: float = 60
    depth: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "arms", tuple(self.arms))
        if len(self.arms) < 2:
            raise ConfigError(f"HybridRetriever.arms must be two or more retrievers, got {len(self.arms)}")
        if self.fusion not in _SHARES:
            raise ConfigError(f"HybridRetriever.fusion must be 'rrf' or 'weighted', got {self.fusion!r}")
        if self.weights is not None:
            object.__setattr__(self, "weights", tuple(map(float, self.weights)))
            self._check_weights(self.weights)
        if not (self.k >= 0 and math.isfinite(self.k)):
            raise ConfigError(f"HybridRetriever.k must be a number >= 0, got {self.k!r}")
        if self.depth is not None and self.depth < 1:
            raise ConfigError(f"HybridRetriever.depth must be at least 1, got {self.depth!r}")

    def _check_weights(self, weights: Sequence[float]) -> None:
        if len(weights) != len(self.arms):
            raise ConfigError(
                f"HybridRetriever.weights must be one an arm: there are {len(self.arms)} arms and "
                f"{len(weights)} weights {weights!r}"
            )
        if not all(weight >= 0 and math.isfinite(weight) for weight in weights) or not any(weights):
            raise ConfigError(f"HybridRetriever.weights must be >= 0 and not all 0, got {weights!r}")

    @property
    def uses_vectors(self) -> bool:
        """Whether any arm looks at vectors."""
        return any(map(uses_vectors, self.arms))

    @property
    def recipe(self) -> HybridRetriever:
        """The same of what builds such indexes over any chunks."""
        return replace(self, arms=tuple(map(recipe_of, self.arms)))

    def build(self, chunks: Sequence[Chunk], vectors: Vectors | None) -> _HybridSearcher:
        """Each arm's index over all chunks."""
        searchers = tuple(arm.build(chunks, vectors if uses_vectors(arm) else None) for arm in self.arms)
        return _HybridSearcher(self, searchers, chunks)


class _HybridSearcher:
    def __init__(
        self, retriever: HybridRetriever, arms: tuple[Searcher, ...], chunks: Sequence[Chunk]
    ) -> None:
        self.arms = arms
        self._retriever = retriever
        self._ids = [chunk.id for chunk in chunks]
        self._row_of = {chunk_id: row for row, chunk_id in enumerate(self._ids)}

    def search(self, requests: Sequence[Request], n: int) -> list[list[Hit]]:
        """At most ``n`` hits a request, from the union of what the arms return."""
        depth = self._retriever.depth or n
        rankings = [arm.search(requests, depth) for arm in self.arms]
        return [self._fuse(of_request, n) for of_request in zip(*rankings, strict=True)]

    def _fuse(self, rankings: Sequence[Sequence[Hit]], n: int) -> list[Hit]:
        weights = self._retriever.weights or (1.0,) * len(rankings)
        added: dict[int, list[float]] = defaultdict(list)
        for weight, arm, hits in zip(weights, self._retriever.arms, rankings, strict=True):
            shares = _SHARES[self._retriever.fusion](hits, self._retriever.k)
            for row, share in zip(known_rows(hits, self._row_of, arm), shares, strict=True):
                added[row].append(weight * share)
        rows = sorted(added)
        # fsum rounds once, so that the order of the arms cannot break a tie.
        scores = [math.fsum(added[row]) for row in rows]
        return [Hit(self._ids[rows[i]], scores[i]) for i in order_by_score(scores)[:n]]


def _reciprocal_ranks(hits: Sequence[Hit], k: float) -> list[float]:
    return [1 / (k + rank) for rank in range(1, len(hits) + 1)]


def _normalized_scores(hits: Sequence[Hit], _: float) -> list[float]:
    scores = [hit.score for hit in hits]
    low, high = min(scores, default=0), max(scores, default=0)
    return [(score - low) / (high - low) if high > low else 1.0 for score in scores]


_SHARES: dict[str, Callable[[Sequence[Hit], float], list[float]]] = {
    "rrf": _reciprocal_ranks,
    "weighted": _normalized_scores,
}
