"""Cuts text into windows of tokens, whatever stands in them: what other ways to cut are compared with."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass

from ragdiag.records import Chunk, Document
from ragdiag.spans import Range
from ragdiag.stages.chunkers.graphemes import next_grapheme, starts_grapheme
from ragdiag.stages.chunkers.lengths import EncodedText, lengths_of
from ragdiag.stages.chunkers.merging import Fitting, check_limits
from ragdiag.stages.chunkers.splitting import split, trim
from ragdiag.stages.tokens import TokenCounter, counter

__all__ = ["TokenChunker"]

_WORDS = (re.compile(r"[\s\u200b]+"),)
_VISIBLE = re.compile(r"\S")


@dataclass(frozen=True, slots=True, repr=False)
class TokenChunker:
    """Windows of ``size`` tokens, each beginning ``overlap`` tokens before the end of the one before.

    A window ends between two tokens of the text, but never inside a grapheme, so sometimes inside a word and
    often inside a sentence. Each is counted as the text that it is: a word that a cut divides may count more
    than its share of the window did, so a window may hold a token less than was planned. The tokens of a text
    are known for the published encodings of tiktoken; with any other unit windows end after words, as many as
    fit, and inside a word only where it alone does not fit.

    Every character that is not whitespace is in a chunk; whitespace at the edges of a chunk is in none.

    Args:
        size: the most that a chunk may count, in ``unit``.
        overlap: the most that a chunk may share with the one before it, in ``unit``, less than ``size``.
        unit: ``"characters"``, the name of a tiktoken encoding, or an object with ``count_tokens(texts)``,
            such as the pipeline's embedder; special tokens that it counts are part of the size.

    Raises:
        ConfigError: an option that cannot work; or, when chunking, a single character that counts more than
            ``size``.
        ResourceError: when chunking, the encoding that ``unit`` names could not be loaded.

    Example:
        >>> chunker = TokenChunker(12, overlap=6, unit="characters")
        >>> text = "Goods may be returned."
        >>> [chunk.text for chunk in chunker.chunk(Document("returns", text))]
        ['Goods may be', 'be returned.']
    """

    size: int = 256
    _: KW_ONLY
    overlap: int = 0
    unit: str | TokenCounter = "cl100k_base"

    def __post_init__(self) -> None:
        check_limits(self.size, self.overlap)
        counter(self.unit)

    def __repr__(self) -> str:
        return f"TokenChunker({self.size}, overlap={self.overlap}, unit={self.unit!r})"

    def chunk(self, document: Document) -> list[Chunk]:
        """The chunks of one document, in the order of the text; none where it is empty or whitespace."""
        start, end = trim(document.text, 0, len(document.text))
        if start == end:
            return []
        lengths, where = lengths_of(document.text, counter(self.unit)), f"document {document.id!r}"
        if isinstance(lengths, EncodedText):
            ranges = list(_Windows(lengths, self.size, self.overlap, where).ranges(start, end))
        else:
            fitting = Fitting(lengths, size=self.size, overlap=self.overlap, separators=_WORDS, where=where)
            ranges = fitting.chunks([(start, end)])
        return [Chunk.of(document, range_) for range_ in ranges]


@dataclass(frozen=True)
class _Windows:
    """The windows over one encoded text, one after the other."""

    lengths: EncodedText
    size: int
    overlap: int
    where: str

    def ranges(self, start: int, end: int) -> Iterator[Range]:
        """The windows over ``start <= i < end``, which has no whitespace at its edges."""
        window = self._window(start)
        while True:
            if window is None:  # not even one token fits, or a grapheme is of many
                *parts, window = self._parts(start, end)
                yield from parts
            yield window
            start, stop = window
            if stop == end:
                return
            shared = self._shared(start, stop) if self.overlap else None
            window = None if shared is None else self._window(shared)
            if window is None or window[1] <= stop:
                start = _next_visible(self.lengths.text, stop)
                window = self._window(start)

    def _window(self, start: int) -> Range | None:
        """The longest window from ``start`` on that ends between tokens, or None where none fits."""
        cuts, tokens = self.lengths.ends, self.lengths.tokens
        before = bisect_right(cuts, start) - 1
        at = bisect_right(tokens, tokens[before] + self.size) - 1
        fitting: Range | None = None
        while at > before:
            window = self._whole(start, int(cuts[at]), since=start)
            [number] = self.lengths([window]) if window else [self.size + 1]
            if window and number <= self.size:
                if fitting or number == self.size or at + 1 == len(cuts):
                    return window
                fitting, at = window, at + 1  # the edges count less than they did in the text
            elif fitting:
                return fitting
            else:
                at -= max(number - self.size, 1)
        return fitting

    def _shared(self, start: int, stop: int) -> int | None:
        """Where the overlap of ``(start, stop)`` with the next window begins; None where none fits."""
        cuts, tokens = self.lengths.ends, self.lengths.tokens
        last = bisect_right(cuts, stop) - 1
        at = bisect_left(tokens, tokens[last] - self.overlap)
        while at < last:
            shared = self._whole(int(cuts[at]), stop, since=start) if cuts[at] > start else None
            [number] = self.lengths([shared]) if shared else [self.overlap + 1]
            if shared and number <= self.overlap:
                return shared[0]
            at += max(number - self.overlap, 1)
        return None

    def _whole(self, start: int, end: int, *, since: int) -> Range | None:
        """The range without whitespace at its edges; None if nothing is left, or a grapheme is divided."""
        text = self.lengths.text
        if any(
            not (place in (since, len(text)) or starts_grapheme(text, place, since=since))
            for place in (start, end)
        ):
            return None
        start, end = trim(text, start, end)
        return (start, end) if start < end else None

    def _parts(self, start: int, end: int) -> list[Range]:
        """The next token or grapheme, whichever is longer, in parts that fit."""
        text, cuts = self.lengths.text, self.lengths.ends
        stop = int(cuts[bisect_right(cuts, start)])
        if stop < end:
            stop = next_grapheme(text, stop, end, since=start)
        part = trim(text, start, min(stop, end))
        parts = split(
            text,
            list(zip([part], self.lengths([part]), strict=True)),
            limit=self.size,
            size=self.size,
            overhead=0,
            measure=self.lengths,
            separators=(),
            where=self.where,
        )
        return [part for part, _ in parts]


def _next_visible(text: str, start: int) -> int:
    """Where the first character stands, from ``start`` on, that is not whitespace; there is one."""
    found = _VISIBLE.search(text, start)
    return found.start() if found else start
