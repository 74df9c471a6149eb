"""By what a corpus and a set of queries are known again, so that only like is compared with like.

The corpus is what evidence stands in: ids and texts of the sources, and of documents that have no source,
in any order. How it was ingested, chunked or tagged belongs to the pipeline, which may change. A query is its
id, its text and its evidence; filters and metadata may change, too.
"""

from __future__ import annotations

from dataclasses import asdict

from ragdiag.diagnosis.result import Diagnosis
from ragdiag.experiments.sweep.keys import digest
from ragdiag.records import Query

__all__ = ["corpus_digest", "corpus_texts", "query_digest"]


def corpus_texts(diagnosis: Diagnosis) -> dict[str, str]:
    """The texts of the corpus by id, sorted."""
    texts = {document.id: document.text for document in diagnosis.documents}
    texts |= {source.id: source.text for source in diagnosis.sources.values()}
    return dict(sorted(texts.items()))


def corpus_digest(diagnosis: Diagnosis) -> str:
    """The digest of the corpus."""
    return digest(*corpus_texts(diagnosis).items())


def query_digest(query: Query) -> str:
    """The digest of a query with its evidence."""
    return digest(query.id, query.text, [asdict(unit) for unit in query.evidence])
