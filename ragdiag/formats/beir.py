r"""Data sets from and to folders in the layout of BEIR.

    corpus.jsonl       {"_id", "title"?, "text", "metadata"?}     a document a line
    queries.jsonl      {"_id", "text", "metadata"?}               a query a line, of all splits
    qrels/<split>.tsv  query-id \t corpus-id \t score             a head line, then a judgment a line

Source: Thakur et al., "BEIR: a heterogeneous benchmark for zero-shot evaluation of information retrieval
models", NeurIPS 2021 (datasets and benchmarks).
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragdiag.errors import ConfigError, DataError
from ragdiag.formats.jsonl import located, text_lines, write_lines
from ragdiag.formats.tables import by_query, check_writable, graded_rows, read_grade, write_text
from ragdiag.records import Document, Evidence, Query, WholeDocument

if TYPE_CHECKING:
    from ragdiag.measures import Qrels

__all__ = ["BeirDataset", "document_evidence", "read_beir", "write_beir"]

_HEAD = ("query-id", "corpus-id", "score")
_LAYOUT = "a folder in BEIR's layout holds corpus.jsonl, queries.jsonl and qrels/<split>.tsv"
# Tabs and line ends could stand in quotes, but not for a reader that splits at them; UTF-8 has no surrogates.
_NEVER = re.compile("[\t\r\n\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class BeirDataset:
    """One split of a data set.

    Attributes:
        documents: the whole corpus.
        queries: those with judgments in the split; their evidence is `document_evidence` of these.
        qrels: grades by query and document.
    """

    documents: tuple[Document, ...]
    queries: tuple[Query, ...]
    qrels: Qrels


def document_evidence(grades: Mapping[str, int]) -> tuple[Evidence, ...]:
    """The evidence that one query's grades make: one unit, which any relevant document satisfies.

    A document with a grade of 1 or more is an alternative, as a whole; where there is none, there is no
    evidence, and the query is unassessed. Grades above 1 are not told apart.

    Judgments say which documents are relevant, not which are needed together. With each relevant document
    needed, a query with 30 of them would be charged to capacity at any usual k. So a query is satisfied here
    by one, and its recall is whether anything relevant was delivered; how many of all, and in which order,
    is for rank measures (`ragdiag.evaluate`). Where questions do need several documents, as in HotpotQA, give
    every document a unit of its own: ``[Evidence.of(WholeDocument(id)) for id in …]``.

    Example:
        >>> unit, = document_evidence({"a": 2, "b": 0, "c": 1})
        >>> unit.alternatives
        ((WholeDocument(doc_id='a'),), (WholeDocument(doc_id='c'),))
    """
    relevant = [WholeDocument(document) for document, grade in grades.items() if grade >= 1]
    return (Evidence.any_of(*relevant),) if relevant else ()


def read_beir(folder: str | Path, *, split: str = "test") -> BeirDataset:
    r"""The documents of a folder in BEIR's layout, and the queries and judgments of one split.

    A document's text is ``title + "\n" + text`` where it has a title, else the text alone. Queries are those
    with judgments in the split, in the order of ``queries.jsonl``, with `document_evidence`.

    Raises:
        DataError: naming the file, the line and the field; also where a file is missing, there is no such
            split (those there are listed), a judgment names a query or document that no line has, two lines
            have the same id or are about the same query and document (both are named).
    """
    folder = Path(folder)
    qrels_file = _split_file(folder, split)
    documents = _documents(_there(folder / "corpus.jsonl"))
    queries = _queries(_there(folder / "queries.jsonl"))
    known = (queries.keys(), {document.id for document in documents})
    qrels = by_query(qrels_file, _judgments(qrels_file, *known))
    return BeirDataset(
        documents,
        tuple(_judged(query, qrels) for query in queries.values() if query.id in qrels),
        qrels,
    )


def write_beir(folder: str | Path, dataset: BeirDataset, *, split: str = "test") -> None:
    """Write a folder in BEIR's layout that `read_beir` reads back as an equal data set.

    Titles stay where reading has put them, in the text: every title that is written is empty. Each file
    appears, or replaces the one before, only when all of it is written. The folder holds one split: with
    another in it, whose queries would be lost, nothing is written.

    Raises:
        ConfigError: ``split`` is no file name.
        DataError: what would not read back: no documents or no queries, an id twice, a query without
            judgments or judgments without their query or document, evidence other than `document_evidence`,
            a filter, ``answerable=False``, an id that a line of the judgments cannot hold, metadata that JSON
            cannot say; also where another split is there, or a file cannot be written.
    """
    folder = Path(folder)
    if not split or Path(split).name != split:
        raise ConfigError(f"split: expected a name such as 'test', got {split!r}")
    with located(str(folder)):
        _check(dataset)
        rows = list(graded_rows(dataset.qrels))
        for query, document, _ in rows:
            check_writable(query, "query id", _NEVER)
            check_writable(document, "document id", _NEVER)
        others = sorted(set(_splits(folder)) - {split})
        if others:
            raise DataError(
                f"the queries of the split {others[0]!r}, which is there, would be lost: "
                "write each split to a folder of its own"
            )
        try:
            (folder / "qrels").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"cannot be written: {error.strerror or error}") from error
    write_lines(folder / "corpus.jsonl", map(_line, dataset.documents))
    write_lines(folder / "queries.jsonl", map(_line, dataset.queries))
    table = io.StringIO(newline="")
    csv.writer(table, delimiter="\t", lineterminator="\n").writerows([_HEAD, *rows])
    write_text(folder / "qrels" / f"{split}.tsv", table.getvalue())


def _there(path: Path) -> Path:
    if not path.is_file():
        raise DataError(f"{path}: is missing: {_LAYOUT}")
    return path


def _splits(folder: Path) -> list[str]:
    return sorted(path.stem for path in (folder / "qrels").glob("*.tsv"))


def _split_file(folder: Path, split: str) -> Path:
    splits = _splits(folder)
    if not splits:
        raise DataError(f"{folder / 'qrels'}: holds no split: {_LAYOUT}")
    if split not in splits:
        raise DataError(f"{folder / 'qrels'}: no split {split!r}; there: {', '.join(map(repr, splits))}")
    return folder / "qrels" / f"{split}.tsv"


def _documents(path: Path) -> tuple[Document, ...]:
    from ragdiag.formats.beir_lines import CorpusLine  # pydantic is heavy
    from ragdiag.formats.lines import read_entries

    documents = []
    for place, line in read_entries(path, CorpusLine):
        with located(place):
            text = f"{line.title}\n{line.text}" if line.title else line.text
            documents.append(Document(line.id, text, line.metadata))
    return tuple(documents)


def _queries(path: Path) -> dict[str, Query]:
    from ragdiag.formats.beir_lines import QueryLine  # pydantic is heavy
    from ragdiag.formats.lines import read_entries

    queries = {}
    for place, line in read_entries(path, QueryLine):
        with located(place):
            queries[line.id] = Query(line.id, line.text, metadata=line.metadata)
    return queries


def _judged(query: Query, qrels: Qrels) -> Query:
    """The query as its judgments have it."""
    return Query(query.id, query.text, document_evidence(qrels[query.id]), metadata=query.metadata)


def _judgments(
    path: Path, queries: Collection[str], documents: Collection[str]
) -> Iterator[tuple[int, str, str, int]]:
    """Line number, query, document and grade, as `by_query` takes them."""
    rows = _table(path)
    number, head = next(rows, (1, []))
    if tuple(head) != _HEAD:
        raise DataError(
            f"{path}:{number}: expected the head line {', '.join(_HEAD)} (tab-separated), got {head}"
        )
    for number, fields in rows:
        with located(f"{path}:{number}"):
            if len(fields) != len(_HEAD):
                raise DataError(
                    f"expected {len(_HEAD)} fields, separated by tabs ({', '.join(_HEAD)}), got {len(fields)}"
                )
            query, document, field = fields
            if query not in queries:
                raise DataError(f"query-id: {query!r} is not among the {len(queries)} of queries.jsonl")
            if document not in documents:
                raise DataError(f"corpus-id: {document!r} is not among the {len(documents)} of corpus.jsonl")
            with located("score"):
                grade = read_grade(field)
        yield number, query, document, grade


def _table(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The number and the fields of each line, with quotes as in CSV, since BEIR's own reader has them so."""
    for number, line in text_lines(path):
        try:
            yield number, next(csv.reader([line], delimiter="\t", strict=True))
        except csv.Error as error:
            raise DataError(f"{path}:{number}: {error}") from error


