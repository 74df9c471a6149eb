import csv
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ragdiag import BM25Retriever, Pipeline, RecursiveChunker, diagnose
from ragdiag.errors import ConfigError, DataError
from ragdiag.formats import BeirDataset, document_evidence, read_beir, write_beir
from ragdiag.records import Document, Evidence, Query, Span, WholeDocument

DATA = Path(os.environ.get("RAGDIAG_DATA", Path(__file__).parents[3] / "shared" / "data"))
HEAD = "query-id\tcorpus-id\tscore\n"


def _lines(*lines: object) -> str:
    return "".join(json.dumps(line) + "\n" for line in lines)


CORPUS = _lines(
    {"_id": "d1", "title": "Title", "text": "First.", "metadata": {"year": 2024}},
    {"_id": "d2", "title": "", "text": "Second."},
    {"_id": "d3", "text": "Third.", "metadata": {}},
    {"_id": "d4", "title": "Only a title", "text": ""},
)
QUERIES = _lines(
    {"_id": "q1", "text": "One?"},
    {"_id": "q2", "text": "Two?", "metadata": {"kind": "x"}},
    {"_id": "q3", "text": "Three?", "metadata": {}},
    {"_id": "q4", "text": "Of no split?"},
)
QRELS = HEAD + "q3\td2\t0\nq1\td4\t2\nq1\td2\t0\nq2\td1\t1\nq1\td1\t1\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small data set with the splits ``test`` and ``dev``."""
    return _folder(tmp_path / "set")


def _folder(folder: Path, corpus: str = CORPUS, queries: str = QUERIES, qrels: str = QRELS) -> Path:
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text(corpus, encoding="utf-8", newline="\n")
    (folder / "queries.jsonl").write_text(queries, encoding="utf-8", newline="\n")
    (folder / "qrels" / "test.tsv").write_text(qrels, encoding="utf-8", newline="\n")
    (folder / "qrels" / "dev.tsv").write_text(HEAD + "q4\td1\t1\n", encoding="utf-8", newline="\n")
    return folder


def _error(function: object, *arguments: object, **options: object) -> str:
    assert callable(function)
    with pytest.raises(DataError) as caught:
        function(*arguments, **options)
    return str(caught.value)


def _any_of(*documents: str) -> tuple[Evidence, ...]:
    return (Evidence(tuple((WholeDocument(document),) for document in documents)),)


# Reading


def test_a_folder_is_read_with_titles_in_the_text_and_evidence_from_the_judgments(folder: Path) -> None:
    dataset = read_beir(str(folder))
    assert dataset.documents == (
        Document("d1", "Title\nFirst.", {"year": 2024}),
        Document("d2", "Second."),
        Document("d3", "Third."),
        Document("d4", "Only a title\n"),
    )
    assert dataset.queries == (
        Query("q1", "One?", _any_of("d4", "d1")),
        Query("q2", "Two?", _any_of("d1"), metadata={"kind": "x"}),
        Query("q3", "Three?"),
    )
    assert not dataset.queries[2].assessed
    assert dataset.qrels == {"q3": {"d2": 0}, "q1": {"d4": 2, "d2": 0, "d1": 1}, "q2": {"d1": 1}}
    assert list(dataset.qrels) == ["q3", "q1", "q2"]


def test_another_split_has_its_own_queries(folder: Path) -> None:
    dataset = read_beir(folder, split="dev")
    assert dataset.queries == (Query("q4", "Of no split?", _any_of("d1")),)
    assert len(dataset.documents) == 4


def test_a_data_set_can_be_diagnosed(folder: Path) -> None:
    dataset = read_beir(folder)
    pipeline = Pipeline(chunker=RecursiveChunker(size=100), retriever=BM25Retriever(), candidates=3, top_k=1)
    questions = {"q1": "first", "q2": "second", "q3": "third"}
    queries = [replace(query, text=questions[query.id]) for query in dataset.queries]
    diagnosis = diagnose(pipeline, dataset.documents, queries)
    # q1 finds one of its two relevant documents, which is enough; q2 finds another one; q3 is unassessed.
    assert diagnosis.failures["query_id"].tolist() == ["q2"]
    assert diagnosis.ceilings["recall"].iloc[-1] == 0.5


