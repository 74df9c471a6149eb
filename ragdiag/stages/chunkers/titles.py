"""What a passage stands under: the headings above it, else the title of its document."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from ragdiag.records import Document
from ragdiag.stages.chunkers.sections import Section, read_sections

__all__ = ["BETWEEN_TITLES", "Titles"]

BETWEEN_TITLES = " > "

_LONGEST_TITLE = 100  # characters: a longer first line is a paragraph
_ENDS_A_SENTENCE = re.compile(r"[.!?:;,…。！？]['\")\]]*$")  # noqa: RUF001  # full-width marks end sentences too


@dataclass(frozen=True)
class Titles:
    """The titles in one document.

    Attributes:
        sections: its sections, in order.
        starts: where each begins, headings included.
        title: what all of it stands under where there is no heading; at most one.
    """

    sections: Sequence[Section] = field(repr=False)
    starts: Sequence[int] = field(repr=False)
    title: tuple[str, ...]

    @classmethod
    def of(cls, document: Document) -> Titles:
        """The headings of a document in Markdown, and its title.

        That is the metadata's ``title``, else its first line where that is short and no sentence.
        """
        sections = read_sections(document.text)
        title = document.metadata.get("title") or _first_line(document.text)
        return cls(
            sections,
            [section.blocks[0][0] for section in sections],
            (title,) if isinstance(title, str) and title else (),
        )

    def above(self, start: int) -> tuple[str, ...]:
        """The titles above the passage that begins at ``start``, the outermost first; there may be none.

        A passage may begin with the blank lines before the first heading: then it stands under that one.
        """
        if not self.sections:
            return self.title
        return self.sections[max(bisect_right(self.starts, start) - 1, 0)].path or self.title


def _first_line(text: str) -> str:
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return "" if len(line) > _LONGEST_TITLE or _ENDS_A_SENTENCE.search(line) else line
