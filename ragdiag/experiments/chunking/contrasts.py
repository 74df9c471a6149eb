"""Each chunker against the best one: in the measure, and in what each stage loses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ragdiag.diagnosis.ledger import LOSS_STAGES
from ragdiag.experiments.sweep import Sweep
from ragdiag.measures.multiple import holm
from ragdiag.measures.paired import FEWEST_QUERIES, Difference, paired_difference

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SHOWN", "stage_differences", "stages_of"]

SHOWN = 0.05
"""Up to which adjusted p a difference counts as shown."""

_ROUNDING = 1e-9  # steps of the ledger are differences: what is nearer to 0 is 0

_Values = NDArray[np.float64]


def stages_of(sweep: Sweep) -> list[str]:
    """The stages that any chunker's losses are charged to, in the order of the flow."""
    return [stage for stage in LOSS_STAGES if any(stage in one.losses for one in sweep.values())]


def stage_differences(sweep: Sweep, best: str, others: Sequence[str]) -> pd.DataFrame:
    """What each stage loses with each of ``others``, less what it loses with ``best``.

    See `ChunkerComparison.stages`.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for name in others:
        for stage in stages_of(sweep):
            difference, scale = _difference(sweep, _losses(sweep, best, stage), _losses(sweep, name, stage))
            rows.append(
                {
                    "chunker": name,
                    "stage": stage,
                    "difference": scale * difference.value,
                    "low": scale * difference.low,
                    "high": scale * difference.high,
                    "p": difference.p,
                    "changed": difference.changed,
                }
            )
    table = pd.DataFrame(rows)
    # What loses the same with both cannot be told from chance, and counts for no test (Tarone, 1990).
    tested = table.pop("changed") > 0
    table["p_holm"] = 1.0
    table.loc[tested, "p_holm"] = holm(table.loc[tested, "p"].to_numpy())
    table["shown"] = (table["p_holm"] <= SHOWN) & (len(sweep.queries) >= FEWEST_QUERIES)
    return table


def _losses(sweep: Sweep, name: str, stage: str) -> _Values:
    """What a stage loses, less what it rescues, by query; 0 where a pipeline lacks the stage."""
    losses = sweep[name].losses
    return losses[stage] if stage in losses else np.zeros(len(sweep.queries))


def _difference(sweep: Sweep, of_best: _Values, of_other: _Values) -> tuple[Difference, int]:
    """The paired difference of losses, and what its numbers are to be multiplied by.

    Losses lie in [0, 1], which is where values are compared. Where a stage also rescues they lie in [-1, 1]
    and are squeezed.
    """
    pair = (of_best, of_other)
    scale = 1 if min(values.min() for values in pair) > -_ROUNDING else 2
    squeezed = (values if scale == 1 else (values + 1) / 2 for values in pair)
    return paired_difference(*squeezed, clusters=sweep.clusters), scale
