"""Any chunker's chunks with the titles above them put before what is embedded and searched."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ragdiag.errors import ConfigError
from ragdiag.records import Chunk, Document
from ragdiag.stages import boundary
from ragdiag.stages.chunkers.titles import BETWEEN_TITLES, Titles
from ragdiag.stages.protocols import Chunker, is_plug

__all__ = ["HeadedChunker"]


@dataclass(frozen=True)
class HeadedChunker:
    r"""The chunks of another chunker, each searched by the titles above it and its own text.

    The titles are the headings of its section in Markdown, else the document's metadata ``title``, else its
    first line where that is short and no sentence. They begin ``index_text``, on a line of their own; what
    the model gets stays as it is. A chunk that holds all of them already is left alone.

    Args:
        chunker: what cuts.

    Raises:
        ConfigError: ``chunker`` is none.

    Example:
        >>> from ragdiag.stages.chunkers import RecursiveChunker
        >>> document = Document("guide", "# Guide\n\n## Limits\n\nTwo a day.")
        >>> [chunk.index_text for chunk in HeadedChunker(RecursiveChunker(12)).chunk(document)]
        ['Guide > Limits\n# Guide', 'Guide > Limits\n## Limits', 'Guide > Limits\nTwo a day.']
    """

    chunker: Chunker

    def __post_init__(self) -> None:
        if not is_plug("chunker", self.chunker):
            raise ConfigError(f"HeadedChunker.chunker must be a chunker, got {self.chunker!r}")

    def chunk(self, document: Document) -> list[Chunk]:
        """The chunks of one document, in the order of the text."""
        chunks = boundary.chunk_document(self.chunker, document)
        titles_of = Titles.of(document)
        headed = []
        for chunk in chunks:
            titles = titles_of.above(chunk.spans[0].start)
            told = all(title in chunk.index_text for title in titles)
            prefixed = f"{BETWEEN_TITLES.join(titles)}\n{chunk.index_text}"
            headed.append(chunk if told else replace(chunk, index_text=prefixed))
        return headed
