"""What evidence, coverage, best sets and ceilings are, in Python sets of characters and by brute force.

Nothing here is shared with the code under test but the alignment of documents with sources, which has tests
of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

from ragdiag.alignment import Alignment, align
from ragdiag.records import Alternative, Chunk, Document, Evidence, Query, Span, WholeDocument

Character = tuple[str, int]
"""A non-whitespace character of a source (document, offset); offset -1 says that the document is there."""

Held = frozenset[Character]

TOLERANCE = 1e-12


@dataclass(frozen=True, eq=False)
class Oracle:
    """Where evidence lies, in sets of characters."""

    documents: Mapping[str, Document]
    sources: Mapping[str, Document]
    copies: bool = True

    @classmethod
    def of(
        cls, documents: Sequence[Document], sources: Sequence[Document] | None = None, *, copies: bool = True
    ) -> Oracle:
        originals = documents if sources is None else sources
        return cls({d.id: d for d in documents}, {s.id: s for s in originals}, copies)

    @cached_property
    def alignments(self) -> dict[str, Alignment]:
        return {
            id_: align(self.documents[id_].text, self.sources[id_].text)
            for id_ in self.documents
            if id_ in self.sources
        }

    def characters(self, doc_id: str, start: int, end: int) -> Held:
        text = self.sources[doc_id].text
        return frozenset((doc_id, i) for i in range(start, end) if not text[i].isspace())

    def held(self, spans: Iterable[Span]) -> Held:
        """What spans of documents hold of the sources."""
        found: set[Character] = set()
        for span in spans:
            found.add((span.doc_id, -1))
            if span.doc_id in self.alignments:
                for i in range(span.start, span.end):
                    for start, end in self.alignments[span.doc_id].to_source(i, i + 1):
                        found |= self.characters(span.doc_id, start, end)
        return frozenset(found)

    def holds(self, chunks: Iterable[Chunk]) -> Held:
        return self.held(span for chunk in chunks for span in chunk.spans)

    def ingested(self) -> Held:
        return self.held(Span(d.id, 0, len(d.text)) for d in self.documents.values() if d.text)

    @cached_property
    def _known_parts(self) -> dict[Alternative, list[list[Held]]]:
        return {}

    def parts(self, alternative: Alternative) -> list[list[Held]]:
        """The parts of an alternative that are all needed, each with its copies."""
        if alternative not in self._known_parts:
            self._known_parts[alternative] = self._parts(alternative)
        return self._known_parts[alternative]

    def _parts(self, alternative: Alternative) -> list[list[Held]]:
        if isinstance(alternative[0], WholeDocument):
            return [[frozenset({(doc_id, -1)})] for doc_id in {part.doc_id for part in alternative}]
        joined: list[Span] = []
        for span in sorted(part for part in alternative if isinstance(part, Span)):
            last = joined[-1] if joined else None
            if last is not None and last.doc_id == span.doc_id and span.start < last.end:
                joined[-1] = Span(last.doc_id, last.start, max(last.end, span.end))
            else:
                joined.append(span)
        return [[self.characters(p.doc_id, p.start, p.end) for p in self.places(span)] for span in joined]

    def places(self, span: Span) -> list[Span]:
        """Where the text of a span stands: the span, then every exact copy of 20 characters or more."""
        text = self.sources[span.doc_id].text[span.start : span.end]
        found = [span]
        if self.copies and len(text) >= 20:
            for source in self.sources.values():
                for start in range(len(source.text) - len(text) + 1):
                    place = Span(source.id, start, start + len(text))
                    if source.text[start : start + len(text)] == text and place != span:
                        found.append(place)
        return found

    def share(self, alternative: Alternative, held: Held) -> float:
        parts = self.parts(alternative)
        covered = sum(max(len(copy & held) for copy in part) for part in parts)
        return covered / sum(len(part[0]) for part in parts)

    def coverage(self, unit: Evidence, held: Held) -> float:
        return max(self.share(alternative, held) for alternative in unit.alternatives)

    def values(self, query: Query, held: Held, *, hard: bool, min_coverage: float) -> list[float]:
        """What a set of characters is worth for each unit."""
        coverages = [self.coverage(unit, held) for unit in query.evidence]
        return [float(c >= min_coverage) for c in coverages] if hard else coverages

    def best(
        self,
        query: Query,
        candidates: Sequence[Chunk],
        *,
        k: int,
        budget: int | None,
        tokens: Mapping[str, int],
        hard: bool,
        min_coverage: float,
        keep: Sequence[float] = (),
    ) -> tuple[float, float]:
        """The best sum of unit values over all choices of chunks, and the most of ``keep`` among those."""
        held = {chunk.id: self.holds([chunk]) for chunk in candidates}
        options = []
        for size in range(min(k, len(candidates)) + 1):
            for chosen in combinations(candidates, size):
                if budget is not None and sum(tokens[chunk.id] for chunk in chosen) > budget:
                    continue
                union: Held = frozenset().union(*(held[chunk.id] for chunk in chosen))
                values = self.values(query, union, hard=hard, min_coverage=min_coverage)
                kept = sum(min(v, most) for v, most in zip(values, keep or values, strict=True))
                options.append((sum(values), kept))
        value = max(value for value, _ in options)
        return value, max(kept for v, kept in options if v >= value - TOLERANCE)
