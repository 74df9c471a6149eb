"""Causes are counted by the units that have them, and by those whose verdict they stand behind."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal
from plugs import AnyPacker, LineChunker

from ragdiag import BM25Retriever, Diagnosis, Document, Evidence, Pipeline, Query, Span, diagnose
from ragdiag.diagnosis.cause_tables import main_causes, name_cause
from ragdiag.diagnosis.checks.catalog import CAUSES
from ragdiag.diagnosis.checks.check import CheckOutcome
from ragdiag.diagnosis.verdicts import Finding, Proof, Sureness, Verdict
from ragdiag.report.values import rows_of as plain_rows

DOCUMENT = Document("d", "one\ntwo\nthree\nfour\nfive")
UNITS = [["one"], ["two", "three"], ["four"], ["five"]]  # of the four queries; all are lost
WEIGHTS = [1 / 4, 1 / 8, 1 / 8, 1 / 4, 1 / 4]

DEPTH = Finding("embedder.depth", "It has rank 8 of 12.", "measured")
GAP = Finding("embedder.lexical_gap", "BM25 has it at rank 2.", "suspected")
FILTER = Finding("retriever.filter", "Without it, it has rank 1.", "proven")
SPLIT = Finding("chunker.split", "It is cut in 3.", "measured")


@pytest.fixture(scope="module")
def nothing_packed() -> Diagnosis:
    queries = [
        Query(f"q{i}", "one", [Evidence.of(Span.find(DOCUMENT, text)) for text in texts])
        for i, texts in enumerate(UNITS)
    ]
    pipeline = Pipeline(
        chunker=LineChunker(), retriever=BM25Retriever(), packer=AnyPacker(lambda _: []), top_k=2
    )
    found = diagnose(pipeline, [DOCUMENT], queries, verify=False)
    assert found.hard_recall == 0
    return found


def judge(diagnosis: Diagnosis, *verdicts: Verdict | None) -> Diagnosis:
    """The diagnosis with these verdicts on its five units."""
    assert len(verdicts) == len(diagnosis.verdicts)
    return replace(diagnosis, verdicts=verdicts)


def rows_of(diagnosis: Diagnosis) -> dict[str, dict[str, Any]]:
    """The rows of its causes by their codes."""
    return {row.pop("code"): row for row in plain_rows(diagnosis.causes.reset_index())}


def verdict(
    stage: str, cause: str, *findings: Finding, proof: Proof = "verified", together: Sequence[str] = ()
) -> Verdict:
    repairs = (tuple(together),) if together else ((stage,),)
    return Verdict(stage, cause, proof, observed=stage, repairs=repairs, findings=findings)


def test_a_row_a_cause_most_lost_first(nothing_packed: Diagnosis) -> None:
    diagnosis = judge(
        nothing_packed,
        verdict("embedder", "depth", DEPTH, GAP),
        verdict("retriever", "filter", FILTER),
        verdict("packer", "dropped"),
        verdict("packer", "dropped", replace(DEPTH, observation="Elsewhere.")),
        verdict("capacity", "k"),
    )
    causes = diagnosis.causes
    # Of three causes with a quarter each the codes decide; the packer's has a quarter and an eighth.
    assert list(causes.index) == [
        "packer.dropped", "capacity.k", "embedder.depth", "retriever.filter", "embedder.lexical_gap"
    ]  # fmt: skip
    assert causes.index.name == "code"
    assert list(causes.columns) == [
        "units", "loss", "main", "main_loss", "sureness", "meaning", "observation", "example", "remedy"
    ]  # fmt: skip
    rows = rows_of(diagnosis)
    assert rows["embedder.depth"] == {
        "units": 2,
        "loss": 1 / 2,
        "main": 1,
        "main_loss": 1 / 4,
        "sureness": "measured",
        "meaning": CAUSES["embedder.depth"].meaning,
        "observation": "It has rank 8 of 12.",
        "example": "q0",
        "remedy": CAUSES["embedder.depth"].remedy,
    }
    dropped = rows["packer.dropped"]
    assert (dropped["units"], dropped["main_loss"]) == (2, pytest.approx(1 / 8 + 1 / 4))
    assert (dropped["sureness"], dropped["observation"], dropped["example"]) == ("", "", "q1")
    gap = rows["embedder.lexical_gap"]
    assert (gap["units"], gap["main"], gap["main_loss"]) == (1, 0, 0)
    assert causes["main_loss"].sum() == pytest.approx(1 - diagnosis.hard_recall)


def test_the_example_is_the_surest_of_the_units_that_it_is_the_main_cause_of(
    nothing_packed: Diagnosis,
) -> None:
    proven = replace(GAP, sureness="proven", observation="Seen beside.")
    measured = replace(GAP, sureness="measured", observation="The first that is sure.")
    diagnosis = judge(
        nothing_packed,
        verdict("retriever", "filter", FILTER, proven),
        verdict("embedder", "lexical_gap", GAP),
        None,
        verdict("embedder", "lexical_gap", measured),
        verdict("embedder", "lexical_gap", replace(measured, observation="Another one.")),
    )
    row = rows_of(diagnosis)["embedder.lexical_gap"]
    assert (row["observation"], row["example"], row["sureness"]) == (
        "The first that is sure.", "q2", "measured"
    )  # fmt: skip
    # Where it is nobody's main cause, any unit will do.
    beside = judge(nothing_packed, verdict("retriever", "filter", FILTER, proven), *[None] * 4)
    row = rows_of(beside)["embedder.lexical_gap"]
    assert (row["observation"], row["example"]) == ("Seen beside.", "q0")


def test_stages_to_blame_together_have_a_main_cause_each(nothing_packed: Diagnosis) -> None:
    together = ("embedder", "retriever")
    both = verdict("embedder", "masked", FILTER, DEPTH, GAP, proof="joint", together=together)
    one = verdict("embedder", "masked", FILTER, proof="joint", together=together)
    none = verdict("chunker", "masked", proof="joint", together=("chunker", "packer"))
    assert [(main.cause.code, main.finding) for main in main_causes(both)] == [
        ("embedder.depth", DEPTH), ("retriever.filter", FILTER)
    ]  # fmt: skip
    assert [(main.cause.code, main.finding) for main in main_causes(one)] == [
        ("retriever.filter", FILTER), ("embedder.masked", None)
    ]  # fmt: skip
    [masked] = main_causes(none)
    assert masked.cause.code == "chunker.masked"
    assert masked.cause.remedy == "Mend these together, one alone changes nothing: chunker + packer."

    diagnosis = judge(nothing_packed, both, one, none, none, None)
    rows = rows_of(diagnosis)
    assert {code: row["main"] for code, row in rows.items()} == {
        "chunker.masked": 2, "embedder.depth": 1, "retriever.filter": 2, "embedder.masked": 1,
        "embedder.lexical_gap": 0,
    }  # fmt: skip
    assert rows["chunker.masked"]["observation"] == "To be mended together, by units: chunker + packer (2)."
    assert rows["embedder.masked"]["observation"].endswith(": embedder + retriever (1).")
    # The remedy of the row names no stages: those of its units may differ.
    assert rows["chunker.masked"]["remedy"] == name_cause("chunker", "masked").remedy
    failures = diagnosis.failures
    assert failures["observation"].tolist()[:3] == [
        "It has rank 8 of 12. Without it, it has rank 1.", "Without it, it has rank 1.", ""
    ]  # fmt: skip
    assert failures["remedy"].tolist()[1] == (
        f"{CAUSES['retriever.filter'].remedy} Mend these together, one alone changes nothing: "
        "embedder + retriever."
    )


def test_few_of_many_sets_of_stages_are_named(nothing_packed: Diagnosis) -> None:
    sets = [
        ("embedder", "packer"),
        ("embedder", "retriever"),
        ("embedder", "reranker"),
        ("embedder", "chunker"),
    ]
    verdicts = [verdict("embedder", "masked", proof="joint", together=one) for one in (*sets, sets[2])]
    [row] = rows_of(judge(nothing_packed, *verdicts)).values()
    # Most units first, then by name; a set with the chunker is one with the chunker charged.
    assert row["observation"] == (
        "To be mended together, by units: embedder + reranker (2), embedder + chunker (1), "
        "embedder + packer (1), others (1)."
    )


def test_what_the_data_cannot_tell_is_no_cause_of_its_own(nothing_packed: Diagnosis) -> None:
    """Where the chunk is too long the embedder is blamed, undetermined; the remedy is the chunker's."""
    oversize = verdict("embedder", "oversize", DEPTH, proof="undetermined")
    [main] = main_causes(oversize)
    assert (main.cause, main.finding) == (CAUSES["chunker.oversize"], None)
    seen = Finding("chunker.oversize", "It is 9 times the median.", "measured")
    [main] = main_causes(replace(oversize, findings=(DEPTH, seen)))
    assert main.finding == seen
    # A finding of another cause than the verdict's explains nothing of it.
    undetermined = verdict("embedder", "ranked_low", DEPTH, proof="undetermined")
    diagnosis = judge(nothing_packed, undetermined, *[None] * 4)
    assert diagnosis.failures["observation"].tolist() == [""]
    assert diagnosis.failures["findings"].tolist() == [("embedder.depth",)]
    assert {code: row["main"] for code, row in rows_of(diagnosis).items()} == {
        "embedder.ranked_low": 1,
        "embedder.depth": 0,
    }


