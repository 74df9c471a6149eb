"""The sentences that every face shares say what the tables say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from plugs import BudgetPacker, TableReranker

from ragdiag import (
    BM25Retriever,
    Diagnosis,
    Evidence,
    ExactRetriever,
    HashingEmbedder,
    Pipeline,
    Query,
    RecursiveChunker,
    diagnose,
)
from ragdiag.diagnosis.ledger import LOSS_STAGES
from ragdiag.records import Document, Span
from ragdiag.report.story import Story
from ragdiag.report.summary import Summary
from ragdiag.report.words import describe_measure, describe_stage

_OPTIONAL: dict[str, Any] = {
    "embedder": HashingEmbedder(16),
    "reranker": TableReranker({}),
    "packer": BudgetPacker(45),
}


def test_every_stage_of_the_fixture_loses_a_unit_and_is_explained(losing: Diagnosis) -> None:
    summary = Summary(losing)
    assert [step.stage for step in summary.steps] == list(LOSS_STAGES)
    assert all(step.units for step in summary.steps)
    assert list(summary.meanings) == list(LOSS_STAGES)
    assert summary.loss - summary.rescued == pytest.approx(1 - losing.recall)
    assert sum(step.units for step in summary.steps) == losing.counts["lost units"]


def test_the_worst_stage_is_named_with_its_loss(losing: Diagnosis) -> None:
    # The rescued units were lost by the embedder too.
    assert losing.losses["loss"].idxmax() == "embedder"
    assert Summary(losing).verdict == (
        "Most is lost at the embedder: 0.222 of the 0.817 lost in all, and 3 of the 21 lost units."
    )


def test_stages_that_lose_the_same_are_all_named(losing: Diagnosis) -> None:
    part = losing.select(["packer-0", "chunker-0", "delivered-0"])
    verdict = Summary(part).verdict
    assert verdict == (
        "Most is lost at the chunker and at the packer: 0.333 of the 0.667 lost in all, equally much at "
        "each, and 2 of the 2 lost units."
    )


def test_a_single_place_of_loss_and_no_loss_at_all(losing: Diagnosis, lossless: Diagnosis) -> None:
    assert (
        Summary(losing.select(["ingest-0"])).verdict == "All that is lost is lost at ingest: 1.000 of recall."
    )
    assert Summary(lossless).verdict == "Nothing was lost: all of the evidence (1 unit) reached the prompt."
    assert Summary(lossless).worst == ()


def test_few_queries_claim_no_share(losing: Diagnosis, losing_few: Diagnosis) -> None:
    assert any("no share is claimed" in note for note in Summary(losing_few).notes)
    assert not any("no share is claimed" in note for note in Summary(losing).notes)


def test_queries_of_each_kind_are_counted_apart(losing: Diagnosis) -> None:
    assert Summary(losing).queries == (
        "29 queries: 27 assessed, 1 unassessed (no evidence given), 1 unanswerable"
    )


def test_rescues_ties_and_doubtful_intervals_are_told(losing: Diagnosis) -> None:
    notes = " ".join(Summary(losing).notes)
    assert "Rescue is what" in notes
    assert "0.111 in all" in notes
    tied = losing.failures.loc[losing.failures["tied"], "query_id"].nunique()
    assert tied > 1
    assert f"Tied: in {tied} queries a lost unit scores as much as rank 2" in notes
    assert "understate" in notes  # all of the evidence stands in one document
    quiet = " ".join(Summary(losing.select(["packer-0"])).notes)
    assert "Rescue" not in quiet
    assert "Tied" not in quiet
    assert "Approximate" not in quiet


def test_what_is_not_proven_to_be_the_best_is_told(losing: Diagnosis) -> None:
    exact = np.ones_like(losing.ledger.exact)
    exact[:2, 3] = False
    doubtful = replace(losing, ledger=replace(losing.ledger, exact=exact))
    assert any("not proven to be the best at 'best k' in 2 queries" in n for n in Summary(doubtful).notes)


def test_a_lower_bar_for_delivered_is_told(losing: Diagnosis) -> None:
    assert any("covered to 0.5, recall is" in n for n in Summary(replace(losing, min_coverage=0.5)).notes)


def test_the_axis_shows_small_losses_and_begins_below_all(losing: Diagnosis, lossless: Diagnosis) -> None:
    assert Summary(lossless).axis_start == 0
    assert Summary(losing).axis_start == 0  # recall is below a half
    mild = losing.select([q.id for q in losing.queries if q.text in ("delivered", "capacity")])
    assert Summary(mild).axis_start == 0.5
    assert min(step.after for step in Summary(mild).steps) > 0.5


def test_failures_are_worst_first(losing: Diagnosis) -> None:
    coverage = [failure.coverage for failure in Summary(losing).failures]
    assert coverage == sorted(coverage)
    assert len(coverage) == len(losing.failures)


def test_meanings_fit_the_pipeline(losing: Diagnosis, lossless: Diagnosis) -> None:
    assert "within 75 tokens" in describe_stage("capacity", losing.trace)
    assert "tokens" not in describe_stage("capacity", lossless.trace)
    assert "exact search" in describe_stage("retriever", losing.trace)
    assert "exact search" not in describe_stage("retriever", lossless.trace)
    assert list(Summary(lossless).meanings) == ["ingest", "capacity"]


def test_every_measure_is_described(diagnose_text: Callable[..., Diagnosis]) -> None:
    measures = diagnose_text("x").measures["measure"]
    assert any(spec.endswith("t") for spec in measures)
    descriptions = [describe_measure(spec) for spec in measures]
    assert len(set(descriptions)) == len(descriptions)
    assert describe_measure("Recall@1024t") == (
        "share of the evidence in the best chunks that fit into 1,024 tokens"
    )
    assert (
        describe_measure("Hit(min_coverage=0.8)@1")
        == "queries with at least one unit complete in the first chunk"
    )


def test_rankings_that_a_pipeline_lacks_have_no_column(
    lossless: Diagnosis, losing: Diagnosis, diagnose_text: Callable[..., Diagnosis]
) -> None:
    assert list(Summary(lossless).rank_columns.values()) == ["retrieved"]
    assert list(Summary(losing).rank_columns.values()) == ["exact", "retrieved", "reranked"]
    assert list(Summary(diagnose_text("x")).rank_columns.values()) == ["exact", "retrieved"]
    reranked = diagnose_text("x", reranker=TableReranker({}), candidates=2)
    assert "reranked" in Summary(reranked).rank_columns.values()


@pytest.mark.parametrize(
    "plugs", [set(plugs) for size in range(4) for plugs in combinations(_OPTIONAL, size)]
)
def test_every_face_fits_a_pipeline_without_some_stages(plugs: set[str]) -> None:
    """Run again for real, with Shapley values; what a pipeline lacks is nowhere to be seen."""
    text = "The sky is blue.\nGrass is green.\nRoses are red, and so is this line of text.\nSnow is white."
    document = Document("d", text)
    queries = [
        Query("lost", "white", [Evidence.of(Span("d", 25, 60)), Evidence.of(Span.find(document, "white"))]),
        Query("kept", "blue", [Evidence.of(Span.find(document, "blue"))]),
    ]
    pipeline = Pipeline(
        chunker=RecursiveChunker(size=20),
        embedder=_OPTIONAL["embedder"] if "embedder" in plugs else None,
        retriever=ExactRetriever() if "embedder" in plugs else BM25Retriever(),
        reranker=_OPTIONAL["reranker"] if "reranker" in plugs else None,
        packer=_OPTIONAL["packer"] if "packer" in plugs else None,
        candidates=3,
        top_k=2,
    )
    diagnosis = diagnose(pipeline, [document], queries, shapley=True)
    assert diagnosis.counts["lost units"]
    assert diagnosis.effort is not None
    faces = [str(diagnosis), diagnosis._repr_html_(), diagnosis.to_markdown(), repr(diagnosis.to_dict())]
    for query in queries:
        explanation = diagnosis.explain(query.id)
        faces += [str(explanation), explanation._repr_html_()]
        assert all(len(line) <= 100 for line in str(explanation).split("\n"))
        for unit in explanation.units:
            proof = Story(explanation).proof(unit)
            tried = {stage for trial in proof.verdict.trials for stage in trial.ideal} if proof else set()
            assert tried <= {"chunker", "retriever", *plugs}
    assert all(faces)
    for absent in _OPTIONAL.keys() - plugs:
        assert f"the {absent}" not in Summary(diagnosis).flow
        assert absent not in [step.stage for step in Summary(diagnosis).precision.steps]
