"""A disk that takes no more: said once, and the work goes on."""

from __future__ import annotations

import errno
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from stored_plugs import kept, run_script, shards

from ragdiag import DataError, HashingEmbedder, RagdiagWarning
from ragdiag.store import Asked, Store


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    def refuse(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", refuse)
        yield patched


def test_it_is_said_once_and_results_stay_in_memory(tmp_path: Path, full_disk: pytest.MonkeyPatch) -> None:
    full_disk.undo()
    store = Store(tmp_path)
    stored = store.embedder(HashingEmbedder(8))
    stored.embed_documents(["before"])
    before = sorted(tmp_path.rglob("*"))
    full_disk.setattr(os, "fsync", _refuse)
    with pytest.warns(RagdiagWarning, match="cannot be kept on disk .*No space left on device"):
        stored.embed_documents(["a"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stored.embed_queries(["a"])
        with store.batch():
            stored.embed_documents(["b"])
        store.write_step("a", "1", [{"it": 1}])
        rows = stored.embed_documents(["before", "a", "b"])
    np.testing.assert_array_equal(rows, HashingEmbedder(8).embed_documents(["before", "a", "b"]))
    assert stored.asked == Asked(documents=3, queries=1)
    assert store.read_step("a", "1") == [{"it": 1}]
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == [
        p for p in before if p.is_file()
    ]
    assert Store(tmp_path).embedder(HashingEmbedder(8)).missing(["before", "a"]) == ["a"]


def _refuse(_: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_when_there_is_room_again_what_comes_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    stored = store.embedder(HashingEmbedder(8))
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", _refuse)
        with pytest.warns(RagdiagWarning, match="No space"):
            stored.embed_documents(["a"])
    stored.embed_documents(["b"])
    assert len(shards(tmp_path)) == 1
    kept(tmp_path).embed_documents(["b"])
    stored.embed_documents(["a", "b"])
    assert stored.asked == Asked(documents=2)


def test_a_limit_of_the_system_is_met_like_a_full_disk(tmp_path: Path) -> None:
    """A real one: no file of the process may be larger than 2,000 bytes."""
    ended = run_script(
        tmp_path,
        "import resource",
        "from ragdiag.errors import RagdiagWarning",
        "store = Store(path)",
        "stored = store.embedder(inner)",
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))",
        "few, many = ['a', 'b'], [f'text {i}' for i in range(100)]",
        "with warnings.catch_warnings(record=True) as told:",
        "    warnings.simplefilter('always')",
        "    for texts in (few, many, few, many):",
        "        assert np.array_equal(stored.embed_documents(texts), inner.embed_documents(texts))",
        "    store.write_step('a', '1', [{'it': 'x' * 3000}])",
        "    assert store.read_step('a', '1') == [{'it': 'x' * 3000}]",
        "assert [one.category for one in told] == [RagdiagWarning], told",
        "assert 'File too large' in str(told[0].message), told[0].message",
        "sys.exit(stored.asked.documents)",
    )
    assert ended == 102
    assert not list(tmp_path.rglob("*.tmp"))
    kept(tmp_path).embed_documents(["a", "b"])
    assert len(kept(tmp_path).missing([f"text {i}" for i in range(100)])) == 100
    assert Store(tmp_path).read_step("a", "1") is None


def test_a_new_folder_on_a_full_disk_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", _refuse)
    with pytest.raises(DataError, match=r"ragdiag-store.json: cannot be written: No space left on device"):
        Store(tmp_path / "new")


def test_what_is_wrong_with_no_disk_is_not_taken_for_a_full_one(tmp_path: Path) -> None:
    (tmp_path / "results" / "steps" / "a" / "1.jsonl").mkdir(parents=True)
    store_path = tmp_path / "results"
    (store_path / "ragdiag-store.json").write_text('{"format": "ragdiag-store", "version": 1}')
    with pytest.raises(DataError, match="is there and is not a regular file"):
        Store(store_path).write_step("a", "1", [])
