"""The options that all measures check alike."""

from __future__ import annotations

import operator

from ragdiag.errors import ConfigError

__all__ = ["whole_number"]


def whole_number(measure: str, option: str, value: object) -> int:
    """An option's value as an int.

    Raises:
        ConfigError: it is no integer >= 1.
    """
    try:
        whole = operator.index(value)  # type: ignore[arg-type]  # what is no integer is refused below
    except TypeError:
        whole = 0
    if isinstance(value, bool) or whole < 1:
        raise ConfigError(f"{measure}: {option} must be an integer >= 1, got {value!r}")
    return whole
