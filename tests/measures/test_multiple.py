"""Corrections for many comparisons against enumeration, statsmodels, and simulation."""

from __future__ import annotations

from itertools import combinations, permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from statsmodels.stats.multitest import multipletests

from ragdiag.errors import DataError
from ragdiag.measures.multiple import all_pairs, holm, randomized_tukey
from ragdiag.measures.paired import paired_difference
from ragdiag.measures.statistics import Clusters

SHARES = [0.0, 0.25, 1 / 3, 0.5, 2 / 3, 1.0]
p_values = st.lists(st.floats(0, 1), min_size=1, max_size=6)
documents = st.lists(st.lists(st.sampled_from("abcdef"), max_size=2), min_size=9, max_size=9)


# Holm


@pytest.mark.parametrize("k", [1, 2, 7, 50])
def test_holm_is_that_of_statsmodels(k: int) -> None:
    values = np.random.default_rng(k).beta(0.3, 1, size=k).round(2)
    assert holm(values) == pytest.approx(multipletests(values, method="holm")[1])


@given(p_values)
def test_holm_is_the_closure_of_bonferroni(values: list[float]) -> None:
    adjusted = holm(values)
    # A comparison is significant where every set of comparisons that it is in is, by Bonferroni.
    for one, found in enumerate(adjusted):
        sets = (s for size in range(1, len(values) + 1) for s in combinations(range(len(values)), size))
        worst = max(len(s) * min(values[i] for i in s) for s in sets if one in s)
        assert found == pytest.approx(min(1.0, worst))


def test_holm_of_nothing_is_nothing() -> None:
    assert holm([]).tolist() == []


@pytest.mark.parametrize("values", [[0.5, 1.5], [float("nan")], [[0.5]], 0.5])
def test_p_values_that_cannot_be_are_explained(values: object) -> None:
    with pytest.raises(DataError, match="holm: expected p-values in"):
        holm(values)  # type: ignore[arg-type]


# Tukey


def largest_t(deal: NDArray[np.float64]) -> NDArray[np.float64]:
    """``|t|`` of each pair of columns, by hand; without clusters."""
    differences = deal[:, :, None] - deal[:, None, :]
    error = np.sqrt((differences**2).sum(axis=0))
    return np.asarray(np.abs(differences.sum(axis=0)) / np.where(error > 1e-9, error, np.inf))


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(st.sampled_from(SHARES), st.sampled_from(SHARES), st.sampled_from(SHARES)),
        min_size=2,
        max_size=4,
    )
)
def test_p_is_that_of_all_ways_to_deal_the_values_anew(rows: list[tuple[float, float, float]]) -> None:
    deals = [largest_t(np.array(deal)) for deal in product(*(permutations(row) for row in rows))]
    largest = np.array([deal.max() for deal in deals])
    expected = [[np.mean(largest >= own - 1e-6) for own in of_one] for of_one in deals[0]]
    assert all_pairs(rows).p == pytest.approx(np.array(expected))


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(SHARES), st.sampled_from(SHARES)), min_size=2, max_size=9), documents
)
def test_two_systems_get_the_test_of_a_pair(pairs: list[tuple[float, float]], needs: list[list[str]]) -> None:
    clusters = Clusters.of(needs[: len(pairs)])
    a, b = zip(*pairs, strict=True)
    found, pair = all_pairs(pairs, clusters=clusters), paired_difference(a, b, clusters=clusters)
    assert found.p == pytest.approx(np.array([[1, pair.p], [pair.p, 1]]))
    assert np.isinf(np.diag(found.needed)).all()
    assert found.needed[0, 1] == pytest.approx(np.inf if pair.needed is None else pair.needed)
    assert found.method == f"randomized Tukey, {pair.method.split('flips, ')[1]}"


def test_documents_that_are_apart_are_dealt_whole() -> None:
    generator = np.random.default_rng(1)
    labels = np.repeat(np.arange(12), 3)
    values = generator.choice(SHARES, size=(36, 3))
    sums = np.array([values[labels == label].sum(axis=0) for label in range(12)])
    clusters = Clusters.of([[label] for label in labels])
    by_document = all_pairs(sums / 3)
    by_query = all_pairs(values, clusters=clusters)
    assert by_query.p == pytest.approx(by_document.p)
    assert by_query.needed == pytest.approx(by_document.needed)


