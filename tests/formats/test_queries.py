import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragdiag.errors import DataError
from ragdiag.formats import read_queries, write_queries
from ragdiag.records import Document, Evidence, Query, Span, WholeDocument

SOURCES = [
    Document("faq", "alpha beta alpha gamma"),
    Document("e\u0301 🦜", "e\u0301\r\n🦜👩\u200d🚀 \ud800 end"),
]


def _read(path: Path, *evidence: object, sources: list[Document] = SOURCES) -> tuple[Evidence, ...]:
    """The evidence that a file with these units says."""
    path.write_text(json.dumps({"id": "q", "text": "?", "evidence": evidence}) + "\n")
    (query,) = read_queries(path, sources)
    return tuple(query.evidence)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "queries.jsonl"


BETA = {"doc_id": "faq", "start": 6, "end": 10}
BETA_SPAN = Span("faq", 6, 10)


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        (BETA, Evidence.of(BETA_SPAN)),
        ({**BETA, "quote": "beta"}, Evidence.of(BETA_SPAN)),
        ({"doc_id": "faq", "quote": "beta"}, Evidence.of(BETA_SPAN)),
        ({"doc_id": "faq"}, Evidence.of(WholeDocument("faq"))),
        (
            [{"doc_id": "faq", "quote": "gamma"}, BETA],
            Evidence.of(Span("faq", 17, 22), BETA_SPAN),
        ),
        (
            [{"doc_id": "faq"}, {"doc_id": "e\u0301 🦜"}],
            Evidence.of(WholeDocument("faq"), WholeDocument("e\u0301 🦜")),
        ),
        (
            {
                "any_of": [
                    BETA,
                    [{"doc_id": "faq", "start": 0, "end": 5}, {"doc_id": "e\u0301 🦜", "quote": "🦜"}],
                ]
            },
            Evidence.any_of(BETA_SPAN, [Span("faq", 0, 5), Span("e\u0301 🦜", 4, 5)]),
        ),
        ({"any_of": [{"doc_id": "faq"}, BETA]}, Evidence.any_of(WholeDocument("faq"), BETA_SPAN)),
        ({"any_of": [[BETA]]}, Evidence.of(BETA_SPAN)),
        (
            {"doc_id": "e\u0301 🦜", "start": 9, "end": 10, "quote": "\ud800"},
            Evidence.of(Span("e\u0301 🦜", 9, 10)),
        ),
    ],
)
def test_each_form_of_a_unit(path: Path, unit: object, expected: Evidence) -> None:
    assert _read(path, unit, BETA) == (expected, Evidence.of(BETA_SPAN))


