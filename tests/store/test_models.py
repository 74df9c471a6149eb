"""Stored embedders and rerankers: nothing is asked twice, and everything is as if there were no store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import sleep
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plugs import AnyEmbedder, AnyReranker, LineChunker, SeededEmbedder, SeededReranker
from stored_plugs import RecordingReranker, Silent, kept, recording, shards

from ragdiag import (
    ConfigError,
    DataError,
    Document,
    ExactRetriever,
    HashingEmbedder,
    LateInteractionReranker,
    Pipeline,
    Query,
    StageError,
    testing,
)
from ragdiag.stages.protocols import Vectors, similarity_of
from ragdiag.stages.tokens import TokenCounter
from ragdiag.store import Asked, Store, StoredReranker

TEXTS = st.lists(st.text(max_size=4), max_size=6)


# Nothing is asked twice


def test_only_what_is_missing_is_embedded_once_each_in_order_and_in_one_call() -> None:
    inner = recording()
    stored = Store().embedder(inner, name="a model")
    stored.embed_documents(["b", "a", "b"])
    stored.embed_documents(["c", "a", "d", "c", "b"])
    stored.embed_documents(["a", "d"])
    assert inner.documents == [["b", "a"], ["c", "d"]]
    assert stored.asked == Asked(documents=4)
    stored.embed_queries(["a", "q"])
    stored.embed_queries(["q"])
    assert inner.queries == [["a", "q"]], "a query is no document, whatever its text"
    assert stored.asked == Asked(documents=4, queries=2)


def test_what_is_missing_is_told() -> None:
    stored = Store().embedder(recording(), name="a model")
    stored.embed_documents(["a"])
    stored.embed_queries(["b"])
    assert stored.missing(["b", "a", "c", "b"]) == ["b", "c"]
    assert stored.missing(["b", "a", "c", "b"], "query") == ["a", "c"]
    assert stored.missing([]) == []
    assert stored.asked == Asked(documents=1, queries=1)
    with pytest.raises(ConfigError, match="side must be 'document' or 'query', got 'both'"):
        stored.missing(["a"], "both")


def test_only_pairs_that_are_missing_are_scored() -> None:
    inner = RecordingReranker()
    stored = Store().reranker(inner)
    stored.score("q", ["b", "a", "b"])
    stored.score("q", ["a", "c"])
    stored.score("another", ["a"])
    assert inner.asked == [("q", ["b", "a"]), ("q", ["c"]), ("another", ["a"])]
    assert stored.asked == Asked(pairs=4)


def test_two_plugs_of_one_name_share_and_two_names_do_not() -> None:
    store, first, second, third = Store(), recording(), recording(), recording()
    store.embedder(first, name="m").embed_documents(["a"])
    store.embedder(second, name="m").embed_documents(["a"])
    store.embedder(third, name="n").embed_documents(["a"])
    assert (first.documents, second.documents, third.documents) == ([["a"]], [], [["a"]])


def test_the_name_is_the_repr_so_that_other_options_are_another_model() -> None:
    store = Store()
    for dimensions in (8, 16, 8):
        embedder = HashingEmbedder(dimensions)
        stored = store.embedder(embedder)
        np.testing.assert_array_equal(stored.embed_documents(["a b"]), embedder.embed_documents(["a b"]))
    assert stored.asked.documents == 0


def test_no_text_runs_into_its_neighbor() -> None:
    inner = AnyReranker(lambda query, texts: [float(len(query) * 10 + len(text)) for text in texts])
    stored = Store().reranker(inner, name="lengths")
    assert stored.score("ab", ["c"]) == [21.0]
    assert stored.score("a", ["bc"]) == [12.0]
    assert stored.score("", ["abc"]) == [3.0]


# Everything is as if there were no store


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["first", "second", "held back"]), TEXTS), max_size=5))
def test_vectors_and_counts_are_those_of_the_embedder(calls: list[tuple[str, list[str]]]) -> None:
    """Whichever of two stores over one folder is asked, and whether it writes at once."""
    inner = HashingEmbedder(8)
    with TemporaryDirectory() as folder:
        first, second = Store(folder), Store(folder)
        for who, texts in calls:
            store = second if who == "second" else first
            stored = store.embedder(inner)
            assert isinstance(stored, TokenCounter)
            with Store().batch() if who != "held back" else store.batch():
                for _ in range(2):
                    for ask, expected in (
                        (stored.embed_documents, inner.embed_documents(texts)),
                        (stored.embed_queries, inner.embed_queries(texts)),
                    ):
                        rows = ask(texts)
                        assert rows.dtype == np.float32
                        assert rows.shape == (len(texts), 8)
                        np.testing.assert_array_equal(rows, expected)
                    assert stored.count_tokens(texts) == inner.count_tokens(texts)
        for _, texts in calls:
            kept(Path(folder)).embed_documents(texts) if texts else None


@given(st.text(max_size=3), st.lists(st.tuples(st.text(max_size=3), st.floats(-1e300, 1e300)), max_size=6))
def test_scores_are_those_of_the_reranker_to_the_last_bit(
    query: str, scored: list[tuple[str, float]]
) -> None:
    scores = dict(scored)
    stored = Store().reranker(AnyReranker(lambda _, texts: [scores[text] for text in texts]), name="table")
    for _ in range(2):
        assert stored.score(query, [text for text, _ in scored]) == [scores[text] for text, _ in scored]


def test_the_plugs_keep_every_promise_of_their_kind(tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    testing.check_embedder(store.embedder(HashingEmbedder(64, max_tokens=20)))
    testing.check_reranker(store.reranker(LateInteractionReranker(HashingEmbedder(64))))


def test_a_pipeline_does_not_notice() -> None:
    documents = [
        Document("a", "refunds take five days\nshipping is free"),
        Document("b", "same\nsame\nwarranty"),
    ]
    queries = [Query("q1", "is shipping free"), Query("q2", "warranty")]
    plain = Pipeline(
        chunker=LineChunker(),
        embedder=HashingEmbedder(32),
        retriever=ExactRetriever(),
        reranker=SeededReranker(1),
        candidates=4,
        top_k=2,
    )
    store = Store()
    stored = replace(
        plain,
        chunker=store.chunker(LineChunker()),
        embedder=store.embedder(HashingEmbedder(32)),
        retriever=store.retriever(ExactRetriever()),
        reranker=store.reranker(SeededReranker(1)),
    )
    expected = plain.run(documents, queries)
    for _ in range(2):
        trace = stored.run(documents, queries)
        assert trace.stages == expected.stages
        assert trace.chunks == expected.chunks
        assert trace.queries == expected.queries
        assert trace.chunk_tokens == expected.chunk_tokens
        assert trace.vectors is not None
        assert expected.vectors is not None
        np.testing.assert_array_equal(trace.vectors, expected.vectors)
    asked = {stage: getattr(plug, "asked", None) for stage, plug in stored.plugs.items()}
    assert asked == {
        "chunker": Asked(chunked=2),
        "embedder": Asked(documents=4, queries=2),
        "retriever": Asked(searched=2),
        "reranker": Asked(pairs=7),  # one of eight candidates repeats a text
    }


def test_what_a_plug_declares_is_declared_and_what_it_does_not_is_not() -> None:
    @dataclass(frozen=True)
    class Prompted(SeededEmbedder):
        prompts: tuple[str, ...] = ("query: ",)

    store = Store()
    plain, counting = (
        store.embedder(Prompted(1, similarity="dot")),
        store.embedder(HashingEmbedder(max_tokens=7)),
    )
    assert similarity_of(plain) == "dot"
    assert plain.prompts == ("query: ",)
    assert counting.max_tokens == 7
    assert [hasattr(counting, name) for name in ("count_tokens", "token_vectors", "prompts")] == [
        True,
        True,
        False,
    ]
    assert [hasattr(plain, name) for name in ("count_tokens", "token_vectors", "max_tokens")] == [False] * 3
    assert isinstance(counting, TokenCounter)
    assert not isinstance(plain, TokenCounter)
    assert repr(plain) == repr(Prompted(1, similarity="dot"))
    reranker = store.reranker(LateInteractionReranker(HashingEmbedder(8)))
    assert isinstance(reranker, StoredReranker)
    assert reranker.cache_bytes == 256 * 1024**2
    assert not hasattr(reranker, "max_tokens")
    assert not hasattr(reranker, "_cache"), "what is private stays inside"


def test_what_is_embedded_in_place_does_not_change_what_is_kept() -> None:
    stored = Store().embedder(HashingEmbedder(8))
    first = stored.embed_documents(["a"])
    kept_before = first.copy()
    first[:] = 0
    np.testing.assert_array_equal(stored.embed_documents(["a"]), kept_before)


def test_equal_plugs_of_one_store_are_equal() -> None:
    store = Store()
    assert store.embedder(HashingEmbedder(8)) == store.embedder(HashingEmbedder(8))
    assert store.embedder(HashingEmbedder(8)) != store.embedder(HashingEmbedder(16))
    assert store.embedder(HashingEmbedder(8)) != Store().embedder(HashingEmbedder(8))
    # Arrays compare element by element; the name says that it is the same plug.
    table = TableOfVectors(np.zeros((1, 2)))
    assert store.embedder(table) == store.embedder(table)
    assert len({store.embedder(table), store.embedder(replace(table, rows=np.zeros((1, 2))))}) == 1


@dataclass(frozen=True)
class TableOfVectors:
    rows: Any

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        return np.resize(np.asarray(self.rows, np.float32), (len(texts), 2))

    embed_queries = embed_documents


# Time


def test_seconds_are_those_of_whoever_embedded_the_texts(tmp_path: Path) -> None:
    def slowly(texts: Sequence[str]) -> Vectors:
        sleep(0.03)
        return np.ones((len(texts), 2), np.float32)

    stored = Store(tmp_path).embedder(AnyEmbedder(slowly, slowly), name="slow")
    stored.embed_documents(["a" * 30, "b" * 10])
    stored.embed_documents(["c"])
    long, short, other = (Store(tmp_path).embedder(Silent("slow")).seconds([t * n]) for t, n in
                          (("a", 30), ("b", 10), ("c", 1)))  # fmt: skip
    assert long == pytest.approx(3 * short, rel=1e-5)
    assert 0.03 <= long + short <= 0.2
    assert 0.03 <= other <= 0.2
    assert stored.seconds(["a" * 30, "c", "b" * 10, "c"]) == pytest.approx(long + short + other)
    assert stored.seconds([]) == 0
    with pytest.raises(DataError, match=r"does not hold 1 of 2 texts as 'slow' embeds them.* first: 'q'"):
        stored.seconds(["c", "q"])


# What is wrong is refused, and not kept


@pytest.mark.parametrize(
    "returned",
    [
        [[1.0, np.nan]],
        [[1.0, np.inf]],
        [[1e300, 0.0]],
        [[1.0], [2.0]],
        [1.0, 2.0],
        [[]],
        [["a", "b"]],
        [[1.0, 2.0], [1.0]],
        None,
    ],
    ids=repr,
)
def test_vectors_that_are_none_are_not_kept(returned: Any) -> None:
    answers = iter([returned, np.ones((1, 2), np.float32)])
    stored = Store().embedder(AnyEmbedder(lambda _: next(answers), lambda _: next(answers)), name="m")
    with pytest.raises(StageError, match=r"^embedder: nothing can be kept of what .* returned"):
        stored.embed_documents(["a"])
    assert stored.asked == Asked()
    assert stored.embed_documents(["a"]).tolist() == [[1.0, 1.0]]


@pytest.mark.parametrize("returned", [[np.nan], [1.0, 2.0], [[1.0]], 1.0, ["a"], [None]], ids=repr)
def test_scores_that_are_none_are_not_kept(returned: Any) -> None:
    answers = iter([returned, [3]])
    stored = Store().reranker(AnyReranker(lambda _, __: next(answers)), name="m")
    with pytest.raises(StageError, match=r"^reranker: nothing can be kept"):
        stored.score("q", ["a"])
    assert stored.score("q", ["a"]) == [3.0]


def test_wrong_counts_are_not_kept() -> None:
    @dataclass(frozen=True)
    class Miscounting(SeededEmbedder):
        def count_tokens(self, texts: Sequence[str]) -> list[int]:
            return [-1] * len(texts)

    stored = Store().embedder(Miscounting(1))
    assert isinstance(stored, TokenCounter)
    with pytest.raises(StageError, match="must return whole numbers >= 0, got -1"):
        stored.count_tokens(["a"])


def test_another_dimension_under_the_same_name_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.embedder(HashingEmbedder(8), name="m").embed_documents(["a"])
    stored = store.embedder(HashingEmbedder(16), name="m")
    with pytest.raises(
        DataError, match=r"under the name 'm': expected one size, got \[32, 64\] bytes. Another"
    ):
        stored.embed_documents(["a", "b"])
    assert stored.embed_documents(["b"]).shape == (1, 16), "nothing of the refused call was kept"


def test_another_dimension_within_a_batch_is_written_apart(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.batch():
        for dimensions, text in ((8, "a"), (16, "b"), (8, "c")):
            store.embedder(HashingEmbedder(dimensions), name="m").embed_documents([text])
    assert len(shards(tmp_path)) == 2
    silent = Store(tmp_path).embedder(Silent("m"))
    assert [silent.embed_documents([text]).shape[1] for text in "abc"] == [8, 16, 8]


def test_what_is_no_plug_is_refused() -> None:
    store: Any = Store()
    with pytest.raises(ConfigError, match=r"^Store.embedder: expected an object with embed_documents and"):
        store.embedder(SeededReranker(1))
    with pytest.raises(ConfigError, match=r"^Store.reranker: expected an object with score, got the class"):
        store.reranker(SeededReranker)
    with pytest.raises(ConfigError, match=r"^Store.chunker: expected an object with chunk, got"):
        store.chunker(SeededReranker(1))
    with pytest.raises(ConfigError, match=r"^Store.retriever: expected an object with build, got"):
        store.retriever(SeededReranker(1))
