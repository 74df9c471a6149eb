"""What this project's retrievers and packers promise beyond what `ragdiag.testing` asks of every one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from ragdiag import testing
from ragdiag.errors import ConfigError
from ragdiag.records import Chunk, Document, Request
from ragdiag.stages.protocols import Packer, Retriever, Vectors, arms_of, uses_vectors
from ragdiag.testing.samples import sample_chunks as some_chunks
from ragdiag.testing.samples import sample_requests as some_requests
from ragdiag.testing.samples import sample_vectors as some_vectors

__all__ = ["check_packer", "check_retriever", "some_chunks", "some_requests", "some_vectors"]

FILTERS: tuple[Mapping[str, Any] | None, ...] = (
    None,
    {},
    {"lang": "de"},
    {"lang": ["de", "fr"]},
    {"lang": ("en",), "even": True},
    {"lang": {"en", "fr"}, "even": False},
    {"lang": "xx"},
    {"lang": []},
    {"absent": None},
)


def allows(wanted: Mapping[str, Any] | None, metadata: Mapping[str, Any]) -> bool:
    """The filters above, spelled out case by case."""
    if not wanted:
        return True
    lang, even = metadata.get("lang"), metadata.get("even")
    return {
        "{'lang': 'de'}": lang == "de",
        "{'lang': ['de', 'fr']}": lang == "de" or lang == "fr",  # noqa: PLR1714  # spelled out
        "{'lang': ('en',), 'even': True}": lang == "en" and even is True,
        "{'lang': ['en', 'fr'], 'even': False}": lang != "de" and even is False,
        "{'lang': 'xx'}": False,
        "{'lang': []}": False,
        "{'absent': None}": False,
    }[repr({key: sorted(v) if isinstance(v, set) else v for key, v in wanted.items()})]


def check_retriever(
    retriever: Retriever,
    chunks: Sequence[Chunk],
    vectors: Vectors,
    requests: Sequence[Request],
    *,
    needs_training: bool = False,
) -> None:
    """Holds a retriever to its contract. One that ``needs_training`` may refuse to index a single chunk."""
    testing.check_retriever(
        retriever,
        chunks,
        vectors,
        requests,
        smallest=len(chunks) if needs_training else 1,
        tolerance=0.0,
        also=["ties_in_order"],
    )
    given = vectors if uses_vectors(retriever) else None
    searcher = retriever.build(chunks, given)
    assert len(getattr(searcher, "arms", ())) == len(arms_of(retriever))
    assert " at 0x" not in repr(retriever)
    allowed_by_id = {chunk.id: chunk.metadata for chunk in chunks}
    for wanted in FILTERS:
        for hits in searcher.search([replace(request, filter=wanted) for request in requests], 3):
            assert all(allows(wanted, allowed_by_id[hit.chunk_id]) for hit in hits)
            assert bool(hits) == any(allows(wanted, chunk.metadata) for chunk in chunks)
    if uses_vectors(retriever):
        with pytest.raises(ConfigError, match="needs an embedder"):
            retriever.build(chunks, None)


def check_packer(packer: Packer, documents: Mapping[str, Document], chunks: Sequence[Chunk]) -> None:
    """Holds a packer to its contract: it drops, reorders or shortens chunks, and cannot invent one."""
    testing.check_packer(packer, documents.values(), chunks=chunks)
    assert " at 0x" not in repr(packer)
    by_id = {chunk.id: chunk for chunk in chunks}
    for chunk in packer.pack("a question", chunks):
        original = by_id[chunk.id]
        assert chunk.text.strip()
        assert chunk.text == "\n".join(documents[s.doc_id].text[s.start : s.end] for s in chunk.spans)
        assert original.text.startswith(chunk.text)
        assert (chunk.index_text, chunk.metadata) == (original.index_text, original.metadata)
