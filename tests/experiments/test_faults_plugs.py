"""What each broken plug does, on a few sentences, and that it passes on what the plug inside declares."""

from __future__ import annotations

import pickle
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from plugs import AnyChunker, LineChunker, WholeChunker

from ragdiag import (
    BM25Retriever,
    Chunk,
    ConfigError,
    Document,
    Evidence,
    ExactRetriever,
    FaissRetriever,
    HashingEmbedder,
    HybridRetriever,
    LateInteractionReranker,
    MarkdownChunker,
    PackerChain,
    ParentChildChunker,
    Pipeline,
    PromptOrder,
    Query,
    RecursiveChunker,
    Request,
    Span,
    ThresholdRetriever,
    TokenBudget,
)
from ragdiag.experiments.faults import FAULTS, Case, plant
from ragdiag.experiments.faults.fault import Aim
from ragdiag.experiments.faults.marks import Marks
from ragdiag.records import WholeDocument
from ragdiag.stages import boundary
from ragdiag.stages.protocols import Vectors, arms_of, budget_of, uses_vectors

LINES = (
    "Goods may be returned within thirty days of delivery at no cost.",
    "Refunds by bank transfer take five working days to arrive in Oslo.",
    "The warranty of lamps covers parts and labor for 24 months.",
    "Gift cards never expire and cannot be exchanged for money at all.",
    "Parcels to islands may need a week longer than others in winter.",
    "Write to support with the number of the order and a photograph.",
)
FAQ = Document("faq", "\n".join(LINES), {"lang": "en"})
NEWS = Document("news", "The shop in Bergen opens in May.\nThe old catalog is out of print now.")
QUERIES = tuple(
    Query(f"q{number}", line, [Evidence.of(Span.find(FAQ, line))]) for number, line in enumerate(LINES)
)
WORDS = HashingEmbedder(256)
PIPELINE = Pipeline(
    chunker=LineChunker(),
    embedder=WORDS,
    retriever=ExactRetriever(),
    reranker=LateInteractionReranker(WORDS),
    packer=TokenBudget(300),
    candidates=4,
    top_k=3,
)
CASE = Case(PIPELINE, (FAQ, NEWS), QUERIES)


def using(**plugs: Any) -> Case:
    return replace(CASE, pipeline=replace(PIPELINE, **plugs))


def broken(name: str, severity: float, case: Case = CASE) -> Case:
    return plant(case, [FAULTS[name].at(severity)]).case


def aimed(name: str, *numbers: int, case: Case = CASE) -> Case:
    """A case with a fault that hits the evidence of some queries."""
    marks = Marks.of([(f"q{number}", 0) for number in numbers], case.queries, case.originals)
    return FAULTS[name].wrap(case, Aim(0.5, marks, case))


def chunks_of(case: Case, document: Document = FAQ) -> list[Chunk]:
    return list(boundary.chunk_document(case.pipeline.chunker, document))


def embedded(case: Case, texts: Sequence[str]) -> Vectors:
    assert case.pipeline.embedder is not None
    return boundary.embed_documents(case.pipeline.embedder, texts)


def asked(case: Case, texts: Sequence[str]) -> Vectors:
    assert case.pipeline.embedder is not None
    return case.pipeline.embedder.embed_queries(texts)


def found(case: Case, query: str, n: int = 8) -> dict[str, float]:
    """The texts that the retriever of a case finds, with their scores."""
    index = case.pipeline.index(case.documents, progress=False)
    text_of = {chunk.id: chunk.text for chunk in index.chunks}
    vector = None if case.pipeline.embedder is None else asked(case, [query])[0]
    [hits] = index.searcher.search([Request("q", query, vector)], n)
    return {text_of[hit.chunk_id]: hit.score for hit in hits}


def scored(case: Case, query: str, texts: Sequence[str]) -> list[float]:
    assert case.pipeline.reranker is not None
    return list(case.pipeline.reranker.score(query, texts))


def packed(case: Case, chunks: Sequence[Chunk]) -> list[str]:
    assert case.pipeline.packer is not None
    documents = {document.id: document for document in case.documents}
    return [chunk.text for chunk in boundary.pack(case.pipeline.packer, "q", "?", chunks, documents)]


# Documents and labels


def test_documents_with_marked_evidence_are_left_out_and_stay_sources() -> None:
    case = aimed("dropped_documents", 1)
    assert case.documents == (NEWS,)
    assert case.sources == (FAQ, NEWS)
    copy = Document("copy", f"Copied: {LINES[1]}")
    with_copy = replace(CASE, documents=(FAQ, NEWS, copy), sources=(FAQ, NEWS))
    assert aimed("dropped_documents", 1, case=with_copy).documents == (NEWS,)
    assert aimed("dropped_documents", 1, case=with_copy).sources == (FAQ, NEWS)
    with pytest.raises(ConfigError, match="leaves no document"):
        aimed("dropped_documents", 1, case=replace(CASE, documents=(FAQ,)))


