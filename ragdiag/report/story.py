"""What every face says about an explanation: titles, places, drops and which chunks are shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ragdiag.diagnosis.explanation import CONTEXT_CHARACTERS, ChunkSight, Explanation, Passage, UnitStory
from ragdiag.diagnosis.ledger import at_stage
from ragdiag.report.figures import MISSING, count, of_things, percent
from ragdiag.report.proof import ProofStory
from ragdiag.report.summary import rank_columns
from ragdiag.report.words import BELONG_TO_NO_PLUG, GLOSSES, describe_flow

__all__ = ["Story"]

_CHUNKS = 20


@dataclass(frozen=True)
class Story:
    """An explanation as its faces show it."""

    explanation: Explanation

    @property
    def stages(self) -> frozenset[str]:
        """The stages of the pipeline and of its ledger."""
        return frozenset(self.explanation.stage_of.values())

    @property
    def flow(self) -> str:
        """How the pipeline answers a question, with what each stage does, and what else lost evidence."""
        told = self.explanation
        flow = describe_flow(
            self.stages.difference(BELONG_TO_NO_PLUG),
            candidates=told.candidates,
            top_k=told.top_k,
            budget=told.budget,
        )
        charged = {
            stage
            for unit in told.units
            if unit.verdict is not None
            for stage in (unit.verdict.stage, unit.verdict.observed)
        }
        others = [
            f" {stage.capitalize()} (no stage of the pipeline) {GLOSSES[stage]}."
            for stage in BELONG_TO_NO_PLUG
            if stage in charged
        ]
        return flow + "".join(others)

    @property
    def rankings(self) -> dict[str, str]:
        """The rankings that the pipeline has: attribute of a `ChunkSight`, and its name."""
        return rank_columns(embedder="embedder" in self.stages, reranker="reranker" in self.stages)

    @property
    def legend(self) -> str:
        """How to read the tables of chunks."""
        return (
            f"Holds: the share of the passage that the chunk holds. Ranks count from 1; {MISSING} where the "
            "chunk is not in that ranking. In context: whether it reached the prompt, whole or shortened."
        )

    def which(self, unit: UnitStory) -> str:
        """Which unit it is."""
        return f"Unit {unit.number + 1} of {len(self.explanation.units)}"

    def fate(self, unit: UnitStory) -> str:
        """What became of it."""
        return "delivered" if unit.stage is None else f"lost {at_stage(unit.stage)}"

    def verdict(self, unit: UnitStory) -> str:
        """What became of it, and how that is proven."""
        return self.fate(unit) if unit.verdict is None else f"{self.fate(unit)} ({unit.verdict.proof})"

    def proof(self, unit: UnitStory) -> ProofStory | None:
        """How its loss is proven; None where it was delivered."""
        if unit.verdict is None:
            return None
        told = self.explanation
        return ProofStory(unit.verdict, self.stages, top_k=told.top_k, budget=told.budget)

    def drop(self, unit: UnitStory, checkpoint: str) -> str:
        """What happened on the way to a checkpoint, in a few words; empty where nothing did."""
        for (_, before), (name, after) in pairwise(unit.coverage.items()):
            if name == checkpoint and after != before:
                verb = "lost" if after < before else "regained"
                return f"{percent(abs(before - after))} {verb} {at_stage(self.explanation.stage_of[name])}"
        return ""

    def place(self, unit: UnitStory, passage: Passage, number: int) -> str:
        """Where a passage stands, and what would do in its place."""
        parts = [f"Evidence in {passage.doc_id}"]
        if passage.whole:
            parts.append("the whole document: any chunk of it would do")
        else:
            parts.append(f"characters {count(passage.start)} to {count(passage.end)}")
        if len(unit.passages) > 1:
            parts.append(f"passage {number + 1} of {len(unit.passages)}, all are needed")
        if unit.alternatives > 1:
            parts.append(f"the one of {unit.alternatives} alternatives that came furthest")
        if passage.copies:
            parts.append(
                f"{of_things(passage.copies, 'exact copy', 'exact copies')} elsewhere would do as well"
            )
        return "; ".join(parts)

    def surroundings(self, passage: Passage) -> tuple[str, str]:
        """The text before and after the evidence, with an ellipsis where the source goes on."""
        before = "…" + passage.before if passage.start > len(passage.before) else passage.before
        goes_on = (
            len(passage.text) < passage.end if passage.whole else len(passage.after) >= CONTEXT_CHARACTERS
        )
        return before, passage.after + ("…" if goes_on else "")

    def pieces(self, passage: Passage) -> list[str]:
        """The evidence cut where chunks begin or end; white space between two chunks is one cut, not two."""
        offsets = [0, *(offset - passage.start for offset in passage.boundaries), len(passage.text)]
        pieces = [""]
        for start, end in pairwise(offsets):
            piece = passage.text[start:end]
            if piece.strip() and pieces[-1].strip():
                pieces.append(piece)
            else:
                pieces[-1] += piece
        return pieces

    def sights(self, passage: Passage) -> Sequence[ChunkSight]:
        """The chunks to show: those that came furthest where there are many, in the order of the document."""
        if len(passage.chunks) <= _CHUNKS:
            return passage.chunks
        furthest = sorted(passage.chunks, key=_came)[:_CHUNKS]
        return [sight for sight in passage.chunks if sight in furthest]


def _came(sight: ChunkSight) -> tuple[bool, float, float, float]:
    ranks = (sight.rank_reranked, sight.rank_retrieved, sight.rank_exact)
    reranked, retrieved, exact = (float("inf") if found is None else found for found in ranks)
    return (not sight.in_context, reranked, retrieved, exact)
