"""A trace to and from a file: JSON Lines.

The first line is the header; then comes a line a chunk, in the order of the corpus, and a line a query, in
the order asked (`saved_lines` says what each may hold). Vectors are little-endian float32 in base64, scores
the shortest digits that read back as the same float. Costs are not written: the same trace gives the same
bytes.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ragdiag.errors import DataError
from ragdiag.formats.jsonl import located, write_lines
from ragdiag.records import Chunk, Document, Hit, Span
from ragdiag.stages.protocols import Vectors
from ragdiag.trace import QueryTrace, Trace
from ragdiag.values import from_json, to_json

if TYPE_CHECKING:
    from ragdiag.formats.saved_file import SavedFile
    from ragdiag.formats.saved_lines import ChunkRecord, QueryTraceLine, TraceHeader

__all__ = ["named", "read_trace", "read_trace_lines", "trace_lines", "write_trace"]

_FORMAT = "ragdiag-trace"
_VERSION = 1


def write_trace(trace: Trace, path: str | Path, *, vectors: bool = True) -> None:
    """Write a trace, without costs, to a file that `read_trace` reads back as the same trace.

    Args:
        trace: what to write.
        path: the file; it appears, or replaces the one before, only when all of it is written.
        vectors: whether the vectors of chunks and queries are written; they are most of the file.

    Raises:
        DataError: the file cannot be written, or the metadata of a chunk hold what a file cannot.
    """
    write_lines(path, named(path, trace_lines(trace, vectors=vectors)))


def read_trace(path: str | Path) -> Trace:
    """The trace that a file holds.

    Raises:
        DataError: the file is not a trace, is damaged or cut off, or is of a version that this release does
            not read; the message names the file, the line and the field.
    """
    from ragdiag.formats.saved_file import SavedFile  # pydantic is heavy

    file = SavedFile(path)
    trace = read_trace_lines(file)
    file.end()
    return trace


def named(path: str | Path, lines: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The same lines, with the file before the message of what is raised while they are made."""
    with located(str(path)):
        yield from lines


def trace_lines(trace: Trace, *, vectors: bool) -> Iterator[dict[str, Any]]:
    """The lines of a trace, the header first."""
    rows = trace.vectors if vectors else None
    query_rows = trace.query_vectors if vectors else None
    yield {
        "format": _FORMAT,
        "version": _VERSION,
        "stages": dict(trace.stages),
        "candidates": trace.candidates,
        "top_k": trace.top_k,
        "similarity": trace.similarity,
        "budget": trace.budget,
        "dimensions": None if rows is None else rows.shape[1],
        "tokens": trace.chunk_tokens is not None,
        "chunks": len(trace.chunks),
        "queries": len(trace.queries),
    }
    for position, chunk in enumerate(trace.chunks):
        line = {"kind": "chunk", **_chunk_fields(chunk)}
        if trace.chunk_tokens is not None:
            line["tokens"] = trace.chunk_tokens[position]
        if rows is not None:
            line["vector"] = _encode(rows[position])
        yield line
    for position, query in enumerate(trace.queries):
        line = {"kind": "query_trace", "query_id": query.query_id}
        if query_rows is not None:
            line["vector"] = _encode(query_rows[position])
        line["retrieved"] = _pairs(query.retrieved)
        line["reranked"] = None if query.reranked is None else _pairs(query.reranked)
        line["context"] = [
            chunk.id if chunk == trace.chunks[trace.position[chunk.id]] else _chunk_fields(chunk)
            for chunk in query.context
        ]
        yield line


def read_trace_lines(file: SavedFile, documents: Mapping[str, Document] | None = None) -> Trace:
    """The trace whose header is the next line of ``file``.

    With ``documents`` (by id), every chunk must lie inside its document.

    Raises:
        DataError: as `read_trace`.
    """
    from ragdiag.formats.saved_lines import ChunkLine, QueryTraceLine, TraceHeader  # pydantic is heavy

    header = file.header(TraceHeader, _FORMAT, _VERSION)
    with located(file.place):
        if header.dimensions is not None and header.similarity is None:
            raise DataError("dimensions: vectors need a similarity")
        if header.budget is not None and not header.tokens:
            raise DataError("tokens: a budget needs the tokens of every chunk")
    reader = _Reader(header, documents)
    tokens: list[int] = []
    for place, chunk_line in file.section(ChunkLine, header.chunks):
        with located(place):
            reader.add_chunk(chunk_line)
            reader.add_vector(chunk_line.vector, reader.rows)
            _require(chunk_line.tokens is not None, header.tokens, "tokens")
            tokens += [] if chunk_line.tokens is None else [chunk_line.tokens]
    queries = []
    for place, query_line in file.section(QueryTraceLine, header.queries):
        with located(place):
            queries.append(reader.query(query_line))
            reader.add_vector(query_line.vector, reader.query_rows)
    return Trace(
        stages={str(stage): plug for stage, plug in header.stages.items()},
        candidates=header.candidates,
        top_k=header.top_k,
        chunks=tuple(reader.chunks.values()),
        vectors=reader.stacked(reader.rows),
        query_vectors=reader.stacked(reader.query_rows),
        similarity=header.similarity,
        budget=header.budget,
        chunk_tokens=tuple(tokens) if header.tokens else None,
        queries=tuple(queries),
    )


