"""Which of several sets of stages is charged where no single one brings a unit back."""

from __future__ import annotations

import pytest

from ragdiag.diagnosis.verdicts import Verdict
from ragdiag.report.proof import ProofStory
from ragdiag.stages.protocols import STAGES


@pytest.mark.parametrize(
    ("observed", "repairs", "charged"),
    [
        ("embedder", (("chunker", "reranker"), ("embedder", "reranker")), ("chunker", "reranker")),
        ("reranker", (("chunker", "embedder"), ("chunker", "reranker")), ("chunker", "embedder")),
        ("retriever", (("embedder", "reranker"), ("retriever", "reranker")), ("retriever", "reranker")),
        ("packer", (("embedder", "retriever"), ("embedder", "packer")), ("embedder", "packer")),
        ("packer", (("embedder", "retriever"),), ("embedder", "retriever")),
        (
            "packer",
            (("embedder", "retriever"), ("embedder", "reranker", "packer")),
            ("embedder", "retriever"),
        ),
    ],
)
def test_the_set_that_is_charged_is_the_one_that_is_told_first(
    observed: str, repairs: tuple[tuple[str, ...], ...], charged: tuple[str, ...]
) -> None:
    verdict = Verdict(charged[0], "masked", "joint", observed, repairs)
    assert verdict.together == charged
    told = ProofStory(verdict, STAGES, 5, None).conclusion
    assert f"but {charged[0]} and {charged[1]} made ideal together do" in told[0]


def test_no_set_is_charged_where_none_helps() -> None:
    assert Verdict("embedder", "ranked_low", "undetermined", "embedder").together == ()
