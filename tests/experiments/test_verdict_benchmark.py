"""A small part of the benchmark of verdicts: planted faults, a real corpus, a real model, the truth known."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from verdict_cases import healthy_case
from verdict_report import OURS, names_the_set, said, scores
from verdict_rules import RULES
from verdict_trials import Outcomes, run_trial
from verdicts import TEN, TRIPLES, trials

from ragdiag import StaticEmbedder
from ragdiag.experiments.faults import FAULTS, Case

SEED = 5  # not one of the benchmark's
SINGLES = (
    "dropped_documents",
    "split_evidence",
    "last_chunk_dropped",
    "noise",
    "missing_upserts",
    "stale_vectors",
    "wrong_filter",
    "reranker_inverted",
    "phantom_boost",
    "small_budget",
    "first_dropped",
)
LEAST = {"small_budget": 0.75}  # short chunks still fit: there another choice of the packer would have done
PAIRS = (
    ("split_evidence", "missing_upserts"),
    ("noise", "reranker_inverted"),
    ("stale_vectors", "first_dropped"),
)


@cache
def healthy() -> Case:
    return healthy_case("handbook", StaticEmbedder(), seed=SEED, most=60)


@cache
def outcomes() -> Outcomes:
    return Outcomes()


@cache
def trial(*names: str) -> dict[str, Any]:
    record = run_trial(healthy(), names, seed=SEED, outcomes=outcomes())
    assert "skipped" not in record, record
    return {"corpus": "handbook", "seed": SEED, **record}


@pytest.mark.parametrize("name", SINGLES)
def test_a_fault_alone_is_laid_to_its_stage(name: str) -> None:
    record = trial(name)
    stage = FAULTS[name].stage
    assert record["lost"] == record["lost_in_truth"] >= 3
    units = [unit for unit in record["records"] if not unit["unidentifiable"]]
    right = [unit for unit in units if said(unit, OURS) == stage]
    assert len(right) >= LEAST.get(name, 0.9) * len(units), [u for u in units if u not in right]


@pytest.mark.parametrize("names", PAIRS, ids="+".join)
def test_two_faults_that_mask_each_other_are_named_as_planted(names: tuple[str, ...]) -> None:
    units = trial(*names)["records"]
    masked = [unit for unit in units if unit["fate"] == "overdetermined"]
    assert len(masked) >= 3
    named = [unit for unit in masked if names_the_set(unit)]
    assert len(named) >= 0.8 * len(masked), [unit for unit in masked if unit not in named]


@pytest.mark.parametrize("name", ["nothing", "reordered_documents", "reordered_context"])
def test_nothing_is_blamed_where_nothing_was_planted(name: str) -> None:
    record = trial(name)
    assert (record["lost"], record["records"]) == (0, [])
    assert sum(record["hard_losses"].values()) == 0


def test_the_figures_add_up_and_verification_buys_something() -> None:
    found = scores([*(trial(name) for name in SINGLES), *(trial(*names) for names in PAIRS)])
    assert found["macro"][OURS] >= 0.95
    assert all(found["macro"][OURS] >= found["macro"][rule] for rule in RULES)
    assert found["additivity_error"] < 1e-9
    assert found["severity"]["correlation"] > 0.95
    assert sum(sum(row.values()) for row in found["confusion"].values()) == sum(
        of["units"] for of in found["by_stage"].values()
    )


def test_the_benchmark_plants_every_fault_and_all_pairs_across_stages() -> None:
    planned = trials()
    assert {names[0] for names in planned if len(names) == 1} == set(FAULTS)
    pairs = [names for names in planned if len(names) == 2]
    stages = {FAULTS[name].stage for name in TEN}
    assert stages == {"chunker", "embedder", "retriever", "reranker", "packer"}
    assert len(pairs) == len(set(pairs)) == 40
    assert all(FAULTS[a].stage != FAULTS[b].stage for a, b in pairs)
    assert set(TRIPLES) <= set(planned)
