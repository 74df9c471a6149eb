"""What each stage made ideal is, for the evidence of one lost unit.

    chunker    a span that no single chunk covers gets a chunk: the span with the chunks that touch it, in
               place of those that lie wholly inside
    embedder   chunks that carry the evidence get the query's own vector
    retriever  the chunks that carry it come first among the exact candidates
    reranker   they come first among the candidates
    packer     they are kept, and what else fits beside them

Everything here is worked out from the evidence; `reruns` puts it through the real stages. Chunks are
numbered: those of the run by their position, the ideal chunker's from there on.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain, count

import numpy as np
from numpy.typing import NDArray

from ragdiag.diagnosis.capacity import Goal, best_set
from ragdiag.diagnosis.evidence import EvidenceMap, Mask, QueryEvidence, disjoint
from ragdiag.diagnosis.verdicts import Verdict
from ragdiag.records import Chunk, Document, Evidence, Query, Span, WholeDocument
from ragdiag.spans import Range
from ragdiag.stages.protocols import Similarity, Vectors

__all__ = ["LostUnit", "ideal_chunks", "ideal_vector", "under_new_id", "window_around"]

_OUTSCORES = 1.01


@dataclass(frozen=True, eq=False)
class LostUnit:
    """A lost unit with the chunks that hold its evidence, and how chunks are put in its best order.

    Attributes:
        query: whose unit it is.
        unit: its row in the ledger.
        number: its position in the query.
        observed: what the ledger says of it.
        evidence: of the query; ``delivered`` holds the atoms of the ideal chunker's chunks.
        chunks: those of the run.
        added: the ideal chunker's; none where each span of an alternative lies in one chunk.
        kept: for each unit of the query 1 where the run delivered it, else 0, shape (units,).
        min_coverage: the coverage from which a unit counts as delivered.
        top_k: how many chunks reach the packer.
        budget: how many tokens they may take there, or None.
        tokens: what a chunk takes of the budget, by its number.
    """

    query: Query
    unit: int
    number: int
    observed: Verdict
    evidence: QueryEvidence
    chunks: Sequence[Chunk] = field(repr=False)
    added: tuple[Chunk, ...]
    kept: NDArray[np.float64]
    min_coverage: float
    top_k: int
    budget: int | None
    tokens: Callable[[int], int] = field(repr=False)

    @property
    def label(self) -> str:
        """The stage of its last drop."""
        return self.observed.observed

    def chunk(self, number: int) -> Chunk:
        """A chunk by its number."""
        return self.chunks[number] if number < len(self.chunks) else self.added[number - len(self.chunks)]

    @property
    def added_numbers(self) -> tuple[int, ...]:
        """The numbers of the ideal chunker's chunks."""
        return tuple(range(len(self.chunks), len(self.chunks) + len(self.added)))

    @cached_property
    def masks(self) -> Mapping[int, Mask]:
        """The atoms of every chunk that holds evidence of the query."""
        added = zip(self.added_numbers, self.evidence.delivered, strict=True)
        return {**self.evidence.carriers, **{number: mask for number, mask in added if mask}}

    @cached_property
    def carried(self) -> Mapping[int, float]:
        """The coverage of this unit by each chunk that holds any of it."""
        covered = {n: float(self.evidence.coverage(mask)[self.number]) for n, mask in self.masks.items()}
        return {n: coverage for n, coverage in covered.items() if coverage > 0}

    @cached_property
    def replaced(self) -> frozenset[int]:
        """The run's chunks that lie wholly inside an ideal one, which takes their place."""
        return frozenset(
            number
            for number in self.evidence.carriers
            if any(_lies_within(self.chunks[number], chunk) for chunk in self.added)
        )

    def carriers(self, *, chunker: bool) -> list[int]:
        """The chunks that hold any of this unit, in order: those of the run, or with an ideal chunker."""
        if not chunker:
            return [n for n in self.carried if n < len(self.chunks)]
        return [n for n in self.carried if n not in self.replaced]

    def best_of(self, pool: Sequence[int]) -> tuple[int, ...]:
        """The chunks of ``pool`` that deliver the unit within k and the budget, in the pool's order.

        Ties keep the query's other units that were delivered, then the chunks that come first.
        """
        goal = Goal("hard", self.min_coverage, self.top_k, self.budget, only=self.number)
        candidates = {number: self.masks[number] for number in pool if number in self.masks}
        chosen = set(best_set(self.evidence, candidates, goal, keep=self.kept, tokens=self.tokens).positions)
        return tuple(number for number in pool if number in chosen)

    @property
    def fits(self) -> bool:
        """Whether k chunks of the run could carry the unit within the budget, were it the only one."""
        best = self.best_of(self.carriers(chunker=False))
        atoms = self.evidence.mask_of(best)
        return bool(self.evidence.coverage(atoms)[self.number] >= self.min_coverage)

    def in_best_order(self, pool: Sequence[int]) -> list[int]:
        """``pool`` with its best chunks first, then by what they hold of the unit, then as they come."""
        best = set(self.best_of(pool))
        return sorted(pool, key=lambda number: (number not in best, -self.carried.get(number, 0.0)))

    def best_context(self, top: Sequence[int]) -> list[int]:
        """What a perfect packer makes of ``top``: its best chunks and what else fits, in order."""
        if self.budget is None:
            return list(top)
        best = self.best_of(top)
        room = self.budget - sum(map(self.tokens, best))
        context = set(best)
        for number in top:
            if number not in context and self.tokens(number) <= room:
                context.add(number)
                room -= self.tokens(number)
        return [number for number in top if number in context]

    def to_embed_ideally(self, candidates: int, *, chunker: bool) -> list[int]:
        """The chunks that an ideal embedder lets outscore all others, at most half of the candidates.

        With the unit's own come those that keep the query's other delivered units, so that these are not
        pushed out. Of several chunks that deliver the same spans (children of one parent) one is enough, and
        all of them together would fill the context.
        """
        pool = self.carriers(chunker=chunker)
        if not pool:
            return []
        gone = self.replaced if chunker else frozenset(self.added_numbers)
        keep = [n for n, mask in self.masks.items() if (self.evidence.coverage(mask) * self.kept).any()]
        best = set(self.best_of([*dict.fromkeys([*pool, *(n for n in keep if n not in gone)])]))
        ordered = sorted({*pool, *best}, key=lambda n: (n not in best, -self.carried.get(n, 0.0), n))
        first: dict[tuple[Span, ...], int] = {}
        for number in ordered:
            first.setdefault(self.chunk(number).spans, number)
        return list(first.values())[: max(candidates // 2, len(best))]


def ideal_vector(query: Vectors, similarity: Similarity, *, longest: float) -> Vectors:
    """The vector of a chunk that no other can outscore, shape (d,): the query's own.

    Under a dot product it is scaled, since a longer vector (``longest`` is the length of the longest) could
    score more.
    """
    if similarity != "dot":
        return query
    length = float(np.linalg.norm(query))
    scale = max(1.0, _OUTSCORES * longest / length) if length else 1.0
    return (query * np.float32(scale)).astype(np.float32)


def ideal_chunks(
    evidence_map: EvidenceMap,
    documents: Mapping[str, Document],
    query: Query,
    evidence: QueryEvidence,
    number: int,
    *,
    min_coverage: float,
    longest: int,
    taken: Container[str],
) -> list[Chunk]:
    """A chunk for each span of a unit that no single chunk covers to ``min_coverage``.

    It is the span with the chunks that touch it (the span alone where none or one does), trimmed around the
    span to ``longest`` characters, those of the longest chunk, or to those of the span. It carries the
    metadata of the chunk that holds most of the span, and an index text like that one's: with the same words
    before the text, or, where that is found by a part of its text (a child), a part around the span. None are
    needed where every span of some alternative lies in one chunk. Ids that are ``taken`` are not
    given again.
    """
    places = dict.fromkeys(_in_pieces(evidence_map, query.evidence[number], evidence, number, min_coverage))
    found = (_chunk_around(evidence_map, documents, place, longest) for place in places)
    made: dict[str, Chunk] = {}
    for chunk in found:
        if chunk is not None:
            numbered = (f"{chunk.id}~ideal{number}" for number in count(2))
            new = under_new_id(chunk, chain([f"{chunk.id}~ideal"], numbered), taken, made)
            made[new.id] = new
    return list(made.values())


def _in_pieces(
    evidence_map: EvidenceMap, unit: Evidence, evidence: QueryEvidence, number: int, min_coverage: float
) -> list[Span | WholeDocument]:
    """The spans of a unit that lie in no single chunk; none where those of some alternative all do."""
    masks = evidence.carriers.values()
    places: list[Span | WholeDocument] = []
    for alternative, atoms in zip(unit.alternatives, evidence.units[number], strict=True):
        in_pieces = [
            (part, copies)
            for part, copies in zip(disjoint(alternative), atoms.parts, strict=True)
            if not any(
                evidence.weight(copy & mask) >= min_coverage * evidence.weight(copy)
                for copy in copies
                for mask in masks
            )
        ]
        if not in_pieces:
            return []
        for part, copies in in_pieces:
            # Of several copies the one of which most was ingested.
            ingested = [evidence.weight(copy & evidence.ingested) for copy in copies]
            copied = evidence_map.copies_of(part) if isinstance(part, Span) else (part,)
            places.append(copied[ingested.index(max(ingested))])
    return places


def _chunk_around(
    evidence_map: EvidenceMap,
    documents: Mapping[str, Document],
    place: Span | WholeDocument,
    longest: int,
) -> Chunk | None:
    """The chunk that an ideal chunker makes for ``place``; None where the documents hold nothing of it."""
    document = documents.get(place.doc_id)
    if document is None or not document.text.strip():
        return None
    if isinstance(place, WholeDocument):
        return Chunk.of(document, window_around(document.text, (0, 0), (0, len(document.text)), longest))
    span = evidence_map.document_range(place)
    if span is None:
        return None
    touching = {
        position: [s for s in evidence_map.chunks[position].spans if _overlap(s, document.id, span)]
        for position in evidence_map.touching(place)
    }
    touching = {position: spans for position, spans in touching.items() if spans}
    if not touching:
        return Chunk.of(document, span)
    reach = span
    found = {s for spans in touching.values() for s in spans}
    if len({evidence_map.chunks[position].spans for position in touching}) > 1:
        reach = (min(span[0], *(s.start for s in found)), max(span[1], *(s.end for s in found)))
    most = max(touching, key=lambda p: sum(_overlap(s, document.id, span) for s in touching[p]))
    model = evidence_map.chunks[most]
    start, end = window_around(document.text, span, reach, max(longest, span[1] - span[0]))
    made = Chunk.of(document, (start, end), metadata=model.metadata)
    if model.index_text.endswith(model.text):
        return replace(made, index_text=model.index_text.removesuffix(model.text) + made.text)
    part = window_around(document.text, span, (start, end), max(len(model.index_text), span[1] - span[0]))
    return replace(made, index_text=document.text[slice(*part)])


def _lies_within(chunk: Chunk, other: Chunk) -> bool:
    return all(
        any(s.doc_id == span.doc_id and s.start <= span.start and span.end <= s.end for s in other.spans)
        for span in chunk.spans
    )


def _overlap(span: Span, doc_id: str, other: Range) -> int:
    return max(0, min(span.end, other[1]) - max(span.start, other[0])) if span.doc_id == doc_id else 0


def window_around(text: str, inner: Range, outer: Range, length: int) -> Range:
    """At most ``length`` characters of ``outer`` around ``inner``, which they hold; whole words beside it."""
    room = max(0, length - (inner[1] - inner[0]))
    before, after = inner[0] - outer[0], outer[1] - inner[1]
    left = min(before, max(room // 2, room - after))
    right = min(after, room - left)
    start, end = inner[0] - left, inner[1] + right
    if start > outer[0]:
        start = next(_after_spaces(text, start, inner[0]), inner[0])
    if end < outer[1]:
        end = next(_before_spaces(text, inner[1], end), inner[1] if inner[1] > start else end)
    while start < min(inner[0], end) and text[start].isspace():
        start += 1
    while end > max(inner[1], start + 1) and text[end - 1].isspace():
        end -= 1
    return start, end


def _after_spaces(text: str, start: int, end: int) -> Iterator[int]:
    """Where words begin between ``start`` and ``end``, the first one first."""
    return (i for i in range(start, end) if text[i - 1].isspace() and not text[i].isspace())


def _before_spaces(text: str, start: int, end: int) -> Iterator[int]:
    """Where words end between ``start`` and ``end``, the last one first."""
    return (i for i in range(end, start, -1) if text[i].isspace() and not text[i - 1].isspace())


def under_new_id(chunk: Chunk, names: Iterable[str], *taken: Container[str]) -> Chunk:
    """The chunk under the first of ``names`` that is not taken."""
    return replace(chunk, id=next(name for name in names if not any(name in ids for ids in taken)))
