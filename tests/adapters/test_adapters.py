"""The libraries themselves, behind their adapters: every chunk stands where its spans say."""

from __future__ import annotations

import logging
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from unittest import mock

import chonkie
import langchain_text_splitters as langchain
import pytest
import semantic_text_splitter
import semchunk
import tiktoken
from hypothesis import given
from hypothesis import strategies as st
from plugs import AnyChunker

from ragdiag import testing
from ragdiag.adapters import (
    ChonkieChunker,
    LangChainChunker,
    LlamaIndexChunker,
    SemanticTextSplitterChunker,
    SemchunkChunker,
)
from ragdiag.adapters.foreign import ForeignChunker
from ragdiag.adapters.placing import Placed
from ragdiag.demo import demo_data
from ragdiag.errors import ConfigError, MissingExtraError, RagdiagWarning
from ragdiag.records import Document
from ragdiag.spans import merge, nonspace_before
from ragdiag.stages import boundary
from ragdiag.stages.protocols import is_plug
from ragdiag.store import fingerprint
from ragdiag.testing import hostile_documents

llama_index = pytest.importorskip("llama_index.core.node_parser")

pytestmark = pytest.mark.usefixtures("published")

SEPARATORS = ["\n\n", "\n", ".", "?", "!", " ", ""]


def cl100k() -> tiktoken.Encoding:
    return tiktoken.get_encoding("cl100k_base")


def langchain_tokens(size: int, overlap: int) -> LangChainChunker:
    return LangChainChunker(
        langchain.TokenTextSplitter(
            encoding_name="cl100k_base", chunk_size=size, chunk_overlap=overlap, disallowed_special=()
        )
    )


def langchain_recursive(size: int, overlap: int) -> LangChainChunker:
    return LangChainChunker(
        langchain.RecursiveCharacterTextSplitter(
            chunk_size=size, chunk_overlap=overlap, separators=SEPARATORS
        )
    )


def headings() -> LangChainChunker:
    return LangChainChunker(langchain.MarkdownHeaderTextSplitter([("#", "title"), ("##", "section")]))


# Those that keep all text, whatever it is.
LOSSLESS: dict[str, Callable[[], ForeignChunker]] = {
    "chonkie recursive": lambda: ChonkieChunker(chonkie.RecursiveChunker("character", chunk_size=120)),
    "chonkie sentence": lambda: ChonkieChunker(
        chonkie.SentenceChunker("character", chunk_size=120, chunk_overlap=40)
    ),
    "chonkie characters": lambda: ChonkieChunker(chonkie.TokenChunker("character", 100, 20)),
    "chonkie words": lambda: ChonkieChunker(chonkie.TokenChunker("word", 20, 5)),
    "langchain recursive": lambda: langchain_recursive(120, 40),
    "langchain recursive, not stripped": lambda: LangChainChunker(
        langchain.RecursiveCharacterTextSplitter(chunk_size=90, chunk_overlap=0, strip_whitespace=False)
    ),
    "langchain characters": lambda: LangChainChunker(
        langchain.CharacterTextSplitter(separator=" ", chunk_size=120, chunk_overlap=60)
    ),
    "langchain markdown": lambda: LangChainChunker(
        langchain.MarkdownTextSplitter(chunk_size=120, chunk_overlap=0)
    ),
    "llama_index sentence": lambda: LlamaIndexChunker(
        llama_index.SentenceSplitter(chunk_size=80, chunk_overlap=20)
    ),
    "llama_index token": lambda: LlamaIndexChunker(
        llama_index.TokenTextSplitter(chunk_size=80, chunk_overlap=30)
    ),
    "llama_index sentence window": lambda: LlamaIndexChunker(llama_index.SentenceWindowNodeParser()),
    "llama_index markdown": lambda: LlamaIndexChunker(llama_index.MarkdownNodeParser()),
    "semchunk": lambda: SemchunkChunker(semchunk.chunkerify(len, 100)),
    "semchunk overlap": lambda: SemchunkChunker(semchunk.chunkerify(cl100k(), 30), overlap=0.4),
    "semantic-text-splitter": lambda: SemanticTextSplitterChunker(
        semantic_text_splitter.TextSplitter(100), name="text 100"
    ),
    "semantic-text-splitter overlap": lambda: SemanticTextSplitterChunker(
        semantic_text_splitter.TextSplitter(100, overlap=30, trim=False), name="text 100/30"
    ),
    "semantic-text-splitter markdown": lambda: SemanticTextSplitterChunker(
        semantic_text_splitter.MarkdownSplitter(100), name="markdown 100"
    ),
}
# Those that leave text out (headings, separators), rewrite it, or cut between the bytes of a character.
LOSING: dict[str, Callable[[], ForeignChunker]] = {
    "langchain headings": headings,
    "langchain, separators dropped": lambda: LangChainChunker(
        langchain.CharacterTextSplitter(separator=".", chunk_size=60, chunk_overlap=0)
    ),
    "langchain tokens": lambda: langchain_tokens(30, 10),
}
CHUNKERS = LOSSLESS | LOSING


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Libraries warn of small sizes through their loggers."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(scope="module")
def handbook() -> list[Document]:
    documents, _ = demo_data()
    return documents[::9]