def test_documents_end_before_the_first_evidence_that_is_marked() -> None:
    case = aimed("truncated_documents", 4, 2)
    assert [document.text for document in case.documents] == ["\n".join(LINES[:2]) + "\n", NEWS.text]
    assert aimed("truncated_documents", 0).documents == (NEWS,)  # what would be left holds no text


def test_labels_are_moved_within_their_document() -> None:
    whole = Query("whole", "?", [Evidence.any_of(WholeDocument("news"), Span("faq", 0, 20))])
    last = Query("last", "?", [Evidence.of(Span("faq", len(FAQ.text) - 10, len(FAQ.text) - 3))])
    case = replace(CASE, queries=(whole, last, QUERIES[0]))
    moved = broken("offset_shift", 1.0, case).queries
    assert moved[0].evidence == (Evidence.any_of(WholeDocument("news"), Span("faq", 7, 27)),)
    assert moved[1].evidence == (Evidence.of(Span("faq", len(FAQ.text) - 7, len(FAQ.text))),)
    assert aimed("offset_shift", 0, case=case).queries[:2] == (whole, last)
    assert aimed("offset_shift", 0, case=case).queries[2] != QUERIES[0]


# Chunks


def test_chunks_of_a_fixed_size_hold_the_whole_text() -> None:
    chunks = chunks_of(broken("fixed_split", 50))
    assert "".join(chunk.text for chunk in chunks) == FAQ.text
    assert {len(chunk.text) for chunk in chunks[:-1]} == {50}


def test_evidence_is_cut_near_its_middle_and_what_stands_before_the_text_is_kept() -> None:
    document = Document("guide", f"# Guide\n\n## Money\n\n{LINES[0]} {LINES[1]}\n\n## Lamps\n\n{LINES[2]}")
    query = Query("q", "?", [Evidence.of(Span.find(document, LINES[1]))])
    chunker = MarkdownChunker(size=300, heading_path=True)
    case = replace(using(chunker=chunker), documents=(document,), queries=(query,))
    before, after = chunks_of(case, document), chunks_of(broken("split_evidence", 1.0, case), document)
    assert len(after) == len(before) + 1
    assert not any(LINES[1] in chunk.text for chunk in after)
    assert "".join("".join(c.text for c in after).split()) == "".join("".join(c.text for c in before).split())
    halves = [chunk for chunk in after if chunk.id not in {other.id for other in before}]
    assert [chunk.text.endswith("take five") for chunk in halves] == [True, False]
    assert all(chunk.index_text.startswith("Guide > Money") for chunk in halves)
    assert all(chunk.index_text.endswith(chunk.text) for chunk in halves)


def test_chunks_of_several_spans_and_children_of_parents_are_cut_as_well() -> None:
    at = FAQ.text.index(LINES[3])
    spans = ((0, len(LINES[0])), (at, at + len(LINES[3])))
    several = AnyChunker(lambda document: [Chunk.of(document, *spans)] if document.id == "faq" else [])
    first, second = chunks_of(aimed("split_evidence", 3, case=using(chunker=several)))
    assert first.spans[0] == Span("faq", *spans[0])
    assert first.text.startswith(f"{LINES[0]}\nGift cards")
    assert len(second.spans) == 1
    assert f"{first.text} {second.text}".split() == f"{LINES[0]}\n{LINES[3]}".split()
    children = ParentChildChunker(RecursiveChunker(400), RecursiveChunker(100))
    cut = chunks_of(aimed("split_evidence", 3, case=using(chunker=children)))
    assert not any(LINES[3] in chunk.text for chunk in cut)
    # One word longer than a chunk may be has no space to be cut at: it is cut in the middle.
    long = Document("long", string.ascii_letters)
    query = Query("q0", "?", [Evidence.of(Span("long", 10, 50))])
    case = replace(using(chunker=WholeChunker()), documents=(long,), queries=(query,))
    assert [len(chunk.text) for chunk in chunks_of(aimed("split_evidence", 0, case=case), long)] == [30, 22]


def test_the_last_chunks_are_forgotten_but_not_the_first() -> None:
    assert [chunk.text for chunk in chunks_of(broken("last_chunk_dropped", 2))] == list(LINES[:4])
    assert [chunk.text for chunk in chunks_of(broken("last_chunk_dropped", 9))] == [LINES[0]]
    assert len(chunks_of(broken("last_chunk_dropped", 0))) == len(LINES)


