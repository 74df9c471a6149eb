"""A diagnosis as HTML: where the loss is at a glance, and every table behind it."""

from __future__ import annotations

from ragdiag.diagnosis.result import Diagnosis
from ragdiag.report.escaping import cut, one_line
from ragdiag.report.figures import MISSING, count, interval, of_things, share
from ragdiag.report.html.causes import causes_html
from ragdiag.report.html.elements import (
    Cell,
    Column,
    Html,
    card,
    element,
    page,
    section,
    table,
    untrusted,
    words,
)
from ragdiag.report.html.lost import failures_html, proofs_html
from ragdiag.report.html.precision import blame_html, noise_html
from ragdiag.report.summary import Step, Summary
from ragdiag.report.words import describe_measure

__all__ = ["diagnosis_html"]

_PROVEN = ("verified", "joint")
_PLUG = 400  # characters of untrusted text shown in one place


def diagnosis_html(diagnosis: Diagnosis) -> str:
    """The summary of a diagnosis as one self-contained fragment."""
    summary = Summary(diagnosis)
    return str(
        page(
            "ragdiag diagnosis",
            element("p", "Retrieval diagnosis", kind="eyebrow"),
            element("h3", summary.verdict),
            *([element("p", summary.lost.how_proven)] if summary.failures else []),
            _cards(summary),
            element("p", summary.flow, kind="flow"),
            element("ul", *(element("li", note) for note in summary.notes), kind="notes"),
            _ledger(summary),
            *causes_html(summary),
            *proofs_html(summary),
            failures_html(summary),
            element("div", noise_html(summary), *blame_html(summary), kind="pair"),
            element("div", _measures(summary), _pipeline(summary), kind="pair"),
            _costs(summary),
        )
    )


# Headline


def _cards(summary: Summary) -> Html:
    counts, recall = summary.counts, summary.recall
    units = of_things(counts["units"], "unit")
    return element(
        "dl",
        card("Recall", share(recall.value), f"95% interval {interval(recall.low, recall.high)}"),
        card("Lost", count(counts["lost units"]), f"of {units} of evidence"),
        _proven_card(summary),
        _worst_card(summary),
        card(
            "Queries assessed",
            count(counts["assessed"]),
            f"{count(counts['unassessed'])} unassessed, {count(counts['unanswerable'])} unanswerable",
        ),
        kind="cards",
    )


def _proven_card(summary: Summary) -> Html:
    proven = [f"{count(units)} {proof}" for proof, units in summary.lost.by_proof.items() if proof in _PROVEN]
    units = sum(summary.lost.by_proof.get(proof, 0) for proof in _PROVEN)
    note = ", ".join(proven) if proven else "of the lost units"
    return card("Proven", count(units) if summary.failures else MISSING, note)


def _worst_card(summary: Summary) -> Html:
    if not summary.worst:
        return card("Loses most", MISSING, "nothing was lost")
    stages = ", ".join(step.stage for step in summary.worst)
    each = " each" if len(summary.worst) > 1 else ""
    loss = f"{share(summary.worst[0].loss)}{each} of {share(summary.loss)} lost"
    return card("Loses most", stages, loss, kind="card card-worst", figure_kind="figure word")


# The ledger


def _ledger(summary: Summary) -> Html:
    start = summary.axis_start
    axis = element("span", element("span", share(start)), element("span", "1.000"), kind="axis")
    columns = [
        Column("Stage", "name"),
        Column(axis, "picture"),
        Column("Left", "number"),
        Column("Loss", "number"),
        Column("95% interval", "number"),
        Column("Rescue", "number"),
        Column("Lost units", "number"),
    ]
    everything: list[str | Cell] = ["everything", _track(kept=1.0, start=start), share(1), "", "", "", ""]
    recall = summary.recall.value
    last: list[str | Cell] = ["recall", _track(kept=recall, start=start), share(recall), "", "", "", ""]
    rows: list[list[str | Cell]] = [everything, *(_step(step, start) for step in summary.steps), last]
    worst = {step.stage for step in summary.worst}
    highlighted = [i for i, step in enumerate(summary.steps, start=1) if step.stage in worst]
    legend = element(
        "p",
        element("span", element("span", kind="swatch"), "still there after the stage"),
        element(
            "span",
            element("span", kind="swatch swatch-lost"),
            "lost at the stage, strongest where most is lost",
        ),
        element("span", element("span", kind="swatch swatch-rescued"), "brought back by it"),
        kind="legend",
    )
    begins = "" if start == 0 else f" The bars begin at {share(start)}."
    caption = (
        f"From all of the evidence (1.000) down to recall ({share(recall)}). A unit is a piece of evidence "
        f"that an answer needs.{begins}"
    )
    return section(
        "Where the evidence was lost",
        table(caption, columns, rows, kind="ledger", highlighted=highlighted),
        legend,
        words(summary.meanings),
    )