def checked(chunker: ForeignChunker, document: Document) -> Placed:
    """The chunks, held against the document by the boundary: unique ids, spans inside it, their text."""
    placed = chunker.place(document)
    boundary.chunk_document(AnyChunker(lambda _: placed.chunks), document)
    return placed


def lost(document: Document, placed: Placed) -> int:
    """How many visible characters are in no chunk."""
    before = nonspace_before(document.text)
    spans = [(span.start, span.end) for chunk in placed.chunks for span in chunk.spans]
    return int(before[-1] - sum(before[b] - before[a] for a, b in merge(spans)))


@pytest.mark.parametrize("name", LOSSLESS)
def test_every_chunk_of_a_library_that_keeps_all_text_is_found(name: str, handbook: list[Document]) -> None:
    chunker = LOSSLESS[name]()
    places = set()
    for document in [*handbook, *hostile_documents()]:
        placed = checked(chunker, document)
        assert (placed.partly, placed.left_out, placed.unlocated_characters) == (0, 0, 0), document.id
        assert lost(document, placed) == 0, document.id
        starts = [chunk.spans[0].start for chunk in placed.chunks]
        assert all(a < b for a, b in pairwise(starts)), document.id
        if placed.chunks:
            places.add(placed.placement)
    assert places <= {chunker.placement} if chunker.placement != "mixed" else places


@pytest.mark.parametrize("name", LOSING)
def test_what_a_library_leaves_out_is_the_only_loss(name: str, handbook: list[Document]) -> None:
    chunker = LOSING[name]()
    for document in [*handbook, *hostile_documents()]:
        placed = checked(chunker, document)
        assert placed.left_out == 0, document.id
        delivered = sum(len("".join(chunk.index_text.split())) for chunk in placed.chunks)
        found = delivered - placed.unlocated_characters
        total = int(nonspace_before(document.text)[-1])
        if name == "langchain tokens":  # whose chunks overlap; what is cut apart is in none of them
            assert lost(document, placed) <= placed.unlocated_characters, document.id
        else:
            assert lost(document, placed) == total - found, document.id


@pytest.mark.parametrize("name", ["langchain recursive", "chonkie sentence", "semchunk overlap"])
def test_the_promises_of_a_chunker_are_kept(name: str) -> None:
    testing.check_chunker(CHUNKERS[name]())


texts = st.lists(
    st.sampled_from(
        [
            "Yes. ",
            "No!\r\n",
            "👨‍👩‍👧 ",
            "naïve ",
            "商品。",
            "\n\n",
            "   ",
            "xx",
            "\ud800",
            "e\u0301 ",
            "# Top\n",
        ]
    ),
    max_size=60,
).map("".join)


@given(texts, st.sampled_from(list(LOSSLESS)))
def test_nothing_is_lost_whatever_the_text(text: str, name: str) -> None:
    document = Document("d", text)
    placed = checked(MADE.setdefault(name, LOSSLESS[name]()), document)
    assert (lost(document, placed), placed.partly, placed.left_out) == (0, 0, 0)


MADE: dict[str, ForeignChunker] = {}


@pytest.mark.parametrize("name", CHUNKERS)
def test_a_chunker_says_what_it_is(name: str) -> None:
    chunker, same = CHUNKERS[name](), CHUNKERS[name]()
    library = chunker.library.distribution
    assert is_plug("chunker", chunker)
    assert repr(chunker) == repr(same)
    assert repr(chunker).startswith(f"{type(chunker).__name__}(")
    assert f"{library} {version(library)}" in repr(chunker)
    assert fingerprint(chunker) == repr(chunker)


