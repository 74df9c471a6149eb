from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from contracts_retrievers import check_retriever, some_chunks, some_requests, some_vectors

from ragdiag.errors import ConfigError, StageError
from ragdiag.records import Chunk, Hit, Request
from ragdiag.stages.protocols import Vectors, arms_of, uses_vectors
from ragdiag.stages.retrievers import BM25Retriever, ExactRetriever, FaissRetriever, HybridRetriever

CHUNKS = some_chunks(120)
VECTORS = some_vectors(120)
REQUESTS = some_requests(6)


@dataclass(frozen=True)
class Fixed:
    """Returns the same ranking whatever is asked: (row, score) pairs, cut at n."""

    hits: Sequence[tuple[int, float]]
    uses_vectors: bool = False

    def build(self, chunks: Sequence[Chunk], vectors: Vectors | None) -> FixedSearcher:
        assert (vectors is not None) == self.uses_vectors
        return FixedSearcher([Hit(chunks[row].id, score) for row, score in self.hits])


@dataclass(frozen=True)
class FixedSearcher:
    hits: list[Hit]

    def search(self, requests: Sequence[Request], n: int) -> list[list[Hit]]:
        return [self.hits[:n] for _ in requests]


def fused(hybrid: HybridRetriever, n: int = 10) -> list[tuple[int, Any]]:
    row_of = {chunk.id: row for row, chunk in enumerate(CHUNKS)}
    [hits] = hybrid.build(CHUNKS, VECTORS).search([Request("q", "?")], n)
    return [(row_of[hit.chunk_id], hit.score) for hit in hits]


@pytest.mark.parametrize(
    "hybrid",
    [
        HybridRetriever([BM25Retriever(), ExactRetriever()]),
        HybridRetriever([BM25Retriever(), FaissRetriever("HNSW16")], fusion="weighted", weights=[1, 2]),
        HybridRetriever([BM25Retriever(), FaissRetriever("Flat", metric="l2"), BM25Retriever(b=0)], depth=20),
        HybridRetriever([BM25Retriever(), HybridRetriever([BM25Retriever(b=0), ExactRetriever()])]),
        HybridRetriever([BM25Retriever(), BM25Retriever(b=0)], fusion="weighted"),
    ],
    ids=["rrf", "weighted", "three arms", "nested", "texts alone"],
)
def test_contract(hybrid: HybridRetriever) -> None:
    check_retriever(hybrid, CHUNKS, VECTORS, REQUESTS)


def test_reciprocal_ranks_by_hand() -> None:
    hybrid = HybridRetriever([Fixed([(5, 9.0), (3, 8.0)]), Fixed([(3, 0.2), (7, 0.1)])], weights=[1, 0.5])
    assert fused(hybrid) == [
        (3, pytest.approx(1 / 62 + 0.5 / 61)),
        (5, pytest.approx(1 / 61)),
        (7, pytest.approx(0.5 / 62)),
    ]
    assert fused(HybridRetriever(hybrid.arms, k=0), 2)[0] == (3, pytest.approx(1 / 2 + 1 / 1))


def test_weighted_scores_by_hand() -> None:
    arms = [Fixed([(5, 30.0), (3, 20.0), (1, 10.0)]), Fixed([(7, -0.5), (3, -1.5)])]
    assert fused(HybridRetriever(arms, fusion="weighted", weights=[3, 1])) == [
        (5, pytest.approx(3.0)),
        (3, pytest.approx(1.5)),
        (7, pytest.approx(1.0)),
        (1, 0.0),
    ]


def test_constant_scores_count_as_one_and_an_empty_arm_as_nothing() -> None:
    arms = [Fixed([(4, 0.3), (2, 0.3)]), Fixed([])]
    assert fused(HybridRetriever(arms, fusion="weighted")) == [(2, 1.0), (4, 1.0)]


