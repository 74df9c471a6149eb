import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ragdiag.errors import DataError
from ragdiag.formats import read_documents, write_documents
from ragdiag.records import Document

# Lone surrogates of one kind only: two that make a pair are one character in JSON (see test_jsonl.py).
HARD_TEXTS = st.text(
    st.sampled_from("a \t\r\n\u2028\x85\x00é\u0301🦜👩\u200d🚀\ufeff\ud800\u05d0'\"\\") | st.characters(),
    max_size=30,
)
METADATA = st.dictionaries(
    HARD_TEXTS, HARD_TEXTS | st.integers() | st.none() | st.lists(HARD_TEXTS, max_size=2), max_size=2
)
DOCUMENTS = st.lists(
    st.builds(Document, HARD_TEXTS.filter(bool), HARD_TEXTS, METADATA),
    min_size=1,
    max_size=4,
    unique_by=lambda document: document.id,
)


def _write(path: Path, *lines: object) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


@settings(deadline=None)  # files are flushed to the disk
@given(documents=DOCUMENTS)
@example(documents=[Document("d", "first\r\nsecond\rthird\n", {"tags": ["a", "b"], "\ud800": "\ud800"})])
def test_documents_read_back_equal_and_bytes_are_the_same_each_time(
    tmp_path_factory: pytest.TempPathFactory, documents: list[Document]
) -> None:
    folder = tmp_path_factory.mktemp("documents")
    write_documents(folder / "one.jsonl", documents)
    write_documents(str(folder / "two.jsonl"), iter(documents))
    back = read_documents(str(folder / "one.jsonl"))
    assert back == documents
    assert [dict(document.metadata) for document in back] == [d.metadata for d in documents]
    assert (folder / "one.jsonl").read_bytes() == (folder / "two.jsonl").read_bytes()


def test_a_line_without_metadata_stays_without(tmp_path: Path) -> None:
    write_documents(tmp_path / "documents.jsonl", [Document("d", "")])
    assert (tmp_path / "documents.jsonl").read_text() == '{"id": "d", "text": ""}\n'


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ({"id": "a"}, "text: is missing"),
        ({"text": "a"}, "id: is missing"),
        ({"id": 3, "text": "a"}, "id: expected a valid string, got 3"),
        ({"id": "a", "text": None}, "text: expected a valid string, got None"),
        ({"id": "a", "text": "b", "metadata": []}, "metadata: expected an object, got []"),
        ({"id": "a", "text": "b", "metadta": {}}, "metadta: is not known; did you mean 'metadata'?"),
        (
            {"id": "a", "text": "b", "title": "c"},
            "title: is not known; expected one of 'id', 'text', 'metadata'",
        ),
        (
            {"_id": "a", "text": 3},
            "id: is missing; text: expected a valid string, got 3; _id: is not known; ",
        ),
        ({"id": "", "text": "b"}, "Document.id must not be empty"),
        ({"id": "first", "text": "b"}, "id: 'first' is already the id of line 1"),
        ({"id": "a", "text": "b", "\ud800": 1}, "expected a valid string, unable to parse"),
        ({"id": ["x" * 1000], "text": "b"}, f"id: expected a valid string, got ['{'x' * 77}…"),
    ],
)
def test_a_bad_line_is_named_with_its_field(tmp_path: Path, line: object, problem: str) -> None:
    path = _write(tmp_path / "documents.jsonl", {"id": "first", "text": ""}, line)
    with pytest.raises(DataError) as caught:
        read_documents(path)
    assert str(caught.value).startswith(f"{path}:2: {problem}")


def test_an_empty_file_has_no_documents(tmp_path: Path) -> None:
    (tmp_path / "documents.jsonl").write_text("\n\n")
    with pytest.raises(DataError, match=r"documents.jsonl: no documents: the file has no line"):
        read_documents(tmp_path / "documents.jsonl")


def test_a_missing_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere: cannot be read: No such file"):
        read_documents(tmp_path / "nowhere")


def test_a_single_text_file_is_not_taken_for_json(tmp_path: Path) -> None:
    (tmp_path / "guide.md").write_text("# Guide")
    with pytest.raises(
        DataError, match=r"guide.md: expected a .jsonl file or a folder of .md and .txt files"
    ):
        read_documents(tmp_path / "guide.md")


def test_what_reading_would_refuse_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "documents.jsonl"
    with pytest.raises(DataError, match=r"documents.jsonl: two documents have the id 'a'"):
        write_documents(path, [Document("a", "x"), Document("b", "x"), Document("a", "y")])
    with pytest.raises(DataError, match=r"documents.jsonl: no documents to write"):
        write_documents(path, [])
    with pytest.raises(DataError, match=r"documents.jsonl:1: would not read back as it is, in 'metadata'"):
        write_documents(path, [Document("a", "x", {"tags": ("a", "b")})])
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_read_in_the_order_of_its_ids_with_newlines_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "guide" / "deep").mkdir(parents=True)
    (tmp_path / "guide" / "deep" / "z.md").write_bytes(b"\xef\xbb\xbfwin\r\ndows\rmac\n")
    (tmp_path / "guide" / "install.v2.MD").write_bytes("größe 🦜".encode())
    (tmp_path / "b.txt").write_bytes(b"")
    (tmp_path / "a.txt").write_bytes(b"plain")
    (tmp_path / "a.html").write_bytes(b"\xff not read")
    (tmp_path / "folder.md").mkdir()
    expected = [
        Document("a", "plain", {"path": "a.txt"}),
        Document("b", "", {"path": "b.txt"}),
        Document("guide/deep/z", "win\r\ndows\rmac\n", {"path": "guide/deep/z.md"}),
        Document("guide/install.v2", "größe 🦜", {"path": "guide/install.v2.MD"}),
    ]
    assert read_documents(tmp_path) == expected
    assert read_documents(str(tmp_path)) == expected


def test_two_files_with_one_id_are_both_named(tmp_path: Path) -> None:
    (tmp_path / "guide").mkdir()
    (tmp_path / "guide" / "a.md").touch()
    (tmp_path / "guide" / "a.txt").touch()
    with pytest.raises(DataError) as caught:
        read_documents(tmp_path)
    message = str(caught.value)
    assert message.startswith(
        f"{tmp_path / 'guide' / 'a.txt'}: has the same id as {tmp_path / 'guide' / 'a.md'}, 'guide/a'"
    )


def test_an_empty_folder_has_no_documents(tmp_path: Path) -> None:
    (tmp_path / "a.html").touch()
    with pytest.raises(DataError, match=r"no documents: expected .md or .txt files in this folder or below"):
        read_documents(tmp_path)


def test_a_file_of_a_folder_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9 au lait")
    with pytest.raises(DataError, match=r"latin.txt: not UTF-8: .* at offset 3 of the file"):
        read_documents(tmp_path)


def test_a_file_of_a_folder_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.md").symlink_to(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"broken.md: cannot be read: No such file"):
        read_documents(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list every folder")
def test_a_folder_that_cannot_be_listed_is_named(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0)
    with pytest.raises(DataError, match=r"closed: cannot be read: Permission denied"):
        read_documents(tmp_path)


def test_importing_the_formats_leaves_pydantic_alone() -> None:
    program = "import sys, ragdiag.formats, ragdiag.formats.configuration; print('pydantic' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout.strip() == "False"