def test_causes_have_names_in_the_catalog_but_for_faults_together() -> None:
    assert name_cause("packer", "cut") == CAUSES["packer.cut"]
    unknown = name_cause("packer", "new")
    assert (unknown.code, unknown.meaning, unknown.remedy) == ("packer.new", "new", "")
    assert name_cause("retriever", "masked").code == "retriever.masked"


def test_causes_that_the_ledger_saw_are_told_too(nothing_packed: Diagnosis) -> None:
    failures = nothing_packed.failures
    counts = Counter(failures["stage"] + "." + failures["cause"])
    assert {code: row["main"] for code, row in rows_of(nothing_packed).items()} == counts
    assert failures["remedy"].tolist() == [
        CAUSES[f"{stage}.{cause}"].remedy
        for stage, cause in zip(failures["stage"], failures["cause"], strict=True)
    ]


def test_tables_keep_their_types_where_there_is_nothing(nothing_packed: Diagnosis) -> None:
    nothing = judge(nothing_packed, *[None] * 5)
    assert nothing.causes.empty
    numbers = ["units", "loss", "main", "main_loss"]
    assert nothing.causes[numbers].dtypes.tolist() == nothing_packed.causes[numbers].dtypes.tolist()
    assert nothing.check_table.empty
    assert list(nothing.check_table.columns) == ["status", "looked_at", "found", "why"]
    assert nothing.check_table.index.name == "code"


