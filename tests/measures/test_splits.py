"""Queries split in two: nothing lost, nothing shared, and honest where that cannot be had."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragdiag.errors import ConfigError, DataError
from ragdiag.measures.splits import split_queries


@given(
    st.lists(st.lists(st.integers(0, 30), max_size=3), min_size=2, max_size=40),
    st.sampled_from([0.2, 0.5, 0.7]),
    st.integers(0, 5),
)
def test_every_query_is_in_one_part_and_documents_are_whole(
    documents: list[list[int]], share: float, seed: int
) -> None:
    split = split_queries(documents, share=share, seed=seed)
    assert sorted([*split.selection, *split.judgment]) == list(range(len(documents)))
    for part in (split.selection, split.judgment):
        assert len(part) > 0
        assert part.tolist() == sorted(part)
    here, there = ({d for i in part for d in documents[i]} for part in (split.selection, split.judgment))
    missed = abs(len(split.selection) - share * len(documents))
    if split.by == "document":
        assert not here & there
        assert missed <= 0.1 * len(documents) + 0.5
    else:
        assert missed <= 1
    again = split_queries(documents, share=share, seed=seed)
    assert (again.selection.tolist(), again.by) == (split.selection.tolist(), split.by)


@pytest.mark.parametrize("share", [0.25, 0.5, 0.8])
def test_small_documents_keep_the_share(share: float) -> None:
    split = split_queries([[i // 3] for i in range(300)], share=share)
    assert split.by == "document"
    assert len(split.selection) == pytest.approx(300 * share, abs=3)


def test_documents_shared_by_all_leave_only_queries() -> None:
    documents = [["a", f"b{i}"] for i in range(100)]
    split = split_queries(documents)
    assert (split.by, len(split.selection)) == ("query", 50)
    dominated = [["a"]] * 61 + [[f"b{i}"] for i in range(39)]
    assert split_queries(dominated).by == "query"
    assert split_queries([*dominated[1:], ["c"]]).by == "document"
    assert split_queries(dominated, share=0.6).by == "document"


def test_two_queries_are_one_for_each() -> None:
    for documents, by in (([["a"], ["b"]], "document"), ([["a"], ["a"]], "query"), ([[], []], "document")):
        split = split_queries(documents, share=0.9)
        assert (len(split.selection), len(split.judgment), split.by) == (1, 1, by)


def test_chance_decides_and_the_seed_decides_chance() -> None:
    documents = [[i // 2] for i in range(60)]
    parts = {tuple(split_queries(documents, seed=seed).selection.tolist()) for seed in range(5)}
    assert len(parts) == 5
    times = np.zeros(60)
    for seed in range(300):
        times[split_queries(documents, seed=seed).selection] += 1
    assert 100 < times.min() < times.max() < 200, "no query is for one part by its place"


@pytest.mark.parametrize("share", [0, 1, -0.1, float("nan")])
def test_a_share_that_cannot_be_is_explained(share: float) -> None:
    with pytest.raises(ConfigError, match=r"share must be inside \(0, 1\)"):
        split_queries([[], []], share=share)


@pytest.mark.parametrize("documents", [[], [["a"]]])
def test_one_query_cannot_be_split(documents: list[list[str]]) -> None:
    with pytest.raises(DataError, match="two parts need at least two queries"):
        split_queries(documents)
