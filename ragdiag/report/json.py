"""A diagnosis and a comparison as plain values for JSON: the tables, without vectors, traces and timings.

The same one gives the same values. Shares are floats as computed, not rounded.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from ragdiag.report.precision import Precision
from ragdiag.report.summary import Summary
from ragdiag.report.values import rows_of

if TYPE_CHECKING:
    import pandas as pd

    from ragdiag.diagnosis.compare import Comparison
    from ragdiag.diagnosis.result import Diagnosis
    from ragdiag.trace import Trace

__all__ = [
    "COMPARISON_FORMAT",
    "COMPARISON_VERSION",
    "FORMAT",
    "VERSION",
    "comparison_dict",
    "diagnosis_dict",
]

FORMAT = "ragdiag-report"
COMPARISON_FORMAT = "ragdiag-comparison"
VERSION, COMPARISON_VERSION = 3, 1


def diagnosis_dict(diagnosis: Diagnosis) -> dict[str, object]:
    """The tables of ``diagnosis`` as lists of rows, with missing values as None.

    Keys: ``format``, ``version``, ``pipeline`` (``stages``, ``candidates``, ``top_k``, ``budget``),
    ``counts``, ``min_coverage``, ``recall`` (with its interval), ``hard_recall``, ``losses``,
    ``hard_losses``, ``ceilings``, ``proofs`` (lost units by stage and proof), ``causes`` (what went wrong
    and what to do about it), ``checks`` (what became of each check for a cause), ``effort`` (None where
    nothing was run again), ``noise``, ``precision_flow``, ``token_share``,
    ``shapley`` (None where it was not asked for), ``measures``, ``failures`` (in the order of the queries).
    """
    blame = Precision(diagnosis).shared_blame
    return {
        "format": FORMAT,
        "version": VERSION,
        "pipeline": _pipeline(diagnosis.trace),
        "counts": dict(diagnosis.counts),
        "min_coverage": diagnosis.min_coverage,
        "recall": asdict(Summary(diagnosis).recall),
        "hard_recall": diagnosis.hard_recall,
        "losses": rows_of(diagnosis.losses.reset_index()),
        "hard_losses": rows_of(diagnosis.hard_losses.reset_index()),
        "ceilings": rows_of(diagnosis.ceilings.reset_index()),
        "proofs": rows_of(diagnosis.proofs.reset_index()),
        "causes": rows_of(diagnosis.causes.reset_index()),
        "checks": rows_of(diagnosis.check_table.reset_index()),
        "effort": None if diagnosis.effort is None else asdict(diagnosis.effort),
        "noise": rows_of(diagnosis.noise.reset_index()),
        "precision_flow": rows_of(diagnosis.precision_flow.reset_index()),
        "token_share": rows_of(diagnosis.token_share.reset_index()),
        "shapley": [asdict(row) for row in blame] or None,
        "measures": rows_of(diagnosis.measures),
        "failures": [
            {
                **row,
                "repairs": [list(stages) for stages in row["repairs"]],
                "findings": list(row["findings"]),
            }
            for row in rows_of(diagnosis.failures)
        ],
    }


def comparison_dict(comparison: Comparison) -> dict[str, object]:
    """The tables of ``comparison`` as lists of rows, with missing values as None.

    Keys: ``format``, ``version``, ``names``, ``pipelines`` (as in `diagnosis_dict`, one each), ``counts``,
    ``min_coverage``, ``recall`` and ``hard_recall`` (with all that is known of their differences),
    ``losses``, ``hard_losses``, ``measures``, ``queries``, ``flips``, and ``transitions`` (a row for each
    fate in the first, with the number of units by their fate in the second).
    """
    recalls = {"recall": comparison.recall, "hard_recall": comparison.hard_recall}
    return {
        "format": COMPARISON_FORMAT,
        "version": COMPARISON_VERSION,
        "names": list(comparison.names),
        "pipelines": [_pipeline(diagnosis.trace) for diagnosis in (comparison.a, comparison.b)],
        "counts": dict(comparison.counts),
        "min_coverage": comparison.a.min_coverage,
        **{name: {**asdict(recall), "shown": recall.shown} for name, recall in recalls.items()},
        "losses": _rows_with_gaps(comparison.losses.reset_index()),
        "hard_losses": _rows_with_gaps(comparison.hard_losses.reset_index()),
        "measures": rows_of(comparison.measures),
        "queries": rows_of(comparison.queries),
        "flips": rows_of(comparison.flips),
        "transitions": rows_of(comparison.transitions.reset_index()),
    }


def _pipeline(trace: Trace) -> dict[str, object]:
    return {
        "stages": dict(trace.stages),
        "candidates": trace.candidates,
        "top_k": trace.top_k,
        "budget": trace.budget,
    }


def _rows_with_gaps(table: pd.DataFrame) -> list[dict[str, object]]:
    """The rows of a table in which NaN stands for what is not there."""
    return rows_of(table.astype(object).where(table.notna(), None))
