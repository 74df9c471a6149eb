"""The table of a comparison: all that was measured of each chunker, under names that stay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ragdiag.diagnosis.usual_measures import BUDGETS
from ragdiag.experiments.chunking.prices import Prices
from ragdiag.experiments.sweep import CEILING, CUT, ChunkFacts, Sweep, Timings

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["chunker_table"]

_MAY_BE_MISSING = {"index_tokens": "Int64", "index_bytes": "Int64"}


def chunker_table(
    sweep: Sweep, measure: str, names: Sequence[str], standing: dict[str, str], prices: Prices | None
) -> pd.DataFrame:
    """A row for each of ``names``, in that order; see `ChunkerComparison.table`."""
    import pandas as pd

    rows = [
        {"standing": standing[name], **_quality(sweep, name, measure), **_cost(sweep, name, prices)}
        for name in names
    ]
    table = pd.DataFrame(rows, index=pd.Index(names, name="chunker"))
    return table.astype(_MAY_BE_MISSING)


def _quality(sweep: Sweep, name: str, measure: str) -> dict[str, Any]:
    measured = sweep[name]
    judged, recall = sweep.estimate(name, measure), sweep.estimate(name, "Recall")
    row: dict[str, Any] = {
        "value": judged.value,
        "low": judged.low,
        "high": judged.high,
        "recall": recall.value,
        "recall_low": recall.low,
        "recall_high": recall.high,
        "ceiling": float(measured[CEILING].mean()),
    }
    row |= {
        f"recall_{budget}t": float(measured[spec].mean())
        for budget in BUDGETS
        if (spec := f"Recall@{budget}t") in measured.measures
    }
    row |= {
        column: float(measured[spec].mean())
        for column, spec in {
            "context_precision": "CP",
            "precision": "Precision",
            "iou": "IoU",
            "omega": "Omega",
            "cut": CUT,
        }.items()
    }
    return row | {f"loss_{stage}": loss for stage, loss in sweep.losses[name].items()}


def _cost(sweep: Sweep, name: str, prices: Prices | None) -> dict[str, Any]:
    measured = sweep[name]
    tokens = measured.context_tokens
    row = {
        **_chunks(measured.chunks),
        "context_tokens": None if tokens is None else float(tokens.mean()),
        **_times(sweep.timings.get(name)),
    }
    if prices is not None and prices.embedding is not None:
        row["index_cost"] = prices.to_index(measured)
    if prices is not None and (prices.context is not None or prices.reranking is not None):
        row["cost_per_1000"] = prices.to_ask(measured)
    return row


def _chunks(facts: ChunkFacts) -> dict[str, Any]:
    return {
        "chunks": facts.chunks,
        "size_unit": facts.unit,
        "size_min": facts.shortest,
        "size_q1": facts.lower,
        "size_median": facts.median,
        "size_q3": facts.upper,
        "size_max": facts.longest,
        "over_limit": facts.over_limit,
        "duplicates": facts.duplicates,
        "dropped": facts.dropped,
        "index_tokens": facts.tokens,
        "index_bytes": facts.index_bytes,
    }


def _times(timings: Timings | None) -> dict[str, Any]:
    if timings is None:
        return dict.fromkeys(("index_seconds", "latency_p50_ms", "latency_p95_ms"))
    return {
        "index_seconds": timings.seconds_to_index,
        "latency_p50_ms": timings.percentile(50),
        "latency_p95_ms": timings.percentile(95),
    }
