"""Pipelines in which one thing is broken on purpose: the ledger's label names it, and nothing else.

Labels alone, before re-runs prove or move them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from plugs import (
    AnyPacker,
    AnyRetriever,
    BudgetPacker,
    CutChunker,
    LineChunker,
    OrderRetriever,
    TableEmbedder,
    TableReranker,
    WholeChunker,
)

import ragdiag
from ragdiag import BM25Retriever, Diagnosis, ExactRetriever, HybridRetriever, Pipeline
from ragdiag.records import Chunk, Document, Evidence, Hit, Query, Request, Span, WholeDocument

diagnose = partial(ragdiag.diagnose, verify=False)

GOLD = "refunds take five days"
NOISE = [f"noise number {i}" for i in range(8)]
DOCUMENT = Document("faq", "\n".join([GOLD, *NOISE]))
EVIDENCE = Evidence.of(Span("faq", 0, len(GOLD)))
QUERY = Query("q", "how long do refunds take", [EVIDENCE])

# By the query's vector the gold line is first, the noise follows line by line.
VECTORS: dict[str, Sequence[float]] = {
    QUERY.text: (1, 0),
    GOLD: (1, 0.01),
    **{text: (1, 0.1 * (i + 1)) for i, text in enumerate(NOISE)},
}
HEALTHY = Pipeline(
    chunker=LineChunker(),
    embedder=TableEmbedder(VECTORS),
    retriever=ExactRetriever(),
    reranker=TableReranker({GOLD: 1.0}),
    packer=BudgetPacker(60),
    candidates=4,
    top_k=2,
)


def losses(diagnosis: Diagnosis) -> dict[str, tuple[float, float]]:
    """The stages that lost or rescued anything."""
    table = diagnosis.losses
    changed = table[(table["loss"] > 0) | (table["rescue"] > 0)]
    return {str(s): (row["loss"], row["rescue"]) for s, row in changed.iterrows()}


def only_label(diagnosis: Diagnosis) -> str:
    [stage] = diagnosis.failures["stage"]
    return str(stage)


def test_a_healthy_pipeline_loses_nothing() -> None:
    diagnosis = diagnose(HEALTHY, [DOCUMENT], [QUERY])
    assert losses(diagnosis) == {}
    assert (diagnosis.recall, diagnosis.hard_recall) == (1.0, 1.0)
    assert diagnosis.failures.empty
    assert (diagnosis.ceilings["recall"] == 1).all()
    assert diagnosis.ledger.label(0) is None


def test_a_truncated_document_is_lost_by_ingest() -> None:
    truncated = Document("faq", DOCUMENT.text[len(GOLD) + 1 :])
    diagnosis = diagnose(HEALTHY, [truncated], [QUERY], sources=[DOCUMENT])
    assert only_label(diagnosis) == "ingest"
    assert losses(diagnosis) == {"ingest": (1.0, 0.0)}


def test_half_a_truncated_document_is_half_a_loss_of_ingest() -> None:
    left = Document("faq", DOCUMENT.text[len("refunds take ") :])
    diagnosis = diagnose(HEALTHY, [left], [QUERY], sources=[DOCUMENT])
    assert only_label(diagnosis) == "ingest"
    assert diagnosis.losses.loc["ingest", "loss"] == pytest.approx(
        len("refundstake") / len("refundstakefivedays")
    )


def test_a_missing_document_is_lost_by_ingest() -> None:
    other = Document("other", "\n".join(NOISE))
    for evidence in (EVIDENCE, Evidence.of(WholeDocument("faq"))):
        query = replace(QUERY, evidence=[evidence])
        diagnosis = diagnose(HEALTHY, [other], [query], sources=[DOCUMENT, other])
        assert only_label(diagnosis) == "ingest"


@pytest.mark.filterwarnings("ignore:.*hold no text:ragdiag.errors.RagdiagWarning")
def test_a_document_that_was_emptied_is_lost_by_ingest() -> None:
    other = Document("other", "\n".join(NOISE))
    for evidence in (EVIDENCE, Evidence.of(WholeDocument("faq"))):
        query = replace(QUERY, evidence=[evidence])
        diagnosis = diagnose(HEALTHY, [Document("faq", ""), other], [query], sources=[DOCUMENT, other])
        assert only_label(diagnosis) == "ingest"


def test_dropped_text_is_lost_by_the_chunker() -> None:
    whole_lines = [[(m.start, m.end)] for m in (c.spans[0] for c in LineChunker().chunk(DOCUMENT))]
    pipeline = replace(HEALTHY, chunker=CutChunker({"faq": whole_lines[1:]}))
    diagnosis = diagnose(pipeline, [DOCUMENT], [QUERY])
    assert only_label(diagnosis) == "chunker"
    assert losses(diagnosis) == {"chunker": (1.0, 0.0)}


def test_more_pieces_than_k_are_lost_by_capacity() -> None:
    pieces = [[(i, i + 4)] for i in range(0, 20, 4)] + [[(20, len(GOLD))], [(23, len(DOCUMENT.text))]]
    pipeline = replace(HEALTHY, chunker=CutChunker({"faq": pieces}), packer=None)
    diagnosis = diagnose(pipeline, [DOCUMENT], [QUERY])
    assert only_label(diagnosis) == "capacity"
    best_two = len("refu") + len("nds")  # "refu", "nds ", "take", " fiv", "e da", "ys"
    assert diagnosis.ceilings.loc["best k", "recall"] == pytest.approx(8 / 19)
    assert best_two < 8


def test_a_budget_that_is_too_small_is_lost_by_capacity() -> None:
    diagnosis = diagnose(replace(HEALTHY, packer=BudgetPacker(len(GOLD) - 1)), [DOCUMENT], [QUERY])
    assert only_label(diagnosis) == "capacity"
    enough = diagnose(replace(HEALTHY, packer=BudgetPacker(len(GOLD))), [DOCUMENT], [QUERY])
    assert enough.failures.empty


def test_gold_crowded_out_of_the_exact_n_is_lost_by_the_embedder() -> None:
    vectors = {**VECTORS, GOLD: (1.0, 0.55)}  # behind five lines of noise
    for candidates, label in ((4, "embedder"), (5, "embedder"), (6, None)):
        pipeline = replace(HEALTHY, embedder=TableEmbedder(vectors), candidates=candidates)
        diagnosis = diagnose(pipeline, [DOCUMENT], [QUERY])
        assert diagnosis.ledger.label(0) == label
        assert diagnosis.outcomes[0].ranks[0].exact == 6


def without_gold(chunks: Sequence[Chunk], request: Request, n: int) -> list[Hit]:
    assert request.vector is not None
    found = ExactRetriever().build(chunks, TableEmbedder(VECTORS).embed_documents([c.text for c in chunks]))
    [hits] = found.search([request], n)
    return [hit for hit in hits if not hit.chunk_id.startswith("faq#0-")]


def test_a_hit_that_the_search_drops_is_lost_by_the_retriever() -> None:
    diagnosis = diagnose(replace(HEALTHY, retriever=AnyRetriever(without_gold)), [DOCUMENT], [QUERY])
    assert only_label(diagnosis) == "retriever"
    assert losses(diagnosis) == {"retriever": (1.0, 0.0)}
    assert diagnosis.failures["rank_exact"].tolist() == [1]


def test_a_filter_that_excludes_gold_is_lost_by_the_retriever() -> None:
    query = replace(QUERY, filter={"lang": "de"})
    documents = [
        replace(DOCUMENT, metadata={"lang": "en"}),
        Document("de", "\n".join(NOISE[:4]), {"lang": "de"}),
    ]
    diagnosis = diagnose(HEALTHY, documents, [query])
    assert only_label(diagnosis) == "retriever"
    assert diagnosis.failures["rank_exact"].tolist() == [1]


def test_without_an_embedder_the_search_answers_for_all_from_capacity_on() -> None:
    chunk_ids = [chunk.id for chunk in LineChunker().chunk(DOCUMENT)]
    pipeline = Pipeline(
        chunker=LineChunker(), retriever=OrderRetriever({"q": [*chunk_ids[1:], chunk_ids[0]]}), top_k=3
    )
    diagnosis = diagnose(pipeline, [DOCUMENT], [QUERY])
    assert only_label(diagnosis) == "retriever"
    assert list(diagnosis.ceilings.index) == ["everything", "documents", "chunks", "best k", "retrieved"]
    assert diagnosis.exact is None
    assert diagnosis.failures["rank_exact"].isna().all()


def test_gold_moved_below_k_is_lost_by_the_reranker() -> None:
    scores = dict(zip([*NOISE, GOLD], range(9, 0, -1), strict=True))
    diagnosis = diagnose(replace(HEALTHY, reranker=TableReranker(scores)), [DOCUMENT], [QUERY])
    assert only_label(diagnosis) == "reranker"
    row = diagnosis.failures.iloc[0]
    assert (row["rank_exact"], row["rank_retrieved"], row["rank_reranked"]) == (1, 1, 4)


def test_gold_left_out_of_the_prompt_is_lost_by_the_packer() -> None:
    diagnosis = diagnose(replace(HEALTHY, packer=AnyPacker(lambda chunks: chunks[1:])), [DOCUMENT], [QUERY])
    assert only_label(diagnosis) == "packer"
    assert losses(diagnosis) == {"packer": (1.0, 0.0)}


def test_gold_shortened_in_the_prompt_is_lost_in_part_by_the_packer() -> None:
    def shorten(chunks: Sequence[Chunk]) -> list[Chunk]:
        return [replace(chunks[0], spans=(Span("faq", 0, 7),), text="refunds"), *chunks[1:]]

    diagnosis = diagnose(replace(HEALTHY, packer=AnyPacker(shorten)), [DOCUMENT], [QUERY])
    assert only_label(diagnosis) == "packer"
    assert losses(diagnosis)["packer"] == pytest.approx((12 / 19, 0.0))
    assert diagnosis.failures["coverage"].tolist() == [pytest.approx(7 / 19)]
    assert diagnose(
        replace(HEALTHY, packer=AnyPacker(shorten)), [DOCUMENT], [QUERY], min_coverage=0.36
    ).failures.empty


def test_a_packer_that_shortens_may_beat_whole_chunks_within_its_budget() -> None:
    class Shortens:
        budget = 7

        def tokens(self, chunk: Chunk) -> int:
            return len(chunk.text)

        def pack(self, query: str, chunks: Sequence[Chunk]) -> list[Chunk]:  # noqa: ARG002
            return [replace(chunks[0], spans=(Span("faq", 0, 7),), text="refunds")]

    diagnosis = diagnose(replace(HEALTHY, packer=Shortens()), [DOCUMENT], [QUERY])
    assert losses(diagnosis) == {"capacity": (1.0, 0.0), "packer": (0.0, pytest.approx(7 / 19))}
    assert only_label(diagnosis) == "capacity"


MISSED = TableEmbedder({**VECTORS, GOLD: (-1.0, 0.0)})


def test_a_text_search_that_finds_what_vectors_missed_is_no_loss() -> None:
    """The arms' exact search holds it, so that nothing is lost and nothing is rescued."""
    hybrid = HybridRetriever([BM25Retriever(), ExactRetriever()])
    diagnosis = diagnose(replace(HEALTHY, embedder=MISSED, retriever=hybrid), [DOCUMENT], [QUERY])
    assert losses(diagnosis) == {}
    assert diagnosis.outcomes[0].ranks[0].exact == 9


