"""Shards that were truncated, altered or removed: found, said, worked out again, never believed."""

from __future__ import annotations

import io
import zipfile
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stored_plugs import Silent, kept, recording, shards

from ragdiag import HashingEmbedder, RagdiagWarning
from ragdiag.store import Asked, Store
from ragdiag.store.shards import make_rows, write_shard

TEXTS = ["a", "b", "c"]
EXPECTED = HashingEmbedder(8).embed_documents(TEXTS)


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    Store(tmp_path).embedder(HashingEmbedder(8)).embed_documents(TEXTS)
    [path] = shards(tmp_path)
    return path


def damaged(change: str, content: bytes) -> bytes:
    other = io.BytesIO()
    if change == "an archive":
        with zipfile.ZipFile(other, "w") as archive:
            archive.writestr("a.npy", content)
    elif change == "a pickle":
        np.save(other, np.array([object], dtype=object))
    changed = bytearray(content)
    changed[-1] ^= 1  # of the last row's seconds
    return {
        "emptied": b"",
        "truncated": content[:-1],
        "cut in half": content[: len(content) // 2],
        "longer": content + b"\0",
        "altered": bytes(changed),
        "an archive": other.getvalue(),
        "a pickle": other.getvalue(),
        "noise": b"\x93NUMPY" + b"\xff" * 99,
    }[change]


DAMAGES = ["emptied", "truncated", "cut in half", "longer", "altered", "an archive", "a pickle", "noise"]


@pytest.mark.parametrize("change", DAMAGES)
def test_a_damaged_shard_is_said_removed_and_worked_out_again(
    change: str, shard: Path, tmp_path: Path
) -> None:
    shard.write_bytes(damaged(change, shard.read_bytes()))
    stored = Store(tmp_path).embedder(HashingEmbedder(8))
    with pytest.warns(RagdiagWarning) as told:
        rows = stored.embed_documents(TEXTS)
    np.testing.assert_array_equal(rows, EXPECTED)
    assert stored.asked == Asked(documents=3)
    [message] = [str(warning.message) for warning in told]
    assert message.startswith(f"{shard}: was truncated or altered (its content has the digest")
    assert message.endswith("its results are worked out again")
    np.testing.assert_array_equal(kept(tmp_path).embed_documents(TEXTS), EXPECTED)


@pytest.mark.parametrize("change", DAMAGES)
def test_a_shard_that_is_damaged_while_it_is_in_use_raises_nothing(
    change: str, shard: Path, tmp_path: Path
) -> None:
    """What a process has looked at once it does not look at again, but what no longer fits is found."""
    stored = Store(tmp_path).embedder(HashingEmbedder(8))
    assert stored.missing(TEXTS) == []
    shard.write_bytes(damaged(change, shard.read_bytes()))
    if change in ("longer", "altered"):
        stored.embed_documents(TEXTS)
        return
    with pytest.warns(RagdiagWarning, match="was truncated or altered"):
        rows = stored.embed_documents(TEXTS)
    np.testing.assert_array_equal(rows, EXPECTED)
    assert stored.asked == Asked(documents=3)


def test_a_shorter_shard_in_the_place_of_another_is_found(shard: Path, tmp_path: Path) -> None:
    stored = Store(tmp_path).embedder(HashingEmbedder(8))
    assert stored.missing(TEXTS) == []
    rows = np.load(shard)
    np.save(shard, rows[:2])
    with pytest.warns(RagdiagWarning, match="it has 2 rows, and had more"):
        np.testing.assert_array_equal(stored.embed_documents(TEXTS), EXPECTED)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros(3, np.float32),
        np.zeros((1, 1), [("key", "V16"), ("value", "<f4", (8,)), ("seconds", "<f4")]),
        np.zeros(1, [("key", "V16"), ("value", "<f8", (8,)), ("seconds", "<f4")]),
        np.zeros(1, [("key", "V16"), ("values", "<f4", (8,)), ("seconds", "<f4")]),
    ],
    ids=["plain numbers", "two dimensions", "other numbers", "other names"],
)
def test_a_file_that_is_named_like_a_shard_but_is_none_is_not_believed(
    wrong: Any, shard: Path, tmp_path: Path
) -> None:
    content = io.BytesIO()
    np.save(content, wrong)
    name = blake2b(content.getvalue(), digest_size=16).hexdigest()
    shard.with_name(f"{name}.npy").write_bytes(content.getvalue())
    with pytest.warns(RagdiagWarning, match=f"{name}.npy: was truncated or altered .*expected rows of key"):
        assert kept(tmp_path).missing(["a", "z"]) == ["z"]


def test_other_files_on_a_shelf_are_left_alone(shard: Path, tmp_path: Path) -> None:
    for name in (".ragdiag-0123456789abcdef.tmp", "notes.npy", f"{'0' * 31}.npy", f"{'0' * 32}.npy.gz"):
        shard.with_name(name).write_bytes(b"something")
    assert kept(tmp_path).missing(["a", "z"]) == ["z"]
    assert len(list(shard.parent.iterdir())) == 6


