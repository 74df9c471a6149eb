"""Arithmetic on ranges of characters, against sets; and evidence that lies outside its sources."""

from __future__ import annotations

import sys
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragdiag.errors import DataError
from ragdiag.records import Document, Evidence, Query, Span, WholeDocument
from ragdiag.spans import check_evidence, code_points, merge, nonspace_before, quote

RANGES = st.tuples(st.integers(0, 30), st.integers(1, 8)).map(lambda r: (r[0], r[0] + r[1]))


@given(st.lists(RANGES, max_size=12))
def test_merged_ranges_hold_the_same_characters_and_neither_overlap_nor_touch(
    ranges: list[tuple[int, int]],
) -> None:
    union = merge(ranges)
    assert {i for r in union for i in range(*r)} == {i for r in ranges for i in range(*r)}
    assert all(a[1] < b[0] for a, b in pairwise(union))


@given(st.text(max_size=60))
def test_nonspace_counts_what_python_calls_no_space(text: str) -> None:
    counts = nonspace_before(text)
    assert counts.tolist() == [sum(not c.isspace() for c in text[:i]) for i in range(len(text) + 1)]


def test_every_whitespace_character_of_unicode_is_one() -> None:
    spaces = [chr(c) for c in range(sys.maxunicode + 1) if chr(c).isspace()]
    assert len(spaces) >= 25
    assert nonspace_before("".join(spaces))[-1] == 0
    # These look like none and are none: zero-width space and joiners, byte order mark.
    assert nonspace_before("\u200b\u200d\ufeff")[-1] == 3


@given(st.text(st.characters(categories=None), max_size=40))
def test_code_points_are_those_of_python_lone_surrogates_too(text: str) -> None:
    assert code_points(text).tolist() == [ord(c) for c in text]


def test_a_lone_surrogate_keeps_its_offset() -> None:
    assert code_points("a\ud800b").tolist() == [97, 0xD800, 98]


def test_a_quote_in_a_message_is_short_and_printable() -> None:
    assert quote("a\nb") == r"'a\nb'"
    assert quote("x" * 80) == repr("x" * 80)
    assert quote("x" * 81) == repr("x" * 79 + "…")
    assert quote("abcdef", limit=4) == "'abc…'"


SOURCES = {"d": Document("d", "one  two"), "empty": Document("empty", "")}


@pytest.mark.parametrize(
    ("unit", "problem"),
    [
        (Evidence.of(Span("x", 0, 3)), "names document 'x', which is not among the 2 sources"),
        (Evidence.of(WholeDocument("x")), "names document 'x', which is not among the 2 sources"),
        (Evidence.of(WholeDocument("d"), WholeDocument("x")), "names document 'x', which is not among"),
        (Evidence.of(Span("d", 5, 9)), "span 5-9 lies outside document 'd', which has 8 characters"),
        (Evidence.of(Span("empty", 0, 1)), "span 0-1 lies outside document 'empty', which has 0 characters"),
        (Evidence.of(Span("d", 3, 5)), "span 3-5 of document 'd' is only whitespace"),
        (Evidence.of(Span("d", 0, 3), Span("d", 4, 5)), "span 4-5 of document 'd' is only whitespace"),
        (Evidence.any_of(Span("d", 0, 3), Span("d", 4, 9)), "span 4-9 lies outside"),
    ],
)
def test_evidence_outside_its_sources_is_named(unit: Evidence, problem: str) -> None:
    queries = [Query("p", "?"), Query("q", "?", [Evidence.of(Span("d", 0, 8)), unit])]
    with pytest.raises(DataError) as caught:
        check_evidence(queries, SOURCES)
    assert str(caught.value).startswith(f"query 'q', evidence unit 1: {problem}")


def test_evidence_inside_its_sources_passes() -> None:
    units = [Evidence.of(Span("d", 0, 8)), Evidence.of(Span("d", 2, 4)), Evidence.of(WholeDocument("empty"))]
    check_evidence([Query("q", "?", units)], SOURCES)