def test_short_chunks_are_dropped() -> None:
    assert {chunk.text for chunk in chunks_of(broken("minimum_length", 64))} == {
        line for line in LINES if len(line) >= 64
    }


@pytest.mark.parametrize("size", [1, 7, 20, 45])
def test_tiny_chunks_end_at_words_and_lose_no_text(size: int) -> None:
    chunks = chunks_of(broken("tiny_chunks", size))
    assert "".join("".join(chunk.text.split()) for chunk in chunks) == "".join(FAQ.text.split())
    words = set(FAQ.text.split())
    for chunk in chunks:
        assert set(chunk.text.split()) <= words
        assert len(chunk.text) <= size or len(chunk.text.split()) == 1
    assert len(chunks) > len(LINES)


def test_neighbors_are_joined_under_the_heading_of_the_first() -> None:
    chunks = chunks_of(broken("oversize_chunks", 4))
    assert [chunk.text for chunk in chunks] == ["\n".join(LINES[:4]), "\n".join(LINES[4:])]
    with_headings = AnyChunker(
        lambda document: [
            replace(chunk, index_text=f"Title {number}\n{chunk.text}")
            for number, chunk in enumerate(LineChunker().chunk(document))
        ]
    )
    joined = chunks_of(broken("oversize_chunks", 3, using(chunker=with_headings)))
    assert [chunk.index_text[:7] for chunk in joined] == ["Title 0", "Title 3"]
    assert all(chunk.index_text.endswith(chunk.text) for chunk in joined)


def test_headings_are_stripped_where_there_are_any() -> None:
    document = Document("guide", f"# Guide\n\n{LINES[0]}\n\n## Lamps\n\n{LINES[2]}")
    chunker = MarkdownChunker(size=300, heading_path=True)
    case = replace(using(chunker=chunker), documents=(document,), queries=())
    chunks = chunks_of(broken("heading_stripped", 1, case), document)
    assert [chunk.index_text for chunk in chunks] == [chunk.text for chunk in chunks]
    assert any(chunk.index_text != chunk.text for chunk in chunks_of(case, document))
    with pytest.raises(ConfigError, match="indexed with more than their text"):
        broken("heading_stripped", 1)


# Vectors


@pytest.mark.parametrize(
    ("name", "side", "prompt"),
    [("query_prompt_missing", "query", "query: "), ("document_prompt_missing", "document", "passage: ")],
)
def test_with_its_prompt_the_model_is_sound_and_without_it_one_side_has_drifted(
    name: str, side: str, prompt: str
) -> None:
    case = broken(name, 0.6)
    embed = asked if side == "query" else embedded
    other = embedded if side == "query" else asked
    prompted = [prompt + line for line in LINES]
    np.testing.assert_array_equal(embed(case, prompted), embed(CASE, LINES))
    np.testing.assert_array_equal(other(case, LINES), other(CASE, LINES))
    assert not np.allclose(embed(case, LINES), embed(CASE, LINES))
    mixed = embed(case, [prompted[0], LINES[1]])
    np.testing.assert_array_equal(mixed, [embed(case, prompted)[0], embed(case, LINES)[1]])
    assert case.pipeline.embedder is not None
    assert case.pipeline.embedder.unused_prompts == {side: prompt}  # type: ignore[attr-defined]


def test_both_prompts_can_be_missing() -> None:
    names = ("query_prompt_missing", "document_prompt_missing")
    embedder = plant(CASE, [FAULTS[name] for name in names]).case.pipeline.embedder
    assert getattr(embedder, "unused_prompts", None) == {"query": "query: ", "document": "passage: "}


def test_only_the_first_words_are_read_and_that_is_declared() -> None:
    case = broken("input_truncated", 3)
    embedder: Any = case.pipeline.embedder
    assert embedder.max_tokens == 3
    assert embedder.count_tokens(["one", "one two  three four", ""]) == [1, 4, 0]
    beginnings = [" ".join(line.split()[:3]) for line in LINES]
    np.testing.assert_array_equal(embedded(case, LINES), embedded(CASE, beginnings))
    np.testing.assert_array_equal(asked(case, LINES), asked(CASE, beginnings))


@pytest.mark.parametrize(
    ("name", "number", "seen"),
    [
        ("entity_masked", 1, " by bank transfer take five working days to arrive in ."),
        ("numbers_masked", 2, "The warranty of lamps covers parts and labor for  months."),
    ],
)
def test_names_and_numbers_are_not_seen_in_marked_texts(name: str, number: int, seen: str) -> None:
    case = aimed(name, number)
    expected = list(LINES)
    expected[number] = seen
    np.testing.assert_array_equal(embedded(case, LINES), embedded(CASE, expected))
    np.testing.assert_array_equal(asked(case, LINES), asked(CASE, LINES))


