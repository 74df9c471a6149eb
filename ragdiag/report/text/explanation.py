"""One query's story as text: what lost its evidence, how that is proven, and the chunks around it."""

from __future__ import annotations

from ragdiag.diagnosis.explanation import Explanation, Passage, UnitStory
from ragdiag.report.escaping import cut_middle, fit
from ragdiag.report.figures import MISSING, of_things, percent, share
from ragdiag.report.proof import ProofStory
from ragdiag.report.story import Story
from ragdiag.report.text.causes import unit_cause_lines
from ragdiag.report.text.lines import WIDTH, rank_cells, side_by_side, wrapped

__all__ = ["explanation_text"]

_FULL, _EMPTY = "█░"
_TRIAL_COLUMNS = (46, 38, 8)


def explanation_text(explanation: Explanation) -> str:
    """One query's story for a terminal."""
    story = Story(explanation)
    lines = [
        *wrapped(f"Query {explanation.query_id}: {explanation.query}"),
        f"Recall {share(explanation.recall)}: the share of its evidence that reached the prompt.",
        "",
        *wrapped(story.flow),
    ]
    for unit in explanation.units:
        lines += ["", *_unit(story, unit)]
    return "\n".join([*lines, "", *wrapped(story.legend)]) + "\n"


def _unit(story: Story, unit: UnitStory) -> list[str]:
    proof = story.proof(unit)
    lines = [
        f"{story.which(unit)}: {story.verdict(unit)}".upper(),
        "  What the run shows",
        *wrapped(unit.sentence, first="    ", rest="    "),
        "",
        "    Coverage: how much of it was still within reach at each checkpoint",
        *_checkpoints(story, unit),
    ]
    if proof is not None:
        lines += _trials(proof)
        lines += ["", "  What it means"]
        lines += wrapped(" ".join(proof.conclusion), first="    ", rest="    ")
        lines += wrapped(proof.shapley, first="    ", rest="    ") if proof.shapley else []
        lines += unit_cause_lines(proof)
    for number, passage in enumerate(unit.passages):
        lines += ["", *_passage(story, unit, passage, number)]
    return lines


def _checkpoints(story: Story, unit: UnitStory) -> list[str]:
    width = max(map(len, unit.coverage))
    lines = []
    for name, coverage in unit.coverage.items():
        filled = round(coverage * 20)
        drop = story.drop(unit, name)
        lines.append(
            f"    {name:<{width}}  {(_FULL * filled).ljust(20, _EMPTY)}  {percent(coverage):>5}"
            f"{'   <- ' + drop if drop else ''}"
        )
    return lines


def _trials(proof: ProofStory) -> list[str]:
    if not proof.trials:
        return []
    lines = [
        "",
        "  What was tried",
        *wrapped(proof.how_tried, first="    ", rest="    "),
        *side_by_side(["made ideal", "what came of it", "coverage"], _TRIAL_COLUMNS, indent=4),
    ]
    for row in proof.trials:
        ideal = f"{row.ideal}: {row.gloss}" if row.gloss else row.ideal
        coverage = MISSING if row.coverage is None else percent(row.coverage)
        lines += side_by_side([ideal, row.result, coverage], _TRIAL_COLUMNS, indent=4)
    return lines


def _passage(story: Story, unit: UnitStory, passage: Passage, number: int) -> list[str]:
    pieces = "┃".join(cut_middle(piece, 240) for piece in story.pieces(passage))
    before, after = story.surroundings(passage)
    text = f"{before}⟦{pieces}⟧{after}"
    lines = [
        *wrapped(story.place(unit, passage, number), first="  ", rest="  "),
        *wrapped(text, first="    ", rest="    "),
    ]
    if passage.boundaries:
        lines.append("    ┃ a chunk begins or ends there")
    sights = story.sights(passage)
    if not sights:
        return [*lines, "    No chunk holds any of it."]
    rankings = story.rankings
    header = f"{'holds':>5} " + "".join(f" {name}" for name in rankings.values()) + "  in context"
    width = WIDTH - 4 - 1 - len(header)
    lines.append(f"    {'chunk':<{width}} {header}")
    for sight in sights:
        ranks = rank_cells(sight, rankings)
        reached = "yes" if sight.in_context else "no"
        lines.append(f"    {fit(sight.chunk_id, width)} {percent(sight.share):>5} {ranks}{reached:>12}")
    left_out = len(passage.chunks) - len(sights)
    if left_out:
        lines.append(f"    and {of_things(left_out, 'chunk')} more")
    return lines
