"""For tests of the test kit: what a plug that is wrong in one way breaks, and some such plugs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from plugs import AnyEmbedder, WholeChunker

from ragdiag.records import Chunk, Document
from ragdiag.stages.embedders import HashingEmbedder
from ragdiag.stages.protocols import Vectors
from ragdiag.testing import PROMISES, ContractError

Row = tuple[Any, set[str], Sequence[str]]
"""A plug, the names of the promises that it breaks, and parts of the message."""


def broken_by(check: Callable[[], None]) -> ContractError:
    """The error of a check that fails."""
    with pytest.raises(ContractError) as caught:
        check()
    return caught.value


def names(error: ContractError) -> set[str]:
    return {promise.name for promise in error.broken}


def each_row(rows: Sequence[Row]) -> pytest.MarkDecorator:
    """Parameters ``plug, broken, says``."""
    return pytest.mark.parametrize(
        ("plug", "broken", "says"), rows, ids=["+".join(sorted(broken)) for _, broken, _ in rows]
    )


def check_broken(check: Callable[[], None], broken: set[str], says: Sequence[str]) -> None:
    """Assert that a check fails with exactly these promises, and what its message says."""
    error = broken_by(check)
    assert names(error) == broken, str(error)
    assert all(part in str(error) for part in says), str(error)


def check_complete(stage: str, rows: Sequence[Row], *elsewhere: str) -> None:
    """Assert that ``rows`` and the tests of ``elsewhere`` break every promise of a stage."""
    broken: set[str] = set().union(*(names for _, names, _ in rows), elsewhere)
    assert broken == {promise.name for promise in PROMISES[stage]}


def encodes(document: Document) -> list[Chunk]:
    document.text.encode()
    return WholeChunker().chunk(document)


def hashed(texts: Sequence[str]) -> Vectors:
    return HashingEmbedder(64).embed_documents(texts)


def both_ways(embed: Callable[[Sequence[str]], Any]) -> AnyEmbedder:
    return AnyEmbedder(embed, embed)


def centered(texts: Sequence[str]) -> Vectors:
    rows = hashed(texts)
    return rows - rows.mean(axis=0) if len(texts) > 1 else rows


class Again:
    """Whether it was asked the same before."""

    def __init__(self) -> None:
        self._asked: set[str] = set()

    def __call__(self, question: object) -> bool:
        again = repr(question) in self._asked
        self._asked.add(repr(question))
        return again


def turns() -> Callable[[Sequence[Chunk]], list[Chunk]]:
    """Reverses chunks that it was asked about before."""
    asked = Again()
    return lambda chunks: list(chunks[:: -1 if asked(chunks) else 1])
