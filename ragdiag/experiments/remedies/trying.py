"""Remedies applied to a pipeline, and run on the queries and documents of its diagnosis.

One base index is shared by all: whatever a remedy does not change is neither done again nor asked of a model
again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

import numpy as np

from ragdiag.diagnosis.compare import compare
from ragdiag.diagnosis.diagnose import diagnose_index
from ragdiag.diagnosis.result import Diagnosis
from ragdiag.errors import ConfigError, StageError
from ragdiag.experiments.remedies.catalog import REMEDIES
from ragdiag.experiments.remedies.remedy import Change, DoesNotApply, Setting
from ragdiag.experiments.remedies.result import Latency, NotRun, Remedies, TriedRemedy
from ragdiag.experiments.remedies.suggestions import Suggestion, masked_together, suggest, units_by_code
from ragdiag.index import Index
from ragdiag.pipeline import Pipeline
from ragdiag.progress import track
from ragdiag.records import Query
from ragdiag.stages import boundary
from ragdiag.stages.protocols import token_counts
from ragdiag.store import Store
from ragdiag.trace import Trace

__all__ = ["remedies"]


def remedies(
    diagnosis: Diagnosis,
    pipeline: Pipeline,
    *,
    only: Collection[str] | None = None,
    latency_queries: int = 10,
    progress: bool | None = None,
) -> Remedies:
    """What would each suggested change of ``pipeline`` gain on the queries of its own diagnosis?

    Every change that the findings suggest is applied and run, on the same documents, queries and rules, and
    compared with the diagnosis query by query. Where a verdict says that several stages must be mended
    together, what gains most at each of them is run together, too. What is not run has no number.

    Only what a change touches is done again: k, budget, packer, reranker and retriever need no document
    embedded. Nothing is proven of what the changed pipelines lose.

    The best of many looks better than it is on the queries that chose it. Confirm it on others.

    Args:
        diagnosis: with proven causes (``verify=True``), which suggest more to the point than observed ones.
        pipeline: the one that was diagnosed.
        only: names of the remedies to run, suggested or not; all that are suggested where not given.
        latency_queries: over how many queries the latency of single queries is measured, each asked of all
            pipelines in turn; 0 leaves it out.
        progress: whether long work shows a bar; None shows it on a terminal only.

    Raises:
        ConfigError: the diagnosis is of another pipeline, ``only`` names what is no remedy, or
            ``latency_queries`` is negative.
        StageError: a plug of the pipeline itself broke its contract.

    Example:
        >>> from ragdiag import BM25Retriever, Document, Evidence, Pipeline, Query, RecursiveChunker, Span
        >>> from ragdiag import diagnose
        >>> faq = Document("faq", "Returns are free. Refunds take five days. Refunds go to your card.")
        >>> evidence = Evidence.of(Span.find(faq, "five days. Refunds go to your card"))
        >>> query = Query("q1", "How long do refunds take, and where do they go?", [evidence])
        >>> pipeline = Pipeline(chunker=RecursiveChunker(size=24), retriever=BM25Retriever(), top_k=1)
        >>> tried = remedies(diagnose(pipeline, [faq], [query]), pipeline, latency_queries=0)
        >>> tried.table[["remedy", "gain"]].round(2).values.tolist()[0]
    """
    _check(diagnosis, pipeline, only, latency_queries)
    workshop = _Workshop(diagnosis, pipeline)
    suggestions = [
        suggestion
        for suggestion in suggest(diagnosis, REMEDIES.values())
        if (suggestion.codes if only is None else suggestion.remedy.name in only)
    ]
    for suggestion in track(suggestions, "trying remedies", progress=progress):
        workshop.try_together([suggestion], suggestion.codes, suggestion.units)
    if only is None:
        for stages, units in masked_together(diagnosis).items():
            workshop.try_each_stage(stages, units, suggestions)
    known = {code for remedy in REMEDIES.values() for code in remedy.answers}
    return Remedies(
        diagnosis=diagnosis,
        tried=workshop.measured(latency_queries),
        skipped=tuple(workshop.skipped),
        unanswered={
            code: len(units) for code, units in units_by_code(diagnosis).items() if code not in known
        },
    )


def _check(
    diagnosis: Diagnosis, pipeline: Pipeline, only: Collection[str] | None, latency_queries: int
) -> None:
    trace = diagnosis.trace
    for name, of_pipeline, of_diagnosis in (
        *((stage, pipeline.stages.get(stage), trace.stages.get(stage)) for stage in {**trace.stages, **pipeline.stages}),
        ("candidates", pipeline.n, trace.candidates),
        ("top_k", pipeline.top_k, trace.top_k),
    ):
        if of_pipeline != of_diagnosis:
            raise ConfigError(
                f"the diagnosis is of another pipeline: its {name} is {of_diagnosis}, that of the pipeline is "
                f"{of_pipeline}; give the pipeline that was diagnosed"
            )
    if isinstance(only, str) or not set(only or ()) <= REMEDIES.keys():
        raise ConfigError(f"only must be names of remedies ({', '.join(REMEDIES)}), got {only!r}")
    if latency_queries < 0:
        raise ConfigError(f"latency_queries must be >= 0, got {latency_queries!r}")
