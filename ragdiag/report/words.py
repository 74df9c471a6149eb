"""What stages and measures mean, in words for someone who has never seen the tool."""

from __future__ import annotations

from collections.abc import Iterable

from ragdiag.report.figures import count, of_things
from ragdiag.trace import Trace

__all__ = [
    "BELONG_TO_NO_PLUG",
    "GLOSSES",
    "clause",
    "describe_flow",
    "describe_measure",
    "describe_stage",
    "enumerate_words",
    "sentence",
    "the",
]

BELONG_TO_NO_PLUG = ("ingest", "capacity")
"""Stages of the ledger that no plug of the pipeline stands for."""

GLOSSES = {
    "ingest": "turns the sources into the documents that the pipeline reads",
    "chunker": "cuts documents into chunks",
    "capacity": "is how much evidence fits into the prompt",
    "embedder": "turns texts into vectors, which lie close where meanings do",
    "retriever": "searches the chunks and returns candidates",
    "reranker": "puts the candidates in a better order",
    "packer": "fits the best chunks into the prompt",
}
"""What each stage does, in half a sentence."""


def describe_flow(stages: Iterable[str], *, candidates: int, top_k: int, budget: int | None) -> str:
    """How a question is answered by a pipeline with these stages, so that each name is known when it comes.

    Example:
        >>> describe_flow(["chunker", "retriever"], candidates=50, top_k=5, budget=None)
        'The chunker cuts documents into chunks; the retriever searches the chunks and returns up to 50 \
candidates; the first 5 reach the prompt.'
    """
    within = "" if budget is None else f", within {count(budget)} tokens"
    glosses = {
        **GLOSSES,
        "retriever": f"searches the chunks and returns up to {of_things(candidates, 'candidate')}",
        "packer": f"fits at most {count(top_k)} of them into the prompt{within}",
    }
    present = set(stages)
    parts = [f"the {stage} {gloss}" for stage, gloss in glosses.items() if stage in present]
    if "packer" not in present:
        parts.append(f"the first {'reaches' if top_k == 1 else f'{count(top_k)} reach'} the prompt")
    return f"T{'; '.join(parts)[1:]}."


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


def enumerate_words(words: Iterable[str], conjunction: str = "and") -> str:
    """Words as a list within a sentence.

    Example:
        >>> enumerate_words(["chunker", "embedder", "packer"]), enumerate_words(["chunker"])
        ('chunker, embedder and packer', 'chunker')
    """
    *others, last = words
    return f"{', '.join(others)} {conjunction} {last}" if others else last


def sentence(text: str) -> str:
    """``text`` with a full stop where it has no other end.

    Example:
        >>> sentence("Raise k"), sentence("Why?")
        ('Raise k.', 'Why?')
    """
    return f"{text}." if text and not text.endswith((".", "!", "?", "…")) else text


def clause(text: str) -> str:
    """A sentence as it stands after a colon or within another one.

    Example:
        >>> clause("No chunk holds the text.")
        'no chunk holds the text'
    """
    return f"{text[:1].lower()}{text[1:]}".removesuffix(".")


def the(stage: str) -> str:
    """A stage within a sentence.

    Example:
        >>> the("packer"), the("capacity")
        ('the packer', 'capacity')
    """
    return stage if stage in BELONG_TO_NO_PLUG else f"the {stage}"
