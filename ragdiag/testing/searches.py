"""An index that is asked in several ways, and how two of its rankings differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, TypeAlias

from ragdiag.records import Chunk, Hit, Request
from ragdiag.stages import boundary
from ragdiag.stages.protocols import Retriever, Searcher, Vectors
from ragdiag.testing.promises import attempt
from ragdiag.testing.samples import filters_for

__all__ = ["FEW", "Rankings", "Searches", "difference"]

Rankings: TypeAlias = Sequence[tuple[Hit, ...]]

FEW = 3
"""Hits: fewer than most filters allow."""


@dataclass(frozen=True)
class Searches:
    """A retriever with a corpus and requests, and what came of them.

    Attributes:
        smallest: over how few chunks it can be built.
        tolerance: how far two scores of one hit may be apart.
    """

    retriever: Retriever
    chunks: list[Chunk]
    vectors: Vectors | None
    requests: list[Request]
    smallest: int
    tolerance: float

    def build(self, n: int | None = None) -> Searcher:
        """An index over copies of the first ``n`` chunks, or of all."""
        vectors = None if self.vectors is None else self.vectors[:n].copy()
        return boundary.build_index(self.retriever, deepcopy(self.chunks[:n]), vectors)

    def search(self, searcher: Searcher, requests: Sequence[Request], n: int) -> Rankings:
        """Rankings for copies of ``requests``, checked as a pipeline checks them."""
        return boundary.search(searcher, deepcopy(list(requests)), n, self.row_of)

    @cached_property
    def row_of(self) -> Mapping[str, int]:
        """The row of each chunk by its id."""
        return {chunk.id: row for row, chunk in enumerate(self.chunks)}

    @cached_property
    def given(self) -> tuple[list[Chunk], Vectors | None, list[Request]]:
        """The copies of chunks, vectors and requests that are handed over first, and may be changed."""
        return deepcopy((self.chunks, self.vectors, self.requests))

    @cached_property
    def built(self) -> Searcher | Exception:
        """The index over all chunks."""
        chunks, vectors, _ = self.given
        return attempt(partial(boundary.build_index, self.retriever, chunks, vectors))

    @property
    def numbers(self) -> list[int]:
        """How many hits are asked for: more than there are chunks, too."""
        return [1, 7, len(self.chunks), 3 * len(self.chunks)]

    @cached_property
    def found(self) -> dict[int, Rankings | Exception]:
        """What comes without a filter, by how many hits were asked for; nothing where nothing was built."""
        built = self.built
        if isinstance(built, Exception):
            return {}
        _, _, requests = self.given
        return {n: attempt(partial(boundary.search, built, requests, n, self.row_of)) for n in self.numbers}

    @property
    def plain(self) -> Iterator[tuple[Searcher, int, Rankings]]:
        """What came without a filter, where something did."""
        for n, outcome in self.found.items():
            if not isinstance(outcome, Exception) and not isinstance(self.built, Exception):
                yield self.built, n, outcome

    @cached_property
    def filtered(self) -> list[tuple[Mapping[str, Any], int, Rankings | Exception]]:
        """What comes with each filter, by how many hits were asked for."""
        built = self.built
        if isinstance(built, Exception):
            return []
        return [
            (wanted, n, attempt(partial(self.search, built, requests, n)))
            for wanted in filters_for(self.chunks)
            for requests in [[replace(request, filter=wanted) for request in self.requests]]
            for n in (FEW, self.numbers[-1])
        ]

    @property
    def outcomes(self) -> Iterator[tuple[str, object]]:
        """All that came, with what was asked."""
        yield f"building over {len(self.chunks)} chunks", self.built
        for n, outcome in self.found.items():
            yield f"{len(self.requests)} requests for {n} hits", outcome
        for wanted, n, outcome in self.filtered:
            yield f"{len(self.requests)} requests for {n} hits, filter {wanted!r}", outcome


def difference(expected: Sequence[Hit], got: Sequence[Hit], tolerance: float) -> str:
    """How two rankings differ, in words; empty where the tolerance explains it.

    Hits whose scores are within ``tolerance`` (times the score where that is above 1) may change places, also
    over the end of the ranking.
    """
    if len(expected) != len(got):
        return f"expected {len(expected)} hits, got {len(got)}"
    scores = {hit.chunk_id: hit.score for hit in expected}
    for rank, (before, now) in enumerate(zip(expected, got, strict=True), start=1):
        known = scores.get(now.chunk_id, expected[-1].score)
        for score in (before.score, known):
            if abs(score - now.score) > tolerance * max(1.0, abs(score)):
                return f"expected {before} at rank {rank}, got {now}"
    return ""
