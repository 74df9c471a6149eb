"""What every chunker with a size promises, checked on one document."""

from itertools import pairwise
from typing import Protocol

from ragdiag.records import Chunk, Document
from ragdiag.stages.protocols import Chunker
from ragdiag.stages.tokens import TokenCounter, counter


class SizedChunker(Chunker, Protocol):
    @property
    def size(self) -> int: ...
    @property
    def overlap(self) -> int: ...
    @property
    def unit(self) -> str | TokenCounter: ...


def check_chunker(chunker: SizedChunker, document: Document) -> list[Chunk]:
    """Asserts the contract and returns the chunks, for assertions of one's own."""
    text = document.text
    chunks = list(chunker.chunk(document))
    assert chunks == list(chunker.chunk(document)), "the same document gave other chunks"
    assert len({chunk.id for chunk in chunks}) == len(chunks)

    for chunk in chunks:
        assert [span.doc_id for span in chunk.spans] == [document.id]
        (span,) = chunk.spans
        assert 0 <= span.start < span.end <= len(text)
        assert chunk.text == text[span.start : span.end]
        assert chunk.text == chunk.text.strip()
        assert chunk.index_text.endswith(chunk.text)

    ranges = [(chunk.spans[0].start, chunk.spans[0].end) for chunk in chunks]
    by = counter(chunker.unit)
    assert all(number <= chunker.size for number in by.count_tokens([chunk.index_text for chunk in chunks]))
    assert all(number <= chunker.size for number in by.count_tokens([chunk.text for chunk in chunks]))

    covered = {i for start, end in ranges for i in range(start, end)}
    lost = [i for i, char in enumerate(text) if not char.isspace() and i not in covered]
    assert not lost, f"lost at {lost[:10]}: {[text[i] for i in lost[:10]]}"

    for (start, end), (next_start, next_end) in pairwise(ranges):
        assert start < next_start
        assert end < next_end
        if next_start < end:
            assert by.count_tokens([text[next_start:end]])[0] <= chunker.overlap
    return chunks


def overlaps(chunks: list[Chunk]) -> list[int]:
    """How many code points each chunk shares with the one before it."""
    return [max(0, a.spans[0].end - b.spans[0].start) for a, b in pairwise(chunks)]