def test_judgments_may_have_a_byte_order_mark_blank_lines_quotes_and_windows_line_ends(
    folder: Path,
) -> None:
    (folder / "qrels" / "test.tsv").write_bytes(
        b"\xef\xbb\xbfquery-id\tcorpus-id\tscore\r\n\r\n" + b'"q1"\td1\t1\r\n  \nq1\td2\t-1'
    )
    assert read_beir(folder).qrels == {"q1": {"d1": 1, "d2": -1}}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("q1 d1 1", "expected 3 fields, separated by tabs (query-id, corpus-id, score), got 1"),
        ("q1\t0\td1\t1", "expected 3 fields, separated by tabs (query-id, corpus-id, score), got 4"),
        ("q9\td1\t1", "query-id: 'q9' is not among the 4 of queries.jsonl"),
        ("q1\td9\t1", "corpus-id: 'd9' is not among the 4 of corpus.jsonl"),
        ("q1\td1\t0.5", "score: expected a whole number, got '0.5'"),
        ("q1\td4\t1", "document 'd4' of query 'q1' is already in line 3"),
        ('"q1\td4\t1', "unexpected end of data"),
    ],
)
def test_a_bad_judgment_is_named_with_its_line(folder: Path, line: str, problem: str) -> None:
    path = folder / "qrels" / "test.tsv"
    path.write_text(f"{HEAD}\nq1\td4\t1\n{line}\n")
    assert _error(read_beir, folder) == f"{path}:4: {problem}"


@pytest.mark.parametrize("text", ["q1\td1\t1\n", "query-id corpus-id score\nq1\td1\t1\n", ""])
def test_judgments_without_the_head_line_are_refused(folder: Path, text: str) -> None:
    path = folder / "qrels" / "test.tsv"
    path.write_text(text)
    assert _error(read_beir, folder).startswith(
        f"{path}:1: expected the head line query-id, corpus-id, score (tab-separated), got ["
    )