@pytest.mark.parametrize(
    ("unit", "problem"),
    [
        ("faq", "evidence[1]: expected an object, got 'faq'"),
        ({}, "evidence[1].doc_id: is missing"),
        (
            {"docid": "faq"},
            "evidence[1].doc_id: is missing; evidence[1].docid: is not known; did you mean 'doc_id'?",
        ),
        (
            {"doc_id": "faq", "at": 3},
            "evidence[1].at: is not known; expected one of 'doc_id', 'start', 'end', 'quote', 'any_of'",
        ),
        ({"doc_id": "fax"}, "evidence[1].doc_id: 'fax' is not among the 2 sources"),
        ({"doc_id": "faq", "start": "1", "end": 2}, "evidence[1].start: expected a valid integer, got '1'"),
        ({"doc_id": "faq", "start": 1.0, "end": 2}, "evidence[1].start: expected a valid integer, got 1.0"),
        ({"doc_id": "faq", "start": 1, "end": True}, "evidence[1].end: expected a valid integer, got True"),
        ({"doc_id": "faq", "start": 1}, "evidence[1].end: is missing: a span needs both start and end"),
        ({"doc_id": "faq", "end": 1, "quote": "a"}, "evidence[1].start: is missing: a span needs both"),
        (
            {"doc_id": "faq", "start": 3, "end": 3},
            "evidence[1]: Span in document 'faq' must satisfy 0 <= start < end, got start=3, end=3",
        ),
        (
            {"doc_id": "faq", "start": 18, "end": 23, "quote": "amma"},
            "query 'q', evidence unit 1: span 18-23 lies outside document 'faq', which has 22 characters",
        ),
        (
            {"doc_id": "faq", "start": 5, "end": 6},
            "query 'q', evidence unit 1: span 5-6 of document 'faq' is only",
        ),
        (
            {"doc_id": "faq", "start": 0, "end": 5, "quote": "alpho"},
            "evidence[1].quote: is not the text of document 'faq' at 0-5: the quote is 'alpho', the text is",
        ),
        (
            {"doc_id": "faq", "quote": "alpha"},
            "evidence[1].quote: quote occurs 2 times in document 'faq', at 0, 11: 'alpha'",
        ),
        (
            {"doc_id": "faq", "quote": "delta"},
            "evidence[1].quote: quote not found in document 'faq': 'delta'",
        ),
        ({"doc_id": "faq", "quote": ""}, "evidence[1].quote: quote must not be empty"),
        ([], "evidence[1]: an alternative of Evidence needs at least one span"),
        ([BETA, {"doc_id": "faq", "quote": "delta"}], "evidence[1][1].quote: quote not found"),
        ([BETA, {"doc_id": "faq"}], "evidence[1]: an alternative of Evidence holds Span values or"),
        ([[BETA]], "evidence[1][0]: expected an object, got [{"),
        (
            [{"any_of": [BETA]}],
            "evidence[1][0].doc_id: is missing; evidence[1][0].any_of: is not known; it does not",
        ),
        ({"any_of": []}, "evidence[1]: Evidence needs at least one alternative"),
        ({"any_of": BETA}, "evidence[1].any_of: expected a list, got {"),
        ({"any_of": [BETA, {"any_of": [BETA]}]}, "evidence[1].any_of[1].doc_id: is missing; "),
        ({"any_of": [BETA], "doc_id": "faq"}, "evidence[1].doc_id: is not known; it does not belong here"),
        (
            {"any_of": [[BETA, {"doc_id": "fax"}]]},
            "evidence[1].any_of[0][1].doc_id: 'fax' is not among the 2",
        ),
        ({"any_of": [{"doc_id": 3}]}, "evidence[1].any_of[0].doc_id: expected a valid string, got 3"),
    ],
)
def test_a_bad_unit_is_named_with_its_field(path: Path, unit: object, problem: str) -> None:
    with pytest.raises(DataError) as caught:
        _read(path, BETA, unit)
    assert str(caught.value).startswith(f"{path}:1: {problem}")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ({"id": "a"}, "text: is missing"),
        ({"id": "a", "text": ""}, "text of query 'a' must not be empty"),
        ({"id": "a", "text": "?", "evidence": BETA}, "evidence: expected a list, got {"),
        ({"id": "a", "text": "?", "evidence": None}, "evidence: expected a list, got None"),
        ({"id": "a", "text": "?", "answerable": 0}, "answerable: expected a valid boolean, got 0"),
        ({"id": "a", "text": "?", "filter": "x"}, "filter: expected an object, got 'x'"),
        ({"id": "a", "text": "?", "evidnce": []}, "evidnce: is not known; did you mean 'evidence'?"),
        (
            {"id": "a", "text": "?", "doc_id": "faq"},
            "doc_id: is not known; expected one of 'id', 'text', 'ev",
        ),
        (
            {"id": "a", "text": "?", "evidence": [BETA], "answerable": False},
            "query 'a' is marked answerable=False but has evidence",
        ),
        ({"id": "first", "text": "?"}, "id: 'first' is already the id of line 2"),
    ],
)
def test_a_bad_line_is_named(path: Path, line: object, problem: str) -> None:
    path.write_text('\n{"id": "first", "text": "?"}\n' + json.dumps(line))
    with pytest.raises(DataError) as caught:
        read_queries(path, SOURCES)
    assert str(caught.value).startswith(f"{path}:3: {problem}")


