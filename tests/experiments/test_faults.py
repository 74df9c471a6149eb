"""Every fault on a part of the handbook: what it loses, more where it is more severe, and how it is found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from plugs import AnyChunker

from ragdiag import (
    BM25Retriever,
    ConfigError,
    Diagnosis,
    FaissRetriever,
    HashingEmbedder,
    HybridRetriever,
    LateInteractionReranker,
    MarkdownChunker,
    Pipeline,
    StaticEmbedder,
    TokenBudget,
    diagnose,
)
from ragdiag.demo import demo_data
from ragdiag.diagnosis.checks.catalog import CAUSES
from ragdiag.experiments.faults import FAULTS, Case, Planted, Unit, plant
from ragdiag.experiments.faults.truth import delivered_by, delivered_units
from ragdiag.stages.protocols import STAGES, Vectors
from ragdiag.testing import (
    check_chunker,
    check_embedder,
    check_packer,
    check_reranker,
    check_retriever,
)

WORSE: Mapping[str, tuple[float, float]] = {
    "dropped_documents": (0.03, 0.15),
    "truncated_documents": (0.03, 0.15),
    "offset_shift": (0.3, 1.0),
    "fixed_split": (300, 60),
    "split_evidence": (0.15, 0.5),
    "last_chunk_dropped": (1, 3),
    "minimum_length": (200, 350),
    "tiny_chunks": (200, 40),
    "oversize_chunks": (3, 20),
    "query_prompt_missing": (0.6, 0.9),
    "document_prompt_missing": (0.6, 0.9),
    "input_truncated": (20, 5),
    "entity_masked": (0.3, 1.0),
    "numbers_masked": (0.3, 1.0),
    "noise": (0.2, 0.6),
    "dimensions_cut": (16, 3),
    "other_version": (0.6, 0.9),
    "missing_upserts": (0.15, 0.5),
    "duplicate_ids": (0.15, 0.6),
    "stale_vectors": (0.15, 0.5),
    "mixed_versions": (0.15, 0.5),
    "inner_product": (0.3, 1.5),
    "narrow_search": (2, 1),
    "wrong_filter": (0.15, 0.5),
    "score_threshold": (0.2, 0.6),
    "few_candidates": (8, 4),
    "near_duplicate_flood": (0.05, 0.2),
    "reranker_inverted": (0.2, 0.8),
    "reranker_random": (0.2, 0.8),
    "reranker_truncated": (150, 20),
    "phantom_boost": (0.05, 0.5),
    "length_bias": (20, 60),
    "small_budget": (0.3, 0.05),
    "miscount": (3, 20),
    "deduplication": (0.25, 0.05),
    "chunks_cut": (0.8, 0.3),
    "first_dropped": (1, 3),
}
"""A mild and a severe value for each fault that has a severity, and loses something of what vectors find."""

SPREADING = {"dropped_documents", "truncated_documents"}
"""What shares a document with the evidence that they hit is lost with it."""

FOUND = (
    "dropped_documents",
    "split_evidence",
    "noise",
    "missing_upserts",
    "narrow_search",
    "wrong_filter",
    "reranker_inverted",
    "chunks_cut",
)
"""Those of which everything that they lose here can be told by re-runs."""

PAIRS = (
    ("dropped_documents", "split_evidence"),
    ("split_evidence", "noise"),
    ("noise", "wrong_filter"),
    ("missing_upserts", "phantom_boost"),
    ("reranker_random", "miscount"),
    ("input_truncated", "chunks_cut"),
)


class RememberingEmbedder:
    """The static model, which is given each text once: the same few are embedded for every fault."""

    def __init__(self) -> None:
        self._model = StaticEmbedder()
        self._vector = cache(lambda text: self._model.embed_documents([text])[0])

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        return np.array([self._vector(text) for text in texts], np.float32)

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return self.embed_documents(texts)


@cache
def handbook() -> Case:
    """A third of the handbook, asked by what a pipeline with every stage finds in it."""
    documents, queries = demo_data()
    some = tuple(documents[::3])
    ids = {document.id for document in some}
    words = StaticEmbedder()
    pipeline = Pipeline(
        chunker=AnyChunker(cache(MarkdownChunker(size=400, heading_path=True).chunk)),
        embedder=RememberingEmbedder(),
        retriever=FaissRetriever("IVF6,Flat", parameters={"nprobe": 6}),
        reranker=LateInteractionReranker(words),
        packer=TokenBudget(1600),
        candidates=12,
        top_k=4,
    )
    asked = Case(pipeline, some, tuple(q for q in queries if q.assessed and ids.issuperset(q.doc_ids)))
    delivered = delivered_units(asked)
    answered = {query.id for query in asked.queries} - {
        query_id for query_id, _ in set(asked.units) - delivered
    }
    return replace(asked, queries=tuple(query for query in asked.queries if query.id in answered))


@cache
def hybrid() -> Case:
    pipeline = handbook().pipeline
    fused = HybridRetriever([FaissRetriever("Flat"), BM25Retriever()])
    return replace(handbook(), pipeline=replace(pipeline, retriever=fused))


@cache
def planted(name: str, severity: float) -> Planted:
    return plant(handbook(), [FAULTS[name].at(severity)])


@cache
def lost(name: str, severity: float) -> frozenset[Unit]:
    return frozenset(handbook().units) - delivered_by(planted(name, severity))


def diagnosed(planted: Planted) -> Diagnosis:
    case = planted.case
    return diagnose(
        case.pipeline, case.documents, case.queries, sources=case.sources, causes=False, progress=False
    )


def test_each_fault_says_what_it_is() -> None:
    for name, fault in FAULTS.items():
        assert fault.name == name
        assert fault.what
        assert fault.stage in {*STAGES, "ingest", "capacity", ""}
        assert set(fault.needs) <= set(STAGES)
        named = f"{fault.stage}.{fault.cause}" in CAUSES
        assert named or fault.cause in {"", "ranked_low", "dropped"}, name
    assert {name for name, fault in FAULTS.items() if fault.synthetic} == {
        "query_prompt_missing",
        "document_prompt_missing",
    }


def test_the_case_is_healthy() -> None:
    assert len(handbook().units) >= 30
    assert delivered_units(handbook()) == frozenset(handbook().units)


@pytest.mark.parametrize("name", WORSE)
def test_it_loses_evidence_and_more_where_it_is_more_severe(name: str) -> None:
    mild, severe = (len(lost(name, severity)) for severity in WORSE[name])
    assert severe > mild
    assert mild or name in {"offset_shift", "entity_masked", "numbers_masked", "length_bias"}


@pytest.mark.parametrize(
    "name", [name for name, fault in FAULTS.items() if fault.reach == "share" and fault.stage != "ingest"]
)
def test_a_share_of_the_units_is_hit_and_others_hardly(name: str) -> None:
    severity = WORSE[name][0]
    hit = planted(name, severity).hit[name]
    assert len(hit) == round(severity * len(handbook().units))
    gone = lost(name, severity)
    others = frozenset(handbook().units) - hit
    assert len(gone & others) <= 0.12 * len(others)
    if name not in {"entity_masked", "numbers_masked"}:  # they lose what is asked for by a name or a number
        assert len(gone & hit) >= 0.6 * len(hit)


@pytest.mark.parametrize("name", sorted(SPREADING))
def test_what_is_not_ingested_is_lost_whole(name: str) -> None:
    broken = planted(name, 0.03)
    assert broken.hit[name] <= lost(name, 0.03)
    assert broken.case.sources == handbook().documents
    before, after = (sum(len(d.text) for d in case.documents) for case in (handbook(), broken.case))
    assert after < before


@pytest.mark.parametrize("name", ["nothing", "reordered_documents", "reordered_context"])
def test_what_must_not_matter_loses_nothing(name: str) -> None:
    assert FAULTS[name].stage == ""
    assert not lost(name, 1)


def test_the_documents_and_the_context_are_really_reordered() -> None:
    documents = planted("reordered_documents", 1).case.documents
    assert documents != handbook().documents
    assert sorted(documents, key=lambda d: d.id) == sorted(handbook().documents, key=lambda d: d.id)
    contexts = [
        case.pipeline.run(case.documents, case.queries[:5], progress=False)
        for case in (handbook(), planted("reordered_context", 1).case)
    ]
    for query in handbook().queries[:5]:
        forth, back = (trace[query.id].context for trace in contexts)
        assert back == forth[::-1]


@pytest.mark.parametrize("name", FOUND)
def test_a_diagnosis_blames_the_stage_that_was_broken(name: str) -> None:
    diagnosis = diagnosed(planted(name, WORSE[name][0]))
    verdicts = [verdict for verdict in diagnosis.verdicts if verdict is not None]
    assert verdicts
    assert {verdict.stage for verdict in verdicts} == {FAULTS[name].stage}


@pytest.mark.parametrize("name", ["missing_upserts", "score_threshold", "fusion_weights"])
def test_what_a_hybrid_loses_is_held_against_its_sound_arms(name: str) -> None:
    healthy = hybrid()
    broken = plant(healthy, [FAULTS[name]])
    gone = delivered_units(healthy) - delivered_by(broken)
    assert gone
    diagnosis = diagnosed(broken)
    stages = {unit: v.stage for unit, v in zip(diagnosis.units, diagnosis.verdicts, strict=True) if v}
    assert {stages[unit] for unit in gone} == {"retriever"}


@pytest.mark.parametrize("pair", PAIRS, ids="+".join)
def test_faults_of_several_stages_go_together_and_are_the_same_twice(pair: tuple[str, str]) -> None:
    faults = [FAULTS[name] for name in pair]
    once, again = (plant(handbook(), faults) for _ in range(2))
    assert set(once.hit) == set(pair)
    for fault in faults:  # what is hit does not depend on what else is planted
        assert once.hit[fault.name] == plant(handbook(), [fault]).hit[fault.name]
    traces = [
        planted.case.pipeline.run(planted.case.documents, planted.case.queries[:8], progress=False)
        for planted in (once, again)
    ]
    assert traces[0].chunks == traces[1].chunks
    assert traces[0].queries == traces[1].queries


def test_another_seed_hits_others() -> None:
    hits = [plant(handbook(), [FAULTS["noise"]], seed=seed).hit["noise"] for seed in (0, 1)]
    assert hits[0] != hits[1]


# What the test kit says of the broken plugs: their answers are wrong, their manners are not.


DROPS_TEXT = ("last_chunk_dropped", "minimum_length")


@cache
def of_words() -> Case:
    """The handbook with stages that need no model, and have nothing approximate."""
    words = HashingEmbedder()
    pipeline = Pipeline(
        chunker=MarkdownChunker(size=400, heading_path=True),
        embedder=words,
        retriever=hybrid().pipeline.retriever,
        reranker=LateInteractionReranker(words),
        packer=TokenBudget(1600),
        candidates=12,
        top_k=4,
    )
    return replace(handbook(), pipeline=pipeline)


@pytest.mark.parametrize("name", [n for n, f in FAULTS.items() if f.stage in STAGES and n != "narrow_search"])
def test_broken_plugs_keep_the_promises_of_plugs(name: str) -> None:
    healthy = of_words().pipeline
    broken = plant(of_words(), [FAULTS[name]]).case.pipeline
    if broken.chunker is not healthy.chunker:
        check_chunker(broken.chunker, without=["keeps_all_text"] if name in DROPS_TEXT else [])
    if broken.embedder is not None and broken.embedder is not healthy.embedder:
        check_embedder(broken.embedder)
    if broken.retriever is not healthy.retriever:
        # A filter narrows what a threshold is held against, whoever made it.
        check_retriever(
            broken.retriever, without=["filters_take_no_places"] if name == "score_threshold" else []
        )
    if broken.reranker is not None and broken.reranker is not healthy.reranker:
        check_reranker(broken.reranker)
    if broken.packer is not None and broken.packer is not healthy.packer:
        check_packer(broken.packer)


# What cannot be planted


def test_a_pipeline_without_the_stage_is_refused() -> None:
    bare = replace(handbook(), pipeline=Pipeline(chunker=MarkdownChunker(), retriever=BM25Retriever()))
    for fault in FAULTS.values():
        if fault.needs:
            with pytest.raises(ConfigError, match=f"{fault.name} breaks the {fault.needs[0]}"):
                plant(bare, [fault])


@pytest.mark.parametrize(
    ("name", "severity", "problem"),
    [
        ("noise", 1.5, r"a share must be in \[0, 1\], got 1.5"),
        ("fixed_split", -1, "characters a chunk must be >= 0, got -1"),
        ("fixed_split", float("nan"), "characters a chunk must be >= 0, got nan"),
        ("miscount", 0.5, "times as many tokens as there are must be >= 1, got 0.5"),
        ("fusion_weights", 0.1, "fuses arms by weights"),
    ],
)
def test_what_cannot_be_planted_is_refused(name: str, severity: float, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        plant(handbook(), [FAULTS[name].at(severity)])


def test_a_fault_comes_once() -> None:
    with pytest.raises(ConfigError, match="comes twice: noise, noise"):
        plant(handbook(), [FAULTS["noise"], FAULTS["noise"].at(0.3)])
