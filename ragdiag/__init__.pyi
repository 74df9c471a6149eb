# The public names. `__init__.py` reads this file, and imports each name when it is first asked for.

from .adapters import (
    ChonkieChunker,
    LangChainChunker,
    LlamaIndexChunker,
    SemanticTextSplitterChunker,
    SemchunkChunker,
)
from .costs import Costs, StageCost, WorkEstimate
from .diagnosis.compare import Comparison, compare
from .diagnosis.diagnose import diagnose
from .diagnosis.explanation import Explanation
from .diagnosis.groups import Groups
from .diagnosis.health import Health, health
from .diagnosis.result import Diagnosis
from .errors import (
    ConfigError,
    DataError,
    MissingExtraError,
    RagdiagError,
    RagdiagWarning,
    ResourceError,
    StageError,
)
from .experiments.chunking import ChunkerComparison, Prices, compare_chunkers
from .experiments.gate import Baseline, GateResult, gate
from .experiments.remedies import BestWindowReranker, HeadedChunker, Remedies, remedies
from .experiments.sweep import Measured, Sweep, Timings, grid, sweep
from .formats import (
    BeirDataset,
    document_evidence,
    read_beir,
    read_documents,
    read_pipeline,
    read_qrels,
    read_queries,
    read_run,
    read_trace,
    write_beir,
    write_documents,
    write_qrels,
    write_queries,
    write_run,
    write_trace,
)
from .index import Index
from .measures.evaluation import Evaluation, evaluate
from .measures.runs import chunk_run, document_run
from .measures.splits import Split, split_queries
from .pipeline import Pipeline
from .records import Chunk, Document, Evidence, Hit, Query, Request, Span, WholeDocument
from .stages.chunkers import (
    MarkdownChunker,
    ParentChildChunker,
    RecursiveChunker,
    SemanticChunker,
    SentenceChunker,
    TokenChunker,
)
from .stages.embedders import HashingEmbedder, SentenceTransformerEmbedder, StaticEmbedder
from .stages.packers import (
    DuplicateFilter,
    NearDuplicateFilter,
    PackerChain,
    PromptOrder,
    TokenBudget,
    TopK,
)
from .stages.protocols import Chunker, Embedder, Packer, Reranker, Retriever, Searcher
from .stages.rerankers import CrossEncoderReranker, LateInteractionReranker
from .stages.retrievers import (
    BM25Retriever,
    DistinctRetriever,
    ExactRetriever,
    FaissRetriever,
    HybridRetriever,
    MMRRetriever,
    SavedFaissRetriever,
    ThresholdRetriever,
)
from .store import Store, StoredChunker, StoredEmbedder, StoredReranker, StoredRetriever, fingerprint
from .trace import QueryTrace, Trace

__all__ = [
    "BM25Retriever",
    "Baseline",
    "BeirDataset",
    "BestWindowReranker",
    "ChonkieChunker",
    "Chunk",
    "Chunker",
    "ChunkerComparison",
    "Comparison",
    "ConfigError",
    "Costs",
    "CrossEncoderReranker",
    "DataError",
    "Diagnosis",
    "DistinctRetriever",
    "Document",
    "DuplicateFilter",
    "Embedder",
    "Evaluation",
    "Evidence",
    "ExactRetriever",
    "Explanation",
    "FaissRetriever",
    "GateResult",
    "Groups",
    "HashingEmbedder",
    "HeadedChunker",
    "Health",
    "Hit",
    "HybridRetriever",
    "Index",
    "LangChainChunker",
    "LateInteractionReranker",
    "LlamaIndexChunker",
    "MMRRetriever",
    "MarkdownChunker",
    "Measured",
    "MissingExtraError",
    "NearDuplicateFilter",
    "Packer",
    "PackerChain",
    "ParentChildChunker",
    "Pipeline",
    "Prices",
    "PromptOrder",
    "Query",
    "QueryTrace",
    "RagdiagError",
    "RagdiagWarning",
    "RecursiveChunker",
    "Remedies",
    "Request",
    "Reranker",
    "ResourceError",
    "Retriever",
    "SavedFaissRetriever",
    "Searcher",
    "SemanticChunker",
    "SemanticTextSplitterChunker",
    "SemchunkChunker",
    "SentenceChunker",
    "SentenceTransformerEmbedder",
    "Span",
    "Split",
    "StageCost",
    "StageError",
    "StaticEmbedder",
    "Store",
    "StoredChunker",
    "StoredEmbedder",
    "StoredReranker",
    "StoredRetriever",
    "Sweep",
    "ThresholdRetriever",
    "Timings",
    "TokenBudget",
    "TokenChunker",
    "TopK",
    "Trace",
    "WholeDocument",
    "WorkEstimate",
    "chunk_run",
    "compare",
    "compare_chunkers",
    "diagnose",
    "document_evidence",
    "document_run",
    "evaluate",
    "fingerprint",
    "gate",
    "grid",
    "health",
    "read_beir",
    "read_documents",
    "read_pipeline",
    "read_qrels",
    "read_queries",
    "read_run",
    "read_trace",
    "remedies",
    "split_queries",
    "sweep",
    "write_beir",
    "write_documents",
    "write_qrels",
    "write_queries",
    "write_run",
    "write_trace",
]

__version__: str
