"""The folder of a store: what it holds, what is refused, and what is handed on."""

from __future__ import annotations

import json
import pickle
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from plugs import LineChunker, SeededReranker
from stored_plugs import Silent, kept, recording, shards

from ragdiag import DataError, Document, ExactRetriever, HashingEmbedder, RagdiagError, Request
from ragdiag.store import Asked, Store
from ragdiag.store.rows import Shelf


def test_results_outlive_the_store(tmp_path: Path) -> None:
    path = tmp_path / "made" / "on the way"
    store = Store(path)
    vectors = store.embedder(HashingEmbedder(8)).embed_documents(["a", "b"])
    counts = store.embedder(HashingEmbedder(8)).count_tokens(["a b"])
    scores = store.reranker(SeededReranker(1)).score("q", ["a"])
    store = Store(str(path))
    embedder = store.embedder(Silent(repr(HashingEmbedder(8))))
    np.testing.assert_array_equal(embedder.embed_documents(["b", "a"]), vectors[::-1])
    assert embedder.count_tokens(["a b"]) == counts
    assert store.reranker(Silent(repr(SeededReranker(1)))).score("q", ["a"]) == scores


def test_what_lies_where(tmp_path: Path) -> None:
    """The layout is a promise: numbers that numpy reads, lines of JSON, a word about each."""
    store = Store(tmp_path)
    store.embedder(HashingEmbedder(8)).embed_documents(["a", "b"])
    store.write_step("chunks", "12ab", [{"id": "ü"}], name="a chunker")
    assert json.loads((tmp_path / "ragdiag-store.json").read_text()) == {
        "format": "ragdiag-store",
        "version": 1,
    }
    [shard] = shards(tmp_path)
    assert shard.parent.parent == tmp_path / "rows" / "document-vectors"
    assert json.loads((shard.parent / "about.json").read_text()) == {
        "kind": "document-vectors",
        "name": repr(HashingEmbedder(8)),
    }
    rows = np.load(shard, allow_pickle=False)
    assert rows.dtype.descr == [("key", "|V16"), ("value", "<f4", (8,)), ("seconds", "<f4")]
    np.testing.assert_array_equal(rows["value"], HashingEmbedder(8).embed_documents(["a", "b"]))
    header, line = (tmp_path / "steps" / "chunks" / "12ab.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line) == {"id": "ü"}
    about = json.loads(header)
    assert about.pop("digest")
    assert about == {
        "format": "ragdiag-step",
        "version": 1,
        "kind": "chunks",
        "key": "12ab",
        "name": "a chunker",
    }
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_batch_writes_a_shard_a_shelf_at_its_end(tmp_path: Path) -> None:
    store = Store(tmp_path)
    embedder, reranker = store.embedder(recording(), name="m"), store.reranker(SeededReranker(1))
    with store.batch():
        with store.batch():
            for text in "abca":
                embedder.embed_documents([text])
                reranker.score(text, ["x", "y"])
        assert shards(tmp_path) == [], "the inner batch is part of the outer one"
        assert embedder.asked == Asked(documents=3)
    assert len(shards(tmp_path)) == 2
    embedder.embed_documents(["d"])
    assert len(shards(tmp_path)) == 3, "outside of a batch every call is written at once"
    for reader in (Store(tmp_path), store):
        Shelf.forget(reader.shelf("document-vectors", "m", "<f4"))
        reader.embedder(Silent("m")).embed_documents(["a", "b", "c", "d"])


def test_a_batch_that_raises_keeps_what_was_finished(tmp_path: Path) -> None:
    store = Store(tmp_path)
    embedder = store.embedder(HashingEmbedder(8))

    def work() -> None:
        with store.batch():
            embedder.embed_documents(["a"])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    kept(tmp_path).embed_documents(["a"])
    embedder.embed_documents(["b"])
    assert len(shards(tmp_path)) == 2, "the batch is over"


def test_a_batch_in_memory_changes_nothing() -> None:
    store = Store()
    embedder = store.embedder(recording(), name="m")
    with store.batch():
        embedder.embed_documents(["a"])
    embedder.embed_documents(["a"])
    assert embedder.asked == Asked(documents=1)


def test_pickled_plugs_find_the_same_folder_and_nothing_of_what_was_in_memory(tmp_path: Path) -> None:
    for path, asked in ((tmp_path / "results", []), (None, [["a"]])):
        inner = recording()
        stored = Store(path).embedder(inner, name="m")
        stored.embed_documents(["a"])
        inner.documents.clear()
        copy = pickle.loads(pickle.dumps(stored))  # noqa: S301  # what this test wrote
        copy.embed_documents(["a"])
        assert copy.inner.documents == asked
        assert copy.count_tokens(["a b"]) == [2]
        assert copy.store.path == path


def test_other_plugs_are_pickled_as_well(tmp_path: Path) -> None:
    document = Document("d", "a\nb")
    chunks = LineChunker().chunk(document)
    store = Store(tmp_path)
    chunker, retriever = store.chunker(LineChunker()), store.retriever(ExactRetriever())
    copies = pickle.loads(pickle.dumps((chunker, retriever)))  # noqa: S301  # what this test wrote
    assert copies[0].chunk(document) == chunker.chunk(document)
    searcher = pickle.loads(  # noqa: S301  # what this test wrote
        pickle.dumps(retriever.build(chunks, np.eye(2, dtype=np.float32)))
    )
    [hits] = searcher.search([Request("q", "b", np.array([0, 1], np.float32))], 1)
    assert hits[0].chunk_id == chunks[1].id


def test_it_shows_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert repr(Store()) == "Store()"
    assert repr(Store(tmp_path / "r")) == f"Store({str(tmp_path / 'r')!r})"
    monkeypatch.chdir(tmp_path)
    assert Store("r").path == tmp_path / "r", "wherever the process goes"


# Refused


def test_what_is_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    database, text, folder = tmp_path / "results", tmp_path / "notes.txt", tmp_path / "folder"
    connection = sqlite3.connect(database)
    connection.execute("CREATE TABLE results (key BLOB PRIMARY KEY, value BLOB NOT NULL)")
    connection.close()
    text.write_text("No store.")
    (folder / "inside").mkdir(parents=True)
    before = {path: path.read_bytes() for path in (database, text)}
    for path, problem in (
        (
            database,
            "is a database, as stores of results were before. A store is a folder now: name a new one",
        ),
        (text, "is a file, and a store of results is a folder; name a new one"),
        (folder, r"is not empty and no store of results \(it holds 'inside' and no ragdiag-store.json\)"),
        (text / "below", "cannot be used as the folder of a store: Not a directory"),
    ):
        with pytest.raises(DataError, match=problem) as caught:
            Store(path)
        assert str(caught.value).startswith(f"{path}: ")
    assert {path: path.read_bytes() for path in before} == before
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["folder", "inside", "notes.txt", "results"]


@pytest.mark.parametrize(
    ("mark", "problem"),
    [
        ('{"format": "ragdiag-store", "version": 2}', "is a store of version 2, and this release reads"),
        ('{"format": "another", "version": 1}', "is not the mark of a store"),
        ("[]", "is not the mark of a store"),
        ('{"format": "ragd', "is damaged .* delete the folder, or name a new one"),
        ("\udcff", "is damaged"),
    ],
)
def test_a_mark_of_something_else_is_refused(mark: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "ragdiag-store.json").write_bytes(mark.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match=problem):
        Store(tmp_path)


def test_a_folder_that_another_process_is_just_making_is_no_other(tmp_path: Path) -> None:
    (tmp_path / ".ragdiag-0123456789abcdef.tmp").write_bytes(b"{")
    assert Store(tmp_path).path == tmp_path


def test_a_shelf_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    store = Store(tmp_path)
    stored = store.embedder(HashingEmbedder(8))
    stored.embed_documents(["a"])
    shelf = shards(tmp_path)[0].parent
    shelf.rename(tmp_path / "gone")
    shelf.write_text("a file in its place")
    with pytest.raises(RagdiagError, match=r"cannot be read: Not a directory"):
        stored.embed_documents(["b"])
