"""Means over queries with an honest interval: Wilson on the effective sample size.

Queries about one document succeed and fail together, so that n of them tell less than n independent ones.
How much less is read off a standard error that lets queries which share a document vary together, and
becomes a smaller n in Wilson's interval.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ragdiag.errors import ConfigError, DataError

__all__ = ["Clusters", "Estimate", "check_clusters", "interval", "per_query", "wilson"]

_FEWEST_CLUSTERS = 20
_ROUNDING = 1e-9  # values that differ by less are the same value, computed in two ways


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over queries and how well it is known.

    Attributes:
        value: the mean.
        low: lower end of the two-sided interval.
        high: upper end.
        n: the number of queries.
        effective_n: the number of independent yes/no queries that would tell as much.
        method: how the interval was made, and what is wrong with it where something is.
    """

    value: float
    low: float
    high: float
    n: int
    effective_n: float
    method: str


def wilson(mean: float, n: float, *, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval, two-sided, for a mean in [0, 1]; ``n`` may be fractional (an effective n).

    Source: Wilson (1927); with an effective n: Dean and Pagano (2015). statsmodels does the arithmetic.

    Raises:
        DataError: the mean is outside [0, 1], or n is not positive.
        ConfigError: the confidence is not inside (0, 1).

    Example:
        >>> low, high = wilson(0.8, 50)
        >>> round(low, 3), round(high, 3)
        (0.67, 0.888)
    """
    from statsmodels.stats.proportion import proportion_confint  # heavy: brings pandas

    _check_confidence(confidence)
    if not 0 <= mean <= 1:
        raise DataError(f"wilson: the mean must be in [0, 1], got {mean}")
    if not 0 < n < np.inf:
        raise DataError(f"wilson: n must be positive and finite, got {n}")
    low, high = proportion_confint(mean * n, n, alpha=1 - confidence, method="wilson")
    # The interval holds the mean by construction; rounding must not move it out at 0 and 1.
    return min(float(low), mean), max(float(high), mean)


@dataclass(frozen=True, eq=False)
class Clusters:
    """Which queries tell about the same documents.

    Queries need not fall into groups: one that needs two documents shares one with these queries and the
    other with those, without making the two sets one.

    Attributes:
        sharing: a sparse array, shape (n, n): 1 where two queries share a document, and on the diagonal.
    """

    sharing: Any

    @classmethod
    def of(cls, documents: Sequence[Iterable[Hashable]]) -> Clusters:
        """From the documents that each query needs; a query without documents shares nothing.

        Example:
            >>> Clusters.of([["a"], ["b"], ["b", "c"], [], ["c"]]).sharing.toarray()[2].tolist()
            [0, 1, 1, 0, 1]
        """
        from scipy.sparse import coo_array, eye_array  # heavy

        number_of: dict[Hashable, int] = {}
        pairs = [
            (query, number_of.setdefault(document, len(number_of)))
            for query, needed in enumerate(documents)
            for document in set(needed)
        ]
        ends = np.array(pairs, dtype=np.intp).reshape(-1, 2)
        shape = (len(documents), len(number_of))
        needs = coo_array((np.ones(len(ends), dtype=np.int64), (ends[:, 0], ends[:, 1])), shape=shape).tocsr()
        together = (needs @ needs.T + eye_array(len(documents), dtype=np.int64)).tocsr()
        together.data[:] = 1
        return cls(together)

    @property
    def equal(self) -> float:
        """The number of separate clusters of one size that are worth as much: n² / pairs that share.

        For separate clusters this is Kish's (1965) n² / (sum of squared sizes).
        """
        n = self.sharing.shape[0]
        return float(n**2 / self.sharing.nnz)


def interval(values: ArrayLike, *, clusters: Clusters | None = None, confidence: float = 0.95) -> Estimate:
    """The mean of per-query ``values`` in [0, 1], shape (n,), with its interval.

    The effective n is ``m (1 - m) / SE²``, scaled by ``(z / t)²`` for the degrees of freedom that SE was
    estimated with (Korn and Graubard, 1998), and goes into `wilson`:

    - By query: ``SE² = s² / n`` with n - 1 degrees of freedom. Yes/no values need no SE: their effective n is
      n, and the interval is the textbook's. Graded values vary less, so that theirs may exceed n.
    - By cluster: ``SE² = G / (G - 1) · Σ (v_i - m) (v_j - m) / n²`` over all pairs i, j that share a document
      (i = j too), with G - 1 degrees of freedom, G being the number of equal clusters worth as much
      (`Clusters.equal`). For separate clusters the sum is the usual cluster-robust one; for queries with
      several documents it is that of Conley (1999) and of Aronow, Samii and Assenova (2015). Never above the
      effective n by query: sharing takes information away, and a sample that seems to say otherwise is luck.
    - No two values differ: there is no variance to read anything off. Each query counts as one yes/no value,
      or, with clusters, each of the G equal clusters does.

    Under 20 equal clusters the clustered SE is itself uncertain, and the method says that the interval
    understates. Where every query shares a document with every other there is no SE at all: the interval is
    by query, and understates. Where none shares one it is by query.

    Args:
        values: one value a query.
        clusters: which queries share documents; None for independent queries.
        confidence: of the two-sided interval.

    Raises:
        DataError: no value, a value that is not finite or outside [0, 1], or clusters of other queries.
        ConfigError: the confidence is not inside (0, 1).

    Example:
        >>> estimate = interval([1, 1, 0, 1])
        >>> estimate.value, round(estimate.low, 2), round(estimate.high, 2), estimate.method
        (0.75, 0.3, 0.95, 'Wilson by query')
    """
    _check_confidence(confidence)
    numbers = per_query(values, "interval")
    n = len(numbers)
    mean = float(numbers.mean())
    effective_n, method = _effective_by_query(numbers, confidence), "Wilson by query"
    if clusters is not None:
        check_clusters(clusters, n, "interval")
        pairs = clusters.sharing.nnz
        if pairs == n**2 > 1:
            method = "Wilson by query, understates"
        elif pairs > n:
            effective_n = min(effective_n, _effective_by_cluster(numbers, clusters, confidence))
            enough = clusters.equal >= _FEWEST_CLUSTERS
            method = "Wilson by cluster" if enough else "Wilson by cluster, understates"
    low, high = wilson(mean, effective_n, confidence=confidence)
    return Estimate(mean, low, high, n, effective_n, method)


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ConfigError(f"confidence must be inside (0, 1), got {confidence!r}")


def per_query(values: ArrayLike, what: str) -> NDArray[np.float64]:
    """The checked values, with rounding beyond 0 and 1 taken off; ``what`` asks for them.

    Raises:
        DataError: no value, or one that is not finite or outside [0, 1].
    """
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1:
        raise DataError(f"{what}: expected one value a query, shape (n,), got shape {numbers.shape}")
    if not len(numbers):
        raise DataError(f"{what}: no assessed query, so there is no mean")
    wrong = ~((numbers >= -_ROUNDING) & (numbers <= 1 + _ROUNDING))  # catches NaN too
    if wrong.any():
        at = int(np.argmax(wrong))
        raise DataError(f"{what}: values must be in [0, 1], got {numbers[at]} at position {at}")
    return numbers.clip(0, 1)


def check_clusters(clusters: Clusters, n: int, what: str) -> None:
    """Check that the clusters are those of ``n`` queries; ``what`` asks for them.

    Raises:
        DataError: they are of more or fewer.
    """
    if clusters.sharing.shape[0] != n:
        raise DataError(f"{what}: clusters of {clusters.sharing.shape[0]} queries given for {n} values")


def _effective_by_query(values: NDArray[np.float64], confidence: float) -> float:
    n = len(values)
    if np.isin(values, (0, 1)).all() or np.ptp(values) < _ROUNDING:
        return float(n)
    return _effective_n(values.mean(), values.var(ddof=1) / n, n - 1, confidence)


def _effective_by_cluster(values: NDArray[np.float64], clusters: Clusters, confidence: float) -> float:
    equal = clusters.equal
    if np.ptp(values) < _ROUNDING:
        return equal
    mean = values.mean()
    deviations = values - mean
    covariance = float(deviations @ (clusters.sharing @ deviations)) / len(values) ** 2
    return _effective_n(mean, equal / (equal - 1) * covariance, max(equal - 1, 1), confidence)


def _effective_n(mean: float, squared_error: float, freedom: float, confidence: float) -> float:
    """Korn and Graubard's effective n; inf where what is shared happens to cancel out."""
    from scipy.stats import norm, t  # heavy

    if squared_error <= 0:
        return float("inf")
    tail = (1 - confidence) / 2
    return float(mean * (1 - mean) / squared_error * (norm.isf(tail) / t.isf(tail, freedom)) ** 2)
