"""Faults of cutting documents into chunks."""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, groupby, pairwise

from ragdiag.errors import ConfigError
from ragdiag.experiments.faults.fault import Aim, Case, Fault
from ragdiag.experiments.faults.marks import Marks
from ragdiag.records import Chunk, Document, Span
from ragdiag.stages.protocols import Chunker

__all__ = ["FAULTS"]


def _piece(document: Document, whole: Chunk, start: int, end: int) -> Chunk | None:
    """What of a chunk lies between two places of its document; None where nothing does.

    What the chunk has before its text when it is indexed, such as a heading, the piece has as well.
    """
    spans = [
        Span(document.id, max(span.start, start), min(span.end, end))
        for span in whole.spans
        if max(span.start, start) < min(span.end, end)
    ]
    text = "\n".join(document.text[span.start : span.end] for span in spans)
    if not text.strip():
        return None
    return Chunk(f"{whole.id}:{start}-{end}", tuple(spans), text, _prefix(whole) + text, whole.metadata)


def _prefix(chunk: Chunk) -> str:
    return chunk.index_text.removesuffix(chunk.text) if chunk.index_text.endswith(chunk.text) else ""


def _cut(document: Document, chunk: Chunk, places: Iterable[int]) -> list[Chunk]:
    """A chunk cut at places of its document; itself where none lies inside."""
    first, last = min(s.start for s in chunk.spans), max(s.end for s in chunk.spans)
    inside = sorted({place for place in places if first < place < last})
    if not inside:
        return [chunk]
    bounds = [first, *inside, last]
    pieces = (_piece(document, chunk, *pair) for pair in pairwise(bounds))
    return [piece for piece in pieces if piece is not None]


@dataclass(frozen=True)
class _FixedSplit:
    """As many characters a chunk, wherever that cuts."""

    size: int

    def chunk(self, document: Document) -> list[Chunk]:
        length = len(document.text)
        ranges = ((start, min(start + self.size, length)) for start in range(0, length, self.size))
        return [Chunk.of(document, r) for r in ranges if document.text[slice(*r)].strip()]


def _fixed_split(case: Case, aim: Aim) -> Case:
    return case.using(chunker=_FixedSplit(max(1, round(aim.severity))))


@dataclass(frozen=True)
class _SplitEvidence:
    """Chunks with marked evidence are cut at its middle."""

    inner: Chunker
    marks: Marks = field(repr=False)

    def chunk(self, document: Document) -> list[Chunk]:
        evidence = self.marks.ranges(document.text)
        chunks: list[Chunk] = []
        for chunk in self.inner.chunk(document):
            held = [r for r in evidence if any(s.start <= r[0] and r[1] <= s.end for s in chunk.spans)]
            chunks += _cut(document, chunk, (_middle(document.text, *r) for r in held))
        return chunks


def _middle(text: str, start: int, end: int) -> int:
    """The space that is nearest to the middle of a range, or the middle where there is none."""
    middle = (start + end) // 2
    spaces = [match.start() for match in re.finditer(r"\s", text[start:end])]
    return min((start + space for space in spaces), key=lambda at: abs(at - middle), default=middle)


def _split_evidence(case: Case, aim: Aim) -> Case:
    return case.using(chunker=_SplitEvidence(case.pipeline.chunker, aim.marks))


@dataclass(frozen=True)
class _LastChunkDropped:
    """The last chunks of each document are forgotten, but never the first one."""

    inner: Chunker
    forgotten: int

    def chunk(self, document: Document) -> Sequence[Chunk]:
        chunks = self.inner.chunk(document)
        return chunks[: max(1, len(chunks) - self.forgotten)]


def _last_chunk_dropped(case: Case, aim: Aim) -> Case:
    return case.using(chunker=_LastChunkDropped(case.pipeline.chunker, round(aim.severity)))


@dataclass(frozen=True)
class _MinimumLength:
    """Chunks that are shorter are taken for headings or rests, and dropped."""

    inner: Chunker
    least: int

    def chunk(self, document: Document) -> list[Chunk]:
        return [chunk for chunk in self.inner.chunk(document) if len(chunk.text) >= self.least]


def _minimum_length(case: Case, aim: Aim) -> Case:
    return case.using(chunker=_MinimumLength(case.pipeline.chunker, round(aim.severity)))


