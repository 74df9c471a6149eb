"""What health checks look at: a pipeline's index, what it is searched for, and the indexes behind it.

Everything here is worked out when a check first asks for it, and once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ragdiag.diagnosis.arms import arms_of_index, build_arm
from ragdiag.diagnosis.checks.check import NotApplicable
from ragdiag.diagnosis.geometry import norms
from ragdiag.errors import ConfigError
from ragdiag.index import Index
from ragdiag.records import Chunk, Query, Request
from ragdiag.stages import boundary
from ragdiag.stages.protocols import (
    Embedder,
    Retriever,
    Searcher,
    Similarity,
    Vectors,
    arms_of,
    similarity_of,
    uses_vectors,
)
from ragdiag.stages.similarity import Neighbors, nearest
from ragdiag.stages.tokens import TokenCounter, count

__all__ = ["Arm", "Probes", "Survey"]


@dataclass(frozen=True, slots=True, eq=False)
class Arm:
    """An index that a retriever searches, itself or as one of those that it fuses or wraps.

    Attributes:
        retriever: which one.
        searcher: its index.
        metric: what it computes: what it declares, else the embedder's similarity.
        declares: whether it declares a metric.
    """

    retriever: Retriever
    searcher: Searcher
    metric: Similarity
    declares: bool


@dataclass(frozen=True, slots=True, eq=False)
class Probes:
    """What the vectors are searched for: queries, or chunks in place of queries.

    Attributes:
        requests: one a probe, without a filter.
        vectors: one row a probe, shape (probes, d).
        own_rows: the position of each chunk that stands for a query; None for queries. No chunk is counted
            among its own nearest.
        words: what they are, with their number.
    """

    requests: tuple[Request, ...]
    vectors: Vectors
    own_rows: tuple[int, ...] | None
    words: str

    def __len__(self) -> int:
        return len(self.requests)

    def nearest(self, vectors: Vectors, n: int, metric: Similarity) -> list[Neighbors]:
        """The exact ``n`` nearest of all chunks to each probe, itself left out."""
        if self.own_rows is None:
            return nearest(vectors, self.vectors, n, metric)
        found = nearest(vectors, self.vectors, n + 1, metric)
        others = [near.rows != own for near, own in zip(found, self.own_rows, strict=True)]
        return [
            Neighbors(near.rows[kept][:n], near.scores[kept][:n])
            for near, kept in zip(found, others, strict=True)
        ]

    def found(self, searcher: Searcher, n: int, position: Mapping[str, int]) -> list[NDArray[np.intp]]:
        """The positions of the chunks that an index returns for each probe, ``n`` at most, without itself."""
        asked = n if self.own_rows is None else n + 1
        rankings = boundary.search(searcher, self.requests, asked, position)
        rows = [np.array([position[hit.chunk_id] for hit in hits], dtype=np.intp) for hits in rankings]
        if self.own_rows is None:
            return rows
        return [found[found != own][:n] for found, own in zip(rows, self.own_rows, strict=True)]


@dataclass(frozen=True, eq=False)
class Survey:
    """A pipeline over its documents, as checks see it.

    Attributes:
        index: the pipeline over its documents.
        queries: what is asked of it; empty where no queries are known.
        counter: what the answering model counts tokens with; None for the embedder.
        seed: of the sample.
        sample: how many queries, and how many chunks, are searched for at most.
    """

    index: Index
    queries: Sequence[Query] = field(repr=False)
    counter: TokenCounter | None
    seed: int
    sample: int

    @property
    def chunks(self) -> tuple[Chunk, ...]:
        """All chunks."""
        return self.index.chunks

    @cached_property
    def position(self) -> Mapping[str, int]:
        """The position of each chunk by its id."""
        return {chunk.id: position for position, chunk in enumerate(self.chunks)}

    # Vectors

    @property
    def embedder(self) -> Embedder:
        """The pipeline's embedder.

        Raises:
            NotApplicable: it has none.
        """
        if self.index.pipeline.embedder is None:
            raise NotApplicable("The pipeline has no embedder.")
        return self.index.pipeline.embedder

    @property
    def vectors(self) -> Vectors:
        """One row a chunk, shape (chunks, d).

        Raises:
            NotApplicable: the pipeline has no embedder.
        """
        if self.index.vectors is None:
            raise NotApplicable("The pipeline has no embedder.")
        return self.index.vectors

    @property
    def similarity(self) -> Similarity:
        """How the vectors are meant to be compared.

        Raises:
            NotApplicable: the pipeline has no embedder.
        """
        return similarity_of(self.embedder)

    @cached_property
    def lengths(self) -> NDArray[np.float64]:
        """The Euclidean length of each chunk's vector, shape (chunks,).

        Raises:
            NotApplicable: the pipeline has no embedder.
        """
        return norms(self.vectors)

    # Tokens

    @cached_property
    def delivered_tokens(self) -> list[int] | None:
        """Tokens of each chunk's text, by the named counter or else the embedder; None where none counts."""
        texts = [chunk.text for chunk in self.chunks]
        if self.counter is not None:
            return count(self.counter, texts, stage="packer")
        return self._embedder_counts(texts)

    @cached_property
    def indexed_tokens(self) -> list[int] | None:
        """Tokens that the embedder sees of each chunk before truncation; None where it does not count."""
        return self._embedder_counts([chunk.index_text for chunk in self.chunks])

    @property
    def counter_name(self) -> str:
        """What counts the tokens of chunks' texts."""
        return repr(self.counter) if self.counter is not None else "the embedder's tokenizer"

    def _embedder_counts(self, texts: Sequence[str]) -> list[int] | None:
        embedder = self.index.pipeline.embedder
        return count(embedder, texts, stage="embedder") if isinstance(embedder, TokenCounter) else None

    # What is searched for

    @cached_property
    def sampled_rows(self) -> tuple[int, ...]:
        """The positions of a seeded sample of chunks, ascending; all where they are few enough."""
        return self._sample(len(self.chunks))

    @cached_property
    def probes(self) -> Probes:
        """The queries, or a seeded sample of either; chunks where no queries are known.

        Raises:
            NotApplicable: the pipeline has no embedder, or no chunk can stand for a query.
        """
        if self.queries:
            asked = [self.queries[i] for i in self._sample(len(self.queries))]
            texts = [query.text for query in asked]
            rows = boundary.embed_queries(self.embedder, texts, dimensions=self.vectors.shape[1])
            sampled = "sampled " if len(asked) < len(self.queries) else ""
            words = f"{len(asked):,} {sampled}{'query' if len(asked) == 1 else 'queries'}"
            requests = (Request(q.id, q.text, row) for q, row in zip(asked, rows, strict=True))
            return Probes(tuple(requests), rows, None, words)
        # A vector of zeros is as near to one chunk as to any other.
        own = tuple(row for row in self.sampled_rows if self.lengths[row])
        if not own or len(self.chunks) < 2:
            raise NotApplicable("There are no queries, and no chunk with another one to search for.")
        rows = self.vectors[list(own)]
        requests = (
            Request(self.chunks[i].id, self.chunks[i].index_text, row)
            for i, row in zip(own, rows, strict=True)
        )
        sampled = "sampled " if len(self.sampled_rows) < len(self.chunks) else ""
        words = f"{len(own):,} {sampled}chunks in place of queries, each without itself"
        return Probes(tuple(requests), rows, own, words)

    def _sample(self, size: int) -> tuple[int, ...]:
        if size <= self.sample:
            return tuple(range(size))
        rows = np.random.default_rng(self.seed).choice(size, self.sample, replace=False)
        return tuple(np.sort(rows).tolist())

    # What is searched in

    @cached_property
    def arms(self) -> tuple[Arm, ...]:
        """The indexes over vectors behind the retriever, at any depth.

        Raises:
            NotApplicable: the pipeline has no embedder, or its retriever searches texts alone.
            ConfigError: one of them declares a metric that there is not.
        """
        index, similarity = self.index, self.similarity
        found = []
        for retriever, searcher in _leaves(index, index.pipeline.retriever, index.searcher):
            if not uses_vectors(retriever):
                continue
            metric = getattr(retriever, "metric", None)
            if metric not in ("cosine", "dot", "l2", None):
                raise ConfigError(
                    f"{type(retriever).__name__}.metric must be 'cosine', 'dot' or 'l2', got {metric!r}"
                )
            found.append(Arm(retriever, searcher, metric or similarity, metric is not None))
        if not found:
            raise NotApplicable("The retriever searches no vectors.")
        return tuple(found)


def _leaves(index: Index, retriever: Retriever, searcher: Searcher) -> Iterator[tuple[Retriever, Searcher]]:
    """The retrievers that search by themselves, at any depth, with their indexes, built if not declared."""
    if not arms_of(retriever):
        yield retriever, searcher
    else:
        for arm, own in arms_of_index(retriever, searcher):
            yield from _leaves(index, arm, own or build_arm(index, arm))
