"""What is wrong with one entry of an index, and what looks like it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from diagnosis.checks.index_findings import (
    MARKED,
    SIZE,
    VECTORS,
    N,
    chunk_of,
    findings,
    lost,
    only,
    outcome,
    rank,
    scores,
    with_retriever,
)
from faults.broken_stages import (
    ClusteredRetriever,
    ForgetfulRetriever,
    FusingRetriever,
    LossyRetriever,
    Marked,
    OnePerDocumentRetriever,
    PartitionedRetriever,
    StaleRetriever,
    holds,
)
from faults.laboratory import WordEmbedder, examine, laboratory, noise, verdicts
from faults.planted import broken_by
from plugs import AnyRetriever

from ragdiag import BM25Retriever, ExactRetriever, FaissRetriever, HybridRetriever
from ragdiag.records import Chunk, Hit, Request
from ragdiag.stages.protocols import Similarity, Vectors

CODES = (
    "retriever.missing_from_index",
    "retriever.stale_vectors",
    "retriever.metric",
    "retriever.unreachable",
    "retriever.approximate",
)
DOT = ExactRetriever(metric="dot")


# Missing


@pytest.mark.parametrize("bench", ["vectors", "bare"])
def test_what_was_never_indexed_is_missing(bench: str) -> None:
    healthy = laboratory(bench, 1)
    diagnosis = with_retriever(ForgetfulRetriever(healthy.pipeline.retriever, MARKED), bench)
    found = only(diagnosis, "retriever.missing_from_index")
    held = sum(not holds(chunk.index_text, MARKED) for chunk in diagnosis.trace.chunks)
    own = f"{held} hits for its own text" if bench == "bare" else "4 hits for its own vector"
    for unit, finding in found.items():
        assert finding.sureness == "measured"
        assert finding.observation == (
            f"Asked for all 144 chunks for the query, ForgetfulRetriever returns {held} without "
            f"'{chunk_of(healthy, unit)}'. It is not among the {own} either, nor among those of "
            "any other query."
        )


def test_a_third_of_all_upserts_that_failed_are_missing() -> None:
    only(with_retriever(LossyRetriever(ExactRetriever())), "retriever.missing_from_index")


def test_it_is_missing_beside_another_stages_fault() -> None:
    """The embedder's vector of it is noise as well: both must be mended, and each is looked at by itself."""
    diagnosis = examine(
        broken_by(("embedder", "retriever"), VECTORS, dict.fromkeys(("embedder", "retriever"), MARKED))
    )
    joint = {unit for unit, verdict in verdicts(diagnosis).items() if verdict.proof == "joint"}
    assert len(joint) >= 5
    assert joint <= findings(diagnosis, "retriever.missing_from_index").keys()


def last_first(chunks: Sequence[Chunk], _: Request, n: int) -> list[Hit]:
    """The last chunks first, whatever is asked."""
    return [Hit(chunk.id, -float(place)) for place, chunk in enumerate(reversed(chunks))][:n]


LAST_FIRST = AnyRetriever(last_first, uses_vectors=False)


def test_the_index_behind_a_fusion_is_the_one_that_is_looked_at() -> None:
    """The other arm has it in its index, and finds it too late."""
    late = HybridRetriever([ForgetfulRetriever(ExactRetriever(), MARKED), LAST_FIRST])
    diagnosis = with_retriever(late)
    found = findings(diagnosis, "retriever.missing_from_index")
    assert found.keys() == {unit for unit in lost(diagnosis) if VECTORS.facts[unit].key in MARKED}
    assert len(found) >= 5


@pytest.mark.parametrize("bench", ["vectors", "bare"])
def test_what_only_some_searches_look_at_is_not_missing(bench: str) -> None:
    healthy = laboratory(bench, 1)
    diagnosis = with_retriever(PartitionedRetriever(healthy.pipeline.retriever), bench)
    assert len(lost(diagnosis)) >= 5
    assert outcome(diagnosis, "retriever.missing_from_index").status == "silent"


# Stale vectors


