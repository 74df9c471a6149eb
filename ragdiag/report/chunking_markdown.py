"""A comparison of chunkers as GitHub-flavored Markdown, for a pull request or the summary of a CI run."""

from __future__ import annotations

from collections.abc import Sequence

from ragdiag.experiments.chunking.result import ChunkerComparison
from ragdiag.report.chunking import ChunkingStory, Shown
from ragdiag.report.escaping import markdown_text
from ragdiag.report.markdown import table

__all__ = ["chunkers_markdown"]


def chunkers_markdown(comparison: ChunkerComparison) -> str:
    """The verdict and the tables."""
    story = ChunkingStory(comparison)
    blocks = [
        f"## ragdiag: {markdown_text(story.headline)}",
        "\n".join(f"- {markdown_text(sentence)}" for sentence in story.sentences),
        *(block for shown in story.tables for block in _table(shown)),
    ]
    return "\n\n".join(blocks) + "\n"


def _table(shown: Shown) -> Sequence[str]:
    header, *rows = [[markdown_text(cell) for cell in row] for row in (shown.header, *shown.rows)]
    return [f"### {shown.title}", markdown_text(shown.caption), table(header, rows, texts=1)]
