"""Arguments that several commands take: what is read, what is written, and the rules of evidence."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["add_inputs", "add_reports", "add_rules", "add_sources"]


def add_inputs(read: argparse._ArgumentGroup) -> None:
    """The documents and the questions."""
    read.add_argument("--documents", type=Path, required=True, metavar="PATH", help="the corpus, as ingested")
    read.add_argument("--queries", type=Path, required=True, metavar="FILE", help="questions with evidence")


def add_sources(read: argparse._ArgumentGroup) -> None:
    """The originals of the documents."""
    read.add_argument(
        "--sources",
        type=Path,
        metavar="PATH",
        help="the originals in which evidence is anchored, where ingestion changed the text "
        "(default: the documents)",
    )


def add_reports(write: argparse._ArgumentGroup) -> None:
    """The faces of a result."""
    write.add_argument("--json", type=Path, metavar="FILE", help="the tables, as JSON")
    write.add_argument("--markdown", type=Path, metavar="FILE", help="a summary, for a pull request")
    write.add_argument("--html", type=Path, metavar="FILE", help="a report, as one page")


def add_rules(command: argparse.ArgumentParser) -> None:
    """By what evidence is judged."""
    command.add_argument(
        "--min-coverage",
        type=float,
        default=1.0,
        metavar="X",
        help="the share from which a unit of evidence counts as delivered, above 0 and up to 1 (default: 1)",
    )
    command.add_argument(
        "--no-copies",
        dest="copies",
        action="store_false",
        help="do not let exact copies of evidence count as evidence",
    )
