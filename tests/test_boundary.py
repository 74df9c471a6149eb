"""Every contract of a plug, violated one at a time: who, where, what was expected and what came."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from plugs import (
    AnyChunker,
    AnyEmbedder,
    AnyPacker,
    AnyReranker,
    AnyRetriever,
    OrderRetriever,
    WholeChunker,
)

from ragdiag import ConfigError, DataError, HashingEmbedder, Pipeline, StageError
from ragdiag.records import Chunk, Document, Hit, Query, Span
from ragdiag.trace import Trace

DOCUMENTS = [Document("a", "alpha beta"), Document("b", "gamma  delta")]
QUERIES = [Query("q1", "alpha"), Query("q2", "gamma")]
A, B = (WholeChunker().chunk(document)[0] for document in DOCUMENTS)
PIPELINE = Pipeline(
    chunker=WholeChunker(), retriever=OrderRetriever({"q1": [A.id, B.id], "q2": [B.id, A.id]}), top_k=2
)


def run(**plugs: Any) -> Trace:
    return replace(PIPELINE, **plugs).run(DOCUMENTS, QUERIES)


def check_refused(stage: str, message: str, where: str = "", **plugs: Any) -> None:
    """The run is refused, and the error says all of it."""
    with pytest.raises(StageError) as caught:
        run(**plugs)
    assert caught.value.stage == stage
    assert caught.value.where == where
    assert str(caught.value).startswith(f"{stage}: {where}")
    assert message in str(caught.value)


# Chunker


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda d: [replace(A, spans=(Span(d.id, 0, 99),))], "has the span 0-99, but the document has"),
        (lambda _: [replace(A, spans=(Span("c", 0, 5),))], "has a span in another document: Span(doc_id='c'"),
        (
            lambda d: [Chunk("x", (Span(d.id, 0, 5),), "other")],
            "the text of chunk 'x' is not that of its spans: expected 'alpha', got 'other'",
        ),
        (lambda d: [A, A] if d.id == "a" else [], "two chunks have the id 'a#0-10'"),
        (lambda _: ["alpha"], "expected Chunk values, got str"),
        (lambda _: [None], "expected Chunk values, got NoneType"),
    ],
    ids=["outside", "other document", "other text", "same id", "text", "nothing"],
)
def test_chunks_that_no_document_holds(make: Callable[[Document], Any], message: str) -> None:
    check_refused("chunker", message, "document 'a'", chunker=AnyChunker(make))


def test_the_same_chunk_id_in_two_documents() -> None:
    numbered = AnyChunker(lambda d: [replace(WholeChunker().chunk(d)[0], id="0")])
    check_refused(
        "chunker",
        "the chunk id '0' already stands for a chunk of document 'a'",
        "document 'b'",
        chunker=numbered,
    )


def test_no_chunks_at_all() -> None:
    check_refused("chunker", "made no chunk from 2 documents", chunker=AnyChunker(lambda _: []))


def test_text_may_differ_in_whitespace() -> None:
    def fold(document: Document) -> list[Chunk]:
        [chunk] = WholeChunker().chunk(document)
        return [replace(chunk, text=f" {' '.join(chunk.text.split())}\n")]

    assert [c.text for c in run(chunker=AnyChunker(fold)).chunks] == [" alpha beta\n", " gamma delta\n"]


def test_several_spans_are_joined_by_a_newline() -> None:
    def ends(document: Document) -> list[Chunk]:
        text = document.text
        spans = (Span(document.id, 7, len(text)), Span(document.id, 0, 5))
        return [Chunk(f"{document.id}#7+0", spans, f"{text[7:]}\n{text[:5]}")]

    retriever = OrderRetriever({"q1": ["a#7+0"], "q2": ["b#7+0"]})
    contexts = [q.context for q in run(chunker=AnyChunker(ends), retriever=retriever).queries]
    assert [chunk.text for [chunk] in contexts] == ["eta\nalpha", "delta\ngamma"]


# Embedder


def ones(texts: Sequence[str]) -> Any:
    return np.ones((len(texts), 3), dtype=np.float32)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda t: ones(t)[:-1], "expected shape (2, d), got (1, 3)"),
        (lambda t: ones(t)[:, 0], "expected shape (2, d), got (2,)"),
        (lambda t: ones(t)[None], "expected shape (2, d), got (1, 2, 3)"),
        (lambda _: None, "expected shape (2, d), got ()"),
        (lambda _: [[1.0, 2.0], [1.0]], "expected shape (2, d), got rows of different lengths"),
        (lambda t: ones(t).astype(int), "expected float vectors, got shape (2, 3) of int64"),
        (lambda _: [["a"], ["b"]], "expected float vectors"),
        (lambda t: ones(t)[:, :0], "expected float vectors, got shape (2, 0)"),
        (
            lambda t: ones(t) * [[1], [np.nan]],
            "1 of 2 vectors hold NaN or infinity, the first for the text 'gamma",
        ),
        (
            lambda t: ones(t) * [[np.inf], [1]],
            "1 of 2 vectors hold NaN or infinity, the first for the text 'alpha",
        ),
        (
            lambda t: ones(t) * [[1e300], [1]],
            "1 of 2 vectors hold NaN or infinity, the first for the text 'alpha",
        ),
    ],
    ids=[
        "too few",
        "1-D",
        "3-D",
        "None",
        "ragged",
        "ints",
        "strings",
        "empty",
        "NaN",
        "infinite",
        "too large",
    ],
)
def test_vectors_that_are_none(make: Callable[[Sequence[str]], Any], message: str) -> None:
    order = replace(PIPELINE.retriever, uses_vectors=True)  # type: ignore[type-var]
    check_refused(
        "embedder", f"embed_documents: {message}", embedder=AnyEmbedder(make, ones), retriever=order
    )
    with pytest.raises(StageError, match=r"^embedder: embed_queries: (expected|1 of 2)"):
        run(embedder=AnyEmbedder(ones, make), retriever=order)


def test_queries_of_another_dimension_than_documents() -> None:
    other = AnyEmbedder(ones, lambda t: ones(t)[:, :2])
    order = replace(PIPELINE.retriever, uses_vectors=True)  # type: ignore[type-var]
    message = "embed_queries: expected 3 dimensions as for documents, got 2"
    check_refused("embedder", message, embedder=other, retriever=order)


def test_any_float_type_and_plain_lists_become_float32() -> None:
    order = replace(PIPELINE.retriever, uses_vectors=True)  # type: ignore[type-var]
    made: list[Callable[[Sequence[str]], Any]] = [
        lambda t: ones(t).astype(np.float64),
        lambda t: ones(t).astype(np.float16),
        lambda t: ones(t).tolist(),
    ]
    for make in made:
        trace = run(embedder=AnyEmbedder(make, ones), retriever=order)
        assert trace.vectors is not None
        assert trace.vectors.dtype == np.float32


# Retriever


def found(make: Callable[[Sequence[Chunk]], Any]) -> AnyRetriever:
    return AnyRetriever(lambda chunks, _, __: make(chunks), uses_vectors=False)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda _: [Hit("nope", 1.0)], "rank 1 is the unknown chunk 'nope'"),
        (lambda c: [Hit(c[0].id, 2.0), Hit(c[0].id, 1.0)], "chunk 'a#0-10' comes twice"),
        (lambda c: [Hit(c[i % 2].id, 0.0) for i in range(3)], "asked for 2 hits, got 3"),
        (lambda c: [Hit(c[0].id, float("nan"))], "rank 1 has the score nan"),
        (lambda c: [Hit(c[0].id, float("inf"))], "rank 1 has the score inf"),
        (lambda c: [Hit(c[0].id, 1.0), Hit(c[1].id, -np.inf)], "rank 2 has the score -inf"),
        (
            lambda c: [Hit(c[0].id, 0.1), Hit(c[1].id, 0.2)],
            "hits must come best first (higher is better), but rank 2 scores 0.2 after 0.1",
        ),
        (lambda c: [(c[0].id, 1.0)], "expected Hit values, got tuple"),
    ],
    ids=["unknown", "repeated", "too many", "NaN", "infinite", "minus infinite", "ascending", "tuples"],
)
def test_rankings_that_are_none(make: Callable[[Sequence[Chunk]], Any], message: str) -> None:
    check_refused("retriever", message, "query 'q1'", retriever=found(make))


def test_the_query_that_went_wrong_is_named() -> None:
    later = AnyRetriever(
        lambda _, r, __: [Hit("nope", 1.0)] if r.query_id == "q2" else [], uses_vectors=False
    )
    check_refused("retriever", "unknown chunk", "query 'q2'", retriever=later)


@dataclass
class Built:
    """A retriever whose index is whatever it is given."""

    index: Any
    uses_vectors: bool = False

    def build(self, chunks: Sequence[Chunk], vectors: Any) -> Any:  # noqa: ARG002
        return self.index


@dataclass
class Answers:
    """An index that answers the same to everything."""

    rankings: Any

    def search(self, requests: Sequence[Any], n: int) -> Any:  # noqa: ARG002
        return self.rankings


def test_a_number_of_rankings_other_than_that_of_queries() -> None:
    wrong: list[list[list[Hit]]] = [[[]], [[], [], []], []]
    for rankings in wrong:
        check_refused(
            "retriever", f"expected 2 rankings, got {len(rankings)}", retriever=Built(Answers(rankings))
        )


@pytest.mark.parametrize("junk", [None, [], "index", object()])
def test_an_index_that_cannot_be_searched(junk: Any) -> None:
    message = f"build must return a Searcher, got {type(junk).__name__}"
    check_refused("retriever", message, retriever=Built(junk))


def test_fewer_hits_than_asked_for_and_equal_scores_are_allowed() -> None:
    equal = found(lambda c: [Hit(c[1].id, 0.5), Hit(c[0].id, 0.5)])
    assert [hit.chunk_id for hit in run(retriever=equal).queries[0].retrieved] == [B.id, A.id]
    assert run(retriever=found(lambda _: [])).queries[0].retrieved == ()


# Reranker


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda _, t: [1.0] * (len(t) - 1), "expected 2 scores, got shape (1,)"),
        (lambda _, t: [[1.0]] * len(t), "expected 2 scores, got shape (2, 1)"),
        (lambda _, __: 1.0, "expected 2 scores, got shape ()"),
        (lambda _, __: [1.0, float("nan")], "the score of chunk 'b#0-12' is nan"),
        (lambda _, __: [float("inf"), 1.0], "the score of chunk 'a#0-10' is inf"),
    ],
    ids=["too few", "2-D", "one number", "NaN", "infinite"],
)
def test_scores_that_are_none(make: Callable[[str, Sequence[str]], Any], message: str) -> None:
    check_refused("reranker", message, "query 'q1'", reranker=AnyReranker(make))


def test_equal_scores_keep_the_order_and_nothing_is_scored_where_nothing_was_found() -> None:
    trace = run(reranker=AnyReranker(lambda _, t: [0.0] * len(t)))
    assert [[hit.chunk_id for hit in q.reranked or ()] for q in trace.queries] == [[A.id, B.id], [B.id, A.id]]

    def never(_: str, texts: Sequence[str]) -> list[float]:
        pytest.fail(f"was asked to score {texts}")

    nothing = run(retriever=found(lambda _: []), reranker=AnyReranker(never))
    assert [(q.reranked, q.context) for q in nothing.queries] == [((), ()), ((), ())]


# Packer


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda c: [*c, replace(c[0], id="new")], "chunk 'new' was not among those given"),
        (lambda c: [c[0], c[0]], "chunk 'a#0-10' comes twice"),
        (
            lambda c: [replace(c[0], spans=(Span("b", 0, 5),), text="gamma")],
            "chunk 'a#0-10' now has Span(doc_id='b', start=0, end=5), which it did not hold",
        ),
        (
            lambda c: [replace(c[0], spans=(Span("a", 0, 11),))],
            "chunk 'a#0-10' now has Span(doc_id='a', start=0, end=11), which it did not hold",
        ),
        (
            lambda c: [replace(c[0], text="alpha gamma")],
            "the text of chunk 'a#0-10' is not that of its spans: expected 'alpha beta', got 'alpha gamma'",
        ),
        (
            lambda c: [replace(c[0], spans=(Span("a", 0, 5),))],
            "the text of chunk 'a#0-10' is not that of its spans: expected 'alpha', got 'alpha beta'",
        ),
        (lambda c: [c[0].text], "expected Chunk values, got str"),
    ],
    ids=["invented", "repeated", "another document", "widened", "changed", "text not cut", "text alone"],
)
def test_contexts_that_were_not_given(make: Callable[[Sequence[Chunk]], Any], message: str) -> None:
    check_refused("packer", message, "query 'q1'", packer=AnyPacker(make))


def test_a_packer_may_drop_reorder_and_shorten() -> None:
    def pack(chunks: Sequence[Chunk]) -> list[Chunk]:
        last = chunks[-1]
        doc_id = last.spans[0].doc_id
        return [replace(last, spans=(Span(doc_id, 0, 5),), text=last.text[:5]), chunks[0]]

    contexts = [q.context for q in run(packer=AnyPacker(pack)).queries]
    assert [[chunk.text for chunk in context] for context in contexts] == [
        ["gamma", "alpha beta"],
        ["alpha", "gamma  delta"],
    ]
    assert run(packer=AnyPacker(lambda _: [])).queries[0].context == ()


def test_a_chunk_of_two_spans_may_keep_part_of_each() -> None:
    document = Document("a", "one two three")
    chunk = Chunk.of(document, (0, 3), (8, 13))
    kept = replace(chunk, spans=(Span("a", 8, 10), Span("a", 1, 3)), text="th\nne")
    pipeline = Pipeline(
        chunker=AnyChunker(lambda _: [chunk]),
        retriever=OrderRetriever({"q": [chunk.id]}),
        packer=AnyPacker(lambda _: [kept]),
    )
    assert pipeline.run([document], [Query("q", "?")]).queries[0].context == (kept,)
    across = replace(chunk, spans=(Span("a", 0, 13),), text=document.text)
    with pytest.raises(StageError, match="which it did not hold"):
        replace(pipeline, packer=AnyPacker(lambda _: [across])).run([document], [Query("q", "?")])


# Plugs that raise


class TheirOwnError(Exception):
    """An error that ragdiag does not know."""


def fails(*_: Any) -> Any:
    raise TheirOwnError("no more credit")


@dataclass
class FailsToBuild:
    uses_vectors: bool = True

    def build(self, chunks: Sequence[Chunk], vectors: Any) -> Any:
        return fails(chunks, vectors)


@pytest.mark.parametrize(
    ("plugs", "note"),
    [
        ({"chunker": AnyChunker(fails)}, "raised by the chunker AnyChunker, document 'a'"),
        (
            {"embedder": AnyEmbedder(fails, ones), "retriever": FailsToBuild()},
            "raised by the embedder AnyEmbedder, embedding 2 document texts",
        ),
        (
            {
                "embedder": AnyEmbedder(ones, fails),
                "retriever": replace(found(lambda _: []), uses_vectors=True),
            },
            "raised by the embedder AnyEmbedder, embedding 2 queries",
        ),
        (
            {"embedder": HashingEmbedder(8), "retriever": FailsToBuild()},
            "raised by the retriever FailsToBuild, building an index over 2 chunks",
        ),
        ({"retriever": found(fails)}, "raised by the retriever _AnySearcher, searching for 2 queries"),
        ({"reranker": AnyReranker(fails)}, "raised by the reranker AnyReranker, query 'q1'"),
        ({"packer": AnyPacker(fails)}, "raised by the packer AnyPacker, query 'q1'"),
    ],
    ids=["chunker", "embedder of documents", "embedder of queries", "index", "search", "reranker", "packer"],
)
def test_what_a_plug_raises_passes_through_with_a_note(plugs: dict[str, Any], note: str) -> None:
    with pytest.raises(TheirOwnError, match="no more credit") as caught:
        run(**plugs)
    assert caught.value.__notes__ == [f"ragdiag: {note}"]


@pytest.mark.parametrize(
    ("plugs", "stage"),
    [
        ({"chunker": AnyChunker(lambda _: None)}, "chunker"),
        ({"retriever": found(lambda _: None)}, "retriever"),
        ({"retriever": Built(Answers(None))}, "retriever"),
        ({"reranker": AnyReranker(lambda _, __: ["a", "b"])}, "reranker"),
        ({"packer": AnyPacker(lambda _: None)}, "packer"),
    ],
    ids=["chunks", "hits", "rankings", "scores", "context"],
)
def test_values_of_the_wrong_type_name_the_stage_too(plugs: dict[str, Any], stage: str) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        run(**plugs)
    assert f"raised by the {stage}" in caught.value.__notes__[0]


def test_a_search_that_works_as_it_goes_is_covered_by_the_note() -> None:
    def lazily(*_: Any) -> Any:
        yield fails()

    with pytest.raises(TheirOwnError) as caught:
        run(retriever=found(lazily))
    assert "raised by the retriever" in caught.value.__notes__[0]


def test_errors_tell_their_kind() -> None:
    error = StageError("packer", "what went wrong", where="query 'q'")
    assert str(error) == "packer: query 'q': what went wrong"
    assert str(StageError("packer", "what went wrong")) == "packer: what went wrong"
    assert issubclass(DataError, ValueError)
    assert issubclass(ConfigError, ValueError)
