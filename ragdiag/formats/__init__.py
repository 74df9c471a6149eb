"""Files in and out. pydantic checks them here, at the edge, and nowhere else."""

from ragdiag.formats.beir import BeirDataset, document_evidence, read_beir, write_beir
from ragdiag.formats.configuration import read_pipeline
from ragdiag.formats.documents import read_documents, write_documents
from ragdiag.formats.queries import read_queries, write_queries
from ragdiag.formats.traces import read_trace, write_trace
from ragdiag.formats.trec import read_qrels, read_run, write_qrels, write_run

__all__ = [
    "BeirDataset",
    "document_evidence",
    "read_beir",
    "read_documents",
    "read_pipeline",
    "read_qrels",
    "read_queries",
    "read_run",
    "read_trace",
    "write_beir",
    "write_documents",
    "write_qrels",
    "write_queries",
    "write_run",
    "write_trace",
]
