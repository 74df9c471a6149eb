"""Cuts plain text where it divides best: paragraphs, then lines, sentences, clauses, words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass

from ragdiag.records import Chunk, Document
from ragdiag.stages.chunkers.lengths import lengths_of
from ragdiag.stages.chunkers.merging import Fitting, check_limits
from ragdiag.stages.chunkers.splitting import SEPARATORS, Separator, compile_separators, trim
from ragdiag.stages.tokens import TokenCounter, counter

__all__ = ["RecursiveChunker"]


@dataclass(frozen=True, slots=True, repr=False)
class RecursiveChunker:
    r"""Chunks of at most ``size``, filled with neighbouring pieces cut at the best separators that do it.

    A text that fits is one chunk. Otherwise it is cut at the first of ``separators``, each piece that is
    still too long at the next one, and so on; what no separator divides is cut between graphemes. Then as
    many neighbouring pieces as fit make a chunk, and the last of them, up to ``overlap``, begin the next.
    Each chunk is counted itself, so the limit holds for counts of tokens, which do not add up.

    Every character that is not whitespace is in a chunk; whitespace at the edges of a chunk is in none.

    Args:
        size: the most that a chunk may count, in ``unit``.
        overlap: the most that a chunk may share with the one before it, in ``unit``, less than ``size``;
            whole pieces are carried over, as many as fit.
        unit: ``"characters"``, the name of a tiktoken encoding, or an object with ``count_tokens(texts)``,
            such as the pipeline's embedder; special tokens that it counts are part of the size.
        separators: strings, or patterns of `re.compile`, the first choice first. A separator stays at the end
            of the piece on its left.

    Raises:
        ConfigError: an option that cannot work; or, when chunking, a single character that counts more than
            ``size``.
        ResourceError: when chunking, the encoding that ``unit`` names could not be loaded.

    Example:
        >>> chunker = RecursiveChunker(40)
        >>> text = "Goods may be returned. Keep the receipt.\n\nGifts are exchanged."
        >>> [chunk.text for chunk in chunker.chunk(Document("returns", text))]
        ['Goods may be returned. Keep the receipt.', 'Gifts are exchanged.']
    """

    size: int = 800
    _: KW_ONLY
    overlap: int = 0
    unit: str | TokenCounter = "characters"
    separators: Sequence[Separator] = SEPARATORS

    def __post_init__(self) -> None:
        check_limits(self.size, self.overlap)
        counter(self.unit)
        compile_separators(self.separators)
        object.__setattr__(self, "separators", tuple(self.separators))

    def __repr__(self) -> str:
        # The default separators would fill the screen and say nothing.
        own = "" if self.separators == SEPARATORS else f", separators={self.separators!r}"
        return f"RecursiveChunker({self.size}, overlap={self.overlap}, unit={self.unit!r}{own})"

    def chunk(self, document: Document) -> list[Chunk]:
        """The chunks of one document, in the order of the text; none where it is empty or whitespace."""
        start, end = trim(document.text, 0, len(document.text))
        if start == end:
            return []
        fitting = Fitting(
            lengths_of(document.text, counter(self.unit)),
            size=self.size,
            overlap=self.overlap,
            separators=compile_separators(self.separators),
            where=f"document {document.id!r}",
        )
        return [Chunk.of(document, piece) for piece in fitting.chunks([(start, end)])]
