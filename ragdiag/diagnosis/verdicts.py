"""What was found out about a lost unit: the stage, the cause, the proof, and every re-run behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["Effort", "Finding", "Outcome", "Proof", "Sureness", "Trial", "Verdict", "VoidBy"]

Proof: TypeAlias = Literal["verified", "joint", "observed", "undetermined", "unreproducible"]
Outcome: TypeAlias = Literal["recovered", "lost", "evicted", "void"]
VoidBy: TypeAlias = Literal["raised", "spent", "placebo"]
Sureness: TypeAlias = Literal["proven", "measured", "suspected"]


@dataclass(frozen=True, slots=True)
class Trial:
    """One re-run of the pipeline for a lost unit.

    Attributes:
        ideal: the stages that were made ideal, in the order of the flow; none for the unrepaired re-run.
        outcome: ``recovered``: the unit was delivered and no other was lost by it; ``lost``: it was not
            delivered; ``evicted``: it was, but a unit of the query that had been delivered no longer was;
            ``void``: the re-run proves nothing, for the reason in ``note``.
        coverage: the unit's coverage by the new context; None where there is none.
        note: what is to be known of it: which units were evicted, or why it is void; else empty.
        variant: what was done in place of the stage's usual repair (``window``: the evidence's surroundings
            were embedded in place of the whole chunk); else empty.
        void_by: why it is void: a plug ``raised``, the extra calls are ``spent``, or the ``placebo`` came
            back as well (adding chunks to the index is enough to change the answer). None where it is not.
        lost_at: where the unit was not delivered, the stage that lost it this time: ``embedder`` where the
            exact candidates do not hold it, ``retriever``, ``reranker``, ``packer``; else None.
    """

    ideal: tuple[str, ...]
    outcome: Outcome
    coverage: float | None
    note: str = ""
    variant: str = ""
    void_by: VoidBy | None = None
    lost_at: str | None = None

    @property
    def recovered(self) -> bool:
        """Whether the unit was delivered at no other unit's expense."""
        return self.outcome == "recovered"


@dataclass(frozen=True, slots=True)
class Finding:
    """A named cause, seen at one lost unit.

    Attributes:
        code: ``stage.cause``, one of the catalog's (`checks.catalog.CAUSES`).
        observation: what shows it, in numbers.
        sureness: ``proven``: a re-run in which this alone was mended brought the evidence back;
            ``measured``: the numbers show it directly; ``suspected``: they fit, and so might another cause.
    """

    code: str
    observation: str
    sureness: Sureness

    @property
    def stage(self) -> str:
        """The stage of the code."""
        return self.code.partition(".")[0]

    @property
    def cause(self) -> str:
        """The cause of the code."""
        return self.code.partition(".")[2]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a unit was lost.

    Attributes:
        stage: what is to blame: the ledger's label, or what the re-runs moved it to.
        cause: what went wrong there, in a word: ``split``, ``truncated``, ``demoted`` …
        proof: ``verified``: with this stage alone made ideal the unit comes back (for ``ingest`` and
            ``capacity``: with everything but the chunker ideal it does not); ``joint``: no single stage
            brings it back, several together do; ``observed``: the ledger saw the loss there, and it was not
            or could not be re-run; ``undetermined``: the re-runs do not single out a stage;
            ``unreproducible``: the same question did not get the same answer again.
        observed: the ledger's label: the stage of the unit's last drop.
        repairs: every minimal set of stages that brings the unit back when made ideal, smallest first; of
            several sets of one stage either is enough, of a set of several stages all are needed.
        reason: the proof in plain words.
        trials: the re-runs behind it, in the order they were made.
        shapley: each stage's share of the blame where that was asked for, summing to 1 where making all
            stages ideal brings the unit back; else None.
        findings: the named causes that were seen, the one that `cause` is called by first.
    """

    stage: str
    cause: str
    proof: Proof
    observed: str
    repairs: tuple[tuple[str, ...], ...] = ()
    reason: str = ""
    trials: tuple[Trial, ...] = ()
    shapley: Mapping[str, float] | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def blamed(self) -> tuple[str, ...]:
        """The stages to blame: of a joint verdict all that must be fixed, else the one."""
        return self.together if self.proof == "joint" else (self.stage,)

    @property
    def together(self) -> tuple[str, ...]:
        """Of the smallest sets that bring the unit back the one whose first stage is charged.

        It is the first with the chunker in it; else the one that is found by following the loss: the stage of
        the label is made ideal, then the stage that loses the unit then, and so on; else the first with the
        label. Ideal stages make up for others (an embedder for an approximate retriever, a reranker that puts
        the chunk first for a packer that drops repeats), so that several sets may do. Empty where none does.
        """
        first = self.repairs[0] if self.repairs else ()
        if "chunker" in first:
            return first
        smallest = [stages for stages in self.repairs if len(stages) == len(first)]
        followed = self._followed()
        if followed in smallest:
            return followed
        return next((stages for stages in smallest if self.observed in stages), first)

    def _followed(self) -> tuple[str, ...]:
        """The stages that lose the unit one after the other, as each of them is made ideal; in order."""
        trials = {frozenset(trial.ideal): trial for trial in self.trials if not trial.variant}
        mended = {self.observed}
        while (trial := trials.get(frozenset(mended))) is not None:
            if trial.recovered:
                return trial.ideal
            if trial.lost_at is None or trial.lost_at in mended:
                break
            mended.add(trial.lost_at)
        return ()


@dataclass(frozen=True, slots=True)
class Effort:
    """What the re-runs asked of the plugs, beside the run itself.

    Attributes:
        texts: texts embedded, documents and queries together.
        pairs: query-chunk pairs scored by the reranker.
        searches: requests to an index.
        indexes: indexes built.
        limit: how many texts and pairs were allowed together; None for any number.
        unproven: lost units whose proof was given up for that limit.
    """

    texts: int = 0
    pairs: int = 0
    searches: int = 0
    indexes: int = 0
    limit: int | None = None
    unproven: int = 0
