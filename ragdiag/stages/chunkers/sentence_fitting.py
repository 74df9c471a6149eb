"""From sentences to chunks: whole ones, as many as fit; what does not fit is cut."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from ragdiag.spans import Range
from ragdiag.stages.chunkers.lengths import Lengths
from ragdiag.stages.chunkers.merging import Fitting
from ragdiag.stages.chunkers.splitting import SEPARATORS, trim

__all__ = ["SentenceFitting"]


class SentenceFitting:
    """How the sentences of one text become chunks that fit.

    Args:
        lengths: counts ranges of the text.
        size: what a chunk may count.
        overlap: what the whole sentences that two chunks share may count.
        where: what the text is called in an error.
    """

    def __init__(self, lengths: Lengths, *, size: int, overlap: int, where: str) -> None:
        self.lengths = lengths
        self._cutting = Fitting(lengths, size=size, overlap=overlap, separators=SEPARATORS, where=where)
        # Without separators nothing that fits is divided for the sake of an overlap.
        self._keeping = replace(self._cutting, separators=())

    def chunks(self, sentences: Sequence[Range]) -> list[Range]:
        """The ranges of the chunks over ``sentences`` (in order, with nothing but whitespace between them).

        Raises:
            ConfigError: a single code point counts more than the size.
            StageError: the counter did not return one whole number a text, or not the same one every time.
        """
        if not sentences:
            return []
        if not self._cutting.overlap:
            return self._cutting.chunks(sentences)
        numbers = self.lengths(sentences)
        long = {pair for pair, number in zip(sentences, numbers, strict=True) if number > self._cutting.size}
        return self._keeping.chunks(self._parts(sentences, long) if long else sentences)

    def _parts(self, sentences: Sequence[Range], long: set[Range]) -> list[Range]:
        """The sentences, the ``long`` ones in parts that fit.

        A long one falls apart where chunks that may be cut anywhere begin and end inside it: what two of them
        share is then a part of its own, and can be shared again.
        """
        places = sorted({place for pair in self._cutting.chunks(sentences) for place in pair})
        parts = []
        for start, end in sentences:
            inside = places[bisect_right(places, start) : bisect_left(places, end)]
            edges = [start, *(inside if (start, end) in long else ()), end]
            trimmed = (trim(self.lengths.text, *pair) for pair in pairwise(edges))
            parts += [part for part in trimmed if part[0] < part[1]]
        return parts
