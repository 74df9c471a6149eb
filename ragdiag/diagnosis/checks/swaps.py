"""Texts in which some words are swapped for others of their kind: numbers, names, ordinary words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, TypeAlias

__all__ = ["Kind", "kinds_of_words", "other_number", "swap"]

Kind: TypeAlias = Literal["number", "name", "ordinary"]

_WORD = re.compile(r"\w+(?:[.,/-]\d+)*")  # with what stands inside a number: 1,200 and 3.5 and A-12
_BEGINS_A_SENTENCE = re.compile(r"(?:^|[.!?:\n])\W*$")
_LOOK_BACK = 20  # characters: no more punctuation stands between two sentences
_DIGITS = str.maketrans("0123456789", "5678901234")


def kinds_of_words(text: str) -> dict[str, Kind]:
    """Each word of a text (case-folded) with its kind, in the order of the text.

    A number holds a digit; a name is capitalized inside a sentence, or holds a capital after its first
    letter. A word that is a name in one place is one.
    """
    found: dict[str, Kind] = {}
    for match in _WORD.finditer(text):
        kind = _kind(text, match)
        word = match[0].casefold()
        if found.get(word) in (None, "ordinary"):
            found[word] = kind
    return found


def _kind(text: str, match: re.Match[str]) -> Kind:
    word, at = match[0], match.start()
    if any(map(str.isdigit, word)):
        return "number"
    if any(map(str.isupper, word[1:])):
        return "name"
    inside = word[0].isupper() and not _BEGINS_A_SENTENCE.search(text[max(0, at - _LOOK_BACK) : at])
    return "name" if inside else "ordinary"


def other_number(word: str) -> str:
    """A number of the same form, every digit another.

    Example:
        >>> other_number("1,200"), other_number("A-12")
        ('6,755', 'A-67')
    """
    return word.translate(_DIGITS)


def swap(text: str, replacements: Mapping[str, str]) -> str:
    """A text with some words (case-folded) replaced, at every place; capitalized where the word was.

    Example:
        >>> swap("Send 30 parcels; send more.", {"30": "85", "send": "paint"})
        'Paint 85 parcels; paint more.'
    """

    def replaced(match: re.Match[str]) -> str:
        other = replacements.get(match[0].casefold())
        if other is None:
            return match[0]
        return other[:1].upper() + other[1:] if match[0][0].isupper() else other

    return _WORD.sub(replaced, text)
