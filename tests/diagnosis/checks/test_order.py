"""Causes of the reranker: each planted in its scores, and what looks like it and is not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import pytest
from diagnosis.checks.index_findings import findings, outcome
from faults.broken_stages import (
    DemotingReranker,
    ForgetfulRetriever,
    InvertedReranker,
    ShortsightedReranker,
    VerboseReranker,
)
from faults.laboratory import (
    Laboratory,
    WordEmbedder,
    checksum,
    examine,
    laboratory,
    overlap,
    verdicts,
    words,
)

from ragdiag import Diagnosis
from ragdiag.records import Evidence, Span, WholeDocument

K, N = 4, 12
SHORTSIGHTED = ShortsightedReranker(14)


@dataclass(frozen=True)
class CoarseReranker:
    """Only knows whether a text shares a word with the query; here all do, by their "of"."""

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        return [float(overlap(query, text) >= 1) for text in texts]


@dataclass(frozen=True)
class LovingReranker:
    """Loves one text in ten, whatever is asked."""

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        return [overlap(query, text) + 100 * loved(text) for text in texts]


def loved(text: str) -> bool:
    return checksum(text, 17) % 10 == 0


@dataclass(frozen=True)
class DeclaringReranker:
    """Reads so many words of query and text, and declares it."""

    max_tokens: int

    def count_pair_tokens(self, query: str, texts: Sequence[str]) -> list[int]:
        return [len(words(f"{query} {text}")) for text in texts]

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        most = max(self.max_tokens - len(words(query)), 0)
        return [overlap(query, " ".join(words(text)[:most])) for text in texts]


@cache
def with_reranker(reranker: Any, bench: str = "full", seed: int = 0) -> Diagnosis:
    return examine(laboratory(bench, seed, at_most=1).using(reranker=reranker))


def numbers(pattern: str, observation: str) -> list[int]:
    found = re.search(pattern, observation)
    assert found is not None, observation
    return [int(number) for number in found.groups()]


def causes(diagnosis: Diagnosis) -> set[str]:
    return {verdict.cause for verdict in verdicts(diagnosis).values()}


# Truncated


@pytest.mark.parametrize("seed", [0, 1, 3])
def test_what_the_reranker_does_not_read_is_seen_without_any_declaration(seed: int) -> None:
    diagnosis = with_reranker(SHORTSIGHTED, "paragraphs", seed)
    found = findings(diagnosis, "reranker.truncated")
    assert found.keys() == verdicts(diagnosis).keys()
    assert len(found) >= 3
    assert causes(diagnosis) == {"truncated"}
    queries = {query.id: query for query in diagnosis.queries}
    for (query_id, _), finding in found.items():
        assert finding.sureness == "proven"
        query, record = queries[query_id], diagnosis.trace[query_id]
        [chunk_id] = re.findall(r"Chunk '([^']+)'", finding.observation)
        text = diagnosis.trace.chunks[diagnosis.trace.position[chunk_id]].text
        [[part]] = query.evidence[0].alternatives
        assert isinstance(part, Span)
        evidence = diagnosis.sources[part.doc_id].text[part.start : part.end]
        rank, n = numbers(r"at rank (\d+) of (\d+) reranked", finding.observation)
        assert (record.ranking[rank - 1].chunk_id, n) == (chunk_id, N)
        point, length = numbers(r"from character (\d+) of (\d+) on", finding.observation)
        assert length == len(text)
        start = text.index(evidence)
        assert point in (start, start + len(evidence) - len(evidence) // 4)
        assert len(words(text[:point])) >= SHORTSIGHTED.most
        moved = SHORTSIGHTED.score(query.text, [text[start:]])[0]
        better = [hit for hit in record.ranking if hit.chunk_id != chunk_id and hit.score > moved]
        [after] = numbers(r"would be at rank (\d+)", finding.observation)
        assert after <= len(better) + 1 <= K


def test_what_is_not_read_is_suspected_where_reading_it_is_not_enough() -> None:
    """It reads the beginning only, and takes the best for the worst."""

    @dataclass(frozen=True)
    class Both:
        def score(self, query: str, texts: Sequence[str]) -> list[float]:
            return [-score for score in SHORTSIGHTED.score(query, texts)]

    diagnosis = examine(laboratory("paragraphs", 1, at_most=1).using(reranker=Both()))
    found = findings(diagnosis, "reranker.truncated")
    suspected = [finding for finding in found.values() if finding.sureness == "suspected"]
    assert suspected
    for finding in suspected:
        [rank] = numbers(r"would be at rank (\d+), still not within the top 4\.$", finding.observation)
        assert rank > K


@pytest.mark.parametrize("reranker", [InvertedReranker(), VerboseReranker()])
def test_what_is_read_and_scored_badly_is_not_truncated(reranker: Any) -> None:
    diagnosis = with_reranker(reranker, "paragraphs", 1)
    assert verdicts(diagnosis)
    seen = outcome(diagnosis, "reranker.truncated")
    assert (seen.status, seen.looked_at) == ("silent", len(verdicts(diagnosis)))


def test_a_text_that_is_put_last_is_not_truncated() -> None:
    healthy = laboratory("paragraphs", 1, at_most=1)
    diagnosis = examine(healthy.using(reranker=DemotingReranker(healthy.some_keys(0.3, 1))))
    assert len(verdicts(diagnosis)) >= 5
    assert outcome(diagnosis, "reranker.truncated").status == "silent"
    assert outcome(diagnosis, "reranker.phantom").status == "silent"
    assert causes(diagnosis) <= {"demoted", "not_promoted"}


def test_a_declared_limit_is_compared_with_the_pair_up_to_the_evidence() -> None:
    diagnosis = with_reranker(DeclaringReranker(19), "paragraphs", 1)
    found = findings(diagnosis, "reranker.truncated")
    assert len(found) >= 3
    queries = {query.id: query for query in diagnosis.queries}
    for (query_id, _), finding in found.items():
        limit, whole, upto = numbers(
            r"reads (\d+) tokens of query and text; with chunk '[^']+' they are (\d+), up to the end of the "
            r"evidence (\d+)\.",
            finding.observation,
        )
        [chunk_id] = re.findall(r"chunk '([^']+)'", finding.observation)
        text = diagnosis.trace.chunks[diagnosis.trace.position[chunk_id]].text
        [[part]] = queries[query_id].evidence[0].alternatives
        assert isinstance(part, Span)
        evidence = diagnosis.sources[part.doc_id].text[part.start : part.end]
        read = f"{queries[query_id].text} {text[: text.index(evidence) + len(evidence)]}"
        assert (limit, whole, upto) == (19, len(words(f"{queries[query_id].text} {text}")), len(words(read)))
        assert upto > limit
    enough = with_reranker(replace(DeclaringReranker(19), max_tokens=200), "paragraphs", 1)
    assert not verdicts(enough)


@dataclass(frozen=True)
class InvertedDeclaringReranker(DeclaringReranker):
    """Reads everything, and takes the best for the worst."""

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        return [-score for score in super().score(query, texts)]


def test_within_a_declared_limit_nothing_is_truncated() -> None:
    diagnosis = with_reranker(InvertedDeclaringReranker(200), "paragraphs", 1)
    seen = outcome(diagnosis, "reranker.truncated")
    assert (seen.status, seen.looked_at) == ("silent", len(verdicts(diagnosis)))


def test_evidence_without_a_place_in_its_chunk_cannot_be_truncated() -> None:
    healthy = laboratory("text", 5, at_most=1)
    whole = [
        replace(query, evidence=[Evidence.of(WholeDocument(query.evidence[0].alternatives[0][0].doc_id))])
        for query in healthy.queries
    ]
    diagnosis = examine(replace(healthy, queries=tuple(whole)).using(reranker=InvertedReranker()))
    seen = outcome(diagnosis, "reranker.truncated")
    assert (seen.status, seen.found) == ("not applicable", 0)
    assert "whole document" in seen.why


def test_what_is_no_candidate_is_measured_as_if_it_were_one() -> None:
    healthy = laboratory("paragraphs", 1, at_most=1)
    hit = frozenset(fact.key for fact in healthy.facts.values())
    broken = healthy.using(
        reranker=SHORTSIGHTED, retriever=ForgetfulRetriever(healthy.pipeline.retriever, hit)
    )
    found = findings(examine(broken), "reranker.truncated")
    assert found
    for finding in found.values():
        assert finding.sureness == "measured"
        assert "were its chunks among them" in finding.observation


# Phantoms


def test_texts_that_are_loved_whatever_is_asked_are_phantoms() -> None:
    healthy = laboratory("full", 0, at_most=1)
    first_only = replace(healthy, pipeline=replace(healthy.pipeline, top_k=1, reranker=LovingReranker()))
    diagnosis = examine(first_only)
    found = findings(diagnosis, "reranker.phantom")
    lost = verdicts(diagnosis)
    assert len(found) == len(lost) >= 5
    trace, queries = diagnosis.trace, {query.id: query for query in diagnosis.queries}
    for unit, finding in found.items():
        assert finding.sureness == "proven"
        assert lost[unit].cause == "phantom"
        ranked = [trace.chunks[trace.position[hit.chunk_id]].text for hit in trace[unit[0]].ranking]
        rank, n = numbers(r"at rank (\d+) of (\d+) reranked", finding.observation)
        tried, known = numbers(r"Of (\d+) texts tried, best first, (\d+) would", finding.observation)
        assert n == N
        assert known == sum(map(loved, ranked[:tried]))
        [after] = numbers(r"would be at rank (\d+)\.$", finding.observation)
        assert after == rank - known == 1
        assert max(ranked, key=lambda text: overlap(queries[unit[0]].text, text)) == ranked[rank - 1]


@pytest.mark.parametrize("reranker", [InvertedReranker(), VerboseReranker()])
def test_a_bad_order_has_no_phantoms(reranker: Any) -> None:
    diagnosis = with_reranker(reranker)
    seen = outcome(diagnosis, "reranker.phantom")
    assert (seen.status, seen.looked_at) == ("silent", len(verdicts(diagnosis)))


def test_phantoms_take_other_queries() -> None:
    healthy = laboratory("full", 0, at_most=1)
    few = replace(healthy, queries=healthy.queries[:4]).using(reranker=InvertedReranker())
    seen = outcome(examine(few), "reranker.phantom")
    assert (seen.status, seen.found) == ("not applicable", 0)
    assert seen.why == "no text before it is strange to 5 other queries"


def test_many_texts_before_it_are_not_all_tried() -> None:
    healthy = laboratory("full", 0, at_most=1)
    wide = replace(healthy, pipeline=replace(healthy.pipeline, candidates=40))
    seen = outcome(examine(wide.using(reranker=InvertedReranker())), "reranker.phantom")
    assert seen.status == "not applicable"
    assert re.fullmatch(r"\d+ texts before it would have to be tried, more than 20", seen.why)


# Ties


def test_a_cut_among_equal_scores_is_a_tie() -> None:
    healthy = laboratory("full", 0, at_most=1)
    blurred = healthy.using(embedder=WordEmbedder(dimensions=24), reranker=CoarseReranker())
    diagnosis = examine(blurred)
    found = findings(diagnosis, "reranker.ties")
    assert len(found) >= 3
    lost = {unit: verdict for unit, verdict in verdicts(diagnosis).items() if verdict.stage == "reranker"}
    assert found.keys() == lost.keys()
    assert {verdict.cause for verdict in lost.values()} == {"ties"}
    assert outcome(diagnosis, "reranker.phantom").found == 0
    for (query_id, _), finding in found.items():
        assert finding.sureness == "measured"
        scores = [hit.score for hit in diagnosis.trace[query_id].ranking]
        equal, n, first, last, rank = numbers(
            r"^(\d+) of (\d+) candidates have the score \S+ from rank (\d+) to (\d+): .* at rank (\d+)\.$",
            finding.observation,
        )
        assert n == N
        assert scores[first - 1 : last] == [scores[K - 1]] * equal
        assert scores.count(scores[K - 1]) == equal
        assert first <= K < rank <= last


def test_without_equal_scores_there_are_no_ties() -> None:
    diagnosis = with_reranker(InvertedReranker())
    seen = outcome(diagnosis, "reranker.ties")
    assert (seen.status, seen.looked_at) == ("silent", len(verdicts(diagnosis)))


def test_ties_of_what_is_no_candidate_cannot_be_seen() -> None:
    healthy = laboratory("full", 0, at_most=1)
    hit = frozenset(fact.key for fact in healthy.facts.values())
    broken: Laboratory = healthy.using(
        reranker=InvertedReranker(), retriever=ForgetfulRetriever(healthy.pipeline.retriever, hit)
    )
    seen = outcome(examine(broken), "reranker.ties")
    assert (seen.status, seen.why) == ("not applicable", "the evidence is not whole among the candidates")
