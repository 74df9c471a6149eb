"""A comparison of chunkers as plain values for JSON: versioned, and in the order of its tables."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from ragdiag.experiments.chunking.result import ChunkerComparison
from ragdiag.report.chunking import ChunkingStory
from ragdiag.report.values import rows_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FORMAT", "VERSION", "chunkers_dict"]

FORMAT = "ragdiag-chunkers"
VERSION = 1


def chunkers_dict(comparison: ChunkerComparison) -> dict[str, object]:
    """The tables as lists of rows, with missing values as None.

    Keys: ``format``, ``version``, ``measure``, ``min_effect``, ``prices`` (None where there are none),
    ``headline``, ``standing``, ``pipelines`` (by name: ``stages``, ``candidates``, ``top_k``), ``table``,
    ``differences`` and ``stages`` (each chunker against the best), ``unkept``.
    """
    sweep, standing = comparison.sweep, comparison.standing()
    return {
        "format": FORMAT,
        "version": VERSION,
        "measure": comparison.measure,
        "min_effect": comparison.min_effect,
        "prices": None if comparison.prices is None else asdict(comparison.prices),
        "headline": ChunkingStory(comparison).headline,
        "standing": {name: _listed(value) for name, value in asdict(standing).items()},
        "pipelines": {
            name: {"stages": dict(one.stages), "candidates": one.candidates, "top_k": one.top_k}
            for name, one in sweep.items()
        },
        "table": _rows(comparison.table.reset_index()),
        "differences": _rows(comparison.differences.reset_index()),
        "stages": _rows(comparison.stages),
        "unkept": {name: list(stages) for name, stages in sweep.unkept.items()},
    }


def _listed(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _rows(table: pd.DataFrame) -> list[dict[str, object]]:
    return rows_of(table.astype(object).where(table.notna(), None))
