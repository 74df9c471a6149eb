"""Several stages are broken at once, so that no single repair brings the evidence back: all are named."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest
from faults.broken_stages import CuttingChunker, LossyRetriever, PartitionedRetriever
from faults.laboratory import brought_back, delivered, describe, examine, laboratory, verdicts
from faults.planted import JOINT, MARKING, broken_by

from ragdiag.stages.protocols import STAGES

PAIRS = [
    (first, one, second, other, seed)
    for seed, (first, second) in enumerate(combinations(STAGES, 2), start=1)
    for one in range(len(JOINT[first]))
    for other in range(len(JOINT[second]))
]


@pytest.mark.parametrize(
    ("first", "one", "second", "other", "seed"), PAIRS, ids=[f"{a}{i}-{b}{j}" for a, i, b, j, _ in PAIRS]
)
def test_two_faults_that_mask_each_other_are_both_named(
    first: str, one: int, second: str, other: int, seed: int
) -> None:
    healthy = laboratory("full", seed)
    assert delivered(healthy) == healthy.units
    hit = healthy.some_keys(0.6, seed), healthy.some_keys(0.6, seed + 100)
    only_first = JOINT[first][one](healthy, hit[0])
    only_second = JOINT[second][other](healthy, hit[1])
    both = JOINT[second][other](only_first, hit[1])
    without_first, without_second, with_both = map(delivered, (only_second, only_first, both))
    lost = healthy.units - with_both
    by_first, by_second = brought_back(with_both, without_first), brought_back(with_both, without_second)
    masked = lost - without_first - without_second
    assert len(masked) >= 5

    found = verdicts(examine(both))
    assert found.keys() == lost
    wrong = {
        unit: describe(found[unit])
        for unit in sorted(masked)
        if (found[unit].stage, found[unit].proof, found[unit].cause, found[unit].repairs)
        != (first, "joint", "masked", ((first, second),))
    }
    assert wrong == {}
    for stage, casualties in ((first, by_first - by_second), (second, by_second - by_first)):
        wrong = {
            unit: describe(found[unit])
            for unit in sorted(casualties)
            if found[unit].stage != stage
            or found[unit].proof != "verified"
            or (stage,) not in found[unit].repairs
        }
        assert wrong == {}


@pytest.mark.parametrize("stages", [*combinations(STAGES, 3), *combinations(STAGES, 4), STAGES], ids="-".join)
def test_more_than_two_faults_are_all_named(stages: tuple[str, ...]) -> None:
    healthy = laboratory("full", 7)
    marked = dict.fromkeys(stages, healthy.some_keys(0.2, 7))
    broken = broken_by(stages, healthy, marked)
    masked = healthy.units - delivered(broken)
    for some in combinations(stages, len(stages) - 1):
        masked -= delivered(broken_by(some, healthy, marked))
    assert len(masked) >= 5, "with any one of the faults left they are lost"

    found = verdicts(examine(broken))
    wrong = {
        unit: describe(found[unit])
        for unit in sorted(masked)
        if (found[unit].stage, found[unit].proof, found[unit].repairs) != (stages[0], "joint", (stages,))
    }
    assert wrong == {}


@pytest.mark.parametrize("retriever", [LossyRetriever, PartitionedRetriever])
def test_an_index_that_loses_chunks_by_their_ids_is_not_mended_by_an_ideal_embedder(retriever: Any) -> None:
    """The best vector is of no use to a chunk that was never indexed, or lies where no one looks."""
    healthy = laboratory("full", 1)
    only_embedder = MARKING["embedder"](healthy, healthy.some_keys(0.6, 1))
    only_retriever = healthy.using(retriever=retriever(healthy.pipeline.retriever))
    both = only_embedder.using(retriever=only_retriever.pipeline.retriever)
    masked = healthy.units - delivered(both) - delivered(only_embedder) - delivered(only_retriever)
    assert len(masked) >= 5
    found = verdicts(examine(both))
    wrong = {
        unit: describe(found[unit])
        for unit in sorted(masked)
        if (found[unit].stage, found[unit].proof, found[unit].repairs)
        != ("embedder", "joint", (("embedder", "retriever"),))
    }
    assert wrong == {}


@pytest.mark.parametrize("second", ["retriever", "reranker", "packer"])
def test_a_cut_that_another_fault_masks_is_named_with_it(second: str) -> None:
    """An ideal embedder finds both halves of a cut line as well, so that there may be two ways to mend it."""
    healthy = laboratory("full", 8)
    marked = healthy.some_keys(0.4, 8)
    only_cut = healthy.using(chunker=CuttingChunker(marked))
    only_second = MARKING[second](healthy, marked)
    both = MARKING[second](only_cut, marked)
    masked = healthy.units - delivered(both) - delivered(only_cut) - delivered(only_second)
    assert len(masked) >= 5

    found = verdicts(examine(both))
    wrong = {
        unit: describe(found[unit])
        for unit in sorted(masked)
        if (found[unit].stage, found[unit].proof) != ("chunker", "joint")
        or found[unit].repairs[0] != ("chunker", second)
        or not set(found[unit].repairs[1:]) <= {("embedder", second)}
    }
    assert wrong == {}
