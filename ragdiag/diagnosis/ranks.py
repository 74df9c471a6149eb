"""At which rank a unit of evidence is complete, in each ranking of a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ragdiag.diagnosis.evidence import Mask, QueryEvidence
from ragdiag.diagnosis.exact import ExactSearch
from ragdiag.stages.ranking import hangs_on_tie
from ragdiag.trace import QueryTrace, Trace

__all__ = ["UnitRanks", "rank_units"]


@dataclass(frozen=True, slots=True)
class UnitRanks:
    """The ranks (from 1) at which one unit is delivered; None where it never is, or there is no such ranking.

    A unit in two chunks is complete at the rank of the second.

    Attributes:
        exact: in the exact search by the embedder's similarity, over all chunks.
        retrieved: in what the retriever returned.
        reranked: in the reranker's order.
        tied: whether the cut after the top k separates the unit's rank from an equal score on the other side.
    """

    exact: int | None
    retrieved: int | None
    reranked: int | None
    tied: bool


def rank_units(
    trace: Trace,
    query: QueryTrace,
    evidence: QueryEvidence,
    exact: ExactSearch | None,
    *,
    min_coverage: float,
) -> tuple[UnitRanks, ...]:
    """The ranks of each unit of one query."""

    def complete(order: Iterable[tuple[int, Mask]]) -> list[int | None]:
        return _first_ranks(evidence, order, min_coverage)

    def of_ranking(positions: Sequence[int]) -> list[int | None]:
        return complete((rank, evidence.carriers.get(p, 0)) for rank, p in enumerate(positions, start=1))

    nowhere: list[int | None] = [None] * len(evidence.units)
    in_exact = nowhere
    if exact is not None:
        by_rank = sorted((rank, evidence.carriers[p]) for p, rank in exact.ranks.items())
        in_exact = complete(by_rank)
    in_retrieved = of_ranking(trace.positions(query.retrieved))
    in_reranked = nowhere if query.reranked is None else of_ranking(trace.positions(query.reranked))
    in_final = in_retrieved if query.reranked is None else in_reranked
    scores = [hit.score for hit in query.ranking]
    tied = [hangs_on_tie(scores, rank, trace.top_k) for rank in in_final]
    return tuple(map(UnitRanks, in_exact, in_retrieved, in_reranked, tied))


def _first_ranks(
    evidence: QueryEvidence, order: Iterable[tuple[int, Mask]], min_coverage: float
) -> list[int | None]:
    found: list[int | None] = [None] * len(evidence.units)
    atoms = 0
    for rank, mask in order:
        if mask | atoms == atoms:
            continue
        atoms |= mask
        for unit in np.flatnonzero(evidence.coverage(atoms) >= min_coverage).tolist():
            if found[unit] is None:
                found[unit] = rank
    return found
