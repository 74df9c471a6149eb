"""Noise in the context as HTML, and the blame for losses without regard to the order of the stages."""

from __future__ import annotations

from ragdiag.report.html.elements import Cell, Column, Html, element, section, table
from ragdiag.report.summary import Summary

__all__ = ["blame_html", "noise_html"]


def noise_html(summary: Summary) -> Html:
    """Through which stage noise came into the context, and how much of the context is evidence."""
    precision = summary.precision
    columns = [
        Column("Stage", "name"),
        Column("Noise", "number"),
        Column("95% interval", "number"),
        Column("Precision after", "number"),
        Column("Change", "number"),
    ]
    rows: list[list[str | Cell]] = []
    for step in precision.steps:
        noise, interval, after, change = step.figures
        noisy = "number" if step.loss else "number zero"
        rows.append([step.stage, Cell(noise, noisy), Cell(interval, "number range"), after, change])
    worst = {step.stage for step in precision.worst}
    highlighted = [i for i, step in enumerate(precision.steps) if step.stage in worst]
    return section(
        "Noise in the context",
        element("p", precision.headline),
        element("p", precision.tokens),
        table("By the stage that let it in.", columns, rows, highlighted=highlighted),
        element("p", precision.legend, kind="muted"),
    )


def blame_html(summary: Summary) -> list[Html]:
    """The ledger beside the Shapley view; nothing where that was not asked for."""
    precision = summary.precision
    if not precision.shared_blame:
        return []
    columns = [
        Column("Stage", "name"),
        Column("Ledger", "number"),
        Column("Shapley", "number"),
        Column("Difference", "number"),
    ]
    rows: list[list[str | Cell]] = [[row.stage, *row.figures] for row in precision.shared_blame]
    return [
        section(
            "Blame without regard to order",
            table("Shapley values beside the ledger.", columns, rows),
            element("p", precision.about_blame, kind="muted"),
        )
    ]