def test_judgments_with_a_head_line_alone_are_refused(folder: Path) -> None:
    path = folder / "qrels" / "test.tsv"
    path.write_text(HEAD)
    assert _error(read_beir, folder) == f"{path}: the file has no line that names a query and a document"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ({"_id": "d9"}, "text: is missing"),
        ({"id": "d9", "text": "x"}, "_id: is missing; id: is not known; did you mean '_id'?"),
        ({"_id": 9, "text": "x"}, "_id: expected a valid string, got 9"),
        ({"_id": "d9", "text": "x", "title": None}, "title: expected a valid string, got None"),
        (
            {"_id": "d9", "text": "x", "url": ""},
            "url: is not known; expected one of '_id', 'text', 'metadata', 'title'",
        ),
        ({"_id": "", "text": "x"}, "Document.id must not be empty"),
        ({"_id": "d1", "text": "x"}, "_id: 'd1' is already the _id of line 1"),
    ],
)
def test_a_bad_document_is_named_with_its_line_and_field(folder: Path, line: object, problem: str) -> None:
    path = folder / "corpus.jsonl"
    path.write_text(CORPUS + _lines(line))
    assert _error(read_beir, folder) == f"{path}:5: {problem}"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ({"_id": "q9", "text": ""}, "text of query 'q9' must not be empty"),
        (
            {"_id": "q9", "text": "x", "title": "y"},
            "title: is not known; expected one of '_id', 'text', 'metadata'",
        ),
        ({"_id": "q2", "text": "x"}, "_id: 'q2' is already the _id of line 2"),
    ],
)
def test_a_bad_query_is_named_with_its_line_and_field(folder: Path, line: object, problem: str) -> None:
    path = folder / "queries.jsonl"
    path.write_text(QUERIES + _lines(line))
    assert _error(read_beir, folder) == f"{path}:5: {problem}"


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl"])
def test_a_missing_file_is_named_with_the_layout(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert _error(read_beir, folder) == (
        f"{folder / name}: is missing: a folder in BEIR's layout holds corpus.jsonl, queries.jsonl and "
        "qrels/<split>.tsv"
    )


def test_a_missing_split_lists_those_that_are_there(folder: Path) -> None:
    assert _error(read_beir, folder, split="train") == (
        f"{folder / 'qrels'}: no split 'train'; there: 'dev', 'test'"
    )
    assert "no split '../qrels/test'" in _error(read_beir, folder, split="../qrels/test")


def test_a_folder_without_judgments_is_named_with_the_layout(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        assert _error(read_beir, folder).startswith(
            f"{folder / 'qrels'}: holds no split: a folder in BEIR's layout holds corpus.jsonl, "
        )


def test_evidence_is_one_unit_that_any_relevant_document_satisfies() -> None:
    assert document_evidence({"b": 3, "a": 1, "c": 0, "d": -1}) == _any_of("b", "a")
    assert document_evidence({"c": 0, "d": -1}) == ()
    assert document_evidence({}) == ()


# Writing


IDS = st.text(
    st.sampled_from("a \"'\u2028\x85\x00é\u0301🦜\ufeff\\,")
    | st.characters(codec="utf-8", exclude_characters="\t\r\n"),
    min_size=1,
    max_size=5,
)
TEXTS = st.text(st.sampled_from('a \t\r\n"é\ud800'), max_size=6)
METADATA = st.dictionaries(TEXTS, TEXTS | st.integers() | st.none(), max_size=2)


@st.composite
def _datasets(draw: st.DrawFn) -> BeirDataset:
    documents = draw(
        st.lists(st.builds(Document, IDS, TEXTS, METADATA), min_size=1, max_size=4, unique_by=lambda d: d.id)
    )
    grades = st.dictionaries(
        st.sampled_from([document.id for document in documents]), st.integers(-1, 3), min_size=1
    )
    qrels = draw(st.dictionaries(IDS, grades, min_size=1, max_size=3))
    queries = [
        Query(query, draw(TEXTS.filter(bool)), document_evidence(qrels[query]), metadata=draw(METADATA))
        for query in draw(st.permutations(sorted(qrels)))
    ]
    return BeirDataset(tuple(documents), tuple(queries), qrels)


@given(dataset=_datasets())
@example(BeirDataset((Document('"d"', "x"),), (Query('"', "?", _any_of('"d"')),), {'"': {'"d"': 1}}))
def test_a_data_set_reads_back_equal_and_bytes_are_the_same_each_time(
    tmp_path_factory: pytest.TempPathFactory, dataset: BeirDataset
) -> None:
    folder = tmp_path_factory.mktemp("beir") / "not" / "yet"
    write_beir(folder, dataset, split="train")
    back = read_beir(folder, split="train")
    assert back == dataset
    assert [(query, list(grades.items())) for query, grades in back.qrels.items()] == [
        (query, list(grades.items())) for query, grades in dataset.qrels.items()
    ]
    files = ["corpus.jsonl", "qrels/train.tsv", "queries.jsonl"]
    assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.*")) == files
    once = [(folder / file).read_bytes() for file in files]
    write_beir(str(folder), back, split="train")
    assert [(folder / file).read_bytes() for file in files] == once


def test_files_are_as_others_write_them_with_titles_left_in_the_text(folder: Path, tmp_path: Path) -> None:
    dataset = read_beir(folder)
    write_beir(tmp_path / "out", dataset)
    corpus, queries, qrels = (
        (tmp_path / "out" / name).read_text() for name in ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv")
    )
    assert corpus == _lines(
        {"_id": "d1", "title": "", "text": "Title\nFirst.", "metadata": {"year": 2024}},
        {"_id": "d2", "title": "", "text": "Second."},
        {"_id": "d3", "title": "", "text": "Third."},
        {"_id": "d4", "title": "", "text": "Only a title\n"},
    )
    assert queries == _lines(
        {"_id": "q1", "text": "One?"},
        {"_id": "q2", "text": "Two?", "metadata": {"kind": "x"}},
        {"_id": "q3", "text": "Three?"},
    )
    assert qrels == HEAD + "q3\td2\t0\nq1\td4\t2\nq1\td2\t0\nq1\td1\t1\nq2\td1\t1\n"
    assert read_beir(tmp_path / "out") == dataset


SMALL = BeirDataset((Document("d", "x"),), (Query("q", "?", _any_of("d")),), {"q": {"d": 1}})
NO_SAY = (
    "BEIR's layout knows no filter, no answerable, and no evidence other than document_evidence of its "
    "judgments; write_queries keeps them"
)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"documents": ()}, "no document to write"),
        ({"queries": ()}, "no query to write"),
        ({"documents": SMALL.documents * 2}, "document 'd' is there twice"),
        ({"queries": SMALL.queries * 2}, "query 'q' is there twice"),
        ({"qrels": {}}, "query 'q' has no judgments"),
        (
            {"qrels": {"q": {}}, "queries": (Query("q", "?"),)},
            "query 'q' has no judged document, which a file of judgments cannot say",
        ),
        (
            {"qrels": {"q": {"d": 1}, "q2": {"d": 1}}},
            "judgments of query 'q2', which is not among the 1 queries",
        ),
        (
            {"qrels": {"q": {"d": 1, "d2": 0}}},
            "a judgment of query 'q' names document 'd2', which is not among the 1 documents",
        ),
        ({"qrels": {"q": {"d": 1.5}}}, "query 'q': grade of 'd': expected a whole number, got 1.5"),
        (
            {"queries": (Query("q", "?", [Evidence.of(Span("d", 0, 1))]),)},
            f"query 'q' would not read back as it is, in evidence: {NO_SAY}",
        ),
        (
            {"queries": (Query("q", "?", filter={"year": 1}, answerable=False),)},
            f"query 'q' would not read back as it is, in evidence, filter, answerable: {NO_SAY}",
        ),
        (
            {
                "documents": (Document("d\t1", "x"),),
                "queries": (Query("q", "?", _any_of("d\t1")),),
                "qrels": {"q": {"d\t1": 1}},
            },
            "document id 'd\\t1' cannot be written: it holds '\\t'",
        ),
        (
            {"queries": (Query("q\ud800", "?", _any_of("d")),), "qrels": {"q\ud800": {"d": 1}}},
            "query id 'q\\ud800' cannot be written: it holds '\\ud800'",
        ),
    ],
)
def test_what_would_not_read_back_is_refused_and_nothing_is_written(
    tmp_path: Path, changes: dict[str, object], problem: str
) -> None:
    dataset = replace(SMALL, **changes)  # type: ignore[arg-type]
    assert _error(write_beir, tmp_path / "out", dataset) == f"{tmp_path / 'out'}: {problem}"
    assert list(tmp_path.iterdir()) == []


