"""Documents from and to files: a ``.jsonl`` file, or a folder of Markdown and plain text."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ragdiag.errors import DataError
from ragdiag.formats.jsonl import located, write_lines
from ragdiag.records import Document

__all__ = ["read_documents", "write_documents"]

_TEXT_SUFFIXES = (".md", ".txt")


def read_documents(path: str | Path) -> list[Document]:
    """The documents of a file or a folder.

    A file holds ``{"id", "text", "metadata"?}`` a line. In a folder every ``.md`` and ``.txt`` file, at any
    depth, is a document; its id is its path below the folder without the suffix (``"guide/install"``), its
    metadata is ``{"path": "guide/install.md"}``, and the documents are sorted by id. The text is the file's,
    UTF-8, with the newlines that it has; a byte order mark is dropped, so that offset 0 is the first
    character after it. Links to folders are not followed.

    Raises:
        DataError: naming the file, the line and the field; also where there is no document, or two have
            the same id.
    """
    path = Path(path)
    if path.is_dir():
        return _read_folder(path)
    if path.suffix.lower() in _TEXT_SUFFIXES:
        raise DataError(f"{path}: expected a .jsonl file or a folder of .md and .txt files; give the folder")
    return _read_file(path)


def write_documents(path: str | Path, documents: Iterable[Document]) -> None:
    """Write documents to a ``.jsonl`` file that `read_documents` reads back as equal documents.

    Raises:
        DataError: there is no document, two have the same id, or metadata hold what JSON cannot say.
    """
    write_lines(path, _lines(documents, path))


def _read_file(path: Path) -> list[Document]:
    from ragdiag.formats.lines import DocumentLine, read_entries  # pydantic is heavy

    documents = []
    for place, entry in read_entries(path, DocumentLine):
        with located(place):
            documents.append(Document(entry.id, entry.text, entry.metadata))
    if not documents:
        raise DataError(f"{path}: no documents: the file has no line")
    return documents


def _read_folder(folder: Path) -> list[Document]:
    documents: dict[str, Document] = {}
    for file in _text_files(folder):
        relative = file.relative_to(folder)
        document = Document(
            relative.with_suffix("").as_posix(), _read_text(file), {"path": relative.as_posix()}
        )
        if document.id in documents:
            raise DataError(
                f"{file}: has the same id as {folder / documents[document.id].metadata['path']}, "
                f"{document.id!r}: an id is the path without its suffix; rename one of them"
            )
        documents[document.id] = document
    if not documents:
        raise DataError(f"{folder}: no documents: expected .md or .txt files in this folder or below")
    return [documents[doc_id] for doc_id in sorted(documents)]


def _text_files(folder: Path) -> Iterator[Path]:
    def fail(error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot be read: {error.strerror or error}") from error

    for where, _, names in os.walk(folder, onerror=fail):
        for name in sorted(names):
            file = Path(where, name)
            if file.suffix.lower() in _TEXT_SUFFIXES:
                yield file


def _read_text(file: Path) -> str:
    try:
        # Not Path.read_text, which turns every "\r\n" into "\n" and so moves all later offsets.
        return file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: not UTF-8: {error.reason} at offset {error.start} of the file") from error
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror or error}") from error


def _lines(documents: Iterable[Document], path: str | Path) -> Iterator[dict[str, Any]]:
    seen: set[str] = set()
    for document in documents:
        if document.id in seen:
            raise DataError(f"{path}: two documents have the id {document.id!r}")
        seen.add(document.id)
        line: dict[str, Any] = {"id": document.id, "text": document.text}
        if document.metadata:
            line["metadata"] = dict(document.metadata)
        yield line
    if not seen:
        raise DataError(f"{path}: no documents to write")
