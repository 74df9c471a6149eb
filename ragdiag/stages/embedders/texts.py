"""Texts as encoders accept them: a list of strings without lone surrogates."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ragdiag.errors import DataError

__all__ = ["encodable"]

_SURROGATE = re.compile("[\ud800-\udfff]")


def encodable(texts: Sequence[str]) -> list[str]:
    """The texts, each lone surrogate replaced by U+FFFD: one for one, so that offsets are kept.

    Raises:
        DataError: a single string came where a sequence of texts belongs, or an item is not a string.

    Example:
        >>> encodable(["plain", "broken " + chr(0xD800)])
        ['plain', 'broken �']
    """
    if isinstance(texts, str):
        raise DataError(
            f"expected a sequence of texts, got a single string: {texts[:80]!r}; wrap it in a list"
        )
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            raise DataError(f"text {position} must be a string, got {type(text).__name__}: {text!r}")
    return [_SURROGATE.sub("\ufffd", text) for text in texts]
