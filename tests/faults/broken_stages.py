"""Stages that are broken in one way each. What a fault hits is decided by the text alone, so that a piece of
text meets the same fate whatever chunk it comes in, unless the fault is one of the index or of a cut."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
from faults.laboratory import WordEmbedder, checksum, first_that_fit, noise, overlap, words
from numpy.typing import NDArray
from plugs import LineChunker

from ragdiag import BM25Retriever, ExactRetriever
from ragdiag.records import Chunk, Document, Hit, Request
from ragdiag.stages.protocols import Vectors

Marked = frozenset[str]
"""Words: a fault hits what holds one of them."""


def holds(text: str, marked: Marked) -> bool:
    return not marked.isdisjoint(words(text))


# Chunkers


@dataclass(frozen=True)
class CuttingChunker:
    """Lines, of which the marked ones are cut into equal numbers of words."""

    marked: Marked = field(repr=False)
    pieces: int = 2

    def chunk(self, document: Document) -> list[Chunk]:
        chunks = []
        for line in LineChunker().chunk(document):
            if holds(line.text, self.marked):
                chunks += cut(document, line, self.pieces)
            else:
                chunks.append(line)
        return chunks


def cut(document: Document, line: Chunk, pieces: int) -> list[Chunk]:
    """A line in pieces of equal numbers of words."""
    found = [m.span() for m in re.finditer(r"\S+", line.text)]
    bounds = [round(i * len(found) / pieces) for i in range(pieces + 1)]
    start = line.spans[0].start
    return [
        Chunk.of(document, (start + found[low][0], start + found[high - 1][1]))
        for low, high in pairwise(bounds)
    ]


@dataclass(frozen=True)
class DroppingChunker:
    """Lines, without the marked ones."""

    marked: Marked = field(repr=False)

    def chunk(self, document: Document) -> list[Chunk]:
        return [line for line in LineChunker().chunk(document) if not holds(line.text, self.marked)]


@dataclass(frozen=True)
class HoleyChunker:
    """Lines; from the marked ones some words in the middle are missing."""

    marked: Marked = field(repr=False)

    def chunk(self, document: Document) -> list[Chunk]:
        chunks = []
        for line in LineChunker().chunk(document):
            if holds(line.text, self.marked):
                start, end = line.spans[0].start, line.spans[0].end
                found = [m.span() for m in re.finditer(r"\S+", line.text)]
                chunks.append(Chunk.of(document, (start, start + found[5][1]), (start + found[-2][0], end)))
            else:
                chunks.append(line)
        return chunks


@dataclass(frozen=True)
class LeastWordsChunker:
    """Lines of at least so many words: shorter ones are taken for headings."""

    least: int

    def chunk(self, document: Document) -> list[Chunk]:
        return [line for line in LineChunker().chunk(document) if len(words(line.text)) >= self.least]


@dataclass(frozen=True)
class EndlessChunker:
    """Lines, but never the last ones of a document: what is left over at its end is forgotten."""

    forgotten: int = 2

    def chunk(self, document: Document) -> list[Chunk]:
        return LineChunker().chunk(document)[: -self.forgotten]


@dataclass(frozen=True)
class FixedWidthChunker:
    """As many characters a chunk, wherever that cuts."""

    width: int

    def chunk(self, document: Document) -> list[Chunk]:
        length = len(document.text)
        return [
            Chunk.of(document, (start, min(start + self.width, length)))
            for start in range(0, length, self.width)
        ]


# Embedders


@dataclass(frozen=True)
class NoisyEmbedder(WordEmbedder):
    """Texts with a marked word get a vector that has to do with nothing."""

    marked: Marked = field(default=frozenset(), repr=False)

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        vectors = super().embed_documents(texts)
        for row, text in enumerate(texts):
            if holds(text, self.marked):
                vectors[row] = noise(text, self.dimensions)
        return vectors


@dataclass(frozen=True)
class MaskingEmbedder(WordEmbedder):
    """In texts with a marked word it does not see the hidden ones, which are those that queries use."""

    marked: Marked = field(default=frozenset(), repr=False)
    hidden: frozenset[str] = field(default=frozenset(), repr=False)

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        return super().embed_documents([self._seen(text) for text in texts])

    def _seen(self, text: str) -> str:
        if not holds(text, self.marked):
            return text
        return " ".join(word for word in words(text) if word not in self.hidden)


@dataclass(frozen=True)
class ForeignEmbedder(WordEmbedder):
    """Embeds queries as another model would: the prompt that the model needs is missing."""

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return np.array([self.vector(text, dialect=1) for text in texts], dtype=np.float32)


# Retrievers


@dataclass(frozen=True)
class ForgetfulRetriever:
    """An index that never got the chunks with a marked word."""

    inner: Any
    marked: Marked = field(repr=False)

    @property
    def uses_vectors(self) -> bool:
        return not isinstance(self.inner, BM25Retriever)

    def build(self, chunks: Sequence[Chunk], vectors: Vectors | None) -> Any:
        return build_part(self.inner, chunks, vectors, [not holds(c.index_text, self.marked) for c in chunks])


@dataclass(frozen=True)
class FickleRetriever:
    """An index that misses the chunks with a marked word until it holds so many chunks: then it finds all.

    An extreme case of clusters, graphs and word statistics that change when rows are added.
    """

    inner: Any
    marked: Marked = field(repr=False)
    healed_at: int

    @property
    def uses_vectors(self) -> bool:
        return not isinstance(self.inner, BM25Retriever)

    def build(self, chunks: Sequence[Chunk], vectors: Vectors | None) -> Any:
        healed = len(chunks) >= self.healed_at
        return (self.inner if healed else ForgetfulRetriever(self.inner, self.marked)).build(chunks, vectors)


@dataclass(frozen=True)
class LossyRetriever:
    """An index that never got a third of the chunks, whatever they hold: their upserts failed."""

    inner: Any
    seed: int = 0

    @property
    def uses_vectors(self) -> bool:
        return not isinstance(self.inner, BM25Retriever)

    def build(self, chunks: Sequence[Chunk], vectors: Vectors | None) -> Any:
        return build_part(self.inner, chunks, vectors, [checksum(c.id, self.seed) % 3 > 0 for c in chunks])


def build_part(inner: Any, chunks: Sequence[Chunk], vectors: Vectors | None, kept: Sequence[bool]) -> Any:
    """An index over some of the chunks."""
    rows: list[int] = np.flatnonzero(kept).tolist()
    return inner.build([chunks[row] for row in rows], None if vectors is None else vectors[rows])


@dataclass(frozen=True)
class StaleRetriever:
    """Chunks with a marked word are indexed with the vector of what once stood in their place."""

    marked: Marked = field(repr=False)

    def build(self, chunks: Sequence[Chunk], vectors: Vectors | None) -> Any:
        assert vectors is not None
        old = [
            noise(f"old {chunk.index_text}", vectors.shape[1])
            if holds(chunk.index_text, self.marked)
            else row
            for chunk, row in zip(chunks, vectors, strict=True)
        ]
        return ExactRetriever().build(chunks, np.array(old, dtype=np.float32))


@dataclass(frozen=True)
class PartitionedRetriever:
    """Chunks lie in partitions by chance, and each query looks into one of them."""

    inner: Any
    parts: int = 2

    @property
    def uses_vectors(self) -> bool:
        return not isinstance(self.inner, BM25Retriever)

    def build(self, chunks: Sequence[Chunk], vectors: Vectors | None) -> _PartitionedSearcher:
        of_chunk = [checksum(chunk.id, 11) % self.parts for chunk in chunks]
        return _PartitionedSearcher(
            [
                build_part(self.inner, chunks, vectors, [p == part for p in of_chunk])
                for part in range(self.parts)
            ]
        )


@dataclass(frozen=True)
class _PartitionedSearcher:
    parts: Sequence[Any]

    def search(self, requests: Sequence[Request], n: int) -> list[Sequence[Hit]]:
        return [
            self.parts[checksum(request.text, 13) % len(self.parts)].search([request], n)[0]
            for request in requests
        ]


@dataclass(frozen=True)
class ClusteredRetriever:
    """Inverted lists: k-means over the vectors it is built with, and each query looks into its nearest list.

    Whatever is added to the index moves the clusters.
    """

    clusters: int = 8
    rounds: int = 5

    def build(self, chunks: Sequence[Chunk], vectors: Vectors | None) -> _ClusteredSearcher:
        assert vectors is not None
        rows = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        centers = rows[np.linspace(0, len(rows) - 1, self.clusters).astype(int)]
        for _ in range(self.rounds):
            nearest = np.argmax(rows @ centers.T, axis=1)
            sums = [rows[nearest == c].sum(axis=0) for c in range(self.clusters)]
            centers = np.array([s / max(float(np.linalg.norm(s)), 1e-12) for s in sums])
        return _ClusteredSearcher(chunks, rows, centers, np.argmax(rows @ centers.T, axis=1))


@dataclass(frozen=True)
class _ClusteredSearcher:
    chunks: Sequence[Chunk]
    rows: NDArray[np.float32]
    centers: NDArray[np.float32]
    nearest: NDArray[np.intp]

    def search(self, requests: Sequence[Request], n: int) -> list[list[Hit]]:
        return [self._search(request, n) for request in requests]

    def _search(self, request: Request, n: int) -> list[Hit]:
        assert request.vector is not None
        inside = np.flatnonzero(self.nearest == np.argmax(self.centers @ request.vector))
        scores = self.rows[inside] @ request.vector
        order = np.argsort(-scores, kind="stable")[:n]
        return [Hit(self.chunks[inside[i]].id, float(scores[i])) for i in order]


@dataclass(frozen=True)
class LeastWordsRetriever:
    """An index that leaves out chunks of fewer words, which it takes for headings."""

    inner: Any
    least: int

    @property
    def uses_vectors(self) -> bool:
        return not isinstance(self.inner, BM25Retriever)

    def build(self, chunks: Sequence[Chunk], vectors: Vectors | None) -> Any:
        return build_part(self.inner, chunks, vectors, [len(words(c.text)) >= self.least for c in chunks])


@dataclass(frozen=True)
class OnePerDocumentRetriever:
    """Returns the best chunk of each document only."""

    inner: Any

    @property
    def uses_vectors(self) -> bool:
        return not isinstance(self.inner, BM25Retriever)

    def build(self, chunks: Sequence[Chunk], vectors: Vectors | None) -> _OnePerDocumentSearcher:
        return _OnePerDocumentSearcher(
            self.inner.build(chunks, vectors), {chunk.id: chunk.spans[0].doc_id for chunk in chunks}
        )


@dataclass(frozen=True)
class _OnePerDocumentSearcher:
    inner: Any
    document_of: dict[str, str]

    def search(self, requests: Sequence[Request], n: int) -> list[list[Hit]]:
        found = self.inner.search(requests, len(self.document_of))
        return [self._first_of_each(hits)[:n] for hits in found]

    def _first_of_each(self, hits: Sequence[Hit]) -> list[Hit]:
        first: dict[str, Hit] = {}
        for hit in hits:
            first.setdefault(self.document_of[hit.chunk_id], hit)
        return list(first.values())


@dataclass(frozen=True)
class FusingRetriever:
    """Another retriever that does not declare what it fuses."""

    inner: Any

    def build(self, chunks: Sequence[Chunk], vectors: Vectors | None) -> _FusingSearcher:
        return _FusingSearcher(self.inner.build(chunks, vectors))


@dataclass(frozen=True)
class _FusingSearcher:
    inner: Any

    def search(self, requests: Sequence[Request], n: int) -> Any:
        return self.inner.search(requests, n)


# Rerankers


@dataclass(frozen=True)
class InvertedReranker:
    """Takes the best for the worst."""

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        return [-overlap(query, text) for text in texts]


@dataclass(frozen=True)
class PhantomReranker:
    """Loves half of all texts, whatever is asked."""

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        return [overlap(query, text) + 100 * (checksum(text, 17) % 2) for text in texts]


@dataclass(frozen=True)
class ShortsightedReranker:
    """Reads the first words of each text only."""

    most: int

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        return [overlap(query, " ".join(words(text)[: self.most])) for text in texts]


@dataclass(frozen=True)
class VerboseReranker:
    """Prefers long texts."""

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        return [overlap(query, text) + 4 * len(words(text)) for text in texts]


@dataclass(frozen=True)
class DemotingReranker:
    """Puts texts with a marked word last."""

    marked: Marked = field(repr=False)

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        return [overlap(query, text) - 100 * holds(text, self.marked) for text in texts]


# Packers, none of which declares a budget but the one that miscounts


@dataclass(frozen=True)
class DecapitatingPacker:
    """Leaves out the first chunk."""

    def pack(self, query: str, chunks: Sequence[Chunk]) -> list[Chunk]:  # noqa: ARG002
        return list(chunks[1:])


@dataclass(frozen=True)
class DroppingPacker:
    """Leaves out chunks with a marked word, which it takes for repeats."""

    marked: Marked = field(repr=False)

    def pack(self, query: str, chunks: Sequence[Chunk]) -> list[Chunk]:  # noqa: ARG002
        return [chunk for chunk in chunks if not holds(chunk.text, self.marked)]


@dataclass(frozen=True)
class ShorteningPacker:
    """Keeps the first half of the words of each chunk, or of each with a marked word."""

    marked: Marked | None = field(default=None, repr=False)

    def pack(self, query: str, chunks: Sequence[Chunk]) -> list[Chunk]:  # noqa: ARG002
        return [
            first_half(chunk) if self.marked is None or holds(chunk.text, self.marked) else chunk
            for chunk in chunks
        ]


def first_half(chunk: Chunk) -> Chunk:
    """The first half of the words of a chunk of one span; of several spans the first."""
    if len(chunk.spans) > 1:
        return replace(chunk, spans=chunk.spans[:1], text=chunk.text[: len(chunk.spans[0])])
    found = [m.end() for m in re.finditer(r"\S+", chunk.text)]
    if len(found) < 2:
        return chunk
    end = found[len(found) // 2 - 1]
    span = chunk.spans[0]
    return replace(chunk, spans=(replace(span, end=span.start + end),), text=chunk.text[:end])


@dataclass(frozen=True)
class ThriftyPacker:
    """Keeps what fits into a budget of words that it does not declare."""

    most: int

    def pack(self, query: str, chunks: Sequence[Chunk]) -> list[Chunk]:  # noqa: ARG002
        return first_that_fit(chunks, self.most, lambda chunk: len(words(chunk.text)))


@dataclass(frozen=True)
class MiscountingPacker:
    """Declares a budget of words, and counts letters against it."""

    budget: int

    def tokens(self, chunk: Chunk) -> int:
        return len(words(chunk.text))

    def pack(self, query: str, chunks: Sequence[Chunk]) -> list[Chunk]:  # noqa: ARG002
        return first_that_fit(chunks, self.budget, lambda chunk: len(chunk.text))
