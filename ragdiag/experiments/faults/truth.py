"""Who is to blame for a lost unit: by potential outcomes, not by opinion.

The same case is run healthy, with all faults, and with every set of them. Of a unit that the healthy
pipeline delivers and the broken one loses, the *minimal fixes* are the smallest sets of faults that need to
be taken away for it to be delivered again. One fault alone in one fix: it is to blame. Several fixes of one
fault each: either is enough (the faults lose it jointly, none alone). A fix of several faults: each of them
loses it by itself (it is over-determined), and all must be mended.

That a unit is delivered is measured as everywhere: by its coverage. What a diagnosis *says* is not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, TypeAlias

import numpy as np

from ragdiag.diagnosis.evidence import EvidenceMap
from ragdiag.experiments.faults.fault import Case, Planted, Unit, plant

__all__ = ["Fate", "Truth", "delivered_by", "delivered_units", "find_truth"]

Fate: TypeAlias = Literal["only", "joint", "overdetermined", "mixed"]


@dataclass(frozen=True, slots=True)
class Truth:
    """What is true of one unit that the faults lose.

    Attributes:
        fate: ``only``: one fault loses it, and mending it is the one fix; ``joint``: it takes several faults
            to lose it, and mending either is enough; ``overdetermined``: each of several faults loses it, and
            all must be mended; ``mixed``: of three faults or more, some of both.
        fixes: every minimal set of faults, by name, without which it is delivered.
        stages: the same sets as the stages to blame.
    """

    fate: Fate
    fixes: tuple[frozenset[str], ...]
    stages: tuple[frozenset[str], ...]


def delivered_units(case: Case) -> frozenset[Unit]:
    """The units that a case delivers, whole: as a diagnosis counts them."""
    trace = case.pipeline.run(case.documents, case.queries, progress=False)
    evidence_map = EvidenceMap(case.documents, case.originals, trace.chunks, case.queries)
    delivered: set[Unit] = set()
    for query in case.queries:
        evidence = evidence_map.of(query, trace[query.id].context)
        coverage = evidence.coverage(evidence.context)
        delivered.update((query.id, number) for number in np.flatnonzero(coverage >= 1).tolist())
    return frozenset(delivered)


def delivered_by(planted: Planted) -> frozenset[Unit]:
    """The units that a case delivers with its faults."""
    return delivered_units(planted.case)


def find_truth(
    planted: Planted, *, delivered: Callable[[Planted], frozenset[Unit]] = delivered_by
) -> Mapping[Unit, Truth]:
    """What is true of each unit that the healthy case delivers and the broken one loses.

    Args:
        planted: the broken case.
        delivered: runs a case with some of the faults, or none, and says what it delivers; it is asked for
            each of the 2^faults sets once. One of your own may remember what it ran before.
    """
    names = [fault.name for fault in planted.faults]
    stage_of = {fault.name: fault.stage for fault in planted.faults}
    outcomes = {}
    for size in range(len(names) + 1):
        for left in combinations(planted.faults, size):
            some = plant(planted.healthy, left, seed=planted.seed)
            outcomes[frozenset(fault.name for fault in left)] = delivered(some)
    everything = frozenset(names)
    truths: dict[Unit, Truth] = {}
    for unit in sorted(outcomes[frozenset()] - outcomes[everything]):
        fixes: list[frozenset[str]] = []
        for size in range(1, len(names) + 1):
            for mended in map(frozenset, combinations(names, size)):
                if unit in outcomes[everything - mended] and not any(fix < mended for fix in fixes):
                    fixes.append(mended)
        stages = tuple(dict.fromkeys(frozenset(stage_of[name] for name in fix) for fix in fixes))
        truths[unit] = Truth(_fate(fixes), tuple(fixes), stages)
    return truths


def _fate(fixes: list[frozenset[str]]) -> Fate:
    sizes = {len(fix) for fix in fixes}
    if sizes == {1}:
        return "only" if len(fixes) == 1 else "joint"
    return "overdetermined" if len(fixes) == 1 else "mixed"
