"""The dictionary holds the tables, in plain values, the same every time."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pandas as pd
import pytest
from plugs import LineChunker

from ragdiag import Diagnosis, Evidence, ExactRetriever, HashingEmbedder, Pipeline, Query, TopK, diagnose
from ragdiag.diagnosis.verdicts import Effort
from ragdiag.records import Document, Span


def test_it_is_strict_json_and_reads_back(losing: Diagnosis) -> None:
    report = losing.to_dict()
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert report["format"] == "ragdiag-report"
    assert report["version"] == 3
    assert "by" not in report


def test_it_holds_the_tables(losing: Diagnosis) -> None:
    report: Any = losing.to_dict()
    for name in ("losses", "hard_losses", "ceilings"):
        table = getattr(losing, name)
        read = pd.DataFrame(report[name]).set_index(table.index.name)
        pd.testing.assert_frame_equal(read, table, check_dtype=False)
    pd.testing.assert_frame_equal(pd.DataFrame(report["measures"]), losing.measures, check_dtype=False)
    failures = pd.DataFrame(report["failures"]).astype(losing.failures.dtypes.to_dict())
    failures["repairs"] = failures["repairs"].map(lambda repairs: tuple(map(tuple, repairs)))
    pd.testing.assert_frame_equal(failures, losing.failures)
    assert report["counts"] == dict(losing.counts)
    assert report["recall"]["value"] == pytest.approx(losing.recall)
    assert report["hard_recall"] == losing.hard_recall
    assert report["pipeline"]["stages"] == dict(losing.trace.stages)
    assert (report["pipeline"]["candidates"], report["pipeline"]["top_k"]) == (3, 2)


def test_missing_ranks_are_none(losing: Diagnosis) -> None:
    report: Any = losing.to_dict()
    by_stage = {row["stage"]: row for row in report["failures"]}
    assert by_stage["chunker"]["rank_exact"] is None
    assert by_stage["reranker"]["rank_reranked"] == 3
    assert isinstance(by_stage["reranker"]["tied"], bool)


def test_two_runs_give_the_same_dictionary() -> None:
    document = Document("faq", "Returns are free.\nRefunds take five days.")
    query = Query("q1", "How long?", [Evidence.of(Span.find(document, "five days"))])

    def run() -> dict[str, object]:
        pipeline = Pipeline(
            chunker=LineChunker(), embedder=HashingEmbedder(16), retriever=ExactRetriever(), packer=TopK(1)
        )
        return diagnose(pipeline, [document], [query], latency_queries=1).to_dict()

    assert run() == run()


def test_it_holds_the_verdicts(judged: Diagnosis, losing: Diagnosis) -> None:
    report: Any = judged.to_dict()
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    pd.testing.assert_frame_equal(pd.DataFrame(report["proofs"]).set_index("stage"), judged.proofs)
    causes = {row["code"]: row for row in report["causes"]}
    assert (causes["chunker.split"]["main"], causes["chunker.split"]["sureness"]) == (3, "")
    assert report["checks"] == []
    assert report["effort"] == asdict(Effort(1, 12_345, 67, 2, 20_000, 3))
    rows = {(row["query_id"], row["unit"]): row for row in report["failures"]}
    row = rows["capacity-0", 0]
    assert (row["stage"], row["observed"], row["cause"], row["proof"]) == (
        "chunker", "capacity", "split", "verified"
    )  # fmt: skip
    assert row["repairs"] == [["chunker"], ["retriever"]]
    assert [row["stage"] for row in report["shapley"]] == judged.shapley.index.tolist()
    quiet: Any = losing.to_dict()
    assert quiet["effort"] is None
    assert quiet["shapley"] is None


def test_its_keys_are_stable(losing: Diagnosis) -> None:
    assert list(losing.to_dict()) == [
        "format",
        "version",
        "pipeline",
        "counts",
        "min_coverage",
        "recall",
        "hard_recall",
        "losses",
        "hard_losses",
        "ceilings",
        "proofs",
        "causes",
        "checks",
        "effort",
        "noise",
        "precision_flow",
        "token_share",
        "shapley",
        "measures",
        "failures",
    ]
