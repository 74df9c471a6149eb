"""The files that commands write: looked at before the long run, and written whole or not at all."""

from __future__ import annotations

import argparse
import html
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from ragdiag.errors import DataError

__all__ = ["wanted_outputs", "write_json", "write_markdown", "write_page"]


class _NothingToWriteError(Exception):
    """Leaves `open_atomically` without writing."""


def wanted_outputs(
    options: argparse.Namespace, names: Iterable[str], inputs: Mapping[str, Path | None]
) -> dict[str, Path]:
    """The outputs that were asked for, by the names of their options without the dashes.

    Each can be written, and none would overwrite another or an input. Inputs are given by what they are
    called on the command line; those that were not given are None.

    Raises:
        DataError: a file cannot be written, or two are the same.
    """
    from ragdiag.files import open_atomically

    found = {name: getattr(options, name.replace("-", "_")) for name in names}
    wanted = {name: path for name, path in found.items() if path is not None}
    taken = {os.path.realpath(path): name for name, path in inputs.items() if path is not None}
    for name, path in wanted.items():
        option = f"--{name}"
        other = taken.setdefault(os.path.realpath(path), option)
        if other != option:
            raise DataError(f"{option} and {other} name the same file: {path}")
        with suppress(_NothingToWriteError), open_atomically(path):
            raise _NothingToWriteError
    return wanted


class _Told(Protocol):
    """A result that can be written as JSON."""

    def to_dict(self) -> dict[str, object]: ...


class _Summarized(Protocol):
    """A result that can be written as Markdown."""

    def to_markdown(self) -> str: ...


def write_json(result: _Told, path: Path) -> None:
    """The tables of a result."""
    _write(path, json.dumps(result.to_dict(), ensure_ascii=False, allow_nan=False, indent=2) + "\n")


def write_markdown(result: _Summarized, path: Path) -> None:
    """The summary of a result."""
    _write(path, result.to_markdown())


def write_page(title: str, fragment: str, path: Path) -> None:
    """A fragment of HTML as a page."""
    _write(
        path,
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n</head>\n<body>\n{fragment}\n</body>\n</html>\n",
    )


def _write(path: Path, text: str) -> None:
    from ragdiag.files import open_atomically

    with open_atomically(path) as file:
        # Lone surrogates, which UTF-8 cannot hold, become "\udc80": in JSON that is how they are written.
        file.write(text.encode("utf-8", errors="backslashreplace"))
