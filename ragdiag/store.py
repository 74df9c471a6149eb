"""Results of models kept by their content, so that no text is embedded twice and no pair scored twice.

A store is one SQLite file. Its keys are digests of what was asked of whom, its values plain numbers: nothing
in it is executed when it is read. Processes may share it, and a crash loses the call that was under way.
"""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from ragdiag.errors import ConfigError, DataError, StageError
from ragdiag.stages.protocols import Embedder, Reranker, Vectors, require_plug
from ragdiag.stages.tokens import TokenCounter, count

__all__ = ["Asked", "Store", "StoredEmbedder", "StoredReranker"]

_APPLICATION = 0x52414744  # "RAGD", which SQLite keeps in the header of the file
_VERSION = 1
_PATIENCE = 60.0  # seconds that one process waits for another that is writing
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")

_Keys: TypeAlias = Sequence[bytes]


@dataclass(slots=True)
class Asked:
    """What really reached a stored plug, because the store did not hold it.

    Attributes:
        documents: texts that were embedded as documents.
        queries: texts that were embedded as queries.
        pairs: pairs of query and text that were scored.
    """

    documents: int = 0
    queries: int = 0
    pairs: int = 0


class Store:
    """Vectors, token counts and scores on disk, by the content of what was asked.

    `embedder` and `reranker` put it around a plug; the pipeline does not notice, except by its speed. What a
    plug returned is written in one transaction before it is handed on. Several processes may use one file at
    the same time: one waits while another writes, and where both worked out the same thing the first result
    stays.

    A result is found again by the plug's name, what was asked (a document, a query, a pair) and the text,
    through SHA-256. The name is the plug's ``repr`` unless another is given. A ``repr`` may not be enough: it
    does not say that a folder now holds other weights, that a service changed its model, or what a class of
    one's own does with options that it does not show. Give a name of your own there, and a new one with
    every change.

    Pickling hands on the path alone, so that an in-memory store arrives empty.

    Args:
        path: the file; made where there is none. None keeps everything in memory.

    Raises:
        DataError: the file cannot be opened, is damaged, or is no store; later too, where reading or writing
            it fails.

    Example:
        >>> from ragdiag.stages.embedders import HashingEmbedder
        >>> embedder = Store().embedder(HashingEmbedder(8))
        >>> embedder.embed_documents(["a text", "another", "a text"]).shape, embedder.asked.documents
        ((3, 8), 2)
        >>> embedder.embed_documents(["another"]).shape, embedder.asked.documents
        ((1, 8), 2)
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = None if path is None else Path(path)
        self._lock = threading.Lock()
        # By process, since a connection must not be used on the other side of a fork.
        self._connections: dict[int, sqlite3.Connection] = {}
        self._finalizer = weakref.finalize(self, _close, self._connections)
        with self._connected():
            pass  # what cannot be opened is refused here, and not after hours of work

    def __repr__(self) -> str:
        return f"Store({'' if self.path is None else repr(str(self.path))})"

    def __getstate__(self) -> dict[str, object]:
        return {"path": self.path}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__init__(state["path"])  # type: ignore[misc]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file, which the next use opens again; what is in memory is forgotten."""
        with self._lock:
            _close(self._connections)

    def embedder(self, inner: Embedder, *, name: str | None = None) -> StoredEmbedder:
        """An embedder with the same vectors, of which the store keeps every one.

        A model whose vectors depend, in their last digits, on what else is in a batch may answer a single
        text slightly differently from what the store keeps of it.

        Args:
            inner: what embeds the texts that the store does not hold.
            name: what its results are kept under; its ``repr`` where not given.

        Raises:
            ConfigError: ``inner`` is no embedder, or has no name that stays the same.
        """
        require_plug("embedder", inner, called="Store.embedder")
        kind = _CountingEmbedder if hasattr(inner, "count_tokens") else StoredEmbedder
        return kind(inner, self, _name_of(inner, name))

    def reranker(self, inner: Reranker, *, name: str | None = None) -> StoredReranker:
        """A reranker with the same scores, of which the store keeps every one.

        Only for one whose score depends on its query and text alone: not for one that compares the texts of a
        call with each other.

        Args:
            inner: what scores the pairs that the store does not hold.
            name: what its results are kept under; its ``repr`` where not given.

        Raises:
            ConfigError: ``inner`` is no reranker, or has no name that stays the same.
        """
        require_plug("reranker", inner, called="Store.reranker")
        return StoredReranker(inner, self, _name_of(inner, name))

    def read(self, keys: _Keys) -> dict[bytes, bytes]:
        """The values of those ``keys`` that are there."""
        found = {}
        with self._connected() as connection:
            for key in dict.fromkeys(keys):
                row = connection.execute("SELECT value FROM results WHERE key = ?", (key,)).fetchone()
                if row is not None:
                    found[key] = row[0]
        return found

    def write(self, results: Mapping[bytes, bytes]) -> None:
        """Keep values by their keys, all or none of them; those that are there already stay."""
        with self._connected() as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT OR IGNORE INTO results VALUES (?, ?)", results.items())

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                connection = self._connections.get(os.getpid())
                if connection is None:
                    connection = self._connections[os.getpid()] = _open(self.path)
                yield connection
            except sqlite3.Error as error:
                raise DataError(
                    f"{self.path or 'the store in memory'}: cannot be used as a store of results: {error}"
                ) from error


