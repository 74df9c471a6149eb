"""Tables of named causes: each lost unit with its own, how often each is seen, and what became of the checks.

A verdict has one main cause; where several stages are to blame together, one for each of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, get_args

from ragdiag.diagnosis.checks.catalog import CAUSES, Cause
from ragdiag.diagnosis.verdicts import Finding, Sureness, Verdict
from ragdiag.records import Query, Span

if TYPE_CHECKING:
    import pandas as pd

    from ragdiag.diagnosis.result import Diagnosis

__all__ = [
    "MainCause",
    "cause_table",
    "check_table",
    "failure_table",
    "lost_units",
    "main_causes",
    "name_cause",
]

_SUREST_FIRST = get_args(Sureness)
_SETS = 3  # sets of stages named in one observation
_RANKS = ("rank_exact", "rank_retrieved", "rank_reranked")
_FAILURE_COLUMNS = [
    "query_id",
    "unit",
    "stage",
    "cause",
    "proof",
    "coverage",
    "repairs",
    *_RANKS,
    "tied",
    "observed",
    "reason",
    "observation",
    "remedy",
    "findings",
    "query",
    "evidence",
]
_CAUSE_COLUMNS = [
    "code",
    "units",
    "loss",
    "main",
    "main_loss",
    "sureness",
    "meaning",
    "observation",
    "example",
    "remedy",
]
_CHECK_COLUMNS = ["code", "status", "looked_at", "found", "why"]


# What a verdict comes down to


@dataclass(frozen=True, slots=True)
class MainCause:
    """A cause that a verdict is called by, and the finding that shows it; None where no check has seen it."""

    cause: Cause
    finding: Finding | None


def main_causes(verdict: Verdict) -> tuple[MainCause, ...]:
    """The cause of the stage that is to blame; of stages that are to blame together the surest of each.

    Where no check says what is wrong at one of those, it is said last that all of them must be mended.
    """
    own = name_cause(verdict.stage, verdict.cause)
    if verdict.proof != "joint":
        finding = next((found for found in verdict.findings if found.code == own.code), None)
        return (MainCause(own, finding),)
    by_stage = {found.stage: found for found in reversed(verdict.findings)}  # the first of each stage stays
    seen = [MainCause(CAUSES[by_stage[s].code], by_stage[s]) for s in verdict.blamed if s in by_stage]
    if seen and len(seen) == len(verdict.blamed):
        return tuple(seen)
    remedy = f"Mend these together, one alone changes nothing: {_all_of(verdict.blamed)}."
    return (*seen, MainCause(replace(own, remedy=remedy), None))


def _all_of(stages: Sequence[str]) -> str:
    return " + ".join(stages)


def name_cause(stage: str, cause: str) -> Cause:
    """What a verdict's stage and cause mean, and what to do; the bare word where no catalog has it."""
    code = f"{stage}.{cause}"
    if cause == "masked":
        return Cause(
            code,
            "Several faults hide each other.",
            "Mend all of the stages that are to blame together, one alone changes nothing.",
        )
    if cause == "oversize":  # whether the chunker or the embedder is to blame is not known
        return CAUSES["chunker.oversize"]
    return CAUSES.get(code) or Cause(code, cause, "")


# A row a lost unit


def lost_units(diagnosis: Diagnosis) -> Iterator[tuple[int, Verdict]]:
    """Each lost unit by its row of the ledger, with its verdict."""
    return ((unit, verdict) for unit, verdict in enumerate(diagnosis.verdicts) if verdict is not None)


def failure_table(diagnosis: Diagnosis) -> pd.DataFrame:
    """A row for each lost unit; see `Diagnosis.failures`."""
    import pandas as pd

    rows = []
    for unit, verdict in lost_units(diagnosis):
        position = int(diagnosis.ledger.owner[unit])
        query, (_, number) = diagnosis.assessed[position], diagnosis.units[unit]
        ranks = diagnosis.outcomes[position].ranks[number]
        main = main_causes(verdict)
        rows.append(
            {
                "query_id": query.id,
                "unit": number,
                "stage": verdict.stage,
                "cause": verdict.cause,
                "proof": verdict.proof,
                "coverage": diagnosis.ledger.soft[unit, -1],
                "repairs": verdict.repairs,
                "rank_exact": ranks.exact,
                "rank_retrieved": ranks.retrieved,
                "rank_reranked": ranks.reranked,
                "tied": ranks.tied,
                "observed": verdict.observed,
                "reason": verdict.reason,
                "observation": " ".join(one.finding.observation for one in main if one.finding),
                "remedy": " ".join(one.cause.remedy for one in main),
                "findings": tuple(finding.code for finding in verdict.findings),
                "query": query.text,
                "evidence": _evidence_text(diagnosis, query, number),
            }
        )
    table = pd.DataFrame(rows, columns=_FAILURE_COLUMNS)
    ranks_type = dict.fromkeys(_RANKS, "Int64")
    return table.astype({"unit": "int64", "coverage": "float64", "tied": "bool", **ranks_type})


