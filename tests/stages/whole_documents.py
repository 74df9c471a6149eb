"""Chunks that are whole documents, made of their texts."""

from __future__ import annotations

from collections.abc import Mapping

from ragdiag.records import Chunk, Document


def chunks_of(*texts: str) -> tuple[Mapping[str, Document], list[Chunk]]:
    """The documents d0, d1, … by their ids, and one chunk of each."""
    documents = [Document(f"d{i}", text) for i, text in enumerate(texts)]
    return {d.id: d for d in documents}, [Chunk.of(d, (0, len(d.text))) for d in documents]
