"""The data model checks itself: what is wrong is refused where it is made."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragdiag import (
    Chunk,
    DataError,
    Document,
    Evidence,
    Hit,
    MissingExtraError,
    Query,
    RagdiagError,
    Request,
    Span,
    WholeDocument,
)

DOCUMENT = Document("d", "one two one", {"lang": "en"})
RECORDS = [
    DOCUMENT,
    Span("d", 0, 3),
    WholeDocument("d"),
    Evidence.of(Span("d", 0, 3)),
    Query("q", "one?", [Evidence.of(Span("d", 0, 3))], {"lang": "en"}, metadata={"hard": True}),
    Chunk.of(DOCUMENT, (0, 3)),
    Hit("d#0-3", 1.0),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_records_are_frozen_values(record: Any) -> None:
    same = pickle.loads(pickle.dumps(record))  # noqa: S301  # written a line before
    assert same == record
    assert hash(same) == hash(record)
    assert not hasattr(record, "__dict__")
    name = next(iter(type(record).__dataclass_fields__))
    with pytest.raises(FrozenInstanceError):
        setattr(record, name, None)


def test_a_request_holds_what_a_searcher_may_know() -> None:
    request = Request("q", "one?", np.ones(2, dtype=np.float32), {"lang": "en"})
    assert not hasattr(request, "evidence")
    assert Request("q", "one?").vector is None


WRONG: list[tuple[Any, str]] = [
    (lambda: Document("", "text"), "Document.id must not be empty"),
    (lambda: Document(7, "text"), "Document.id must be a string, got int: 7"),  # type: ignore[arg-type]
    (lambda: Document("d", b"text"), "text of document 'd' must be a string, got bytes"),  # type: ignore[arg-type]
    (lambda: Span("", 0, 1), "Span.doc_id must not be empty"),
    (lambda: Span("d", 1, 1), "must satisfy 0 <= start < end, got start=1, end=1"),
    (lambda: Span("d", 3, 1), "got start=3, end=1"),
    (lambda: Span("d", -1, 1), "got start=-1, end=1"),
    (lambda: Span("d", 0.0, 1), "Span.start in document 'd' must be an integer, got 0.0"),  # type: ignore[arg-type]
    (lambda: Span("d", 0, "1"), "Span.end in document 'd' must be an integer, got '1'"),  # type: ignore[arg-type]
    (lambda: Span("d", 0, True), "Span.end in document 'd' must be an integer, got True"),
    (lambda: WholeDocument(""), "WholeDocument.doc_id must not be empty"),
    (lambda: Evidence(()), "Evidence needs at least one alternative"),
    (Evidence.any_of, "Evidence needs at least one alternative"),
    (Evidence.of, "an alternative of Evidence needs at least one span"),
    (lambda: Evidence.any_of(Span("d", 0, 1), []), "an alternative of Evidence needs at least one span"),
    (
        lambda: Evidence.of(Span("d", 0, 1), WholeDocument("d")),
        "Span values or WholeDocument values, not both",
    ),
    (lambda: Evidence.of("d"), "Span values or WholeDocument values"),  # type: ignore[arg-type]
    (lambda: Evidence((Span("d", 0, 1),)), "Evidence.any_of takes single ones"),  # type: ignore[arg-type]
    (lambda: Query("", "?"), "Query.id must not be empty"),
    (lambda: Query("q", ""), "text of query 'q' must not be empty"),
    (lambda: Query("q", "?", [Span("d", 0, 1)]), "evidence of query 'q' must be Evidence values"),  # type: ignore[list-item]
    (
        lambda: Query("q", "?", [Evidence.of(WholeDocument("d"))], answerable=False),
        "query 'q' is marked answerable=False but has evidence",
    ),
    (lambda: Chunk("", (Span("d", 0, 1),), "o"), "Chunk.id must not be empty"),
    (lambda: Chunk("c", (Span("d", 0, 1),), None), "text of chunk 'c' must be a string, got NoneType"),  # type: ignore[arg-type]
    (lambda: Chunk("c", (), "o"), "chunk 'c' has no spans"),
    (lambda: Chunk("c", ((0, 1),), "o"), r"spans of chunk 'c' must be Span values, got (0, 1)"),  # type: ignore[arg-type]
    (lambda: Chunk("c", (Span("d", 0, 1),), "o", 5), "index_text of chunk 'c' must be a string, got int: 5"),  # type: ignore[arg-type]
    (lambda: Chunk.of(DOCUMENT, (0, 99)), "range 0-99 reaches beyond document 'd', which has 11 characters"),
    (lambda: Chunk.of(DOCUMENT, (3, 3)), "must satisfy 0 <= start < end"),
    (lambda: Chunk.of(DOCUMENT), "has no spans"),
    (lambda: Span.find(DOCUMENT, ""), "quote must not be empty"),
    (lambda: Span.find(DOCUMENT, "three"), "quote not found in document 'd': 'three'"),
    (
        lambda: Span.find(DOCUMENT, "one"),
        "quote occurs 2 times in document 'd', at 0, 8: 'one'; give start and end",
    ),
]


@pytest.mark.parametrize(("make", "message"), WRONG, ids=[message for _, message in WRONG])
def test_what_is_wrong_is_refused_with_its_name(make: Any, message: str) -> None:
    with pytest.raises(DataError) as caught:
        make()
    assert message in str(caught.value)


def test_a_document_may_be_empty() -> None:
    assert Document("d", "").text == ""


def test_numpy_offsets_become_plain_integers() -> None:
    span = Span("d", np.int64(2), np.int32(5))  # type: ignore[arg-type]
    assert (type(span.start), type(span.end), len(span)) == (int, int, 3)
    assert span == Span("d", 2, 5)


def test_spans_sort_by_document_and_place() -> None:
    spans = [Span("b", 0, 1), Span("a", 5, 6), Span("a", 0, 9), Span("a", 0, 3)]
    assert sorted(spans) == [Span("a", 0, 3), Span("a", 0, 9), Span("a", 5, 6), Span("b", 0, 1)]


@given(st.text("ab", min_size=1, max_size=30), st.text("ab", min_size=1, max_size=4))
def test_a_quote_is_found_where_it_stands_or_all_places_are_listed(text: str, quote: str) -> None:
    places = [i for i in range(len(text)) if text[i : i + len(quote)] == quote]
    if len(places) == 1:
        assert Span.find(Document("d", text), quote) == Span("d", places[0], places[0] + len(quote))
    else:
        with pytest.raises(DataError, match="not found" if not places else str(len(places))) as caught:
            Span.find(Document("d", text), quote)
        listed = ", ".join(map(str, places[:10])) + (" …" if len(places) > 10 else "")
        assert not places or f"at {listed}: " in str(caught.value)


def test_evidence_keeps_alternatives_as_tuples_however_they_come() -> None:
    spans = [Span("d", 0, 1), Span("a", 2, 3)]
    made = Evidence([spans])  # type: ignore[arg-type]
    assert made == Evidence.of(*spans) == Evidence.any_of(iter(spans))
    assert hash(made) == hash(Evidence.of(*spans))
    assert made.alternatives == (tuple(spans),)
    assert made.doc_ids == ("a", "d")
    assert len(Evidence.any_of(*spans).alternatives) == 2
    assert Evidence.of(WholeDocument("x"), WholeDocument("x")).doc_ids == ("x",)


def test_a_query_takes_a_list_of_units() -> None:
    unit = Evidence.of(Span("d", 0, 1))
    assert Query("q", "?", [unit]).evidence == (unit,)
    assert Query("q", "?", [unit]).assessed
    with pytest.raises(DataError, match="evidence of query 'q' must be a list of Evidence"):
        Query("q", "?", unit)  # type: ignore[arg-type]
    assert not Query("q", "?").assessed
    assert not Query("q", "?", answerable=False).assessed


def test_a_chunk_takes_its_id_and_metadata_from_its_document() -> None:
    chunk = Chunk.of(DOCUMENT, (8, 11), (0, 3), index_text="heading", metadata={"part": 1, "lang": "de"})
    assert chunk.id == "d#8-11+0-3"
    assert chunk.text == "one\none"
    assert chunk.index_text == "heading"
    assert chunk.metadata == {"lang": "de", "part": 1}
    assert Chunk.of(DOCUMENT, (4, 7)).index_text == "two"
    assert Chunk.of(DOCUMENT, (4, 7)) == Chunk.of(DOCUMENT, (4, 7))
    assert replace(chunk, spans=[Span("d", 0, 1)]).spans == (Span("d", 0, 1),)  # type: ignore[arg-type]


def test_a_missing_package_names_what_installs_it() -> None:
    error = MissingExtraError("StaticEmbedder", "wordllama", "static")
    assert isinstance(error, ImportError)
    assert isinstance(error, RagdiagError)
    assert error.extra == "static"
    assert str(error).endswith("pip install 'ragdiag-toolkit[static]'")
