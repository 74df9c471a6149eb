"""HTML from values: whatever is not already HTML is escaped, so that no caller can forget it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ragdiag.report.escaping import html_text
from ragdiag.report.html.style import PREFIX, stylesheet

__all__ = [
    "Cell",
    "Column",
    "Html",
    "card",
    "classes",
    "element",
    "page",
    "section",
    "stage_chip",
    "table",
    "untrusted",
    "words",
]


class Html(str):
    """Markup: the only text that `element` does not escape. Made by this module alone."""

    __slots__ = ()


def element(name: str, *children: str, kind: str = "", attributes: Mapping[str, str] | None = None) -> Html:
    """An element with ``children``, each escaped unless it is `Html`.

    Args:
        name: of the element.
        children: its content.
        kind: its classes, without the prefix of this report.
        attributes: further ones; their values are escaped.
    """
    written = dict(attributes or {})
    if kind:
        written = {"class": classes(kind), **written}
    inside = "".join(child if isinstance(child, Html) else html_text(child) for child in children)
    opening = "".join(f' {attribute}="{html_text(value)}"' for attribute, value in written.items())
    return Html(f"<{name}{opening}>{inside}</{name}>")


def classes(kind: str) -> str:
    """Class names with the prefix that keeps this report's style apart from the page's."""
    return " ".join(f"{PREFIX}-{part}" for part in kind.split())


def untrusted(text: str, *, name: str = "span", kind: str = "") -> Html:
    """A text from documents or people, which finds its own direction of writing and keeps it to itself."""
    return element(name, text, kind=f"text {kind}".strip(), attributes={"dir": "auto"})


def stage_chip(stage: str, text: str = "", *, worst: bool = False) -> Html:
    """The name of a stage that lost something, as a label."""
    return element("span", text or stage, kind="chip chip-worst" if worst else "chip")


def card(title: str, figure: str, note: str, *, kind: str = "card", figure_kind: str = "figure") -> Html:
    """One figure of a headline with its title and what it is a figure of; stands in a ``dl``."""
    return element(
        "div",
        element("dt", title),
        element("dd", figure, kind=figure_kind),
        element("dd", note, kind="muted"),
        kind=kind,
    )


def section(title: str, *children: str) -> Html:
    """A part of a report with its heading."""
    return element("section", element("h4", title), *children)


def words(meanings: Mapping[str, str]) -> Html:
    """Words and what they mean."""
    parts = [
        part
        for word, meaning in meanings.items()
        for part in (element("dt", word), element("dd", f"{meaning}."))
    ]
    return element("dl", *parts, kind="words")


def page(label: str, *children: str) -> Html:
    """The whole fragment with its style."""
    # The style is this package's own text and holds characters such as ">" that must stay.
    style = Html(f"<style>{stylesheet()}</style>")
    return element(
        "div",
        style,
        *children,
        kind="report",
        attributes={"role": "region", "aria-label": label, "lang": "en"},
    )


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        title: what stands in its head.
        kind: ``"number"`` is right-aligned; other kinds are classes.
        unseen: whether the title is for screen readers only.
    """

    title: str
    kind: str = ""
    unseen: bool = False


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell with its own classes in place of its column's."""

    content: str
    kind: str


def table(
    caption: str,
    columns: Sequence[Column],
    rows: Sequence[Sequence[str | Cell]],
    *,
    kind: str = "",
    highlighted: Sequence[int] = (),
) -> Html:
    """A table whose first cell of each row is the row's head.

    Args:
        caption: what it shows; visible, as its first line.
        columns: from left to right.
        rows: of texts, markup or cells.
        kind: its classes.
        highlighted: the rows that stand out, by position.
    """
    head = [
        element(
            "th",
            element("span", column.title, kind="unseen") if column.unseen else column.title,
            kind=column.kind,
            attributes={"scope": "col"},
        )
        for column in columns
    ]
    body = [
        element("tr", *_cells(columns, row), kind="highlighted" if position in highlighted else "")
        for position, row in enumerate(rows)
    ]
    made = element(
        "table",
        element("caption", caption),
        element("thead", element("tr", *head)),
        element("tbody", *body),
        kind=f"table {kind}".strip(),
    )
    # A table wider than a narrow cell scrolls in its own box, which the keyboard must be able to reach.
    return element(
        "div", made, kind="scroll", attributes={"role": "group", "tabindex": "0", "aria-label": caption}
    )


def _cells(columns: Sequence[Column], row: Sequence[str | Cell]) -> list[Html]:
    made = []
    for position, (column, value) in enumerate(zip(columns, row, strict=True)):
        content, kind = (value.content, value.kind) if isinstance(value, Cell) else (value, column.kind)
        if position == 0:
            made.append(element("th", content, kind=kind, attributes={"scope": "row"}))
        else:
            made.append(element("td", content, kind=kind))
    return made
