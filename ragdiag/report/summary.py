"""What every face says about a diagnosis: the same numbers, in the same order, in the same words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise

from ragdiag.diagnosis.ledger import at_stage
from ragdiag.diagnosis.result import Diagnosis
from ragdiag.measures.statistics import Estimate
from ragdiag.report.causes import Causes
from ragdiag.report.figures import count, of_things, share
from ragdiag.report.lost import Failure, LostUnits
from ragdiag.report.precision import Precision
from ragdiag.report.values import rows_of
from ragdiag.report.words import BELONG_TO_NO_PLUG, describe_flow, describe_stage
from ragdiag.trace import Trace

__all__ = ["Measured", "Step", "Summary", "rank_columns"]

_FEWEST_QUERIES = 20
_EQUAL = 1e-9  # two losses that differ by less are the same loss
_SCALES = (0.99, 0.98, 0.95, 0.9, 0.8, 0.5)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the ledger.

    Attributes:
        stage: what is charged with it.
        before, after: what is left of 1 after what the stages so far are charged with, without and with
            this one. Where no verdict moved a unit, that is what was still there at the checkpoints around.
        loss, rescue: what it lost and brought back; before - after is loss - rescue.
        low, high: 95% interval of the loss.
        units: how many lost units are charged to it.
    """

    stage: str
    before: float
    after: float
    loss: float
    rescue: float
    low: float
    high: float
    units: int


