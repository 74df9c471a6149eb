"""What stages, measures and proofs mean, in words for someone who has never seen the tool."""

from __future__ import annotations

from ragdiag.trace import Trace

__all__ = ["BELONG_TO_NO_PLUG", "PROOFS", "describe_measure", "describe_stage"]

PROOFS = {"observed": "seen in the ledger, not yet re-run"}
"""How well a label is proven."""

BELONG_TO_NO_PLUG = ("ingest", "capacity")
"""Stages of the ledger that no plug of the pipeline stands for."""


def describe_stage(stage: str, trace: Trace) -> str:
    """What it means that evidence was lost there, in a run with these stages, n and k."""
    n, k = trace.candidates, trace.top_k
    budget = "" if trace.budget is None else f" within {trace.budget:,} tokens"
    searched = "the exact search has it" if "embedder" in trace.stages else "a chunk holds it"
    meanings = {
        "ingest": "the source's text is missing from the ingested documents (no stage of the pipeline)",
        "chunker": "the documents hold it, but no chunk does",
        "capacity": (
            f"no choice of {k} chunks{budget} could carry all that the query needs, however good the search "
            "(no stage of the pipeline)"
        ),
        "embedder": f"an exact search by the embedder's similarity does not have it among its first {n}",
        "retriever": f"{searched}, but it is not among the {n} that the retriever returned",
        "reranker": f"it was among the {n} candidates, but not among the {k} that reranking put first",
        "packer": f"it was among the {k} best chunks, but the packer left it out or cut it off",
    }
    return meanings[stage]


def describe_measure(measure: str) -> str:
    """What a span measure says, by its spec."""
    name, _, cut = measure.partition("@")
    name = name.partition("(")[0]
    if cut.endswith("t"):
        where = f"the best chunks that fit into {int(cut[:-1]):,} tokens"
    elif cut:
        where = "the first chunk" if cut == "1" else f"the first {int(cut):,} chunks"
    else:
        where = "the context"
    return {
        "Recall": f"share of the evidence in {where}",
        "All": f"queries with every unit complete in {where}",
        "Hit": f"queries with at least one unit complete in {where}",
        "MRR": f"1 / rank that completes a unit in {where}",
        "CP": f"relevant chunks before others in {where}",
        "Precision": f"share of {where} that is evidence",
        "IoU": f"overlap of evidence and {where}, relative to both",
        "Omega": "precision if exactly the chunks with evidence were retrieved",
    }[name]
