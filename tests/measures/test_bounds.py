"""One-sided bounds against the exact binomial ones, brute force, and distributions made to mislead them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ragdiag.errors import ConfigError, DataError
from ragdiag.measures.bounds import bounds, questions_needed
from ragdiag.measures.statistics import Clusters, interval

graded = st.lists(st.sampled_from([0.0, 0.25, 1 / 3, 0.5, 0.9, 1.0]), min_size=1, max_size=40)
documents = st.lists(st.lists(st.sampled_from("abcdef"), max_size=2), min_size=40, max_size=40)


def separate(labels: Sequence[int]) -> Clusters:
    return Clusters.of([[label] for label in labels])


@given(
    st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))),
    st.sampled_from([0.8, 0.95, 0.99]),
)
def test_yes_no_values_get_the_exact_bounds(counts: tuple[int, int], confidence: float) -> None:
    successes, n = counts
    found = bounds([1] * successes + [0] * (n - successes), confidence=confidence)
    low, high = (
        stats.binomtest(successes, n, alternative=side).proportion_ci(confidence, method="exact")
        for side in ("greater", "less")
    )
    assert (found.low, found.high) == pytest.approx((low.low, high.high), abs=1e-9)
    assert (found.value, found.n, found.effective_n) == (successes / n, n, n)
    assert (found.confidence, found.method) == (confidence, "Clopper-Pearson by query")


@given(graded, documents)
def test_bounds_hold_the_mean_and_are_symmetric_in_success_and_failure(
    values: list[float], needs: list[list[str]]
) -> None:
    clusters = Clusters.of(needs[: len(values)])
    found = bounds(values, clusters=clusters)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert 0 < found.effective_n <= found.n
    mirror = bounds([1 - value for value in values], clusters=clusters)
    assert (mirror.low, mirror.high) == pytest.approx((1 - found.high, 1 - found.low), abs=1e-9)


@given(graded, documents)
def test_more_confidence_is_wider(values: list[float], needs: list[list[str]]) -> None:
    clusters = Clusters.of(needs[: len(values)])
    found = [bounds(values, clusters=clusters, confidence=c) for c in (0.51, 0.8, 0.95, 0.999)]
    lows, highs = [one.low for one in found], [one.high for one in found]
    assert lows == sorted(lows, reverse=True)
    assert highs == sorted(highs)


@pytest.mark.parametrize(
    "values",
    [
        [0.1, 0.4, 0.5, 0.5, 0.7],
        [1.0] * 18 + [0.5, 0.0],
        [0.3] * 25,
        np.random.default_rng(0).beta(8, 2, size=60).tolist(),
    ],
)
def test_graded_values_get_the_quantile_of_their_mean_under_random_weights(values: list[float]) -> None:
    weights = np.random.default_rng(1).dirichlet(np.ones(len(values) + 1), size=200_000)
    low = np.quantile(weights @ np.array([*values, 0.0]), 0.05)
    high = np.quantile(weights @ np.array([*values, 1.0]), 0.95)
    found = bounds(values)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.001 + 0.03 / len(values))
    assert found.method == "Gaffke by query"


def test_graded_values_are_known_better_than_yes_no_values_of_the_same_mean() -> None:
    even, sharp = bounds([0.6, 0.7, 0.8, 0.7] * 20), bounds([1] * 56 + [0] * 24)
    assert even.value == pytest.approx(sharp.value)
    assert 0.7 - even.low < 0.5 * (0.7 - sharp.low)


@pytest.mark.parametrize("n", [20, 50, 200])
@pytest.mark.parametrize("kept", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("rate", [0.014, 0.03, 0.06, 0.14])
def test_a_rare_failure_that_was_not_seen_lets_nothing_pass(n: int, kept: float, rate: float) -> None:
    """Values that hardly vary but for a rare 0: what a bound from their variance alone falls for."""
    failures = np.arange(n + 1)
    passes = [
        bounds([0.0] * k + [kept] * (n - k)).low >= kept * (1 - rate) for k in failures[: int(n * rate) + 1]
    ]
    assert stats.binom.pmf(failures[: len(passes)], n, rate) @ passes <= 0.05


@pytest.mark.parametrize(
    ("values", "probabilities"),
    [
        ([0, 1 / 3, 2 / 3, 1], [0.03, 0.05, 0.12, 0.8]),  # recall of three units
        ([0, 0.69, 0.7, 0.71, 1], [0.03, 0.32, 0.32, 0.325, 0.005]),  # the largest value is rare too
        ([0, 0.02, 0.05, 0.1, 0.2], [0.4, 0.2, 0.2, 0.15, 0.05]),  # span precision
    ],
)
@pytest.mark.parametrize("n", [20, 200])
def test_who_is_at_the_bar_seldom_passes_and_seldom_fails(
    values: list[float], probabilities: list[float], n: int
) -> None:
    draws = np.random.default_rng(7).choice(values, p=probabilities, size=(2_000, n))
    bar = np.dot(values, probabilities)
    found = [bounds(draw) for draw in draws]
    chance = 3 * (0.05 * 0.95 / 2_000) ** 0.5
    assert np.mean([one.low >= bar for one in found]) <= 0.05 + chance
    assert np.mean([one.high < bar for one in found]) <= 0.05 + chance


@pytest.mark.parametrize("bar", [0.8, 0.95])
def test_documents_that_fail_as_a_whole_let_nothing_pass_by_chance(bar: float) -> None:
    generator = np.random.default_rng(11)
    rates = generator.beta(bar * 0.65 / 0.35, (1 - bar) * 0.65 / 0.35, size=(1_000, 30))
    draws = (generator.random((1_000, 30, 7)) < rates[:, :, None]).reshape(1_000, -1)
    clusters = separate(np.repeat(np.arange(30), 7).tolist())
    assert np.mean([bounds(draw, clusters=clusters).low >= bar for draw in draws]) <= 0.06
    assert np.mean([bounds(draw).low >= bar for draw in draws]) > 0.1


def test_clusters_make_n_smaller_as_they_do_for_the_interval() -> None:
    values = ([1.0] * 9 + [0.0]) * 20
    clusters = separate([i // 5 for i in range(200)])
    found = bounds(values, clusters=clusters)
    worth = interval(values, clusters=clusters, confidence=0.9).effective_n
    assert found.effective_n == pytest.approx(worth)
    assert found.method == "Clopper-Pearson by cluster"
    k = 0.9 * worth
    assert found.low == pytest.approx(stats.beta.ppf(0.05, k, worth - k + 1))
    assert found.high == pytest.approx(stats.beta.ppf(0.95, k + 1, worth - k))


def test_ten_clusters_understate() -> None:
    values = ([1.0] * 9 + [0.0]) * 20
    assert bounds(values, clusters=separate([i // 20 for i in range(200)])).method.endswith("understates")
    assert bounds(values, clusters=separate([0] * 200)).method == "Clopper-Pearson by query, understates"


def test_nothing_right_has_no_lower_bound_and_nothing_wrong_no_upper_one() -> None:
    assert bounds([0] * 30).low == 0
    assert bounds([1] * 30).high == 1
    assert bounds([0] * 30).high == pytest.approx(1 - 0.05 ** (1 / 30))


# How many queries would tell


def passes(n: int, bar: float) -> int:
    """With how many successes of n the exact bound reaches the bar."""
    counts = np.arange(1, n + 1)
    return int(counts[np.argmax(stats.beta.ppf(0.05, counts, n - counts + 1) >= bar)])


@pytest.mark.parametrize(("right", "n", "bar"), [(46, 50, 0.85), (40, 50, 0.75), (27, 50, 0.5)])
def test_so_many_pass_as_often_as_the_power_says(right: int, n: int, bar: float) -> None:
    needed = questions_needed([1] * right + [0] * (n - right), bar)
    assert needed is not None
    power = [stats.binom.sf(passes(some, bar) - 1, some, right / n) for some in (needed, needed // 2)]
    assert power[0] == pytest.approx(0.8, abs=0.03)
    assert power[1] < 0.6


def test_without_a_failure_it_is_where_the_exact_bound_reaches_the_bar() -> None:
    assert questions_needed([1] * 25, 0.95) == 59  # .05 ** (1 / 59) = .9505
    assert questions_needed([0] * 25, 0.05) == 59
    assert questions_needed([1] * 25, 0.2) == 20, "under 20 queries nothing is claimed"


@given(graded, documents, st.sampled_from([0.0, 0.2, 0.5, 0.85, 1.0]))
def test_what_is_not_decided_needs_more_and_what_has_so_many_is_decided(
    values: list[float], needs: list[list[str]], bar: float
) -> None:
    clusters = Clusters.of(needs[: len(values)])
    found, needed = bounds(values, clusters=clusters), questions_needed(values, bar, clusters=clusters)
    if needed is None:
        assert found.value == pytest.approx(bar)
        return
    above = found.value > bar
    if not (found.low >= bar if above else found.high < bar):
        assert needed > len(values)
    times = -(-needed // len(values))
    if needed <= 4_000:  # the same mix, in other documents
        more = Clusters.of(
            [[f"{time} {name}" for name in query] for time in range(times) for query in needs[: len(values)]]
        )
        decided = bounds(values * times, clusters=more)
        assert (decided.low >= bar - 1e-9 if above else decided.high <= bar + 1e-9) or len(needs) < 5


def test_more_power_and_shared_documents_take_more_and_graded_values_fewer() -> None:
    values = [1] * 46 + [0] * 4
    usual = questions_needed(values, 0.85)
    surer, sterner = (
        questions_needed(values, 0.85, power=0.95),
        questions_needed(values, 0.85, confidence=0.99),
    )
    together = questions_needed(values, 0.85, clusters=separate([i // 2 for i in range(50)]))
    even = questions_needed([0.92, 0.9, 0.94] * 20, 0.85)
    assert usual is not None
    assert surer is not None
    assert sterner is not None
    assert together is not None
    assert even is not None
    assert even < usual < min(surer, sterner, together)


def test_luck_is_allowed_for_as_the_power_says() -> None:
    """Next to certain, of a rare success; and by luck alone, where most would not decide."""
    values = [1] + [0] * 19
    certain, by_luck = (questions_needed(values, 0.01, power=power) for power in (0.99, 0.05))
    assert certain is not None
    assert stats.binom.sf(passes(certain, 0.01) - 1, certain, 0.05) >= 0.97
    assert by_luck is not None
    assert by_luck < 60 < certain
    assert questions_needed([0.5, 0.6] * 10, 0.52, power=0.001) == 29


def test_a_mean_at_the_bar_is_never_told_from_it() -> None:
    assert questions_needed([1] * 9 + [0], 0.9) is None
    assert questions_needed([0.1] * 3, 0.3 - 0.2) is None


# What cannot be


@pytest.mark.parametrize("confidence", [0, 0.5, 1, 95])
def test_a_confidence_that_is_none_is_explained(confidence: float) -> None:
    message = r"bounds: the confidence of a bound must be inside \(0.5, 1\)"
    with pytest.raises(ConfigError, match=message):
        bounds([1], confidence=confidence)
    with pytest.raises(ConfigError, match="questions_needed: the confidence"):
        questions_needed([1], 0.5, confidence=confidence)


def test_other_options_that_cannot_be_are_explained() -> None:
    for bar in (-0.1, 1.1, float("nan")):
        with pytest.raises(ConfigError, match=r"the bar must be in \[0, 1\]"):
            questions_needed([1], bar)
    for power in (0, 1):
        with pytest.raises(ConfigError, match=r"the power must be inside \(0, 1\)"):
            questions_needed([1], 0.5, power=power)


def test_values_that_cannot_be_are_explained() -> None:
    with pytest.raises(DataError, match=r"^bounds: no assessed query"):
        bounds([])
    with pytest.raises(DataError, match=r"^questions_needed: values must be in \[0, 1\], got 2.0"):
        questions_needed([2], 0.5)
    with pytest.raises(DataError, match=r"^bounds: clusters of 1 queries given for 2 values"):
        bounds([1, 0], clusters=separate([0]))
