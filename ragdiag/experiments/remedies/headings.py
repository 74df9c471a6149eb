"""Any chunker's chunks with the titles above them put before what is embedded and searched."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, replace

from ragdiag.errors import ConfigError
from ragdiag.records import Chunk, Document
from ragdiag.stages import boundary
from ragdiag.stages.chunkers.sections import read_sections
from ragdiag.stages.protocols import Chunker, is_plug

__all__ = ["HeadedChunker"]

_BETWEEN_TITLES = " > "
_LONGEST_TITLE = 100  # characters: a longer first line is a paragraph
_ENDS_A_SENTENCE = re.compile(r"[.!?:;,…。！？]['\")\]]*$")  # noqa: RUF001  # full-width marks end sentences too


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
        sections = read_sections(document.text)
        starts = [section.blocks[0][0] for section in sections]
        fallback = _title_of(document)
        headed = []
        for chunk in chunks:
            # A chunk may begin with the blank lines before its section's heading.
            place = bisect_right(starts, chunk.spans[0].start) - 1
            titles = sections[max(place, 0)].path if sections else ()
            titles = titles or fallback
            told = all(title in chunk.index_text for title in titles)
            prefixed = f"{_BETWEEN_TITLES.join(titles)}\n{chunk.index_text}"
            headed.append(chunk if told else replace(chunk, index_text=prefixed))
        return headed


def _title_of(document: Document) -> tuple[str, ...]:
    title = document.metadata.get("title") or _first_line(document.text)
    return (title,) if isinstance(title, str) and title else ()


def _first_line(text: str) -> str:
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return "" if len(line) > _LONGEST_TITLE or _ENDS_A_SENTENCE.search(line) else line
