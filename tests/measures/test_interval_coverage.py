"""A small part of the benchmark of intervals and bars: enough to see that it measures what it says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from interval_coverage import (
    ALIKE,
    CHUNKERS,
    QUICK,
    SHAPES,
    Case,
    Kind,
    Trials,
    choose,
    counted,
    draw,
    misses,
    report,
    simulated,
    told_apart,
)
from scipy import stats

SOME = Trials(bounds=300, bootstrap=60, chosen=300, alike=20)


def test_independent_yes_no_values_are_counted_out() -> None:
    case = counted(50, 0.9)
    ends = [stats.binomtest(k, 50).proportion_ci(method="wilson") for k in range(51)]
    inside = [end.low <= 0.9 <= end.high for end in ends]
    assert case.covered == pytest.approx(stats.binom.pmf(range(51), 50, 0.9) @ inside)
    exact = [stats.binomtest(k, 50, 0.9, alternative="greater").pvalue <= 0.05 for k in range(51)]
    assert case.passed == pytest.approx(stats.binom.pmf(range(51), 50, 0.9) @ exact)
    assert not misses([case], {}, {"independent": 0, "by document": 0})


@pytest.mark.parametrize("kind", ["yes/no", "graded"])
def test_draws_have_their_mean_and_go_together_within_a_document(kind: Kind) -> None:
    labels = np.arange(40) % 20
    drawn = draw(kind, labels, 0.8, 4_000, np.random.default_rng(0))
    assert drawn.mean() == pytest.approx(0.8, abs=0.01)
    assert np.corrcoef(drawn[:, 0], drawn[:, 20])[0, 1] == pytest.approx(0.3, abs=0.07)
    assert np.corrcoef(drawn[:, 0], drawn[:, 1])[0, 1] == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("kind", ["yes/no", "graded"])
@pytest.mark.parametrize("mean", [0.8, 0.95])
def test_thirty_documents_cover_and_seldom_pass(kind: Kind, mean: float) -> None:
    case = simulated(kind, 200, 30, mean, SOME)
    assert case.covered >= 0.92
    assert case.passed <= 0.08
    assert case.failed <= 0.08
    assert (case.bootstrapped is None) == (mean > 0.9)
    assert case.method == "Wilson by cluster"


def test_ten_documents_say_that_they_understate() -> None:
    assert simulated("yes/no", 50, 10, 0.5, QUICK).method == "Wilson by cluster, understates"


def test_who_was_chosen_passes_seldom_on_other_queries_and_often_on_the_same() -> None:
    passes = choose(0.8, SOME.chosen, documents=False)
    assert passes["judgment"] <= 0.09
    assert passes["selection"] > 0.2


def test_chunkers_that_are_alike_are_seldom_told_apart() -> None:
    worse = told_apart(SOME.alike)
    assert worse["independent"] <= 0.2
    assert worse["by document"] <= 0.25


def test_the_report_says_what_was_found_and_a_claim_that_does_not_hold_is_missed() -> None:
    good = Case("yes/no", 50, None, 0.8, 0.95, 0.04, 0.03, None, "Wilson by query")
    few = replace(good, documents=10, covered=0.9, method="Wilson by cluster, understates")
    chosen = {"0.8 independent": {"judgment": 0.04, "selection": 0.4}}
    worse = {"independent": 0.05, "by document": 0.04, "as if independent": 0.3}
    text = report([good, few], chosen, worse, Trials())
    assert "no interval covers less than 95.0%;" in text
    assert "no interval covers less than 90.0%;" in text
    assert "| 50 | 10 | yes/no | 0.8 | 90.0% |  | 4.0% | 3.0% |" in text
    assert "| 0.8 | independent | 4.0% | 40.0% |" in text
    assert f"The best of {CHUNKERS}" in text
    assert f"{ALIKE} chunkers that are alike" in text
    assert not misses([good, few], chosen, worse)
    for wrong, what in (
        (replace(good, covered=0.91), "covers too seldom"),
        (replace(good, bootstrapped=0.9), "bootstrap covers too seldom"),
        (replace(few, passed=0.06), "passes too often"),
        (replace(good, failed=0.06), "fails too often"),
        (replace(few, method="Wilson by cluster"), "does not say that it understates"),
    ):
        assert [miss.split(": ")[1] for miss in misses([wrong], chosen, worse)] == [what]
    assert misses([], {"0.8": {"judgment": 0.06, "selection": 0.4}}, worse) == ["0.8: 0.06 pass"]
    assert misses([], {}, {**worse, "by document": 0.09}) == ["by document: 0.09"]


def test_the_shapes_are_those_that_are_claimed() -> None:
    assert {queries for queries, _ in SHAPES} == {50, 200}
    assert {documents for _, documents in SHAPES} == {None, 10, 30, 100}
