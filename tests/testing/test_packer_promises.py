"""The promises of a packer: each is broken by one that is wrong in one way, and the message says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from broken_promises import (
    Again,
    Row,
    broken_by,
    check_broken,
    check_complete,
    each_row,
    turns,
)
from plugs import (
    AnyPacker,
    BudgetPacker,
)

from ragdiag import testing
from ragdiag.records import Chunk, Document, Span
from ragdiag.stages.packers import TokenBudget, TopK
from ragdiag.stages.protocols import Packer


@dataclass(frozen=True)
class OverBudget(BudgetPacker):
    def pack(self, query: str, chunks: Sequence[Chunk]) -> list[Chunk]:  # noqa: ARG002
        return list(chunks)


class BudgetOfNothing(OverBudget):
    tokens = None  # type: ignore[assignment]


def shortens_in_turns() -> Callable[[Sequence[Chunk]], list[Chunk]]:
    asked = Again()

    def pack(chunks: Sequence[Chunk]) -> list[Chunk]:
        return [shortened(chunk) for chunk in chunks] if asked(chunks) else list(chunks)

    return pack


def shortened(chunk: Chunk) -> Chunk:
    span = chunk.spans[0]
    return replace(chunk, spans=(replace(span, end=span.start + 1),), text=chunk.text[0])


def reverses(chunks: Any) -> list[Chunk]:
    packed = list(chunks)
    chunks.reverse()
    return packed


def marks(chunks: Any) -> list[Chunk]:
    for chunk in chunks:
        chunk.metadata["packed"] = True
    return list(chunks)


def invents(chunks: Sequence[Chunk]) -> list[Chunk]:
    return [replace(chunk, text="In summary: nothing.") for chunk in chunks]


@pytest.mark.parametrize(
    "packer",
    [
        TopK(3),
        TokenBudget(500),
        TokenBudget(90, overflow="stop"),
        TokenBudget(250, overflow="truncate", separator=" "),
        BudgetPacker(400),
        AnyPacker(list),
    ],
    ids=lambda value: type(value).__name__,
)
def test_packers_that_keep_their_promises(packer: Packer) -> None:
    testing.check_packer(packer)


BROKEN: list[Row] = [
    (
        AnyPacker(lambda c: [c[0], c[1]] if c else []),
        {"raises_nothing"},
        ["1 chunk: ", "got IndexError: list"],
    ),
    (AnyPacker(lambda c: [*c, *c[:1]]), {"valid_context"}, ["1 chunk: packer: query", "comes twice"]),
    (AnyPacker(invents), {"valid_context"}, ["got 'In summary: nothing.'"]),
    (BudgetOfNothing(9), {"usable_budget"}, ["BudgetOfNothing declares a budget but no tokens(chunk)"]),
    (
        AnyPacker(lambda c: c or [Chunk("c", (Span("d", 0, 1),), "x")]),
        {"nothing_from_nothing"},
        ["no chunks: expected none, got 1"],
    ),
    (AnyPacker(turns()), {"same_again"}, ["3 chunks: expected 'prose#0-20+40-60", "again, got 'prose#0-263"]),
    (AnyPacker(shortens_in_turns()), {"same_again"}, ["1 chunk: expected ", ", shortened otherwise"]),
    (AnyPacker(reverses), {"chunks_unchanged"}, ["3 chunks: expected the list as it was, 'prose#0-20+40-60"]),
    (
        AnyPacker(marks),
        {"chunks_unchanged"},
        ["expected chunk 'prose#0-20+40-60' with metadata {'lang': 'de'", "got it with", "'packed': True"],
    ),
    (OverBudget(100), {"within_budget"}, ["expected at most 100 tokens, got", "in 3 chunks"]),
]


@each_row(BROKEN)
def test_broken_packers(plug: Any, broken: set[str], says: Sequence[str]) -> None:
    check_broken(lambda: testing.check_packer(plug), broken, says)


def test_every_promise_is_broken_once() -> None:
    check_complete("packer", BROKEN)


def test_chunks_of_ones_own_are_packed() -> None:
    document = Document("d", "one two three")
    chunks = [Chunk.of(document, (0, 3)), Chunk.of(document, (4, 7))]
    testing.check_packer(BudgetPacker(4), [document], chunks=chunks, query="three?")
    testing.check_packer(BudgetPacker(4), [document])
    error = broken_by(lambda: testing.check_packer(OverBudget(4), [document], chunks=chunks))
    assert "2 chunks: expected at most 4 tokens, got 6 in 2 chunks" in str(error)
