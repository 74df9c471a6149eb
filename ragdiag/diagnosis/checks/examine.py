"""All checks over the lost units of a diagnosis, what each verdict is then called by, and all flags.

A verdict is called by the surest and most particular finding of its stage. Where no check has one, what the
ledger or the re-runs call it becomes a finding, so that every verdict comes with the numbers that show it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import get_args

from ragdiag.diagnosis.attempts import Allowance, Void
from ragdiag.diagnosis.checks import chunks, context, labels, meaning, order, searches, vectors
from ragdiag.diagnosis.checks.bench import Bench, Loss
from ragdiag.diagnosis.checks.catalog import CAUSES
from ragdiag.diagnosis.checks.check import Check, CheckOutcome, Delivered, Flag, NotApplicable, Status
from ragdiag.diagnosis.checks.observed import code_of, observe_loss
from ragdiag.diagnosis.evidence import EvidenceMap
from ragdiag.diagnosis.repairs import LostUnit
from ragdiag.diagnosis.reruns import Pairs
from ragdiag.diagnosis.result import Diagnosis
from ragdiag.diagnosis.verdicts import Finding, Sureness, Verdict
from ragdiag.index import Index
from ragdiag.records import Chunk, Query
from ragdiag.trace import Trace

__all__ = ["CHECKS", "FLAGS", "examine"]

CHECKS: tuple[Check, ...] = (
    *labels.CHECKS,
    *chunks.CHECKS,
    *vectors.CHECKS,
    *meaning.CHECKS,
    *searches.CHECKS,
    *order.CHECKS,
    *context.CHECKS,
)
FLAGS: tuple[Flag, ...] = (*context.FLAGS,)

_ORDER: Mapping[str, int] = {code: place for place, code in enumerate(CAUSES)}
_SURENESS: tuple[Sureness, ...] = get_args(Sureness)  # the surest first


def examine(
    diagnosis: Diagnosis,
    index: Index,
    evidence_map: EvidenceMap,
    units: Sequence[LostUnit],
    *,
    pairs: Pairs,
    allowance: Allowance,
    checks: Sequence[Check] = CHECKS,
    flags: Sequence[Flag] = FLAGS,
) -> Diagnosis:
    """The diagnosis with the findings of all checks in its verdicts, and what became of each check and flag.

    Args:
        diagnosis: with its verdicts proven.
        index: the pipeline over the documents; it is asked again.
        evidence_map: of the run.
        units: its lost units, in the order of the ledger.
        pairs: scores pairs, and remembers those of the re-runs.
        allowance: how many texts and pairs may still be asked of the models.
        checks: which to make, in this order.
        flags: which to look for among the delivered units, after them.
    """
    losses = [_loss(diagnosis, unit) for unit in units]
    bench = Bench(diagnosis, index, evidence_map, losses, pairs=pairs, allowance=allowance)
    found: dict[int, list[Finding]] = {loss.unit.unit: [] for loss in losses}
    outcomes = [_make(check, bench, losses, found) for check in checks]
    verdicts = list(diagnosis.verdicts)
    for loss in losses:
        called = _called(loss.verdict, found[loss.unit.unit])
        verdicts[loss.unit.unit] = _with_own_finding(bench, loss, called)
    outcomes += _flags_raised(diagnosis, evidence_map, flags)
    return replace(diagnosis, verdicts=tuple(verdicts), checks=tuple(outcomes))


def _loss(diagnosis: Diagnosis, unit: LostUnit) -> Loss:
    verdict = diagnosis.verdicts[unit.unit] or unit.observed
    ranks = diagnosis.outcomes[int(diagnosis.ledger.owner[unit.unit])].ranks[unit.number]
    return Loss(unit, verdict, ranks)


def _make(
    check: Check, bench: Bench, losses: Sequence[Loss], found: Mapping[int, list[Finding]]
) -> CheckOutcome:
    """Make one check at every loss that it is for; what it finds is added to ``found``."""
    looked_at = hits = 0
    why = ""
    at = [loss for loss in losses if not set(loss.verdict.blamed).isdisjoint(check.at)]
    if not at:
        why = f"no loss is blamed on {' or '.join(f'the {stage}' for stage in check.at)}"
    for loss in at:
        try:
            finding = check.look(bench, loss)
        except NotApplicable as lacking:
            why = why or str(lacking)
            continue
        except Void as void:
            why = why or void.reason
            continue
        looked_at += 1
        if finding is not None:
            hits += 1
            found[loss.unit.unit].append(finding)
    status: Status = "found" if hits else "silent" if looked_at else "not applicable"
    return CheckOutcome(check.code, status, looked_at, hits, why)


def _called(verdict: Verdict, findings: Sequence[Finding]) -> Verdict:
    """The verdict with its findings, called by the surest and most particular of its own stage.

    What the ledger or the re-runs call it stays where no check says more, where several stages are to blame
    together, and where the stage is not determined.
    """
    ordered = sorted(findings, key=lambda finding: (_SURENESS.index(finding.sureness), _ORDER[finding.code]))
    own = next((finding for finding in ordered if finding.stage == verdict.stage), None)
    if own is None or verdict.proof in ("joint", "undetermined", "unreproducible"):
        return replace(verdict, findings=tuple(ordered))
    ordered.remove(own)
    return replace(verdict, cause=own.cause, findings=(own, *ordered))


def _with_own_finding(bench: Bench, loss: Loss, called: Verdict) -> Verdict:
    """The verdict with a finding of what it is called by; where several stages are, of any of them."""
    if called.proof == "joint" and any(finding.stage in called.blamed for finding in called.findings):
        return called
    so_called = replace(loss, verdict=called)
    if any(finding.code == code_of(so_called) for finding in called.findings):
        return called
    return replace(called, findings=(observe_loss(bench, so_called), *called.findings))


# Flags


def _flags_raised(
    diagnosis: Diagnosis, evidence_map: EvidenceMap, flags: Sequence[Flag]
) -> list[CheckOutcome]:
    delivered = {
        unit: of_unit
        for position, query in enumerate(diagnosis.assessed)
        for unit, of_unit in _delivered(diagnosis, evidence_map, position, query)
    }
    return [_raise(flag, diagnosis, delivered) for flag in flags]


def _delivered(
    diagnosis: Diagnosis, evidence_map: EvidenceMap, position: int, query: Query
) -> Iterator[tuple[int, Delivered]]:
    """The delivered units of a query, by their rows in the ledger."""
    kept = [unit for unit in diagnosis.ledger.units_of([position]) if diagnosis.verdicts[unit] is None]
    if not kept:
        return
    context = diagnosis.trace[query.id].context
    evidence, tokens = evidence_map.of(query, context), _tokens(diagnosis.trace, context)
    for unit in kept:
        yield unit, Delivered(evidence, diagnosis.units[unit][1], diagnosis.min_coverage, tokens)


def _tokens(trace: Trace, context: Sequence[Chunk]) -> tuple[int, ...] | None:
    """What each chunk of a context takes; of a shortened one as large a share as of its characters."""
    if trace.chunk_tokens is None:
        return None
    whole = [trace.position[chunk.id] for chunk in context]
    return tuple(
        trace.chunk_tokens[p] * len(chunk.text) // max(len(trace.chunks[p].text), 1)
        for p, chunk in zip(whole, context, strict=True)
    )


def _raise(flag: Flag, diagnosis: Diagnosis, delivered: Mapping[int, Delivered]) -> CheckOutcome:
    looked_at = 0
    why = "" if delivered else "no evidence is delivered"
    found = []
    for unit, of_unit in delivered.items():
        try:
            is_seen = flag.look(of_unit)
        except NotApplicable as lacking:
            why = why or str(lacking)
            continue
        looked_at += 1
        if is_seen:
            found.append(diagnosis.units[unit])
    status: Status = "found" if found else "silent" if looked_at else "not applicable"
    if found:
        why = ", ".join(f"unit {number} of query {query_id!r}" for query_id, number in found)
    return CheckOutcome(flag.code, status, looked_at, len(found), why)
