"""What went wrong and what to do about it as HTML, of a whole diagnosis and of one unit."""

from __future__ import annotations

from ragdiag.report.causes import TITLE, CauseOfUnit, CauseRow
from ragdiag.report.figures import MISSING, count, share
from ragdiag.report.html.elements import Cell, Column, Html, element, section, table, untrusted
from ragdiag.report.proof import ProofStory
from ragdiag.report.summary import Summary

__all__ = ["causes_html", "unit_causes_html"]


def causes_html(summary: Summary) -> list[Html]:
    """A row a cause: what is wrong, how much it costs, what shows it, and what to do; none for no loss."""
    causes = summary.causes
    if not causes.rows:
        return []
    columns = [
        Column("Cause", "long"),
        Column("Units", "number"),
        Column("Loss", "number"),
        Column("What shows it", "long"),
        Column("What to do", "long"),
    ]
    notes = [element("li", note) for note in causes.notes]
    return [
        section(
            TITLE,
            table("What costs most comes first.", columns, [_row(row) for row in causes.rows], kind="causes"),
            element("p", causes.legend, kind="muted"),
            *([element("ul", *notes, kind="notes")] if notes else []),
        )
    ]


def _row(row: CauseRow) -> list[str | Cell]:
    source = [untrusted(row.source, kind="id")] if row.source else []
    shown = element("div", untrusted(row.observation), *source) if row.observation else MISSING
    return [
        element("div", untrusted(row.code, name="code"), untrusted(row.meaning, name="div")),
        count(row.units),
        share(row.loss),
        shown,
        row.remedy or MISSING,
    ]


def unit_causes_html(proof: ProofStory) -> list[Html]:
    """The causes of one lost unit, the main one first."""
    return [element("h5", TITLE), *(_cause(cause) for cause in proof.causes)]


def _cause(cause: CauseOfUnit) -> Html:
    seen = [untrusted(cause.observation, name="div")] if cause.observation else []
    remedy = [element("div", cause.remedy)] if cause.remedy else []
    meaning = [" ", untrusted(cause.meaning)] if cause.meaning else []
    return element("div", untrusted(f"{cause.title}.", name="strong"), *meaning, *seen, *remedy, kind="cause")
