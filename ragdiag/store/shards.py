"""A shard: some results of one plug in one file that nobody changes, and whose name is its content's digest.

It is a ``.npy`` of rows: the key of what was asked, the value (one number or several), and the seconds that
working it out took. Nothing in it is executed when it is read.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragdiag.files import open_atomically
from ragdiag.store.naming import KEY_BYTES

__all__ = ["Rows", "is_shard", "keys_of", "make_rows", "number_of_rows", "open_shard", "take", "write_shard"]

Rows = NDArray[Any]
"""Rows of a shard: a structured array of ``key``, ``value`` and ``seconds``."""

_NAME = re.compile(rf"[0-9a-f]{{{2 * KEY_BYTES}}}\.npy")


def make_rows(keys: Sequence[bytes], values: NDArray[Any], seconds: NDArray[Any]) -> Rows:
    """Rows of a shard; ``values`` has shape (rows,) or (rows, d), ``seconds`` shape (rows,)."""
    rows = np.empty(
        len(keys),
        [("key", f"V{KEY_BYTES}"), ("value", values.dtype, values.shape[1:]), ("seconds", "<f4")],
    )
    rows["key"] = np.frombuffer(b"".join(keys), f"V{KEY_BYTES}")
    rows["value"] = values
    rows["seconds"] = seconds
    return rows


def keys_of(rows: Rows) -> list[bytes]:
    """The keys, in the order of the rows."""
    joined = rows["key"].tobytes()
    return [joined[start : start + KEY_BYTES] for start in range(0, len(joined), KEY_BYTES)]


def is_shard(name: str) -> bool:
    """Whether a file of this name is a shard."""
    return _NAME.fullmatch(name) is not None


def write_shard(folder: Path, rows: Rows) -> Path:
    """Write rows as a new shard, and say which file it is.

    Raises:
        DataError: it cannot be written.
    """
    content = io.BytesIO()
    np.save(content, rows, allow_pickle=False)
    digest = hashlib.blake2b(content.getbuffer(), digest_size=KEY_BYTES).hexdigest()
    path = folder / f"{digest}.npy"
    with open_atomically(path) as file:
        file.write(content.getbuffer())
    return path


def open_shard(path: Path, dtype: str) -> Rows:
    """The rows of a shard, in the file, once it is known that the file is what it was written as.

    Args:
        path: the file.
        dtype: of one number of a value.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged.
    """
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=KEY_BYTES)).hexdigest()
    if digest != path.stem:
        raise ValueError(f"its content has the digest {digest}")
    rows = _mapped(path)
    names = rows.dtype.names
    if names != ("key", "value", "seconds") or rows.ndim != 1 or rows.dtype["value"].base != np.dtype(dtype):
        raise ValueError(f"expected rows of key, value ({dtype}) and seconds, got {rows.dtype}")
    return rows


def take(path: Path, numbers: Sequence[int]) -> Rows:
    """Some rows of a shard that was found to be whole before; the file is not held open.

    Raises:
        OSError: the file cannot be read.
        ValueError: it was damaged since.
    """
    rows = _mapped(path)
    if max(numbers) >= len(rows):
        raise ValueError(f"it has {len(rows)} rows, and had more")
    return np.asarray(rows[np.asarray(numbers)])


def _mapped(path: Path) -> Rows:
    # Not np.load, which would open an archive or a pickle as well.
    rows: Rows = np.lib.format.open_memmap(path, mode="r")
    return rows


def number_of_rows(path: Path) -> int:
    """How many rows a shard says that it has, which is not checked; 0 where it does not say."""
    try:
        with path.open("rb") as file:
            np.lib.format.read_magic(file)
            shape, _, _ = np.lib.format.read_array_header_1_0(file)
    except (OSError, ValueError):
        return 0
    return int(shape[0]) if shape else 0
