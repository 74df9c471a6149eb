"""Sweeps over chunkers of which every number is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ragdiag import BM25Retriever, Diagnosis, Pipeline, RecursiveChunker
from ragdiag.experiments.chunking import ChunkerComparison, Prices
from ragdiag.experiments.sweep import CEILING, CUT, ChunkFacts, Measured, Sweep, Timings, Work
from ragdiag.records import Evidence, Query, Span

FACTS = ChunkFacts(
    chunks=40,
    unit="tokens",
    shortest=3,
    lower=20.0,
    median=35.5,
    upper=50.0,
    longest=1200,
    over_limit=0.25,
    duplicates=0.05,
    dropped=0.001,
    texts=38,
    tokens=2_000_000,
    index_bytes=1_234_567,
)
TIMINGS = Timings(chunker=0.5, embedder=2.0, retriever=0.25, latency=tuple(range(1, 21)))


def measured(
    recall: ArrayLike,
    *,
    at_budget: ArrayLike | None = None,
    losses: Mapping[str, ArrayLike] | None = None,
    context_tokens: float | None = 500.0,
    chunks: ChunkFacts = FACTS,
) -> Measured:
    """What a chunker got; what is not lost at a stage that is given is lost at the embedder."""
    values = np.asarray(recall, dtype=float)
    given = {stage: np.asarray(loss, dtype=float) for stage, loss in (losses or {}).items()}
    rest = 1 - values - sum(given.values(), np.zeros_like(values))
    nothing = np.zeros_like(values)
    by_stage = {"ingest": nothing, "chunker": nothing, "capacity": nothing, "embedder": rest, **given}
    specs = ["Recall", "All", "Hit", "MRR", "CP", "Precision", "IoU", "Omega"]
    measures = dict.fromkeys(specs, values) | {CEILING: np.ones_like(values), CUT: nothing}
    if context_tokens is not None:
        budget = values if at_budget is None else np.asarray(at_budget, dtype=float)
        measures |= {f"Recall@{tokens}t": budget for tokens in (512, 1024, 2048, 4096)}
    return Measured(
        stages={"chunker": "Mine()", "retriever": "BM25Retriever()"},
        candidates=10,
        top_k=5,
        query_ids=tuple(f"q{i}" for i in range(len(values))),
        measures=measures,
        losses=by_stage,
        noise={},
        context_tokens=None if context_tokens is None else np.full(len(values), context_tokens),
        chunks=chunks,
    )


def sweep_of(
    chunkers: Mapping[str, Measured],
    *,
    timings: Mapping[str, Timings] | None = None,
    documents: Sequence[str] | None = None,
    unkept: Mapping[str, tuple[str, ...]] | None = None,
) -> Sweep:
    """A sweep in which each query needs a document of its own, or that of ``documents``."""
    n = len(next(iter(chunkers.values())).query_ids)
    needed = documents or [f"d{i}" for i in range(n)]
    pipeline = Pipeline(chunker=RecursiveChunker(), retriever=BM25Retriever())
    return Sweep(
        pipelines=dict.fromkeys(chunkers, pipeline),
        measured=chunkers,
        timings={} if timings is None else timings,
        queries=tuple(
            Query(f"q{i}", f"What is fact {i}?", [Evidence.of(Span(needed[i], 0, 9))]) for i in range(n)
        ),
        unkept=unkept or {},
        work=Work(),
        _diagnose=_no_diagnosis,
    )


def comparison_of(
    chunkers: Mapping[str, Measured],
    *,
    measure: str = "Recall@1024t",
    min_effect: float = 0.02,
    prices: Prices | None = None,
    timings: Mapping[str, Timings] | None = None,
    documents: Sequence[str] | None = None,
    unkept: Mapping[str, tuple[str, ...]] | None = None,
) -> ChunkerComparison:
    """A comparison over `sweep_of`."""
    sweep = sweep_of(chunkers, timings=timings, documents=documents, unkept=unkept)
    return ChunkerComparison(sweep, measure, min_effect, prices)


def shares(n: int, mean: float, *, seed: int) -> list[float]:
    """Yes/no values of ``n`` queries with nearly this mean, in an order of their own."""
    ones = round(n * mean)
    values: list[float] = np.random.default_rng(seed).permutation([1.0] * ones + [0.0] * (n - ones)).tolist()
    return values


def rows_by_name(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """The rows of a table by its index, each a mapping from columns to values."""
    return {
        str(name): {str(key): value for key, value in row.items()}
        for name, row in table.to_dict("index").items()
    }


def _no_diagnosis(pipeline: Pipeline) -> Diagnosis:
    raise AssertionError(pipeline)
