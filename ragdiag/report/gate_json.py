"""A gate's result as plain values for JSON; the same one gives the same values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragdiag.experiments.gate.result import GateResult
from ragdiag.report.values import rows_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["gate_dict"]

FORMAT, VERSION = "ragdiag-gate", 1


def gate_dict(result: GateResult) -> dict[str, object]:
    """The verdict and the tables of a gate as lists of rows, with missing values as None.

    Keys: ``format``, ``version``, ``verdict``, ``exit_code``, ``confidence``, ``min_effect``, ``queries``
    (how many judged), ``baseline`` (None, or ``made_by``, ``pipeline``, ``candidates`` and ``top_k``),
    ``judgements``, ``stages`` and ``flips``.
    """
    baseline = result.baseline
    return {
        "format": FORMAT,
        "version": VERSION,
        "verdict": result.verdict,
        "exit_code": result.exit_code,
        "confidence": result.confidence,
        "min_effect": result.min_effect,
        "queries": len(result.diagnosis.assessed),
        "baseline": None
        if baseline is None
        else {
            "made_by": dict(baseline.made_by),
            "pipeline": dict(baseline.pipeline),
            "candidates": baseline.candidates,
            "top_k": baseline.top_k,
        },
        "judgements": _rows(result.table),
        "stages": _rows(result.stages.reset_index()),
        "flips": _rows(result.flips),
    }


def _rows(table: pd.DataFrame) -> list[dict[str, object]]:
    """The rows of a table in which NaN stands for what is not there."""
    return rows_of(table.astype(object).where(table.notna(), None))
