"""Each health check: a planted problem with the right number, a healthy one, and one without its input."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from html_pages import check_page, rows_of
from hypothesis import given
from hypothesis import strategies as st
from plugs import (
    AnyChunker,
    AnyPacker,
    AnyRetriever,
    BudgetPacker,
    CutChunker,
    LineChunker,
    SeededChunker,
    TableEmbedder,
    WholeChunker,
    exact_order,
)

from ragdiag import BM25Retriever, ExactRetriever, FaissRetriever, HashingEmbedder, HybridRetriever, Pipeline
from ragdiag.demo import demo_data, demo_pipeline
from ragdiag.diagnosis.checks.catalog import CAUSES
from ragdiag.diagnosis.health import Health, health
from ragdiag.diagnosis.health.examine import CHECKS
from ragdiag.errors import ConfigError, DataError, StageError
from ragdiag.records import Chunk, Document, Query, Request, Span
from ragdiag.stages.protocols import Searcher, Similarity, Vectors
from ragdiag.stages.retrievers import ThresholdRetriever
from ragdiag.stages.tokens import Characters

NAMES = {
    "chunk sizes", "dropped text", "repeated chunks", "empty chunks", "input limit", "zero vectors",
    "anisotropy", "hubs", "metric", "unreachable vectors", "recall of the index", "count of tokens",
    "room in the budget",
}  # fmt: skip


# Plugs that these tests need


@dataclass(frozen=True)
class WordEmbedder:
    """Vectors that it is told, by text, in order of the words; counts words and reads the first few."""

    vectors: Mapping[str, Sequence[float]] = field(default_factory=dict)
    max_tokens: int | None = None
    similarity: Similarity = "cosine"
    dimensions: int = 2

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        return TableEmbedder(self.vectors, default=np.eye(self.dimensions)[0]).embed_documents(texts)

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return self.embed_documents(texts)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]


@dataclass(frozen=True)
class LossyRetriever:
    """An exact index that never got some of the chunks."""

    missing: frozenset[int]

    def build(self, chunks: Sequence[Chunk], vectors: Vectors | None) -> Searcher:
        assert vectors is not None
        kept = [row for row in range(len(chunks)) if row not in self.missing]
        return ExactRetriever().build([chunks[row] for row in kept], vectors[kept])


@dataclass(frozen=True)
class Fused:
    """Declares arms, and searches with the first one; its index declares ``declared`` arms, or none."""

    arms: tuple[Any, ...]
    declared: int | None = None
    uses_vectors: bool = True

    def build(self, chunks: Sequence[Chunk], vectors: Vectors | None) -> Searcher:
        searcher = self.arms[0].build(chunks, vectors)
        if self.declared is None:
            return AnyRetriever(lambda _, request, n: searcher.search([request], n)[0]).build(chunks, vectors)
        searcher.arms = [searcher] * self.declared
        return searcher  # type: ignore[no-any-return]


def lines(*texts: str) -> list[Document]:
    """One document, of which `LineChunker` makes a chunk a line."""
    return [Document("d", "\n".join(texts))]


def numbered(vectors: Vectors) -> tuple[list[Document], dict[str, list[float]]]:
    """A line for each vector, and the vector of each line."""
    texts = [f"line {i}" for i in range(len(vectors))]
    return lines(*texts), dict(zip(texts, vectors.tolist(), strict=True))


def asked(vectors: Vectors) -> tuple[list[Query], dict[str, list[float]]]:
    """A query for each vector, and the vector of each query."""
    queries = [Query(f"q{i}", f"query {i}") for i in range(len(vectors))]
    return queries, {query.text: row for query, row in zip(queries, vectors.tolist(), strict=True)}


def random_vectors(seed: int, rows: int, dimensions: int) -> Vectors:
    return np.random.default_rng(seed).standard_normal((rows, dimensions)).astype(np.float32)


def over_vectors(
    vectors: Vectors, retriever: Any, *, similarity: Similarity = "cosine", top_k: int = 5, also: Any = None
) -> tuple[Pipeline, list[Document]]:
    """A pipeline over chunks with these vectors."""
    documents, table = numbered(vectors)
    embedder = TableEmbedder(table | (also or {}), default=[1.0] * vectors.shape[1], similarity=similarity)
    return Pipeline(chunker=LineChunker(), embedder=embedder, retriever=retriever, top_k=top_k), documents


def texts_alone(chunker: Any = None, **plugs: Any) -> Pipeline:
    return Pipeline(chunker=chunker or LineChunker(), retriever=BM25Retriever(), **plugs)


def answer(result: Health, check: str) -> Any:
    return result.table.set_index("check").loc[check]


def assert_not_applicable(result: Health, check: str, why: str) -> None:
    row = answer(result, check)
    assert row["status"] == "not applicable"
    assert why in row["seen"]
    assert result.table.set_index("check")["value"].isna()[check]
    assert row["advice"] == ""


# Chunks


def test_long_chunks_and_the_sizes_of_all() -> None:
    texts = ["a" * 3000, *("b" * size for size in (10, 20, 30, 100, 840))]
    result = health(texts_alone(), lines(*texts), counter=Characters())
    row = answer(result, "chunk sizes")
    assert (row["status"], row["code"], row["advice"]) == (
        "warning", "chunker.oversize", CAUSES["chunker.oversize"].remedy
    )  # fmt: skip
    assert row["value"] == 3000 / 4000
    assert "1 of 6 chunks (16.7%), with 75.0% of the text" in row["seen"]
    quartiles = statistics.quantiles([len(text) for text in texts], method="inclusive")
    assert result.sizes.to_dict("records") == [
        {
            "text": "delivered", "unit": unit, "chunks": 6, "shortest": 10, "lower": quartiles[0],
            "median": quartiles[1], "upper": quartiles[2], "longest": 3000,
        }
        for unit in ("characters", "tokens")
    ]  # fmt: skip


def test_few_long_chunks_are_no_warning() -> None:
    row = answer(health(texts_alone(), lines("a" * 2001, *["b" * 1999] * 20)), "chunk sizes")
    assert row["status"] == "ok"
    assert row["value"] == pytest.approx(2001 / (2001 + 20 * 1999))


def test_sizes_of_another_text_that_is_indexed() -> None:
    def make(document: Document) -> list[Chunk]:
        return [Chunk.of(document, (0, 4), index_text="a heading and then all of it " * 100)]

    pipeline = Pipeline(
        chunker=AnyChunker(make), embedder=WordEmbedder(), retriever=ExactRetriever(), top_k=1
    )
    result = health(pipeline, [Document("d", "all ")])
    sizes = result.sizes.set_index(["text", "unit"])["median"].to_dict()
    assert sizes == {
        ("delivered", "characters"): 4.0,
        ("delivered", "tokens"): 1.0,
        ("indexed", "characters"): 2900.0,
        ("indexed", "tokens"): 700.0,
    }
    assert answer(result, "chunk sizes")["value"] == 1.0  # what is embedded counts
    without_embedder = health(texts_alone(AnyChunker(make)), [Document("d", "all ")])
    assert without_embedder.sizes["unit"].tolist() == ["characters", "characters"]


@given(
    st.integers(0, 10_000),
    st.lists(st.text("ab.- \n", min_size=1, max_size=40), min_size=1, max_size=4).filter(
        lambda texts: all(text.strip() for text in texts)
    ),
)
def test_dropped_text_is_what_no_chunk_holds_character_by_character(seed: int, texts: list[str]) -> None:
    documents = [Document(f"d{i}", text) for i, text in enumerate(texts)]
    chunker = SeededChunker(seed)
    result = health(texts_alone(chunker), documents)
    dropped = {}
    for document in documents:
        held = {
            i
            for chunk in chunker.chunk(document)
            for span in chunk.spans
            for i in range(span.start, span.end)
        }
        dropped[document.id] = {
            i for i, character in enumerate(document.text) if i not in held and not character.isspace()
        }
    total = sum(len("".join(text.split())) for text in texts)
    row = answer(result, "dropped text")
    assert row["value"] == pytest.approx(sum(map(len, dropped.values())) / total)
    text_of = {document.id: document.text for document in documents}
    worded = any(text_of[doc_id][i].isalnum() for doc_id, places in dropped.items() for i in places)
    assert row["status"] == ("warning" if worded else "ok")
    table = result.dropped.set_index("doc_id")
    assert table["dropped"].to_dict() == {doc_id: len(p) for doc_id, p in dropped.items() if p}
    for doc_id, of_one in table.iterrows():
        start, end = int(of_one["start"]), int(of_one["end"])
        text = text_of[str(doc_id)]
        assert text[start:end] == text[start:end].strip() != ""
        inside = {i for i in range(start, end) if not text[i].isspace()}
        assert inside <= dropped[str(doc_id)]
        assert of_one["share"] == of_one["dropped"] / len("".join(text.split()))


def test_the_longest_dropped_passage_is_named_with_its_place() -> None:
    text = "Kept. Short gap. Kept. A much longer passage is gone.  Kept."
    start = text.index("A much")
    cuts = {"d": [[(0, 5)], [(17, 22)], [(len(text) - 5, len(text))]]}
    result = health(texts_alone(CutChunker(cuts)), [Document("d", text), Document("whole", "All of it.")])
    row = answer(result, "dropped text")
    assert row["status"] == "warning"
    assert row["code"] == "chunker.dropped_text"
    assert f"{start}-{start + 30} of document 'd': 'A much longer passage is gone.'" in row["seen"]
    assert "1 of 2 documents" in row["seen"]
    assert result.dropped[["doc_id", "start", "end"]].to_numpy().tolist() == [["d", start, start + 30]]


def test_dropped_punctuation_and_whitespace_are_no_warning() -> None:
    text = "One.\n\n---\n\nTwo."
    rules = answer(
        health(texts_alone(CutChunker({"d": [[(0, 4)], [(11, 15)]]})), [Document("d", text)]), "dropped text"
    )
    assert (rules["status"], rules["value"]) == ("ok", 3 / 11)
    assert "None of it is a letter or a digit." in rules["seen"]
    kept = answer(health(texts_alone(), lines("One.", "", "Two.")), "dropped text")
    assert (kept["status"], kept["value"], kept["advice"]) == ("ok", 0.0, "")


def test_a_document_without_chunks_is_dropped_whole() -> None:
    result = health(
        texts_alone(CutChunker({"gone": []})), [Document("d", "Kept."), Document("gone", "Gone.")]
    )
    assert result.dropped.to_dict("records") == [
        {"doc_id": "gone", "characters": 5, "dropped": 5, "share": 1.0, "start": 0, "end": 5}
    ]


def test_repeated_chunks_are_counted_beyond_the_first_of_each() -> None:
    texts = ["footer  text", "one", "footer text", "two", "footer text", "one"]
    result = health(texts_alone(), [Document(f"d{i}", text) for i, text in enumerate(texts)])
    row = answer(result, "repeated chunks")
    times = Counter(" ".join(text.split()) for text in texts)
    assert row["value"] == sum(number - 1 for number in times.values()) / len(texts)
    assert (row["status"], row["code"]) == ("warning", "chunker.duplicates")
    assert result.repeats.to_dict("records") == [
        {"times": 3, "chunk_ids": ("d0#0-12", "d2#0-11", "d4#0-11")},
        {"times": 2, "chunk_ids": ("d1#0-3", "d5#0-3")},
    ]


def test_children_of_one_parent_are_no_repeats() -> None:
    def children(document: Document) -> list[Chunk]:
        span = (Span(document.id, 0, len(document.text)),)
        return [Chunk(f"{document.id}/{word}", span, document.text, word) for word in document.text.split()]

    row = answer(
        health(texts_alone(AnyChunker(children)), lines("a parent of five children")), "repeated chunks"
    )
    assert (row["status"], row["value"]) == ("ok", 0.0)
    one_in_a_hundred = [*(f"line {i}" for i in range(99)), "line 7"]
    row = answer(health(texts_alone(), lines(*one_in_a_hundred)), "repeated chunks")
    assert (row["status"], row["value"]) == ("ok", 0.01)


def test_chunks_without_text_are_counted() -> None:
    def make(document: Document) -> list[Chunk]:
        return [
            Chunk.of(document, (0, 4)),
            Chunk("blank", (Span("d", 4, 6),), ""),
            Chunk("unindexed", (Span("d", 6, 10),), "text", index_text="\n"),
        ]

    result = health(texts_alone(AnyChunker(make)), [Document("d", "some  text")])
    row = answer(result, "empty chunks")
    assert (row["status"], row["value"], row["code"]) == ("warning", 2, "")
    assert "2 of 3 chunks (66.7%), first 'blank'" in row["seen"]
    assert row["advice"] == "Leave out chunks without text."
    only_blank = health(
        texts_alone(AnyChunker(lambda _: [Chunk("blank", (Span("d", 4, 6),), "")])),
        [Document("d", "some  text")],
    )
    assert answer(only_blank, "chunk sizes")["value"] == 0.0
    assert answer(health(texts_alone(), lines("a", "b")), "empty chunks")["status"] == "ok"


# Embedder and vectors


def test_chunks_over_the_input_limit_and_the_tokens_that_are_lost() -> None:
    texts = ["one two three four five six", "one two three", "one two three four", "one"]
    pipeline = Pipeline(
        chunker=LineChunker(), embedder=WordEmbedder(max_tokens=3), retriever=ExactRetriever(), top_k=1
    )
    row = answer(health(pipeline, lines(*texts)), "input limit")
    assert (row["status"], row["code"], row["value"]) == ("warning", "embedder.truncated", 0.5)
    assert "3 tokens that the embedder reads: 2 of 4 chunks (50.0%)" in row["seen"]
    assert "'d#0-27', has 6. Not embedded: 4 of 14 tokens (28.6%)." in row["seen"]
    row = answer(health(pipeline, lines(*texts[1:2])), "input limit")
    assert (row["status"], row["value"]) == ("ok", 0.0)
    assert "Not embedded" not in row["seen"]


def test_an_input_limit_needs_a_limit_and_a_count() -> None:
    @dataclass(frozen=True)
    class NoCount(TableEmbedder):
        max_tokens: int = 3

    def of(embedder: Any) -> Health:
        pipeline = Pipeline(chunker=LineChunker(), embedder=embedder, retriever=ExactRetriever(), top_k=1)
        return health(pipeline, lines("a", "b"))

    assert_not_applicable(of(WordEmbedder()), "input limit", "declares no input limit")
    assert_not_applicable(of(NoCount({})), "input limit", "does not count tokens")
    assert_not_applicable(health(texts_alone(), lines("a")), "input limit", "has no embedder")


def test_zero_vectors_are_counted_and_the_lengths_of_the_others_told() -> None:
    vectors = np.array([[3, 4], [0, 0], [0, 1], [0, 2], [0, 0]], dtype=np.float32)
    row = answer(health(*over_vectors(vectors, ExactRetriever())), "zero vectors")
    assert (row["status"], row["value"]) == ("warning", 2)
    assert "Of 5 vectors 2 are zero, first that of chunk 'd#7-13'" in row["seen"]
    assert "the others have the length 1 to 5, the median 2." in row["seen"]
    assert row["advice"].startswith("Find out which texts")
    row = answer(health(*over_vectors(vectors[2:3], ExactRetriever(), top_k=1)), "zero vectors")
    assert row["status"] == "ok"
    assert row["seen"] == "Of 1 vectors none is zero; the others have the length 1."
    row = answer(health(*over_vectors(vectors[1:2], ExactRetriever(), top_k=1)), "zero vectors")
    assert row["seen"] == "Of 1 vectors 1 is zero, first that of chunk 'd#0-6'."
    assert_not_applicable(health(texts_alone(), lines("a")), "zero vectors", "has no embedder")


def test_anisotropy_is_the_mean_cosine_of_all_pairs() -> None:
    vectors = random_vectors(1, 12, 4)
    for shift, status in ((0, "ok"), (20, "warning")):
        shifted = vectors + np.float32(shift)
        units = [row / np.linalg.norm(row) for row in shifted.astype(np.float64)]
        expected = np.mean([a @ b for a, b in combinations(units, 2)])
        row = answer(health(*over_vectors(shifted, ExactRetriever())), "anisotropy")
        assert row["value"] == pytest.approx(expected, abs=1e-9)
        assert row["status"] == status
    one = health(*over_vectors(vectors[:1], ExactRetriever(), top_k=1))
    assert_not_applicable(one, "anisotropy", "A mean cosine needs two vectors that are not zero, got 1.")


def hub_vectors() -> tuple[Vectors, Vectors]:
    """Chunks and queries around 12 axes, and one chunk between all of them."""
    rng = np.random.default_rng(2)
    axes = np.eye(12)
    chunks = np.repeat(axes, 20, axis=0) + rng.normal(0, 0.02, (240, 12))
    queries = np.repeat(axes, 5, axis=0) + rng.normal(0, 0.02, (60, 12))
    return chunks.astype(np.float32), queries.astype(np.float32)


def test_hubs_by_queries() -> None:
    chunks, vectors = hub_vectors()
    queries, also = asked(vectors)
    plain = answer(health(*over_vectors(chunks, ExactRetriever(), also=also), queries), "hubs")
    assert plain["status"] == "ok"
    assert plain["code"] == "embedder.hubs"
    long_one = chunks.copy()
    long_one[100] = 10  # under a dot product it outscores every other chunk, whatever is asked
    pipeline, documents = over_vectors(long_one, ExactRetriever("dot"), similarity="dot", also=also)
    result = health(pipeline, documents, queries)
    row = answer(result, "hubs")
    orders = [exact_order(long_one, query, "dot")[:10] for query in vectors]
    found = sum(100 in order for order in orders)
    assert found == 60
    assert (row["status"], row["value"]) == ("warning", found / 60)
    assert result.hubs.to_dict("records") == [
        {"chunk_id": documents_chunk(documents, 100), "queries": 60, "share": 1.0}
    ]
    assert "take 10.0% of all these places" in row["seen"]  # one of ten


def documents_chunk(documents: Sequence[Document], row: int) -> str:
    return LineChunker().chunk(documents[0])[row].id


def test_hubs_by_chunks_in_place_of_queries_say_so() -> None:
    chunks, _ = hub_vectors()
    chunks[100] = 10
    pipeline, documents = over_vectors(chunks, ExactRetriever("dot"), similarity="dot")
    row = answer(health(pipeline, documents), "hubs")
    assert row["value"] == pytest.approx(239 / 240)  # all but itself
    assert row["seen"].startswith("By 240 chunks in place of queries, each without itself:")
    row = answer(health(pipeline, documents, sample=50), "hubs")
    assert row["seen"].startswith("By 50 sampled chunks in place of queries")


def test_hubs_need_enough_queries_and_chunks() -> None:
    chunks, vectors = hub_vectors()
    queries, also = asked(vectors)
    pipeline, documents = over_vectors(chunks, ExactRetriever(), also=also)
    assert_not_applicable(health(pipeline, documents, queries[:19]), "hubs", "of 19 queries; it takes 20")
    assert_not_applicable(health(pipeline, documents, queries[:1]), "hubs", "of 1 query;")
    few, documents = over_vectors(chunks[:49], ExactRetriever(), also=also)
    assert_not_applicable(health(few, documents, queries), "hubs", "it takes 50")
    assert_not_applicable(health(texts_alone(), lines("a")), "hubs", "has no embedder")


# Searches


def test_a_metric_that_is_not_the_embedders_and_how_much_it_changes() -> None:
    vectors = random_vectors(4, 30, 3) * np.linspace(1, 3, 30, dtype=np.float32)[:, None]
    queries, also = asked(random_vectors(5, 25, 3))
    pipeline, documents = over_vectors(vectors, FaissRetriever("Flat", metric="dot"), also=also)
    row = answer(health(pipeline, documents, queries), "metric")
    changed = []
    for query in queries:
        vector = np.array(also[query.text], dtype=np.float32)
        meant, computed = (set(exact_order(vectors, vector, m)[:5]) for m in ("cosine", "dot"))
        changed.append(len(computed - meant) / 5)
    assert (row["status"], row["code"]) == ("warning", "retriever.metric")
    assert row["value"] == pytest.approx(np.mean(changed))
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    assert f"is {lengths.max() / lengths.min() - 1:.1%} longer than the shortest" in row["seen"]
    assert "Meant for cosine, the vectors are compared by dot in FaissRetriever" in row["seen"]


def test_another_metric_over_vectors_of_one_length_is_no_warning() -> None:
    vectors = random_vectors(4, 30, 3)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for metric in ("dot", "l2"):
        row = answer(health(*over_vectors(vectors, ExactRetriever(metric))), "metric")
        assert (row["status"], row["value"]) == ("ok", 0.0)
        assert "all have the same length" in row["seen"]
    row = answer(health(*over_vectors(vectors, ExactRetriever())), "metric")
    assert (
        row["seen"] == "Meant for cosine, the vectors are compared by it in ExactRetriever(metric='cosine')."
    )
    # A zero vector has no length: the metrics disagree about it.
    vectors[3] = 0
    assert "longest" in answer(health(*over_vectors(vectors, ExactRetriever("l2"))), "metric")["seen"]


def test_every_arm_is_asked_for_its_metric_and_silence_is_told() -> None:
    vectors = random_vectors(6, 10, 3)
    hybrid = HybridRetriever([ThresholdRetriever(ExactRetriever(), min_score=0), BM25Retriever()])
    row = answer(health(*over_vectors(vectors, hybrid)), "metric")
    assert (row["status"], row["value"]) == ("ok", 0.0)
    assert "BM25" not in row["seen"]
    row = answer(
        health(*over_vectors(vectors, Fused((ExactRetriever(), LossyRetriever(frozenset()))))), "metric"
    )
    assert "Not known of: LossyRetriever" in row["seen"]
    undeclared = health(*over_vectors(vectors, LossyRetriever(frozenset())))
    assert_not_applicable(undeclared, "metric", "does not declare")
    assert_not_applicable(health(texts_alone(), lines("a")), "metric", "has no embedder")


def test_a_metric_that_there_is_not_is_refused() -> None:
    @dataclass(frozen=True)
    class Odd(LossyRetriever):
        metric: str = "hamming"

    with pytest.raises(ConfigError, match=r"Odd.metric must be .* got 'hamming'"):
        health(*over_vectors(random_vectors(0, 3, 2), Odd(frozenset())))


def test_chunks_that_the_index_never_got_are_unreachable() -> None:
    vectors = random_vectors(7, 40, 6)
    missing = frozenset({3, 17, 18, 39})
    pipeline, documents = over_vectors(vectors, LossyRetriever(missing))
    result = health(pipeline, documents)
    row = answer(result, "unreachable vectors")
    assert (row["status"], row["code"], row["value"]) == ("warning", "retriever.unreachable", 4 / 40)
    ids = [documents_chunk(documents, i) for i in sorted(missing)]
    assert result.unreachable["chunk_id"].tolist() == ids
    assert f"4 of 40 chunks (10.0%), {', '.join(map(repr, ids[:3]))} and others." in row["seen"]
    assert row["advice"].startswith("See whether the index holds all chunks")
    # One hole in ten costs an exact search about a tenth of its nearest.
    assert answer(result, "recall of the index")["status"] == "warning"


def test_an_exact_index_reaches_every_chunk() -> None:
    row = answer(health(*over_vectors(random_vectors(7, 40, 6), ExactRetriever())), "unreachable vectors")
    assert (row["status"], row["value"]) == ("ok", 0.0)
    assert_not_applicable(health(texts_alone(), lines("a")), "unreachable vectors", "has no embedder")
    only_texts = Fused((BM25Retriever(),))
    nothing = health(*over_vectors(random_vectors(7, 4, 2), only_texts))
    for check in ("unreachable vectors", "recall of the index", "metric"):
        assert_not_applicable(nothing, check, "searches no vectors")


def test_chunks_that_longer_vectors_outscore_are_no_fault_of_the_index() -> None:
    vectors = random_vectors(8, 40, 2) * np.linspace(0.1, 5, 40, dtype=np.float32)[:, None]
    pipeline, documents = over_vectors(vectors, ExactRetriever("dot"), similarity="dot")
    outscored = [row for row in range(40) if exact_order(vectors, vectors[row], "dot").index(row) >= 5]
    assert outscored
    row = answer(health(pipeline, documents), "unreachable vectors")
    assert (row["status"], row["value"]) == ("ok", 0.0)
    assert f"outscored by others in an exact search, too: {len(outscored)}." in row["seen"]


@pytest.mark.parametrize("with_queries", [True, False])
def test_recall_of_an_approximate_index_by_depth(with_queries: bool) -> None:  # noqa: FBT001
    vectors = random_vectors(9, 200, 8)
    of_queries = random_vectors(10, 30, 8)
    queries, also = asked(of_queries)
    retriever = FaissRetriever("IVF16,Flat", parameters={"nprobe": 2})
    pipeline, documents = over_vectors(vectors, retriever, also=also, top_k=12)
    result = health(pipeline, documents, queries if with_queries else None)
    chunks = LineChunker().chunk(documents[0])
    searcher = retriever.build(chunks, vectors)
    row_of = {chunk.id: row for row, chunk in enumerate(chunks)}
    expected = dict.fromkeys((1, 5, 10, 12), 0.0)
    probes = of_queries if with_queries else vectors
    for i, vector in enumerate(probes):
        hits = searcher.search([Request("q", "", vector)], 12 if with_queries else 13)[0]
        found = [row_of[hit.chunk_id] for hit in hits]
        exact = exact_order(vectors, vector, "cosine")
        if not with_queries:
            found, exact = ([row for row in rows if row != i] for rows in (found, exact))
        for depth in expected:
            expected[depth] += len({*found[:depth]} & {*exact[:depth]}) / depth / len(probes)
    table = result.ann_recall.set_index("depth")
    assert table["recall"].to_dict() == pytest.approx(expected)
    assert set(table["queries"]) == {len(probes)}
    assert set(table["metric"]) == {"cosine"}
    row = answer(result, "recall of the index")
    assert (row["status"], row["code"]) == ("warning", "retriever.approximate")
    assert row["value"] == pytest.approx(min(expected.values()))
    assert ("in place of queries" in row["seen"]) is not with_queries


def test_equal_vectors_are_as_good_as_each_other() -> None:
    """An index may choose freely among ties: one in reverse order finds what is as near."""
    vectors = np.repeat(random_vectors(11, 6, 3), 5, axis=0)

    def reversed_ties(chunks: Sequence[Chunk], request: Request, n: int) -> Any:
        searcher = ExactRetriever().build([*reversed(chunks)], vectors[::-1])
        return searcher.search([request], n)[0]

    queries, also = asked(random_vectors(12, 20, 3))
    pipeline, documents = over_vectors(vectors, AnyRetriever(reversed_ties), also=also, top_k=3)
    result = health(pipeline, documents, queries)
    assert result.ann_recall["recall"].tolist() == [1.0, 1.0]
    assert answer(result, "recall of the index")["status"] == "ok"


def test_recall_is_measured_for_each_index_behind_a_retriever() -> None:
    vectors = random_vectors(13, 60, 4)
    arms = (ExactRetriever(), LossyRetriever(frozenset(range(0, 60, 2))), BM25Retriever())
    for retriever in (HybridRetriever(arms), Fused(arms)):  # the second one's indexes are built anew
        result = health(*over_vectors(vectors, retriever))
        worst = result.ann_recall.groupby("retriever")["recall"].min()
        assert len(worst) == 2
        assert worst["ExactRetriever(metric='cosine')"] == 1.0
        assert worst.min() < 0.8
        assert answer(result, "recall of the index")["value"] == worst.min()
        assert result.unreachable["retriever"].unique().tolist() == [repr(arms[1])]
        assert answer(result, "unreachable vectors")["value"] == 0.5


def test_an_index_that_declares_other_arms_than_its_retriever_is_refused() -> None:
    fused = Fused((LossyRetriever(frozenset()), BM25Retriever()), declared=1)
    with pytest.raises(StageError, match="declares 2 arms, but its searcher 1"):
        health(*over_vectors(random_vectors(0, 4, 2), fused))


def test_recall_needs_something_to_search_for() -> None:
    one = health(*over_vectors(random_vectors(0, 1, 2), ExactRetriever(), top_k=1))
    for check in ("recall of the index", "hubs"):
        assert_not_applicable(one, check, "no chunk with another one to search for")
    zeros = health(*over_vectors(np.zeros((3, 2), dtype=np.float32), ExactRetriever()))
    assert_not_applicable(zeros, "recall of the index", "no chunk with another one")
    assert zeros.ann_recall.columns.tolist() == ["retriever", "metric", "depth", "recall", "queries"]
    assert_not_applicable(health(texts_alone(), lines("a")), "recall of the index", "has no embedder")
    queries, also = asked(random_vectors(1, 2, 2))
    asked_one = health(*over_vectors(random_vectors(0, 1, 2), ExactRetriever(), top_k=1, also=also), queries)
    assert answer(asked_one, "recall of the index")["value"] == 1.0


# Packer


def packing(packer: Any, *, embedder: Any = None, top_k: int = 5) -> Pipeline:
    if embedder is None:
        return texts_alone(packer=packer, top_k=top_k)
    return Pipeline(
        chunker=LineChunker(), embedder=embedder, retriever=ExactRetriever(), packer=packer, top_k=top_k
    )


def test_a_packer_that_counts_characters_as_tokens() -> None:
    texts = ["one two three", "four five", "six seven eight nine"]
    result = health(packing(BudgetPacker(100), embedder=WordEmbedder()), lines(*texts))
    row = answer(result, "count of tokens")
    words = sum(len(text.split()) for text in texts)
    assert (row["status"], row["code"]) == ("warning", "packer.miscount")
    assert row["value"] == sum(map(len, texts)) / words
    assert "the embedder's tokenizer 9" in row["seen"]
    named = health(packing(BudgetPacker(100), embedder=WordEmbedder()), lines(*texts), counter="characters")
    row = answer(named, "count of tokens")
    assert (row["status"], row["value"]) == ("ok", 1.0)
    assert "Characters() 42" in row["seen"]


def test_too_few_tokens_are_a_miscount_as_well() -> None:
    @dataclass(frozen=True)
    class Half(BudgetPacker):
        def tokens(self, chunk: Chunk) -> int:
            return len(chunk.text) // 2

    row = answer(health(packing(Half(9)), lines("four", "4444"), counter=Characters()), "count of tokens")
    assert (row["status"], row["value"]) == ("warning", 0.5)


def test_a_count_needs_a_packer_with_a_budget_and_another_count() -> None:
    def of(packer: Any, counter: Any = None, text: str = "a") -> Health:
        return health(packing(packer), [Document("d", text)], counter=counter)

    for check in ("count of tokens", "room in the budget"):
        assert_not_applicable(of(None), check, "has no packer")
        assert_not_applicable(of(AnyPacker(list)), check, "declares no budget")
    assert_not_applicable(of(BudgetPacker(5)), "count of tokens", "Nothing else counts tokens")
    nothing = Pipeline(
        chunker=WholeChunker(), embedder=WordEmbedder(), retriever=ExactRetriever(), packer=BudgetPacker(5)
    )
    with pytest.warns(UserWarning, match="hold no text"):
        blank = health(nothing, [Document("d", "  ")])
    assert_not_applicable(blank, "count of tokens", "The chunks hold no tokens")


def test_a_budget_that_does_not_hold_k_median_chunks() -> None:
    texts = ["a" * 10, "b" * 20, "c" * 30, "d" * 40, "e" * 90]
    row = answer(health(packing(BudgetPacker(80), top_k=3), lines(*texts)), "room in the budget")
    assert (row["status"], row["code"]) == ("warning", "capacity.budget")
    assert row["value"] == 80 / 30
    assert "1 of 5 chunks (20.0%) do not even fit alone" in row["seen"]
    row = answer(health(packing(BudgetPacker(90), top_k=3), lines(*texts)), "room in the budget")
    assert (row["status"], row["value"]) == ("ok", 3.0)
    few = answer(health(packing(BudgetPacker(90), top_k=9), lines(*texts[:2])), "room in the budget")
    assert few["status"] == "ok"  # there are only two chunks


# The whole


def test_each_check_has_a_name_a_known_code_and_advice() -> None:
    assert [check.name for check in CHECKS] == list(dict.fromkeys(check.name for check in CHECKS))
    assert {check.name for check in CHECKS} == NAMES
    for check in CHECKS:
        assert check.code == "" or check.code in CAUSES
        assert check.remedy.endswith(".")


def test_the_table_has_a_row_for_each_check() -> None:
    result = health(texts_alone(), lines("One.", "Two."))
    table = result.table
    assert table.columns.tolist() == ["check", "code", "status", "value", "unit", "seen", "advice"]
    assert set(table["check"]) == NAMES
    assert result.counts == {"warning": 0, "ok": 4, "not applicable": 9}
    assert repr(result) == "Health(13 checks: 0 warn, 4 ok, 9 not applicable)"
    assert (result.documents, result.chunks, result.queries) == (1, 2, 0)


def test_the_same_seed_looks_at_the_same_sample() -> None:
    vectors = random_vectors(14, 60, 4)
    pipeline, documents = over_vectors(vectors, LossyRetriever(frozenset(range(0, 60, 2))))
    queries, _ = asked(vectors)

    def tables(seed: int) -> tuple[list[str], str]:
        result = health(pipeline, documents, queries, seed=seed, sample=20)
        return result.unreachable["chunk_id"].tolist(), str(result)

    assert tables(0) == tables(0)
    assert tables(0)[0] != tables(1)[0]
    result = health(pipeline, documents, queries, sample=20)
    assert "By 20 sampled queries" in answer(result, "recall of the index")["seen"]
    assert "of 20 sampled chunks" in answer(result, "unreachable vectors")["seen"]


@pytest.mark.parametrize("sample", [0, -1, 2.0, True])
def test_a_sample_is_a_whole_number(sample: Any) -> None:
    with pytest.raises(ConfigError, match="sample must be a whole number of at least 1"):
        health(texts_alone(), lines("a"), sample=sample)


def test_what_cannot_be_looked_at_is_refused() -> None:
    with pytest.raises(DataError, match="the corpus is empty"):
        health(texts_alone(), [])
    with pytest.raises(DataError, match="1 query ids are not unique"):
        health(texts_alone(), lines("a"), [Query("q", "?"), Query("q", "!")])
    with pytest.raises(ConfigError, match="count_tokens"):
        health(texts_alone(), lines("a"), counter=3)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def mistaken() -> Health:
    """The demo's pipeline with mistakes, over its questions."""
    documents, queries = demo_data()
    return health(demo_pipeline(mistakes=True), documents, queries)


