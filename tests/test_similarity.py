"""Exact search and exact ranks against a full sort in float64."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ragdiag.stages import similarity as module
from ragdiag.stages.protocols import Similarity, Vectors
from ragdiag.stages.similarity import exact_ranks, exact_scores, nearest

SIMILARITIES: tuple[Similarity, ...] = ("cosine", "dot", "l2")


def full_order(vectors: Vectors, query: Vectors, similarity: Similarity) -> list[int]:
    """Every row, best first, by plain Python sorting of float64 scores."""
    a, q = vectors.astype(np.float64), query.astype(np.float64)
    scores = []
    for row in a:
        product = float((row * q).sum())
        if similarity == "l2":
            scores.append(-float(((row - q) ** 2).sum()))
        elif similarity == "dot":
            scores.append(product)
        else:
            norm = float(np.sqrt((row**2).sum()) * np.sqrt((q**2).sum()))
            scores.append(product / norm if norm else 0.0)
    return sorted(range(len(scores)), key=lambda i: (-scores[i], i))


def crowded(seed: int, rows: int, dimensions: int) -> NDArray[np.float32]:
    """Vectors with exact duplicates and near duplicates, where rounding would show."""
    rng = np.random.default_rng(seed)
    base = rng.standard_normal((max(rows // 4, 1), dimensions)).astype(np.float32)
    picked = base[rng.integers(0, len(base), rows)]
    nudged = rng.random(rows) < 0.3
    picked[nudged] *= np.float32(1 + 1e-7)
    picked[rng.random(rows) < 0.05] = 0
    return picked


def almost_unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows whose length is 1 but for rounding, as embedders make them."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    first = np.eye(1, vectors.shape[1], dtype=np.float32)
    return np.where(lengths > 0, vectors / np.where(lengths > 0, lengths, 1), first).astype(np.float32)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    shape=st.tuples(st.integers(1, 90), st.integers(1, 20)),
    n=st.integers(1, 30),
    block=st.sampled_from([1, 7, 8, 64]),
    similarity=st.sampled_from(SIMILARITIES),
    unit=st.booleans(),
)
def test_nearest_and_ranks_equal_a_full_sort(
    seed: int, shape: tuple[int, int], n: int, block: int, similarity: Similarity, *, unit: bool
) -> None:
    rows, dimensions = shape
    vectors = crowded(seed, rows, dimensions)
    if unit:
        vectors = almost_unit(vectors)
    queries = crowded(seed + 1, 5, dimensions)
    queries[0] = vectors[0]
    orders = [full_order(vectors, query, similarity) for query in queries]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK_ROWS", block)
        patch.setattr(module, "_BLOCK_QUERIES", 3)
        found = nearest(vectors, queries, n, similarity)
        targets = [np.arange(i % 3 * rows // 2, dtype=np.intp) for i in range(len(queries))]
        ranks = exact_ranks(vectors, queries, targets, similarity)
    assert [neighbors.rows.tolist() for neighbors in found] == [order[:n] for order in orders]
    assert [r.tolist() for r in ranks] == [
        [order.index(int(t)) + 1 for t in wanted] for order, wanted in zip(orders, targets, strict=True)
    ]


def test_masks_restrict_the_search() -> None:
    vectors = crowded(3, 50, 8)
    query = crowded(4, 1, 8)
    mask = np.arange(50) % 3 == 0
    found = nearest(vectors, query, 10, "cosine", allowed=[mask])[0]
    expected = [row for row in full_order(vectors, query[0], "cosine") if mask[row]][:10]
    assert found.rows.tolist() == expected
    nothing = nearest(vectors, query, 10, "cosine", allowed=[np.zeros(50, dtype=bool)])[0]
    assert nothing.rows.tolist() == []


def test_many_rows_in_real_blocks() -> None:
    vectors = crowded(5, 20_000, 16)
    queries = crowded(6, 3, 16)
    found = nearest(vectors, queries, 40, "cosine")
    ranks = exact_ranks(vectors, queries, [f.rows for f in found], "cosine")
    for neighbors, rank, query in zip(found, ranks, queries, strict=True):
        assert rank.tolist() == list(range(1, 41))
        assert neighbors.scores.tolist() == exact_scores(query, vectors[neighbors.rows], "cosine").tolist()


def test_no_targets_no_ranks() -> None:
    vectors = crowded(7, 10, 4)
    assert [r.tolist() for r in exact_ranks(vectors, vectors[:2], [np.arange(0), np.arange(0)], "dot")] == [
        [],
        [],
    ]
