from __future__ import annotations

from collections import deque
from typing import Any

import pytest
from contracts_retrievers import check_packer, some_chunks
from hypothesis import given
from hypothesis import strategies as st

from ragdiag.errors import ConfigError
from ragdiag.records import Chunk, Document
from ragdiag.stages.packers import PromptOrder
from ragdiag.stages.protocols import budget_of


def ranks(order: Any, count: int) -> list[int]:
    """The ranks (from 1) of chunks in the order of the prompt."""
    chunks = some_chunks(count)
    return [chunks.index(chunk) + 1 for chunk in PromptOrder(order).pack("?", chunks)]


@given(order=st.sampled_from(["ranked", "reversed", "edges"]), count=st.integers(0, 12))
def test_every_chunk_stays(order: Any, count: int) -> None:
    document = Document("d", "x" * max(count, 1))
    chunks = [Chunk.of(document, (i, i + 1)) for i in range(count)]
    check_packer(PromptOrder(order), {"d": document}, chunks)
    assert sorted(ranks(order, count)) == list(range(1, count + 1))
    assert budget_of(PromptOrder(order)) is None


def test_the_orders() -> None:
    assert ranks("ranked", 4) == [1, 2, 3, 4]
    assert ranks("reversed", 4) == [4, 3, 2, 1]
    assert ranks("edges", 1) == [1]
    # As the documentation of Haystack's LostInTheMiddleRanker has it.
    assert ranks("edges", 9) == [1, 3, 5, 7, 9, 8, 6, 4, 2]
    assert ranks("edges", 10) == [1, 3, 5, 7, 9, 10, 8, 6, 4, 2]


@pytest.mark.parametrize("count", range(12))
def test_edges_are_the_two_ended_order_or_its_mirror_image(count: int) -> None:
    """LangChain's: from the worst to the best, put in front and at the end in turn, the worst in front."""
    both_ends: deque[int] = deque()
    for turn, rank in enumerate(range(count, 0, -1)):
        (both_ends.append if turn % 2 else both_ends.appendleft)(rank)
    expected = list(both_ends) if count % 2 else list(both_ends)[::-1]
    assert ranks("edges", count) == expected


@pytest.mark.parametrize("count", range(1, 12))
def test_the_better_a_chunk_the_nearer_it_is_to_an_edge(count: int) -> None:
    order = ranks("edges", count)
    distance = {rank: min(at, count - 1 - at) for at, rank in enumerate(order)}
    assert [distance[rank] for rank in range(1, count + 1)] == sorted(distance.values())


def test_an_unknown_order_is_refused() -> None:
    with pytest.raises(ConfigError, match="order must be 'ranked', 'reversed' or 'edges', got 'random'"):
        PromptOrder("random")  # type: ignore[arg-type]
