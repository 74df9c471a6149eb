"""Paired differences against enumeration, the textbook's exact tests, and simulation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.contingency_tables import mcnemar

from ragdiag.errors import ConfigError, DataError
from ragdiag.measures import Clusters, Difference, paired_difference

SHARES = [0.0, 0.25, 1 / 3, 0.5, 2 / 3, 1.0]
pairs = st.lists(st.tuples(st.sampled_from(SHARES), st.sampled_from(SHARES)), min_size=1, max_size=9)
documents = st.lists(st.lists(st.sampled_from("abcdef"), max_size=2), min_size=9, max_size=9)


def values(found: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [a for a, _ in found], [b for _, b in found]


def yes_no(gained: int, lost: int, same: int) -> tuple[list[int], list[int]]:
    return [0] * gained + [1] * lost + [1] * same, [1] * gained + [0] * lost + [1] * same


def enumerate_flips(differences: Sequence[float], needs: Sequence[Sequence[str]]) -> dict[float, float]:
    """For each way to flip signs, by hand: the absolute mean, and its studentized size."""

    def size(flipped: Sequence[float]) -> float:
        n = len(flipped)
        alone = sum(d * d for d in flipped)
        together = sum(
            flipped[i] * flipped[j]
            for i, j in product(range(n), repeat=2)
            if i == j or set(needs[i]) & set(needs[j])
        )
        error = max(alone, together) ** 0.5
        return abs(sum(flipped)) / error if error else 0.0

    ways = product((1, -1), repeat=len(differences))
    return {k: size([s * d for s, d in zip(signs, differences, strict=True)]) for k, signs in enumerate(ways)}


# The test


@given(pairs, documents)
def test_p_is_that_of_all_ways_to_flip_signs(
    found: list[tuple[float, float]], documents: list[list[str]]
) -> None:
    a, b = values(found)
    needs = documents[: len(found)]
    clusters = Clusters.of(needs)
    everything_shared = clusters.sharing.nnz == len(found) ** 2
    if everything_shared:
        needs = [[str(i)] for i in range(len(found))]
    sizes = enumerate_flips([y - x for x, y in found], needs)
    as_large = [size for size in sizes.values() if size >= sizes[0] - 1e-8]
    assert paired_difference(a, b, clusters=clusters).p == pytest.approx(len(as_large) / len(sizes))


@pytest.mark.parametrize(("gained", "lost"), [(6, 0), (8, 1), (5, 5), (1, 0), (9, 4)])
def test_yes_no_values_get_the_exact_test_of_mcnemar(gained: int, lost: int) -> None:
    difference = paired_difference(*yes_no(gained, lost, 30))
    table = [[30, lost], [gained, 0]]
    assert difference.p == pytest.approx(min(1.0, mcnemar(table, exact=True).pvalue))
    assert (difference.n, difference.changed) == (30 + gained + lost, gained + lost)
    assert difference.value == pytest.approx((gained - lost) / difference.n)


def test_flips_by_chance_come_close_to_all_of_them() -> None:
    difference = paired_difference(*yes_no(27, 14, 100))
    exact = stats.binomtest(27, 41).pvalue
    assert difference.p == pytest.approx(exact, abs=3 * (exact * (1 - exact) / 9_999) ** 0.5)
    assert paired_difference(*yes_no(60, 0, 0)).p == pytest.approx(1 / 10_000)  # never 0


@given(st.lists(st.tuples(st.sampled_from(SHARES), st.sampled_from(SHARES)), min_size=6, max_size=9))
def test_needed_is_the_smallest_difference_that_would_have_been_significant(
    found: list[tuple[float, float]],
) -> None:
    difference = paired_difference(*values(found))
    differences = [y - x for x, y in found]
    means = [
        abs(np.mean([s * d for s, d in zip(signs, differences, strict=True)]))
        for signs in product((1, -1), repeat=len(differences))
    ]
    significant = [mean for mean in means if np.mean([other >= mean - 1e-9 for other in means]) <= 0.05]
    if difference.changed:
        assert difference.needed == pytest.approx(min(significant)) if significant else not difference.needed
    else:
        assert difference.needed is None


def test_five_queries_are_never_enough_and_six_are_if_all_go_one_way() -> None:
    five, six = (paired_difference(*yes_no(gained, 0, 34)) for gained in (5, 6))
    assert (five.needed, five.shown) == (None, False)
    assert six.shown
    assert six.needed == pytest.approx(6 / 40)


def test_under_twenty_queries_nothing_is_shown() -> None:
    few, enough = (paired_difference(*yes_no(10, 0, same)) for same in (9, 10))
    assert few.p == enough.p == pytest.approx(2 / 2**10)
    assert (few.shown, enough.shown) == (False, True)


def test_five_percent_is_significant() -> None:
    found = Difference(0, 0.5, 0.5, 0.1, 0.9, p=0.05, n=20, changed=8, needed=0.4, method="by hand")
    assert found.shown
    assert not replace(found, p=0.0501).shown


@given(
    st.lists(st.tuples(st.sampled_from(SHARES), st.sampled_from(SHARES)), min_size=7, max_size=9), documents
)
def test_needed_is_in_units_of_the_error_that_documents_share(
    found: list[tuple[float, float]], documents: list[list[str]]
) -> None:
    needs = documents[: len(found)]
    clusters = Clusters.of(needs)
    if clusters.sharing.nnz == len(found) ** 2:
        return
    differences = [y - x for x, y in found]
    sizes = enumerate_flips(differences, needs)
    significant = [
        size for size in sizes.values() if np.mean([s >= size - 1e-8 for s in sizes.values()]) <= 0.05
    ]
    difference = paired_difference(*values(found), clusters=clusters)
    if significant and difference.value:
        error = abs(difference.value) / sizes[0]
        assert difference.needed == pytest.approx(min(significant) * error)
    else:
        assert not significant or difference.needed


def test_two_that_are_the_same_do_not_differ() -> None:
    values = [0.2, 0.1 + 0.2, 1.0] * 10
    same = paired_difference(values, [0.2, 0.3, 1.0] * 10)  # 0.1 + 0.2 is not 0.3
    assert (same.value, same.p, same.changed, same.needed) == (0, 1, 0, None)
    assert same.low == pytest.approx(-same.high, abs=0.003)
    assert 0.03 < same.high < 0.12  # 30 queries without a difference do not prove that there is none


def test_where_documents_are_apart_their_queries_are_flipped_together() -> None:
    """Fisher's exact test over documents, whatever their sizes."""
    generator = np.random.default_rng(9)
    labels = np.repeat(np.arange(11), generator.integers(2, 5, size=11))
    a, b = generator.choice(SHARES, size=(2, len(labels)))
    sums = [(b - a)[labels == label].sum() for label in range(11)]
    means = [abs(np.dot(signs, sums)) / len(labels) for signs in product((1, -1), repeat=11)]
    found = paired_difference(a, b, clusters=separate(labels.tolist()))
    assert found.p == pytest.approx(np.mean([mean >= means[0] - 1e-9 for mean in means]))
    shares = {mean: np.mean([other >= mean - 1e-9 for other in means]) for mean in means}
    least = min(mean for mean, share in shares.items() if share <= 0.05)
    assert found.needed == pytest.approx(least)


