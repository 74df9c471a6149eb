"""A health check as text and as HTML: what is wrong first, with what to do about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ragdiag.diagnosis.health.check import Answer, Status
from ragdiag.diagnosis.health.result import Health
from ragdiag.report.escaping import cut_middle, one_line
from ragdiag.report.figures import count, of_things, share
from ragdiag.report.html.elements import Cell, Column, Html, card, element, page, section, table, untrusted
from ragdiag.report.text.lines import wrapped
from ragdiag.report.values import rows_of

__all__ = ["health_html", "health_text"]

_TITLES: Mapping[Status, str] = {
    "warning": "Warnings",
    "ok": "Nothing to object to",
    "not applicable": "Could not be checked",
}
"""The parts of a report, by the status of their checks, in order."""

_CHIPS: Mapping[Status, str] = {
    "warning": "chip chip-worst",
    "ok": "chip chip-delivered",
    "not applicable": "chip",
}

_SEEN = 600  # characters of what was seen: ids and reprs in it may be of any length
_ROWS = 10  # of each table behind the checks

_TABLES = {
    "sizes": "How long chunks are.",
    "ann_recall": "How much of an exact search each index finds, by depth.",
    "dropped": "Text that no chunk holds, by document; start and end are of the longest passage.",
    "hubs": "Chunks that are near to a great many queries.",
    "unreachable": "Chunks that an index does not return for their own vector.",
}
"""The tables of a `Health` that are shown, by attribute."""


def health_text(health: Health) -> str:
    """A health check for a terminal."""
    lines = [_headline(health), _scope(health)]
    for status, answers in _by_status(health).items():
        lines += ["", _TITLES[status].upper()]
        for answer in answers:
            lines += _answer_lines(answer)
    return "\n".join(lines) + "\n"


def _answer_lines(answer: Answer) -> list[str]:
    code = f" ({answer.check.code})" if answer.advice and answer.check.code else ""
    unit = answer.check.unit
    value = "" if answer.value is None else f": {_figure(answer.value, unit)} ({unit})"
    lines = [
        *wrapped(f"{answer.check.name}{code}{value}", first="  ", rest="    "),
        *wrapped(_seen(answer), first="    ", rest="    "),
    ]
    return lines + (wrapped(answer.advice, first="    -> ", rest="       ") if answer.advice else [])


def health_html(health: Health) -> str:
    """A health check as one self-contained fragment."""
    return str(
        page(
            "ragdiag health",
            element("p", "Health of a pipeline, before any label", kind="eyebrow"),
            element("h3", _headline(health)),
            _cards(health),
            *(_part(status, answers) for status, answers in _by_status(health).items()),
            _details(health),
        )
    )


def _cards(health: Health) -> Html:
    counts = health.counts
    queries = of_things(health.queries, "query", "queries") if health.queries else "no queries"
    checks = f"of {of_things(len(health.answers), 'check')}"
    kind = "card card-worst" if counts["warning"] else "card"
    return element(
        "dl",
        card("Warnings", count(counts["warning"]), checks, kind=kind),
        card("Nothing to object to", count(counts["ok"]), checks),
        card("Could not be checked", count(counts["not applicable"]), checks),
        card("Chunks", count(health.chunks), f"of {of_things(health.documents, 'document')}; {queries}"),
        kind="cards",
    )


def _part(status: Status, answers: Sequence[Answer]) -> Html:
    columns = [Column("Check", "name"), Column("Value", "number"), Column("What was seen", "long")]
    if status == "not applicable":
        columns = [Column("Check", "name"), Column("Why not", "long")]
    rows: list[list[str | Cell]] = [_row(answer) for answer in answers]
    captions: Mapping[Status, str] = {
        "warning": "What is seen to be wrong, and what to do about it.",
        "ok": "What was looked at and is within its bounds.",
        "not applicable": "What lacks its input: nothing is known of it.",
    }
    return section(_TITLES[status], table(captions[status], columns, rows))


def _row(answer: Answer) -> list[str | Cell]:
    code = answer.check.code if answer.advice else ""
    name = element(
        "div",
        element("span", answer.check.name, kind=_CHIPS[answer.status]),
        *([element("div", code, kind="id")] if code else []),
    )
    advice = [element("div", element("strong", answer.advice))] if answer.advice else []
    seen = element("div", untrusted(_seen(answer), name="div"), *advice)
    if answer.value is None:
        return [name, seen]
    unit = answer.check.unit
    value = element("div", _figure(answer.value, unit), element("div", unit, kind="muted"))
    return [name, value, seen]


def _details(health: Health) -> Html:
    shown = []
    for name, caption in _TABLES.items():
        frame = getattr(health, name)
        if frame.empty:
            continue
        more = f" The first {_ROWS} of {count(len(frame))}: health.{name}." if len(frame) > _ROWS else ""
        columns = [
            Column(str(column).replace("_", " "), "number" if frame[column].dtype.kind in "if" else "long")
            for column in frame.columns
        ]
        rows: list[list[str | Cell]] = [
            [_cell(str(column), value) for column, value in row.items()] for row in rows_of(frame[:_ROWS])
        ]
        shown.append(table(caption + more, columns, rows))
    return section("In numbers", *shown)


def _cell(column: str, value: Any) -> str:
    if isinstance(value, str):
        return untrusted(cut_middle(one_line(value), 120))
    if column in ("share", "recall"):
        return share(value)
    return f"{value:,.4g}" if isinstance(value, float) else count(value)


def _headline(health: Health) -> str:
    warnings = [answer.check.name for answer in health.answers if answer.status == "warning"]
    if not warnings:
        return f"No warning from {of_things(health.counts['ok'], 'check')}."
    return f"{of_things(len(warnings), 'warning')}: {', '.join(warnings)}."


def _scope(health: Health) -> str:
    queries = of_things(health.queries, "query", "queries") if health.queries else "no queries"
    counts = health.counts
    return (
        f"{of_things(health.chunks, 'chunk')} of {of_things(health.documents, 'document')}, {queries}. "
        f"{counts['warning']} of {of_things(len(health.answers), 'check')} warn, {counts['ok']} do not, "
        f"{counts['not applicable']} could not be made."
    )


def _by_status(health: Health) -> dict[Status, list[Answer]]:
    """The answers by their status, as far as there are any."""
    groups = {s: [answer for answer in health.answers if answer.status == s] for s in _TITLES}
    return {status: answers for status, answers in groups.items() if answers}


def _seen(answer: Answer) -> str:
    return cut_middle(one_line(answer.seen), _SEEN)


def _figure(value: float, unit: str) -> str:
    """A value; a share is guarded from looking like 0 or 1 when it is not."""
    return share(value) if unit.startswith("share") or unit == "recall" else f"{value:,.3g}"