def _evidence_text(diagnosis: Diagnosis, query: Query, number: int) -> str:
    parts = query.evidence[number].alternatives[0]
    return " … ".join(
        diagnosis.sources[part.doc_id].text[part.start : part.end]
        if isinstance(part, Span)
        else f"(document {part.doc_id})"
        for part in parts
    )


# A row a cause


@dataclass(slots=True)
class _Tally:
    """One cause with the lost units that have it, and those of them that it is a main cause of.

    ``together`` counts the sets of stages that hide each other's faults.
    """

    cause: Cause
    units: dict[int, Finding | None] = field(default_factory=dict)
    main: dict[int, Finding | None] = field(default_factory=dict)
    together: Counter[tuple[str, ...]] = field(default_factory=Counter)

    @property
    def example(self) -> tuple[int, Finding | None]:
        """The unit that shows it best, with what shows it: of those that it is a main cause of the surest."""
        shown = self.main or self.units
        return min(shown.items(), key=lambda item: _doubt(item[1]))

    @property
    def observation(self) -> str:
        """The numbers that show it."""
        _, finding = self.example
        if finding is not None or not self.together:
            return finding.observation if finding else ""
        ordered = sorted(self.together.items(), key=lambda item: (-item[1], item[0]))
        sets = [f"{_all_of(stages)} ({units})" for stages, units in ordered[:_SETS]]
        rest = sum(units for _, units in ordered[_SETS:])
        return f"To be mended together, by units: {', '.join([*sets, *[f'others ({rest})'] * bool(rest)])}."


def _doubt(finding: Finding | None) -> int:
    return len(_SUREST_FIRST) if finding is None else _SUREST_FIRST.index(finding.sureness)


def cause_table(diagnosis: Diagnosis) -> pd.DataFrame:
    """A row for each cause; see `Diagnosis.causes`."""
    import pandas as pd

    weights = diagnosis.unit_weights
    rows = []
    for tally in _tallies(diagnosis):
        unit, finding = tally.example
        rows.append(
            {
                "code": tally.cause.code,
                "units": len(tally.units),
                "loss": float(sum(weights[unit] for unit in tally.units)),
                "main": len(tally.main),
                "main_loss": float(sum(weights[unit] for unit in tally.main)),
                "sureness": finding.sureness if finding else "",
                "meaning": tally.cause.meaning,
                "observation": tally.observation,
                "example": diagnosis.units[unit][0],
                "remedy": tally.cause.remedy,
            }
        )
    table = pd.DataFrame(rows, columns=_CAUSE_COLUMNS)
    types = {"units": "int64", "loss": "float64", "main": "int64", "main_loss": "float64"}
    table = table.astype(types).sort_values("code", ignore_index=True)
    # Rounded, since sums of the same weights in another order are the same loss.
    most_first = (-table["main_loss"].round(12)).sort_values(kind="stable").index
    return table.loc[most_first].set_index("code")


def _tallies(diagnosis: Diagnosis) -> list[_Tally]:
    tallies: dict[str, _Tally] = {}

    def of(cause: Cause) -> _Tally:
        return tallies.setdefault(cause.code, _Tally(cause))

    for unit, verdict in lost_units(diagnosis):
        for main in main_causes(verdict):
            tally = of(main.cause)
            tally.main[unit] = tally.units[unit] = main.finding
            if verdict.proof == "joint" and main.finding is None:
                # The remedy of one unit names its stages; that of the cause cannot.
                tally.cause = name_cause(verdict.stage, verdict.cause)
                tally.together[verdict.blamed] += 1
        for finding in verdict.findings:
            of(CAUSES[finding.code]).units.setdefault(unit, finding)
    return list(tallies.values())


# A row a check


def check_table(diagnosis: Diagnosis) -> pd.DataFrame:
    """A row for each check; see `Diagnosis.check_table`."""
    import pandas as pd

    rows = [(check.code, check.status, check.looked_at, check.found, check.why) for check in diagnosis.checks]
    table = pd.DataFrame(rows, columns=_CHECK_COLUMNS)
    return table.astype({"looked_at": "int64", "found": "int64"}).set_index("code")
