"""The cluster bootstrap where it is good, and its refusal where it is not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from ragdiag.errors import ConfigError, DataError
from ragdiag.measures.bootstrap import cluster_bootstrap
from ragdiag.measures.statistics import Clusters, interval


def separate(labels: Sequence[int]) -> Clusters:
    return Clusters.of([[label] for label in labels])


def clustered(size: int, *, mean: float = 0.6, seed: int = 0) -> tuple[NDArray[np.float64], Clusters]:
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(size), generator.integers(2, 5, size=size))
    rates = generator.beta(mean * 2, (1 - mean) * 2, size=size)
    return (generator.random(len(labels)) < rates[labels]).astype(float), separate(labels.tolist())


def test_it_is_what_drawing_documents_by_hand_gives() -> None:
    values, clusters = clustered(50)
    labels = clusters.blocks
    generator = np.random.default_rng(1)
    means = [
        np.concatenate([values[labels == label] for label in drawn]).mean()
        for drawn in generator.integers(0, 50, size=(4_000, 50))
    ]
    low, high = np.percentile(means, [2.5, 97.5])
    equal = len(values) ** 2 / (np.bincount(labels) ** 2).sum()
    wider = (equal / (equal - 1)) ** 0.5 * stats.t.isf(0.025, equal - 1) / stats.norm.isf(0.025)
    found, mean = cluster_bootstrap(values, clusters), values.mean()
    assert (found.value, found.n, found.method) == (mean, len(values), "cluster bootstrap")
    assert mean - found.low == pytest.approx(wider * (mean - low), rel=0.08)
    assert found.high - mean == pytest.approx(wider * (high - mean), rel=0.08)
    assert found.effective_n == pytest.approx(mean * (1 - mean) / (wider * np.std(means)) ** 2, rel=0.1)


def test_it_agrees_with_the_interval_where_documents_are_many() -> None:
    values, clusters = clustered(400)
    found, usual = cluster_bootstrap(values, clusters), interval(values, clusters=clusters)
    assert (found.low, found.high) == pytest.approx((usual.low, usual.high), abs=0.01)
    assert found.effective_n == pytest.approx(usual.effective_n, rel=0.1)


def test_it_covers_as_often_as_it_says() -> None:
    found = [cluster_bootstrap(*clustered(40, seed=seed), resamples=399) for seed in range(200)]
    assert np.mean([one.low <= 0.6 <= one.high for one in found]) >= 0.91


def test_the_same_question_gets_the_same_answer() -> None:
    values, clusters = clustered(40)
    assert cluster_bootstrap(values, clusters) == cluster_bootstrap(values, clusters)
    assert cluster_bootstrap(values, clusters, seed=1) != cluster_bootstrap(values, clusters)
    narrow, usual = cluster_bootstrap(values, clusters, confidence=0.8), cluster_bootstrap(values, clusters)
    assert usual.low < narrow.low < narrow.high < usual.high


def test_thirty_documents_are_enough_and_fewer_are_not() -> None:
    values = [1.0, 0.0, 1.0] * 30 + [0.0]
    assert cluster_bootstrap(values, separate([*(i // 3 for i in range(90)), 0])).n == 91
    with pytest.raises(DataError, match=r"worth 28.5 equal ones, and 30 are needed; use interval"):
        cluster_bootstrap([*values, *([0.0] * 3)], separate([*(i // 3 for i in range(90)), 0, 0, 0, 0]))
    joined = Clusters.of([[i, i + 1] for i in range(91)])
    with pytest.raises(DataError, match=r"worth 1\.0 equal ones"):
        cluster_bootstrap(values, joined)


@pytest.mark.parametrize("failures", [9, 91])
def test_near_the_ends_it_is_refused(failures: int) -> None:
    values, clusters = [0] * failures + [1] * (100 - failures), separate(range(100))
    with pytest.raises(DataError, match=r"the mean must be from 0.1 to 0.9, got 0.\d+: .*use interval"):
        cluster_bootstrap(values, clusters)
    assert cluster_bootstrap([0] * 10 + [1] * 90, clusters).value == 0.9


def test_documents_that_are_alike_say_nothing_of_others() -> None:
    with pytest.raises(DataError, match=r"every block has the mean 0\.500"):
        cluster_bootstrap([0.0, 1.0] * 40, separate([i // 2 for i in range(80)]))


def test_what_cannot_be_is_explained() -> None:
    with pytest.raises(ConfigError, match="confidence must be inside"):
        cluster_bootstrap([1], separate([0]), confidence=1)
    with pytest.raises(DataError, match=r"^cluster_bootstrap: no assessed query"):
        cluster_bootstrap([], separate([0]))
    with pytest.raises(DataError, match="cluster_bootstrap: clusters of 1 queries given for 2 values"):
        cluster_bootstrap([1, 0], separate([0]))