def test_a_document_whose_gains_and_losses_cancel_out_says_nothing() -> None:
    a, b = [0.1, 0.3, 0.2, 0.3] * 12, [0.3, 0.1, 0.3, 0.2] * 12  # the sum of a document is 0 but for rounding
    found = paired_difference(a, b, clusters=separate([i // 4 for i in range(48)]))
    assert (found.p, found.needed, found.changed) == (1, None, 48)


# Symmetry


@given(pairs, documents)
def test_which_one_is_called_a_changes_nothing_but_signs(
    found: list[tuple[float, float]], documents: list[list[str]]
) -> None:
    a, b = values(found)
    clusters = Clusters.of(documents[: len(found)])
    forth, back = paired_difference(a, b, clusters=clusters), paired_difference(b, a, clusters=clusters)
    assert (back.value, back.low, back.high) == (-forth.value, -forth.high, -forth.low)
    assert (back.a, back.b, back.p, back.needed) == (forth.b, forth.a, forth.p, forth.needed)
    assert -1 <= forth.low <= forth.value <= forth.high <= 1
    assert forth.value == pytest.approx(forth.b - forth.a)


def test_nor_does_it_where_gains_and_losses_cancel_out() -> None:
    a, b = [0.0, 0.5, 0.3, 0.3], [0.5, 0.0, 0.3, 0.3]
    forth, back = paired_difference(a, b, resamples=199), paired_difference(b, a, resamples=199)
    assert forth.value == 0
    assert -forth.low != forth.high, "which of two mirror images is resampled does matter"
    assert (back.low, back.high) == (-forth.high, -forth.low)


def test_the_same_question_gets_the_same_answer() -> None:
    a, b = np.random.default_rng(0).random((2, 50))
    assert astuple(paired_difference(a, b)) == astuple(paired_difference(a, b))
    few = paired_difference(a, b, resamples=99)
    assert (few.low, few.high) != (paired_difference(a, b).low, paired_difference(a, b).high)
    assert few.p * 100 == pytest.approx(round(few.p * 100))
    other = paired_difference(a, b, seed=1)
    assert other != paired_difference(a, b)
    assert (other.low, other.high, other.p) == pytest.approx(
        (paired_difference(a, b).low, paired_difference(a, b).high, paired_difference(a, b).p), abs=0.02
    )


# The interval


def test_of_many_queries_it_is_that_of_the_mean_of_their_differences() -> None:
    a, b = np.random.default_rng(2).random((2, 600))
    difference = paired_difference(a, b)
    error = stats.sem(b - a)
    assert (difference.low, difference.high) == pytest.approx(
        stats.norm.interval(0.95, (b - a).mean(), error), abs=0.1 * error
    )


def test_another_confidence_is_another_interval_and_the_same_test() -> None:
    a, b = np.random.default_rng(2).random((2, 600))
    narrow, usual = paired_difference(a, b, confidence=0.9), paired_difference(a, b)
    error = stats.sem(b - a)
    assert (narrow.low, narrow.high) == pytest.approx(
        stats.norm.interval(0.9, (b - a).mean(), error), abs=0.1 * error
    )
    assert usual.low < narrow.low < narrow.high < usual.high
    assert (narrow.p, narrow.needed) == (usual.p, usual.needed)
    with pytest.raises(ConfigError, match="confidence must be inside"):
        paired_difference(a, b, confidence=95)


def resampled_ends(differences: Sequence[float]) -> tuple[float, float, float]:
    """Percentiles of the mean of queries drawn at random, with half a query more each way, and its center."""
    half = max(abs(d) for d in differences) * 0.5**0.5
    padded = np.array([*differences, half, -half])
    means = np.random.default_rng(8).choice(padded, size=(100_000, len(padded))).mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(padded.mean()), float(high)


@pytest.mark.parametrize("differences", [[0.01, 0.02, -0.01], [0.03, 0.01, 0.02, 0.02, -0.01]])
def test_of_few_queries_it_is_the_percentile_bootstrap_expanded_as_t_asks(differences: list[float]) -> None:
    low, center, high = resampled_ends(differences)
    n = len(differences) + 2
    wider = (n / (n - 1)) ** 0.5 * stats.t.isf(0.025, n - 1) / stats.norm.isf(0.025)
    found = paired_difference([0.5] * (n - 2), [0.5 + d for d in differences], resamples=99_999)
    assert center - found.low == pytest.approx(wider * (center - low), rel=0.02)
    assert found.high - center == pytest.approx(wider * (high - center), rel=0.02)


CLUSTERED = [0.0311, 0.0236, -0.0073, -0.0187, 0.0129, 0.0094, 0.0283, 0.0405, 0.0018, -0.0122]


@pytest.mark.parametrize(
    ("labels", "equal"), [([0, 0, 1, 1, 2, 2, 3, 3, 4, 4], 5), ([0] * 8 + [1, 1], 100 / 68)]
)
def test_of_few_clusters_it_is_wider_by_their_error_and_degrees_of_freedom(
    labels: list[int], equal: float
) -> None:
    low, center, high = resampled_ends(CLUSTERED)
    deviations = np.array(CLUSTERED) - np.mean(CLUSTERED)
    together = sum(deviations[np.array(labels) == label].sum() ** 2 for label in set(labels))
    ratio = (equal / (equal - 1) * together / (deviations**2).sum()) ** 0.5
    wider = (12 / 11) ** 0.5 * ratio * stats.t.isf(0.025, max(equal - 1, 1)) / stats.norm.isf(0.025)
    b = [0.5 + d for d in CLUSTERED]
    found = paired_difference([0.5] * 10, b, clusters=separate(labels), resamples=99_999)
    assert center - found.low == pytest.approx(wider * (center - low), rel=0.02)
    assert found.high - center == pytest.approx(wider * (high - center), rel=0.02)


def test_clusters_never_make_it_narrower() -> None:
    a, b = [0.5] * 12, [0.5, 0.52] * 6
    clustered = paired_difference(a, b, clusters=separate([i // 2 for i in range(12)]))
    alone = paired_difference(a, b)
    assert (clustered.low, clustered.high) == (alone.low, alone.high)


def test_few_queries_that_differ_are_not_known_for_sure() -> None:
    one = paired_difference(*yes_no(1, 0, 39))
    assert one.low < 0 < one.high
    everything = paired_difference([0] * 40, [1] * 40)
    assert everything.high == 1
    assert 0.85 < everything.low < 0.99


@pytest.mark.parametrize(("gained", "lost"), [(0.02, 0), (0.1, 0.05), (0.3, 0.1)])
@pytest.mark.parametrize("n", [20, 60])
def test_it_covers_as_often_as_it_says(n: int, gained: float, lost: float) -> None:
    draws = np.random.default_rng(3).choice([1, -1, 0], p=[gained, lost, 1 - gained - lost], size=(300, n))
    covered = 0
    for draw in draws:
        found = paired_difference((draw < 0) * 1.0, (draw > 0) * 1.0, resamples=499)
        covered += found.low <= gained - lost <= found.high
    assert covered / 300 >= 0.92


# Clusters


def separate(labels: Sequence[int]) -> Clusters:
    return Clusters.of([[label] for label in labels])


def test_queries_that_differ_together_are_not_taken_for_independent_ones() -> None:
    """30 documents of 5 questions; without a difference, and with one that documents share."""
    generator = np.random.default_rng(4)
    labels = np.repeat(np.arange(30), 5)
    clusters = separate(labels.tolist())
    rejected, covered = {"by cluster": 0, "by query": 0}, {"by cluster": 0, "by query": 0}
    for _ in range(200):
        effect = generator.choice([-0.5, 0.5], size=30)[labels]
        a, b = (generator.random(150) < 0.5 + sign * effect / 2 for sign in (-1, 1))
        for name, known in (("by cluster", clusters), ("by query", None)):
            found = paired_difference(a, b, clusters=known, resamples=499)
            rejected[name] += found.p <= 0.05
            covered[name] += found.low <= 0 <= found.high
    assert rejected["by cluster"] / 200 <= 0.07
    assert rejected["by query"] / 200 > 0.15
    assert covered["by cluster"] / 200 >= 0.91
    assert covered["by query"] / 200 < 0.85


def test_documents_that_queries_share_in_part_count_too() -> None:
    """120 questions, each with one to three of 40 documents: no groups, but much in common."""
    generator = np.random.default_rng(5)
    needs = [generator.choice(40, size=generator.integers(1, 4), replace=False) for _ in range(120)]
    clusters = Clusters.of([found.tolist() for found in needs])
    rejected = {"by cluster": 0, "by query": 0}
    for _ in range(200):
        effects = generator.choice([-0.5, 0.5], size=40)
        effect = np.array([effects[found].mean() for found in needs])
        a, b = (generator.random(120) < 0.5 + sign * effect / 2 for sign in (-1, 1))
        for name, known in (("by cluster", clusters), ("by query", None)):
            rejected[name] += paired_difference(a, b, clusters=known, resamples=499).p <= 0.05
    assert rejected["by cluster"] / 200 <= 0.09
    assert rejected["by query"] / 200 > 0.1


def test_the_clustered_interval_is_as_wide_as_a_cluster_robust_regression_says() -> None:
    generator = np.random.default_rng(6)
    labels = np.repeat(np.arange(100), 4)
    a = generator.random(400) / 2
    b = np.clip(a + generator.normal(0.1, 0.1, 100)[labels], 0, 1)
    found = paired_difference(a, b, clusters=separate(labels.tolist()))
    robust = OLS(b - a, np.ones(400)).fit(
        cov_type="cluster", cov_kwds={"groups": labels, "use_correction": False}
    )
    assert found.method == "paired bootstrap and sign flips, by cluster"
    width = 2 * stats.t.isf(0.025, 99) * robust.bse[0]
    assert found.high - found.low == pytest.approx(width, rel=0.05)
    assert found.high - found.low > 1.4 * (paired_difference(a, b).high - paired_difference(a, b).low)


def test_where_no_query_differs_each_cluster_counts_once() -> None:
    labels = np.repeat(np.arange(25), 4).tolist()
    together, alone = (paired_difference([1] * n, [1] * n) for n in (25, 100))
    clustered = paired_difference([1] * 100, [1] * 100, clusters=separate(labels))
    assert clustered.high == pytest.approx(together.high, rel=0.05)
    assert clustered.high > 2 * alone.high
    dominated = paired_difference([1] * 10, [1] * 10, clusters=separate([0] * 9 + [1]))
    one = paired_difference([1], [1])
    assert (dominated.low, dominated.high) == (one.low, one.high), "worth 1.2 clusters"
    steady = paired_difference([0.1] * 100, [0.3] * 100, clusters=separate(labels))
    assert steady.low < 0.2 < steady.high < 0.3


@pytest.mark.parametrize(
    ("labels", "method"),
    [
        (list(range(40)), "by query"),
        ([0] * 40, "by query, understates"),
        ([i // 2 for i in range(40)], "by cluster"),
        ([i // 3 for i in range(40)], "by cluster, understates"),
    ],
)
def test_the_method_says_what_was_done(labels: list[int], method: str) -> None:
    a, b = yes_no(12, 3, 25)
    found = paired_difference(a, b, clusters=separate(labels))
    assert found.method == f"paired bootstrap and sign flips, {method}"
    if method.startswith("by query"):
        assert astuple(found)[:-1] == astuple(paired_difference(a, b))[:-1]


def test_one_query_shares_documents_with_no_other() -> None:
    assert paired_difference([0], [1], clusters=separate([0])) == paired_difference([0], [1])


# What cannot be


@pytest.mark.parametrize(
    ("a", "b", "clusters", "message"),
    [
        ([], [], None, "paired_difference: no assessed query"),
        ([0.5], [0.5, 1], None, "1 values of a and 2 of b"),
        ([0.5], [1.5], None, r"paired_difference: values must be in \[0, 1\], got 1.5 at position 0"),
        ([0.5, 1], [0.5, 1], separate([0]), "paired_difference: clusters of 1 queries given for 2 values"),
    ],
)
def test_values_that_cannot_be_are_explained(
    a: list[float], b: list[float], clusters: Clusters | None, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        paired_difference(a, b, clusters=clusters)


@settings(max_examples=10)
@given(st.integers(1, 3))
def test_next_to_no_query_says_next_to_nothing(n: int) -> None:
    found: Difference = paired_difference([0] * n, [1] * n)
    assert found.p == pytest.approx(2 / 2**n)
    assert found.high - found.low > 0.5
