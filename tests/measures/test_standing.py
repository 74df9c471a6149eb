"""Who is called a winner, who ties, who loses; and how often that is wrong."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from ragdiag.errors import ConfigError, DataError
from ragdiag.measures.multiple import all_pairs
from ragdiag.measures.standing import stand
from ragdiag.measures.statistics import Clusters


def yes_no(n: int, rates: list[float], seed: int = 0) -> NDArray[np.float64]:
    """Yes/no values of pipelines that mostly succeed on the same queries."""
    hard = np.random.default_rng(seed).random((n, 1))
    return (hard + np.random.default_rng(seed + 1).normal(0, 0.1, (n, len(rates))) < rates).astype(float)


def test_the_best_wins_where_all_others_are_worse_and_by_enough() -> None:
    values = yes_no(200, [0.5, 0.9, 0.6])
    standing = stand(values, ["poor", "good", "fair"])
    assert standing.winner == "good"
    assert standing.order == ("good", "fair", "poor")
    assert (standing.ties, standing.losers) == (("good",), ("fair", "poor"))
    assert standing.means == pytest.approx(sorted(values.mean(axis=0), reverse=True))
    assert standing.p == pytest.approx((1, *all_pairs(values).p[1, [2, 0]]))
    assert (standing.n, standing.min_effect) == (200, 0)
    assert standing.method == "randomized Tukey, by query"


def test_who_is_not_shown_to_be_worse_ties() -> None:
    standing = stand(yes_no(200, [0.81, 0.5, 0.82]), ["a", "b", "c"])
    assert standing.winner is None
    assert set(standing.ties) == {"a", "c"}
    assert standing.losers == ("b",)


def test_worse_for_sure_but_not_by_enough_ties_too() -> None:
    values = np.array([[0.50, 0.53, 0.40]] * 30) + np.random.default_rng(0).normal(0, 0.002, (30, 3))
    names = ["a", "b", "c"]
    assert stand(values, names).winner == "b"
    matters = stand(values, names, min_effect=0.05)
    assert (matters.winner, matters.ties, matters.losers) == (None, ("b", "a"), ("c",))
    assert matters.detectable == 0.05, "a smaller one would not have been called one"


def test_under_twenty_queries_all_tie() -> None:
    values = [[1, 0]] * 19
    few, enough = stand(values, ["a", "b"]), stand([*values, [1, 0]], ["a", "b"])
    assert few.p[1] < 0.001
    assert (few.winner, few.ties, few.losers, few.detectable) == (None, ("a", "b"), (), None)
    assert enough.winner == "a"


def test_what_ties_would_have_lost_had_it_differed_by_what_is_detectable() -> None:
    values = yes_no(120, [0.8, 0.78, 0.3])
    standing = stand(values, ["a", "b", "c"])
    best, second = (["a", "b", "c"].index(name) for name in standing.order[:2])
    assert standing.detectable == pytest.approx(all_pairs(values).needed[best, second])
    assert standing.detectable is not None
    assert standing.means[0] - standing.means[1] < standing.detectable < 0.3
    alone = stand(values[:, [0, 2]], ["a", "c"])
    assert alone.winner is not None
    assert alone.detectable == pytest.approx(all_pairs(values[:, [0, 2]]).needed[0, 1])


def test_those_that_are_the_same_tie_in_the_order_they_came_in() -> None:
    third = [0.3, 0.1 + 0.2, 0.1 * 3]  # one value, computed in three ways
    standing = stand([third] * 40, ["x", "z", "y"])
    assert standing.order == standing.ties == ("x", "z", "y")
    assert standing.detectable is None


def test_more_queries_detect_less() -> None:
    found = [stand(yes_no(n, [0.8, 0.78]), ["a", "b"]).detectable for n in (200, 800, 1_600)]
    assert None not in found
    assert found == sorted(found, key=float, reverse=True)  # type: ignore[arg-type]


def test_documents_that_fail_together_are_heeded() -> None:
    labels = np.repeat(np.arange(12), 8)
    values = yes_no(12, [0.9, 0.55], seed=3)[labels]
    by_query = stand(values, ["a", "b"])
    by_cluster = stand(values, ["a", "b"], clusters=Clusters.of([[label] for label in labels]))
    assert by_query.winner == "a"
    assert by_cluster.winner is None
    assert by_cluster.method == "randomized Tukey, by cluster, understates"


def test_of_pipelines_that_are_alike_none_loses_more_often_than_it_may() -> None:
    generator = np.random.default_rng(8)
    lost = 0
    for _ in range(150):
        hard = generator.random((50, 1))
        values = (hard + generator.normal(0, 0.2, (50, 12)) < 0.8).astype(float)
        lost += bool(stand(values, [str(i) for i in range(12)], resamples=199).losers)
    assert lost <= 15  # 7.5 expected; 15 has a chance of .005


@pytest.mark.parametrize("names", [["a"], ["a", "a"], ["a", "b", "c"]])
def test_names_that_cannot_be_are_explained(names: list[str]) -> None:
    with pytest.raises(DataError, match="stand: 2 columns need as many different names"):
        stand([[0, 1]] * 3, names)


@pytest.mark.parametrize("effect", [-0.1, 1, float("nan")])
def test_a_minimum_effect_that_cannot_be_is_explained(effect: float) -> None:
    with pytest.raises(ConfigError, match="min_effect must be in"):
        stand([[0, 1]] * 3, ["a", "b"], min_effect=effect)


@pytest.mark.parametrize("documents", [[["x"], ["x"], ["y"]], [["x"], ["y"], ["z"]]])
def test_pipelines_that_never_differ_tie(documents: list[list[str]]) -> None:
    standing = stand([[1, 1], [0, 0], [1, 1]], ["a", "b"], clusters=Clusters.of(documents))
    assert (standing.ties, standing.losers, standing.winner, standing.p) == (("a", "b"), (), None, (1, 1))
    assert standing.detectable is None