def test_marked_texts_get_noise_that_depends_on_the_text_alone() -> None:
    case = aimed("noise", 2)
    before, after = embedded(CASE, LINES), embedded(case, LINES)
    changed = [row for row in range(len(LINES)) if not np.array_equal(before[row], after[row])]
    assert changed == [2]
    np.testing.assert_array_equal(embedded(case, LINES[2:3]), after[2:3])
    longer = f"In short: {LINES[2]}"  # as a repaired chunk would be
    assert not np.allclose(embedded(case, [longer]), embedded(CASE, [longer]))
    np.testing.assert_array_equal(asked(case, LINES), asked(CASE, LINES))


def test_dimensions_are_cut_on_both_sides() -> None:
    case = broken("dimensions_cut", 10)
    np.testing.assert_array_equal(embedded(case, LINES), embedded(CASE, LINES)[:, :10])
    np.testing.assert_array_equal(asked(case, LINES), asked(CASE, LINES)[:, :10])


def test_another_version_embeds_queries_only() -> None:
    case = broken("other_version", 1.0)
    np.testing.assert_array_equal(embedded(case, LINES), embedded(CASE, LINES))
    own = (asked(case, LINES) * embedded(CASE, LINES)).sum(axis=1)
    assert (np.abs(own) < 0.5).all()


# Index and search


def test_marked_chunks_are_missing_also_from_repaired_ones() -> None:
    case = aimed("missing_upserts", 1)
    assert LINES[1] not in found(case, LINES[1])
    assert len(found(case, LINES[1])) == 7
    assert found(case, LINES[2])[LINES[2]] == pytest.approx(1.0)
    joined = replace(case, pipeline=replace(case.pipeline, chunker=WholeChunker()))
    assert list(found(joined, LINES[1])) == [NEWS.text]
    by_words = aimed("missing_upserts", 1, case=using(embedder=None, retriever=BM25Retriever()))
    assert LINES[1] not in found(by_words, LINES[1])


def test_overwritten_chunks_are_missing_whatever_else_is_indexed() -> None:
    case = broken("duplicate_ids", 0.5)
    there = set(found(case, LINES[0]))
    assert 1 <= len(there) < 8
    alone = replace(case, documents=(FAQ,))
    assert set(found(alone, LINES[0])) == there & set(LINES)
    assert len(found(broken("duplicate_ids", 0.0), "?")) == 8


@pytest.mark.parametrize("name", ["stale_vectors", "mixed_versions"])
def test_marked_chunks_have_other_vectors_whatever_else_is_indexed(name: str) -> None:
    case = aimed(name, 1, 2)
    healthy, hit = found(CASE, LINES[1]), found(case, LINES[1])
    assert {line for line in healthy if hit[line] != healthy[line]} == {LINES[1], LINES[2]}
    assert abs(hit[LINES[1]]) < 0.5
    alone = replace(case, documents=(FAQ,))
    assert found(alone, LINES[1])[LINES[1]] == hit[LINES[1]]


def test_vectors_of_another_version_keep_their_angles_and_stale_ones_do_not() -> None:
    spies = {}
    for name in ("mixed_versions", "stale_vectors"):
        spy = _Spy()
        aimed(name, 1, 2, case=using(retriever=spy)).pipeline.index((FAQ,), progress=False)
        spies[name] = spy.vectors[-1]
    healthy = embedded(CASE, LINES)
    for vectors in spies.values():
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    angle = healthy[1] @ healthy[2]
    mixed, stale = spies["mixed_versions"], spies["stale_vectors"]
    assert mixed[1] @ mixed[2] == pytest.approx(angle, abs=1e-5)
    assert stale[1] @ stale[2] != pytest.approx(angle, abs=1e-3)


@dataclass(frozen=True)
class _Spy:
    """Exact search that keeps the vectors that it was built with."""

    vectors: list[Vectors] = field(default_factory=list)
    metric: str = "cosine"

    def build(self, chunks: Sequence[Chunk], vectors: Vectors | None) -> Any:
        assert vectors is not None
        self.vectors.append(vectors)
        return ExactRetriever().build(chunks, vectors)


def test_inner_products_of_vectors_of_any_length() -> None:
    hybrid = HybridRetriever([ThresholdRetriever(ExactRetriever(), min_score=-9), BM25Retriever()])
    case = broken("inner_product", 0.8, using(retriever=hybrid))
    lengths = np.linalg.norm(embedded(case, LINES), axis=1)
    assert lengths.std() > 0.1
    np.testing.assert_allclose(embedded(case, LINES) / lengths[:, None], embedded(CASE, LINES), atol=1e-6)
    np.testing.assert_array_equal(asked(case, LINES), asked(CASE, LINES))
    threshold, words = arms_of(case.pipeline.retriever)
    assert arms_of(threshold) == (ExactRetriever(metric="dot"),)
    assert words == BM25Retriever()