def test_a_vector_of_an_older_text_scores_otherwise() -> None:
    found = only(with_retriever(StaleRetriever(MARKED)), "retriever.stale_vectors")
    chunks = [c for document in VECTORS.documents for c in VECTORS.pipeline.chunker.chunk(document)]
    text = {chunk.id: chunk.text for chunk in chunks}
    embedder = VECTORS.pipeline.embedder
    assert embedder is not None
    for unit, finding in found.items():
        [query] = [query for query in VECTORS.queries if query.id == unit[0]]
        [asked] = embedder.embed_queries([query.text]).astype(float)
        held = scores(unit[0]) | {
            name: float(noise(f"old {text[name]}").astype(np.float32) @ asked / np.linalg.norm(asked))
            for name in text
            if holds(text[name], MARKED)
        }
        name = chunk_of(VECTORS, unit)
        place = 1 + sum(score > held[name] for score in held.values())
        assert finding.sureness == "measured"
        assert finding.observation == (
            f"StaleRetriever scores '{name}' {held[name]:.4g} for the query, rank {place} of 144; the vector "
            f"that the embedder makes of it scores {scores(unit[0], 'cosine')[name]:.4g} (cosines), rank "
            f"{rank(unit[0], name)}."
        )


@dataclass(frozen=True)
class StaleCompressedRetriever:
    """An index of compressed vectors, some of which are those of older texts."""

    marked: Marked = field(repr=False)
    metric: Similarity = "cosine"

    def build(self, chunks: Sequence[Chunk], vectors: Vectors | None) -> Any:
        assert vectors is not None
        rows = vectors.copy()
        for row, chunk in enumerate(chunks):
            if holds(chunk.index_text, self.marked):
                rows[row] = noise(f"old {chunk.index_text}", vectors.shape[1])
        return FaissRetriever("SQ4").build(chunks, rows)


def test_among_compressed_vectors_a_stale_one_is_suspected_where_its_own_vector_does_not_find_it() -> None:
    found = only(with_retriever(StaleCompressedRetriever(MARKED)), "retriever.stale_vectors")
    for finding in found.values():
        assert finding.sureness == "suspected"
        assert finding.observation.endswith("For that vector it is not among the 4 hits either.")


def test_compressing_a_vector_does_not_make_it_stale() -> None:
    full = laboratory("full", 1)
    diagnosis = with_retriever(FaissRetriever("PQ8x4"), "full")
    assert outcome(diagnosis, "retriever.stale_vectors").status == "silent"
    found = only(diagnosis, "retriever.approximate")
    for unit, finding in found.items():
        assert finding.sureness == "suspected"
        assert f"asked for all 144 chunks, it has '{chunk_of(full, unit)}'" not in finding.observation
        assert finding.observation.startswith(f"An exact search has '{chunk_of(full, unit)}' at rank ")


# Metric


@pytest.mark.parametrize("retriever", [DOT, FusingRetriever(DOT)], ids=["declared", "not declared"])
def test_another_metric_puts_quiet_texts_behind_loud_ones(retriever: Any) -> None:
    diagnosis = with_retriever(retriever)
    found = only(diagnosis, "retriever.metric")
    embedder = VECTORS.pipeline.embedder
    assert embedder is not None
    lengths = np.linalg.norm(embedder.embed_documents([c.text for c in diagnosis.trace.chunks]), axis=1)
    for unit, finding in found.items():
        chunk = chunk_of(VECTORS, unit)
        assert finding.sureness == "measured"
        assert finding.observation == (
            f"{type(retriever).__name__} returns dot products, the embedder is meant for cosines; vectors "
            f"are {lengths.min():.3g} to {lengths.max():.3g} long. By the one, '{chunk}' is rank "
            f"{rank(unit[0], chunk, 'dot')} of 144, by the other {rank(unit[0], chunk)}; 4 are asked for."
        )
        assert rank(unit[0], chunk, "dot") > N >= rank(unit[0], chunk)


@dataclass(frozen=True)
class RankingRetriever:
    """Scores by rank alone, over dot products."""

    metric: Similarity | None

    def build(self, chunks: Sequence[Chunk], vectors: Vectors | None) -> _RankingSearcher:
        return _RankingSearcher(ExactRetriever(metric="dot").build(chunks, vectors))


@dataclass(frozen=True)
class _RankingSearcher:
    inner: Any

    def search(self, requests: Sequence[Request], n: int) -> list[list[Hit]]:
        return [
            [Hit(hit.chunk_id, 1 / place) for place, hit in enumerate(hits, start=1)]
            for hits in self.inner.search(requests, n)
        ]


