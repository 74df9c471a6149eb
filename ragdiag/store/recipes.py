"""Chunkers and retrievers whose chunks and hits a store keeps, a document or a search at a time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ragdiag import __version__
from ragdiag.records import Chunk, Document, Hit, Request
from ragdiag.stages import boundary
from ragdiag.stages.protocols import Chunker, Retriever, Searcher, Vectors, arms_of
from ragdiag.store.chunks import chunk_from_json, chunk_to_json
from ragdiag.store.naming import KEY_BYTES, key_of
from ragdiag.store.plugs import StoredPlug
from ragdiag.values import to_json

__all__ = ["StoredChunker", "StoredRetriever"]


@dataclass(frozen=True, repr=False)
class StoredChunker(StoredPlug):
    """A chunker whose chunks a store keeps, by the document; made by `Store.chunker`.

    It shows itself, and declares everything, as the chunker inside does. What is kept holds for this release
    of ragdiag alone, whose chunkers another may improve.

    Attributes:
        inner: what cuts the documents that the store does not hold.
        store: where chunks are kept.
        name: what they are kept under.
        asked: how many documents reached ``inner``.
    """

    inner: Chunker = field(compare=False)

    def chunk(self, document: Document) -> tuple[Chunk, ...]:
        """The chunks of a document.

        Raises:
            StageError: ``inner`` broke its contract.
            DataError: the metadata of the document or of a chunk hold what a file cannot.
        """
        metadata = to_json(document.metadata, f"metadata of document {document.id!r}")
        key = key_of((__version__, self.name, document.id, document.text, _written(metadata))).hex()
        lines = self.store.read_step("document-chunks", key)
        if lines is None:
            chunks = boundary.chunk_document(self.inner, document)
            lines = [chunk_to_json(chunk) for chunk in chunks]
            self.store.write_step("document-chunks", key, lines, name=self.name)
            self.asked.chunked += 1
        return tuple(map(chunk_from_json, lines))


@dataclass(frozen=True, repr=False)
class StoredRetriever(StoredPlug):
    """A retriever whose hits a store keeps, by the search; made by `Store.retriever`.

    It shows itself, and declares everything, as the retriever inside does. An index is built when a search is
    not in the store, or when something else is asked of it. What is kept holds for this release of ragdiag
    alone, whose retrievers another may improve.

    Attributes:
        inner: what builds the index.
        store: where hits are kept.
        name: what they are kept under.
        asked: for how many queries an index of ``inner`` was asked.
    """

    inner: Retriever = field(compare=False)

    def build(self, chunks: Sequence[Chunk], vectors: Vectors | None) -> Searcher:
        """An index over all chunks, which is built when it is needed."""
        return _StoredSearcher(self, chunks, vectors)


class _StoredSearcher:
    def __init__(self, retriever: StoredRetriever, chunks: Sequence[Chunk], vectors: Vectors | None) -> None:
        self._retriever = retriever
        self._chunks = chunks
        self._vectors = vectors

    def search(self, requests: Sequence[Request], n: int) -> list[tuple[Hit, ...]]:
        """The hits of the index inside.

        Raises:
            StageError: the retriever inside broke its contract.
            DataError: a filter, or the metadata of a chunk, hold what a file cannot.
        """
        key = key_of((self._key, str(n), *_requests_written(requests))).hex()
        store, name, asked = self._retriever.store, self._retriever.name, self._retriever.asked
        lines = store.read_step("searches", key)
        if lines is None:
            rankings = boundary.search(self._searcher, requests, n, self._position)
            lines = [{"hits": [[hit.chunk_id, float(hit.score)] for hit in ranking]} for ranking in rankings]
            store.write_step("searches", key, lines, name=name)
            asked.searched += len(requests)
        return [tuple(Hit(*hit) for hit in line["hits"]) for line in lines]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name == "arms" and not arms_of(self._retriever.inner):
            raise AttributeError(name)  # and no index is built to say so
        return getattr(self._searcher, name)

    @cached_property
    def _searcher(self) -> Searcher:
        return boundary.build_index(self._retriever.inner, self._chunks, self._vectors)

    @cached_property
    def _position(self) -> Mapping[str, int]:
        return {chunk.id: position for position, chunk in enumerate(self._chunks)}

    @cached_property
    def _key(self) -> str:
        """Of everything that the index is made of."""
        chunks = key_of(_written(chunk_to_json(chunk)) for chunk in self._chunks).hex()
        return key_of((__version__, self._retriever.name, chunks, _array_written(self._vectors))).hex()


def _requests_written(requests: Sequence[Request]) -> Iterator[str]:
    for request in requests:
        condition = request.filter
        written = None if condition is None else to_json(condition, f"filter of query {request.query_id!r}")
        yield from (request.query_id, request.text, _array_written(request.vector), _written(written))


def _array_written(array: Vectors | None) -> str:
    """The digest of an array, with its shape and type; empty for None."""
    if array is None:
        return ""
    digest = hashlib.blake2b(np.ascontiguousarray(array).data, digest_size=KEY_BYTES).hexdigest()
    return f"{array.dtype.str} {array.shape} {digest}"


def _written(value: object) -> str:
    """The same text for equal values that JSON can hold."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
