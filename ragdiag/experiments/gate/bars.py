"""A bar: a quantity and the limit that it must keep."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from ragdiag.errors import ConfigError
from ragdiag.experiments.gate.quantities import Quantity, parse_quantity

__all__ = ["Bar"]

_SPEC = re.compile(
    r"\s*(?P<quantity>[^<>≤≥]+?)\s*(?P<sign>[<>]=?|=+|[≤≥])\s*(?P<limit>[^<>=≤≥]+?)\s*", re.DOTALL
)
_SIGNS = {"more": ">=", "less": "<="}


@dataclass(frozen=True)
class Bar:
    """A quantity and the limit that it must keep; it prints as its spec.

    Which way it must be kept follows from the quantity: at least so much of what more is better of, at most
    so much of what less is better of.

    Attributes:
        quantity: what is judged.
        limit: in its unit.

    Example:
        >>> Bar.parse("recall@5>=.85"), Bar.parse("loss[reranker] <= 0.05")
        (Recall@5 >= 0.85, loss[reranker] <= 0.05)
    """

    quantity: Quantity
    limit: float

    @classmethod
    def parse(cls, spec: str) -> Bar:
        """The bar that a spec names, such as ``"recall@5 >= 0.85"``.

        Raises:
            ConfigError: it is no bar, its quantity is not known, it is to be kept from the wrong side, or
                its limit is none.
        """
        found = _SPEC.fullmatch(spec)
        if found is None:
            raise ConfigError(
                f"bar {spec!r} cannot be read: expected a quantity, >= or <=, and a number, such as "
                "'recall@5 >= 0.85' or 'loss[reranker] <= 0.05'"
            )
        try:
            quantity = parse_quantity(found["quantity"])
            limit = _number(found["limit"])
            quantity.check_limit(limit)
        except ConfigError as error:
            raise ConfigError(f"bar {spec!r}: {error}") from error
        sign = _SIGNS[quantity.better]
        if found["sign"] != sign:
            raise ConfigError(
                f"bar {spec!r}: {quantity.better} of {quantity.name} is better, so that its sign must be "
                f"{sign}, got {found['sign']}"
            )
        return cls(quantity, limit)

    def __repr__(self) -> str:
        return f"{self.quantity.name} {_SIGNS[self.quantity.better]} {self.limit:.15g}"


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ConfigError(f"the limit must be a number, got {text!r}")
    return number
