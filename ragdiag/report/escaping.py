"""Untrusted text made harmless: the one place that decides it, for each kind of output.

Texts, ids and plug reprs come from documents, files and other people's code. None may move a terminal's
cursor, end a table cell, open a tag or ping a person.
"""

from __future__ import annotations

import html
import re
import unicodedata

__all__ = ["columns", "cut", "cut_middle", "fit", "html_text", "markdown_text", "one_line", "printable"]

_ELLIPSIS = "…"
_REPLACEMENT = "\ufffd"
# Joiners shape Persian words and emoji and have no effect beyond their neighbors.
_KEPT_FORMATS = "\u200c\u200d"
_SPACES = {"Zl", "Zp"}
_HARMFUL = {"Cc", "Cf", "Cs"}  # controls and escapes, direction overrides, lone surrogates


def printable(text: str) -> str:
    """``text`` with line breaks and tabs kept and every other control replaced by U+FFFD.

    Example:
        >>> printable("a\\x1b[31mb")
        'a\ufffd[31mb'
    """
    return "".join(character if character in "\n\t" else _printable(character) for character in text)


def _printable(character: str) -> str:
    category = unicodedata.category(character)
    if category in _SPACES:
        return " "
    return _REPLACEMENT if category in _HARMFUL and character not in _KEPT_FORMATS else character


def one_line(text: str) -> str:
    """`printable`, with every run of white space as one space and none at the ends."""
    return " ".join(printable(text.replace("\r", "\n")).split())


def html_text(text: str) -> str:
    """``text`` for an HTML element's content or a quoted attribute."""
    return html.escape(printable(text.replace("\r\n", "\n").replace("\r", "\n")), quote=True)


# A mention pings a person, an issue number links, an address becomes a link: a word joiner stops all three.
_LINKING = re.compile(r"[@#]|:(?=//)|www(?=\.)|(?<=\w)-(?=\d)", re.IGNORECASE)
_MARKDOWN = re.compile(r"[\\`*_{}\[\]()#+!|~$:^=-]")
_JOINER = "\u2060"


def markdown_text(text: str) -> str:
    """``text`` on one line of GitHub-flavored Markdown, also inside a table's cell.

    Every character that Markdown could read becomes an entity, which inline parsing does not see.

    Example:
        >>> markdown_text("a|b <b>")
        'a&#124;b &lt;b&gt;'
    """
    safe = _LINKING.sub(lambda match: match[0] + _JOINER, one_line(text))
    # Entities first for the characters of HTML, so that their own "&", "#" and ";" are not escaped again.
    pieces = re.split(f"({_MARKDOWN.pattern})", safe)
    return "".join(
        f"&#{ord(piece)};" if _MARKDOWN.fullmatch(piece) else html.escape(piece, quote=True)
        for piece in pieces
    )


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
    if unicodedata.combining(character) or character in _KEPT_FORMATS:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def fit(text: str, width: int) -> str:
    """``text`` on one line, cut or padded to exactly ``width`` columns."""
    line = one_line(text)
    if columns(line) > width:
        kept, used = [], 1
        for character in line:
            used += _columns_of(character)
            if used > width:
                break
            kept.append(character)
        line = "".join(kept).rstrip() + _ELLIPSIS
    return line + " " * (width - columns(line))
