"""``ragdiag cache``: what a store holds, and how to be rid of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ragdiag import HashingEmbedder, Store
from ragdiag.cli import main


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store with vectors of two embedders, of which one has a hostile name."""
    path = tmp_path / "store"
    store = Store(path)
    store.embedder(HashingEmbedder(8)).embed_documents([f"text {i}" for i in range(1200)])
    store.embedder(HashingEmbedder(8)).embed_queries(["one", "two"])
    store.embedder(HashingEmbedder(4), name=f"mine\x1b[31m\n{'x' * 300}").embed_documents(["a text"])
    return path


def told(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> list[str]:
    assert main(["cache", *arguments]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out.splitlines()


def test_a_store_is_listed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    contents = Store(folder).contents()
    head, *rows, total = told([str(folder)], capsys)
    assert head.split() == ["kind", "entries", "files", "size", "modified", "(UTC)", "name"]
    assert len(rows) == len(contents) >= 2
    for row, expected in zip(rows, contents.to_dict("records"), strict=True):
        words = row.split()
        assert words[0] == expected["kind"]
        assert words[1:3] == [f"{expected['entries']:,}", f"{expected['files']:,}"]
        assert int(words[3].replace(",", "")) == -(-expected["bytes"] // 1000)
        assert " ".join(words[5:7]) == f"{expected['modified']:%Y-%m-%d %H:%M}"
        assert len(row) <= 200
        assert row.isprintable()
    assert any(f"  {HashingEmbedder(8)!r}" in row for row in rows)
    assert total.split()[:3] == ["all", f"{contents['entries'].sum():,}", f"{contents['files'].sum():,}"]


def test_a_store_is_cleared_by_kind_and_as_a_whole(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    contents = Store(folder).contents()
    kind = str(contents["kind"].iloc[0])
    held = int(contents.loc[contents["kind"] == kind, "bytes"].sum())
    assert told([str(folder), "--clear", kind], capsys) == [f"Removed {-(-held // 1000):,} kB of {kind}."]
    left = Store(folder).contents()
    assert set(left["kind"]) == set(contents["kind"]) - {kind}
    assert told([str(folder), "--clear"], capsys) == [f"Removed {-(-int(left['bytes'].sum()) // 1000):,} kB."]
    assert told([str(folder)], capsys) == ["The store is empty."]


def test_what_is_no_store_is_left_alone(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("years of work", encoding="utf-8")
    for arguments, problem in (
        ([str(tmp_path / "absent")], "absent: there is no such folder"),
        ([str(tmp_path / "other"), "--clear"], "other: is not empty and no store of results"),
        ([str(folder), "--clear", "nothing"], "it holds document-vectors, query-vectors"),
    ):
        assert main(["cache", *arguments]) == 2
        assert problem in capsys.readouterr().err
    assert not (tmp_path / "absent").exists()
    assert (tmp_path / "other" / "thesis.txt").exists()
