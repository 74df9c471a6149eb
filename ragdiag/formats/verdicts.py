"""The verdicts of a diagnosis, and the checks for causes, to and from the lines of its file.

What the ledger observed is worked out anew from the trace; what re-runs proved and checks found cannot be,
and is written: a line a lost unit, in the order of the ledger, and a line a check, in the order of making.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from ragdiag.diagnosis.checks.check import CheckOutcome
from ragdiag.diagnosis.result import Diagnosis
from ragdiag.diagnosis.verdicts import Effort, Finding, Trial, Verdict
from ragdiag.errors import DataError
from ragdiag.formats.jsonl import located

if TYPE_CHECKING:
    from ragdiag.formats.saved_file import SavedFile
    from ragdiag.formats.saved_lines import EffortRecord, TrialRecord, VerdictLine

__all__ = ["check_lines", "read_checks", "read_verdicts", "verdict_lines"]


def verdict_lines(diagnosis: Diagnosis) -> Iterator[dict[str, Any]]:
    """A line for each lost unit; none where nothing was run again."""
    if diagnosis.effort is None:
        return
    for row, verdict in enumerate(diagnosis.verdicts):
        if verdict is not None:
            query_id, number = diagnosis.units[row]
            yield {
                "kind": "verdict",
                "row": row,
                "query_id": query_id,
                "unit": number,
                "stage": verdict.stage,
                "cause": verdict.cause,
                "proof": verdict.proof,
                "repairs": [list(stages) for stages in verdict.repairs],
                "reason": verdict.reason,
                "trials": [{**asdict(trial), "ideal": list(trial.ideal)} for trial in verdict.trials],
                "shapley": None if verdict.shapley is None else dict(verdict.shapley),
                "findings": [asdict(finding) for finding in verdict.findings],
            }


def check_lines(diagnosis: Diagnosis) -> Iterator[dict[str, Any]]:
    """A line for each check; none where none was made."""
    return ({"kind": "check", **asdict(outcome)} for outcome in diagnosis.checks)


def read_verdicts(file: SavedFile, effort: EffortRecord, observed: Diagnosis) -> Diagnosis:
    """``observed`` with the verdicts that the next lines hold.

    Raises:
        DataError: the lines are not those of its lost units, or name a stage that the pipeline has not.
    """
    from ragdiag.formats.saved_lines import VerdictLine  # pydantic is heavy

    verdicts = list(observed.verdicts)
    lost = observed.ledger.lost
    for unit, (place, line) in zip(lost, file.section(VerdictLine, len(lost)), strict=True):
        with located(place):
            if line.row != unit:
                raise DataError(f"row: expected {unit}, the next lost unit of the ledger, got {line.row}")
            verdicts[unit] = _verdict(line, verdicts[unit], observed.ledger.stages)
    return replace(observed, verdicts=tuple(verdicts), effort=Effort(**effort.model_dump()))


def read_checks(file: SavedFile, count: int) -> tuple[CheckOutcome, ...]:
    """What became of the checks, by the next ``count`` lines.

    Raises:
        DataError: the lines are not those of checks, or name a cause that is not known.
    """
    from ragdiag.formats.saved_lines import CheckLine  # pydantic is heavy

    return tuple(CheckOutcome(**line.model_dump()) for _, line in file.section(CheckLine, count))


def _verdict(line: VerdictLine, observed: Verdict | None, stages: tuple[str, ...]) -> Verdict:
    if observed is None:
        raise DataError(f"row: unit {line.row} was delivered")
    sets = [*line.repairs, *(trial.ideal for trial in line.trials)]
    named = {line.stage, *(stage for ideal in sets for stage in ideal), *(line.shapley or {})}
    unknown = sorted(named - set(stages))
    if unknown:
        raise DataError(f"stage: the pipeline has no {unknown[0]!r}, it has {', '.join(stages)}")
    return replace(
        observed,
        stage=line.stage,
        cause=line.cause,
        proof=line.proof,
        repairs=tuple(map(tuple, line.repairs)),
        reason=line.reason,
        trials=tuple(map(_trial, line.trials)),
        shapley=line.shapley,
        findings=tuple(Finding(**record.model_dump()) for record in line.findings),
    )


def _trial(record: TrialRecord) -> Trial:
    return Trial(**{**record.model_dump(), "ideal": tuple(record.ideal)})
