"""What a search returned, and by which metric it scored that."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ragdiag.records import Hit
from ragdiag.stages.protocols import Similarity, Vectors
from ragdiag.stages.similarity import exact_scores
from ragdiag.trace import Trace

__all__ = ["Listing", "shown_metric"]

# Scores are exact where they differ by no more than this share of their range: float32 stays far below, and
# a looser one would tell metrics no more apart, since all score chunks alike that are far from the query.
_EXACT = 1e-4
# The difference is that of the best quarter: an index of which most is wrong still shows what it computes.
_BEST = 25
# With fewer hits any metric may fit by chance.
_TO_TELL = 5


@dataclass(frozen=True, eq=False)
class Listing:
    """The hits of one search.

    Attributes:
        rows: the chunks, best first.
        scores: theirs.
    """

    rows: NDArray[np.intp]
    scores: NDArray[np.float64]

    @classmethod
    def of(cls, trace: Trace, hits: Sequence[Hit]) -> Listing:
        """The hits, kept in little room."""
        rows = np.array(trace.positions(hits), dtype=np.intp)
        return cls(rows, np.array([hit.score for hit in hits], dtype=np.float64))

    def rank_of(self, position: int) -> int | None:
        """The rank (from 1) of a chunk; None where it is not among the hits."""
        found = np.flatnonzero(self.rows == position)
        return int(found[0]) + 1 if len(found) else None


def shown_metric(
    listings: Sequence[tuple[Vectors, Listing]], vectors: Vectors, first: Iterable[Similarity]
) -> Similarity | None:
    """The metric whose exact scores are those of a quarter of the hits at least; None where there is none.

    Args:
        listings: the vector that was asked for, shape (d,), and its hits; each time.
        vectors: one row a chunk, shape (chunks, d).
        first: which metrics are tried first: over vectors of one length, cosine and dot product are the same.
    """
    scores = np.concatenate([listing.scores for _, listing in listings])
    if len(scores) < _TO_TELL:
        return None
    metrics: tuple[Similarity, ...] = (*first, "cosine", "dot", "l2")
    for metric in dict.fromkeys(metrics):
        exact = [exact_scores(asked, vectors[listing.rows], metric) for asked, listing in listings]
        if np.percentile(np.abs(np.concatenate(exact) - scores), _BEST) <= _EXACT * np.ptp(scores):
            return metric
    return None