def test_checks_are_a_table_in_their_order(nothing_packed: Diagnosis) -> None:
    checks = (
        CheckOutcome("retriever.filter", "not applicable", 0, 0, "the query has no filter"),
        CheckOutcome("embedder.depth", "found", 3, 2),
    )
    diagnosis = replace(nothing_packed, checks=checks)
    table = diagnosis.check_table
    assert table.reset_index().to_numpy().tolist()[1] == ["embedder.depth", "found", 3, 2, ""]
    assert list(table.index) == ["retriever.filter", "embedder.depth"]
    assert_frame_equal(diagnosis.select(["q1"]).check_table, table)


findings: st.SearchStrategy[list[Finding]] = st.lists(
    st.builds(
        Finding, st.sampled_from(sorted(CAUSES)), st.text(max_size=5), st.sampled_from(get_args(Sureness))
    ),
    max_size=4,
    unique_by=lambda finding: finding.code,
)


@st.composite
def verdicts(draw: st.DrawFn) -> Verdict | None:
    seen = draw(findings)
    stage, cause = draw(st.sampled_from(sorted(CAUSES))).split(".")
    stage, cause = draw(st.sampled_from([(stage, cause), *((one.stage, one.cause) for one in seen)]))
    proofs: tuple[Proof, ...] = ("verified", "joint", "undetermined")
    proof = draw(st.sampled_from(proofs))
    if proof == "joint":
        stages = draw(st.permutations(["chunker", "embedder", "retriever", "packer"]))[:2]
        return verdict(stages[0], "masked", *seen, proof="joint", together=stages)
    return draw(st.sampled_from([None, verdict(stage, cause, *seen, proof=proof)]))


@given(st.tuples(*[verdicts()] * 5))
def test_every_unit_is_counted_where_its_verdict_and_findings_say(
    nothing_packed: Diagnosis, made: tuple[Verdict | None, ...]
) -> None:
    units: dict[str, set[int]] = defaultdict(set)
    main: dict[str, set[int]] = defaultdict(set)
    for unit, one in enumerate(made):
        if one is None:
            continue
        if one.proof == "joint":
            firsts = [[f.code for f in one.findings if f.stage == stage][:1] for stage in one.together]
            main_codes = [code for codes in firsts for code in codes]
            main_codes += [f"{one.stage}.masked"] if [] in firsts else []
        else:
            main_codes = [f"{one.stage}.{one.cause}"]
        for code in main_codes:
            main[code].add(unit)
        for code in {*main_codes, *(finding.code for finding in one.findings)}:
            units[code].add(unit)
    rows = rows_of(judge(nothing_packed, *made))
    assert set(rows) == set(units)
    for code, row in rows.items():
        assert row["units"] == len(units[code])
        assert row["main"] == len(main[code])
        assert row["loss"] == pytest.approx(sum(WEIGHTS[unit] for unit in units[code]))
        assert row["main_loss"] == pytest.approx(sum(WEIGHTS[unit] for unit in main[code]))
    keys = [(-round(row["main_loss"], 9), code) for code, row in rows.items()]
    assert keys == sorted(keys)
