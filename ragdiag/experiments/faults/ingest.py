"""Faults of loading documents, and of the labels made on them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ragdiag.errors import ConfigError
from ragdiag.experiments.faults.fault import Aim, Case, Fault
from ragdiag.records import Document, Evidence, Span, WholeDocument

__all__ = ["FAULTS"]

_SHIFT = 7  # characters


def _ingest(case: Case, documents: Iterable[Document]) -> Case:
    """The case with other documents; the evidence stays anchored in the originals."""
    kept = tuple(document for document in documents if document.text.strip())
    if not kept:
        raise ConfigError("the fault leaves no document: make it less severe")
    return replace(case, documents=kept, sources=case.sources or case.documents)


def _dropped_documents(case: Case, aim: Aim) -> Case:
    return _ingest(case, (d for d in case.documents if not aim.marks.touch(d.text)))


def _truncated_documents(case: Case, aim: Aim) -> Case:
    def cut(document: Document) -> Document:
        evidence = aim.marks.ranges(document.text)
        return replace(document, text=document.text[: evidence[0][0]]) if evidence else document

    return _ingest(case, map(cut, case.documents))


def _offset_shift(case: Case, aim: Aim) -> Case:
    originals = case.originals

    def moved(part: Span | WholeDocument) -> Span | WholeDocument:
        if isinstance(part, WholeDocument):
            return part
        shift = min(_SHIFT, len(originals[part.doc_id].text) - part.end)
        return Span(part.doc_id, part.start + shift, part.end + shift)

    def mislabeled(unit: Evidence) -> Evidence:
        return Evidence.any_of(*([moved(part) for part in alternative] for alternative in unit.alternatives))

    queries = tuple(
        replace(
            query,
            evidence=[
                mislabeled(unit) if (query.id, number) in aim.marks.units else unit
                for number, unit in enumerate(query.evidence)
            ],
        )
        for query in case.queries
    )
    return replace(case, queries=queries)


FAULTS = (
    Fault(
        "dropped_documents",
        stage="ingest",
        cause="missing",
        what="the documents that hold some of the evidence, and all copies of it, were never loaded",
        severity=0.03,
        wrap=_dropped_documents,
    ),
    Fault(
        "truncated_documents",
        stage="ingest",
        cause="missing",
        what="some documents end before their evidence",
        severity=0.05,
        wrap=_truncated_documents,
    ),
    Fault(
        "offset_shift",
        stage="ingest",
        cause="invalid_label",
        what=f"some labels stand {_SHIFT} characters too late, as in a text that was normalized since",
        severity=0.3,
        wrap=_offset_shift,
    ),
)
