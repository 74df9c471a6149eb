"""Remedies as text for a terminal and as an HTML fragment: what each change gains, costs and mends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ragdiag.experiments.remedies.result import Remedies
from ragdiag.measures.paired import FEWEST_QUERIES
from ragdiag.report.escaping import cut, one_line
from ragdiag.report.figures import MISSING, count, of_things, share, signed, signed_interval
from ragdiag.report.html.elements import Cell, Column, Html, card, element, page, section, table, untrusted
from ragdiag.report.text.lines import wrapped
from ragdiag.report.values import rows_of

__all__ = ["remedies_html", "remedies_text"]

_ROWS, _NOT_RUN = 15, 10  # shown
_WHAT, _REASON = 200, 200  # characters of what may quote a plug
_TITLE = "What each change gains"
_NOT_RUN_TITLE = "Suggested, and not run"
_LESS_THAN_NOTHING = 0.05  # of a unit of extra cost: what rounds to 0 is written as 0


@dataclass(frozen=True, slots=True)
class _Row:
    """A remedy that was run, as every face writes it.

    Attributes:
        name, what: of the remedy.
        why: the causes that suggest it.
        shown: whether its gain, or its loss, is more than chance.
        gain, interval, recall, precision: in figures.
        tokens, latency, embedded: what it costs.
        units: how many units of evidence it brings back and loses.
    """

    name: str
    what: str
    why: str
    shown: bool
    gain: str
    interval: str
    recall: str
    precision: str
    tokens: str
    latency: str
    embedded: str
    units: str


@dataclass(frozen=True)
class _Told:
    """What both faces say of remedies."""

    remedies: Remedies

    @cached_property
    def table(self) -> list[dict[str, Any]]:
        return rows_of(self.remedies.table)

    @property
    def rows(self) -> Sequence[_Row]:
        return [_row(row) for row in self.table[:_ROWS]]

    @property
    def queries(self) -> int:
        return self.remedies.diagnosis.counts["assessed"]

    @property
    def headline(self) -> str:
        """What to do first, if that can be said."""
        if not self.table:
            if not self.remedies.diagnosis.counts["lost units"]:
                return "Nothing was lost: there is nothing to mend."
            return "None of the suggested changes could be run."
        best = self.table[0]
        if self.queries < FEWEST_QUERIES:
            return f"No gain is claimed: only {of_things(self.queries, 'query', 'queries')} assessed."
        if not (best["shown"] and best["gain"] > 0):
            return "No gain is shown: what these changes gain may be chance."
        return f"{best['remedy']} gains most: {signed(best['gain'])} of recall."

    @property
    def summary(self) -> str:
        remedies = self.remedies
        run = of_things(len(remedies.tried), "change")
        lost = of_things(remedies.diagnosis.counts["lost units"], "lost unit")
        return (
            f"Recall is {share(remedies.diagnosis.recall)} as it is, over "
            f"{of_things(self.queries, 'query', 'queries')} with {lost}. {run} of the pipeline "
            f"{'was' if len(remedies.tried) == 1 else 'were'} run on them; {count(len(remedies.skipped))} "
            "more could not be."
        )

    @property
    def notes(self) -> Sequence[str]:
        notes = []
        if self.table:
            notes += [_stars(len(self.table)), *_LEGEND]
        if len(self.table) > _ROWS:
            notes.append(f"{count(len(self.table) - _ROWS)} more: remedies.table.")
        if self.remedies.unanswered:
            codes = ", ".join(f"{code} ({units})" for code, units in self.remedies.unanswered.items())
            notes.append(f"No change of a pipeline mends these causes (lost units): {one_line(codes)}.")
        return notes

    @property
    def not_run(self) -> Sequence[tuple[str, str]]:
        """The remedies that were not run, with the reasons."""
        shown = [(one.name, cut(one_line(one.reason), _REASON)) for one in self.remedies.skipped[:_NOT_RUN]]
        more = len(self.remedies.skipped) - _NOT_RUN
        return [*shown, (f"{count(more)} more", "remedies.not_run")] if more > 0 else shown


_LEGEND = (
    "The best of many looks better than it is on the queries that chose it: confirm it on others.",
    "Precision: context precision, relevant chunks before others. Tokens: of a context, in the mean.",
    "Latency: of single queries, in the median. To embed: document texts that are not embedded yet.",
)


def _stars(changes: int) -> str:
    return (
        "*: shown to be more than chance, p <= .05 by paired tests, with Holm's correction for "
        f"{of_things(changes, 'change')} and over {FEWEST_QUERIES} queries or more."
    )


def _row(row: dict[str, Any]) -> _Row:
    answers = ", ".join(row["answers"])
    latency = row["latency_ratio"]
    return _Row(
        name=row["remedy"],
        what=cut(one_line(row["what"]), _WHAT * len(row["remedy"].split(" + "))),
        why=f"for {answers} ({of_things(row['units'], 'unit')})" if answers else "asked for",
        shown=row["shown"],
        gain=signed(row["gain"]),
        interval=signed_interval(row["low"], row["high"]),
        recall=share(row["recall"]),
        precision=signed(row["gain_precision"]),
        tokens=MISSING if row["extra_tokens"] is None else _extra(row["extra_tokens"]),
        latency=MISSING if latency is None else f"\u00d7{latency:.1f} ({_extra(row['extra_ms'])} ms)",
        embedded=count(row["texts_embedded"]),
        units=f"+{count(row['regained'])} -{count(row['lost'])}",
    )


def _extra(value: float) -> str:
    if abs(value) < _LESS_THAN_NOTHING:
        return "0"
    return f"{value:+,.0f}" if abs(value) >= 10 else f"{value:+.1f}"


# Text


def remedies_text(remedies: Remedies) -> str:
    """The remedies for a terminal, at most 100 columns wide."""
    told = _Told(remedies)
    sections = [[*wrapped(told.headline), *wrapped(told.summary)]]
    if told.rows:
        sections.append([_TITLE.upper(), _TEXT_HEAD, *(line for row in told.rows for line in _text_row(row))])
    if told.not_run:
        lines = [wrapped(f"{name}: {why}", first="  ", rest="    ") for name, why in told.not_run]
        sections.append([_NOT_RUN_TITLE.upper(), *(line for of_one in lines for line in of_one)])
    if told.notes:
        sections.append([line for note in told.notes for line in wrapped(note, first="- ", rest="  ")])
    return "\n\n".join("\n".join(lines) for lines in sections) + "\n"


_TEXT_HEAD = (
    f"  {'gain':>8}  {'95% interval':<18}{'recall':>7} {'precision':>10} {'units':>11} {'tokens':>8} "
    f"{'to embed':>9}  latency"
)


def _text_row(row: _Row) -> list[str]:
    figures = (
        f"  {row.gain + ('*' if row.shown else ' '):>9} {row.interval:<18}{row.recall:>7} "
        f"{row.precision:>10} {row.units:>11} {row.tokens:>8} {row.embedded:>9}  {row.latency}"
    )
    return [
        figures,
        *wrapped(f"{row.name}: {row.what}", first="      ", rest="        "),
        *wrapped(row.why, first="        ", rest="        "),
    ]


# HTML


def remedies_html(remedies: Remedies) -> str:
    """The remedies as one self-contained fragment."""
    told = _Told(remedies)
    notes = [element("ul", *(element("li", note) for note in told.notes), kind="notes")] if told.notes else []
    return str(
        page(
            "ragdiag remedies",
            element("p", "What would mend this pipeline", kind="eyebrow"),
            element("h3", told.headline),
            *_cards(told),
            element("p", told.summary, kind="flow"),
            *_html_rows(told),
            *_html_not_run(told),
            *notes,
        )
    )


def _cards(told: _Told) -> list[Html]:
    if not told.rows:
        return []
    best = told.rows[0]
    cards = [
        card(
            "Recall as it is",
            share(told.remedies.diagnosis.recall),
            "share of the evidence that reached the prompt",
        ),
        card("Recall with the best change", best.recall, f"{best.gain}; 95% interval {best.interval}"),
        card("Units of evidence", best.units, "brought back and lost by it"),
        card("Latency of a query", best.latency, "in the median"),
    ]
    return [element("dl", *cards, kind="cards")]


def _html_rows(told: _Told) -> list[Html]:
    if not told.rows:
        return []
    columns = [
        Column("Change", "query"),
        Column("Gain in recall", "number"),
        Column("95% interval", "number"),
        Column("Recall", "number"),
        Column("Precision", "number"),
        Column("Units", "number"),
        Column("Tokens", "number"),
        Column("To embed", "number"),
        Column("Latency", "number"),
    ]
    highlighted = [0] if told.table[0]["shown"] and told.table[0]["gain"] > 0 else []
    rows = [_html_row(row) for row in told.rows]
    made = table("What gains most recall comes first.", columns, rows, highlighted=highlighted)
    return [section(_TITLE, made)]


def _html_row(row: _Row) -> list[str | Cell]:
    change = element(
        "div",
        untrusted(row.name),
        untrusted(row.what, name="div", kind="muted"),
        untrusted(row.why, kind="id"),
    )
    return [
        change,
        Cell(f"{row.gain}{'*' if row.shown else ''}", "number" if row.shown else "number zero"),
        Cell(row.interval, "number range"),
        row.recall,
        row.precision,
        row.units,
        row.tokens,
        row.embedded,
        row.latency,
    ]


def _html_not_run(told: _Told) -> list[Html]:
    if not told.not_run:
        return []
    rows: list[list[str | Cell]] = [[untrusted(name), untrusted(reason)] for name, reason in told.not_run]
    columns = [Column("Change", "name"), Column("Why not", "long")]
    return [section(_NOT_RUN_TITLE, table("They have no numbers.", columns, rows))]
