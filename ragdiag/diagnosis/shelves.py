"""Indexes that hold more than the run's chunks, and what a re-run may find in them.

An *augmented* index holds the repaired chunks of many lost units. A chunk that gets another vector gets it in
place, under its own id, since what an index does with a chunk may hang on its id; behind the run's chunks
stand copies of such chunks with their real vectors, for all other units, and the chunks that ideal chunkers
add. A re-run sees the index through a *view*: which rows are its own. Foreign rows are taken out of the
results; while there are f of them, n + f are asked for. Units that want other vectors for the same chunk
stand in different indexes.

Adding rows can change what an index returns of the old ones (clusters move, graphs are rewired, word
statistics shift), so the same index is asked through the view of the unrepaired run first, the *placebo*.
Where that brings the unit back, the unit gets an index of its own, in which only the chunks that an ideal
chunker adds are new rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from typing import TypeAlias

import numpy as np

from ragdiag.diagnosis.attempts import Allowance, Void, calling
from ragdiag.diagnosis.exact import text_arms
from ragdiag.diagnosis.repairs import under_new_id
from ragdiag.index import Index
from ragdiag.records import Chunk, Request
from ragdiag.stages import boundary
from ragdiag.stages.protocols import Searcher, Vectors, recipe_of

__all__ = ["UNCHANGED", "Edit", "Found", "Job", "Place", "Shelf", "View"]

_MOST_INDEXES = 8  # further units each get an index of their own, and only when they need it


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

    def replaced(self, size: int) -> dict[int, Vectors]:
        """The new vectors of the run's own chunks, of which there are ``size``."""
        return {n: vector for n, vector in self.vectors.items() if n < size and vector is not None}


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """The rows of an index that a re-run may find.

    Attributes:
        hidden: the rows of the run's chunks that it may not find.
        rows: the rows behind them that it may, each with the number of the chunk that it stands for.
    """

    hidden: frozenset[int] = frozenset()
    rows: Mapping[int, int] = field(default_factory=dict)


UNCHANGED = View()
"""All rows of the run's chunks and nothing else."""


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """Where an edit stands: an index, what a re-run may find there, and what an unrepaired one may."""

    shelf: Shelf
    view: View
    placebo: View


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """One search: what is asked, and what may be found."""

    request: Request
    view: View


