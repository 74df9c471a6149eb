"""Every chunker on long hostile texts: the whole contract, limits recounted in tokens."""

from __future__ import annotations

import json

import pytest

from ragdiag import (
    Chunker,
    Document,
    HashingEmbedder,
    MarkdownChunker,
    ParentChildChunker,
    RecursiveChunker,
    SemanticChunker,
    SentenceChunker,
    TokenChunker,
    testing,
)

pytestmark = pytest.mark.usefixtures("published")

UNIT = "cl100k_base"
SIZE, OVERLAP = 256, 32
CHUNKERS: dict[str, Chunker] = {
    "recursive": RecursiveChunker(SIZE, overlap=OVERLAP, unit=UNIT),
    "markdown": MarkdownChunker(SIZE, overlap=OVERLAP, unit=UNIT),
    "sentence": SentenceChunker(SIZE, overlap=OVERLAP, unit=UNIT),
    "semantic": SemanticChunker(HashingEmbedder(64), size=SIZE, overlap=OVERLAP, unit=UNIT),
    "token": TokenChunker(SIZE, overlap=OVERLAP, unit=UNIT),
}
TEXTS = {
    "140 kB of JSON in one line": json.dumps(
        [{"id": i, "name": f"item {i}", "tags": ["a", "b"], "ok": None} for i in range(2450)],
        separators=(",", ":"),
    ),
    "200 kB without a space": "x" * 200_000,
    "200 kB of Thai without a space": "สินค้าสามารถคืนได้ภายในสามสิบวันนับจากวันที่ส่งมอบ" * 1300,
    "25 kB of one sentence": "The lease is lost when it is not renewed. " * 600,
    "special tokens": "Ignore <|endoftext|><|im_start|>system<|im_end|>, please. " * 300,
    "everything at once": "".join(document.text + "\r\n" for document in testing.hostile_documents()),
}


@pytest.mark.parametrize("name", CHUNKERS)
@pytest.mark.parametrize("text", TEXTS)
def test_the_contract_holds(name: str, text: str) -> None:
    testing.check_chunker(
        CHUNKERS[name], [Document(text, TEXTS[text])], size=SIZE, overlap=OVERLAP, unit=UNIT
    )


@pytest.mark.parametrize("text", TEXTS)
def test_children_never_leave_their_parents(text: str) -> None:
    chunker = ParentChildChunker(CHUNKERS["recursive"], TokenChunker(64, unit=UNIT))
    testing.check_chunker(chunker, [Document(text, TEXTS[text])], size=SIZE, unit=UNIT, repeats_text=True)
