"""Chunks as lines of JSON, which read back as they were."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ragdiag.records import Chunk, Span
from ragdiag.values import from_json, to_json

__all__ = ["chunk_from_json", "chunk_to_json"]


def chunk_to_json(chunk: Chunk) -> dict[str, Any]:
    """A chunk as JSON can hold it; what is usual is left out.

    Raises:
        DataError: its metadata hold what JSON cannot.

    Example:
        >>> chunk_to_json(Chunk("d#0-2", (Span("d", 0, 2),), "ab"))
        {'id': 'd#0-2', 'spans': [['d', 0, 2]], 'text': 'ab'}
    """
    line: dict[str, Any] = {
        "id": chunk.id,
        "spans": [[span.doc_id, span.start, span.end] for span in chunk.spans],
        "text": chunk.text,
    }
    if chunk.index_text != chunk.text:
        line["index_text"] = chunk.index_text
    if chunk.metadata:
        line["metadata"] = to_json(chunk.metadata, f"metadata of chunk {chunk.id!r}")
    return line


def chunk_from_json(line: Mapping[str, Any]) -> Chunk:
    """The chunk that `chunk_to_json` was given.

    Example:
        >>> chunk_from_json({"id": "d#0-2", "spans": [["d", 0, 2]], "text": "ab"}).spans
        (Span(doc_id='d', start=0, end=2),)
    """
    spans = tuple(Span(*part) for part in line["spans"])
    metadata = from_json(line.get("metadata", {}))
    return Chunk(line["id"], spans, line["text"], line.get("index_text", ""), metadata)
