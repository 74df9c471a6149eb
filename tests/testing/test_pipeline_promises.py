"""The promises of a pipeline: each is broken by one that is wrong in one way, and the message says so."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from broken_promises import (
    Again,
    Row,
    both_ways,
    centered,
    check_broken,
    check_complete,
    each_row,
    encodes,
    hashed,
    turns,
)
from plugs import (
    AnyChunker,
    AnyEmbedder,
    AnyPacker,
    AnyReranker,
    LineChunker,
)

from ragdiag import testing
from ragdiag.pipeline import Pipeline
from ragdiag.records import Chunk, Document, Query
from ragdiag.stages.chunkers import RecursiveChunker
from ragdiag.stages.embedders import HashingEmbedder
from ragdiag.stages.packers import TokenBudget
from ragdiag.stages.protocols import Vectors
from ragdiag.stages.rerankers import LateInteractionReranker
from ragdiag.stages.retrievers import (
    BM25Retriever,
    ExactRetriever,
    HybridRetriever,
)


def pipeline(**stages: Any) -> Pipeline:
    return Pipeline(**{"chunker": RecursiveChunker(150), "retriever": BM25Retriever(), **stages})


def numbered_by_run() -> Callable[[Document], list[Chunk]]:
    """The same chunks within a run, others in the next."""
    seen: list[str] = []

    def chunk(document: Document) -> list[Chunk]:
        seen.append(document.id)
        run = seen.count(document.id)
        return [replace(c, id=f"{run}: {c.id}") for c in LineChunker().chunk(document)]

    return chunk


def drifting() -> Callable[[Sequence[str]], Vectors]:
    runs = itertools.count(1)
    return lambda texts: hashed(texts) * np.float32(next(runs))


def moody_scores() -> Callable[[str, Sequence[str]], list[float]]:
    asked = Again()

    def score(query: str, texts: Sequence[str]) -> list[float]:
        sign = -1 if asked((query, texts)) else 1
        return [sign * len(text) for text in texts]

    return score


@pytest.mark.parametrize(
    "whole",
    [
        pipeline(),
        pipeline(
            embedder=HashingEmbedder(64),
            retriever=HybridRetriever([BM25Retriever(), ExactRetriever()]),
            reranker=LateInteractionReranker(HashingEmbedder(64)),
            packer=TokenBudget(400),
        ),
    ],
    ids=["two stages", "five stages"],
)
def test_pipelines_that_keep_their_promises(whole: Pipeline) -> None:
    testing.check_pipeline(whole)
    documents = [Document("d", "Goods may be returned.")]
    testing.check_pipeline(whole, documents, [Query("q", "returned?")])


BROKEN: list[Row] = [
    (
        pipeline(chunker=AnyChunker(encodes)),
        {"raises_nothing"},
        [
            "16 documents, 5 queries: expected an answer, got UnicodeEncodeError",
            "raised by the chunker AnyCh",
        ],
    ),
    (
        pipeline(reranker=AnyReranker(lambda _, texts: [float("inf")] * len(texts))),
        {"valid_stages"},
        ["16 documents, 5 queries: reranker: query 'q0': the score of chunk", "is inf"],
    ),
    (
        pipeline(chunker=AnyChunker(numbered_by_run())),
        {"same_again", "same_alone"},
        ["run again: chunker: expected the same", "chunks, got others"],
    ),
    (
        pipeline(embedder=both_ways(drifting()), retriever=ExactRetriever()),
        {"same_again"},
        ["16 documents, 5 queries, run again, documents: embedder: expected the same vector for 'x'"],
    ),
    (
        pipeline(embedder=AnyEmbedder(hashed, drifting()), retriever=ExactRetriever()),
        {"same_again"},
        ["run again, queries: embedder: expected the same vector for 'How long"],
    ),
    (
        pipeline(embedder=AnyEmbedder(hashed, centered), retriever=ExactRetriever()),
        {"same_alone"},
        ["query 'q0', alone, then among others: retriever: expected Hit("],
    ),
    (
        pipeline(reranker=AnyReranker(moody_scores())),
        {"same_again", "same_alone"},
        ["query 'q0', run again: reranker: expected Hit("],
    ),
    (
        pipeline(packer=AnyPacker(turns())),
        {"same_again", "same_alone"},
        ["packer: expected the context ["],
    ),
]


@each_row(BROKEN)
def test_broken_pipelines(plug: Any, broken: set[str], says: Sequence[str]) -> None:
    check_broken(lambda: testing.check_pipeline(plug), broken, says)


def test_every_promise_is_broken_once() -> None:
    check_complete("pipeline", BROKEN)