def test_an_undeclared_text_search_rescues_what_vectors_missed() -> None:
    def by_words(chunks: Sequence[Chunk], request: Request, n: int) -> list[Hit]:
        words = set(request.text.split())
        scores = [(len(words & set(chunk.text.split())), chunk.id) for chunk in chunks]
        return [Hit(id_, float(score)) for score, id_ in sorted(scores, key=lambda s: -s[0])[:n]]

    pipeline = replace(HEALTHY, embedder=MISSED, retriever=AnyRetriever(by_words))
    diagnosis = diagnose(pipeline, [DOCUMENT], [QUERY])
    assert losses(diagnosis) == {"embedder": (1.0, 0.0), "retriever": (0.0, 1.0)}
    assert diagnosis.failures.empty

    demoting = replace(pipeline, reranker=TableReranker(dict.fromkeys(NOISE, 1.0)))
    after = diagnose(demoting, [DOCUMENT], [QUERY])
    assert losses(after) == {"embedder": (1.0, 0.0), "retriever": (0.0, 1.0), "reranker": (1.0, 0.0)}
    assert only_label(after) == "reranker", "after a rescue earlier drops no longer count"


def test_fusion_that_drops_an_arms_find_is_lost_by_the_retriever() -> None:
    hybrid = HybridRetriever([BM25Retriever(), ExactRetriever()], weights=[0.001, 1])
    pipeline = replace(HEALTHY, embedder=MISSED, retriever=hybrid, candidates=4)
    diagnosis = diagnose(pipeline, [DOCUMENT], [QUERY])
    assert only_label(diagnosis) == "retriever"
    assert losses(diagnosis) == {"retriever": (1.0, 0.0)}


