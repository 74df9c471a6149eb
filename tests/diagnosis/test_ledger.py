"""The ledger against sets of characters and brute force, under random damage in every stage."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from evidence_oracle import Oracle
from hypothesis import given
from hypothesis import strategies as st
from plugs import AnyEmbedder, SeededEmbedder, WholeChunker, exact_order
from random_cases import Case, cases

from ragdiag import BM25Retriever, Diagnosis, ExactRetriever, Pipeline, diagnose
from ragdiag.diagnosis.capacity import Objective
from ragdiag.diagnosis.ledger import LOSS_STAGES
from ragdiag.records import Chunk, Document, Evidence, Query, Request, Span
from ragdiag.stages.protocols import arms_of

pytestmark = pytest.mark.filterwarnings("ignore:.*hold no text:ragdiag.errors.RagdiagWarning")


def candidates_of_the_embedder(case: Case, diagnosis: Diagnosis, query: Query) -> list[Chunk] | None:
    """E by an exact search in Python; with a text arm also what that finds without the filter."""
    trace = diagnosis.trace
    if trace.vectors is None or trace.query_vectors is None or trace.similarity is None:
        return None
    row = [record.query_id for record in trace.queries].index(query.id)
    order = exact_order(trace.vectors, trace.query_vectors[row], trace.similarity)
    found = set(order[: trace.candidates])
    if arms_of(case.pipeline.retriever):
        [hits] = (
            BM25Retriever().build(trace.chunks, None).search([Request("q", query.text)], trace.candidates)
        )
        found |= set(trace.positions(hits))
    return [trace.chunks[position] for position in sorted(found)]


def ceilings_by_oracle(case: Case, diagnosis: Diagnosis, query: Query, *, hard: bool) -> dict[str, float]:
    oracle = Oracle.of(case.documents, case.sources, copies=case.copies)
    trace = diagnosis.trace
    record = trace[query.id]
    by_id = {chunk.id: chunk for chunk in trace.chunks}
    budget = getattr(case.pipeline.packer, "budget", None)
    tokens = {chunk.id: len(chunk.text) for chunk in trace.chunks}

    def mean(values: list[float]) -> float:
        return sum(values) / len(values)

    def value(held: frozenset[tuple[str, int]]) -> float:
        return mean(oracle.values(query, held, hard=hard, min_coverage=case.min_coverage))

    def best(chunks: list[Chunk]) -> float:
        with_evidence = [
            c for c in chunks if any(oracle.coverage(u, oracle.holds([c])) for u in query.evidence)
        ]
        total, _ = oracle.best(
            query,
            with_evidence,
            k=trace.top_k,
            budget=budget,
            tokens=tokens,
            hard=hard,
            min_coverage=case.min_coverage,
        )
        return total / len(query.evidence)

    ceilings = {
        "everything": 1.0,
        "documents": value(oracle.ingested()),
        "chunks": value(oracle.holds(trace.chunks)),
        "best k": best(list(trace.chunks)),
    }
    exact = candidates_of_the_embedder(case, diagnosis, query)
    if exact is not None:
        ceilings["exact search"] = best(exact)
    ceilings["retrieved"] = best([by_id[hit.chunk_id] for hit in record.retrieved])
    if record.reranked is not None:
        ceilings["reranked top k"] = best([by_id[hit.chunk_id] for hit in record.reranked[: trace.top_k]])
    if case.pipeline.packer is not None:
        ceilings["context"] = value(oracle.holds(record.context))
    return ceilings


@given(cases())
def test_every_ceiling_equals_brute_force_over_characters(case: Case) -> None:
    diagnosis = case.diagnose()
    ledger = diagnosis.ledger
    assert ledger.exact.all()
    columns: list[tuple[Objective, str]] = [("soft", "recall"), ("hard", "hard_recall")]
    for objective, column in columns:
        expected = [
            ceilings_by_oracle(case, diagnosis, query, hard=objective == "hard")
            for query in diagnosis.assessed
        ]
        names = [checkpoint.name for checkpoint in ledger.checkpoints]
        assert all(list(of_query) == names for of_query in expected)
        wanted = np.array([list(of_query.values()) for of_query in expected])
        np.testing.assert_allclose(ledger.values(objective), wanted, atol=1e-9)
        np.testing.assert_allclose(diagnosis.ceilings[column], wanted.mean(axis=0), atol=1e-9)


@given(cases(), st.booleans())
def test_the_tables_add_up(case: Case, verify: bool) -> None:  # noqa: FBT001  # drawn by hypothesis
    diagnosis = case.diagnose(verify=verify)
    check_that_losses_less_rescues_are_what_recall_lacks(diagnosis)
    check_that_labels_are_last_drops_and_weigh_what_hard_recall_lacks(diagnosis)
    optional = [s for s in ("embedder", "reranker", "packer") if getattr(case.pipeline, s) is not None]
    expected = sorted(["ingest", "chunker", "capacity", "retriever", *optional], key=LOSS_STAGES.index)
    assert list(diagnosis.ledger.stages) == expected


def check_that_losses_less_rescues_are_what_recall_lacks(diagnosis: Diagnosis) -> None:
    ledger = diagnosis.ledger
    sides: list[tuple[Objective, pd.DataFrame, float]] = [
        ("soft", diagnosis.losses, diagnosis.recall),
        ("hard", diagnosis.hard_losses, diagnosis.hard_recall),
    ]
    for objective, table, recall in sides:
        values = ledger.values(objective)
        assert (values[:, 0] == 1).all()
        np.testing.assert_allclose(ledger.steps(objective).sum(axis=1), 1 - values[:, -1], atol=1e-9)
        assert (table[["loss", "rescue"]] >= 0).all(axis=None)
        assert (table["low"] <= table["loss"] + 1e-12).all()
        assert (table["loss"] <= table["high"] + 1e-12).all()
        assert (table["loss"] - table["rescue"]).sum() == pytest.approx(1 - recall, abs=1e-9)
        assert tuple(table.index) == ledger.stages


def check_that_labels_are_last_drops_and_weigh_what_hard_recall_lacks(diagnosis: Diagnosis) -> None:
    ledger = diagnosis.ledger
    units_of = {query.id: len(query.evidence) for query in diagnosis.assessed}
    failures = diagnosis.failures
    weight = sum(1 / units_of[query_id] for query_id in failures["query_id"]) / len(units_of)
    assert weight == pytest.approx(1 - diagnosis.hard_recall, abs=1e-9)
    for unit, row in enumerate(ledger.hard):
        drops = [stage for stage, (a, b) in zip(ledger.stages, pairwise(row), strict=True) if b < a]
        assert ledger.label(unit) == (None if row[-1] else drops[-1])
    lost = [ledger.label(unit) for unit in np.flatnonzero(ledger.hard[:, -1] == 0).tolist()]
    assert failures["observed"].tolist() == lost
    by_stage = diagnosis.proofs.sum(axis=1)
    assert by_stage[by_stage > 0].to_dict() == Counter(failures["stage"])


@pytest.mark.parametrize("metric", ["cosine", "dot", "l2"])
@pytest.mark.parametrize("top_k", [1, 2, 5, 9])
def test_an_exact_retriever_loses_nothing_among_duplicate_vectors(metric: str, top_k: int) -> None:
    """Forty chunks of three vectors: the cut after n always falls between equal scores."""
    documents = [Document(f"d{i}", f"answer number {i}") for i in range(40)]
    queries = [
        Query(f"q{i}", f"question {i}", [Evidence.of(Span(f"d{i}", 0, len(documents[i].text)))])
        for i in range(0, 40, 3)
    ]
    for seed in range(3):
        pipeline = Pipeline(
            chunker=WholeChunker(),
            embedder=SeededEmbedder(seed, values=1, similarity=metric),  # type: ignore[arg-type]
            retriever=ExactRetriever(metric=metric),  # type: ignore[arg-type]
            top_k=top_k,
        )
        losses = diagnose(pipeline, documents, queries).losses
        assert losses["loss"]["retriever"] == losses["rescue"]["retriever"] == 0
        assert losses["loss"]["embedder"] > 0


def test_an_exact_retriever_loses_nothing_among_near_ties() -> None:
    """Vectors that differ in their last bits only: float32 products cannot order them."""
    generator = np.random.default_rng(0)
    base = generator.standard_normal(48).astype(np.float32)
    rows = {f"text {i}": base * np.float32(1 + 1e-6 * generator.standard_normal()) for i in range(60)}
    for i, row in enumerate(rows.values()):
        row[i % 48] = np.nextafter(row[i % 48], np.float32(9))

    near = AnyEmbedder(
        lambda texts: np.array([rows[text] for text in texts]), lambda texts: np.tile(base, (len(texts), 1))
    )
    documents = [Document(text, text) for text in rows]
    queries = [Query(f"q {d.id}", "?", [Evidence.of(Span(d.id, 0, len(d.text)))]) for d in documents]
    pipeline = Pipeline(chunker=WholeChunker(), embedder=near, retriever=ExactRetriever(), top_k=20)
    diagnosis = diagnose(pipeline, documents, queries)
    assert diagnosis.recall == pytest.approx(20 / 60)
    losses = diagnosis.losses
    assert losses["loss"]["retriever"] == losses["rescue"]["retriever"] == 0


def test_select_keeps_the_rows_of_the_chosen_queries() -> None:
    documents = [Document(f"d{i}", f"answer number {i}") for i in range(6)]
    queries = [
        Query(f"q{i}", "answer", [Evidence.of(Span(f"d{j}", 0, 6)) for j in range(i + 1)]) for i in range(4)
    ]
    pipeline = Pipeline(chunker=WholeChunker(), retriever=BM25Retriever(), top_k=2)
    ledger = diagnose(pipeline, documents, queries).ledger
    part = ledger.select([1, 3])
    assert part.query_ids == ("q1", "q3")
    assert part.owner.tolist() == [0, 0, 1, 1, 1, 1]
    np.testing.assert_array_equal(part.values("soft"), ledger.values("soft")[[1, 3]])
    np.testing.assert_array_equal(part.values("hard"), ledger.values("hard")[[1, 3]])
    np.testing.assert_array_equal(part.exact, ledger.exact[[1, 3]])
    assert [part.label(u) for u in range(6)] == [ledger.label(u) for u in (1, 2, 6, 7, 8, 9)]
