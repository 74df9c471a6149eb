"""The index of a changed pipeline: what is shared is not done again, every answer is that of a fresh one."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from plugs import BudgetPacker, CountingEmbedder, LineChunker, SeededReranker, WholeChunker

from ragdiag import (
    BM25Retriever,
    Chunk,
    Document,
    ExactRetriever,
    HashingEmbedder,
    HybridRetriever,
    Index,
    Pipeline,
    Query,
    RecursiveChunker,
    StageError,
)
from ragdiag.stages.protocols import Searcher, Vectors

DOCUMENTS = [
    Document("a", "refunds take five days\nshipping is free\nsame line"),
    Document("b", "same line\nthe warranty lasts two years"),
    Document("c", "one line alone"),
]
QUERIES = [
    Query("q1", "how long does a refund take"),
    Query("q2", "is shipping free"),
    Query("q3", "warranty"),
]


@dataclass(frozen=True)
class RecordingChunker:
    """Cuts as another one does, and keeps which documents it was given."""

    inner: Any
    given: list[str] = field(default_factory=list, compare=False, repr=False)

    def chunk(self, document: Document) -> Sequence[Chunk]:
        self.given.append(document.id)
        return self.inner.chunk(document)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class RecordingRetriever:
    """Searches as another one does, and counts how often it built an index."""

    inner: Any
    built: list[int] = field(default_factory=list, compare=False, repr=False)

    def build(self, chunks: Sequence[Chunk], vectors: Vectors | None) -> Searcher:
        self.built.append(len(chunks))
        return self.inner.build(chunks, vectors)  # type: ignore[no-any-return]


def recording() -> Pipeline:
    return Pipeline(
        chunker=RecordingChunker(LineChunker()),
        embedder=CountingEmbedder(HashingEmbedder(32)),
        retriever=RecordingRetriever(ExactRetriever()),
        top_k=2,
    )


def forget(pipeline: Pipeline) -> None:
    plugs: Any = pipeline
    plugs.chunker.given.clear()
    plugs.embedder.documents.clear()
    plugs.retriever.built.clear()


def work_of(index: Index) -> list[tuple[str, int]]:
    return [(cost.stage, cost.count) for cost in index.costs.stages]


# What is shared


def test_what_stands_behind_the_index_costs_nothing() -> None:
    pipeline = recording()
    index = pipeline.index(DOCUMENTS)
    forget(pipeline)
    other = replace(pipeline, reranker=SeededReranker(1), packer=BudgetPacker(30), candidates=4, top_k=3)
    changed = index.changed(other)
    assert changed.pipeline is other
    assert changed.searcher is index.searcher
    assert changed.vectors is index.vectors
    assert changed.chunks is index.chunks
    assert work_of(changed) == []
    plugs: Any = pipeline
    assert (plugs.chunker.given, plugs.embedder.documents, plugs.retriever.built) == ([], [], [])


def test_another_retriever_builds_over_the_same_vectors() -> None:
    pipeline = recording()
    index = pipeline.index(DOCUMENTS)
    forget(pipeline)
    other = RecordingRetriever(ExactRetriever("dot"))
    changed = index.changed(replace(pipeline, retriever=other))
    assert changed.vectors is index.vectors
    assert other.built == [6]
    assert work_of(changed) == [("retriever", 6)]
    plugs: Any = pipeline
    assert (plugs.chunker.given, plugs.embedder.documents) == ([], [])


def test_another_chunker_has_only_new_texts_embedded() -> None:
    pipeline = recording()
    index = pipeline.index(DOCUMENTS)
    forget(pipeline)
    other = RecordingChunker(WholeChunker())
    changed = index.changed(replace(pipeline, chunker=other))
    assert other.given == ["a", "b", "c"]
    plugs: Any = pipeline
    assert plugs.embedder.documents == [[DOCUMENTS[0].text, DOCUMENTS[1].text]], "'one line alone' is known"
    assert plugs.retriever.built == [3]
    assert work_of(changed) == [("chunker", 3), ("embedder", 2), ("retriever", 3)]
    [cost] = [cost for cost in changed.costs.stages if cost.stage == "embedder"]
    assert cost.tokens == 9 + 7


def test_another_embedder_embeds_all_of_the_same_chunks() -> None:
    pipeline = recording()
    index = pipeline.index(DOCUMENTS)
    forget(pipeline)
    other = CountingEmbedder(HashingEmbedder(16))
    changed = index.changed(replace(pipeline, embedder=other))
    assert changed.chunks is index.chunks
    assert [len(texts) for texts in other.documents] == [5]
    assert work_of(changed) == [("embedder", 5), ("retriever", 6)]


def test_an_equal_plug_is_the_same_plug() -> None:
    index = recording().index(DOCUMENTS)
    other = recording()  # other objects, equal until one of them has been asked something
    changed = index.changed(replace(other, embedder=index.pipeline.embedder))
    assert changed.searcher is index.searcher
    assert work_of(changed) == []


def test_a_chunker_that_cuts_alike_needs_no_embedding() -> None:
    pipeline = recording()
    index = pipeline.index(DOCUMENTS)
    forget(pipeline)
    changed = index.changed(replace(pipeline, chunker=LineChunker()))
    plugs: Any = pipeline
    assert plugs.embedder.documents == []
    assert work_of(changed) == [("chunker", 3), ("retriever", 6)]


def test_the_embedder_comes_and_goes() -> None:
    lexical = Pipeline(chunker=LineChunker(), retriever=BM25Retriever(), top_k=2)
    embedder = CountingEmbedder(HashingEmbedder(32))
    semantic = replace(
        lexical, embedder=embedder, retriever=HybridRetriever([ExactRetriever(), BM25Retriever()])
    )
    there = lexical.index(DOCUMENTS).changed(semantic)
    assert there.vectors is not None
    assert [len(texts) for texts in embedder.documents] == [5]
    back = there.changed(lexical)
    assert back.vectors is None
    assert back.run(QUERIES).queries == lexical.run(DOCUMENTS, QUERIES).queries
    assert there.run(QUERIES).queries == semantic.run(DOCUMENTS, QUERIES).queries


def test_plugs_that_cannot_be_compared_are_different() -> None:
    @dataclass(frozen=True)
    class Weighted:
        weights: Any

        def chunk(self, document: Document) -> list[Chunk]:
            return LineChunker().chunk(document)

    one, two = Weighted(np.ones(3)), Weighted(np.ones(3))
    index = Pipeline(chunker=one, retriever=BM25Retriever()).index(DOCUMENTS)
    assert work_of(index.changed(replace(index.pipeline, chunker=two))) == [("chunker", 3), ("retriever", 6)]
    assert work_of(index.changed(replace(index.pipeline, chunker=one))) == []


# Every answer is that of a fresh index

PARTS: dict[str, list[Any]] = {
    "chunker": [LineChunker(), RecursiveChunker(20), RecursiveChunker(30, overlap=10)],
    "embedder": [HashingEmbedder(32), HashingEmbedder(16, ngram=0)],
    "retriever": [ExactRetriever(), HybridRetriever([ExactRetriever(), BM25Retriever()])],
}
PIPELINES = [
    Pipeline(**dict(zip(PARTS, plugs, strict=True)), reranker=SeededReranker(2), candidates=4, top_k=2)
    for plugs in itertools.product(*PARTS.values())
]


@pytest.mark.parametrize("base", PIPELINES[::5], ids=lambda pipeline: str(pipeline.chunker))
def test_every_change_answers_as_a_fresh_pipeline(base: Pipeline) -> None:
    index = base.index(DOCUMENTS)
    for pipeline in PIPELINES:
        changed, fresh = index.changed(pipeline), pipeline.index(DOCUMENTS)
        assert changed.chunks == fresh.chunks
        assert changed.documents == fresh.documents
        np.testing.assert_array_equal(np.asarray(changed.vectors), np.asarray(fresh.vectors))
        got, expected = changed.run(QUERIES), fresh.run(QUERIES)
        assert (got.queries, got.stages, got.budget) == (expected.queries, expected.stages, expected.budget)
        assert [row.stage for row in got.costs.stages][-3:] == ["embedder", "retriever", "reranker"]


def test_changes_can_be_changed_again() -> None:
    index = PIPELINES[0].index(DOCUMENTS)
    for pipeline in PIPELINES:
        index = index.changed(pipeline)
    assert index.run(QUERIES).queries == PIPELINES[-1].run(DOCUMENTS, QUERIES).queries


def test_an_embedder_whose_vectors_change_their_length_is_refused() -> None:
    class Growing(HashingEmbedder):
        def embed_documents(self, texts: Sequence[str]) -> Vectors:
            return np.ones((len(texts), len(texts)), np.float32)

    index = Pipeline(chunker=LineChunker(), embedder=Growing(8), retriever=ExactRetriever()).index(DOCUMENTS)
    with pytest.raises(
        StageError, match=r"embedder: embed_documents: expected vectors of one length, got \[2, 5\]"
    ):
        index.changed(replace(index.pipeline, chunker=WholeChunker()))
