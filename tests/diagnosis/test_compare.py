"""Two diagnoses side by side: every table against the two it is made of, and what cannot be compared."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from facts import question, run
from hypothesis import given, settings
from hypothesis import strategies as st
from plugs import BudgetPacker, LineChunker, OrderRetriever, SeededChunker, SeededReranker
from random_cases import Case, cases, ingested

from ragdiag import Comparison, ConfigError, DataError, Diagnosis, Pipeline, compare, diagnose
from ragdiag.measures import Clusters, Recall, paired_difference
from ragdiag.records import Document, Evidence, Query, Span, WholeDocument

ignore_empty = pytest.mark.filterwarnings("ignore:.*hold no text:ragdiag.errors.RagdiagWarning")


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    """Of 24 units 12 are regained, 2 lost and 3 moved."""
    a = run(24, found=range(10), dropped=[8, 9])
    return compare(a, run(24, found=[*range(2, 8), *range(10, 24)], dropped=[22, 23]))


# Any two pipelines over the same sources and queries


@dataclass(frozen=True)
class Two:
    a: Diagnosis
    b: Diagnosis


@st.composite
def twos(draw: st.DrawFn) -> Two:
    case: Case = draw(cases())
    other = replace(
        case.pipeline,
        chunker=SeededChunker(draw(st.integers(0, 100))),
        reranker=draw(st.sampled_from([None, SeededReranker(draw(st.integers(0, 100)))])),
        packer=draw(st.sampled_from([None, BudgetPacker(draw(st.integers(1, 60)))])),
        candidates=case.pipeline.candidates + draw(st.integers(0, 2)),
    )
    queries = draw(st.permutations(case.queries))
    options: dict[str, Any] = {
        "sources": case.sources,
        "min_coverage": case.min_coverage,
        "copies": case.copies,
        "verify": draw(st.booleans()),
    }
    documents = draw(ingested(case.sources))
    return Two(
        diagnose(case.pipeline, case.documents, case.queries, **options),
        diagnose(other, documents, queries, **options),
    )


@ignore_empty
@settings(max_examples=12)
@given(twos())
def test_the_differences_of_the_stages_sum_to_the_difference_in_recall(two: Two) -> None:
    comparison = compare(two.a, two.b)
    for losses, difference, name in (
        (comparison.losses, comparison.recall, "losses"),
        (comparison.hard_losses, comparison.hard_recall, "hard_losses"),
    ):
        filled = losses.fillna(0)
        net_a, net_b = (filled[f"loss_{side}"] - filled[f"rescue_{side}"] for side in "ab")
        assert (net_b - net_a).sum() == pytest.approx(-difference.value, abs=1e-9)
        assert losses["net"].tolist() == pytest.approx((net_b - net_a).tolist(), abs=1e-9)
        assert losses["difference"].tolist() == pytest.approx(
            (filled["loss_b"] - filled["loss_a"]).tolist(), abs=1e-9
        )
        assert ((losses["low"] <= losses["difference"]) & (losses["difference"] <= losses["high"])).all()
        for side, diagnosis in (("a", two.a), ("b", two.b)):
            there = losses[f"loss_{side}"].dropna()
            pd.testing.assert_series_equal(
                there, getattr(diagnosis, name)["loss"], check_names=False, check_exact=False
            )
            pd.testing.assert_series_equal(
                losses[f"rescue_{side}"].dropna(), getattr(diagnosis, name)["rescue"], check_names=False
            )


@ignore_empty
@settings(max_examples=12)
@given(twos())
def test_the_other_way_round_everything_is_turned_round(two: Two) -> None:
    forth, back = compare(two.a, two.b), compare(two.b, two.a)
    for one, other in (
        (forth.recall, back.recall),
        (forth.hard_recall, back.hard_recall),
        (forth.measure("CP"), back.measure("CP")),
    ):
        assert (other.a, other.b, other.p, other.n) == (one.b, one.a, one.p, one.n)
        assert (other.value, other.low, other.high) == (-one.value, -one.high, -one.low)
    pd.testing.assert_frame_equal(forth.transitions, back.transitions.T, check_names=False)
    renamed = {f"{name}_{x}": f"{name}_{y}" for name in ("loss", "rescue") for x, y in ("ab", "ba")}
    turned = back.losses.rename(columns=renamed)
    turned[["low", "high"]] = turned[["high", "low"]]
    turned[["difference", "low", "high", "net"]] *= -1
    pd.testing.assert_frame_equal(forth.losses, turned[forth.losses.columns])
    opposite = {"lost": "regained", "regained": "lost", "moved": "moved"}
    changes, turned_changes = (
        {(row["query_id"], row["unit"]): row["change"] for row in found.flips.to_dict("records")}
        for found in (forth, back)
    )
    assert changes == {unit: opposite[change] for unit, change in turned_changes.items()}


@ignore_empty
@settings(max_examples=12)
@given(twos())
def test_flips_are_where_the_failures_differ(two: Two) -> None:
    comparison = compare(two.a, two.b)
    lost = [
        {(row["query_id"], row["unit"]): row for row in diagnosis.failures.to_dict("records")}
        for diagnosis in (two.a, two.b)
    ]
    expected = {}
    for query in two.a.assessed:
        for unit in range(len(query.evidence)):
            in_a, in_b = (of_one.get((query.id, unit)) for of_one in lost)
            if in_a and not in_b:
                expected[query.id, unit] = "regained"
            elif in_b and not in_a:
                expected[query.id, unit] = "lost"
            elif in_a and in_b and in_a["stage"] != in_b["stage"]:
                expected[query.id, unit] = "moved"
    flips = comparison.flips
    assert list(zip(flips["query_id"], flips["unit"], strict=True)) == list(expected)  # in the order of a
    assert flips["change"].tolist() == list(expected.values())
    for row in flips.to_dict("records"):
        for side, of_one in zip("ab", lost, strict=True):
            failure = of_one.get((row["query_id"], row["unit"]))
            for name in ("stage", "cause", "proof"):
                assert row[f"{name}_{side}"] == (failure[name] if failure else "")
            if failure:
                assert row[f"coverage_{side}"] == failure["coverage"]
                assert (row["query"], row["evidence"]) == (failure["query"], failure["evidence"])
            else:
                assert row[f"coverage_{side}"] >= two.a.min_coverage
    counts = comparison.counts
    units = sum(len(query.evidence) for query in two.a.assessed)
    assert (counts["queries"], counts["units"]) == (len(two.a.assessed), units)
    assert units == comparison.transitions.to_numpy().sum() == sum(list(counts.values())[2:])
    assert counts["lost"] - counts["regained"] == len(lost[1]) - len(lost[0])


# One comparison, in numbers


def test_the_headline_is_that_of_the_paired_recalls(comparison: Comparison) -> None:
    of_a = [float(i < 8) for i in range(24)]
    of_b = [float(2 <= i < 8 or 10 <= i < 22) for i in range(24)]
    found = comparison.recall
    assert (found.a, found.b) == pytest.approx((8 / 24, 18 / 24))
    assert (found.n, found.changed) == (24, 14)
    order = sorted(range(24), key=str)  # by id
    expected = paired_difference([of_a[i] for i in order], [of_b[i] for i in order])
    assert found == expected
    assert comparison.hard_recall == expected
    assert comparison.measure("Recall") == comparison.measure(Recall()) == expected
    assert found.shown
    queries = comparison.queries
    assert list(queries.columns) == ["query_id", "recall_a", "recall_b", "difference", "query"]
    assert queries["query_id"].tolist() == [f"q{i}" for i in range(24)]
    assert queries["difference"].tolist() == pytest.approx(np.subtract(of_b, of_a).tolist())
    assert queries["query"][3] == "What is fact 3?"


def test_the_units_are_counted_by_what_became_of_them(comparison: Comparison) -> None:
    assert comparison.counts == {
        "queries": 24,
        "units": 24,
        "delivered in both": 6,
        "lost": 2,
        "regained": 12,
        "moved": 4,
        "lost in both": 0,
    }
    assert comparison.transitions.to_dict("index") == {
        "delivered": {"delivered": 6, "retriever": 2, "packer": 0},
        "retriever": {"delivered": 12, "retriever": 0, "packer": 2},
        "packer": {"delivered": 0, "retriever": 2, "packer": 0},
    }
    assert (comparison.transitions.index.name, comparison.transitions.columns.name) == ("fate_a", "fate_b")
    flips = comparison.flips.set_index("query_id").to_dict("index")
    fates = {id_: [row[name] for name in ("change", "stage_a", "stage_b")] for id_, row in flips.items()}
    assert fates["q0"] == ["lost", "", "retriever"]
    assert fates["q12"] == ["regained", "retriever", ""]
    assert fates["q9"] == ["moved", "packer", "retriever"]
    assert fates["q22"] == ["moved", "retriever", "packer"]
    assert [flips["q0"][name] for name in ("coverage_a", "coverage_b", "evidence")] == [1, 0, "The fact 0."]
    assert Counter(comparison.flips["change"]) == {"regained": 12, "moved": 4, "lost": 2}


def test_one_line_says_what_changed(comparison: Comparison) -> None:
    assert repr(comparison) == (
        "Comparison(recall 0.333 -> 0.750, 12 units regained, 2 lost, 4 moved, 24 queries)"
    )


def test_losses_have_a_row_for_each_stage(comparison: Comparison) -> None:
    losses = comparison.losses
    assert losses.index.tolist() == ["ingest", "chunker", "capacity", "retriever", "packer"]
    assert losses.index.name == "stage"
    assert list(losses.columns) == [
        "loss_a", "loss_b", "difference", "low", "high", "rescue_a", "rescue_b", "net"
    ]  # fmt: skip
    retriever = losses.to_dict("index")["retriever"]
    assert [retriever[name] for name in ("loss_a", "loss_b", "difference")] == pytest.approx(
        [14 / 24, 4 / 24, -10 / 24]
    )
    assert retriever["high"] < 0
    assert losses.loc["packer", "difference"] == 0


def test_the_table_of_measures_asks_each_measure(comparison: Comparison) -> None:
    table = comparison.measures
    assert list(table.columns) == ["measure", "a", "b", "difference", "low", "high", "p", "n"]
    assert table["measure"].tolist()[:5] == ["Recall", "Hard recall", "All", "Hit", "MRR"]
    assert table["measure"].is_unique
    for spec, *row in table.itertuples(index=False):
        found = comparison.hard_recall if spec == "Hard recall" else comparison.measure(spec)
        assert row == [found.a, found.b, found.value, found.low, found.high, found.p, found.n]
        if spec != "Hard recall":
            assert (found.a, found.b) == pytest.approx(
                (comparison.a.measure(spec).value, comparison.b.measure(spec).value)
            )


def test_measures_that_only_one_has_are_left_out() -> None:
    a = run(3, found=[0])
    deeper = Pipeline(chunker=LineChunker(), retriever=_bm25(), candidates=4, top_k=2)
    b = diagnose(deeper, a.documents, a.queries, verify=False)
    specs = compare(a, b).measures["measure"].tolist()
    assert "Recall@1" in specs
    assert not {"Recall@2", "Recall@4"} & set(specs)
    assert compare(a, b).measure("Recall@2").b == b.measure("Recall@2").value


def test_a_stage_that_one_lacks_has_no_loss_there() -> None:
    a = run(3, found=[0, 1], dropped=[1])
    b = diagnose(
        Pipeline(chunker=LineChunker(), retriever=_bm25(), top_k=1), a.documents, a.queries, verify=False
    )
    packer = compare(a, b).losses.loc["packer"]
    assert packer["loss_a"] == pytest.approx(1 / 3)
    assert packer[["loss_b", "rescue_b"]].isna().all()
    assert packer["difference"] == packer["net"] == pytest.approx(-1 / 3)
    rows: Any = compare(b, a).to_dict()["losses"]
    by_stage = {row["stage"]: row for row in rows}
    assert (by_stage["packer"]["loss_a"], by_stage["packer"]["rescue_a"]) == (None, None)


def _bm25() -> Any:
    from ragdiag import BM25Retriever

    return BM25Retriever()


def test_the_same_diagnosis_twice_shows_no_difference() -> None:
    a = run(24, found=range(10), dropped=[3])
    same = compare(a, a)
    assert same.flips.empty
    assert list(same.flips.columns)[:3] == ["query_id", "unit", "change"]
    assert (same.recall.value, same.recall.p, same.recall.changed, same.recall.shown) == (0, 1, 0, False)
    assert same.recall.low < 0 < same.recall.high
    assert (same.losses[["difference", "net"]] == 0).all(axis=None)
    assert (same.measures["p"] == 1).all()
    assert (same.queries["difference"] == 0).all()
    assert same.counts["delivered in both"] == 9
    assert same.counts["lost in both"] == 15


def test_no_order_of_queries_changes_a_number(comparison: Comparison) -> None:
    shuffled = [question(i) for i in np.random.default_rng(1).permutation(24)]
    a = run(24, found=range(10), dropped=[8, 9], queries=shuffled)
    other = compare(a, comparison.b)
    assert other.recall == comparison.recall
    pd.testing.assert_frame_equal(other.losses, comparison.losses)
    pd.testing.assert_frame_equal(other.measures, comparison.measures)
    assert other.queries["query_id"].tolist() == [query.id for query in shuffled]
    pd.testing.assert_frame_equal(
        other.flips.sort_values("query_id", ignore_index=True),
        comparison.flips.sort_values("query_id", ignore_index=True),
    )


def test_queries_that_share_documents_are_not_taken_for_independent_ones() -> None:
    text = "\n".join(f"Line {i} of it." for i in range(40))
    documents = [Document(f"d{i}", text) for i in range(4)]
    queries = [
        Query(f"q{i:02}", "?", [Evidence.of(Span.find(documents[i % 4], f"Line {i} of it."))])
        for i in range(40)
    ]

    def found(which: Collection[int]) -> Diagnosis:
        def chunk_of(i: int, line: int) -> str:
            start = text.index(f"Line {line} of it.")
            return f"d{i % 4}#{start}-{start + len(f'Line {line} of it.')}"

        orders = {
            query.id: [chunk_of(i, i if i in which else (i + 1) % 40)] for i, query in enumerate(queries)
        }
        pipeline = Pipeline(chunker=LineChunker(), retriever=OrderRetriever(orders), candidates=1, top_k=1)
        return diagnose(pipeline, documents, queries, copies=False, verify=False)

    a, b = found(()), found([i for i in range(40) if i % 4 == 0])
    together = compare(a, b).recall
    alone = paired_difference(a.measure_by_query("Recall"), b.measure_by_query("Recall"))
    assert (together.value, alone.value) == pytest.approx((0.25, 0.25))
    assert together.method.endswith("by cluster, understates")
    assert alone.shown
    assert not together.shown  # all of it comes from one of four documents
    clusters = Clusters.of([[f"d{i % 4}"] for i in range(40)])
    values = (diagnosis.measure_by_query("Recall") for diagnosis in (a, b))
    assert together == paired_difference(*values, clusters=clusters)


def test_two_runs_give_the_same_dictionary_and_it_is_strict_json(comparison: Comparison) -> None:
    again = compare(
        run(24, found=range(10), dropped=[8, 9]),
        run(24, found=[*range(2, 8), *range(10, 24)], dropped=[22, 23]),
    )
    report: Any = comparison.to_dict()
    assert report == again.to_dict()
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert (report["format"], report["version"]) == ("ragdiag-comparison", 1)
    assert report["names"] == ["A", "B"]
    assert report["recall"]["value"] == comparison.recall.value
    assert report["recall"]["shown"] is True
    assert report["pipelines"][0]["stages"] == dict(comparison.a.trace.stages)
    for name in ("measures", "queries", "flips"):
        pd.testing.assert_frame_equal(
            pd.DataFrame(report[name]), getattr(comparison, name), check_dtype=False
        )
    for name in ("losses", "hard_losses"):
        table = pd.DataFrame(report[name]).set_index("stage")
        pd.testing.assert_frame_equal(table, getattr(comparison, name), check_dtype=False)
    assert report["transitions"][0] == {"fate_a": "delivered", "delivered": 6, "retriever": 2, "packer": 0}


def test_saved_diagnoses_can_be_compared(comparison: Comparison, tmp_path: Any) -> None:
    comparison.a.save(tmp_path / "a.jsonl")
    comparison.b.save(tmp_path / "b.jsonl")
    loaded = compare(*(Diagnosis.load(tmp_path / name) for name in ("a.jsonl", "b.jsonl")))
    assert loaded.to_dict() == comparison.to_dict()


# What cannot be compared


def test_what_may_differ() -> None:
    a = run(3, found=[0])
    b = run(
        3,
        found=[1],
        queries=[
            replace(question(0), filter={"x": 1}, metadata={"kind": "easy"}),
            *[question(i) for i in (1, 2)],
        ],
    )
    assert compare(a, b).counts["lost"] == 1
    extra = [*a.queries, Query("open", "What else?"), Query("none", "Who?", answerable=False)]
    with_more = replace(a, queries=tuple(extra))
    assert compare(with_more, b).recall == compare(a, b).recall


TEXT = "One fact.\nAnother fact."
ONE, ANOTHER = Span("d", 0, 9), Span("d", 10, 23)
UNITS = [Evidence.of(ONE), Evidence.any_of(ANOTHER, WholeDocument("e"))]
DIFFERENT = [
    (Query("q", "Whom?", UNITS), TEXT, r"'q', which differs in its text: 'Who\?' and 'Whom\?'"),
    (Query("q", "Who?", UNITS[:1]), TEXT, "'q', which differs in its evidence: 2 and 1 units"),
    (
        Query("q", "Who?", [UNITS[0], Evidence.of(ANOTHER)]),
        TEXT,
        r"'q', which differs in its evidence, unit 1: Evidence\(.*'e'.*\) and Evidence\(",
    ),
    (
        Query("q", "Who?", UNITS),
        TEXT.replace("Another", "Whatnot"),
        "the text of its evidence, unit 1, at 10-23 of source 'd': 'Another fact.' and 'Whatnot fact.'",
    ),
    (Query("r", "Who?", UNITS), TEXT, "2 of 3 differ; the first is 'q', which is assessed in the first only"),
]


def ask(query: Query, text: str) -> Diagnosis:
    sources = [Document("d", text), Document("e", "Else.")]
    more = Query("same", "What?", [Evidence.of(ONE)])
    pipeline = Pipeline(chunker=LineChunker(), retriever=_bm25(), top_k=1)
    return diagnose(pipeline, sources, [more, query], verify=False)


@pytest.mark.parametrize(("query", "text", "message"), DIFFERENT)
def test_other_queries_are_named(query: Query, text: str, message: str) -> None:
    a, b = ask(Query("q", "Who?", UNITS), TEXT), ask(query, text)
    with pytest.raises(DataError, match=message) as raised:
        compare(a, b)
    assert "1 of 2 differ" in str(raised.value) or query.id == "r"
    with pytest.raises(DataError, match=r"do not assess the same queries.*select\(query_ids\).*same sources"):
        compare(b, a)
    assert compare(a.select(["same"]), b.select(["same"])).recall.n == 1


def test_a_query_that_the_second_alone_assesses_is_named() -> None:
    a, b = run(2, found=[0]), run(3, found=[0])
    with pytest.raises(
        DataError, match="1 of 3 differ; the first is 'q2', which is assessed in the second only"
    ):
        compare(a, b)


def test_other_rules_are_named() -> None:
    a = run(2, found=[0])
    with pytest.raises(ConfigError, match=r"min_coverage is 1.0 in the first and 0.5 in the second"):
        compare(a, replace(a, min_coverage=0.5))
    with pytest.raises(ConfigError, match=r"copies is True in the first and False in the second"):
        compare(a, replace(a, copies=False))