def test_arms_within_arms_and_arms_that_show_no_searchers_are_searched_too() -> None:
    class Undeclared:
        """A hybrid whose searcher does not show its arms."""

        arms: Any = (HybridRetriever([BM25Retriever(), BM25Retriever(b=0)]), ExactRetriever())

        def build(self, chunks: Sequence[Chunk], vectors: Any) -> Any:
            return _Hidden(HybridRetriever(self.arms).build(chunks, vectors))

    class _Hidden:
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def search(self, requests: Sequence[Request], n: int) -> Any:
            return self.inner.search(requests, n)

    nested = HybridRetriever([HybridRetriever([BM25Retriever(), ExactRetriever()]), BM25Retriever(b=0)])
    retrievers: list[Any] = [Undeclared(), nested]
    for retriever in retrievers:
        diagnosis = diagnose(replace(HEALTHY, embedder=MISSED, retriever=retriever), [DOCUMENT], [QUERY])
        assert losses(diagnosis) == {}


@pytest.mark.parametrize("cut", range(1, len(GOLD)))
def test_evidence_that_a_boundary_cuts_but_that_is_wholly_delivered_is_not_lost(cut: int) -> None:
    pieces = [[(0, cut)], [(cut, len(GOLD))], [(len(GOLD) + 1, len(DOCUMENT.text))]]
    texts = {GOLD[:cut]: (1.0, 0.0), GOLD[cut:]: (1.0, 0.01), QUERY.text: (1.0, 0.0)}
    pipeline = Pipeline(
        chunker=CutChunker({"faq": pieces}),
        embedder=TableEmbedder(texts),
        retriever=ExactRetriever(),
        top_k=2,
    )
    diagnosis = diagnose(pipeline, [DOCUMENT], [QUERY])
    assert losses(diagnosis) == {}
    assert diagnosis.outcomes[0].ranks[0].retrieved == 2


