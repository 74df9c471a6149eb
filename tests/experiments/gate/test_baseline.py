"""Baselines: what they hold, how they are saved, and that nothing else is taken for one."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gated import diagnosed, fates

import ragdiag
from ragdiag import ConfigError, DataError, Diagnosis, Document, Query, Span
from ragdiag.experiments.gate import Baseline, gate


@pytest.fixture(scope="module")
def release() -> Diagnosis:
    return diagnosed(fates(25, 5), budget=99)


@pytest.fixture
def saved(release: Diagnosis, tmp_path: Path) -> Path:
    path = tmp_path / "baseline.json"
    Baseline.of(release).save(path)
    return path


def test_a_baseline_holds_what_each_query_got(release: Diagnosis) -> None:
    baseline = Baseline.of(release, measures=["hit@2", "context_precision"])
    assert baseline.measures[-1] == "Hit@2"
    assert set(release.measures["measure"]) < set(baseline.measures)
    ids = [query.id for query in release.assessed]
    for spec in baseline.measures:
        assert baseline.values(spec, ids).tolist() == release.measure_by_query(spec).tolist()
    for at, stage in enumerate(release.ledger.stages):
        assert baseline.losses(stage, ids).tolist() == release.charged_steps()[:, at].tolist()
    assert baseline.losses("embedder", ids).tolist() == [0] * 30
    lost = set(release.failures["query_id"])
    expected = {(name, 0): "reranker" if name in lost else "delivered" for name in ids}
    assert baseline.fates(ids) == expected
    assert baseline.made_by == {
        "ragdiag": ragdiag.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
    }
    assert not baseline.proven
    assert (
        repr(baseline)
        == f"Baseline(recall 0.833 of 30 queries, 31 documents, made by ragdiag {ragdiag.__version__})"
    )


def test_what_a_baseline_cannot_keep_is_named(release: Diagnosis) -> None:
    with pytest.raises(ConfigError, match="'tokens' is none"):
        Baseline.of(release, measures=["tokens"])
    with pytest.raises(ConfigError, match="did you mean Recall"):
        Baseline.of(release, measures=["recal"])
    with pytest.raises(DataError, match=r"the baseline holds no values of Hit@7.*--save-baseline"):
        gate(release, "hit@7 >= 0.5", baseline=Baseline.of(release))


def test_a_baseline_reads_back_and_is_the_same_twice(saved: Path, release: Diagnosis, tmp_path: Path) -> None:
    baseline = Baseline.load(saved)
    assert baseline == Baseline.of(release)
    again = tmp_path / "again.json"
    baseline.save(again)
    assert again.read_bytes() == saved.read_bytes()
    shuffled = diagnosed(dict(reversed(fates(25, 5).items())), budget=99)
    Baseline.of(shuffled).save(again)
    content = json.loads(again.read_bytes())
    before = json.loads(saved.read_bytes())
    # Another order of documents and queries is the same corpus and the same queries.
    for name in ("corpus", "queries"):
        assert content[name] == before[name]


def test_no_id_is_too_odd_for_the_file(tmp_path: Path) -> None:
    name = 'a"b\u200b\\\U0001f99c'
    diagnosis = diagnosed({name: "delivered", "\ud800": "retriever"})
    path = tmp_path / "baseline.json"
    Baseline.of(diagnosis).save(path)
    assert Baseline.load(path) == Baseline.of(diagnosis)
    assert path.read_bytes().isascii()


def rewritten(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(path.read_bytes())
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            lambda c: c.update(format="ragdiag-diagnosis"),
            "format: expected 'ragdiag-baseline', got 'ragdiag-dia",
        ),
        (
            lambda c: c.pop("format"),
            "format: expected 'ragdiag-baseline', got None; a baseline is written by",
        ),
        (
            lambda c: c.update(version=2),
            "version: this release of ragdiag reads version 1 of ragdiag-baseline",
        ),
        (lambda c: c.pop("corpus"), "corpus: is missing"),
        (lambda c: c["corpus"].pop("digest"), "corpus.digest: is missing"),
        (lambda c: c.update(top_k="5"), "top_k: expected a valid integer, got '5'"),
        (lambda c: c.update(top_k=0), "top_k: expected greater than or equal to 1, got 0"),
        (lambda c: c.update(colour=1), "colour: is not known"),
        (lambda c: c["stages"].append("index"), "stages[6]: expected 'ingest'"),
        (lambda c: c["pipeline"].update(index="x"), "pipeline"),
        (lambda c: c.update(queries=[]), "queries: "),
        (lambda c: c["queries"][3].pop("id"), "queries[3].id: is missing"),
        (lambda c: c["queries"][3].update(fates=["gone"]), "queries[3].fates[0]: expected 'delivered'"),
        (lambda c: c["queries"][3]["values"].pop(), "queries[3].values: expected "),
        (
            lambda c: c["queries"][3]["losses"].append(0.0),
            "queries[3].losses: expected 6 numbers, as many as",
        ),
        (
            lambda c: c["queries"][3]["values"].__setitem__(0, 1.5),
            "queries[3].values[0]: expected less than or",
        ),
        (lambda c: c["queries"][3]["values"].__setitem__(0, 0.5), "digest: is not that of the other fields"),
        (lambda c: c["queries"].pop(), "digest: is not that of the other fields: the file was changed"),
        (lambda c: c.update(digest="0"), "digest: is not that of the other fields"),
    ],
)
def test_a_damaged_field_is_named(
    saved: Path, change: Callable[[dict[str, Any]], object], problem: str
) -> None:
    rewritten(saved, change)
    with pytest.raises(DataError, match=re.escape(f"{saved}: {problem}")):
        Baseline.load(saved)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", ": not valid JSON: Expecting value at line 1"),
        (b"{", ": not valid JSON: Expecting property name"),
        (b"[]", ": format: expected 'ragdiag-baseline', got None"),
        (b"\xff", ":1: not UTF-8"),
        (b"[" * 100_000, ": not valid JSON: nested too deeply"),
        (b'{"format": "ragdiag-baseline"} {}', ": expected one JSON object, and more text follows it"),
    ],
)
def test_a_file_that_is_none_is_named(saved: Path, content: bytes, problem: str) -> None:
    saved.write_bytes(content)
    with pytest.raises(DataError, match=re.escape(f"{saved}{problem}")):
        Baseline.load(saved)


def test_a_file_cut_off_anywhere_is_none(saved: Path) -> None:
    content = saved.read_bytes()
    for share in (0.1, 0.5, 0.9, 0.999):
        saved.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(DataError, match="not valid JSON"):
            Baseline.load(saved)


def test_files_that_cannot_be_used_are_named(saved: Path, release: Diagnosis, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.json: cannot be read: No such file"):
        Baseline.load(tmp_path / "absent.json")
    release.save(tmp_path / "diagnosis.jsonl")
    with pytest.raises(DataError, match="format: expected 'ragdiag-baseline', got 'ragdiag-diagnosis'"):
        Baseline.load(tmp_path / "diagnosis.jsonl")
    with pytest.raises(DataError, match="cannot be written"):
        Baseline.load(saved).save(tmp_path / "absent" / "baseline.json")


# Only like is compared with like


def refusal(baseline: Baseline, diagnosis: Diagnosis) -> str:
    with pytest.raises((DataError, ConfigError)) as refused:
        gate(diagnosis, baseline=baseline)
    return str(refused.value)


def test_another_corpus_is_refused(release: Diagnosis) -> None:
    baseline = Baseline.of(release)
    found = refusal(baseline, diagnosed(fates(25, 5), budget=99, more=[Document("new", "More text.")]))
    assert found.startswith("the corpus is not that of the baseline: 32 documents of 421 characters here, 31")
    assert "ragdiag gate --save-baseline" in found
    [first, *rest] = release.documents
    changed = replace(
        release,
        documents=(replace(first, text=first.text.upper()), *rest),
        sources={**release.sources, first.id: replace(first, text=first.text.upper())},
    )
    assert "; ids or texts differ. " in refusal(baseline, changed)


def test_what_belongs_to_the_pipeline_may_change(release: Diagnosis) -> None:
    """Ingested texts, their order and metadata, filters, and queries without evidence are no other corpus."""
    baseline = Baseline.of(release)
    ingested = tuple(replace(d, text=f"{d.text} ", metadata={"tag": 1}) for d in reversed(release.documents))
    queries = (*(replace(q, metadata={"a": 1}, filter={"b": 2}) for q in release.queries), Query("open", "?"))
    assert gate(replace(release, documents=ingested, queries=queries), baseline=baseline).passed


def test_other_queries_are_refused(release: Diagnosis) -> None:
    baseline = Baseline.of(release)
    [first, second, third, *rest] = release.queries
    for queries, told in (
        ((first, second, third, *rest[:-4]), "4 missing here ('q026', 'q027', 'q028', …)"),
        ((replace(first, id="new"), second, third, *rest), "1 missing here ('q000'), 1 new ('new')"),
        (
            (replace(first, text="other"), second, third, *rest),
            "which holds 30: 1 changed in text or evidence ('q000')",
        ),
        (
            (first, replace(second, evidence=[*second.evidence, *third.evidence]), third, *rest),
            "1 changed in text or evidence ('q001')",
        ),
    ):
        assert told in refusal(baseline, replace(release, queries=queries))


def test_other_rules_are_refused(release: Diagnosis) -> None:
    baseline = Baseline.of(release)
    told = refusal(baseline, replace(release, min_coverage=0.5))
    assert told.startswith("the baseline judges by other rules: min_coverage is 1.0 there and 0.5 here")
    assert "copies is False there and True here" in refusal(baseline, replace(release, copies=True))


def test_evidence_is_found_by_its_place(release: Diagnosis) -> None:
    moved = [replace(u, alternatives=((Span(u.doc_ids[0], 0, 4),),)) for u in release.queries[0].evidence]
    queries = (replace(release.queries[0], evidence=moved), *release.queries[1:])
    assert "'q000'" in refusal(Baseline.of(release), replace(release, queries=queries))
