"""From a text to the pieces of which chunks are made: at separators, then between graphemes.

A piece is a range of the text without whitespace at its edges. Between two neighbouring pieces stands
whitespace or nothing, so that the pieces together hold every other character. Offsets are carried along
through every cut and never searched for.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

from ragdiag.errors import ConfigError
from ragdiag.spans import Range
from ragdiag.stages.chunkers.graphemes import next_grapheme, starts_grapheme
from ragdiag.stages.chunkers.lengths import Counted

__all__ = ["SEPARATORS", "WIDE_STOPS", "Separator", "compile_separators", "split", "trim"]

Separator: TypeAlias = str | re.Pattern[str]

_STOPS = ".!?\u2026\u061f\u06d4\u0964\u0965\u1362"  # Latin, Arabic, Urdu, Devanagari, Ethiopic
_CLOSED_STOPS = ".!?\u2026\u061f"  # behind these, quotes and brackets may close
_CLOSERS = "\"'\u2019\u201d\u00bb\u203a)\\]"
WIDE_STOPS, _WIDE_CLOSERS = "\u3002\uff01\uff1f\uff61", "\u201d\u2019\u300d\u300f\uff09\u3011"
_COMMAS, _WIDE_COMMAS = ",;:\u060c\u061b", "\uff0c\u3001\uff1b\uff1a"

# Every pattern moves over the text in linear time, whatever the text, and begins with a set of characters,
# which `re` finds about five times faster than a place that only a lookbehind tells.
SEPARATORS: tuple[re.Pattern[str], ...] = (
    # paragraphs: blank lines (CRLF is one line end)
    re.compile(r"[\r\n\f\u2029](?:(?<=[\f\u2029])\s*|(?:(?<=\r)\n)?+(?:[^\S\r\n]*[\r\n](?:(?<=\r)\n)?+)+)"),
    # lines
    re.compile(r"[\r\n\v\x1c-\x1e\x85\u2028](?:(?<=\r)\n)?+"),
    # sentences: a stop before whitespace; Chinese and Japanese stops
    re.compile(
        rf"[{_STOPS}{WIDE_STOPS}]"
        rf"(?:(?:(?<=[{_CLOSED_STOPS}])[{_CLOSERS}]?|(?<=[{_STOPS}]))\s+"
        rf"|(?<=[{WIDE_STOPS}])[{_WIDE_CLOSERS}]?(?![{WIDE_STOPS}{_WIDE_CLOSERS}])\s*)"
    ),
    # clauses
    re.compile(rf"[{_COMMAS}{_WIDE_COMMAS}](?:(?<=[{_COMMAS}])\s+|(?<=[{_WIDE_COMMAS}])\s*)"),
    # words (U+200B marks words in Thai and Khmer)
    re.compile(r"[\s\u200b]+"),
    # the joints of what has no whitespace: JSON, paths, tables
    re.compile(r"[,;|/&}\])>]"),
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
    pieces: Sequence[Counted],
    *,
    limit: int,
    size: int,
    overhead: int,
    measure: Callable[[Sequence[Range]], Sequence[int]],
    separators: Sequence[re.Pattern[str]],
    where: str,
) -> list[Counted]:
    """The ``pieces``, those that count more than ``limit`` cut at the first separators that do it.

    A separator stays with the piece on its left. What no separator divides may count more than ``limit``,
    but where it counts more than ``size`` it is cut between graphemes; a grapheme is cut only where it alone
    counts more than ``size``.

    Args:
        text: the text that the ranges are of.
        pieces: in the order of the text, without whitespace at their edges, each with what it counts.
        limit: what a piece may count where a separator can divide it.
        size: what a piece may count at most.
        overhead: what a piece counts beside its text (special tokens, a prefix).
        measure: counts ranges, many at once.
        separators: in the order of preference.
        where: what the text is called in an error.

    Raises:
        ConfigError: a single code point counts more than ``size``.
    """
    counted = list(pieces)

    def divide(cut: Callable[[Range, int], Iterable[int]], *, above: int) -> bool:
        """Cuts all pieces that count more than ``above`` in one round; says whether any was cut."""
        nonlocal counted
        if all(number <= above for _, number in counted):
            return False
        parts = [
            _parts(text, piece, cut(piece, number)) if number > above else [piece]
            for piece, number in counted
        ]
        fresh = [part for group in parts if len(group) > 1 for part in group]
        numbers = iter(measure(fresh))
        counted = [
            (part, next(numbers) if len(group) > 1 else number)
            for group, (_, number) in zip(parts, counted, strict=True)
            for part in group
        ]
        return bool(fresh)

    def at_separator(separator: re.Pattern[str]) -> Callable[[Range, int], Iterable[int]]:
        return lambda piece, _number: _ends(text, piece, separator)

    def between_characters(piece: Range, number: int) -> Iterable[int]:
        start, end = piece
        if end - start == 1:
            raise ConfigError(
                f"size={size} is too small: in {where} the single character {text[start]!r} "
                f"(U+{ord(text[start]):04X}, at {start}) counts {number}, of which {overhead} are "
                "special tokens or a prefix that every chunk has"
            )
        share = (limit - overhead) / max(number - overhead, 1) / _PARTS
        step = min(max((end - start) * share, 1), (end - start) / 2)
        return _every(text, piece, step) or _first(text, piece) or range(start + 1, end)

    for separator in separators:
        divide(at_separator(separator), above=limit)
    while divide(between_characters, above=size):
        pass
    return counted


def _ends(text: str, piece: Range, separator: re.Pattern[str]) -> Iterator[int]:
    """Where separators end inside a piece, but for those that a grapheme reaches across."""
    since, end = piece
    for match in separator.finditer(text, *piece):
        place = match.end()
        if since < place < end and starts_grapheme(text, place, since=since):
            yield place
            since = place


def _every(text: str, piece: Range, step: float) -> list[int]:
    """The starts of graphemes inside a piece that come next after each ``step`` code points."""
    start, end = piece
    since, places = start, []
    for n in range(1, math.ceil((end - start) / step)):
        target = start + int(n * step)
        if target > since:
            place = next_grapheme(text, target, end, since=since)
            if place < end:
                places.append(place)
            since = place
    return places


def _first(text: str, piece: Range) -> list[int]:
    """Where the second grapheme of a piece starts; nothing where it has but one."""
    start, end = piece
    place = next_grapheme(text, start + 1, end, since=start)
    return [place] if place < end else []


def _parts(text: str, piece: Range, cuts: Iterable[int]) -> list[Range]:
    """The parts of a piece between the cuts; those of nothing but whitespace are left out."""
    places = [piece[0], *cuts, piece[1]]
    parts = (trim(text, *pair) for pair in itertools.pairwise(places))
    return [part for part in parts if part[0] < part[1]]