def test_where_scores_show_nothing_the_declared_metric_is_believed() -> None:
    found = only(with_retriever(RankingRetriever("dot")), "retriever.metric")
    assert all("RankingRetriever declares dot products, the" in f.observation for f in found.values())


def test_where_nothing_tells_the_metric_it_cannot_be_looked_at() -> None:
    diagnosis = with_retriever(RankingRetriever(None))
    assert len(lost(diagnosis)) >= 5
    for cause in (
        "retriever.stale_vectors",
        "retriever.metric",
        "retriever.unreachable",
        "retriever.approximate",
    ):
        seen = outcome(diagnosis, cause)
        assert seen.status == "not applicable"
        assert seen.why.startswith("the retriever declares no metric, and its scores are neither cosines nor")
    assert outcome(diagnosis, "retriever.missing_from_index").status == "silent"


def test_another_metric_over_vectors_of_one_length_changes_nothing() -> None:
    even = VECTORS.using(embedder=WordEmbedder(loud=0))
    diagnosis = examine(even.using(retriever=ForgetfulRetriever(ExactRetriever(metric="dot"), MARKED)))
    only(diagnosis, "retriever.missing_from_index")
    assert outcome(diagnosis, "retriever.metric").status == "silent"


# Unreachable


@dataclass(frozen=True)
class NarrowRetriever:
    """An exact search that passes marked texts by, unless all chunks are asked for."""

    marked: Marked = field(repr=False)
    own_too: bool = True

    def build(self, chunks: Sequence[Chunk], vectors: Vectors | None) -> _NarrowSearcher:
        return _NarrowSearcher(self, chunks, ExactRetriever().build(chunks, vectors))


@dataclass(frozen=True)
class _NarrowSearcher:
    retriever: NarrowRetriever
    chunks: Sequence[Chunk]
    inner: Any

    def search(self, requests: Sequence[Request], n: int) -> list[list[Hit]]:
        return [self._search(request, n) for request in requests]

    def _search(self, request: Request, n: int) -> list[Hit]:
        [hits] = self.inner.search([request], len(self.chunks))
        if n < len(self.chunks):
            texts = {chunk.id: chunk.text for chunk in self.chunks}
            own = None if self.retriever.own_too else request.text
            hits = [
                h
                for h in hits
                if texts[h.chunk_id] == own or not holds(texts[h.chunk_id], self.retriever.marked)
            ]
        return list(hits[:n])


def test_what_is_there_and_is_not_found_by_its_own_vector_cannot_be_reached() -> None:
    found = only(with_retriever(NarrowRetriever(MARKED)), "retriever.unreachable")
    for unit, finding in found.items():
        chunk = chunk_of(VECTORS, unit)
        assert finding.sureness == "measured"
        assert finding.observation == (
            f"Asked for 4 hits for the own vector of '{chunk}', NarrowRetriever does not return it; asked "
            f"for all 144 chunks for the query, it returns it at rank {rank(unit[0], chunk)}."
        )


@pytest.mark.parametrize(("bench", "sureness"), [("vectors", "suspected"), ("bare", "measured")])
def test_where_no_wide_search_finds_it_either_it_is_told_whether_it_is_there(
    bench: str, sureness: str
) -> None:
    """By words, another query got it: it is there. By vectors it might be there under another vector."""
    healthy = laboratory(bench, 1)
    partitioned = PartitionedRetriever(healthy.pipeline.retriever)
    diagnosis = with_retriever(partitioned, bench)
    found = findings(diagnosis, "retriever.unreachable")
    assert len(found) >= 3
    assert {finding.sureness for finding in found.values()} == {sureness}
    searcher = partitioned.build(diagnosis.trace.chunks, diagnosis.trace.vectors)
    of_chunk = {chunk.id: row for row, chunk in enumerate(diagnosis.trace.chunks)}
    for unit in lost(diagnosis):
        chunk = diagnosis.trace.chunks[of_chunk[chunk_of(healthy, unit)]]
        vectors = diagnosis.trace.vectors
        own = Request("own", chunk.text, None if vectors is None else vectors[of_chunk[chunk.id]])
        [hits] = searcher.search([own], SIZE)
        assert (unit in found) == (chunk.id not in {hit.chunk_id for hit in hits})


def test_that_louder_texts_come_first_for_its_own_vector_is_the_metrics_doing() -> None:
    diagnosis = with_retriever(DOT)
    assert outcome(diagnosis, "retriever.unreachable").status == "silent"


