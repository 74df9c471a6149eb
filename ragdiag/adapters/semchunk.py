"""The chunkers of semchunk (https://github.com/isaacus-dev/semchunk)."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, ClassVar

from ragdiag.adapters.foreign import ForeignChunker, Library
from ragdiag.adapters.placing import Piece, Placement

if TYPE_CHECKING:
    from semchunk import Chunker

__all__ = ["SemchunkChunker"]


@dataclass(frozen=True, repr=False, eq=False)
class SemchunkChunker(ForeignChunker):
    """A chunker of semchunk; needs the extra ``semchunk``.

    Args:
        chunker: what ``semchunk.chunkerify(tokenizer, chunk_size)`` returns.
        overlap: as semchunk takes it with each call: a share of the size below 1, a number of tokens from 1
            on, or None.
        name: what to call it in place of its settings.

    Example:
        >>> from ragdiag import Document
        >>> import semchunk
        >>> chunker = SemchunkChunker(semchunk.chunkerify(len, 12))
        >>> [chunk.text for chunk in chunker.chunk(Document("returns", "Goods may be returned."))]
        ['Goods may be', 'returned.']
    """

    chunker: Chunker
    _: KW_ONLY
    overlap: float | None = None

    placement: ClassVar[Placement] = "verified"
    library: ClassVar[Library] = Library("semchunk", "semchunk", "semchunk", "__call__")

    def _pieces(self, text: str) -> list[Piece]:
        texts, ranges = self.chunker(text, offsets=True, overlap=self.overlap)
        return [Piece(chunk, range_) for chunk, range_ in zip(texts, ranges, strict=True)]
