"""Verdicts over an index that was loaded from a file: re-runs must build others like it."""

from dataclasses import replace
from pathlib import Path

from plugs import SeededEmbedder, WholeChunker

from ragdiag import (
    Document,
    Evidence,
    FaissRetriever,
    HybridRetriever,
    Pipeline,
    Query,
    SavedFaissRetriever,
    Span,
    diagnose,
)
from ragdiag.stages.retrievers import BM25Retriever

DOCUMENTS = [Document(f"d{i}", f"text number {i} of many") for i in range(80)]
QUERIES = [
    Query(f"q{i}", f"which text is number {i}?", [Evidence.of(Span(f"d{i}", 0, 12))]) for i in range(0, 80, 4)
]


def test_verdicts_over_a_saved_index_are_those_over_the_index_itself(tmp_path: Path) -> None:
    built = FaissRetriever("HNSW4", parameters={"efSearch": 4})
    pipeline = Pipeline(
        chunker=WholeChunker(),
        embedder=SeededEmbedder(0, dimensions=8, values=9),
        retriever=built,
        candidates=8,
        top_k=4,
    )
    index = pipeline.index(DOCUMENTS)
    index.searcher.save(tmp_path / "index.npz")  # type: ignore[attr-defined]
    saved = SavedFaissRetriever(tmp_path / "index.npz")
    expected = diagnose(pipeline, DOCUMENTS, QUERIES, copies=False).failures
    assert "verified" in set(expected["proof"])
    found = diagnose(replace(pipeline, retriever=saved), DOCUMENTS, QUERIES, copies=False).failures
    assert found.equals(expected)
    # Inside a hybrid, too.
    both = [
        diagnose(
            replace(pipeline, retriever=HybridRetriever([arm, BM25Retriever()])),
            DOCUMENTS,
            QUERIES,
            copies=False,
        ).failures
        for arm in (built, saved)
    ]
    assert both[0].equals(both[1])
