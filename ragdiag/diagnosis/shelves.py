"""Indexes that hold more than the run's chunks, and what a re-run may find in them.

One *augmented* index holds the run's chunks and, behind them, the repaired chunks of all lost units. A re-run
sees it through a *view*: which rows are its own. Foreign rows are taken out of the results; while there are f
of them, n + f are asked for. Adding rows can change what an index returns of the old ones (clusters move,
graphs are rewired, word statistics shift), so the same index is asked through the view of the unrepaired
run first, the *placebo*: where that brings the unit back, a unit gets an index of its own, in which vectors
are replaced in place and only the chunks that an ideal chunker adds are new rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from ragdiag.diagnosis.attempts import Allowance, Void, calling
from ragdiag.diagnosis.exact import text_arms
from ragdiag.index import Index
from ragdiag.records import Chunk, Request
from ragdiag.stages import boundary
from ragdiag.stages.protocols import Searcher, Vectors

__all__ = ["PLACEBO", "Edit", "Found", "Job", "Shelf", "View"]


@dataclass(frozen=True, slots=True, eq=False)
class Edit:
    """A change of the corpus for one lost unit.

    Attributes:
        chunks: chunks by number: those of the run get another vector, others are added.
        vectors: what they get; None without an embedder.
        hidden: the run's chunks that are taken away.
    """

    chunks: Mapping[int, Chunk]
    vectors: Mapping[int, Vectors | None]
    hidden: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """The rows of an index that a re-run may find.

    Attributes:
        hidden: the run's chunks that are replaced or taken away.
        rows: the added rows, each with the number of the chunk that it stands for.
    """

    hidden: frozenset[int] = frozenset()
    rows: Mapping[int, int] = field(default_factory=dict)


PLACEBO = View()
"""The run's chunks and nothing else."""


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """One search: what is asked, and what may be found."""

    request: Request
    view: View


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found, best first: chunks by number, with their scores."""

    numbers: tuple[int, ...]
    scores: tuple[float, ...]


class Shelf:
    """An index over the run's chunks and added rows.

    Args:
        index: the built index; its first ``size`` chunks are those of the run, in their order.
        size: how many those are.
        allowance: counts the searches.
    """

    def __init__(self, index: Index, size: int, allowance: Allowance) -> None:
        self._index = index
        self._size = size
        self._allowance = allowance

    @classmethod
    def plain(cls, index: Index, allowance: Allowance) -> Shelf:
        """The run's own index, built again.

        Raises:
            Void: the retriever raised.
        """
        return cls._built(index, index.chunks, index.vectors, allowance)

    @classmethod
    def augmented(cls, index: Index, edits: Sequence[Edit], allowance: Allowance) -> tuple[Shelf, list[View]]:
        """One index with the rows of all ``edits``, and the view of each.

        Raises:
            Void: the retriever raised.
        """
        rows: dict[tuple[str, bytes], int] = {}
        added: list[Chunk] = []
        vectors: list[Vectors | None] = []
        views = []
        taken = {chunk.id for chunk in index.chunks}
        size = len(index.chunks)
        for edit in edits:
            own: dict[int, int] = {}
            for number, chunk in edit.chunks.items():
                vector = edit.vectors[number]
                key = (chunk.id, b"" if vector is None else vector.tobytes())
                if key not in rows:
                    rows[key] = size + len(added)
                    added.append(_renamed(chunk, taken))
                    vectors.append(vector)
                own[rows[key]] = number
            views.append(View(edit.hidden | {n for n in edit.chunks if n < size}, own))
        matrix = index.vectors
        if matrix is not None and added:
            matrix = np.concatenate([matrix, np.stack([v for v in vectors if v is not None])])
        return cls._built(index, (*index.chunks, *added), matrix, allowance), views

    @classmethod
    def own(cls, index: Index, edit: Edit, allowance: Allowance) -> tuple[Shelf, View]:
        """An index for one edit, with vectors replaced in place, and its view.

        Raises:
            Void: the retriever raised.
        """
        size = len(index.chunks)
        added = [number for number in edit.chunks if number >= size]
        matrix = index.vectors
        if matrix is not None:
            new = [edit.vectors[number] for number in added]
            matrix = (
                np.concatenate([matrix, np.stack([v for v in new if v is not None])])
                if new
                else matrix.copy()
            )
            for number, vector in edit.vectors.items():
                if number < size and vector is not None:
                    matrix[number] = vector
        chunks = (*index.chunks, *(edit.chunks[number] for number in added))
        view = View(edit.hidden, rows={size + i: number for i, number in enumerate(added)})
        return cls._built(index, chunks, matrix, allowance), view

    @classmethod
    def _built(
        cls, index: Index, chunks: tuple[Chunk, ...], vectors: Vectors | None, allowance: Allowance
    ) -> Shelf:
        allowance.count(indexes=1)
        with calling("retriever"):
            searcher = boundary.build_index(index.pipeline.retriever, chunks, vectors)
        built = Index(index.pipeline, index.documents, chunks, vectors, searcher)
        return cls(built, len(index.chunks), allowance)

    def search(self, jobs: Sequence[Job], n: int) -> list[Found | Void]:
        """The n best of each job's own rows, or why there are none."""
        return self._search(self._index.searcher, jobs, n)

    def search_texts(self, jobs: Sequence[Job], n: int) -> list[list[Found | Void]]:
        """The same by each arm of the retriever that searches texts alone.

        Raises:
            Void: an arm that had to be built raised.
        """
        return [self._search(searcher, jobs, n) for searcher in self._text_searchers]

    @cached_property
    def _text_searchers(self) -> list[Searcher]:
        with calling("retriever"):
            return list(text_arms(self._index, self._index.pipeline.retriever, self._index.searcher))

    @cached_property
    def _row_of(self) -> Mapping[str, int]:
        return {chunk.id: row for row, chunk in enumerate(self._index.chunks)}

    def _search(self, searcher: Searcher, jobs: Sequence[Job], n: int) -> list[Found | Void]:
        found: dict[int, Found | Void] = {}
        asked = dict.fromkeys(range(len(jobs)), n)
        while asked:
            again: dict[int, int] = {}
            for m in sorted(set(asked.values())):
                group = [i for i, size in asked.items() if size == m]
                for i, hits in zip(
                    group, self._ask(searcher, [jobs[i].request for i in group], m), strict=True
                ):
                    if isinstance(hits, Void):
                        found[i] = hits
                        continue
                    own = [
                        (number, score)
                        for row, score in hits
                        if (number := self._number(row, jobs[i].view)) is not None
                    ]
                    if len(own) < n and len(hits) == m:
                        again[i] = n + len(hits) - len(own)
                    else:
                        found[i] = (
                            Found(*(tuple(column) for column in zip(*own[:n], strict=True)))
                            if own
                            else Found((), ())
                        )
            asked = again
        return [found[i] for i in range(len(jobs))]

    def _number(self, row: int, view: View) -> int | None:
        """The chunk that a row stands for; None for a foreign row."""
        if row < self._size:
            return None if row in view.hidden else row
        return view.rows.get(row)

    def _ask(
        self, searcher: Searcher, requests: Sequence[Request], n: int
    ) -> list[list[tuple[int, float]] | Void]:
        """All requests in one call; where that raises, each alone, so that the one at fault is found."""
        self._allowance.count(searches=len(requests))
        try:
            with calling("retriever"):
                rankings = boundary.search(searcher, requests, n, self._row_of)
        except Void as void:
            if len(requests) == 1:
                return [void]
            return [answer for request in requests for answer in self._ask(searcher, [request], n)]
        return [[(self._row_of[hit.chunk_id], hit.score) for hit in ranking] for ranking in rankings]


def _renamed(chunk: Chunk, taken: set[str]) -> Chunk:
    """The chunk under an id that no other row has."""
    number = 1
    while (name := f"{chunk.id}~{number}") in taken:
        number += 1
    taken.add(name)
    return replace(chunk, id=name)
