"""Runs and judgments from and to the files of TREC, which trec_eval and its kin read.

A line of a run is ``query Q0 document rank score tag``, of qrels ``query 0 document grade``; whitespace (that
of ASCII) separates the fields.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ragdiag.errors import DataError
from ragdiag.formats.jsonl import located, text_lines
from ragdiag.formats.tables import by_query, check_writable, graded_rows, read_grade, write_text
from ragdiag.measures.runs import Rankings
from ragdiag.stages.ranking import order_by_score

if TYPE_CHECKING:
    from ragdiag.measures import Qrels, Run

__all__ = ["read_qrels", "read_run", "write_qrels", "write_run"]

_RUN = ("query", "Q0", "document", "rank", "score", "tag")
_QRELS = ("query", "iteration", "document", "grade")

_FIELD = re.compile(r"\S+", re.ASCII)
_SCORE = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
# Any whitespace, as some readers split at all that Unicode calls so; a byte order mark would be dropped from
# the start of the file; UTF-8 has no lone surrogates.
_NEVER = re.compile("\\s|^\ufeff|[\ud800-\udfff]")


def read_run(path: str | Path) -> dict[str, dict[str, float]]:
    """The scores of a run file by query and document, best first; equal scores in the order of the file.

    The order is by score. The ranks of the file are not looked at, as trec_eval does not; nor are ``Q0`` and
    the tag. Queries stand in the order in which the file first names them.

    Raises:
        DataError: naming the file, the line and the field: a line without six fields, a score that is no
            finite number, a document that a query has twice (both lines are named); also where the file
            cannot be read or has no line.
    """
    run = by_query(path, _scored(path))
    return {query: dict(_best_first(list(scores.items()))) for query, scores in run.items()}


def write_run(path: str | Path, run: Run, *, tag: str = "ragdiag") -> None:
    """Write a run file that `read_run` reads back as the same scores, to the last bit.

    Best first, with ranks from 1; equal scores keep the order given. (trec_eval does not, nor does
    `ragdiag.evaluate` with what was read back: both order them by id.) A query that found nothing has no
    line.

    Args:
        path: where to.
        run: for each query scores by document, or pairs of document and score or hits, best first.
        tag: the name of the run, the last field of every line.

    Raises:
        DataError: there is no line to write, an id or the tag is empty or holds whitespace, a score is no
            finite number, a sequence is not best first or has a document twice. Nothing is written then.
    """
    with located(str(path)):
        check_writable(tag, "tag", _NEVER)
        lines = [
            f"{query} Q0 {document} {rank} {score!r} {tag}\n"
            for query, found in _checked(run)
            for rank, (document, score) in enumerate(_best_first(found), start=1)
        ]
        if not lines:
            raise DataError("no results to write")
    write_text(path, "".join(lines))


def read_qrels(path: str | Path, *, grades: Mapping[int, int] | None = None) -> dict[str, dict[str, int]]:
    """The grades of a qrels file by query and document, in the order of the file.

    Grades are taken as they stand, and everything above 0 counts as relevant, the more the higher. Not every
    collection means it so: where 1 is best, as in Cranfield, every measure that looks at grades would be
    wrong without a word. Look at the collection's own description, and turn such a scale by ``grades``:
    ``grades={1: 4, 2: 3, 3: 2, 4: 1, -1: 0}``.

    Args:
        path: the file.
        grades: what each grade of the file becomes; all that occur must be in it.

    Raises:
        DataError: naming the file, the line and the field: a line without four fields, a grade that is no
            whole number or not among ``grades``, a document that a query has twice (both lines are named);
            also where the file cannot be read or has no line.
    """
    return by_query(path, _graded(path, grades))


def write_qrels(path: str | Path, qrels: Qrels) -> None:
    """Write a qrels file that `read_qrels` reads back as the same grades.

    Raises:
        DataError: there is no judgment, a query has none, an id is empty or holds whitespace, or a grade is
            no whole number. Nothing is written then.
    """
    lines = []
    with located(str(path)):
        for query, document, grade in graded_rows(qrels):
            check_writable(query, "query id", _NEVER)
            check_writable(document, f"query {query!r}: document id", _NEVER)
            lines.append(f"{query} 0 {document} {grade}\n")
    write_text(path, "".join(lines))


def _rows(path: str | Path, names: tuple[str, ...]) -> Iterator[tuple[int, list[str]]]:
    """The fields of each line, as many as there are ``names``."""
    for number, line in text_lines(path):
        fields = _FIELD.findall(line)
        if len(fields) != len(names):
            other = {len(_RUN): "read_run", len(_QRELS): "read_qrels"}.get(len(fields))
            hint = f" ({other} takes so many)" if other else ""
            raise DataError(
                f"{path}:{number}: expected {len(names)} fields ({', '.join(names)}), got {len(fields)}{hint}"
            )
        yield number, fields


def _scored(path: str | Path) -> Iterator[tuple[int, str, str, float]]:
    for number, (query, _, document, _, score, _) in _rows(path, _RUN):
        value = float(score) if _SCORE.fullmatch(score) else math.nan
        if not math.isfinite(value):
            raise DataError(f"{path}:{number}: score: expected a finite number, got {score!r}")
        yield number, query, document, value


def _graded(path: str | Path, grades: Mapping[int, int] | None) -> Iterator[tuple[int, str, str, int]]:
    for number, (query, _, document, field) in _rows(path, _QRELS):
        with located(f"{path}:{number}: grade"):
            grade = read_grade(field)
            if grades is not None and grade not in grades:
                raise DataError(f"{grade} is none of those given: {', '.join(map(repr, grades))}")
        yield number, query, document, grade if grades is None else grades[grade]


def _checked(run: Run) -> Iterator[tuple[str, list[tuple[str, float]]]]:
    """Each query with its documents and their scores, whatever form its ranking has."""
    rankings = Rankings.of(run, run)
    scores = rankings.scores.tolist()
    for query, documents, start in zip(run, rankings.ids, rankings.bounds.tolist(), strict=False):
        check_writable(query, "query id", _NEVER)
        for document in documents:
            check_writable(document, f"query {query!r}: document id", _NEVER)
        yield query, list(zip(documents, scores[start : start + len(documents)], strict=True))


def _best_first(found: Sequence[tuple[str, float]]) -> Iterator[tuple[str, float]]:
    for place in order_by_score([score for _, score in found]).tolist():
        yield found[place]
