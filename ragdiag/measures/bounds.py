"""How sure a mean over queries is above or below a bar: one-sided bounds, and how many queries would tell."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ragdiag.errors import ConfigError
from ragdiag.measures.paired import FEWEST_QUERIES
from ragdiag.measures.statistics import Clusters, information, per_query, sharing, yes_no

__all__ = ["Bounds", "bounds", "questions_needed"]

_ROUNDING = 1e-9  # a mean that is so close to the bar is the bar


@dataclass(frozen=True, slots=True)
class Bounds:
    """A mean over queries with a lower and an upper bound, each of them one-sided.

    Attributes:
        value: the mean.
        low: the mean of all such queries is above it with this confidence.
        high: it is below this with this confidence.
        n: the number of queries.
        effective_n: the number of queries without shared documents that would tell as much.
        confidence: of each bound alone.
        method: how they were made, and what is wrong with them where something is.
    """

    value: float
    low: float
    high: float
    n: int
    effective_n: float
    confidence: float
    method: str


def bounds(values: ArrayLike, *, clusters: Clusters | None = None, confidence: float = 0.95) -> Bounds:
    """The mean of per-query ``values`` in [0, 1], shape (n,), with its one-sided bounds.

    Who lets a pipeline pass where ``low`` is at or above the bar lets one through that is just below it in at
    most ``1 - confidence`` of all cases; the same holds for failing it where ``high`` is below.

    The lower bound is a quantile of the mean under random weights, Dirichlet's with a 1 for each query and
    for one more, which has the value 0: the worst that may have been missed. For yes/no values this is the
    exact bound of Clopper and Pearson (1934); for graded ones it is the bound of Gaffke (2005), which
    Learned-Miller and Thomas (2019) found to hold for every distribution that they tried, and which uses that
    graded values vary less. The distribution of the mean is taken for the beta distribution with its mean and
    variance, between 0 and the largest value, which for yes/no values it is. Where queries share documents,
    each has the weight of its `information` in place of 1, so that yes/no values get the bound of Korn and
    Graubard (1998). The upper bound is the lower one of ``1 - values``.

    Args:
        values: one value a query.
        clusters: which queries share documents; None for independent queries.
        confidence: of each bound alone.

    Raises:
        DataError: no value, a value that is not finite or outside [0, 1], or clusters of other queries.
        ConfigError: the confidence is not inside (0.5, 1).

    Example:
        >>> found = bounds([1] * 46 + [0] * 4)
        >>> found.value, round(found.low, 3), round(found.high, 3), found.method
        (0.92, 0.826, 0.972, 'Clopper-Pearson by query')
    """
    numbers, share, how = _weighed(values, clusters, confidence, "bounds")
    n = len(numbers)
    ends = [
        _lower(float(side.mean()), float(side.var()), float(side.max()), n * share, confidence)
        for side in (numbers, 1 - numbers)
    ]
    return Bounds(
        value=float(numbers.mean()),
        low=ends[0],
        high=1 - ends[1],
        n=n,
        effective_n=n * share,
        confidence=confidence,
        method=f"{'Clopper-Pearson' if yes_no(numbers) else 'Gaffke'} {how}",
    )


def questions_needed(
    values: ArrayLike,
    bar: float,
    *,
    clusters: Clusters | None = None,
    confidence: float = 0.95,
    power: float = 0.8,
) -> int | None:
    """How many queries in all, of the same mix, would decide whether the mean is above the ``bar``.

    With so many the bound is beyond the bar in a share of ``power`` of all cases, if the mean, the variance
    and what documents have in common are what they are in ``values``. Never under 20, below which no share is
    claimed. None where the mean is the bar, which no number of queries can tell.

    Args:
        values: one value a query.
        bar: in [0, 1].
        clusters: which queries share documents; None for independent queries.
        confidence: of the bound.
        power: how sure the decision is to come, inside (0, 1).

    Raises:
        DataError: no value, a value that is not finite or outside [0, 1], or clusters of other queries.
        ConfigError: the bar is outside [0, 1], the confidence outside (0.5, 1) or the power outside (0, 1).

    Example:
        >>> questions_needed([1] * 46 + [0] * 4, 0.85)
        144
    """
    from scipy.special import ndtri  # heavy

    if not 0 <= bar <= 1:
        raise ConfigError(f"questions_needed: the bar must be in [0, 1], got {bar!r}")
    if not 0 < power < 1:
        raise ConfigError(f"questions_needed: the power must be inside (0, 1), got {power!r}")
    numbers, share, _ = _weighed(values, clusters, confidence, "questions_needed")
    if numbers.mean() < bar:
        numbers, bar = 1 - numbers, 1 - bar
    mean, variance, top = (float(number) for number in (numbers.mean(), numbers.var(), numbers.max()))
    if mean - bar < _ROUNDING:
        return None
    luck = float(ndtri(power))

    def decided(n: int) -> bool:
        """Whether the bound is beyond the bar even where the mean comes out as low as the power allows."""
        low = min(mean - luck * sqrt(variance / (n * share)), top)
        if low <= 0:
            return False
        spread = low * (1 - low) / (mean * (1 - mean)) if mean < 1 else 1.0  # as that of yes/no values
        return _lower(low, variance * spread, top, n * share, confidence) >= bar

    enough = FEWEST_QUERIES
    while not decided(enough):
        enough *= 2
    too_few = FEWEST_QUERIES - 1 if enough == FEWEST_QUERIES else enough // 2
    while enough - too_few > 1:
        middle = (enough + too_few) // 2
        too_few, enough = (too_few, middle) if decided(middle) else (middle, enough)
    return enough


def _weighed(
    values: ArrayLike, clusters: Clusters | None, confidence: float, what: str
) -> tuple[NDArray[np.float64], float, str]:
    """The checked values, what each is worth, and how that was found."""
    if not 0.5 < confidence < 1:
        raise ConfigError(f"{what}: the confidence of a bound must be inside (0.5, 1), got {confidence!r}")
    numbers = per_query(values, what)
    shared, how = sharing(clusters, len(numbers), what)
    return numbers, information(numbers, shared, 1 - confidence), how


def _lower(mean: float, variance: float, top: float, n: float, confidence: float) -> float:
    """The bound below ``n`` values up to ``top`` with this mean and variance; ``n`` may be a fraction."""
    from scipy.special import betaincinv  # heavy

    if top == 0:
        return 0.0
    known = n / (n + 1)  # the rest of the weight is on 0
    center = known * mean
    spread = (known * (variance + mean**2) - center**2) / (n + 2)  # of the mean under Dirichlet's weights
    at = center / top
    size = at * (1 - at) / (spread / top**2) - 1  # of the beta distribution on [0, top]
    return min(mean, top * float(betaincinv(size * at, size * (1 - at), 1 - confidence)))
