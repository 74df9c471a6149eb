"""A diagnosis and an explanation as plain text for a terminal, at most 100 columns wide."""

from __future__ import annotations

from collections.abc import Mapping

from ragdiag.diagnosis.explanation import ChunkSight, Explanation, Passage, UnitStory
from ragdiag.diagnosis.result import Diagnosis
from ragdiag.report.escaping import columns, cut, cut_middle, fit, one_line, wrap
from ragdiag.report.figures import MISSING, count, interval, of_things, percent, rank, share
from ragdiag.report.story import Story
from ragdiag.report.summary import Failure, Step, Summary
from ragdiag.report.words import describe_measure

__all__ = ["diagnosis_text", "explanation_text"]

_WIDTH = 100
_BAR = 36
_KEPT, _LOST, _RESCUED, _GONE = "░█▒ "
_FAILURES = 8
_PLUG = 240  # characters of a stage's repr: it may hold a whole system prompt
_MEASURES = ("Recall", "All", "MRR", "CP", "Precision")


def diagnosis_text(diagnosis: Diagnosis) -> str:
    """The summary of a diagnosis: headline, ledger, worst failures, measures, costs and stages."""
    summary = Summary(diagnosis)
    sections = [
        _headline(summary),
        _ledger(summary),
        _failures(summary),
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
        *_wrapped(summary.queries + "."),
        "",
        *_wrapped(summary.verdict),
        *(line for note in summary.notes for line in _wrapped(note, first="- ", rest="  ")),
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
        *_wrapped(
            "left: what was still there after the stage; units: lost units whose last drop is there. "
            "A unit is a piece of evidence that an answer needs.",
            first="  ",
            rest="  ",
        ),
    ]
    for stage, meaning in summary.meanings.items():
        lines += _wrapped(f"{stage}: {meaning}.", first="  ", rest="    ")
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


# What was lost


def _failures(summary: Summary) -> list[str]:
    failures = summary.failures
    if not failures:
        return ["LOST UNITS", "  none"]
    shown = failures[:_FAILURES]
    rankings = summary.rank_columns
    tied = any(failure.tied for failure in shown)
    header = f"{'stage':>9}  " + "".join(f" {name:>{len(name)}}" for name in rankings.values())
    header += "  tied" if tied else ""
    ids = min(24, max(8, *(columns(one_line(failure.query_id)) for failure in shown)))
    width = _WIDTH - 2 - ids - 2 - 1 - len(header)
    lines = [
        f"LOST UNITS, the worst {len(shown)} of {count(len(failures))} (least delivered first)",
        f"  {'query id':<{ids}}  {'query':<{width}} {header}",
    ]
    for failure in shown:
        line = f"  {fit(failure.query_id, ids)}  {fit(failure.query, width)} {failure.stage:>9}  "
        line += _ranks(failure, rankings) + ("  tied" if failure.tied else "")
        lines.append(line.rstrip())
    lines += _wrapped(_rank_legend(summary), first="  ", rest="  ")
    lines += _wrapped(f"Proof: {summary.proofs}.", first="  ", rest="  ")
    if len(failures) > len(shown):
        lines.append("  All of them: diagnosis.failures. One query's story: diagnosis.explain(query_id).")
    return lines


def _ranks(ranked: Failure | ChunkSight, rankings: Mapping[str, str]) -> str:
    return "".join(f" {rank(getattr(ranked, column)):>{len(name)}}" for column, name in rankings.items())


def _rank_legend(summary: Summary) -> str:
    trace = summary.trace
    return (
        f"Ranks: where the unit is complete, from 1; {MISSING} where it never is. "
        f"The retriever returns {trace.candidates}, at most {trace.top_k} reach the prompt."
    )


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
        lines += _wrapped(cut(one_line(plug), _PLUG), first=f"  {stage:<11}", rest=" " * 13)
    lines.append(f"  {'n and k':<11}{count(trace.candidates)} candidates, top {count(trace.top_k)}")
    return lines


# An explanation


def explanation_text(explanation: Explanation) -> str:
    """One query's story: each unit's evidence, the chunks around it, its ranks, and what lost it."""
    story = Story(explanation)
    lines = [
        *_wrapped(f"Query {explanation.query_id}: {explanation.query}"),
        f"Recall {share(explanation.recall)}; {story.limits}.",
    ]
    for unit in explanation.units:
        lines += ["", *_unit(story, unit)]
    return "\n".join([*lines, "", *_wrapped(story.legend)]) + "\n"


def _unit(story: Story, unit: UnitStory) -> list[str]:
    names = list(unit.coverage)
    width = max(map(len, names))
    lines = [
        f"{story.which(unit)}: {story.fate(unit)}".upper(),
        *_wrapped(unit.sentence, first="  ", rest="  "),
        "",
        "  Coverage at each checkpoint",
    ]
    for name, coverage in unit.coverage.items():
        filled = round(coverage * 20)
        drop = story.drop(unit, name)
        lines.append(
            f"    {name:<{width}}  {(_LOST * filled).ljust(20, _KEPT)}  {percent(coverage):>5}"
            f"{'   <- ' + drop if drop else ''}"
        )
    for number, passage in enumerate(unit.passages):
        lines += ["", *_passage(story, unit, passage, number)]
    return lines


def _passage(story: Story, unit: UnitStory, passage: Passage, number: int) -> list[str]:
    pieces = "┃".join(cut_middle(piece, 240) for piece in story.pieces(passage))
    before, after = story.surroundings(passage)
    text = f"{before}⟦{pieces}⟧{after}"
    lines = [
        *_wrapped(story.place(unit, passage, number), first="  ", rest="  "),
        *_wrapped(text, first="    ", rest="    "),
    ]
    if passage.boundaries:
        lines.append("    ┃ a chunk begins or ends there")
    sights = story.sights(passage)
    if not sights:
        return [*lines, "    No chunk holds any of it."]
    rankings = story.rankings
    header = f"{'holds':>5} " + "".join(f" {name}" for name in rankings.values()) + "  in context"
    width = _WIDTH - 4 - 1 - len(header)
    lines.append(f"    {'chunk':<{width}} {header}")
    for sight in sights:
        ranks = _ranks(sight, rankings)
        reached = "yes" if sight.in_context else "no"
        lines.append(f"    {fit(sight.chunk_id, width)} {percent(sight.share):>5} {ranks}{reached:>12}")
    left_out = len(passage.chunks) - len(sights)
    if left_out:
        lines.append(f"    and {of_things(left_out, 'chunk')} more")
    return lines


def _wrapped(text: str, *, first: str = "", rest: str = "") -> list[str]:
    """``text`` on lines of at most `_WIDTH` columns; a word that is wider is broken."""
    lines = wrap(text, _WIDTH - max(len(first), len(rest)))
    return [(rest if i else first) + line for i, line in enumerate(lines)]
