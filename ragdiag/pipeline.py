"""A pipeline: five pluggable stages as one frozen value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ragdiag.costs import WorkEstimate, count_tokens
from ragdiag.errors import ConfigError
from ragdiag.index import Index, check_documents, chunk_all
from ragdiag.records import Document, Query
from ragdiag.stages.protocols import (
    STAGES,
    Chunker,
    Embedder,
    Packer,
    Reranker,
    Retriever,
    budget_of,
    require_plug,
    uses_vectors,
)
from ragdiag.trace import Trace

__all__ = ["Pipeline"]


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """The stages of a RAG pipeline, as one frozen value.

    Attributes:
        chunker: cuts documents into chunks.
        embedder: turns texts into vectors; None where the retriever searches texts or owns its model.
        retriever: the recipe for an index.
        reranker: scores the candidates again; None where the retriever's order is final.
        packer: makes the context of the top k; None where they are delivered as they are.
        candidates: n, how many chunks the retriever hands on to a reranker (without one, n is k).
        top_k: k, how many chunks may reach the prompt.

    Raises:
        ConfigError: a plug lacks its method, the numbers do not fit, or vectors are made that nothing
            searches or searched that nothing makes.

    Example:
        >>> from ragdiag import BM25Retriever, RecursiveChunker
        >>> pipeline = Pipeline(chunker=RecursiveChunker(size=200), retriever=BM25Retriever(), top_k=3)
        >>> list(pipeline.stages)
        ['chunker', 'retriever']
    """

    chunker: Chunker
    retriever: Retriever
    embedder: Embedder | None = None
    reranker: Reranker | None = None
    packer: Packer | None = None
    candidates: int = 50
    top_k: int = 5

    def __post_init__(self) -> None:
        for stage, plug in self.plugs.items():
            require_plug(stage, plug, called=stage)
        for name in ("candidates", "top_k"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigError(f"{name} must be a whole number of at least 1, got {value!r}")
        if self.reranker is not None and self.candidates < self.top_k:
            raise ConfigError(f"candidates ({self.candidates}) must be at least top_k ({self.top_k})")
        if self.embedder is not None and not uses_vectors(self.retriever):
            raise ConfigError(
                f"{type(self.retriever).__name__} ignores vectors: drop the embedder, or fuse it with a "
                "vector search in HybridRetriever"
            )
        budget_of(self.packer)

    @property
    def plugs(self) -> Mapping[str, object]:
        """The plugs that are there, by stage, in the order of the flow."""
        plugs: dict[str, object] = {stage: getattr(self, stage) for stage in STAGES}
        return {stage: plug for stage, plug in plugs.items() if plug is not None}

    @property
    def stages(self) -> Mapping[str, str]:
        """The repr of each plug, by stage."""
        return {stage: repr(plug) for stage, plug in self.plugs.items()}

    @property
    def n(self) -> int:
        """How many chunks the retriever is asked for: `candidates`, or k where nothing reranks them."""
        return self.top_k if self.reranker is None else self.candidates

    def index(self, documents: Sequence[Document], *, progress: bool | None = None) -> Index:
        """Chunk, embed and index ``documents``.

        Raises:
            DataError: there are no documents, or two have the same id.
            StageError: a plug broke its contract.
        """
        return Index.build(self, documents, progress=progress)

    def run(
        self,
        documents: Sequence[Document],
        queries: Sequence[Query],
        *,
        latency_queries: int = 0,
        progress: bool | None = None,
    ) -> Trace:
        """Index ``documents`` and ask ``queries``; record what every stage saw and returned.

        Args:
            documents: the corpus.
            queries: what is asked; their evidence is not looked at.
            latency_queries: over how many queries the latency of a single query is measured, in a pass of
                its own.
            progress: whether long work shows a bar; None shows it on a terminal only.
        """
        return self.index(documents, progress=progress).run(
            queries, latency_queries=latency_queries, progress=progress
        )

    def estimate(self, documents: Sequence[Document], queries: Sequence[Query]) -> WorkEstimate:
        """What a run will ask of the models. Only the chunker is run, and tokens are counted."""
        check_documents(documents)
        chunks = chunk_all(self.chunker, documents, progress=False)
        texts: list[str] = []
        if self.embedder is not None:
            texts = [*dict.fromkeys(chunk.index_text for chunk in chunks), *(q.text for q in queries)]
        return WorkEstimate(
            documents=len(documents),
            chunks=len(chunks),
            queries=len(queries),
            texts=len(texts),
            tokens=None if self.embedder is None else count_tokens(self.embedder, texts),
            pairs=0 if self.reranker is None else len(queries) * min(self.n, len(chunks)),
        )
