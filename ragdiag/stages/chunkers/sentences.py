"""Where sentences begin and end in plain text, by punctuation, case and lines.

A stop ends a sentence unless what stands around it says otherwise: an abbreviation or an initial before it,
a small letter behind it, a number that counts a list. A blank line always ends one. A single line end does
where the next line is an item, a heading or a row of a table, and where the line was ended on purpose: the
lines are too long to be wrapped, or this one stopped well short of the others.

Every stop is looked at once, with a bounded stretch of text around it: linear, whatever the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import TypeAlias

import numpy as np

from ragdiag.errors import ConfigError, StageError
from ragdiag.spans import Range
from ragdiag.stages.chunkers.splitting import WIDE_STOPS, trim

__all__ = ["SentenceFinder", "find_sentences", "name_of", "sentences_of"]

SentenceFinder: TypeAlias = Callable[[str], Iterable[Range]]
"""From a text to the ranges of its sentences, in order."""

# Latin; Arabic and Urdu; Devanagari; Ethiopic, Armenian, Khmer, Burmese. Whitespace must follow these.
_STOPS = ".!?\u2026\u061f\u06d4\u0964\u0965\u1362\u0589\u17d4\u104b"
_CLOSERS = "\"'\u2019\u201d\u00bb\u203a)\\]*_\u300d\u300f\uff09\u3011"
_OPENERS = "\"'\u2018\u201c\u201e\u00ab\u2039([{\u00bf\u00a1*_\u2013\u2014-"

# A run of stops, what closes behind it, and the marks of notes. Possessive, and begun only where no stop
# stands before, so that no character is passed twice.
_END = re.compile(
    rf"(?<![{_STOPS}])(?P<stops>[{_STOPS}]++)(?P<closed>[{_CLOSERS}]*+(?:[ \u00a0\u202f]\u00bb)?+)"
    r"(?:\[[^\[\]\n]{1,40}\])*+(?::\d[\d,\u2013-]{0,12}+)?+(?=\s)"
    rf"|(?P<wide>[{WIDE_STOPS}])[{WIDE_STOPS}{_STOPS}]*+[{_CLOSERS}]*+"
)
_AROUND = 48
"""How many characters around a stop decide; words that do, and gaps between sentences, are shorter."""

# What is always followed by what it belongs to.
_BEFORE_NAMES = re.compile(
    r"adm|brig|capt|cmdr|col|dr|gen|gov|hon|lt|maj|messrs|mlle|mme|mr|mrs|ms|mt|pres|prof|rep|rev|sen|sgt|"
    r"ste|supt|cf|e\.g|eg|i\.e|ie|viz|vs|approx|ca|circa|bzw|evtl|ggf",
    re.IGNORECASE,
)
# What is so where a number follows; several of these are words of their own.
_BEFORE_NUMBERS = re.compile(r"app|art|ch|chap|eqs?|figs?|nos?|nr|op|p|par|pp|pt|sec|tab|vol", re.IGNORECASE)
# What may end a sentence or not; initials and what is written like them do so too: J, U.S, p.m.
_ANYWHERE = re.compile(
    r"al|ave|blvd|bros|co|corp|dept|est|etc|fr|ft|inc|jr|ltd|ph\.d|rd|sr|st|univ|usw|jan|feb|mar|apr|jun|jul|"
    r"aug|sept?|oct|nov|dec|[^\W\d_](?:\.[^\W\d_])*",
    re.IGNORECASE,
)
# After an abbreviation, a capital says little; one of these words behind it does begin a sentence.
_BEGINNING = re.compile(
    r"(?:A|After|All|Although|An|And|As|At|Because|Before|Both|But|By|During|Each|For|From|He|Her|Here|His|"
    r"How|However|I|If|In|It|Its|Many|Most|My|No|Not|On|One|Or|Our|She|Since|So|Some|Such|That|The|Their|"
    r"Then|There|These|They|This|Those|Thus|To|Two|Under|Until|We|What|When|Where|While|Who|Why|With|Yet|"
    r"You|Your)(?=[\s,'\u2019])"
)
_COUNTING = re.compile(r"\d{1,3}(?:\.\d{1,3})*|[^\W\d_]|[ivxIVX]{1,5}")

_ALONE = re.compile(r"\s*(?:#{1,6}\s|\||```|~~~)")  # a line that is a heading, a row or a fence
_UNDERLINE = re.compile(r"\s*(?:=+|-{2,}|\*{3,}|_{3,})\s*")
_ITEM = re.compile(r"\s*(?:[-*+\u2022\u2023\u25e6\u00b7\u2013]\s|\d{1,3}[.)]\s|[^\W\d_]\)\s)")
_FIRST_WORD = re.compile(r"[\u2e80-\u9fff\uf900-\ufaff]|\S+")  # Chinese and Japanese break anywhere
_WIDEST = 160
"""How long a line may be that somebody wrapped; where one is longer, every line end is meant."""


def find_sentences(text: str) -> list[Range]:
    r"""The ranges of the sentences of ``text``, in order, without whitespace at their edges.

    Together they hold every character that is not whitespace. Abbreviations are those of English and a few
    that are common elsewhere. Thai, Lao and others that end no sentence with a mark are divided at lines
    alone.

    Example:
        >>> text = "Dr. Ng paid $3.50 for No. 5. (She had to!) Then, e.g. on Monday,\nhe left."
        >>> [text[start:end] for start, end in find_sentences(text)]
        ['Dr. Ng paid $3.50 for No. 5.', '(She had to!)', 'Then, e.g. on Monday,\nhe left.']
    """
    return [
        (first, last)
        for start, end in _stretches(text)
        for first, last in (trim(text, *part) for part in pairwise(_edges(text, start, end)))
        if first < last
    ]


def name_of(finder: SentenceFinder) -> str:
    """What a finder is called where options are shown: the same in every process, if it is a function.

    Raises:
        ConfigError: it cannot be called.
    """
    if not callable(finder):
        raise ConfigError(
            f"sentences must be a function from a text to pairs of start and end, got {finder!r}"
        )
    return str(getattr(finder, "__qualname__", None) or repr(finder))


def sentences_of(text: str, finder: SentenceFinder, *, where: str) -> list[Range]:
    """What a finder makes of ``text``, checked, without whitespace at the edges; gaps become sentences.

    Raises:
        StageError: not pairs of whole numbers in order, inside the text and without overlap; ``where`` says
            what the text is called.
    """
    places = [0]
    for pair in finder(text):
        pairs = isinstance(pair, tuple | list) and len(pair) == 2
        if not pairs or not all(isinstance(place, int | np.integer) for place in pair):
            raise StageError(
                "chunker", f"sentences must return pairs of start and end, got {pair!r}", where=where
            )
        if not places[-1] <= pair[0] <= pair[1] <= len(text):
            raise StageError(
                "chunker",
                "sentences must return ranges in order and without overlap, in characters of the text: "
                f"expected {places[-1]} <= start <= end <= {len(text)}, got {pair!r}",
                where=where,
            )
        places += map(int, pair)
    trimmed = (trim(text, *pair) for pair in pairwise([*places, len(text)]))
    return [(start, end) for start, end in trimmed if start < end]


def _edges(text: str, start: int, end: int) -> Iterator[int]:
    """Where the sentences between ``start`` and ``end`` begin, and ``end``."""
    yield start
    lower = text[start:end].islower()  # then small letters say nothing
    for found in _END.finditer(text, start, end):
        if found["wide"] or _ends(text, start, found, end, lower=lower):
            start = found.end()
            yield start
    yield end


def _ends(text: str, start: int, found: re.Match[str], end: int, *, lower: bool) -> bool:
    """Whether a stop ends the sentence that begins at ``start``; ``end`` is as far as it could reach."""
    behind = text[found.end() : min(found.end() + _AROUND, end)].lstrip().lstrip(_OPENERS + " ")
    if (behind[:1].islower() and not lower) or behind[:1] in tuple(",;:.!?\u2026"):
        return False
    if found["stops"] != "." or found["closed"]:
        return True
    before = text[max(start, found.start() - _AROUND) : found.start()].lstrip()
    word = re.split(r"[\s/\u2013\u2014-]", before)[-1].lstrip(_OPENERS)
    counts = word == before and _COUNTING.fullmatch(word)
    return not counts and not _is_short(word, behind)


def _is_short(word: str, behind: str) -> bool:
    """Whether the stop between two words belongs to the first, an abbreviation."""
    if _BEFORE_NAMES.fullmatch(word):
        return True
    if _BEFORE_NUMBERS.fullmatch(word):
        return behind[:1].isdigit()
    return bool(_ANYWHERE.fullmatch(word) and behind and not _BEGINNING.match(behind))


def _stretches(text: str) -> Iterator[Range]:
    """What lies between the line ends that end a sentence whatever stands before them."""
    at = 0
    paragraph: list[str] = []
    for line in [*text.splitlines(keepends=True), ""]:
        blank = not line.strip()
        if not blank:
            paragraph.append(line)
        if blank or line[-1] in "\f\u2029":
            for length in _lengths(paragraph):
                yield at, at + length
                at += length
            paragraph = []
        if blank:
            at += len(line)


def _lengths(lines: list[str]) -> Iterator[int]:
    """How long the stretches are into which the lines of a paragraph fall."""
    longest = max((len(line.strip()) for line in lines), default=0)
    length = 0
    for line, following in pairwise([*lines, ""]):
        length += len(line)
        if not following or _ends_on_purpose(line, following, longest):
            yield length
            length = 0


def _ends_on_purpose(line: str, following: str, longest: int) -> bool:
    if _UNDERLINE.fullmatch(following):
        return False
    if _UNDERLINE.fullmatch(line) or _ALONE.match(line) or _ALONE.match(following) or _ITEM.match(following):
        return True
    if longest > _WIDEST:
        return True
    words = following.lstrip()
    first = _FIRST_WORD.match(words)
    needed = len(line.strip()) + 1 + len(first[0] if first else "")
    # Three quarters: lines set in a proportional font, as PDFs give them, are of uneven length.
    short = 4 * needed <= 3 * longest
    return short and not words.lstrip(_OPENERS)[:1].islower() and not line.rstrip().endswith(",")