class _Reader:
    """What was read of a trace so far, and what its lines must agree with."""

    def __init__(self, header: TraceHeader, documents: Mapping[str, Document] | None) -> None:
        self._header = header
        self._documents = documents
        self.chunks: dict[str, Chunk] = {}
        self.rows: list[Vectors] = []
        self.query_rows: list[Vectors] = []

    def add_chunk(self, record: ChunkRecord) -> None:
        self.chunks[record.id] = self._chunk(record, "")

    def query(self, line: QueryTraceLine) -> QueryTrace:
        _require(line.reranked is not None, "reranker" in self._header.stages, "reranked")
        retrieved = self._ranking(line.retrieved, "retrieved")
        reranked = None if line.reranked is None else self._ranking(line.reranked, "reranked")
        if reranked is not None and {h.chunk_id for h in reranked} != {h.chunk_id for h in retrieved}:
            raise DataError("reranked: expected the chunks of 'retrieved' and no others")
        query = QueryTrace(line.query_id, retrieved, reranked, ())
        context = self._context(line, {hit.chunk_id for hit in query.ranking[: self._header.top_k]})
        return QueryTrace(line.query_id, retrieved, reranked, context)

    def add_vector(self, text: str | None, rows: list[Vectors]) -> None:
        dimensions = self._header.dimensions
        _require(text is not None, dimensions is not None, "vector")
        if text is not None and dimensions is not None:
            rows.append(_decode(text, dimensions))

    def stacked(self, rows: Sequence[Vectors]) -> Vectors | None:
        if self._header.dimensions is None:
            return None
        return np.array(rows, dtype=np.float32).reshape(len(rows), self._header.dimensions)

    def _context(self, line: QueryTraceLine, top: set[str]) -> tuple[Chunk, ...]:
        context: dict[str, Chunk] = {}
        for i, entry in enumerate(line.context):
            chunk_id = entry if isinstance(entry, str) else entry.id
            if chunk_id not in top:
                raise DataError(
                    f"context[{i}]: chunk {chunk_id!r} is not among the first {self._header.top_k} of the "
                    "final ranking"
                )
            if chunk_id in context:
                raise DataError(f"context[{i}]: chunk {chunk_id!r} comes twice")
            context[chunk_id] = (
                self.chunks[entry] if isinstance(entry, str) else self._chunk(entry, f"context[{i}].")
            )
        return tuple(context.values())

    def _chunk(self, record: ChunkRecord, field: str) -> Chunk:
        with located(f"{field}spans"):
            spans = tuple(Span(*part) for part in record.spans)
            for span in spans if self._documents is not None else ():
                self._check_inside(span)
        with located(f"{field}metadata"):
            metadata = from_json(record.metadata)
        return Chunk(record.id, spans, record.text, record.index_text or "", metadata)

    def _check_inside(self, span: Span) -> None:
        document = (self._documents or {}).get(span.doc_id)
        if document is None:
            raise DataError(f"{span.doc_id!r} is not among the documents of this file")
        if span.end > len(document.text):
            raise DataError(
                f"{span.start}-{span.end} reaches beyond document {span.doc_id!r}, "
                f"which has {len(document.text)} characters"
            )

    def _ranking(self, pairs: Sequence[tuple[str, float]], field: str) -> tuple[Hit, ...]:
        if len(pairs) > self._header.candidates:
            raise DataError(
                f"{field}: expected at most {self._header.candidates} chunks ('candidates' of the header), "
                f"got {len(pairs)}"
            )
        hits: dict[str, Hit] = {}
        last = float("inf")
        for i, (chunk_id, score) in enumerate(pairs):
            if chunk_id not in self.chunks:
                raise DataError(f"{field}[{i}]: there is no chunk {chunk_id!r} in this file")
            if chunk_id in hits:
                raise DataError(f"{field}[{i}]: chunk {chunk_id!r} comes twice")
            if score > last:
                raise DataError(f"{field}[{i}]: expected the best first, got the score {score} after {last}")
            hits[chunk_id] = Hit(chunk_id, score)
            last = score
        return tuple(hits.values())


def _chunk_fields(chunk: Chunk) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "id": chunk.id,
        "spans": [[span.doc_id, span.start, span.end] for span in chunk.spans],
        "text": chunk.text,
    }
    if chunk.index_text != chunk.text:
        fields["index_text"] = chunk.index_text
    if chunk.metadata:
        with located(f"chunk {chunk.id!r}"):
            fields["metadata"] = to_json(chunk.metadata, "metadata")
    return fields


def _pairs(hits: Sequence[Hit]) -> list[list[object]]:
    return [[hit.chunk_id, float(hit.score)] for hit in hits]


def _encode(row: Vectors) -> str:
    return base64.b64encode(row.astype("<f4").tobytes()).decode("ascii")


def _decode(text: str, dimensions: int) -> Vectors:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise DataError(f"vector: not base64: {error}") from error
    if len(data) != 4 * dimensions:
        raise DataError(f"vector: expected {dimensions} numbers of 4 bytes, got {len(data)} bytes")
    row = np.frombuffer(data, dtype="<f4").astype(np.float32)
    if not np.isfinite(row).all():
        raise DataError("vector: holds NaN or infinity")
    return row


def _require(present: bool, wanted: bool, field: str) -> None:  # noqa: FBT001
    """Check that a field is there where the header says so, and only there."""
    if present != wanted:
        raise DataError(f"{field}: " + ("is missing" if wanted else "does not belong here, by the header"))
