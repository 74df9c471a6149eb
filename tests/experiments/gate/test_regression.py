"""Against a baseline: what may not get worse, at which stage it did, and which units flipped."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gated import Fates, diagnosed, fates
from scipy.stats import binomtest

from ragdiag import Diagnosis, compare
from ragdiag.experiments.gate import Baseline, GateResult, Judgement, gate


def changed(found: Fates, into: str, *names: str) -> dict[str, str]:
    return {name: into if name in names else fate for name, fate in found.items()}


def held(before: Diagnosis, now: Diagnosis, *bars: str, **options: Any) -> GateResult:
    return gate(now, *bars, baseline=Baseline.of(before), **options)


def recall_of(result: GateResult) -> Judgement:
    [judgement] = [j for j in result.judgements if (j.against, j.quantity) == ("baseline", "Recall")]
    return judgement


RELEASE = fates(50, 10)
FIRST = [f"q{i:03}" for i in range(50)]


@pytest.fixture(scope="module")
def release() -> Diagnosis:
    return diagnosed(RELEASE)


def test_a_release_that_changed_nothing_passes(release: Diagnosis) -> None:
    for effect in (0.0, 0.001, 0.1):
        result = held(release, release, min_effect=effect)
        assert (result.verdict, recall_of(result).value) == ("pass", 0)
    assert result.flips.empty
    assert not result.stages["worse"].any()
    assert (result.stages["difference"] == 0).all()


def test_a_drop_is_failed_and_its_stage_is_named(release: Diagnosis) -> None:
    worse = diagnosed(changed(RELEASE, "retriever", *FIRST[:12]))
    result = held(release, worse)
    assert result.verdict == "fail"
    judgement = recall_of(result)
    assert (judgement.before, judgement.now) == pytest.approx((50 / 60, 38 / 60))
    assert judgement.value == pytest.approx(-0.2)
    assert judgement.low < -0.2 < judgement.high < 0
    assert result.stages.index[result.stages["worse"]].tolist() == ["retriever"]
    assert result.flips["query_id"].tolist() == FIRST[:12]
    assert set(result.flips["change"]) == {"lost"}
    assert set(result.flips["before"]) == {"delivered"}
    assert set(result.flips["now"]) == {"retriever"}


def test_a_drop_within_min_effect_passes(release: Diagnosis) -> None:
    worse = diagnosed(changed(RELEASE, "retriever", *FIRST[:3]))
    strict, cautious, generous = (held(release, worse, min_effect=effect) for effect in (0.0, 0.06, 0.2))
    assert recall_of(generous).verdict == "pass"
    assert recall_of(generous).limit == -0.2
    assert recall_of(generous).check == "Recall at most 0.2 below the baseline"
    assert recall_of(cautious).verdict == "cannot tell"
    needed = recall_of(cautious).needed
    assert needed is not None
    assert needed > 60
    assert recall_of(strict).check == "Recall no worse than the baseline"
    assert recall_of(strict).verdict != "pass"


def test_ups_and_downs_are_no_worse_only_up_to_a_drop(release: Diagnosis) -> None:
    """Two lost, two regained: the mean is the same, and no number of queries shows that it is no lower."""
    mixed = diagnosed(changed(changed(RELEASE, "reranker", *FIRST[:2]), "delivered", "q050", "q051"))
    judgement = recall_of(held(release, mixed))
    assert (judgement.verdict, judgement.value, judgement.needed) == ("cannot tell", 0, None)
    assert recall_of(held(release, mixed, min_effect=0.15)).verdict == "pass"


def test_better_passes_without_any_allowance(release: Diagnosis) -> None:
    better = diagnosed(
        changed(changed(RELEASE, "delivered", *(f"q{i:03}" for i in range(50, 60))), "reranker", "q000")
    )
    judgement = recall_of(held(release, better))
    assert judgement.verdict == "pass"
    assert judgement.low > 0
    assert recall_of(held(better, release)).verdict == "fail"


def test_every_bar_is_held_against_the_baseline(release: Diagnosis) -> None:
    worse = diagnosed(changed(RELEASE, "retriever", *FIRST[:12]))
    result = held(
        release, worse, "recall >= 0.1", "all >= 0.1", "loss[retriever] <= 0.9", "loss[reranker] <= 0.9"
    )
    against = [(j.quantity, j.verdict) for j in result.judgements if j.against == "baseline"]
    assert against == [
        ("Recall", "fail"),
        ("All", "fail"),
        ("loss[retriever]", "fail"),
        ("loss[reranker]", "pass"),
    ]
    loss = result.judgements[-2]
    assert (loss.before, loss.now, loss.value) == pytest.approx((0, 0.2, 0.2))
    assert loss.low > 0
    assert loss.limit == 0
    allowed = held(release, worse, "loss[retriever] <= 0.9", min_effect=0.5).judgements[-1]
    assert allowed.check == "loss[retriever] at most 0.5 above the baseline"
    assert (allowed.verdict, allowed.limit) == ("pass", 0.5)


def test_tokens_and_latency_have_no_baseline() -> None:
    diagnosis = diagnosed(RELEASE, budget=99)
    result = held(diagnosis, diagnosis, "tokens <= 50")
    assert [(j.against, j.quantity) for j in result.judgements] == [("bar", "tokens"), ("baseline", "Recall")]


def test_under_twenty_queries_nothing_is_claimed() -> None:
    small = diagnosed(fates(19))
    judgement = recall_of(held(small, small))
    assert (judgement.verdict, judgement.needed) == ("cannot tell", 20)
    result = held(small, diagnosed(fates(0, 19)))
    assert recall_of(result).verdict == "cannot tell"
    assert not result.stages["worse"].any()


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_nothing_is_claimed_that_an_exact_test_does_not_show(release: Diagnosis, confidence: float) -> None:
    """Where queries only get worse, the drop is the share that does: its exact test knows no less."""
    verdicts = set()
    for worse in (1, 4, 8, 15, 25):
        now = diagnosed(changed(RELEASE, "retriever", *FIRST[:worse]))
        for effect in (0.01, 0.05, 0.1, 0.2, 0.3, 0.5):
            verdict = recall_of(held(release, now, confidence=confidence, min_effect=effect)).verdict
            under, over = (
                binomtest(worse, 60, effect, alternative=side).pvalue <= 1 - confidence
                for side in ("less", "greater")
            )
            assert under or verdict != "pass"
            assert over or verdict != "fail"
            verdicts.add(verdict)
    assert verdicts == {"pass", "fail", "cannot tell"}


def test_stages_and_flips_are_those_of_a_comparison() -> None:
    """A comparison of the two diagnoses knows the same, from both of them in full."""
    generator = np.random.default_rng(3)
    kinds = ["delivered", "retriever", "reranker"]
    before, now = (
        diagnosed({f"q{i:03}": kinds[generator.integers(3)] for i in range(60)}, shared=3) for _ in range(2)
    )
    result, comparison = held(before, now), compare(before, now)
    for column, twin in (("loss_before", "loss_a"), ("loss_now", "loss_b"), ("difference", "difference")):
        assert result.stages[column].tolist() == pytest.approx(comparison.losses[twin].tolist())
    fate_a, fate_b = (
        comparison.flips[f"stage_{side}"].replace("", "delivered").tolist() for side in ("a", "b")
    )
    expected = list(
        zip(comparison.flips["query_id"], comparison.flips["change"], fate_a, fate_b, strict=True)
    )
    found = result.flips[["query_id", "change", "before", "now"]].itertuples(index=False, name=None)
    assert sorted(found) == sorted(expected)
    assert result.flips["change"].tolist() == sorted(
        result.flips["change"], key=["lost", "regained", "moved"].index
    )
    assert recall_of(result).value == pytest.approx(comparison.recall.value)


def test_the_order_of_queries_changes_no_number() -> None:
    before = diagnosed(RELEASE)
    worse = changed(RELEASE, "retriever", *FIRST[:9])
    tables = [held(before, diagnosed(dict(order))) for order in (worse.items(), reversed(worse.items()))]
    assert tables[0].judgements == tables[1].judgements
    assert tables[0].stages.equals(tables[1].stages)
    assert tables[0].flips.equals(tables[1].flips)


def test_a_stage_that_one_pipeline_lacks_lost_nothing_there(release: Diagnosis) -> None:
    packed = diagnosed(RELEASE, budget=5)
    result = held(release, packed)
    assert np.isnan(result.stages["loss_before"]["packer"])
    assert result.stages.index[result.stages["worse"]].tolist() == ["capacity"]
    assert set(result.flips["now"]) == {"capacity"}
    back = held(packed, release)
    assert np.isnan(back.stages["loss_now"]["packer"])
    assert back.stages.loc["packer", "difference"] == 0
    assert back.flips["change"].tolist() == ["regained"] * 50 + ["moved"] * 10
