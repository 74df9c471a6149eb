"""What the re-runs ask of the plugs: each thing once, never more than allowed, nothing if not asked for."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from faults.broken_stages import CuttingChunker, DemotingReranker, DroppingChunker, NoisyEmbedder
from faults.laboratory import Laboratory, describe, examine, laboratory, recorded, verdicts

from ragdiag import FaissRetriever


def with_masked_faults() -> Laboratory:
    """Faults that mask each other, so that many subsets of stages have to be tried."""
    healthy = laboratory("full", 1)
    return healthy.using(
        chunker=DroppingChunker(healthy.some_keys(0.3, 1)),
        embedder=NoisyEmbedder(marked=healthy.some_keys(0.3, 2)),
        reranker=DemotingReranker(healthy.some_keys(0.6, 3)),
    )


def with_cut_lines() -> Laboratory:
    healthy = laboratory("full", 2)
    return healthy.using(chunker=CuttingChunker(healthy.some_keys(0.5, 2)))


def with_moving_clusters() -> Laboratory:
    return with_cut_lines().using(retriever=FaissRetriever("IVF4,Flat"))


BROKEN = [with_masked_faults, with_cut_lines, with_moving_clusters]


def calls_of_the_plain_run(broken: Laboratory) -> int:
    counted, calls = recorded(broken)
    counted.pipeline.run(counted.documents, counted.queries, progress=False)
    return calls.total


@pytest.mark.parametrize("make", BROKEN)
def test_each_text_is_embedded_once_and_each_pair_scored_once(make: Callable[[], Laboratory]) -> None:
    """Beside the run itself and its reproduction, which may ask once more for what the run asked."""
    broken = make()
    plain, in_plain = recorded(broken)
    plain.pipeline.run(plain.documents, plain.queries, progress=False)
    counted, calls = recorded(broken)
    diagnosis = examine(counted)
    assert len(verdicts(diagnosis)) >= 10
    for asked, before in zip(calls.counts, in_plain.counts, strict=True):
        assert set(before.values()) == {1}
        too_often = {what: times for what, times in asked.items() if times > 1 + before[what]}
        assert too_often == {}
    effort = diagnosis.effort
    assert effort is not None
    assert effort.texts + effort.pairs == calls.total - in_plain.total
    assert effort.unproven == 0
    assert effort.limit is None


@pytest.mark.parametrize("make", BROKEN)
def test_without_verification_nothing_is_asked_twice(make: Callable[[], Laboratory]) -> None:
    broken = make()
    counted, calls = recorded(broken)
    diagnosis = examine(counted, verify=False)
    assert calls.total == calls_of_the_plain_run(broken)
    assert {v.proof for v in verdicts(diagnosis).values()} == {"observed"}
    assert diagnosis.effort is None


@pytest.mark.parametrize("make", BROKEN)
@pytest.mark.parametrize("limit", [0, 1, 10, 60, 250, 1000, 10_000])
def test_never_more_is_asked_than_allowed(make: Callable[[], Laboratory], limit: int) -> None:
    broken = make()
    counted, calls = recorded(broken)
    diagnosis = examine(counted, max_extra_calls=limit)
    extra = calls.total - calls_of_the_plain_run(broken)
    effort = diagnosis.effort
    assert effort is not None
    assert extra <= limit
    assert effort.texts + effort.pairs == extra
    assert effort.limit == limit
    found = verdicts(diagnosis)
    unproven = {unit: describe(v) for unit, v in found.items() if v.proof == "observed"}
    assert effort.unproven == len(unproven)
    silent = {u: d for u, d in unproven.items() if not re.search("max_extra_calls|calls", found[u].reason)}
    assert silent == {}
    if limit == 0:
        assert len(unproven) == len(found), "the reproduction needs calls as well"
    if limit == 10_000:
        assert not unproven
    assert all(v.stage == v.observed for v in found.values() if v.proof == "observed")


@pytest.mark.parametrize("make", BROKEN)
def test_a_limit_that_is_just_enough_proves_everything(make: Callable[[], Laboratory]) -> None:
    broken = make()
    free = examine(broken)
    assert free.effort is not None
    limited = examine(broken, max_extra_calls=free.effort.texts + free.effort.pairs)
    assert limited.effort is not None
    assert limited.effort.unproven == 0
    assert limited.verdicts == free.verdicts


def test_what_is_proven_within_a_limit_is_what_is_proven_without_one() -> None:
    broken = with_masked_faults()
    free = verdicts(examine(broken))
    proven = []
    for limit in (250, 500, 1000):
        found = verdicts(examine(broken, max_extra_calls=limit))
        different = {
            unit: (describe(verdict), describe(free[unit]))
            for unit, verdict in found.items()
            if verdict.proof != "observed"
            and (verdict.stage, verdict.proof) != (free[unit].stage, free[unit].proof)
        }
        assert different == {}
        proven.append(sum(verdict.proof != "observed" for verdict in found.values()))
    assert proven == sorted(proven), "more calls prove no less"
