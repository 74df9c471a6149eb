"""A comparison as HTML: which is better at a glance, at which stages, and which units changed."""

from __future__ import annotations

from ragdiag.diagnosis.compare import DELIVERED, Comparison
from ragdiag.report.contrast import Contrast, Flip, StageChange
from ragdiag.report.escaping import cut, one_line
from ragdiag.report.figures import MISSING, count, of_things, share, signed, signed_interval
from ragdiag.report.html.elements import (
    Cell,
    Column,
    Html,
    card,
    element,
    page,
    section,
    stage_chip,
    table,
    untrusted,
    words,
)

__all__ = ["comparison_html"]

_FLIPS = 10  # of each kind of change
_QUERY, _ID = 200, 80  # characters of untrusted text shown in one place


def comparison_html(comparison: Comparison) -> str:
    """The summary of a comparison as one self-contained fragment."""
    contrast = Contrast(comparison)
    return str(
        page(
            "ragdiag comparison",
            element("p", "Two retrieval diagnoses of the same queries", kind="eyebrow"),
            element("h3", contrast.verdict),
            *_names(contrast),
            _cards(contrast),
            element("ul", *(element("li", note) for note in contrast.notes), kind="notes"),
            _differing(contrast),
            _losses(contrast),
            _units(contrast),
            *_flips(contrast),
            _measures(contrast),
        )
    )


# Headline


def _names(contrast: Contrast) -> list[Html]:
    return [
        element("p", f"{side}: ", untrusted(name), kind="muted")
        for pair in contrast.names
        for side, name in (("A", pair.a), ("B", pair.b))
    ]


def _cards(contrast: Contrast) -> Html:
    recall, counts = contrast.recall, contrast.counts
    queries = of_things(recall.n, "query", "queries")
    return element(
        "dl",
        card("Recall of A", share(recall.a), "share of the evidence that reached the prompt"),
        card("Recall of B", share(recall.b), f"over the same {queries}"),
        card(
            "Difference, B less A",
            signed(recall.value),
            f"95% interval {signed_interval(recall.low, recall.high)}; {contrast.p(recall)}",
        ),
        card(
            "Units of evidence",
            f"+{count(counts['regained'])} -{count(counts['lost'])}",
            f"regained and lost by B, of {count(counts['units'])}",
        ),
        kind="cards",
    )


def _differing(contrast: Contrast) -> Html:
    rows: list[list[str | Cell]] = [
        [pair.name, untrusted(pair.a, name="code"), untrusted(pair.b, name="code")]
        for pair in contrast.differing
    ]
    same = [element("p", f"The same in both: {', '.join(contrast.common)}.", kind="muted")]
    if not rows:
        return section("What differs between A and B", element("p", "Nothing."), *same)
    columns = [Column("What", "name"), Column("A", "long"), Column("B", "long")]
    caption = "The two runs, in the order of the flow."
    return section(
        "What differs between A and B",
        table(caption, columns, rows),
        *(same if contrast.common else []),
    )


# Where


def _losses(contrast: Contrast) -> Html:
    recall = contrast.recall
    axis = element("span", element("span", "B loses less"), element("span", "B loses more"), kind="axis")
    columns = [
        Column("Stage", "name"),
        Column("Loss in A", "number"),
        Column("Loss in B", "number"),
        Column(axis, "picture"),
        Column("Difference", "number"),
        Column("95% interval", "number"),
    ]
    rows: list[list[str | Cell]] = [_stage(stage, contrast.widest) for stage in contrast.stages]
    rows.append(
        [
            "recall",
            share(recall.a),
            share(recall.b),
            "",
            signed(recall.value),
            Cell(signed_interval(recall.low, recall.high), "number range"),
        ]
    )
    caption = "What each stage lost of recall. In A as in B, all losses less all rescues are 1 - recall."
    gloss = [element("p", contrast.glosses, kind="flow")] if contrast.glosses else []
    return section("Where the difference arises", table(caption, columns, rows, kind="ledger"), *gloss)


