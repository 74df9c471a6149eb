"""Evidence in a form that can be counted: atoms, and which chunk carries which of them.

The evidence of one query is cut into *atoms*: stretches of a source that every chunk covers wholly or not at
all. A set of chunks is then a bit mask over the atoms, and coverage is a sum of integer weights
(non-whitespace characters), exact and fast however often it is asked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, reduce
from itertools import pairwise
from operator import or_
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ragdiag.alignment import Alignment, align
from ragdiag.diagnosis.copies import find_copies
from ragdiag.records import Chunk, Document, Query, Span, WholeDocument
from ragdiag.spans import Range, merge, nonspace_before

__all__ = ["AlternativeAtoms", "EvidenceMap", "QueryEvidence", "disjoint"]

Mask: TypeAlias = int
"""A set of atoms, as the bits of an integer."""

_Held: TypeAlias = dict[str, list[Range]]
"""The ranges of each source that a chunk, a context or the documents hold."""


@dataclass(frozen=True, slots=True)
class AlternativeAtoms:
    """One alternative of a unit: parts that are all needed, each with the masks of its copies.

    Attributes:
        parts: for each part the atoms of its copies; the best-covered copy counts.
        size: the weight of the whole alternative (non-whitespace characters; 1 for a whole document).
    """

    parts: tuple[tuple[Mask, ...], ...]
    size: int


@dataclass(frozen=True)
class QueryEvidence:
    """The evidence of one query against one set of chunks.

    Attributes:
        weights: of each atom, in non-whitespace characters.
        units: for each unit its alternatives.
        carriers: the chunks (by position) that hold any evidence, with their atoms.
        ingested: the atoms that the documents hold.
        delivered: the atoms of each chunk of the context, in its order.
        spans: the atoms that are characters (the others stand for whole documents).
        partial: those of them in documents that are not evidence as a whole.
    """

    weights: tuple[int, ...]
    units: tuple[tuple[AlternativeAtoms, ...], ...]
    carriers: Mapping[int, Mask]
    ingested: Mask
    delivered: tuple[Mask, ...]
    spans: Mask
    partial: Mask
    _weight_of: dict[Mask, int] = field(default_factory=dict, repr=False, compare=False)

    def weight(self, atoms: Mask) -> int:
        """The non-whitespace characters of a set of atoms."""
        known = self._weight_of.get(atoms)
        if known is None:
            known = sum(w for i, w in enumerate(self.weights) if atoms >> i & 1)
            self._weight_of[atoms] = known
        return known

    def coverage(self, atoms: Mask) -> NDArray[np.float64]:
        """The share of each unit that ``atoms`` cover, shape (units,): that of its best alternative."""
        return np.array([max(self.share(a, atoms) for a in unit) for unit in self.units])

    def share(self, alternative: AlternativeAtoms, atoms: Mask) -> float:
        """The share of one alternative that ``atoms`` cover; the best-covered copy of each part counts."""
        covered = sum(max(self.weight(copy & atoms) for copy in part) for part in alternative.parts)
        return covered / alternative.size

    def missing(self, atoms: Mask) -> Mask:
        """What ``atoms`` lack, where every unit takes the alternative of which least is missing."""
        lacking = 0
        for unit in self.units:
            lacking |= min((self._lacking(a, atoms) for a in unit), key=self.weight)
        return lacking

    def _lacking(self, alternative: AlternativeAtoms, atoms: Mask) -> Mask:
        lacking = 0
        for part in alternative.parts:
            lacking |= max(part, key=lambda copy: self.weight(copy & atoms)) & ~atoms
        return lacking

    @cached_property
    def context(self) -> Mask:
        """The atoms that the chunks of the context cover together."""
        return reduce(or_, self.delivered, 0)

    def mask_of(self, positions: Iterable[int]) -> Mask:
        """The atoms that a set of chunks covers together."""
        atoms = 0
        for position in positions:
            atoms |= self.carriers.get(position, 0)
        return atoms


class EvidenceMap:
    """Where the evidence of queries lies in the chunks of a pipeline.

    Args:
        documents: as ingested.
        sources: the originals in which evidence is anchored, by id.
        chunks: all chunks of the pipeline.
        queries: whose evidence will be asked for.
        copies: whether exact copies of evidence elsewhere become alternatives.
    """

    def __init__(
        self,
        documents: Sequence[Document],
        sources: Mapping[str, Document],
        chunks: Sequence[Chunk],
        queries: Sequence[Query],
        *,
        copies: bool = True,
    ) -> None:
        self._documents = {document.id: document for document in documents}
        self._sources = sources
        spans = (
            part
            for query in queries
            for unit in query.evidence
            for alternative in unit.alternatives
            for part in disjoint(alternative)
            if isinstance(part, Span)
        )
        self._copies = find_copies(spans, sources) if copies else {span: (span,) for span in spans}
        self._alignments: dict[str, Alignment] = {}
        self._counts: dict[str, NDArray[np.int64]] = {}  # by text: a document often equals its source
        self._characters: dict[tuple[Span, ...], int] = {}
        self._chunks_of: dict[str, list[int]] = defaultdict(list)
        for position, chunk in enumerate(chunks):
            for doc_id in dict.fromkeys(span.doc_id for span in chunk.spans):
                self._chunks_of[doc_id].append(position)
        self.chunks = chunks
        self._placed: dict[str, _PlacedChunks] = {}

    def source_ranges(self, spans: Iterable[Span]) -> dict[str, list[Range]]:
        """The ranges of sources that spans of documents stand for, by source, merged."""
        ranges: dict[str, list[Range]] = defaultdict(list)
        for span in spans:
            alignment = self._alignment(span.doc_id)
            if alignment is not None:
                ranges[span.doc_id] += alignment.to_source(span.start, span.end)
        return {doc_id: merge(found) for doc_id, found in ranges.items()}

    def document_range(self, span: Span) -> Range | None:
        """From where to where the document holds a span of its source; None where it holds nothing of it."""
        alignment = self._alignment(span.doc_id)
        found = alignment.to_document(span.start, span.end) if alignment else []
        return (found[0][0], found[-1][1]) if found else None

    def characters(self, chunks: Iterable[Chunk]) -> int:
        """The non-whitespace characters of documents in the union of ``chunks``."""
        spans = tuple(span for chunk in chunks for span in chunk.spans)
        if spans not in self._characters:  # the same few chunks come back for many queries
            ranges: dict[str, list[Range]] = defaultdict(list)
            for span in spans:
                ranges[span.doc_id].append((span.start, span.end))
            total = 0
            for doc_id, found in ranges.items():
                counts = self._nonspace(self._documents[doc_id])
                total += sum(int(counts[end] - counts[start]) for start, end in merge(found))
            self._characters[spans] = total
        return self._characters[spans]

    def _nonspace(self, document: Document) -> NDArray[np.int64]:
        if document.text not in self._counts:
            self._counts[document.text] = nonspace_before(document.text)
        return self._counts[document.text]

    def chunks_of(self, doc_id: str) -> Sequence[int]:
        """The chunks of a document, by position."""
        return self._chunks_of.get(doc_id, [])

    def copies_of(self, span: Span) -> tuple[Span, ...]:
        """The places where the text of an evidence span stands, itself first."""
        return self._copies[span]

    def of(self, query: Query, context: Sequence[Chunk] = ()) -> QueryEvidence:
        """The evidence of ``query``, against all chunks and against the chunks of its ``context``."""
        units = [
            [[self._places(part) for part in disjoint(alternative)] for alternative in unit.alternatives]
            for unit in query.evidence
        ]
        places = {p for unit in units for alternative in unit for part in alternative for p in part}
        spans = [place for place in places if isinstance(place, Span)]
        doc_ids = {place.doc_id for place in places}
        held: dict[int, _Held] = defaultdict(dict)
        for span in spans:
            for position, ranges in self.touching(span).items():
                held[position].setdefault(span.doc_id, []).extend(ranges)
        for doc_id in {place.doc_id for place in places if isinstance(place, WholeDocument)}:
            for position in self.chunks_of(doc_id):
                held[position].setdefault(doc_id, [])
        in_context = [self._held_by(chunk, doc_ids) for chunk in context]
        # A document without text holds nothing: no chunker could make a chunk of it.
        filled = [doc_id for doc_id in sorted(doc_ids) if (d := self._documents.get(doc_id)) and d.text]
        ingested = {doc_id: self._ingested(doc_id) for doc_id in filled}
        cuts: dict[str, list[Range]] = defaultdict(list)
        for part in (*held.values(), *in_context, ingested):
            for doc_id, ranges in part.items():
                cuts[doc_id] += ranges
        atoms = _Atoms(places, cuts, lambda doc_id: self._nonspace(self._sources[doc_id]))

        def mask(part: _Held) -> Mask:
            return sum(atoms.within(doc_id, ranges) | atoms.whole(doc_id) for doc_id, ranges in part.items())

        carriers = {position: mask(held[position]) for position in sorted(held)}
        return QueryEvidence(
            weights=tuple(atoms.weights),
            units=tuple(
                tuple(
                    AlternativeAtoms(
                        parts=tuple(tuple(atoms.of(place) for place in part) for part in alternative),
                        size=sum(atoms.weight(atoms.of(part[0])) for part in alternative),
                    )
                    for alternative in unit
                )
                for unit in units
            ),
            carriers={position: carried for position, carried in carriers.items() if carried},
            ingested=mask(ingested),
            delivered=tuple(map(mask, in_context)),
            spans=atoms.spans,
            partial=atoms.partial,
        )

    def _held_by(self, chunk: Chunk, doc_ids: Iterable[str]) -> _Held:
        ranges = self.source_ranges(chunk.spans)
        own = {span.doc_id for span in chunk.spans}
        return {doc_id: ranges.get(doc_id, []) for doc_id in doc_ids if doc_id in own}

    def _places(self, part: Span | WholeDocument) -> tuple[Span | WholeDocument, ...]:
        return self._copies[part] if isinstance(part, Span) else (part,)

    def _alignment(self, doc_id: str) -> Alignment | None:
        """How a document stands to its source; None where one of the two does not exist."""
        if doc_id not in self._sources or doc_id not in self._documents:
            return None
        if doc_id not in self._alignments:
            self._alignments[doc_id] = align(self._documents[doc_id].text, self._sources[doc_id].text)
        return self._alignments[doc_id]

    def _ingested(self, doc_id: str) -> list[Range]:
        alignment = self._alignment(doc_id)
        return alignment.source_ranges() if alignment else []

    def touching(self, span: Span) -> dict[int, list[Range]]:
        """The chunks that hold any of a span, with their ranges in its source."""
        if span.doc_id not in self._placed:
            self._placed[span.doc_id] = _PlacedChunks(
                (position, found)
                for position in self.chunks_of(span.doc_id)
                for found in self.source_ranges(self.chunks[position].spans).get(span.doc_id, ())
            )
        return self._placed[span.doc_id].touching(span.start, span.end)


class _PlacedChunks:
    """The ranges of one source that chunks hold, sorted for look-up."""

    def __init__(self, placed: Iterable[tuple[int, Range]]) -> None:
        ordered = sorted(placed, key=lambda item: (item[1], item[0]))
        self._positions = [position for position, _ in ordered]
        self._starts = np.array([start for _, (start, _) in ordered], dtype=np.int64)
        self._ends = np.array([end for _, (_, end) in ordered], dtype=np.int64)
        self._furthest_end = np.maximum.accumulate(self._ends) if ordered else self._ends

    def touching(self, start: int, end: int) -> dict[int, list[Range]]:
        first = int(np.searchsorted(self._furthest_end, start, side="right"))
        last = int(np.searchsorted(self._starts, end, side="left"))
        found: dict[int, list[Range]] = defaultdict(list)
        for i in range(first, last):
            if self._ends[i] > start:
                found[self._positions[i]].append((int(self._starts[i]), int(self._ends[i])))
        return found


class _Atoms:
    """The evidence of one query, cut wherever evidence or a chunk begins or ends."""

    def __init__(
        self,
        places: Iterable[Span | WholeDocument],
        cuts: Mapping[str, Iterable[Range]],
        nonspace: Callable[[str], NDArray[np.int64]],
    ) -> None:
        self.weights: list[int] = []
        self._ranges: dict[str, list[tuple[int, Range]]] = defaultdict(list)  # numbered, by document
        self._whole: dict[str, int] = {}
        spans: dict[str, list[Range]] = defaultdict(list)
        for place in sorted(places, key=_sort_key):
            if isinstance(place, WholeDocument):
                self._whole[place.doc_id] = self._add(1)
            else:
                spans[place.doc_id].append((place.start, place.end))
        for doc_id, ranges in spans.items():
            counts = nonspace(doc_id)
            bounds = {offset for r in (*ranges, *cuts.get(doc_id, ())) for offset in r}
            for whole_start, whole_end in merge(ranges):
                inside = sorted(offset for offset in bounds if whole_start <= offset <= whole_end)
                for start, end in pairwise(inside):
                    weight = int(counts[end] - counts[start])
                    if weight:
                        self._ranges[doc_id].append((self._add(weight), (start, end)))

    def weight(self, atoms: Mask) -> int:
        return sum(w for number, w in enumerate(self.weights) if atoms >> number & 1)

    def _add(self, weight: int) -> int:
        self.weights.append(weight)
        return len(self.weights) - 1

    def of(self, place: Span | WholeDocument) -> Mask:
        if isinstance(place, WholeDocument):
            return 1 << self._whole[place.doc_id]
        return self.within(place.doc_id, [(place.start, place.end)])

    def within(self, doc_id: str, ranges: Sequence[Range]) -> Mask:
        """The atoms of a source that lie wholly in one of ``ranges``."""
        return sum(
            1 << number
            for number, (start, end) in self._ranges.get(doc_id, ())
            if any(low <= start and end <= high for low, high in ranges)
        )

    @property
    def spans(self) -> Mask:
        """The atoms that are characters."""
        return sum(1 << number for ranges in self._ranges.values() for number, _ in ranges)

    @property
    def partial(self) -> Mask:
        """The atoms that are characters of documents that are not evidence as a whole."""
        return sum(
            1 << number
            for doc_id, ranges in self._ranges.items()
            if doc_id not in self._whole
            for number, _ in ranges
        )

    def whole(self, doc_id: str) -> Mask:
        """The atom that stands for a whole document, where one is evidence."""
        return 1 << self._whole[doc_id] if doc_id in self._whole else 0


def _sort_key(place: Span | WholeDocument) -> tuple[str, int, int]:
    return (place.doc_id, place.start, place.end) if isinstance(place, Span) else (place.doc_id, -1, -1)


def disjoint(alternative: Sequence[Span | WholeDocument]) -> list[Span | WholeDocument]:
    """The parts of an alternative with overlapping spans joined, so that no character counts twice."""
    whole = [part for part in alternative if isinstance(part, WholeDocument)]
    ranges: dict[str, list[Range]] = defaultdict(list)
    for part in alternative:
        if isinstance(part, Span):
            ranges[part.doc_id].append((part.start, part.end))
    joined = [
        Span(doc_id, start, end)
        for doc_id, found in ranges.items()
        for start, end in merge(found, touching=False)
    ]
    return [*dict.fromkeys(whole), *joined]
