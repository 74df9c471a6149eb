"""One thing is broken in a pipeline that is healthy without it: each loss is proven to be its doing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from faults.laboratory import Unit, delivered, describe, examine, laboratory, verdicts
from faults.planted import SINGLE, Fault

from ragdiag.diagnosis.verdicts import Verdict

# Three corpora where every stage is there, one where some are missing.
SEEDS = {"full": (0, 1, 2), "paragraphs": (0, 1, 3), "vectors": (4,), "text": (5,), "bare": (6,)}
CASES = [(fault, bench, seed) for fault in SINGLE for bench in fault.benches for seed in SEEDS[bench]]


@pytest.mark.parametrize(
    ("fault", "bench", "seed"), CASES, ids=[f"{fault}-{bench}-{seed}" for fault, bench, seed in CASES]
)
def test_every_casualty_is_proven_to_be_the_planted_fault(fault: Fault, bench: str, seed: int) -> None:
    healthy = laboratory(bench, seed, at_most=fault.at_most)
    assert delivered(healthy) == healthy.units, "without the fault everything is delivered"
    marked = healthy.some_keys(0.3, seed)
    broken = fault.plant(healthy, marked)
    casualties = healthy.units - delivered(broken)
    assert len(casualties) >= 3, "the fault is one"
    if fault.keyed:
        assert {healthy.facts[unit].key for unit in casualties} <= marked

    diagnosis = examine(broken)
    found = verdicts(diagnosis)
    assert found.keys() == casualties
    assert wrong(found, lambda v: v.stage == fault.stage) == {}
    assert wrong(found, lambda v: v.proof == "verified") == {}
    assert wrong(found, lambda v: (fault.stage,) in v.repairs) == {}
    if fault.alone:
        assert wrong(found, lambda v: v.repairs == ((fault.stage,),)) == {}
    assert wrong(found, lambda v: bool(v.reason)) == {}
    if fault.cause:
        assert wrong(found, lambda v: v.cause == fault.cause) == {}

    hard = diagnosis.hard_losses
    assert hard.loc[fault.stage, "loss"] == pytest.approx(1 - diagnosis.hard_recall, abs=1e-9)
    assert hard["loss"].drop(fault.stage).max() <= 1e-9, "healthy stages lose nothing"
    assert hard["rescue"].max() <= 1e-9
    soft = diagnosis.losses
    if fault.whole:
        assert soft["loss"].drop(fault.stage).max() <= 1e-9
    assert (soft["loss"] - soft["rescue"]).sum() == pytest.approx(1 - diagnosis.recall, abs=1e-9)


def wrong(found: dict[Unit, Verdict], is_right: Callable[[Verdict], bool]) -> dict[Unit, str]:
    return {unit: describe(verdict) for unit, verdict in sorted(found.items()) if not is_right(verdict)}
