"""All five stages are broken at once: the repairs of every lost unit are exactly those that ablation finds.

The faults are such that to make a stage ideal for a unit and to take its fault away are the same. For every
set of faults the pipeline is run without them; the smallest sets that bring a unit back, at no expense of
another unit of its query, are what the verdict must list.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import combinations

import pytest
from faults.broken_stages import Marked
from faults.laboratory import (
    Laboratory,
    Unit,
    brought_back,
    delivered,
    describe,
    examine,
    laboratory,
    verdicts,
)
from faults.planted import broken_by

from ragdiag.stages.protocols import STAGES

Repairs = tuple[tuple[str, ...], ...]


def subsets(stages: tuple[str, ...]) -> list[tuple[str, ...]]:
    """All sets of stages but the empty one, smallest first."""
    return [some for size in range(1, len(stages) + 1) for some in combinations(stages, size)]


def repairs_by_ablation(healthy: Laboratory, marked: Mapping[str, Marked]) -> dict[Unit, Repairs]:
    stages = tuple(marked)
    as_it_is = delivered(broken_by(stages, healthy, marked))
    back = {
        repaired: brought_back(
            as_it_is, delivered(broken_by(tuple(s for s in stages if s not in repaired), healthy, marked))
        )
        for repaired in subsets(stages)
    }
    found: dict[Unit, Repairs] = {}
    for unit in healthy.units - as_it_is:
        minimal: list[tuple[str, ...]] = []
        for some in subsets(stages):
            if unit in back[some] and not any(set(smaller) < set(some) for smaller in minimal):
                minimal.append(some)
        found[unit] = tuple(minimal)
    return found


@pytest.mark.parametrize(
    ("bench", "limits", "seed"),
    [
        ("full", {}, 0),
        ("full", {"candidates": 4, "top_k": 2}, 1),
        ("vectors", {}, 4),
        ("text", {}, 5),
    ],
    ids=["every stage", "tight limits", "vectors", "text"],
)
def test_the_repairs_are_those_of_ablation(bench: str, limits: dict[str, int], seed: int) -> None:
    healthy = laboratory(bench, seed).using(**limits)
    assert delivered(healthy) == healthy.units
    stages = tuple(stage for stage in STAGES if stage in {*healthy.pipeline.plugs, "packer"})
    marked = {stage: healthy.some_keys(0.45, 10 * seed + i) for i, stage in enumerate(stages)}
    expected = repairs_by_ablation(healthy, marked)
    sizes = Counter(len(repairs[0]) for repairs in expected.values())
    assert set(sizes) >= {1, 2, 3}, "faults alone, and faults that mask each other"

    found = verdicts(examine(broken_by(stages, healthy, marked)))
    wrong = {
        unit: (expected[unit], describe(found[unit]))
        for unit in sorted(expected)
        if found[unit].repairs != expected[unit]
        or found[unit].stage != expected[unit][0][0]
        or found[unit].proof != ("verified" if len(expected[unit][0]) == 1 else "joint")
    }
    assert found.keys() == expected.keys()
    assert wrong == {}