def test_the_best_sets_follow_what_the_next_step_delivers() -> None:
    """Of two units only one fits into k. The context holds the second, so that the first is capacity's."""
    first, second = Evidence.of(Span("a", 0, 5)), Evidence.of(Span("b", 0, 6))
    documents = [Document("a", "first"), Document("b", "second")]
    query = Query("q", "?", [first, second])
    for kept, labels in (("b#0-6", ["capacity", None]), ("a#0-5", [None, "capacity"])):
        retriever = OrderRetriever({"q": [kept]})
        diagnosis = diagnose(
            Pipeline(chunker=WholeChunker(), retriever=retriever, top_k=1), documents, [query]
        )
        assert [diagnosis.ledger.label(unit) for unit in (0, 1)] == labels


def test_a_tie_at_the_cut_is_flagged() -> None:
    flat = replace(HEALTHY, reranker=TableReranker({}), packer=None, top_k=1)
    late = replace(flat, embedder=TableEmbedder({**VECTORS, GOLD: (1.0, 0.15)}))
    assert diagnose(late, [DOCUMENT], [QUERY]).failures["tied"].tolist() == [True]
    scores = {text: 10.0 - i for i, text in enumerate(NOISE)}
    apart = replace(late, reranker=TableReranker(scores))
    assert diagnose(apart, [DOCUMENT], [QUERY]).failures["tied"].tolist() == [False]
