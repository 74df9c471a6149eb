"""Equivalence and power against statsmodels, and against what happens when a study is repeated."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from statsmodels.stats.power import TTestPower
from statsmodels.stats.weightstats import ttost_paired

from ragdiag.errors import ConfigError, DataError
from ragdiag.measures.effects import equivalent, minimum_detectable_effect, questions_for_effect
from ragdiag.measures.paired import paired_difference
from ragdiag.measures.statistics import Clusters


def two_runs(n: int, effect: float = 0.0, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    generator = np.random.default_rng(seed)
    level, noise = generator.uniform(0.3, 0.6, n), generator.normal(0, 0.05, (2, n))
    return (level + noise[0]).clip(0, 1), (level + effect + noise[1]).clip(0, 1)


# Equivalence


@pytest.mark.parametrize("effect", [0.0, 0.01])
@pytest.mark.parametrize("margin", [0.005, 0.01, 0.03])
def test_it_is_that_of_two_one_sided_tests(effect: float, margin: float) -> None:
    a, b = two_runs(300, effect)
    p = ttost_paired(b, a, -margin, margin)[0]
    assert equivalent(a, b, margin).shown == (p <= 0.05)


def test_it_is_read_off_the_interval() -> None:
    a, b = two_runs(60)
    found = equivalent(a, b, 0.02, level=0.1)
    assert found.difference == paired_difference(a, b, confidence=0.8)
    assert (found.margin, found.level) == (0.02, 0.1)
    far = max(-found.difference.low, found.difference.high)
    assert equivalent(a, b, far + 1e-9, level=0.1).shown
    assert not equivalent(a, b, far, level=0.1).shown
    assert equivalent(a, b, 0.02).difference.low < found.difference.low
    assert equivalent(a, b, 0.02) == equivalent(a, b, 0.02)


def test_few_queries_show_nothing_however_alike() -> None:
    assert not equivalent([0.5] * 19, [0.5] * 19, 0.9).shown
    assert equivalent([0.5] * 20, [0.5] * 20, 0.9).shown


def test_documents_are_heeded() -> None:
    labels = np.repeat(np.arange(30), 5)
    a = np.full(150, 0.5)
    b = 0.5 + np.random.default_rng(1).normal(0, 0.1, 30)[labels]
    clusters = Clusters.of([[label] for label in labels])
    alone, together = equivalent(a, b, 0.04), equivalent(a, b, 0.04, clusters=clusters)
    assert together.difference.high - together.difference.low > 2 * (
        alone.difference.high - alone.difference.low
    )


# Power


@pytest.mark.parametrize("n", [40, 400])
def test_what_is_detectable_is_what_statsmodels_says(n: int) -> None:
    a, b = two_runs(n)
    standardized = TTestPower().solve_power(nobs=n, alpha=0.05, power=0.8)
    expected = standardized * np.std(b - a, ddof=1)
    # More where n is small: half a query more that differs each way, as in the interval.
    assert expected < minimum_detectable_effect(a, b) < expected * (1 + 5 / n + 0.01)


def test_an_effect_of_that_size_is_shown_as_often_as_the_power_says() -> None:
    a, b = two_runs(60)
    effect = minimum_detectable_effect(a, b)
    shown = [
        paired_difference(*two_runs(60, effect, seed), resamples=499).p <= 0.05 for seed in range(100, 300)
    ]
    assert 0.7 <= np.mean(shown) <= 0.92


def test_more_power_a_sterner_level_and_shared_documents_take_more() -> None:
    labels = np.repeat(np.arange(30), 5)
    a = np.full(150, 0.5)
    b = 0.5 + np.random.default_rng(1).normal(0, 0.1, 30)[labels]
    clusters = Clusters.of([[label] for label in labels])
    usual = minimum_detectable_effect(a, b)
    assert minimum_detectable_effect(a, b, power=0.95) > usual
    assert minimum_detectable_effect(a, b, level=0.01) > usual
    together = minimum_detectable_effect(a, b, clusters=clusters)
    assert together > 2 * usual
    documents = minimum_detectable_effect(a[::5], b[::5])
    assert together == pytest.approx(documents, rel=0.08)
    few = questions_for_effect(a, b, 0.05), questions_for_effect(a, b, 0.05, clusters=clusters)
    assert few[1] > 3 * few[0]


def test_runs_that_are_the_same_do_not_make_every_difference_detectable() -> None:
    same = [1.0] * 100
    assert 0.02 < minimum_detectable_effect(same, same) < 0.04
    clusters = Clusters.of([[i // 4] for i in range(100)])
    assert minimum_detectable_effect(same, same, clusters=clusters) == pytest.approx(
        minimum_detectable_effect(same[:25], same[:25])
    )


@given(st.integers(0, 50), st.sampled_from([0.5, 0.2, 0.05, 0.01]))
def test_so_many_queries_are_enough_and_one_fewer_is_not(seed: int, effect: float) -> None:
    generator = np.random.default_rng(seed)
    a, b = generator.choice([0.0, 0.5, 1.0], size=(2, 40))
    needed = questions_for_effect(a, b, effect)
    now = minimum_detectable_effect(a, b)
    assert needed >= 20
    assert (needed <= 40) == (now <= effect)
    if needed > 20:  # the error shrinks with the root of their number, the quantiles hardly change
        assert now * (40 / needed) ** 0.5 == pytest.approx(effect, rel=0.06)


# What cannot be


def test_options_that_cannot_be_are_explained() -> None:
    a = [0.5] * 3
    for number in (0, 1, -1, float("nan")):
        with pytest.raises(ConfigError, match=r"the margin must be inside \(0, 1\)"):
            equivalent(a, a, number)
        with pytest.raises(ConfigError, match=r"the effect must be inside \(0, 1\)"):
            questions_for_effect(a, a, number)
        with pytest.raises(ConfigError, match=r"the power must be inside \(0, 1\)"):
            minimum_detectable_effect(a, a, power=number)
        with pytest.raises(ConfigError, match=r"the level must be inside \(0, 1\)"):
            questions_for_effect(a, a, 0.1, level=number)
    with pytest.raises(ConfigError, match=r"the level must be inside \(0, 0.5\)"):
        equivalent(a, a, 0.1, level=0.5)


def test_values_that_cannot_be_are_explained() -> None:
    with pytest.raises(DataError, match="minimum_detectable_effect: 1 values of a and 2 of b"):
        minimum_detectable_effect([0], [0, 1])
    with pytest.raises(DataError, match="questions_for_effect: clusters of 1 queries given for 2 values"):
        questions_for_effect([0, 1], [0, 1], 0.1, clusters=Clusters.of([["a"]]))
