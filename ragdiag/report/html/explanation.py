"""An explanation as HTML: what lost a query's evidence, how that is proven, and the chunks around it."""

from __future__ import annotations

from ragdiag.diagnosis.explanation import Explanation, Passage, UnitStory
from ragdiag.report.figures import MISSING, of_things, percent, rank, share
from ragdiag.report.html.causes import unit_causes_html
from ragdiag.report.html.elements import Cell, Column, Html, element, page, stage_chip, table, untrusted
from ragdiag.report.proof import ProofStory, TrialRow
from ragdiag.report.story import Story

__all__ = ["explanation_html"]


def explanation_html(explanation: Explanation) -> str:
    """One query's story as one self-contained fragment."""
    story = Story(explanation)
    return str(
        page(
            "ragdiag explanation",
            element("p", "Query ", untrusted(explanation.query_id), kind="eyebrow"),
            untrusted(explanation.query, name="h3"),
            element(
                "p",
                f"Recall {share(explanation.recall)}: the share of its evidence that reached the prompt.",
            ),
            element("p", story.flow, kind="flow"),
            *(_unit(story, unit) for unit in explanation.units),
            element("p", story.legend, kind="muted"),
        )
    )


def _unit(story: Story, unit: UnitStory) -> Html:
    chip = (
        element("span", story.fate(unit), kind="chip chip-delivered")
        if unit.stage is None
        else stage_chip(unit.stage, story.fate(unit), worst=True)
    )
    proof = story.proof(unit)
    kind = [] if unit.verdict is None else [element("span", unit.verdict.proof, kind="chip")]
    return element(
        "section",
        element("h4", element("span", story.which(unit)), chip, *kind),
        element("h5", "What the run shows"),
        element("p", unit.sentence),
        _steps(story, unit),
        *([] if proof is None else _proof(proof)),
        *(_passage(story, unit, passage, number) for number, passage in enumerate(unit.passages)),
        kind="unit",
    )


def _proof(proof: ProofStory) -> list[Html]:
    parts = []
    if proof.trials:
        columns = [
            Column("Made ideal", "long"),
            Column("What came of it", "long"),
            Column("Coverage", "number"),
        ]
        parts += [
            element("h5", "What was tried"),
            table(proof.how_tried, columns, [_trial(row) for row in proof.trials], kind="trials"),
        ]
    parts += [
        element("h5", "What it means"),
        untrusted(" ".join(proof.conclusion), name="p", kind="conclusion"),
    ]
    if proof.shapley:
        parts.append(element("p", proof.shapley, kind="muted"))
    return [*parts, *unit_causes_html(proof)]


def _trial(row: TrialRow) -> list[str | Cell]:
    gloss = [untrusted(row.gloss, name="div", kind="muted")] if row.gloss else []
    return [
        element("div", element("strong", row.ideal), *gloss),
        untrusted(row.result, kind=f"outcome-{row.outcome}"),
        MISSING if row.coverage is None else percent(row.coverage),
    ]


def _steps(story: Story, unit: UnitStory) -> Html:
    columns = [
        Column("Checkpoint", unseen=True),
        *(Column(name.replace(" k", "\u00a0k")) for name in unit.coverage),
    ]
    row: list[str | Cell] = ["Coverage"]
    before = 1.0
    for coverage in unit.coverage.values():
        fallen, risen = coverage < before, coverage > before
        row.append(
            Cell(
                element("div", _column(before, coverage), percent(coverage)),
                "fallen" if fallen else "risen" if risen else "",
            )
        )
        before = coverage
    drops = [found for name in unit.coverage if (found := story.drop(unit, name))]
    caption = (
        f"Coverage, how much of the evidence was still within reach at each checkpoint: {', '.join(drops)}."
        if drops
        else "All of it came through."
    )
    return table(caption, columns, [row], kind="steps")


def _column(before: float, after: float) -> Html:
    """A column of the step chart: what is there, and above it what was lost or regained on the way."""

    def piece(kind: str, low: float, high: float) -> list[Html]:
        style = f"bottom:{low:.1%};height:{high - low:.1%}"
        return [element("span", kind=kind, attributes={"style": style})] if high > low else []

    pieces = [
        *piece("kept", 0, min(before, after)),
        *piece("lost", after, before),
        *piece("rescued", before, after),
    ]
    return element("span", *pieces, kind="column", attributes={"aria-hidden": "true"})


def _passage(story: Story, unit: UnitStory, passage: Passage, number: int) -> Html:
    cut = element("span", kind="cut", attributes={"role": "img", "aria-label": "a chunk begins or ends here"})
    evidence: list[str] = []
    for i, piece in enumerate(story.pieces(passage)):
        evidence += [cut, piece] if i else [piece]
    before, after = story.surroundings(passage)
    quote = element(
        "blockquote",
        before,
        element("mark", *evidence),
        after,
        kind="quote",
        attributes={"dir": "auto", "tabindex": "0", "aria-label": "the evidence in its source"},
    )
    marks = (
        [element("p", cut, "a chunk begins or ends inside the evidence", kind="muted")]
        if passage.boundaries
        else []
    )
    return element(
        "div",
        untrusted(story.place(unit, passage, number), name="h5"),
        quote,
        *marks,
        _chunks(story, passage),
    )


def _chunks(story: Story, passage: Passage) -> Html:
    sights = story.sights(passage)
    if not sights:
        return element("p", "No chunk holds any of it.", kind="muted")
    rankings = story.rankings
    columns = [
        Column("Chunk", "long"),
        Column("Holds", "number"),
        *(Column(f"{name.capitalize()} rank", "number") for name in rankings.values()),
        Column("In context", "number"),
    ]
    rows: list[list[str | Cell]] = [
        [
            untrusted(sight.chunk_id, name="code"),
            percent(sight.share),
            *(rank(getattr(sight, column)) for column in rankings),
            Cell("yes", "number yes") if sight.in_context else "no",
        ]
        for sight in sights
    ]
    left_out = len(passage.chunks) - len(sights)
    more = f" {of_things(left_out, 'chunk')} more are not shown." if left_out else ""
    return table(f"Chunks that hold some of it.{more}", columns, rows)
