"""What the ledger costs beside the plain run of the same pipeline.

    python benchmarks/ledger_cost.py

The ratio of `diagnose` to `Pipeline.run`, in one process, alternating; vectors come from disk in both, so
that nothing hides the ledger behind a slow model. The handbook's demo pipeline and a data set of 1,190
questions.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from real_data import spans_data, write_result

from ragdiag import (
    Document,
    FaissRetriever,
    LateInteractionReranker,
    Pipeline,
    Query,
    RecursiveChunker,
    StaticEmbedder,
    TokenBudget,
    diagnose,
)
from ragdiag.demo import demo_data, demo_pipeline

PAIRS = 5


def main() -> None:
    """Print and keep the table."""
    embedder = StaticEmbedder()
    xquad = Pipeline(
        chunker=RecursiveChunker(400, overlap=50),
        embedder=embedder,
        retriever=FaissRetriever("HNSW32"),
        reranker=LateInteractionReranker(embedder),
        packer=TokenBudget(2048, counter=embedder, reserve=512),
    )
    cases = {
        "handbook, demo pipeline": (demo_pipeline(), *demo_data()),
        "xquad_en, static model, HNSW, late interaction": (xquad, *spans_data("xquad_en")),
    }
    results = {name: compare(*case) for name, case in cases.items()}
    rows = "\n".join(
        f"| {name} | {r['run_seconds']:.2f} s | {r['diagnose_seconds']:.2f} s | {r['ratio']:.2f} |"
        for name, r in results.items()
    )
    text = f"""# The ledger beside the plain run

| case | `Pipeline.run` | `diagnose` | ratio (median of {PAIRS} pairs) |
| --- | --- | --- | --- |
{rows}
"""
    write_result("ledger_cost", text, results)


def compare(pipeline: Pipeline, documents: list[Document], queries: list[Query]) -> dict[str, float]:
    """Median seconds of both, and the median of the ratios of neighboring calls."""
    pairs = []
    diagnose(
        pipeline, documents, queries, verify=False
    )  # imports and models are loaded before anything is timed
    for _ in range(PAIRS):
        run = seconds(lambda: pipeline.run(documents, queries))
        whole = seconds(lambda: diagnose(pipeline, documents, queries, verify=False))
        pairs.append((run, whole))
    return {
        "run_seconds": statistics.median(run for run, _ in pairs),
        "diagnose_seconds": statistics.median(whole for _, whole in pairs),
        "ratio": statistics.median(whole / run for run, whole in pairs),
    }


def seconds(work: Callable[[], object]) -> float:
    """Wall-clock time of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
