"""What went wrong and what to do about it, as every face says it, of a whole diagnosis and of one unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ragdiag.diagnosis.cause_tables import main_causes
from ragdiag.diagnosis.checks.catalog import FLAGS
from ragdiag.diagnosis.result import Diagnosis
from ragdiag.diagnosis.verdicts import Finding, Sureness, Verdict
from ragdiag.report.escaping import cut, one_line
from ragdiag.report.figures import count, of_things
from ragdiag.report.values import rows_of
from ragdiag.report.words import sentence

__all__ = ["TITLE", "CauseOfUnit", "CauseRow", "Causes", "causes_of_unit"]

TITLE = "What went wrong, and what to do about it"

_ROWS = 8  # causes shown
_NAMES = 6  # codes named in one sentence
_REASONS = 3  # reasons why checks were not made, in one sentence
_OBSERVATION, _WHY, _ID = 400, 120, 80  # characters shown of what may quote a plug or a document

_SURENESS: Mapping[Sureness, str] = {
    "proven": "with this alone mended, the evidence came back, at least past its stage",
    "measured": "the numbers show it directly",
    "suspected": "the numbers fit, but they would fit another cause as well",
}


@dataclass(frozen=True, slots=True)
class CauseRow:
    """A cause of lost units.

    Attributes:
        code: ``stage.cause``.
        units, loss: how many lost units it is the main cause of, and what they cost of hard recall.
        meaning, remedy: what is wrong, and what to do; the remedy may be empty.
        observation: the numbers that show it; may be empty.
        source: how sure that is, and whose unit it is; empty where no check has seen it.
    """

    code: str
    units: int
    loss: float
    meaning: str
    observation: str
    source: str
    remedy: str


@dataclass(frozen=True)
class Causes:
    """The causes of a diagnosis as its faces show them."""

    diagnosis: Diagnosis

    @property
    def rows(self) -> Sequence[CauseRow]:
        """The causes that lost most; none where nothing was lost."""
        return [_row(row) for row in self._main[:_ROWS]]

    @property
    def legend(self) -> str:
        """How to read them, and how sure those are that checks have seen."""
        shown = {row["sureness"] for row in self._main[:_ROWS]}
        words = [f"{word.capitalize()}: {meaning}." for word, meaning in _SURENESS.items() if word in shown]
        figures = (
            "Units: lost units that it is the main cause of; loss: what they cost of hard recall. A unit for "
            "which several stages must be mended together counts for the cause at each."
        )
        return " ".join([figures, *words])

    @property
    def notes(self) -> Sequence[str]:
        """What else there is to know: further causes, and what was not checked; each in one sentence."""
        told = (self._further(), self._beside(), *self._flags(), self._not_checked())
        return [note for note in told if note]

    @cached_property
    def _table(self) -> list[dict[str, Any]]:
        return rows_of(self.diagnosis.causes.reset_index())

    @property
    def _main(self) -> list[dict[str, Any]]:
        return [row for row in self._table if row["main"]]

    def _further(self) -> str:
        left = self._main[_ROWS:]
        return f"{of_things(len(left), 'more cause')}: {_named(left, 'main')}." if left else ""

    def _beside(self) -> str:
        beside = [row for row in self._table if not row["main"]]
        return f"Also seen, but not as the main cause: {_named(beside, 'units')}." if beside else ""

    def _flags(self) -> Sequence[str]:
        return [
            f"{FLAGS[check.code].meaning} So it is with {count(check.found)} of "
            f"{of_things(check.looked_at, 'unit')} ({check.code}). {FLAGS[check.code].remedy}"
            for check in self.diagnosis.checks
            if check.code in FLAGS and check.status == "found"
        ]

    def _not_checked(self) -> str:
        """Of the stages to blame the causes that could not be looked for, by what is lacking."""
        blamed = {stage for verdict in self.diagnosis.verdicts if verdict for stage in verdict.blamed}
        lacking: dict[str, list[str]] = {}
        for check in self.diagnosis.checks:
            if check.status == "not applicable" and check.code.partition(".")[0] in blamed:
                lacking.setdefault(cut(one_line(check.why), _WHY), []).append(check.code)
        if not lacking:
            return ""
        shown = [f"{', '.join(codes)} ({why})" for why, codes in list(lacking.items())[:_REASONS]]
        rest = sum(len(codes) for codes in list(lacking.values())[_REASONS:])
        more = f"; and {count(rest)} more (diagnosis.check_table)" if rest else ""
        return f"Not checked: {'; '.join(shown)}{more}."


def _row(row: Mapping[str, Any]) -> CauseRow:
    observation = cut(one_line(row["observation"]), _OBSERVATION)
    query = cut(one_line(row["example"]), _ID)
    return CauseRow(
        code=cut(one_line(row["code"]), _ID),
        units=row["main"],
        loss=row["main_loss"],
        meaning=sentence(cut(one_line(row["meaning"]), _OBSERVATION)),
        observation=observation and sentence(observation),
        source=row["sureness"] and f"{row['sureness']}, query {query}",
        remedy=row["remedy"],
    )


def _named(rows: Sequence[Mapping[str, Any]], units: str) -> str:
    """Causes by their codes, each with its number of units, and how many more there are."""
    names = [f"{row['code']} ({row[units]})" for row in rows[:_NAMES]]
    more = [f"{count(len(rows) - _NAMES)} more (diagnosis.causes)"] if len(rows) > _NAMES else []
    return ", ".join([*names, *more])


# One unit


@dataclass(frozen=True, slots=True)
class CauseOfUnit:
    """A cause of one lost unit.

    Attributes:
        title: what it is to the verdict, such as "Cause", and its code.
        meaning: what is wrong.
        observation: the numbers that show it, and how sure that is; empty where no check has seen it.
        remedy: what to do about it; empty where nothing can be said.
    """

    title: str
    meaning: str
    observation: str
    remedy: str


def causes_of_unit(verdict: Verdict) -> Sequence[CauseOfUnit]:
    """What the verdict comes down to, and after it what else was seen."""
    known = verdict.proof in ("verified", "joint")
    main = main_causes(verdict)
    told = [
        CauseOfUnit(
            title=f"{'Cause' if known else 'Apparent cause'}: {cut(one_line(one.cause.code), _ID)}",
            meaning=sentence(cut(one_line(one.cause.meaning), _OBSERVATION)),
            observation=_seen(one.finding),
            remedy=one.cause.remedy and f"{'To do' if known else 'What may help'}: {one.cause.remedy}",
        )
        for one in main
    ]
    codes = {one.cause.code for one in main}
    beside = [
        CauseOfUnit(f"Also seen: {finding.code}", "", _seen(finding), "")
        for finding in verdict.findings
        if finding.code not in codes
    ]
    return [*told, *beside]


def _seen(finding: Finding | None) -> str:
    if finding is None:
        return ""
    return f"Seen ({finding.sureness}): {sentence(cut(one_line(finding.observation), _OBSERVATION))}"
