"""A comparison of chunkers as HTML: the verdict, how good each is, where it loses, and what it costs."""

from __future__ import annotations

from ragdiag.experiments.chunking.result import ChunkerComparison
from ragdiag.report.chunking import STAGE_COLORS, ChunkingStory, Shown
from ragdiag.report.figures import MISSING, count, interval, of_things, share
from ragdiag.report.html.elements import Cell, Column, Html, card, element, page, section, table, untrusted

__all__ = ["chunkers_html"]

_GOOD = ("winner", "tie")


def chunkers_html(comparison: ChunkerComparison) -> str:
    """The comparison as one self-contained fragment."""
    story = ChunkingStory(comparison)
    return str(
        page(
            "ragdiag comparison of chunkers",
            element("p", "Which chunker for these documents and questions", kind="eyebrow"),
            element("h3", story.headline),
            _cards(story),
            element("ul", *(element("li", sentence) for sentence in story.sentences), kind="notes"),
            _quality(story),
            _losses(story),
            *(_plain(shown) for shown in story.tables[2:]),
        )
    )


def _cards(story: ChunkingStory) -> Html:
    standing, best = story.standing, story.rows[0]
    detectable = MISSING if standing.detectable is None else share(standing.detectable)
    return element(
        "dl",
        card(
            f"{story.measure} of the best",
            share(best["value"]),
            f"95% interval {interval(best['low'], best['high'])}",
        ),
        card("Recall of the best", share(best["recall"]), "share of the evidence that reached the prompt"),
        card(
            "Chunkers",
            count(len(standing.order)),
            f"{count(len(standing.losers))} worse than the best" if story.enough else "none is called worse",
        ),
        card(
            "Could be told apart",
            detectable,
            f"the least difference in {of_things(standing.n, 'query', 'queries')}",
        ),
        kind="cards",
    )


def _quality(story: ChunkingStory) -> Html:
    """How good each is, with a bar as long as the measure and a line over its interval."""
    shown = story.quality
    rows: list[list[str | Cell]] = []
    for row, (name, value, between, standing, *rest) in zip(story.rows, shown.rows, strict=True):
        bar = _drawing(
            _rectangle(0, row["value"], top=3, height=8, fill="currentColor", opacity="0.2"),
            _rectangle(row["low"], row["high"], top=6, height=2, fill="currentColor"),
        )
        kind = "number yes" if row["standing"] in _GOOD else "number"
        rows.append([untrusted(name), value, Cell(between, "number range"), bar, Cell(standing, kind), *rest])
    columns = _columns(shown)
    columns.insert(
        3, Column(element("span", element("span", "0"), element("span", "1"), kind="axis"), "long")
    )
    return section(shown.title, table(shown.caption, columns, rows))


def _losses(story: ChunkingStory) -> Html:
    """What each stage loses, in figures and as one bar cut into stages."""
    shown = story.losses
    stages = [stage for stage in STAGE_COLORS if f"loss_{stage}" in story.rows[0]]
    rows: list[list[str | Cell]] = []
    for row, (name, *rest) in zip(story.rows, shown.rows, strict=True):
        pieces, end = [], 0.0
        for stage in stages:
            loss = max(0.0, row[f"loss_{stage}"] or 0.0)
            pieces.append(_rectangle(end, end + loss, top=1, height=12, fill=STAGE_COLORS[stage]))
            end += loss
        rows.append([untrusted(name), _drawing(*pieces), *rest])
    columns = [
        Column(shown.header[0], "query"),
        Column(element("span", element("span", "0"), element("span", "1"), kind="axis"), "query"),
        *(
            Column(element("span", _swatch(title), title) if title in stages else title, "number")
            for title in shown.header[1:]
        ),
    ]
    return section(shown.title, table(shown.caption, columns, rows))


def _plain(shown: Shown) -> Html:
    rows: list[list[str | Cell]] = [[untrusted(row[0]), *row[1:]] for row in shown.rows]
    return section(shown.title, table(shown.caption, _columns(shown), rows))


def _columns(shown: Shown) -> list[Column]:
    return [Column(shown.header[0], "query"), *(Column(title, "number") for title in shown.header[1:])]


# Drawings. Their colors are attributes, so that they need no rules beside the stylesheet.


def _drawing(*shapes: Html) -> Html:
    """Shapes on a ground from 0 to 1, as wide as there is room."""
    attributes = {
        "viewBox": "0 0 100 14",
        "preserveAspectRatio": "none",
        "width": "100%",
        "height": "14",
        "aria-hidden": "true",
    }
    return element("svg", *shapes, attributes=attributes)


def _rectangle(start: float, end: float, *, top: int, height: int, fill: str, opacity: str = "1") -> Html:
    attributes = {
        "x": f"{100 * start:.3f}",
        "y": str(top),
        "width": f"{100 * (end - start):.3f}",
        "height": str(height),
        "fill": fill,
        "fill-opacity": opacity,
    }
    return element("rect", attributes=attributes)


def _swatch(stage: str) -> Html:
    """The color of a stage."""
    square = element("rect", attributes={"width": "9", "height": "9", "fill": STAGE_COLORS[stage]})
    return element("svg", square, attributes={"width": "13", "height": "9", "aria-hidden": "true"})
