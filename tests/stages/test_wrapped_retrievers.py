from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contracts_retrievers import check_retriever, some_chunks, some_requests, some_vectors
from plugs import WholeChunker

from ragdiag import (
    Diagnosis,
    Document,
    Evidence,
    HashingEmbedder,
    Pipeline,
    Query,
    Span,
    diagnose,
    read_pipeline,
)
from ragdiag.errors import ConfigError, StageError
from ragdiag.records import Chunk, Hit, Request
from ragdiag.stages.protocols import Retriever, Searcher, Vectors, arms_of, uses_vectors
from ragdiag.stages.retrievers import (
    BM25Retriever,
    DistinctRetriever,
    ExactRetriever,
    FaissRetriever,
    HybridRetriever,
    MMRRetriever,
    ThresholdRetriever,
)

CHUNKS = some_chunks(120)
VECTORS = some_vectors(120)
REQUESTS = some_requests(6)

BOTH = HybridRetriever([BM25Retriever(), ExactRetriever()])


def children(n: int) -> list[Chunk]:
    """Chunks by threes under one parent, whose spans and text they share."""
    chunks = some_chunks(n)
    return [
        Chunk(chunk.id, chunks[row // 3 * 3].spans, chunks[row // 3 * 3].text, chunk.text, chunk.metadata)
        for row, chunk in enumerate(chunks)
    ]


@dataclass(frozen=True)
class Fixed:
    """Returns the same ranking whatever is asked, cut at n, and notes each n."""

    hits: Sequence[tuple[str, float]]
    asked: list[int] = field(default_factory=list)

    def build(self, chunks: Sequence[Chunk], vectors: Vectors | None) -> Fixed:  # noqa: ARG002
        return self

    def search(self, requests: Sequence[Request], n: int) -> list[list[Hit]]:
        self.asked.extend([n] * len(requests))
        return [[Hit(*hit) for hit in self.hits[:n]] for _ in requests]


# --- what all of them promise


@pytest.mark.parametrize(
    "retriever",
    [
        ThresholdRetriever(ExactRetriever(), min_score=-1),
        ThresholdRetriever(ExactRetriever("l2"), min_score=-200),
        ThresholdRetriever(FaissRetriever("HNSW16", metric="dot"), min_score=-1e6),
        ThresholdRetriever(BM25Retriever(), min_score=0),
        ThresholdRetriever(BOTH, min_score=0.001),
        MMRRetriever(ExactRetriever()),
        MMRRetriever(ExactRetriever("l2"), trade_off=0.9),
        MMRRetriever(FaissRetriever("Flat", metric="dot"), trade_off=0, fetch=10),
        MMRRetriever(FaissRetriever("SQ8"), trade_off=1, fetch=1),
        MMRRetriever(BOTH, fetch=500),
        DistinctRetriever(ExactRetriever()),
        DistinctRetriever(BM25Retriever()),
        DistinctRetriever(FaissRetriever("HNSW16", metric="l2")),
        DistinctRetriever(BOTH),
        DistinctRetriever(ThresholdRetriever(MMRRetriever(BOTH), min_score=-2)),
        HybridRetriever(
            [ThresholdRetriever(BM25Retriever(), min_score=0), MMRRetriever(ExactRetriever())],
            fusion="weighted",
        ),
    ],
    ids=repr,
)
@pytest.mark.parametrize("chunks", [CHUNKS, children(120)], ids=["apart", "children"])
def test_contract(retriever: Retriever, chunks: list[Chunk]) -> None:
    check_retriever(retriever, chunks, VECTORS, REQUESTS[:2])


AROUND: list[Any] = [
    lambda inner: ThresholdRetriever(inner, min_score=0.1),
    MMRRetriever,
    DistinctRetriever,
]
around = pytest.mark.parametrize("around", AROUND, ids=["threshold", "mmr", "distinct"])


@around
def test_what_is_inside_is_declared(around: Any) -> None:
    exact = ExactRetriever("l2")
    assert around(exact).metric == "l2"
    assert around(around(exact)).metric == "l2"
    assert around(BOTH).metric is None
    for inner in (exact, BOTH):
        retriever = around(inner)
        assert uses_vectors(retriever)
        assert arms_of(retriever) == (inner,)
        [searcher] = retriever.build(CHUNKS, VECTORS).arms
        expected = inner.build(CHUNKS, VECTORS)
        assert searcher.search(REQUESTS, 9) == expected.search(REQUESTS, 9)
    texts = HybridRetriever([BM25Retriever(), BM25Retriever(b=0)])
    if around is not MMRRetriever:
        assert not uses_vectors(around(texts))
        assert around(texts).build(CHUNKS, None).search(REQUESTS[:1], 1)


@around
@pytest.mark.parametrize(
    ("inner", "message"),
    [(ExactRetriever, "the class ExactRetriever"), ("faiss", "'faiss'"), (None, "None")],
)
def test_what_is_no_retriever(around: Any, inner: object, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"Retriever\.retriever must be .*build.*, got {message}"):
        around(inner)


@pytest.mark.parametrize("around", [MMRRetriever, DistinctRetriever])
def test_a_retriever_that_invents_a_chunk_is_named(around: Any) -> None:
    with pytest.raises(StageError, match=r"Fixed\(.*unknown chunk 'nowhere'"):
        around(Fixed([("nowhere", 1.0)])).build(CHUNKS, VECTORS).search(REQUESTS[:1], 3)


def test_mmr_needs_the_vector_of_a_query() -> None:
    searcher = MMRRetriever(Fixed([(CHUNKS[0].id, 1.0)])).build(CHUNKS, VECTORS)
    with pytest.raises(StageError, match=r"query 'q': has no vector"):
        searcher.search([Request("q", "parcel")], 3)


@around
def test_the_recipe_prints_its_options_and_can_be_pickled(around: Any) -> None:
    retriever = around(BOTH)
    assert f"(retriever={BOTH!r}" in repr(retriever)
    assert pickle.loads(pickle.dumps(retriever)) == retriever  # noqa: S301  # our own bytes
    assert hash(retriever) == hash(around(BOTH))
    assert retriever != around(ExactRetriever())


def test_reprs() -> None:
    exact = "ExactRetriever(metric='cosine')"
    assert [repr(around(ExactRetriever())) for around in AROUND] == [
        f"ThresholdRetriever(retriever={exact}, min_score=0.1)",
        f"MMRRetriever(retriever={exact}, trade_off=0.5, fetch=100)",
        f"DistinctRetriever(retriever={exact})",
    ]


@dataclass(frozen=True)
class Finished(Fixed):
    """Brings an index that it cannot build, and names what could."""

    recipe: Retriever = field(default_factory=ExactRetriever)


@around
def test_a_recipe_reaches_the_finished_index_at_any_depth(around: Any) -> None:
    finished = Finished([])
    assert around(finished).recipe == around(ExactRetriever())
    assert around(BOTH).recipe == around(BOTH)
    hybrid = HybridRetriever([around(finished), BM25Retriever()], weights=[2, 1])
    expected = replace(hybrid, arms=[around(ExactRetriever()), BM25Retriever()])
    assert around(hybrid).recipe == around(expected)


# --- threshold


@pytest.mark.parametrize(
    ("min_score", "kept"), [(0.5, 3), (0.50001, 2), (-9, 5), (2, 0)], ids=["equal", "above", "all", "none"]
)
def test_hits_below_the_threshold_are_dropped(min_score: float, kept: int) -> None:
    hits = [(CHUNKS[i].id, score) for i, score in enumerate([0.9, 0.7, 0.5, 0.2, -0.1])]
    searcher = ThresholdRetriever(Fixed(hits), min_score=min_score).build(CHUNKS, VECTORS)
    assert searcher.search(REQUESTS[:1], 10) == [[Hit(*hit) for hit in hits[:kept]]]
    assert searcher.search(REQUESTS[:1], 1) == [[Hit(*hit) for hit in hits[: min(kept, 1)]]]


@pytest.mark.parametrize("min_score", [np.nan, np.inf, -np.inf])
def test_a_threshold_that_is_no_number(min_score: float) -> None:
    with pytest.raises(ConfigError, match=r"ThresholdRetriever\.min_score must be a finite number"):
        ThresholdRetriever(ExactRetriever(), min_score=min_score)


# --- distinct


def brute_distinct(inner: Searcher, chunks: Sequence[Chunk], request: Request, n: int) -> list[Hit]:
    [everything] = inner.search([request], len(chunks))
    spans = {chunk.id: chunk.spans for chunk in chunks}
    kept: list[Hit] = []
    for hit in everything:
        if all(spans[hit.chunk_id] != spans[other.chunk_id] for other in kept):
            kept.append(hit)
    return kept[:n]


@pytest.mark.parametrize("inner", [ExactRetriever(), BM25Retriever(), HybridRetriever(BOTH.arms, depth=120)])
@pytest.mark.parametrize("wanted", [None, {"lang": "de"}, {"lang": ["de", "fr"], "even": True}])
def test_each_passage_comes_once_by_its_best_chunk(inner: Retriever, wanted: dict[str, Any] | None) -> None:
    chunks = children(120)
    requests = [replace(request, filter=wanted) for request in REQUESTS]
    vectors = VECTORS if uses_vectors(inner) else None
    searcher, alone = (r.build(chunks, vectors) for r in (DistinctRetriever(inner), inner))
    for n in (1, 5, 30, 120):
        expected = [brute_distinct(alone, chunks, request, n) for request in requests]
        assert searcher.search(requests, n) == expected


def test_more_is_asked_for_only_until_there_are_enough() -> None:
    chunks = children(120)  # three children a parent, and the ranking goes through them in turn
    ranking = [(chunk.id, -float(row)) for row, chunk in enumerate(chunks)]
    for n, hits, asked in ((2, 120, [2, 8]), (1, 120, [1]), (10, 120, [10, 40]), (40, 120, [40, 160])):
        inner = Fixed(ranking[:hits])
        [found] = DistinctRetriever(inner).build(chunks, None).search(REQUESTS[:1], n)
        assert [hit.chunk_id for hit in found] == [chunk.id for chunk in chunks[::3][:n]]
        assert inner.asked == asked
    inner = Fixed(ranking[:5])  # there is no more to be had: it is not asked again
    [found] = DistinctRetriever(inner).build(chunks, None).search(REQUESTS[:1], 6)
    assert len(found) == 2
    assert inner.asked == [6]


def test_a_retriever_that_repeats_itself_is_not_asked_for_ever() -> None:
    @dataclass(frozen=True)
    class Repeating(Fixed):
        def search(self, requests: Sequence[Request], n: int) -> list[list[Hit]]:
            return [[Hit(CHUNKS[4].id, 1.0)] * n for _ in requests]

    searcher = DistinctRetriever(Repeating([])).build(CHUNKS, None)
    assert searcher.search(REQUESTS[:2], 7) == [[Hit(CHUNKS[4].id, 1.0)]] * 2


# --- in a pipeline

DOCUMENTS = [
    Document("returns", "Goods may be returned within 30 days of delivery."),
    Document("refunds", "A refund takes up to ten working days."),
    Document("parcels", "Parcels under two kilograms ship for free."),
    Document("E-417", "Code E-417 means that the courier could not find the address."),
    Document("vouchers", "Vouchers are valid for three years."),
]
QUERIES = [
    Query("q1", "How long may goods be returned?", [Evidence.of(Span("returns", 29, 36))]),
    Query("q2", "What does code E-417 mean?", [Evidence.of(Span("E-417", 5, 10))]),
    Query("q3", "When is my money back?", [Evidence.of(Span("refunds", 21, 38))]),
]


def diagnosed(retriever: Retriever) -> Diagnosis:
    pipeline = Pipeline(
        chunker=WholeChunker(), embedder=HashingEmbedder(ngram=0), retriever=retriever, top_k=1
    )
    return diagnose(pipeline, DOCUMENTS, QUERIES, verify=False)


def test_the_exact_candidates_are_those_of_what_is_inside() -> None:
    plain = diagnosed(BOTH).ceilings
    shut = ThresholdRetriever(BM25Retriever(), min_score=1e9)
    for retriever in (
        *(around(BOTH) for around in AROUND),
        MMRRetriever(DistinctRetriever(BOTH)),
        HybridRetriever([ThresholdRetriever(BM25Retriever(), min_score=0), ExactRetriever()]),
        HybridRetriever([shut, ExactRetriever()]),  # what a threshold drops is the retriever's loss
    ):
        assert diagnosed(retriever).ceilings.iloc[:5].equals(plain.iloc[:5])


def test_from_toml(tmp_path: Path) -> None:
    file = tmp_path / "pipeline.toml"
    file.write_text(
        """
        [chunker]
        kind = "recursive"
        [embedder]
        kind = "hashing"
        [retriever]
        kind = "ragdiag.stages.retrievers:DistinctRetriever"
        [retriever.retriever]
        kind = "ragdiag.stages.retrievers:MMRRetriever"
        trade_off = 0.7
        [retriever.retriever.retriever]
        kind = "hybrid"
        [[retriever.retriever.retriever.arms]]
        kind = "bm25"
        [[retriever.retriever.retriever.arms]]
        kind = "ragdiag.stages.retrievers:ThresholdRetriever"
        min_score = 0.2
        retriever = {kind = "exact"}
        """
    )
    assert read_pipeline(file).retriever == DistinctRetriever(
        MMRRetriever(
            HybridRetriever([BM25Retriever(), ThresholdRetriever(ExactRetriever(), min_score=0.2)]),
            trade_off=0.7,
        )
    )
