"""The span measures that a diagnosis shows without being asked for any."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragdiag.measures.overlap import parse_measure

if TYPE_CHECKING:
    import pandas as pd

    from ragdiag.diagnosis.result import Diagnosis

__all__ = ["BUDGETS", "measure_table", "usual_specs"]

BUDGETS = (512, 1024, 2048, 4096)
"""The token budgets at which recall is shown."""


def measure_table(diagnosis: Diagnosis) -> pd.DataFrame:
    """The usual measures with their intervals; see `Diagnosis.measures`."""
    import pandas as pd

    rows = []
    for spec in usual_specs(diagnosis):
        measure = parse_measure(spec)
        estimate = diagnosis.measure(measure)
        rows.append((repr(measure), estimate.value, estimate.low, estimate.high, estimate.n))
    return pd.DataFrame(rows, columns=["measure", "value", "low", "high", "n"])


def usual_specs(diagnosis: Diagnosis) -> list[str]:
    """The specs of the measures that a diagnosis shows."""
    trace = diagnosis.trace
    delivered = "" if diagnosis.min_coverage == 1 else f"(min_coverage={diagnosis.min_coverage})"
    budgets = [] if trace.chunk_tokens is None else BUDGETS
    return [
        "Recall",
        *(f"{name}{delivered}" for name in ("All", "Hit", "MRR")),
        "CP",
        "Precision",
        "IoU",
        *(f"Recall@{cut}" for cut in sorted({1, trace.top_k, trace.candidates})),
        *(f"Recall@{budget}t" for budget in budgets),
        "Omega",
    ]
