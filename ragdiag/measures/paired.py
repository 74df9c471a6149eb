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
from ragdiag.measures.statistics import Clusters, check_confidence, per_query, sharing

__all__ = ["FEWEST_QUERIES", "Difference", "dealt", "errors_of_mean", "paired_difference", "paired_values"]

FEWEST_QUERIES = 20
"""Under so many queries no difference is claimed, however small its p."""

_LEVEL = 0.05  # of the test
_FEWEST_BLOCKS = 10  # under so many equal ones chance has too few ways to deal them whole
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
        low, high: ends of the two-sided interval, of 95% where no other was asked for.
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
    confidence: float = 0.95,
    resamples: int = 9_999,
    seed: int = 0,
) -> Difference:
    """The mean of ``b - a``, both in [0, 1] with one value a query, shape (n,).

    - **Test**: the signs of the differences are flipped, all 2^m ways where the m queries that differ allow
      no more than ``resamples``, else as many by chance; p is the share of ways in which ``|t|`` is at
      least as large as it is. Without shared documents this is Fisher's (1935) test, exact whatever the
      distribution. With them it still is where they fall into ten separate blocks or more
      (`Clusters.blocks`), which are then flipped whole. Where they do not, flips by query are right as n
      grows, because ``t`` is studentized (Janssen, 1997; Chung and Romano, 2013): it is the sum of the
      differences over its standard error, the square root of the sum of ``d_i d_j`` over all pairs that share
      a document (i = j too), never below the one by query.
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
        confidence: of the two-sided interval; each of its ends alone is a bound at ``(1 + confidence) / 2``.
        resamples: of the bootstrap, and of the flips where there are more.
        seed: of both.

    Raises:
        DataError: no value, a value that is not finite or outside [0, 1], lengths that differ, or clusters of
            other queries.
        ConfigError: the confidence is not inside (0, 1).

    Example:
        >>> before, after = [0, 0, 1, 0, 0, 1, 0, 0], [1, 1, 1, 1, 1, 1, 0, 1]
        >>> difference = paired_difference(before, after)
        >>> difference.value, difference.p, difference.changed, difference.shown
        (0.625, 0.0625, 5, False)
    """
    check_confidence(confidence)
    first, second, differences = paired_values(a, b, "paired_difference")
    shared, how = sharing(clusters, len(differences), "paired_difference")
    low, high = _bootstrap(differences, shared, confidence, resamples, seed)
    p, needed = _flip_signs(differences, shared, resamples, seed)
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
        method=f"paired bootstrap and sign flips, {how}",
    )


def paired_values(a: ArrayLike, b: ArrayLike, what: str) -> tuple[_Values, _Values, _Values]:
    """The checked values of both and ``b - a``, with 0 where rounding alone differs; ``what`` asks for them.

    Raises:
        DataError: no value, a value that is not finite or outside [0, 1], or lengths that differ.
    """
    first, second = (per_query(values, what) for values in (a, b))
    if len(first) != len(second):
        raise DataError(f"{what}: {len(first)} values of a and {len(second)} of b")
    return first, second, _without_rounding(second - first)


def _without_rounding(differences: _Values) -> _Values:
    return np.where(np.abs(differences) < _ROUNDING, 0.0, differences)


# The test


def dealt(values: _Values, clusters: Clusters | None) -> tuple[_Values, Any]:
    """What chance deals anew, one row each, and which of the rows share documents (None where none do).

    Where documents fall into ten equal blocks or more, a row is the sum over a block, else a query.
    """
    if clusters is None:
        return values, None
    sizes = np.bincount(clusters.blocks)
    if len(values) ** 2 / (sizes @ sizes) < _FEWEST_BLOCKS:
        return values, clusters.sharing
    sums = np.zeros((len(sizes), *values.shape[1:]))
    np.add.at(sums, clusters.blocks, values)
    return sums, None


