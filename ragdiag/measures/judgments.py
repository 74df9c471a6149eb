"""Judgments of relevance (qrels), and where in a run's rankings the relevant documents stand.

A rank measure needs nothing else of a run: neither its scores, nor what is not relevant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain, repeat
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ragdiag.errors import DataError
from ragdiag.measures.runs import Rankings

__all__ = ["Graded", "Judged", "Qrels"]

Qrels: TypeAlias = Mapping[str, Mapping[str, int]]
"""The grade of each judged document (or chunk) of each query: above 0 is relevant, more is better.

A document that is not judged counts as not relevant, like one of grade 0 or below.
"""

_LARGEST_GRADE = 1000  # of which 2**grade is still a float


@dataclass(frozen=True, slots=True, eq=False)
class Graded:
    """Relevant documents at their ranks, those of each query together and best first, all shape (documents,).

    Attributes:
        query: the query of each, counted from 0.
        rank: from 1.
        grade: at least 1.
    """

    query: NDArray[np.intp]
    rank: NDArray[np.intp]
    grade: NDArray[np.int64]

    def within(self, depth: int | None) -> Graded:
        """Those of the first ``depth`` ranks; all of them for None."""
        return self if depth is None else self._where(self.rank <= depth)

    def of_grade(self, least: int) -> Graded:
        """Those of a grade >= ``least``, at the ranks that they have."""
        return self._where(self.grade >= least)

    def _where(self, kept: NDArray[np.bool_]) -> Graded:
        return Graded(self.query[kept], self.rank[kept], self.grade[kept])


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """What the rankings of some queries have of their relevant documents, for any rank measure.

    Attributes:
        queries: how many.
        found: the relevant documents in each query's ranking.
        ideal: all its relevant documents, ranked by their grades: the best ranking that there can be.
    """

    queries: int
    found: Graded
    ideal: Graded

    @classmethod
    def of(cls, rankings: Rankings, qrels: Qrels) -> Judged:
        """``rankings`` of the queries of ``qrels``, in their order.

        Raises:
            DataError: a grade is not an integer, or beyond ±1000.
        """
        grades = _grades(qrels)
        sizes = [len(of_query) for of_query in qrels.values()]
        judged = np.repeat(np.arange(len(qrels)), sizes)
        found = np.fromiter(
            chain.from_iterable(
                map(of_query.get, ids, repeat(0))
                for ids, of_query in zip(rankings.ids, qrels.values(), strict=True)
            ),
            np.int64,
            len(rankings.scores),
        ).clip(0)
        return cls(
            len(qrels),
            found=_relevant(found[rankings.best_first(found)], rankings.rows, rankings.bounds),
            ideal=_relevant(grades[np.lexsort((-grades, judged))], judged, np.cumsum([0, *sizes])),
        )

    def count(self, documents: Graded, weights: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """How many of ``documents`` each query has, or the sum of their weights, shape (queries,)."""
        return np.bincount(documents.query, weights, minlength=self.queries).astype(np.float64)


def _grades(qrels: Qrels) -> NDArray[np.int64]:
    """All grades, one query after the other, checked."""
    grades = [*chain.from_iterable(of_query.values() for of_query in qrels.values())]
    if set(map(type, grades)) - {int} or not all(-_LARGEST_GRADE <= g <= _LARGEST_GRADE for g in set(grades)):
        for query_id, of_query in qrels.items():
            for doc_id, grade in of_query.items():
                if not _is_grade(grade):
                    raise DataError(
                        f"query {query_id!r}: the grade of {doc_id!r} must be an integer from "
                        f"-{_LARGEST_GRADE} to {_LARGEST_GRADE}, got {grade!r}"
                    )
    return np.array(grades, dtype=np.int64)


def _is_grade(value: object) -> bool:
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return whole and -_LARGEST_GRADE <= value <= _LARGEST_GRADE  # type: ignore[operator]  # it is a number


def _relevant(grades: NDArray[np.int64], rows: NDArray[np.intp], bounds: NDArray[np.intp]) -> Graded:
    """The relevant of ``grades``, best first; they are of the queries ``rows``, which begin at ``bounds``."""
    at = np.flatnonzero(grades > 0)
    return Graded(rows[at], at - bounds[rows[at]] + 1, grades[at])
