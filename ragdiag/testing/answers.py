"""What every plug promises that answers each of many texts with a row of numbers: a vector, or one score."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ragdiag.spans import quote
from ragdiag.testing.promises import Problem, attempt, failures, promised, required

__all__ = [
    "Answers",
    "Ask",
    "Rows",
    "raises_nothing",
    "same_again",
    "same_alone",
    "same_for_same_text",
    "same_in_any_order",
    "texts_unchanged",
]

Rows: TypeAlias = NDArray[np.floating]
"""One row a text, shape (texts, d)."""
Ask: TypeAlias = Callable[[Sequence[str]], Rows]
"""Asks a plug about texts, and checks the answer as a pipeline does."""


@dataclass(frozen=True)
class Answers:
    """Ways to ask a plug, and what came for each text: asked alone, and together with the others.

    Attributes:
        asks: the ways, by a name for messages.
        texts: what it is asked about.
        tolerance: how far two rows for one text may be apart, as a share of their length, or, where that is
            shorter, of
        floor: this length.
    """

    asks: Mapping[str, Ask]
    texts: tuple[str, ...]
    tolerance: float
    floor: float = 0.0

    @cached_property
    def alone(self) -> Mapping[str, list[Rows | Exception]]:
        """What comes for each text by itself, by way."""
        return {way: [attempt(partial(ask, [text])) for text in self.texts] for way, ask in self.asks.items()}

    @cached_property
    def read(self) -> list[str]:
        """The texts that get an answer in every way; what else is promised is looked at with these."""
        return [
            text
            for text, outcomes in zip(self.texts, zip(*self.alone.values(), strict=True), strict=True)
            if not any(isinstance(outcome, Exception) for outcome in outcomes)
        ]

    @cached_property
    def given(self) -> Mapping[str, list[str]]:
        """The list of texts that is handed over in one call, by way: its own, should the plug change it."""
        return {way: list(self.read) for way in self.asks}

    @cached_property
    def together(self) -> Mapping[str, Rows | Exception]:
        """What comes for all of `read` in one call, by way."""
        return {way: attempt(partial(ask, self.given[way])) for way, ask in self.asks.items()}

    @property
    def answered(self) -> Iterator[tuple[str, Ask, Rows]]:
        """Each way that answers all of `read` in one call, with its answer."""
        for way, outcome in self.together.items():
            if self.read and not isinstance(outcome, Exception):
                yield way, self.asks[way], outcome

    @property
    def outcomes(self) -> Iterator[tuple[str, object]]:
        """All that came, with what was asked."""
        for way in self.asks:
            for text, outcome in zip(self.texts, self.alone[way], strict=True):
                yield f"{way}, text {quote(text, limit=40)}", outcome
            yield f"{way}, {len(self.read)} texts", self.together[way]

    def apart(self, expected: Rows, got: Rows) -> list[float]:
        """How far the rows of each text are apart."""
        a, b = expected.astype(np.float64), got.astype(np.float64)
        length = np.maximum(np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1))
        length = np.maximum(length, self.floor)
        distances: list[float] = (np.linalg.norm(a - b, axis=1) / np.where(length > 0, length, 1)).tolist()
        return distances

    def differing(self, way: str, expected: Rows, got: Rows, how: str) -> Iterator[Problem]:
        """The texts of `read` whose rows are not the same."""
        for row, distance in enumerate(self.apart(expected, got)):
            if distance > self.tolerance:
                yield Problem(
                    f"{way}, text {quote(self.read[row], limit=40)}",
                    f"expected {_shown(expected[row])} {how}, got {_shown(got[row])} "
                    f"({distance:.2g} apart, tolerance {self.tolerance:g})",
                )


def _shown(row: Rows) -> str:
    return ", ".join(f"{number:.6g}" for number in row[:3]) + ", …" * (len(row) > 3)


@required
def raises_nothing(case: Answers) -> Iterable[Problem]:
    """Every text gets an answer: nothing is raised, whatever the text."""
    return failures(case.outcomes, refused=False)


@promised
def same_again(case: Answers) -> Iterator[Problem]:
    """The same texts get the same answers in a second call."""
    for way, ask, rows in case.answered:
        yield from case.differing(way, rows, ask(list(case.read)), "again")


@promised
def same_in_any_order(case: Answers) -> Iterator[Problem]:
    """Answers follow their texts, unsorted: in another order each text keeps its own."""
    for way, ask, rows in case.answered:
        backwards = ask(case.read[::-1])[::-1]
        yield from case.differing(way, rows, backwards, "with the texts in reverse order")


@promised
def same_alone(case: Answers) -> Iterator[Problem]:
    """A text gets the same answer alone as among other texts."""
    for way, _, rows in case.answered:
        of_text = dict(zip(case.texts, case.alone[way], strict=True))
        alone = np.concatenate([np.asarray(of_text[text]) for text in case.read])
        yield from case.differing(way, alone, rows, "among other texts as alone")


@promised
def same_for_same_text(case: Answers) -> Iterator[Problem]:
    """A text that comes twice in a call gets the same answer twice."""
    firsts = [case.read.index(text) for text in case.read]
    for way, _, rows in case.answered:
        yield from case.differing(way, rows[firsts], rows, "as for the same text before")


@promised
def texts_unchanged(case: Answers) -> Iterator[Problem]:
    """The list of texts stays as it was."""
    for way, _, _ in case.answered:
        texts = case.given[way]
        if texts != case.read:
            first = next(i for i, text in enumerate([*case.read, ""]) if texts[i : i + 1] != [text])
            yield Problem(
                f"{way}, {len(case.read)} texts",
                f"expected the list as it was, got {quote(repr(texts[first : first + 1]))} at {first}",
            )
