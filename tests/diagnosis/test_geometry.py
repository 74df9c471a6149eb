"""Hubs, anisotropy, equal texts and self-search against counts by hand and by brute force."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from plugs import AnyRetriever, SeededEmbedder, WholeChunker, exact_order
from scipy import stats
from scipy.spatial.distance import cdist

from ragdiag.diagnosis import geometry as module
from ragdiag.diagnosis.geometry import (
    cosines,
    find_itself,
    hub_counts,
    mean_cosine,
    norms,
    same_texts,
    skewness,
)
from ragdiag.errors import DataError, StageError
from ragdiag.records import Chunk, Document, Hit, Request
from ragdiag.stages.protocols import Similarity, Vectors
from ragdiag.stages.retrievers import BM25Retriever, ExactRetriever, FaissRetriever

SIMILARITIES: tuple[Similarity, ...] = ("cosine", "dot", "l2")

small = st.floats(-4, 4, width=32, allow_subnormal=False).map(lambda value: round(value * 2) / 2)
matrices = arrays.arrays(
    np.float32, st.tuples(st.integers(1, 12), st.integers(1, 4)), elements=small
)  # of few values: many rows are equal, opposite or zero


@pytest.fixture(autouse=True)
def blocks_of_three_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small blocks, so that every function goes through several of them."""
    monkeypatch.setattr(module, "BLOCK_ROWS", 3)
    monkeypatch.setattr(module, "_REQUESTS", 2)


def chunks_of(*texts: str) -> list[Chunk]:
    chunker = WholeChunker()
    return [chunk for i, text in enumerate(texts) for chunk in chunker.chunk(Document(f"d{i}", text))]


def random_vectors(seed: int, rows: int, dimensions: int) -> Vectors:
    return np.random.default_rng(seed).standard_normal((rows, dimensions)).astype(np.float32)


# Hubs


@given(matrices, st.integers(0, 10), st.integers(1, 14), st.sampled_from(SIMILARITIES))
def test_hub_counts_are_those_of_full_rankings(
    vectors: Vectors, seed: int, n: int, similarity: Similarity
) -> None:
    queries = SeededEmbedder(seed, vectors.shape[1]).embed_queries([str(i) for i in range(5)])
    expected = [0] * len(vectors)
    for query in queries:
        for row in exact_order(vectors, query, similarity)[:n]:
            expected[row] += 1
    assert hub_counts(vectors, queries, n, similarity).tolist() == expected


@given(matrices, st.integers(1, 14), st.sampled_from(SIMILARITIES), st.data())
def test_a_chunk_is_not_its_own_neighbor(
    vectors: Vectors, n: int, similarity: Similarity, data: st.DataObject
) -> None:
    rows = data.draw(st.lists(st.integers(0, len(vectors) - 1), max_size=5))
    expected = [0] * len(vectors)
    for own in rows:
        others = [row for row in exact_order(vectors, vectors[own], similarity) if row != own]
        for row in others[:n]:
            expected[row] += 1
    counts = hub_counts(vectors, vectors[rows], n, similarity, own_rows=rows)
    assert counts.tolist() == expected


def test_hubs_grow_with_the_dimension() -> None:
    """What Radovanović et al. show: k-occurrences of random points are skewed in many dimensions."""

    def skew(dimensions: int) -> float:
        vectors = random_vectors(0, 500, dimensions)
        return skewness(hub_counts(vectors, vectors, 10, "l2", own_rows=range(500)))

    assert skew(2) < 0.5
    assert skew(100) > 2


@given(st.lists(st.integers(0, 9), min_size=1, max_size=30))
def test_skewness_is_scipys(counts: list[int]) -> None:
    expected = stats.skew(counts) if len(set(counts)) > 1 else 0.0
    assert skewness(np.array(counts)) == pytest.approx(expected, abs=1e-9)


# Directions and lengths


@given(matrices)
def test_mean_cosine_is_that_of_all_pairs(vectors: Vectors) -> None:
    directed = [row for row in vectors.astype(np.float64) if row.any()]
    if len(directed) < 2:
        with pytest.raises(DataError, match=f"two vectors that are not zero, got {len(directed)}"):
            mean_cosine(vectors)
        return
    pairs = [float(a @ b / np.sqrt((a @ a) * (b @ b))) for a, b in combinations(directed, 2)]
    assert mean_cosine(vectors) == pytest.approx(np.mean(pairs), abs=1e-12)


@given(matrices)
def test_norms_are_those_of_single_rows(vectors: Vectors) -> None:
    expected = [float(np.sqrt(sum(float(value) ** 2 for value in row))) for row in vectors]
    assert norms(vectors) == pytest.approx(expected, abs=1e-12)
    assert norms(vectors).dtype == np.float64


def test_long_vectors_have_lengths_that_float32_cannot_hold() -> None:
    vectors = np.full((1, 100), 1e38, dtype=np.float32)
    assert norms(vectors)[0] == pytest.approx(1e39)