def test_of_the_demos_mistakes_two_are_seen_without_labels(mistaken: Health) -> None:
    documents, _ = demo_data()
    warnings = {"recall of the index", "room in the budget"}
    for result in (mistaken, health(demo_pipeline(mistakes=True), documents)):
        table = result.table.set_index("check")
        assert set(table.index[table["status"] == "warning"]) == warnings
        assert table["value"]["recall of the index"] < 0.6  # one cell of sixteen
        assert 2 < table["value"]["room in the budget"] < 3
    sensible = health(demo_pipeline(), documents)
    assert sensible.counts == {"warning": 0, "ok": 12, "not applicable": 1}


# Faces


def test_the_text_tells_warnings_first_and_fits_a_terminal(mistaken: Health) -> None:
    text = str(mistaken)
    assert text.startswith("2 warnings: recall of the index, room in the budget.\n")
    assert text.index("WARNINGS") < text.index("NOTHING TO OBJECT TO") < text.index("COULD NOT BE CHECKED")
    assert "  room in the budget (capacity.budget): 2.11 (median chunks)\n" in text
    assert f"    -> {CAUSES['capacity.budget'].remedy}\n" in text
    assert all(len(line) <= 100 for line in text.splitlines())
    for answered in mistaken.answers:
        assert f"\n  {answered.check.name}" in text
    healthy = str(health(texts_alone(), lines("One.", "Two.")))
    assert healthy.startswith("No warning from 4 checks.\n2 chunks of 1 document, no queries.")
    assert "WARNINGS" not in healthy


