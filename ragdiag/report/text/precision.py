"""Noise in the context as text, and the blame for losses without regard to the order of the stages."""

from __future__ import annotations

from ragdiag.report.summary import Summary
from ragdiag.report.text.lines import wrapped

__all__ = ["blame_lines", "noise_lines"]


def noise_lines(summary: Summary) -> list[str]:
    """Through which stage noise came into the context, and how much of the context is evidence."""
    precision = summary.precision
    lines = [
        "NOISE IN THE CONTEXT, by the stage that let it in",
        *wrapped(precision.headline, first="  ", rest="  "),
        *wrapped(precision.tokens, first="  ", rest="  "),
        f"  {'stage':<10}{'noise':>6}  {'95% interval':<13}  {'precision after':>15}  {'change':>8}",
    ]
    for step in precision.steps:
        noise, interval, after, change = step.figures
        lines.append(f"  {step.stage:<10}{noise:>6}  {interval:<13}  {after:>15}  {change:>8}")
    return [*lines, *wrapped(precision.legend, first="  ", rest="  ")]


def blame_lines(summary: Summary) -> list[str]:
    """The ledger beside the Shapley view; none where that was not asked for."""
    precision = summary.precision
    if not precision.shared_blame:
        return []
    lines = [
        "BLAME WITHOUT REGARD TO ORDER, Shapley values beside the ledger",
        f"  {'stage':<10}{'ledger':>8}{'shapley':>10}{'difference':>13}",
    ]
    for row in precision.shared_blame:
        ledger, shapley, difference = row.figures
        lines.append(f"  {row.stage:<10}{ledger:>8}{shapley:>10}{difference:>13}")
    return [*lines, *wrapped(precision.about_blame, first="  ", rest="  ")]
