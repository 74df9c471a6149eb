"""Means over queries with an honest interval: Wilson on the effective sample size.

Queries about one document succeed and fail together, so that n of them tell less than n independent ones.
How much less is read off the clustered standard error, and becomes a smaller n in Wilson's interval.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ragdiag.errors import ConfigError, DataError

__all__ = ["Estimate", "document_clusters", "interval", "wilson"]

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


def interval(
    values: ArrayLike,
    *,
    clusters: Sequence[Hashable] | NDArray[np.intp] | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """The mean of per-query ``values`` in [0, 1], shape (n,), with its interval.

    The effective n is ``m (1 - m) / SE²``, scaled by ``(z / t)²`` for the degrees of freedom that SE was
    estimated with (Korn and Graubard, 1998), and goes into `wilson`:

    - By query: ``SE² = s² / n`` with n - 1 degrees of freedom. Yes/no values need no SE: their effective n is
      n, and the interval is the textbook's. Graded values vary less, so that theirs may exceed n.
    - By cluster: ``SE² = G / (G - 1) · Σ_g (Σ_{i in g} (v_i - m))² / n²`` over G clusters, with
      ``n² / Σ_g n_g² - 1`` degrees of freedom, the number of equal clusters worth as much, less one. Never
      above the effective n by query: clustering takes information away, and a sample that seems to say
      otherwise is luck.
    - No two values differ: there is no variance to read anything off. Each query counts as one yes/no value,
      or, with clusters, each of the ``n² / Σ_g n_g²`` equal clusters does.

    Under 20 clusters (or 20 so unequal that they are worth fewer: a document with most of the queries is
    most of the mean, and hardly deviates from it) the clustered SE is itself uncertain, and the method says
    that it understates. One cluster has no SE at all: the interval is by query, and understates. Clusters of
    one query each are no clusters.

    Args:
        values: one value a query.
        clusters: the cluster of each query, such as `document_clusters` gives; None for independent queries.
        confidence: of the two-sided interval.

    Raises:
        DataError: no value, a value that is not finite or outside [0, 1], or not one cluster a value.
        ConfigError: the confidence is not inside (0, 1).

    Example:
        >>> estimate = interval([1, 1, 0, 1])
        >>> estimate.value, round(estimate.low, 2), round(estimate.high, 2), estimate.method
        (0.75, 0.3, 0.95, 'Wilson by query')
    """
    _check_confidence(confidence)
    numbers = _per_query(values)
    n = len(numbers)
    mean = float(numbers.mean())
    effective_n, method = _effective_by_query(numbers, confidence), "Wilson by query"
    sizes, labels = _clusters_of(n, clusters)
    if len(sizes) == 1 < n:
        method = "Wilson by query, understates"
    elif len(sizes) < n:
        effective_n = min(effective_n, _effective_by_cluster(numbers, sizes, labels, confidence))
        enough = _equal_clusters(sizes) >= _FEWEST_CLUSTERS
        method = "Wilson by cluster" if enough else "Wilson by cluster, understates"
    low, high = wilson(mean, effective_n, confidence=confidence)
    return Estimate(mean, low, high, n, effective_n, method)


def document_clusters(doc_ids: Sequence[Iterable[str]]) -> NDArray[np.intp]:
    """The cluster of each query, shape (n,), from the documents that each needs.

    Queries that share a document share a cluster, also by way of other queries; a query without documents
    is a cluster of its own. Equal numbers are one cluster; the numbers mean nothing else.

    Example:
        >>> document_clusters([["a"], ["b"], ["b", "c"], [], ["c"]]).tolist()
        [0, 1, 1, 2, 1]
    """
    from scipy.sparse import coo_array  # heavy
    from scipy.sparse.csgraph import connected_components  # heavy

    node_of: dict[str, int] = {}
    edges = [
        (query, len(doc_ids) + node_of.setdefault(doc_id, len(node_of)))
        for query, needed in enumerate(doc_ids)
        for doc_id in needed
    ]
    size = len(doc_ids) + len(node_of)
    ends = np.array(edges, dtype=np.intp).reshape(-1, 2)
    graph = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(size, size))
    labels: NDArray[np.intp] = connected_components(graph, directed=False)[1].astype(np.intp)
    return labels[: len(doc_ids)]


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ConfigError(f"confidence must be inside (0, 1), got {confidence!r}")


def _per_query(values: ArrayLike) -> NDArray[np.float64]:
    """The checked values, with rounding beyond 0 and 1 taken off."""
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1:
        raise DataError(f"interval: expected one value a query, shape (n,), got shape {numbers.shape}")
    if not len(numbers):
        raise DataError("interval: no assessed query, so there is no mean")
    wrong = ~((numbers >= -_ROUNDING) & (numbers <= 1 + _ROUNDING))  # catches NaN too
    if wrong.any():
        at = int(np.argmax(wrong))
        raise DataError(f"interval: values must be in [0, 1], got {numbers[at]} at position {at}")
    return numbers.clip(0, 1)


def _clusters_of(
    n: int, clusters: Sequence[Hashable] | NDArray[np.intp] | None
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The size of each cluster, shape (G,), and the number of the cluster of each query, shape (n,)."""
    if clusters is None:
        return np.ones(n, dtype=np.intp), np.arange(n)
    if len(clusters) != n:
        raise DataError(f"interval: expected one cluster a value, got {len(clusters)} for {n} values")
    number_of: dict[Hashable, int] = {}
    labels = np.array([number_of.setdefault(cluster, len(number_of)) for cluster in clusters], dtype=np.intp)
    return np.bincount(labels), labels


def _effective_by_query(values: NDArray[np.float64], confidence: float) -> float:
    n = len(values)
    if np.isin(values, (0, 1)).all() or np.ptp(values) < _ROUNDING:
        return float(n)
    return _effective_n(values.mean(), values.var(ddof=1) / n, n - 1, confidence)


def _effective_by_cluster(
    values: NDArray[np.float64], sizes: NDArray[np.intp], labels: NDArray[np.intp], confidence: float
) -> float:
    n, count, equal_clusters = len(values), len(sizes), _equal_clusters(sizes)
    if np.ptp(values) < _ROUNDING:
        return equal_clusters
    mean = values.mean()
    deviations = np.bincount(labels, weights=values - mean)
    squared_error = count / (count - 1) * (deviations**2).sum() / n**2
    return _effective_n(mean, squared_error, max(equal_clusters - 1, 1), confidence)


def _equal_clusters(sizes: NDArray[np.intp]) -> float:
    """The number of clusters of equal size that are worth as much (Kish, 1965)."""
    return float(sizes.sum() ** 2 / (sizes**2).sum())


def _effective_n(mean: float, squared_error: float, freedom: float, confidence: float) -> float:
    """Korn and Graubard's effective n; inf where the clusters' means happen to agree exactly."""
    from scipy.stats import norm, t  # heavy

    if squared_error == 0:
        return float("inf")
    tail = (1 - confidence) / 2
    return float(mean * (1 - mean) / squared_error * (norm.isf(tail) / t.isf(tail, freedom)) ** 2)
