"""A loaded diagnosis answers as the saved one did, or an error names the place of the damage."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from runs import DOCUMENTS, PIPELINES, QUERIES

from ragdiag import Diagnosis, Document, diagnose
from ragdiag.diagnosis.checks.check import CheckOutcome
from ragdiag.diagnosis.verdicts import Finding
from ragdiag.errors import DataError
from ragdiag.formats.diagnoses import read_diagnosis, write_diagnosis

Line = dict[str, Any]

# What ingestion made of the sources: folded blanks, a lost document, a lost sentence.
INGESTED = [
    replace(document, text=" ".join(document.text.replace("Refunds take five days.", "").split()))
    for document in DOCUMENTS[:-1]
]


def tables(diagnosis: Diagnosis) -> Mapping[str, pd.DataFrame]:
    return {
        "losses": diagnosis.losses,
        "hard_losses": diagnosis.hard_losses,
        "ceilings": diagnosis.ceilings,
        "failures": diagnosis.failures,
        "measures": diagnosis.measures,
        "recall_curve": diagnosis.recall_curve(),
        "noise": diagnosis.noise,
        "precision_flow": diagnosis.precision_flow,
        "token_share": diagnosis.token_share,
        "proofs": diagnosis.proofs,
        "causes": diagnosis.causes,
        "check_table": diagnosis.check_table,
    }


def assert_same(loaded: Diagnosis, saved: Diagnosis) -> None:
    expected = tables(saved)
    for name, table in tables(loaded).items():
        assert_frame_equal(table, expected[name], check_exact=True)
    for query in saved.assessed:
        assert loaded.explain(query.id) == saved.explain(query.id)
    assert loaded.documents == saved.documents
    assert loaded.sources == saved.sources
    assert loaded.queries == saved.queries
    assert loaded.exact == saved.exact
    assert loaded.verdicts == saved.verdicts
    assert loaded.checks == saved.checks
    assert loaded.counts == saved.counts
    assert (loaded.min_coverage, loaded.copies) == (saved.min_coverage, saved.copies)


def assert_round_trip(diagnosis: Diagnosis, folder: Path) -> Diagnosis:
    first, second = folder / "first.jsonl", folder / "second.jsonl"
    diagnosis.save(first)
    loaded = Diagnosis.load(first)
    assert_same(loaded, diagnosis)
    loaded.save(second)
    assert first.read_bytes() == second.read_bytes()
    return loaded


@pytest.mark.parametrize("name", PIPELINES)
def test_a_loaded_diagnosis_is_the_saved_one(name: str, tmp_path: Path) -> None:
    diagnosis = diagnose(PIPELINES[name], DOCUMENTS, QUERIES)
    assert 0 < diagnosis.recall < 1
    loaded = assert_round_trip(diagnosis, tmp_path)
    assert loaded.trace.vectors is None
    assert (diagnosis.trace.vectors is None) == ("embedder" not in diagnosis.trace.stages)


@pytest.mark.parametrize(("min_coverage", "copies"), [(1, False), (0.4, True)])
def test_sources_and_settings_are_kept(tmp_path: Path, min_coverage: float, *, copies: bool) -> None:
    diagnosis = diagnose(
        PIPELINES["all stages"],
        INGESTED,
        QUERIES,
        sources=DOCUMENTS,
        min_coverage=min_coverage,
        copies=copies,
    )
    assert diagnosis.losses["loss"]["ingest"] > 0
    assert_round_trip(diagnosis, tmp_path)


def test_costs_are_not_in_the_file(tmp_path: Path) -> None:
    for name, latency_queries in (("first", 0), ("second", 3)):
        diagnosis = diagnose(PIPELINES["vectors"], DOCUMENTS, QUERIES, latency_queries=latency_queries)
        write_diagnosis(diagnosis, tmp_path / name)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


def test_a_selection_can_be_saved(tmp_path: Path) -> None:
    diagnosis = diagnose(PIPELINES["all stages"], DOCUMENTS, QUERIES).select(["two", "nothing"])
    assert_round_trip(diagnosis, tmp_path)


def examined(diagnosis: Diagnosis) -> Diagnosis:
    """The diagnosis with two findings at each lost unit, and with checks of every status."""
    findings = (
        Finding("embedder.depth", "Rank 57; \u5e83 \ud800\n50 candidates.", "measured"),
        Finding("embedder.hubs", "", "suspected"),
    )
    verdicts = tuple(verdict and replace(verdict, findings=findings) for verdict in diagnosis.verdicts)
    checks = (
        CheckOutcome("retriever.filter", "not applicable", 0, 0, "the query has no filter"),
        CheckOutcome("embedder.depth", "found", 3, 2),
        CheckOutcome("packer.middle", "silent", 3, 0, "a query"),
    )
    return replace(diagnosis, verdicts=verdicts, checks=checks)


def test_findings_and_checks_are_kept(tmp_path: Path) -> None:
    diagnosis = examined(diagnose(PIPELINES["all stages"], DOCUMENTS, QUERIES))
    assert diagnosis.counts["lost units"] > 1
    loaded = assert_round_trip(diagnosis, tmp_path)
    assert [verdict.findings for verdict in loaded.verdicts if verdict] == [
        verdict.findings for verdict in diagnosis.verdicts if verdict
    ]
    assert str(replace(loaded, trace=diagnosis.trace)) == str(diagnosis)
    assert_round_trip(diagnosis.select([diagnosis.failures["query_id"].tolist()[-1]]), tmp_path)


def test_without_checks_there_are_none(tmp_path: Path) -> None:
    for verify, causes in ((False, True), (True, False)):
        diagnosis = diagnose(PIPELINES["all stages"], DOCUMENTS, QUERIES, verify=verify, causes=causes)
        loaded = assert_round_trip(diagnosis, tmp_path)
        assert loaded.checks == ()


def test_metadata_keep_their_types(tmp_path: Path) -> None:
    """Tuples as metadata values can be groups, lists could not: they must come back as they were."""
    diagnosis = diagnose(PIPELINES["all stages"], DOCUMENTS, QUERIES)
    loaded = assert_round_trip(diagnosis, tmp_path)
    assert_frame_equal(loaded.by("topic").summary, diagnosis.by("topic").summary)
    assert list(loaded.by("topic")) == [("returns", 1), ("filters",)]
    filters = {query.id: query.filter for query in loaded.queries}
    assert filters["filtered"] == {"lang": {"de", "fr"}}
    assert filters["lost"] == {"lang": ("en",)}
    assert loaded.trace.chunks[0].metadata["headings"] == ("Returns",)
    # The filters select as before.
    again = diagnose(PIPELINES["all stages"], list(loaded.documents), list(loaded.queries))
    assert again.trace.queries == diagnosis.trace.queries


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        (
            replace(QUERIES[0], filter={"since": dt.date(2024, 1, 1)}),
            "query 'days': filter['since']: a file cannot hold datetime.date(2024, 1, 1), of type date",
        ),
        (
            replace(QUERIES[0], metadata={"by": {"who": complex(1)}}),
            "query 'days': metadata['by']['who']: a file cannot hold (1+0j), of type complex",
        ),
    ],
)
def test_values_that_no_file_can_hold_name_query_and_key(tmp_path: Path, query: Any, problem: str) -> None:
    diagnosis = diagnose(PIPELINES["words alone"], DOCUMENTS, [query])
    path = tmp_path / "diagnosis.jsonl"
    with pytest.raises(DataError) as caught:
        diagnosis.save(path)
    assert str(caught.value).startswith(f"{path}: {problem}")
    assert list(tmp_path.iterdir()) == []


def test_metadata_of_documents_that_no_file_can_hold_are_named(tmp_path: Path) -> None:
    documents = [*DOCUMENTS[:3], replace(DOCUMENTS[3], metadata={"a": b""})]
    diagnosis = diagnose(PIPELINES["words alone"], documents, QUERIES)
    with pytest.raises(
        DataError, match=r"diagnosis.jsonl: document 'copies': metadata\['a'\]: a file cannot hold b''"
    ):
        diagnosis.save(tmp_path / "diagnosis.jsonl")


# Damage: the lines are 1 header, 2-5 documents, 6-8 sources, 9-14 queries, 15 trace, 16-23 chunks (8),
# 24-29 queries' ways, 30-33 exact searches, then verdicts and checks.


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> list[Line]:
    path = tmp_path_factory.mktemp("saved") / "diagnosis.jsonl"
    pipeline = replace(PIPELINES["all stages"], chunker=PIPELINES["vectors, packed"].chunker)
    documents = DOCUMENTS[:3]
    write_diagnosis(examined(diagnose(pipeline, documents, QUERIES, sources=DOCUMENTS)), path)
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def first_of(lines: list[Line], kind: str) -> int:
    return next(i for i, line in enumerate(lines) if line.get("kind") == kind)


def change(at: str, **values: Any) -> tuple[str, Callable[[Line], None]]:
    return at, lambda line: line.update(values)


def finding(**values: Any) -> tuple[str, Callable[[Line], None]]:
    return "verdict", lambda line: line["findings"][0].update(values)


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (
            change("header", version=7),
            "version: this release of ragdiag reads version 3 of ragdiag-diagnosis, got 7; read the file",
        ),
        (
            change("header", format="ragdiag-trace"),
            "format: expected 'ragdiag-diagnosis', got 'ragdiag-trace'",
        ),
        (change("header", min_coverage=1.5), "min_coverage: expected less than or equal to 1, got 1.5"),
        (change("header", copy=True), "copy: is not known; did you mean 'copies'?"),
        (change("header", exact=3), "exact: expected as many as there are queries with evidence, 4, got 3"),
        (change("document", text=3), "text: expected a valid string, got 3"),
        (change("document", id=""), "Document.id must not be empty"),
        (change("source", kind="document"), "kind: expected 'source' (1 of 4 by the header), got 'document'"),
        (change("query", text=""), "text of query 'days' must not be empty"),
        (
            change("query", evidence=[[[["returns", 11, 9999]]]]),
            "query 'days', evidence unit 0: span 11-9999 lies outside",
        ),
        (
            change("query", evidence=[[[["returns", 11, 12], ["returns"]]]]),
            "evidence[0]: an alternative of Evidence holds",
        ),
        (change("query", evidence=[[]]), "evidence[0]: Evidence needs at least one alternative"),
        (
            change("query", evidence=[[[["returns", 1]]]]),
            "evidence[0][0][0]: expected a list of document id, start, end, got ['returns', 1]",
        ),
        (change("query", answerable=False), "query 'days' is marked answerable=False but has evidence"),
        (
            change("trace", version=2),
            "version: this release of ragdiag reads version 1 of ragdiag-trace, got 2",
        ),
        (
            change("chunk", spans=[["elsewhere", 0, 2]]),
            "spans: 'elsewhere' is not among the documents of this file",
        ),
        (
            change("chunk", spans=[["shipping", 0, 999]]),
            "spans: 0-999 reaches beyond document 'shipping', which has ",
        ),
        (
            change("exact", query_id="two"),
            "query_id: expected 'days', in the order of the queries, got 'two'",
        ),
        (change("exact", ranks=[["x", 1]]), "ranks[0]: there is no chunk 'x' in this file"),
        (
            change("exact", ranks=[["returns#0-23", 0]]),
            "ranks[0][1]: expected greater than or equal to 1, got 0",
        ),
        (
            change("exact", ranks=[]),
            "ranks: expected one for each of the 3 chunks that hold evidence of the query, got 0",
        ),
        (
            change("exact", candidates=["shipping#0-10"]),
            "candidates[0]: chunk 'shipping#0-10' is not among 'ranks'",
        ),
        (change("exact", order=None), "order: expected a list, got None"),
        (
            change("exact", order=["shipping#0-10"]),
            "order: expected the chunks of the query's context, [",
        ),
        (
            change("header", version=2),
            "version: this release of ragdiag reads version 3 of ragdiag-diagnosis, got 2; read the file",
        ),
        (change("header", checks=-1), "checks: expected greater than or equal to 0, got -1"),
        (change("verdict", row=99), "row: expected "),
        (change("verdict", stage="elsewhere"), "stage: the pipeline has no 'elsewhere', it has "),
        (change("verdict", findings=None), "findings: expected a list, got None"),
        (
            finding(code="embedder.deep"),
            "findings[0].code: expected the code of a known cause, got 'embedder.deep'",
        ),
        # A flag is no cause of a loss.
        (
            finding(code="packer.middle"),
            "findings[0].code: expected the code of a known cause, got 'packer.middle'",
        ),
        (finding(code=["packer.cut"]), "findings[0].code: expected the code of a known cause, got ["),
        (
            finding(sureness="certain"),
            "findings[0].sureness: expected 'proven', 'measured' or 'suspected', got 'certain'",
        ),
        (finding(observation=1), "findings[0].observation: expected a valid string, got 1"),
        (
            change("check", code="retriever.filters"),
            "code: expected the code of a known cause, got 'retriever.filters'",
        ),
        (
            change("check", status="fine"),
            "status: expected 'found', 'silent' or 'not applicable', got 'fine'",
        ),
        (change("check", looked_at=-1), "looked_at: expected greater than or equal to 0, got -1"),
        (change("check", why=None), "why: expected a valid string, got None"),
        (change("check", kind="verdict"), "kind: expected 'check' (1 of 3 by the header), got 'verdict'"),
    ],
)
def test_damage_is_named_by_line_and_field(
    saved: list[Line], tmp_path: Path, damage: tuple[str, Callable[[Line], None]], problem: str
) -> None:
    lines: list[Line] = json.loads(json.dumps(saved))
    kind, do = damage
    at = 0 if kind == "header" else first_of(lines, "chunk") - 1 if kind == "trace" else first_of(lines, kind)
    do(lines[at])
    path = tmp_path / "diagnosis.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="ascii")
    with pytest.raises(DataError) as caught:
        read_diagnosis(path)
    assert str(caught.value).startswith(f"{path}:{at + 1}: {problem}")


def test_the_undamaged_file_loads(saved: list[Line], tmp_path: Path) -> None:
    path = tmp_path / "diagnosis.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in saved), encoding="ascii")
    assert read_diagnosis(path).sources == {document.id: document for document in DOCUMENTS}


def test_a_rank_given_twice_is_noticed(saved: list[Line], tmp_path: Path) -> None:
    lines: list[Line] = json.loads(json.dumps(saved))
    exact = lines[first_of(lines, "exact")]
    exact["ranks"].append(exact["ranks"][0])
    path = tmp_path / "diagnosis.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="ascii")
    with pytest.raises(DataError, match="ranks: expected one for each of the 3 chunks"):
        read_diagnosis(path)


def test_a_check_told_twice_is_noticed(saved: list[Line], tmp_path: Path) -> None:
    lines: list[Line] = json.loads(json.dumps(saved))
    first = first_of(lines, "check")
    lines[first + 1]["code"] = lines[first]["code"]
    path = tmp_path / "diagnosis.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="ascii")
    with pytest.raises(DataError, match=rf"code: 'retriever.filter' is already that of line {first + 1}"):
        read_diagnosis(path)


@pytest.mark.parametrize("kept", [1, 3, 10, 20, -1])
def test_a_file_cut_off_is_noticed(saved: list[Line], tmp_path: Path, kept: int) -> None:
    path = tmp_path / "diagnosis.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in saved[:kept]), encoding="ascii")
    with pytest.raises(
        DataError, match=r"diagnosis.jsonl: ends after line \d+, expected .*: the file is cut off"
    ):
        read_diagnosis(path)


def test_lines_at_the_end_are_noticed(saved: list[Line], tmp_path: Path) -> None:
    path = tmp_path / "diagnosis.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in [*saved, saved[-1]]), encoding="ascii")
    with pytest.raises(DataError, match=rf"diagnosis.jsonl:{len(saved) + 1}: expected the end of the file"):
        read_diagnosis(path)


def test_a_query_without_a_trace_or_any_evidence_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "diagnosis.jsonl"
    document = Document("a", "Some text to find.")
    diagnose(PIPELINES["words alone"], [document, *DOCUMENTS], QUERIES).save(path)
    text = path.read_text(encoding="utf-8")
    path.write_text(
        text.replace('"kind": "query", "id": "days"', '"kind": "query", "id": "day"'), encoding="utf-8"
    )
    with pytest.raises(DataError, match=r"diagnosis.jsonl: the trace has no query 'day'"):
        read_diagnosis(path)
    lines = [json.loads(line) for line in text.splitlines()]
    for line in lines:
        line.pop("evidence", None)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="ascii")
    with pytest.raises(DataError, match=r"diagnosis.jsonl: none of the 6 queries has evidence"):
        read_diagnosis(path)