def test_metadata_that_json_cannot_say_are_named_and_what_was_there_stays(tmp_path: Path) -> None:
    write_beir(tmp_path, SMALL)
    before = (tmp_path / "corpus.jsonl").read_text()
    dataset = replace(SMALL, documents=(Document("d", "y", {"tags": ("a",)}),))
    assert _error(write_beir, tmp_path, dataset).startswith(
        f"{tmp_path / 'corpus.jsonl'}:1: would not read back as it is, in 'metadata'"
    )
    assert (tmp_path / "corpus.jsonl").read_text() == before
    assert read_beir(tmp_path) == SMALL


def test_a_folder_of_another_split_is_left_alone(folder: Path) -> None:
    before = read_beir(folder, split="dev")
    assert _error(write_beir, folder, SMALL) == (
        f"{folder}: the queries of the split 'dev', which is there, would be lost: write each split to a "
        "folder of its own"
    )
    assert read_beir(folder, split="dev") == before


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert _error(write_beir, tmp_path / "file", SMALL).startswith(
        f"{tmp_path / 'file'}: cannot be written: Not a directory"
    )


@pytest.mark.parametrize("split", ["", "a/b", "."])
def test_a_split_is_a_file_name(tmp_path: Path, split: str) -> None:
    with pytest.raises(ConfigError, match=rf"split: expected a name such as 'test', got '{split}'"):
        write_beir(tmp_path, SMALL, split=split)


# Real files


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no real data in {DATA}: set RAGDIAG_DATA to their folder")
def test_scifact_is_read_as_a_plain_parser_reads_it(tmp_path: Path) -> None:
    folder = DATA / "scifact"
    dataset = read_beir(folder, split="train")
    qrels: dict[str, dict[str, int]] = {}
    with (folder / "qrels" / "train.tsv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            qrels.setdefault(row["query-id"], {})[row["corpus-id"]] = int(row["score"])
    assert dataset.qrels == qrels
    corpus = [json.loads(line) for line in (folder / "corpus.jsonl").read_bytes().splitlines()]
    assert dataset.documents == tuple(
        Document(line["_id"], f"{line['title']}\n{line['text']}") for line in corpus
    )
    asked = [json.loads(line) for line in (folder / "queries.jsonl").read_bytes().splitlines()]
    assert [(query.id, query.text) for query in dataset.queries] == [
        (line["_id"], line["text"]) for line in asked if line["_id"] in qrels
    ]
    assert len(dataset.queries) == 809
    assert all(query.doc_ids == tuple(sorted(qrels[query.id])) for query in dataset.queries)  # all graded 1
    write_beir(tmp_path, dataset, split="train")
    assert read_beir(tmp_path, split="train") == dataset
