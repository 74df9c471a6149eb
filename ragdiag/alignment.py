"""Where the text of an ingested document stands in its source.

Parsers, normalizers and truncation change a text before it is chunked. Evidence is anchored in the source;
a chunk's spans are carried back to it through matching blocks. Source characters that no block matches were
lost by `ingest`.

Texts are compared as words, without regard to whitespace, case or Unicode form (NFKC), so that a normalizer
that keeps the words loses nothing. What is certain comes first: the common beginning and end; then 4-grams
of words that occur exactly once in both texts (the idea of Bram Cohen's "patience diff"), kept in the
longest increasing order and grown to both sides; then `difflib` in the small gaps that remain. Where a text
that was left out begins or ends as its surroundings do, it could have stood in several places: the one is
taken where it begins with a line or a sentence.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from ragdiag.spans import Range

__all__ = ["Alignment", "Block", "align"]

# A word with its combining marks; one character of a script written without spaces; one symbol.
_WORD = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|(?:[^\W_][\u0300-\u036f]*)+|\S")
_CLOSING = frozenset((".", "!", "?", ";", ":", "...", "。"))  # in their normal forms
_ANCHOR_WORDS = 4
# difflib is quadratic: a gap larger than this (words times words) holds nothing that the anchors recognized.
_LARGEST_GAP = 4_000_000
# How far a gap is moved in search of the beginning of a line or a sentence, in words.
_FARTHEST_SLIDE = 200
# A single word that is shorter than this matches by coincidence.
_TELLING_WORD = 4


@dataclass(frozen=True, slots=True, order=True)
class Block:
    """A range of the document and the range of the source that holds the same text."""

    document: Range
    source: Range

    @property
    def rigid(self) -> bool:
        """Whether offsets inside the block correspond one by one."""
        return self.document[1] - self.document[0] == self.source[1] - self.source[0]


@dataclass(frozen=True, slots=True)
class Alignment:
    """Matching blocks, in increasing order in both texts."""

    blocks: tuple[Block, ...]

    def to_source(self, start: int, end: int) -> list[Range]:
        """The ranges of the source that the document's code points ``start <= i < end`` come from."""
        found = []
        first = bisect_right(self.blocks, start, key=lambda block: block.document[1])
        for block in self.blocks[first:]:
            if block.document[0] >= end:
                break
            if block.rigid:
                shift = block.source[0] - block.document[0]
                low, high = max(start, block.document[0]), min(end, block.document[1])
                found.append((low + shift, high + shift))
            else:
                found.append(block.source)
        return found

    def to_document(self, start: int, end: int) -> list[Range]:
        """The ranges of the document that stand for the source's code points ``start <= i < end``."""
        return Alignment(tuple(Block(block.source, block.document) for block in self.blocks)).to_source(
            start, end
        )

    def source_ranges(self) -> list[Range]:
        """The ranges of the source that the document holds."""
        return [block.source for block in self.blocks]


@dataclass(frozen=True, slots=True)
class _Words:
    """A text as comparable words: their normal forms, and where each stands."""

    text: str
    forms: list[str]
    ranges: list[Range]

    @classmethod
    def of(cls, text: str) -> _Words:
        found = [(match.group(), match.span()) for match in _WORD.finditer(text)]
        forms = [
            w if w.isascii() and w.islower() else unicodedata.normalize("NFKC", w).casefold()
            for w, _ in found
        ]
        return cls(text, forms, [span for _, span in found])

    def opens(self, word: int) -> int:
        """How well a part of the text begins with this word: 2 with a line, 1 with a sentence, else 0."""
        start, end = self.ranges[word - 1][1], self.ranges[word][0]
        if "\n" in self.text[start:end]:
            return 2
        return int(self.forms[word - 1] in _CLOSING and self.forms[word] not in _CLOSING)


def align(document: str, source: str) -> Alignment:
    """Match an ingested text with its source.

    Example:
        >>> align("cut here", "We cut  here, and there").source_ranges()
        [(3, 6), (8, 12)]
    """
    if document == source:
        return Alignment((Block((0, len(source)), (0, len(source))),) if source else ())
    a, b = _Words.of(document), _Words.of(source)
    blocks: list[Block] = []
    for i, j, length in _slide_gaps(list(_matching_runs(a.forms, b.forms)), a, b):
        for k in range(length):
            block = Block(a.ranges[i + k], b.ranges[j + k])
            joined = _join(blocks[-1], block, document, source) if blocks else None
            if joined:
                blocks[-1] = joined
            else:
                blocks.append(block)
    return Alignment(tuple(blocks))


def _join(left: Block, right: Block, document: str, source: str) -> Block | None:
    """Both blocks and what lies between as one, where offsets correspond one by one throughout."""
    between = document[left.document[1] : right.document[0]]
    if left.rigid and right.rigid and between == source[left.source[1] : right.source[0]]:
        return Block((left.document[0], right.document[1]), (left.source[0], right.source[1]))
    return None


_Run = tuple[int, int, int]
"""A run of equal words: its start in the document, its start in the source, its length."""


