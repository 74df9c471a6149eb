"""From a text to the pieces of which chunks are made: separators, graphemes, offsets.

A piece is a range of the text without whitespace at its edges. Between two neighbouring pieces stands
whitespace or nothing, so that the pieces together hold every other character. Offsets are carried along
through every cut and never searched for.
"""

from __future__ import annotations

import functools
import itertools
import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ragdiag.errors import ConfigError

__all__ = ["SEPARATORS", "Range", "Separator", "compile_separators", "grapheme_starts", "split", "trim"]

Range: TypeAlias = tuple[int, int]
Separator: TypeAlias = str | re.Pattern[str]

_CLOSERS = "\"'\u2019\u201d\u00bb\u203a)\\]"
_WIDE_STOPS, _WIDE_CLOSERS = "\u3002\uff01\uff1f\uff61", "\u201d\u2019\u300d\u300f\uff09\u3011"

# Every pattern moves over the text in linear time, whatever the text: what stands before a separator is
# looked at by lookbehind, never by a repetition that could start anywhere.
SEPARATORS: tuple[re.Pattern[str], ...] = (
    # paragraphs: blank lines (CRLF is one line end)
    re.compile(r"(?>\r\n?|\n)(?:[^\S\r\n]*(?>\r\n?|\n))+|[\f\u2029]\s*"),
    # lines
    re.compile(r"(?>\r\n?|\n)|[\v\x1c-\x1e\x85\u2028]"),
    # sentences: Latin, Arabic, Urdu, Devanagari, Ethiopic ends before whitespace; Chinese and Japanese ends
    re.compile(
        rf"(?:(?<=[.!?\u2026\u061f\u06d4\u0964\u0965\u1362])|(?<=[.!?\u2026\u061f][{_CLOSERS}]))\s+"
        rf"|(?:(?<=[{_WIDE_STOPS}])|(?<=[{_WIDE_STOPS}][{_WIDE_CLOSERS}]))(?![{_WIDE_STOPS}{_WIDE_CLOSERS}])\s*"
    ),
    # clauses
    re.compile(r"(?<=[,;:\u060c\u061b])\s+|(?<=[\uff0c\u3001\uff1b\uff1a])\s*"),
    # words (U+200B marks words in Thai and Khmer)
    re.compile(r"[\s\u200b]+"),
    # the joints of what has no whitespace: JSON, paths, tables
    re.compile(r"(?<=[,;|/&}\])>])"),
)
"""Where `split` cuts, the first choice first; when none is left it cuts between characters."""

_PARTS = 16
"""Into how many parts of one limit a run without separators is cut: a chunk is filled to 15/16 or more."""


def compile_separators(separators: Iterable[Separator]) -> tuple[re.Pattern[str], ...]:
    """The patterns for ``separators``: a string stands for itself, a compiled pattern for what it matches.

    Raises:
        ConfigError: they are one string, or one of them is neither a pattern nor a string that is not empty.
    """
    if isinstance(separators, str | re.Pattern):
        raise ConfigError(f"separators must be a sequence of separators, got one: {separators!r}")
    patterns = []
    for separator in separators:
        if isinstance(separator, str) and separator:
            patterns.append(re.compile(re.escape(separator)))
        elif isinstance(separator, re.Pattern) and isinstance(separator.pattern, str):
            patterns.append(separator)
        else:
            raise ConfigError(
                "separators must hold strings that are not empty, or patterns of re.compile over strings, "
                f"got {separator!r} (cuts between characters are always the last choice and need none)"
            )
    return tuple(patterns)


def trim(text: str, start: int, end: int) -> Range:
    """The range without the whitespace at its edges; empty at ``end`` where it holds nothing else."""
    part = text[start:end]
    kept = part.lstrip()
    first = end - len(kept)
    return first, first + len(kept.rstrip())


