"""The chunkers of chonkie (https://github.com/chonkie-inc/chonkie)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ragdiag.adapters.foreign import ForeignChunker, Library
from ragdiag.adapters.placing import Piece, Placement

if TYPE_CHECKING:
    from chonkie import BaseChunker

__all__ = ["ChonkieChunker"]


@dataclass(frozen=True, repr=False, eq=False)
class ChonkieChunker(ForeignChunker):
    """A chunker of chonkie; needs the extra ``chonkie``.

    Args:
        chunker: such as ``chonkie.RecursiveChunker(chunk_size=512)``.
        name: what to call it in place of its settings.

    Example:
        >>> from ragdiag import Document
        >>> import chonkie
        >>> chunker = ChonkieChunker(chonkie.TokenChunker("word", chunk_size=4))
        >>> [chunk.text for chunk in chunker.chunk(Document("returns", "Goods may be returned."))]
        ['Goods may be returned.']
    """

    chunker: BaseChunker

    placement: ClassVar[Placement] = "mixed"
    library: ClassVar[Library] = Library("chonkie", "chonkie", "chonkie", "chunk")

    def _pieces(self, text: str) -> list[Piece]:
        return [Piece(c.text, (c.start_index, c.end_index)) for c in self.chunker.chunk(text)]
