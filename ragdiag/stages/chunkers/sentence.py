"""Cuts plain text between sentences: whole ones, as many as fit."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

from ragdiag.records import Chunk, Document
from ragdiag.stages.chunkers.lengths import lengths_of
from ragdiag.stages.chunkers.merging import check_limits
from ragdiag.stages.chunkers.sentence_fitting import SentenceFitting
from ragdiag.stages.chunkers.sentences import SentenceFinder, find_sentences, name_of, sentences_of
from ragdiag.stages.tokens import TokenCounter, counter

__all__ = ["SentenceChunker"]


@dataclass(frozen=True, slots=True, repr=False)
class SentenceChunker:
    """Chunks of at most ``size`` that hold whole sentences, as many as fit.

    A sentence that does not fit is cut as `RecursiveChunker` cuts. Each chunk is counted itself, so the limit
    holds for counts of tokens, which do not add up.

    `RecursiveChunker` takes every stop before whitespace for the end of a sentence, and every line end. Here
    abbreviations, initials, numbers of a list and lines that were wrapped end none, while headings and items
    do without a stop. English abbreviations are known and few others: for another language, or with a better
    model at hand, give ``sentences`` a function.

    Every character that is not whitespace is in a chunk; whitespace at the edges of a chunk is in none.

    Args:
        size: the most that a chunk may count, in ``unit``.
        overlap: the most that a chunk may share with the one before it, in ``unit``, less than ``size``;
            whole sentences are carried over, as many as fit, and none where the last alone counts more. Of a
            sentence that had to be cut, parts are.
        unit: ``"characters"``, the name of a tiktoken encoding, or an object with ``count_tokens(texts)``,
            such as the pipeline's embedder; special tokens that it counts are part of the size.
        sentences: from a text to the ranges of its sentences, pairs of start and end in characters, in order.
            What it leaves out between two sentences becomes one.

    Raises:
        ConfigError: an option that cannot work; or, when chunking, a single character that counts more than
            ``size``.
        StageError: when chunking, ``sentences`` did not return ranges in order inside the text.
        ResourceError: when chunking, the encoding that ``unit`` names could not be loaded.

    Example:
        >>> text = "Dr. Ng keeps the receipt. Gifts, e.g. books, are exchanged. Ask at the desk."
        >>> [chunk.text for chunk in SentenceChunker(60).chunk(Document("returns", text))]
        ['Dr. Ng keeps the receipt. Gifts, e.g. books, are exchanged.', 'Ask at the desk.']
    """

    size: int = 800
    _: KW_ONLY
    overlap: int = 0
    unit: str | TokenCounter = "characters"
    sentences: SentenceFinder = find_sentences

    def __post_init__(self) -> None:
        check_limits(self.size, self.overlap)
        counter(self.unit)
        name_of(self.sentences)

    def __repr__(self) -> str:
        own = "" if self.sentences is find_sentences else f", sentences={name_of(self.sentences)}"
        return f"SentenceChunker({self.size}, overlap={self.overlap}, unit={self.unit!r}{own})"

    def chunk(self, document: Document) -> list[Chunk]:
        """The chunks of one document, in the order of the text; none where it is empty or whitespace."""
        where = f"document {document.id!r}"
        sentences = sentences_of(document.text, self.sentences, where=where)
        lengths = lengths_of(document.text, counter(self.unit))
        fitting = SentenceFitting(lengths, size=self.size, overlap=self.overlap, where=where)
        return [Chunk.of(document, piece) for piece in fitting.chunks(sentences)]
