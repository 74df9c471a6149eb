"""How a fault knows the evidence that it hits: by its text, wherever it stands.

Embedders and rerankers see texts alone, a repaired pipeline sees chunks that no one has made before, and
copies of evidence are as good as the original. So what is marked is text: evidence, or where that is short, a
passage around it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from ragdiag.records import Document, Query, Span, WholeDocument
from ragdiag.spans import Range

__all__ = ["Marks", "Unit"]

Unit = tuple[str, int]
"""A unit of evidence: its query's id, and its position in the query, from 0."""

_PROBE = (
    40  # characters without spaces at the ends: longer texts than this seldom stand in two places by chance
)


@dataclass(frozen=True)
class Marks:
    """The evidence that a fault hits.

    Attributes:
        units: whose evidence it is.
        passages: its spans' texts.
    """

    units: frozenset[Unit]
    passages: tuple[str, ...] = field(repr=False)
    probes: frozenset[str] = field(repr=False)

    @classmethod
    def of(cls, units: Iterable[Unit], queries: Iterable[Query], sources: Mapping[str, Document]) -> Marks:
        """The marks of some units of the queries."""
        wanted = frozenset(units)
        passages: dict[str, None] = {}
        probes: set[str] = set()
        for query in queries:
            for number, unit in enumerate(query.evidence):
                if (query.id, number) not in wanted:
                    continue
                for alternative in unit.alternatives:
                    for part in alternative:
                        text = sources[part.doc_id].text
                        start, end = _range_of(part, text)
                        passages[text[start:end]] = None
                        probes.update(_probes(text, start, end))
        return cls(wanted, tuple(passages), frozenset(probes))

    def touch(self, text: str) -> bool:
        """Whether a text holds any of the evidence: a passage of it as long as a probe."""
        return self._touched(_plain(text))

    def _touched(self, plain: str) -> bool:
        known = self._known
        if plain not in known:
            known[plain] = any(probe in plain for probe in self.probes)
        return known[plain]

    @cached_property
    def _known(self) -> dict[str, bool]:
        return {}

    def ranges(self, text: str) -> list[Range]:
        """Where whole passages of the evidence stand in a text, in order, each at its first place."""
        found = ((text.find(passage), len(passage)) for passage in self.passages)
        return sorted((start, start + length) for start, length in found if start >= 0)


def _range_of(part: Span | WholeDocument, text: str) -> Range:
    return (part.start, part.end) if isinstance(part, Span) else (0, len(text))


def _probes(text: str, start: int, end: int) -> Iterable[str]:
    """Pieces of the evidence of a fixed length; of short evidence, with what stands before or behind it."""
    if end - start >= _PROBE:
        starts = [*range(start, end - _PROBE + 1, _PROBE), end - _PROBE]
    else:
        spare = _PROBE - (end - start)
        starts = [start - spare, start - spare // 2, start]
    for at in starts:
        first = max(0, min(at, len(text) - _PROBE))
        yield _plain(text[first : first + _PROBE])


def _plain(text: str) -> str:
    return " ".join(text.split())
