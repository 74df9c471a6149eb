"""A gate's result for a terminal: the verdict, each check, and what became of the baseline."""

from __future__ import annotations

from ragdiag.experiments.gate.judging import Judgement
from ragdiag.experiments.gate.result import GateResult
from ragdiag.report.escaping import columns, fit, one_line
from ragdiag.report.figures import count, share
from ragdiag.report.gate import GateFlip, GateStage, GateStory
from ragdiag.report.text.lines import WIDTH, wrapped

__all__ = ["gate_text"]

_FLIPS = 10


def gate_text(result: GateResult) -> str:
    """The result of a gate, at most 100 columns wide."""
    story = GateStory(result)
    sections = [_headline(story)]
    if story.bars:
        sections.append(["BARS", *_bars(story)])
    if story.differences:
        sections += [
            [f"AGAINST THE BASELINE: {story.allowed}", *_differences(story), *_changes(story)],
            ["WHAT EACH STAGE LOST OF RECALL", *_stages(story)],
            ["UNITS OF EVIDENCE", *_flips(story)],
        ]
    return "\n\n".join("\n".join(lines) for lines in sections) + "\n"


def _headline(story: GateStory) -> list[str]:
    notes = [line for note in story.notes for line in wrapped(note, first="- ", rest="  ")]
    return [*wrapped(story.headline), *notes]


def _bars(story: GateStory) -> list[str]:
    head = _row("verdict", "check", "value", story.bounds_title, "queries", "would tell")
    return [head, *(_bar(story, judgement) for judgement in story.bars)]


def _bar(story: GateStory, judgement: Judgement) -> str:
    tell = story.would_tell(judgement)
    value, bounds = story.value(judgement), story.bounds(judgement)
    return _row(judgement.verdict, judgement.check, value, bounds, count(judgement.n), tell)


def _row(verdict: str, check: str, *figures: str) -> str:  # value, bounds, queries, would tell
    value, bounds, queries, tell = figures
    return f"  {verdict:<13}{check:<30}{value:>10}  {bounds:<18}{queries:>8}  {tell}".rstrip()


def _differences(story: GateStory) -> list[str]:
    head = f"  {'verdict':<13}{'of':<24}{'then':>6}  {'now':>6}  {'difference':>10}  "
    lines = [f"{head}{story.bounds_title}"]
    for judgement in story.differences:
        was, now = (share(value) for value in (judgement.before or 0.0, judgement.now))
        line = f"  {judgement.verdict:<13}{judgement.quantity:<24}{was:>6}  {now:>6}  "
        lines.append(f"{line}{story.value(judgement):>10}  {story.bounds(judgement)}")
        if tell := story.would_tell(judgement):
            lines.append(f"  {'':<13}would tell: {tell}")
    return lines


def _changes(story: GateStory) -> list[str]:
    if not story.changes:
        return ["", "  The pipeline shows itself as it did."]
    lines = ["", "  What is not as it was:"]
    for name, before, now in story.changes:
        indent = " " * 15
        lines += wrapped(f"then  {before}", first=f"    {name:<11}", rest=indent + " " * 6)
        lines += wrapped(f"now   {now}", first=indent, rest=indent + " " * 6)
    return lines


def _stages(story: GateStory) -> list[str]:
    head = f"  {'stage':<11}{'then':>6}  {'now':>6}  {'difference':>10}  {story.bounds_title}"
    glosses = wrapped(story.glosses, first="  ", rest="  ") if story.glosses else []
    return [*wrapped(story.blame, first="  ", rest="  "), head, *map(_stage, story.stages), *glosses]


def _stage(stage: GateStage) -> str:
    mark = "  worse" if stage.worse else ""
    return (
        f"  {stage.stage:<11}{stage.before:>6}  {stage.now:>6}  {stage.difference:>10}  {stage.bounds}{mark}"
    )


def _flips(story: GateStory) -> list[str]:
    lines = wrapped(story.flipped, first="  ", rest="  ")
    lines += [line for flip in story.flips[:_FLIPS] for line in _flip(flip)]
    left_out = len(story.flips) - _FLIPS
    return [*lines, f"  {count(left_out)} more: result.flips."] if left_out > 0 else lines


def _flip(flip: GateFlip) -> list[str]:
    ids = min(24, max(8, columns(one_line(flip.query_id))))
    return [
        f"    {fit(flip.query_id, ids)}  {fit(flip.query, WIDTH - ids - 6).rstrip()}",
        f"    {'':<{ids}}  {flip.change}: {flip.before} -> {flip.now}",
    ]
