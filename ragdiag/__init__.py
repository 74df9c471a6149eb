"""ragdiag: which stage of a RAG pipeline lost the evidence.

    pipeline = ragdiag.Pipeline(chunker=…, embedder=…, retriever=…, reranker=…, packer=…)
    diagnosis = ragdiag.diagnose(pipeline, documents, queries)
    diagnosis.losses      # what each stage lost; sums to 1 - recall
    diagnosis.failures    # every lost unit, with the stage that lost it
    diagnosis.explain(query_id)

Importing this package is quick: models, faiss, pandas and the like are imported where they are needed.
"""

from ragdiag.costs import Costs, StageCost, WorkEstimate
from ragdiag.diagnosis.diagnose import diagnose
from ragdiag.diagnosis.explanation import Explanation
from ragdiag.diagnosis.groups import Groups
from ragdiag.diagnosis.result import Diagnosis
from ragdiag.errors import (
    ConfigError,
    DataError,
    MissingExtraError,
    RagdiagError,
    RagdiagWarning,
    ResourceError,
    StageError,
)
from ragdiag.formats import (
    read_documents,
    read_pipeline,
    read_queries,
    write_documents,
    write_queries,
)
from ragdiag.index import Index
from ragdiag.pipeline import Pipeline
from ragdiag.records import Chunk, Document, Evidence, Hit, Query, Request, Span, WholeDocument
from ragdiag.stages.chunkers import MarkdownChunker, RecursiveChunker
from ragdiag.stages.embedders import HashingEmbedder, SentenceTransformerEmbedder, StaticEmbedder
from ragdiag.stages.packers import TokenBudget, TopK
from ragdiag.stages.protocols import Chunker, Embedder, Packer, Reranker, Retriever, Searcher
from ragdiag.stages.rerankers import LateInteractionReranker
from ragdiag.stages.retrievers import BM25Retriever, ExactRetriever, FaissRetriever, HybridRetriever
from ragdiag.trace import QueryTrace, Trace

__version__ = "0.1.0"

__all__ = [
    "BM25Retriever",
    "Chunk",
    "Chunker",
    "ConfigError",
    "Costs",
    "DataError",
    "Diagnosis",
    "Document",
    "Embedder",
    "Evidence",
    "ExactRetriever",
    "Explanation",
    "FaissRetriever",
    "Groups",
    "HashingEmbedder",
    "Hit",
    "HybridRetriever",
    "Index",
    "LateInteractionReranker",
    "MarkdownChunker",
    "MissingExtraError",
    "Packer",
    "Pipeline",
    "Query",
    "QueryTrace",
    "RagdiagError",
    "RagdiagWarning",
    "RecursiveChunker",
    "Request",
    "Reranker",
    "ResourceError",
    "Retriever",
    "Searcher",
    "SentenceTransformerEmbedder",
    "Span",
    "StageCost",
    "StageError",
    "StaticEmbedder",
    "TokenBudget",
    "TopK",
    "Trace",
    "WholeDocument",
    "WorkEstimate",
    "diagnose",
    "read_documents",
    "read_pipeline",
    "read_queries",
    "write_documents",
    "write_queries",
]
