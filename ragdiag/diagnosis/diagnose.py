"""The one call: run a pipeline, find what it lost, and say at which stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass

from ragdiag.diagnosis.evidence import EvidenceMap
from ragdiag.diagnosis.exact import search_exactly
from ragdiag.diagnosis.result import Diagnosis
from ragdiag.diagnosis.verification import verify as prove
from ragdiag.errors import ConfigError, DataError
from ragdiag.index import Index, check_documents, check_unique
from ragdiag.pipeline import Pipeline
from ragdiag.records import Document, Query
from ragdiag.spans import check_evidence

__all__ = ["diagnose", "diagnose_index"]


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
    options = _Options(
        min_coverage, verify=verify, shapley=shapley, causes=causes, max_extra_calls=max_extra_calls
    )
    check_documents(documents)
    originals = _check_data(documents, queries, sources)
    return _diagnose(
        pipeline.index(documents, progress=progress),
        queries,
        originals,
        options,
        copies=copies,
        latency_queries=latency_queries,
        progress=progress,
    )


def diagnose_index(
    index: Index,
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
    """The diagnosis of a pipeline whose index stands already; everything else is as in `diagnose`."""
    options = _Options(
        min_coverage, verify=verify, shapley=shapley, causes=causes, max_extra_calls=max_extra_calls
    )
    originals = _check_data(index.documents, queries, sources)
    return _diagnose(
        index,
        queries,
        originals,
        options,
        copies=copies,
        latency_queries=latency_queries,
        progress=progress,
    )


@dataclass(frozen=True, slots=True)
class _Options:
    """How lost units are found and proven, checked before anything is run."""

    min_coverage: float
    _: KW_ONLY
    verify: bool
    shapley: bool
    causes: bool
    max_extra_calls: int | None

    def __post_init__(self) -> None:
        if not 0 < self.min_coverage <= 1:
            raise ConfigError(f"min_coverage must be in (0, 1], got {self.min_coverage!r}")
        if self.max_extra_calls is not None and self.max_extra_calls < 0:
            raise ConfigError(f"max_extra_calls must be >= 0 or None, got {self.max_extra_calls!r}")
        if self.shapley and not self.verify:
            raise ConfigError("shapley=True needs re-runs, which verify=False turns off")


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


def _diagnose(
    index: Index,
    queries: Sequence[Query],
    originals: Mapping[str, Document],
    options: _Options,
    *,
    copies: bool,
    latency_queries: int,
    progress: bool | None,
) -> Diagnosis:
    assessed = [query for query in queries if query.assessed]
    trace = index.run(queries, latency_queries=latency_queries, progress=progress)
    evidence_map = EvidenceMap(index.documents, originals, trace.chunks, assessed, copies=copies)
    evidence = [evidence_map.of(query, trace[query.id].context) for query in assessed]
    exact = search_exactly(index, trace, assessed, evidence)
    observed = Diagnosis.of(
        trace=trace,
        documents=index.documents,
        sources=originals,
        queries=queries,
        evidence_map=evidence_map,
        evidence=evidence,
        exact=exact,
        min_coverage=options.min_coverage,
        copies=copies,
    )
    if not options.verify:
        return observed
    return prove(
        observed,
        index,
        evidence_map,
        evidence,
        shapley=options.shapley,
        causes=options.causes,
        max_extra_calls=options.max_extra_calls,
        progress=progress,
    )