@dataclass(frozen=True)
class _ByProducts:
    """An embedder that declares all that one can."""

    similarity: str = "dot"
    max_tokens: int = 99
    unused_prompts: Mapping[str, str] = field(default_factory=lambda: {"query": "ask: "})

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text) for text in texts]

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        return WORDS.embed_documents(texts)

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return WORDS.embed_queries(texts)


def test_inner_products_need_cosines_and_a_metric() -> None:
    with pytest.raises(ConfigError, match="compared by cosine"):
        broken("inner_product", 0.5, using(embedder=_ByProducts()))
    with pytest.raises(ConfigError, match="an option metric"):
        broken("inner_product", 0.5, using(retriever=_Unknown()))


@dataclass
class _Unknown:
    """A retriever that says nothing of itself."""

    def build(self, chunks: Sequence[Chunk], vectors: Vectors | None) -> Any:
        return ExactRetriever().build(chunks, vectors)


@pytest.mark.parametrize(
    ("retriever", "parameters"),
    [
        (FaissRetriever("IVF2,Flat"), {"nprobe": 1}),
        (FaissRetriever("IVF2,Flat", parameters={"nprobe": 2}), {"nprobe": 1}),
        (FaissRetriever("HNSW8", parameters={"efSearch": 64}), {"efSearch": 1}),
        (FaissRetriever("IVF2_HNSW8,Flat"), {"nprobe": 1, "efSearch": 1}),
    ],
)
def test_a_search_is_narrowed_by_what_its_index_has(
    retriever: FaissRetriever, parameters: Mapping[str, float]
) -> None:
    assert broken("narrow_search", 1, using(retriever=retriever)).pipeline.retriever == replace(
        retriever, parameters=parameters
    )
    inside = ThresholdRetriever(HybridRetriever([BM25Retriever(), retriever]), min_score=0)
    narrowed: Any = broken("narrow_search", 1, using(retriever=inside)).pipeline.retriever
    assert narrowed.retriever.arms[1].parameters == parameters
    around: Any = broken("narrow_search", 1, aimed("missing_upserts", 1, case=using(retriever=retriever)))
    assert around.pipeline.retriever.inner.parameters == parameters


def test_an_exact_search_cannot_be_narrowed() -> None:
    for retriever in (ExactRetriever(), FaissRetriever("Flat"), _Unknown()):
        with pytest.raises(ConfigError, match="can be narrowed"):
            broken("narrow_search", 1, using(retriever=retriever))


def test_marked_queries_are_sent_to_another_tenant() -> None:
    filtered = replace(QUERIES[1], filter={"lang": "en"})
    case = replace(CASE, queries=(QUERIES[0], filtered))
    wrong = aimed("wrong_filter", 1, case=case)
    assert wrong.queries[0] == QUERIES[0]
    assert wrong.queries[1].filter is not None
    assert wrong.queries[1].filter["lang"] == "en"
    trace = wrong.pipeline.run(wrong.documents, wrong.queries, progress=False)
    assert any(chunk.text == LINES[0] for chunk in trace["q0"].context)
    assert not any(chunk.spans[0].doc_id == "faq" for chunk in trace["q1"].context)


def test_a_wrong_filter_needs_metadata_on_chunks() -> None:
    bare = AnyChunker(lambda document: [replace(c, metadata={}) for c in LineChunker().chunk(document)])
    with pytest.raises(ConfigError, match="hands on the metadata"):
        aimed("wrong_filter", 1, case=using(chunker=bare))
    with pytest.raises(ConfigError, match="hands on the metadata"):
        aimed("wrong_filter", 1, case=using(chunker=AnyChunker(lambda _: [])))


@pytest.mark.parametrize(
    "retriever",
    [ExactRetriever(), ExactRetriever("l2"), HybridRetriever([ExactRetriever(), BM25Retriever()])],
)
def test_the_threshold_leaves_out_a_share_of_what_was_found_on_any_scale(retriever: Any) -> None:
    words = ("returned delivery", "refunds Oslo", "lamps", "gift cards money", "islands week", "support")
    queries = tuple(replace(query, text=text) for query, text in zip(QUERIES, words, strict=True))
    case = replace(using(retriever=retriever), queries=queries)
    threshold: Any = broken("score_threshold", 0.5, case).pipeline.retriever
    assert threshold.retriever == retriever
    scores = [found(case, query.text)[line] for query, line in zip(queries, LINES, strict=True)]
    assert threshold.min_score == pytest.approx(np.quantile(scores, 0.5))
    # What it is does not depend on other faults.
    both = plant(case, [FAULTS["split_evidence"].at(1.0), FAULTS["score_threshold"].at(0.5)]).case
    assert both.pipeline.retriever == threshold


