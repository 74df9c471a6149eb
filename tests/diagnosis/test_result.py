"""A diagnosis' tables: columns, that they agree with each other, and that parts make up the whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from plugs import (
    AnyPacker,
    BudgetPacker,
    CountingEmbedder,
    LineChunker,
    SeededEmbedder,
    SeededReranker,
    WholeChunker,
)
from random_cases import Case, cases

from ragdiag import (
    BM25Retriever,
    ConfigError,
    DataError,
    Diagnosis,
    ExactRetriever,
    HashingEmbedder,
    Pipeline,
    diagnose,
)
from ragdiag.measures import Recall, parse_measure
from ragdiag.records import Chunk, Document, Evidence, Query, Span, WholeDocument

ignore_empty = pytest.mark.filterwarnings("ignore:.*hold no text:ragdiag.errors.RagdiagWarning")

TOPICS = ["refunds", "shipping", "warranty", "invoices", "returns", "deposits"]
DOCUMENTS = [
    Document(topic, "\n".join(f"{topic} rule {i}: item {i * 7 % 5}" for i in range(6)), {"topic": topic})
    for topic in TOPICS
]


def line(topic: str, i: int) -> Evidence:
    document = next(d for d in DOCUMENTS if d.id == topic)
    return Evidence.of(Span.find(document, f"{topic} rule {i}: item {i * 7 % 5}"))


QUERIES = [
    *[
        Query(
            f"{topic}-{i}",
            f"what does rule {i} of {topic} say",
            [line(topic, i), line(topic, (i + 1) % 6)],
            metadata={"topic": topic, **({"hard": i > 2} if i else {})},
        )
        for topic in TOPICS
        for i in (0, 2, 4)
    ],
    Query("open", "what else is there"),
    Query("none", "who is the king of France", answerable=False),
]
PIPELINE = Pipeline(
    chunker=LineChunker(),
    embedder=HashingEmbedder(64),
    retriever=ExactRetriever(),
    reranker=SeededReranker(3),
    packer=BudgetPacker(60),
    candidates=8,
    top_k=3,
)


@pytest.fixture(scope="module")
def diagnosis() -> Diagnosis:
    return diagnose(PIPELINE, DOCUMENTS, QUERIES)


def test_queries_are_counted_apart(diagnosis: Diagnosis) -> None:
    lost = len(diagnosis.failures)
    assert diagnosis.counts == {
        "queries": 20,
        "assessed": 18,
        "unassessed": 1,
        "unanswerable": 1,
        "units": 36,
        "lost units": lost,
    }
    assert [query.id for query in diagnosis.assessed] == [q.id for q in QUERIES[:18]]
    assert repr(diagnosis) == f"Diagnosis(recall={diagnosis.recall:.3f}, {lost} of 36 units lost, 18 queries)"


def test_unassessed_queries_change_no_number() -> None:
    without = diagnose(PIPELINE, DOCUMENTS, QUERIES[:18])
    mixed = diagnose(PIPELINE, DOCUMENTS, [QUERIES[19], *QUERIES[:9], QUERIES[18], *QUERIES[9:18]])
    for table in ("losses", "hard_losses", "ceilings", "failures", "measures"):
        found = getattr(mixed, table)
        pd.testing.assert_frame_equal(found, getattr(without, table))
    assert mixed.recall == without.recall
    assert len(mixed.trace.queries) == 20


def test_no_number_is_missing_where_it_is_not_a_rank(diagnosis: Diagnosis) -> None:
    for table in (diagnosis.losses, diagnosis.hard_losses, diagnosis.ceilings, diagnosis.measures):
        assert table.notna().all(axis=None)
    assert diagnosis.recall_curve().notna().all(axis=None)
    assert np.isfinite(diagnosis.recall)


def test_columns(diagnosis: Diagnosis) -> None:
    assert list(diagnosis.losses.columns) == ["loss", "rescue", "low", "high"]
    assert diagnosis.losses.index.name == "stage"
    assert list(diagnosis.ceilings.columns) == ["stage", "recall", "hard_recall", "approximate"]
    assert diagnosis.ceilings.index.name == "checkpoint"
    assert diagnosis.ceilings["stage"].tolist() == ["", *diagnosis.losses.index]
    assert diagnosis.ceilings["approximate"].tolist() == [0] * 8
    assert list(diagnosis.measures.columns) == ["measure", "value", "low", "high", "n"]
    assert list(diagnosis.recall_curve().columns) == ["ranking", "k", "recall", "low", "high"]


FAILURE_TYPES = {
    "query_id": "object",
    "unit": "int64",
    "stage": "object",
    "cause": "object",
    "proof": "object",
    "coverage": "float64",
    "repairs": "object",
    "rank_exact": "Int64",
    "rank_retrieved": "Int64",
    "rank_reranked": "Int64",
    "tied": "bool",
    "observed": "object",
    "reason": "object",
    "observation": "object",
    "remedy": "object",
    "findings": "object",
    "query": "object",
    "evidence": "object",
}


def types_of(table: pd.DataFrame) -> dict[str, str]:
    return {str(name): str(dtype).replace("str", "object") for name, dtype in table.dtypes.items()}


def test_failures_have_a_row_for_each_lost_unit(diagnosis: Diagnosis) -> None:
    failures = diagnosis.failures
    assert types_of(failures) == FAILURE_TYPES
    assert 0 < len(failures) < 36
    assert set(failures["proof"]) <= {"verified", "joint", "undetermined"}
    by_id = {query.id: query for query in QUERIES}
    for row in failures.to_dict("records"):
        query = by_id[row["query_id"]]
        [[span]] = query.evidence[row["unit"]].alternatives
        assert isinstance(span, Span)
        document = next(d for d in DOCUMENTS if d.id == span.doc_id)
        assert row["query"] == query.text
        assert row["evidence"] == document.text[span.start : span.end]
        assert row["coverage"] == 0
        record = diagnosis.trace[query.id]
        chunk_id = f"{span.doc_id}#{span.start}-{span.end}"
        retrieved = [hit.chunk_id for hit in record.retrieved]
        reranked = [hit.chunk_id for hit in record.ranking]
        for column, ranking in (("rank_retrieved", retrieved), ("rank_reranked", reranked)):
            if chunk_id in ranking:
                assert row[column] == ranking.index(chunk_id) + 1
            else:
                assert pd.isna(row[column])


def test_failures_keep_their_types_where_nothing_failed() -> None:
    document = Document("d", "the answer")
    everything = Pipeline(chunker=WholeChunker(), retriever=BM25Retriever(), top_k=1)
    found = diagnose(everything, [document], [Query("q", "answer", [Evidence.of(Span("d", 0, 10))])])
    assert found.failures.empty
    assert types_of(found.failures) == FAILURE_TYPES


def test_the_evidence_of_several_spans_and_whole_documents_is_spelled_out() -> None:
    documents = [Document("a", "one two three"), Document("b", "four")]
    units = [Evidence.of(Span("a", 0, 3), Span("a", 8, 13)), Evidence.of(WholeDocument("b"))]
    nothing = Pipeline(
        chunker=WholeChunker(), retriever=BM25Retriever(), packer=AnyPacker(lambda _: []), top_k=2
    )
    found = diagnose(nothing, documents, [Query("q", "one four", units)])
    assert found.failures["evidence"].tolist() == ["one … three", "(document b)"]
    assert found.failures["stage"].tolist() == ["packer", "packer"]


def test_recall_is_that_of_the_context_and_a_cut_looks_at_the_ranking(diagnosis: Diagnosis) -> None:
    assert diagnosis.measure("Recall").value == pytest.approx(diagnosis.recall, abs=1e-12)
    assert diagnosis.measure("recall@3").value == pytest.approx(
        diagnosis.ceilings.loc["reranked top k", "recall"]
    )
    assert diagnosis.measure("Recall@8").value == pytest.approx(
        np.mean([o.deliveries["retrieved"].unit_coverage[-1].mean() for o in diagnosis.outcomes])
    )
    assert diagnosis.measure(Recall(3)) == diagnosis.measure("Recall@3")
    # The budget cuts the context, so that the two differ here.
    assert diagnosis.measure("Recall").value < diagnosis.measure("Recall@3").value
    assert diagnosis.measure("All").n == 18
    with pytest.raises(ConfigError, match="Recal"):
        diagnosis.measure("Recal@3")


def test_measures_by_query_are_aligned_with_the_assessed(diagnosis: Diagnosis) -> None:
    values = diagnosis.measure_by_query("Recall")
    assert values.shape == (18,)
    for query, value in zip(diagnosis.assessed, values, strict=True):
        assert diagnosis.select([query.id]).recall == pytest.approx(value)


def test_the_table_of_measures_asks_each_measure(diagnosis: Diagnosis) -> None:
    table = diagnosis.measures
    specs = table["measure"].tolist()
    assert specs == [
        "Recall", "All", "Hit", "MRR", "CP", "Precision", "IoU", "Recall@1", "Recall@3", "Recall@8",
        "Recall@512t", "Recall@1024t", "Recall@2048t", "Recall@4096t", "Omega",
    ]  # fmt: skip
    for spec, value, low, high, n in table.itertuples(index=False):
        estimate = diagnosis.measure(spec)
        assert (estimate.value, estimate.low, estimate.high, estimate.n) == (value, low, high, n)
        assert repr(parse_measure(spec)) == spec


def test_token_measures_need_something_that_counts() -> None:
    pipeline = Pipeline(chunker=WholeChunker(), retriever=BM25Retriever(), top_k=1)
    found = diagnose(pipeline, DOCUMENTS, QUERIES)
    assert not any("t" in spec for spec in found.measures["measure"] if "@" in spec)
    with pytest.raises(DataError, match="tokens"):
        found.measure("Recall@512t")


@ignore_empty
@settings(max_examples=25)
@given(cases())
def test_recall_rises_with_k_and_ends_at_all_candidates(case: Case) -> None:
    diagnosis = diagnose(
        case.pipeline, case.documents, case.queries, sources=case.sources, copies=case.copies
    )
    curve = diagnosis.recall_curve()
    n = diagnosis.trace.candidates
    rankings = ["retrieved", "reranked"] if case.pipeline.reranker else ["retrieved"]
    assert curve["ranking"].tolist() == [name for name in rankings for _ in range(n)]
    for name, part in curve.groupby("ranking"):
        assert part["k"].tolist() == list(range(1, n + 1))
        assert part["recall"].is_monotonic_increasing, name
        assert part["recall"].iloc[-1] == pytest.approx(diagnosis.measure(f"Recall@{n}").value)
    assert diagnosis.measure("Recall").value == pytest.approx(diagnosis.recall, abs=1e-9)


def test_groups_make_up_the_whole(diagnosis: Diagnosis) -> None:
    groups = diagnosis.by("topic")
    assert list(groups) == TOPICS
    assert len(groups) == 6
    assert repr(groups) == "Groups('topic': refunds, shipping, warranty, invoices, returns, deposits)"
    weights = pd.Series({value: part.counts["assessed"] / 18 for value, part in groups.items()})
    for name in ("losses", "hard_losses"):
        for column in ("loss", "rescue"):
            parts = getattr(groups, name)[column].unstack("topic")
            whole = getattr(diagnosis, name)[column]
            pd.testing.assert_series_equal(
                (parts * weights).sum(axis=1)[whole.index], whole, check_names=False, atol=1e-12
            )
    ceilings = groups.ceilings["recall"].unstack("topic")
    pd.testing.assert_series_equal(
        (ceilings * weights).sum(axis=1)[diagnosis.ceilings.index],
        diagnosis.ceilings["recall"],
        check_names=False,
    )
    measures = groups.measures["value"].unstack("topic")
    whole_measures = diagnosis.measures.set_index("measure")["value"]
    pd.testing.assert_series_equal(
        (measures * weights).sum(axis=1)[whole_measures.index], whole_measures, check_names=False
    )
    assert sum(part.counts["lost units"] for part in groups.values()) == len(diagnosis.failures)
    key = ["query_id", "unit"]
    pd.testing.assert_frame_equal(
        groups.failures.reset_index(drop=True).sort_values(key, ignore_index=True),
        diagnosis.failures.sort_values(key, ignore_index=True),
    )
    assert groups.failures.index.names[0] == "topic"


def test_a_group_sums_up(diagnosis: Diagnosis) -> None:
    summary = diagnosis.by("topic").summary
    assert list(summary.columns) == ["queries", "units", "lost", "recall", "low", "high", "worst_stage"]
    assert summary.index.name == "topic"
    for topic, row in summary.iterrows():
        part = diagnosis.by("topic")[topic]
        assert row["recall"] == part.measure("Recall").value
        assert row["worst_stage"] == (part.losses["loss"].idxmax() if part.losses["loss"].max() else "")
    assert "<table" in diagnosis.by("topic")._repr_html_()


def test_queries_without_the_key_are_a_group_of_their_own(diagnosis: Diagnosis) -> None:
    groups = diagnosis.by("hard")
    assert list(groups) == [False, True, "(none)"]
    assert [part.counts["assessed"] for part in groups.values()] == [6, 6, 6]


def test_a_group_that_is_called_none_already_loses_no_query() -> None:
    queries = [
        replace(QUERIES[0], metadata={"kind": "(none)"}),
        replace(QUERIES[1], metadata={}),
        replace(QUERIES[2], metadata={"kind": "x"}),
    ]
    groups = diagnose(PIPELINE, DOCUMENTS, queries).by("kind")
    assert {value: part.counts["assessed"] for value, part in groups.items()} == {"(none)": 2, "x": 1}


def test_groups_of_which_some_lost_nothing_still_make_one_table() -> None:
    documents = [Document("a", "alpha"), Document("b", "beta")]
    queries = [
        Query("qa", "alpha", [Evidence.of(Span("a", 0, 5))], metadata={"g": 1}),
        Query("qb", "alpha", [Evidence.of(Span("b", 0, 4))], metadata={"g": 2}),
    ]
    pipeline = Pipeline(chunker=WholeChunker(), retriever=BM25Retriever(), top_k=1)
    groups = diagnose(pipeline, documents, queries).by("g")
    assert groups.failures["query_id"].tolist() == ["qb"]
    assert types_of(groups.failures) == FAILURE_TYPES
    assert groups.summary["worst_stage"].tolist() == ["", "retriever"]


def test_an_unknown_key_is_an_error_that_lists_the_known(diagnosis: Diagnosis) -> None:
    with pytest.raises(DataError, match=r"'tpoic'; there are: \['hard', 'topic'\]"):
        diagnosis.by("tpoic")


def test_a_key_whose_values_cannot_be_grouped_is_an_error() -> None:
    queries = [replace(QUERIES[0], metadata={"tags": ["a", "b"]})]
    with pytest.raises(DataError, match=r"'tags'.*\['a', 'b'\]"):
        diagnose(PIPELINE, DOCUMENTS, queries).by("tags")


def test_select_keeps_what_belongs_to_the_queries(diagnosis: Diagnosis) -> None:
    ids = ["returns-2", "open", "refunds-4", "none"]
    part = diagnosis.select(ids)
    assert [query.id for query in part.assessed] == ["refunds-4", "returns-2"]
    assert part.counts["unassessed"] == 1
    assert part.counts["unanswerable"] == 1
    fresh = diagnose(PIPELINE, DOCUMENTS, [q for q in QUERIES if q.id in ids])
    for table in ("losses", "hard_losses", "ceilings", "failures", "measures"):
        pd.testing.assert_frame_equal(getattr(part, table), getattr(fresh, table))
    assert part.explain("refunds-4") == diagnosis.explain("refunds-4")


@pytest.mark.parametrize(
    ("ids", "message"),
    [(["refunds-0", "nope"], "no query has the id 'nope'"), (["open", "none"], "none of the selected")],
)
def test_select_refuses_what_it_cannot_show(diagnosis: Diagnosis, ids: Sequence[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        diagnosis.select(ids)


def test_without_an_embedder_the_selection_has_no_exact_search() -> None:
    pipeline = Pipeline(chunker=LineChunker(), retriever=BM25Retriever(), top_k=2)
    part = diagnose(pipeline, DOCUMENTS, QUERIES).select(["refunds-0"])
    assert part.exact is None
    assert part.failures["rank_exact"].isna().all()


def test_two_runs_give_equal_tables(diagnosis: Diagnosis) -> None:
    again = diagnose(PIPELINE, DOCUMENTS, QUERIES)
    for table in ("losses", "hard_losses", "ceilings", "failures", "measures"):
        pd.testing.assert_frame_equal(getattr(again, table), getattr(diagnosis, table))
    pd.testing.assert_frame_equal(again.recall_curve(), diagnosis.recall_curve())
    assert [q.retrieved for q in again.trace.queries] == [q.retrieved for q in diagnosis.trace.queries]


def test_min_coverage_moves_the_hard_tables_only() -> None:
    document = Document("d", "aaaa bbbb")
    query = Query("q", "aaaa", [Evidence.of(Span("d", 0, 9))])
    pipeline = Pipeline(chunker=_Words(), embedder=SeededEmbedder(0), retriever=ExactRetriever(), top_k=1)
    strict, half = (diagnose(pipeline, [document], [query], min_coverage=c) for c in (1.0, 0.5))
    assert strict.recall == half.recall == 0.5
    assert (strict.hard_recall, half.hard_recall) == (0.0, 1.0)
    assert strict.failures["coverage"].tolist() == [0.5]
    assert half.failures.empty
    assert half.losses["loss"].sum() == 0.5


class _Words:
    def chunk(self, document: Document) -> Sequence[Chunk]:
        return [Chunk.of(document, (0, 4)), Chunk.of(document, (5, 9))]


@pytest.mark.parametrize("min_coverage", [0, -0.1, 1.01, float("nan")])
def test_min_coverage_must_be_a_share(min_coverage: float) -> None:
    with pytest.raises(ConfigError, match=r"min_coverage must be in \(0, 1\]"):
        diagnose(PIPELINE, DOCUMENTS, QUERIES, min_coverage=min_coverage)


def test_data_that_cannot_be_diagnosed_is_refused() -> None:
    span = Evidence.of(Span("refunds", 0, 3))
    with pytest.raises(DataError, match="none of the 2 queries has evidence"):
        diagnose(PIPELINE, DOCUMENTS, QUERIES[18:])
    with pytest.raises(DataError, match="none of the 0 queries has evidence"):
        diagnose(PIPELINE, DOCUMENTS, [])
    with pytest.raises(DataError, match=r"query 'q', evidence unit 1: names document 'nowhere'"):
        diagnose(PIPELINE, DOCUMENTS, [Query("q", "?", [span, Evidence.of(Span("nowhere", 0, 3))])])
    with pytest.raises(
        DataError, match=r"query 'q', evidence unit 0: span 0-9999 lies outside document 'refunds'"
    ):
        diagnose(PIPELINE, DOCUMENTS, [Query("q", "?", [Evidence.of(Span("refunds", 0, 9999))])])
    with pytest.raises(DataError, match="source ids are not unique"):
        diagnose(PIPELINE, DOCUMENTS, QUERIES, sources=[*DOCUMENTS, DOCUMENTS[0]])
    with pytest.raises(DataError, match="1 query ids are not unique, the first is 'refunds-0'"):
        diagnose(PIPELINE, DOCUMENTS, [*QUERIES, QUERIES[0]])
    with pytest.raises(DataError, match="1 document ids are not unique, the first is 'refunds'"):
        diagnose(PIPELINE, [*DOCUMENTS, DOCUMENTS[0]], QUERIES)
    with pytest.raises(DataError, match="there are no documents"):
        diagnose(PIPELINE, [], QUERIES, sources=DOCUMENTS)


def test_bad_ids_are_found_before_anything_is_embedded() -> None:
    embedder = CountingEmbedder(HashingEmbedder(8))
    pipeline = Pipeline(chunker=LineChunker(), embedder=embedder, retriever=ExactRetriever())
    document = Document("d", "one line")
    query = Query("q", "?", [Evidence.of(Span("d", 0, 3))])
    with pytest.raises(DataError, match="1 query ids are not unique, the first is 'q'"):
        diagnose(pipeline, [document], [query, query])
    with pytest.raises(DataError, match="the corpus is empty"):
        diagnose(pipeline, [], [query])
    assert embedder.documents == []


def test_measures_count_a_unit_as_delivered_where_the_diagnosis_does() -> None:
    document = Document("d", "one line\nand another")
    query = Query("q", "one line", [Evidence.of(Span("d", 0, 12))])
    pipeline = Pipeline(chunker=LineChunker(), retriever=BM25Retriever(), top_k=1)
    measures = diagnose(pipeline, [document], [query], min_coverage=0.5).measures.set_index("measure")[
        "value"
    ]
    assert measures["All(min_coverage=0.5)"] == 1
    assert "All" not in measures
