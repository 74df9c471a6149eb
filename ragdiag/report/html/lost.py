"""The lost units as HTML: how well their stages are proven, and the worst of them."""

from __future__ import annotations

from ragdiag.report.escaping import cut, one_line
from ragdiag.report.figures import MISSING, count, of_things, rank
from ragdiag.report.html.elements import (
    Cell,
    Column,
    Html,
    element,
    section,
    stage_chip,
    table,
    untrusted,
    words,
)
from ragdiag.report.lost import Failure
from ragdiag.report.summary import Summary

__all__ = ["failures_html", "proofs_html"]

_FAILURES = 20
_TEXT, _ID = 200, 80  # characters of untrusted text shown in one place


def proofs_html(summary: Summary) -> list[Html]:
    """How well the stages are proven; nothing where nothing was lost."""
    if not summary.failures:
        return []
    lost = summary.lost
    kinds = list(lost.by_proof)
    columns = [Column("Stage", "name"), *(Column(kind.capitalize(), "number") for kind in kinds)]
    rows: list[list[str | Cell]] = [
        [str(stage), *(_units(int(row[kind])) for kind in kinds)] for stage, row in lost.by_stage.iterrows()
    ]
    proofs = section(
        "How that is proven",
        table("Lost units by stage and kind of proof.", columns, rows),
        words(lost.meanings_of_proofs),
        *(element("p", sentence, kind="muted") for sentence in lost.effort),
    )
    return [proofs]


def _units(units: int) -> Cell:
    return Cell(count(units), "number" if units else "number zero")


def failures_html(summary: Summary) -> Html:
    """The worst of the lost units, each with its query, evidence, stage, cause, proof and ranks."""
    failures = summary.failures
    if not failures:
        return section(
            "Lost units", element("p", "None: every unit of evidence was delivered.", kind="muted")
        )
    trace, rankings = summary.trace, summary.rank_columns
    shown = failures[:_FAILURES]
    worst = {step.stage for step in summary.worst}
    columns = [
        Column("Query", "query"),
        Column("Evidence", "long"),
        Column("Lost at", "name"),
        Column("Cause", "name"),
        Column("Proof", "name"),
        *(Column(name.capitalize(), "number") for name in rankings.values()),
    ]
    rows = [_failure(failure, list(rankings), worst=failure.stage in worst) for failure in shown]
    which = (
        f"All {of_things(len(failures), 'lost unit')}"
        if len(shown) == len(failures)
        else f"The worst {len(shown)} of {of_things(len(failures), 'lost unit')}"
    )
    caption = f"{which}, least delivered first. On the right, the rank at which the unit is complete."
    more = "" if len(shown) == len(failures) else " The whole table: diagnosis.failures."
    legend = (
        f"{MISSING} never complete in that ranking. The retriever returns {count(trace.candidates)}, at most "
        f"{count(trace.top_k)} reach the prompt.{more}"
    )
    return section(
        "Lost units", table(caption, columns, rows, kind="failures"), element("p", legend, kind="muted")
    )


def _failure(failure: Failure, rankings: list[str], *, worst: bool) -> list[str | Cell]:
    query = element(
        "div",
        untrusted(cut(one_line(failure.query), _TEXT)),
        untrusted(cut(one_line(failure.query_id), _ID), kind="id"),
    )
    tied = element("div", "tied at the cut", kind="muted") if failure.tied else ""
    return [
        query,
        untrusted(cut(one_line(failure.evidence), _TEXT)),
        element("div", stage_chip(failure.stage, worst=worst), tied),
        untrusted(cut(one_line(failure.cause), _ID), name="code"),
        failure.proof,
        *(rank(getattr(failure, column)) for column in rankings),
    ]
