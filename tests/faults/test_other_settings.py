"""The same faults where something else differs from the usual laboratory: similarity, filters, limits …"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from faults.broken_stages import CuttingChunker
from faults.laboratory import (
    Laboratory,
    Unit,
    WordEmbedder,
    delivered,
    describe,
    examine,
    laboratory,
    verdicts,
    without,
)
from faults.planted import MARKING

from ragdiag import BM25Retriever, ExactRetriever, FaissRetriever, HybridRetriever
from ragdiag.diagnosis.verdicts import Verdict
from ragdiag.records import Chunk, Document, Evidence, Span
from ragdiag.stages.protocols import STAGES


def compared_by(similarity: Any) -> Laboratory:
    return laboratory("full", 1).using(
        embedder=WordEmbedder(similarity=similarity, loud=0), retriever=ExactRetriever(metric=similarity)
    )


def compared_by_loudness() -> Laboratory:
    """An inner product over vectors of different lengths, all longer than a query's, where that is meant."""
    loud = laboratory("full", 1).using(
        embedder=WordEmbedder(similarity="dot", loud=0.3, volume=20), retriever=ExactRetriever(metric="dot")
    )
    return without(loud, loud.units - delivered(loud))


def filtered() -> Laboratory:
    """Each query asks for the shelf on which its fact is: a repaired chunk must be on it as well."""
    plain = laboratory("full", 1, at_most=1)
    shelf = {document.id: document.metadata["shelf"] for document in plain.documents}
    queries = [
        replace(query, filter={"shelf": shelf[plain.facts[query.id, 0].span.doc_id]})
        for query in plain.queries
    ]
    return replace(plain, queries=tuple(queries))


@dataclass(frozen=True)
class HeadedChunker:
    """Puts the document's name before what is indexed of each chunk."""

    inner: Any

    def chunk(self, document: Document) -> list[Chunk]:
        return [
            replace(chunk, index_text=f"from {document.id}: {chunk.text}")
            for chunk in self.inner.chunk(document)
        ]


def asked_twice() -> Laboratory:
    """Two people ask the same."""
    once = laboratory("full", 1)
    again = tuple(replace(query, id=f"again {query.id}") for query in once.queries)
    facts = {(f"again {query_id}", unit): fact for (query_id, unit), fact in once.facts.items()}
    return replace(once, queries=(*once.queries, *again), facts={**once.facts, **facts})


def with_copies() -> Laboratory:
    """Every document is there twice: any copy of a line answers."""
    once = laboratory("full", 1, at_most=1)
    copies = tuple(replace(document, id=f"copy of {document.id}") for document in once.documents)
    return replace(once, documents=(*once.documents, *copies))


SETTINGS: dict[str, tuple[Callable[[], Laboratory], tuple[str, ...]]] = {
    "dot": (lambda: compared_by("dot"), STAGES),
    "l2": (lambda: compared_by("l2"), STAGES),
    "dot, lengths differ": (compared_by_loudness, STAGES),
    "filters": (filtered, STAGES),
    "asked twice": (asked_twice, STAGES),
    "copies": (with_copies, STAGES),
    "all are candidates": (
        lambda: laboratory("full", 1).using(candidates=1000),
        ("chunker", "retriever", "reranker", "packer"),
    ),
    "n is k": (
        lambda: laboratory("full", 1).using(candidates=4),
        ("chunker", "embedder", "retriever", "packer"),
    ),
    "hybrid": (
        lambda: laboratory("full", 1).using(retriever=HybridRetriever([BM25Retriever(), ExactRetriever()])),
        ("chunker", "reranker", "packer"),
    ),
    "faiss, flat": (lambda: laboratory("full", 1).using(retriever=FaissRetriever("Flat")), STAGES),
    "faiss, a graph": (
        lambda: laboratory("full", 1).using(retriever=FaissRetriever("HNSW32", parameters={"efSearch": 200})),
        STAGES,
    ),
    "no packer": (
        lambda: laboratory("full", 1).using(packer=None),
        ("chunker", "embedder", "retriever", "reranker"),
    ),
    "text": (lambda: laboratory("text", 1), ("chunker", "retriever", "reranker", "packer")),
}
CASES = [(setting, stage) for setting, (_, stages) in SETTINGS.items() for stage in stages]


