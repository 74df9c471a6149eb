"""``ragdiag cache``: what a store of results holds, and how to be rid of it."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ragdiag.cli.command import Command, Output
from ragdiag.errors import DataError

if TYPE_CHECKING:
    from ragdiag.store import Store

__all__ = ["CACHE"]

_NAME = 120  # characters shown of a plug's name: it may hold a whole system prompt


def _fill(command: argparse.ArgumentParser) -> None:
    command.add_argument("path", type=Path, metavar="PATH", help="the folder of the store")
    command.add_argument(
        "--clear",
        nargs="?",
        const="",  # everything: no kind is called so
        metavar="KIND",
        help="remove what it holds, or what it holds of one kind; all of it can be worked out again",
    )


def _run(options: argparse.Namespace) -> Output:
    from ragdiag.store import Store

    if not options.path.is_dir():  # a store would be made there
        raise DataError(f"{options.path}: there is no such folder")
    store = Store(options.path)
    if options.clear is None:
        return Output(_listed(store))
    kinds = sorted(set(store.contents()["kind"]))
    if options.clear and options.clear not in kinds:
        there = ", ".join(kinds) or "nothing"
        raise DataError(f"{options.path}: holds nothing of the kind {options.clear!r}; it holds {there}")
    freed = store.clear(options.clear or None)
    return Output(f"Removed {_kilobytes(freed)}{options.clear and f' of {options.clear}'}.")


def _listed(store: Store) -> str:
    from ragdiag.report.escaping import cut_middle, one_line
    from ragdiag.report.values import rows_of

    rows = rows_of(store.contents())
    if not rows:
        return "The store is empty."
    total = {name: sum(row[name] for row in rows) for name in ("entries", "files", "bytes")}
    lines = [f"{'kind':<18}{'entries':>11}{'files':>8}{'size':>14}  {'modified (UTC)':<16}  name"]
    for row in rows:
        name = cut_middle(one_line(row["name"]), _NAME)
        lines.append(f"{_figures(row['kind'], row)}  {row['modified']:%Y-%m-%d %H:%M}  {name}")
    return "\n".join([*lines, _figures("all", total)])


def _figures(kind: str, row: Mapping[str, int]) -> str:
    return f"{kind:<18}{row['entries']:>11,}{row['files']:>8,}{_kilobytes(row['bytes']):>14}"


def _kilobytes(size: int) -> str:
    return f"{-(-size // 1000):,} kB"


CACHE = Command(
    name="cache",
    told="list or clear a store of results",
    description="""\
List what a store of results holds: vectors, scores, rankings and steps of
sweeps, by the plug that they are of. Or remove them.""",
    example="""\
example:
  ragdiag cache .ragdiag
  ragdiag cache .ragdiag --clear
  ragdiag cache .ragdiag --clear document-vectors

The kinds are those of the list.
""",
    fill=_fill,
    run=_run,
)