def _matching_runs(a: Sequence[str], b: Sequence[str]) -> Iterator[_Run]:
    head = _common_prefix(a, b, 0, 0, min(len(a), len(b)))
    tail = _common_suffix(a, b, len(a), len(b), min(len(a), len(b)) - head)
    i, j = head, head
    yield 0, 0, head
    end = (len(a) - tail, len(b) - tail)
    for run in _anchors(a, b, head, end):
        yield from _gap(a, b, (i, run[0]), (j, run[1]))
        yield run
        i, j = run[0] + run[2], run[1] + run[2]
    yield from _gap(a, b, (i, end[0]), (j, end[1]))
    yield end[0], end[1], tail


def _slide_gaps(runs: Sequence[_Run], a: _Words, b: _Words) -> list[_Run]:
    """The same runs, with every gap on one side only moved to where it begins with a line or a sentence.

    Between "One. Three." and "One. Two. Three." the gap is "Two." as well as ". Two".
    """
    slid: list[_Run] = []
    for next_i, next_j, next_length in runs:
        if not next_length:
            continue
        shift = 0
        if slid:
            i, j, length = slid[-1]
            if i + length == next_i and j + length < next_j:
                shift = _best_shift(a, b, (next_i, next_j, next_length), (j + length, next_j), length)
            elif j + length == next_j and i + length < next_i:
                shift = _best_shift(b, a, (next_j, next_i, next_length), (i + length, next_i), length)
            slid[-1] = (i, j, length + shift)
        slid.append((next_i + shift, next_j + shift, next_length - shift))
    return slid


def _best_shift(whole: _Words, other: _Words, run: _Run, gap: Range, before: int) -> int:
    """By how many words a gap of ``other`` moves, so that ``whole`` is parted at the best place.

    Args:
        whole: the text without a gap; ``run`` begins in it where the run before ends.
        other: the text with the gap.
        run: what follows the gap: its start in ``whole``, its start in ``other``, its length.
        gap: from where to where ``other`` has words of its own.
        before: the length of the run before the gap.
    """
    at = run[0]
    right = _common_prefix(whole.forms, other.forms, at, gap[0], min(run[2] - 1, _FARTHEST_SLIDE))
    left = _common_suffix(whole.forms, other.forms, at, gap[1], min(before - 1, _FARTHEST_SLIDE))
    return max(range(-left, right + 1), key=lambda shift: (whole.opens(at + shift), -abs(shift)))


def _common_prefix(a: Sequence[str], b: Sequence[str], i: int, j: int, limit: int) -> int:
    length = 0
    while length < limit and a[i + length] == b[j + length]:
        length += 1
    return length


def _common_suffix(a: Sequence[str], b: Sequence[str], i: int, j: int, limit: int) -> int:
    length = 0
    while length < limit and a[i - length - 1] == b[j - length - 1]:
        length += 1
    return length


def _anchors(a: Sequence[str], b: Sequence[str], start: int, end: Range) -> Iterator[_Run]:
    """Disjoint runs grown around 4-grams that occur once in both texts, in increasing order."""
    in_a, in_b = _unique_grams(a, start, end[0]), _unique_grams(b, start, end[1])
    pairs = sorted((at, in_b[gram]) for gram, at in in_a.items() if gram in in_b)
    i, j = start, start
    for at_a, at_b in _longest_increasing(pairs):
        if at_a < i or at_b < j:
            continue  # the run before has already grown over this one
        back = _common_suffix(a, b, at_a, at_b, min(at_a - i, at_b - j))
        ahead = _common_prefix(a, b, at_a, at_b, min(end[0] - at_a, end[1] - at_b))
        yield at_a - back, at_b - back, back + ahead
        i, j = at_a + ahead, at_b + ahead


def _unique_grams(words: Sequence[str], start: int, end: int) -> dict[tuple[str, ...], int]:
    grams = [tuple(words[i : i + _ANCHOR_WORDS]) for i in range(start, end - _ANCHOR_WORDS + 1)]
    counts = Counter(grams)
    return {gram: start + i for i, gram in enumerate(grams) if counts[gram] == 1}


def _longest_increasing(pairs: Sequence[Range]) -> list[Range]:
    """The longest subsequence of pairs (sorted by the first) whose second member increases."""
    tails: list[int] = []  # the second member that ends the best subsequence of each length
    ends: list[int] = []  # and which pair that is
    previous: list[int] = []
    for i, (_, second) in enumerate(pairs):
        length = bisect_left(tails, second)
        previous.append(ends[length - 1] if length else -1)
        tails[length : length + 1] = [second]
        ends[length : length + 1] = [i]
    chain: list[Range] = []
    at = ends[-1] if ends else -1
    while at >= 0:
        chain.append(pairs[at])
        at = previous[at]
    return chain[::-1]


def _gap(a: Sequence[str], b: Sequence[str], in_a: Range, in_b: Range) -> Iterator[_Run]:
    words_a, words_b = a[slice(*in_a)], b[slice(*in_b)]
    if not words_a or not words_b or len(words_a) * len(words_b) > _LARGEST_GAP:
        return
    for run in SequenceMatcher(None, words_a, words_b, autojunk=False).get_matching_blocks():
        if run.size > 1 or (run.size == 1 and len(words_a[run.a]) >= _TELLING_WORD):
            yield in_a[0] + run.a, in_b[0] + run.b, run.size
