"""Shelves: the results of one kind of one plug, in shards that processes add to and never change."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ragdiag.errors import DataError
from ragdiag.files import open_atomically
from ragdiag.store.disk import Disk, discard
from ragdiag.store.naming import key_of
from ragdiag.store.shards import Rows, is_shard, keys_of, open_shard, take, write_shard

__all__ = ["ABOUT", "Piece", "Shelf", "Shelves"]

ABOUT = "about.json"
"""The file that says in words what lies on a shelf."""


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Rows that were found together.

    Attributes:
        positions: for which of the keys that were asked.
        rows: what was found, one a position.
    """

    positions: NDArray[np.intp]
    rows: Rows


@dataclass(frozen=True, slots=True, eq=False)
class _Shard:
    """Rows in a file."""

    path: Path

    @property
    def rank(self) -> tuple[int, str]:
        return 0, self.path.name

    def take(self, numbers: Sequence[int]) -> Rows:
        return take(self.path, numbers)


@dataclass(frozen=True, slots=True, eq=False)
class _Held:
    """Rows in memory."""

    rows: Rows

    @property
    def rank(self) -> tuple[int, str]:
        return 1, ""

    def take(self, numbers: Sequence[int]) -> Rows:
        rows: Rows = self.rows[np.asarray(numbers)]
        return rows


