"""Chunkers: all of them keep offsets, and those with a size count every chunk."""

from ragdiag.stages.chunkers.markdown import MarkdownChunker
from ragdiag.stages.chunkers.parent_child import ParentChildChunker
from ragdiag.stages.chunkers.recursive import RecursiveChunker
from ragdiag.stages.chunkers.semantic import SemanticChunker
from ragdiag.stages.chunkers.sentence import SentenceChunker
from ragdiag.stages.chunkers.token import TokenChunker

__all__ = [
    "MarkdownChunker",
    "ParentChildChunker",
    "RecursiveChunker",
    "SemanticChunker",
    "SentenceChunker",
    "TokenChunker",
]
