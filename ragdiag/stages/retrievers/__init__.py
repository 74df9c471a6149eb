"""Retrievers: one kind of index a file, and retrievers around other retrievers."""

from ragdiag.stages.retrievers.bm25 import BM25Retriever, tokenize_words
from ragdiag.stages.retrievers.distinct import DistinctRetriever
from ragdiag.stages.retrievers.exact import ExactRetriever
from ragdiag.stages.retrievers.faiss_index import FaissRetriever, FaissSearcher
from ragdiag.stages.retrievers.filters import allowed_rows, matches
from ragdiag.stages.retrievers.hybrid import HybridRetriever
from ragdiag.stages.retrievers.mmr import MMRRetriever
from ragdiag.stages.retrievers.saved_faiss import SavedFaissRetriever
from ragdiag.stages.retrievers.threshold import ThresholdRetriever

__all__ = [
    "BM25Retriever",
    "DistinctRetriever",
    "ExactRetriever",
    "FaissRetriever",
    "FaissSearcher",
    "HybridRetriever",
    "MMRRetriever",
    "SavedFaissRetriever",
    "ThresholdRetriever",
    "allowed_rows",
    "matches",
    "tokenize_words",
]
