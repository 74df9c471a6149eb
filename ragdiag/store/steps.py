"""Results of steps: lines of JSON that one file holds, with a digest by which a damaged file is known.

The first line is the header: what the file is, and the digest of all that comes after it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ragdiag.errors import DataError
from ragdiag.files import open_atomically
from ragdiag.store.disk import Disk, discard
from ragdiag.store.naming import KEY_BYTES, require_slug

__all__ = ["Steps", "header_of"]

_FORMAT = "ragdiag-step"
_VERSION = 1


class Steps:
    """The results of all steps in a store; ``disk`` is None for one in memory."""

    def __init__(self, disk: Disk | None) -> None:
        self.disk = disk
        self._held: dict[tuple[str, str], bytes] = {}

    def read(self, kind: str, key: str) -> list[dict[str, Any]] | None:
        """The lines of a step; None where they are not there, or not whole."""
        _require_slugs(kind, key)
        content = self._held.get((kind, key))
        if content is not None:
            return _lines(content, kind, key)
        if self.disk is None:
            return None
        path = _path(self.disk, kind, key)
        try:
            return _lines(path.read_bytes(), kind, key)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            discard(path, error)
            return None

    def write(self, kind: str, key: str, lines: Iterable[Mapping[str, Any]], name: str) -> None:
        """Keep the lines of a step: on disk, or in memory where there is none or it is full."""
        _require_slugs(kind, key)
        content = _content(kind, key, lines, name)
        disk = self.disk
        if disk is None or not disk.wrote(lambda: _write(_path(disk, kind, key), content)):
            self._held[kind, key] = content

    def held(self) -> list[tuple[str, dict[str, Any], int]]:
        """What is in memory: the kind, the header and the size of each step."""
        return [(kind, header_of(content), len(content)) for (kind, _), content in self._held.items()]

    def forget(self, kind: str | None) -> int:
        """Forget what is in memory, of one kind or all; how many bytes it took."""
        gone = {place: content for place, content in self._held.items() if kind in (None, place[0])}
        for place in gone:
            self._held.pop(place, None)
        return sum(map(len, gone.values()))


def header_of(content: bytes) -> dict[str, Any]:
    """The header of a step, which is not checked; empty where there is none."""
    try:
        header = _decode(content.split(b"\n", 1)[0])
    except (ValueError, RecursionError):
        return {}
    return header if isinstance(header, dict) else {}


def _require_slugs(kind: str, key: str) -> None:
    require_slug("kind", kind)
    require_slug("key", key)


def _path(disk: Disk, kind: str, key: str) -> Path:
    return disk.root / "steps" / kind / f"{key}.jsonl"


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open_atomically(path) as file:
        file.write(content)


def _content(kind: str, key: str, lines: Iterable[Mapping[str, Any]], name: str) -> bytes:
    try:
        rest = b"".join(_encode(line) for line in lines)
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(f"the step {kind!r} of {name!r} holds what JSON cannot: {error}") from error
    return _encode(_header(kind, key, name, rest)) + rest


def _lines(content: bytes, kind: str, key: str) -> list[dict[str, Any]]:
    """The lines after the header.

    Raises:
        ValueError: the content is not that of the step, as it was written.
    """
    rest = content[content.find(b"\n") + 1 :]
    found = header_of(content)
    wanted = _header(kind, key, str(found.get("name")), rest)
    different = [field for field, value in wanted.items() if found.get(field) != value]
    if different:
        raise ValueError(f"its header has another {' and '.join(different)}")
    return [_decode(line) for line in rest.splitlines()]


def _header(kind: str, key: str, name: str, rest: bytes) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "version": _VERSION,
        "kind": kind,
        "key": key,
        "name": name,
        "digest": hashlib.blake2b(rest, digest_size=KEY_BYTES).hexdigest(),
    }


def _encode(line: Mapping[str, Any]) -> bytes:
    # Not escaped: two lone surrogates side by side would read back as one character.
    return json.dumps(line, ensure_ascii=False, allow_nan=False).encode("utf-8", "surrogatepass") + b"\n"


def _decode(line: bytes) -> Any:
    return json.loads(line.decode("utf-8", "surrogatepass"))
