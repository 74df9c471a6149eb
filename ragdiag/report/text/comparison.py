"""A comparison as text: which is better, at which stages, which units changed, and what differs."""

from __future__ import annotations

from collections.abc import Sequence

from ragdiag.diagnosis.compare import Comparison
from ragdiag.report.contrast import Contrast, Flip, StageChange
from ragdiag.report.escaping import columns, fit, one_line
from ragdiag.report.figures import MISSING, count, share, signed, signed_interval
from ragdiag.report.text.lines import WIDTH, wrapped

__all__ = ["comparison_text"]

_HALF = 12  # columns of a bar on each side
_LESS, _MORE, _AXIS = "▒█│"
_FLIPS = 5  # of each kind of change


def comparison_text(comparison: Comparison) -> str:
    """The summary of a comparison for a terminal."""
    contrast = Contrast(comparison)
    sections = [
        _headline(contrast),
        _differing(contrast),
        _losses(contrast),
        _units(contrast),
        _measures(contrast),
    ]
    return "\n\n".join("\n".join(lines) for lines in sections) + "\n"


def _headline(contrast: Contrast) -> list[str]:
    return [
        *(line for pair in contrast.names for line in _both(pair.a, pair.b)),
        *wrapped(contrast.verdict),
        *wrapped(contrast.headline),
        *(line for note in contrast.notes for line in wrapped(note, first="- ", rest="  ")),
    ]


def _both(a: str, b: str, *, indent: str = "") -> list[str]:
    return [
        line
        for name, text in (("A", a), ("B", b))
        for line in wrapped(text, first=f"{indent}{name}  ", rest=f"{indent}   ")
    ]


def _differing(contrast: Contrast) -> list[str]:
    lines = ["WHAT DIFFERS BETWEEN A AND B"]
    for pair in contrast.differing:
        both = _both(pair.a, pair.b, indent=" " * 13)
        lines += [f"  {pair.name:<11}{both[0].lstrip()}", *both[1:]]
    lines += ["  nothing"] if not contrast.differing else []
    return [*lines, *_common(contrast.common)]


def _common(names: Sequence[str]) -> list[str]:
    return wrapped(f"The same in both: {', '.join(names)}.", first="  ", rest="  ") if names else []


# Where


def _losses(contrast: Contrast) -> list[str]:
    recall = contrast.recall
    header = f"  {'stage':<10}{'loss A':>7}  {'loss B':>7}  "
    header += f"{'B loses less':>{_HALF}} {'B loses more':<{_HALF}}{'difference':>12}  95% interval"
    last = f"  {'recall':<10}{share(recall.a):>7}  {share(recall.b):>7}  {'':{2 * _HALF + 1}}"
    last += f"{signed(recall.value):>12}  {signed_interval(recall.low, recall.high)}"
    return [
        "WHERE THE DIFFERENCE ARISES: what each stage lost of recall",
        header,
        *(_stage(stage, contrast.widest) for stage in contrast.stages),
        last,
        *(["", *wrapped(contrast.glosses, first="  ", rest="  ")] if contrast.glosses else []),
    ]


def _stage(stage: StageChange, widest: float) -> str:
    less, more = (_bar(size, widest) for size in (-stage.difference, stage.difference))
    losses = (MISSING if loss is None else share(loss) for loss in (stage.loss_a, stage.loss_b))
    return (
        f"  {stage.stage:<10}{'  '.join(f'{loss:>7}' for loss in losses)}  "
        f"{_LESS * less:>{_HALF}}{_AXIS}{_MORE * more:<{_HALF}}{signed(stage.difference):>12}  "
        f"{signed_interval(stage.low, stage.high)}"
    )


def _bar(size: float, widest: float) -> int:
    """Columns of a bar; what is too small for a column is shown as one."""
    return max(1, round(size / widest * _HALF)) if size > 1e-9 else 0


# Which units


def _units(contrast: Contrast) -> list[str]:
    lines = ["UNITS OF EVIDENCE", *wrapped(contrast.units, first="  ", rest="  ")]
    if not contrast.flips:
        return lines
    lines += ["", *_transitions(contrast), ""]
    for change, flips in contrast.flips.items():
        lines.append(f"  {change}, {contrast.heading(change, _FLIPS)}")
        lines += [line for flip in flips[:_FLIPS] for line in _flip(flip)]
    if any(len(flips) > _FLIPS for flips in contrast.flips.values()):
        lines.append("  All of them: comparison.flips.")
    for word, meaning in contrast.meanings.items():
        lines += wrapped(f"{word}: {meaning}.", first="  ", rest="    ")
    return lines


def _transitions(contrast: Contrast) -> list[str]:
    table = contrast.comparison.transitions
    names = [str(name) for name in table.columns]
    rows = [
        f"  {name:<16}" + "".join(f"{count(units) if units else '.':>10}" for units in row)
        for name, row in zip(names, table.to_numpy().tolist(), strict=True)
    ]
    return [f"  {'A down, B across':<16}" + "".join(f"{name:>10}" for name in names), *rows]


def _flip(flip: Flip) -> list[str]:
    ids = min(24, max(8, columns(one_line(flip.query_id))))
    query = fit(flip.query, WIDTH - ids - 6).rstrip()
    return [
        f"    {fit(flip.query_id, ids)}  {query}",
        *wrapped(f"{flip.fate_a} -> {flip.fate_b}", first=" " * (ids + 6), rest=" " * (ids + 6)),
    ]


# Measures


def _measures(contrast: Contrast) -> list[str]:
    width = max(14, *(len(name) + 1 for name, _ in contrast.measures))
    lines = [
        f"  {name:<{width}}{share(d.a):>6}  {share(d.b):>6}  {signed(d.value):>10}  "
        f"{signed_interval(d.low, d.high):<18}{share(d.p):>8}"
        for name, d in contrast.measures
    ]
    return [
        "MEASURES",
        f"  {'':<{width}}{'A':>6}  {'B':>6}  {'difference':>10}  {'95% interval':<18}{'p':>8}",
        *lines,
        "  More: comparison.measures, comparison.measure(spec).",
    ]
