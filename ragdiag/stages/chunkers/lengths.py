"""What ranges of one text count: the text is encoded once, and a range is a difference of two sums.

Counts of tokens do not add up: ``count(a + b)`` may be less or more than ``count(a) + count(b)``. But the
published byte pair encodings first divide a text by a regular expression, and merge bytes within these
divisions alone. Where such a division is *sure to end*, whatever stands around, counts add up exactly:

    count(text[start:end]) = count(text[start:first]) + tokens from first to last + count(text[last:end])

with ``first`` and ``last`` the first and the last sure place inside the range. What is left to encode
anew is a word or two at each edge; a range without a sure place inside is encoded whole.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ragdiag.spans import Range
from ragdiag.stages.embedders.texts import encodable
from ragdiag.stages.tokens import Tiktoken, TokenCounter, count

if TYPE_CHECKING:
    import tiktoken

__all__ = ["Counted", "CountedText", "EncodedText", "Lengths", "lengths_of"]

Counted: TypeAlias = tuple[Range, int]
"""A range of the text, and what it counts."""

_BLOCK = 2**18
"""How many code points are encoded at once: bounds the memory beside what is kept of a text."""

_DIVIDING_AT_WORDS = {
    "gpt2",
    "r50k_base",
    "p50k_base",
    "p50k_edit",
    "cl100k_base",
    "o200k_base",
    "o200k_harmony",
}
"""The encodings whose patterns end a division after each run of letters or digits before anything else.

