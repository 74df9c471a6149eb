"""A small corpus and healthy pipelines that deliver all of its evidence, so that what is lost was planted.

Every line of every document is one fact with words of its own. A query names some words of one or two facts,
and its evidence is their lines. Everything is numpy and exact: the same seed gives the same laboratory.

Who is to blame is found by ablation: a unit is a casualty of a fault if it is lost with the fault and
delivered without it. Nothing here looks at how ragdiag diagnoses.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from plugs import LineChunker

from ragdiag import BM25Retriever, Diagnosis, ExactRetriever, Pipeline, diagnose
from ragdiag.diagnosis.verdicts import Verdict
from ragdiag.records import Chunk, Document, Evidence, Query, Span, WholeDocument
from ragdiag.stages.protocols import Similarity, Vectors

Unit: TypeAlias = tuple[str, int]
"""A unit of evidence: the query's id, and its number within the query."""

DOCUMENTS, LINES, QUERIES = 18, 8, 24
DIMENSIONS = 400
SHELVES = ("north", "south")


def words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


def checksum(text: str, seed: int = 0) -> int:
    """A number that looks random and is the same everywhere."""
    return zlib.crc32(text.encode(), seed)


def noise(text: str, dimensions: int = DIMENSIONS) -> NDArray[np.float64]:
    """A direction that has to do with nothing."""
    return of_length_one(np.random.default_rng(checksum(text, 7)).standard_normal(dimensions))


# Healthy stages


@cache
def word_vector(word: str, dimensions: int, dialect: int) -> NDArray[np.float64]:
    return np.random.default_rng([checksum(word), dialect]).standard_normal(dimensions)


@dataclass(frozen=True)
class WordEmbedder:
    """Every word has a random direction, a text is their sum.

    Documents differ in loudness (the length of their vectors), which only an inner product hears: by how much
    is said by ``loud``, with 0 for none at all. ``volume`` makes all of them louder than queries.
    """

    dimensions: int = DIMENSIONS
    max_tokens: int = 512
    similarity: Similarity = "cosine"
    loud: float = 1.2
    volume: float = 1.0

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        vectors = [self.vector(text) * self.volume * loudness(text) ** self.loud for text in texts]
        return as_rows(vectors, self.dimensions)

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return as_rows([self.vector(text) for text in texts], self.dimensions)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(words(text)) for text in texts]

    def vector(self, text: str, dialect: int = 0) -> NDArray[np.float64]:
        found = [word_vector(word, self.dimensions, dialect) for word in words(text)[: self.max_tokens]]
        return of_length_one(np.sum(found, axis=0)) if found else np.zeros(self.dimensions)


def loudness(text: str) -> float:
    return float(np.random.default_rng(checksum(text, 3)).lognormal())


