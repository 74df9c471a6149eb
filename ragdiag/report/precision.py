"""What every face says about noise in the context: through which stage it came, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from ragdiag.diagnosis.proofs import NO_STAGE
from ragdiag.diagnosis.result import Diagnosis
from ragdiag.report.figures import MISSING, interval, share, signed
from ragdiag.report.values import rows_of
from ragdiag.report.words import enumerate_words, the

__all__ = ["NoiseStep", "Precision", "SharedBlame"]

_EQUAL = 1e-9  # two figures that differ by less are the same


@dataclass(frozen=True, slots=True)
class NoiseStep:
    """What one stage did to context precision.

    Attributes:
        stage: which.
        loss: the noise charged to it, what is missing to 1 because of it.
        low, high: 95% interval of the loss.
        after: context precision of the first k chunks after it; None where it orders no chunks.
        change: from the stage before, negative where it let noise in; None like ``after``.
    """

    stage: str
    loss: float
    low: float
    high: float
    after: float | None
    change: float | None

    @property
    def figures(self) -> tuple[str, str, str, str]:
        """Noise, its interval, precision after the stage, and the change, as faces write them."""
        return (
            share(self.loss),
            interval(self.low, self.high),
            MISSING if self.after is None else share(self.after),
            MISSING if self.change is None else signed(self.change),
        )


@dataclass(frozen=True, slots=True)
class SharedBlame:
    """One stage's share of the blame: as the ledger charges it, and whatever the order of the stages."""

    stage: str
    ledger: float
    shapley: float
    difference: float

    @property
    def figures(self) -> tuple[str, str, str]:
        """The three numbers as faces write them."""
        return share(self.ledger), share(self.shapley), signed(self.difference)


@dataclass(frozen=True)
class Precision:
    """The precision of a diagnosis's contexts, and the blame for what was lost without regard to order."""

    diagnosis: Diagnosis

    @cached_property
    def steps(self) -> tuple[NoiseStep, ...]:
        """What each stage did, in the order of the flow."""
        flow = {row["stage"]: row for row in rows_of(self.diagnosis.precision_flow)}
        return tuple(
            NoiseStep(
                **row,
                after=flow[row["stage"]]["cp"] if row["stage"] in flow else None,
                change=flow[row["stage"]]["change"] if row["stage"] in flow else None,
            )
            for row in rows_of(self.diagnosis.noise.reset_index())
        )

    @cached_property
    def worst(self) -> tuple[NoiseStep, ...]:
        """The stage through which most noise came, or those that tie for it; none where there is none."""
        most = max(step.loss for step in self.steps)
        return tuple(step for step in self.steps if step.loss > max(_EQUAL, most - _EQUAL))

    @property
    def headline(self) -> str:
        """How precise the context is, and through whom it is not."""
        cp = self.diagnosis.measure("CP")
        reached = f"Context precision is {share(cp.value)} (95% interval {interval(cp.low, cp.high)})"
        if not self.worst:
            return f"{reached}: there is no noise before evidence."
        through = enumerate_words([the(step.stage) for step in self.worst])
        equally = ", equally much to each" if len(self.worst) > 1 else ""
        missing = f"of the {share(1 - cp.value)} that is missing to 1"
        return f"{reached}; {missing}, most is charged to {through}{equally}."

    @property
    def legend(self) -> str:
        """What the figures mean."""
        return (
            "Context precision is 1 where every chunk with evidence stands before every other chunk of the "
            "context. What is missing to 1 is noise, charged to the stage that put other chunks first; where "
            "no chunk with evidence came through, to the stages that lost it. Precision after: of the first "
            f"{self.diagnosis.trace.top_k} chunks after the stage. Change: below 0 the stage let noise in, "
            "above 0 it removed some."
        )

    @property
    def tokens(self) -> str:
        """How much of what is paid for is evidence."""
        context, attainable = rows_of(self.diagnosis.token_share.loc[["context", "attainable"]])
        return (
            f"Evidence is {share(context['share'])} of the context's {context['unit']} (95% interval "
            f"{interval(context['low'], context['high'])}); the best choice of these chunks would make it "
            f"{share(attainable['share'])}."
        )

    # Blame without regard to order, where it was asked for

    @cached_property
    def shared_blame(self) -> tuple[SharedBlame, ...]:
        """The ledger beside the Shapley view; none where it was not asked for."""
        if not any(verdict and verdict.shapley is not None for verdict in self.diagnosis.verdicts):
            return ()
        return tuple(SharedBlame(**row) for row in rows_of(self.diagnosis.shapley.reset_index()))

    @property
    def about_blame(self) -> str:
        """What the Shapley view is."""
        return (
            "Both share out what is missing to 1 of hard recall. The ledger charges each lost unit to one "
            "stage; Shapley values share it by what making a stage ideal adds, as a mean over all orders of "
            f"the stages. {NO_STAGE}: what no ideal stages bring back. A large difference warns that the "
            "order of the stages matters."
        )
