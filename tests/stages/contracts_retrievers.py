"""What every retriever and every packer must do, whatever its kind: called by the test files beside this."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ragdiag.errors import ConfigError
from ragdiag.records import Chunk, Document, Hit, Request
from ragdiag.stages.protocols import (
    Packer,
    Retriever,
    Searcher,
    Vectors,
    arms_of,
    budget_of,
    uses_vectors,
)

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


WORDS = [
    "parcel",
    "refund",
    "courier",
    "invoice",
    "warranty",
    "deposit",
    "pickup",
    "voucher",
    "customs",
    "return",
]


def some_chunks(n: int, *, seed: int = 0) -> list[Chunk]:
    """Chunks of a few words each; every tenth repeats the text before it."""
    rng = np.random.default_rng(seed)
    chunks: list[Chunk] = []
    for i in range(n):
        text = chunks[-1].text if i % 10 == 9 else " ".join(rng.choice(WORDS, size=rng.integers(2, 9)))
        metadata = {"lang": ("en", "de", "fr")[i % 3], "even": i % 2 == 0}
        chunks.append(Chunk.of(Document(f"d{i}", text, metadata), (0, len(text))))
    return chunks


def some_vectors(n: int, d: int = 16, *, seed: int = 0) -> Vectors:
    """Random vectors; every tenth repeats the one before it."""
    vectors = np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)
    vectors[9::10] = vectors[8 : n - 1 : 10][: len(vectors[9::10])]
    return vectors


def some_requests(n: int, d: int = 16, *, seed: int = 1) -> list[Request]:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(n, d)).astype(np.float32)
    return [Request(f"q{i}", " ".join(rng.choice(WORDS, size=3)), vectors[i]) for i in range(n)]


def check_retriever(
    retriever: Retriever,
    chunks: Sequence[Chunk],
    vectors: Vectors,
    requests: Sequence[Request],
    *,
    needs_training: bool = False,
) -> None:
    """Holds a retriever to its contract. One that ``needs_training`` may refuse to index a single chunk."""
    given = vectors if uses_vectors(retriever) else None
    searcher = retriever.build(chunks, given)
    again = retriever.build(chunks, given)
    assert isinstance(searcher, Searcher)
    assert len(getattr(searcher, "arms", ())) == len(arms_of(retriever))
    assert " at 0x" not in repr(retriever)
    row_of = {chunk.id: row for row, chunk in enumerate(chunks)}
    for n in (1, 7, len(chunks), 3 * len(chunks)):
        rankings = searcher.search(requests, n)
        assert len(rankings) == len(requests)
        assert rankings == again.search(requests, n)
        assert any(rankings)
        for request, hits in zip(requests, rankings, strict=True):
            _check_ranking(hits, n, row_of)
            # What else is asked in the same call makes no difference.
            assert searcher.search([request], n) == [hits]
    assert list(searcher.search([], 5)) == []

    for wanted in FILTERS:
        filtered = [replace(request, filter=wanted) for request in requests]
        for n in (3, 3 * len(chunks)):
            for hits in searcher.search(filtered, n):
                _check_ranking(hits, n, row_of)
                assert all(allows(wanted, chunks[row_of[hit.chunk_id]].metadata) for hit in hits)
                assert bool(hits) == any(allows(wanted, chunk.metadata) for chunk in chunks)

    try:
        alone = retriever.build(chunks[:1], None if given is None else given[:1])
    except ConfigError:
        assert needs_training
    else:
        for hits in alone.search(requests, 5):
            _check_ranking(hits, 1, {chunks[0].id: 0})
    if uses_vectors(retriever):
        with pytest.raises(ConfigError, match="needs an embedder"):
            retriever.build(chunks, None)


def _check_ranking(hits: Sequence[Hit], n: int, row_of: Mapping[str, int]) -> None:
    assert len(hits) <= n
    assert len({hit.chunk_id for hit in hits}) == len(hits)
    assert all(math.isfinite(hit.score) for hit in hits)
    keys = [(-hit.score, row_of[hit.chunk_id]) for hit in hits]
    assert keys == sorted(keys)


def check_packer(packer: Packer, documents: Mapping[str, Document], chunks: Sequence[Chunk]) -> None:
    """Holds a packer to its contract: it drops, reorders or shortens chunks, and cannot invent one."""
    assert " at 0x" not in repr(packer)
    assert list(packer.pack("a question", [])) == []
    packed = packer.pack("a question", chunks)
    assert list(packer.pack("a question", chunks)) == list(packed)
    by_id = {chunk.id: chunk for chunk in chunks}
    assert len({chunk.id for chunk in packed}) == len(packed)
    for chunk in packed:
        original = by_id[chunk.id]
        assert chunk.text.strip()
        assert chunk.text == "\n".join(documents[s.doc_id].text[s.start : s.end] for s in chunk.spans)
        assert original.text.startswith(chunk.text)
        assert all(
            any(
                s.doc_id == whole.doc_id and whole.start <= s.start and s.end <= whole.end
                for whole in original.spans
            )
            for s in chunk.spans
        )
        assert (chunk.index_text, chunk.metadata) == (original.index_text, original.metadata)
    budget = budget_of(packer)
    if budget is not None:
        assert sum(packer.tokens(chunk) for chunk in packed) <= budget  # type: ignore[attr-defined]