# Approximate


def test_what_a_wider_search_finds_is_proven_to_be_passed_by() -> None:
    found = only(with_retriever(NarrowRetriever(MARKED, own_too=False)), "retriever.approximate")
    for unit, finding in found.items():
        chunk = chunk_of(VECTORS, unit)
        assert finding.sureness == "proven"
        assert finding.observation == (
            f"An exact search has '{chunk}' at rank {rank(unit[0], chunk)}. NarrowRetriever, asked for 4 "
            f"hits, does not return it; asked for all 144 chunks, it has it at rank {rank(unit[0], chunk)}, "
            "and so the evidence among the first 4."
        )


@pytest.mark.parametrize("retriever", [ClusteredRetriever(8), FaissRetriever("IVF4,Flat")], ids=repr)
def test_what_lies_in_a_list_that_is_not_looked_into_is_measured(retriever: Any) -> None:
    diagnosis = with_retriever(retriever)
    found = only(diagnosis, "retriever.approximate")
    assert Counter(finding.sureness for finding in found.values())["measured"] >= 15
    searcher = retriever.build(diagnosis.trace.chunks, diagnosis.trace.vectors)
    for unit, finding in found.items():
        chunk = chunk_of(VECTORS, unit)
        [query] = [query for query in VECTORS.queries if query.id == unit[0]]
        [hits] = searcher.search([diagnosis.trace.request(query)], SIZE)
        assert finding.observation == (
            f"An exact search has '{chunk}' at rank {rank(unit[0], chunk)}. {type(retriever).__name__}, "
            f"asked for 4 hits, does not return it; asked for all 144 chunks, it returns {len(hits)} without "
            f"it, the last with a score of {hits[-1].score:.4g}, where it would score "
            f"{scores(unit[0], 'cosine')[chunk]:.4g}; for its own vector it has it at rank 1."
        )


def test_a_graph_that_is_searched_too_narrowly_passes_chunks_by_or_cannot_reach_them() -> None:
    diagnosis = with_retriever(FaissRetriever("HNSW2", parameters={"efSearch": 1}))
    causes = Counter(verdict.cause for verdict in verdicts(diagnosis).values())
    assert set(causes) == {"approximate", "unreachable"}
    assert outcome(diagnosis, "retriever.missing_from_index").status == "silent"


def test_one_hit_a_document_might_be_an_approximate_search_for_all_that_is_seen() -> None:
    diagnosis = with_retriever(OnePerDocumentRetriever(ExactRetriever()))
    assert len(lost(diagnosis)) >= 1
    assert {finding.sureness for finding in findings(diagnosis, "retriever.approximate").values()} == {
        "suspected"
    }


# Not applicable, and the cost


def test_a_search_by_words_has_no_vectors_to_look_at() -> None:
    diagnosis = with_retriever(ForgetfulRetriever(BM25Retriever(), MARKED), "bare")
    for cause in ("retriever.stale_vectors", "retriever.metric", "retriever.approximate"):
        seen = outcome(diagnosis, cause)
        assert (seen.status, seen.why) == (
            "not applicable",
            "the index is not searched by an embedder's vectors",
        )


def test_without_a_loss_at_the_retriever_there_is_nothing_to_look_at() -> None:
    diagnosis = examine(
        laboratory("full", 1).using(reranker=None, top_k=4, embedder=WordEmbedder(dimensions=6))
    )
    for cause in CODES:
        assert outcome(diagnosis, cause).why == "no loss is blamed on the retriever"


@pytest.mark.parametrize(
    "retriever",
    [
        ForgetfulRetriever(ExactRetriever(), MARKED),
        FaissRetriever("IVF4,Flat"),
        HybridRetriever([ForgetfulRetriever(ExactRetriever(), MARKED), LAST_FIRST]),
    ],
    ids=["forgetful", "ivf", "hybrid"],
)
def test_no_loss_takes_more_than_five_searches(retriever: Any) -> None:
    with_causes = with_retriever(retriever)
    without = examine(VECTORS.using(retriever=retriever), causes=False)
    assert with_causes.effort is not None
    assert without.effort is not None
    losses = len(lost(with_causes))
    assert with_causes.effort.searches - without.effort.searches <= 5 * losses
    assert (with_causes.effort.pairs, with_causes.effort.indexes) == (
        without.effort.pairs,
        without.effort.indexes,
    )
