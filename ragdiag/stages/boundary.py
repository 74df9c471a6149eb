"""The boundaries between stages: each function calls one plug and checks what it returned.

A violated contract is a `StageError` that names the stage, the query or chunk, what was expected and what
came. An exception that a plug raises itself passes through, with a note that says where it happened.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from ragdiag.errors import StageError
from ragdiag.records import Chunk, Document, Hit, Request, Span
from ragdiag.spans import quote
from ragdiag.stages.protocols import (
    Chunker,
    Embedder,
    Packer,
    Reranker,
    Retriever,
    Searcher,
    Vectors,
)
from ragdiag.stages.ranking import order_by_score

__all__ = [
    "build_index",
    "chunk_document",
    "embed_documents",
    "embed_queries",
    "pack",
    "rerank",
    "score_pairs",
    "search",
]


@contextmanager
def _calling(stage: str, plug: object, where: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        error.add_note(f"ragdiag: raised by the {stage} {type(plug).__name__}, {where}")
        raise


def chunk_document(chunker: Chunker, document: Document) -> tuple[Chunk, ...]:
    """The chunks of one document, checked: spans inside it, unique ids, text that is there."""
    where = f"document {document.id!r}"
    with _calling("chunker", chunker, where):
        chunks = tuple(chunker.chunk(document))
    seen: set[str] = set()
    for chunk in chunks:
        if not isinstance(chunk, Chunk):
            raise StageError("chunker", f"expected Chunk values, got {type(chunk).__name__}", where=where)
        if chunk.id in seen:
            raise StageError("chunker", f"two chunks have the id {chunk.id!r}", where=where)
        seen.add(chunk.id)
        for span in chunk.spans:
            if span.doc_id != document.id:
                raise StageError(
                    "chunker", f"chunk {chunk.id!r} has a span in another document: {span}", where=where
                )
            if span.end > len(document.text):
                raise StageError(
                    "chunker",
                    f"chunk {chunk.id!r} has the span {span.start}-{span.end}, but the document has "
                    f"{len(document.text)} characters",
                    where=where,
                )
        _check_text("chunker", chunk, document.text, where)
    return chunks


def _check_text(stage: str, chunk: Chunk, document_text: str, where: str) -> None:
    expected = "\n".join(document_text[span.start : span.end] for span in chunk.spans)
    if chunk.text != expected and "".join(chunk.text.split()) != "".join(expected.split()):
        raise StageError(
            stage,
            f"the text of chunk {chunk.id!r} is not that of its spans: "
            f"expected {quote(expected)}, got {quote(chunk.text)}",
            where=where,
        )


def embed_documents(embedder: Embedder, texts: Sequence[str]) -> Vectors:
    """One vector a text, shape (len(texts), d), float32, checked."""
    with _calling("embedder", embedder, f"embedding {len(texts)} document texts"):
        vectors = embedder.embed_documents(texts)
    return _checked_vectors(vectors, texts, "embed_documents", None)


def embed_queries(embedder: Embedder, texts: Sequence[str], *, dimensions: int) -> Vectors:
    """One vector a query, shape (len(texts), dimensions), float32, checked."""
    with _calling("embedder", embedder, f"embedding {len(texts)} queries"):
        vectors = embedder.embed_queries(texts)
    return _checked_vectors(vectors, texts, "embed_queries", dimensions)


def _checked_vectors(vectors: Vectors, texts: Sequence[str], method: str, dimensions: int | None) -> Vectors:
    try:
        array = np.asarray(vectors)
    except ValueError:
        raise StageError(
            "embedder", f"{method}: expected shape ({len(texts)}, d), got rows of different lengths"
        ) from None
    if array.ndim != 2 or len(array) != len(texts):
        raise StageError("embedder", f"{method}: expected shape ({len(texts)}, d), got {array.shape}")
    if dimensions is not None and array.shape[1] != dimensions:
        raise StageError(
            "embedder", f"{method}: expected {dimensions} dimensions as for documents, got {array.shape[1]}"
        )
    if array.shape[1] == 0 or not np.issubdtype(array.dtype, np.floating):
        raise StageError(
            "embedder", f"{method}: expected float vectors, got shape {array.shape} of {array.dtype}"
        )
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused
        single = np.ascontiguousarray(array, dtype=np.float32)
    bad = np.flatnonzero(~np.isfinite(single).all(axis=1))
    if len(bad):
        raise StageError(
            "embedder",
            f"{method}: {len(bad)} of {len(array)} vectors hold NaN or infinity, "
            f"the first for the text {quote(texts[int(bad[0])])}",
        )
    return single


def build_index(retriever: Retriever, chunks: Sequence[Chunk], vectors: Vectors | None) -> Searcher:
    """The searcher over all chunks."""
    with _calling("retriever", retriever, f"building an index over {len(chunks)} chunks"):
        searcher = retriever.build(chunks, vectors)
    if not isinstance(searcher, Searcher):
        raise StageError("retriever", f"build must return a Searcher, got {type(searcher).__name__}")
    return searcher


def search(
    searcher: Searcher, requests: Sequence[Request], n: int, known: Mapping[str, int]
) -> list[tuple[Hit, ...]]:
    """At most ``n`` hits a request, checked: known ids, each once, finite scores, best first."""
    with _calling("retriever", searcher, f"searching for {len(requests)} queries"):
        rankings = [tuple(ranking) for ranking in searcher.search(requests, n)]
    if len(rankings) != len(requests):
        raise StageError("retriever", f"expected {len(requests)} rankings, got {len(rankings)}")
    return [
        _checked_ranking(ranking, n, known, f"query {request.query_id!r}")
        for request, ranking in zip(requests, rankings, strict=True)
    ]


def _checked_ranking(
    ranking: tuple[Hit, ...], n: int, known: Mapping[str, int], where: str
) -> tuple[Hit, ...]:
    if len(ranking) > n:
        raise StageError("retriever", f"asked for {n} hits, got {len(ranking)}", where=where)
    seen: set[str] = set()
    last = math.inf
    for rank, hit in enumerate(ranking, start=1):
        if not isinstance(hit, Hit):
            raise StageError("retriever", f"expected Hit values, got {type(hit).__name__}", where=where)
        if hit.chunk_id not in known:
            raise StageError("retriever", f"rank {rank} is the unknown chunk {hit.chunk_id!r}", where=where)
        if hit.chunk_id in seen:
            raise StageError("retriever", f"chunk {hit.chunk_id!r} comes twice", where=where)
        if not math.isfinite(hit.score):
            raise StageError("retriever", f"rank {rank} has the score {hit.score}", where=where)
        if hit.score > last:
            raise StageError(
                "retriever",
                f"hits must come best first (higher is better), but rank {rank} scores {hit.score} "
                f"after {last}",
                where=where,
            )
        seen.add(hit.chunk_id)
        last = hit.score
    return ranking


def rerank(
    reranker: Reranker, query_id: str, query: str, hits: Sequence[Hit], texts: Sequence[str]
) -> tuple[Hit, ...]:
    """All ``hits`` with the reranker's scores, best first; ties keep the order of ``hits``."""
    scores = score_pairs(reranker, query_id, query, [hit.chunk_id for hit in hits], texts)
    return tuple(Hit(hits[i].chunk_id, float(scores[i])) for i in order_by_score(scores))