def split(
    text: str,
    ranges: Sequence[Range],
    *,
    limit: int,
    size: int,
    overhead: int,
    measure: Callable[[Sequence[Range]], Sequence[int]],
    separators: Sequence[re.Pattern[str]],
    where: str,
) -> list[Range]:
    """The pieces of ``ranges`` that count at most ``limit`` each, cut at the first separators that do it.

    A separator stays with the piece on its left. What no separator divides may count more than ``limit``,
    but where it counts more than ``size`` it is cut between graphemes; a grapheme is cut only where it alone
    counts more than ``size``.

    Args:
        text: the text that the ranges are of.
        ranges: in the order of the text, without whitespace at their edges.
        limit: what a piece may count where a separator can divide it.
        size: what a piece may count at most.
        overhead: what a piece counts beside its text (special tokens, a prefix).
        measure: counts ranges, many at once.
        separators: in the order of preference.
        where: what the text is called in an error.

    Raises:
        ConfigError: a single code point counts more than ``size``.
    """
    pieces = list(zip(ranges, measure(ranges), strict=True))
    starts = functools.cache(lambda: grapheme_starts(text))

    def divide(cut: Callable[[Range, int], Iterable[int]], *, above: int) -> bool:
        """Cuts all pieces that count more than ``above`` in one round; says whether any was cut."""
        nonlocal pieces
        if all(number <= above for _, number in pieces):
            return False
        parts = [
            _parts(text, piece, cut(piece, number)) if number > above else [piece] for piece, number in pieces
        ]
        fresh = [part for group in parts if len(group) > 1 for part in group]
        numbers = iter(measure(fresh))
        pieces = [
            (part, next(numbers) if len(group) > 1 else number)
            for group, (_, number) in zip(parts, pieces, strict=True)
            for part in group
        ]
        return bool(fresh)

    def at_separator(separator: re.Pattern[str]) -> Callable[[Range, int], Iterable[int]]:
        def cut(piece: Range, _number: int) -> Iterable[int]:
            ends = (match.end() for match in separator.finditer(text, *piece))
            return (end for end in ends if end < piece[1] and starts()[end])

        return cut

    def between_characters(piece: Range, number: int) -> Iterable[int]:
        start, end = piece
        places = start + np.flatnonzero(starts()[start:end])
        if len(places) <= 1:
            if end - start == 1:
                raise ConfigError(
                    f"size={size} is too small: in {where} the single character {text[start]!r} "
                    f"(U+{ord(text[start]):04X}, at {start}) counts {number}, of which {overhead} are "
                    "special tokens or a prefix that every chunk has"
                )
            return range(start + 1, end)
        share = (limit - overhead) / max(number - overhead, 1) / _PARTS
        step = min(max(len(places) * share, 1), len(places) / 2)
        chosen = np.arange(1, math.ceil(len(places) / step)) * step
        return [int(place) for place in places[chosen.astype(np.intp)]]

    for separator in separators:
        divide(at_separator(separator), above=limit)
    while divide(between_characters, above=size):
        pass
    return [piece for piece, _ in pieces]


def _parts(text: str, piece: Range, cuts: Iterable[int]) -> list[Range]:
    """The parts of a piece between the cuts; those of nothing but whitespace are left out."""
    places = [piece[0], *cuts, piece[1]]
    parts = (trim(text, *pair) for pair in itertools.pairwise(places))
    return [part for part in parts if part[0] < part[1]]


def grapheme_starts(text: str) -> NDArray[np.bool_]:
    """Whether a grapheme (what a reader sees as one character) starts at each code point, shape (len(text),).

    Follows the rules of Unicode Standard Annex 29 and joins a little more than they do where its tables are
    not at hand (all marks, all emoji after a joiner, all letters after a virama). Linear in the text.

    Example:
        >>> grapheme_starts("e" + chr(0x301) + "a").tolist()
        [True, False, True]
    """
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    starts = np.ones(len(codes), dtype=np.bool_)
    joined = (codes[:-1] == 0x0D) & (codes[1:] == 0x0A)
    if not text.isascii():
        distinct, which = np.unique(codes, return_inverse=True)
        kinds = np.array([_kind(chr(code)) for code in distinct], dtype=np.uint8)[which]
        left, right = kinds[:-1], kinds[1:]
        joined |= np.isin(right, [_Kind.EXTEND, _Kind.JOINER, _Kind.VIRAMA]) & (left != _Kind.CONTROL)
        joined |= (left == _Kind.JOINER) & (right == _Kind.SYMBOL)
        joined |= (left == _Kind.VIRAMA) & (right == _Kind.LETTER)
        # Regional indicators make flags two by two, counted from where their run begins.
        regional = kinds == _Kind.REGIONAL
        place = np.arange(len(codes))
        run_start = np.maximum.accumulate(np.where(regional, -1, place)) + 1
        joined |= (regional & ((place - run_start) % 2 == 1))[1:]
    starts[1:] = ~joined
    return starts


class _Kind(IntEnum):
    OTHER = 0
    CONTROL = 1
    EXTEND = 2
    JOINER = 3
    VIRAMA = 4
    REGIONAL = 5
    SYMBOL = 6
    LETTER = 7


def _kind(char: str) -> _Kind:
    """What the rules of grapheme clusters make of a code point, as far as `grapheme_starts` uses them."""
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
