"""Rerankers: one way to score a query with a text a file."""

from ragdiag.stages.rerankers.cross_encoder import CrossEncoderReranker
from ragdiag.stages.rerankers.late_interaction import LateInteractionReranker, TokenVectors

__all__ = ["CrossEncoderReranker", "LateInteractionReranker", "TokenVectors"]
