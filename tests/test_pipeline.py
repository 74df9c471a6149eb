"""A run: what is asked of each plug, what is recorded, what it costs; and pipelines that cannot work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import FrozenInstanceError, replace
from typing import Any

import numpy as np
import pytest
from plugs import (
    AnyChunker,
    AnyPacker,
    AnyReranker,
    BudgetPacker,
    CountingEmbedder,
    CountingReranker,
    LineChunker,
    SeededEmbedder,
    SeededReranker,
    TableReranker,
    WholeChunker,
)

from ragdiag import (
    BM25Retriever,
    Chunk,
    ConfigError,
    DataError,
    Document,
    ExactRetriever,
    HashingEmbedder,
    Hit,
    HybridRetriever,
    Index,
    Pipeline,
    Query,
    RagdiagWarning,
    StageError,
    Trace,
)

DOCUMENTS = [
    Document("a", "refunds take five days\nshipping is free\nsame line"),
    Document("b", "same line\nthe warranty lasts two years"),
]
QUERIES = [
    Query("q1", "how long does a refund take"),
    Query("q2", "is shipping free"),
    Query("q3", "how long does a refund take"),
]
PIPELINE = Pipeline(
    chunker=LineChunker(),
    embedder=HashingEmbedder(32),
    retriever=ExactRetriever(),
    reranker=SeededReranker(1),
    packer=BudgetPacker(40),
    candidates=4,
    top_k=2,
)


def counting() -> tuple[Pipeline, CountingEmbedder, CountingReranker]:
    embedder, reranker = CountingEmbedder(HashingEmbedder(32)), CountingReranker()
    return replace(PIPELINE, embedder=embedder, reranker=reranker), embedder, reranker


def test_each_distinct_text_is_embedded_once() -> None:
    pipeline, embedder, _ = counting()
    trace = pipeline.run(DOCUMENTS, QUERIES)
    [texts] = embedder.documents
    assert texts == [
        "refunds take five days",
        "shipping is free",
        "same line",
        "the warranty lasts two years",
    ]
    assert embedder.queries == [[query.text for query in QUERIES]]
    assert len(trace.chunks) == 5
    assert trace.vectors is not None
    np.testing.assert_array_equal(trace.vectors[2], trace.vectors[3])
    again = HashingEmbedder(32).embed_documents([chunk.index_text for chunk in trace.chunks])
    np.testing.assert_array_equal(trace.vectors, again)


def test_what_is_indexed_is_the_index_text_and_what_is_delivered_is_the_text() -> None:
    def headed(document: Document) -> list[Chunk]:
        return [Chunk.of(document, (0, len(document.text)), index_text=f"heading {document.id}")]

    embedder = CountingEmbedder(HashingEmbedder(32))
    seen: list[str] = []

    def see(_: str, texts: Sequence[str]) -> list[float]:
        seen.extend(texts)
        return [0.0] * len(texts)

    pipeline = Pipeline(
        chunker=AnyChunker(headed), embedder=embedder, retriever=ExactRetriever(), reranker=AnyReranker(see)
    )
    trace = pipeline.run(DOCUMENTS, QUERIES[:1])
    assert embedder.documents == [["heading a", "heading b"]]
    assert sorted(seen) == sorted(d.text for d in DOCUMENTS)
    assert {c.text for c in trace.queries[0].context} == {d.text for d in DOCUMENTS}


def test_the_trace_records_what_every_stage_returned() -> None:
    trace = PIPELINE.run(DOCUMENTS, QUERIES)
    assert isinstance(trace, Trace)
    assert trace.stages == {
        "chunker": "LineChunker()",
        "embedder": repr(HashingEmbedder(32)),
        "retriever": "ExactRetriever(metric='cosine')",
        "reranker": "SeededReranker(seed=1, values=4)",
        "packer": "BudgetPacker(budget=40)",
    }
    assert (trace.candidates, trace.top_k, trace.similarity, trace.budget) == (4, 2, "cosine", 40)
    assert trace.chunk_tokens == tuple(len(chunk.text) for chunk in trace.chunks)
    assert [q.query_id for q in trace.queries] == ["q1", "q2", "q3"]
    assert trace.query_vectors is not None
    assert trace.query_vectors.shape == (3, 32)
    assert repr(trace) == (
        "Trace(3 queries, 5 chunks, stages: chunker, embedder, retriever, reranker, packer, n=4, k=2)"
    )
    by_id = {chunk.id: chunk for chunk in trace.chunks}
    for query, record in zip(QUERIES, trace.queries, strict=True):
        assert trace[query.id] is record
        assert len(record.retrieved) == 4
        assert record.reranked is not None
        assert {h.chunk_id for h in record.reranked} == {h.chunk_id for h in record.retrieved}
        texts = [by_id[h.chunk_id].text for h in record.retrieved]
        scores = SeededReranker(1).score(query.text, texts)
        expected = sorted(range(4), key=lambda i, s=scores: (-s[i], i))  # type: ignore[misc]
        assert record.reranked == tuple(Hit(record.retrieved[i].chunk_id, scores[i]) for i in expected)
        assert record.ranking is record.reranked
        top = [by_id[h.chunk_id] for h in record.reranked[:2]]
        assert record.context == tuple(BudgetPacker(40).pack(query.text, top))
    assert trace.positions(trace.queries[0].retrieved) == [
        list(by_id).index(hit.chunk_id) for hit in trace.queries[0].retrieved
    ]
    with pytest.raises(KeyError):
        trace["nope"]


def test_stages_that_are_absent_leave_their_fields_empty() -> None:
    trace = Pipeline(chunker=LineChunker(), retriever=BM25Retriever(), top_k=2).run(DOCUMENTS, QUERIES)
    assert list(trace.stages) == ["chunker", "retriever"]
    absent = (trace.vectors, trace.query_vectors, trace.similarity, trace.budget, trace.chunk_tokens)
    assert absent == (None,) * 5
    for record in trace.queries:
        assert record.reranked is None
        assert record.ranking is record.retrieved
        assert [c.id for c in record.context] == [hit.chunk_id for hit in record.retrieved]


def test_tokens_are_those_of_the_embedder_where_no_packer_counts() -> None:
    trace = replace(PIPELINE, packer=AnyPacker(list)).run(DOCUMENTS, QUERIES)
    assert trace.budget is None
    assert trace.chunk_tokens == (4, 3, 2, 2, 5)


def test_without_a_reranker_the_candidates_are_the_context() -> None:
    pipeline = replace(PIPELINE, reranker=None, packer=None, candidates=50, top_k=3)
    assert pipeline.n == 3
    assert replace(PIPELINE, candidates=7).n == 7
    trace = pipeline.run(DOCUMENTS, QUERIES)
    assert trace.candidates == 3
    assert [len(q.retrieved) for q in trace.queries] == [3, 3, 3]
    # Candidates below top_k matter to nobody then.
    assert replace(pipeline, candidates=1).n == 3


def test_an_estimate_is_what_is_then_asked() -> None:
    pipeline, embedder, reranker = counting()
    estimate = pipeline.estimate(DOCUMENTS, QUERIES)
    assert (embedder.documents, embedder.queries, reranker.calls) == ([], [], [])
    trace = pipeline.run(DOCUMENTS, QUERIES)
    texts = [*embedder.documents[0], *embedder.queries[0]]
    assert (estimate.documents, estimate.chunks, estimate.queries) == (2, len(trace.chunks), 3)
    assert estimate.texts == len(texts) == 7
    assert estimate.tokens == sum(HashingEmbedder().count_tokens(texts))
    assert estimate.pairs == sum(reranker.calls) == 12
    costs = {cost.work: cost for cost in trace.costs.stages}
    embedded = [costs["texts embedded"], costs["queries embedded"]]
    assert sum(cost.count for cost in embedded) == estimate.texts
    assert sum(cost.tokens or 0 for cost in embedded) == estimate.tokens
    assert costs["pairs scored"].count == estimate.pairs


def test_an_estimate_knows_of_stages_that_are_absent_or_do_not_count() -> None:
    plain = Pipeline(chunker=LineChunker(), retriever=BM25Retriever()).estimate(DOCUMENTS, QUERIES)
    assert (plain.texts, plain.tokens, plain.pairs) == (0, None, 0)
    uncounted = replace(PIPELINE, embedder=SeededEmbedder(0)).estimate(DOCUMENTS, QUERIES)
    assert (uncounted.texts, uncounted.tokens) == (7, None)
    # There are five chunks only, however many candidates are asked for.
    assert replace(PIPELINE, candidates=50).estimate(DOCUMENTS, QUERIES).pairs == 15


def test_costs_have_a_row_for_each_piece_of_work() -> None:
    trace = PIPELINE.run(DOCUMENTS, QUERIES)
    table = trace.costs.table()
    assert list(table.columns) == ["stage", "work", "count", "tokens", "seconds"]
    rows = [tuple(row) for row in table[["stage", "work", "count"]].itertuples(index=False)]
    assert rows == [
        ("chunker", "documents cut", 2),
        ("embedder", "texts embedded", 4),
        ("retriever", "chunks indexed", 5),
        ("embedder", "queries embedded", 3),
        ("retriever", "queries searched", 3),
        ("reranker", "pairs scored", 12),
        ("packer", "contexts packed", 3),
    ]
    assert table["tokens"].dropna().tolist() == [14, 15]
    assert str(table["tokens"].dtype) == "Int64"
    assert (table["seconds"] >= 0).all()
    assert trace.costs.latency == {}
    assert trace.costs.latency_table().empty


def test_costs_of_two_runs_of_one_index_are_apart() -> None:
    index = PIPELINE.index(DOCUMENTS)
    assert isinstance(index, Index)
    first, second = index.run(QUERIES), index.run(QUERIES[:1])
    assert len(index.costs.stages) == 3
    assert len(first.costs.stages) == len(second.costs.stages) == 7
    assert second.costs.table()["count"].tolist()[3:] == [1, 1, 4, 1]
    assert second.queries == first.queries[:1]


@pytest.mark.parametrize(("asked", "measured"), [(1, 1), (2, 2), (9, 3)])
def test_latency_is_measured_one_query_at_a_time_in_a_pass_of_its_own(asked: int, measured: int) -> None:
    pipeline, embedder, reranker = counting()
    trace = pipeline.run(DOCUMENTS, QUERIES, latency_queries=asked)
    assert embedder.queries == [[q.text for q in QUERIES], *[[q.text] for q in QUERIES[:measured]]]
    assert reranker.calls == [4] * (3 + measured)
    table = trace.costs.latency_table()
    assert list(table.columns) == ["stage", "p50", "p95", "n"]
    assert table["stage"].tolist() == ["embedder", "retriever", "reranker", "packer", "total"]
    assert table["n"].tolist() == [measured] * 5
    assert (table["p95"] >= table["p50"]).all()
    seconds = trace.costs.latency
    stages = [seconds[stage] for stage in ("embedder", "retriever", "reranker", "packer")]
    np.testing.assert_allclose(np.sum(stages, axis=0), seconds["total"])
    np.testing.assert_allclose(table["p50"].iloc[-1], 1e3 * np.median(seconds["total"]))
    # The pass adds nothing to the costs of the run.
    assert trace.costs.table().set_index("work").loc["pairs scored", "count"] == 12


def test_two_runs_are_equal() -> None:
    one, two = (PIPELINE.run(DOCUMENTS, QUERIES) for _ in range(2))
    assert one.queries == two.queries
    assert one.chunks == two.chunks
    assert one.vectors is not None
    np.testing.assert_array_equal(one.vectors, two.vectors)


def test_no_queries_are_no_error() -> None:
    trace = PIPELINE.run(DOCUMENTS, [])
    assert trace.queries == ()
    assert len(trace.chunks) == 5


def test_progress_is_shown_where_asked(capsys: pytest.CaptureFixture[str]) -> None:
    PIPELINE.run(DOCUMENTS, QUERIES)
    assert capsys.readouterr().err == ""
    PIPELINE.run(DOCUMENTS, QUERIES, progress=True)
    shown = capsys.readouterr()
    assert "chunking" in shown.err
    assert "reranking" in shown.err
    assert shown.out == ""
    PIPELINE.run(DOCUMENTS, QUERIES, progress=False)
    assert capsys.readouterr().err == ""


def test_documents_that_cannot_be_indexed() -> None:
    with pytest.raises(DataError, match="the corpus is empty: there are no documents"):
        PIPELINE.run([], QUERIES)
    with pytest.raises(DataError, match="the corpus is empty"):
        PIPELINE.estimate([], QUERIES)
    with pytest.raises(DataError, match="1 document ids are not unique, the first is 'a'"):
        PIPELINE.run([*DOCUMENTS, DOCUMENTS[0]], QUERIES)
    with pytest.raises(DataError, match="2 query ids are not unique, the first is 'q1'"):
        PIPELINE.run(DOCUMENTS, [*QUERIES, *QUERIES[:2]])


def test_empty_documents_are_warned_of_and_indexed_around() -> None:
    message = "2 of 4 documents hold no text, the first is 'blank'"
    documents = [*DOCUMENTS, Document("blank", " \n"), Document("empty", "")]
    with pytest.warns(RagdiagWarning, match=message):
        trace = PIPELINE.run(documents, QUERIES)
    assert trace.queries == PIPELINE.run(DOCUMENTS, QUERIES).queries
    with pytest.warns(RagdiagWarning), pytest.raises(StageError, match="made no chunk from 2 documents"):
        PIPELINE.run(documents[2:], QUERIES)


def test_a_pipeline_is_a_frozen_value() -> None:
    same = replace(PIPELINE)
    assert same == PIPELINE
    assert list(PIPELINE.plugs) == ["chunker", "embedder", "retriever", "reranker", "packer"]
    with pytest.raises(FrozenInstanceError):
        PIPELINE.top_k = 9  # type: ignore[misc]
    defaults = Pipeline(chunker=LineChunker(), retriever=BM25Retriever())
    assert (defaults.candidates, defaults.top_k) == (50, 5)
    assert list(defaults.plugs) == ["chunker", "retriever"]


class Budgeted:
    def __init__(self, budget: Any, tokens: Any = len) -> None:
        self.budget = budget
        if tokens is not None:
            self.tokens = tokens

    def pack(self, query: str, chunks: Sequence[Chunk]) -> Sequence[Chunk]:  # noqa: ARG002
        return chunks


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"chunker": TableReranker({})}, "chunker: expected an object with chunk, got TableReranker"),
        (
            {"embedder": WholeChunker()},
            "embedder: expected an object with embed_documents and embed_queries, got WholeChunker",
        ),
        ({"retriever": WholeChunker()}, "retriever: expected an object with build, got WholeChunker"),
        ({"reranker": WholeChunker()}, "reranker: expected an object with score, got WholeChunker"),
        ({"packer": WholeChunker()}, "packer: expected an object with pack, got WholeChunker"),
        ({"chunker": WholeChunker}, "chunker: expected an object with chunk, got the class WholeChunker"),
        ({"top_k": 0}, "top_k must be a whole number of at least 1, got 0"),
        ({"top_k": 2.0}, "top_k must be a whole number of at least 1, got 2.0"),
        ({"top_k": 5, "candidates": 4}, r"candidates \(4\) must be at least top_k \(5\)"),
        ({"retriever": BM25Retriever()}, "BM25Retriever ignores vectors: drop the embedder"),
        (
            {"retriever": HybridRetriever([BM25Retriever(), BM25Retriever(b=0)])},
            "HybridRetriever ignores vectors: drop the embedder",
        ),
        ({"packer": Budgeted(5, None)}, r"Budgeted declares a budget but no tokens\(chunk\)"),
        ({"packer": Budgeted(-1)}, "Budgeted.budget must be >= 0, got -1"),
    ],
)
def test_pipelines_that_cannot_work(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(PIPELINE, **options)


def test_an_unknown_similarity_is_refused_before_anything_is_embedded() -> None:
    class Compared(CountingEmbedder):
        similarity = "euclid"

    embedder = Compared(HashingEmbedder(8))
    message = "Compared.similarity must be 'cosine', 'dot' or 'l2', got 'euclid'"
    with pytest.raises(ConfigError, match=message):
        replace(PIPELINE, embedder=embedder).run(DOCUMENTS, QUERIES)
    assert embedder.documents == []


def test_an_exact_search_without_an_embedder_is_told_so() -> None:
    pipeline = Pipeline(chunker=LineChunker(), retriever=ExactRetriever())
    with pytest.raises(ConfigError, match="the pipeline needs an embedder"):
        pipeline.run(DOCUMENTS, QUERIES)


def test_hybrid_and_undeclared_retrievers_go_with_an_embedder() -> None:
    hybrid = HybridRetriever([BM25Retriever(), ExactRetriever()])
    trace = replace(PIPELINE, retriever=hybrid).run(DOCUMENTS, QUERIES)
    assert trace.vectors is not None
    assert replace(PIPELINE, packer=Budgeted(None)).run(DOCUMENTS, QUERIES).budget is None
