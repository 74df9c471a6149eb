"""A ledger of three units, by hand: two of one query, of which one is lost, and one of another."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from plugs import LineChunker, OrderRetriever, SeededEmbedder, TableReranker

import ragdiag.diagnosis.ledger
from ragdiag import Pipeline, diagnose
from ragdiag.diagnosis.capacity import BestSet, Goal, best_set
from ragdiag.diagnosis.ledger import LOSS_STAGES, Checkpoint, Ledger, at_stage
from ragdiag.records import Document, Evidence, Query, Span

STAGES = ("chunker", "embedder", "retriever", "packer")
LEDGER = Ledger(
    checkpoints=(Checkpoint("everything", None), *(Checkpoint(f"after {stage}", stage) for stage in STAGES)),
    query_ids=("two", "one"),
    owner=np.array([0, 0, 1]),
    soft=np.array([[1, 0.75, 0.5, 0.75, 0.25], [1, 1, 1, 1, 1], [1, 1, 0.5, 1, 0]]),
    hard=np.array([[1, 1, 0, 1, 0], [1, 1, 1, 1, 1], [1, 1, 0, 0, 0]], dtype=np.float64),
    exact=np.array([[True, True, False, True, True], [True, False, True, True, True]]),
)


def test_a_query_is_worth_the_mean_of_its_units() -> None:
    assert LEDGER.values().tolist() == [[1, 0.875, 0.75, 0.875, 0.625], [1, 1, 0.5, 1, 0]]
    assert LEDGER.values("hard").tolist() == [[1, 1, 0.5, 1, 0.5], [1, 1, 0, 0, 0]]


def test_steps_are_what_is_lost_on_the_way_to_each_checkpoint() -> None:
    assert LEDGER.steps().tolist() == [[0.125, 0.125, -0.125, 0.25], [0, 0.5, -0.5, 1]]
    assert LEDGER.steps("hard").tolist() == [[0, 0.5, -0.5, 0.5], [0, 1, 0, 0]]
    assert LEDGER.steps("hard", moved={}).tolist() == LEDGER.steps("hard").tolist()


def test_a_moved_unit_takes_along_what_it_lost_from_its_label_on() -> None:
    """The first unit's label is the packer, the third's the embedder; what was lost before stays."""
    moved = {0: "chunker", 2: "chunker"}
    assert LEDGER.steps(moved=moved).tolist() == [[0.375, 0.125, -0.125, 0], [1, 0, 0, 0]]
    assert LEDGER.steps("hard", moved=moved).tolist() == [[0.5, 0.5, -0.5, 0], [1, 0, 0, 0]]
    assert LEDGER.steps(moved={0: "embedder"}).tolist() == [[0.125, 0.375, -0.125, 0], [0, 0.5, -0.5, 1]]


def test_lost_units_have_the_label_of_their_last_drop() -> None:
    assert LEDGER.lost == [0, 2]
    assert [LEDGER.label(unit) for unit in range(3)] == ["packer", None, "embedder"]
    assert LEDGER.stages == STAGES


def test_some_queries_have_a_ledger_of_their_own() -> None:
    assert (LEDGER.units_of([0]), LEDGER.units_of([1]), LEDGER.units_of([1, 0])) == ([0, 1], [2], [0, 1, 2])
    turned = LEDGER.select([1, 0])
    assert turned.query_ids == ("one", "two")
    assert turned.values().tolist() == LEDGER.values()[::-1].tolist()
    assert turned.exact.tolist() == LEDGER.exact[::-1].tolist()
    assert turned.checkpoints == LEDGER.checkpoints
    assert LEDGER.select([]).values().shape == (0, 5)
    assert LEDGER.select([]).lost == []


def test_where_something_was_lost_is_said_in_words() -> None:
    said = dict(zip(LOSS_STAGES, map(at_stage, LOSS_STAGES), strict=True))
    assert said == {
        "ingest": "at ingest",
        "capacity": "to capacity",
        **{stage: f"at the {stage}" for stage in ("chunker", "embedder", "retriever", "reranker", "packer")},
    }


@pytest.mark.parametrize("unproven", ["soft", "hard"])
def test_a_checkpoint_is_exact_where_both_its_best_sets_are_proven(
    monkeypatch: pytest.MonkeyPatch, unproven: str
) -> None:
    """As if the solver's time ran out for one of the two, wherever chunks had to be chosen."""

    def out_of_time(evidence: Any, candidates: Any, goal: Goal, **options: Any) -> BestSet:
        return replace(best_set(evidence, candidates, goal, **options), exact=goal.objective != unproven)

    monkeypatch.setattr(ragdiag.diagnosis.ledger, "best_set", out_of_time)
    document = Document("d", "one\ntwo\nthree")
    pipeline = Pipeline(
        chunker=LineChunker(),
        embedder=SeededEmbedder(0),
        retriever=OrderRetriever({"q": ["d#0-3", "d#4-7"]}, uses_vectors=True),
        reranker=TableReranker({}),
        candidates=2,
        top_k=1,
    )
    query = Query("q", "?", [Evidence.of(Span("d", 0, 3))])
    ledger = diagnose(pipeline, [document], [query], verify=False).ledger
    assert [c.name for c in ledger.checkpoints][3:] == [
        "best k",
        "exact search",
        "retrieved",
        "reranked top k",
    ]
    assert ledger.exact.tolist() == [[True, True, True, False, False, False, False]]
