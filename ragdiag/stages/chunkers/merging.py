"""From pieces to chunks: as many neighbouring pieces in a chunk as fit, with an overlap carried over.

Counts of tokens do not add up: two pieces together may count less, or more, than both alone. So a chunk is
planned with an estimate (what each piece added to the one before it) and then counted itself. Plans are
counted many at once; those before the first that does not fit are kept, and that one is shortened by counts.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from ragdiag.errors import ConfigError, StageError
from ragdiag.spans import Range
from ragdiag.stages.chunkers.lengths import Counted, Lengths
from ragdiag.stages.chunkers.splitting import split
from ragdiag.stages.tokens import count

__all__ = ["Fitting", "check_limits"]


def check_limits(size: int, overlap: int) -> None:
    """Refuses a size below 1 and an overlap that is negative or not smaller than the size.

    Raises:
        ConfigError: with the option and its value.
    """
    for name, value, least in (("size", size, 1), ("overlap", overlap, 0)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ConfigError(f"{name} must be a whole number >= {least}, got {value!r}")
    if overlap >= size:
        raise ConfigError(f"overlap must be smaller than size={size}, got overlap={overlap}")


@dataclass(frozen=True)
class Fitting:
    """How the blocks of one text become chunks that fit.

    Args:
        lengths: counts ranges of the text.
        size: what the prefix and the text of a chunk may count together.
        overlap: what the text that a chunk shares with the one before it may count.
        separators: where a block that does not fit is cut, the first choice first.
        where: what the text is called in an error.
    """

    lengths: Lengths
    size: int
    overlap: int
    separators: Sequence[re.Pattern[str]]
    where: str

    def chunks(self, blocks: Sequence[Range], *, prefix: str = "") -> list[Range]:
        """The ranges of the chunks over ``blocks`` (in order, without whitespace at their edges).

        A block that fits is never cut. Each chunk has at least one piece that the one before has not, and
        starts after the start of the one before. With a ``prefix``, which is put before the text of each
        chunk when it is embedded, both together fit.

        Raises:
            ConfigError: a single code point counts more than the size.
            StageError: the counter did not return one whole number a text, or not the same one every time.
        """
        text, measure = self.lengths.text, self.lengths
        overhead, empty = count(self.lengths.by, [prefix, ""], stage="chunker")

        def measure_prefixed(ranges: Sequence[Range]) -> list[int]:
            return measure(ranges, [prefix] * len(ranges))

        blocks_counted = list(zip(blocks, measure_prefixed(blocks), strict=True))
        cut = split(
            text,
            [block for block in blocks_counted if block[1] > self.size],
            limit=self.size - self.overlap,  # smaller pieces, so that an overlap fits beside each
            size=self.size,
            overhead=overhead,
            measure=measure_prefixed,
            separators=self.separators,
            where=self.where,
        )
        parts = sorted([*(block for block in blocks_counted if block[1] <= self.size), *cut])
        ranges = [part for part, _ in parts]
        # A chunk ends where a part ends, but the overlap of the next may start at any smaller piece.
        pieces = [(part, number - (overhead - empty)) for part, number in parts]
        if self.overlap:
            pieces = split(
                text,
                list(zip(ranges, measure(ranges), strict=True)) if prefix else parts,
                limit=self.overlap,
                size=self.size,
                overhead=empty,
                measure=measure,
                separators=self.separators,
                where=self.where,
            )
        return _Merge(self, ranges, pieces, measure_prefixed, overhead - empty).chunks()


@dataclass(frozen=True, slots=True)
class _Plan:
    """A chunk to be: the pieces ``start <= i < stop``, of which those before ``fresh`` are the overlap.

    The fresh pieces are those of the parts ``first <= j <= last``.
    """

    start: int
    fresh: int
    stop: int
    first: int
    last: int


class _Merge:
    """The merge of the pieces of one text: plans by estimate, counts in batches, repairs by counts."""

    def __init__(
        self,
        fitting: Fitting,
        parts: Sequence[Range],
        pieces: Sequence[Counted],
        measure: Callable[[Sequence[Range]], list[int]],
        overhead: int,
    ) -> None:
        self.fitting = fitting
        self.measure = measure  # counts ranges with the prefix
        self.pieces = [piece for piece, _ in pieces]
        self.overhead = overhead  # what the prefix adds to a count
        starts = [start for start, _ in self.pieces]
        self.stops = [bisect_left(starts, end) for _, end in parts]  # the first piece behind each part
        self.alone = [number for _, number in pieces]  # without the prefix; behind one, about so many
        # What all pieces up to each add to the first one.
        self.so_far = list(accumulate(fitting.lengths.added(pieces), initial=0))
        self.so_far_at_stops = [self.so_far[stop - 1] for stop in self.stops]

    def chunks(self) -> list[Range]:
        chunks: list[_Plan] = []
        batch = 32  # grows while plans fit and starts anew when one does not: few calls, little counted twice
        while not chunks or chunks[-1].last + 1 < len(self.stops):
            plans = self.drafts(chunks[-1] if chunks else None, batch)
            fits = self.fits(plans)
            if all(fits):
                chunks += plans
                batch *= 2
            else:
                misfit = fits.index(False)
                chunks += [*plans[:misfit], self.shorten(plans[misfit])]
                batch = 1
        return [self.range_of(plan.start, plan.stop) for plan in chunks]

    def drafts(self, before: _Plan | None, most: int) -> list[_Plan]:
        """The next plans after ``before``, each as full as the estimate allows."""
        plans: list[_Plan] = []
        while len(plans) < most and (before is None or before.last + 1 < len(self.stops)):
            before = self.draft(before)
            plans.append(before)
        return plans

    def draft(self, before: _Plan | None) -> _Plan:
        first, fresh, floor = (before.last + 1, before.stop, before.start + 1) if before else (0, 0, 0)
        size, overlap = self.fitting.size - self.overhead, self.fitting.overlap
        start = fresh
        while start > floor and self.estimate(start - 1, fresh) <= overlap:
            start -= 1
        while start < fresh and self.estimate(start, self.stops[first]) > size:
            start += 1
        room = size - self.alone[start] + self.so_far[start]
        last = max(first, bisect_right(self.so_far_at_stops, room) - 1)
        return _Plan(start, fresh, self.stops[last], first, last)

    def estimate(self, start: int, stop: int) -> int:
        return self.alone[start] + self.so_far[stop - 1] - self.so_far[start]

    def range_of(self, start: int, stop: int) -> Range:
        return self.pieces[start][0], self.pieces[stop - 1][1]

    def fits(self, plans: Sequence[_Plan]) -> list[bool]:
        """Whether each plan keeps both limits, by counting them all at once."""
        numbers = self.measure([self.range_of(plan.start, plan.stop) for plan in plans])
        carried = [i for i, plan in enumerate(plans) if plan.start < plan.fresh]
        shared = self.fitting.lengths([self.range_of(plans[i].start, plans[i].fresh) for i in carried])
        excess = {i for i, number in zip(carried, shared, strict=True) if number > self.fitting.overlap}
        return [number <= self.fitting.size and i not in excess for i, number in enumerate(numbers)]

    def shorten(self, plan: _Plan) -> _Plan:
        """The plan with less overlap, then with fewer parts, until it fits: its first part alone does."""
        one = replace(plan, stop=self.stops[plan.first], last=plan.first)
        one = self.first_fit([replace(one, start=plan.start + n) for n in _steps(plan.fresh - plan.start)])
        lasts = [plan.last - n for n in _steps(plan.last - plan.first)]
        return self.first_fit([replace(one, stop=self.stops[last], last=last) for last in lasts])

    def first_fit(self, plans: Sequence[_Plan]) -> _Plan:
        fits = self.fits(plans)
        if True not in fits:
            raise StageError(
                "chunker",
                f"{self.fitting.lengths.by!r}.count_tokens gave two different counts for the same text",
                where=self.fitting.where,
            )
        return plans[fits.index(True)]


def _steps(most: int) -> list[int]:
    """0, 1, 2, 4, 8 ... below ``most``, then ``most``."""
    return sorted({0, most, *(2**i for i in range(most.bit_length()) if 2**i < most)})
