"""A comparison of chunkers as pictures: quality against cost, and what each stage loses."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ragdiag.errors import MissingExtraError
from ragdiag.experiments.chunking.result import ChunkerComparison
from ragdiag.report.chunking import STAGE_COLORS, ChunkingStory, short

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_frontier", "draw_losses", "picture_bytes", "require_matplotlib"]

_COSTS: Mapping[str, str] = {
    "tokens": "tokens of context a question",
    "latency": "latency of a question, p50, ms",
    "money": "money for 1,000 questions",
    "index_tokens": "tokens to embed",
    "index_money": "money to index",
    "index_bytes": "bytes of the index",
}
_INK, _MUTED, _LINE, _LEADER = "#1c2127", "#57606a", "#dde3e9", "#b8c2cc"
_EFFICIENT, _OTHER = "#0b63ce", "#8a94a0"
_ROW = 0.34  # inches that a name takes
_NOTHING = 1e-9  # steps of the ledger are differences: what is nearer to 0 is 0


def draw_frontier(comparison: ChunkerComparison, cost: str, measure: str) -> Figure:
    """Quality with its interval against cost; the names stand at the right, in the order of quality."""
    table = comparison.pareto(cost, measure=measure)
    height = max(3.6, 1.3 + _ROW * len(table))
    figure, axes = _figure((8.6, height))
    efficient = table["efficient"].to_numpy()
    costs, values = table["cost"].to_numpy(), table["value"].to_numpy()
    errors = np.clip([values - table["low"], table["high"] - values], 0, None)
    for chosen, color in ((~efficient, _OTHER), (efficient, _EFFICIENT)):
        axes.errorbar(
            costs[chosen],
            values[chosen],
            yerr=errors[:, chosen],
            fmt="o",
            color=color,
            ecolor=color,
            elinewidth=1.1,
            capsize=2.5,
            markersize=6,
        )
    axes.plot(
        costs[efficient],
        values[efficient],
        color=_EFFICIENT,
        linewidth=1.2,
        drawstyle="steps-post",
        alpha=0.7,
    )
    _dress(axes, _COSTS[cost], f"{measure} with 95% interval")
    axes.set_title("What quality costs: on the line, none gives more for less", loc="left", fontsize=11)
    axes.margins(x=0.08, y=0.08)
    _name_points(axes, table, height)
    return figure


def _name_points(axes: Axes, table: pd.DataFrame, tall: float) -> None:
    """Each name at the right of the picture, in the height of its point or as near as there is room."""
    low, high = axes.get_ylim()
    ordered = table.sort_values("value", kind="stable")
    heights = ((ordered["value"] - low) / (high - low)).to_list()
    # Names are pushed up where they would touch, and down again where that leads out at the top.
    gap = min(_ROW / (tall - 1.0), 1 / len(heights))
    for i in range(1, len(heights)):
        heights[i] = max(heights[i], heights[i - 1] + gap)
    heights[-1] = min(heights[-1], 1.0)
    for i in reversed(range(len(heights) - 1)):
        heights[i] = min(heights[i], heights[i + 1] - gap)
    for (name, point), height in zip(ordered.iterrows(), heights, strict=True):
        axes.annotate(
            short(str(name)),
            xy=(point["cost"], point["value"]),
            xytext=(1.03, height),
            textcoords="axes fraction",
            va="center",
            fontsize=9,
            color=_INK if point["efficient"] else _MUTED,
            parse_math=False,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": _LEADER,
                "linewidth": 0.9,
                "shrinkA": 2,
                "shrinkB": 5,
                "relpos": (0, 0.5),
            },
        )


def draw_losses(comparison: ChunkerComparison) -> Figure:
    """One bar a chunker, cut into what each stage loses; rescues stand at the left of 0."""
    story = ChunkingStory(comparison)
    rows = story.rows[::-1]
    stages = [
        stage
        for stage in STAGE_COLORS
        if any(abs(row.get(f"loss_{stage}") or 0.0) > _NOTHING for row in rows)
    ]
    figure, axes = _figure((8.6, max(2.6, 1.5 + _ROW * len(rows))))
    places = np.arange(len(rows))
    right, left = np.zeros(len(rows)), np.zeros(len(rows))
    for stage in stages:
        losses = np.array([row[f"loss_{stage}"] or 0.0 for row in rows])
        axes.barh(places, losses.clip(min=0), left=right, height=0.62, color=STAGE_COLORS[stage], label=stage)
        axes.barh(places, losses.clip(max=0), left=left, height=0.62, color=STAGE_COLORS[stage])
        right, left = right + losses.clip(min=0), left + losses.clip(max=0)
    for place, row, end in zip(places, rows, right, strict=True):
        axes.annotate(
            f"recall {row['recall']:.3f}",
            xy=(end, place),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
            color=_MUTED,
        )
    axes.set_yticks(places, [short(row["chunker"]) for row in rows], parse_math=False)
    axes.set_xlim(left=min(0.0, 1.05 * left.min()), right=max(0.05, 1.2 * right.max()))
    _dress(axes, "share of the evidence that is lost", "")
    axes.grid(visible=False, axis="y")
    if stages:
        figure.legend(loc="outside lower left", ncols=len(stages), frameon=False, fontsize=9, handlelength=1)
    axes.set_title("Where each chunker's evidence is lost", loc="left", fontsize=11)
    return figure


def require_matplotlib() -> None:
    """Check that pictures can be drawn.

    Raises:
        MissingExtraError: they cannot.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingExtraError("A picture", "matplotlib", "plots")


def picture_bytes(figure: Figure, kind: str) -> bytes:
    """A figure as a ``png`` or ``svg`` file, in which nothing depends on the time."""
    import matplotlib as mpl

    written = io.BytesIO()
    # A text in an SVG stays a text, which can be searched and scaled.
    with mpl.rc_context({"svg.hashsalt": "ragdiag", "svg.fonttype": "none"}):
        figure.savefig(written, format=kind, metadata={"Date": None} if kind == "svg" else {"Software": None})
    return written.getvalue()


def _figure(size: tuple[float, float]) -> tuple[Figure, Axes]:
    """A figure that no window shows; a notebook shows it as the value of a cell, once."""
    require_matplotlib()
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=size, layout="constrained", dpi=120)
    plt.close(figure)
    return figure, axes


def _dress(axes: Axes, horizontal: str, vertical: str) -> None:
    axes.set_xlabel(horizontal, color=_MUTED)
    axes.set_ylabel(vertical, color=_MUTED)
    axes.grid(visible=True, color=_LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=_INK, labelsize=9, length=0)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(_LINE)
