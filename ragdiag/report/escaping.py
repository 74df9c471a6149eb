"""Untrusted text made harmless: the one place that decides it, for each kind of output.

Texts, ids and plug reprs come from documents, files and other people's code. None may move a terminal's
cursor, end a table cell, open a tag or ping a person.
"""

from __future__ import annotations

import html
import re
import unicodedata
from itertools import accumulate

__all__ = [
    "columns",
    "cut",
    "cut_middle",
    "fit",
    "html_text",
    "markdown_text",
    "one_line",
    "printable",
    "wrap",
]

_ELLIPSIS = "…"
_REPLACEMENT = "\ufffd"
_HARMFUL = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls and terminal escapes; line feed and tab are kept
    "\u202a-\u202e\u2066-\u206f"  # overrides of the direction of writing, which show text in a false order
    "\ufff9-\ufffb\U000e0000-\U000e007f"  # annotations and tags: text that nobody sees
    "\ud800-\udfff"  # lone surrogates, which no output can encode
    "]"
)
_NO_COLUMN = {"Mn", "Me", "Cf"}  # marks that stand on the character before them, and formats


def printable(text: str) -> str:
    r"""``text`` with line feeds and tabs kept and every other control replaced by U+FFFD, one for one.

    Example:
        >>> printable("a\x1b[31mb")
        'a�[31mb'
    """
    return _HARMFUL.sub(_REPLACEMENT, text)


def one_line(text: str) -> str:
    """`printable`, with every run of white space as one space and none at the ends."""
    return " ".join(printable(text.replace("\r", "\n")).split())


def html_text(text: str) -> str:
    """``text`` for an HTML element's content or a quoted attribute."""
    return html.escape(printable(text.replace("\r\n", "\n").replace("\r", "\n")), quote=True)


# A mention pings a person, an issue's number and an address become links: a word joiner stops all of them.
_LINKING = re.compile(r"@|#(?=\d)|:(?=//)|www(?=\.)", re.IGNORECASE)
_MARKDOWN = re.compile(r"[\\`*_\[\]|~!$<>&]")
_JOINER = "\u2060"


def markdown_text(text: str) -> str:
    """``text`` on one line of GitHub-flavored Markdown, also inside a table's cell.

    Every character that Markdown or HTML could read becomes an entity, which inline parsing takes as text.

    Example:
        >>> markdown_text("a|b <b>")
        'a&#124;b &#60;b&#62;'
    """
    linkless = _LINKING.sub(lambda found: found[0] + _JOINER, one_line(text))
    return _MARKDOWN.sub(lambda found: f"&#{ord(found[0])};", linkless)


def cut(text: str, characters: int) -> str:
    """The beginning of ``text``, with an ellipsis where something was cut off."""
    return text if len(text) <= characters else text[: characters - 1].rstrip() + _ELLIPSIS


def cut_middle(text: str, characters: int) -> str:
    """The beginning and the end of ``text``, with an ellipsis for what was cut out between them."""
    if len(text) <= characters:
        return text
    ending = (characters - 3) // 3
    return f"{text[: characters - 3 - ending]} {_ELLIPSIS} {text[len(text) - ending :]}"


def columns(text: str) -> int:
    """How many columns of a terminal ``text`` takes: wide characters two, combining marks none."""
    return sum(map(_columns_of, text))


def _columns_of(character: str) -> int:
    if unicodedata.category(character) in _NO_COLUMN:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def fit(text: str, width: int) -> str:
    """``text`` on one line, cut or padded to exactly ``width`` columns."""
    line = one_line(text)
    if columns(line) > width:
        line = _beginning(line, width - 1).rstrip() + _ELLIPSIS
    return line + " " * (width - columns(line))


def wrap(text: str, width: int) -> list[str]:
    """``text`` on lines of at most ``width`` columns (two or more); a word that is wider is broken."""
    lines = [""]
    for word in one_line(text).split():
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if columns(joined) <= width:
            lines[-1] = joined
            continue
        rest = word
        lines += [""] if lines[-1] else []
        while columns(rest) > width:
            lines[-1] = _beginning(rest, width)
            rest = rest[len(lines[-1]) :]
            lines.append("")
        lines[-1] = rest
    return lines


def _beginning(line: str, width: int) -> str:
    """As many characters of ``line`` as fit into ``width`` columns."""
    ends = accumulate(map(_columns_of, line))
    return line[: sum(end <= width for end in ends)]
