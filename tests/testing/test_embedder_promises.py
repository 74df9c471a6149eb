"""The promises of a embedder: each is broken by one that is wrong in one way, and the message says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from broken_promises import (
    Row,
    both_ways,
    broken_by,
    centered,
    check_broken,
    check_complete,
    each_row,
    hashed,
    names,
)
from contracts_embedders import static
from plugs import (
    AnyEmbedder,
    SeededEmbedder,
)

from ragdiag import testing
from ragdiag.stages.embedders import HashingEmbedder
from ragdiag.stages.protocols import Embedder, Vectors


def encodes_texts(texts: Sequence[str]) -> Vectors:
    return hashed([text.encode().decode() for text in texts])


def mean_of_nothing(texts: Sequence[str]) -> Vectors:
    rows = hashed(texts)
    rows[[not text.strip() for text in texts]] = np.nan
    return rows


def stale() -> Callable[[Sequence[str]], Vectors]:
    """Answers the second time that it gets many texts with another vector."""
    asked: set[tuple[str, ...]] = set()

    def embed(texts: Sequence[str]) -> Vectors:
        again = len(texts) > 2 and tuple(texts) in asked
        asked.add(tuple(texts))
        return hashed(texts) + np.float32(again)

    return embed


def cached_by_number() -> Callable[[Sequence[str]], Vectors]:
    kept: dict[int, Vectors] = {}

    def embed(texts: Sequence[str]) -> Vectors:
        return kept.setdefault(len(texts), hashed(texts)) if len(texts) > 2 else hashed(texts)

    return embed


def drops_copies(texts: Sequence[str]) -> Vectors:
    rows = hashed(texts)
    rows[[texts.index(text) < i for i, text in enumerate(texts)]] = 0
    return rows


def sorts_texts(texts: Any) -> Vectors:
    rows = hashed(texts)
    texts.sort()
    return rows


@dataclass(frozen=True)
class Hashing(HashingEmbedder):
    """One that overrides what it declares."""

    counts: Callable[[Sequence[str]], Any] = HashingEmbedder().count_tokens
    reads: int | None = None
    similarity: str = "cosine"

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        return HashingEmbedder(64, max_tokens=self.reads).embed_documents(texts)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return self.counts(texts)  # type: ignore[no-any-return]


def padded(texts: Sequence[str]) -> list[int]:
    counts = HashingEmbedder().count_tokens(texts)
    return [max(counts)] * len(counts)


def truncated(texts: Sequence[str]) -> list[int]:
    return [min(count, 16) for count in HashingEmbedder().count_tokens(texts)]


@pytest.mark.parametrize(
    "embedder",
    [HashingEmbedder(), HashingEmbedder(32, max_tokens=16), static(), SeededEmbedder(3), both_ways(hashed)],
    ids=lambda value: type(value).__name__,
)
def test_embedders_that_keep_their_promises(embedder: Embedder) -> None:
    testing.check_embedder(embedder)


BROKEN: list[Row] = [
    (
        both_ways(encodes_texts),
        {"raises_nothing"},
        ["embed_documents, text 'a broken \\ud800 surrogate'", "got UnicodeEncodeError", "and 1 more"],
    ),
    (
        both_ways(mean_of_nothing),
        {"valid_vectors"},
        ["1 of 1 vectors hold NaN or infinity, the first for the text ''"],
    ),
    (
        AnyEmbedder(hashed, lambda texts: hashed(texts)[:, :32]),
        {"valid_vectors"},
        ["embed_queries, text 'Goods", "expected 64 dimensions as for documents, got 32"],
    ),
    (Hashing(similarity="euclidean"), {"known_similarity"}, ["must be 'cosine', 'dot' or 'l2', got 'euclid"]),
    (
        both_ways(lambda texts: np.array([hashed([text])[0] for text in texts])),
        {"no_texts_no_rows"},
        ["embed_documents, no texts: embedder: embed_documents: expected shape (0, d), got (0,)"],
    ),
    (
        AnyEmbedder(lambda texts: hashed(texts) if texts else np.empty((0, 9)), hashed),
        {"no_texts_no_rows"},
        ["expected shape (0, 64), got (0, 9)"],
    ),
    (
        AnyEmbedder(hashed, stale()),
        {"same_again"},
        ["embed_queries, text 'Goods may be", "again, got", "apart"],
    ),
    (both_ways(cached_by_number()), {"same_in_any_order"}, ["with the texts in reverse order, got"]),
    (both_ways(centered), {"same_alone"}, ["among other texts as alone, got"]),
    (
        both_ways(drops_copies),
        {"same_for_same_text", "same_alone", "same_in_any_order"},
        ["as for the same text before, got 0, 0, 0, … (1 apart, tolerance 0.0001)"],
    ),
    (both_ways(sorts_texts), {"texts_unchanged"}, ["expected the list as it was, got \"['']\" at 0"]),
    (Hashing(counts=padded), {"counts_tokens"}, ["tokens as alone, got 90"]),
    (Hashing(counts=lambda texts: [0.5] * len(texts)), {"counts_tokens"}, ["whole numbers >= 0, got 0.5"]),
    (
        Hashing(max_tokens=16, reads=16, counts=truncated),
        {"counts_before_truncation"},
        ["a text of 40 words: expected more than max_tokens=16 tokens, got 16"],
    ),
    (Hashing(max_tokens=16), {"reads_no_further"}, ["more words after max_tokens=16 change nothing, got"]),
]


@each_row(BROKEN)
def test_broken_embedders(plug: Any, broken: set[str], says: Sequence[str]) -> None:
    check_broken(lambda: testing.check_embedder(plug), broken, says)


def test_every_promise_is_broken_once() -> None:
    check_complete("embedder", BROKEN, "related_is_nearer")


def test_sense_is_asked_of_embedders_on_request() -> None:
    testing.check_embedder(static(), also=["related_is_nearer"])
    nonsense = SeededEmbedder(3, dimensions=8)
    testing.check_embedder(nonsense)
    error = broken_by(lambda: testing.check_embedder(nonsense, also=["related_is_nearer"]))
    assert names(error) == {"related_is_nearer"}
    assert "to be nearer than" in str(error)


def test_rounding_is_tolerated_and_no_more() -> None:
    noise = np.random.default_rng(0)

    def noisy(texts: Sequence[str]) -> Vectors:
        return hashed(texts) + noise.uniform(-1e-4, 1e-4, (len(texts), 64)).astype(np.float32)

    testing.check_embedder(both_ways(noisy), tolerance=1e-2)
    error = broken_by(lambda: testing.check_embedder(both_ways(noisy)))
    assert names(error) == {"same_again", "same_in_any_order", "same_alone", "same_for_same_text"}


def test_vectors_of_any_length_are_compared_by_their_length() -> None:
    def tiny(texts: Sequence[str]) -> Vectors:
        return centered(texts) * np.float32(1e-6)

    def zero(texts: Sequence[str]) -> Vectors:
        return np.zeros((len(texts), 4), dtype=np.float32)

    assert names(broken_by(lambda: testing.check_embedder(both_ways(tiny)))) == {"same_alone"}
    testing.check_embedder(both_ways(zero))


def test_an_embedder_that_reads_nothing_breaks_only_what_can_be_seen() -> None:
    def refuses(texts: Sequence[str]) -> Vectors:
        raise TypeError(f"no vectors today, for {len(texts)}")

    error = broken_by(lambda: testing.check_embedder(both_ways(refuses)))
    assert names(error) == {"raises_nothing"}
