"""A pipeline's index over documents, and what it answers to queries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING
from warnings import warn

import numpy as np
from numpy.typing import NDArray

from ragdiag.costs import Costs, count_tokens
from ragdiag.errors import DataError, RagdiagWarning, StageError
from ragdiag.progress import track
from ragdiag.records import Chunk, Document, Hit, Query, Request
from ragdiag.stages import boundary
from ragdiag.stages.protocols import Chunker, Searcher, Vectors, budget_of, similarity_of, token_counts
from ragdiag.trace import QueryTrace, Trace

if TYPE_CHECKING:
    from ragdiag.pipeline import Pipeline

__all__ = ["Index", "check_documents", "check_unique", "chunk_all"]


@dataclass(frozen=True, eq=False)
class Index:
    """A pipeline over its documents, ready for queries.

    Attributes:
        pipeline: whose index this is.
        documents: what was indexed.
        chunks: all chunks, in the order of the documents.
        vectors: one row a chunk, shape (chunks, d), or None without an embedder.
        searcher: the built index.
        costs: what building it took.
    """

    pipeline: Pipeline
    documents: tuple[Document, ...] = field(repr=False)
    chunks: tuple[Chunk, ...] = field(repr=False)
    vectors: Vectors | None = field(repr=False)
    searcher: Searcher
    costs: Costs = field(default_factory=Costs, repr=False)

    @classmethod
    def build(
        cls, pipeline: Pipeline, documents: Sequence[Document], *, progress: bool | None = None
    ) -> Index:
        """Chunk, embed and index ``documents``; see `Pipeline.index`."""
        check_documents(documents)
        _warn_of_empty(documents)
        costs = Costs()
        with costs.measure("chunker", "documents cut", len(documents)):
            chunks = chunk_all(pipeline.chunker, documents, progress=progress)
        vectors = _embed_chunks(pipeline, chunks, {}, costs)
        with costs.measure("retriever", "chunks indexed", len(chunks)):
            searcher = boundary.build_index(pipeline.retriever, chunks, vectors)
        return cls(pipeline, tuple(documents), chunks, vectors, searcher, costs)

    def changed(self, pipeline: Pipeline, *, progress: bool | None = None) -> Index:
        """The index of another pipeline over the same documents, which shares all that does not change.

        With an equal chunker the chunks are the same; with an equal embedder the vectors of all texts that
        are embedded here already; with both and an equal retriever the searcher. Plugs are compared by
        identity, then by ``==``. It answers as ``pipeline.index(documents)`` would; a model whose vectors
        vary in their last digits with what else is in a batch may differ in those. Its costs are what was
        done for it: what is shared has no row.

        Raises:
            StageError: a plug broke its contract.

        Example:
            >>> from ragdiag import BM25Retriever, Document, Pipeline, RecursiveChunker
            >>> few = Pipeline(chunker=RecursiveChunker(200), retriever=BM25Retriever(), top_k=5)
            >>> more = Pipeline(chunker=RecursiveChunker(200), retriever=BM25Retriever(), top_k=10)
            >>> index = few.index([Document("faq", "Returns are free.")])
            >>> index.changed(more).searcher is index.searcher
            True
        """
        costs = Costs()
        same_chunks = _same(pipeline.chunker, self.pipeline.chunker)
        same_embedder = _same(pipeline.embedder, self.pipeline.embedder)
        chunks, vectors, searcher = self.chunks, self.vectors, self.searcher
        if not same_chunks:
            with costs.measure("chunker", "documents cut", len(self.documents)):
                chunks = chunk_all(pipeline.chunker, self.documents, progress=progress)
        if not (same_chunks and same_embedder):
            known = self._vector_of_text if same_embedder else {}
            vectors = _embed_chunks(pipeline, chunks, known, costs)
        if not (same_chunks and same_embedder and _same(pipeline.retriever, self.pipeline.retriever)):
            with costs.measure("retriever", "chunks indexed", len(chunks)):
                searcher = boundary.build_index(pipeline.retriever, chunks, vectors)
        return Index(pipeline, self.documents, chunks, vectors, searcher, costs)

    def run(
        self, queries: Sequence[Query], *, latency_queries: int = 0, progress: bool | None = None
    ) -> Trace:
        """Ask ``queries``; see `Pipeline.run`.

        Raises:
            DataError: two queries have the same id.
            StageError: a plug broke its contract.
        """
        check_unique("query", [query.id for query in queries])
        pipeline = self.pipeline
        costs = Costs(list(self.costs.stages))
        answers = self._ask(queries, costs, progress=progress)
        costs.latency = self.latency(queries[:latency_queries])
        return Trace(
            stages=pipeline.stages,
            candidates=pipeline.n,
            top_k=pipeline.top_k,
            chunks=self.chunks,
            vectors=self.vectors,
            query_vectors=answers.vectors,
            similarity=None if pipeline.embedder is None else similarity_of(pipeline.embedder),
            budget=budget_of(pipeline.packer),
            chunk_tokens=token_counts(self.chunks, pipeline.packer, pipeline.embedder),
            queries=answers.queries,
            costs=costs,
        )

    def latency(self, queries: Sequence[Query]) -> dict[str, list[float]]:
        """Seconds that each stage, and all together, take for each query asked alone."""
        seconds: dict[str, list[float]] = {}
        for query in queries:
            costs = Costs()
            self._ask([query], costs, progress=False)
            for cost in costs.stages:
                seconds.setdefault(cost.stage, []).append(cost.seconds)
            seconds.setdefault("total", []).append(sum(cost.seconds for cost in costs.stages))
        return seconds

    def _ask(self, queries: Sequence[Query], costs: Costs, *, progress: bool | None) -> _Answers:
        pipeline = self.pipeline
        vectors = self._embed(queries, costs)
        requests = [
            Request(query.id, query.text, None if vectors is None else vectors[i], query.filter)
            for i, query in enumerate(queries)
        ]
        with costs.measure("retriever", "queries searched", len(queries)):
            retrieved = boundary.search(self.searcher, requests, pipeline.n, self._position)
        rankings = retrieved
        if pipeline.reranker is not None:
            pairs = list(zip(queries, retrieved, strict=True))
            with costs.measure("reranker", "pairs scored", sum(map(len, retrieved))):
                rankings = [
                    boundary.rerank(
                        pipeline.reranker, query.id, query.text, hits, [c.text for c in self._chunks(hits)]
                    )
                    for query, hits in track(pairs, "reranking", progress=progress)
                ]
        contexts = [self._chunks(hits[: pipeline.top_k]) for hits in rankings]
        if pipeline.packer is not None:
            with costs.measure("packer", "contexts packed", len(queries)):
                contexts = [
                    boundary.pack(pipeline.packer, query.id, query.text, top, self.documents_by_id)
                    for query, top in zip(queries, contexts, strict=True)
                ]
        traces = (
            QueryTrace(query.id, hits, None if pipeline.reranker is None else ranking, context)
            for query, hits, ranking, context in zip(queries, retrieved, rankings, contexts, strict=True)
        )
        return _Answers(vectors, tuple(traces))

    def _embed(self, queries: Sequence[Query], costs: Costs) -> Vectors | None:
        embedder = self.pipeline.embedder
        if embedder is None or self.vectors is None:
            return None
        texts = [query.text for query in queries]
        with costs.measure("embedder", "queries embedded", len(texts), count_tokens(embedder, texts)):
            return boundary.embed_queries(embedder, texts, dimensions=self.vectors.shape[1])

    def _chunks(self, hits: Sequence[Hit]) -> tuple[Chunk, ...]:
        return tuple(self.chunks[self._position[hit.chunk_id]] for hit in hits)

    @cached_property
    def _position(self) -> Mapping[str, int]:
        return {chunk.id: position for position, chunk in enumerate(self.chunks)}

    @property
    def _vector_of_text(self) -> Mapping[str, NDArray[np.float32]]:
        if self.vectors is None:
            return {}
        return dict(zip((chunk.index_text for chunk in self.chunks), self.vectors, strict=True))

    @cached_property
    def documents_by_id(self) -> Mapping[str, Document]:
        """The documents by their ids."""
        return {document.id: document for document in self.documents}


@dataclass(frozen=True, slots=True, eq=False)
class _Answers:
    vectors: Vectors | None
    queries: tuple[QueryTrace, ...]


def check_documents(documents: Sequence[Document]) -> None:
    """Check that there are documents, with unique ids.

    Raises:
        DataError: there are none, or two have the same id.
    """
    if not documents:
        raise DataError("the corpus is empty: there are no documents")
    check_unique("document", [document.id for document in documents])


def chunk_all(
    chunker: Chunker, documents: Sequence[Document], *, progress: bool | None = None
) -> tuple[Chunk, ...]:
    """The chunks of all documents, in order.

    Raises:
        StageError: there are none, or the chunker broke its contract.
    """
    chunks: dict[str, Chunk] = {}
    for document in track(documents, "chunking", progress=progress):
        for chunk in boundary.chunk_document(chunker, document):
            if chunk.id in chunks:
                other = chunks[chunk.id].spans[0].doc_id
                raise StageError(
                    "chunker",
                    f"the chunk id {chunk.id!r} already stands for a chunk of document {other!r}",
                    where=f"document {document.id!r}",
                )
            chunks[chunk.id] = chunk
    if not chunks:
        raise StageError("chunker", f"made no chunk from {len(documents)} documents")
    return tuple(chunks.values())


def check_unique(what: str, ids: Sequence[str]) -> None:
    """Check that no two of ``what`` have the same id.

    Raises:
        DataError: naming the first id that comes twice.
    """
    repeated = [id_ for id_, times in Counter(ids).items() if times > 1]
    if repeated:
        raise DataError(f"{len(repeated)} {what} ids are not unique, the first is {repeated[0]!r}")


def _embed_chunks(
    pipeline: Pipeline, chunks: Sequence[Chunk], known: Mapping[str, NDArray[np.float32]], costs: Costs
) -> Vectors | None:
    """A vector a chunk, or None without an embedder; texts whose vectors are not known are embedded once."""
    if pipeline.embedder is None:
        return None
    similarity_of(pipeline.embedder)  # what it may not declare is refused before it is paid for
    texts = [text for text in dict.fromkeys(chunk.index_text for chunk in chunks) if text not in known]
    vector_of = dict(known)
    if texts:
        tokens = count_tokens(pipeline.embedder, texts)
        with costs.measure("embedder", "texts embedded", len(texts), tokens):
            rows = boundary.embed_documents(pipeline.embedder, texts)
        vector_of.update(zip(texts, rows, strict=True))
    vectors = [vector_of[chunk.index_text] for chunk in chunks]
    lengths = sorted({len(vector) for vector in vectors})
    if len(lengths) > 1:
        raise StageError("embedder", f"embed_documents: expected vectors of one length, got {lengths}")
    return np.stack(vectors)


def _same(plug: object, other: object) -> bool:
    """Whether two plugs do the same; those that cannot be compared count as different."""
    try:
        return plug is other or bool(plug == other)
    except ValueError:  # options that are arrays are compared element by element
        return False


def _warn_of_empty(documents: Sequence[Document]) -> None:
    empty = [document.id for document in documents if not document.text.strip()]
    if empty:
        warn(
            f"{len(empty)} of {len(documents)} documents hold no text, the first is {empty[0]!r}",
            RagdiagWarning,
            stacklevel=5,
        )
