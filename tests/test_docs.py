"""The README's Python and commands run, links lead somewhere, and the notebook executes."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

import ragdiag
from ragdiag import BM25Retriever, Pipeline, Query, RecursiveChunker, read_documents
from ragdiag.cli import main
from ragdiag.demo import demo_data

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def blocks(language: str) -> list[str]:
    """The fenced blocks of one language in the README; without a name, those of none."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)
    return [block for name, block in fenced if name == language]


def block_with(text: str) -> str:
    """The one block of Python in the README that holds a text."""
    [block] = [block for block in blocks("python") if text in block]
    return block


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as the README's reader has it: documents, and the README's own line of questions."""
    (tmp_path / "docs").mkdir()
    text = "# Returns\n\nGoods may be sent back within 30 days of delivery.\n\nRefunds take five days.\n"
    (tmp_path / "docs" / "returns.md").write_text(text, encoding="utf-8")
    (tmp_path / "queries.jsonl").write_text(blocks("json")[0], encoding="utf-8")
    (tmp_path / "pipeline.toml").write_bytes((ROOT / "fixtures" / "pipeline.toml").read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("workspace")
def test_the_ten_lines_of_python_run() -> None:
    names: dict[str, object] = {}
    exec(blocks("python")[0], names)  # noqa: S102  # the project's own README
    assert getattr(names["diagnosis"], "recall") == 1.0  # noqa: B009
    exec(blocks("python")[1], names)  # noqa: S102
    assert "Nothing was lost" in str(names["remedies"])


@pytest.mark.usefixtures("workspace")
def test_a_stage_of_ones_own_is_a_stage() -> None:
    names: dict[str, object] = {}
    exec("import ragdiag as rd\n" + block_with("class ParagraphChunker"), names)  # noqa: S102
    exec(block_with("check_chunker(ParagraphChunker())"), names)  # noqa: S102
    chunker = names["ParagraphChunker"]()  # type: ignore[operator]
    pipeline = Pipeline(chunker=chunker, retriever=BM25Retriever())
    chunks = pipeline.index(read_documents("docs")).chunks
    assert [chunk.text for chunk in chunks] == [
        "# Returns",
        "Goods may be sent back within 30 days of delivery.",
        "Refunds take five days.\n",
    ]


@pytest.mark.usefixtures("workspace")
def test_judged_documents_are_evaluated_as_written() -> None:
    names: dict[str, object] = {
        "rd": ragdiag,
        "pipeline": Pipeline(chunker=RecursiveChunker(), retriever=BM25Retriever()),
        "documents": read_documents("docs"),
        "queries": [Query("q", "How long do refunds take?")],
        "qrels": {"q": {"returns": 1}},
    }
    *lines, last = block_with("rd.evaluate(").strip().splitlines()
    exec("\n".join(lines), names)  # noqa: S102
    means = eval(last, names)  # noqa: S307
    assert means["value"].tolist() == [1.0, 1.0, 1.0]


def test_the_diagnose_command_runs_as_written(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = next(line for line in README.splitlines() if line.startswith("ragdiag diagnose"))
    assert main(command.split()[1:]) == 0
    assert "Recall 1.000" in capsys.readouterr().out
    assert (workspace / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert (workspace / "report.json").stat().st_size > 0


@pytest.mark.usefixtures("workspace")
def test_the_comparison_of_chunkers_and_the_gate_run_as_written() -> None:
    names: dict[str, Any] = {}
    exec(blocks("python")[0], names)  # noqa: S102
    exec(block_with("compare_chunkers("), names)  # noqa: S102
    assert names["comparison"].table["recall"].tolist() == [1.0, 1.0, 1.0]
    assert (Path("results") / "ragdiag-store.json").is_file()
    ragdiag.Baseline.of(names["diagnosis"]).save("baseline.json")
    exec(block_with("def test_the_pipeline_may_ship"), names)  # noqa: S102
    with pytest.raises(AssertionError, match="cannot tell"):  # from a single question
        names["test_the_pipeline_may_ship"]()


def test_the_readme_shows_what_the_comparison_of_chunkers_says() -> None:
    shown = next(block for block in blocks("") if "is best in" in block)
    documents, queries = demo_data()
    made: dict[str, Any] = {"rd": ragdiag, "documents": documents, "queries": queries}
    call = block_with("compare_chunkers(").replace('store="results",', "latency_queries=0,")
    exec(call, made)  # noqa: S102
    assert str(made["comparison"]).startswith(shown)


def test_links_lead_to_files() -> None:
    pages = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"]
    pages += [f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")]
    for page in pages:
        text = (ROOT / page).read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            there = (ROOT / target).exists() or (ROOT / page).parent.joinpath(target).exists()
            assert target.startswith("https://") or there, f"{page}: {target}"


def test_the_architecture_names_files_that_exist() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    for name in set(re.findall(r"`((?:diagnosis|stages|formats|report|measures|tests)/[\w/]+\.py)`", text)):
        assert (ROOT / name).exists() or (ROOT / "ragdiag" / name).exists(), name


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_executes_and_its_tables_are_the_ones_that_are_kept(
    notebook: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    kept, fresh = (nbformat.reads(notebook.read_text(encoding="utf-8"), as_version=4) for _ in range(2))
    NotebookClient(
        fresh, timeout=100, kernel_name="python3", resources={"metadata": {"path": str(notebook.parent)}}
    ).execute()
    assert [plain(cell) for cell in fresh.cells] == [plain(cell) for cell in kept.cells]
    assert sum(len(plain(cell)) > 0 for cell in kept.cells) >= 7


def plain(cell: nbformat.NotebookNode) -> list[str]:
    """The plain text of a cell's outputs, and what it printed."""
    outputs = cell.get("outputs", [])
    printed = ["".join(output["text"] for output in outputs if output.get("name") == "stdout")]
    return [output["data"]["text/plain"] for output in outputs if "data" in output] + list(
        filter(None, printed)
    )


def test_the_readme_shows_what_the_demo_prints(capsys: pytest.CaptureFixture[str]) -> None:
    shown = next(block for block in blocks("") if "WHERE THE" in block)
    assert main(["demo"]) == 0
    assert capsys.readouterr().out.startswith(shown.rstrip("\n") + "\n")