def _step(step: Step, start: float) -> list[str | Cell]:
    zero = " zero" if step.loss == 0 else ""
    return [
        step.stage,
        _track(
            kept=step.before - step.loss,
            rescued=step.after,
            lost=step.before,
            start=start,
        ),
        share(step.after),
        Cell(share(step.loss), f"number loss-number{zero}"),
        Cell(interval(step.low, step.high), "number range"),
        Cell(share(step.rescue), "number" if step.rescue else "number zero"),
        Cell(count(step.units), "number" if step.units else "number zero"),
    ]


def _track(*, kept: float, start: float, rescued: float = 0.0, lost: float = 0.0) -> Html:
    """A bar from the axis's start to ``kept``; from there to ``lost``, and half as high to ``rescued``."""

    def piece(kind: str, low: float, high: float) -> list[Html]:
        if high - low <= 1e-9:
            return []
        left, width = ((low - start) / (1 - start), (high - low) / (1 - start))
        style = f"left:{left:.3%};width:{width:.3%}"
        return [element("span", kind=kind, attributes={"style": style})]

    return element(
        "div",
        *piece("kept", start, kept),
        *piece("lost", kept, lost),
        *piece("rescued", kept, rescued),
        kind="track",
        attributes={"aria-hidden": "true"},
    )


# Measures, stages, costs


def _measures(summary: Summary) -> Html:
    columns = [
        Column("Measure", "name"),
        Column("Value", "number"),
        Column("95% interval", "number"),
        Column("What it says"),
    ]
    rows: list[list[str | Cell]] = [
        [
            row.measure,
            share(row.value),
            Cell(interval(row.low, row.high), "number range"),
            Cell(describe_measure(row.measure), "muted"),
        ]
        for row in summary.measures
    ]
    caption = f"Means over {of_things(summary.counts['assessed'], 'query', 'queries')}."
    return section("Measures", table(caption, columns, rows))


def _pipeline(summary: Summary) -> Html:
    trace = summary.trace
    rows: list[list[str | Cell]] = [
        [stage, untrusted(cut(one_line(plug), _PLUG), name="code")] for stage, plug in trace.stages.items()
    ]
    rows.append(["n and k", f"{of_things(trace.candidates, 'candidate')}, top {count(trace.top_k)}"])
    columns = [Column("Stage", "name"), Column("Plug and its options", "long")]
    return section("Pipeline", table("In the order of the flow.", columns, rows))


def _costs(summary: Summary) -> Html:
    costs = summary.trace.costs
    if not costs.stages:
        return Html()
    work: list[list[str | Cell]] = [
        [
            cost.stage,
            cost.work,
            count(cost.count),
            "" if cost.tokens is None else count(cost.tokens),
            f"{cost.seconds:.2f}",
        ]
        for cost in costs.stages
    ]
    columns = [
        Column("Stage", "name"),
        Column("Work"),
        Column("Count", "number"),
        Column("Tokens", "number"),
        Column("Seconds", "number"),
    ]
    tables = [section("Costs", table("What this run took.", columns, work))]
    if costs.latency:
        latency: list[list[str | Cell]] = [
            [row["stage"], f"{row['p50']:.2f}", f"{row['p95']:.2f}", count(row["n"])]
            for row in costs.latency_table().to_dict("records")
        ]
        columns = [
            Column("Stage", "name"),
            Column("p50", "number"),
            Column("p95", "number"),
            Column("Queries", "number"),
        ]
        tables.append(section("Latency", table("Milliseconds for a single query.", columns, latency)))
    return element("div", *tables, kind="pair")