def _check(dataset: BeirDataset) -> None:
    """Check that all of a data set can be said in BEIR's layout."""
    documents = _unique("document", dataset.documents)
    queries = _unique("query", dataset.queries)
    for query_id, grades in dataset.qrels.items():
        if query_id not in queries:
            raise DataError(f"judgments of query {query_id!r}, which is not among the {len(queries)} queries")
        for document in grades:
            if document not in documents:
                raise DataError(
                    f"a judgment of query {query_id!r} names document {document!r}, which is not among the "
                    f"{len(documents)} documents"
                )
    for query in dataset.queries:
        if query.id not in dataset.qrels:
            raise DataError(f"query {query.id!r} has no judgments")
        said = _judged(query, dataset.qrels)
        fields = ("evidence", "filter", "answerable")
        lost = [field for field in fields if getattr(query, field) != getattr(said, field)]
        if lost:
            raise DataError(
                f"query {query.id!r} would not read back as it is, in {', '.join(lost)}: BEIR's layout knows "
                "no filter, no answerable, and no evidence other than document_evidence of its judgments; "
                "write_queries keeps them"
            )


def _unique(kind: str, records: Iterable[Document | Query]) -> set[str]:
    ids: set[str] = set()
    for record in records:
        if record.id in ids:
            raise DataError(f"{kind} {record.id!r} is there twice")
        ids.add(record.id)
    if not ids:
        raise DataError(f"no {kind} to write")
    return ids


def _line(record: Document | Query) -> dict[str, Any]:
    title = {"title": ""} if isinstance(record, Document) else {}
    line: dict[str, Any] = {"_id": record.id, **title, "text": record.text}
    if record.metadata:
        line["metadata"] = dict(record.metadata)
    return line
