"""What a store holds, in a table, and how to be rid of it."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

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
    kind: str
    name: str
    entries: int = 0
    files: int = 0
    bytes: int = 0
    modified: float = float("nan")


def contents(shelves: Shelves, steps: Steps) -> pd.DataFrame:
    """A row a kind and name of what is on disk, or in memory where there is no disk; see `Store.contents`."""
    import pandas as pd

    found = _in_memory(shelves, steps) if shelves.disk is None else _on_disk(shelves.disk)
    rows = [astuple(content) for content in _by_name(found)]
    table = pd.DataFrame(rows, columns=[field.name for field in fields(_Content)])
    counts = dict.fromkeys(("entries", "files", "bytes"), "int64")
    return table.astype({"kind": str, "name": str, **counts}).assign(
        modified=pd.to_datetime(table["modified"].astype(float), unit="s", utc=True)
    )


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
    for folder in sorted(disk.root.glob(f"{_ROWS}/*/*")):
        name = _name_of_shelf(folder / ABOUT)
        for path in folder.iterdir():
            yield from _file(
                path, folder.parent.name, name, number_of_rows(path) if is_shard(path.name) else 0
            )
    for path in disk.root.glob(f"{_STEPS}/*/*"):
        try:
            with path.open("rb") as file:
                header = header_of(file.readline())
        except OSError:
            header = {}
        yield from _file(path, path.parent.name, str(header.get("name", "")), int(bool(header)))


def _file(path: Path, kind: str, name: str, entries: int) -> Iterator[_Content]:
    with contextlib.suppress(FileNotFoundError):  # another process removed it
        found = path.stat()
        yield _Content(kind, name, entries, 1, found.st_size, found.st_mtime)


def _name_of_shelf(path: Path) -> str:
    try:
        return str(json.loads(path.read_bytes())["name"])
    except (OSError, ValueError, LookupError, TypeError):
        return ""


def _in_memory(shelves: Shelves, steps: Steps) -> Iterator[_Content]:
    for shelf in shelves.all():
        if shelf.entries:
            yield _Content(shelf.kind, shelf.name, shelf.entries, bytes=shelf.nbytes)
    for kind, header, size in steps.held():
        yield _Content(kind, header["name"], 1, bytes=size)


def _by_name(found: Iterable[_Content]) -> list[_Content]:
    """One content a kind and name, in their order."""
    added: dict[tuple[str, str], _Content] = {}
    for one in found:
        other = added.get((one.kind, one.name), _Content(one.kind, one.name))
        added[one.kind, one.name] = _Content(
            one.kind,
            one.name,
            one.entries + other.entries,
            one.files + other.files,
            one.bytes + other.bytes,
            one.modified if other.modified != other.modified else max(one.modified, other.modified),
        )
    return [added[place] for place in sorted(added)]
