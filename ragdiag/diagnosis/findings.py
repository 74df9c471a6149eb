"""The rules that make a verdict of re-runs.

The stage is the ledger's label. Three rules move it:

    split      evidence is cut across chunks, and the chunker made ideal alone brings it back: ``chunker``.
               Not where every fragment reached the packer (or the retriever of a pipeline with an embedder),
               that stage lost it, and it made ideal alone brings it back as well.
    truncated  the evidence lies beyond what the embedder reads of its chunk, and a window around it, embedded
               in the chunk's place, brings it back: ``embedder``.
    joint      no single stage brings it back, several together do: the earliest stage of the first of the
               smallest sets; where that is not the chunker, of the first with the label in it.

A repair recovers a unit only if no unit that had been delivered is lost by it. A minimal set is one of which
no part recovers. Where the re-runs do not single out the stage, the verdict says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import factorial

from ragdiag.diagnosis.repairs import LostUnit
from ragdiag.diagnosis.verdicts import Trial, Verdict
from ragdiag.diagnosis.windows import Windows
from ragdiag.stages.protocols import STAGES

__all__ = ["Runs", "decide", "shapley_values", "try_repairs"]


@dataclass(frozen=True, slots=True)
class Runs:
    """The re-runs of one lost unit.

    Attributes:
        trials: by the set of stages made ideal.
        window: with windows embedded in place of whole chunks; None where there are none.
        windows: what they are.
        rest: with everything but the chunker ideal, where the label belongs to no plug; else None.
        whole: whether all the evidence had reached the stage that lost it.
    """

    trials: Mapping[frozenset[str], Trial]
    window: Trial | None
    windows: Windows | None
    rest: Trial | None
    whole: bool

    @property
    def recovering(self) -> tuple[tuple[str, ...], ...]:
        """The minimal sets that recover, smallest first, in the order of the stages."""
        sets = sorted(
            (trial.ideal for trial in self.trials.values() if trial.recovered),
            key=lambda ideal: (len(ideal), [STAGES.index(stage) for stage in ideal]),
        )
        minimal: list[tuple[str, ...]] = []
        for ideal in sets:
            if not any(set(smaller) < set(ideal) for smaller in minimal):
                minimal.append(ideal)
        return tuple(minimal)

    def found_in_window(self, cause: str) -> bool:
        """Whether chunks are too long for this ``cause`` and a window in their place recovers."""
        same_cause = self.windows is not None and self.windows.cause == cause
        return same_cause and self.window is not None and self.window.recovered

    def all(self) -> tuple[Trial, ...]:
        """Every re-run, in the order they were made."""
        extra = (trial for trial in (self.window, self.rest) if trial is not None)
        return tuple(dict.fromkeys((*self.trials.values(), *extra)))


def try_repairs(
    stages: Sequence[str], run: Callable[[tuple[str, ...]], Trial], *, every: bool, together: bool
) -> dict[frozenset[str], Trial]:
    """Make stages ideal, alone first; several together only where none recovers, or ``every`` set.

    Args:
        stages: those that can be made ideal for the unit, in the order of the flow.
        run: the re-run with a set of them made ideal.
        every: whether all sets are tried, whatever recovers.
        together: whether sets of several stages are tried at all; none brings back what was not ingested.
    """
    trials: dict[frozenset[str], Trial] = {}
    for size in range(1, len(stages) + 1):
        if size > 1 and not every and (not together or any(trial.recovered for trial in trials.values())):
            break
        for ideal in combinations(stages, size):
            trials[frozenset(ideal)] = run(ideal)
    return trials


def decide(unit: LostUnit, runs: Runs, *, embedder: bool) -> Verdict:
    """The verdict on a lost unit.

    Args:
        unit: the unit, with what the ledger says of it.
        runs: its re-runs.
        embedder: whether the pipeline has one.
    """
    repairs = runs.recovering
    singles = [stages[0] for stages in repairs if len(stages) == 1]
    verdict = replace(unit.observed, repairs=repairs, trials=runs.all())
    if _is_split(unit, runs, singles, embedder=embedder):
        return _split(verdict)
    if unit.label in ("ingest", "capacity"):
        return _without_plug(verdict, runs, singles, fits=unit.fits)
    if runs.found_in_window("truncated"):
        return _truncated(verdict, runs)
    return _of_a_plug(verdict, runs, singles)


def _is_split(unit: LostUnit, runs: Runs, singles: Sequence[str], *, embedder: bool) -> bool:
    """Whether the evidence is cut across chunks, and that alone is why it was lost."""
    if not unit.added or unit.label in ("ingest", "chunker") or "chunker" not in singles:
        return False
    may_keep = unit.label == "packer" or (unit.label == "retriever" and embedder)
    return not (may_keep and runs.whole and unit.label in singles)


def _of_a_plug(verdict: Verdict, runs: Runs, singles: Sequence[str]) -> Verdict:
    """For a label that no rule moves but, perhaps, ``joint``."""
    label = verdict.observed
    own = runs.trials.get(frozenset([label]))
    if label in singles and label == "embedder" and runs.found_in_window("oversize"):
        return replace(verdict, cause="oversize", proof="undetermined", reason=_oversize(runs))
    if label in singles:
        return replace(verdict, proof="verified", reason=_verified(label, singles))
    if own is not None and own.void_by in ("raised", "spent"):
        return replace(verdict, reason=f"It could not be proven: {own.note}.")
    if singles:
        return replace(verdict, proof="undetermined", reason=_another(label, singles, own))
    return _together(verdict, runs)


def _without_plug(verdict: Verdict, runs: Runs, singles: Sequence[str], *, fits: bool) -> Verdict:
    """For a label that belongs to no plug: no ideal plug but the chunker may bring the unit back."""
    if verdict.repairs and not singles and "chunker" in verdict.repairs[0]:
        return _together(verdict, runs)
    if verdict.repairs or (runs.rest is not None and runs.rest.recovered):
        return replace(verdict, proof="undetermined", reason=_after_all(verdict, runs, fits=fits))
    if runs.rest is None or runs.rest.outcome == "void":
        why = "there was nothing to make ideal" if runs.rest is None else runs.rest.note
        return replace(verdict, reason=f"It could not be proven: {why}.")
    everything = f"With every other stage made ideal ({_names(runs.rest.ideal, 'and')})"
    evicted = runs.rest.outcome == "evicted"
    what = runs.rest.note if evicted else "the evidence is still lost"
    return replace(verdict, proof="verified", reason=f"{everything} {what}.")


def _together(verdict: Verdict, runs: Runs) -> Verdict:
    """No single stage brings the unit back."""
    failed = [trial for trial in runs.trials.values() if trial.void_by in ("raised", "spent")]
    alone = [trial for trial in failed if len(trial.ideal) == 1]
    if verdict.repairs and not alone:
        reason = (
            f"No single stage made ideal brings the evidence back, {_names(verdict.together, 'and')} "
            "together do: their faults mask each other, and all of them must be fixed."
        )
        return replace(verdict, stage=verdict.together[0], cause="masked", proof="joint", reason=reason)
    if failed:
        return replace(verdict, reason=f"It could not be proven: {failed[0].note}.")
    placebo = [trial for trial in runs.trials.values() if trial.void_by == "placebo"]
    if placebo and len(placebo) == len(runs.trials):
        return replace(
            verdict, proof="unreproducible", reason=f"No re-run proves anything: {placebo[0].note}."
        )
    evicted = next((trial for trial in runs.trials.values() if trial.outcome == "evicted"), None)
    but = "" if evicted is None else f" With {_names(evicted.ideal, 'and')} made ideal {evicted.note}."
    return replace(
        verdict,
        proof="undetermined",
        reason=f"No stage made ideal, alone or with others, brings the evidence back.{but}",
    )


def shapley_values(stages: Sequence[str], trials: Mapping[frozenset[str], Trial]) -> dict[str, float] | None:
    """Each stage's Shapley value in the game "does making this set ideal bring the unit back?".

    The mean, over all orders of making the stages ideal one by one, of what a stage adds (Shapley, 1953). The
    values sum to 1 where all together recover, else to 0. None where a set was not run or proves nothing.
    """
    worth = {frozenset[str](): 0.0}
    for size in range(1, len(stages) + 1):
        for ideal in map(frozenset, combinations(stages, size)):
            if ideal not in trials or trials[ideal].outcome == "void":
                return None
            worth[ideal] = float(trials[ideal].recovered)
    count = len(stages)
    values = {}
    for stage in stages:
        others = [other for other in stages if other != stage]
        values[stage] = sum(
            (worth[frozenset([*ideal, stage])] - worth[frozenset(ideal)])
            * factorial(size)
            * factorial(count - size - 1)
            / factorial(count)
            for size in range(count)
            for ideal in combinations(others, size)
        )
    return values


# The reasons, in plain words


def _names(stages: Sequence[str], conjunction: str) -> str:
    """``the embedder and the retriever``."""
    named = [f"the {stage}" for stage in stages]
    if len(named) < 2:
        return "".join(named)
    return f"{', '.join(named[:-1])} {conjunction} {named[-1]}"


def _verified(label: str, singles: Sequence[str]) -> str:
    others = [stage for stage in singles if stage != label]
    either = f" So does {_names(others, 'or')} alone: either fix is enough." if others else ""
    return f"With the {label} alone made ideal the evidence comes back.{either}"


def _split(verdict: Verdict) -> Verdict:
    where = "" if verdict.observed == "capacity" else f" (the loss showed at the {verdict.observed})"
    reason = (
        f"The evidence is cut across chunks{where}; with one chunk that holds it whole, and everything else "
        "as it is, it comes back."
    )
    return replace(verdict, stage="chunker", cause="split", proof="verified", reason=reason)


def _truncated(verdict: Verdict, runs: Runs) -> Verdict:
    where = "" if verdict.observed == "embedder" else f" The loss showed at the {verdict.observed}."
    reason = (
        f"{_problem(runs)}; with the part around the evidence embedded in its place it comes back.{where}"
    )
    return replace(verdict, stage="embedder", cause="truncated", proof="verified", reason=reason)


def _problem(runs: Runs) -> str:
    problem = "" if runs.windows is None else runs.windows.problem
    return problem[:1].upper() + problem[1:]


def _oversize(runs: Runs) -> str:
    return (
        f"{_problem(runs)}. With an ideal embedder the evidence comes back, and with this "
        "embedder too where it sees only the part around it: the data cannot tell whether the chunker or the "
        "embedder is to blame."
    )


def _another(label: str, singles: Sequence[str], own: Trial | None) -> str:
    alone = f"With the {label} alone made ideal "
    alone += "the evidence does not come back" if own is None or own.outcome != "evicted" else own.note
    return f"{alone}; with {_names(singles, 'or')} alone it does."


def _after_all(verdict: Verdict, runs: Runs, *, fits: bool) -> str:
    """Why a unit charged to capacity can be delivered: there is room for it alone, or for parts of chunks."""
    ideal = verdict.repairs[0] if verdict.repairs or runs.rest is None else runs.rest.ideal
    why = (
        "but all that the query needs does not fit: its units compete for the room"
        if fits
        else "although no whole chunks within the budget carry it: the packer shortens them, or takes "
        "more than it declares"
    )
    return f"With {_names(ideal, 'and')} made ideal for it the evidence comes back, {why}."