def test_all_fields_are_read(path: Path) -> None:
    path.write_text(
        '{"id": "a", "text": "?", "filter": {"year": 2024}, "metadata": {"kind": ["x"]}}\n'
        '{"id": "b", "text": "?", "answerable": false, "filter": null}\n'
    )
    assert read_queries(str(path), iter(SOURCES)) == [
        Query("a", "?", (), {"year": 2024}, metadata={"kind": ["x"]}),
        Query("b", "?", answerable=False),
    ]


def test_an_empty_file_has_no_queries(path: Path) -> None:
    path.touch()
    with pytest.raises(DataError, match=r"queries.jsonl: no queries: the file has no line"):
        read_queries(path, SOURCES)


def test_two_sources_with_one_id_are_refused(path: Path) -> None:
    with pytest.raises(DataError, match=r"two sources have the id 'faq'"):
        read_queries(path, [*SOURCES, Document("faq", "")])


def test_what_reading_would_refuse_is_not_written(path: Path) -> None:
    with pytest.raises(DataError, match=r"queries.jsonl: two queries have the id 'a'"):
        write_queries(path, [Query("a", "x"), Query("a", "y")])
    with pytest.raises(DataError, match=r"queries.jsonl: no queries to write"):
        write_queries(path, [])
    with pytest.raises(DataError, match=r"queries.jsonl:1: cannot be written as JSON: Object of type set"):
        write_queries(path, [Query("a", "x", filter={"year": {2024}})])
    assert not path.exists()


def test_units_are_written_in_their_shortest_form(path: Path) -> None:
    whole = WholeDocument("faq")
    evidence = [
        Evidence.of(BETA_SPAN),
        Evidence.of(whole),
        Evidence.of(BETA_SPAN, Span("faq", 0, 5)),
        Evidence.any_of(whole, [BETA_SPAN]),
    ]
    write_queries(path, [Query("q", "?", evidence)])
    alpha = {"doc_id": "faq", "start": 0, "end": 5}
    assert json.loads(path.read_text()) == {
        "id": "q",
        "text": "?",
        "evidence": [BETA, {"doc_id": "faq"}, [BETA, alpha], {"any_of": [{"doc_id": "faq"}, BETA]}],
    }


@st.composite
def _spans(draw: st.DrawFn) -> Span:
    source = draw(st.sampled_from(SOURCES))
    places = [at for at, character in enumerate(source.text) if not character.isspace()]
    first, last = sorted([draw(st.sampled_from(places)), draw(st.sampled_from(places))])
    return Span(source.id, first, last + 1)


ALTERNATIVES = st.lists(_spans(), min_size=1, max_size=3) | st.lists(
    st.sampled_from([WholeDocument(source.id) for source in SOURCES]), min_size=1, max_size=2
)
UNITS = st.lists(ALTERNATIVES, min_size=1, max_size=3).map(lambda units: Evidence.any_of(*units))
TEXTS = st.text(st.sampled_from('a\r\né\u0301🦜\u2028\udfff"'), min_size=1, max_size=6)
OBJECTS: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    TEXTS, TEXTS | st.booleans() | st.none(), max_size=2
)
QUERIES = st.lists(
    st.builds(Query, TEXTS, TEXTS, st.lists(UNITS, max_size=3), st.none() | OBJECTS, metadata=OBJECTS)
    | st.builds(Query, TEXTS, TEXTS, answerable=st.just(value=False)),
    min_size=1,
    max_size=3,
    unique_by=lambda query: query.id,
)


@settings(deadline=None)  # files are flushed to the disk
@given(queries=QUERIES)
def test_queries_read_back_equal(tmp_path_factory: pytest.TempPathFactory, queries: list[Query]) -> None:
    path = tmp_path_factory.mktemp("queries") / "queries.jsonl"
    write_queries(path, queries)
    once = path.read_bytes()
    assert read_queries(path, SOURCES) == queries
    write_queries(path, read_queries(path, SOURCES))
    assert path.read_bytes() == once
