"""Who lost a unit, by simpler rules than ragdiag's: what does verification buy?

Each rule sees the same run, and the ledger's or the re-runs' numbers as far as it would have them, and names
one stage, or none (``""``).

    overlap funnel     the first stage behind which no chunk even touches the evidence
    first loss         the stage of the unit's first drop in the ledger
    last loss          the stage of its last drop: the ledger's label, without any re-run
    largest lift       of the stages that bring it back when made ideal alone, the one that gains most in all
    Shapley top        the stage with the largest Shapley value over all sets of ideal stages
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from ragdiag import Chunk, Diagnosis, Query, Span
from ragdiag.diagnosis.cause_tables import lost_units
from ragdiag.stages.protocols import STAGES

__all__ = ["RULES", "Rule"]

Rule = Callable[[Diagnosis], Mapping[int, str]]
"""From a diagnosis with Shapley values to the stage that each lost unit is laid to, by its row."""


def overlap_funnel(diagnosis: Diagnosis) -> dict[int, str]:
    """As tools do that follow a passage by its overlap: present, indexed, retrieved, reranked, delivered."""
    trace = diagnosis.trace
    found = {}
    for row, _ in lost_units(diagnosis):
        position = int(diagnosis.ledger.owner[row])
        query, number = diagnosis.assessed[position], diagnosis.units[row][1]
        touching = {at for at, chunk in enumerate(trace.chunks) if _touches(chunk, query, number)}
        record = trace[query.id]
        ids = {trace.chunks[at].id for at in touching}
        exact = () if diagnosis.exact is None else diagnosis.exact[position].candidates
        documents = {document.id for document in diagnosis.documents}
        steps = {
            "ingest": any(
                set(_doc_ids(alternative)) <= documents for alternative in _alternatives(query, number)
            ),
            "chunker": bool(touching),
            "embedder": diagnosis.exact is None or not touching.isdisjoint(exact),
            "retriever": any(hit.chunk_id in ids for hit in record.retrieved),
            "reranker": any(hit.chunk_id in ids for hit in record.ranking[: trace.top_k]),
            "packer": any(_touches(chunk, query, number) for chunk in record.context),
        }
        found[row] = next((stage for stage, passed in steps.items() if not passed), "")
    return found


def _alternatives(query: Query, number: int) -> Iterable[tuple[Span, ...]]:
    for alternative in query.evidence[number].alternatives:
        yield tuple(part for part in alternative if isinstance(part, Span))


def _doc_ids(parts: Iterable[Span]) -> list[str]:
    return [part.doc_id for part in parts]


def _touches(chunk: Chunk, query: Query, number: int) -> bool:
    return any(
        own.doc_id == part.doc_id and own.start < part.end and part.start < own.end
        for alternative in _alternatives(query, number)
        for part in alternative
        for own in chunk.spans
    )


def first_loss(diagnosis: Diagnosis) -> dict[int, str]:
    """The ledger read from its beginning, and whatever was regained later."""
    ledger = diagnosis.ledger
    return {
        row: ledger.checkpoints[int(np.argmax(ledger.hard[row] < 1))].stage or ""
        for row, _ in lost_units(diagnosis)
    }


def last_loss(diagnosis: Diagnosis) -> dict[int, str]:
    """The ledger's labels."""
    return {row: verdict.observed for row, verdict in lost_units(diagnosis)}


def largest_lift(diagnosis: Diagnosis) -> dict[int, str]:
    """As tools do that replace one stage by an oracle and look what the whole gains."""
    lost = dict(lost_units(diagnosis))
    alone = {
        row: [t.ideal[0] for t in verdict.trials if t.recovered and len(t.ideal) == 1 and not t.variant]
        for row, verdict in lost.items()
    }
    gains = {stage: sum(stage in stages for stages in alone.values()) for stage in STAGES}
    return {row: max(stages, key=gains.__getitem__, default="") for row, stages in alone.items()}


def shapley_top(diagnosis: Diagnosis) -> dict[int, str]:
    """The order-free share of the blame; of equal shares the earliest stage's."""
    return {
        row: max(verdict.shapley, key=verdict.shapley.__getitem__)
        if verdict.shapley and max(verdict.shapley.values()) > 0
        else ""
        for row, verdict in lost_units(diagnosis)
    }


RULES: Mapping[str, Rule] = {
    "overlap funnel": overlap_funnel,
    "first loss": first_loss,
    "last loss": last_loss,
    "largest lift": largest_lift,
    "Shapley top": shapley_top,
}
