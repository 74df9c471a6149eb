"""Many comparisons at once: p-values that allow for how many there are."""

from __future__ import annotations

from dataclasses import dataclass
from math import factorial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ragdiag.errors import DataError
from ragdiag.measures.paired import dealt
from ragdiag.measures.statistics import Clusters, per_query, sharing

__all__ = ["AllPairs", "all_pairs", "holm", "randomized_tukey"]

_LEVEL = 0.05
_ROUNDING = 1e-9  # values that differ by less are the same value, computed in two ways
_SAME = 1e-5  # two systems whose values differ by less in all are the same
_DIGITS = 6  # statistics that differ by less tie
_BATCH = 2_000_000  # numbers held at a time, so that many queries do not take many gigabytes

_Values = NDArray[np.float64]


def holm(p_values: ArrayLike) -> _Values:
    """The p-values, shape (k,), adjusted for their number, in the same order: each can be compared with .05.

    The chance that any comparison without a difference is called one is then at most 5%, however they depend
    on each other. Source: Holm (1979).

    Raises:
        DataError: a p-value that is not in [0, 1].

    Example:
        >>> holm([0.01, 0.04, 0.03]).round(2).tolist()
        [0.03, 0.06, 0.06]
    """
    numbers = np.asarray(p_values, dtype=np.float64)
    if numbers.ndim != 1 or not ((numbers >= 0) & (numbers <= 1)).all():
        raise DataError(f"holm: expected p-values in [0, 1], shape (k,), got {p_values!r}")
    # Not by statsmodels' multipletests: it collects garbage at each call, which takes a tenth of a second.
    order = np.argsort(numbers)
    as_many = np.arange(len(numbers), 0, -1)  # the smallest has to stand up against all of them
    adjusted = np.empty_like(numbers)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(numbers[order] * as_many))
    return adjusted


@dataclass(frozen=True, eq=False)
class AllPairs:
    """All systems compared with each other over the same queries.

    Attributes:
        p: shape (m, m): how often any two of m systems would differ as much by chance, where all are alike.
        needed: shape (m, m): the difference of the two means from which on p would be .05 or less, given how
            much their queries differ; inf where no difference of these queries could be, and between systems
            that are the same.
        method: how they were made, and what is wrong with them where something is.
    """

    p: _Values
    needed: _Values
    method: str


def all_pairs(
    values: ArrayLike, *, clusters: Clusters | None = None, resamples: int = 9_999, seed: int = 0
) -> AllPairs:
    """Compare all pairs of systems whose ``values`` in [0, 1] are the columns, shape (queries, systems).

    The randomized version of Tukey's test: the values of each query are dealt anew among the systems, in all
    ways where there are no more than ``resamples``, else in as many by chance, and the largest ``|t|`` of any
    pair is noted. p is the share of ways in which that is at least as large as the pair's own. The chance
    that systems without a difference are told apart is then at most 5% over all pairs together.

    ``t`` is that of `paired_difference`, and so is the way in which shared documents are heeded: where they
    fall into ten separate blocks or more, these are dealt whole. Of two systems p is the same. Each pair has
    a standard error of its own, so that one erratic system does not hide what the others differ by.

    Source: Carterette (2012), "Multiple testing in statistical analysis of systems-based information
    retrieval experiments"; Sakai (2018); studentized as in Chung and Romano (2016).

    Args:
        values: a row for each query, a column for each system.
        clusters: which queries share documents; None for independent queries.
        resamples: how many ways are tried.
        seed: of chance.

    Raises:
        DataError: no query, fewer than two systems, a value that is not finite or outside [0, 1], or clusters
            of other queries.

    Example:
        >>> good, same, poor = [1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [0, 0, 0, 0, 1]
        >>> all_pairs(list(zip(good, same, poor))).p.round(3).tolist()
        [[1.0, 1.0, 0.037], [1.0, 1.0, 0.037], [0.037, 0.037, 1.0]]
    """
    numbers = _per_system(values)
    n, systems = numbers.shape
    known, how = sharing(clusters, n, "all_pairs")
    rows, shared = dealt(numbers, known)
    differing = np.flatnonzero(np.ptp(rows, axis=1) > _ROUNDING)  # the others are the same for every deal
    method = f"randomized Tukey, {how}"
    if not len(differing):
        return AllPairs(np.ones((systems, systems)), np.full((systems, systems), np.inf), method)
    rows = rows[differing]
    if shared is not None:
        shared = shared[differing][:, differing]
    sizes, errors = _t_of_pairs(rows.T[np.newaxis], shared)
    null = _largest_by_chance(rows, shared, resamples, seed)
    beyond = len(null) - np.searchsorted(null, sizes[0])
    # Deals by chance never include the one that came; all deals do.
    by_chance = factorial(systems) ** len(rows) > resamples
    p = (beyond + by_chance) / (len(null) + by_chance)
    shares = (len(null) - np.searchsorted(null, null) + by_chance) / (len(null) + by_chance)
    significant = null[shares <= _LEVEL]
    critical = significant[0] if len(significant) else np.inf
    with np.errstate(invalid="ignore"):  # inf of a pair that does not differ
        needed = np.where(errors[0] > 0, critical * errors[0] / n, np.inf)
    np.fill_diagonal(needed, np.inf)
    return AllPairs(p, needed, method)


