"""How a fault knows the evidence that it hits: by its text, wherever it stands.

Embedders and rerankers see texts alone, a repaired pipeline sees chunks that no one has made before, and
copies of evidence are as good as the original. So what is marked is text. Evidence so short that it recurs by
chance is known by what stands around it as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from ragdiag.records import Document, Query, Span, WholeDocument
from ragdiag.spans import Range

__all__ = ["Marks", "Unit"]

Unit = tuple[str, int]
"""A unit of evidence: its query's id, and its position in the query, from 0."""

_PROBE = 40  # characters: longer texts seldom stand in two places by chance
_SHORTEST = 14  # of evidence that may be cut in two, the halves must be known, too
_COPY = 20  # shorter texts are not looked for elsewhere, as in a diagnosis


class _Mark(NamedTuple):
    """A text that is looked for, and where in it the evidence stands."""

    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Marks:
    """The evidence that a fault hits.

    Attributes:
        units: whose evidence it is.
        passages: its spans, each with as much around it as it takes to know it again; the same span with
            other surroundings may come more than once.
        probes: pieces of them, whose presence in a text shows that it holds some of the evidence.
    """

    units: frozenset[Unit]
    passages: tuple[_Mark, ...] = field(repr=False)
    probes: tuple[str, ...] = field(repr=False)

    @classmethod
    def of(cls, units: Iterable[Unit], queries: Iterable[Query], sources: Mapping[str, Document]) -> Marks:
        """The marks of some units of the queries."""
        wanted = frozenset(units)
        passages: dict[_Mark, None] = {}
        probes: dict[str, None] = {}
        for query in queries:
            for number, unit in enumerate(query.evidence):
                if (query.id, number) not in wanted:
                    continue
                for part in (part for alternative in unit.alternatives for part in alternative):
                    text = sources[part.doc_id].text
                    found = list(_marks(text, *_range_of(part, text)))
                    passages |= dict.fromkeys(found)
                    probes |= dict.fromkeys(probe for mark in found for probe in _probes(mark))
        return cls(wanted, tuple(passages), tuple(probes))

    def touch(self, text: str) -> bool:
        """Whether a text holds any of the evidence: a piece as long as a probe, or, of a short text, all."""
        plain = _plain(text)
        known = self._known
        if plain not in known:
            known[plain] = any(probe in plain for probe in self.probes) or self._lies_in_evidence(plain)
        return known[plain]

    def _lies_in_evidence(self, plain: str) -> bool:
        return _COPY <= len(plain) < 2 * _PROBE and any(plain in evidence for evidence in self._evidence)

    def ranges(self, text: str) -> list[Range]:
        """Where whole passages of the evidence stand in a text, in order."""
        found: set[Range] = set()
        for mark in self.passages:
            at = text.find(mark.text)
            while at >= 0:
                found.add((at + mark.start, at + mark.end))
                at = text.find(mark.text, at + 1)
        return sorted(found)

    @cached_property
    def _known(self) -> dict[str, bool]:
        return {}

    @cached_property
    def _evidence(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(_plain(mark.text[mark.start : mark.end]) for mark in self.passages))


def _range_of(part: Span | WholeDocument, text: str) -> Range:
    return (part.start, part.end) if isinstance(part, Span) else (0, len(text))


def _marks(text: str, start: int, end: int) -> Iterator[_Mark]:
    """By what the evidence is known: itself, or, where it is short, it with what stands before or behind."""
    if end - start >= _COPY:
        yield _Mark(text[start:end], 0, end - start)
        return
    spare = _PROBE - (end - start)
    for at in (start - spare, start - spare // 2, start):
        first = max(0, min(at, len(text) - _PROBE))
        yield _Mark(text[first : first + _PROBE], start - first, end - first)


def _probes(mark: _Mark) -> list[str]:
    """Pieces of which each half of the text holds one, except for mere blanks and rules; of short text, all.

    A third of the text long, and half as far apart, as long as that is enough to be known by.
    """
    size = len(mark.text)
    length = min(size, max(_SHORTEST, min(_PROBE, size // 3))) if size > _PROBE else size
    last = size - length
    pieces = [_plain(mark.text[at : at + length]) for at in (*range(0, last, max(1, length // 2)), last)]
    return [piece for piece in pieces if sum(map(str.isalnum, piece)) >= length // 2] or [_plain(mark.text)]


def _plain(text: str) -> str:
    return " ".join(text.split())