def _flip_signs(
    differences: _Values, clusters: Clusters | None, resamples: int, seed: int
) -> tuple[float, float | None]:
    """The two-sided p, and the smallest mean difference that would have been significant."""
    from scipy.stats import permutation_test  # heavy

    rows, shared = dealt(differences, clusters)
    changed = np.flatnonzero(_without_rounding(rows))  # the others are the same for every flip
    if len(changed) < 2:
        return 1.0, None  # a flip changes nothing, or the sign alone
    values = rows[changed]
    if shared is not None:
        shared = shared[changed][:, changed]

    def t(flipped: _Values, axis: int = -1) -> _Values:
        """``|t|`` of each row; rounded, so that sums in another order still tie."""
        return np.asarray((np.abs(flipped.sum(axis)) / _error_of_sum(flipped, shared)).round(_DIGITS))

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
    error = float(_error_of_sum(values, shared)) / len(differences)
    return float(test.pvalue), float(significant[0] * error)


def _error_of_sum(values: _Values, shared: Any) -> _Values:
    """The standard error of the sum of each row under a mean of 0: over all pairs that share a document."""
    by_query = (values**2).sum(axis=-1)
    if shared is None:
        return np.asarray(np.sqrt(by_query))
    by_cluster = (values * (shared @ values.T).T).sum(axis=-1)
    return np.asarray(np.sqrt(np.maximum(by_cluster, by_query)))


# The interval


def errors_of_mean(differences: _Values, clusters: Clusters | None) -> list[tuple[float, float]]:
    """The standard error of the mean difference and its degrees of freedom: by query, and by cluster.

    Both with half a query more that differs each way; the larger counts.
    """
    values, clusters = _informative(differences, clusters)
    padded = _padded(values)
    by_query = float(np.sqrt(padded.var(ddof=1) / len(padded)))
    errors = [(by_query, len(padded) - 1.0)]
    if clusters is not None:
        equal, deviations = clusters.equal, values - values.mean()
        together = float(deviations @ (clusters.sharing @ deviations))
        ratio = np.sqrt(max(0.0, equal / (equal - 1) * together / float(deviations @ deviations)))
        errors.append((float(ratio) * by_query, max(equal - 1, 1.0)))
    return errors


def _informative(differences: _Values, clusters: Clusters | None) -> tuple[_Values, Clusters | None]:
    """Without variance there is no clustered error: each cluster tells as much as one query."""
    if clusters is not None and np.ptp(differences) < _ROUNDING:
        return np.full(max(1, round(clusters.equal)), differences[0]), None
    return differences, clusters


def _padded(values: _Values) -> _Values:
    half = np.sqrt(0.5) * (np.abs(values).max() or 1.0)  # two of them have the squares of two halves
    return np.concatenate([values, [half, -half]])


def _bootstrap(
    differences: _Values, clusters: Clusters | None, confidence: float, resamples: int, seed: int
) -> tuple[float, float]:
    from scipy.stats import bootstrap, norm, t  # heavy

    mean = float(differences.mean())
    # One of two mirror images is resampled, and the result turned back: neither run is the first by nature.
    nonzero = differences[np.flatnonzero(differences)]
    turned = mean < 0 or (mean == 0 and len(nonzero) > 0 and nonzero[0] < 0)
    values = -differences if turned else differences
    padded = _padded(_informative(values, clusters)[0])
    ends = bootstrap(
        (padded,),
        np.mean,
        method="percentile",
        confidence_level=confidence,
        vectorized=True,
        n_resamples=resamples,
        batch=max(1, _BATCH // len(padded)),
        random_state=np.random.default_rng(seed),
    ).confidence_interval
    # By how much the bootstrap over queries is too narrow.
    tail = (1 - confidence) / 2
    half_width = max(error * t.isf(tail, freedom) for error, freedom in errors_of_mean(values, clusters))
    wider = float(half_width / (padded.std() / np.sqrt(len(padded)) * norm.isf(tail)))
    center = float(padded.mean())
    low = max(-1.0, min(center - wider * (center - float(ends.low)), abs(mean)))
    high = min(1.0, max(center + wider * (float(ends.high) - center), abs(mean)))
    return (-high, -low) if turned else (low, high)