@given(matrices)
def test_cosines_are_scipys(vectors: Vectors) -> None:
    vector = vectors[-1]
    result = cosines(vectors, vector)
    directed = vectors.any(axis=1) & bool(vector.any())
    expected = 1 - cdist(vectors[directed], vector[None, :], "cosine")[:, 0] if directed.any() else []
    assert result[directed] == pytest.approx(expected, abs=1e-12)
    assert not result[~directed].any()
    assert result.dtype == np.float64


# Texts


@given(st.lists(st.text("ab \n", max_size=4), max_size=12))
def test_same_texts_are_every_pair_of_equals(texts: list[str]) -> None:
    groups = same_texts(texts)
    pairs = {pair for group in groups for pair in combinations(group, 2)}
    words = [text.split() for text in texts]
    assert pairs == {(i, j) for i, j in combinations(range(len(texts)), 2) if words[i] == words[j] != []}
    assert groups == sorted(groups)
    assert all(group == sorted(group) and len(group) > 1 for group in groups)


def test_words_that_run_together_are_another_text() -> None:
    assert same_texts(["a b", "ab", "a\u00a0b"]) == [[0, 2]]


# Self-search


@pytest.mark.parametrize("metric", SIMILARITIES)
def test_an_exact_index_finds_each_chunk_where_a_full_ranking_does(metric: Similarity) -> None:
    vectors = random_vectors(3, 20, 3)
    chunks = chunks_of(*(f"text {i}" for i in range(20)))
    searcher = ExactRetriever(metric).build(chunks, vectors)
    orders = [exact_order(vectors, vector, metric) for vector in vectors]
    expected = [order.index(row) + 1 for row, order in enumerate(orders)]
    found = find_itself(searcher, chunks, vectors, range(20), 4)
    assert found == [rank if rank <= 4 else None for rank in expected]
    # Long vectors outscore under a dot product, so that a short one does not find itself.
    assert (None in found) == (metric == "dot")


def test_rows_are_asked_in_the_order_given() -> None:
    chunks = chunks_of("a", "b", "c", "d", "e")
    vectors = np.array([[1, 0], [0, 1], [-1, 0], [0, -1], [0, 0]], dtype=np.float32)
    searcher = ExactRetriever().build(chunks, vectors)
    assert find_itself(searcher, chunks, vectors, [4, 2, 0], 5) == [5, 1, 1]
    assert find_itself(searcher, chunks, vectors, [], 5) == []


def test_equal_texts_and_equal_vectors_are_as_good_as_itself() -> None:
    chunks = chunks_of("one", "one ", "two", "three")
    vectors = np.array([[1, 0], [1, 0.01], [0, 1], [0, 1]], dtype=np.float32)
    first = ExactRetriever().build(chunks, vectors)
    assert find_itself(first, chunks, vectors, range(4), 1) == [1, 1, 1, 1]

    def another(chunks: list[Chunk], request: Request, n: int) -> list[Hit]:
        """Every chunk but the one that is asked for."""
        return [Hit(chunk.id, 0.0) for chunk in chunks if chunk.id != request.query_id][:n]

    never_itself = AnyRetriever(another).build(chunks, vectors)  # type: ignore[arg-type]
    assert find_itself(never_itself, chunks, vectors, range(4), 3) == [1, 1, 3, 3]
    assert find_itself(never_itself, chunks, None, range(4), 3) == [1, 1, None, None]


def test_an_index_that_lost_chunks_does_not_find_them() -> None:
    chunks = chunks_of(*(f"text {i}" for i in range(9)))
    vectors = random_vectors(5, 9, 4)
    kept = [0, 1, 3, 4, 6, 8]
    searcher = FaissRetriever("Flat").build([chunks[row] for row in kept], vectors[kept])
    assert find_itself(searcher, chunks, vectors, range(9), 9) == [
        1 if row in kept else None for row in range(9)
    ]


def test_a_search_of_texts_is_asked_for_the_index_text() -> None:
    document = Document("d", "alpha beta gamma")
    chunks = [
        Chunk.of(document, (0, 5)),
        Chunk.of(document, (6, 10), index_text="headings about delta"),
        Chunk.of(document, (11, 16)),
    ]
    searcher = BM25Retriever().build(chunks, None)
    assert find_itself(searcher, chunks, None, range(3), 1) == [1, 1, 1]


def test_a_searcher_that_breaks_its_contract_is_named_with_the_chunk() -> None:
    chunks = chunks_of("a", "b")
    searcher = AnyRetriever(lambda *_: [Hit("nowhere", 1.0)]).build(chunks, None)
    with pytest.raises(StageError, match=r"query 'd1#0-1': rank 1 is the unknown chunk 'nowhere'"):
        find_itself(searcher, chunks, None, [1], 1)