def test_a_threshold_needs_something_found() -> None:
    other = Query("q0", "?", [Evidence.of(Span("source", 0, 40))])
    source = Document("source", "A text of which the documents hold nothing at all.")
    case = replace(CASE, queries=(other,), sources=(FAQ, NEWS, source))
    with pytest.raises(ConfigError, match="finds some of the evidence"):
        broken("score_threshold", 0.2, case)


def test_the_worst_arm_gets_the_weight_wherever_the_fusion_is() -> None:
    blind = _Blind()
    for arms, expected in (((blind, ExactRetriever()), (1.0, 0.1)), ((BM25Retriever(), blind), (0.1, 1.0))):
        fusing = ThresholdRetriever(HybridRetriever(arms), min_score=0)
        both = plant(using(retriever=fusing), [FAULTS["missing_upserts"], FAULTS["fusion_weights"].at(0.1)])
        wrapped: Any = both.case.pipeline.retriever
        assert wrapped.inner.retriever.weights == expected


@dataclass(frozen=True)
class _Blind:
    """Compares everything with the first dimension."""

    def build(self, chunks: Sequence[Chunk], vectors: Vectors | None) -> Any:
        assert vectors is not None
        return ExactRetriever().build(chunks, np.ones_like(vectors) + np.arange(len(vectors))[:, None])


def test_few_candidates_are_no_fewer_than_k() -> None:
    assert broken("few_candidates", 1).pipeline.candidates == 3
    assert broken("few_candidates", 4).pipeline.candidates == 4


def test_near_copies_ask_where_the_chunk_answers_and_are_more_than_the_candidates() -> None:
    case = aimed("near_duplicate_flood", 1, 3)
    copies = case.documents[2:]
    assert len(copies) == 2 * (PIPELINE.candidates + 1)
    assert case.documents[:2] == CASE.documents
    assert case.sources is None
    assert len({copy.id for copy in copies}) == len({copy.text for copy in copies}) == len(copies)
    assert all(copy.metadata == FAQ.metadata for copy in copies)
    answers = replace(CASE, queries=(replace(QUERIES[1], text="How long do refunds take?"),))
    flooded = aimed("near_duplicate_flood", 1, case=replace(answers, sources=(FAQ, NEWS)))
    assert not any(LINES[1] in copy.text for copy in flooded.documents[2:])
    assert all("How long do refunds take?" in copy.text for copy in flooded.documents[2:])
    assert flooded.sources == flooded.documents
    lost = replace(case.pipeline, chunker=AnyChunker(lambda _: []))  # no chunk to copy
    assert aimed("near_duplicate_flood", 1, case=replace(CASE, pipeline=lost)).documents == CASE.documents


# Rerankers


def test_scores_are_inverted_for_a_share_of_the_queries() -> None:
    case = broken("reranker_inverted", 0.5)
    signs = set()
    for line in LINES:
        healthy = scored(CASE, line, LINES)
        signs.add(scored(case, line, LINES) == [-score for score in healthy])
        assert scored(case, line, LINES) in ([-score for score in healthy], healthy)
    assert signs == {True, False}
    assert scored(broken("reranker_inverted", 1), "a", LINES) == [-s for s in scored(CASE, "a", LINES)]


@pytest.mark.parametrize(
    ("name", "severity"),
    [
        ("reranker_inverted", 0.5),
        ("reranker_random", 0.5),
        ("reranker_truncated", 20),
        ("phantom_boost", 0.5),
        ("length_bias", 5),
    ],
)
def test_a_score_depends_on_its_pair_alone(name: str, severity: float) -> None:
    case = broken(name, severity)
    for query in LINES:
        assert scored(case, query, LINES) == [scored(case, query, [line])[0] for line in LINES]


def test_random_scores_do_not_follow_the_texts() -> None:
    case = broken("reranker_random", 1.0)
    best = [int(np.argmax(scored(case, line, LINES))) for line in LINES]
    assert best != [int(np.argmax(scored(CASE, line, LINES))) for line in LINES]
    assert scored(broken("reranker_random", 0.0), LINES[0], LINES) == scored(CASE, LINES[0], LINES)


