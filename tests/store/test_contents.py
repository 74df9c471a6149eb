"""What a store lists, and what is left when it is cleared."""

from __future__ import annotations

import time
from pathlib import Path

import pandas as pd
import pytest
from plugs import SeededReranker
from stored_plugs import kept, recording, shards

from ragdiag import DataError, HashingEmbedder
from ragdiag.store import Asked, Store

COLUMNS = ["kind", "name", "entries", "files", "bytes", "modified"]
TYPES = {"entries": "int64", "files": "int64", "bytes": "int64", "modified": "datetime64[ns, UTC]"}


def filled(store: Store) -> Store:
    embedder = store.embedder(HashingEmbedder(8))
    embedder.embed_documents(["a", "b"])
    embedder.embed_documents(["c"])
    embedder.embed_queries(["a"])
    store.embedder(recording(), name="another").embed_documents(["a"])
    store.reranker(SeededReranker(1)).score("q", ["a", "b"])
    for key, name in (("1", "one"), ("2", "one"), ("3", "two")):
        store.write_step("chunks", key, [{"it": key}] * 4, name=name)
    return store


def sizes(path: Path) -> dict[str, int]:
    files = [file for file in path.rglob("*") if file.is_file() and file.parent != path]
    kinds = [file.relative_to(path).parts[1] for file in files]
    return {
        kind: sum(file.stat().st_size for file, own in zip(files, kinds, strict=True) if own == kind)
        for kind in kinds
    }


def test_a_row_a_kind_and_name(tmp_path: Path) -> None:
    began = time.time()
    listed = filled(Store(tmp_path)).contents()
    assert list(listed.columns) == COLUMNS
    assert {name: str(listed[name].dtype) for name in TYPES} == TYPES
    assert listed[["kind", "name", "entries", "files"]].to_numpy().tolist() == [
        ["chunks", "one", 2, 2],
        ["chunks", "two", 1, 1],
        ["document-vectors", repr(HashingEmbedder(8)), 3, 3],
        ["document-vectors", "another", 1, 2],
        ["pair-scores", repr(SeededReranker(1)), 2, 2],
        ["query-vectors", repr(HashingEmbedder(8)), 1, 2],
    ]
    assert listed.groupby("kind")["bytes"].sum().to_dict() == sizes(tmp_path)
    assert (
        listed["modified"]
        .between(
            pd.Timestamp(began - 2, unit="s", tz="UTC"), pd.Timestamp(time.time() + 2, unit="s", tz="UTC")
        )
        .all()
    )
    pd.testing.assert_frame_equal(Store(tmp_path).contents(), listed)


def test_a_store_in_memory_lists_what_it_holds() -> None:
    store = filled(Store())
    listed = store.contents()
    assert {name: str(listed[name].dtype) for name in TYPES} == TYPES
    assert listed.groupby("kind")["entries"].sum().to_dict() == {
        "chunks": 3, "document-vectors": 4, "pair-scores": 2, "query-vectors": 1,
    }  # fmt: skip
    assert not listed["files"].any()
    assert listed["modified"].isna().all()
    assert store.clear() == listed["bytes"].sum() > 0
    assert store.contents().empty


def test_an_empty_store_lists_nothing(tmp_path: Path) -> None:
    for store in (Store(), Store(tmp_path)):
        listed = store.contents()
        assert list(listed.columns) == COLUMNS
        assert {name: str(listed[name].dtype) for name in TYPES} == TYPES
        assert len(listed) == store.clear() == 0


def test_what_is_damaged_is_listed_as_far_as_it_says_what_it_is(tmp_path: Path) -> None:
    filled(Store(tmp_path))
    for shard in shards(tmp_path):
        shard.write_bytes(b"")
    for about in tmp_path.rglob("about.json"):
        about.write_bytes(b"[")
    for step in (tmp_path / "steps" / "chunks").iterdir():
        step.write_bytes(b"\xff")
    (tmp_path / "steps" / "chunks" / "folder").mkdir()
    listed = Store(tmp_path).contents()
    assert listed.groupby("kind")["entries"].sum().to_dict() == {
        "chunks": 0, "document-vectors": 0, "pair-scores": 0, "query-vectors": 0,
    }  # fmt: skip
    assert set(listed["name"]) == {""}


# Clearing


def test_one_kind_is_cleared_and_the_rest_stays(tmp_path: Path) -> None:
    store = filled(Store(tmp_path))
    before = sizes(tmp_path)
    for kind in ("document-vectors", "chunks"):
        assert store.clear(kind) == before.pop(kind)
        assert sizes(tmp_path) == before
        assert set(store.contents()["kind"]) == before.keys()
    assert store.read_step("chunks", "1") is None
    stored = store.embedder(HashingEmbedder(8))
    assert stored.missing(["a"]) == ["a"]
    assert stored.missing(["a"], "query") == []
    assert store.clear("chunks") == 0
    assert store.clear("never-heard-of") == 0


def test_all_is_cleared_and_the_store_goes_on(tmp_path: Path) -> None:
    for path in (tmp_path, None):
        store = filled(Store(path))
        stored = store.embedder(HashingEmbedder(8))
        total = int(store.contents()["bytes"].sum())
        assert store.clear() == total
        assert store.contents().empty
        stored.embed_documents(["a"])
        assert stored.asked == Asked(documents=1)
        if path is not None:
            kept(path).embed_documents(["a"])


def test_what_cannot_be_removed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    store = filled(Store(tmp_path))
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(DataError, match="cannot be removed: Permission denied"):
        store.clear("chunks")
