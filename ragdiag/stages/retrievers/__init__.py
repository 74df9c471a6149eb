"""Retrievers: one kind of index a file."""

from ragdiag.stages.retrievers.bm25 import BM25Retriever, tokenize_words
from ragdiag.stages.retrievers.exact import ExactRetriever
from ragdiag.stages.retrievers.faiss_index import FaissRetriever
from ragdiag.stages.retrievers.filters import allowed_rows, matches
from ragdiag.stages.retrievers.hybrid import HybridRetriever

__all__ = [
    "BM25Retriever",
    "ExactRetriever",
    "FaissRetriever",
    "HybridRetriever",
    "allowed_rows",
    "matches",
    "tokenize_words",
]
