"""One trial of the benchmark of verdicts: plant, diagnose, and lay what is said beside what is true."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from verdict_rules import RULES

from ragdiag import ConfigError, Diagnosis, Span, diagnose
from ragdiag.experiments.faults import FAULTS, Case, Fault, Planted, Truth, find_truth, plant
from ragdiag.experiments.faults.marks import Unit
from ragdiag.experiments.faults.truth import delivered_by
from ragdiag.stages.protocols import arms_of

__all__ = ["UNIDENTIFIABLE", "Outcomes", "UnitRecord", "class_of", "run_trial"]

SHARE = 0.3
"""Of the units, for faults that hit a share: two faults then mask each other at about 9% of them."""

_OF_DOCUMENTS = ("dropped_documents", "truncated_documents", "near_duplicate_flood")

SEVERITIES = {
    # These add or leave out whole documents, and other units with them: their usual share is enough.
    **{
        name: FAULTS[name].severity
        for name in ("dropped_documents", "truncated_documents", "near_duplicate_flood")
    },
    "fixed_split": 500,  # as long as the healthy chunks: it is the place of the cut that is wrong
    "small_budget": 0.05,  # no usual chunk fits: else another packer could still make do with it
}
"""Of other faults than those with `SHARE`, where it is not the usual one."""

UNIDENTIFIABLE = {
    "oversize": (
        "Joined chunks dilute what one vector says: a better embedder would mend it as a better chunker "
        "would, and nothing in the run tells which of the two was better before."
    ),
    "wrong label": (
        "Evidence that is marked at the wrong place is lost where the wrong place is lost: the run does not "
        "know the right one."
    ),
    "whole but elsewhere": (
        "The chunker was changed and left the evidence whole in one chunk; what stands around it, and what "
        "competes with it, is another, and its rank fell. An ideal embedder would rank it first."
    ),
    "crowded within": (
        "A flood of near-copies is the embedder's by convention. Where it leaves the chunk among the exact "
        "candidates, it is a later stage that loses it among its copies, and that is what the run shows."
    ),
    "made up for": (
        "Two searches are fused, the embedder's fault takes the chunk from one of them, and the other still "
        "has it, too low: the embedder lost it, or the fusion, and mending either is enough."
    ),
}
"""Classes of lost units that no data can tell apart, listed before anything is run."""


@dataclass(frozen=True)
class UnitRecord:
    """One lost unit: what is true of it, and what was said."""

    query_id: str
    unit: int
    fate: str
    truth: list[list[str]]
    stage: str
    cause: str
    proof: str
    blamed: list[str]
    repairs: list[list[str]]
    findings: list[str]
    unidentifiable: str
    rules: dict[str, str]


class Outcomes:
    """What each set of faults leaves delivered in a healthy case, run once."""

    def __init__(self) -> None:
        self._known: dict[tuple[tuple[str, float], ...], frozenset[Unit]] = {}

    def __call__(self, planted: Planted) -> frozenset[Unit]:
        """The units that are delivered with these faults."""
        key = tuple((fault.name, fault.severity) for fault in planted.faults)
        if key not in self._known:
            self._known[key] = delivered_by(planted)
        return self._known[key]


def fault_named(name: str) -> Fault:
    """A fault at the benchmark's severity."""
    fault = FAULTS[name]
    return fault.at(SEVERITIES.get(name, SHARE if fault.reach == "share" else fault.severity))


