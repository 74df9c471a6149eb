"""The one call: run a pipeline, find what it lost, and say at which stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ragdiag.diagnosis.evidence import EvidenceMap, QueryEvidence
from ragdiag.diagnosis.exact import search_exactly
from ragdiag.diagnosis.result import Diagnosis
from ragdiag.diagnosis.verification import verify as prove
from ragdiag.errors import ConfigError, DataError
from ragdiag.index import Index, check_documents, check_unique
from ragdiag.pipeline import Pipeline
from ragdiag.records import Document, Query
from ragdiag.spans import check_evidence
from ragdiag.trace import Trace

__all__ = ["Observation", "diagnose", "diagnose_index", "observe_index"]


def diagnose(
    pipeline: Pipeline,
    documents: Sequence[Document],
    queries: Sequence[Query],
    *,
    sources: Sequence[Document] | None = None,
    min_coverage: float = 1.0,
    copies: bool = True,
    verify: bool = True,
    shapley: bool = False,
    causes: bool = True,
    max_extra_calls: int | None = None,
    latency_queries: int = 0,
    progress: bool | None = None,
) -> Diagnosis:
    """Run ``pipeline`` over ``documents`` and ``queries``, charge every loss to a stage, and prove it.

    Args:
        pipeline: the stages to diagnose.
        documents: the corpus, as ingested.
        queries: what is asked, with evidence. Queries without evidence are run and counted, not assessed.
        sources: the originals in which evidence is anchored, where ingestion changed the text; each
            document is aligned with the source of its id. Without them the documents are the sources.
        min_coverage: the share of a unit from which it counts as delivered, in (0, 1].
        copies: whether exact copies of evidence (of 20 characters or more) elsewhere in the sources satisfy
            it as well.
        verify: whether each lost unit is run again with its stages made ideal, which proves the stage;
            without it every label is what the ledger observed.
        shapley: whether every set of stages is tried for every lost unit, which gives each stage's Shapley
            value beside the ledger's label; a pipeline of five stages then takes 31 re-runs a unit.
        causes: whether it is also looked into what exactly is wrong at the stage that lost a unit
            (`Diagnosis.causes`); some checks embed a few texts more. Without ``verify`` it is not.
        max_extra_calls: how many texts may be embedded and pairs scored for re-runs and checks together; None
            for any number. What is left unproven then is ``observed``, and `Diagnosis.effort` counts it.
        latency_queries: over how many queries the latency of single queries is measured, in a pass of its
            own; 0 leaves it out.
        progress: whether long work shows a bar; None shows it on a terminal only.

    Raises:
        DataError: no documents, no query with evidence, ids that are not unique, or evidence outside its
            source.
        ConfigError: ``min_coverage`` is not in (0, 1], ``max_extra_calls`` is negative, or Shapley values are
            asked for without ``verify``.
        StageError: a plug broke its contract.

    Example:
        >>> from ragdiag import BM25Retriever, Evidence, RecursiveChunker, Span
        >>> faq = Document("faq", "Returns are free. Refunds take five days.")
        >>> query = Query("q1", "How long do refunds take?", [Evidence.of(Span.find(faq, "five days"))])
        >>> pipeline = Pipeline(chunker=RecursiveChunker(size=24), retriever=BM25Retriever(), top_k=1)
        >>> diagnose(pipeline, [faq], [query]).recall
        1.0
    """
    if not 0 < min_coverage <= 1:
        raise ConfigError(f"min_coverage must be in (0, 1], got {min_coverage!r}")
    if max_extra_calls is not None and max_extra_calls < 0:
        raise ConfigError(f"max_extra_calls must be >= 0 or None, got {max_extra_calls!r}")
    if shapley and not verify:
        raise ConfigError("shapley=True needs re-runs, which verify=False turns off")
    check_documents(documents)
    originals = _check_data(documents, queries, sources)
    index = pipeline.index(documents, progress=progress)
    trace = index.run(queries, latency_queries=latency_queries, progress=progress)
    observed = _observe(index, trace, queries, originals, min_coverage=min_coverage, copies=copies)
    if not verify:
        return observed.diagnosis
    return prove(
        observed.diagnosis,
        index,
        observed.evidence_map,
        observed.evidence,
        shapley=shapley,
        causes=causes,
        max_extra_calls=max_extra_calls,
        progress=progress,
    )


def diagnose_index(
    index: Index,
    queries: Sequence[Query],
    *,
    sources: Sequence[Document] | None = None,
    min_coverage: float = 1.0,
    copies: bool = True,
    progress: bool | None = None,
) -> Diagnosis:
    """What the ledger observes of a pipeline whose index stands already. Nothing is proven."""
    return observe_index(
        index, queries, sources=sources, min_coverage=min_coverage, copies=copies, progress=progress
    ).diagnosis


def observe_index(
    index: Index,
    queries: Sequence[Query],
    *,
    sources: Sequence[Document] | None = None,
    min_coverage: float = 1.0,
    copies: bool = True,
    evidence_map: EvidenceMap | None = None,
    progress: bool | None = None,
) -> Observation:
    """The same with the evidence behind it; ``evidence_map`` is that of an index with the same chunks."""
    originals = _check_data(index.documents, queries, sources)
    trace = index.run(queries, progress=progress)
    return _observe(
        index,
        trace,
        queries,
        originals,
        min_coverage=min_coverage,
        copies=copies,
        evidence_map=evidence_map,
    )


def _check_data(
    documents: Sequence[Document], queries: Sequence[Query], sources: Sequence[Document] | None
) -> dict[str, Document]:
    """The sources by id."""
    check_unique("query", [query.id for query in queries])
    originals = {source.id: source for source in (documents if sources is None else sources)}
    check_unique("source", [source.id for source in sources or ()])
    assessed = [query for query in queries if query.assessed]
    if not assessed:
        raise DataError(
            f"none of the {len(queries)} queries has evidence: there is nothing that could be lost"
        )
    check_evidence(assessed, originals)
    return originals


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """What the ledger observes of a run, and the evidence behind it, which re-runs need as well.

    Attributes:
        diagnosis: with nothing proven.
        evidence_map: where evidence lies in the chunks.
        evidence: that of each assessed query.
    """

    diagnosis: Diagnosis
    evidence_map: EvidenceMap
    evidence: Sequence[QueryEvidence]


def _observe(
    index: Index,
    trace: Trace,
    queries: Sequence[Query],
    originals: Mapping[str, Document],
    *,
    min_coverage: float,
    copies: bool,
    evidence_map: EvidenceMap | None = None,
) -> Observation:
    assessed = [query for query in queries if query.assessed]
    if evidence_map is None:
        evidence_map = EvidenceMap(index.documents, originals, trace.chunks, assessed, copies=copies)
    evidence = [evidence_map.of(query, trace[query.id].context) for query in assessed]
    diagnosis = Diagnosis.of(
        trace=trace,
        documents=index.documents,
        sources=originals,
        queries=queries,
        evidence_map=evidence_map,
        evidence=evidence,
        exact=search_exactly(index, trace, assessed, evidence),
        min_coverage=min_coverage,
        copies=copies,
    )
    return Observation(diagnosis, evidence_map, evidence)
