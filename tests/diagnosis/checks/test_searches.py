"""Filters, thresholds and fusions that lose evidence, and what looks like them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from diagnosis.checks.index_findings import (
    MARKED,
    VECTORS,
    N,
    chunk_of,
    findings,
    lost,
    only,
    outcome,
    scores,
    with_retriever,
)
from faults.broken_stages import (
    ClusteredRetriever,
    ForgetfulRetriever,
    FusingRetriever,
    StaleRetriever,
)
from faults.laboratory import SHELVES, Laboratory, examine, laboratory, verdicts
from plugs import AnyRetriever

from ragdiag import BM25Retriever, ExactRetriever, HybridRetriever, ThresholdRetriever
from ragdiag.records import Chunk, Hit, Request
from ragdiag.stages.protocols import Vectors


def cosine_order(query_id: str) -> list[tuple[str, float]]:
    """All lines by cosine, best first, with their scores."""
    return sorted(scores(query_id).items(), key=lambda pair: -pair[1])


# Filters


def to_the_other_shelf(healthy: Laboratory) -> Laboratory:
    """Each query is sent to the shelf where its first fact is not."""
    shelf = {document.id: document.metadata["shelf"] for document in healthy.documents}
    queries = [
        replace(
            query,
            filter={"shelf": SHELVES[1 - SHELVES.index(shelf[healthy.facts[query.id, 0].span.doc_id])]},
        )
        for query in healthy.queries
    ]
    return replace(healthy, queries=tuple(queries))


@pytest.mark.parametrize("bench", ["vectors", "bare"])
def test_a_wrong_filter_is_proven_by_the_same_search_without_it(bench: str) -> None:
    healthy = laboratory(bench, 1)
    diagnosis = examine(to_the_other_shelf(healthy))
    found = only(diagnosis, "retriever.filter")
    assert len(found) >= 20
    assert {finding.sureness for finding in found.values()} == {"proven"}
    plain = healthy.pipeline.run(healthy.documents, healthy.queries, progress=False)
    for unit, finding in found.items():
        chunk = chunk_of(healthy, unit)
        rank = [hit.chunk_id for hit in plain[unit[0]].retrieved].index(chunk) + 1
        [asked] = [q.filter for q in to_the_other_shelf(healthy).queries if q.id == unit[0]]
        assert asked is not None
        wanted = asked["shelf"]
        [other] = set(SHELVES) - {wanted}
        assert finding.observation == (
            f"Without its filter the same search has the evidence among its 4 hits, '{chunk}' at rank "
            f"{rank}. The filter asks for 'shelf' = '{wanted}', the chunk has '{other}'."
        )


@dataclass(frozen=True)
class ForgettingMetadata:
    """Chunks of another chunker, without what their document says of them."""

    inner: Any

    def chunk(self, document: Any) -> list[Chunk]:
        return [replace(chunk, metadata={"kind": "line"}) for chunk in self.inner.chunk(document)]


def test_a_filter_that_leaves_out_what_ranks_low_as_well_is_measured() -> None:
    """Without the filter the texts are found, but too late: then it is not the filter alone."""
    healthy = laboratory("bare", 1)
    worst_first = AnyRetriever(_by_id, uses_vectors=False)
    queries = tuple(replace(query, filter={"shelf": "north"}) for query in healthy.queries)
    broken = replace(healthy, queries=queries).using(
        chunker=ForgettingMetadata(healthy.pipeline.chunker), retriever=worst_first
    )
    diagnosis = examine(broken)
    found = findings(diagnosis, "retriever.filter")
    ids = sorted(chunk.id for chunk in diagnosis.trace.chunks)
    expected = {unit for unit in healthy.units if ids.index(chunk_of(healthy, unit)) >= N}
    assert len(expected) >= 20
    assert found.keys() == expected
    shelf = {document.id: document.metadata["shelf"] for document in healthy.documents}
    for unit in expected:
        chunk, at = chunk_of(healthy, unit), shelf[healthy.facts[unit].span.doc_id]
        assert found[unit].sureness == "measured"
        assert found[unit].observation == (
            f"Asked for all 144 chunks, the search returns 0 with its filter and not '{chunk}', and 144 "
            f"without, that one at rank {ids.index(chunk) + 1}. The filter asks for 'shelf' = 'north', the "
            f"chunk has none (its document has '{at}')."
        )


def _by_id(chunks: Sequence[Chunk], request: Request, n: int) -> list[Hit]:
    """Chunks in the order of their ids, of the shelf that the filter asks for."""
    kept = [c.id for c in chunks if all(c.metadata.get(k) == v for k, v in (request.filter or {}).items())]
    return [Hit(chunk_id, -float(rank)) for rank, chunk_id in enumerate(sorted(kept)[:n])]


def test_a_filter_whose_meaning_is_the_indexs_own_is_seen_by_what_it_does() -> None:
    """This index takes a filter for its opposite, whatever the metadata say."""

    @dataclass(frozen=True)
    class Opposite:
        def build(self, chunks: Sequence[Chunk], vectors: Vectors | None) -> OppositeSearcher:
            return OppositeSearcher(ExactRetriever().build(chunks, vectors))

    @dataclass(frozen=True)
    class OppositeSearcher:
        inner: Any

        def search(self, requests: Sequence[Request], n: int) -> Any:
            turned = [
                replace(r, filter=r.filter and {"shelf": SHELVES[1 - SHELVES.index(r.filter["shelf"])]})
                for r in requests
            ]
            return self.inner.search(turned, n)

    shelf = {document.id: document.metadata["shelf"] for document in VECTORS.documents}
    queries = tuple(
        replace(query, filter={"shelf": shelf[VECTORS.facts[query.id, 0].span.doc_id]})
        for query in VECTORS.queries
    )
    diagnosis = examine(replace(VECTORS, queries=queries).using(retriever=Opposite()))
    found = findings(diagnosis, "retriever.filter")
    firsts = {unit for unit in lost(diagnosis) if unit[1] == 0}
    assert firsts <= found.keys()
    assert len(firsts) == len(VECTORS.queries)
    for unit in firsts:
        assert found[unit].sureness == "proven"
        assert found[unit].observation.endswith("The chunk's metadata are what the filter asks for.")


def test_a_right_filter_is_not_blamed_for_what_was_never_indexed() -> None:
    healthy = laboratory("vectors", 1, at_most=1)
    shelf = {document.id: document.metadata["shelf"] for document in healthy.documents}
    queries = tuple(
        replace(query, filter={"shelf": shelf[healthy.facts[query.id, 0].span.doc_id]})
        for query in healthy.queries
    )
    marked = healthy.some_keys(0.3, 1)
    diagnosis = examine(
        replace(healthy, queries=queries).using(retriever=ForgetfulRetriever(ExactRetriever(), marked))
    )
    assert len(lost(diagnosis)) >= 5
    assert outcome(diagnosis, "retriever.filter").status == "silent"
    assert findings(diagnosis, "retriever.missing_from_index").keys() == lost(diagnosis)


def test_without_a_filter_there_is_nothing_to_look_at() -> None:
    diagnosis = with_retriever(StaleRetriever(MARKED))
    seen = outcome(diagnosis, "retriever.filter")
    assert (seen.status, seen.why) == ("not applicable", "the query has no filter")


# Thresholds


THRESHOLD = ThresholdRetriever(ExactRetriever(), min_score=0.45)


@pytest.mark.parametrize(
    "retriever", [THRESHOLD, FusingRetriever(THRESHOLD)], ids=["declared", "not declared"]
)
def test_what_scores_under_a_threshold_is_found_with_its_score(retriever: Any) -> None:
    found = only(with_retriever(retriever), "retriever.threshold")
    kept = [score for query in VECTORS.queries for _, score in cosine_order(query.id)[:N]]
    lowest = min(score for score in kept if score >= 0.45)
    for unit, finding in found.items():
        order = cosine_order(unit[0])
        left = sum(score >= 0.45 for _, score in order)
        chunk = chunk_of(VECTORS, unit)
        rank = [name for name, _ in order].index(chunk) + 1
        end = f"scores {order[rank - 1][1]:.4g}; the lowest score of any hit of the run is {lowest:.4g}."
        assert finding.sureness == "measured"
        if retriever is THRESHOLD:
            keeps = f"the best {left}" if left else "none"
            assert finding.observation == (
                f"Of the 4 hits of ExactRetriever, ThresholdRetriever keeps {keeps}. '{chunk}' is number "
                f"{rank} and {end}"
            )
        else:
            assert finding.observation == (
                f"4 hits are asked for and {left} come back, no more where all 144 chunks are asked for. "
                f"'{chunk}' {end}"
            )


def test_a_threshold_on_words_is_seen_where_it_is_declared() -> None:
    diagnosis = with_retriever(ThresholdRetriever(BM25Retriever(), min_score=18), "bare")
    found = findings(diagnosis, "retriever.threshold")
    assert len(found) >= 3
    assert found.keys() == lost(diagnosis)


def test_where_no_score_is_known_a_threshold_cannot_be_seen() -> None:
    forgetful = ForgetfulRetriever(BM25Retriever(), MARKED)
    seen = outcome(with_retriever(forgetful, "bare"), "retriever.threshold")
    assert (seen.status, seen.why) == (
        "not applicable",
        "the score of a chunk that is not returned is not known",
    )


@dataclass(frozen=True)
class FirstOnly:
    """Keeps the first hit of another retriever, whatever its score."""

    inner: Any

    @property
    def arms(self) -> tuple[Any]:
        return (self.inner,)

    def build(self, chunks: Sequence[Chunk], vectors: Vectors | None) -> Any:
        inner = self.inner.build(chunks, vectors)

        @dataclass(frozen=True)
        class Searcher:
            arms: tuple[Any]

            def search(self, requests: Sequence[Request], n: int) -> list[Sequence[Hit]]:
                return [hits[:1] for hits in inner.search(requests, n)]

        return Searcher((inner,))


def test_a_cut_after_some_hits_is_no_threshold_for_certain() -> None:
    diagnosis = with_retriever(FirstOnly(ExactRetriever()))
    found = findings(diagnosis, "retriever.threshold")
    first = {query.id: cosine_order(query.id)[0][1] for query in VECTORS.queries}
    sure = {
        unit for unit in found if dict(cosine_order(unit[0]))[chunk_of(VECTORS, unit)] < min(first.values())
    }
    assert found.keys() == lost(diagnosis)
    assert {unit for unit, finding in found.items() if finding.sureness == "measured"} == sure
    assert len(found) > len(sure)


def test_a_search_that_comes_back_with_few_hits_is_no_threshold() -> None:
    """Its hits are few because it looks into one small cluster; chunks that score more are left out."""
    diagnosis = with_retriever(ClusteredRetriever(40))
    few = [q.query_id for q in diagnosis.trace.queries if len(q.retrieved) < N]
    assert len({unit for unit in lost(diagnosis) if unit[0] in few}) >= 3
    assert outcome(diagnosis, "retriever.threshold").status == "silent"


# Fusions


def hybrid(bad_weight: float) -> HybridRetriever:
    """An exact search, beside one that returns chunks in the order of their ids."""
    return HybridRetriever(
        [ExactRetriever(), AnyRetriever(_by_id, uses_vectors=False)], weights=[1, bad_weight]
    )


def test_what_one_arm_finds_and_the_fused_list_has_not() -> None:
    diagnosis = with_retriever(hybrid(100))
    found = findings(diagnosis, "retriever.fusion")
    first = sorted(chunk.id for chunk in diagnosis.trace.chunks)[:N]
    expected = {unit for unit in VECTORS.units if chunk_of(VECTORS, unit) not in first}
    assert len(expected) >= 30
    assert found.keys() == expected == lost(diagnosis)
    assert {verdict.cause for verdict in verdicts(diagnosis).values()} == {"fusion"}
    for unit, finding in found.items():
        chunk = chunk_of(VECTORS, unit)
        rank = [name for name, _ in cosine_order(unit[0])].index(chunk) + 1
        assert finding.sureness == "measured"
        assert finding.observation == (
            f"Of 4 hits each, ExactRetriever has it at rank {rank} and AnyRetriever has it not; it "
            f"('{chunk}') is not among the 4 that HybridRetriever makes of them."
        )


def test_a_fusion_inside_a_threshold_is_looked_at_and_each_is_told_from_the_other() -> None:
    fused = with_retriever(ThresholdRetriever(hybrid(100), min_score=0))
    assert findings(fused, "retriever.fusion").keys() == lost(fused)
    assert findings(fused, "retriever.threshold") == {}
    cut = with_retriever(ThresholdRetriever(hybrid(0.5), min_score=1 / 61))
    assert lost(cut)
    assert findings(cut, "retriever.threshold").keys() == lost(cut)
    assert findings(cut, "retriever.fusion") == {}


def test_what_no_arm_finds_is_not_the_fusions() -> None:
    arms = [ForgetfulRetriever(ExactRetriever(), MARKED), ForgetfulRetriever(BM25Retriever(), MARKED)]
    diagnosis = with_retriever(HybridRetriever(arms))
    assert len(lost(diagnosis)) >= 5
    assert outcome(diagnosis, "retriever.fusion").status == "silent"
    assert findings(diagnosis, "retriever.missing_from_index").keys() == lost(diagnosis)


def test_a_retriever_that_fuses_nothing_has_no_fusion() -> None:
    diagnosis = with_retriever(StaleRetriever(MARKED))
    seen = outcome(diagnosis, "retriever.fusion")
    assert (seen.status, seen.why) == ("not applicable", "the retriever declares no searches that it fuses")


def test_arms_are_built_where_the_searcher_does_not_show_them() -> None:
    @dataclass(frozen=True)
    class Hiding:
        inner: HybridRetriever

        @property
        def arms(self) -> Any:
            return self.inner.arms

        def build(self, chunks: Sequence[Chunk], vectors: Vectors | None) -> Any:
            searcher = self.inner.build(chunks, vectors)

            @dataclass(frozen=True)
            class Searcher:
                def search(self, requests: Sequence[Request], n: int) -> Any:
                    return searcher.search(requests, n)

            return Searcher()

    shown = findings(with_retriever(hybrid(100)), "retriever.fusion")
    hidden = findings(with_retriever(Hiding(hybrid(100))), "retriever.fusion")
    assert hidden.keys() == shown.keys()
