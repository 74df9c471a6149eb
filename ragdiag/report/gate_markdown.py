"""A gate's result as GitHub-flavored Markdown, for the summary of a CI run or a comment on a pull request."""

from __future__ import annotations

from collections.abc import Sequence

from ragdiag.experiments.gate.judging import Judgement
from ragdiag.experiments.gate.result import GateResult
from ragdiag.report.escaping import cut, html_text, markdown_text, one_line
from ragdiag.report.figures import count, of_things, share
from ragdiag.report.gate import GateFlip, GateStory
from ragdiag.report.markdown import LONGEST, table, table_row

__all__ = ["gate_markdown"]

_QUERY, _ID = 160, 80  # characters of untrusted text shown in one cell, before escaping
_ROOM = 200  # for the lines around the table of flips


def gate_markdown(result: GateResult) -> str:
    """The result of a gate as Markdown of at most `LONGEST` characters; flips that do not fit are counted."""
    story = GateStory(result)
    blocks = [
        f"## ragdiag gate: {result.verdict}",
        f"**{story.headline}**",
        *_bars(story),
        *(_since(story) if story.differences else []),
        "\n".join(f"- {markdown_text(note)}" for note in story.notes),
    ]
    if story.flips:
        taken = sum(len(block) + 2 for block in blocks)
        blocks += _flips(story.flips, LONGEST - taken - _ROOM)
    return "\n\n".join(blocks) + "\n"


def _bars(story: GateStory) -> list[str]:
    if not story.bars:
        return []
    rows = [
        (
            _verdict(judgement),
            _code(judgement.check),
            story.value(judgement),
            story.bounds(judgement),
            count(judgement.n),
            story.would_tell(judgement),
        )
        for judgement in story.bars
    ]
    header = ("Verdict", "Bar", "Value", story.bounds_title, "Queries", "Would tell")
    return ["### Bars", table(header, rows, texts=2)]


def _since(story: GateStory) -> list[str]:
    differences = [
        (
            _verdict(judgement),
            _code(judgement.quantity),
            share(judgement.before or 0.0),
            share(judgement.now),
            story.value(judgement),
            story.bounds(judgement),
            story.would_tell(judgement),
        )
        for judgement in story.differences
    ]
    header = ("Verdict", "Of", "Then", "Now", "Difference", story.bounds_title, "Would tell")
    stages = [
        (
            f"**{stage.stage}**" if stage.worse else stage.stage,
            stage.before,
            stage.now,
            f"**{stage.difference}**" if stage.worse else stage.difference,
            stage.bounds,
        )
        for stage in story.stages
    ]
    return [
        f"### Against the baseline: {story.allowed}",
        table(header, differences, texts=2),
        *_changes(story),
        "### What each stage lost of recall",
        story.blame,
        table(("Stage", "Then", "Now", "Difference", story.bounds_title), stages, texts=1),
        *([story.glosses] if story.glosses else []),
        "### Units of evidence",
        story.flipped,
    ]


def _changes(story: GateStory) -> list[str]:
    if not story.changes:
        return ["The pipeline shows itself as it did."]
    rows = [(name, markdown_text(before), markdown_text(now)) for name, before, now in story.changes]
    return ["What is not as it was:", table(("What", "Then", "Now"), rows, texts=3)]


def _flips(flips: Sequence[GateFlip], room: int) -> list[str]:
    """The table of flips, as many rows as fit into ``room`` characters."""
    header = ("Query", "Unit", "Change", "Then", "Now")
    rows: list[Sequence[str]] = []
    for flip in flips:
        row = _flip(flip)
        room -= len(table_row(row)) + 1
        if room < 0:
            break
        rows.append(row)
    left_out = len(flips) - len(rows)
    more = [f"{of_things(left_out, 'more row is', 'more rows are')} left out here."] if left_out else []
    opening = f"<details><summary>{of_things(len(flips), 'unit')} with another fate</summary>"
    return [opening, table(header, rows, texts=5), *more, "</details>"]


def _flip(flip: GateFlip) -> Sequence[str]:
    query, query_id = (
        markdown_text(cut(one_line(text), characters))
        for text, characters in ((flip.query, _QUERY), (flip.query_id, _ID))
    )
    return (f"{query}<br><sub>{query_id}</sub>", count(flip.unit), flip.change, flip.before, flip.now)


def _verdict(judgement: Judgement) -> str:
    return judgement.verdict if judgement.verdict == "pass" else f"**{judgement.verdict}**"


def _code(spec: str) -> str:
    return f"<code>{html_text(spec)}</code>"  # written by us: nothing in it pings or links
