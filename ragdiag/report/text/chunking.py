"""A comparison of chunkers as text: the verdict, then what was measured of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ragdiag.experiments.chunking.result import ChunkerComparison
from ragdiag.report.chunking import ChunkingStory, Shown
from ragdiag.report.escaping import columns, fit
from ragdiag.report.text.lines import WIDTH, wrapped

__all__ = ["chunkers_text", "verdict_text"]

_NAMES = 34  # columns of a chunker's name, at most


def verdict_text(comparison: ChunkerComparison) -> str:
    """The verdict for a terminal."""
    return "\n".join(_verdict(ChunkingStory(comparison))) + "\n"


def chunkers_text(comparison: ChunkerComparison) -> str:
    """The comparison for a terminal, at most 100 columns wide."""
    story = ChunkingStory(comparison)
    sections = [_verdict(story), *map(_table, story.tables)]
    return "\n\n".join("\n".join(lines) for lines in sections) + "\n"


def _verdict(story: ChunkingStory) -> list[str]:
    lines = wrapped(story.headline)
    for sentence in story.sentences:
        lines += wrapped(sentence, first="- ", rest="  ")
    return lines


def _table(shown: Shown) -> list[str]:
    """A table; columns for which there is no room stand below, with the names again."""
    names = min(_NAMES, max(columns(row[0]) for row in (shown.header, *shown.rows)))
    lines = [shown.title.upper(), *wrapped(shown.caption, first="  ", rest="  ")]
    for number, (places, widths) in enumerate(_blocks(shown, WIDTH - 2 - names)):
        lines += [""] if number else []
        for row in (shown.header, *shown.rows):
            cells = (f"  {row[place]:>{width}}" for place, width in zip(places, widths, strict=True))
            lines.append(f"  {fit(row[0], names)}{''.join(cells)}")
    return lines


def _blocks(shown: Shown, room: int) -> Iterator[tuple[Sequence[int], Sequence[int]]]:
    """Which columns stand beside each other, and how wide they are."""
    places: list[int] = []
    widths: list[int] = []
    for place in range(1, len(shown.header)):
        width = max(len(row[place]) for row in (shown.header, *shown.rows))
        if places and sum(widths) + width + 2 * (len(widths) + 1) > room:
            yield places, widths
            places, widths = [], []
        places.append(place)
        widths.append(width)
    yield places, widths
