"""Small plugs for tests: each really does what its name says, with what it is told to do."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ragdiag.records import Chunk, Document, Hit, Request, Span
from ragdiag.stages.protocols import Similarity, Vectors
from ragdiag.stages.ranking import order_by_score

Ranges = Sequence[tuple[int, int]]
"""The spans of one chunk, as pairs of start and end."""


@dataclass(frozen=True)
class WholeChunker:
    """One chunk a document; none for an empty one."""

    def chunk(self, document: Document) -> list[Chunk]:
        return [Chunk.of(document, (0, len(document.text)))] if document.text else []


@dataclass(frozen=True)
class LineChunker:
    """One chunk a line that holds text."""

    def chunk(self, document: Document) -> list[Chunk]:
        lines = re.finditer(r"[^\n]*\S[^\n]*", document.text)
        return [Chunk.of(document, match.span()) for match in lines]


@dataclass(frozen=True)
class CutChunker:
    """The chunks that it is told to make: for each document the ranges of each chunk.

    A document that it was told nothing of becomes one chunk.
    """

    cuts: Mapping[str, Sequence[Ranges]]

    def chunk(self, document: Document) -> list[Chunk]:
        if document.id not in self.cuts:
            return WholeChunker().chunk(document)
        return [Chunk.of(document, *ranges) for ranges in self.cuts[document.id]]


@dataclass(frozen=True)
class AnyChunker:
    """Whatever a function makes of a document, right or wrong."""

    make: Callable[[Document], Any]

    def chunk(self, document: Document) -> Sequence[Chunk]:
        return self.make(document)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class TableEmbedder:
    """The vectors that it is told, by text; a text that it was not told gets ``default``."""

    vectors: Mapping[str, Sequence[float]]
    default: Sequence[float] = (0.0, 1.0)
    similarity: Similarity = "cosine"

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        rows = [self.vectors.get(text, self.default) for text in texts]
        return np.array(rows, dtype=np.float32).reshape(len(texts), len(self.default))

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return self.embed_documents(texts)


@dataclass(frozen=True)
class SeededEmbedder:
    """Random vectors of few values, so that many are equal and many scores tie; the same for equal texts."""

    seed: int
    dimensions: int = 2
    values: int = 3
    similarity: Similarity = "cosine"

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        rows = [
            self._generator(text).integers(-self.values, self.values + 1, self.dimensions) for text in texts
        ]
        return np.array(rows, dtype=np.float32).reshape(len(texts), self.dimensions)

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return self.embed_documents(texts)

    def _generator(self, text: str) -> np.random.Generator:
        return np.random.default_rng([self.seed, *text.encode("utf-8", "surrogatepass")])


@dataclass(frozen=True)
class AnyEmbedder:
    """Whatever two functions make of texts, right or wrong."""

    documents: Callable[[Sequence[str]], Any]
    queries: Callable[[Sequence[str]], Any]

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        return self.documents(texts)  # type: ignore[no-any-return]

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return self.queries(texts)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class CountingEmbedder:
    """Embeds as another one does, and keeps what it was asked; it shows and compares as if it did not."""

    inner: Any
    documents: list[list[str]] = field(default_factory=list, repr=False, compare=False)
    queries: list[list[str]] = field(default_factory=list, repr=False, compare=False)

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        self.documents.append(list(texts))
        return self.inner.embed_documents(texts)  # type: ignore[no-any-return]

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        self.queries.append(list(texts))
        return self.inner.embed_queries(texts)  # type: ignore[no-any-return]

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return self.inner.count_tokens(texts)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class AnyRetriever:
    """Searches with any function from (chunks, request, n) to hits, right or wrong."""

    find: Callable[[Sequence[Chunk], Request, int], Any]
    uses_vectors: bool = True

    def build(self, chunks: Sequence[Chunk], vectors: Vectors | None) -> _AnySearcher:
        return _AnySearcher(self, chunks, vectors)


@dataclass(frozen=True)
class _AnySearcher:
    retriever: AnyRetriever
    chunks: Sequence[Chunk] = field(repr=False)
    vectors: Vectors | None = field(repr=False)

    def search(self, requests: Sequence[Request], n: int) -> list[Sequence[Hit]]:
        return [self.retriever.find(self.chunks, request, n) for request in requests]


@dataclass(frozen=True)
class OrderRetriever:
    """For each query the chunks that it is told, best first, cut at n; needs no vectors."""

    orders: Mapping[str, Sequence[str]]
    uses_vectors: bool = False

    def build(self, chunks: Sequence[Chunk], vectors: Vectors | None) -> _OrderSearcher:  # noqa: ARG002
        return _OrderSearcher(self.orders)


@dataclass(frozen=True)
class _OrderSearcher:
    orders: Mapping[str, Sequence[str]]

    def search(self, requests: Sequence[Request], n: int) -> list[list[Hit]]:
        return [
            [Hit(chunk_id, float(-rank)) for rank, chunk_id in enumerate(self.orders[request.query_id][:n])]
            for request in requests
        ]


@dataclass(frozen=True)
class DamagedRetriever:
    """Another retriever whose hits are dropped by chance and put in a new order."""

    inner: Any
    seed: int
    dropped: float = 0.3

    def build(self, chunks: Sequence[Chunk], vectors: Vectors | None) -> _DamagedSearcher:
        return _DamagedSearcher(self, self.inner.build(chunks, vectors))


@dataclass(frozen=True)
class _DamagedSearcher:
    retriever: DamagedRetriever
    inner: Any

    def search(self, requests: Sequence[Request], n: int) -> list[list[Hit]]:
        return [
            self._damage(request, hits)
            for request, hits in zip(requests, self.inner.search(requests, n), strict=True)
        ]

    def _damage(self, request: Request, hits: Sequence[Hit]) -> list[Hit]:
        generator = np.random.default_rng([self.retriever.seed, *request.text.encode()])
        kept = [hit for hit in hits if generator.random() >= self.retriever.dropped]
        scores = sorted((hit.score for hit in kept), reverse=True)
        order = generator.permutation(len(kept))
        return [Hit(kept[i].chunk_id, score) for i, score in zip(order, scores, strict=True)]


@dataclass(frozen=True)
class SeededReranker:
    """Random scores of few values; the same for equal texts."""

    seed: int
    values: int = 4

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        return [
            float(np.random.default_rng([self.seed, *f"{query}\0{text}".encode()]).integers(self.values))
            for text in texts
        ]


@dataclass(frozen=True)
class TableReranker:
    """The scores that it is told, by text; 0 for any other."""

    scores: Mapping[str, float]

    def score(self, query: str, texts: Sequence[str]) -> list[float]:  # noqa: ARG002
        return [self.scores.get(text, 0.0) for text in texts]


@dataclass(frozen=True)
class AnyReranker:
    """Whatever a function makes of a query and texts, right or wrong."""

    make: Callable[[str, Sequence[str]], Any]

    def score(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        return self.make(query, texts)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class CountingReranker:
    """Scores by length and counts the pairs that it was asked."""

    calls: list[int] = field(default_factory=list)

    def score(self, query: str, texts: Sequence[str]) -> list[float]:  # noqa: ARG002
        self.calls.append(len(texts))
        return [float(len(text)) for text in texts]


@dataclass(frozen=True)
class AnyPacker:
    """Whatever a function makes of the chunks, right or wrong. Declares no budget."""

    make: Callable[[Sequence[Chunk]], Any]

    def pack(self, query: str, chunks: Sequence[Chunk]) -> Sequence[Chunk]:  # noqa: ARG002
        return self.make(chunks)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class SeededPacker:
    """Drops, shortens and reorders chunks by chance. Declares no budget."""

    seed: int
    documents: Mapping[str, str] = field(repr=False)
    """The texts of the documents, by id."""

    def pack(self, query: str, chunks: Sequence[Chunk]) -> list[Chunk]:
        generator = np.random.default_rng([self.seed, *query.encode()])
        kept = [chunk for chunk in chunks if generator.random() < 0.8]
        packed = [
            shortened(chunk, self.documents[chunk.spans[0].doc_id], generator)
            if generator.random() < 0.3
            else chunk
            for chunk in kept
        ]
        return [packed[i] for i in generator.permutation(len(packed))]


def shortened(chunk: Chunk, text: str, generator: np.random.Generator) -> Chunk:
    """A chunk of which a random part of one span is left."""
    span = chunk.spans[int(generator.integers(len(chunk.spans)))]
    start = int(generator.integers(span.start, span.end))
    end = int(generator.integers(start + 1, span.end + 1))
    return replace(chunk, spans=(Span(span.doc_id, start, end),), text=text[start:end])


@dataclass(frozen=True)
class BudgetPacker:
    """The first chunks that fit into a budget of characters, skipping those that do not."""

    budget: int

    def tokens(self, chunk: Chunk) -> int:
        return len(chunk.text)

    def pack(self, query: str, chunks: Sequence[Chunk]) -> list[Chunk]:  # noqa: ARG002
        packed: list[Chunk] = []
        room = self.budget
        for chunk in chunks:
            if len(chunk.text) <= room:
                packed.append(chunk)
                room -= len(chunk.text)
        return packed


@dataclass(frozen=True)
class SeededChunker:
    """Random chunks: they overlap, leave text out, split words and take several spans; some repeat a text."""

    seed: int
    chunks: int = 5

    def chunk(self, document: Document) -> list[Chunk]:
        if not document.text:
            return []
        generator = np.random.default_rng([self.seed, *document.id.encode()])
        length = len(document.text)
        made: dict[str, Chunk] = {}
        for _ in range(int(generator.integers(1, self.chunks + 1))):
            ranges = []
            for _ in range(1 + int(generator.random() < 0.25)):
                start = int(generator.integers(length))
                ranges.append((start, int(generator.integers(start + 1, length + 1))))
            chunk = Chunk.of(document, *ranges)
            made[chunk.id] = chunk
        return list(made.values())


def exact_order(vectors: Vectors, query: Vectors, similarity: Similarity) -> list[int]:
    """All rows, best first, worked out one by one in Python: the oracle of an exact search."""

    def score(row: Sequence[float], wanted: Sequence[float]) -> float:
        if similarity == "l2":
            return -float(sum((a - b) ** 2 for a, b in zip(row, wanted, strict=True)))
        product = float(sum(a * b for a, b in zip(row, wanted, strict=True)))
        if similarity == "dot":
            return product
        norm = float(np.sqrt(sum(a * a for a in row)) * np.sqrt(sum(b * b for b in wanted)))
        return product / norm if norm else 0.0

    wanted = query.astype(np.float64).tolist()
    scores = [score(row, wanted) for row in vectors.astype(np.float64).tolist()]
    return [int(row) for row in order_by_score(scores)]
