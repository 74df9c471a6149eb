"""Queries and their evidence from and to a ``.jsonl`` file.

A line is ``{"id", "text", "evidence"?: [unit, …], "filter"?, "answerable"?, "metadata"?}``. A unit is

    {"doc_id", "start", "end", "quote"?}   a span; a quote must equal the text there
    {"doc_id", "quote"}                    the one place where the quote stands
    {"doc_id"}                             the whole document
    [part, …]                              several of these, all needed
    {"any_of": [part or list, …]}          alternatives, any one of which is enough
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragdiag.errors import DataError
from ragdiag.formats.jsonl import located, write_lines
from ragdiag.records import Document, Evidence, Query, Span, WholeDocument
from ragdiag.spans import check_evidence, quote

if TYPE_CHECKING:
    from ragdiag.formats.lines import AnyOf, Part

__all__ = ["read_queries", "write_queries"]


def read_queries(path: str | Path, sources: Iterable[Document]) -> list[Query]:
    """The queries of a ``.jsonl`` file, with every piece of evidence anchored in ``sources``.

    ``sources`` are the documents, or the originals from which they were made. Offsets are code points.

    Raises:
        DataError: naming the file, the line and the field; also where there is no query, two have the same
            id, a quote is not the text at its offsets (both are shown) or does not stand in exactly one
            place, or evidence lies outside its source or is only whitespace.
    """
    from ragdiag.formats.lines import QueryLine, read_entries  # pydantic is heavy

    by_id = _by_id(sources)
    queries = []
    for place, entry in read_entries(path, QueryLine):
        with located(place):
            query = Query(
                entry.id,
                entry.text,
                [_evidence(unit, by_id, f"evidence[{number}]") for number, unit in enumerate(entry.evidence)],
                entry.filter,
                entry.answerable,
                entry.metadata,
            )
            check_evidence([query], by_id)
            queries.append(query)
    if not queries:
        raise DataError(f"{path}: no queries: the file has no line")
    return queries


def write_queries(path: str | Path, queries: Iterable[Query]) -> None:
    """Write queries to a ``.jsonl`` file that `read_queries` reads back as equal queries.

    Raises:
        DataError: there is no query, two have the same id, or metadata or a filter hold what JSON cannot
            say.
    """
    write_lines(path, _lines(queries, path))


def _by_id(sources: Iterable[Document]) -> dict[str, Document]:
    by_id: dict[str, Document] = {}
    for source in sources:
        if source.id in by_id:
            raise DataError(f"two sources have the id {source.id!r}")
        by_id[source.id] = source
    return by_id


def _evidence(unit: Part | Sequence[Part] | AnyOf, sources: Mapping[str, Document], field: str) -> Evidence:
    from ragdiag.formats.lines import AnyOf  # pydantic is heavy

    if isinstance(unit, AnyOf):
        alternatives = [
            _alternative(alternative, sources, f"{field}.any_of[{place}]")
            for place, alternative in enumerate(unit.any_of)
        ]
    else:
        alternatives = [_alternative(unit, sources, field)]
    with located(field):
        return Evidence.any_of(*alternatives)


def _alternative(
    parts: Part | Sequence[Part], sources: Mapping[str, Document], field: str
) -> list[Span | WholeDocument]:
    if isinstance(parts, Sequence):
        return [_anchor(part, sources, f"{field}[{place}]") for place, part in enumerate(parts)]
    return [_anchor(parts, sources, field)]


def _anchor(part: Part, sources: Mapping[str, Document], field: str) -> Span | WholeDocument:
    """Where in the sources a part stands."""
    source = sources.get(part.doc_id)
    if source is None:
        raise DataError(f"{field}.doc_id: {part.doc_id!r} is not among the {len(sources)} sources")
    if part.start is None and part.end is None:
        if part.quote is None:
            return WholeDocument(part.doc_id)
        with located(f"{field}.quote"):
            return Span.find(source, part.quote)
    if part.start is None or part.end is None:
        missing = "start" if part.start is None else "end"
        raise DataError(f"{field}.{missing}: is missing: a span needs both start and end, or a quote alone")
    with located(field):
        span = Span(part.doc_id, part.start, part.end)
    text = source.text[span.start : span.end]
    if part.quote is not None and part.quote != text and span.end <= len(source.text):
        raise DataError(
            f"{field}.quote: is not the text of document {part.doc_id!r} at {span.start}-{span.end}: "
            f"the quote is {quote(part.quote)}, the text is {quote(text)}"
        )
    return span


def _lines(queries: Iterable[Query], path: str | Path) -> Iterator[dict[str, Any]]:
    seen: set[str] = set()
    for query in queries:
        if query.id in seen:
            raise DataError(f"{path}: two queries have the id {query.id!r}")
        seen.add(query.id)
        line: dict[str, Any] = {"id": query.id, "text": query.text}
        if query.evidence:
            line["evidence"] = [_unit(unit) for unit in query.evidence]
        if query.filter is not None:
            line["filter"] = dict(query.filter)
        if not query.answerable:
            line["answerable"] = False
        if query.metadata:
            line["metadata"] = dict(query.metadata)
        yield line
    if not seen:
        raise DataError(f"{path}: no queries to write")


def _unit(evidence: Evidence) -> object:
    alternatives = [_parts(alternative) for alternative in evidence.alternatives]
    return {"any_of": alternatives} if len(alternatives) > 1 else alternatives[0]


def _parts(alternative: Sequence[Span | WholeDocument]) -> object:
    parts = [_part(part) for part in alternative]
    return parts if len(parts) > 1 else parts[0]


def _part(part: Span | WholeDocument) -> dict[str, Any]:
    if isinstance(part, WholeDocument):
        return {"doc_id": part.doc_id}
    return {"doc_id": part.doc_id, "start": part.start, "end": part.end}
