"""How a verdict is proven, told as a story: what was made ideal, what came of it, and what that means."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from ragdiag.diagnosis.ledger import LOSS_STAGES
from ragdiag.diagnosis.verdicts import Outcome, Trial, Verdict
from ragdiag.report.causes import CauseOfUnit, causes_of_unit
from ragdiag.report.escaping import cut, one_line
from ragdiag.report.figures import share
from ragdiag.report.proof_words import OUTCOMES, VOIDS, describe_ideal, describe_proof
from ragdiag.report.words import BELONG_TO_NO_PLUG, enumerate_words, sentence, the
from ragdiag.stages.protocols import STAGES

__all__ = ["ProofStory", "TrialRow"]

_LOST_AGAIN = "Asked again as it is, the question lost this evidence again. "
_REASON, _NOTE = 600, 240  # characters shown of what may quote a plug's own message


@dataclass(frozen=True, slots=True)
class TrialRow:
    """One re-run as a row.

    Attributes:
        ideal: what was made ideal.
        gloss: what that is, where a stage stands there for the first time; else empty.
        outcome: what came of it, as verdicts call it.
        result: the same in words, with what is to be known of it.
        coverage: how much of the evidence reached the prompt, or None.
    """

    ideal: str
    gloss: str
    outcome: Outcome
    result: str
    coverage: float | None


@dataclass(frozen=True)
class ProofStory:
    """A verdict as its faces show it.

    Attributes:
        verdict: on one lost unit.
        stages: of the pipeline and its ledger.
        top_k: k.
        budget: of the packer, or None.
    """

    verdict: Verdict
    stages: Collection[str]
    top_k: int
    budget: int | None

    @property
    def trials(self) -> tuple[TrialRow, ...]:
        """The re-runs, in the order they were made; each stage's ideal is described where it first stands."""
        rows: list[TrialRow] = []
        told: set[str] = set()
        for trial in self.verdict.trials:
            new = [stage for stage in trial.ideal if stage not in told]
            told.update(new)
            rows.append(
                TrialRow(
                    ideal=_made_ideal(trial),
                    gloss=self._gloss(trial, new),
                    outcome=trial.outcome,
                    result=_result(trial),
                    coverage=trial.coverage,
                )
            )
        return tuple(rows)

    def _gloss(self, trial: Trial, new: Sequence[str]) -> str:
        if trial.variant == "window":
            return "only the evidence and what stands around it is embedded, in place of the whole chunk"
        if trial.variant:
            return one_line(trial.variant)
        if not trial.ideal:
            return "the same question once more"
        if len(trial.ideal) == 1:
            return "".join(map(self._ideal, new))
        glosses = "; ".join(f"{stage}: {self._ideal(stage)}" for stage in new)
        return f"({glosses})" if glosses else ""

    def _ideal(self, stage: str) -> str:
        return describe_ideal(stage, self.stages, top_k=self.top_k, budget=self.budget)

    @property
    def how_tried(self) -> str:
        """What a re-run is; empty where there was none."""
        if not self.verdict.trials:
            return ""
        if not self._tried:
            return "The question was run through the real pipeline once more, as it is."
        # Nothing is made ideal before the same question has been asked once more and was lost again.
        first = "" if any(not trial.ideal for trial in self.verdict.trials) else _LOST_AGAIN
        return (
            f"{first}The question was run through the real pipeline again, each time with one or more stages "
            "made ideal, that is, as good as can be for this evidence, and everything else left as it is."
            f"{self._untried}"
        )

    @cached_property
    def _tried(self) -> frozenset[str]:
        """The stages that some re-run made ideal."""
        return frozenset(stage for trial in self.verdict.trials for stage in trial.ideal)

    @property
    def _untried(self) -> str:
        missing = [stage for stage in STAGES if stage in self.stages and stage not in self._tried]
        names = enumerate_words([the(stage) for stage in missing], "or") if missing else ""
        return f" There was nothing to make ideal in {names}." if names else ""

    @cached_property
    def conclusion(self) -> tuple[str, ...]:
        """What it means, sentence by sentence."""
        tell = {
            "verified": self._verified,
            "joint": self._joint,
            "undetermined": self._undetermined,
            "unreproducible": self._unreproducible,
            "observed": self._observed,
        }[self.verdict.proof]
        return (*tell(), *self._blame())

    @property
    def causes(self) -> Sequence[CauseOfUnit]:
        """What went wrong, and what to do about it; the main cause first."""
        return causes_of_unit(self.verdict)

    # One kind of proof each

    def _verified(self) -> Iterator[str]:
        stage, cause = self.verdict.stage, self.verdict.cause
        if stage in BELONG_TO_NO_PLUG:
            yield "Verified: making the stages ideal is no cure."
            yield from self._reason()
            return
        others = [repair for repair in self.verdict.repairs if repair != (stage,)]
        if cause == "truncated":  # proven by another re-run than that of the stage made ideal
            yield "Verified."
            yield from self._reason()
            yield (
                f"It comes back {self._either(others)} as well." if others else f"So the {stage} is to blame."
            )
            return
        blame = "" if others else f", so the {stage} is to blame"
        yield f"Verified: {self._with([stage])} alone, all else as it is, the evidence comes back{blame}."
        if others:
            fixes = "either fix" if len(others) == 1 else "any one of these fixes"
            yield f"So it does {self._either(others)}: {fixes} is enough."
        yield from self._failed()

    def _joint(self) -> Iterator[str]:
        first = self.verdict.together or (self.verdict.stage,)
        others = [repair for repair in self.verdict.repairs if repair != first]
        yield (
            f"Joint: no single stage made ideal brings the evidence back, but {enumerate_words(first)} "
            "made ideal together do. Fix all of them: fixing one alone changes nothing."
        )
        if others:
            yield f"The same holds {self._either(others)}."

    def _undetermined(self) -> Iterator[str]:
        yield f"Undetermined: {describe_proof('undetermined')}."
        yield from self._reason()
        yield from self._stays()

    def _unreproducible(self) -> Iterator[str]:
        yield f"Unreproducible: {describe_proof('unreproducible')}."
        yield from self._reason()
        yield from self._stays()

    def _observed(self) -> Iterator[str]:
        yield "Observed: this is what the run itself shows, not proven by running the pipeline again."
        yield from self._reason()

    # What they share

    def _failed(self) -> Iterator[str]:
        """Which single stages do not bring it back, or only at another unit's expense."""
        alone = [trial for trial in self.verdict.trials if len(trial.ideal) == 1 and not trial.variant]
        lost = [trial.ideal[0] for trial in alone if trial.outcome == "lost"]
        evicted = [trial.ideal[0] for trial in alone if trial.outcome == "evicted"]
        if lost:
            yield f"An ideal {enumerate_words(lost, 'or')} does not bring it back."
        if evicted:
            yield (
                f"An ideal {enumerate_words(evicted, 'or')} brings it back only at the expense of other "
                "evidence of this question, which is no cure."
            )

    def _blame(self) -> Iterator[str]:
        """To what the loss is charged, where that is not said already."""
        stage, observed = self.verdict.stage, self.verdict.observed
        moved = stage != observed
        charged = (
            f"The run by itself charges the loss to {the(observed)}; the re-runs charge it to {the(stage)}"
            if moved
            else f"The loss is charged to {the(stage)}"
        )
        if self.verdict.proof == "joint":
            yield f"{charged}, the first of the stages that must be fixed together."
        elif moved:
            yield f"{charged}, where its cause is."

    def _stays(self) -> Iterator[str]:
        if self.verdict.stage == self.verdict.observed:
            yield f"The loss stays charged to {the(self.verdict.observed)}, as the run has it."

    def _reason(self) -> Iterator[str]:
        reason = cut(one_line(self.verdict.reason), _REASON)
        if reason:
            yield sentence(reason)

    def _with(self, stages: Sequence[str]) -> str:
        """Such as "with an ideal reranker", and what that is where no trial has told it."""
        names = [stage if stage in self._tried else f"{stage} ({self._ideal(stage)})" for stage in stages]
        return f"with an ideal {enumerate_words(names)}"

    def _either(self, repairs: Sequence[Sequence[str]]) -> str:
        return enumerate_words(
            [self._with(repair) + (" together" if len(repair) > 1 else " alone") for repair in repairs], "or"
        )

    @property
    def shapley(self) -> str:
        """Each stage's share of the blame without regard to their order; empty where it was not asked for."""
        if self.verdict.shapley is None:
            return ""
        shares = self.verdict.shapley
        parts = [f"{stage} {share(shares[stage])}" for stage in LOSS_STAGES if shares.get(stage)]
        return (
            f"Blame shared without regard to the order of the stages (Shapley values): {', '.join(parts)}."
            if parts
            else "Blame cannot be shared among the stages (Shapley values): not all of them together help."
        )


def _made_ideal(trial: Trial) -> str:
    if not trial.ideal:
        return "nothing"
    return enumerate_words(trial.ideal) + (" together" if len(trial.ideal) > 1 else "")


def _result(trial: Trial) -> str:
    result = "lost again" if trial.outcome == "lost" and not trial.ideal else OUTCOMES[trial.outcome]
    note = cut(one_line(trial.note), _NOTE)
    if not note and trial.void_by is not None:
        note = VOIDS[trial.void_by]
    return f"{result}: {note}" if note else result
