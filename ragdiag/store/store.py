"""Results of plugs kept by their content, so that nothing is worked out twice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragdiag.stages.protocols import Chunker, Embedder, Reranker, Retriever, require_plug
from ragdiag.store.contents import contents, remove
from ragdiag.store.disk import Disk
from ragdiag.store.models import CountingEmbedder, StoredEmbedder, StoredReranker
from ragdiag.store.naming import name_of, require_slug
from ragdiag.store.recipes import StoredChunker, StoredRetriever
from ragdiag.store.rows import Shelf, Shelves
from ragdiag.store.steps import Steps

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Store"]


class Store:
    """Vectors, token counts, scores, chunks and hits in a folder, by the content of what was asked.

    `chunker`, `embedder`, `retriever` and `reranker` put it around a plug; the pipeline does not notice, but
    for its speed. What a plug returned is written before it is handed on. Files appear whole and are never
    changed, so that any number of processes may use one folder at the same time, and a crash loses the call
    that was under way. A file that was truncated or altered is found when it is read: a warning names it, it
    is removed, and its results are worked out again. Where the disk is full, a warning says so once, and
    results stay in the memory of the process.

    A result is found again by the plug's name, what was asked (a document, a query, a pair, a search) and the
    text, through BLAKE2b. The name is the plug's ``repr`` unless another is given. A ``repr`` may not be
    enough: it does not say that a folder now holds other weights, that a service changed its model, or what a
    class of one's own does with options that it does not show. Give a name of your own there, and a new one
    with every change.

    Pickling hands on the path alone, so that an in-memory store arrives empty.

    Args:
        path: the folder; made where there is none. None keeps everything in memory.

    Attributes:
        path: the folder, absolute; None for a store in memory.

    Raises:
        DataError: the folder cannot be made or read, or holds something else.

    Example:
        >>> from ragdiag.stages.embedders import HashingEmbedder
        >>> embedder = Store().embedder(HashingEmbedder(8))
        >>> embedder.embed_documents(["a text", "another", "a text"]).shape, embedder.asked.documents
        ((3, 8), 2)
        >>> embedder.embed_documents(["another"]).shape, embedder.asked.documents
        ((1, 8), 2)
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = None if path is None else Path(path).absolute()
        disk = None if self.path is None else Disk(self.path)
        self._shelves = Shelves(disk)
        self._steps = Steps(disk)

    def __repr__(self) -> str:
        return f"Store({'' if self.path is None else repr(str(self.path))})"

    def __getstate__(self) -> dict[str, object]:
        return {"path": self.path}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__init__(state["path"])  # type: ignore[misc]

    # Plugs

    def chunker(self, inner: Chunker, *, name: str | None = None) -> StoredChunker:
        """A chunker with the same chunks, of which the store keeps those of every document.

        Args:
            inner: what cuts the documents that the store does not hold.
            name: what its results are kept under; its ``repr`` where not given.

        Raises:
            ConfigError: ``inner`` is no chunker, or has no name that stays the same.
        """
        require_plug("chunker", inner, called="Store.chunker")
        return StoredChunker(inner, self, name_of(inner, name))

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
        kind = CountingEmbedder if hasattr(inner, "count_tokens") else StoredEmbedder
        return kind(inner, self, name_of(inner, name))

    def retriever(self, inner: Retriever, *, name: str | None = None) -> StoredRetriever:
        """A retriever with the same hits, of which the store keeps those of every search.

        Its index is built when a search is not in the store. Until then, what is wrong with it is not seen.

        Args:
            inner: what builds the index.
            name: what its results are kept under; its ``repr`` where not given.

        Raises:
            ConfigError: ``inner`` is no retriever, or has no name that stays the same.
        """
        require_plug("retriever", inner, called="Store.retriever")
        return StoredRetriever(inner, self, name_of(inner, name))

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
        return StoredReranker(inner, self, name_of(inner, name))

    # Results

    def batch(self) -> AbstractContextManager[None]:
        """Within this block, what single calls find is held back, and written at the end in few files.

        It is written, too, if the block raises. Only what this thread does is held back; results of steps
        are always written at once.

        Example:
            >>> store = Store()
            >>> with store.batch():
            ...     scores = [...]
        """
        return self._shelves.batch()

    def read_step(self, kind: str, key: str) -> list[dict[str, Any]] | None:
        """The lines of a step that was kept; None where there is none, or its file was damaged.

        Raises:
            ConfigError: ``kind`` or ``key`` is not made of a-z, 0-9 and hyphens.
        """
        return self._steps.read(kind, key)

    def write_step(self, kind: str, key: str, lines: Iterable[Mapping[str, Any]], *, name: str = "") -> None:
        """Keep the result of a step.

        Args:
            kind: of the step, in a word.
            key: the digest of everything that the result depends on.
            lines: the result, as JSON can hold it.
            name: of what it is the result, as `contents` lists it.

        Raises:
            ConfigError: ``kind`` or ``key`` is not made of a-z, 0-9 and hyphens.
            DataError: a line holds what JSON cannot.
        """
        self._steps.write(kind, key, lines, name)

    def shelf(self, kind: str, name: str, dtype: str) -> Shelf:
        """Where the numbers of one kind lie that the plug of that name returned."""
        return self._shelves.shelf(kind, name, dtype)

    # What there is

    def contents(self) -> pd.DataFrame:
        """What the store holds, a row a kind and name, in their order.

        Columns: ``kind``; ``name`` of the plug or step; ``entries``: results; ``files`` and ``bytes`` (in
        memory: no files); ``modified``: when something was last added, NaT in memory.
        """
        return contents(self._shelves, self._steps)

    def clear(self, kind: str | None = None) -> int:
        """Remove everything, or everything of one kind; how many bytes that freed.

        Raises:
            ConfigError: ``kind`` is not made of a-z, 0-9 and hyphens.
            DataError: a file cannot be removed.
        """
        if kind is not None:
            require_slug("kind", kind)
        in_memory = self._steps.forget(kind)
        in_memory += sum(shelf.forget() for shelf in self._shelves.all() if kind in (None, shelf.kind))
        disk = self._shelves.disk
        return in_memory if disk is None else remove(disk, kind)
