"""A diagnosis as GitHub-flavored Markdown, for the summary of a CI run or a pull request.

It holds no timings: the same diagnosis gives the same text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ragdiag.diagnosis.result import Diagnosis
from ragdiag.report.causes import TITLE
from ragdiag.report.escaping import cut, markdown_text, one_line
from ragdiag.report.figures import MISSING, count, interval, of_things, rank, share
from ragdiag.report.lost import Failure
from ragdiag.report.summary import Summary
from ragdiag.report.words import describe_measure

__all__ = ["LONGEST", "diagnosis_markdown", "table", "table_row"]

LONGEST = 60_000
"""Characters of a summary, at most: GitHub refuses comments beyond 65,536."""

_TEXT, _ID, _PLUG = 160, 80, 400  # characters of untrusted text shown in one cell, before escaping
_FAILURE_TEXTS = 5  # columns of the table of lost units that hold text
_LEFT_OUT = 200  # room for the line that says how many were left out, and the closing tag


def diagnosis_markdown(diagnosis: Diagnosis) -> str:
    """The summary of a diagnosis as Markdown of at most `LONGEST` characters."""
    summary = Summary(diagnosis)
    recall = summary.recall
    beginning = [
        f"## ragdiag: recall {share(recall.value)} (95% interval {interval(recall.low, recall.high)})",
        f"**{markdown_text(summary.verdict)}** {markdown_text(summary.lost_units)}.",
        *([markdown_text(summary.lost.how_proven)] if summary.failures else []),
        markdown_text(f"{summary.queries}."),
        markdown_text(summary.flow),
        _list(markdown_text(note) for note in summary.notes),
        "### Where the evidence was lost",
        _ledger(summary),
        _list(f"**{stage}**: {markdown_text(meaning)}" for stage, meaning in summary.meanings.items()),
        *_causes(summary),
        *_proofs(summary),
    ]
    ending = [
        *_noise(summary),
        *_blame(summary),
        "### Measures",
        _measures(summary),
        "### Pipeline",
        _pipeline(summary),
    ]
    taken = sum(len(block) + 2 for block in (*beginning, *ending))
    return "\n\n".join([*beginning, *_failures(summary, LONGEST - taken), *ending]) + "\n"


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, texts: int) -> str:
    """A table whose first ``texts`` columns are left-aligned and whose others, numbers, are right-aligned."""
    alignment = ["---" if i < texts else "---:" for i in range(len(header))]
    return "\n".join(table_row(cells) for cells in (header, alignment, *rows))


def table_row(cells: Sequence[str]) -> str:
    """A line of such a table."""
    return f"| {' | '.join(cells)} |"


def _list(items: Iterable[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def _ledger(summary: Summary) -> str:
    worst = {step.stage for step in summary.worst}
    rows = [("*everything*", "1.000", "", "", "", "")]
    for step in summary.steps:
        name = f"**{step.stage}**" if step.stage in worst else step.stage
        loss = f"**{share(step.loss)}**" if step.stage in worst else share(step.loss)
        rows.append(
            (
                name,
                share(step.after),
                loss,
                interval(step.low, step.high),
                share(step.rescue),
                count(step.units),
            )
        )
    header = ("Stage", "Left after it", "Loss", "95% interval", "Rescue", "Lost units")
    return table(header, rows, texts=1)


def _proofs(summary: Summary) -> list[str]:
    """How well the stages are proven; nothing where nothing was lost."""
    lost = summary.lost
    if not lost.failures:
        return []
    kinds = list(lost.by_proof)
    proofs = [
        (str(stage), *(count(int(row[kind])) for kind in kinds)) for stage, row in lost.by_stage.iterrows()
    ]
    words = (f"**{proof}**: {markdown_text(meaning)}" for proof, meaning in lost.meanings_of_proofs.items())
    return [
        "### How that is proven, in lost units",
        table(("Stage", *(kind.capitalize() for kind in kinds)), proofs, texts=1),
        _list(words),
        *(markdown_text(sentence) for sentence in lost.effort),
    ]


def _causes(summary: Summary) -> list[str]:
    """What went wrong and what to do about it; nothing where nothing was lost."""
    causes = summary.causes
    if not causes.rows:
        return []
    rows = [
        (
            f"<code>{markdown_text(row.code)}</code><br>{markdown_text(row.meaning)}",
            "<br>".join(
                [
                    markdown_text(row.observation) or MISSING,
                    *([f"<sub>{markdown_text(row.source)}</sub>"] if row.source else []),
                ]
            ),
            markdown_text(row.remedy) or MISSING,
            count(row.units),
            share(row.loss),
        )
        for row in causes.rows
    ]
    header = ("Cause", "What shows it", "What to do", "Units", "Loss")
    return [
        f"### {TITLE}",
        table(header, rows, texts=3),
        _list(markdown_text(note) for note in (causes.legend, *causes.notes)),
    ]


def _failures(summary: Summary, room: int) -> list[str]:
    """The table of lost units, as many rows as fit into ``room`` characters."""
    failures = summary.failures
    if not failures:
        return ["### Lost units", "None."]
    rankings = summary.rank_columns
    header = ("Query", "Evidence", "Stage", "Cause", "Proof", *(f"Rank {name}" for name in rankings.values()))
    legend = (
        f"Ranks: where the unit is complete, from 1; {MISSING} where it never is. The retriever returns "
        f"{count(summary.trace.candidates)}, at most {count(summary.trace.top_k)} reach the prompt."
    )
    heading = "### Lost units"
    opening = f"<details><summary>{of_things(len(failures), 'unit')}, least delivered first</summary>"
    empty = table(header, [], texts=_FAILURE_TEXTS)
    used = sum(len(block) + 2 for block in (heading, opening, legend, empty)) + _LEFT_OUT
    rows: list[Sequence[str]] = []
    for failure in failures:
        row = _failure(failure, rankings)
        used += len(table_row(row)) + 1
        if used > room:
            break
        rows.append(row)
    left_out = len(failures) - len(rows)
    more = (
        [f"{of_things(left_out, 'more lost unit is', 'more lost units are')} left out here."]
        if left_out
        else []
    )
    return [heading, opening, table(header, rows, texts=_FAILURE_TEXTS), legend, *more, "</details>"]


def _failure(failure: Failure, rankings: Iterable[str]) -> Sequence[str]:
    tied = " (tied)" if failure.tied else ""
    return (
        f"{_cell(failure.query, _TEXT)}<br><sub>{_cell(failure.query_id, _ID)}</sub>",
        _cell(failure.evidence, _TEXT),
        failure.stage + tied,
        _cell(failure.cause, _ID),
        failure.proof,
        *(rank(getattr(failure, column)) for column in rankings),
    )


def _noise(summary: Summary) -> list[str]:
    precision = summary.precision
    header = ("Stage", "Noise", "95% interval", "Precision after", "Change")
    rows = [(step.stage, *step.figures) for step in precision.steps]
    return [
        "### Noise in the context",
        markdown_text(f"{precision.headline} {precision.tokens}"),
        table(header, rows, texts=1),
        markdown_text(precision.legend),
    ]


def _blame(summary: Summary) -> list[str]:
    """The ledger beside the Shapley view; nothing where that was not asked for."""
    precision = summary.precision
    if not precision.shared_blame:
        return []
    rows = [(row.stage, *row.figures) for row in precision.shared_blame]
    return [
        "### Blame without regard to order",
        table(("Stage", "Ledger", "Shapley", "Difference"), rows, texts=1),
        markdown_text(precision.about_blame),
    ]


def _measures(summary: Summary) -> str:
    rows = [
        (
            row.measure,
            describe_measure(row.measure),
            share(row.value),
            interval(row.low, row.high),
        )
        for row in summary.measures
    ]
    return table(("Measure", "What it says", "Value", "95% interval"), rows, texts=2)


def _pipeline(summary: Summary) -> str:
    trace = summary.trace
    rows = [(stage, _cell(plug, _PLUG)) for stage, plug in trace.stages.items()]
    rows.append(("n and k", f"{count(trace.candidates)} candidates, top {count(trace.top_k)}"))
    return table(("Stage", "Plug"), rows, texts=2)


def _cell(text: str, characters: int) -> str:
    return markdown_text(cut(one_line(text), characters))