def run_trial(
    healthy: Case, names: Sequence[str], *, seed: int, outcomes: Outcomes, shapley: bool = True
) -> dict[str, Any]:
    """Plant some faults in a healthy case and diagnose it; plain values, for a file.

    ``skipped`` says why a fault cannot be planted there.
    """
    faults = [fault_named(name) for name in names]
    record: dict[str, Any] = {"faults": list(names), "stages": [fault.stage for fault in faults]}
    began = time.perf_counter()
    try:
        planted = plant(healthy, faults, seed=seed)
    except ConfigError as error:
        return record | {"skipped": str(error)}
    truths = find_truth(planted, delivered=outcomes)
    case = planted.case
    diagnosis = diagnose(
        case.pipeline,
        case.documents,
        case.queries,
        sources=case.sources,
        shapley=shapley,
        causes=len(names) == 1,
        progress=False,
    )
    losses, hard = diagnosis.losses, diagnosis.hard_losses
    said = float((losses["loss"] - losses["rescue"]).sum())
    counted = {unit for unit, row in zip(diagnosis.units, diagnosis.verdicts, strict=True) if row is not None}
    return record | {
        "units": len(diagnosis.units),
        "lost": len(counted),
        "lost_in_truth": len(truths),
        "hit": {name: len(units) for name, units in planted.hit.items()},
        "recall": diagnosis.recall,
        "hard_recall": diagnosis.hard_recall,
        "additivity_error": abs(said - (1 - diagnosis.recall)),
        "hard_losses": {str(stage): float(value) for stage, value in hard["loss"].items()},
        "true_loss": _true_loss(diagnosis, truths),
        "seconds": time.perf_counter() - began,
        "records": [asdict(one) for one in _records(planted, diagnosis, truths)],
    }


def _true_loss(diagnosis: Diagnosis, truths: Mapping[Unit, Truth]) -> float:
    """What the faults took of hard recall, by the runs alone."""
    weights = zip(diagnosis.units, diagnosis.unit_weights, strict=True)
    return float(sum(weight for unit, weight in weights if unit in truths))


def _records(planted: Planted, diagnosis: Diagnosis, truths: Mapping[Unit, Truth]) -> list[UnitRecord]:
    answers = {name: rule(diagnosis) for name, rule in RULES.items()}
    records = []
    for row, (unit, verdict) in enumerate(zip(diagnosis.units, diagnosis.verdicts, strict=True)):
        if verdict is None or unit not in truths:
            continue
        truth = truths[unit]
        records.append(
            UnitRecord(
                query_id=unit[0],
                unit=unit[1],
                fate=truth.fate,
                truth=[sorted(stages) for stages in truth.stages],
                stage=verdict.stage,
                cause=verdict.cause,
                proof=verdict.proof,
                blamed=list(verdict.blamed),
                repairs=[list(stages) for stages in verdict.repairs],
                findings=[finding.code for finding in verdict.findings],
                unidentifiable=class_of(planted, diagnosis, row),
                rules={name: answer[row] for name, answer in answers.items()},
            )
        )
    return records


def class_of(planted: Planted, diagnosis: Diagnosis, row: int) -> str:
    """The unidentifiable class of a lost unit, from what was planted and the chunks; or empty."""
    names = {fault.name for fault in planted.faults}
    stages = {fault.stage for fault in planted.faults}
    if "oversize_chunks" in names:
        return "oversize"
    if "offset_shift" in names:
        return "wrong label"
    position = int(diagnosis.ledger.owner[row])
    query, number = diagnosis.assessed[position], diagnosis.units[row][1]
    if (
        "chunker" in stages
        and len(names) == 1
        and _stands_whole(diagnosis, query.evidence[number].alternatives)
    ):
        return "whole but elsewhere"
    search = None if diagnosis.exact is None else diagnosis.exact[position]
    if search is None or stages != {"embedder"}:
        return ""
    if names == {"near_duplicate_flood"} and search.candidates:
        return "crowded within"
    beyond = any(search.ranks[at] > diagnosis.trace.candidates for at in search.candidates)
    return "made up for" if beyond and arms_of(planted.case.pipeline.retriever) else ""


def _stands_whole(diagnosis: Diagnosis, alternatives: Sequence[Sequence[Any]]) -> bool:
    """Whether every span of some alternative lies within one chunk."""
    chunks = diagnosis.trace.chunks
    return any(
        all(
            isinstance(part, Span)
            and any(
                own.doc_id == part.doc_id and own.start <= part.start and part.end <= own.end
                for chunk in chunks
                for own in chunk.spans
            )
            for part in alternative
        )
        for alternative in alternatives
    )