def test_differently_set_chunkers_are_not_called_alike() -> None:
    names = [repr(make()) for make in CHUNKERS.values()]
    names += [repr(langchain_recursive(120, 41)), repr(langchain_recursive(121, 40))]
    names += [repr(SemchunkChunker(semchunk.chunkerify(size, 100), overlap=o)) for size, o in SIZES]
    names += [repr(ChonkieChunker(chonkie.TokenChunker(kind, 100, 20))) for kind in ("byte", cl100k())]
    names += [
        repr(LlamaIndexChunker(llama_index.TokenTextSplitter(tokenizer=tokenizer)))
        for tokenizer in (str.split, list, lambda text: [*text], lambda text: [*text, "."])
    ]
    assert len(set(names)) == len(names)


SIZES: list[tuple[Callable[[str], int], float | None]] = [
    (len, 0.1),
    (lambda text: len(text.split()), None),
    (lambda text: len(text) // 2, None),
]


def test_using_a_chunker_changes_nothing_about_its_name() -> None:
    document = Document("d", "Goods may be returned. Keep the receipt. " * 20)
    for name in ("chonkie characters", "chonkie words", "llama_index sentence", "semchunk overlap"):
        chunker = CHUNKERS[name]()
        before = repr(chunker)
        chunker.place(document)
        field, taken = chunker._taken()[0]
        again = type(chunker)(**{field: taken}, **dict(chunker._taken()[1:]))
        assert repr(chunker) == before == repr(again)


def test_settings_that_cannot_be_known_show_an_address_unless_a_name_is_given() -> None:
    splitter = semantic_text_splitter.TextSplitter(100)
    unnamed = SemanticTextSplitterChunker(splitter)
    assert "TextSplitter object at 0x" in repr(unnamed)
    assert fingerprint(unnamed) is None
    named = SemanticTextSplitterChunker(splitter, name="100 characters")
    library = f"semantic-text-splitter {version('semantic-text-splitter')}"
    assert fingerprint(named) == repr(named) == f"SemanticTextSplitterChunker('100 characters', {library})"


@pytest.mark.parametrize("name", ["chonkie words", "langchain recursive", "llama_index sentence"])
def test_an_adapter_is_pickled_with_its_object(name: str) -> None:
    chunker = CHUNKERS[name]()
    document = Document("d", "Goods may be returned. " * 40)
    copy = pickle.loads(pickle.dumps(chunker))  # noqa: S301
    assert repr(copy) == repr(chunker)
    assert copy.chunk(document) == chunker.chunk(document)


def test_metadata_of_headings_reach_the_chunk() -> None:
    document = Document("d", "# Returns\n\n## Time\n\nWithin 30 days.\n", {"lang": "en"})
    [chunk] = headings().chunk(document)
    assert chunk.metadata == {"lang": "en", "title": "Returns", "section": "Time"}
    [node] = LlamaIndexChunker(llama_index.SentenceWindowNodeParser()).chunk(Document("d", "Only this."))
    assert node.metadata["original_text"] == "Only this."


def test_broken_characters_are_warned_of_and_counted() -> None:
    document = Document("d", "👨‍👩‍👧‍👦" * 50)
    chunker = langchain_tokens(30, 10)
    placed = chunker.place(document)
    assert placed.partly > 10
    message = (
        f"document 'd': of {len(placed.chunks)} chunks of LangChainChunker, {placed.partly} .* 0 are left out"
        f".*; {placed.unlocated_characters} characters"
    )
    with pytest.warns(RagdiagWarning, match=message):
        assert chunker.chunk(document) == list(placed.chunks)


def test_a_library_that_is_not_installed_is_named_with_its_extra() -> None:
    with (
        mock.patch("ragdiag.adapters.foreign.version", side_effect=PackageNotFoundError),
        pytest.raises(MissingExtraError, match=r"'semchunk'.*ragdiag-toolkit\[semchunk\]") as caught,
    ):
        SemchunkChunker(semchunk.chunkerify(len, 10))
    assert caught.value.extra == "semchunk"


@pytest.mark.parametrize(
    ("kind", "taken"),
    [
        (LangChainChunker, langchain.RecursiveCharacterTextSplitter),
        (LangChainChunker, None),
        (ChonkieChunker, len),
        (LlamaIndexChunker, "SentenceSplitter"),
        (SemchunkChunker, 512),
        (SemanticTextSplitterChunker, semantic_text_splitter.TextSplitter),
    ],
)
def test_what_is_no_object_of_the_library_is_refused(kind: Callable[[object], object], taken: object) -> None:
    with pytest.raises(ConfigError, match=rf"{kind.__name__}\.\w+ must be an object of "):
        kind(taken)


def test_importing_the_adapters_imports_no_library() -> None:
    code = "import sys, ragdiag.adapters; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    libraries = {"chonkie", "langchain_text_splitters", "llama_index", "semchunk", "semantic_text_splitter"}
    assert libraries.isdisjoint(done.stdout.split())
