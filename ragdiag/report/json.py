"""A diagnosis as plain values for JSON: the tables, without vectors, traces and timings.

The same diagnosis gives the same values. Shares are floats as computed, not rounded.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from ragdiag.report.summary import Summary, optional

if TYPE_CHECKING:
    import pandas as pd

    from ragdiag.diagnosis.result import Diagnosis

__all__ = ["FORMAT", "VERSION", "diagnosis_dict"]

FORMAT = "ragdiag-report"
VERSION = 1


def diagnosis_dict(diagnosis: Diagnosis) -> dict[str, object]:
    """The tables of ``diagnosis`` as lists of rows, with missing values as None.

    Keys: ``format``, ``version``, ``pipeline`` (``stages``, ``candidates``, ``top_k``, ``budget``),
    ``counts``, ``min_coverage``, ``recall`` (with its interval), ``hard_recall``, ``losses``,
    ``hard_losses``, ``ceilings``, ``measures``, ``failures`` (in the order of the queries).
    """
    trace = diagnosis.trace
    return {
        "format": FORMAT,
        "version": VERSION,
        "pipeline": {
            "stages": dict(trace.stages),
            "candidates": trace.candidates,
            "top_k": trace.top_k,
            "budget": trace.budget,
        },
        "counts": dict(diagnosis.counts),
        "min_coverage": diagnosis.min_coverage,
        "recall": asdict(Summary(diagnosis).recall),
        "hard_recall": diagnosis.hard_recall,
        "losses": _rows(diagnosis.losses.reset_index()),
        "hard_losses": _rows(diagnosis.hard_losses.reset_index()),
        "ceilings": _rows(diagnosis.ceilings.reset_index()),
        "measures": _rows(diagnosis.measures),
        "failures": _rows(diagnosis.failures),
    }


def _rows(table: pd.DataFrame) -> list[dict[str, object]]:
    return [{str(name): optional(value) for name, value in row.items()} for row in table.to_dict("records")]
