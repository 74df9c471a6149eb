"""The summary of a diagnosis as text: from the headline to the stages' options."""

from __future__ import annotations

from ragdiag.diagnosis.result import Diagnosis
from ragdiag.report.escaping import cut, fit, one_line
from ragdiag.report.figures import count, interval, share
from ragdiag.report.summary import Step, Summary
from ragdiag.report.text.causes import cause_lines
from ragdiag.report.text.lines import wrapped
from ragdiag.report.text.lost import failure_lines, proof_lines
from ragdiag.report.text.precision import blame_lines, noise_lines
from ragdiag.report.words import describe_measure

__all__ = ["diagnosis_text"]

_BAR = 36
_KEPT, _LOST, _RESCUED, _GONE = "░█▒ "
_PLUG = 240  # characters of a stage's repr: it may hold a whole system prompt
_MEASURES = ("Recall", "All", "MRR", "CP", "Precision")


def diagnosis_text(diagnosis: Diagnosis) -> str:
    """The summary of a diagnosis for a terminal."""
    summary = Summary(diagnosis)
    sections = [
        _headline(summary),
        _ledger(summary),
        cause_lines(summary),
        proof_lines(summary),
        failure_lines(summary),
        noise_lines(summary),
        blame_lines(summary),
        _measures(summary),
        _costs(summary),
        _pipeline(summary),
    ]
    return "\n\n".join("\n".join(lines) for lines in sections if lines) + "\n"


def _headline(summary: Summary) -> list[str]:
    recall = summary.recall
    reached = f"{share(recall.value)} (95% interval {interval(recall.low, recall.high)})"
    return [
        f"Recall {reached}: the share of the evidence that reached the prompt.",
        summary.lost_units + ".",
        *wrapped(summary.queries + "."),
        "",
        *wrapped(summary.flow),
        "",
        *wrapped(summary.verdict),
        *(wrapped(summary.lost.how_proven) if summary.failures else []),
        *(line for note in summary.notes for line in wrapped(note, first="- ", rest="  ")),
    ]


# The ledger


def _ledger(summary: Summary) -> list[str]:
    start, recall = summary.axis_start, summary.recall.value
    header = f"{share(start)}{'1.000':>{_BAR - 5}}"
    lines = [
        "WHERE THE EVIDENCE WAS LOST, from 1.000 down to recall",
        f"  {'stage':<10}{'left':>6}  {header}    loss  95% interval  rescue   units",
        f"  {'(all)':<10}{share(1):>6}  {_KEPT * _BAR}",
        *(_step(step, start) for step in summary.steps),
        f"  {'recall':<10}{share(recall):>6}  {_KEPT * _column(recall, start)}",
        "",
        f"  {_KEPT} still there   {_LOST} lost at this stage   {_RESCUED} brought back by it",
        *wrapped(
            "left: what is left after the stage; units: lost units that are charged to it. A unit is a piece "
            "of evidence that an answer needs.",
            first="  ",
            rest="  ",
        ),
    ]
    for stage, meaning in summary.meanings.items():
        lines += wrapped(f"{stage}: {meaning}.", first="  ", rest="    ")
    return lines


def _step(step: Step, start: float) -> str:
    return (
        f"  {step.stage:<10}{share(step.after):>6}  {_bar(step, start)}  {share(step.loss):>6}  "
        f"{interval(step.low, step.high):>12}  {share(step.rescue):>6}  {count(step.units):>6}"
    )


def _bar(step: Step, start: float) -> str:
    kept, after, before = (
        _column(value, start) for value in (step.before - step.loss, step.after, step.before)
    )
    lost, rescued = max(0, before - after), max(0, after - kept)
    # What is too small for a column is shown as one: a loss must be seen.
    if step.loss > step.rescue and not lost:
        kept, lost = max(0, kept - 1), 1
    if step.rescue > 0 and not rescued:
        kept, rescued = max(0, kept - 1), 1
    return f"{_KEPT * kept}{_RESCUED * rescued}{_LOST * lost}"[:_BAR].ljust(_BAR, _GONE)


def _column(value: float, start: float) -> int:
    return round((value - start) / (1 - start) * _BAR)


# Measures, costs, stages


def _measures(summary: Summary) -> list[str]:
    k, n = summary.trace.top_k, summary.trace.candidates
    shown = {*_MEASURES, *(f"Recall@{cut_at}" for cut_at in (1, k, n))}
    rows = [row for row in summary.measures if row.measure.partition("(")[0] in shown]
    width = max(14, *(len(row.measure) + 1 for row in rows))
    lines = [
        f"  {row.measure:<{width}}{share(row.value):>6}  {interval(row.low, row.high):<13}  "
        f"{describe_measure(row.measure)}"
        for row in rows
    ]
    more = "  More: diagnosis.measures, diagnosis.measure(spec)."
    return ["MEASURES, with 95% intervals", *lines, more]


def _costs(summary: Summary) -> list[str]:
    costs = summary.trace.costs
    if not costs.stages:
        return []
    lines = ["COSTS", f"  {'stage':<10}  {'work':<20}{'count':>12}{'tokens':>14}{'seconds':>12}"]
    for cost in costs.stages:
        tokens = "" if cost.tokens is None else count(cost.tokens)
        figures = f"{count(cost.count):>12}{tokens:>14}{cost.seconds:>12.2f}"
        lines.append(f"  {cost.stage:<10}  {fit(cost.work, 20)}{figures}")
    if costs.latency:
        lines += ["", f"  {'latency of a single query':<32}{'p50 (ms)':>12}{'p95 (ms)':>14}{'queries':>12}"]
        for row in costs.latency_table().to_dict("records"):
            lines.append(f"  {row['stage']:<32}{row['p50']:>12.2f}{row['p95']:>14.2f}{count(row['n']):>12}")
    return lines


def _pipeline(summary: Summary) -> list[str]:
    trace = summary.trace
    lines = ["PIPELINE"]
    for stage, plug in trace.stages.items():
        lines += wrapped(cut(one_line(plug), _PLUG), first=f"  {stage:<11}", rest=" " * 13)
    lines.append(f"  {'n and k':<11}{count(trace.candidates)} candidates, top {count(trace.top_k)}")
    return lines
