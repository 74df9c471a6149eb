from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from contracts_retrievers import some_chunks, some_requests, some_vectors
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ragdiag.errors import ConfigError
from ragdiag.records import Request
from ragdiag.stages.protocols import Vectors
from ragdiag.stages.retrievers import BM25Retriever, ExactRetriever, HybridRetriever, MMRRetriever

CHUNKS = some_chunks(120)
VECTORS = some_vectors(120)
REQUESTS = some_requests(6)


def cosine(a: Sequence[float], b: Sequence[float]) -> float:
    lengths = math.hypot(*a) * math.hypot(*b)
    return math.fsum(x * y for x, y in zip(a, b, strict=True)) / lengths if lengths else 0.0


def worth(vectors: Vectors, query: Vectors, chosen: Sequence[int], row: int, trade_off: float) -> float:
    """The definition, for one candidate and those chosen before it."""
    v = vectors.astype(float).tolist()
    redundancy = max((cosine(v[row], v[other]) for other in chosen), default=-1.0)
    return trade_off * cosine(query.astype(float).tolist(), v[row]) - (1 - trade_off) * redundancy


def found(vectors: Vectors, query: Vectors, n: int, **options: Any) -> list[tuple[int, float]]:
    """Rows and scores, of all chunks as candidates."""
    searcher = MMRRetriever(ExactRetriever(), **options).build(CHUNKS[: len(vectors)], vectors)
    [hits] = searcher.search([Request("q", "?", query)], n)
    row_of = {chunk.id: row for row, chunk in enumerate(CHUNKS)}
    return [(row_of[hit.chunk_id], hit.score) for hit in hits]


@st.composite
def cases(draw: st.DrawFn) -> tuple[Vectors, Vectors]:
    d = draw(st.integers(1, 4))
    numbers = st.one_of(st.integers(-2, 2).map(float), st.floats(-1e3, 1e3, width=32))
    rows = draw(st.integers(1, 12))
    vectors = draw(arrays(np.float32, (rows, d), elements=numbers))
    return vectors, draw(arrays(np.float32, (d,), elements=numbers))


@given(case=cases(), trade_off=st.sampled_from([0, 0.25, 0.3, 0.5, 0.9, 1]), n=st.integers(1, 15))
def test_each_choice_is_the_best_by_the_definition(
    case: tuple[Vectors, Vectors], trade_off: float, n: int
) -> None:
    vectors, query = case
    hits = found(vectors, query, n, trade_off=trade_off)
    rows, scores = [row for row, _ in hits], [score for _, score in hits]
    assert len(set(rows)) == len(rows) == min(n, len(vectors))
    assert hits == sorted(hits, key=lambda hit: (-hit[1], hit[0])), "best first, ties in the order of chunks"
    for step, (row, score) in enumerate(hits):
        left = [other for other in range(len(vectors)) if other not in rows[:step]]
        best = max(worth(vectors, query, rows[:step], other, trade_off) for other in left)
        assert score == pytest.approx(worth(vectors, query, rows[:step], row, trade_off), abs=1e-6)
        assert score == pytest.approx(best, abs=1e-6)
    assert scores == sorted(scores, reverse=True)


# Along the axes, with lengths that are powers of two, every cosine and value is exact: ties are real ones.
AXES = [scale * axis for axis in np.eye(3) for scale in (1, -1, 4, 0.5)] + [np.zeros(3)]


@given(
    rows=st.lists(st.sampled_from(AXES), min_size=1, max_size=10),
    query=st.sampled_from(AXES),
    trade_off=st.sampled_from([0, 0.25, 0.5, 1]),
    n=st.integers(1, 12),
)
def test_greedy_choice_equals_brute_force_ties_included(
    rows: list[Any], query: Any, trade_off: float, n: int
) -> None:
    vectors, query = np.array(rows, dtype=np.float32), query.astype(np.float32)
    expected: list[tuple[int, float]] = []
    for _ in range(min(n, len(rows))):
        chosen = [row for row, _ in expected]
        values = {
            row: worth(vectors, query, chosen, row, trade_off)
            for row in range(len(rows))
            if row not in chosen
        }
        best = max(values, key=lambda row: (values[row], -row))
        expected.append((best, values[best]))
    assert found(vectors, query, n, trade_off=trade_off) == expected


