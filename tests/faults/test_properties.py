"""What holds for every diagnosis with verdicts, whatever is broken."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations, permutations

import numpy as np
import pandas as pd
import pytest
from faults.broken_stages import (
    CuttingChunker,
    DemotingReranker,
    DroppingPacker,
    ForgetfulRetriever,
    NoisyEmbedder,
)
from faults.laboratory import delivered, describe, examine, laboratory, verdicts
from faults.planted import JOINT
from hypothesis import given
from random_cases import Case, cases

from ragdiag import Diagnosis
from ragdiag.diagnosis.verdicts import Verdict
from ragdiag.stages.protocols import STAGES

pytestmark = pytest.mark.filterwarnings("ignore:.*hold no text:ragdiag.errors.RagdiagWarning")


@given(cases())
def test_the_tables_add_up(case: Case) -> None:
    diagnosis = case.diagnose(verify=True)
    check_that_losses_less_rescues_are_what_recall_lacks(diagnosis)
    check_that_weighted_failures_are_what_hard_recall_lacks(diagnosis)


def check_that_losses_less_rescues_are_what_recall_lacks(diagnosis: Diagnosis) -> None:
    for table, recall in (
        (diagnosis.losses, diagnosis.recall),
        (diagnosis.hard_losses, diagnosis.hard_recall),
    ):
        assert (table[["loss", "rescue"]] >= -1e-12).all(axis=None)
        assert (table["loss"] - table["rescue"]).sum() == pytest.approx(1 - recall, abs=1e-9)


def check_that_weighted_failures_are_what_hard_recall_lacks(diagnosis: Diagnosis) -> None:
    units = {query.id: len(query.evidence) for query in diagnosis.assessed}
    failures = diagnosis.failures
    weights = 1 / (failures["query_id"].map(units).astype(float) * len(diagnosis.assessed))
    assert weights.sum() == pytest.approx(1 - diagnosis.hard_recall, abs=1e-9)
    by_stage = weights.groupby(failures["stage"]).sum()
    hard = diagnosis.hard_losses
    rescued = hard["rescue"].sum()
    over = hard["loss"].sub(by_stage, fill_value=0)
    assert (over >= -1e-9).all(), "no stage has more failures than hard losses"
    assert over.sum() == pytest.approx(rescued, abs=1e-9), "the rest was rescued later"


@given(cases())
def test_verdicts_keep_their_own_rules(case: Case) -> None:
    diagnosis = case.diagnose(verify=True)
    for unit, verdict in enumerate(diagnosis.verdicts):
        assert (verdict is not None) == (unit in diagnosis.ledger.lost)
        if verdict is not None:
            check_the_rules(verdict, diagnosis.ledger.label(unit), tuple(case.pipeline.plugs))


def check_the_rules(verdict: Verdict, label: str | None, stages: tuple[str, ...]) -> None:
    said = describe(verdict)
    assert verdict.observed == label, said
    assert verdict.reason, said
    repairs = verdict.repairs
    assert all(tuple(s for s in STAGES if s in repair) == repair for repair in repairs), said
    assert all(set(repair) <= set(stages) for repair in repairs), said
    assert list(repairs) == sorted(repairs, key=lambda r: (len(r), [STAGES.index(s) for s in r])), said
    for one, other in combinations(repairs, 2):
        assert not set(one) <= set(other), "minimal sets only"
        assert not set(other) <= set(one)
    recovered = {trial.ideal for trial in verdict.trials if trial.recovered}
    assert set(repairs) <= recovered, "each repair was tried and brought the unit back"
    for trial in verdict.trials:
        assert (trial.coverage is None) <= (trial.outcome == "void"), said
        assert bool(trial.note) or trial.outcome in ("recovered", "lost"), said
    singletons = [repair for repair in repairs if len(repair) == 1]
    if verdict.proof == "verified":
        if verdict.stage in ("ingest", "capacity"):
            assert verdict.stage == label, said
            assert repairs == (), said
        else:
            assert (verdict.stage,) in repairs, said
            assert verdict.stage in (label, "chunker", "embedder"), said
    elif verdict.proof == "joint":
        assert not singletons, said
        smallest = [repair for repair in repairs if len(repair) == len(repairs[0])]
        charged = [repair for repair in smallest if repair[0] == verdict.stage]
        assert charged, said
        if "chunker" in repairs[0]:
            assert verdict.stage == "chunker", said
        else:  # a set with the label, where there is one
            assert any(label in r for r in charged) or not any(label in r for r in smallest), said
        assert verdict.cause == "masked", said
        assert len(repairs[0]) >= 2
    else:
        assert verdict.stage == label, "only a proof moves a loss"
        assert (verdict.stage,) not in repairs or verdict.cause == "oversize", said
    if verdict.proof == "unreproducible":
        assert repairs == (), said


@given(cases())
def test_the_same_case_twice_gets_the_same_verdicts(case: Case) -> None:
    once, again = case.diagnose(verify=True), case.diagnose(verify=True)
    assert once.verdicts == again.verdicts
    pd.testing.assert_frame_equal(once.failures, again.failures)


# Shapley values


def value_of_each_subset(verdict: Verdict, stages: tuple[str, ...]) -> dict[frozenset[str], float]:
    """1 for the sets of stages that bring the unit back; a stage with nothing to mend changes nothing."""
    tried = {frozenset(t.ideal): t.recovered for t in verdict.trials if not t.variant and t.ideal}
    able = frozenset().union(*tried)
    values = {frozenset[str](): 0.0}
    for size in range(1, len(stages) + 1):
        for some in map(frozenset, combinations(stages, size)):
            mended = some & able
            values[some] = float(bool(mended) and tried[mended])
    return values


def shapley_by_permutations(
    values: Mapping[frozenset[str], float], stages: tuple[str, ...]
) -> dict[str, float]:
    shares = dict.fromkeys(stages, 0.0)
    orders = list(permutations(stages))
    for order in orders:
        for position, stage in enumerate(order):
            before = frozenset(order[:position])
            shares[stage] += (values[before | {stage}] - values[before]) / len(orders)
    return shares


def check_shapley_values(diagnosis: Diagnosis, stages: tuple[str, ...]) -> int:
    checked = 0
    for verdict in diagnosis.verdicts:
        if verdict is None or verdict.proof in ("observed", "unreproducible"):
            continue
        if verdict.shapley is None:
            assert verdict.stage in ("ingest", "capacity"), describe(verdict)
            continue
        values = value_of_each_subset(verdict, stages)
        wanted = shapley_by_permutations(values, stages)
        got = {stage: verdict.shapley.get(stage, 0.0) for stage in stages}
        assert set(verdict.shapley) <= set(stages)
        assert got == pytest.approx(wanted, abs=1e-9), describe(verdict)
        assert sum(got.values()) == pytest.approx(values[frozenset(stages)], abs=1e-9)
        checked += 1
    return checked


@pytest.mark.parametrize("pair", [*combinations(STAGES, 2)], ids="-".join)
def test_shapley_values_equal_brute_force_over_all_orders(pair: tuple[str, str]) -> None:
    healthy = laboratory("full", 9)
    broken = healthy
    for number, stage in enumerate(pair):
        broken = JOINT[stage][0](broken, healthy.some_keys(0.4, number))
    diagnosis = examine(broken, shapley=True)
    assert check_shapley_values(diagnosis, STAGES) == len(healthy.units - delivered(broken)) >= 10
    masked = [v for v in verdicts(diagnosis).values() if v.proof == "joint"]
    assert masked
    for verdict in masked:
        assert verdict.shapley is not None
        assert verdict.shapley == pytest.approx(
            {stage: 0.5 if stage in pair else 0.0 for stage in verdict.shapley}
        ), "both are needed, so each bears half"


@given(cases())
def test_shapley_values_of_random_pipelines(case: Case) -> None:
    diagnosis, stages = case.diagnose(verify=True, shapley=True), tuple(case.pipeline.plugs)
    check_shapley_values(diagnosis, stages)
    for unit, verdict in enumerate(diagnosis.verdicts):
        if verdict is not None:
            check_the_rules(verdict, diagnosis.ledger.label(unit), stages)


def test_shapley_values_stand_beside_and_change_nothing_else() -> None:
    healthy = laboratory("full", 9)
    broken = healthy.using(
        chunker=CuttingChunker(healthy.some_keys(0.3, 1)),
        embedder=NoisyEmbedder(marked=healthy.some_keys(0.3, 2)),
        retriever=ForgetfulRetriever(healthy.pipeline.retriever, healthy.some_keys(0.3, 3)),
        reranker=DemotingReranker(healthy.some_keys(0.3, 4)),
        packer=DroppingPacker(healthy.some_keys(0.3, 5)),
    )
    plain, beside = verdicts(examine(broken)), verdicts(examine(broken, shapley=True))
    assert all(verdict.shapley is None for verdict in plain.values())
    assert plain.keys() == beside.keys()
    for unit, verdict in plain.items():
        other = beside[unit]
        assert (verdict.stage, verdict.cause, verdict.proof) == (other.stage, other.cause, other.proof)
        assert set(verdict.repairs) <= set(other.repairs)
        assert other.shapley is not None
        assert np.isfinite(list(other.shapley.values())).all()