Found: TypeAlias = tuple[int, ...]
"""What a search found, best first: the numbers of chunks."""


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
        return cls._built(index, [], [], {}, allowance)

    @classmethod
    def augmented(cls, index: Index, edits: Sequence[Edit], allowance: Allowance) -> list[Place | None]:
        """As few indexes as hold all ``edits``, and the place of each; None where there would be too many.

        Raises:
            Void: the retriever raised.
        """
        groups: list[list[int]] = []
        in_place: list[dict[int, Vectors]] = []
        for i, edit in enumerate(edits):
            replaced = edit.replaced(len(index.chunks))
            at = next((at for at, held in enumerate(in_place) if _agree(held, replaced)), len(groups))
            if at == _MOST_INDEXES:
                continue
            if at == len(groups):
                groups.append([])
                in_place.append({})
            groups[at].append(i)
            in_place[at] |= replaced
        places: list[Place | None] = [None] * len(edits)
        for group, replaced in zip(groups, in_place, strict=True):
            together = cls._holding(index, [edits[i] for i in group], replaced, allowance)
            for i, place in zip(group, together, strict=True):
                places[i] = place
        return places

    @classmethod
    def own(cls, index: Index, edit: Edit, allowance: Allowance) -> Place:
        """An index for one edit; its placebo cannot undo the vectors that are replaced in place.

        Raises:
            Void: the retriever raised.
        """
        added = {n: vector for n, vector in edit.vectors.items() if n >= len(index.chunks)}
        rows = {len(index.chunks) + i: number for i, number in enumerate(added)}
        shelf = cls._built(
            index,
            [edit.chunks[number] for number in added],
            list(added.values()),
            edit.replaced(len(index.chunks)),
            allowance,
        )
        return Place(shelf, View(edit.hidden, rows), UNCHANGED)

    @classmethod
    def _holding(
        cls,
        index: Index,
        edits: Sequence[Edit],
        replaced: Mapping[int, Vectors],
        allowance: Allowance,
    ) -> list[Place]:
        """One index with the rows of all ``edits``, which agree on the vectors of ``replaced`` chunks."""
        taken = {chunk.id for chunk in index.chunks}
        size = len(index.chunks)
        added = [_copy(index.chunks[number], taken) for number in replaced]
        vectors = [None if index.vectors is None else index.vectors[number] for number in replaced]
        stand_ins = {size + i: number for i, number in enumerate(replaced)}
        views = []
        for edit in edits:
            foreign = replaced.keys() - edit.chunks.keys()
            own = {row: n for row, n in stand_ins.items() if n in foreign and n not in edit.hidden}
            for number, chunk in edit.chunks.items():
                if number >= size:
                    own[size + len(added)] = number
                    added.append(_copy(chunk, taken))
                    vectors.append(edit.vectors[number])
            views.append(View(edit.hidden | foreign, own))
        shelf = cls._built(index, added, vectors, replaced, allowance)
        placebo = View(frozenset(replaced), stand_ins)
        return [Place(shelf, view, placebo) for view in views]

    @classmethod
    def _built(
        cls,
        index: Index,
        added: Sequence[Chunk],
        vectors: Sequence[Vectors | None],
        replaced: Mapping[int, Vectors],
        allowance: Allowance,
    ) -> Shelf:
        """The index with rows ``added`` and vectors ``replaced``."""
        matrix = index.vectors
        if matrix is not None and (added or replaced):
            matrix = np.concatenate([matrix, *(v[None, :] for v in vectors if v is not None)])
            for number, vector in replaced.items():
                matrix[number] = vector
        chunks = (*index.chunks, *added)
        retriever = index.pipeline.retriever
        if added or replaced:  # a finished index cannot hold them
            retriever = recipe_of(retriever)
        allowance.count(indexes=1)
        with calling("retriever"):
            searcher = boundary.build_index(retriever, chunks, matrix)
        return cls(
            Index(index.pipeline, index.documents, chunks, matrix, searcher), len(index.chunks), allowance
        )

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
                answers = self._ask(searcher, [jobs[i].request for i in group], m)
                for i, rows in zip(group, answers, strict=True):
                    if isinstance(rows, Void):
                        found[i] = rows
                        continue
                    own = self._own(rows, jobs[i].view)
                    if len(own) < n and len(rows) == m:
                        again[i] = n + len(rows) - len(own)
                    else:
                        found[i] = own[:n]
            asked = again
        return [found[i] for i in range(len(jobs))]

    def _own(self, rows: Sequence[int], view: View) -> Found:
        """The chunks that rows stand for, without the foreign ones."""
        return tuple(number for row in rows if (number := self._number(row, view)) is not None)

    def _number(self, row: int, view: View) -> int | None:
        """The chunk that a row stands for; None for a foreign row."""
        if row < self._size:
            return None if row in view.hidden else row
        return view.rows.get(row)

    def _ask(self, searcher: Searcher, requests: Sequence[Request], n: int) -> list[list[int] | Void]:
        """The rows that are found in one call; where it raises, each request is made alone."""
        self._allowance.count(searches=len(requests))
        try:
            with calling("retriever"):
                rankings = boundary.search(searcher, requests, n, self._row_of)
        except Void as void:
            if len(requests) == 1:
                return [void]
            return [answer for request in requests for answer in self._ask(searcher, [request], n)]
        return [[self._row_of[hit.chunk_id] for hit in ranking] for ranking in rankings]


def _agree(held: Mapping[int, Vectors], wanted: Mapping[int, Vectors]) -> bool:
    """Whether no chunk is given another vector than it already has."""
    return all(number not in held or np.array_equal(held[number], wanted[number]) for number in wanted)


def _copy(chunk: Chunk, taken: set[str]) -> Chunk:
    """The chunk under an id that no other row has; it is then taken."""
    copy = under_new_id(chunk, (f"{chunk.id}~{number}" for number in count(1)), taken)
    taken.add(copy.id)
    return copy
