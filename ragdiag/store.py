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
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray

from ragdiag.errors import ConfigError, DataError, StageError
from ragdiag.stages.protocols import Embedder, Reranker, Vectors, require_plug
from ragdiag.stages.tokens import TokenCounter, count

__all__ = ["Asked", "Store", "StoredEmbedder", "StoredReranker", "without_address"]

_APPLICATION = 0x52414744  # "RAGD", which SQLite keeps in the header of the file
_VERSION = 1
_PATIENCE = 60.0  # seconds that one process waits for another that is writing
# The same on every machine, whatever its own order of bytes.
_FLOAT, _DOUBLE, _WHOLE = "<f4", "<f8", "<i8"


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

    def read(self, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        """The values of those ``keys`` that are there."""
        found = {}
        with self._connected() as connection:
            for key in keys:
                row = connection.execute("SELECT value FROM results WHERE key = ?", (key,)).fetchone()
                if row is not None:
                    found[key] = row[0]
        return found

    def write(self, results: Mapping[bytes, bytes]) -> None:
        """Keep values by their keys, all of them or none; those that are there already stay."""
        with self._connected() as connection, _transaction(connection):
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
                    f"{self.path or 'the store in memory'}: cannot be used as a store of results ({error}). "
                    "Where the file is damaged, delete it: all that it holds can be worked out again"
                ) from error


@dataclass(frozen=True, repr=False)
class _Stored:
    """What both kinds of stored plugs have in common.

    Attributes:
        inner: the plug that answers what the store cannot.
        store: where its results are kept.
        name: what they are kept under.
        asked: what reached ``inner``.
    """

    inner: Any
    store: Store
    name: str
    asked: Asked = field(default_factory=Asked, compare=False)

    def __repr__(self) -> str:
        return repr(self.inner)

    def __getattr__(self, name: str) -> Any:
        # What a plug may declare is open, and hasattr() must answer as it does for the one inside.
        if name.startswith("_") or name == "inner":
            raise AttributeError(name)
        return getattr(self.inner, name)

    def _complete(
        self, question: Sequence[str], texts: Sequence[str], ask: Callable[[list[str]], list[bytes]]
    ) -> tuple[list[bytes], int]:
        """The result of each text, and how many texts ``inner`` was asked for, once each and in one call."""
        keys = [_key(self.name, *question, text) for text in texts]
        text_of = dict(zip(keys, texts, strict=True))
        known = self.store.read(text_of)
        missing = [key for key in text_of if key not in known]
        fresh = dict(zip(missing, ask([text_of[key] for key in missing]), strict=True)) if missing else {}
        sizes = {len(value) for results in (known, fresh) for value in results.values()}
        if len(sizes) > 1:
            raise DataError(
                f"{self.store!r} keeps results of another size under the name {self.name!r}: expected one "
                f"size, got {sorted(sizes)} bytes. Another model needs another name, or a new file"
            )
        self.store.write(fresh)
        results = known | fresh
        return [results[key] for key in keys], len(missing)


@dataclass(frozen=True, repr=False)
class StoredEmbedder(_Stored):
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

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """One row a text, shape (len(texts), d).

        Raises:
            DataError: the store holds vectors of another dimension under this name.
            StageError: ``inner`` did not return a finite vector for each text.
        """
        rows, asked = self._rows("document", texts, self.inner.embed_documents)
        self.asked.documents += asked
        return rows

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """One row a text, shape (len(texts), d); raises as `embed_documents` does."""
        rows, asked = self._rows("query", texts, self.inner.embed_queries)
        self.asked.queries += asked
        return rows

    def _rows(
        self, kind: str, texts: Sequence[str], embed: Callable[[Sequence[str]], Vectors]
    ) -> tuple[Vectors, int]:
        if not texts:
            return embed(texts), 0  # what nothing looks like, the embedder alone knows

        def ask(missing: list[str]) -> list[bytes]:
            rows = _finite("embedder", self.inner, embed(missing), len(missing), None, dtype=_FLOAT)
            return [row.tobytes() for row in rows]

        values, asked = self._complete([kind], texts, ask)
        return np.frombuffer(b"".join(values), _FLOAT).reshape(len(texts), -1).astype(np.float32), asked


class _CountingEmbedder(StoredEmbedder):
    """Around an embedder that counts tokens. A class of its own, so that it has the method and others not."""

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """As the embedder inside counts; counts are kept, too."""

        def ask(missing: list[str]) -> list[bytes]:
            counts = count(cast("TokenCounter", self.inner), missing, stage="embedder")
            return [np.array(number, _WHOLE).tobytes() for number in counts]

        values, _ = self._complete(["tokens"], texts, ask)
        counts: list[int] = np.frombuffer(b"".join(values), _WHOLE).tolist()
        return counts