def test_relevance_alone_is_the_order_of_cosines() -> None:
    exact = ExactRetriever().build(CHUNKS, VECTORS).search(REQUESTS, 120)
    mmr = MMRRetriever(ExactRetriever(), trade_off=1, fetch=120).build(CHUNKS, VECTORS).search(REQUESTS, 120)
    for ours, theirs in zip(mmr, exact, strict=True):
        np.testing.assert_allclose([h.score for h in ours], [h.score for h in theirs], atol=1e-12)
        assert [h.chunk_id for h in ours] == [h.chunk_id for h in theirs]


def test_a_repeated_chunk_waits_until_nothing_else_is_left() -> None:
    # Half of the vectors stand twice. With the trade-off towards difference no copy comes before an original.
    vectors = np.concatenate([VECTORS[:8], VECTORS[:8]])
    rows = [row for row, _ in found(vectors, VECTORS[0], 16, trade_off=0.1)]
    assert rows[0] == 0
    assert all(row < 8 for row in rows[:8])
    plain = [row for row, _ in found(vectors, VECTORS[0], 2, trade_off=1)]
    assert plain == [0, 8]


def test_fetch_is_how_many_candidates_there_are_and_never_too_few() -> None:
    exact = ExactRetriever().build(CHUNKS, VECTORS)
    for fetch, n in ((7, 3), (7, 7), (2, 5), (120, 4)):
        searcher = MMRRetriever(ExactRetriever(), trade_off=0, fetch=fetch).build(CHUNKS, VECTORS)
        for request in REQUESTS:
            [hits], [near] = searcher.search([request], n), exact.search([request], max(fetch, n))
            assert len(hits) == n
            assert {hit.chunk_id for hit in hits} <= {hit.chunk_id for hit in near}
            # The least like the first one of all candidates comes second.
            rows = {chunk.id: row for row, chunk in enumerate(CHUNKS)}
            first = VECTORS[rows[hits[0].chunk_id]].tolist()
            likeness = {hit.chunk_id: cosine(first, VECTORS[rows[hit.chunk_id]].tolist()) for hit in near}
            assert likeness[hits[1].chunk_id] == pytest.approx(min(likeness.values()))


def test_the_first_hits_do_not_depend_on_how_many_are_asked_for() -> None:
    searcher = MMRRetriever(ExactRetriever()).build(CHUNKS, VECTORS)
    for few, many in zip(searcher.search(REQUESTS, 5), searcher.search(REQUESTS, 60), strict=True):
        assert few == many[:5]


def test_lengths_choose_candidates_under_dot_and_count_no_more_afterwards() -> None:
    vectors = np.array([[9, 9], [1, 0.1], [0, 8], [0.1, 0]], dtype=np.float32)
    query = np.array([1, 0], dtype=np.float32)
    searcher = MMRRetriever(ExactRetriever("dot"), trade_off=1, fetch=2).build(CHUNKS[:4], vectors)
    [hits] = searcher.search([Request("q", "?", query)], 2)
    assert [hit.chunk_id for hit in hits] == [CHUNKS[1].id, CHUNKS[0].id]
    assert [hit.score for hit in hits] == pytest.approx([cosine([1, 0.1], [1, 0]), 0.5**0.5])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trade_off": 1.1}, r"trade_off must be from 0 to 1, got 1\.1"),
        ({"trade_off": -0.1}, "trade_off must be from 0 to 1"),
        ({"trade_off": math.nan}, "trade_off must be from 0 to 1, got nan"),
        ({"fetch": 0}, "fetch must be at least 1, got 0"),
        ({"retriever": BM25Retriever()}, r"must use vectors.*BM25Retriever\(.*ignores them.*HybridRetriever"),
        ({"retriever": HybridRetriever([BM25Retriever(), BM25Retriever(b=0)])}, "must use vectors"),
    ],
)
def test_options_that_cannot_work(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        MMRRetriever(**{"retriever": ExactRetriever(), **options})