class Shelves:
    """All shelves of a store; ``disk`` is None for one in memory."""

    def __init__(self, disk: Disk | None) -> None:
        self.disk = disk
        self._shelves: dict[tuple[str, str], Shelf] = {}
        self._local = threading.local()

    def shelf(self, kind: str, name: str, dtype: str) -> Shelf:
        """The shelf of one kind of results of the plug of that name; ``dtype`` is of a value's numbers."""
        if (shelf := self._shelves.get((kind, name))) is None:
            shelf = self._shelves.setdefault((kind, name), Shelf(self, kind, name, dtype))
        return shelf

    def all(self) -> list[Shelf]:
        """The shelves that were used."""
        return list(self._shelves.values())

    @property
    def held_back(self) -> dict[Shelf, list[_Held]] | None:
        """What the batch of this thread holds back; None outside of one."""
        held: dict[Shelf, list[_Held]] | None = getattr(self._local, "held_back", None)
        return held

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Hold back what this thread writes, and write it at the end, a shard a shelf."""
        if self.disk is None or self.held_back is not None:
            yield  # there is no disk, or the outer batch writes
            return
        self._local.held_back = {}
        try:
            yield
        finally:
            held, self._local.held_back = self._local.held_back, None
            for shelf, tables in held.items():
                shelf.write_held(self.disk, tables)


class Shelf:
    """The results of one kind of one plug.

    Files are never changed, so processes need not wait for each other: who misses a key looks which shards
    are new. Each process reads a shard as a whole once, to see that it is what its name says.
    """

    def __init__(self, shelves: Shelves, kind: str, name: str, dtype: str) -> None:
        self.kind = kind
        self.name = name
        self._shelves = shelves
        self.dtype = dtype
        self._places: dict[bytes, tuple[_Shard | _Held, int]] = {}
        self._held: list[_Held] = []
        self._known: set[str] = set()  # the names of shards that need not be opened
        self._refused: set[str] = set()  # of these, what cannot be believed, whether it was removed or not
        self._locks: dict[int, threading.RLock] = {}

    @property
    def _lock(self) -> threading.RLock:
        # By process: another thread may hold the parent's at the moment of a fork, and never lets go of it.
        return self._locks.setdefault(os.getpid(), threading.RLock())

    def read(self, keys: Sequence[bytes]) -> list[Piece]:
        """What there is for ``keys``; those that are in no piece are not there."""
        with self._lock:
            if any(key not in self._places for key in keys):
                self._look()
            wanted: dict[_Shard | _Held, tuple[list[int], list[int]]] = {}
            for position, key in enumerate(keys):
                if (place := self._places.get(key)) is not None:
                    positions, numbers = wanted.setdefault(place[0], ([], []))
                    positions.append(position)
                    numbers.append(place[1])
            pieces = []
            for table, (positions, numbers) in wanted.items():
                try:
                    rows = table.take(numbers)
                except (OSError, ValueError) as error:
                    # Removed by another process, or damaged since it was opened.
                    self._refuse(cast("_Shard", table).path, error)
                    self._start_over()
                    return self.read(keys)
                pieces.append(Piece(np.array(positions), rows))
            return pieces

    def keep(self, rows: Rows) -> None:
        """Keep new rows: on disk at once, at the end of a batch, or in memory where there is no disk."""
        disk, held_back = self._shelves.disk, self._shelves.held_back
        if disk is None:
            self._hold(rows)
        elif held_back is not None:
            held_back.setdefault(self, []).append(self._hold(rows))
        elif not disk.wrote(partial(self._write, disk, rows)):
            self._hold(rows)

    def write_held(self, disk: Disk, tables: Sequence[_Held]) -> None:
        """Write what was held back as one shard; what cannot be written stays in memory."""
        # Vectors of another length may have come under the same name: they are no rows of the same shard.
        alike: dict[np.dtype[Any], list[_Held]] = {}
        for table in tables:
            alike.setdefault(table.rows.dtype, []).append(table)
        for held in alike.values():
            rows = np.concatenate([table.rows for table in held])
            if disk.wrote(partial(self._write, disk, rows)):
                with self._lock:
                    self._held = [table for table in self._held if table not in held]

    def forget(self) -> int:
        """Forget everything that is in memory; how many bytes rows took there."""
        with self._lock:
            freed = self.nbytes
            self._held = []
            self._start_over()
            return freed

    @property
    def entries(self) -> int:
        """The results that are known to be there."""
        return len(self._places)

    @property
    def nbytes(self) -> int:
        """What rows take in memory."""
        return sum(table.rows.nbytes for table in self._held)

    def _hold(self, rows: Rows) -> _Held:
        table = _Held(rows)
        with self._lock:
            self._held.append(table)
            self._add(table, rows)
        return table

    def _write(self, disk: Disk, rows: Rows) -> None:
        folder = self._folder(disk)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / ABOUT).exists():
            with open_atomically(folder / ABOUT) as file:
                file.write(json.dumps({"kind": self.kind, "name": self.name}).encode() + b"\n")
        path = write_shard(folder, rows)
        with self._lock:
            self._add(_Shard(path), rows)
            self._known.add(path.name)

    def _folder(self, disk: Disk) -> Path:
        return disk.root / "rows" / self.kind / key_of([self.name]).hex()

    def _look(self) -> None:
        """Take in the shards that are new since the last time."""
        if self._shelves.disk is None:
            return
        folder = self._folder(self._shelves.disk)
        try:
            names = sorted(path.name for path in folder.iterdir())
        except FileNotFoundError:
            return  # nothing was written yet
        except OSError as error:
            raise DataError(f"{folder}: cannot be read: {error.strerror or error}") from error
        for name in filter(is_shard, names):
            if name not in self._known:
                path = folder / name
                try:
                    rows = open_shard(path, self.dtype)
                except (OSError, ValueError) as error:
                    self._refuse(path, error)
                else:
                    self._add(_Shard(path), rows)
                    self._known.add(name)

    def _add(self, table: _Shard | _Held, rows: Rows) -> None:
        """Say where keys are read: in shards before memory, in the first by name of several shards."""
        for number, key in enumerate(keys_of(rows)):
            place = self._places.get(key)
            if place is None or table.rank < place[0].rank:
                self._places[key] = table, number

    def _refuse(self, path: Path, problem: Exception) -> None:
        """Do not look at a shard that vanished or is damaged."""
        if not isinstance(problem, FileNotFoundError):
            self._refused.add(path.name)
            self._known.add(path.name)
            discard(path, problem)

    def _start_over(self) -> None:
        """Forget which shards there are: the next reader looks for all of them."""
        self._known = set(self._refused)
        self._places.clear()
        for table in self._held:
            self._add(table, table.rows)
