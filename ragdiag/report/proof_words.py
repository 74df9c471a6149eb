"""What proofs, repairs and their outcomes mean, in words for someone who has never seen the tool."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ragdiag.diagnosis.verdicts import Outcome, Proof, VoidBy
from ragdiag.report.figures import count

__all__ = ["OUTCOMES", "PROOFS", "VOIDS", "describe_ideal", "describe_proof"]

PROOFS: Mapping[Proof, str] = {
    "verified": (
        "run again with this stage alone made ideal, the pipeline delivers it (for ingest and capacity: with "
        "everything but the chunker made ideal, it still does not)"
    ),
    "joint": "no single stage made ideal brings it back, but several together do: fix all of them",
    "undetermined": "running the pipeline again did not single out a stage",
    "unreproducible": "asked again, the pipeline did not answer as before, so that re-runs prove nothing",
    "observed": "seen in the run itself, not proven by running it again",
}
"""How well a loss is proven, surest first."""

OUTCOMES: Mapping[Outcome, str] = {
    "recovered": "it came back",
    "lost": "still lost",
    "evicted": "it came back, but at the expense of other evidence",
    "void": "proves nothing",
}
"""What came of a re-run."""

VOIDS: Mapping[VoidBy, str] = {
    "raised": "a stage raised an error",
    "spent": "the calls that were allowed are spent",
    "placebo": "more chunks in the index are enough to change the answer",
}
"""Why a re-run proves nothing."""


def describe_proof(proof: str) -> str:
    """What a kind of proof means; the bare word where it is unknown."""
    return next((meaning for known, meaning in PROOFS.items() if known == proof), proof)


def describe_ideal(stage: str, stages: Collection[str], *, top_k: int, budget: int | None) -> str:
    """What it is that a stage made ideal does, in half a sentence, for a pipeline with ``stages``."""
    searched = "of what an exact search returns, " if "embedder" in stages else ""
    kept = f"of the best {count(top_k)} chunks, " if top_k > 1 else "of the best chunk, "
    packed = (
        f"{kept}all are packed, whole"
        if budget is None
        else f"{kept}those with the evidence are packed before the others"
    )
    return {
        "chunker": "evidence that is cut gets one chunk that holds it whole, in place of its pieces",
        "embedder": "the chunks with the evidence get the question's own vector",
        "retriever": f"{searched}the chunks with the evidence come first",
        "reranker": "the candidates with the evidence are put first",
        "packer": packed,
    }[stage]
