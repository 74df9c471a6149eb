"""The healthy pipelines whose faults the benchmark of verdicts plants: three corpora, real stages.

Each case asks questions that the healthy pipeline answers in full, so that whatever is lost was planted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np
from real_data import spans_data

from ragdiag import (
    BM25Retriever,
    Chunker,
    Document,
    Embedder,
    FaissRetriever,
    HybridRetriever,
    LateInteractionReranker,
    MarkdownChunker,
    Pipeline,
    Query,
    RecursiveChunker,
    Retriever,
    SentenceChunker,
    StaticEmbedder,
    TokenBudget,
)
from ragdiag.demo import demo_data
from ragdiag.experiments.faults import Case
from ragdiag.experiments.faults.truth import delivered_units

__all__ = ["CORPORA", "QUERIES", "healthy_case"]

QUERIES = 150
CANDIDATES, TOP_K, ROOM = 30, 5, 1_600

# Half of the chunking data is one document of tables, most of whose evidence stands in several places.
_LEFT_OUT = {"chroma_chunking": {"finance"}}


def _stages(corpus: str) -> tuple[Chunker, Retriever]:
    if corpus == "handbook":
        return MarkdownChunker(size=800, heading_path=True), FaissRetriever(
            "HNSW16", parameters={"efSearch": 128}
        )
    if corpus == "chroma_chunking":
        return RecursiveChunker(size=800), FaissRetriever("IVF24,Flat", parameters={"nprobe": 24})
    arms: list[Retriever] = [FaissRetriever("HNSW16", parameters={"efSearch": 128}), BM25Retriever()]
    return SentenceChunker(size=500), HybridRetriever(arms)


CORPORA = ("handbook", "chroma_chunking", "xquad_en")


@cache
def _data(corpus: str) -> tuple[list[Document], list[Query]]:
    if corpus == "handbook":
        return demo_data()
    documents, queries = spans_data(corpus)
    left_out = _LEFT_OUT.get(corpus, set())
    return (
        [document for document in documents if document.id not in left_out],
        [query for query in queries if left_out.isdisjoint(query.doc_ids)],
    )


def _pipeline(corpus: str, embedder: Embedder) -> Pipeline:
    chunker, retriever = _stages(corpus)
    words = StaticEmbedder()
    return Pipeline(
        chunker=chunker,
        embedder=embedder,
        retriever=retriever,
        reranker=LateInteractionReranker(words),
        packer=TokenBudget(ROOM, counter=words),
        candidates=CANDIDATES,
        top_k=TOP_K,
    )


def healthy_case(corpus: str, embedder: Embedder, *, seed: int, most: int = QUERIES) -> Case:
    """A pipeline over a corpus, and up to ``most`` of the questions that it answers in full.

    Args:
        corpus: which of `CORPORA`.
        embedder: of the pipeline.
        seed: decides which questions.
        most: how many.
    """
    whole = _answered(corpus, embedder)
    chosen = np.random.default_rng(seed).permutation(len(whole.queries))[:most]
    return replace(whole, queries=tuple(whole.queries[i] for i in sorted(chosen)))


_ANSWERED: dict[tuple[str, str], Case] = {}


def _answered(corpus: str, embedder: Embedder) -> Case:
    key = corpus, repr(embedder)
    if key not in _ANSWERED:
        documents, queries = _data(corpus)
        asked = Case(_pipeline(corpus, embedder), tuple(documents), _assessed(queries))
        delivered = delivered_units(asked)
        answered = tuple(
            query
            for query in asked.queries
            if all((query.id, number) in delivered for number in range(len(query.evidence)))
        )
        _ANSWERED[key] = replace(asked, queries=answered)
    return _ANSWERED[key]


def _assessed(queries: Sequence[Query]) -> tuple[Query, ...]:
    return tuple(query for query in queries if query.assessed)
