"""Which of many pipelines is the best, as far as the queries tell: the ties, the losers, perhaps a winner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ragdiag.errors import ConfigError, DataError
from ragdiag.measures.multiple import all_pairs
from ragdiag.measures.paired import FEWEST_QUERIES
from ragdiag.measures.statistics import Clusters

__all__ = ["Standing", "stand"]

_LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class Standing:
    """Pipelines by their mean over the same queries, and which of them are worse than the best.

    Attributes:
        order: the names, best mean first; equal means in the order they came in.
        means: in that order.
        p: of the difference from the best, adjusted for all pairs, in that order; 1 for the best itself.
        ties: the best, and those that these queries do not show to be worse by more than ``min_effect``.
        losers: the others: significantly worse (p <= .05), and by more than ``min_effect``.
        winner: the best, where all others are losers; None where any ties with it.
        n: the number of queries. Under 20 nothing is claimed: all tie.
        min_effect: by how much one must be worse to count as such.
        detectable: a difference of this size from the best would have been called one for each that ties with
            it, given how much the queries differ; for all others where none ties. None under 20 queries, and
            where no difference would have been called one.
        method: how pairs were compared, and what is wrong with that where something is.
    """

    order: tuple[str, ...]
    means: tuple[float, ...]
    p: tuple[float, ...]
    ties: tuple[str, ...]
    losers: tuple[str, ...]
    winner: str | None
    n: int
    min_effect: float
    detectable: float | None
    method: str


def stand(
    values: ArrayLike,
    names: Sequence[str],
    *,
    clusters: Clusters | None = None,
    min_effect: float = 0.0,
    resamples: int = 9_999,
    seed: int = 0,
) -> Standing:
    """Which of the pipelines ``names`` is best, by ``values`` in [0, 1], shape (queries, pipelines).

    All pairs are compared (`all_pairs`), because which one is the best is itself read off the queries. For
    the same reason its mean is higher than it will be on other queries: judge it on those (`split_queries`).

    Args:
        values: a row for each query, a column for each pipeline.
        names: of the columns.
        clusters: which queries share documents; None for independent queries.
        min_effect: a difference of no more than this counts as none, however sure it is.
        resamples: how many ways chance is given to deal the values anew.
        seed: of chance.

    Raises:
        DataError: no query, fewer than two pipelines, a value that is not finite or outside [0, 1], names
            that repeat or are of another number, or clusters of other queries.
        ConfigError: the minimum effect is not in [0, 1).

    Example:
        >>> small, large = [1, 1, 1, 0] * 10, [1, 0, 0, 0] * 10
        >>> standing = stand([*zip(large, small)], ["large", "small"], min_effect=0.02)
        >>> standing.winner, standing.order, standing.means, standing.n
        ('small', ('small', 'large'), (0.75, 0.25), 40)
    """
    if not 0 <= min_effect < 1:
        raise ConfigError(f"min_effect must be in [0, 1), got {min_effect!r}")
    pairs = all_pairs(values, clusters=clusters, resamples=resamples, seed=seed)
    numbers = np.asarray(values, dtype=np.float64)
    n, columns = numbers.shape
    if len(names) != columns or len(set(names)) != columns:
        raise DataError(f"stand: {columns} columns need as many different names, got {list(names)}")
    means = numbers.mean(axis=0).clip(0, 1).round(12)  # means that rounding alone tells apart are equal
    order = np.argsort(-means, kind="stable")
    best = order[0]
    worse = (pairs.p[best] <= _LEVEL) & (means[best] - means > min_effect) & (n >= FEWEST_QUERIES)
    ties, losers = (tuple(names[i] for i in order if worse[i] == lost) for lost in (False, True))
    rivals = ~worse if len(ties) > 1 else worse
    needed = pairs.needed[best, rivals & (np.arange(columns) != best)]
    called = needed[np.isfinite(needed)]
    return Standing(
        order=tuple(names[i] for i in order),
        means=tuple(means[order].tolist()),
        p=tuple(pairs.p[best, order].tolist()),
        ties=ties,
        losers=losers,
        winner=ties[0] if len(ties) == 1 else None,
        n=n,
        min_effect=min_effect,
        detectable=max(min_effect, float(called.max())) if len(called) and n >= FEWEST_QUERIES else None,
        method=pairs.method,
    )