def test_a_shard_that_cannot_be_read_is_said_once_and_left_alone(shard: Path, tmp_path: Path) -> None:
    other = shard.with_name(f"{'0' * 32}.npy")
    other.mkdir()
    stored = kept(tmp_path)
    with pytest.warns(RagdiagWarning, match=f"{other.name}: cannot be read .*Is a directory"):
        assert stored.missing(["a", "z"]) == ["z"]
    assert stored.missing(["a", "z"]) == ["z"]
    assert other.is_dir()


def test_a_damaged_shard_that_cannot_be_removed_is_said_once(
    shard: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *, missing_ok: bool = False) -> None:  # noqa: ARG001
        raise PermissionError(13, "Permission denied", str(path))

    stored = Store(tmp_path).embedder(HashingEmbedder(8))
    shard.write_bytes(b"")
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.warns(RagdiagWarning, match="was truncated"):
        assert stored.missing(TEXTS) == TEXTS
    assert stored.missing(TEXTS) == TEXTS
    monkeypatch.undo()
    stored.embed_documents(TEXTS)
    assert stored.asked == Asked(documents=3)


@pytest.mark.parametrize("looked", [True, False])
def test_what_another_process_clears_is_worked_out_again(looked: bool, shard: Path, tmp_path: Path) -> None:  # noqa: FBT001
    inner = recording()
    stored = Store(tmp_path).embedder(inner, name=repr(HashingEmbedder(8)))
    if looked:
        stored.embed_documents(["a"])
    assert Store(tmp_path).clear() > 0
    assert not shard.exists()
    np.testing.assert_array_equal(stored.embed_documents(TEXTS), EXPECTED)
    assert inner.documents == [TEXTS]
    kept(tmp_path).embed_documents(TEXTS)


def test_what_a_batch_holds_back_outlives_what_another_process_clears(tmp_path: Path) -> None:
    store = Store(tmp_path)
    stored = store.embedder(HashingEmbedder(8))
    stored.embed_documents(["a"])
    with store.batch():
        stored.embed_documents(["b"])
        Store(tmp_path).clear()
        stored.embed_documents(["a", "b"])
        assert stored.asked == Asked(documents=3), "only what was cleared was asked again"
    kept(tmp_path).embed_documents(["a", "b"])


def test_what_a_batch_holds_back_is_let_go_once_it_is_written(tmp_path: Path) -> None:
    store = Store(tmp_path)
    shelf = store.shelf("document-vectors", "m", "<f4")
    with store.batch():
        store.embedder(HashingEmbedder(8), name="m").embed_documents(TEXTS)
        assert shelf.nbytes > 0
    assert shelf.nbytes == 0


def test_a_shard_of_another_process_is_read_before_what_a_batch_holds_back(tmp_path: Path) -> None:
    one, other = (make_rows([bytes(16)], np.array([value]), np.zeros(1)) for value in (1.0, 2.0))
    store = Store(tmp_path)
    shelf = store.shelf("a", "m", "<f8")
    with store.batch():
        shelf.keep(one)
        Store(tmp_path).shelf("a", "m", "<f8").keep(other)
        assert shelf.read([bytes(16)])[0].rows["value"].tolist() == [1.0], "it had no reason to look"
        shelf.read([b"\1" * 16])
        assert shelf.read([bytes(16)])[0].rows["value"].tolist() == [2.0], "as every other process reads it"


def test_of_two_shards_with_one_key_the_first_by_name_is_read_whoever_looks_when(tmp_path: Path) -> None:
    def shard_of(value: float) -> Path:
        rows = make_rows([bytes(16)], np.full((1, 8), value, np.float32), np.zeros(1))
        store.shelf("a", "m", "<f4").keep(rows)
        [new] = set(shards(tmp_path)) - written.keys()
        written[new] = value
        return new

    store, written = Store(tmp_path), dict[Path, float]()
    for value in range(5):
        shard_of(value)
        wanted = written[min(written)]
        for reader in (store, Store(tmp_path)):
            shelf = reader.shelf("a", "m", "<f4")
            shelf.read([b"\1" * 16])  # not there: it looks for new shards
            [piece] = shelf.read([bytes(16)])
            assert piece.rows["value"].tolist() == [[wanted] * 8]


def test_the_same_rows_are_the_same_file(tmp_path: Path) -> None:
    rows = make_rows([bytes(16)], np.ones(1), np.zeros(1))
    assert write_shard(tmp_path, rows) == write_shard(tmp_path, rows)
    assert len(shards(tmp_path)) == 1


def test_a_shard_is_checked_once_a_store(
    shard: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    real = Path.open

    def counting(path: Path, *arguments: Any, **options: Any) -> Any:
        opened.append(path.name)
        return real(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", counting)
    store = Store(tmp_path)
    stored = store.embedder(Silent(repr(HashingEmbedder(8))))
    for _ in range(3):
        stored.missing(["a", "z"])
        stored.embed_documents(TEXTS)
    with store.batch():
        store.embedder(HashingEmbedder(8)).embed_documents(["d"])
    stored.embed_documents(["d", *TEXTS])
    assert opened.count(shard.name) == 1
