"""A gate's result as HTML: may it ship, at a glance; each check; where and at which queries it got worse."""

from __future__ import annotations

from collections.abc import Sequence

from ragdiag.experiments.gate.judging import Judgement
from ragdiag.experiments.gate.result import GateResult
from ragdiag.report.escaping import cut, one_line
from ragdiag.report.figures import count, percent, share
from ragdiag.report.gate import GateFlip, GateStory
from ragdiag.report.html.elements import Cell, Column, Html, card, element, page, section, table, untrusted

__all__ = ["gate_html"]

_FLIPS = 20
_QUERY, _ID = 200, 80  # characters of untrusted text shown in one place


def gate_html(result: GateResult) -> str:
    """The result of a gate as one self-contained fragment."""
    story = GateStory(result)
    return str(
        page(
            "ragdiag gate",
            element("p", "May this pipeline ship?", kind="eyebrow"),
            element("h3", story.headline),
            _cards(story),
            element("ul", *(element("li", note) for note in story.notes), kind="notes"),
            *_bars(story),
            *(_since(story) if story.differences else []),
        )
    )


def _cards(story: GateStory) -> Html:
    result = story.result
    verdicts = [judgement.verdict for judgement in result.judgements]
    counts = [
        card(title, count(sum(verdict == one for verdict in verdicts)), f"of {count(len(verdicts))} checks")
        for title, one in (("Pass", "pass"), ("Fail", "fail"), ("Cannot tell", "cannot tell"))
    ]
    kind = "card card-worst" if result.verdict == "fail" else "card"
    sure = f"confidence of each bound: {percent(result.confidence)}"
    verdict = card("Verdict", result.verdict, sure, kind=kind, figure_kind="figure word")
    return element("dl", verdict, *counts, kind="cards")


def _bars(story: GateStory) -> list[Html]:
    if not story.bars:
        return []
    columns = [
        Column("Bar", "name"),
        Column("Verdict", "name"),
        Column("Value", "number"),
        Column(story.bounds_title, "number"),
        Column("Queries", "number"),
        Column("Would tell", "number"),
    ]
    rows: list[list[str | Cell]] = [
        [
            element("code", judgement.check),
            judgement.verdict,
            story.value(judgement),
            Cell(story.bounds(judgement), "number range"),
            count(judgement.n),
            story.would_tell(judgement),
        ]
        for judgement in story.bars
    ]
    caption = "Each value over all queries that judge, and how sure it is."
    return [section("Bars", table(caption, columns, rows, highlighted=_failed(story.bars)))]


def _since(story: GateStory) -> list[Html]:
    columns = [
        Column("Of", "name"),
        Column("Verdict", "name"),
        Column("Then", "number"),
        Column("Now", "number"),
        Column("Difference", "number"),
        Column(story.bounds_title, "number"),
        Column("Would tell", "number"),
    ]
    rows: list[list[str | Cell]] = [
        [
            element("code", judgement.quantity),
            judgement.verdict,
            share(judgement.before or 0.0),
            share(judgement.now),
            story.value(judgement),
            Cell(story.bounds(judgement), "number range"),
            story.would_tell(judgement),
        ]
        for judgement in story.differences
    ]
    made = table(
        f"The same queries then and now: {story.allowed}.",
        columns,
        rows,
        highlighted=_failed(story.differences),
    )
    return [
        section("Against the baseline", made, *_changes(story)),
        _stages(story),
        section("Units of evidence", element("p", story.flipped), *_flips(story)),
    ]


def _failed(judgements: Sequence[Judgement]) -> list[int]:
    return [at for at, judgement in enumerate(judgements) if judgement.verdict == "fail"]


def _changes(story: GateStory) -> list[Html]:
    if not story.changes:
        return [element("p", "The pipeline shows itself as it did.", kind="muted")]
    columns = [Column("What", "name"), Column("Then", "long"), Column("Now", "long")]
    rows: list[list[str | Cell]] = [
        [name, untrusted(before, name="code"), untrusted(now, name="code")]
        for name, before, now in story.changes
    ]
    return [table("What is not as it was.", columns, rows)]


def _stages(story: GateStory) -> Html:
    columns = [
        Column("Stage", "name"),
        Column("Lost then", "number"),
        Column("Lost now", "number"),
        Column("Difference", "number"),
        Column(story.bounds_title, "number"),
    ]
    rows: list[list[str | Cell]] = [
        [stage.stage, stage.before, stage.now, stage.difference, Cell(stage.bounds, "number range")]
        for stage in story.stages
    ]
    worse = [at for at, stage in enumerate(story.stages) if stage.worse]
    gloss = [element("p", story.glosses, kind="flow")] if story.glosses else []
    made = table("What each stage lost of recall.", columns, rows, highlighted=worse)
    return section("Where", element("p", story.blame), made, *gloss)


def _flips(story: GateStory) -> list[Html]:
    if not story.flips:
        return []
    columns = [
        Column("Query", "query"),
        Column("Unit", "number"),
        Column("Change", "name"),
        Column("Then", "name"),
        Column("Now", "name"),
    ]
    rows = [_flip(flip) for flip in story.flips[:_FLIPS]]
    left_out = len(story.flips) - _FLIPS
    more = [element("p", f"{count(left_out)} more: result.flips.", kind="muted")] if left_out > 0 else []
    return [table("Units with another fate, lost ones first.", columns, rows), *more]


def _flip(flip: GateFlip) -> list[str | Cell]:
    query = element(
        "div",
        untrusted(cut(one_line(flip.query), _QUERY)),
        untrusted(cut(one_line(flip.query_id), _ID), name="div", kind="id"),
    )
    return [query, count(flip.unit), flip.change, flip.before, flip.now]