def test_ties_are_in_input_order_whatever_the_order_of_the_arms() -> None:
    # Rows 0, 1 and 2 have the ranks 1, 2 and 3 in some order: summed left to right they would differ.
    rankings = [[(a, 3.0), (b, 2.0), (c, 1.0)] for a, b, c in ((0, 1, 2), (1, 2, 0), (2, 0, 1))]
    for order in permutations(map(Fixed, rankings)):
        for k in range(60):
            scores = fused(HybridRetriever(order, k=k))
            assert [row for row, _ in scores] == [0, 1, 2]
            assert len({score for _, score in scores}) == 1


def test_depth_is_what_each_arm_is_asked_for() -> None:
    arms = [Fixed([(i, -float(i)) for i in range(50)]), Fixed([(49 - i, -float(i)) for i in range(50)])]
    assert [row for row, _ in fused(HybridRetriever(arms), 1)] == [0]
    assert [row for row, _ in fused(HybridRetriever(arms, depth=3), 10)] == [0, 49, 1, 48, 2, 47]
    # In RRF both ends beat the middle: a chunk's ranks add up to 51 everywhere.
    assert [row for row, _ in fused(HybridRetriever(arms, depth=50, k=0), 2)] == [0, 49]


def test_only_arms_that_use_vectors_get_them() -> None:
    both = HybridRetriever([Fixed([(0, 1.0)]), Fixed([(1, 1.0)], uses_vectors=True)])
    assert len(fused(both)) == 2
    assert uses_vectors(both)
    texts = HybridRetriever([Fixed([(0, 1.0)]), Fixed([(1, 1.0)])])
    assert not uses_vectors(texts)
    assert texts.build(CHUNKS, None).search([], 3) == []


def test_arms_are_declared_on_both_sides() -> None:
    hybrid = HybridRetriever([BM25Retriever(), ExactRetriever()])
    assert arms_of(hybrid) == (BM25Retriever(), ExactRetriever())
    searcher = hybrid.build(CHUNKS, VECTORS)
    request = REQUESTS[0]
    for arm, built in zip(arms_of(hybrid), searcher.arms, strict=True):
        alone = arm.build(CHUNKS, VECTORS if uses_vectors(arm) else None)
        assert built.search([request], 9) == alone.search([request], 9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"arms": []}, "two or more"),
        ({"arms": [BM25Retriever()]}, "two or more.*got 1"),
        ({"fusion": "max"}, "'max'"),
        ({"weights": [1]}, "2 arms and 1 weights"),
        ({"weights": [1, -1]}, ">= 0"),
        ({"weights": [0, 0]}, "not all 0"),
        ({"weights": [1, np.nan]}, ">= 0"),
        ({"k": -1}, "HybridRetriever.k"),
        ({"k": np.inf}, "HybridRetriever.k"),
        ({"depth": 0}, "depth"),
    ],
)
def test_options_that_cannot_work(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        HybridRetriever(**{"arms": [BM25Retriever(), BM25Retriever()], **options})


def test_an_arm_that_invents_a_chunk_is_named() -> None:
    @dataclass(frozen=True)
    class Inventing(Fixed):
        def build(self, chunks: Sequence[Chunk], vectors: Vectors | None) -> FixedSearcher:  # noqa: ARG002
            return FixedSearcher([Hit("nowhere", 1.0)])

    with pytest.raises(StageError, match=r"Inventing.*'nowhere'"):
        fused(HybridRetriever([Fixed([(0, 1.0)]), Inventing([])]))


def test_the_recipe_prints_its_arms_and_can_be_pickled() -> None:
    hybrid = HybridRetriever([BM25Retriever(), FaissRetriever()], weights=[1, 2])
    assert repr(hybrid) == (
        f"HybridRetriever(arms=({BM25Retriever()!r}, {FaissRetriever()!r}), "
        "fusion='rrf', weights=(1.0, 2.0), k=60, depth=None)"
    )
    assert pickle.loads(pickle.dumps(hybrid)) == hybrid  # noqa: S301  # our own bytes
