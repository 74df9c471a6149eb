"""The lost units as every face shows them: which, at which stage, and how well that is proven."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ragdiag.diagnosis.cause_tables import name_cause
from ragdiag.diagnosis.result import Diagnosis
from ragdiag.report.figures import count, of_things
from ragdiag.report.proof_words import PROOFS, describe_proof
from ragdiag.report.values import rows_of
from ragdiag.report.words import clause, enumerate_words, the

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Failure", "LostUnits"]


@dataclass(frozen=True, slots=True)
class Failure:
    """One lost unit, with the columns of `Diagnosis.failures`; ranks are None where it is never complete."""

    query_id: str
    unit: int
    stage: str
    cause: str
    proof: str
    coverage: float
    repairs: tuple[tuple[str, ...], ...]
    rank_exact: int | None
    rank_retrieved: int | None
    rank_reranked: int | None
    tied: bool
    observed: str
    reason: str
    observation: str
    remedy: str
    findings: tuple[str, ...]
    query: str
    evidence: str


@dataclass(frozen=True)
class LostUnits:
    """The lost units of a diagnosis."""

    diagnosis: Diagnosis

    @cached_property
    def failures(self) -> tuple[Failure, ...]:
        """Worst first: least delivered, then those of the stage that lost most of them."""
        table = self.diagnosis.failures
        by_stage = table["stage"].value_counts()
        rows = [Failure(**row) for row in rows_of(table)]
        return tuple(sorted(rows, key=lambda row: (row.coverage, -by_stage[row.stage], row.stage)))

    @cached_property
    def by_stage(self) -> pd.DataFrame:
        """`Diagnosis.proofs` without the stages that lost nothing."""
        proofs = self.diagnosis.proofs
        return proofs[proofs.sum(axis=1) > 0]

    @cached_property
    def by_proof(self) -> Mapping[str, int]:
        """How many there are of each kind of proof, surest first; kinds without any are absent."""
        return {proof: int(units) for proof in PROOFS if (units := self.by_stage[proof].sum())}

    @property
    def how_proven(self) -> str:
        """How many of them are proven how, in one sentence; empty where nothing was lost."""
        lost = len(self.failures)
        if not lost:
            return ""
        said = {
            "verified": "verified by running the pipeline again",
            "joint": "jointly caused by several stages",
            "observed": "merely observed",
        }
        (first, units), *others = self.by_proof.items()
        every = "the lost unit is" if lost == 1 else f"all {count(lost)} lost units are"
        some = f"{count(units)} of the {count(lost)} lost units {'is' if units == 1 else 'are'}"
        parts = [f"{some if others else every} {said.get(first, first)}"]
        parts += [f"{count(of_kind)} {said.get(kind, kind)}" for kind, of_kind in others]
        unproven = ": nothing was run again to prove it" if self.diagnosis.effort is None else ""
        return f"How sure that is: {', '.join(parts)}{unproven}."

    @property
    def meanings_of_proofs(self) -> Mapping[str, str]:
        """What the kinds of proof mean that there are."""
        return {proof: describe_proof(proof) for proof in self.by_proof}

    @property
    def moved_notes(self) -> Sequence[str]:
        """A sentence for each stage and cause to which verdicts moved units."""
        order = self.diagnosis.ledger.stages
        moved: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        for failure in self.failures:
            if failure.stage != failure.observed:
                moved[failure.stage, failure.cause][failure.observed] += 1
        notes = []
        for stage, cause in sorted(moved, key=lambda pair: (order.index(pair[0]), pair[1])):
            seen = moved[stage, cause]
            units = seen.total()
            places = [
                f"{the(place)} ({count(seen[place])})" if len(seen) > 1 else the(place)
                for place in order
                if place in seen
            ]
            notes.append(
                f"Moved: {of_things(units, 'unit')} that the run by itself charges to "
                f"{enumerate_words(places, 'or')} {'is' if units == 1 else 'are'} charged to "
                f"{the(stage)}: {_why_moved(stage, cause)}."
            )
        return notes

    @property
    def effort(self) -> Sequence[str]:
        """What the proof took, and what was left unproven, in sentences; none where nothing was run again."""
        effort = self.diagnosis.effort
        if effort is None:
            return []
        took = (
            f"The proof took, beside the run itself: {of_things(effort.texts, 'text')} embedded, "
            f"{of_things(effort.pairs, 'pair')} of question and chunk reranked, "
            f"{of_things(effort.searches, 'search', 'searches')} and "
            f"{of_things(effort.indexes, 'index', 'indexes')} built."
        )
        if effort.limit is None:
            return [took]
        limit = f"{of_things(effort.limit, 'text or pair', 'texts and pairs')} (max_extra_calls)"
        left = (
            f"The limit of {limit} was reached: {of_things(effort.unproven, 'lost unit')} "
            f"{'was' if effort.unproven == 1 else 'were'} left unproven."
            if effort.unproven
            else f"The limit of {limit} was not reached."
        )
        return [took, left]


def _why_moved(stage: str, cause: str) -> str:
    if cause == "masked":
        return f"several stages must be fixed together, and {the(stage)} is the first of them"
    return clause(name_cause(stage, cause).meaning)