All of them match letters only together with letters and marks, with one character before them and with an
English contraction after them; digits only together with digits; and none looks behind. So a division ends
between a letter or a digit and any punctuation (but the apostrophe), symbol, space or control character.
"""


class Lengths(Protocol):
    """Counts ranges of one text, as its counter would count their texts one by one."""

    @property
    def text(self) -> str:
        """The text."""
        ...

    @property
    def by(self) -> TokenCounter:
        """What counts it."""
        ...

    def __call__(self, ranges: Sequence[Range], prefixes: Sequence[str] | None = None) -> list[int]:
        """What ``prefix + text[start:end]`` counts, for each of ``ranges``; no prefix where none is given."""
        ...

    def added(self, pieces: Sequence[Counted]) -> list[int]:
        """About what each of ``pieces`` (in order) adds to the one before it, for all but the first."""
        ...


def lengths_of(text: str, by: TokenCounter) -> CountedText | EncodedText:
    """The quickest way to count ranges of ``text`` exactly."""
    if isinstance(by, Tiktoken) and by.loaded.name in _DIVIDING_AT_WORDS:
        return EncodedText(text, by)
    return CountedText(text, by)


@dataclass(frozen=True)
class CountedText:
    """Counts each range by itself: what any counter can do."""

    text: str
    by: TokenCounter

    def __call__(self, ranges: Sequence[Range], prefixes: Sequence[str] | None = None) -> list[int]:
        """What ``prefix + text[start:end]`` counts, for each of ``ranges``.

        Raises:
            StageError: the counter did not return one whole number a text.
        """
        texts = [self.text[start:end] for start, end in ranges]
        if prefixes is not None:
            texts = [prefix + text for prefix, text in zip(prefixes, texts, strict=True)]
        return count(self.by, texts, stage="chunker")

    def added(self, pieces: Sequence[Counted]) -> list[int]:
        """What each pair of neighbors counts more than its first; never below zero."""
        pairs = self([(left[0], right[1]) for (left, _), (right, _) in pairwise(pieces)])
        return [max(0, pair - alone) for pair, (_, alone) in zip(pairs, pieces, strict=False)]


class EncodedText:
    """Counts ranges of a text that was encoded once by a published encoding of tiktoken.

    Attributes:
        text: the text.
        by: the encoding.
        ends: where tokens end, in code points, ascending, shape (m,); a token that ends inside a character
            is not among them. 0 is the first.
        tokens: how many tokens end up to each of ``ends``, shape (m,).
    """

    def __init__(self, text: str, by: Tiktoken) -> None:
        self.text, self.by = text, by
        [self._clean] = encodable([text])
        self._encode = by.loaded.encode_ordinary
        start = np.zeros(1, dtype=np.int32)
        ends, tokens, sure, sums = [start], [start], [start], [start]
        for block in _blocks(self._clean, by.loaded):
            ends.append(block.ends)
            tokens.append(block.tokens)
            sure.append(block.ends[block.sure])
            sums.append(block.tokens[block.sure])
        self.ends, self.tokens = _joined(ends), _joined(tokens)
        self._sure, self._sums = _joined(sure), _joined(sums)
        self._known: dict[str, int] = {}  # words and stops at the edges of ranges come again and again

    def __call__(self, ranges: Sequence[Range], prefixes: Sequence[str] | None = None) -> list[int]:
        """What ``prefix + text[start:end]`` counts, for each of ``ranges``."""
        if not ranges:
            return []
        prefixes = [""] * len(ranges) if prefixes is None else encodable(prefixes)
        starts, stops = np.array(ranges, dtype=np.int32).T
        first = np.searchsorted(self._sure, starts)
        # Behind a prefix the start itself is not sure: what stands before it is not what the text has there.
        first += [bool(prefix) for prefix in prefixes] & (self._sure[first] == starts)
        last = np.searchsorted(self._sure, stops, side="right") - 1
        within = first <= last
        first[~within] = last[~within] = 0
        heads = np.where(within, self._sure[first], stops).tolist()
        tails = np.where(within, self._sure[last], stops).tolist()
        between = (self._sums[last] - self._sums[first]).tolist()
        text, known = self._clean, self._count
        return [
            (known(prefix + text[start:head]) if start < head or prefix else 0)
            + number
            + (known(text[tail:stop]) if tail < stop else 0)
            for prefix, (start, stop), head, number, tail in zip(
                prefixes, ranges, heads, between, tails, strict=True
            )
        ]

    def added(self, pieces: Sequence[Counted]) -> list[int]:
        """How many tokens of the text end inside each piece or in the gap before it."""
        ends = np.array([end for (_, end), _ in pieces], dtype=np.int32)
        at = np.searchsorted(self.ends, ends, side="right") - 1
        return np.diff(self.tokens[at]).tolist()  # type: ignore[no-any-return]

    def _count(self, text: str) -> int:
        number = self._known.get(text)
        if number is None:
            number = len(self._encode(text))
            if len(text) <= _REMEMBERED:
                self._known[text] = number
        return number


_REMEMBERED = 32


def _joined(parts: list[NDArray[np.int32]]) -> NDArray[np.int32]:
    """The parts one after the other; the list is emptied, so that nothing is held twice for long."""
    whole = np.concatenate(parts)
    parts.clear()
    return whole


@dataclass(frozen=True, slots=True)
class _Block:
    """Where the tokens of a part of a text end, how many do up to there, and which of the ends are sure."""

    ends: NDArray[np.int32]
    tokens: NDArray[np.int32]
    sure: NDArray[np.bool_]


def _blocks(text: str, encoding: tiktoken.Encoding) -> Iterator[_Block]:
    """The text encoded part by part, each ending at a sure place."""
    widths = _token_widths(encoding)
    start, before = 0, 0
    while start < len(text):
        part, sure = _part(text, start)
        tokens = widths[encoding.encode_to_numpy(part, disallowed_special=())].cumsum()
        ends = _characters(part, tokens)
        whole = np.flatnonzero(ends >= 0)
        ends = ends[whole]
        yield _Block((ends + start).astype(np.int32), (whole + before + 1).astype(np.int32), sure[ends - 1])
        start, before = start + len(part), before + len(tokens)


def _part(text: str, start: int) -> tuple[str, NDArray[np.bool_]]:
    """The text from ``start`` to a sure place a block further, and whether each character ends at one."""
    length = _BLOCK
    while True:
        part = text[start : start + length + 1]
        kinds = _kinds()[np.frombuffer(part.encode("utf-32-le"), dtype="<u4").clip(max=0xFFFF)]
        sure = (kinds[:-1] == _WORD) & (kinds[1:] == _BETWEEN)
        if start + length >= len(text):
            return part, np.append(sure, True)
        places = np.flatnonzero(sure)
        if len(places):
            return part[: places[-1] + 1], sure[: places[-1] + 1]
        length *= 2


def _characters(text: str, offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """The number of characters before each offset into the text's UTF-8; -1 inside a character."""
    if text.isascii():
        return offsets
    data = np.frombuffer(text.encode(), dtype=np.uint8)
    starts = (data & 0xC0) != 0x80  # all but the bytes that continue a character
    number = np.append(starts.cumsum() - 1, len(text))
    inside = np.append(~starts, False)
    return np.where(inside[offsets], -1, number[offsets])


@functools.cache
def _token_widths(encoding: tiktoken.Encoding) -> NDArray[np.int64]:
    """How many bytes each token stands for; 0 for numbers that are no tokens."""
    widths = np.zeros(encoding.n_vocab, dtype=np.int64)
    for token in range(encoding.n_vocab):
        try:
            widths[token] = len(encoding.decode_single_token_bytes(token))
        except KeyError:  # encodings have gaps
            continue
    return widths


_WORD, _BETWEEN = 1, 2


@functools.cache
def _kinds() -> NDArray[np.uint8]:
    """For each code point of the basic plane: is it of a word, between words, or (0) neither for sure?

    By Unicode 3.2, so that encodings of every later version agree; what came after it is never sure.
    """
    category = unicodedata.ucd_3_2_0.category
    of_word, between = {"L", "N"}, {"P", "S", "Z"}
    kinds = np.zeros(0x10000, dtype=np.uint8)
    for code in range(0xFFFF):  # the last one stands for all beyond, and is itself no character
        name = category(chr(code))
        if name[0] in of_word:
            kinds[code] = _WORD
        elif (name[0] in between or name == "Cc") and code != ord("'"):
            kinds[code] = _BETWEEN
    return kinds
