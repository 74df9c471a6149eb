"""Lines of a terminal that are never too wide: wrapped texts and tables whose cells wrap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest

from ragdiag.diagnosis.explanation import ChunkSight
from ragdiag.report.escaping import columns, wrap
from ragdiag.report.figures import rank
from ragdiag.report.lost import Failure

__all__ = ["WIDTH", "rank_cells", "side_by_side", "wrapped"]

WIDTH = 100
"""Columns of the terminal that a report takes at most."""


def wrapped(text: str, *, first: str = "", rest: str = "") -> list[str]:
    """``text`` on lines of at most `WIDTH` columns; a word that is wider is broken."""
    lines = wrap(text, WIDTH - max(len(first), len(rest)))
    return [(rest if i else first) + line for i, line in enumerate(lines)]


def side_by_side(cells: Sequence[str], widths: Sequence[int], *, indent: int) -> list[str]:
    """A row of a table, its cells two columns apart.

    All cells wrap; the first is indented where it goes on, the last, a number, is right-aligned.

    Example:
        >>> side_by_side(["one two", "three", "4"], [5, 5, 3], indent=2)
        ['  one    three    4', '    two']
    """
    head, *rest = cells
    beginning, *further = wrap(head, widths[0] - 2)
    columns_of_lines = [
        [beginning, *(f"  {line}" for line in further)],
        *(wrap(cell, width) for cell, width in zip(rest, widths[1:], strict=True)),
    ]
    lines = []
    for row in zip_longest(*columns_of_lines, fillvalue=""):
        *texts, number = row
        padded = [text + " " * (width - columns(text)) for text, width in zip(texts, widths, strict=False)]
        lines.append(" " * indent + "  ".join([*padded, f"{number:>{widths[-1]}}"]).rstrip())
    return lines


def rank_cells(ranked: Failure | ChunkSight, rankings: Mapping[str, str]) -> str:
    """The ranks below their rankings' names, each with a column before it."""
    return "".join(f" {rank(getattr(ranked, column)):>{len(name)}}" for column, name in rankings.items())
