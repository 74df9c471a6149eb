"""What a broken plug passes on of what the plug inside it declares, so that it is taken for that one.

A declaration that the inner plug lacks is lacking in the broken one too. A chunker has nothing to declare.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ragdiag.records import Chunk, Hit, Request
from ragdiag.stages.protocols import (
    Embedder,
    Packer,
    Reranker,
    Retriever,
    Searcher,
    Vectors,
    arms_of,
    recipe_of,
    uses_vectors,
)

__all__ = ["AroundEmbedder", "AroundPacker", "AroundReranker", "AroundRetriever"]


def _passed_on(name: str) -> Any:
    """A declaration of the inner plug, as one's own; an AttributeError where there is none."""
    return property(lambda plug: getattr(plug.inner, name))


@dataclass(frozen=True)
class AroundEmbedder:
    """Around an embedder: it compares, reads and counts as the inner one; documents and queries are its."""

    inner: Embedder

    similarity = _passed_on("similarity")
    max_tokens = _passed_on("max_tokens")
    count_tokens = _passed_on("count_tokens")
    unused_prompts = _passed_on("unused_prompts")

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """As the inner one does."""
        return self.inner.embed_documents(texts)

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """As the inner one does."""
        return self.inner.embed_queries(texts)


@dataclass(frozen=True)
class AroundRetriever:
    """Around a retriever, for which other chunks or other vectors are indexed.

    Its arms are the inner one's, sound as they are: what is expected of it is what they find. Its searcher
    declares none, since those that it fuses are built over what is broken.
    """

    inner: Retriever

    metric = _passed_on("metric")

    @property
    def uses_vectors(self) -> bool:
        """Whether the inner one looks at vectors."""
        return uses_vectors(self.inner)

    @property
    def arms(self) -> tuple[Retriever, ...]:
        """What the inner one fuses."""
        return arms_of(self.inner)

    def index(self, chunks: Sequence[Chunk], vectors: Vectors | None) -> Searcher:
        """The inner one's index over any chunks, also where it brings a finished one."""
        return _Unfused(recipe_of(self.inner).build(chunks, vectors))


@dataclass(frozen=True)
class _Unfused:
    """A searcher that does not say what it fuses."""

    inner: Searcher = field(repr=False)

    def search(self, requests: Sequence[Request], n: int) -> Sequence[Sequence[Hit]]:
        return self.inner.search(requests, n)


@dataclass(frozen=True)
class AroundReranker:
    """Around a reranker, which may say how much it reads."""

    inner: Reranker

    max_tokens = _passed_on("max_tokens")
    count_pair_tokens = _passed_on("count_pair_tokens")


@dataclass(frozen=True)
class AroundPacker:
    """Around a packer, or around none, which keeps the chunks as they are."""

    inner: Packer | None

    budget = _passed_on("budget")
    tokens = _passed_on("tokens")

    def packed(self, query: str, chunks: Sequence[Chunk]) -> Sequence[Chunk]:
        """What the inner one makes of chunks."""
        return chunks if self.inner is None else self.inner.pack(query, chunks)
