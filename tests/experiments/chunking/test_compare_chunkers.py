"""The call: a sweep in which nothing but the chunker differs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hand_made_sweeps import rows_by_name
from plugs import LineChunker, WholeChunker

from ragdiag import (
    BM25Retriever,
    Chunker,
    ConfigError,
    DataError,
    Document,
    ExactRetriever,
    HashingEmbedder,
    MarkdownChunker,
    Pipeline,
    Query,
    RecursiveChunker,
    StaticEmbedder,
    TokenBudget,
    diagnose,
)
from ragdiag.demo import demo_data
from ragdiag.experiments.chunking import ChunkerComparison, compare_chunkers
from ragdiag.measures import Recall, parse_rank_measure
from ragdiag.records import Chunk

CHUNKERS: dict[str, Chunker] = {
    "small": RecursiveChunker(150),
    "sections": MarkdownChunker(600),
    "lines": LineChunker(),
}
BASE = Pipeline(
    chunker=WholeChunker(),
    embedder=HashingEmbedder(128),
    retriever=ExactRetriever(),
    packer=TokenBudget(600),
    top_k=4,
)
LEXICAL = Pipeline(chunker=WholeChunker(), retriever=BM25Retriever(), top_k=2)


@pytest.fixture(scope="module")
def some() -> tuple[list[Document], list[Query]]:
    """Some questions, and the documents that they need."""
    documents, queries = demo_data()
    chosen = [query for query in queries if query.assessed][:16]
    needed = {doc_id for query in chosen for doc_id in query.doc_ids}
    return [document for document in documents if document.id in needed], chosen


@pytest.fixture(scope="module")
def compared(some: tuple[list[Document], list[Query]]) -> ChunkerComparison:
    return compare_chunkers(*some, CHUNKERS, pipeline=BASE, latency_queries=3)


def test_each_chunker_is_worth_what_its_pipeline_is_alone(
    some: tuple[list[Document], list[Query]], compared: ChunkerComparison
) -> None:
    table, rows = compared.table, rows_by_name(compared.table)
    assert {*table.index} == {*CHUNKERS}
    for name, chunker in CHUNKERS.items():
        pipeline = compared.sweep.pipelines[name]
        assert pipeline == Pipeline(
            chunker=chunker, embedder=BASE.embedder, retriever=BASE.retriever, packer=BASE.packer, top_k=4
        )
        alone, row = diagnose(pipeline, *some, verify=False), rows[name]
        assert row["recall"] == pytest.approx(alone.recall)
        assert row["chunks"] == len(alone.trace.chunks)
        assert row["ceiling"] == pytest.approx(alone.ceilings.loc["best k", "recall"])
        assert row["iou"] == pytest.approx(alone.measure("IoU").value)
        net = alone.losses["loss"] - alone.losses["rescue"]
        assert {stage: row[f"loss_{stage}"] for stage in net.index} == pytest.approx(net.to_dict())
    assert (table[["index_seconds", "latency_p50_ms", "latency_p95_ms"]] > 0).all(axis=None)


def test_chunks_are_compared_at_a_budget_of_tokens_where_they_are_counted(
    some: tuple[list[Document], list[Query]], compared: ChunkerComparison
) -> None:
    assert compared.measure == "Recall@1024t"
    assert compared.table["value"].equals(compared.table["recall_1024t"].rename("value"))
    lexical = compare_chunkers(*some, CHUNKERS, pipeline=LEXICAL, latency_queries=0)
    assert lexical.measure == "Recall"
    assert lexical.table["value"].equals(lexical.table["recall"].rename("value"))
    assert lexical.table["size_unit"].eq("characters").all()
    assert lexical.table["index_seconds"].isna().all()


@pytest.mark.parametrize("measure", ["recall@3", Recall(3)])
def test_any_span_measure_may_decide(some: tuple[list[Document], list[Query]], measure: Any) -> None:
    found = compare_chunkers(*some, CHUNKERS, pipeline=LEXICAL, measure=measure, latency_queries=0)
    assert found.measure == "Recall@3"
    deeper = Pipeline(chunker=CHUNKERS["small"], retriever=BM25Retriever(), top_k=3)
    assert found.sweep["small"]["Recall@3"].mean() == pytest.approx(
        diagnose(deeper, *some, verify=False).recall
    )


def test_options_reach_the_sweep(some: tuple[list[Document], list[Query]], tmp_path: Path) -> None:
    documents, queries = some
    sources = documents
    ingested = [Document(one.id, one.text.replace("a", "", 1)) for one in documents]
    loose = compare_chunkers(
        ingested,
        queries,
        CHUNKERS,
        pipeline=LEXICAL,
        measure="All(min_coverage=0.5)",
        sources=sources,
        min_coverage=0.5,
        copies=False,
        store=tmp_path / "store",
        latency_queries=0,
        progress=False,
    )
    name = loose.best
    alone = diagnose(
        loose.sweep.pipelines[name],
        ingested,
        queries,
        sources=sources,
        min_coverage=0.5,
        copies=False,
        verify=False,
    )
    values = alone.measure_by_query("All(min_coverage=0.5)")
    np.testing.assert_allclose(loose.sweep[name][loose.measure], values)
    assert loose.sweep.diagnose(name).recall == pytest.approx(alone.recall)
    assert any((tmp_path / "store").iterdir())


def test_one_that_cannot_say_what_it_is_is_told(some: tuple[list[Document], list[Query]]) -> None:
    class Nameless:
        def chunk(self, document: Document) -> list[Chunk]:
            return LineChunker().chunk(document)

    found = compare_chunkers(
        *some, {"mine": Nameless(), "small": CHUNKERS["small"]}, pipeline=LEXICAL, latency_queries=0
    )
    assert found.sweep.unkept == {"mine": ("chunker",)}
    named = Pipeline(chunker=LineChunker(), retriever=BM25Retriever(), top_k=2)
    recall = diagnose(named, *some, verify=False).recall
    assert rows_by_name(found.table)["mine"]["recall"] == pytest.approx(recall)
    assert "Nothing of mine could be kept for another time: the chunker cannot" in found.verdict.replace(
        "\n  ", " "
    )


def test_without_a_pipeline_the_packaged_one_stands_behind(some: tuple[list[Document], list[Query]]) -> None:
    found = compare_chunkers(*some, [RecursiveChunker(200), MarkdownChunker(400)], latency_queries=0)
    assert set(found.sweep) == {"Recursive(200)", "Markdown(400)"}
    [stages] = {tuple(list(one.stages.items())[1:]) for one in found.sweep.values()}
    assert dict(stages) == {"embedder": repr(StaticEmbedder()), "retriever": repr(ExactRetriever())}
    assert {one.top_k for one in found.sweep.values()} == {5}
    assert found.measure == "Recall@1024t"


@pytest.mark.parametrize("measure", ["nDCG@10", "R@5", "map", parse_rank_measure("P@3")])
def test_rank_measures_are_refused_with_the_reason(measure: Any) -> None:
    message = "counts ranks of chunks, and cannot compare chunkers: each cuts other chunks"
    with pytest.raises(ConfigError, match=message):
        compare_chunkers([], [], CHUNKERS, measure=measure)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"measure": "Recal"}, ConfigError, "did you mean Recall"),
        ({"min_effect": 1}, ConfigError, "min_effect must be in [0, 1), got 1"),
        ({"min_effect": -0.1}, ConfigError, "min_effect must be in [0, 1), got -0.1"),
        ({"min_effect": True}, ConfigError, "min_effect must be in [0, 1), got True"),
        ({}, DataError, "documents"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=re.escape(message)):
        compare_chunkers([], [], CHUNKERS, pipeline=LEXICAL, **options)
