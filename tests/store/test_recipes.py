"""Stored chunkers and retrievers: the same chunks and hits, and no index where every search is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plugs import AnyChunker, AnyRetriever, LineChunker, OrderRetriever
from stored_plugs import RecordingChunker, RecordingRetriever, Silent

import ragdiag.store.recipes as module
from ragdiag import (
    BM25Retriever,
    Chunk,
    DataError,
    Document,
    ExactRetriever,
    HashingEmbedder,
    Hit,
    HybridRetriever,
    MarkdownChunker,
    MMRRetriever,
    Request,
    Span,
    StageError,
    testing,
)
from ragdiag.stages.protocols import Retriever, arms_of, bytes_of, uses_vectors
from ragdiag.store import Asked, Store, chunk_from_json, chunk_to_json

# Chunks

METADATA = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda values: (
        st.lists(values, max_size=3)
        | st.lists(values, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=3), values, max_size=3)
        | st.frozensets(st.text(max_size=3), max_size=3)
        | st.sets(st.integers(), max_size=3)
    ),
    max_leaves=6,
)
SPANS = st.lists(
    st.tuples(st.text(min_size=1, max_size=3), st.integers(0, 9), st.integers(1, 9)).map(
        lambda part: Span(part[0], part[1], part[1] + part[2])
    ),
    min_size=1,
    max_size=3,
)
ANY_TEXT = st.text(st.characters(codec=None), max_size=8)  # lone surrogates, too
CHUNKS = st.builds(
    Chunk, st.text(min_size=1), SPANS, ANY_TEXT, ANY_TEXT, st.dictionaries(st.text(max_size=3), METADATA)
)


@given(CHUNKS)
def test_a_chunk_reads_back_as_it_was(chunk: Chunk) -> None:
    store = Store()
    store.write_step("chunks", "0", [chunk_to_json(chunk)])
    [line] = store.read_step("chunks", "0") or []
    again = chunk_from_json(line)
    assert again == chunk
    assert types_of(again.metadata) == types_of(chunk.metadata)


def test_two_lone_surrogates_side_by_side_stay_two() -> None:
    both = "\ud83d\ude00"
    document = Document("a", both + "\n\U0001f600", {"k": both})
    stored = Store().chunker(LineChunker())
    for _ in range(2):
        assert stored.chunk(document) == tuple(LineChunker().chunk(document))
    assert stored.chunk(replace(document, metadata={"k": "\U0001f600"}))[0].metadata == {"k": "\U0001f600"}


def types_of(value: Any) -> Any:
    """What equality does not tell: 1 from True, and a list from another sequence."""
    if isinstance(value, Mapping):
        return {key: types_of(item) for key, item in value.items()}
    return (type(value), [types_of(i) for i in value]) if isinstance(value, list | tuple) else type(value)


def test_a_document_is_cut_once_for_good(tmp_path: Path) -> None:
    documents = [
        Document("a", "# One\ntext\n# Two\nmore", {"tags": ("x", "y"), "groups": {"g"}}),
        Document("b", ""),
    ]
    inner = RecordingChunker(MarkdownChunker(10, unit="characters"))
    stored = Store(tmp_path).chunker(inner)
    silent = Store(tmp_path).chunker(Silent(repr(inner)))
    for document in documents:
        expected = tuple(inner.inner.chunk(document))
        assert stored.chunk(document) == expected
        assert stored.chunk(document) == silent.chunk(document) == expected
    assert inner.given == ["a", "b"]
    assert stored.asked == Asked(chunked=2)


def test_another_document_chunker_or_release_is_cut_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    store, inner = Store(), RecordingChunker(LineChunker())
    document = Document("a", "one\ntwo", {"k": 1})
    others = [
        document,
        replace(document, id="b"),
        replace(document, text="one\ntwo\n"),
        replace(document, metadata={"k": 2}),
    ]
    for other in (*others, *others):
        assert store.chunker(inner).chunk(other) == tuple(LineChunker().chunk(other))
    assert inner.given == ["a", "b", "a", "a"]
    store.chunker(inner, name="another").chunk(document)
    assert len(inner.given) == 5
    monkeypatch.setattr(module, "__version__", "99")
    store.chunker(inner).chunk(document)
    assert len(inner.given) == 6


def test_a_chunker_keeps_every_promise(tmp_path: Path) -> None:
    testing.check_chunker(Store(tmp_path).chunker(MarkdownChunker(60, unit="characters")))


def test_chunks_that_are_none_are_not_kept() -> None:
    document = Document("a", "text")
    wrong = [Chunk("a#0-9", (Span("a", 0, 9),), "text")]
    answers = iter([wrong, [Chunk.of(document, (0, 4))]])
    stored = Store().chunker(AnyChunker(lambda _: next(answers)), name="m")
    with pytest.raises(StageError, match="chunker: document 'a'"):
        stored.chunk(document)
    assert stored.asked == Asked()
    assert stored.chunk(document) == (Chunk.of(document, (0, 4)),)


def test_metadata_that_no_file_can_hold_are_told() -> None:
    made = Chunk.of(Document("a", "text"), (0, 4), metadata={"when": {1.5: "x"}})
    with pytest.raises(DataError, match=r"metadata of document 'a'\['o'\]: a file cannot hold <object"):
        Store().chunker(LineChunker()).chunk(Document("a", "text", {"o": object()}))
    with pytest.raises(DataError, match=r"metadata of chunk 'a#0-4'\['when'\]: a key must be a string"):
        Store().chunker(AnyChunker(lambda _: [made]), name="m").chunk(Document("a", "text"))


# Hits

DOCUMENT = Document("d", "refunds take days\nshipping is free\nwarranty\nrefunds again", {"lang": "en"})
CHUNKS_OF_IT = LineChunker().chunk(DOCUMENT)
EMBEDDER = HashingEmbedder(16)
VECTORS = EMBEDDER.embed_documents([chunk.index_text for chunk in CHUNKS_OF_IT])


def requests(*texts: str, condition: Mapping[str, Any] | None = None) -> list[Request]:
    rows = EMBEDDER.embed_queries(texts)
    return [
        Request(f"q{i}", text, row, condition) for i, (text, row) in enumerate(zip(texts, rows, strict=True))
    ]


RETRIEVERS = [
    ExactRetriever(),
    BM25Retriever(),
    HybridRetriever((ExactRetriever(), BM25Retriever())),
    MMRRetriever(ExactRetriever()),
]


@pytest.mark.parametrize("plain", RETRIEVERS, ids=lambda plain: type(plain).__name__)
def test_a_search_is_done_once_for_good_and_no_index_is_built_for_it(
    plain: Retriever, tmp_path: Path
) -> None:
    inner = RecordingRetriever(plain)
    asked = requests("refunds", "free shipping", "nothing", condition={"lang": "en"})
    expected = [tuple(hits) for hits in plain.build(CHUNKS_OF_IT, VECTORS).search(asked, 3)]
    stored = Store(tmp_path).retriever(inner)
    searcher = stored.build(CHUNKS_OF_IT, VECTORS)
    assert inner.built == []
    for _ in range(2):
        assert searcher.search(asked, 3) == expected
    assert stored.asked == Asked(searched=3)
    assert inner.built == [4]
    silent = Store(tmp_path).retriever(Silent(repr(plain))).build(CHUNKS_OF_IT, VECTORS)
    assert silent.search(asked, 3) == expected


@pytest.mark.parametrize("plain", RETRIEVERS, ids=lambda plain: type(plain).__name__)
def test_what_a_retriever_and_its_index_declare_is_declared(plain: Retriever) -> None:
    inner = RecordingRetriever(plain)
    stored = Store().retriever(inner)
    assert arms_of(stored) == arms_of(plain)
    assert uses_vectors(stored) == uses_vectors(plain)
    assert getattr(stored, "metric", None) == getattr(plain, "metric", None)
    assert repr(stored) == repr(plain)
    searcher, built = stored.build(CHUNKS_OF_IT, VECTORS), plain.build(CHUNKS_OF_IT, VECTORS)
    arms = [len(getattr(one, "arms", ())) for one in (searcher, built)]
    assert arms[0] == arms[1]
    assert inner.built == ([4] if arms[0] else []), "an index is not built to say that it has no arms"
    assert bytes_of(searcher) == bytes_of(built)
    assert inner.built == [4]
    assert not hasattr(searcher, "_vectors_of_nobody")


@pytest.mark.parametrize("plain", RETRIEVERS, ids=lambda plain: type(plain).__name__)
def test_a_retriever_keeps_every_promise(plain: Retriever) -> None:
    testing.check_retriever(Store().retriever(plain))


def test_whatever_differs_is_another_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """A retriever that answers with the number of its search: what is known is answered with an old one."""
    numbers = iter(range(1, 100))

    def number(chunks: Sequence[Chunk], request: Request, n: int) -> list[Hit]:  # noqa: ARG001
        return [Hit(chunks[0].id, -float(next(numbers)))]

    store, inner = Store(), AnyRetriever(number)
    chunk = Chunk("c", (Span("d", 0, 4),), "text", "index text", {"k": 1})
    vector = np.array([1, 2], np.float32)
    request = Request("q", "ask", vector, {"k": 1})

    def search(
        chunks: Sequence[Chunk] = (chunk,),
        vectors: Any = vector[None],
        asked: Sequence[Request] = (request,),
        n: int = 5,
        name: str = "m",
    ) -> float:
        return -store.retriever(inner, name=name).build(chunks, vectors).search(asked, n)[0][0].score

    other_chunks = [
        replace(chunk, id="e"),
        replace(chunk, spans=(Span("d", 1, 4),)),
        replace(chunk, text="other"),
        replace(chunk, index_text="other"),
        replace(chunk, metadata={}),
        replace(chunk, metadata={"k": True}),
    ]
    other_requests = [
        [request, request],
        [replace(request, query_id="p")],
        [replace(request, text="other")],
        [replace(request, vector=vector + 1)],
        [replace(request, vector=None)],
        [replace(request, filter=None)],
        [replace(request, filter={"k": (1,)})],
        [replace(request, filter={"k": [1]})],
    ]
    changes: list[dict[str, Any]] = [
        {},
        {"name": "another"},
        {"n": 6},
        {"vectors": None},
        {"vectors": vector[None] + 1},
        {"vectors": vector[:, None]},
        {"vectors": vector[None].astype(np.float64)},
        {"chunks": (chunk, replace(chunk, id="e"))},
        *({"chunks": (other,)} for other in other_chunks),
        *({"asked": other} for other in other_requests),
    ]
    first = [search(**change) for change in changes]
    assert len(set(first)) == len(changes)
    assert [search(**change) for change in changes] == first
    monkeypatch.setattr(module, "__version__", "99")
    assert search() not in first


def test_hits_that_are_wrong_are_not_kept_and_what_cannot_be_written_is_told() -> None:
    answers = iter([[Hit("unknown", 1.0)], [Hit(CHUNKS_OF_IT[0].id, cast("float", np.float32(0.1)))]])
    stored = Store().retriever(AnyRetriever(lambda *_: next(answers)), name="m")
    searcher = stored.build(CHUNKS_OF_IT, None)
    asked = [Request("q", "ask")]
    with pytest.raises(StageError, match="query 'q': rank 1 is the unknown chunk"):
        searcher.search(asked, 1)
    assert stored.asked == Asked()
    for _ in range(2):
        assert searcher.search(asked, 1) == [(Hit(CHUNKS_OF_IT[0].id, float(np.float32(0.1))),)]
    with pytest.raises(DataError, match=r"filter of query 'q'\['k'\]: a file cannot hold"):
        searcher.search([Request("q", "ask", None, {"k": object()})], 1)


def test_what_builds_no_searcher_is_told_when_it_is_searched() -> None:
    @dataclass(frozen=True)
    class Wrong:
        def build(self, chunks: Sequence[Chunk], vectors: Any) -> Any:
            return len(chunks), vectors

    searcher = Store().retriever(Wrong()).build(CHUNKS_OF_IT, None)
    with pytest.raises(StageError, match="build must return a Searcher, got tuple"):
        searcher.search(requests("a"), 1)


def test_a_retriever_that_goes_by_query_ids_is_answered_right() -> None:
    ids = [chunk.id for chunk in CHUNKS_OF_IT]
    stored = Store().retriever(OrderRetriever({"q": ids[:2], "p": ids[2:]}))
    searcher = stored.build(CHUNKS_OF_IT, None)
    found = {name: searcher.search([Request(name, "the same")], 1)[0][0].chunk_id for name in ("q", "p")}
    assert found == {"q": ids[0], "p": ids[2]}
