"""All checks over the lost units of a diagnosis, and the cause that each verdict is then called by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ragdiag.diagnosis.attempts import Allowance, Void
from ragdiag.diagnosis.checks import chunks, context, labels, meaning, order, searches, vectors
from ragdiag.diagnosis.checks.bench import Bench, Loss
from ragdiag.diagnosis.checks.catalog import CAUSES
from ragdiag.diagnosis.checks.check import Check, CheckOutcome, NotApplicable, Status
from ragdiag.diagnosis.evidence import EvidenceMap
from ragdiag.diagnosis.repairs import LostUnit
from ragdiag.diagnosis.result import Diagnosis
from ragdiag.diagnosis.verdicts import Finding, Sureness, Verdict
from ragdiag.index import Index

__all__ = ["CHECKS", "examine"]

CHECKS: tuple[Check, ...] = (
    *labels.CHECKS,
    *chunks.CHECKS,
    *vectors.CHECKS,
    *meaning.CHECKS,
    *searches.CHECKS,
    *order.CHECKS,
    *context.CHECKS,
)

_ORDER: Mapping[str, int] = {code: place for place, code in enumerate(CAUSES)}
_SURENESS: tuple[Sureness, ...] = ("proven", "measured", "suspected")


def examine(
    diagnosis: Diagnosis,
    index: Index,
    evidence_map: EvidenceMap,
    units: Sequence[LostUnit],
    allowance: Allowance,
    *,
    checks: Sequence[Check] = CHECKS,
) -> Diagnosis:
    """The diagnosis with the findings of all checks in its verdicts, and what became of each check.

    Args:
        diagnosis: with its verdicts proven.
        index: the pipeline over the documents; it is asked again.
        evidence_map: of the run.
        units: its lost units, in the order of the ledger.
        allowance: how many texts and pairs may still be asked of the models.
        checks: which to make, in this order.
    """
    losses = [_loss(diagnosis, unit) for unit in units]
    bench = Bench(diagnosis, index, evidence_map, losses, allowance)
    found: dict[int, list[Finding]] = {loss.unit.unit: [] for loss in losses}
    outcomes = [_make(check, bench, losses, found) for check in checks]
    verdicts = list(diagnosis.verdicts)
    for loss in losses:
        verdicts[loss.unit.unit] = _called(loss.verdict, found[loss.unit.unit])
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
