"""What this project's embedders and rerankers promise beyond what `ragdiag.testing` asks of every one."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from functools import cache
from typing import Protocol

import numpy as np
import pytest

from ragdiag import testing
from ragdiag.stages.embedders import SentenceTransformerEmbedder, StaticEmbedder
from ragdiag.stages.embedders.packaged import MINILM
from ragdiag.stages.protocols import Embedder, Reranker, Vectors
from ragdiag.stages.rerankers import TokenVectors

TEXTS = (
    "Goods may be returned within 30 days.",
    "Shipping is free above 50 euros; below that it costs 4.90.",
    "",
    "   ",
    "?!",
    "สินค้าสามารถคืนได้ภายใน 30 วัน",
    "商品は30日以内に返品できます。退货期限为三十天。",
    "a broken \ud800 surrogate",
    "naïve café 🙂",
    "Goods may be returned within 30 days.",
    "A long text. " * 30,
)


class CountsTokens(Embedder, TokenVectors, Protocol):
    """An embedder that also declares its tokens and gives their vectors."""

    def count_tokens(self, texts: Sequence[str]) -> Sequence[int]: ...


@cache
def static() -> StaticEmbedder:
    """The static model, loaded once for all tests."""
    return StaticEmbedder()


@cache
def _loaded_minilm() -> SentenceTransformerEmbedder:
    import torch

    torch.set_num_threads(1)
    return SentenceTransformerEmbedder.packaged_minilm()


def minilm() -> SentenceTransformerEmbedder:
    """The packaged MiniLM, loaded once for all tests; skips the test where it is not installed."""
    pytest.importorskip("sentence_transformers", reason="sentence-transformers (torch) is not installed")
    if not MINILM.installed:
        pytest.skip(f"the wheel {MINILM.distribution} is not installed")
    return _loaded_minilm()


def check_embedder(embedder: CountsTokens, *, dimensions: int, atol: float = 0.0) -> None:
    """The contract of an embedder; ``atol`` is what a vector may differ by from batch to batch."""
    testing.check_embedder(embedder, TEXTS, tolerance=atol, also=["related_is_nearer"])
    assert "object at 0x" not in repr(embedder)
    assert len(repr(embedder)) < 120
    for embed in (embedder.embed_documents, embedder.embed_queries):
        vectors = embed(TEXTS)
        _check_rows(vectors, (len(TEXTS), dimensions))
        _check_rows(embed([]), (0, dimensions))
        np.testing.assert_array_equal(embed(TEXTS), vectors, err_msg="the same call twice")
        replaced = embed([text.replace("\ud800", "\ufffd") for text in TEXTS])
        np.testing.assert_array_equal(replaced, vectors, err_msg="a lone surrogate is U+FFFD")
    copy = pickle.loads(pickle.dumps(embedder))  # noqa: S301 - our own pickle
    np.testing.assert_array_equal(copy.embed_queries(TEXTS[:2]), embedder.embed_queries(TEXTS[:2]))
    _check_tokens(embedder)


def _check_rows(vectors: Vectors, shape: tuple[int, int]) -> None:
    assert vectors.shape == shape
    assert vectors.dtype == np.float32
    assert np.isfinite(vectors).all()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def _check_tokens(embedder: CountsTokens) -> None:
    counts = embedder.count_tokens(TEXTS)
    assert [type(count) for count in counts] == [int] * len(TEXTS)
    assert embedder.count_tokens([]) == []
    assert counts[-1] > 10 * counts[0] > 0
    tokens = embedder.token_vectors(TEXTS)
    assert len(tokens) == len(TEXTS)
    for vectors, count in zip(tokens, counts, strict=True):
        assert len(vectors) <= count
        assert vectors.shape == (len(vectors), tokens[0].shape[1])
        assert vectors.dtype == np.float32
        assert np.isfinite(vectors).all()
    assert len(tokens[2]) == 0, "an empty text has no tokens"
    assert embedder.token_vectors([]) == []


def check_reranker(reranker: Reranker, *, atol: float = 0.0) -> None:
    """The contract of a reranker; ``atol`` is what a score may differ by from batch to batch."""
    query = "How long can goods be returned?"
    testing.check_reranker(reranker, TEXTS, queries=[query, "", "\ud800"], tolerance=atol)
    assert "object at 0x" not in repr(reranker)
    assert len(repr(reranker)) < 150
    scores = reranker.score(query, TEXTS)
    assert [type(score) for score in scores] == [float] * len(TEXTS)
    assert reranker.score(query, TEXTS) == scores, "the same call twice"
    assert scores[0] == scores[9], "the same text twice"
    assert scores[0] > scores[1] > scores[2] == min(scores), "related, unrelated, empty"
    copy = pickle.loads(pickle.dumps(reranker))  # noqa: S301 - our own pickle
    np.testing.assert_allclose(copy.score(query, TEXTS[:2]), scores[:2], atol=atol, rtol=0)
