"""Diagnoses to report on: one that loses something at every stage, small ones, and hostile ones."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from plugs import BudgetPacker, CutChunker, LineChunker, OrderRetriever, TableEmbedder, TableReranker

from ragdiag import BM25Retriever, Diagnosis, ExactRetriever, HashingEmbedder, Pipeline, diagnose
from ragdiag.records import Document, Evidence, Query, Span

LINES = {
    "ingest": "Ingestion dropped this line.",
    "chunker": "The chunker dropped this line.",
    "capacity": "One of three parts. Two of the three parts. All of the three parts.",
    "retriever": "The index did not return this.",
    "reranker": "The reranker put this line last.",
    "packer": "The packer had no room for this line, which is long.",
    "delivered": "This line is delivered.",
    "f1": "Filler that reranking puts in the first place.",
    "f2": "Filler two.",
    "f3": "Filler three.",
    "embedder": "The embedder hides this line.",
    "rescued": "The retriever found this line.",
}
"""Lines of the source by their fate: the stage that loses them, delivered, rescued, or filler."""

_FATES = [fate for fate in LINES if not fate.startswith("f")]
_SCORES = {"f1": 2.0, "f2": 1.0, "f3": 1.0, "packer": 1.5, "reranker": 0.5}


def diagnose_losses(times: int = 1) -> Diagnosis:
    """Each assessed query, ``times`` over, has the fate that is its text."""
    source = Document("handbook", "\n".join(LINES.values()))
    document = Document("handbook", "\n".join(text for fate, text in LINES.items() if fate != "ingest"))
    ranges = {
        fate: (Span.find(document, text).start, Span.find(document, text).end)
        for fate, text in LINES.items()
        if fate not in ("ingest", "chunker", "capacity")
    }
    for i, part in enumerate(re.findall(r"[^.]+\.", LINES["capacity"])):
        start = document.text.index(part)
        ranges[f"capacity{i}"] = (start, start + len(part))
    chunks = {fate: f"handbook#{low}-{high}" for fate, (low, high) in ranges.items()}
    texts = {fate: document.text[low:high] for fate, (low, high) in ranges.items()}

    found = {fate: [chunks.get(fate, chunks["f3"]), chunks["f1"], chunks["f2"]] for fate in _FATES}
    found["capacity"] = [chunks[f"capacity{i}"] for i in range(3)]
    for fate in ("retriever", "embedder", "nothing"):
        found[fate] = [chunks["f1"], chunks["f2"], chunks["f3"]]

    def axis(fate: str) -> list[float]:
        return [float(name == fate) for name in [*_FATES, "filler"]]

    hidden = {"embedder", "rescued", "f1", "f2", "f3"}
    vectors = {
        text: axis("filler" if fate in hidden else fate.rstrip("012")) for fate, text in texts.items()
    } | {fate: axis(fate) for fate in _FATES}
    queries = [
        Query(f"{fate}-{i}", fate, [Evidence.of(Span.find(source, LINES[fate]))])
        for i in range(times)
        for fate in _FATES
    ]
    queries += [Query("unassessed-0", "nothing"), Query("unanswerable-0", "nothing", answerable=False)]
    pipeline = Pipeline(
        chunker=CutChunker({"handbook": [[r] for r in sorted(ranges.values())]}),
        embedder=TableEmbedder(vectors, default=axis("filler")),
        retriever=OrderRetriever({q.id: found[q.text] for q in queries}, uses_vectors=True),
        reranker=TableReranker({text: _SCORES.get(fate, 3.0) for fate, text in texts.items()}),
        packer=BudgetPacker(75),
        candidates=3,
        top_k=2,
    )
    return diagnose(pipeline, [document], queries, sources=[source])


@pytest.fixture(scope="session")
def losing() -> Diagnosis:
    """Loses units at every stage, over 27 assessed queries."""
    return diagnose_losses(times=3)


@pytest.fixture(scope="session")
def losing_few() -> Diagnosis:
    """The same with 9 assessed queries: too few to claim a share."""
    return diagnose_losses()


@pytest.fixture(scope="session")
def lossless() -> Diagnosis:
    """One query, delivered; BM25 and nothing else."""
    document = Document("faq", "Returns are free.\nRefunds take five days.")
    query = Query("q1", "How long do refunds take?", [Evidence.of(Span.find(document, "five days"))])
    pipeline = Pipeline(chunker=LineChunker(), retriever=BM25Retriever(), top_k=1)
    return diagnose(pipeline, [document], [query])


@pytest.fixture(scope="session")
def diagnose_text() -> Callable[..., Diagnosis]:
    """Diagnose one text that stands everywhere: in ids, query, evidence and the repr of a plug.

    Its unit is lost, unless ``top_k`` is given as 2.
    """

    def make(text: str, *, top_k: int = 1, **plugs: Any) -> Diagnosis:
        document = Document(f"d{text}", f"{text} stands here\nand not here")
        spans = [Span(document.id, 0, len(text) + 12), Span(document.id, len(text) + 13, len(document.text))]
        query = Query(f"q{text}", f"Where is {text}?", [Evidence.of(*spans)])
        pipeline = Pipeline(
            chunker=CutChunker(
                {document.id: [[(0, len(text) + 12)], [(len(text) + 13, len(document.text))]]}
            ),
            embedder=HashingEmbedder(32),
            retriever=ExactRetriever(),
            top_k=top_k,
            **plugs,
        )
        return diagnose(pipeline, [document], [query])

    return make
