"""What every face says about a gate: the same numbers, in the same order, in the same words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from ragdiag.diagnosis.compare import CHANGES
from ragdiag.experiments.gate.baseline import versions
from ragdiag.experiments.gate.judging import Judgement
from ragdiag.experiments.gate.result import GateResult
from ragdiag.measures.paired import FEWEST_QUERIES
from ragdiag.report.escaping import cut_middle, one_line
from ragdiag.report.figures import MISSING, count, of_things, percent, share, signed
from ragdiag.report.values import rows_of
from ragdiag.report.words import GLOSSES, enumerate_words, the
from ragdiag.store import without_address

__all__ = ["GateFlip", "GateStage", "GateStory"]

_EQUAL = 1e-9  # what differs by less is the same
_TEXT = 200  # characters shown of a stage's repr
_CHANGED = {
    "lost": "delivered then",
    "regained": "lost then",
    "moved": "lost then, at another stage",
}


@dataclass(frozen=True, slots=True)
class GateStage:
    """What a stage lost of recall then and now, in figures.

    Attributes:
        stage: which.
        before, now: what it lost; a dash where the pipeline has no such stage.
        difference, bounds: by how much it loses more.
        worse: whether it surely loses more.
    """

    stage: str
    before: str
    now: str
    difference: str
    bounds: str
    worse: bool


@dataclass(frozen=True, slots=True)
class GateFlip:
    """A unit of evidence with another fate than then.

    Attributes:
        query_id, unit: which.
        change: one of ``lost``, ``regained`` and ``moved``.
        before, now: ``delivered``, or the stage that lost it.
        query: its text.
    """

    query_id: str
    unit: int
    change: str
    before: str
    now: str
    query: str


@dataclass(frozen=True)
class GateStory:
    """A gate's result as its faces show it."""

    result: GateResult

    # The verdict

    @property
    def headline(self) -> str:
        """May it ship?"""
        judgements = self.result.judgements
        verdicts = [judgement.verdict for judgement in judgements]
        checks = of_things(len(verdicts), "check")
        if self.result.verdict == "pass":
            return f"It may ship: {'the one check passes' if len(verdicts) == 1 else f'all {checks} pass'}."
        if self.result.verdict == "fail":
            failed = verdicts.count("fail")
            return f"It may not ship: {count(failed)} of {checks} {'fails' if failed == 1 else 'fail'}."
        return (
            f"It cannot be told whether it may ship: {count(verdicts.count('cannot tell'))} of {checks} can "
            f"neither pass nor fail with {self.queries}."
        )

    @property
    def queries(self) -> str:
        """How many queries judged."""
        return of_things(len(self.result.diagnosis.assessed), "query", "queries")

    @property
    def bars(self) -> Sequence[Judgement]:
        """What was judged by a bar."""
        return [judgement for judgement in self.result.judgements if judgement.against == "bar"]

    @property
    def differences(self) -> Sequence[Judgement]:
        """What was judged against the baseline."""
        return [judgement for judgement in self.result.judgements if judgement.against == "baseline"]

    @property
    def allowed(self) -> str:
        """By how much a mean may be worse than in the baseline."""
        effect = self.result.min_effect
        return f"a mean may be worse by {effect:g}" if effect else "no mean may be worse"

    @property
    def bounds_title(self) -> str:
        """The head of the column of bounds."""
        return f"{percent(self.result.confidence)} bounds"

    def value(self, judgement: Judgement) -> str:
        """The value in figures; against a baseline the difference."""
        return f"{_figure(judgement, judgement.value)}{' ms' if judgement.unit == 'ms' else ''}"

    def bounds(self, judgement: Judgement) -> str:
        """Both bounds in figures."""
        return f"{_figure(judgement, judgement.low)} to {_figure(judgement, judgement.high)}"

    def would_tell(self, judgement: Judgement) -> str:
        """How many queries would tell, where these do not."""
        if judgement.verdict != "cannot tell":
            return ""
        if judgement.needed is None:
            return "no number: it is the limit itself"
        more = judgement.needed > FEWEST_QUERIES
        return f"about {count(judgement.needed)}" if more else f"{FEWEST_QUERIES} at least"

    @property
    def notes(self) -> Sequence[str]:
        """What a reader must know before using the numbers."""
        return [*self._few(), *self._reading(), *self._strict(), *self._clusters(), *self._proven()]

    def _few(self) -> Iterator[str]:
        if any(judgement.n < FEWEST_QUERIES for judgement in self.result.judgements):
            yield (
                f"Under {FEWEST_QUERIES} queries nothing passes and nothing fails: the numbers describe "
                "these queries, and say nothing about others."
            )

    def _reading(self) -> Iterator[str]:
        surely = percent(self.result.confidence)
        yield (
            f"Bounds: what all such queries would have is above the lower one with a confidence of {surely}, "
            "and under the upper one with as much. A check passes where both bounds keep its limit, fails "
            "where both miss it, and cannot tell where the limit lies between them."
        )
        if self.differences:
            yield (
                "Against the baseline a check also passes where not one query got worse, which is no proof: "
                "the bounds say how much these queries may have missed. Differences are now less then."
            )
        if any(judgement.verdict == "cannot tell" for judgement in self.result.judgements):
            yield (
                "Would tell: how many queries like these would, four times out of five, if the values were "
                "what they seem."
            )

    def _strict(self) -> Iterator[str]:
        undecided = any(judgement.verdict == "cannot tell" for judgement in self.differences)
        if undecided and not self.result.min_effect:
            yield (
                "No drop at all is allowed (min_effect 0), which only an improvement can show. Say what drop "
                "does no harm, such as 0.02."
            )

    def _clusters(self) -> Iterator[str]:
        if any("understates" in judgement.method for judgement in self.result.judgements):
            yield (
                "The evidence stands in few documents: for questions about other documents the bounds are "
                "too narrow."
            )

    def _proven(self) -> Iterator[str]:
        baseline, lost = self.result.baseline, self.result.diagnosis.counts["lost units"]
        if baseline is not None and lost and baseline.proven != (self.result.diagnosis.effort is not None):
            proven, observed = ("then", "now") if baseline.proven else ("now", "then")
            yield (
                f"The stages that lost evidence were proven by running the pipeline again {proven}, and only "
                f"observed {observed}: units may have moved for that reason alone."
            )

    # Since the baseline

    @property
    def changes(self) -> Sequence[tuple[str, str, str]]:
        """What is not as it was: its name, and how it was and is."""
        baseline, trace = self.result.baseline, self.result.diagnosis.trace
        if baseline is None:
            return []
        now = {stage: without_address(shown) for stage, shown in trace.stages.items()}
        pairs = {
            stage: (baseline.pipeline.get(stage, "none"), now.get(stage, "none"))
            for stage in dict.fromkeys([*now, *baseline.pipeline])
        }
        pairs["n and k"] = tuple(  # type: ignore[assignment]  # of two
            f"{of_things(one.candidates, 'candidate')}, top {count(one.top_k)}" for one in (baseline, trace)
        )
        pairs["versions"] = tuple(  # type: ignore[assignment]  # of two
            ", ".join(f"{name} {version}" for name, version in sorted(one.items()))
            for one in (baseline.made_by, versions())
        )
        return [
            (name, *(cut_middle(one_line(text), _TEXT) for text in pair))  # type: ignore[misc]
            for name, pair in pairs.items()
            if pair[0] != pair[1]
        ]

    @cached_property
    def stages(self) -> Sequence[GateStage]:
        """What each stage lost then and now, in the order of the flow."""
        return [
            GateStage(
                stage=row["stage"],
                before=MISSING if math.isnan(row["loss_before"]) else share(row["loss_before"]),
                now=MISSING if math.isnan(row["loss_now"]) else share(row["loss_now"]),
                difference=signed(row["difference"]),
                bounds=f"{signed(row['low'])} to {signed(row['high'])}",
                worse=row["worse"],
            )
            for row in rows_of(self.result.stages.reset_index())
        ]

    @property
    def blame(self) -> str:
        """Which stage got worse, in one sentence."""
        rows = rows_of(self.result.stages.reset_index())
        worse = [
            f"{the(row['stage'])} ({signed(row['difference'])}, at least {signed(row['low'])})"
            for row in rows
            if row["worse"]
        ]
        if worse:
            return f"More than before is lost at {enumerate_words(worse)}."
        if all(abs(row["difference"]) < _EQUAL for row in rows):
            return "Each stage loses as much as before."
        most = max(rows, key=lambda row: float(row["difference"]))
        if most["difference"] < _EQUAL:
            return "No stage loses more than before."
        return f"More is lost at {the(most['stage'])} ({signed(most['difference'])}), which may be chance."

    @property
    def glosses(self) -> str:
        """What the stages do that differ, in one sentence; empty where none does."""
        rows = rows_of(self.result.stages.reset_index())
        named = [row["stage"] for row in rows if abs(row["difference"]) > _EQUAL]
        sentence = "; ".join(f"{the(stage)} {GLOSSES[stage]}" for stage in named)
        return sentence and f"{sentence[0].upper()}{sentence[1:]}."

    @cached_property
    def flips(self) -> Sequence[GateFlip]:
        """The units with another fate, lost ones first."""
        return [GateFlip(**row) for row in rows_of(self.result.flips)]

    @property
    def flipped(self) -> str:
        """How many units flipped, in one sentence."""
        units = of_things(self.result.diagnosis.counts["units"], "unit")
        if not self.flips:
            return f"Each of {units} of evidence has the fate that it had."
        changes = [flip.change for flip in self.flips]
        told = ", ".join(
            f"{count(changes.count(change))} {change} ({_CHANGED[change]})"
            for change in CHANGES
            if change in changes
        )
        return f"Of {units} of evidence: {told}."


def _figure(judgement: Judgement, value: float) -> str:
    if math.isnan(value):
        return MISSING
    if judgement.unit == "share":
        return signed(value) if judgement.against == "baseline" else share(value)
    return f"{value:,.0f}" if judgement.unit == "tokens" else f"{value:,.1f}"
