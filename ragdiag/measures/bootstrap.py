"""An interval by drawing whole documents anew: a second opinion, where they are many and means not high."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ragdiag.errors import DataError
from ragdiag.measures.statistics import Clusters, Estimate, check_confidence, per_query, sharing

__all__ = ["cluster_bootstrap"]

_FEWEST_BLOCKS = 30
_HIGHEST = 0.9
_ROUNDING = 1e-9  # means that differ by less are the same
_BATCH = 2_000_000  # numbers held at a time, so that many queries do not take many gigabytes


def cluster_bootstrap(
    values: ArrayLike,
    clusters: Clusters,
    *,
    confidence: float = 0.95,
    resamples: int = 9_999,
    seed: int = 0,
) -> Estimate:
    """The mean of per-query ``values`` in [0, 1], shape (n,), with an interval that assumes no distribution.

    Blocks of queries that share documents (`Clusters.blocks`) are drawn with replacement, and the mean of
    what is drawn is noted; the interval holds the middle of these means. It is expanded by ``t / z`` and
    ``√(G / (G - 1))`` for the G equal blocks (Hesterberg, 2015). What no block shows cannot be drawn, so that
    it is only for 30 equal blocks or more, of which not all have the same mean, and for means from .1 to .9.
    `interval` has no such limits.
    Source: Field and Welsh (2007), "Bootstrapping clustered data".

    Args:
        values: one value a query.
        clusters: which queries share documents.
        confidence: of the two-sided interval.
        resamples: how often blocks are drawn.
        seed: of chance.

    Raises:
        DataError: fewer than 30 equal blocks, blocks that all have the same mean, a mean outside [.1, .9], no
            value, a value that is not finite or outside [0, 1], or clusters of other queries.
        ConfigError: the confidence is not inside (0, 1).

    Example:
        >>> clusters = Clusters.of([[query // 2] for query in range(80)])
        >>> estimate = cluster_bootstrap([1, 1, 0, 1, 1, 0, 0, 1] * 10, clusters)
        >>> estimate.value, estimate.method
        (0.625, 'cluster bootstrap')
    """
    from scipy.stats import bootstrap, norm, t  # heavy

    check_confidence(confidence)
    numbers = per_query(values, "cluster_bootstrap")
    sharing(clusters, len(numbers), "cluster_bootstrap")
    sizes = np.bincount(clusters.blocks).astype(np.float64)
    sums = np.bincount(clusters.blocks, weights=numbers)
    equal, mean = float(len(numbers) ** 2 / (sizes @ sizes)), float(numbers.mean())
    if round(equal) < _FEWEST_BLOCKS:
        raise DataError(
            f"cluster_bootstrap: the queries fall into blocks without a shared document that are worth "
            f"{equal:.1f} equal ones, and {_FEWEST_BLOCKS} are needed; use interval"
        )
    if max(mean, 1 - mean) > _HIGHEST:
        raise DataError(
            f"cluster_bootstrap: the mean must be from {1 - _HIGHEST:.1f} to {_HIGHEST}, got {mean:.3f}: too "
            f"few queries differ from the others to be drawn often enough; use interval"
        )
    if np.ptp(sums / sizes) < _ROUNDING:
        raise DataError(
            f"cluster_bootstrap: every block has the mean {mean:.3f}, as any drawn would have; use interval"
        )

    def mean_drawn(
        sums: NDArray[np.float64], sizes: NDArray[np.float64], axis: int = -1
    ) -> NDArray[np.float64]:
        return np.asarray(sums.sum(axis=axis) / sizes.sum(axis=axis))

    drawn = bootstrap(
        (sums, sizes),
        mean_drawn,
        paired=True,
        method="percentile",
        confidence_level=confidence,
        vectorized=True,
        n_resamples=resamples,
        batch=max(1, _BATCH // len(sums)),
        random_state=np.random.default_rng(seed),
    )
    ends, error = drawn.confidence_interval, float(drawn.standard_error)
    tail = (1 - confidence) / 2
    wider = float(np.sqrt(equal / (equal - 1)) * t.isf(tail, equal - 1) / norm.isf(tail))
    return Estimate(
        value=mean,
        low=max(0.0, mean - wider * (mean - float(ends.low))),
        high=min(1.0, mean + wider * (float(ends.high) - mean)),
        n=len(numbers),
        effective_n=mean * (1 - mean) / (wider * error) ** 2,
        method="cluster bootstrap",
    )
