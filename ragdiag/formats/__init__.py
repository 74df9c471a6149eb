"""Files in and out. pydantic checks them here, at the edge, and nowhere else."""

from ragdiag.formats.configuration import read_pipeline
from ragdiag.formats.documents import read_documents, write_documents
from ragdiag.formats.queries import read_queries, write_queries
from ragdiag.formats.traces import read_trace, write_trace

__all__ = [
    "read_documents",
    "read_pipeline",
    "read_queries",
    "read_trace",
    "write_documents",
    "write_queries",
    "write_trace",
]
