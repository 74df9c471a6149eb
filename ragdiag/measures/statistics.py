"""Means over queries with an honest interval: Wilson on the effective sample size.

Queries about one document succeed and fail together, so that n of them tell less than n independent ones.
How much less is read off a standard error that lets queries which share a document vary together, and
becomes a smaller n in Wilson's interval.

What is not in a sample cannot be read off it: a document that no question has hit yet may be one that fails
throughout. A little of such a document is always taken into account.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ragdiag.errors import ConfigError, DataError

__all__ = [
    "FEWEST_CLUSTERS",
    "Clusters",
    "Estimate",
    "check_confidence",
    "information",
    "interval",
    "per_query",
    "sharing",
    "wilson",
    "yes_no",
]

FEWEST_CLUSTERS = 20
"""Under so many equal clusters the clustered error is itself uncertain, and methods say so."""

_UNSEEN = 0.25  # of a query, and of a document, that is not in the sample and is at the farther end
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

    check_confidence(confidence)
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

    @cached_property
    def blocks(self) -> NDArray[np.intp]:
        """The number of each query's block, shape (n,): whole blocks share no document with each other.

        They are numbered as they first appear.

        Example:
            >>> Clusters.of([["a"], ["b"], ["a", "c"], [], ["c"]]).blocks.tolist()
            [0, 1, 0, 2, 0]
        """
        from scipy.sparse.csgraph import connected_components  # heavy

        labels: NDArray[np.intp] = connected_components(self.sharing, directed=False)[1].astype(np.intp)
        return labels


def interval(values: ArrayLike, *, clusters: Clusters | None = None, confidence: float = 0.95) -> Estimate:
    """The mean of per-query ``values`` in [0, 1], shape (n,), with its interval.

    The effective n goes into `wilson`. It is that of independent queries, times the share of their
    information that is left where queries share documents:

    - **By query**: yes/no values tell as much as they are, and the interval is the textbook's. Graded values
      vary less, so that theirs may exceed n: ``m (1 - m) / SE²``, scaled by ``(z / t)²`` for the n - 1
      degrees of freedom that SE was estimated with (Korn and Graubard, 1998). The variance in SE is that with
      a quarter of a query more, at whichever of 0 and 1 is farther from the mean, but no more than that of
      yes/no values: near an end the rare value that makes up most of the variance is often not in the
      sample. Where no two values differ each counts as one yes/no value.
    - **By cluster** (`information`): the clustered SE is that of Conley (1999) and of Aronow, Samii and
      Assenova (2015), for separate clusters the usual cluster-robust one. A quarter of a document more, at
      the farther end, keeps a few failures that happen to lie in different documents from passing for proof
      that documents do not matter; without any failure each document counts as one query.

    Under 20 equal clusters (`Clusters.equal`) the clustered SE is itself uncertain, and the method says that
    the interval understates. Where every query shares a document with every other there is no SE at all: the
    interval is by query, and understates. Where none shares one it is by query.

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
    check_confidence(confidence)
    numbers = per_query(values, "interval")
    shared, how = sharing(clusters, len(numbers), "interval")
    tail = (1 - confidence) / 2
    mean = float(numbers.mean())
    effective_n = _effective_by_query(numbers, tail) * information(numbers, shared, tail)
    low, high = wilson(mean, effective_n, confidence=confidence)
    return Estimate(mean, low, high, len(numbers), effective_n, f"Wilson {how}")


def sharing(clusters: Clusters | None, n: int, what: str) -> tuple[Clusters | None, str]:
    """The clusters where heeding them makes a difference, and what to call that; ``what`` asks for them.

    Raises:
        DataError: the clusters are of more or fewer queries.
    """
    if clusters is None:
        return None, "by query"
    if clusters.sharing.shape[0] != n:
        raise DataError(f"{what}: clusters of {clusters.sharing.shape[0]} queries given for {n} values")
    pairs = clusters.sharing.nnz
    if pairs == n:
        return None, "by query"
    if pairs == n**2:
        return None, "by query, understates"
    return clusters, "by cluster" if clusters.equal >= FEWEST_CLUSTERS else "by cluster, understates"


def information(values: NDArray[np.float64], clusters: Clusters | None, tail: float) -> float:
    """The share of the information of independent queries that is left where queries share documents.

    It is the variance of the mean by query over that by cluster: the sum of ``(v_i - m) (v_j - m)`` over
    i = j, and over all pairs i, j that share a document. The latter is multiplied by ``G / (G - 1)``, G being
    `Clusters.equal`, and by ``(t / z)²`` at the ``tail`` for G - 1 degrees of freedom. A quarter of a
    document more, with n / G queries at the farther of 0 and 1, is added to both. Never above 1: sharing
    takes information away, and a sample that seems to say otherwise is luck.
    """
    from scipy.special import ndtri, stdtrit  # heavy

    if clusters is None:
        return 1.0
    equal, mean = clusters.equal, values.mean()
    deviations = values - mean
    alone, together = deviations @ deviations, deviations @ (clusters.sharing @ deviations)
    wider = (stdtrit(max(equal - 1, 1), tail) / ndtri(tail)) ** 2 * equal / (equal - 1)
    size, unseen = len(values) / equal, _UNSEEN * max(mean, 1 - mean) ** 2
    share = (alone + size * unseen) / (wider * max(together, 0.0) + size**2 * unseen)
    return min(1.0, float(share))


def check_confidence(confidence: float) -> None:
    """Check that it is inside (0, 1).

    Raises:
        ConfigError: it is not.
    """
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


def yes_no(values: NDArray[np.float64]) -> bool:
    """Whether every value is 0 or 1."""
    return bool(np.isin(values, (0, 1)).all())


def _effective_by_query(values: NDArray[np.float64], tail: float) -> float:
    from scipy.special import ndtri, stdtrit  # heavy

    n = len(values)
    if yes_no(values) or np.ptp(values) < _ROUNDING:
        return float(n)
    mean = values.mean()
    largest = mean * (1 - mean)  # of any values with this mean: that of yes/no values
    variance = min(values.var() + _UNSEEN * max(mean, 1 - mean) ** 2 / n, largest)
    shrink = (ndtri(tail) / stdtrit(n - 1, tail)) ** 2
    return float(largest / variance * (n - 1) * shrink)
