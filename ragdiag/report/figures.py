"""Numbers as every face of a result writes them, so that all faces say the same."""

from __future__ import annotations

__all__ = [
    "MISSING",
    "count",
    "interval",
    "of_things",
    "percent",
    "rank",
    "share",
    "signed",
    "signed_interval",
]

MISSING = "\u2013"
"""What stands where there is no number: a rank at which a unit is never complete."""

_NOISE = 1e-9  # sums of shares are off by rounding; what is nearer than this is the same number


def share(value: float) -> str:
    """A share in [0, 1] with three decimals; what only rounds to 0 or 1 is not written as 0 or 1.

    Example:
        >>> share(0.94546), share(1.0), share(0.99996), share(0.00001)
        ('0.945', '1.000', '>0.999', '<0.001')
    """
    return _guarded(value, f"{value:.3f}", lowest="<0.001", highest=">0.999")


def percent(value: float) -> str:
    """A share in [0, 1] as a whole percentage, guarded like `share`.

    Example:
        >>> percent(0.25), percent(0.999)
        ('25%', '>99%')
    """
    return _guarded(value, f"{value:.0%}", lowest="<1%", highest=">99%")


def _guarded(value: float, written: str, *, lowest: str, highest: str) -> str:
    number = float(written.rstrip("%"))
    if number == 0:
        return lowest if value > _NOISE else written.lstrip("-")
    whole = 100 if written.endswith("%") else 1
    return highest if number == whole and value < 1 - _NOISE else written


def interval(low: float, high: float) -> str:
    """The ends of an interval of shares, with an en dash between them."""
    return f"{share(low)}\u2013{share(high)}"


def signed(value: float) -> str:
    """A difference of shares in [-1, 1] with its sign, guarded like `share`; none stands before 0.

    Example:
        >>> signed(0.25), signed(-0.25), signed(-0.00001), signed(0)
        ('+0.250', '-0.250', '-<0.001', '0.000')
    """
    if abs(value) <= _NOISE:
        return share(0)
    return ("+" if value > 0 else "-") + share(abs(value))


def signed_interval(low: float, high: float) -> str:
    """The ends of an interval of differences."""
    return f"{signed(low)} to {signed(high)}"


def rank(value: int | None) -> str:
    """A rank from 1, or `MISSING`."""
    return MISSING if value is None else count(value)


def count(value: int) -> str:
    """A whole number with thousands apart."""
    return f"{value:,}"


def of_things(value: int, one: str, many: str = "") -> str:
    """How many of something; ``many`` defaults to ``one`` with an s.

    Example:
        >>> of_things(1, "query", "queries"), of_things(1200, "unit")
        ('1 query', '1,200 units')
    """
    return f"{count(value)} {one if value == 1 else many or one + 's'}"
