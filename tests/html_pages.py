"""HTML fragments as trees, and what must hold for every one of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser


@dataclass
class Node:
    """An element with its children, of a fragment that closes every tag that it opens."""

    name: str
    attributes: dict[str, str | None]
    children: list[Node | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(child if isinstance(child, str) else child.text for child in self.children)

    def walk(self) -> Iterator[Node]:
        yield self
        for child in self.children:
            if isinstance(child, Node):
                yield from child.walk()

    def all(self, name: str, kind: str = "") -> list[Node]:
        return [
            node
            for node in self.walk()
            if node.name == name
            and (not kind or f"ragdiag-{kind}" in (node.attributes.get("class") or "").split())
        ]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open = [Node("", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, dict(attrs))
        self.open[-1].children.append(node)
        self.open.append(node)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().name == tag

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def read(markup: str) -> Node:
    reader = _Reader()
    reader.feed(markup)
    reader.close()
    assert len(reader.open) == 1, "an element is left open"
    assert len(reader.open[0].children) == 1, "not one fragment"
    root = reader.open[0].children[0]
    assert isinstance(root, Node)
    return root


def rows_of(table: Node) -> list[list[str]]:
    return [[cell.text for cell in row.children if isinstance(cell, Node)] for row in table.all("tr")]


def check_page(markup: str) -> Node:
    """What must hold for every fragment."""
    markup.encode("utf-8")
    page = read(markup)
    assert page.attributes["class"] == "ragdiag-report"
    names = {node.name for node in page.walk()}
    assert not names & {"script", "img", "iframe", "link", "object", "embed", "form", "a", "meta", "base"}
    assert len(page.all("style")) == 1
    for node in page.walk():
        assert not [name for name in node.attributes if name.startswith("on") or name in ("src", "href")]
        if "style" in node.attributes:
            assert re.fullmatch(r"((left|width|bottom|height):[\d.]+%;?)+", node.attributes["style"] or "")
        for kind in (node.attributes.get("class") or "").split():
            assert kind.startswith("ragdiag-")
    assert not re.search(r"https?:|//|url\(|@import|expression", markup)
    for table in page.all("table"):
        assert table.all("caption")[0].text
        assert all(head.attributes["scope"] in ("col", "row") for head in table.all("th"))
        assert len({len(row) for row in rows_of(table)}) == 1
    return page
