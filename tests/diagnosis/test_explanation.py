"""One query's story, field by field, on cases where every field is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from plugs import (
    AnyPacker,
    AnyRetriever,
    BudgetPacker,
    CutChunker,
    OrderRetriever,
    TableEmbedder,
    TableReranker,
    WholeChunker,
)

from ragdiag import (
    BM25Retriever,
    DataError,
    Diagnosis,
    ExactRetriever,
    Explanation,
    HybridRetriever,
    Pipeline,
    diagnose,
)
from ragdiag.diagnosis.explanation import Passage, UnitStory
from ragdiag.diagnosis.verdicts import Verdict
from ragdiag.records import Chunk, Document, Evidence, Query, Span, WholeDocument

LEFT, EVIDENCE, RIGHT = "x" * 200, "abcd efgh", "y" * 200
TEXT = f"{LEFT} {EVIDENCE} {RIGHT}"
DOCUMENT = Document("d", TEXT)
START, END = 201, 210
UNIT = Evidence.of(Span("d", START, END))
QUERY = Query("q", "where is it", [UNIT])
CUTS = [[(0, 205)], [(205, 300)], [(300, len(TEXT))]]
FIRST, SECOND, THIRD = (Chunk.of(DOCUMENT, *ranges) for ranges in CUTS)
VECTORS = {QUERY.text: (1.0, 0.0), FIRST.text: (1.0, 0.5), SECOND.text: (1.0, 0.9), THIRD.text: (1.0, 0.1)}
PIPELINE = Pipeline(
    chunker=CutChunker({"d": CUTS}),
    embedder=TableEmbedder(VECTORS),
    retriever=ExactRetriever(),
    reranker=TableReranker({FIRST.text: 3, SECOND.text: 1, THIRD.text: 2}),
    candidates=3,
    top_k=2,
)


def observe(
    pipeline: Pipeline, documents: Sequence[Document], queries: Sequence[Query], **options: Any
) -> Diagnosis:
    """The diagnosis without re-runs: what is explained here is what the run itself shows."""
    return diagnose(pipeline, documents, queries, verify=False, **options)


def story(diagnosis: Diagnosis, query_id: str = "q", number: int = 0) -> UnitStory:
    return diagnosis.explain(query_id).units[number]


def only_passage(diagnosis: Diagnosis, number: int = 0) -> Passage:
    [passage] = story(diagnosis, number=number).passages
    return passage


def test_every_field_of_evidence_that_a_boundary_cuts() -> None:
    explanation = observe(PIPELINE, [DOCUMENT], [QUERY]).explain("q")
    assert isinstance(explanation, Explanation)
    assert (explanation.query_id, explanation.query) == ("q", QUERY.text)
    assert (explanation.candidates, explanation.top_k, explanation.recall) == (3, 2, 0.5)
    [unit] = explanation.units
    assert (unit.number, unit.stage, unit.alternatives) == (0, "reranker", 1)
    assert explanation.budget is None
    assert repr(explanation) == "Explanation('q', 1 of 1 units lost)"
    assert unit.coverage == {
        "everything": 1.0,
        "documents": 1.0,
        "chunks": 1.0,
        "best k": 1.0,
        "exact search": 1.0,
        "retrieved": 1.0,
        "reranked top k": 0.5,
    }
    assert (unit.ranks.exact, unit.ranks.retrieved, unit.ranks.reranked, unit.ranks.tied) == (3, 3, 3, False)
    assert unit.sentence == (
        "Lost at the reranker: the retriever returned it (complete at rank 3), but after reranking it is "
        "complete at rank 3 only, behind the top 2. A chunk boundary cuts the evidence. The context "
        "holds 50% of it."
    )
    [passage] = unit.passages
    assert (passage.doc_id, passage.start, passage.end) == ("d", START, END)
    assert passage.text == EVIDENCE
    assert passage.before == "x" * 159 + " "
    assert passage.after == " " + "y" * 159
    assert not passage.whole
    assert passage.copies == 0
    assert passage.boundaries == (205,)
    first, second = passage.chunks
    assert (first.chunk_id, first.ranges, first.share) == ("d#0-205", ((0, 205),), 0.5)
    assert (first.rank_exact, first.rank_retrieved, first.rank_reranked, first.in_context) == (2, 2, 1, True)
    assert (second.chunk_id, second.ranges, second.share) == ("d#205-300", ((205, 300),), 0.5)
    assert (second.rank_exact, second.rank_retrieved, second.rank_reranked, second.in_context) == (
        3,
        3,
        3,
        False,
    )


def test_a_delivered_unit_says_so() -> None:
    delivered = observe(replace(PIPELINE, top_k=3), [DOCUMENT], [QUERY])
    assert story(delivered).stage is None
    assert story(delivered).sentence == "Delivered: the context holds 100% of it. It is complete at rank 3."


def test_in_context_holds_for_a_chunk_that_the_packer_shortened() -> None:
    def shorten(chunks: Sequence[Chunk]) -> list[Chunk]:
        return [replace(chunks[0], spans=(Span("d", 0, 203),), text=TEXT[:203])]

    diagnosis = observe(replace(PIPELINE, packer=AnyPacker(shorten), top_k=3), [DOCUMENT], [QUERY])
    assert [sight.in_context for sight in only_passage(diagnosis).chunks] == [True, False]
    assert story(diagnosis).coverage["context"] == 0.25
    assert story(diagnosis).sentence == (
        "Lost at the packer: it was among the top 3 (complete at rank 3), but the packer left it out. "
        "A chunk boundary cuts the evidence. The context holds 25% of it."
    )


def test_shares_count_what_coverage_counts() -> None:
    """A chunk without the blank in the middle, and one with nothing but blanks."""
    cuts = [[(201, 205), (206, 210)], [(200, 201)], [(205, 206)]]
    diagnosis = observe(replace(PIPELINE, chunker=CutChunker({"d": cuts})), [DOCUMENT], [QUERY])
    [sight] = only_passage(diagnosis).chunks
    assert sight.share == 1.0


def test_an_overlapping_chunk_that_begins_inside_does_not_cut() -> None:
    cuts = [[(0, 300)], [(204, len(TEXT))]]
    lost = replace(PIPELINE, chunker=CutChunker({"d": cuts}), packer=AnyPacker(lambda _: []))
    diagnosis = observe(lost, [DOCUMENT], [QUERY])
    assert only_passage(diagnosis).boundaries == (204,)
    assert [sight.share for sight in only_passage(diagnosis).chunks] == [1.0, pytest.approx(5 / 8)]
    assert "boundary" not in story(diagnosis).sentence


def test_whitespace_that_ingestion_changed_is_no_boundary() -> None:
    source = Document("d", TEXT.replace(" ", " \n  "))
    unit = Evidence.of(Span.find(source, "abcd \n  efgh"))
    query = replace(QUERY, evidence=[unit])
    pipeline = Pipeline(chunker=WholeChunker(), retriever=BM25Retriever(), top_k=1)
    missed = observe(pipeline, [DOCUMENT, Document("e", "where is it")], [query], sources=[source])
    passage = only_passage(missed)
    assert passage.text == "abcd \n  efgh"
    assert passage.boundaries == ()
    assert [sight.share for sight in passage.chunks] == [1.0]
    assert "boundary" not in story(missed).sentence
    cut = observe(
        Pipeline(chunker=CutChunker({"d": CUTS}), retriever=BM25Retriever(), top_k=1),
        [DOCUMENT],
        [query],
        sources=[source],
    )
    # One chunk ends before the blanks, the next begins after them.
    assert only_passage(cut).boundaries == (passage.start + 4, passage.start + 8)


def test_a_whole_document_shows_its_beginning_and_all_its_chunks() -> None:
    query = Query("q", "where is it", [Evidence.of(WholeDocument("d"))])
    diagnosis = observe(replace(PIPELINE, top_k=1), [DOCUMENT], [query])
    passage = only_passage(diagnosis)
    assert passage.whole
    assert (passage.start, passage.end, passage.copies, passage.boundaries) == (0, len(TEXT), 0, ())
    assert (passage.before, passage.text, passage.after) == ("", TEXT[:320], "")
    assert [(s.chunk_id, s.ranges, s.share) for s in passage.chunks] == [
        ("d#0-205", ((0, 205),), 1.0),
        ("d#205-300", ((205, 300),), 1.0),
        (f"d#300-{len(TEXT)}", ((300, len(TEXT)),), 1.0),
    ]
    assert [s.in_context for s in passage.chunks] == [True, False, False]


def test_overlapping_spans_of_one_alternative_are_one_passage() -> None:
    unit = Evidence.of(Span("d", START, START + 6), Span("d", START + 3, END), Span("d", 0, 5))
    diagnosis = observe(PIPELINE, [DOCUMENT], [replace(QUERY, evidence=[unit])])
    assert [(p.start, p.end) for p in story(diagnosis).passages] == [(0, 5), (START, END)]


def test_the_alternative_that_came_furthest_is_shown() -> None:
    far, near = Span("d", 300, 310), Span("d", START, END)
    for spans in ((far, near), (near, far)):
        query = replace(QUERY, evidence=[Evidence.any_of(*spans)])
        unit = story(observe(replace(PIPELINE, top_k=1), [DOCUMENT], [query]))
        assert unit.alternatives == 2
        assert [p.start for p in unit.passages] == [START], "the context holds half of it"
    # Where the context holds none, the chunks decide.
    gone = Span("d", 150, 160)
    chunker = CutChunker({"d": [[(205, 300)], [(300, len(TEXT))]]})
    query = replace(QUERY, evidence=[Evidence.any_of(gone, near)])
    diagnosis = observe(
        replace(PIPELINE, chunker=chunker, packer=AnyPacker(lambda _: [])), [DOCUMENT], [query]
    )
    assert [p.start for p in story(diagnosis).passages] == [START]


def test_copies_are_counted() -> None:
    long = "twenty characters and more"
    documents = [Document("a", long), Document("b", f"{long} {long}")]
    query = Query("q", "twenty", [Evidence.of(Span("a", 0, len(long)))])
    pipeline = Pipeline(chunker=WholeChunker(), retriever=BM25Retriever(), top_k=1)
    assert only_passage(observe(pipeline, documents, [query])).copies == 2
    assert only_passage(observe(pipeline, documents, [query], copies=False)).copies == 0


def test_sentences_name_the_stage_and_its_numbers() -> None:
    crowded = {**VECTORS, FIRST.text: (0.0, 1.0), SECOND.text: (0.1, 1.0)}
    no_rerank = replace(PIPELINE, reranker=None, top_k=1)
    half = Document("d", TEXT[:START])
    dropping = replace(PIPELINE, chunker=CutChunker({"d": [[(0, START)], [(END, len(TEXT))]]}))
    whole = [[(0, 300)], [(300, len(TEXT))]]
    far = replace(
        no_rerank,
        chunker=CutChunker({"d": whole}),
        embedder=TableEmbedder({**crowded, TEXT[:300]: (0.0, 1.0)}),
    )
    text_only = Pipeline(
        chunker=CutChunker({"d": whole}), retriever=OrderRetriever({"q": [THIRD.id]}), top_k=1
    )
    hit_lost = replace(
        far,
        embedder=TableEmbedder({**VECTORS, TEXT[:300]: (1.0, 0.0)}),
        retriever=AnyRetriever(lambda *_: []),
    )
    expected = [
        (
            replace(PIPELINE, chunker=WholeChunker()),
            [half],
            "Lost at ingest: the ingested documents do not hold the source's text.",
        ),
        (
            dropping,
            [DOCUMENT],
            "Lost at the chunker: the documents hold it, but no chunk does: the chunker dropped the text.",
        ),
        (
            no_rerank,
            [DOCUMENT],
            (
                "Lost to capacity: no choice of 1 chunks could carry what the query needs. "
                "A chunk boundary cuts the evidence."
            ),
        ),
        (
            far,
            [DOCUMENT],
            (
                "Lost at the embedder: a chunk holds it, but an exact search by the embedder's "
                "similarity has it "
                "complete at rank 2, and only 1 candidates are handed on."
            ),
        ),
        (
            text_only,
            [DOCUMENT],
            "Lost at the retriever: the retriever does not return all of it among its 1 candidates.",
        ),
        (
            hit_lost,
            [DOCUMENT],
            (
                "Lost at the retriever: the retriever does not return all of it among its 1 candidates, "
                "although an exact search does (complete at rank 1)."
            ),
        ),
    ]
    for pipeline, documents, sentence in expected:
        found = story(observe(pipeline, documents, [QUERY], sources=[DOCUMENT])).sentence
        assert found == sentence


def test_evidence_in_pieces_that_no_ranking_completes_has_no_rank() -> None:
    cuts = [[(0, 205)], [(206, 300)], [(300, len(TEXT))]]
    unit = Evidence.of(Span("d", START, END), Span("d", 150, 151))
    dropped = replace(PIPELINE, chunker=CutChunker({"d": cuts[1:]}))
    ranks = story(observe(dropped, [DOCUMENT], [replace(QUERY, evidence=[unit])])).ranks
    assert (ranks.exact, ranks.retrieved, ranks.reranked) == (None, None, None)


def test_a_tie_at_the_cut_is_said() -> None:
    tied = replace(PIPELINE, reranker=TableReranker({THIRD.text: 2, FIRST.text: 1, SECOND.text: 1}))
    found = story(observe(tied, [DOCUMENT], [QUERY]))
    assert found.ranks.tied
    assert found.sentence.endswith("Its score is that of rank 2: another order would be as good.")


def test_a_later_unit_of_a_later_query_is_found() -> None:
    units = [Evidence.of(Span("d", 0, 3)), UNIT, Evidence.of(Span("d", 300, 303))]
    queries = [replace(QUERY, id="p", evidence=units[:2]), Query("open", "?"), replace(QUERY, evidence=units)]
    diagnosis = observe(PIPELINE, [DOCUMENT], queries)
    explanation = diagnosis.explain("q")
    assert [unit.number for unit in explanation.units] == [0, 1, 2]
    # With three units two chunks are not enough.
    assert [unit.stage for unit in explanation.units] == [None, "capacity", None]
    assert [unit.passages[0].start for unit in explanation.units] == [0, START, 300]
    assert explanation.recall == pytest.approx(2.5 / 3)


def test_a_budget_that_rules_everything_out_is_capacity() -> None:
    found = story(observe(replace(PIPELINE, packer=BudgetPacker(10)), [DOCUMENT], [QUERY]))
    assert found.stage == "capacity"
    assert found.coverage["best k"] == 0
    assert observe(replace(PIPELINE, packer=BudgetPacker(10)), [DOCUMENT], [QUERY]).explain("q").budget == 10


def test_hybrid_candidates_are_explained_too() -> None:
    hybrid = replace(PIPELINE, retriever=HybridRetriever([BM25Retriever(), ExactRetriever()]))
    assert story(observe(hybrid, [DOCUMENT], [QUERY])).stage == "reranker"


@pytest.mark.parametrize(
    ("query_id", "message"),
    [("nope", "no query has the id 'nope'"), ("open", "query 'open' has no evidence: nothing can be lost")],
)
def test_what_cannot_be_explained_is_an_error(query_id: str, message: str) -> None:
    diagnosis = observe(PIPELINE, [DOCUMENT], [QUERY, Query("open", "?")])
    with pytest.raises(DataError, match=message):
        diagnosis.explain(query_id)


def test_a_verdict_may_move_the_stage_but_not_what_the_run_shows() -> None:
    diagnosis = observe(PIPELINE, [DOCUMENT], [QUERY])
    seen = story(diagnosis)
    assert seen.verdict == diagnosis.verdicts[0]
    assert seen.stage == "reranker"
    moved = Verdict("chunker", "split", "verified", observed="reranker", repairs=(("chunker",),))
    told = story(replace(diagnosis, verdicts=(moved,)))
    assert told.verdict is moved
    assert told.stage == "chunker"
    assert told.sentence == seen.sentence
    assert told.sentence.startswith("Lost at the reranker: ")


def test_each_unit_has_its_own_verdict() -> None:
    lost = [Evidence.of(Span("d", 300, 303)), UNIT, Evidence.of(Span("d", 400, 405))]
    queries = [replace(QUERY, id="p", evidence=lost[:2]), replace(QUERY, evidence=lost)]
    diagnosis = observe(replace(PIPELINE, packer=AnyPacker(lambda _: [])), [DOCUMENT], queries)
    causes = [f"cause {i}" for i in range(5)]
    verdicts = tuple(
        verdict and replace(verdict, cause=cause)
        for verdict, cause in zip(diagnosis.verdicts, causes, strict=True)
    )
    explanation = replace(diagnosis, verdicts=verdicts).explain("q")
    assert [unit.verdict and unit.verdict.cause for unit in explanation.units] == causes[2:]


def test_re_runs_stand_in_the_story() -> None:
    unit = story(diagnose(PIPELINE, [DOCUMENT], [QUERY]))
    assert unit.verdict is not None
    assert (unit.verdict.stage, unit.verdict.proof) == ("reranker", "verified")
    assert ("reranker",) in [trial.ideal for trial in unit.verdict.trials if trial.recovered]
