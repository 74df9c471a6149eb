"""The summary of a diagnosis, and the option ``--explain``, which adds the story of one query."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ragdiag.errors import DataError

if TYPE_CHECKING:
    from ragdiag.diagnosis.result import Diagnosis
    from ragdiag.records import Query

__all__ = ["LATENCY_QUERIES", "add_explain", "check_explained", "summary"]

LATENCY_QUERIES = 100
"""How many queries are asked one by one, to say what a single one takes."""


def add_explain(command: argparse.ArgumentParser) -> None:
    """The option itself."""
    command.add_argument(
        "--explain",
        metavar="QUERY_ID",
        help="also tell the story of one query: its evidence, the chunks around it, and what lost it",
    )


def check_explained(query_id: str | None, queries: Sequence[Query]) -> None:
    """Check before the long run that the query can be explained.

    Raises:
        DataError: there is no such query, or it has no evidence.
    """
    if query_id is None:
        return
    query = next((query for query in queries if query.id == query_id), None)
    if query is None:
        raise DataError(f"--explain: no query has the id {query_id!r}")
    if not query.assessed:
        raise DataError(f"--explain: query {query_id!r} has no evidence: nothing can be lost")


def summary(diagnosis: Diagnosis, explained: str | None) -> str:
    """The diagnosis as text, with the story of a query where one is asked for."""
    return f"{diagnosis}" if explained is None else f"{diagnosis}\n{diagnosis.explain(explained)}"
