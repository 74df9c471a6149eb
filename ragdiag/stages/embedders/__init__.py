"""Embedders: one model family a file."""

from ragdiag.stages.embedders.hashing import HashingEmbedder
from ragdiag.stages.embedders.sentence_transformer import SentenceTransformerEmbedder
from ragdiag.stages.embedders.static import StaticEmbedder

__all__ = ["HashingEmbedder", "SentenceTransformerEmbedder", "StaticEmbedder"]
