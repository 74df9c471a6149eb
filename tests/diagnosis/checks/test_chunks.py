"""Chunks that are too small for the evidence, and copies that take its place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from diagnosis.checks.index_findings import findings, lost, outcome
from faults.broken_stages import CuttingChunker, DroppingChunker, HoleyChunker
from faults.laboratory import examine, laboratory, verdicts
from plugs import AnyPacker, OrderRetriever, TableEmbedder, TableReranker, WholeChunker

from ragdiag import Diagnosis, ExactRetriever, Pipeline, RecursiveChunker, diagnose
from ragdiag.records import Document, Evidence, Query, Span

# Too small


def test_evidence_that_is_longer_than_any_chunk_is_told_with_both_lengths() -> None:
    """All lines are cut into thirds, and no third is as long as a line."""
    healthy = laboratory("bare", 1, thorough=True, at_most=1)
    every = frozenset(word for fact in healthy.facts.values() for word in fact.names[:1])
    lines = [chunk for document in healthy.documents for chunk in healthy.pipeline.chunker.chunk(document)]
    marked = every | {line.text.split()[0] for line in lines}
    diagnosis = examine(healthy.using(chunker=CuttingChunker(marked, pieces=3), top_k=2))
    found = findings(diagnosis, "chunker.too_small")
    assert found.keys() == lost(diagnosis)
    assert len(found) >= 10
    longest = max(len(chunk.text.replace(" ", "")) for chunk in diagnosis.trace.chunks)
    for unit, finding in found.items():
        span = healthy.facts[unit].span
        [document] = [document for document in healthy.documents if document.id == span.doc_id]
        length = len(document.text[span.start : span.end].replace(" ", ""))
        verdict = verdicts(diagnosis)[unit]
        start = (
            f"The evidence has {length} characters in one piece, the longest of "
            f"{len(diagnosis.trace.chunks)} chunks {longest} (whitespace not counted)."
        )
        if ("chunker",) in verdict.repairs:
            end = " With one more chunk, as long as the evidence, the re-run delivered it."
            assert (finding.observation, finding.sureness) == (start + end, "proven")
        else:
            assert (finding.observation, finding.sureness) == (start, "measured")
    split = [verdict for verdict in verdicts(diagnosis).values() if verdict.stage == "chunker"]
    assert len(split) >= 5
    assert {verdict.cause for verdict in split if verdict.proof == "verified"} == {"too_small"}


def test_where_no_repair_shows_it_the_lengths_still_do() -> None:
    """A packer that keeps nothing loses it as well."""
    document = Document("d", "one two three four five six")
    query = Query("q", "six", [Evidence.of(Span("d", 0, 27))])
    pipeline = Pipeline(
        chunker=RecursiveChunker(size=9),
        retriever=OrderRetriever({"q": []}),
        packer=AnyPacker(lambda _: []),
        top_k=2,
    )
    diagnosis = diagnose(pipeline, [document], [query], progress=False)
    [verdict] = diagnosis.verdicts
    assert verdict is not None
    assert ("chunker",) not in verdict.repairs
    [finding] = [f for f in verdict.findings if f.code == "chunker.too_small"]
    size = len(diagnosis.trace.chunks)
    longest = max(len("".join(chunk.text.split())) for chunk in diagnosis.trace.chunks)
    assert finding.sureness == "measured"
    assert finding.observation == (
        f"The evidence has 22 characters in one piece, the longest of {size} chunks {longest} "
        "(whitespace not counted)."
    )


def test_a_cut_through_evidence_that_would_fit_is_not_for_want_of_room() -> None:
    """Other lines are whole, so that there are chunks as long as the evidence."""
    healthy = laboratory("bare", 1, thorough=True, at_most=1)
    lengths = {unit: len(fact.span) for unit, fact in healthy.facts.items()}
    short = sorted(lengths, key=lambda unit: lengths[unit])[:8]
    marked = frozenset(healthy.facts[unit].key for unit in short)
    diagnosis = examine(healthy.using(chunker=CuttingChunker(marked, pieces=5)))
    assert {verdict.cause for verdict in verdicts(diagnosis).values()} == {"split"}
    assert len(lost(diagnosis)) >= 3
    assert outcome(diagnosis, "chunker.too_small").status == "silent"


@pytest.mark.parametrize("chunker", [DroppingChunker, HoleyChunker])
def test_evidence_that_no_chunk_holds_whole_is_not_for_want_of_room(chunker: Any) -> None:
    """Even where what is left is shorter than it was."""
    healthy = laboratory("bare", 1)
    longest = sorted(healthy.facts.values(), key=lambda fact: -len(fact.span))[:12]
    every = [c for document in healthy.documents for c in healthy.pipeline.chunker.chunk(document)]
    at_least = len(longest[-1].span)
    marked = frozenset(chunk.text.split()[0] for chunk in every if len(chunk.text) >= at_least)
    diagnosis = examine(healthy.using(chunker=chunker(marked)))
    assert {verdict.cause for verdict in verdicts(diagnosis).values()} == {"dropped_text"}
    assert len(lost(diagnosis)) >= 8
    assert outcome(diagnosis, "chunker.too_small").status == "silent"


def test_one_alternative_that_would_fit_is_enough() -> None:
    document = Document("d", "one two three four five six")
    whole, part = Span("d", 0, 27), Span("d", 0, 7)
    query = Query("q", "six", [Evidence.any_of(whole, part)])
    pipeline = Pipeline(
        chunker=RecursiveChunker(size=9), retriever=OrderRetriever({"q": []}), top_k=1, packer=AnyPacker(list)
    )
    diagnosis = diagnose(pipeline, [document], [query], progress=False)
    assert findings(diagnosis, "chunker.too_small") == {}


# Duplicates

GOLD, COPY, NEAR = "Refunds take a week.", "Parcels take two days.", "Parcels take three days."


def searched(texts: Sequence[str], scores: dict[str, float], *, top_k: int = 3, **stages: Any) -> Diagnosis:
    """A chunk a text, of which the only one that says GOLD is the evidence."""
    documents = [Document(f"d{i}", text) for i, text in enumerate(texts)]
    gold = texts.index(GOLD)
    query = Query("q", "How long?", [Evidence.of(Span(f"d{gold}", 0, len(GOLD)))])
    pipeline = Pipeline(
        **{
            "chunker": WholeChunker(),
            "embedder": TableEmbedder({text: (score, 1 - score) for text, score in scores.items()}, (1, 0)),
            "retriever": ExactRetriever(),
            "top_k": top_k,
            **stages,
        }
    )
    return diagnose(pipeline, documents, [query], progress=False)


SCORES = {COPY: 0.9, "Cash is fine.": 0.8, GOLD: 0.7, NEAR: 0.85, "We ship to Norway.": 0.1}
SIX = [COPY, COPY, f"{COPY} ", "Cash is fine.", GOLD, "We ship to Norway."]


def the_finding(diagnosis: Diagnosis) -> tuple[str, str]:
    [verdict] = diagnosis.verdicts
    assert verdict is not None
    [finding] = [finding for finding in verdict.findings if finding.code == "chunker.duplicates"]
    return finding.sureness, finding.observation


END = (
    "of which 3 are kept. 2 of the 4 before it deliver the same text as another of them; without those it "
    "would be rank 3."
)


def test_copies_among_the_vectors_are_counted() -> None:
    scores = {**SCORES, f"{COPY} ": 0.9}
    diagnosis = searched(SIX, scores)
    [verdict] = diagnosis.verdicts
    assert verdict is not None
    assert verdict.stage == "embedder"
    assert the_finding(diagnosis) == ("measured", f"Rank 5 of 6 chunks by the embedder's similarity, {END}")


def test_copies_among_the_hits_of_a_search_by_words_are_counted() -> None:
    ids = [f"d{i}#0-{len(text)}" for i, text in enumerate(SIX)]
    by_words = OrderRetriever({"q": ids})
    diagnosis = searched(SIX, {}, embedder=None, retriever=by_words)
    assert the_finding(diagnosis) == ("measured", f"Rank 5 of 6 hits of the retriever, {END}")


def test_copies_among_the_reranked_are_counted() -> None:
    diagnosis = searched(SIX, SCORES, candidates=6, reranker=TableReranker({**SCORES, f"{COPY} ": 0.9}))
    [verdict] = diagnosis.verdicts
    assert verdict is not None
    assert verdict.stage == "reranker"
    assert the_finding(diagnosis) == ("measured", f"Rank 5 of 6 reranked candidates, {END}")


@pytest.mark.parametrize(
    ("texts", "why"),
    [
        ([COPY, NEAR, "Cash is fine.", "Cash is fine. ", GOLD], "too many other texts"),
        ([COPY, NEAR, "Cash is fine.", GOLD, "We ship to Norway.", "We ship to Norway."], "copies after it"),
    ],
)
def test_texts_that_are_only_near_or_come_later_are_no_copies(texts: list[str], why: str) -> None:
    scores = {**SCORES, "Cash is fine. ": 0.8}
    diagnosis = searched(texts, scores)
    [verdict] = diagnosis.verdicts
    assert verdict is not None, why
    assert verdict.stage == "embedder"
    assert outcome(diagnosis, "chunker.duplicates").status == "silent"


def test_a_search_that_misses_what_ranks_high_has_no_copies_to_blame() -> None:
    nothing = OrderRetriever({"q": []}, uses_vectors=True)
    diagnosis = searched([COPY, COPY, GOLD], {GOLD: 1.0, COPY: 0.1}, top_k=1, retriever=nothing)
    [verdict] = diagnosis.verdicts
    assert verdict is not None
    assert verdict.stage == "retriever"
    seen = outcome(diagnosis, "chunker.duplicates")
    assert (seen.status, seen.why) == ("not applicable", "no ranking of a stage to blame holds the evidence")
