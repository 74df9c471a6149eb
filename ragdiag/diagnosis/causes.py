"""What went wrong at a stage, in a word, as far as the run itself shows it.

    ingest     missing         the documents do not hold the source's text
    chunker    dropped_text    no chunk holds it
    capacity   k               k chunks cannot carry it
               budget          k chunks could, but not within the token budget
    embedder   ranked_low      an exact search does not have it among its candidates
    retriever  missed          an exact search has it, the real one has not
    reranker   demoted         it was complete within the top k before
               not_promoted    it was among the candidates, below
    packer     cut             its chunks are in the context, shortened
               dropped         they are not

Re-runs may find another cause: ``split``, ``truncated``, ``masked``, ``oversize`` (see `findings`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ragdiag.diagnosis.capacity import Goal, best_set
from ragdiag.diagnosis.evidence import Mask, QueryEvidence
from ragdiag.diagnosis.ledger import Ledger
from ragdiag.diagnosis.ranks import UnitRanks
from ragdiag.diagnosis.verdicts import Verdict
from ragdiag.trace import QueryTrace, Trace

__all__ = ["observe"]

NOT_RUN_AGAIN = "The ledger saw the loss there; nothing was run again to prove it."


def observe(
    trace: Trace,
    ledger: Ledger,
    evidence: Sequence[QueryEvidence],
    ranks: Sequence[Sequence[UnitRanks]],
    *,
    min_coverage: float,
) -> tuple[Verdict | None, ...]:
    """For each unit of the ledger what the run itself says of its loss, None where it was delivered.

    Args:
        trace: the run.
        ledger: its ledger.
        evidence: of each query of the ledger.
        ranks: of each query of the ledger those of its units.
        min_coverage: the coverage from which a unit counts as delivered.
    """
    verdicts: list[Verdict | None] = []
    for query_id, of_query, of_units in zip(ledger.query_ids, evidence, ranks, strict=True):
        for number, of_unit in enumerate(of_units):
            stage = ledger.label(len(verdicts))
            if stage is None:
                verdicts.append(None)
                continue
            kept = ledger.hard[len(verdicts) - number :, -1][: len(of_units)]
            seen = _Seen(trace, trace[query_id], of_query, number, of_unit, min_coverage, kept)
            cause = _cause(stage, seen)
            verdicts.append(Verdict(stage, cause, "observed", observed=stage, reason=NOT_RUN_AGAIN))
    return tuple(verdicts)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the run shows of one unit; ``kept`` is 1 for each unit of its query that was delivered."""

    trace: Trace
    query: QueryTrace
    evidence: QueryEvidence
    number: int
    ranks: UnitRanks
    min_coverage: float
    kept: NDArray[np.float64]

    def delivered_by(self, atoms: Mask) -> bool:
        return bool(self.evidence.coverage(atoms)[self.number] >= self.min_coverage)


def _cause(stage: str, seen: _Seen) -> str:
    if stage == "capacity":
        return "budget" if _fits_without_budget(seen) else "k"
    if stage == "reranker":
        before = seen.ranks.retrieved
        return "not_promoted" if before is None or before > seen.trace.top_k else "demoted"
    if stage == "packer":
        whole = seen.evidence.mask_of(seen.trace.position[chunk.id] for chunk in seen.query.context)
        return "cut" if seen.delivered_by(whole) else "dropped"
    return {
        "ingest": "missing",
        "chunker": "dropped_text",
        "embedder": "ranked_low",
        "retriever": "missed",
    }[stage]


def _fits_without_budget(seen: _Seen) -> bool:
    """Whether k chunks could deliver the unit beside the query's others if tokens did not count."""
    if seen.trace.budget is None:
        return False
    goal = Goal("hard", seen.min_coverage, seen.trace.top_k)
    best = best_set(seen.evidence, seen.evidence.carriers, goal, keep=seen.kept)
    return seen.delivered_by(best.atoms)
