"""Where a lost unit stands in the exact search by the embedder's similarity, and what comes before it.

What the checks of the embedder have in common: they look at the chunk that keeps the unit from being among
the candidates, and a cause is named only where without it the chunk would be among them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ragdiag.diagnosis.checks.bench import Bench, Loss
from ragdiag.diagnosis.checks.check import NotApplicable
from ragdiag.stages.protocols import Similarity, Vectors
from ragdiag.stages.similarity import exact_ranks

__all__ = ["Place", "place_of", "rank_among", "rank_by_vectors"]


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """A unit beyond the candidates of the exact search.

    Attributes:
        chunks: the chunks, by position, that deliver the unit together.
        last: the one of them that ranks last.
        rank: its exact rank, from 1.
        n: how many candidates there are; fewer than ``rank``.
        total: how many chunks there are.
        before: the chunks that come before it, best first, shape (rank - 1,).
    """

    chunks: tuple[int, ...]
    last: int
    rank: int
    n: int
    total: int
    before: NDArray[np.intp] = field(repr=False)

    def __str__(self) -> str:
        return f"rank {self.rank:,} of {self.total:,} chunks, {self.n:,} candidates"


def place_of(bench: Bench, loss: Loss) -> Place | None:
    """Where the unit stands in the exact search.

    None where the embedder's numbers need no other name: it is among the candidates after all (another stage
    is to blame as well, or lost it), or the re-runs have shown that the embedder does not read the evidence.

    Raises:
        NotApplicable: the pipeline has no embedder, or no chunk holds any of the evidence.
    """
    return bench.once(("place", loss.unit.unit), lambda: _place(bench, loss))


def _place(bench: Bench, loss: Loss) -> Place | None:
    scores = bench.scores(loss.query)
    if not loss.chunks:
        raise NotApplicable("no chunk holds any of the evidence")
    if loss.verdict.cause == "truncated":
        return None
    order = bench.order(loss.query)
    # Chunks that overlap or repeat a text may each deliver the unit: the first one is what counts.
    whole = [c for c, covered in loss.unit.carried.items() if covered >= loss.unit.min_coverage]
    options = [loss.chunks, *((c,) for c in whole if c < len(order))]
    chunks = min(options, key=lambda option: rank_among(scores, option))
    rank = rank_among(scores, chunks)
    n = bench.trace.candidates
    if rank <= n:
        return None
    return Place(chunks, int(order[rank - 1]), rank, n, len(order), order[: rank - 1])


def rank_among(scores: NDArray[np.float64], rows: Sequence[int]) -> int:
    """The rank (from 1) at which the last of ``rows`` comes, by scores of all chunks, shape (chunks,)."""
    worst = min(scores[row] for row in rows)
    last = max(row for row in rows if scores[row] == worst)
    return int(np.count_nonzero(scores > worst) + np.count_nonzero(scores[:last] == worst)) + 1


def rank_by_vectors(
    query: NDArray[np.float32], vectors: Vectors, rows: Sequence[int], similarity: Similarity
) -> int:
    """The exact rank (from 1) at which the last of ``rows`` comes by other vectors than those of the run.

    Args:
        query: the query's vector, shape (d,).
        vectors: one row a chunk, shape (chunks, d).
        rows: the chunks, by position.
        similarity: how vectors are compared.
    """
    [ranks] = exact_ranks(vectors, query[None], [np.array(rows)], similarity)
    return int(ranks.max())
