"""The store: nothing is asked twice, everything is as if there were none, and no file is trusted blindly."""

from __future__ import annotations

import pickle
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plugs import AnyEmbedder, AnyReranker, CountingEmbedder, LineChunker, SeededEmbedder, SeededReranker

import ragdiag.store as module
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
from ragdiag.store import Asked, Store, StoredEmbedder, StoredReranker

PACKAGE_ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class RecordingReranker:
    """Scores by chance, and keeps what it was asked."""

    asked: list[tuple[str, list[str]]] = field(default_factory=list, repr=False)

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        self.asked.append((query, list(texts)))
        return SeededReranker(3).score(query, texts)


@dataclass(frozen=True)
class Silent:
    """Must not be asked anything, and is called like the plug that it stands for."""

    called: str

    def __repr__(self) -> str:
        return self.called

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        raise AssertionError(texts)

    embed_queries = embed_documents

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        raise AssertionError(texts)

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        raise AssertionError(query, texts)


def recording(**options: Any) -> CountingEmbedder:
    return CountingEmbedder(HashingEmbedder(8, **options))


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


@given(st.lists(st.lists(st.text(max_size=4), max_size=6), max_size=4))
def test_vectors_and_counts_are_those_of_the_embedder(batches: list[list[str]]) -> None:
    inner = HashingEmbedder(8)
    stored = Store().embedder(inner)
    assert isinstance(stored, TokenCounter)
    for batch in batches:
        for ask, expected in (
            (stored.embed_documents, inner.embed_documents(batch)),
            (stored.embed_queries, inner.embed_queries(batch)),
        ):
            rows = ask(batch)
            assert rows.dtype == np.float32
            assert rows.shape == (len(batch), 8)
            np.testing.assert_array_equal(rows, expected)
        assert stored.count_tokens(batch) == inner.count_tokens(batch)


@given(st.text(max_size=3), st.lists(st.tuples(st.text(max_size=3), st.floats(-1e300, 1e300)), max_size=6))
def test_scores_are_those_of_the_reranker_to_the_last_bit(
    query: str, scored: list[tuple[str, float]]
) -> None:
    scores = dict(scored)
    stored = Store().reranker(AnyReranker(lambda _, texts: [scores[text] for text in texts]), name="table")
    for _ in range(2):
        assert stored.score(query, [text for text, _ in scored]) == [scores[text] for text, _ in scored]


def test_the_plugs_keep_every_promise_of_their_kind(tmp_path: Path) -> None:
    with Store(tmp_path / "results") as store:
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
        embedder=store.embedder(HashingEmbedder(32)),
        reranker=store.reranker(SeededReranker(1)),
    )
    expected, trace = plain.run(documents, queries), stored.run(documents, queries)
    assert trace.stages == expected.stages
    assert trace.queries == expected.queries
    assert trace.chunk_tokens == expected.chunk_tokens
    assert trace.vectors is not None
    assert expected.vectors is not None
    np.testing.assert_array_equal(trace.vectors, expected.vectors)


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
    assert reranker.cache_bytes == 256 * 1024**2
    assert not hasattr(reranker, "max_tokens")
    assert not hasattr(reranker, "_cache"), "what is private stays inside"


def test_what_is_embedded_in_place_does_not_change_what_is_kept() -> None:
    stored = Store().embedder(HashingEmbedder(8))
    first = stored.embed_documents(["a"])
    kept = first.copy()
    first[:] = 0
    np.testing.assert_array_equal(stored.embed_documents(["a"]), kept)


def test_equal_plugs_of_one_store_are_equal() -> None:
    store = Store()
    assert store.embedder(HashingEmbedder(8)) == store.embedder(HashingEmbedder(8))
    assert store.embedder(HashingEmbedder(8)) != store.embedder(HashingEmbedder(16))
    assert store.embedder(HashingEmbedder(8)) != Store().embedder(HashingEmbedder(8))


# What is kept is kept


def test_results_outlive_the_store_and_the_process(tmp_path: Path) -> None:
    path = tmp_path / "results"
    with Store(path) as store:
        vectors = store.embedder(HashingEmbedder(8)).embed_documents(["a", "b"])
        counts = store.embedder(HashingEmbedder(8)).count_tokens(["a b"])
        scores = store.reranker(SeededReranker(1)).score("q", ["a"])
    assert [file.name for file in tmp_path.iterdir()] == ["results"], "one file, once nobody uses it"
    with Store(path) as store:
        embedder = store.embedder(Silent(repr(HashingEmbedder(8))))
        np.testing.assert_array_equal(embedder.embed_documents(["b", "a"]), vectors[::-1])
        assert embedder.count_tokens(["a b"]) == counts
        assert store.reranker(Silent(repr(SeededReranker(1)))).score("q", ["a"]) == scores


