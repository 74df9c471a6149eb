"""Chunkers: plain text and Markdown, over one algorithm that keeps offsets and counts every chunk."""

from ragdiag.stages.chunkers.markdown import MarkdownChunker
from ragdiag.stages.chunkers.recursive import RecursiveChunker

__all__ = ["MarkdownChunker", "RecursiveChunker"]
