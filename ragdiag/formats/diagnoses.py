"""A diagnosis to and from a file: JSON Lines.

The file holds what everything else is worked out from: the header, the documents, the sources where they are
not the documents, the queries with their evidence, the trace without its vectors (as `traces` writes it), and
for each assessed query the exact search; and the verdicts that re-runs proved, with the causes that checks
found (see `verdicts`). Costs are not written: the same diagnosis gives the same bytes. Metadata and filters
read back as they were, tuples and sets too (see `ragdiag.values`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragdiag.diagnosis.evidence import EvidenceMap, QueryEvidence
from ragdiag.diagnosis.exact import ExactSearch
from ragdiag.diagnosis.result import Diagnosis
from ragdiag.errors import DataError
from ragdiag.formats.jsonl import located, write_lines
from ragdiag.formats.traces import named, read_trace_lines, trace_lines
from ragdiag.formats.verdicts import check_lines, read_checks, read_verdicts, verdict_lines
from ragdiag.records import Document, Evidence, Query, Span, WholeDocument
from ragdiag.spans import check_evidence
from ragdiag.trace import Trace
from ragdiag.values import from_json, to_json

if TYPE_CHECKING:
    from ragdiag.formats.saved_file import SavedFile
    from ragdiag.formats.saved_lines import DocumentLine, ExactLine, QueryLine

__all__ = ["read_diagnosis", "write_diagnosis"]

_FORMAT = "ragdiag-diagnosis"
_VERSION = 3


def write_diagnosis(diagnosis: Diagnosis, path: str | Path) -> None:
    """Write a diagnosis, without vectors and costs, to a file from which `read_diagnosis` rebuilds it.

    Raises:
        DataError: the file cannot be written, or metadata or a filter hold what a file cannot; the message
            names the document, query or chunk and the key.
    """
    write_lines(path, named(path, _lines(diagnosis)))


def read_diagnosis(path: str | Path) -> Diagnosis:
    """The diagnosis that a file holds, worked out anew from what was run; no model is needed.

    Raises:
        DataError: the file is not a diagnosis, is damaged or cut off, or is of a version that this release
            does not read; the message names the file, the line and the field.
    """
    from ragdiag.formats.saved_file import SavedFile  # pydantic is heavy
    from ragdiag.formats.saved_lines import (  # the same
        DiagnosisHeader,
        DocumentLine,
        ExactLine,
        QueryLine,
        SourceLine,
    )

    file = SavedFile(path)
    header = file.header(DiagnosisHeader, _FORMAT, _VERSION)
    documents = _read_documents(file, DocumentLine, header.documents)
    sources = documents if header.sources is None else _read_documents(file, SourceLine, header.sources)
    queries = []
    for place, query_line in file.section(QueryLine, header.queries):
        with located(place):
            queries.append(_query(query_line, sources))
    assessed = [query for query in queries if query.assessed]
    if not assessed:
        raise DataError(f"{path}: none of the {len(queries)} queries has evidence")
    trace = read_trace_lines(file, documents)
    traced = {record.query_id for record in trace.queries}
    for query in queries:
        if query.id not in traced:
            raise DataError(f"{path}: the trace has no query {query.id!r}")
    evidence_map = EvidenceMap(
        list(documents.values()), sources, trace.chunks, assessed, copies=header.copies
    )
    evidence = [evidence_map.of(query, trace[query.id].context) for query in assessed]
    exact = None
    if header.exact is not None:
        if header.exact != len(assessed):
            raise DataError(
                f"{path}:1: exact: expected as many as there are queries with evidence, {len(assessed)}, "
                f"got {header.exact}"
            )
        exact = []
        searches = file.section(ExactLine, header.exact)
        for (place, exact_line), query, of_query in zip(searches, assessed, evidence, strict=True):
            with located(place):
                exact.append(_exact(exact_line, query, of_query, trace))
    observed = Diagnosis.of(
        trace=trace,
        documents=list(documents.values()),
        sources=sources,
        queries=queries,
        evidence_map=evidence_map,
        evidence=evidence,
        exact=exact,
        min_coverage=header.min_coverage,
        copies=header.copies,
    )
    diagnosis = observed if header.effort is None else read_verdicts(file, header.effort, observed)
    diagnosis = replace(diagnosis, checks=read_checks(file, header.checks))
    file.end()
    return diagnosis


# Lines of what is there


def _lines(diagnosis: Diagnosis) -> Iterator[dict[str, Any]]:
    documents = {document.id: document for document in diagnosis.documents}
    sources = None if diagnosis.sources == documents else diagnosis.sources
    exact = diagnosis.exact
    yield {
        "format": _FORMAT,
        "version": _VERSION,
        "min_coverage": float(diagnosis.min_coverage),
        "copies": diagnosis.copies,
        "documents": len(documents),
        "sources": None if sources is None else len(sources),
        "queries": len(diagnosis.queries),
        "exact": None if exact is None else len(exact),
        "effort": None if diagnosis.effort is None else asdict(diagnosis.effort),
        "checks": len(diagnosis.checks),
    }
    for document in documents.values():
        yield _document_line("document", document)
    for source in (sources or {}).values():
        yield _document_line("source", source)
    yield from map(_query_line, diagnosis.queries)
    yield from trace_lines(diagnosis.trace, vectors=False)
    for query, search in zip(diagnosis.assessed, exact or (), strict=exact is not None):
        yield _exact_line(query, search, diagnosis.trace)
    yield from verdict_lines(diagnosis)
    yield from check_lines(diagnosis)


def _document_line(kind: str, document: Document) -> dict[str, Any]:
    line: dict[str, Any] = {"kind": kind, "id": document.id, "text": document.text}
    if document.metadata:
        with located(f"{kind} {document.id!r}"):
            line["metadata"] = to_json(document.metadata, "metadata")
    return line


def _query_line(query: Query) -> dict[str, Any]:
    line: dict[str, Any] = {"kind": "query", "id": query.id, "text": query.text}
    if query.evidence:
        line["evidence"] = [
            [[_part(part) for part in alternative] for alternative in unit.alternatives]
            for unit in query.evidence
        ]
    with located(f"query {query.id!r}"):
        if query.filter is not None:
            line["filter"] = to_json(query.filter, "filter")
        if not query.answerable:
            line["answerable"] = False
        if query.metadata:
            line["metadata"] = to_json(query.metadata, "metadata")
    return line


def _part(part: Span | WholeDocument) -> list[object]:
    return [part.doc_id] if isinstance(part, WholeDocument) else [part.doc_id, part.start, part.end]


def _exact_line(query: Query, search: ExactSearch, trace: Trace) -> dict[str, Any]:
    return {
        "kind": "exact",
        "query_id": query.id,
        "ranks": [[trace.chunks[position].id, rank] for position, rank in sorted(search.ranks.items())],
        "candidates": [trace.chunks[position].id for position in sorted(search.candidates)],
        "order": [trace.chunks[position].id for position in search.order],
    }


# What the lines say


def _read_documents(file: SavedFile, model: type[DocumentLine], count: int) -> dict[str, Document]:
    documents = {}
    for place, line in file.section(model, count):
        with located(place):
            documents[line.id] = Document(line.id, line.text, from_json(line.metadata))
    return documents


def _query(line: QueryLine, sources: Mapping[str, Document]) -> Query:
    evidence = []
    for number, unit in enumerate(line.evidence):
        with located(f"evidence[{number}]"):
            evidence.append(Evidence(tuple(map(_alternative, unit))))
    query = Query(
        line.id,
        line.text,
        evidence,
        None if line.filter is None else from_json(line.filter),
        line.answerable,
        from_json(line.metadata),
    )
    check_evidence([query], sources)
    return query


def _alternative(parts: Sequence[tuple[str, int, int] | tuple[str]]) -> Any:
    """The parts of an alternative; that they are all of one kind is for `Evidence` to check."""
    return tuple(Span(*part) if len(part) == 3 else WholeDocument(*part) for part in parts)


def _exact(line: ExactLine, query: Query, evidence: QueryEvidence, trace: Trace) -> ExactSearch:
    if line.query_id != query.id:
        raise DataError(
            f"query_id: expected {query.id!r}, in the order of the queries, got {line.query_id!r}"
        )
    ranks: dict[int, int] = {}
    for i, (chunk_id, rank) in enumerate(line.ranks):
        if chunk_id not in trace.position:
            raise DataError(f"ranks[{i}]: there is no chunk {chunk_id!r} in this file")
        ranks[trace.position[chunk_id]] = rank
    if ranks.keys() != evidence.carriers.keys() or len(ranks) < len(line.ranks):
        raise DataError(
            f"ranks: expected one for each of the {len(evidence.carriers)} chunks that hold evidence of the "
            f"query, got {len(line.ranks)}, of other chunks or not of all"
        )
    for i, chunk_id in enumerate(line.candidates):
        if trace.position.get(chunk_id) not in ranks:
            raise DataError(f"candidates[{i}]: chunk {chunk_id!r} is not among 'ranks'")
    context = sorted(chunk.id for chunk in trace[query.id].context)
    if sorted(line.order) != context:
        raise DataError(f"order: expected the chunks of the query's context, {context}, got {line.order}")
    return ExactSearch(
        ranks,
        frozenset(trace.position[chunk_id] for chunk_id in line.candidates),
        tuple(trace.position[chunk_id] for chunk_id in line.order),
    )
