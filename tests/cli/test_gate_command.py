"""``ragdiag gate``: its exit status is the verdict, whoever reads the rest."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from gated import diagnosed, fates

from ragdiag import Diagnosis, Document
from ragdiag.cli import main
from ragdiag.experiments.gate import Baseline, gate

RELEASE = fates(50, 10)
WORSE = {name: "retriever" if int(name[1:]) < 15 else fate for name, fate in RELEASE.items()}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a release, its baseline and a worse one; it is the current one."""
    monkeypatch.chdir(tmp_path)
    diagnosed(RELEASE).save("release.jsonl")
    diagnosed(WORSE).save("worse.jsonl")
    Baseline.of(Diagnosis.load("release.jsonl")).save("baseline.json")
    return tmp_path


def told(arguments: list[str], status: int, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert main(["gate", *arguments]) == status
    out, err = capsys.readouterr()
    assert err == ""
    return out


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["release.jsonl", "--bar", "recall >= 0.7"], 0),
        (["release.jsonl", "--bar", "recall >= 0.7", "--bar", "recall >= 0.95"], 1),
        (["release.jsonl", "--bar", "recall >= 0.8"], 3),
        (["release.jsonl", "--bar", "recall >= 0.8", "--confidence", "0.6"], 0),
        (["release.jsonl", "--baseline", "baseline.json"], 0),
        (["worse.jsonl", "--baseline", "baseline.json"], 1),
        (["worse.jsonl", "--baseline", "baseline.json", "--min-effect", "0.25"], 3),
        (["worse.jsonl", "--baseline", "baseline.json", "--min-effect", "0.5"], 0),
        (["worse.jsonl", "--baseline", "baseline.json", "--min-effect", "0.5", "--bar", "recall>=.9"], 1),
    ],
)
def test_the_exit_status_is_the_verdict(
    arguments: list[str], status: int, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert folder.is_dir()
    beginnings = {0: "It may ship:", 1: "It may not ship:", 3: "It cannot be told whether it may ship:"}
    assert told(arguments, status, capsys).startswith(beginnings[status])


def test_every_file_is_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = ["--markdown", "gate.md", "--json", "gate.json", "--save-baseline", "next.json"]
    arguments = ["worse.jsonl", "--baseline", "baseline.json", "--bar", "recall@1 >= 0.5", *files]
    out = told(arguments, 1, capsys)
    worse = Diagnosis.load("worse.jsonl")
    result = gate(worse, "recall@1 >= 0.5", baseline=Baseline.load("baseline.json"))
    baseline = Baseline.load("next.json")
    assert baseline == Baseline.of(worse)
    assert out == f"{result}\nSaved next.json: {baseline!r}.\n"
    assert (folder / "gate.md").read_text(encoding="utf-8") == result.to_markdown()
    assert json.loads((folder / "gate.json").read_bytes()) == result.to_dict()


def test_a_baseline_is_saved_without_a_bar(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (folder / "baseline.json").read_bytes()
    out = told(["release.jsonl", "--save-baseline", "again.json"], 0, capsys)
    assert out == f"Saved again.json: {Baseline.load('again.json')!r}.\n"
    assert (folder / "again.json").read_bytes() == before


def test_a_baseline_knows_the_measures_of_the_bars(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert folder.is_dir()
    bars = ["--bar", "hit@2 >= 0.5", "--bar", "loss[reranker] <= 0.5"]
    told(["release.jsonl", *bars, "--save-baseline", "hits.json"], 0, capsys)
    assert Baseline.load("hits.json").measures[-1] == "Hit@2"
    told(["release.jsonl", *bars, "--baseline", "hits.json"], 0, capsys)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["release.jsonl"], "gate needs a bar, such as 'recall@5 >= 0.85', or a baseline"),
        (["absent.jsonl", "--bar", "recall>=.5"], "absent.jsonl: cannot be read: No such file or directory"),
        (["release.jsonl", "--bar", "recall"], "bar 'recall' cannot be read: expected"),
        (["release.jsonl", "--bar", "tokens<=5"], "a bar for tokens needs a packer or an embedder"),
        (["release.jsonl", "--bar", "latency_p95<=5"], "a bar for latency_p95 needs the latency of single"),
        (["release.jsonl", "--bar", "recall>=.5", "--confidence", "2"], "confidence must be above 0.5 and"),
        (
            ["release.jsonl", "--bar", "recall>=.5", "--min-effect", ".1"],
            "min_effect=0.1 is a drop from a base",
        ),
        (["release.jsonl", "--baseline", "absent.json"], "absent.json: cannot be read: No such file"),
        (["release.jsonl", "--baseline", "worse.jsonl"], "worse.jsonl: format: expected 'ragdiag-baseline'"),
        (
            ["release.jsonl", "--baseline", "other.json"],
            "the corpus is not that of the baseline: 61 documents",
        ),
        (
            ["release.jsonl", "--baseline", "fewer.json"],
            "the corpus is not that of the baseline: 61 documents",
        ),
        (
            ["release.jsonl", "--baseline", "baseline.json", "--save-baseline", "baseline.json"],
            "--save-baseline and --baseline name the same file: baseline.json",
        ),
        (["release.jsonl", "--bar", "recall>=.5", "--json", "absent/x"], "absent/x: cannot be written"),
    ],
)
def test_a_usage_or_data_error_is_another_status(
    arguments: list[str], problem: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Baseline.of(diagnosed(RELEASE, more=[Document("more", "Text.")])).save("other.json")
    Baseline.of(diagnosed(fates(50))).save("fewer.json")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    capsys.readouterr()
    assert main(["gate", *arguments]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"ragdiag: error: {problem}")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_reader_that_leaves_changes_no_verdict(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CI step that looks at the first line only must still fail."""
    assert folder.is_dir()
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", encoding="ascii") as stdout, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stdout)
        assert main(["gate", "worse.jsonl", "--baseline", "baseline.json"]) == 1