def of_length_one(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(vector / np.linalg.norm(vector))


def as_rows(vectors: Sequence[NDArray[np.float64]], dimensions: int) -> Vectors:
    return np.array(vectors, dtype=np.float32).reshape(len(vectors), dimensions)


@dataclass(frozen=True)
class OverlapReranker:
    """The number of words that query and text share; a taste for some texts decides between equals."""

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        return [overlap(query, text) for text in texts]


def overlap(query: str, text: str) -> float:
    return len(set(words(query)) & set(words(text))) + checksum(text, 5) / 2**33


@dataclass(frozen=True)
class WordBudget:
    """The first chunks that fit into a declared budget of words, skipping those that do not."""

    budget: int

    def tokens(self, chunk: Chunk) -> int:
        return len(words(chunk.text))

    def pack(self, query: str, chunks: Sequence[Chunk]) -> list[Chunk]:  # noqa: ARG002
        return first_that_fit(chunks, self.budget, self.tokens)


def first_that_fit(chunks: Sequence[Chunk], room: int, tokens: Callable[[Chunk], int]) -> list[Chunk]:
    packed = []
    for chunk in chunks:
        if tokens(chunk) <= room:
            packed.append(chunk)
            room -= tokens(chunk)
    return packed


@dataclass(frozen=True)
class ParagraphChunker:
    """One chunk of several lines."""

    lines: int = 3

    def chunk(self, document: Document) -> list[Chunk]:
        found = LineChunker().chunk(document)
        groups = [found[i : i + self.lines] for i in range(0, len(found), self.lines)]
        return [Chunk.of(document, (g[0].spans[0].start, g[-1].spans[0].end)) for g in groups]


# The corpus


@dataclass(frozen=True)
class Fact:
    """One line: what a query calls it by (the first of which no other line holds), then what it says."""

    span: Span
    names: tuple[str, ...]
    values: tuple[str, ...]

    @property
    def key(self) -> str:
        return self.names[0]

    @property
    def called(self) -> tuple[str, ...]:
        return (*self.names[:2], "of", self.names[2])


@dataclass(frozen=True)
class Laboratory:
    """A pipeline, what it is asked, and the fact behind each unit of evidence."""

    pipeline: Pipeline
    documents: tuple[Document, ...]
    queries: tuple[Query, ...]
    facts: Mapping[Unit, Fact] = field(repr=False)

    def using(self, **changes: Any) -> Laboratory:
        """The same with other stages."""
        return replace(self, pipeline=replace(self.pipeline, **changes))

    def names_of(self, keys: Iterable[str]) -> frozenset[str]:
        """All words that queries call the facts with these keys by."""
        wanted = set(keys)
        return frozenset(word for fact in self.facts.values() if fact.key in wanted for word in fact.called)

    def some_keys(self, share: float, seed: int) -> frozenset[str]:
        """The keys of a share of the facts that are asked for."""
        keys = sorted({fact.key for fact in self.facts.values()})
        chosen = np.random.default_rng(seed).choice(len(keys), round(share * len(keys)), replace=False)
        return frozenset(keys[i] for i in chosen)

    @property
    def units(self) -> frozenset[Unit]:
        return frozenset(
            (query.id, number) for query in self.queries for number in range(len(query.evidence))
        )


BENCHES: Mapping[str, Mapping[str, Any]] = {
    "full": {
        "chunker": LineChunker(),
        "embedder": WordEmbedder(),
        "retriever": ExactRetriever(),
        "reranker": OverlapReranker(),
        "packer": WordBudget(96),
    },
    "paragraphs": {
        "chunker": ParagraphChunker(),
        "embedder": WordEmbedder(),
        "retriever": ExactRetriever(),
        "reranker": OverlapReranker(),
        "packer": WordBudget(288),
    },
    "vectors": {"chunker": LineChunker(), "embedder": WordEmbedder(), "retriever": ExactRetriever()},
    "text": {"chunker": LineChunker(), "retriever": BM25Retriever(), "reranker": OverlapReranker()},
    "bare": {"chunker": LineChunker(), "retriever": BM25Retriever()},
}
"""Healthy pipelines: with every stage, with longer chunks, and with some stages only."""


@cache
def laboratory(bench: str, seed: int, *, thorough: bool = False, at_most: int = 2) -> Laboratory:
    """A healthy laboratory.

    Args:
        bench: which of `BENCHES`.
        seed: of the corpus.
        thorough: whether queries name words from a line's end as well.
        at_most: how many facts a query may ask for.
    """
    rng = np.random.default_rng(seed)
    vocabulary = _made_up_words(rng)
    documents, facts = [], []
    for number in range(DOCUMENTS):
        lines: list[str] = []
        for _ in range(LINES):
            names = tuple(next(vocabulary) for _ in range(3))
            values = tuple(next(vocabulary) for _ in range(int(rng.integers(4, 9))))
            verb = rng.choice(["keeps", "moves", "holds", "needs", "brings"])
            start = sum(len(line) + 1 for line in lines)
            line = f"{names[0]} {names[1]} of {names[2]} {verb} {' '.join(values)}."
            lines.append(line)
            facts.append(Fact(Span(f"d{number}", start, start + len(line)), names, values))
        documents.append(Document(f"d{number}", "\n".join(lines), {"shelf": SHELVES[number % 2]}))
    asked = iter(rng.permutation(len(facts)))
    queries: list[Query] = []
    behind: dict[Unit, Fact] = {}
    for number in range(QUERIES):
        of_query = [facts[next(asked)] for _ in range(1 + number % at_most)]
        called = [(*fact.called, *(fact.values[-2:] if thorough else ())) for fact in of_query]
        text = "which " + " and ".join(map(" ".join, called))
        queries.append(Query(f"q{number}", text, [Evidence.of(fact.span) for fact in of_query]))
        behind |= {(f"q{number}", unit): fact for unit, fact in enumerate(of_query)}
    pipeline = Pipeline(**BENCHES[bench], candidates=12, top_k=4)
    return Laboratory(pipeline, tuple(documents), tuple(queries), behind)


def _made_up_words(rng: np.random.Generator) -> Any:
    syllables = [c + v for c in "bdfgklmnprstvz" for v in "aeiou"]
    known: set[str] = set()
    while True:
        word = "".join(rng.choice(syllables, int(rng.integers(2, 4))))
        if word not in known:
            known.add(word)
            yield word


# What happens in it


def delivered(laboratory: Laboratory) -> frozenset[Unit]:
    """The units that a run delivers, in sets of characters."""
    trace = laboratory.pipeline.run(laboratory.documents, laboratory.queries, progress=False)
    texts = {document.id: document.text for document in laboratory.documents}

    def is_held(part: Span | WholeDocument, spans: Sequence[Span]) -> bool:
        of_document = [span for span in spans if span.doc_id == part.doc_id]
        if isinstance(part, WholeDocument):
            return bool(of_document)
        wanted = {i for i in range(part.start, part.end) if not texts[part.doc_id][i].isspace()}
        return wanted <= {i for span in of_document for i in range(span.start, span.end)}

    found = set()
    for query in laboratory.queries:
        spans = [span for chunk in trace[query.id].context for span in chunk.spans]
        for number, unit in enumerate(query.evidence):
            if any(all(is_held(part, spans) for part in alternative) for alternative in unit.alternatives):
                found.add((query.id, number))
    return frozenset(found)


def brought_back(before: frozenset[Unit], after: frozenset[Unit]) -> frozenset[Unit]:
    """The units that are delivered only after, of queries that lose nothing by it."""
    losing = {query_id for query_id, _ in before - after}
    return frozenset(unit for unit in after - before if unit[0] not in losing)


def without(laboratory: Laboratory, lost: Iterable[Unit]) -> Laboratory:
    """Only the queries of which none of these units is."""
    ids = {query_id for query_id, _ in lost}
    return replace(laboratory, queries=tuple(query for query in laboratory.queries if query.id not in ids))


def examine(laboratory: Laboratory, **options: Any) -> Diagnosis:
    """The diagnosis, with verdicts proven."""
    return diagnose(
        laboratory.pipeline,
        laboratory.documents,
        laboratory.queries,
        **{"verify": True, "progress": False, **options},
    )


def verdicts(diagnosis: Diagnosis) -> dict[Unit, Verdict]:
    """The verdict on each lost unit."""
    units = [(query.id, number) for query in diagnosis.assessed for number in range(len(query.evidence))]
    return {unit: found for unit, found in zip(units, diagnosis.verdicts, strict=True) if found is not None}


def describe(verdict: Verdict) -> str:
    trials = ", ".join(
        f"{'+'.join(t.ideal) or 'as it is'}{f' ({t.variant})' if t.variant else ''}: {t.outcome}"
        f"{f' [{t.note}]' if t.note else ''}"
        for t in verdict.trials
    )
    return (
        f"{verdict.stage}.{verdict.cause} {verdict.proof}, observed {verdict.observed}, "
        f"repairs {verdict.repairs}; {verdict.reason!r}; trials {trials}"
    )


# What the plugs were asked


@dataclass(frozen=True)
class RecordingEmbedder:
    """Passes on to another embedder and counts how often each text was embedded."""

    inner: Any
    documents: Counter[str] = field(default_factory=Counter, repr=False)
    queries: Counter[str] = field(default_factory=Counter, repr=False)

    @property
    def similarity(self) -> Similarity:
        return self.inner.similarity  # type: ignore[no-any-return]

    @property
    def max_tokens(self) -> int:
        return self.inner.max_tokens  # type: ignore[no-any-return]

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return self.inner.count_tokens(texts)  # type: ignore[no-any-return]

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        self.documents.update(texts)
        return self.inner.embed_documents(texts)  # type: ignore[no-any-return]

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        self.queries.update(texts)
        return self.inner.embed_queries(texts)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class RecordingReranker:
    """Passes on to another reranker and counts how often each pair was scored."""

    inner: Any
    pairs: Counter[tuple[str, str]] = field(default_factory=Counter, repr=False)

    def score(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        self.pairs.update((query, text) for text in texts)
        return self.inner.score(query, texts)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Calls:
    """What the plugs of a laboratory were asked, by the plain run and beyond it."""

    embedder: RecordingEmbedder | None
    reranker: RecordingReranker | None

    @property
    def counts(self) -> list[Counter[Any]]:
        """How often each document text and each query was embedded, and each pair scored."""
        texts = [] if self.embedder is None else [self.embedder.documents, self.embedder.queries]
        return [*texts, *([] if self.reranker is None else [self.reranker.pairs])]

    @property
    def total(self) -> int:
        """Texts embedded and pairs scored."""
        return sum(count.total() for count in self.counts)


def recorded(laboratory: Laboratory) -> tuple[Laboratory, Calls]:
    """The same laboratory with plugs that keep count."""
    pipeline = laboratory.pipeline
    embedder = None if pipeline.embedder is None else RecordingEmbedder(pipeline.embedder)
    reranker = None if pipeline.reranker is None else RecordingReranker(pipeline.reranker)
    return laboratory.using(embedder=embedder, reranker=reranker), Calls(embedder, reranker)