def test_by_chance_it_comes_close_to_all_ways() -> None:
    values = np.random.default_rng(2).choice([0.0, 0.5, 1.0], p=[0.2, 0.1, 0.7], size=(5, 3))
    everything, by_chance = all_pairs(values, resamples=6**5), all_pairs(values, resamples=6**5 - 1)
    assert by_chance.p == pytest.approx(everything.p, abs=0.02)
    assert (all_pairs([[1.0, 0.0, 0.5]] * 40, resamples=99).p[0, 1]) == pytest.approx(1 / 100)  # never 0


def test_allowing_for_all_pairs_asks_for_more_than_for_one() -> None:
    values = (np.random.default_rng(3).random((60, 8)) < np.linspace(0.4, 0.8, 8)).astype(float)
    adjusted = randomized_tukey(values, resamples=999)
    assert (adjusted == adjusted.T).all()
    for i, j in combinations(range(8), 2):
        alone = paired_difference(values[:, i], values[:, j], resamples=999).p
        assert adjusted[i, j] >= alone - 0.02
    assert adjusted[0, 7] < 0.05 < adjusted[3, 4]


def test_an_erratic_system_does_not_hide_what_the_others_differ_by() -> None:
    generator = np.random.default_rng(4)
    steady = np.full((40, 1), 0.5) + generator.normal(0, 0.01, (40, 2)) + [0.0, 0.03]
    erratic = generator.choice([0.0, 1.0], size=(40, 1))
    assert randomized_tukey(np.hstack([steady, erratic]), resamples=999)[0, 1] <= 0.01


def test_needed_is_where_the_largest_p_that_counts_begins() -> None:
    values = (np.random.default_rng(5).random((50, 4)) < [0.5, 0.55, 0.6, 0.9]).astype(float)
    found = all_pairs(values, resamples=1_999)
    means = values.mean(axis=0)
    apart = np.abs(means[:, None] - means[None, :])
    off = ~np.eye(4, dtype=bool)
    assert ((apart >= found.needed - 1e-12) == (found.p <= 0.05))[off].all()


def test_systems_that_are_the_same_do_not_differ() -> None:
    same = all_pairs([[0.3, 0.1 + 0.2], [0.5, 0.5]] * 20)
    assert same.p.tolist() == [[1, 1], [1, 1]]
    assert np.isinf(same.needed).all()
    third = all_pairs([[1.0, 1.0, 0.0]] * 20, resamples=199)
    assert third.p[0, 1] == 1
    assert np.isinf(third.needed[0, 1])
    assert third.p[0, 2] < 0.05


@pytest.mark.parametrize("apart", [True, False], ids=["blocks", "overlapping"])
def test_systems_alike_are_seldom_told_apart_though_documents_fail_together(*, apart: bool) -> None:
    generator = np.random.default_rng(6)
    needs = np.arange(90)[:, None] % 30 if apart else generator.integers(0, 40, size=(90, 2))
    clusters = Clusters.of(needs.tolist())
    told = {"by cluster": 0, "by query": 0}
    for _ in range(100):
        effects = generator.normal(0, 1, size=(40, 5))  # of a document on a system
        values = (effects[needs].mean(axis=1) + generator.normal(0, 0.7, (90, 5)) > -0.5).astype(float)
        for name, known in (("by cluster", clusters), ("by query", None)):
            told[name] += randomized_tukey(values, clusters=known, resamples=199).min() <= 0.05
    assert told["by cluster"] <= 11
    assert told["by query"] > 15


def test_the_same_question_gets_the_same_answer() -> None:
    values = np.random.default_rng(7).random((30, 3))
    assert (randomized_tukey(values, resamples=99) == randomized_tukey(values, resamples=99)).all()
    other = randomized_tukey(values, resamples=99, seed=1)
    assert (other != randomized_tukey(values, resamples=99)).any()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[0.5], [0.5]], r"a column for each of two systems or more, got shape \(2, 1\)"),
        ([0.5, 0.5], r"got shape \(2,\)"),
        ([[0.5, 1.5]], r"all_pairs: values must be in \[0, 1\], got 1.5"),
        (np.empty((0, 2)), "all_pairs: no assessed query"),
    ],
)
def test_values_that_cannot_be_are_explained(values: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        all_pairs(values)  # type: ignore[arg-type]


def test_clusters_of_other_queries_are_explained() -> None:
    with pytest.raises(DataError, match="all_pairs: clusters of 1 queries given for 2 values"):
        all_pairs([[0, 1], [1, 0]], clusters=Clusters.of([["a"]]))
