"""The text splitters of LangChain (https://github.com/langchain-ai/langchain)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ragdiag.adapters.foreign import ForeignChunker, Library
from ragdiag.adapters.placing import Piece, Placement

if TYPE_CHECKING:
    from langchain_text_splitters import MarkdownHeaderTextSplitter, TextSplitter

__all__ = ["LangChainChunker"]


@dataclass(frozen=True, repr=False, eq=False)
class LangChainChunker(ForeignChunker):
    """A text splitter of LangChain; needs the extra ``langchain``.

    The ``start_index`` that a splitter can add is a search of its own, which counts an overlap of tokens as
    one of characters, and is wrong or -1 where text repeats; it is not used. Metadata of a splitter by
    headings become those of the chunk.

    Args:
        splitter: anything with ``split_text``, such as ``RecursiveCharacterTextSplitter(chunk_size=800)``.
        name: what to call it in place of its settings.

    Example:
        >>> from ragdiag import Document
        >>> from langchain_text_splitters import CharacterTextSplitter
        >>> splitter = CharacterTextSplitter(separator=" ", chunk_size=12, chunk_overlap=0)
        >>> chunks = LangChainChunker(splitter).chunk(Document("returns", "Goods may be returned."))
        >>> [chunk.id for chunk in chunks]
        ['returns#0-12', 'returns#13-22']
    """

    splitter: TextSplitter | MarkdownHeaderTextSplitter

    placement: ClassVar[Placement] = "located"
    library: ClassVar[Library] = Library(
        "langchain-text-splitters", "langchain_text_splitters", "langchain", "split_text"
    )

    def _pieces(self, text: str) -> list[Piece]:
        split = self.splitter.split_text(text)
        return [
            Piece(part) if isinstance(part, str) else Piece(part.page_content, metadata=part.metadata)
            for part in split
        ]
