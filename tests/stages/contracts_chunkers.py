"""What this project's chunkers promise beyond what `ragdiag.testing` asks of every one, on a document."""

from itertools import pairwise
from typing import Protocol

from ragdiag import testing
from ragdiag.records import Chunk, Document
from ragdiag.stages.protocols import Chunker
from ragdiag.stages.tokens import TokenCounter


class SizedChunker(Chunker, Protocol):
    @property
    def size(self) -> int: ...
    @property
    def overlap(self) -> int: ...
    @property
    def unit(self) -> str | TokenCounter: ...


def check_chunker(chunker: SizedChunker, document: Document) -> list[Chunk]:
    """Asserts the contract and returns the chunks, for assertions of one's own."""
    testing.check_chunker(chunker, [document])
    chunks = list(chunker.chunk(document))
    for chunk in chunks:
        (span,) = chunk.spans
        assert chunk.text == document.text[span.start : span.end]
        assert chunk.text == chunk.text.strip()
        assert chunk.index_text.endswith(chunk.text)
    return chunks


def overlaps(chunks: list[Chunk]) -> list[int]:
    """How many code points each chunk shares with the one before it."""
    return [max(0, a.spans[0].end - b.spans[0].start) for a, b in pairwise(chunks)]