@dataclass(frozen=True, repr=False)
class StoredReranker(_Stored):
    """A reranker whose scores a store keeps; made by `Store.reranker`.

    It shows itself, and declares everything, as the reranker inside does.

    Attributes:
        inner: what scores the pairs that the store does not hold, in one call, each text once.
        store: where scores are kept.
        name: what they are kept under.
        asked: how many pairs reached ``inner``.
    """

    inner: Reranker

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """One score a text, higher is better.

        Raises:
            StageError: ``inner`` did not return a finite score for each text.
        """

        def ask(missing: list[str]) -> list[bytes]:
            scores = _finite(
                "reranker", self.inner, self.inner.score(query, missing), len(missing), dtype=_DOUBLE
            )
            return [score.tobytes() for score in scores]

        values, asked = self._complete(["pair", query], texts, ask)
        self.asked.pairs += asked
        scores: list[float] = np.frombuffer(b"".join(values), _DOUBLE).tolist()
        return scores


def without_address(shown: str) -> str:
    """A ``repr`` without the addresses of objects, which are others in every process."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", shown)


def _name_of(plug: object, name: str | None) -> str:
    called = repr(plug) if name is None else name
    if not called or (name is None and without_address(called) != called):
        raise ConfigError(
            f"{called!r} does not name a {type(plug).__name__} for good: give name=, or the class a __repr__ "
            "that shows its options"
        )
    return called


def _key(*parts: str) -> bytes:
    """The digest of some texts, in which each begins with its length, so that none runs into the next."""
    digest = hashlib.sha256()
    for part in parts:
        written = part.encode("utf-8", "surrogatepass")
        digest.update(len(written).to_bytes(8, "little"))
        digest.update(written)
    return digest.digest()


def _finite(stage: str, plug: object, returned: object, *shape: int | None, dtype: str) -> NDArray[Any]:
    """What a plug returned as an array, if it may be kept: what is wrong must not come back for ever.

    Args:
        stage: the plug's stage.
        plug: which plug.
        returned: what it returned.
        shape: as expected; None for any length of at least 1.
        dtype: as what the numbers are kept.
    """
    try:
        with np.errstate(over="ignore"):  # what the type cannot hold becomes infinite, and is refused
            array = np.asarray(returned).astype(dtype, casting="same_kind")
    except (TypeError, ValueError) as error:
        raise StageError(stage, f"nothing can be kept of what {plug!r} returned: {error}") from error
    fits = array.ndim == len(shape) and all(
        length >= 1 if wanted is None else length == wanted
        for length, wanted in zip(array.shape, shape, strict=True)
    )
    if not fits or not np.isfinite(array).all():
        wanted = f"({', '.join('d' if length is None else str(length) for length in shape)})"
        got = f"shape {array.shape}" if not fits else "some that are NaN or infinite"
        raise StageError(
            stage,
            f"nothing can be kept of what {plug!r} returned: expected finite numbers of shape {wanted}, "
            f"got {got}",
        )
    return array


# SQLite


def _open(path: Path | None) -> sqlite3.Connection:
    """A connection to a store, which is made where there is none."""
    connection = sqlite3.connect(
        ":memory:" if path is None else path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False
    )
    try:
        _make_sure_it_is_one(connection, path)
        # Readers and the one writer do not wait for each other, and a commit need not wait for the disk.
        _switch_to_a_write_ahead_log(connection)
        connection.execute("PRAGMA synchronous = NORMAL")
    except BaseException:
        connection.close()
        raise
    return connection


def _switch_to_a_write_ahead_log(connection: sqlite3.Connection) -> None:
    began = time.monotonic()
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            # Several processes that begin with a new file at once are refused here, and not made to wait.
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > began + _PATIENCE:
                raise
            time.sleep(0.01)
        else:
            return


def _make_sure_it_is_one(connection: sqlite3.Connection, path: Path | None) -> None:
    with _transaction(connection):
        [application] = connection.execute("PRAGMA application_id").fetchone()
        [version] = connection.execute("PRAGMA user_version").fetchone()
        [tables] = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if (application, version, tables) == (0, 0, 0):
            connection.execute("CREATE TABLE results (key BLOB PRIMARY KEY, value BLOB NOT NULL)")
            connection.execute(f"PRAGMA application_id = {_APPLICATION}")
            connection.execute(f"PRAGMA user_version = {_VERSION}")
        elif application != _APPLICATION:
            raise DataError(f"{path}: is a database of something else, not a store of results")
        elif version != _VERSION:
            raise DataError(
                f"{path}: is a store of version {version}, and this release reads version {_VERSION}; "
                "begin a new file"
            )


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")  # waits for whoever is writing, where a later lock might not
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _close(connections: dict[int, sqlite3.Connection]) -> None:
    own = connections.pop(os.getpid(), None)
    if own is not None:
        own.close()
