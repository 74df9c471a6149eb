"""``ragdiag chunking``: what it reads and writes, and what it refuses before the long run."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

import ragdiag
from ragdiag.cli import main
from ragdiag.experiments.chunking import Prices, compare_chunkers
from ragdiag.formats import write_documents, write_queries
from ragdiag.records import Document, Evidence, Query, Span

TEXT = """\
# Returns

Goods may be returned within 30 days.

# Shipping

We ship on Mondays. Parcels are insured."""
HANDBOOK = Document("handbook", TEXT)
QUERIES = [
    Query("days", "How long may goods be returned?", [Evidence.of(Span.find(HANDBOOK, "within 30 days"))]),
    Query("when", "When do parcels leave?", [Evidence.of(Span.find(HANDBOOK, "We ship on Mondays."))]),
    Query("open", "Who asks?"),
]
CHUNKERS = """\
[chunkers.small]
kind = "recursive"
size = 30
[chunkers.sections]
kind = "markdown"
size = 80
"""
PIPELINE = """\
top_k = 1
[chunker]
kind = "token"
[embedder]
kind = "hashing"
dimensions = 64
[retriever]
kind = "exact"
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with all that a comparison needs; it is the current one."""
    write_documents(tmp_path / "documents.jsonl", [HANDBOOK])
    write_queries(tmp_path / "queries.jsonl", QUERIES)
    (tmp_path / "chunkers.toml").write_text(CHUNKERS, encoding="utf-8")
    (tmp_path / "pipeline.toml").write_text(PIPELINE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def chunking(*options: str, pipeline: str | None = "pipeline.toml") -> list[str]:
    files = ["--documents", "documents.jsonl", "--queries", "queries.jsonl", "--chunkers", "chunkers.toml"]
    return ["chunking", *files, *(["--pipeline", pipeline] if pipeline else []), *options]


def fail(arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run what must fail; the one line on standard error."""
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch("ragdiag: error: [^\n]*\n", err)
    return err.removeprefix("ragdiag: error: ").removesuffix("\n")


def test_chunkers_are_compared_and_every_file_is_written(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (folder / "chunkers.toml").open("a", encoding="utf-8") as file:
        file.write("[prices]\nembedding = 0.02\ncontext = 3\n")
    files = [
        "--json",
        "o.json",
        "--markdown",
        "o.md",
        "--html",
        "o.html",
        "--plot",
        "o.svg",
        "--store",
        "kept",
    ]
    options = ["--measure", "iou", "--min-effect", "0.1", "--min-coverage", "0.5", "--no-copies"]
    assert main(chunking(*files, *options, "--latency-queries", "0")) == 0
    out, err = capsys.readouterr()
    assert err == ""
    base = ragdiag.read_pipeline("pipeline.toml")
    expected = compare_chunkers(
        [HANDBOOK],
        QUERIES,
        {"small": ragdiag.RecursiveChunker(30), "sections": ragdiag.MarkdownChunker(80)},
        pipeline=base,
        measure="IoU",
        min_effect=0.1,
        min_coverage=0.5,
        copies=False,
        prices=Prices(embedding=0.02, context=3),
        latency_queries=0,
    )
    assert out == str(expected)
    assert json.loads((folder / "o.json").read_bytes()) == json.loads(json.dumps(expected.to_dict()))
    assert (folder / "o.md").read_text(encoding="utf-8") == expected.to_markdown()
    assert expected._repr_html_() in (folder / "o.html").read_text(encoding="utf-8")
    assert (folder / "o.svg").read_text(encoding="utf-8").startswith("<?xml")
    assert any((folder / "kept").iterdir())


def test_time_is_measured_unless_it_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(chunking("--workers", "1")) == 0
    assert "p95 ms" in capsys.readouterr().out
    assert main(chunking("--latency-queries", "0")) == 0
    assert "p95 ms" not in capsys.readouterr().out


def test_without_a_pipeline_chunks_may_be_sized_by_the_packaged_embedder(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = CHUNKERS.replace("size = 30", 'size = 12\nunit = "embedder"')
    (folder / "chunkers.toml").write_text(own, encoding="utf-8")
    assert main(chunking("--json", "out.json", "--latency-queries", "0", pipeline=None)) == 0
    stages = json.loads((folder / "out.json").read_bytes())["pipelines"]["small"]["stages"]
    assert stages["embedder"] == repr(ragdiag.StaticEmbedder())
    assert stages["chunker"] == repr(ragdiag.RecursiveChunker(12, unit=ragdiag.StaticEmbedder()))
    assert capsys.readouterr().err == ""


def test_originals_are_read_from_a_file_of_their_own(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_documents(folder / "originals.jsonl", [HANDBOOK])
    write_documents(
        folder / "documents.jsonl", [Document("handbook", TEXT.replace("We ship on Mondays. ", ""))]
    )
    assert main(chunking("--sources", "originals.jsonl", "--json", "out.json")) == 0
    table = json.loads((folder / "out.json").read_bytes())["table"]
    assert {row["loss_ingest"] for row in table} == {0.5}
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("[chunker.a]", "chunkers.toml: chunker: is not known; expected [chunkers.NAME] tables and [prices]"),
        ("", "chunkers.toml: chunkers: is missing"),
        ("chunkers = 3", "chunkers.toml: chunkers: expected a table, got 3"),
        ("chunkers.a = 3", "chunkers.toml: chunkers.a: expected a table with a kind, got 3"),
        ('[chunkers.a]\nkind = "tokn"', "chunkers.a.kind: 'tokn' is not known; did you mean 'token'"),
        ('[chunkers.a]\nkind = "recursive"\nsizes = 3', "chunkers.a.sizes: is not known"),
        ('[chunkers.a]\nkind = "recursive"', "a comparison needs at least two chunkers, got a"),
        (f"{CHUNKERS}[prices]\ncontext = -1", "prices: Prices: context must be a number of at least 0"),
        (f"{CHUNKERS}[prices]\ncontexts = 1", "prices.contexts: is not known"),
        (f"prices = 2\n{CHUNKERS}", "prices: expected a table, got 2"),
        ("[[", "chunkers.toml: not valid TOML"),
    ],
)
def test_a_file_of_chunkers_says_what_is_wrong(
    folder: Path, capsys: pytest.CaptureFixture[str], toml: str, message: str
) -> None:
    (folder / "chunkers.toml").write_text(toml, encoding="utf-8")
    assert message in fail(chunking(), capsys)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--plot", "out.gif"], "--plot must end in .png or .svg, got out.gif"),
        (["--measure", "nDCG"], "measure='nDCG' counts ranks of chunks, and cannot compare chunkers"),
        (["--min-effect", "2"], "min_effect must be in [0, 1), got 2.0"),
        (["--html", "chunkers.toml"], "--html and --chunkers name the same file: chunkers.toml"),
        (["--plot", "no/out.png"], "no/out.png: cannot be written"),
    ],
)
def test_what_cannot_work_is_refused_before_the_run(
    capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert message in fail(chunking(*options), capsys)
