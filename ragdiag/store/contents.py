"""What a store holds, in a table, and how to be rid of it."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragdiag.errors import DataError
from ragdiag.store.disk import Disk
from ragdiag.store.rows import ABOUT, Shelves
from ragdiag.store.shards import is_shard, number_of_rows
from ragdiag.store.steps import Steps, header_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["contents", "remove"]

_ROWS, _STEPS = "rows", "steps"


@dataclass(frozen=True, slots=True)
class _Content:
    """A file, or what is in memory."""

    kind: str
    name: str
    entries: int
    files: int
    bytes: int
    modified: float = float("nan")


def contents(shelves: Shelves, steps: Steps) -> pd.DataFrame:
    """A row a kind and name of what is on disk, or in memory where there is no disk; see `Store.contents`."""
    import pandas as pd

    found = _in_memory(shelves, steps) if shelves.disk is None else _on_disk(shelves.disk)
    columns = [field.name for field in fields(_Content)]
    table = pd.DataFrame([astuple(content) for content in found], columns=columns)
    table = table.astype(dict.fromkeys(("entries", "files", "bytes"), "int64") | {"modified": float})
    added = table.groupby(["kind", "name"], as_index=False, sort=True).agg(
        {"entries": "sum", "files": "sum", "bytes": "sum", "modified": "max"}
    )
    modified = pd.to_datetime(added["modified"], unit="s", utc=True).astype("datetime64[ns, UTC]")
    return added.assign(modified=modified)


def remove(disk: Disk, kind: str | None) -> int:
    """Remove all files of one kind, or of all; how many bytes they took.

    Raises:
        DataError: something cannot be removed.
    """
    freed = 0
    for part in (_ROWS, _STEPS):
        top = disk.root / part if kind is None else disk.root / part / kind
        for folder, _, files in os.walk(top, topdown=False):
            for name in files:
                freed += _removed(Path(folder, name))
            with contextlib.suppress(OSError):  # another process wrote into it just now
                Path(folder).rmdir()
    return freed


def _removed(path: Path) -> int:
    try:
        size = path.stat().st_size
        path.unlink()
    except FileNotFoundError:
        return 0  # another process was faster
    except OSError as error:
        raise DataError(f"{path}: cannot be removed: {error.strerror or error}") from error
    return size


def _on_disk(disk: Disk) -> Iterator[_Content]:
    """A content a file: what is left of an interrupted write is a file without entries."""
    names: dict[Path, str] = {}
    for path in disk.root.glob(f"{_ROWS}/*/*/*"):
        shelf = path.parent
        if shelf not in names:
            names[shelf] = _name_of_shelf(shelf / ABOUT)
        entries = number_of_rows(path) if is_shard(path.name) else 0
        yield from _file(path, shelf.parent.name, names[shelf], entries)
    for path in disk.root.glob(f"{_STEPS}/*/*"):
        header = _header_of_file(path)
        entries = int(path.suffix == ".jsonl" and bool(header))
        yield from _file(path, path.parent.name, str(header.get("name", "")), entries)


def _file(path: Path, kind: str, name: str, entries: int) -> Iterator[_Content]:
    with contextlib.suppress(FileNotFoundError):  # another process removed it
        found = path.stat()
        yield _Content(kind, name, entries, 1, found.st_size, found.st_mtime)


def _name_of_shelf(path: Path) -> str:
    try:
        return str(json.loads(path.read_bytes())["name"])
    except (OSError, ValueError, LookupError, TypeError):
        return ""  # damaged or gone, which takes away no result


def _header_of_file(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return header_of(file.readline())
    except OSError:
        return {}


def _in_memory(shelves: Shelves, steps: Steps) -> Iterator[_Content]:
    for shelf in shelves.all():
        if shelf.entries:
            yield _Content(shelf.kind, shelf.name, shelf.entries, 0, shelf.nbytes)
    for kind, header, size in steps.held():
        yield _Content(kind, header["name"], 1, 0, size)