def test_the_beginning_is_read_and_nothing_is_declared() -> None:
    case = broken("reranker_truncated", 20)
    assert scored(case, LINES[1], LINES) == scored(CASE, LINES[1], [line[:20] for line in LINES])
    assert not hasattr(case.pipeline.reranker, "max_tokens")


def test_some_texts_are_loved_whatever_is_asked() -> None:
    case = broken("phantom_boost", 0.5)
    loved = [
        tuple(a - b > 500 for a, b in zip(scored(case, q, LINES), scored(CASE, q, LINES), strict=True))
        for q in ("lamps", "gift cards")
    ]
    assert loved[0] == loved[1]
    assert 0 < sum(loved[0]) < len(LINES)


def test_longer_texts_score_higher_by_what_scores_differ() -> None:
    case = broken("length_bias", 10)
    texts = ["lamps", "lamps" + " " * 500]
    short, long = scored(case, "lamps", texts)
    gain = (long - scored(CASE, "lamps", texts)[1]) - (short - scored(CASE, "lamps", texts)[0])
    assert gain > 0
    [twice], [healthy] = (scored(of, "lamps", texts[1:]) for of in (broken("length_bias", 20), CASE))
    assert twice - healthy == pytest.approx(2 * (long - healthy))


# Contexts

TOP = LineChunker().chunk(FAQ)[:4]


def test_a_smaller_budget_is_that_of_the_packer_itself_where_it_has_an_option_for_it() -> None:
    chain = PackerChain([TokenBudget(300), PromptOrder("edges")])
    for packer in (TokenBudget(300, system_prompt="Be kind."), chain):
        small: Any = broken("small_budget", 0.5, using(packer=packer)).pipeline.packer
        assert type(small) is type(packer)
        assert budget_of(small) == round((budget_of(packer) or 0) / 2)
    option: Any = broken("small_budget", 0.5, using(packer=_Option(100))).pipeline.packer
    assert option == _Option(50)


@dataclass(frozen=True)
class _Option:
    """A budget of characters; those that do not fit are left out."""

    budget: int

    def tokens(self, chunk: Chunk) -> int:
        return len(chunk.text)

    def pack(self, query: str, chunks: Sequence[Chunk]) -> list[Chunk]:  # noqa: ARG002
        return TokenBudget(self.budget, separator="").pack("", chunks)


class _Fixed:
    """A budget that no option decides."""

    budget = 300

    def tokens(self, chunk: Chunk) -> int:
        return len(chunk.text)

    def pack(self, query: str, chunks: Sequence[Chunk]) -> list[Chunk]:  # noqa: ARG002
        return TokenBudget(self.budget, separator="").pack("", chunks)


def test_a_budget_that_no_option_decides_is_put_around_and_declared() -> None:
    case = broken("small_budget", 0.5, using(packer=_Fixed()))
    assert budget_of(case.pipeline.packer) == 150
    assert packed(case, TOP) == list(LINES[:2])
    assert packed(using(packer=_Fixed()), TOP) == list(LINES[:4])


def test_a_budget_can_be_counted_too_low() -> None:
    for packer in (TokenBudget(300, separator=""), _Fixed()):
        case = broken("miscount", 3, using(packer=packer))
        assert budget_of(case.pipeline.packer) == 300
        counting: Any = case.pipeline.packer
        assert counting.tokens(TOP[0]) == len(LINES[0])
        assert packed(case, TOP) == [LINES[0]]


@pytest.mark.parametrize("packer", [None, PromptOrder("edges")])
@pytest.mark.parametrize("name", ["small_budget", "miscount"])
def test_there_must_be_a_budget(name: str, packer: Any) -> None:
    problem = "breaks the packer" if packer is None else "declares a budget"
    with pytest.raises(ConfigError, match=problem):
        broken(name, 2, using(packer=packer))


def test_chunks_that_share_words_with_a_better_one_are_dropped() -> None:
    texts = ["The lamp is red today.", "The lamp is blue.", "Write to us at once."]
    text = "\n".join(texts)
    document = Document("d", text)
    chunks = LineChunker().chunk(document)
    case = replace(broken("deduplication", 0.7), documents=(document,))
    assert packed(case, chunks) == [chunks[0].text, chunks[2].text]
    assert packed(replace(broken("deduplication", 1.0), documents=(document,)), chunks) == texts


def test_the_beginning_of_each_chunk_is_kept_up_to_a_word() -> None:
    kept = packed(broken("chunks_cut", 0.5), TOP)
    assert len(kept) == len(TOP)
    for text, line in zip(kept, LINES, strict=False):
        assert line.startswith(f"{text} ")
        assert len(text) <= len(line) / 2
    assert packed(broken("chunks_cut", 0.0), TOP) == []
    assert packed(broken("chunks_cut", 1.0), TOP) == list(LINES[:4])