@dataclass(frozen=True, eq=True)
class StoredEmbedder:
    """An embedder whose vectors a store keeps; made by `Store.embedder`.

    It shows itself, and declares everything, as the embedder inside does. Token vectors are not kept: give a
    reranker that needs them the embedder itself.

    Attributes:
        inner: what embeds the texts that the store does not hold, in one call, each text once.
        store: where vectors are kept.
        name: what they are kept under.
        asked: how many texts reached ``inner``.
    """

    inner: Embedder
    store: Store
    name: str
    asked: Asked = field(default_factory=Asked, compare=False)

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """One row a text, shape (len(texts), d).

        Raises:
            DataError: the store holds vectors of another dimension under this name.
            StageError: ``inner`` returned what is no matrix of finite numbers with a row a text.
        """
        rows, asked = self._rows("document", texts, self.inner.embed_documents)
        self.asked.documents += asked
        return rows

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """One row a text, shape (len(texts), d); raises as `embed_documents` does."""
        rows, asked = self._rows("query", texts, self.inner.embed_queries)
        self.asked.queries += asked
        return rows

    def __repr__(self) -> str:
        return repr(self.inner)

    def __getattr__(self, name: str) -> Any:
        # What an embedder may declare is open, and hasattr() must answer as it does for the one inside.
        if name.startswith("_") or name == "inner":
            raise AttributeError(name)
        return getattr(self.inner, name)

    def _rows(
        self, kind: str, texts: Sequence[str], embed: Callable[[Sequence[str]], Vectors]
    ) -> tuple[Vectors, int]:
        """The vectors of the texts, and how many texts had to be embedded for them."""
        if not texts:
            return embed(texts), 0  # the shape of nothing is known to the embedder alone
        dimension_key = _key(self.name, "dimension")
        keys = [_key(self.name, kind, text) for text in texts]
        known = self.store.read([dimension_key, *keys])
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        if missing:
            rows = _finite("embedder", self.inner, embed(list(missing.values())), (len(missing), None))
            size = np.int64(rows.shape[1]).tobytes()
            self._check(known.get(dimension_key, size) == size, f"the embedder now makes {rows.shape[1]}")
            fresh = {dimension_key: size} | {
                key: row.astype("<f4").tobytes() for key, row in zip(missing, rows, strict=True)
            }
            self.store.write(fresh)
            known |= fresh
        dimension = int(np.frombuffer(known[dimension_key], "<i8")[0]) if dimension_key in known else -1
        values = [known[key] for key in keys]
        self._check(all(len(value) == 4 * dimension for value in values), "some have another")
        vectors = np.frombuffer(b"".join(values), "<f4").reshape(len(texts), dimension)
        return vectors.astype(np.float32), len(missing)

    def _check(self, holds: bool, but: str) -> None:  # noqa: FBT001
        if not holds:
            raise DataError(
                f"{self.store!r} keeps vectors of one dimension under the name {self.name!r}, but {but}: give "
                "Store.embedder another name for another model, or begin a new file"
            )


class _CountingEmbedder(StoredEmbedder):
    """Around an embedder that counts tokens. A class of its own, so that it has the method and others not."""

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """As the embedder inside counts; counts are kept, too."""
        inner = cast("TokenCounter", self.inner)
        keys = [_key(self.name, "tokens", text) for text in texts]
        known = self.store.read(keys)
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        if missing:
            counts = count(inner, list(missing.values()), stage="embedder")
            fresh = {key: np.int64(number).tobytes() for key, number in zip(missing, counts, strict=True)}
            self.store.write(fresh)
            known |= fresh
        return _numbers(self.store, [known[key] for key in keys], "<i8").tolist()