def script(*lines: str) -> list[str]:
    """The command that runs some lines in a process of its own, which must be given a path."""
    imports = [
        "import os, signal, sys",
        "import numpy as np",
        "from ragdiag import HashingEmbedder",
        "from ragdiag.store import Store",
        "inner, path = HashingEmbedder(8), sys.argv[1]",
    ]
    return [sys.executable, "-c", "\n".join([*imports, *lines])]


def kept(path: Path) -> StoredEmbedder:
    """The embedder of a file that must hold all that it is asked for."""
    return Store(path).embedder(Silent(repr(HashingEmbedder(8))))


def test_what_was_returned_survives_a_process_that_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "results"
    command = script(
        "Store(path).embedder(inner).embed_documents(['a', 'b'])", "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([*command, path], cwd=PACKAGE_ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    rows = kept(path).embed_documents(["a", "b"])
    np.testing.assert_array_equal(rows, HashingEmbedder(8).embed_documents(["a", "b"]))


def test_processes_that_begin_and_write_at_the_same_time_do_not_disturb_each_other(tmp_path: Path) -> None:
    path = tmp_path / "results"
    command = script(
        "sys.stdin.read()",  # until all of them are there
        "stored = Store(path).embedder(inner)",
        "for batch in np.random.default_rng(int(sys.argv[2])).integers(0, 90, (30, 8)):",
        "    texts = [f'text {number}' for number in batch]",
        "    assert np.array_equal(stored.embed_documents(texts), inner.embed_documents(texts))",
    )
    started = [
        subprocess.Popen([*command, path, str(seed)], cwd=PACKAGE_ROOT, stdin=subprocess.PIPE)
        for seed in range(3)
    ]
    for process in started:
        assert process.stdin is not None
        process.stdin.close()
    assert [process.wait(60) for process in started] == [0, 0, 0]
    for seed in range(3):
        numbers = np.random.default_rng(seed).integers(0, 90, (30, 8)).ravel()
        kept(path).embed_documents([f"text {number}" for number in numbers])


def test_a_forked_process_opens_the_file_anew(tmp_path: Path) -> None:
    path = tmp_path / "results"
    command = script(
        "stored = Store(path).embedder(inner)",
        "stored.embed_documents(['a'])",
        "if not os.fork():",
        "    stored.embed_documents(['a', 'of the child'])",
        "    os._exit(stored.asked.documents)",  # one before and one in the child
        "status = os.waitstatus_to_exitcode(os.wait()[1])",
        "stored.embed_documents(['of the child', 'of the parent'])",
        "sys.exit(10 * status + stored.asked.documents)",
    )
    done = subprocess.run([*command, path], cwd=PACKAGE_ROOT, check=False)
    assert done.returncode == 22
    kept(path).embed_documents(["a", "of the child", "of the parent"])


def test_threads_share_a_store(tmp_path: Path) -> None:
    inner = HashingEmbedder(16)
    right: list[bool] = []
    texts = [f"text {i}" for i in range(40)]
    with Store(tmp_path / "results") as store:
        stored = store.embedder(inner)

        def work(start: int) -> None:
            right.extend(
                np.array_equal(stored.embed_documents(texts[i:]), inner.embed_documents(texts[i:]))
                for i in range(start, start + 20)
            )

        threads = [threading.Thread(target=work, args=(start,)) for start in (0, 7, 20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert right == [True] * 60


def test_pickled_plugs_find_the_same_file_and_nothing_of_what_was_in_memory(tmp_path: Path) -> None:
    for path, asked in ((tmp_path / "results", []), (None, [["a"]])):
        with Store(path) as store:
            inner = recording()
            stored = store.embedder(inner, name="m")
            stored.embed_documents(["a"])
            inner.documents.clear()
            copy = pickle.loads(pickle.dumps(stored))  # noqa: S301  # what this test wrote
            with copy.store:
                copy.embed_documents(["a"])
            assert copy.inner.documents == asked
            assert copy.count_tokens(["a b"]) == [2]


def test_a_closed_store_opens_its_file_again_and_forgets_what_was_in_memory(tmp_path: Path) -> None:
    for path, asked in ((tmp_path / "results", 1), (None, 2)):
        store = Store(path)
        stored = store.embedder(HashingEmbedder(8))
        for _ in range(2):
            stored.embed_documents(["a"])
            store.close()
        assert stored.asked.documents == asked


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


def test_another_dimension_under_the_same_name_is_refused() -> None:
    store = Store()
    store.embedder(HashingEmbedder(8), name="m").embed_documents(["a"])
    stored = store.embedder(HashingEmbedder(16), name="m")
    with pytest.raises(
        DataError, match=r"under the name 'm': expected one size, got \[32, 64\] bytes. Another"
    ):
        stored.embed_documents(["a", "b"])
    assert stored.embed_documents(["b"]).shape == (1, 16), "nothing of the refused call was kept"


def test_what_has_no_lasting_name_must_be_given_one() -> None:
    class Unnamed(SeededReranker):
        __repr__ = object.__repr__

    store = Store()
    with pytest.raises(
        ConfigError, match=r"Unnamed object at 0x\w+>' does not name a Unnamed for good: give name="
    ):
        store.reranker(Unnamed(1))
    assert store.reranker(Unnamed(1), name="mine").name == "mine"
    with pytest.raises(ConfigError, match="does not name"):
        store.reranker(SeededReranker(1), name="")


def test_what_is_no_plug_is_refused() -> None:
    store: Any = Store()
    with pytest.raises(ConfigError, match=r"^Store.embedder: expected an object with embed_documents and"):
        store.embedder(SeededReranker(1))
    with pytest.raises(ConfigError, match=r"^Store.reranker: expected an object with score, got the class"):
        store.reranker(SeededReranker)


def database(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def test_files_of_something_else_are_refused_and_left_alone(tmp_path: Path) -> None:
    text, other = tmp_path / "notes.txt", tmp_path / "other.db"
    text.write_text("No database, and long enough that it could have been one. " * 20)
    database(other, "CREATE TABLE results (key BLOB PRIMARY KEY, value BLOB NOT NULL)")
    for path, problem in (
        (text, "file is not a database"),
        (other, "is a database of something else"),
        (tmp_path, "unable to open database file"),
        (tmp_path / "no" / "folder", "unable to open database file"),
    ):
        before = path.read_bytes() if path.is_file() else b""
        with pytest.raises(DataError, match=problem) as caught:
            Store(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert not path.is_file() or path.read_bytes() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["notes.txt", "other.db"]


def test_a_store_of_another_version_is_refused(tmp_path: Path) -> None:
    Store(tmp_path / "results").close()
    database(tmp_path / "results", "PRAGMA user_version = 2")
    with pytest.raises(DataError, match="is a store of version 2, and this release reads version 1"):
        Store(tmp_path / "results")


def test_a_damaged_file_is_told_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "results"
    texts = [f"text {i}" for i in range(600)]
    with Store(path) as store:
        store.embedder(HashingEmbedder(64)).embed_documents(texts)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(8192)
        file.write(b"\xff" * (size // 2))
    with (
        Store(path) as store,
        pytest.raises(DataError, match=r"results: cannot be used .* delete it: all that"),
    ):
        store.embedder(HashingEmbedder(64)).embed_documents(texts)


def test_a_file_that_is_in_use_for_good_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.05)
    Store(tmp_path / "results").close()
    holder = sqlite3.connect(tmp_path / "results", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(DataError, match="database is locked"):
        Store(tmp_path / "results")
    holder.close()


def test_a_new_file_waits_where_sqlite_refuses_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where several processes begin with a file at once, some are refused whatever their patience."""
    path = tmp_path / "results"
    database(path, "CREATE TABLE results (key BLOB)")
    reader = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM results").fetchall()
    impatient = sqlite3.connect(path, isolation_level=None, timeout=0)
    with monkeypatch.context() as patched:
        patched.setattr(module, "_PATIENCE", 0.02)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            module._switch_to_a_write_ahead_log(impatient)
    release = threading.Timer(0.05, reader.close)
    release.start()
    module._switch_to_a_write_ahead_log(impatient)
    assert impatient.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    release.join()
    impatient.close()


def test_it_shows_itself(tmp_path: Path) -> None:
    assert repr(Store()) == "Store()"
    assert repr(Store(tmp_path / "r")) == f"Store({str(tmp_path / 'r')!r})"
    assert isinstance(Store().reranker(SeededReranker(1)), StoredReranker)
