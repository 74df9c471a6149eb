from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from contracts_retrievers import check_retriever, some_chunks, some_requests, some_vectors
from hypothesis import given
from hypothesis import strategies as st
from rank_bm25 import BM25Okapi

from ragdiag.errors import ConfigError
from ragdiag.records import Chunk, Document, Hit, Request
from ragdiag.stages.retrievers import BM25Retriever, tokenize_words

words = st.lists(st.sampled_from("abcdefgh"), max_size=12)
corpora = st.lists(words, min_size=1, max_size=25).filter(any)


def chunks_of(*texts: str) -> list[Chunk]:
    # A chunk cannot be without spans: an empty text stands, like a blank page, on a space.
    return [
        Chunk.of(Document(f"d{i:03}", text or " "), (0, len(text or " "))) for i, text in enumerate(texts)
    ]


def search(retriever: BM25Retriever, chunks: list[Chunk], query: str, n: int = 1000) -> list[Hit]:
    return retriever.build(chunks, None).search([Request("q", query)], n)[0]


def scores_by_row(hits: list[Hit]) -> dict[int, float]:
    return {int(hit.chunk_id[1:4]): hit.score for hit in hits}


def test_contract() -> None:
    check_retriever(BM25Retriever(), some_chunks(120), some_vectors(120), some_requests(6))


@given(
    corpus=corpora,
    query=words,
    k1=st.floats(0.1, 5),
    b=st.floats(0, 0.99),  # at b = 1 rank-bm25 divides 0 by 0 for an empty document
    epsilon=st.floats(0, 1),
)
def test_scores_equal_rank_bm25(
    corpus: list[list[str]], query: list[str], k1: float, b: float, epsilon: float
) -> None:
    expected = BM25Okapi(corpus, k1=k1, b=b, epsilon=epsilon).get_scores(query)
    retriever = BM25Retriever(k1=k1, b=b, epsilon=epsilon, tokenize=str.split)
    scores = scores_by_row(search(retriever, chunks_of(*map(" ".join, corpus)), " ".join(query)))
    assert set(scores) == {row for row, terms in enumerate(corpus) if set(terms) & set(query)}
    rows = sorted(scores)
    np.testing.assert_allclose([scores[row] for row in rows], expected[rows], rtol=1e-6, atol=1e-12)
    assert not expected[[row for row in range(len(corpus)) if row not in scores]].any()


@given(corpus=corpora, query=words, n=st.integers(0, 30))
def test_the_first_n_are_the_first_n_of_all(corpus: list[list[str]], query: list[str], n: int) -> None:
    chunks = chunks_of(*map(" ".join, corpus))
    everything = search(BM25Retriever(), chunks, " ".join(query))
    assert search(BM25Retriever(), chunks, " ".join(query), n) == everything[:n]


def test_repeated_query_terms_count_repeatedly() -> None:
    chunks = chunks_of("lost parcel", "parcel fee", "opening hours", "contact")
    once = scores_by_row(search(BM25Retriever(), chunks, "parcel lost"))
    twice = scores_by_row(search(BM25Retriever(), chunks, "parcel lost lost"))
    assert twice[0] > once[0]
    assert twice[1] == once[1]


def test_a_term_of_most_chunks_gets_the_floor() -> None:
    chunks = chunks_of("the a", "the b", "the c", "d e f g")
    hits = search(BM25Retriever(), chunks, "the")
    assert [hit.chunk_id[:4] for hit in hits] == ["d000", "d001", "d002"]
    assert hits[0].score > 0
    assert search(BM25Retriever(epsilon=0), chunks, "the")[0].score == 0


def test_chunks_that_share_no_term_are_not_returned_even_when_others_score_below_zero() -> None:
    # All idf are negative here, and so is the mean that the floor is taken from.
    hits = search(BM25Retriever(), chunks_of("a b", "a b", "a b", ""), "a")
    assert len(hits) == 3
    assert all(hit.score < 0 for hit in hits)


def test_equal_texts_tie_in_input_order() -> None:
    chunks = chunks_of("x", "lost parcel", "y z", "lost parcel", "lost parcel")
    assert list(scores_by_row(search(BM25Retriever(), chunks, "parcel lost", 2))) == [1, 3]


