"""The splitters of semantic-text-splitter (https://github.com/benbrandt/text-splitter)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ragdiag.adapters.foreign import ForeignChunker, Library
from ragdiag.adapters.placing import Piece, Placement

if TYPE_CHECKING:
    from semantic_text_splitter import CodeSplitter, MarkdownSplitter, TextSplitter

__all__ = ["SemanticTextSplitterChunker"]


@dataclass(frozen=True, repr=False, eq=False)
class SemanticTextSplitterChunker(ForeignChunker):
    """A splitter of semantic-text-splitter; needs the extra ``semantic-text-splitter``.

    Its objects do not show their settings and cannot be pickled: give a ``name`` if results shall be kept,
    and a new one with every change.

    Args:
        splitter: such as ``TextSplitter(800, overlap=100)``.
        name: what to call it in place of its settings.

    Example:
        >>> from ragdiag import Document
        >>> from semantic_text_splitter import TextSplitter
        >>> chunker = SemanticTextSplitterChunker(TextSplitter(12), name="12 characters")
        >>> [chunk.text for chunk in chunker.chunk(Document("returns", "Goods may be returned."))]
        ['Goods may be', 'returned.']
    """

    splitter: TextSplitter | MarkdownSplitter | CodeSplitter

    placement: ClassVar[Placement] = "verified"
    library: ClassVar[Library] = Library(
        "semantic-text-splitter", "semantic_text_splitter", "semantic-text-splitter", "chunk_indices"
    )

    def _pieces(self, text: str) -> list[Piece]:
        return [Piece(chunk, (at, at + len(chunk))) for at, chunk in self.splitter.chunk_indices(text)]
