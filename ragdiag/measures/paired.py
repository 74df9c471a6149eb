"""The mean difference of two runs over the same queries: an interval, a test, and what they could have shown.

Each query is its own control: what counts is by how much it differs. Queries that share a document may differ
together, and then tell less than as many independent ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ragdiag.errors import DataError
from ragdiag.measures.statistics import Clusters, check_clusters, per_query

__all__ = ["FEWEST_QUERIES", "Difference", "paired_difference"]

FEWEST_QUERIES = 20
"""Under so many queries no difference is claimed, however small its p."""

_LEVEL = 0.05  # of the test; the interval's confidence is the rest
_FEWEST_CLUSTERS = 20
_ROUNDING = 1e-9  # values that differ by less are the same value, computed in two ways
_DIGITS = 9  # statistics that differ by less tie
_BATCH = 2_000_000  # numbers held at a time, so that many queries do not take many gigabytes

_Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Difference:
    """By how much b differs from a, in the mean over the same queries.

    Attributes:
        a, b: the two means.
        value: b - a: above 0 where b has more.
        low, high: ends of the two-sided 95% interval.
        p: how often a difference at least as large comes about by chance, where a and b are alike.
        n: the number of queries.
        changed: the number of queries with any difference.
        needed: from which size on the difference would have been significant (p <= .05), given how much the
            queries differ; None where too few of them do for any to be.
        method: how interval and test were made, and what is wrong with them where something is.
    """

    a: float
    b: float
    value: float
    low: float
    high: float
    p: float
    n: int
    changed: int
    needed: float | None
    method: str

    @property
    def shown(self) -> bool:
        """Whether there is a difference, as far as these queries tell: p <= .05 over 20 queries or more."""
        return self.p <= _LEVEL and self.n >= FEWEST_QUERIES


def paired_difference(
    a: ArrayLike,
    b: ArrayLike,
    *,
    clusters: Clusters | None = None,
    resamples: int = 9_999,
    seed: int = 0,
) -> Difference:
    """The mean of ``b - a``, both in [0, 1] with one value a query, shape (n,).

    - **Test**: the signs of the differences are flipped, all 2^m ways where the m queries that differ allow
      no more than ``resamples``, else as many by chance; p is the share of ways in which ``|t|`` is at
      least as large as it is. ``t`` is the sum of the differences over its standard error, which lets queries
      that share a document vary together: the square root of the sum of ``d_i d_j`` over all pairs that share
      one (i = j too), and never below the one by query. Without shared documents it is the same for every
      flip, and the test is Fisher's (1935), exact whatever the distribution. With them the flips by query
      are right because ``t`` is studentized (Janssen, 1997; Chung and Romano, 2013), as n grows.
    - **Interval**: the percentile bootstrap over queries, with half a query added that differs one way and
      half a query that differs the other way, as Agresti and Min (2005) do for yes/no pairs; without them a
      few differing queries, or none, would seem to be known for sure. They differ by as much as any query
      does (by 1 where none does). It is expanded by ``t / z`` (Hesterberg, 2015), and by the ratio of the
      clustered standard error (see `interval`) to the one by query where that is larger.

    Which of the two is called a changes no number but the sign. Under 20 equal clusters (`Clusters.equal`)
    the clustered error is itself uncertain and the method says that they understate, as it does where every
    query shares a document with every other, which leaves no way but by query.

    Args:
        a: one value a query.
        b: the same queries in the same order.
        clusters: which queries share documents; None for independent queries.
        resamples: of the bootstrap, and of the flips where there are more.
        seed: of both.

    Raises:
        DataError: no value, a value that is not finite or outside [0, 1], lengths that differ, or clusters of
            other queries.

    Example:
        >>> before, after = [0, 0, 1, 0, 0, 1, 0, 0], [1, 1, 1, 1, 1, 1, 0, 1]
        >>> difference = paired_difference(before, after)
        >>> difference.value, difference.p, difference.changed, difference.shown
        (0.625, 0.0625, 5, False)
    """
    first, second = (per_query(values, "paired_difference") for values in (a, b))
    if len(first) != len(second):
        raise DataError(f"paired_difference: {len(first)} values of a and {len(second)} of b")
    differences = second - first
    differences[np.abs(differences) < _ROUNDING] = 0.0
    sharing, method = None, "by query"
    if clusters is not None:
        check_clusters(clusters, len(differences), "paired_difference")
        pairs, n = clusters.sharing.nnz, len(differences)
        if pairs == n**2 > 1:
            method = "by query, understates"
        elif pairs > n:
            sharing = clusters
            enough = clusters.equal >= _FEWEST_CLUSTERS
            method = "by cluster" if enough else "by cluster, understates"
    low, high = _bootstrap(differences, sharing, resamples, seed)
    p, needed = _flip_signs(differences, sharing, resamples, seed)
    return Difference(
        a=float(first.mean()),
        b=float(second.mean()),
        value=float(differences.mean()),
        low=low,
        high=high,
        p=p,
        n=len(differences),
        changed=int(np.count_nonzero(differences)),
        needed=needed,
        method=f"paired bootstrap and sign flips, {method}",
    )


# The test


def _flip_signs(
    differences: _Values, clusters: Clusters | None, resamples: int, seed: int
) -> tuple[float, float | None]:
    """The two-sided p, and the smallest mean difference that would have been significant."""
    from scipy.stats import permutation_test  # heavy

    changed = np.flatnonzero(differences)  # the others are the same for every flip
    if len(changed) < 2:
        return 1.0, None  # a flip changes nothing, or the sign alone
    values = differences[changed]
    sharing = None if clusters is None else clusters.sharing[changed][:, changed]

    def t(flipped: _Values, axis: int = -1) -> _Values:
        """``|t|`` of each row; rounded, so that sums in another order still tie."""
        return np.asarray((np.abs(flipped.sum(axis)) / _error_of_sum(flipped, sharing)).round(_DIGITS))

    test = permutation_test(
        (values,),
        t,
        permutation_type="samples",
        alternative="greater",
        vectorized=True,
        n_resamples=resamples,
        batch=max(1, _BATCH // len(values)),
        random_state=np.random.default_rng(seed),
    )
    sizes, times = np.unique(test.null_distribution, return_counts=True)
    beyond = times[::-1].cumsum()[::-1] / times.sum()  # the share of flips that are at least as large
    significant = sizes[beyond <= _LEVEL]
    if not len(significant):
        return float(test.pvalue), None
    error = float(_error_of_sum(values, sharing)) / len(differences)
    return float(test.pvalue), float(significant[0] * error)


def _error_of_sum(values: _Values, sharing: Any) -> _Values:
    """The standard error of the sum of each row under a mean of 0: over all pairs that share a document."""
    by_query = (values**2).sum(axis=-1)
    if sharing is None:
        return np.asarray(np.sqrt(by_query))
    by_cluster = (values * (sharing @ values.T).T).sum(axis=-1)
    return np.asarray(np.sqrt(np.maximum(by_cluster, by_query)))


# The interval


def _bootstrap(
    differences: _Values, clusters: Clusters | None, resamples: int, seed: int
) -> tuple[float, float]:
    from scipy.stats import bootstrap  # heavy

    mean = float(differences.mean())
    # One of two mirror images is resampled, and the result turned back: neither run is the first by nature.
    nonzero = differences[np.flatnonzero(differences)]
    turned = mean < 0 or (mean == 0 and len(nonzero) > 0 and nonzero[0] < 0)
    values = -differences if turned else differences
    if clusters is not None and np.ptp(values) < _ROUNDING:
        # Without variance there is no clustered error: each cluster tells as much as one query.
        values, clusters = np.full(max(1, round(clusters.equal)), values[0]), None
    half = np.sqrt(0.5) * (np.abs(values).max() or 1.0)  # two of them have the squares of two halves
    padded = np.concatenate([values, [half, -half]])
    ends = bootstrap(
        (padded,),
        np.mean,
        method="percentile",
        confidence_level=1 - _LEVEL,
        vectorized=True,
        n_resamples=resamples,
        batch=max(1, _BATCH // len(padded)),
        random_state=np.random.default_rng(seed),
    ).confidence_interval
    center, wider = float(padded.mean()), _expansion(values, len(padded), clusters)
    low = max(-1.0, min(center - wider * (center - float(ends.low)), abs(mean)))
    high = min(1.0, max(center + wider * (float(ends.high) - center), abs(mean)))
    return (-high, -low) if turned else (low, high)


def _expansion(values: _Values, resampled: int, clusters: Clusters | None) -> float:
    """By how much the bootstrap over queries is too narrow."""
    from scipy.stats import norm, t  # heavy

    by_query = float(t.isf(_LEVEL / 2, resampled - 1))
    by_cluster = 0.0
    if clusters is not None:
        equal, deviations = clusters.equal, values - values.mean()
        together = float(deviations @ (clusters.sharing @ deviations))
        ratio = np.sqrt(max(0.0, equal / (equal - 1) * together / float(deviations @ deviations)))
        by_cluster = float(ratio * t.isf(_LEVEL / 2, max(equal - 1, 1)))
    shrunk = np.sqrt(resampled / (resampled - 1))
    return float(shrunk * max(by_query, by_cluster) / norm.isf(_LEVEL / 2))