@dataclass(frozen=True)
class _TinyChunks:
    """Each chunk is cut on, at spaces, into pieces that are too small to say anything."""

    inner: Chunker
    most: int

    def chunk(self, document: Document) -> list[Chunk]:
        return [
            piece
            for chunk in self.inner.chunk(document)
            for piece in _cut(document, chunk, _ends(document.text, chunk.spans, self.most))
        ]


def _ends(text: str, spans: Iterable[Span], size: int) -> Iterable[int]:
    """The ends of pieces: the last space within ``size`` characters, or, of a longer word, its end."""
    for span in spans:
        spaces = [match.start() for match in re.finditer(r"\s", text[span.start : span.end])]
        at = 0
        while at + size < len(span):
            fitting = bisect(spaces, at + size) - 1
            if fitting < 0 or spaces[fitting] <= at:
                fitting += 1
            if fitting >= len(spaces):
                break
            at = spaces[fitting]
            yield span.start + at


def _tiny_chunks(case: Case, aim: Aim) -> Case:
    return case.using(chunker=_TinyChunks(case.pipeline.chunker, max(1, round(aim.severity))))


@dataclass(frozen=True)
class _OversizeChunks:
    """Neighboring chunks are joined, with all that stands between them."""

    inner: Chunker
    joined: int

    def chunk(self, document: Document) -> list[Chunk]:
        chunks = self.inner.chunk(document)
        numbered = groupby(enumerate(chunks), key=lambda pair: pair[0] // self.joined)
        return [_join(document, [chunk for _, chunk in group]) for _, group in numbered]


def _join(document: Document, chunks: Sequence[Chunk]) -> Chunk:
    spans = list(chain.from_iterable(chunk.spans for chunk in chunks))
    start, end = min(span.start for span in spans), max(span.end for span in spans)
    text, first = document.text[start:end], chunks[0]
    return Chunk(first.id, (Span(document.id, start, end),), text, _prefix(first) + text, first.metadata)


def _oversize_chunks(case: Case, aim: Aim) -> Case:
    return case.using(chunker=_OversizeChunks(case.pipeline.chunker, max(1, round(aim.severity))))


@dataclass(frozen=True)
class _HeadingStripped:
    """Chunks are indexed by what they deliver, without the heading or context that belongs to it."""

    inner: Chunker

    def chunk(self, document: Document) -> list[Chunk]:
        return [replace(chunk, index_text=chunk.text) for chunk in self.inner.chunk(document)]


def _heading_stripped(case: Case, aim: Aim) -> Case:
    chunker = aim.healthy.pipeline.chunker
    chunks = chain.from_iterable(map(chunker.chunk, aim.healthy.documents))
    if all(chunk.index_text == chunk.text for chunk in chunks):
        raise ConfigError(
            f"heading_stripped needs chunks that are indexed with more than their text: {chunker!r}"
        )
    return case.using(chunker=_HeadingStripped(case.pipeline.chunker))


FAULTS = (
    Fault(
        "fixed_split",
        stage="chunker",
        cause="split",
        what="documents are cut after every so many characters, wherever that is",
        reach="whole",
        parameter="characters a chunk",
        severity=300,
        wrap=_fixed_split,
    ),
    Fault(
        "split_evidence",
        stage="chunker",
        cause="split",
        what="some chunks are cut in the middle of the evidence",
        wrap=_split_evidence,
    ),
    Fault(
        "last_chunk_dropped",
        stage="chunker",
        cause="dropped_text",
        what="the end of each document is forgotten",
        reach="whole",
        parameter="chunks forgotten",
        severity=1,
        wrap=_last_chunk_dropped,
    ),
    Fault(
        "minimum_length",
        stage="chunker",
        cause="dropped_text",
        what="short chunks are dropped",
        reach="whole",
        parameter="least characters of a chunk that is kept",
        severity=200,
        wrap=_minimum_length,
    ),
    Fault(
        "tiny_chunks",
        stage="chunker",
        cause="too_small",
        what="chunks are smaller than evidence",
        reach="whole",
        parameter="most characters of a chunk",
        severity=100,
        wrap=_tiny_chunks,
    ),
    Fault(
        "oversize_chunks",
        stage="chunker",
        cause="oversize",
        what="chunks are joined to long ones, whose vectors say little of any part",
        reach="whole",
        parameter="chunks joined to one",
        severity=4,
        wrap=_oversize_chunks,
    ),
    Fault(
        "heading_stripped",
        stage="embedder",
        cause="orphan_context",
        what="chunks are indexed without the headings above them",
        reach="whole",
        parameter="none",
        severity=1,
        wrap=_heading_stripped,
    ),
)
