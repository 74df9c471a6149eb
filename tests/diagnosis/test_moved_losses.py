"""A unit that a verdict moves takes its loss along, and the sums stay."""

from __future__ import annotations

import numpy as np
import pytest

from ragdiag.diagnosis.ledger import LOSS_STAGES, Checkpoint, Ledger


def ledger_of(soft: list[float], hard: list[float]) -> Ledger:
    """One query of one unit; the checkpoint after each stage."""
    checkpoints = (Checkpoint("everything", None), *(Checkpoint(stage, stage) for stage in LOSS_STAGES))
    return Ledger(
        checkpoints,
        ("q",),
        np.array([0]),
        np.array([soft]),
        np.array([hard]),
        np.ones((1, 8), dtype=np.bool_),
    )


@pytest.mark.parametrize(
    ("soft", "hard", "expected"),
    [
        ([1, 1, 1, 1, 0.5, 0.5, 0, 0], [1, 1, 1, 1, 0, 0, 0, 0], {"chunker": 1.0}),
        ([1, 1, 1, 1, 0, 0.6, 0, 0], [1, 1, 1, 1, 0, 0, 0, 0], {"chunker": 1.0}),
        (
            [1, 1, 1, 1, 0, 1, 0, 0],
            [1, 1, 1, 1, 0, 1, 0, 0],
            {"chunker": 1.0, "embedder": 1.0, "retriever": -1.0},
        ),
    ],
)
def test_it_takes_along_what_it_lost_from_its_label_on(
    soft: list[float], hard: list[float], expected: dict[str, float]
) -> None:
    """What was lost and regained before the label stays where it was seen."""
    ledger = ledger_of(soft, hard)
    [steps] = ledger.steps("soft", moved={0: "chunker"})
    assert {s: v for s, v in zip(ledger.stages, steps.tolist(), strict=True) if v} == pytest.approx(expected)
    assert steps.sum() == pytest.approx(1 - soft[-1])
