"""The sections of a Markdown text: what stands under which headings, in which blocks.

Reads the block structure of CommonMark as far as it decides what is a heading and what belongs together:
ATX and setext headings, fenced code, the tables of GitHub, front matter. Headings inside lists and quotes
are text. Any text has sections; linear in its length.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from ragdiag.spans import Range
from ragdiag.stages.chunkers.splitting import trim

__all__ = ["Section", "read_sections"]


@dataclass(slots=True)
class Section:
    """A part of a text that begins with its headings, and reaches to the next heading.

    Attributes:
        path: the titles of the headings above the text, the outermost first; empty before the first heading.
        blocks: headings, paragraphs, code blocks, tables: ranges in order, without whitespace at their edges.
    """

    path: tuple[str, ...]
    blocks: list[Range] = field(default_factory=list)


def read_sections(text: str) -> list[Section]:
    r"""The sections of ``text``, in order; together their blocks hold all that is not whitespace.

    Every heading begins a section, but one that follows another at once and stands below it shares its
    section: there is no section of a bare heading above its first subheading.

    Example:
        >>> text = "# Guide\n## Limits\nTwo a day.\n## Prices\nNone."
        >>> [section.path for section in read_sections(text)]
        [('Guide', 'Limits'), ('Guide', 'Prices')]
    """
    sections: list[Section] = []
    above: list[tuple[int, str]] = []
    bare = False  # whether the current section has nothing but headings so far
    for block in _read_blocks(text):
        if block.level:
            deeper = bool(above) and block.level > above[-1][0]
            above = [*(heading for heading in above if heading[0] < block.level), (block.level, block.title)]
            path = tuple(title for _, title in above if title)
            if bare and deeper:
                sections[-1].path = path
            else:
                sections.append(Section(path))
        elif not sections:
            sections.append(Section(()))
        bare = bool(block.level)
        sections[-1].blocks.append(trim(text, block.start, block.end))
    return sections


@dataclass(frozen=True, slots=True)
class _Line:
    start: int
    end: int  # with its line end
    content: str  # without it

    @property
    def indented(self) -> bool:
        """Whether four columns stand before its text: code, or what continues a list."""
        return self.content.startswith(("    ", "\t", " \t", "  \t", "   \t"))


@dataclass(frozen=True, slots=True)
class _Block:
    start: int
    end: int
    level: int = 0  # of a heading, 1 to 6
    title: str = ""


_LINE = re.compile(r"[^\r\n]*(?>\r\n?|\n)|[^\r\n]+")
_ATX = re.compile(r" {0,3}(#{1,6})(?=[ \t]|$)")
_UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*+$")
_FENCE = re.compile(r" {0,3}(`{3,}+(?!.*`)|~{3,}+)")
_TABLE_RULE = re.compile(r" {0,3}\|?[ \t]*+:?-++:?[ \t]*+(?:\|[ \t]*+:?-++:?[ \t]*+)*+\|?[ \t]*+$")
_CONTAINER = re.compile(r" {0,3}(?:[-+*](?:[ \t]|$)|\d{1,9}[.)](?:[ \t]|$)|>|<[A-Za-z/!?])")
_FRONT_MATTER = re.compile(r"[^\s:#-][^:]*:(?:\s|$)")


def _read_blocks(text: str) -> list[_Block]:
    lines = [_Line(m.start(), m.end(), m.group().rstrip("\r\n")) for m in _LINE.finditer(text)]
    readers: list[_Reader] = [_front_matter, _fence, _heading, _table, _rule, _indented_code, _paragraph]
    blocks = []
    at = 0
    while at < len(lines):
        if not lines[at].content.strip():
            at += 1
            continue
        length, level, title = next(filter(None, (read(lines, at) for read in readers)))
        blocks.append(_Block(lines[at].start, lines[at + length - 1].end, level, title))
        at += length
    return blocks


_Found = tuple[int, int, str]
"""How many lines a block has, and its level and title if it is a heading (else 0 and nothing)."""
_Reader = Callable[[list[_Line], int], _Found | None]


def _front_matter(lines: list[_Line], at: int) -> _Found | None:
    if (
        at
        or lines[0].content.rstrip() != "---"
        or len(lines) == 1
        or not _FRONT_MATTER.match(lines[1].content)
    ):
        return None
    for i in range(2, len(lines)):
        if lines[i].content.rstrip() in ("---", "..."):
            return i + 1, 0, ""
    return None


def _fence(lines: list[_Line], at: int) -> _Found | None:
    """A fenced code block; one that is never closed reaches to the end of the text, as in CommonMark."""
    opening = _FENCE.match(lines[at].content)
    if not opening:
        return None
    mark = opening[1]
    for i in range(at + 1, len(lines)):
        line = lines[i].content.strip(" \t")
        if len(line) >= len(mark) and not line.strip(mark[0]) and not lines[i].indented:
            return i - at + 1, 0, ""
    return len(lines) - at, 0, ""


def _heading(lines: list[_Line], at: int) -> _Found | None:
    """An ATX heading, such as ``## Limits ##``."""
    marks = _ATX.match(lines[at].content)
    if not marks:
        return None
    title = lines[at].content[marks.end() :].strip()
    open_end = title.rstrip("#")
    if not open_end or open_end[-1] in " \t":
        title = open_end
    return 1, len(marks[1]), " ".join(title.split())


def _table(lines: list[_Line], at: int) -> _Found | None:
    if at + 1 == len(lines) or "|" not in lines[at].content or "|" not in lines[at + 1].content:
        return None
    if lines[at].indented or not _TABLE_RULE.match(lines[at + 1].content):
        return None
    end = at + 2
    while end < len(lines) and lines[end].content.strip() and not _interrupts(lines, end):
        end += 1
    return end - at, 0, ""


def _rule(lines: list[_Line], at: int) -> _Found | None:
    """A thematic break, such as ``* * *``."""
    marks = "".join(lines[at].content.split())
    is_rule = len(marks) >= 3 and marks[0] in "-*_" and not marks.strip(marks[0]) and not lines[at].indented
    return (1, 0, "") if is_rule else None


def _indented_code(lines: list[_Line], at: int) -> _Found | None:
    end = at
    while end < len(lines) and lines[end].indented and lines[end].content.strip():
        end += 1
    return (end - at, 0, "") if end > at else None


def _paragraph(lines: list[_Line], at: int) -> _Found:
    """Lines up to a blank one or to another block; a setext heading where they are underlined."""
    plain = not _CONTAINER.match(lines[at].content)
    end = at + 1
    while end < len(lines) and lines[end].content.strip():
        underline = _UNDERLINE.match(lines[end].content)
        if underline and plain:
            title = " ".join(" ".join(line.content for line in lines[at:end]).split())
            return end - at + 1, 1 if underline[1][0] == "=" else 2, title
        if _interrupts(lines, end) or _table(lines, end):
            break
        plain = plain and not _CONTAINER.match(lines[end].content)
        end += 1
    return end - at, 0, ""


def _interrupts(lines: list[_Line], at: int) -> bool:
    """Whether a block begins here although no blank line stands before it."""
    return bool(_FENCE.match(lines[at].content) or _heading(lines, at) or _rule(lines, at))
