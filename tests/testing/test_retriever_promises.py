"""The promises of a retriever: each is broken by one that is wrong in one way, and the message says so."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from broken_promises import (
    Row,
    broken_by,
    check_broken,
    check_complete,
    each_row,
    names,
)
from plugs import (
    AnyRetriever,
)

from ragdiag import testing
from ragdiag.errors import ConfigError
from ragdiag.records import Chunk, Document, Hit, Request
from ragdiag.stages.protocols import Retriever, Vectors
from ragdiag.stages.ranking import order_by_score
from ragdiag.stages.retrievers import (
    BM25Retriever,
    ExactRetriever,
    FaissRetriever,
    HybridRetriever,
    matches,
)
from ragdiag.testing.samples import filters_for, sample_chunks, sample_requests, sample_vectors
from ragdiag.testing.searches import difference


@dataclass(frozen=True)
class Tampered:
    """Exact search, with something done to what goes in and what comes out."""

    before_build: Callable[[list[Chunk], Vectors], object] = lambda *_: None
    before_search: Callable[[list[Request]], object] = lambda _: None
    after_search: Callable[[Sequence[Request], list[list[Hit]]], Any] = lambda _, rankings: rankings
    inner: ExactRetriever = field(default=ExactRetriever(), repr=False)
    cut_first: bool = False
    ignores_filters: bool = False

    def build(self, chunks: Any, vectors: Any) -> _TamperedSearcher:
        self.before_build(chunks, vectors)
        return _TamperedSearcher(self, chunks, self.inner.build(list(chunks), vectors.copy()))


@dataclass(frozen=True)
class _TamperedSearcher:
    retriever: Tampered
    chunks: Sequence[Chunk] = field(repr=False)
    inner: Any = field(repr=False)

    def search(self, requests: Any, n: int) -> Any:
        retriever = self.retriever
        retriever.before_search(requests)
        if retriever.cut_first or retriever.ignores_filters:
            asked = [replace(request, filter=None) for request in requests]
            rankings = self.inner.search(asked, n)
        else:
            rankings = self.inner.search([*requests], n)
        if retriever.cut_first:
            metadata = {chunk.id: chunk.metadata for chunk in self.chunks}
            rankings = [
                [hit for hit in hits if matches(metadata[hit.chunk_id], request.filter)]
                for request, hits in zip(requests, rankings, strict=True)
            ]
        return retriever.after_search(requests, rankings)


def refuses_small(chunks: Sequence[Chunk], vectors: Vectors) -> None:  # noqa: ARG001
    if len(chunks) < 8:
        raise ValueError("8 clusters need 8 vectors")


def scales_in_place(chunks: Sequence[Chunk], vectors: Vectors) -> None:  # noqa: ARG001
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


def forgets_chunks(chunks: list[Chunk], vectors: Vectors) -> None:  # noqa: ARG001
    chunks.reverse()


def scales_requests(requests: Sequence[Request]) -> None:
    for request in requests:
        assert request.vector is not None
        np.multiply(request.vector, 2, out=request.vector)


def needs_requests(requests: Sequence[Request]) -> None:
    np.stack([request.vector for request in requests])  # type: ignore[misc]


def as_distances(_: Sequence[Request], rankings: list[list[Hit]]) -> list[list[Hit]]:
    return [[Hit(hit.chunk_id, 1 - hit.score) for hit in hits] for hits in rankings]


def by_the_best_of_the_batch(_: Sequence[Request], rankings: list[list[Hit]]) -> list[list[Hit]]:
    best = max((abs(hit.score) for hits in rankings for hit in hits), default=1) or 1
    return [[Hit(hit.chunk_id, hit.score / best) for hit in hits] for hits in rankings]


def ties_backwards(_: Sequence[Request], rankings: list[list[Hit]]) -> list[list[Hit]]:
    backwards = [hits[::-1] for hits in rankings]
    return [[hits[i] for i in order_by_score([hit.score for hit in hits])] for hits in backwards]


@dataclass(frozen=True)
class Tires(Tampered):
    """Each of its indexes drops the last hit of a search that it has answered before."""

    def build(self, chunks: Any, vectors: Any) -> Any:
        inner = super().build(chunks, vectors)
        answered: set[str] = set()

        class Tiring:
            def search(self, requests: Any, n: int) -> Any:
                asked = repr((n, [(request.query_id, request.filter) for request in requests]))
                last = -1 if asked in answered else None
                answered.add(asked)
                return [hits[:last] for hits in inner.search(requests, n)]

        return Tiring()


class Unlucky(Tampered):
    """Another order with each index that it builds."""

    seeds = itertools.count(1)

    def build(self, chunks: Any, vectors: Any) -> _TamperedSearcher:
        noise = np.random.default_rng(next(self.seeds)).normal(size=vectors.shape).astype(np.float32)
        return super().build(chunks, vectors + noise)


@dataclass(frozen=True)
class CannotCountSoFar(Tampered):
    def build(self, chunks: Any, vectors: Any) -> Any:
        searcher = super().build(chunks, vectors)

        class Limited:
            def search(self, requests: Any, n: int) -> Any:
                if n > len(chunks):
                    raise IndexError(f"kth(={n}) out of bounds ({len(chunks)})")
                return searcher.search(requests, n)

        return Limited()


def prefix_search(chunks: Sequence[Chunk], request: Request, n: int) -> list[Hit]:
    """A search in three lines, without vectors."""
    scores = [float(sum(word in chunk.index_text for word in request.text.split())) for chunk in chunks]
    allowed = [i for i in order_by_score(scores) if matches(chunks[i].metadata, request.filter)]
    return [Hit(chunks[i].id, scores[i]) for i in allowed[:n]]


@pytest.mark.parametrize(
    ("retriever", "smallest"),
    [
        (BM25Retriever(), 1),
        (ExactRetriever("cosine"), 1),
        (ExactRetriever("dot"), 1),
        (ExactRetriever("l2"), 1),
        (FaissRetriever("Flat"), 1),
        (FaissRetriever("HNSW32"), 1),
        (FaissRetriever("IVF8,Flat", parameters={"nprobe": 2}), 8),
        (HybridRetriever([BM25Retriever(), ExactRetriever()]), 1),
        (Tampered(), 1),
        (AnyRetriever(prefix_search, uses_vectors=False), 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_retrievers_that_keep_their_promises(retriever: Retriever, smallest: int) -> None:
    testing.check_retriever(retriever, smallest=smallest, also=["ties_in_order"])


BROKEN: list[Row] = [
    (
        CannotCountSoFar(),
        {"raises_nothing", "small_index"},
        ["requests for 360 hits: expected an answer, got IndexError: kth(=360) out of bounds (120)"],
    ),
    (
        Tampered(after_search=as_distances),
        {"valid_rankings"},
        ["hits must come best first (higher is better), but rank 2 scores"],
    ),
    (
        Tampered(before_build=refuses_small),
        {"small_index"},
        ["an index over 1 of the chunks: expected an answer, got ValueError: 8 clusters need 8 vectors"],
    ),
    (
        Tampered(after_search=lambda _, rankings: [[] for _ in rankings]),
        {"finds_something"},
        ["expected hits from 120 chunks, got none for any request"],
    ),
    (
        Tampered(before_search=needs_requests),
        {"no_requests_no_rankings"},
        ["no requests: expected an answer"],
    ),
    (Tires(), {"same_again"}, ["query 'q0', 1 hits, asked again: expected 1 hits, got 0"]),
    (
        Tampered(after_search=by_the_best_of_the_batch),
        {"same_alone"},
        ["query 'q0', 1 hits, alone, then among others: expected Hit(", "at rank 1, got Hit("],
    ),
    (Unlucky(), {"same_when_built_again"}, ["query 'q0', 1 hits, built again: expected Hit("]),
    (
        Tampered(before_build=scales_in_place),
        {"input_unchanged"},
        ["building over 120 vectors: expected them as they were, got 118 others, the first in row 0"],
    ),
    (Tampered(before_search=scales_requests), {"input_unchanged"}, ["query 'q0': expected its vector"]),
    (
        Tampered(ignores_filters=True),
        {"filters_hold"},
        ["filter {'lang': 'en'}: expected only chunks that it allows, got one with {'lang': "],
    ),
    (
        Tampered(cut_first=True),
        {"filters_take_no_places"},
        ["query 'q0', 3 hits, filter {'lang': 'en'}: expected 3 hits, since a search without it finds"],
    ),
    (
        Tampered(after_search=ties_backwards),
        {"ties_in_order"},
        ["which scores the same", "stands later in the corpus"],
    ),
]


@each_row(BROKEN)
def test_broken_retrievers(plug: Any, broken: set[str], says: Sequence[str]) -> None:
    check_broken(lambda: testing.check_retriever(plug, also=["ties_in_order"]), broken, says)


def test_every_promise_is_broken_once() -> None:
    check_complete("retriever", BROKEN)


def test_a_corpus_of_ones_own() -> None:
    chunks, vectors, requests = sample_chunks(30), sample_vectors(30, 4), sample_requests(3, 4)
    testing.check_retriever(ExactRetriever(), chunks, vectors, requests)
    testing.check_retriever(ExactRetriever(), chunks, vectors)
    testing.check_retriever(BM25Retriever(), chunks)
    testing.check_retriever(FaissRetriever("IVF8,Flat"), chunks, vectors, smallest=30)
    with pytest.raises(ConfigError, match="ExactRetriever uses vectors: give those of the chunks"):
        testing.check_retriever(ExactRetriever(), chunks)
    with pytest.raises(ConfigError, match="give chunks too"):
        testing.check_retriever(ExactRetriever(), vectors=vectors)
    forgetful = Tampered(before_build=forgets_chunks)
    assert names(broken_by(lambda: testing.check_retriever(forgetful, chunks, vectors, requests))) == {
        "input_unchanged"
    }


def test_a_retriever_that_builds_nothing_breaks_only_what_can_be_seen() -> None:
    error = broken_by(lambda: testing.check_retriever(FaissRetriever("IVF500,Flat")))
    assert names(error) == {"raises_nothing"}
    assert "building over 120 chunks: expected an answer, got ConfigError: FAISS cannot build" in str(error)
    testing.check_retriever(FaissRetriever("IVF500,Flat", parameters={"nprobe": 9}), smallest=500)


@pytest.mark.parametrize(
    ("expected", "got", "differs"),
    [
        ([("a", 2.0), ("b", 1.0)], [("a", 2.0), ("b", 1.0)], ""),
        ([("a", 2.0), ("b", 1.0)], [("a", 2.0)], "expected 2 hits, got 1"),
        ([("a", 1.0), ("b", 1.0)], [("b", 1.0), ("a", 1.0)], ""),
        ([("a", 1.0), ("b", 0.5)], [("b", 1.0), ("a", 0.5)], "at rank 1"),
        ([("a", 1.0), ("b", 0.5)], [("a", 1.0), ("c", 0.5)], ""),
        ([("a", 1.0), ("b", 0.5)], [("c", 1.0), ("b", 0.5)], "at rank 1"),
        ([("a", 1.0)], [("a", 1.1)], "at rank 1"),
        ([("a", 1000.0)], [("a", 1000.5)], ""),
    ],
)
def test_rankings_are_the_same_up_to_rounding(
    expected: list[tuple[str, float]], got: list[tuple[str, float]], differs: str
) -> None:
    before, now = ([Hit(*hit) for hit in hits] for hits in (expected, got))
    told = difference(before, now, 1e-3)
    assert bool(told) == bool(differs)
    assert differs in told


def test_filters_are_made_of_what_the_metadata_hold() -> None:
    metadata: list[Mapping[str, Any]] = [{"lang": "en", "year": 1}, {"lang": "de", "tags": ["a"]}]
    chunks = [Chunk.of(Document(f"d{i}", "x", m), (0, 1)) for i, m in enumerate(metadata)]
    filters = filters_for(chunks)
    allowed = [tuple(matches(m, wanted) for m in metadata) for wanted in filters]
    assert set(allowed) == {(True, True), (True, False), (False, False)}
    assert {key for wanted in filters for key in wanted} == {"lang", "year", "no such key"}
    assert any({"lang", "year"} <= wanted.keys() for wanted in filters)