def test_the_best_chunks_are_left_out_before_the_packer_sees_them() -> None:
    assert packed(broken("first_dropped", 2, using(packer=TokenBudget(70))), TOP) == [LINES[2]]
    assert packed(broken("first_dropped", 9), TOP) == []


# What is passed on, and shown


@pytest.mark.parametrize("name", [name for name, fault in FAULTS.items() if fault.needs == ("embedder",)])
def test_a_plug_is_pickled_and_shows_its_options_and_no_addresses(name: str) -> None:
    hybrid = HybridRetriever([FaissRetriever("IVF2,Flat"), BM25Retriever()])
    pipeline = broken(name, 0.5, using(retriever=hybrid, reranker=None)).pipeline
    again = pickle.loads(pickle.dumps(pipeline))  # noqa: S301  # its own
    assert again.stages == pipeline.stages
    assert " at 0x" not in repr(pipeline)


def test_stages_that_are_not_there_cannot_be_wrapped() -> None:
    for name, stage in (("noise", "embedder"), ("reranker_random", "reranker")):
        case = using(embedder=None, reranker=None, retriever=BM25Retriever())
        with pytest.raises(ConfigError, match=f"has no {stage}"):
            aimed(name, 1, case=case)


def test_an_embedder_passes_on_what_it_declares_and_nothing_else() -> None:
    for name in ("noise", "entity_masked", "other_version", "dimensions_cut"):
        declared: Any = broken(name, 1.0, using(embedder=_ByProducts())).pipeline.embedder
        assert (declared.similarity, declared.max_tokens) == ("dot", 99)
        assert declared.count_tokens(["four"]) == [4]
        assert declared.unused_prompts == {"query": "ask: "}
        silent = broken(name, 1.0, using(embedder=_Silent())).pipeline.embedder
        for attribute in ("similarity", "max_tokens", "count_tokens", "unused_prompts"):
            assert not hasattr(silent, attribute)


class _Silent:
    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        return WORDS.embed_documents(texts)

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return WORDS.embed_queries(texts)


def test_a_retriever_passes_on_its_metric_its_sound_arms_and_whether_it_uses_vectors() -> None:
    arms = (ExactRetriever("l2"), BM25Retriever())
    for name in ("missing_upserts", "duplicate_ids", "stale_vectors"):
        hybrid: Any = broken(name, 0.5, using(retriever=HybridRetriever(arms))).pipeline.retriever
        assert arms_of(hybrid) == arms
        assert uses_vectors(hybrid)
        assert not hasattr(hybrid, "metric")
        chunks = LineChunker().chunk(FAQ)
        assert not hasattr(hybrid.build(chunks, embedded(CASE, LINES)), "arms")
        one: Any = broken(name, 0.5, using(retriever=ExactRetriever("l2"))).pipeline.retriever
        assert one.metric == "l2"
        assert arms_of(one) == ()
    words = broken("missing_upserts", 0.5, using(embedder=None, retriever=BM25Retriever())).pipeline.retriever
    assert not uses_vectors(words)


def test_a_finished_index_is_built_anew() -> None:
    case = aimed("missing_upserts", 1, case=using(retriever=_Finished()))
    assert LINES[1] not in found(case, LINES[1])


class _Finished:
    """Brings an index that holds its own chunks only."""

    recipe = ExactRetriever()

    def build(self, chunks: Sequence[Chunk], vectors: Vectors | None) -> Any:
        raise AssertionError(f"built over {len(chunks)} chunks and {vectors}")


@pytest.mark.parametrize("name", ["deduplication", "chunks_cut", "first_dropped", "reordered_context"])
def test_a_packer_passes_on_its_budget_and_none_is_made_up(name: str) -> None:
    severity = FAULTS[name].severity
    declared: Any = broken(name, severity).pipeline.packer
    assert budget_of(declared) == 300
    assert declared.tokens(TOP[0]) == len(LINES[0]) + 2
    for packer in (None, PromptOrder("edges")):
        assert budget_of(broken(name, severity, using(packer=packer)).pipeline.packer) is None
    assert isinstance(packed(broken(name, severity, using(packer=None)), TOP), list)


def test_a_reranker_passes_on_how_much_it_reads() -> None:
    declared: Any = broken("phantom_boost", 0.1, using(reranker=_Limited())).pipeline.reranker
    assert declared.max_tokens == 7
    assert not hasattr(broken("phantom_boost", 0.1).pipeline.reranker, "max_tokens")


class _Limited:
    max_tokens = 7

    def score(self, query: str, texts: Sequence[str]) -> list[float]:  # noqa: ARG002
        return [0.0] * len(texts)
