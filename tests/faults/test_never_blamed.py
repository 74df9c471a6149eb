"""What is delivered is no failure, whatever its way was, and healthy stages are not charged."""

from __future__ import annotations

from typing import Any

import pytest
from faults.broken_stages import CuttingChunker, FixedWidthChunker
from faults.laboratory import BENCHES, delivered, examine, laboratory, without

from ragdiag import BM25Retriever, Diagnosis, ExactRetriever, FaissRetriever, HybridRetriever


def check_that_nothing_is_blamed(diagnosis: Diagnosis) -> None:
    assert diagnosis.failures.empty
    assert set(diagnosis.verdicts) == {None}
    assert (diagnosis.recall, diagnosis.hard_recall) == (1.0, 1.0)
    for table in (diagnosis.losses, diagnosis.hard_losses):
        assert table["loss"].max() <= 1e-9
    assert diagnosis.effort is not None
    assert (diagnosis.effort.texts, diagnosis.effort.pairs, diagnosis.effort.unproven) == (0, 0, 0)


@pytest.mark.parametrize("bench", BENCHES)
@pytest.mark.parametrize("seed", [0, 1, 3])
def test_a_healthy_pipeline_has_no_failures(bench: str, seed: int) -> None:
    check_that_nothing_is_blamed(examine(laboratory(bench, seed)))


@pytest.mark.parametrize(
    "retriever",
    [
        HybridRetriever([BM25Retriever(), ExactRetriever()]),
        FaissRetriever("HNSW32", parameters={"efSearch": 200}),
        FaissRetriever("IVF4,Flat", parameters={"nprobe": 4}),
        ExactRetriever(metric="dot"),
    ],
    ids=repr,
)
def test_other_searches_that_deliver_have_no_failures(retriever: Any) -> None:
    healthy = laboratory("full", 2).using(retriever=retriever)
    lost = healthy.units - delivered(healthy)
    healthy = without(healthy, lost)
    check_that_nothing_is_blamed(examine(healthy))


def test_evidence_that_is_cut_but_delivered_whole_is_never_blamed() -> None:
    healthy = laboratory("full", 1, thorough=True, at_most=1)
    keys = frozenset(fact.key for fact in healthy.facts.values())
    for chunker in (CuttingChunker(keys), FixedWidthChunker(60)):
        cut = healthy.using(chunker=chunker)
        whole = delivered(cut)
        assert len(whole) >= 10
        diagnosis = examine(cut)
        failed = {(row.query_id, row.unit) for row in diagnosis.failures.itertuples()}
        assert failed == healthy.units - whole
        check_that_nothing_is_blamed(examine(without(cut, healthy.units - whole)))
