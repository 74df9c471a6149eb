"""Intervals against exact binomial coverage, simulation, and the textbook's formulas."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Hashable, Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.proportion import proportion_confint

from ragdiag.errors import ConfigError, DataError
from ragdiag.measures import Clusters, interval, wilson


def separate(labels: Iterable[Hashable]) -> Clusters:
    """Clusters that share nothing: one document a query."""
    return Clusters.of([[label] for label in labels])


graded = st.lists(st.sampled_from([0.0, 0.25, 1 / 3, 0.5, 0.9, 1.0]), min_size=1, max_size=40)


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_yes_no_values_get_the_textbook_interval(counts: tuple[int, int]) -> None:
    successes, n = counts
    estimate = interval([1] * successes + [0] * (n - successes))
    reference = stats.binomtest(successes, n).proportion_ci(method="wilson")
    assert (estimate.low, estimate.high) == pytest.approx((reference.low, reference.high), abs=1e-12)
    assert (estimate.n, estimate.effective_n, estimate.method) == (n, n, "Wilson by query")


@given(st.floats(0, 1), st.floats(0.3, 1e6), st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson_takes_fractions_and_solves_its_defining_equation(
    mean: float, n: float, confidence: float
) -> None:
    low, high = wilson(mean, n, confidence=confidence)
    assert 0 <= low <= mean <= high <= 1
    z = stats.norm.isf((1 - confidence) / 2)
    for end in (low, high):
        # (mean - p)² = z² p (1 - p) / n at both ends, which is what Wilson (1927) solves for p.
        assert (mean - end) ** 2 == pytest.approx(z**2 * end * (1 - end) / n, abs=1e-9)


@pytest.mark.parametrize("n", [10, 50, 200])
@pytest.mark.parametrize("p", [0.5, 0.8, 0.95])
def test_yes_no_intervals_cover_as_often_as_they_say(n: int, p: float) -> None:
    covered = 0.0
    for successes in range(n + 1):
        estimate = interval([1] * successes + [0] * (n - successes))
        covered += stats.binom.pmf(successes, n, p) * (estimate.low <= p <= estimate.high)
    assert covered >= (0.92 if n >= 50 else 0.9)


@pytest.mark.parametrize(
    ("values", "probabilities"),
    [
        ([0, 0.5, 1], [0.05, 0.1, 0.85]),  # recall of two units
        ([0.75, 1], [0.1, 0.9]),  # of four units, at most one lost
        ([0, 0.02, 0.05, 0.1], [0.4, 0.2, 0.2, 0.2]),  # span precision
    ],
)
@pytest.mark.parametrize("n", [20, 100])
def test_graded_intervals_cover_too(values: list[float], probabilities: list[float], n: int) -> None:
    draws = np.random.default_rng(7).choice(values, p=probabilities, size=(500, n))
    truth = np.dot(values, probabilities)
    estimates = [interval(draw) for draw in draws]
    assert np.mean([e.low <= truth <= e.high for e in estimates]) >= 0.92


@pytest.mark.parametrize(("p", "floor"), [(0.5, 0.93), (0.8, 0.93), (0.95, 0.93)])
def test_clustered_intervals_cover_where_intervals_by_query_do_not(p: float, floor: float) -> None:
    generator = np.random.default_rng(11)
    correlation, clusters, each = 0.35, 30, 10
    strength = (1 - correlation) / correlation
    rates = generator.beta(p * strength, (1 - p) * strength, size=(500, clusters))
    draws = generator.random((500, clusters, each)) < rates[:, :, None]
    labels = separate(np.repeat(np.arange(clusters), each).tolist())

    def covers(*, clusters: Clusters | None) -> float:
        estimates = [interval(draw.ravel(), clusters=clusters) for draw in draws]
        return float(np.mean([e.low <= p <= e.high for e in estimates]))

    assert covers(clusters=labels) >= floor
    assert covers(clusters=None) < 0.8


def test_the_clustered_error_is_that_of_a_cluster_robust_regression() -> None:
    generator = np.random.default_rng(3)
    sizes = generator.integers(1, 6, size=40)
    labels = np.repeat(np.arange(40), sizes)
    values = np.clip(generator.random(40)[labels] + generator.normal(0, 0.1, len(labels)), 0, 1)
    estimate = interval(values, clusters=separate(labels.tolist()))
    robust = OLS(values, np.ones(len(values))).fit(
        cov_type="cluster", cov_kwds={"groups": labels, "use_correction": False}
    )
    equal = len(values) ** 2 / (sizes**2).sum()
    mean, each = values.mean(), len(values) / equal
    unseen = max(mean, 1 - mean) ** 2 / 4  # a quarter of a document that is not in the sample
    wider = (stats.t.isf(0.025, equal - 1) / stats.norm.isf(0.025)) ** 2 * equal / (equal - 1)
    by_cluster = wider * robust.cov_params()[0, 0] * len(values) ** 2 + each**2 * unseen
    share = (((values - mean) ** 2).sum() + each * unseen) / by_cluster
    assert estimate.method == "Wilson by cluster"
    assert estimate.effective_n == pytest.approx(share * interval(values).effective_n)
    reference = proportion_confint(mean * estimate.effective_n, estimate.effective_n, method="wilson")
    assert (estimate.low, estimate.high) == pytest.approx(reference)


def test_graded_values_are_shrunk_for_the_few_degrees_of_freedom_of_their_error() -> None:
    values = [0.1, 0.4, 0.5, 0.5, 0.7]
    mean = np.mean(values)
    variance = (sum((value - mean) ** 2 for value in values) + max(mean, 1 - mean) ** 2 / 4) / 4
    shrink = (stats.norm.isf(0.025) / stats.t.isf(0.025, 4)) ** 2
    assert interval(values).effective_n == pytest.approx(mean * (1 - mean) / (variance / 5) * shrink)


def test_graded_values_near_an_end_are_no_surer_than_yes_no_values() -> None:
    """What would make up most of their variance is a rare failure, which need not be in the sample."""
    nearly, all_right = interval([0.999, 1.0] * 25), interval([1] * 50)
    shrink = (stats.norm.isf(0.025) / stats.t.isf(0.025, 49)) ** 2
    assert nearly.effective_n == pytest.approx(49 * shrink)
    assert nearly.low == pytest.approx(all_right.low, abs=0.01)


def test_a_first_failure_does_not_prove_that_documents_do_not_matter() -> None:
    labels = separate(np.repeat(np.arange(30), 7).tolist())
    none, one, many = (interval([1] * (210 - k) + [0] * k, clusters=labels) for k in (0, 1, 70))
    assert none.effective_n == pytest.approx(30)
    assert 30 < one.effective_n < 90, "not 210, though no two failures share a document"
    assert one.low < none.low + 0.03
    assert 25 < many.effective_n < 35, "ten documents of thirty fail: that is what there is to know"


@pytest.mark.parametrize("mean", [0.8, 0.95, 0.98])
def test_clustered_intervals_cover_near_the_end_too(mean: float) -> None:
    generator = np.random.default_rng(12)
    strength = 0.65 / 0.35
    rates = generator.beta(mean * strength, (1 - mean) * strength, size=(600, 30))
    draws = generator.random((600, 30, 10)) < rates[:, :, None]
    clusters = separate(np.repeat(np.arange(30), 10).tolist())
    found = [interval(draw.ravel(), clusters=clusters) for draw in draws]
    assert np.mean([estimate.low <= mean <= estimate.high for estimate in found]) >= 0.92


def test_queries_that_agree_within_documents_tell_as_little_as_the_documents() -> None:
    documents = [1.0] * 20 + [0.0] * 20
    values, labels = np.repeat(documents, 10), separate(np.repeat(np.arange(40), 10).tolist())
    alone, together = interval(documents), interval(values, clusters=labels)
    assert alone.effective_n == 40
    assert 35 < together.effective_n < 40
    assert interval(values).effective_n == 400


def test_clusters_never_add_information() -> None:
    values = [0.0, 1.0] * 30  # every cluster has the mean of the whole: a clustered error of 0
    labels = separate(np.repeat(np.arange(30), 2).tolist())
    assert interval(values, clusters=labels).effective_n == 60


def test_without_variance_each_cluster_counts_once() -> None:
    labels = separate(np.repeat(np.arange(25), 4).tolist())
    for value in (0.0, 0.4, 1.0):
        assert interval([value] * 100, clusters=labels).effective_n == pytest.approx(25)
        assert interval([value] * 100).effective_n == 100
    rounded = interval([0.3, 0.1 + 0.2])  # one value, computed in two ways
    assert rounded.effective_n == 2


def test_clusters_of_unequal_size_are_worth_fewer_equal_ones() -> None:
    labels = separate([0] * 81 + list(range(1, 20)))
    assert interval([1.0] * 100, clusters=labels).effective_n == pytest.approx(100**2 / (81**2 + 19))


def test_a_document_that_dominates_is_worth_one_cluster_and_the_interval_says_so() -> None:
    values = [1.0] * 500 + [0.0] * 500 + [1.0] * 100
    dominated = interval(values, clusters=separate([0] * 1000 + np.repeat(range(1, 21), 5).tolist()))
    assert dominated.method == "Wilson by cluster, understates"
    mean, deviation = 600 / 1100, 100 * 500 / 1100  # of the sum over the document; the same for all others
    equal = 1100**2 / (1000**2 + 20 * 5**2)
    unseen, each = mean**2 / 4, 1100 / equal
    wider = (stats.t.isf(0.025, 1) / stats.norm.isf(0.025)) ** 2  # never fewer than one degree of freedom
    by_cluster = wider * equal / (equal - 1) * (deviation**2 + deviation**2 / 20) + each**2 * unseen
    share = (1100 * mean * (1 - mean) + each * unseen) / by_cluster
    assert dominated.effective_n == pytest.approx(1100 * share)
    assert dominated.effective_n < 1


def test_under_twenty_clusters_the_interval_says_that_it_understates() -> None:
    values = [1.0, 0.0, 1.0, 1.0] * 18 + [0.0] * 4
    few = interval(values, clusters=separate(np.repeat(np.arange(19), 4).tolist()))
    assert few.method == "Wilson by cluster, understates"
    assert few.effective_n <= interval(values).effective_n
    more = separate(query // 4 for query in range(80))
    assert interval(values + [1.0] * 4, clusters=more).method == "Wilson by cluster"


def test_one_cluster_says_that_its_interval_by_query_understates() -> None:
    values = [1.0, 0.0, 1.0, 1.0]
    alone, by_query = interval(values, clusters=separate("aaaa")), interval(values)
    assert alone.method == "Wilson by query, understates"
    assert (alone.low, alone.high) == (by_query.low, by_query.high)


@pytest.mark.parametrize("values", [[1, 0, 1], [1]])
def test_clusters_of_one_query_are_no_clusters(values: list[int]) -> None:
    assert interval(values, clusters=separate("abc"[: len(values)])) == interval(values)


@given(graded, st.sampled_from([0.9, 0.95]))
def test_an_interval_holds_its_mean_and_is_symmetric_in_success_and_failure(
    values: list[float], confidence: float
) -> None:
    estimate = interval(values, confidence=confidence)
    assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
    mirror = interval([1 - value for value in values], confidence=confidence)
    assert (mirror.low, mirror.high) == pytest.approx((1 - estimate.high, 1 - estimate.low), abs=1e-9)


def test_one_query_says_next_to_nothing() -> None:
    estimate = interval([1.0])
    assert (estimate.n, estimate.effective_n) == (1, 1)
    assert estimate.high - estimate.low > 0.75


def test_more_confidence_is_wider() -> None:
    values = [0.2, 0.5, 0.9, 1.0]
    narrow, wide = interval(values, confidence=0.8), interval(values, confidence=0.99)
    assert wide.low < narrow.low < narrow.high < wide.high
    for confidence in (0.8, 0.99):
        estimate = interval([1, 1, 0, 1], confidence=confidence)
        assert (estimate.low, estimate.high) == wilson(0.75, 4, confidence=confidence)


def test_values_may_be_of_any_kind_of_number() -> None:
    values = [0.1, 0.2, 0.7]
    single = np.array(values, dtype=np.float32)
    assert interval(single) == interval(single.tolist())
    assert interval(np.array([True, False])) == interval([1, 0])


def test_rounding_beyond_the_ends_is_forgiven() -> None:
    assert interval([1 + 1e-12, -1e-12]).value == 0.5


def test_no_query_is_no_mean() -> None:
    with pytest.raises(DataError, match="no assessed query"):
        interval([])


@pytest.mark.parametrize(
    ("values", "clusters", "message"),
    [
        ([0.5, 1.5], None, r"^interval: values must be in \[0, 1\], got 1.5 at position 1"),
        ([0.5, float("nan")], None, "got nan at position 1"),
        ([[0.5]], None, r"got shape \(1, 1\)"),
        ([0.5, 1], separate("a"), "^interval: clusters of 1 queries given for 2 values"),
    ],
)
def test_values_that_cannot_be_are_explained(
    values: list[float], clusters: Clusters | None, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        interval(values, clusters=clusters)


def test_options_that_cannot_be_are_explained() -> None:
    for confidence in (0, 1, 95):
        with pytest.raises(ConfigError, match="confidence must be inside"):
            interval([1], confidence=confidence)
        with pytest.raises(ConfigError, match="confidence must be inside"):
            wilson(0.5, 10, confidence=confidence)
    with pytest.raises(DataError, match="mean must be in"):
        wilson(1.1, 10)
    for n in (0, float("inf"), float("nan")):
        with pytest.raises(DataError, match="n must be positive and finite"):
            wilson(0.5, n)


@given(st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=3), max_size=12))
def test_queries_share_where_their_documents_meet(documents: list[list[str]]) -> None:
    clusters = Clusters.of(documents)
    expected = [
        [bool(set(a) & set(b)) or i == j for j, b in enumerate(documents)] for i, a in enumerate(documents)
    ]
    assert clusters.sharing.toarray().astype(bool).tolist() == expected


@given(st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=3), min_size=1, max_size=12))
def test_blocks_are_what_no_document_joins(documents: list[list[str]]) -> None:
    blocks = Clusters.of(documents).blocks
    merged = [{i} for i in range(len(documents))]
    for a, first in enumerate(documents):
        for b, second in enumerate(documents):
            if set(first) & set(second):
                union = next(block for block in merged if a in block) | next(c for c in merged if b in c)
                merged = [block for block in merged if not block & union] + [union]
    assert {frozenset(np.flatnonzero(blocks == label)) for label in set(blocks.tolist())} == {
        frozenset(block) for block in merged
    }


def test_queries_with_several_documents_keep_their_nominal_coverage() -> None:
    generator = np.random.default_rng(5)
    needs = [generator.choice(60, size=generator.integers(1, 4), replace=False).tolist() for _ in range(200)]
    clusters = Clusters.of(needs)
    covered = {"by cluster": 0, "by query": 0}
    for _ in range(400):
        rates = generator.beta(0.8, 0.4, size=60)  # of each document; the mean is 2/3
        values = generator.random(200) < [rates[documents].mean() for documents in needs]
        for name, given_clusters in (("by cluster", clusters), ("by query", None)):
            estimate = interval(values, clusters=given_clusters)
            covered[name] += estimate.low <= 2 / 3 <= estimate.high
    assert covered["by cluster"] / 400 >= 0.92
    assert covered["by query"] / 400 < 0.85


def test_importing_the_measures_loads_nothing_heavy() -> None:
    code = (
        "import sys, ragdiag.measures; print({'scipy', 'pandas', 'statsmodels', 'torch'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