@pytest.mark.parametrize("texts", [[], [""], ["", "..."]])
def test_corpora_without_a_term(texts: list[str]) -> None:
    assert search(BM25Retriever(), chunks_of(*texts), "parcel") == []


@pytest.mark.parametrize("query", ["unheard", "?!", "…"])
def test_queries_without_a_known_term(query: str) -> None:
    assert search(BM25Retriever(), chunks_of("lost parcel"), query) == []


def test_what_is_searched_is_the_index_text() -> None:
    document = Document("d000", "Thirty days.")
    chunk = Chunk.of(document, (0, 12), index_text="Returns: thirty days.")
    assert search(BM25Retriever(), [chunk], "returns")
    assert search(BM25Retriever(k1=0, b=1), [chunk], "thirty")


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("Don't re-send ORDER_7!", ["don", "t", "re", "send", "order_7"]),
        ("Żółć naïve", ["żółć", "naïve"]),
        ("cafe\u0301s", ["cafe\u0301s"]),
        ("किताब पढ़ना", ["किताब", "पढ़ना"]),
        ("한국어 문장", ["한국어", "문장"]),
        ("東京都", ["東京", "京都"]),
        ("水。火", ["水", "火"]),
        ("日々カレー", ["日々", "々カ", "カレ", "レー"]),
        ("iPhone用ケース15", ["iphone", "用ケ", "ケー", "ース", "15"]),
        ("ภาษา 30 วัน", ["ภา", "าษ", "ษา", "30", "วั", "ัน"]),
        ("𠮷野家", ["𠮷野", "野家"]),
        ("a\ud800b", ["a", "b"]),
        ("", []),
    ],
)
def test_words(text: str, terms: list[str]) -> None:
    assert tokenize_words(text) == terms


@given(st.lists(st.integers(0, 0x1FAFF).map(chr)).map("".join))
def test_words_of_any_text_are_lower_case_and_never_empty(text: str) -> None:
    for word in tokenize_words(text):
        assert word
        assert word == word.lower()
        assert not any(character.isspace() for character in word)


def test_bm25_finds_text_without_spaces() -> None:
    chunks = chunks_of("商品は三十日以内に返品できます。", "送料は無料です。", "お問い合わせはこちら。")
    assert list(scores_by_row(search(BM25Retriever(), chunks, "返品の期限"))) == [0]


@pytest.mark.parametrize(
    "options",
    [
        {"k1": -0.1},
        {"k1": float("inf")},
        {"b": 1.1},
        {"b": float("nan")},
        {"epsilon": -1},
        {"tokenize": "words"},
    ],
)
def test_options_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"BM25Retriever.{next(iter(options))}"):
        BM25Retriever(**options)


def test_a_tokenizer_that_returns_a_string() -> None:
    with pytest.raises(ConfigError, match="'lost parcel'"):
        BM25Retriever(tokenize=str.lower).build(chunks_of("Lost parcel"), None)


def test_the_recipe_prints_its_options_and_can_be_pickled() -> None:
    retriever = BM25Retriever(k1=1.2, tokenize=str.split)
    assert repr(retriever) == "BM25Retriever(k1=1.2, b=0.75, epsilon=0.25, tokenize=str.split)"
    assert repr(BM25Retriever()).endswith("tokenize=tokenize_words)")
    assert pickle.loads(pickle.dumps(retriever)) == retriever  # noqa: S301  # our own bytes


def test_many_filters_in_turn_are_all_honored() -> None:
    chunks = [Chunk.of(Document(f"d{i:03}", "lost parcel", {"user": i}), (0, 11)) for i in range(100)]
    searcher = BM25Retriever().build(chunks, None)
    requests = [Request(f"q{i}", "parcel", filter={"user": i % 100}) for i in range(250)]
    found = [[int(hit.chunk_id[1:4]) for hit in hits] for hits in searcher.search(requests, 5)]
    assert found == [[i % 100] for i in range(250)]
    unhashable: list[dict[str, Any]] = [{"user": {"id": 3}}, {"user": [{"id": 3}, 4]}, {"user": [[3], 5]}]
    found = [
        [int(hit.chunk_id[1:4]) for hit in hits]
        for hits in searcher.search([Request("q", "parcel", filter=f) for f in unhashable], 5)
    ]
    assert found == [[], [4], [5]]
