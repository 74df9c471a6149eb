"""Verdicts where several chunks deliver the same spans: children of one parent, found by different texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from plugs import AnyEmbedder, LineChunker, TableEmbedder, WholeChunker

from ragdiag import (
    Chunker,
    Document,
    Evidence,
    ExactRetriever,
    ParentChildChunker,
    Pipeline,
    Query,
    RecursiveChunker,
    Span,
    diagnose,
)


@dataclass(frozen=True)
class FirstAlphaThenBeta:
    """Prefers texts of alpha to those of beta, and these to all others."""

    def score(self, query: str, texts: Sequence[str]) -> list[float]:  # noqa: ARG002
        return [10.0 if "alpha" in text else 5.0 if "beta" in text else 1.0 for text in texts]


ALPHA = Document("A", "\n".join(f"alpha {i}" for i in range(4)))
BETA = Document("B", "beta 0")
FILLERS = [Document(f"f{i}", f"filler {i}") for i in range(12)]


@pytest.mark.parametrize("chunker", [ParentChildChunker(WholeChunker(), LineChunker()), WholeChunker()])
def test_an_ideal_embedder_finds_a_parent_once(chunker: Chunker) -> None:
    # All four children found would fill the context with one text, and push the query's other unit out.
    embedder = TableEmbedder(
        {
            "q?": (1, 0),
            "beta 0": (1, 0.1),
            **{f"alpha {i}": (0, 1) for i in range(4)},
            ALPHA.text: (0, 1),
            **{f"filler {i}": (1, 0.5 + i / 10) for i in range(12)},
        }
    )
    wanted = [Evidence.of(Span.find(ALPHA, "alpha 2")), Evidence.of(Span("B", 0, 6))]
    pipeline = Pipeline(
        chunker=chunker,
        embedder=embedder,
        retriever=ExactRetriever(),
        reranker=FirstAlphaThenBeta(),
        candidates=8,
        top_k=2,
    )
    diagnosis = diagnose(pipeline, [ALPHA, BETA, *FILLERS], [Query("q", "q?", wanted)], copies=False)
    [failure] = diagnosis.failures.to_dict("records")
    assert (failure["stage"], failure["proof"]) == ("embedder", "verified")


def to_the_point(texts: Sequence[str]) -> list[list[float]]:
    """The query's direction for a short text with the whole answer, half of it for fillers, else none."""
    return [
        [1.0, 0.0]
        if "start of" in text and "answer" in text and len(text) < 30
        else [1.0, 1.0]
        if "filler" in text
        else [0.0, 1.0]
        for text in texts
    ]


def test_an_ideal_chunk_is_found_by_a_text_as_small_as_a_child() -> None:
    # Two parents cut the evidence. An ideal one is found by its evidence, not by all that it says.
    guide = Document("guide", "Much is said before the start of\nthe answer and more is said behind it.")
    wanted = Evidence.of(Span.find(guide, "start of\nthe answer"))
    pipeline = Pipeline(
        chunker=ParentChildChunker(LineChunker(), RecursiveChunker(24)),
        embedder=AnyEmbedder(to_the_point, lambda texts: [[1.0, 0.0]] * len(texts)),
        retriever=ExactRetriever(),
        top_k=1,
    )
    diagnosis = diagnose(pipeline, [guide, *FILLERS], [Query("q", "q?", [wanted])])
    [failure] = diagnosis.failures.to_dict("records")
    assert (failure["stage"], failure["proof"]) == ("chunker", "verified")
