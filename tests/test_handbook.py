"""The handbook fixture: its sources verify, its JSONL files are current, and defects are reported by name."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ragdiag import Diagnosis, diagnose
from ragdiag.demo import demo_data, demo_pipeline

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
ROOT = FIXTURES / "handbook"


def load_script() -> ModuleType:
    """Import the build script from its path; it is a script and belongs to no package."""
    name = "build_handbook"
    spec = importlib.util.spec_from_file_location(name, FIXTURES / "build_handbook.py")
    if spec is None or spec.loader is None:
        pytest.fail("fixtures/build_handbook.py cannot be imported")
    module = importlib.util.module_from_spec(spec)
    # dataclasses look up their module while the class is being made.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


build = load_script()


@pytest.fixture(scope="module")
def handbook() -> Any:
    return build.load_handbook(ROOT)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A private copy of the fixture that a test may damage."""
    return Path(shutil.copytree(ROOT, tmp_path / "handbook"))


def read_lines(name: str) -> list[dict[str, Any]]:
    lines = (ROOT / name).read_text(encoding="utf-8").removesuffix("\n").split("\n")
    return [json.loads(line) for line in lines]


def replace_in(path: Path, old: str, new: str) -> None:
    text = path.read_bytes().decode("utf-8")
    if text.count(old) != 1:
        pytest.fail(f"{path.name}: {old!r} occurs {text.count(old)} times, the test is out of date")
    path.write_bytes(text.replace(old, new).encode("utf-8"))


def test_corpus_is_large_varied_and_free_of_repetition(handbook: Any) -> None:
    lengths = [len(document.text) for document in handbook.documents.values()]
    assert len(lengths) >= 44
    assert sum(lengths) >= 135_000
    assert max(lengths) > 4 * min(lengths)
    assert build.shared_shingle_share(handbook.documents, handbook.version_pairs) <= 0.02
    assert Counter(d.metadata["language"] for d in handbook.documents.values()).keys() == {"en", "de", "ja"}


def test_version_pairs_are_near_duplicates(handbook: Any) -> None:
    assert len(handbook.version_pairs) >= 2
    for first, second in handbook.version_pairs:
        one, two = (build.shingles(handbook.documents[doc_id].text) for doc_id in (first, second))
        assert len(one & two) / min(len(one), len(two)) > 0.1, (first, second)


@pytest.mark.parametrize(("category", "minimum"), sorted(build.MIN_PER_CATEGORY.items()))
def test_questions_per_category(handbook: Any, category: str, minimum: int) -> None:
    assert sum(question.category == category for question in handbook.questions) >= minimum


def test_number_of_questions(handbook: Any) -> None:
    assert len(handbook.questions) >= 165


def test_files_on_disk_equal_a_rebuild(handbook: Any) -> None:
    for name, content in build.render(handbook).items():
        assert (ROOT / name).read_bytes() == content.encode("utf-8"), name


def test_rebuild_is_deterministic(copy: Path) -> None:
    for name in ("documents.jsonl", "queries.jsonl"):
        (copy / name).unlink()
    assert build.main(["--root", str(copy)]) == 0
    for name in ("documents.jsonl", "queries.jsonl"):
        assert (copy / name).read_bytes() == (ROOT / name).read_bytes()


def test_every_quote_is_the_text_of_its_range() -> None:
    texts = {record["id"]: record["text"] for record in read_lines("documents.jsonl")}
    checked = 0
    for record in read_lines("queries.jsonl"):
        for span in build.iter_spans(record["evidence"]):
            text = texts[span["doc_id"]]
            if span.keys() == {"doc_id"}:
                continue
            assert text[span["start"] : span["end"]] == span["quote"], record["id"]
            assert text.count(span["quote"]) == 1, record["id"]
            checked += 1
    assert checked > 200


def test_records_have_the_documented_shape() -> None:
    documents = read_lines("documents.jsonl")
    assert [d["id"] for d in documents] == sorted(d["id"] for d in documents)
    for record in documents:
        assert record.keys() == {"id", "text", "metadata"}
        assert {"kind", "title", "language"} <= record["metadata"].keys()
    for record in read_lines("queries.jsonl"):
        unanswerable = record["metadata"]["category"] == "unanswerable"
        assert record.get("answerable", True) is not unanswerable, record["id"]
        assert bool(record["evidence"]) is not unanswerable, record["id"]


