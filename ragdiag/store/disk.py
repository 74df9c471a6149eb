"""The folder of a store: made or recognized, written as long as there is room, believed where it is whole."""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Callable
from pathlib import Path

from ragdiag.errors import DataError, RagdiagWarning
from ragdiag.files import open_atomically

__all__ = ["Disk", "discard"]

_MARK = "ragdiag-store.json"
_FORMAT = "ragdiag-store"
_VERSION = 1


class Disk:
    """The folder of a store, which is made where there is none.

    Attributes:
        root: the folder.

    Raises:
        DataError: the folder cannot be made or read, or holds something else.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._told = False
        _open(root)

    def wrote(self, write: Callable[[], None]) -> bool:
        """Whether ``write`` could write its files; the first time that it could not, a warning says so."""
        try:
            write()
        except (OSError, DataError) as error:
            if not isinstance(error.__cause__ or error, OSError):
                raise  # not about the disk
            if not self._told:
                self._told = True
                warnings.warn(
                    f"{self.root}: a result cannot be kept on disk ({error}). What cannot be written stays "
                    "in the memory of this process, and is worked out again by the next one",
                    RagdiagWarning,
                    stacklevel=2,
                )
            return False
        return True


def discard(path: Path, problem: Exception) -> None:
    """Say that the results of a file are worked out again, and remove the file if its content is wrong.

    Args:
        path: the file.
        problem: an `OSError` where it cannot be read, which says nothing of its content.
    """
    if isinstance(problem, OSError):
        what = "cannot be read"
    else:
        what = "was truncated or altered"
        with contextlib.suppress(OSError):  # where it cannot be removed, it is only not believed
            path.unlink()
    warnings.warn(
        f"{path}: {what} ({problem}); its results are worked out again", RagdiagWarning, stacklevel=2
    )


def _open(root: Path) -> None:
    try:
        if root.is_file():
            raise DataError(_why_no_file(root))
        root.mkdir(parents=True, exist_ok=True)
        # Another process may be making the same store: its drafts are not something else.
        names = {path.name for path in root.iterdir() if path.suffix != ".tmp"}
        if _MARK in names:
            _check_mark(root / _MARK)
            return
    except OSError as error:
        raise DataError(
            f"{root}: cannot be used as the folder of a store: {error.strerror or error}"
        ) from error
    if names:
        raise DataError(
            f"{root}: is not empty and no store of results (it holds {min(names)!r} and no {_MARK}); name a "
            "new or an empty folder"
        )
    with open_atomically(root / _MARK) as file:
        file.write(json.dumps({"format": _FORMAT, "version": _VERSION}).encode() + b"\n")


def _check_mark(path: Path) -> None:
    try:
        found = json.loads(path.read_bytes())
    except ValueError as error:
        raise DataError(f"{path}: is damaged ({error}); delete the folder, or name a new one") from error
    if not isinstance(found, dict) or found.get("format") != _FORMAT:
        raise DataError(f"{path}: is not the mark of a store; name a new folder")
    if found.get("version") != _VERSION:
        raise DataError(
            f"{path.parent}: is a store of version {found.get('version')!r}, and this release reads version "
            f"{_VERSION}; name a new folder"
        )


def _why_no_file(path: Path) -> str:
    with path.open("rb") as file:
        if file.read(16) == b"SQLite format 3\0":
            return (
                f"{path}: is a database, as stores of results were before. A store is a folder now: name a "
                "new one, and delete the file where nothing else needs it"
            )
    return f"{path}: is a file, and a store of results is a folder; name a new one"