def score_pairs(
    reranker: Reranker, query_id: str, query: str, chunk_ids: Sequence[str], texts: Sequence[str]
) -> NDArray[np.float64]:
    """The reranker's score of each text, shape (len(texts),), checked; it is not asked about none."""
    where = f"query {query_id!r}"
    if not texts:
        return np.empty(0)
    with _calling("reranker", reranker, where):
        scores = np.asarray(reranker.score(query, texts), dtype=np.float64)
    if scores.shape != (len(texts),):
        raise StageError("reranker", f"expected {len(texts)} scores, got shape {scores.shape}", where=where)
    if not np.isfinite(scores).all():
        bad = int(np.flatnonzero(~np.isfinite(scores))[0])
        raise StageError("reranker", f"the score of chunk {chunk_ids[bad]!r} is {scores[bad]}", where=where)
    return scores


def pack(
    packer: Packer,
    query_id: str,
    query: str,
    chunks: Sequence[Chunk],
    documents: Mapping[str, Document],
) -> tuple[Chunk, ...]:
    """The context, checked: no invented or repeated chunk, shortened ones lie inside the original."""
    where = f"query {query_id!r}"
    with _calling("packer", packer, where):
        packed = tuple(packer.pack(query, chunks))
    given = {chunk.id: chunk for chunk in chunks}
    seen: set[str] = set()
    for chunk in packed:
        if not isinstance(chunk, Chunk):
            raise StageError("packer", f"expected Chunk values, got {type(chunk).__name__}", where=where)
        if chunk.id not in given:
            raise StageError("packer", f"chunk {chunk.id!r} was not among those given", where=where)
        if chunk.id in seen:
            raise StageError("packer", f"chunk {chunk.id!r} comes twice", where=where)
        seen.add(chunk.id)
        original = given[chunk.id]
        if chunk is original or (chunk.spans == original.spans and chunk.text == original.text):
            continue
        outside = [span for span in chunk.spans if not _lies_within(span, original.spans)]
        if outside:
            raise StageError(
                "packer", f"chunk {chunk.id!r} now has {outside[0]}, which it did not hold", where=where
            )
        _check_text("packer", chunk, documents[chunk.spans[0].doc_id].text, where)
    return packed


def _lies_within(span: Span, spans: Sequence[Span]) -> bool:
    return any(s.doc_id == span.doc_id and s.start <= span.start and span.end <= s.end for s in spans)
