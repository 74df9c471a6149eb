from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from contracts_embedders import check_reranker, minilm, static
from hypothesis import given, settings
from hypothesis import strategies as st

from ragdiag.errors import ConfigError, StageError
from ragdiag.stages.embedders import HashingEmbedder
from ragdiag.stages.protocols import Vectors
from ragdiag.stages.rerankers import LateInteractionReranker

WORDS = st.lists(
    st.sampled_from(["goods", "may", "be", "returned", "within", "thirty", "days", "ฟรี", "退货"]), max_size=8
)


@dataclass
class Recorded:
    """The hashing embedder, with every text that it was asked for."""

    encoded: list[str] = field(default_factory=list)

    def token_vectors(self, texts: Sequence[str]) -> list[Vectors]:
        self.encoded += texts
        return HashingEmbedder(64).token_vectors(texts)


def brute_force_maxsim(query_tokens: Vectors, text_tokens: Vectors) -> float:
    best, weights = [], []
    for q in query_tokens.astype(float):
        cosines = [
            float(np.dot(q, t) / (np.linalg.norm(q) * np.linalg.norm(t))) for t in text_tokens.astype(float)
        ]
        weights.append(float(np.linalg.norm(q)))
        best.append(weights[-1] * max(cosines))
    return sum(best) / sum(weights)


@pytest.mark.parametrize("embedder", [HashingEmbedder(), static()], ids=repr)
def test_late_interaction_keeps_the_contract(embedder: HashingEmbedder) -> None:
    check_reranker(LateInteractionReranker(embedder))


@pytest.mark.minilm
def test_late_interaction_over_minilm_keeps_the_contract() -> None:
    check_reranker(LateInteractionReranker(minilm()), atol=1e-4)


@settings(max_examples=60, deadline=None)
@given(query=WORDS, texts=st.lists(WORDS, max_size=6))
def test_scores_equal_a_double_loop(query: list[str], texts: list[list[str]]) -> None:
    embedder = HashingEmbedder(64)
    joined = [" ".join(text) for text in texts]
    scores = LateInteractionReranker(embedder).score(" ".join(query), joined)
    [query_tokens] = embedder.token_vectors([" ".join(query)])
    for score, text_tokens in zip(scores, embedder.token_vectors(joined), strict=True):
        if not len(query_tokens):
            assert score == 0
        elif not len(text_tokens):
            assert score == -1
        else:
            assert score == pytest.approx(brute_force_maxsim(query_tokens, text_tokens), abs=1e-3)


@pytest.mark.parametrize("size", [1, 2, 7, 129, 300])
def test_a_score_is_exactly_the_same_in_every_batch(size: int) -> None:
    texts = [f"Clause {i}: goods {'of any kind ' * (i % 9)}may be returned." for i in range(size)]
    query = "Which goods may be returned?"
    together = LateInteractionReranker(static()).score(query, texts)
    reranker = LateInteractionReranker(static(), cache_bytes=0)
    picked = range(0, size, 1 + size // 20)
    assert [reranker.score(query, [texts[i]])[0] for i in picked] == [together[i] for i in picked]


def test_a_text_that_holds_the_query_scores_one() -> None:
    scores = LateInteractionReranker(HashingEmbedder()).score("free shipping", ["all shipping is free", "no"])
    assert scores[0] == pytest.approx(1, abs=1e-3)
    assert scores[1] < 0.5


def test_each_distinct_text_is_encoded_once() -> None:
    embedder = Recorded()
    reranker = LateInteractionReranker(embedder)
    reranker.score("q", ["a", "b", "a"])
    reranker.score("q", ["b", "c", "q"])
    assert sorted(embedder.encoded) == ["a", "b", "c", "q"]


def test_the_cache_drops_what_was_used_longest_ago() -> None:
    embedder = Recorded()
    one_entry = 64 * 2 + 4 + len("x") + 49  # a vector in half precision, its length, and a short str
    reranker = LateInteractionReranker(embedder, cache_bytes=3 * one_entry + 40)
    reranker.score("q", ["a", "b"])
    reranker.score("q", ["a", "c"])  # drops b, the oldest
    embedder.encoded.clear()
    reranker.score("q", ["a", "c"])
    assert embedder.encoded == []
    reranker.score("q", ["b"])
    assert embedder.encoded == ["b"]


def test_without_a_cache_scores_stay_the_same() -> None:
    texts = ["free shipping", "", "returned goods", "free shipping"]
    embedder = Recorded()
    uncached = LateInteractionReranker(embedder, cache_bytes=0)
    expected = LateInteractionReranker(HashingEmbedder(64)).score("free goods", texts)
    assert uncached.score("free goods", texts) == expected
    embedder.encoded.clear()
    assert uncached.score("free goods", texts) == expected
    assert sorted(embedder.encoded) == ["", "free goods", "free shipping", "returned goods"]


def test_repr_names_the_embedder() -> None:
    assert repr(LateInteractionReranker(static())) == "LateInteractionReranker(embedder=StaticEmbedder())"


def test_an_embedder_without_token_vectors_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"must have token_vectors\(texts\), which object has not"):
        LateInteractionReranker(object())  # type: ignore[arg-type]


def test_a_negative_cache_is_refused() -> None:
    with pytest.raises(ConfigError, match="cache_bytes must be >= 0, got -1"):
        LateInteractionReranker(HashingEmbedder(), cache_bytes=-1)


def test_an_embedder_that_loses_texts_is_named() -> None:
    class Lossy:
        def token_vectors(self, texts: Sequence[str]) -> list[Vectors]:
            return HashingEmbedder(8).token_vectors(texts[:1])

    with pytest.raises(StageError, match=r"reranker: Lossy\.token_vectors returned 1 arrays for 2 texts"):
        LateInteractionReranker(Lossy()).score("q", ["a", "b"])