def test_check_writes_nothing_and_accepts_the_committed_files(copy: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in copy.iterdir()}
    assert build.main(["--check", "--root", str(copy)]) == 0
    assert {path.name: path.stat().st_mtime_ns for path in copy.iterdir()} == before


def test_tampered_quote_names_the_question(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    replace_in(
        copy / "questions.toml", 'quote = "The maximum is 16 days."', 'quote = "The maximum is 17 days."'
    )
    assert build.main(["--check", "--root", str(copy)]) == 1
    error = capsys.readouterr().err
    assert "question q015" in error
    assert "is not in document guide-bandwidth-schedules" in error


def test_quote_that_occurs_twice_names_the_question(copy: Path) -> None:
    path = copy / "documents" / "guide-bandwidth-schedules.md"
    path.write_bytes(path.read_bytes() + b"\nThe maximum is 16 days.\n")
    with pytest.raises(build.HandbookError, match=r"question q015: the quote occurs more than once"):
        build.load_handbook(copy)


def test_changed_document_is_stale_and_named(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = copy / "documents" / "policy-leave.md"
    path.write_bytes(path.read_bytes() + "\nUm später.\n".encode())
    assert build.main(["--check", "--root", str(copy)]) == 1
    assert "documents.jsonl differs from a rebuild at documents entry policy-leave" in capsys.readouterr().err


def test_changed_question_is_stale_and_named(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    replace_in(
        copy / "questions.toml", "Out-of-the-box lease duration for MacBooks?", "Lease duration for MacBooks?"
    )
    assert build.main(["--check", "--root", str(copy)]) == 1
    assert "queries.jsonl differs from a rebuild at queries entry q002" in capsys.readouterr().err


def test_missing_catalogue_entry_names_the_document(copy: Path) -> None:
    (copy / "documents" / "stray-page.md").write_bytes(b"# Stray page\n")
    with pytest.raises(build.HandbookError, match=r"document stray-page: has no entry"):
        build.load_handbook(copy)


def test_carriage_return_names_the_document(copy: Path) -> None:
    path = copy / "documents" / "glossary.md"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    with pytest.raises(build.HandbookError, match=r"document glossary: contains a carriage return"):
        build.load_handbook(copy)


def test_version_question_must_not_be_answered_by_the_other_page(copy: Path) -> None:
    path = copy / "documents" / "requirements-v4.md"
    path.write_bytes(path.read_bytes() + b"\nContainers are not supported in production.\n")
    with pytest.raises(build.HandbookError, match=r"question q\d+: the quote is also in requirements-v4"):
        build.load_handbook(copy)


def test_copied_prose_is_refused(copy: Path) -> None:
    text = (copy / "documents" / "operations-runbook.md").read_text(encoding="utf-8")
    path = copy / "documents" / "glossary.md"
    path.write_bytes(path.read_bytes() + text.encode("utf-8"))
    with pytest.raises(build.HandbookError, match=r"the documents repeat each other"):
        build.load_handbook(copy)


def test_every_mistake_is_found_and_the_sensible_pipeline_is_blamed_less() -> None:
    """Cuts in sentences, five candidates, one cell of sixteen, and a window kept for the answer."""
    documents, queries = demo_data()
    sensible, mistaken = (diagnose(demo_pipeline(mistakes=m), documents, queries) for m in (False, True))

    def proven(diagnosis: Diagnosis, stage: str, causes: set[str]) -> int:
        failures = diagnosis.failures
        of_cause = failures["cause"].isin(causes) & failures["proof"].isin(["verified", "joint"])
        return int((of_cause & (failures["stage"] == stage)).sum())

    for stage, causes in {
        "chunker": {"split", "masked"},
        "embedder": {"ranked_low", "depth", "lexical_gap", "orphan_context", "crowding"},
        "retriever": {"approximate"},
        "capacity": {"budget"},
        "packer": {"budget", "dropped", "cut"},
    }.items():
        assert proven(mistaken, stage, causes) > proven(sensible, stage, causes), stage
    assert mistaken.failures["cause"].eq("split").any()
    assert len(sensible.failures) < len(mistaken.failures)