def check(broken: Laboratory, healthy: Laboratory, stage: str, **options: Any) -> None:
    casualties = healthy.units - delivered(broken)
    assert len(casualties) >= 5
    found = verdicts(examine(broken, **options))
    assert found.keys() == casualties
    assert not_proven(found, stage) == {}


def not_proven(found: dict[Unit, Verdict], stage: str) -> dict[Unit, str]:
    return {
        unit: describe(v)
        for unit, v in sorted(found.items())
        if (v.stage, v.proof) != (stage, "verified") or (stage,) not in v.repairs
    }


@pytest.mark.parametrize(("setting", "stage"), CASES, ids=[f"{s}-{stage}" for s, stage in CASES])
def test_each_fault_in_each_setting(setting: str, stage: str) -> None:
    healthy = SETTINGS[setting][0]()
    assert delivered(healthy) == healthy.units
    check(MARKING[stage](healthy, healthy.some_keys(0.3, 1)), healthy, stage)


@pytest.mark.parametrize("setting", SETTINGS)
def test_cut_lines_in_each_setting(setting: str) -> None:
    healthy = SETTINGS[setting][0]()
    check(healthy.using(chunker=CuttingChunker(healthy.some_keys(0.3, 1))), healthy, "chunker")


@pytest.mark.parametrize("stage", STAGES)
def test_chunks_that_are_indexed_with_a_heading(stage: str) -> None:
    healthy = laboratory("full", 1)
    broken = MARKING[stage](healthy, healthy.some_keys(0.3, 1))
    headed = [lab.using(chunker=HeadedChunker(lab.pipeline.chunker)) for lab in (broken, healthy)]
    assert delivered(headed[1]) == healthy.units
    check(headed[0], healthy, stage)


def test_half_a_line_is_enough_where_half_is_asked_for() -> None:
    """With min_coverage = 0.3 the half that is found delivers it; with 0.7 it takes both."""
    healthy = laboratory("full", 1)
    broken = healthy.using(chunker=CuttingChunker(healthy.some_keys(0.3, 1)))
    assert verdicts(examine(broken, min_coverage=0.3)) == {}
    check(broken, healthy, "chunker", min_coverage=0.7)


@pytest.mark.parametrize("stage", [*STAGES, "cut"])
def test_evidence_that_is_anchored_in_other_texts_than_were_ingested(stage: str) -> None:
    """The parser left out a heading and joined lines: every offset differs from that in the source."""
    healthy = laboratory("full", 1)
    sources, shifted = [], {}
    for document in healthy.documents:
        lines = document.text.split("\n")
        shifted[document.id] = {line: f"{line.replace(' ', '  ')}" for line in lines}
        body = "\n\n".join(shifted[document.id].values())
        sources.append(replace(document, text=f"The heading of {document.id}\n\n{body}"))
    source_of = {source.id: source for source in sources}
    text_of = {document.id: document.text for document in healthy.documents}

    def anchored(span: Span) -> Span:
        line = text_of[span.doc_id][span.start : span.end]
        return Span.find(source_of[span.doc_id], shifted[span.doc_id][line])

    if stage == "cut":
        broken = healthy.using(chunker=CuttingChunker(healthy.some_keys(0.3, 1)))
    else:
        broken = MARKING[stage](healthy, healthy.some_keys(0.3, 1))
    casualties = healthy.units - delivered(broken)
    assert len(casualties) >= 5
    queries = [
        replace(query, evidence=[Evidence.of(anchored(unit.alternatives[0][0])) for unit in query.evidence])  # type: ignore[arg-type]
        for query in broken.queries
    ]
    found = verdicts(examine(replace(broken, queries=tuple(queries)), sources=sources))
    assert found.keys() == casualties
    assert not_proven(found, "chunker" if stage == "cut" else stage) == {}
