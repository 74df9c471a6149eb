"""Numbers are written one way everywhere, and never claim more than they are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragdiag.report import figures


@given(st.floats(0, 1))
def test_a_share_is_right_to_three_decimals(value: float) -> None:
    assert float(figures.share(value).lstrip("<>")) == pytest.approx(value, abs=0.00051 + 0.0005)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.0, "0.000"),
        (-0.0, "0.000"),
        (-1e-17, "0.000"),
        (1e-17, "0.000"),
        (0.0004, "<0.001"),
        (0.5, "0.500"),
        (0.9996, ">0.999"),
        (1 - 1e-16, "1.000"),
        (1.0, "1.000"),
    ],
)
def test_only_nothing_is_written_as_0_and_only_all_as_1(value: float, written: str) -> None:
    assert figures.share(value) == written


@pytest.mark.parametrize(
    ("value", "written"), [(0.0, "0%"), (0.001, "<1%"), (0.5, "50%"), (0.999, ">99%"), (1.0, "100%")]
)
def test_percentages(value: float, written: str) -> None:
    assert figures.percent(value) == written


def test_counts_ranks_and_intervals() -> None:
    assert figures.count(1234567) == "1,234,567"
    assert figures.rank(None) == "–"
    assert figures.rank(1200) == "1,200"
    assert figures.interval(0.0, 1.0) == "0.000–1.000"
    assert [figures.of_things(n, "query", "queries") for n in (0, 1, 2)] == [
        "0 queries",
        "1 query",
        "2 queries",
    ]
    assert figures.of_things(2, "unit") == "2 units"
