"""Text files with a value for a query and a document in each line: what TREC's and BEIR's have in common.

UTF-8, lines ended by a newline; a byte order mark is dropped, blank lines are skipped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from ragdiag.errors import DataError
from ragdiag.files import open_atomically

__all__ = ["by_query", "check_writable", "graded_rows", "read_grade", "write_text"]

_GRADE = re.compile(r"[+-]?[0-9]{1,18}")

Value = TypeVar("Value")


def write_text(path: str | Path, text: str) -> None:
    """Write ``text``, which holds no lone surrogate; the file appears only when all of it is written.

    Raises:
        DataError: the file cannot be written.
    """
    with open_atomically(path) as file:
        file.write(text.encode())


def by_query(path: str | Path, rows: Iterable[tuple[int, str, str, Value]]) -> dict[str, dict[str, Value]]:
    """The values by query and document, from rows of (line number, query, document, value).

    Raises:
        DataError: there is no row, or two are about the same query and document; both lines are named.
    """
    values: dict[str, dict[str, Value]] = {}
    first_at: dict[tuple[str, str], int] = {}
    for number, query, document, value in rows:
        first = first_at.setdefault((query, document), number)
        if first != number:
            raise DataError(
                f"{path}:{number}: document {document!r} of query {query!r} is already in line {first}"
            )
        values.setdefault(query, {})[document] = value
    if not values:
        raise DataError(f"{path}: the file has no line that names a query and a document")
    return values


def read_grade(text: str) -> int:
    """The grade that a field holds.

    Raises:
        DataError: it is no whole number (of at most 18 digits).
    """
    if not _GRADE.fullmatch(text):
        raise DataError(f"expected a whole number, got {text!r}")
    return int(text)


def graded_rows(qrels: Mapping[str, Mapping[str, int]]) -> Iterator[tuple[str, str, str]]:
    """Query, document and grade of each judgment, as the fields of a file.

    Raises:
        DataError: there is none, a query has none, or a grade is no whole number.
    """
    if not qrels:
        raise DataError("no judgments to write")
    for query, grades in qrels.items():
        if not grades:
            raise DataError(f"query {query!r} has no judged document, which a file of judgments cannot say")
        for document, grade in grades.items():
            # As the reader will see it: so True and 1.0 are refused, and numpy's integers are not.
            if not _GRADE.fullmatch(field := str(grade)):
                raise DataError(
                    f"query {query!r}: grade of {document!r}: expected a whole number, got {grade!r}"
                )
            yield query, document, field


def check_writable(value: object, what: str, never: re.Pattern[str]) -> None:
    """Check that ``value`` can be a field of a file, in which ``never`` must not be found.

    Raises:
        DataError: it is no string, is empty, or holds what it must not.
    """
    if not isinstance(value, str):
        raise DataError(f"{what} {value!r} cannot be written: expected a string")
    if not value:
        raise DataError(f"{what} {value!r} cannot be written: it is empty")
    found = never.search(value)
    if found:
        raise DataError(f"{what} {value!r} cannot be written: it holds {found[0]!r}")