@dataclass(frozen=True, slots=True)
class Measured:
    """One measure with its 95% interval."""

    measure: str
    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Summary:
    """A diagnosis as its faces show it."""

    diagnosis: Diagnosis

    @property
    def trace(self) -> Trace:
        """The run."""
        return self.diagnosis.trace

    @cached_property
    def counts(self) -> Mapping[str, int]:
        """`Diagnosis.counts`."""
        return self.diagnosis.counts

    @cached_property
    def recall(self) -> Estimate:
        """Recall with its interval."""
        return self.diagnosis.measure("Recall")

    @cached_property
    def lost(self) -> LostUnits:
        """The lost units, and how well their stages are proven."""
        return LostUnits(self.diagnosis)

    @cached_property
    def causes(self) -> Causes:
        """What went wrong, and what to do about it."""
        return Causes(self.diagnosis)

    @cached_property
    def precision(self) -> Precision:
        """Noise in the context, and the Shapley view."""
        return Precision(self.diagnosis)

    @property
    def failures(self) -> tuple[Failure, ...]:
        """The lost units, worst first."""
        return self.lost.failures

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """What the stages are charged with, in the order of the flow."""
        losses = self.diagnosis.losses
        left = list(accumulate(losses["rescue"] - losses["loss"], initial=1.0))
        units = self.diagnosis.failures["stage"].value_counts()
        return tuple(
            Step(
                stage=str(stage),
                before=before,
                after=after,
                loss=row["loss"],
                rescue=row["rescue"],
                low=row["low"],
                high=row["high"],
                units=int(units.get(stage, 0)),
            )
            for (stage, row), (before, after) in zip(losses.iterrows(), pairwise(left), strict=True)
        )

    @cached_property
    def measures(self) -> tuple[Measured, ...]:
        """`Diagnosis.measures`, row by row."""
        return tuple(Measured(**row) for row in rows_of(self.diagnosis.measures))

    @property
    def loss(self) -> float:
        """The sum of all losses."""
        return sum(step.loss for step in self.steps)

    @property
    def rescued(self) -> float:
        """The sum of all rescues."""
        return sum(step.rescue for step in self.steps)

    @cached_property
    def worst(self) -> tuple[Step, ...]:
        """The step that loses most, or those that tie for it; none where nothing is lost."""
        most = max(step.loss for step in self.steps)
        return tuple(step for step in self.steps if step.loss > max(_EQUAL, most - _EQUAL))

    @property
    def axis_start(self) -> float:
        """Where the waterfall's axis begins, so that small losses can be seen: 0 or a round number."""
        lowest = min(min(step.after, step.before - step.loss) for step in self.steps)
        if lowest > 1 - _EQUAL:
            return 0.0
        return next((start for start in _SCALES if lowest - start >= (1 - start) / 4), 0.0)

    # Sentences

    @property
    def flow(self) -> str:
        """How the pipeline answers a question, with what each stage does."""
        trace = self.trace
        return describe_flow(
            trace.stages, candidates=trace.candidates, top_k=trace.top_k, budget=trace.budget
        )

    @property
    def verdict(self) -> str:
        """Where the loss is, in one sentence."""
        lost_units, units = self.counts["lost units"], self.counts["units"]
        if not self.worst:
            return f"Nothing was lost: all of the evidence ({of_things(units, 'unit')}) reached the prompt."
        places = " and ".join(at_stage(step.stage) for step in self.worst)
        equally = ", equally much at each" if len(self.worst) > 1 else ""
        loss, labelled = self.worst[0].loss, sum(step.units for step in self.worst)
        of_units = f", and {count(labelled)} of the {count(lost_units)} lost units" if lost_units > 1 else ""
        if len(self.steps) > 1 and abs(self.loss - loss) < _EQUAL:
            return f"All that is lost is lost {places}: {share(loss)} of recall{of_units}."
        return (
            f"Most is lost {places}: {share(loss)} of the {share(self.loss)} lost in all{equally}{of_units}."
        )

    @property
    def lost_units(self) -> str:
        """How many units of evidence were lost."""
        lost, units = self.counts["lost units"], self.counts["units"]
        return f"{count(lost)} of {of_things(units, 'unit')} of evidence did not reach the prompt"

    @property
    def queries(self) -> str:
        """How many queries were run, and of which kind."""
        counts = self.counts
        return (
            f"{of_things(counts['queries'], 'query', 'queries')}: {count(counts['assessed'])} assessed, "
            f"{count(counts['unassessed'])} unassessed (no evidence given), "
            f"{count(counts['unanswerable'])} unanswerable"
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know before using the numbers."""
        assessed = self.counts["assessed"]
        few = (
            f"Only {of_things(assessed, 'query is', 'queries are')} assessed. Under {_FEWEST_QUERIES}, no "
            "share is claimed: the numbers describe these queries and say nothing about others."
        )
        complete = (
            "complete" if self.diagnosis.min_coverage == 1 else f"covered to {self.diagnosis.min_coverage:g}"
        )
        hard = (
            f"Counted as delivered only when {complete}, recall is {share(self.diagnosis.hard_recall)} "
            "(hard recall)."
        )
        return (
            *((few,) if assessed < _FEWEST_QUERIES else ()),
            *(
                ("Intervals understate the doubt: the evidence stands in few documents.",)
                if "understates" in self.recall.method
                else ()
            ),
            hard,
            *self.lost.moved_notes,
            *self._rescue_note(),
            *self._tie_note(),
            *self._approximation_note(),
        )

    def _rescue_note(self) -> Sequence[str]:
        if self.rescued < _EQUAL:
            return ()
        note = (
            "Rescue is what a stage brought back although an earlier one had lost it: "
            f"{share(self.rescued)} in all. Losses less rescues are 1 - recall = "
            f"{share(1 - self.diagnosis.recall)}."
        )
        return (note,)

    def _tie_note(self) -> Sequence[str]:
        tied = len({failure.query_id for failure in self.failures if failure.tied})
        if not tied:
            return ()
        note = (
            f"Tied: in {of_things(tied, 'query', 'queries')} a lost unit scores as much as rank "
            f"{self.trace.top_k}: another order would be as good."
        )
        return (note,)

    def _approximation_note(self) -> Sequence[str]:
        approximate = self.diagnosis.ceilings["approximate"]
        approximate = approximate[approximate > 0]
        if approximate.empty:
            return ()
        places = ", ".join(
            f"{checkpoint!r} in {of_things(int(queries), 'query', 'queries')}"
            for checkpoint, queries in approximate.items()
        )
        note = (
            f"Approximate: the best choice of chunks is not proven to be the best at {places}; the losses "
            "on both sides of it may be off."
        )
        return (note,)

    @property
    def meanings(self) -> Mapping[str, str]:
        """What the stages mean that lost something, and those that belong to no plug."""
        return {
            step.stage: describe_stage(step.stage, self.trace) + self._moved_to(step.stage)
            for step in self.steps
            if step.loss > _EQUAL or step.units or step.stage in BELONG_TO_NO_PLUG
        }

    def _moved_to(self, stage: str) -> str:
        moved = sum(failure.stage == stage != failure.observed for failure in self.failures)
        units = "unit was" if moved == 1 else "units were"
        return f"; {count(moved)} more {units} moved here by re-runs, see above" if moved else ""

    @property
    def rank_columns(self) -> Mapping[str, str]:
        """The rankings that this pipeline has: column of the failures, and its name."""
        return rank_columns(
            embedder="embedder" in self.trace.stages, reranker="reranker" in self.trace.stages
        )


def rank_columns(*, embedder: bool, reranker: bool) -> dict[str, str]:
    """The rankings of a pipeline with or without these stages."""
    return {
        **({"rank_exact": "exact"} if embedder else {}),
        "rank_retrieved": "retrieved",
        **({"rank_reranked": "reranked"} if reranker else {}),
    }
