"""Where a text may be cut: between graphemes, which are what a reader sees as one character."""

from __future__ import annotations

import functools
import itertools
import unicodedata
from enum import Enum, auto

__all__ = ["next_grapheme", "starts_grapheme"]


def starts_grapheme(text: str, position: int, *, since: int = 0) -> bool:
    """Whether a grapheme starts at ``position`` (0 < position < len(text)); looks at what stands before it.

    Follows the rules of Unicode Standard Annex 29 and joins a little more than they do where its tables are
    not at hand (all marks, all emoji after a joiner, all letters after a virama).

    Args:
        text: the text.
        position: where to look.
        since: a start of a grapheme before ``position``; a run of flags is not walked back beyond it.

    Example:
        >>> [starts_grapheme("e" + chr(0x301) + "a", position) for position in (1, 2)]
        [False, True]
    """
    left, right = text[position - 1], text[position]
    if right < "\x80":
        return not (right == "\n" and left == "\r")
    kinds = _kind(left), _kind(right)
    if kinds == (_Kind.REGIONAL, _Kind.REGIONAL):  # they make flags two by two, counted from their first
        first = position - 1
        while first > since and _kind(text[first - 1]) is _Kind.REGIONAL:
            first -= 1
        return (position - first) % 2 == 0
    return kinds not in _JOINED


def next_grapheme(text: str, position: int, end: int, *, since: int) -> int:
    """The first start of a grapheme at or after ``position``, or ``end`` where none comes before it."""
    while position < end and not starts_grapheme(text, position, since=since):
        position += 1
    return position


class _Kind(Enum):
    OTHER = auto()
    CONTROL = auto()
    EXTEND = auto()
    JOINER = auto()
    VIRAMA = auto()
    REGIONAL = auto()
    SYMBOL = auto()
    LETTER = auto()


_JOINED = {
    *itertools.product(set(_Kind) - {_Kind.CONTROL}, (_Kind.EXTEND, _Kind.JOINER, _Kind.VIRAMA)),
    (_Kind.JOINER, _Kind.SYMBOL),
    (_Kind.VIRAMA, _Kind.LETTER),
}


@functools.cache
def _kind(char: str) -> _Kind:
    """What the rules of grapheme clusters make of a code point, as far as `starts_grapheme` uses them."""
    code, category = ord(char), unicodedata.category(char)
    if 0x1F1E6 <= code <= 0x1F1FF:
        return _Kind.REGIONAL
    if char == "\u200d":
        return _Kind.JOINER
    if unicodedata.combining(char) == _VIRAMA_CLASS:
        return _Kind.VIRAMA
    if category in ("Mn", "Mc", "Me") or any(first <= code <= last for first, last in _EXTENDING):
        return _Kind.EXTEND
    if category in ("Cc", "Cf", "Zl", "Zp"):
        return _Kind.CONTROL
    return {"So": _Kind.SYMBOL, "Lo": _Kind.LETTER}.get(category, _Kind.OTHER)


_VIRAMA_CLASS = 9
_EXTENDING = (  # what continues a grapheme without being a mark by category
    (0x0E33, 0x0E33),  # the vowel am of Thai
    (0x0EB3, 0x0EB3),  # and of Lao
    (0x1160, 0x11FF),  # vowels and finals of Hangul
    (0x200C, 0x200C),  # zero width non-joiner
    (0xD7B0, 0xD7FB),  # more vowels and finals of Hangul
    (0xFF9E, 0xFF9F),  # halfwidth voicing marks of Japanese
    (0x1F3FB, 0x1F3FF),  # skin tones
    (0xE0020, 0xE007F),  # tags, in the flags of regions
)
