"""What a comparison of chunkers says in numbers: its table, its differences, and what quality costs."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from hand_made_sweeps import FACTS, TIMINGS, comparison_of, measured, rows_by_name, shares
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from ragdiag import ConfigError, DataError
from ragdiag.experiments.chunking import ChunkerComparison, Prices
from ragdiag.measures.paired import paired_difference
from ragdiag.measures.statistics import interval

N = 60
GOOD, FAIR, POOR = shares(N, 0.9, seed=1), shares(N, 0.85, seed=1), shares(N, 0.4, seed=1)


@pytest.fixture(scope="module")
def comparison() -> ChunkerComparison:
    """Three chunkers: one far worse than the others, because its chunks and its embedder lose more."""
    dropped = np.where(np.arange(N) < 12, 1 - np.array(POOR), 0.0)
    return comparison_of(
        {
            "poor": measured(POOR, losses={"chunker": dropped}, context_tokens=100.0),
            "fair": measured(FAIR, context_tokens=400.0),
            "good": measured(GOOD, context_tokens=500.0, chunks=replace(FACTS, tokens=3_000_000)),
        },
        timings={"poor": TIMINGS, "fair": TIMINGS, "good": replace(TIMINGS, embedder=4.0)},
        prices=Prices(embedding=0.5, context=2.0, reranking=10.0),
    )


COLUMNS = [
    "standing", "value", "low", "high", "recall", "recall_low", "recall_high", "ceiling",
    "recall_512t", "recall_1024t", "recall_2048t", "recall_4096t",
    "context_precision", "precision", "iou", "omega", "cut",
    "loss_ingest", "loss_chunker", "loss_capacity", "loss_embedder",
    "chunks", "size_unit", "size_min", "size_q1", "size_median", "size_q3", "size_max",
    "over_limit", "duplicates", "dropped", "index_tokens", "index_bytes",
    "context_tokens", "index_seconds", "latency_p50_ms", "latency_p95_ms",
]  # fmt: skip


# The table


def test_the_table_has_its_columns_and_the_best_first(comparison: ChunkerComparison) -> None:
    table = comparison.table
    assert [*table.columns] == [*COLUMNS, "index_cost", "cost_per_1000"]
    assert table.index.name == "chunker"
    assert [*table.index] == ["good", "fair", "poor"]
    assert table["standing"].to_dict() == {"good": "tie", "fair": "tie", "poor": "worse"}
    assert comparison.best == "good"


def test_the_numbers_are_those_of_the_queries(comparison: ChunkerComparison) -> None:
    table = rows_by_name(comparison.table)
    for name, values in {"good": GOOD, "fair": FAIR, "poor": POOR}.items():
        row, estimate = table[name], interval(values, clusters=comparison.sweep.clusters)
        assert row["value"] == row["recall"] == row["recall_512t"] == pytest.approx(np.mean(values))
        assert (row["low"], row["high"]) == (estimate.low, estimate.high)
        assert (row["recall_low"], row["recall_high"]) == (estimate.low, estimate.high)
        losses = [value for column, value in row.items() if column.startswith("loss_")]
        assert sum(losses) == pytest.approx(1 - row["recall"])
    assert table["poor"]["loss_chunker"] == pytest.approx(sum(1 - value for value in POOR[:12]) / N)
    good = table["good"]
    assert good["index_seconds"] == 4.75
    assert good["latency_p50_ms"] == 10.5
    assert good["latency_p95_ms"] == pytest.approx(19.05)
    assert good["context_tokens"] == 500
    sizes = [good[f"size_{name}"] for name in ("min", "q1", "median", "q3", "max")]
    assert sizes == [3, 20, 35.5, 50, 1200]


def test_money_is_what_the_prices_say(comparison: ChunkerComparison) -> None:
    table = comparison.table
    assert table["index_cost"].to_dict() == {"good": 1.5, "fair": 1.0, "poor": 1.0}
    # 1,000 questions of 500 tokens are half a million; nothing is reranked.
    assert table["cost_per_1000"].to_dict() == pytest.approx({"good": 1.0, "fair": 0.8, "poor": 0.2})
    reranked = replace(measured(GOOD), stages={"chunker": "C()", "reranker": "R()"})
    few = replace(reranked, chunks=replace(FACTS, chunks=4))
    prices = Prices(reranking=2.0)
    found = comparison_of({"many": reranked, "few": few}, prices=prices).table
    assert found["cost_per_1000"].to_dict() == {"many": 20.0, "few": 8.0}
    assert "index_cost" not in found
    assert "cost_per_1000" not in comparison_of({"a": few, "b": few}, prices=Prices(embedding=1)).table
    assert not {"index_cost", "cost_per_1000"} & {*comparison_of({"a": few, "b": few}).table}


def test_what_is_not_known_is_missing() -> None:
    facts = replace(FACTS, unit="characters", over_limit=None, tokens=None, index_bytes=None)
    blind = measured(GOOD, context_tokens=None, chunks=facts)
    found = comparison_of(
        {"a": blind, "b": blind}, measure="Recall", prices=Prices(embedding=1, context=1)
    ).table
    missing = found.columns[found.isna().all()]
    assert [*missing] == [
        "over_limit", "index_tokens", "index_bytes", "context_tokens", "index_seconds", "latency_p50_ms",
        "latency_p95_ms", "index_cost", "cost_per_1000",
    ]  # fmt: skip
    assert not [column for column in found if re.fullmatch(r"recall_\d+t", str(column))]


@pytest.mark.parametrize(
    ("prices", "message"),
    [
        ({}, "at least one of embedding, context, reranking"),
        ({"context": -1}, "context must be a number of at least 0, got -1"),
        ({"embedding": float("nan")}, "embedding must be a number of at least 0, got nan"),
        ({"embedding": float("inf")}, "embedding must be a number of at least 0, got inf"),
        ({"reranking": True}, "reranking must be a number of at least 0, got True"),
        ({"reranking": "2"}, "reranking must be a number of at least 0, got '2'"),
    ],
)
def test_prices_are_numbers(prices: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        Prices(**prices)


# Differences


def test_differences_are_from_the_best(comparison: ChunkerComparison) -> None:
    table = comparison.differences
    assert [*table.index] == ["fair", "poor"]
    assert table["worse"].to_dict() == {"fair": False, "poor": True}
    rows = rows_by_name(table)
    poor, fair = rows["poor"], rows["fair"]
    assert poor["difference"] == poor["recall"] == pytest.approx(np.mean(POOR) - np.mean(GOOD))
    assert poor["low"] < poor["difference"] < poor["high"] < 0
    assert poor["p_adjusted"] < 0.01 < fair["p_adjusted"]
    assert fair["low"] < 0 < fair["high"]


def test_another_measure_has_another_standing(comparison: ChunkerComparison) -> None:
    better = measured(POOR, at_budget=GOOD)
    found = comparison_of({"a": better, "b": measured(GOOD, at_budget=POOR)})
    assert found.standing() is found.standing()
    assert found.best == found.standing().order[0] == "a"
    assert found.standing("recall").order == ("b", "a")
    with pytest.raises(ConfigError, match="Recall@7 was not measured"):
        comparison.standing("Recall@7")


def test_stages_sum_to_the_difference_in_recall(comparison: ChunkerComparison) -> None:
    stages = comparison.stages
    assert [*stages.columns] == ["chunker", "stage", "difference", "low", "high", "p", "p_holm", "shown"]
    assert stages["stage"].tolist() == ["ingest", "chunker", "capacity", "embedder"] * 2
    sums = stages.groupby("chunker")["difference"].sum()
    assert sums.to_dict() == pytest.approx((-comparison.differences["recall"]).to_dict())
    poor = stages[stages["chunker"] == "poor"].set_index("stage")
    assert poor["shown"].to_dict() == {
        "ingest": False, "chunker": True, "capacity": False, "embedder": True,
    }  # fmt: skip


def test_the_correction_is_for_all_that_could_be_shown(comparison: ChunkerComparison) -> None:
    stages = comparison.stages
    tested = stages[(stages["difference"] != 0) | (stages["p"] < 1)]
    assert 0 < len(tested) < len(stages)
    assert tested["p_holm"].tolist() == pytest.approx(multipletests(tested["p"], method="holm")[1].tolist())
    assert (stages.drop(tested.index)["p_holm"] == 1).all()


def test_rescues_are_differences_like_losses() -> None:
    """What is lost by both less one everywhere differs as much: the same interval and the same p."""
    rng = np.random.default_rng(3)
    a, b = rng.random((2, 40)).round(3)
    lost = comparison_of({"a": measured(1 - a), "b": measured(1 - b)}, measure="Recall")
    found = rows_by_name(lost.stages.set_index("stage"))["embedder"]
    capacity = np.ones(40)
    rescued = comparison_of(
        {
            "a": measured(1 - a, losses={"capacity": capacity}),
            "b": measured(1 - b, losses={"capacity": capacity}),
        },
        measure="Recall",
    )
    moved = rows_by_name(rescued.stages.set_index("stage"))["embedder"]
    assert moved["low"] < moved["difference"] < moved["high"]
    for name in ("difference", "low", "high", "p"):
        assert moved[name] == pytest.approx(found[name])
    best, other = (a, b) if lost.best == "a" else (b, a)
    assert found["p"] == paired_difference(best, other).p


def test_a_stage_that_only_one_pipeline_has_counts_as_nothing_in_the_other() -> None:
    half = np.full(40, 0.5)
    with_packer = measured(half, losses={"packer": half})
    stages = comparison_of({"plain": measured(np.ones(40)), "packed": with_packer}).stages
    assert stages.set_index("stage")["difference"].to_dict() == pytest.approx(
        {"ingest": 0, "chunker": 0, "capacity": 0, "embedder": 0, "packer": 0.5}
    )


def test_under_twenty_queries_nothing_is_shown() -> None:
    few = comparison_of({"a": measured(np.ones(19)), "b": measured(np.zeros(19))})
    assert few.table["standing"].tolist() == ["", ""]
    assert not few.stages["shown"].any()
    enough = comparison_of({"a": measured(np.ones(20)), "b": measured(np.zeros(20))})
    assert enough.table["standing"].tolist() == ["winner", "worse"]
    assert enough.stages["shown"].any()


# Quality and cost


@settings(max_examples=15)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=7),
)
def test_what_is_efficient_is_beaten_by_none(points: list[tuple[int, int]]) -> None:
    chunkers = {
        f"c{i}": measured([quality / 4] * 3, context_tokens=float(cost))
        for i, (quality, cost) in enumerate(points)
    }
    found = comparison_of(chunkers).pareto()
    assert found["cost"].is_monotonic_increasing
    for name, row in rows_by_name(found).items():
        quality, cost = points[int(name[1:])]
        assert row["value"] == quality / 4
        assert row["cost"] == cost
        beaten = any(q >= quality and c <= cost and (q, c) != (quality, cost) for q, c in points)
        assert row["efficient"] == (not beaten)


def test_every_cost_is_a_column_of_the_table(comparison: ChunkerComparison) -> None:
    columns = {
        "tokens": "context_tokens",
        "latency": "latency_p50_ms",
        "money": "cost_per_1000",
        "index_tokens": "index_tokens",
        "index_money": "index_cost",
        "index_bytes": "index_bytes",
    }
    for cost, column in columns.items():
        found = comparison.pareto(cost, measure="Recall@512t")
        assert found["cost"].to_dict() == comparison.table[column].astype(float).to_dict()
    good = rows_by_name(found)["good"]
    assert good["low"] < good["value"] < good["high"]


def test_a_cost_that_is_not_known_says_why(comparison: ChunkerComparison) -> None:
    with pytest.raises(ConfigError, match=r"cost must be one of tokens, latency, money,.* got 'dollars'"):
        comparison.pareto("dollars")
    with pytest.raises(ConfigError, match="is not known"):
        comparison.pareto("tokens", measure="nDCG@5")
    plain = comparison_of({"a": measured(GOOD), "b": measured(GOOD, context_tokens=None)}, measure="Recall")
    for cost, message in {
        "tokens": "nothing in the pipeline counts tokens",
        "latency": "latency was not measured",
        "money": "give prices for context or reranking",
        "index_money": "give a price for embedding",
    }.items():
        with pytest.raises(DataError, match=f"cost='{cost}' is not known of every chunker: {message}"):
            plain.pareto(cost)
