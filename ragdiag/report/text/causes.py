"""What went wrong and what to do about it as text, of a whole diagnosis and of one unit."""

from __future__ import annotations

from ragdiag.report.causes import TITLE, CauseRow
from ragdiag.report.figures import count, share
from ragdiag.report.proof import ProofStory
from ragdiag.report.summary import Summary
from ragdiag.report.text.lines import wrapped

__all__ = ["cause_lines", "unit_cause_lines"]


def cause_lines(summary: Summary) -> list[str]:
    """A paragraph a cause: what is wrong, what shows it, and what to do; none where nothing was lost."""
    causes = summary.causes
    if not causes.rows:
        return []
    lines = [TITLE.upper(), "  units    loss  cause"]
    for row in causes.rows:
        lines += _cause(row)
    for note in (causes.legend, *causes.notes):
        lines += wrapped(note, first="  ", rest="    ")
    return lines


def _cause(row: CauseRow) -> list[str]:
    beginning = f"  {count(row.units):>5}  {share(row.loss):>6}  "
    below = " " * (len(beginning) + 2)
    lines = wrapped(f"{row.code}: {row.meaning}", first=beginning, rest=below)
    if row.observation:
        source = f" ({row.source})" if row.source else ""
        lines += wrapped(f"Seen{source}: {row.observation}", first=below, rest=f"{below}  ")
    if row.remedy:
        lines += wrapped(f"To do: {row.remedy}", first=below, rest=f"{below}  ")
    return lines


def unit_cause_lines(proof: ProofStory) -> list[str]:
    """The causes of one lost unit, the main one first."""
    lines = ["", f"  {TITLE}"]
    for cause in proof.causes:
        lines += wrapped(f"{cause.title}. {cause.meaning}", first="    ", rest="      ")
        for told in (cause.observation, cause.remedy):
            lines += wrapped(told, first="      ", rest="        ") if told else []
    return lines
