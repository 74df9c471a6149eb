"""How large a difference of two runs matters, how large one must be to show, and the queries that takes."""

from __future__ import annotations

from dataclasses import dataclass

from numpy.typing import ArrayLike

from ragdiag.errors import ConfigError
from ragdiag.measures.paired import (
    FEWEST_QUERIES,
    Difference,
    errors_of_mean,
    paired_difference,
    paired_values,
)
from ragdiag.measures.statistics import Clusters, sharing

__all__ = ["Equivalence", "equivalent", "minimum_detectable_effect", "questions_for_effect"]


@dataclass(frozen=True, slots=True)
class Equivalence:
    """Whether two runs are alike but for differences that do not matter.

    Attributes:
        difference: of b from a; its interval has a confidence of ``1 - 2 * level``.
        margin: the largest difference that does not matter.
        level: how often runs that differ by the margin may be called alike.
    """

    difference: Difference
    margin: float
    level: float

    @property
    def shown(self) -> bool:
        """Whether they are alike, as far as these queries tell: the interval lies within the margin.

        Never under 20 queries. Runs that are not shown to be alike are not shown to differ either.
        """
        inside = -self.margin < self.difference.low and self.difference.high < self.margin
        return inside and self.difference.n >= FEWEST_QUERIES


def equivalent(
    a: ArrayLike,
    b: ArrayLike,
    margin: float,
    *,
    clusters: Clusters | None = None,
    level: float = 0.05,
    resamples: int = 9_999,
    seed: int = 0,
) -> Equivalence:
    """Whether b differs from a by less than the ``margin``, over the same queries in the same order.

    Two one-sided tests, each at the ``level``: both succeed where the interval of confidence
    ``1 - 2 * level`` lies within the margin. The interval is that of `paired_difference`.
    Source: Schuirmann (1987).

    Raises:
        DataError: no value, a value that is not finite or outside [0, 1], lengths that differ, or clusters of
            other queries.
        ConfigError: the margin is not inside (0, 1), or the level not inside (0, 0.5).

    Example:
        >>> run = [1, 1, 1, 0] * 60
        >>> equivalent(run, run, 0.02).shown, equivalent(run[:40], run[:40], 0.02).shown
        (True, False)
    """
    _check_inside("margin", margin, 1)
    _check_inside("level", level, 0.5)
    difference = paired_difference(
        a, b, clusters=clusters, confidence=1 - 2 * level, resamples=resamples, seed=seed
    )
    return Equivalence(difference, margin, level)


def minimum_detectable_effect(
    a: ArrayLike, b: ArrayLike, *, clusters: Clusters | None = None, power: float = 0.8, level: float = 0.05
) -> float:
    """The smallest true difference of the means that so many queries show in a share ``power`` of cases.

    It is ``(t(level / 2) + t(power)) · SE``, given how much a and b differ from query to query, and where
    queries share documents. Source: Bloom (1995), "Minimum detectable effects".

    Raises:
        DataError: no value, a value that is not finite or outside [0, 1], lengths that differ, or clusters of
            other queries.
        ConfigError: the power or the level is not inside (0, 1).

    Example:
        >>> a, b = [1, 1, 0, 0] * 25, [1, 0, 1, 0] * 25
        >>> round(minimum_detectable_effect(a, b), 2)
        0.2
    """
    _check_inside("power", power, 1)
    _check_inside("level", level, 1)
    errors, _ = _errors(a, b, clusters, "minimum_detectable_effect")
    return _detectable(errors, 1.0, power, level)


def questions_for_effect(
    a: ArrayLike,
    b: ArrayLike,
    effect: float,
    *,
    clusters: Clusters | None = None,
    power: float = 0.8,
    level: float = 0.05,
) -> int:
    """How many queries in all, of the same mix, it takes to show a true difference of ``effect``.

    With so many the `minimum_detectable_effect` is no larger. Never under 20, below which no difference is
    claimed.

    Raises:
        DataError: no value, a value that is not finite or outside [0, 1], lengths that differ, or clusters of
            other queries.
        ConfigError: the effect, the power or the level is not inside (0, 1).

    Example:
        >>> a, b = [1, 1, 0, 0] * 25, [1, 0, 1, 0] * 25
        >>> questions_for_effect(a, b, 0.1), questions_for_effect(a, b, 0.05)
        (391, 1557)
    """
    _check_inside("effect", effect, 1)
    _check_inside("power", power, 1)
    _check_inside("level", level, 1)
    errors, n = _errors(a, b, clusters, "questions_for_effect")
    enough = FEWEST_QUERIES
    while _detectable(errors, enough / n, power, level) > effect:
        enough *= 2
    too_few = FEWEST_QUERIES - 1 if enough == FEWEST_QUERIES else enough // 2
    while enough - too_few > 1:
        middle = (enough + too_few) // 2
        shown = _detectable(errors, middle / n, power, level) <= effect
        too_few, enough = (too_few, middle) if shown else (middle, enough)
    return enough


def _errors(
    a: ArrayLike, b: ArrayLike, clusters: Clusters | None, what: str
) -> tuple[list[tuple[float, float]], int]:
    """The standard errors of the mean difference with their degrees of freedom, and the number of queries."""
    differences = paired_values(a, b, what)[2]
    n = len(differences)
    return errors_of_mean(differences, sharing(clusters, n, what)[0]), n


def _detectable(errors: list[tuple[float, float]], times: float, power: float, level: float) -> float:
    """With so many times the queries."""
    from scipy.special import stdtrit  # heavy

    return max(
        float(
            error / times**0.5 * (stdtrit(times * freedom, 1 - level / 2) + stdtrit(times * freedom, power))
        )
        for error, freedom in errors
    )


def _check_inside(name: str, number: float, end: float) -> None:
    if not 0 < number < end:
        raise ConfigError(f"the {name} must be inside (0, {end}), got {number!r}")
