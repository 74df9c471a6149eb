"""ragdiag: which stage of a RAG pipeline lost the evidence."""

__version__ = "0.1.0"
