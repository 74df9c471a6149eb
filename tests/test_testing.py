"""The test kit itself: its messages, its options, and what it needs."""

from __future__ import annotations

import itertools
import json
import pickle
import subprocess
import sys
import unittest
from typing import Any

import pytest
from broken_promises import (
    both_ways,
    broken_by,
    encodes,
    hashed,
    names,
)
from plugs import (
    AnyChunker,
    AnyEmbedder,
    AnyPacker,
    AnyReranker,
    LineChunker,
)

from ragdiag import testing
from ragdiag.errors import ConfigError, MissingExtraError, RagdiagError, StageError
from ragdiag.records import Chunk, Document, Span
from ragdiag.stages.embedders import HashingEmbedder
from ragdiag.stages.packers import TopK
from ragdiag.stages.retrievers import (
    BM25Retriever,
)
from ragdiag.testing import PROMISES


@pytest.mark.parametrize("stage", PROMISES)
def test_every_promise_is_one_sentence(stage: str) -> None:
    assert len({promise.name for promise in PROMISES[stage]}) == len(PROMISES[stage])
    for promise in PROMISES[stage]:
        assert promise.says[0].isupper(), promise
        assert promise.says.endswith("."), promise


def test_the_message_shows_every_promise_with_an_input_that_breaks_it() -> None:
    def cut(document: Document) -> list[Chunk]:
        return [Chunk(f"{document.id}!", (Span(document.id, 0, 4),), document.text[:4])]

    documents = [Document("d", "some text", {"lang": "en"}), Document("e", "more text", {"lang": "en"})]
    error = broken_by(lambda: testing.check_chunker(AnyChunker(cut), documents))
    assert str(error) == (
        f"{error.plug} breaks 2 of the promises of a chunker:\n"
        "\n"
        "  carries_metadata (promised): A chunk holds its document's metadata, beside or under its own, so "
        "that filters find it.\n"
        "    document 'd' 'some text': expected the key 'lang' in chunk 'd!', got []\n"
        "    and 1 more like this\n"
        "\n"
        "  keeps_all_text (promised): Every character that is not whitespace is in a chunk.\n"
        "    document 'd' 'some text': expected all characters, got chunks without 4 of them, the first at "
        "5: 'text'\n"
        "    and 1 more like this\n"
        "\n"
        "What is meant so is left out with check_chunker(…, without=['carries_metadata', 'keeps_all_text'])."
    )
    assert error.plug.startswith("AnyChunker(make=")
    assert error.stage == "chunker"
    assert [promise.others for promise in error.broken] == [1, 1]
    testing.check_chunker(AnyChunker(cut), documents, without=names(error))


def test_required_promises_cannot_be_left_out_and_say_so_by_their_kind() -> None:
    error = broken_by(lambda: testing.check_packer(AnyPacker(lambda c: [*c, *c])))
    assert "valid_context (required): The context holds" in str(error)
    assert "without=" not in str(error)
    with pytest.raises(
        ConfigError, match=r"without takes a list of names of promised promises \(nothing_from"
    ):
        testing.check_packer(TopK(2), without=["valid_context"])


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("without", ["sense"]),
        ("without", "same_again"),
        ("also", ["same_again"]),
        ("also", "related_is_nearer"),
    ],
)
def test_names_that_cannot_stand_there_are_refused(option: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"{option} takes a list of names of") as caught:
        testing.check_embedder(HashingEmbedder(), **{option: value})
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize("stage", [stage for stage in PROMISES if stage != "pipeline"])
def test_what_is_no_plug_is_refused(stage: str) -> None:
    check = getattr(testing, f"check_{stage}")
    with pytest.raises(ConfigError, match=f"check_{stage}: expected an object with .*, got int"):
        check(3)
    plug = {"chunker": LineChunker, "embedder": HashingEmbedder, "retriever": BM25Retriever}
    kind: Any = {**plug, "reranker": AnyReranker, "packer": TopK}[stage]
    with pytest.raises(ConfigError, match=f"got the class {kind.__name__}"):
        check(kind)


def test_the_error_is_a_failed_test_for_pytest_and_unittest_and_one_of_ours_for_a_script() -> None:
    class Test(unittest.TestCase):
        def runTest(self) -> None:  # noqa: N802  # unittest's name
            testing.check_chunker(AnyChunker(encodes))

    result = unittest.TestResult()
    Test().run(result)
    assert (len(result.failures), len(result.errors)) == (1, 0)
    error = broken_by(lambda: testing.check_chunker(AnyChunker(encodes)))
    assert isinstance(error, RagdiagError)
    assert isinstance(error.__cause__, UnicodeEncodeError), "where it was raised can be seen"
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301  # our own pickle
    assert (str(copy), copy.broken) == (str(error), error.broken)


def test_what_is_not_installed_breaks_no_promise() -> None:
    def unavailable(_: object) -> Any:
        raise MissingExtraError("MyEmbedder", "torch", "sentence-transformers")

    with pytest.raises(MissingExtraError):
        testing.check_embedder(AnyEmbedder(unavailable, unavailable))
    with pytest.raises(MissingExtraError):
        testing.check_chunker(AnyChunker(unavailable))
    counts = itertools.count()
    later = both_ways(lambda texts: hashed(texts) if next(counts) < 36 else unavailable(texts))
    with pytest.raises(MissingExtraError):
        testing.check_embedder(later)


def test_what_plugs_raise_is_shown_short_and_printable() -> None:
    def raises(document: Document) -> list[Chunk]:
        raise (
            StageError("chunker", "own words", where=document.id)
            if document.id == "empty"
            else ValueError(f"\x1b[31m {document.text} \ud800" + "x" * 1000)
        )

    error = broken_by(lambda: testing.check_chunker(AnyChunker(raises)))
    assert names(error) == {"raises_nothing", "valid_chunks"}
    assert "chunker: empty: own words" in str(error)
    assert "\\x1b[31m" in str(error)
    str(error).encode()
    assert max(map(len, str(error).splitlines())) < 450


def test_hostile_documents_are_what_they_say() -> None:
    documents = {document.id: document for document in testing.hostile_documents()}
    assert documents["empty"].text == ""
    assert documents["only whitespace"].text.isspace()
    assert "\n" not in documents["one line of JSON"].text
    assert json.loads(documents["one line of JSON"].text)
    assert not documents["a long run without a space"].text.count(" ")
    with pytest.raises(UnicodeEncodeError):
        documents["lone surrogates"].text.encode()
    assert "\r\n" in documents["CRLF"].text
    assert "<|endoftext|>" in documents["special tokens"].text
    assert all("lang" in document.metadata for document in documents.values())
    assert testing.hostile_documents() == testing.hostile_documents()
    assert max(len(document.text) for document in documents.values()) < 3000


def test_the_kit_needs_neither_pytest_nor_anything_heavy() -> None:
    code = "import sys, ragdiag.testing; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"pytest", "_pytest", "torch", "faiss", "pandas", "scipy", "pydantic", "tiktoken", "hypothesis"}
    assert heavy.isdisjoint(done.stdout.split())
