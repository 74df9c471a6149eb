"""The dictionary holds the tables, in plain values, the same every time."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest
from plugs import AnyChunker, AnyPacker

from ragdiag import Diagnosis, Evidence, ExactRetriever, HashingEmbedder, Pipeline, Query, diagnose
from ragdiag.records import Chunk, Document, Span


def test_it_is_strict_json_and_reads_back(losing: Diagnosis) -> None:
    report = losing.to_dict()
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert report["format"] == "ragdiag-report"
    assert report["version"] == 1
    assert "by" not in report


def test_it_holds_the_tables(losing: Diagnosis) -> None:
    report: Any = losing.to_dict()
    for name in ("losses", "hard_losses", "ceilings"):
        table = getattr(losing, name)
        read = pd.DataFrame(report[name]).set_index(table.index.name)
        pd.testing.assert_frame_equal(read, table, check_dtype=False)
    pd.testing.assert_frame_equal(pd.DataFrame(report["measures"]), losing.measures, check_dtype=False)
    failures = pd.DataFrame(report["failures"]).astype(losing.failures.dtypes.to_dict())
    pd.testing.assert_frame_equal(failures, losing.failures)
    assert report["counts"] == dict(losing.counts)
    assert report["recall"]["value"] == pytest.approx(losing.recall)
    assert report["hard_recall"] == losing.hard_recall
    assert report["pipeline"]["stages"] == dict(losing.trace.stages)
    assert (report["pipeline"]["candidates"], report["pipeline"]["top_k"]) == (3, 2)


def test_missing_ranks_are_none(losing: Diagnosis) -> None:
    report: Any = losing.to_dict()
    by_stage = {row["stage"]: row for row in report["failures"]}
    assert by_stage["chunker"]["rank_exact"] is None
    assert by_stage["reranker"]["rank_reranked"] == 3
    assert isinstance(by_stage["reranker"]["tied"], bool)


def test_two_runs_give_the_same_dictionary() -> None:
    document = Document("faq", "Returns are free. Refunds take five days.")
    query = Query("q1", "How long?", [Evidence.of(Span.find(document, "five days"))])

    def run() -> dict[str, object]:
        pipeline = Pipeline(
            chunker=_halves(),
            embedder=HashingEmbedder(16),
            retriever=ExactRetriever(),
            packer=AnyPacker(list),
        )
        return diagnose(pipeline, [document], [query], latency_queries=1).to_dict()

    assert run() == run()


def test_an_effective_n_without_bound_is_none() -> None:
    # Two documents, each with one delivered and one lost unit: their means agree exactly.
    documents = [Document(name, "here it is.\nnot there.") for name in ("a", "b")]
    queries = [
        Query(f"{document.id}{text}", "here", [Evidence.of(Span.find(document, text))])
        for document in documents
        for text in ("here it is.", "not there.")
    ]
    pipeline = Pipeline(
        chunker=_halves(11), retriever=ExactRetriever(), embedder=HashingEmbedder(16), top_k=2, packer=None
    )
    report: Any = diagnose(pipeline, documents, queries, copies=False).to_dict()
    json.dumps(report, allow_nan=False)
    assert report["recall"]["value"] == 0.5


def _halves(at: int = 18) -> AnyChunker:
    return AnyChunker(lambda d: [Chunk.of(d, (0, at)), Chunk.of(d, (at, len(d.text)))])