def randomized_tukey(
    values: ArrayLike, *, clusters: Clusters | None = None, resamples: int = 9_999, seed: int = 0
) -> _Values:
    """The p of `all_pairs`, shape (systems, systems): adjusted for the number of pairs."""
    return all_pairs(values, clusters=clusters, resamples=resamples, seed=seed).p


def _per_system(values: ArrayLike) -> _Values:
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 2 or numbers.shape[1] < 2:
        raise DataError(
            f"all_pairs: expected a row for each query and a column for each of two systems or more, got "
            f"shape {numbers.shape}"
        )
    return np.column_stack([per_query(column, "all_pairs") for column in numbers.T])


def _largest_by_chance(rows: _Values, shared: Any, resamples: int, seed: int) -> _Values:
    """The largest ``|t|`` of any pair for each way to deal the values of each row anew; ascending."""
    from scipy.stats import permutation_test  # heavy

    if len(rows) < 2:
        return np.array([np.inf])  # one row alone says nothing, however it is dealt

    def largest(*systems: _Values, axis: int = -1) -> _Values:
        deals = np.stack(systems, axis=axis - 1).reshape(-1, *rows.T.shape)
        return np.asarray(_t_of_pairs(deals, shared)[0].max(axis=(1, 2)))

    test = permutation_test(
        tuple(rows.T),
        largest,
        permutation_type="samples",
        alternative="greater",
        vectorized=True,
        n_resamples=resamples,
        batch=max(1, _BATCH // rows.size),
        random_state=np.random.default_rng(seed),
    )
    return np.sort(test.null_distribution)


def _t_of_pairs(deals: _Values, shared: Any) -> tuple[_Values, _Values]:
    """``|t|`` of each pair of systems and the standard error of the sum of their differences.

    Both of shape (deals, m, m), from ``deals`` of shape (deals, m, rows). Rounded, so that sums in another
    order still tie.
    """
    squares = _of_differences(deals, deals)
    if shared is not None:
        neighbors = (shared @ deals.reshape(-1, deals.shape[-1]).T).T.reshape(deals.shape)
        squares = np.maximum(squares, _of_differences(deals, neighbors))
    errors = np.sqrt(np.where(squares > _SAME**2, squares, 0.0))
    sums = deals.sum(axis=2)
    apart = np.abs(sums[:, :, np.newaxis] - sums[:, np.newaxis, :])
    t = np.divide(apart, errors, out=np.zeros_like(errors), where=errors > 0)
    return t.round(_DIGITS), errors


def _of_differences(deals: _Values, neighbors: _Values) -> _Values:
    """For each pair of systems: the product of their difference with that of its neighbors, summed."""
    products = np.matmul(deals, neighbors.transpose(0, 2, 1))
    own = np.einsum("dii->di", products)
    both = products + products.transpose(0, 2, 1)
    return np.asarray(own[:, :, np.newaxis] + own[:, np.newaxis, :] - both)
