"""What every stage of a pipeline saw and returned, for a set of queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from ragdiag.costs import Costs
from ragdiag.records import Chunk, Hit, Query, Request
from ragdiag.stages.protocols import Similarity, Vectors

__all__ = ["QueryTrace", "Trace"]


@dataclass(frozen=True, slots=True)
class QueryTrace:
    """One query's way through the pipeline.

    Attributes:
        query_id: whose way it is.
        retrieved: what the retriever returned, best first.
        reranked: the same chunks with the reranker's scores, best first; None without a reranker.
        context: what reached the prompt, in its order; chunks may be shortened by the packer.
    """

    query_id: str
    retrieved: tuple[Hit, ...]
    reranked: tuple[Hit, ...] | None
    context: tuple[Chunk, ...]

    @property
    def ranking(self) -> tuple[Hit, ...]:
        """The final order of the candidates: reranked where there is a reranker."""
        return self.retrieved if self.reranked is None else self.reranked


@dataclass(frozen=True, eq=False)
class Trace:
    """A run of a pipeline over queries. It holds no evidence: gold never passes through a pipeline.

    Attributes:
        stages: the repr of each stage's plug, by stage, in the order of the flow; absent stages are absent.
        candidates: n, how many chunks the retriever was asked for.
        top_k: k, how many chunks the packer was given.
        chunks: all chunks of all documents, in order.
        vectors: one row a chunk, shape (chunks, d); None without an embedder.
        query_vectors: one row a query, shape (queries, d); None without an embedder.
        similarity: how the embedder's vectors are meant to be compared; None without an embedder.
        budget: the token budget that the packer declares; None where it declares none.
        chunk_tokens: tokens of each chunk's text, as the packer or else the embedder counts; None where
            neither does.
        queries: one record a query, in the order given.
        costs: seconds, counts and tokens; outside every comparison and file.
    """

    stages: Mapping[str, str]
    candidates: int
    top_k: int
    chunks: tuple[Chunk, ...]
    vectors: Vectors | None
    query_vectors: Vectors | None
    similarity: Similarity | None
    budget: int | None
    chunk_tokens: tuple[int, ...] | None
    queries: tuple[QueryTrace, ...]
    costs: Costs = field(default_factory=Costs)

    def __repr__(self) -> str:
        return (
            f"Trace({len(self.queries)} queries, {len(self.chunks)} chunks, "
            f"stages: {', '.join(self.stages)}, n={self.candidates}, k={self.top_k})"
        )

    @cached_property
    def position(self) -> Mapping[str, int]:
        """The position of each chunk by its id."""
        return {chunk.id: position for position, chunk in enumerate(self.chunks)}

    def __getitem__(self, query_id: str) -> QueryTrace:
        """One query's record.

        Raises:
            KeyError: the trace holds no such query.
        """
        return self._by_query[query_id]

    @cached_property
    def _by_query(self) -> Mapping[str, QueryTrace]:
        return {query.query_id: query for query in self.queries}

    @cached_property
    def row(self) -> Mapping[str, int]:
        """The row of each query, in `queries` and in `query_vectors`, by its id."""
        return {query.query_id: row for row, query in enumerate(self.queries)}

    def request(self, query: Query) -> Request:
        """What the retriever was asked for a query of the run."""
        vector = None if self.query_vectors is None else self.query_vectors[self.row[query.id]]
        return Request(query.id, query.text, vector, query.filter)

    def positions(self, hits: Sequence[Hit]) -> list[int]:
        """The positions of the chunks of a ranking."""
        return [self.position[hit.chunk_id] for hit in hits]