def _stage(stage: StageChange, widest: float) -> list[str | Cell]:
    losses = [
        Cell(MISSING if loss is None else share(loss), "number" if loss else "number zero")
        for loss in (stage.loss_a, stage.loss_b)
    ]
    return [
        stage.stage,
        *losses,
        _bar(stage.difference, widest),
        Cell(signed(stage.difference), "number" if stage.difference else "number zero"),
        Cell(signed_interval(stage.low, stage.high), "number range"),
    ]


def _bar(difference: float, widest: float) -> Html:
    """A bar from the middle, to the left where B loses less and to the right where it loses more."""
    pieces = [element("span", kind="middle")]
    if difference:
        width = 50 * abs(difference) / widest
        left = 50 - width if difference < 0 else 50
        style = f"left:{left:.3f}%;width:{width:.3f}%"
        kind = "less" if difference < 0 else "more"
        pieces.append(element("span", kind=kind, attributes={"style": style}))
    return element("div", *pieces, kind="track", attributes={"aria-hidden": "true"})


# Which units


def _units(contrast: Contrast) -> Html:
    transitions = contrast.comparison.transitions
    names = [str(name) for name in transitions.columns]
    columns = [Column("In A", "name"), *(Column(f"{name} in B", "number") for name in names)]
    rows: list[list[str | Cell]] = [
        [
            name,
            *(
                Cell(count(units) if units else "\u00b7", "number" if units else "number zero")
                for units in row
            ),
        ]
        for name, row in zip(names, transitions.to_numpy().tolist(), strict=True)
    ]
    caption = (
        "How many units were delivered, or lost at which stage, in A (rows) and in B (columns). What "
        "stands on the diagonal did not change."
    )
    return section("Units of evidence", element("p", contrast.units), table(caption, columns, rows))


def _flips(contrast: Contrast) -> list[Html]:
    if not contrast.flips:
        return []
    columns = [
        Column("Query", "query"),
        Column("Evidence", "long"),
        Column("In A", "long"),
        Column("In B", "long"),
    ]
    tables = []
    for change, flips in contrast.flips.items():
        heading = contrast.heading(change, _FLIPS)
        rows = [_flip(flip) for flip in flips[:_FLIPS]]
        tables += [
            element("h5", change.capitalize()),
            table(f"{heading[0].upper()}{heading[1:]}", columns, rows),
        ]
    cut_off = any(len(flips) > _FLIPS for flips in contrast.flips.values())
    more = [element("p", "All of them: comparison.flips.", kind="muted")] if cut_off else []
    return [section("Units that changed", *tables, *more, words(contrast.meanings))]


def _flip(flip: Flip) -> list[str | Cell]:
    query = element(
        "div",
        untrusted(cut(one_line(flip.query), _QUERY)),
        untrusted(cut(one_line(flip.query_id), _ID), kind="id"),
    )
    return [
        query,
        untrusted(cut(one_line(flip.evidence), _QUERY)),
        _chip(flip.fate_a),
        _chip(flip.fate_b),
    ]


def _chip(fate: str) -> Html:
    if fate == DELIVERED:
        return element("span", fate, kind="chip chip-delivered")
    stage, _, rest = fate.partition(": ")
    return element("div", stage_chip(stage), element("div", rest, kind="muted"))


# Measures


def _measures(contrast: Contrast) -> Html:
    columns = [
        Column("Measure", "name"),
        Column("A", "number"),
        Column("B", "number"),
        Column("Difference", "number"),
        Column("95% interval", "number"),
        Column("p", "number"),
    ]
    rows: list[list[str | Cell]] = [
        [
            name,
            share(d.a),
            share(d.b),
            signed(d.value),
            Cell(signed_interval(d.low, d.high), "number range"),
            share(d.p),
        ]
        for name, d in contrast.measures
    ]
    caption = f"Means over {of_things(contrast.recall.n, 'query', 'queries')}. More: comparison.measures."
    return section("Measures", table(caption, columns, rows))