def test_the_page_has_the_numbers_of_the_tables(mistaken: Health) -> None:
    page = check_page(mistaken._repr_html_())
    assert page.all("h3")[0].text == "2 warnings: recall of the index, room in the budget."
    cards = {card.all("dt")[0].text: card.all("dd")[0].text for card in page.all("div", "card")}
    assert cards == {"Nothing to object to": "10", "Could not be checked": "1", "Chunks": "1,029"} | {
        "Warnings": "2"
    }
    tables = {table.all("caption")[0].text: rows_of(table)[1:] for table in page.all("table")}
    wrong = tables["What is seen to be wrong, and what to do about it."]
    assert [row[0] for row in wrong] == [
        "recall of the indexretriever.approximate", "room in the budgetcapacity.budget"
    ]  # fmt: skip
    assert all(row[2].endswith(".") for row in wrong)
    recall = tables["How much of an exact search each index finds, by depth."]
    assert [float(row[3]) for row in recall] == pytest.approx(mistaken.ann_recall["recall"], abs=5e-4)
    assert len(tables["What lacks its input: nothing is known of it."]) == 1
    assert tables["How long chunks are."][0][2:4] == ["1,029", "7"]


def test_long_tables_are_cut_and_say_so() -> None:
    documents = [Document(f"d{i}", f"kept and dropped {i}") for i in range(12)]
    result = health(texts_alone(CutChunker({d.id: [[(0, 4)]] for d in documents})), documents)
    page = check_page(result._repr_html_())
    [dropped] = [t for t in page.all("table") if "Text that no chunk holds" in t.all("caption")[0].text]
    assert dropped.all("caption")[0].text.endswith("The first 10 of 12: health.dropped.")
    assert len(rows_of(dropped)) == 11
    assert rows_of(dropped)[1][0] == "d0"


def test_hostile_texts_stay_texts() -> None:
    hostile = "<script>alert(1)</script>\x1b[31m\ud800"

    @dataclass(frozen=True)
    class Named(LossyRetriever):
        def __repr__(self) -> str:
            return hostile

    document = Document(hostile, f"{hostile} one\n{hostile} two\nthree\n{hostile}")
    pipeline = Pipeline(
        chunker=CutChunker({hostile: [[(0, 10)], [(12, 20)], [(30, 40)]]}),
        embedder=HashingEmbedder(16),
        retriever=Named(frozenset({0, 2})),
        top_k=1,
    )
    result = health(pipeline, [document])
    assert result.counts["warning"] >= 2
    page = check_page(result._repr_html_())
    assert "alert(1)" in page.text
    text = str(result)
    assert not set(text) & {"\x1b", "\ud800"}
    text.encode()
