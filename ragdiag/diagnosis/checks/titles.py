"""What a chunk stands under: the headings above it, else the title of its document."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence

from ragdiag.diagnosis.checks.bench import Bench
from ragdiag.records import Document
from ragdiag.stages.chunkers.sections import Section, read_sections

__all__ = ["elsewhere", "titles_above"]

_LONGEST_TITLE = 100  # characters: a longer first line is a paragraph
_ENDS_A_SENTENCE = re.compile(r"[.!?:;,…。！？]['\")\]]*$")  # noqa: RUF001  # full-width marks end sentences too


def titles_above(bench: Bench, position: int) -> tuple[str, ...]:
    """The titles above a chunk, the outermost first; none where its document has none.

    They are the headings of its section in Markdown, else the document's metadata ``title``, else its first
    line where that is short and no sentence.
    """
    span = bench.chunk(position).spans[0]
    document = bench.index.documents_by_id[span.doc_id]
    sections, starts = bench.once(("sections", document.id), lambda: _sections(document))
    section = bisect_right(starts, span.start) - 1
    if section >= 0 and sections[section].path:
        return sections[section].path
    title = document.metadata.get("title") or _first_line(document.text)
    return (title,) if isinstance(title, str) and title else ()


def elsewhere(position: int, total: int) -> Iterator[int]:
    """All chunks but one, beginning half the corpus away from it, where other things are likely spoken of."""
    return ((position + total // 2 + i) % total for i in range(total) if (total // 2 + i) % total)


def _sections(document: Document) -> tuple[Sequence[Section], list[int]]:
    sections = read_sections(document.text)
    return sections, [section.blocks[0][0] for section in sections]


def _first_line(text: str) -> str:
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return "" if len(line) > _LONGEST_TITLE or _ENDS_A_SENTENCE.search(line) else line
