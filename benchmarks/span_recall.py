"""The ledger of two real data sets with MiniLM, and span recall beside published figures.

    python benchmarks/span_recall.py

Two pipelines each. The *plain* one is that of the report "Evaluating Chunking Strategies for Retrieval"
(Smith and Troynikov, Chroma, 2024): chunks of 200 word pieces without overlap, the five nearest by cosine.
The *full* one adds an HNSW index, a reranker and a token budget.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
from real_data import data_folder, minilm, spans_data, write_result

from ragdiag import (
    Diagnosis,
    ExactRetriever,
    FaissRetriever,
    LateInteractionReranker,
    Pipeline,
    Query,
    RecursiveChunker,
    Span,
    TokenBudget,
    diagnose,
)

DATA_SETS = ("chroma_chunking", "xquad_en")


def main() -> None:
    """Print and keep the tables."""
    embedder = minilm()
    chunker = RecursiveChunker(200, unit=embedder)
    plain = Pipeline(chunker=chunker, embedder=embedder, retriever=ExactRetriever(), top_k=5)
    full = Pipeline(
        chunker=chunker,
        embedder=embedder,
        retriever=FaissRetriever("HNSW32"),
        reranker=LateInteractionReranker(embedder),
        packer=TokenBudget(2048, counter=embedder, reserve=1024, overflow="skip"),
        candidates=50,
        top_k=5,
    )
    parts, values = ["# Ledgers of real data sets\n"], {}
    for name in DATA_SETS:
        documents, queries = spans_data(name)
        for kind, pipeline in (("plain", plain), ("full", full)):
            diagnosis = diagnose(pipeline, documents, queries, verify=False)
            parts += [f"## {name}, {kind} pipeline\n", tables(diagnosis)]
            values[f"{name}/{kind}"] = {
                "recall": diagnosis.recall,
                "hard_recall": diagnosis.hard_recall,
                "losses": diagnosis.losses.to_dict("index"),
            }
            if kind == "plain" and name == "chroma_chunking":
                text, comparison = beside_the_report(pipeline, diagnosis)
                parts.append(text)
                values["report"] = comparison
    write_result("span_recall", "\n".join(parts), values)


def tables(diagnosis: Diagnosis) -> str:
    """The pipeline, the ledger soft and hard, and the measures."""
    stages = "\n".join(f"- {stage}: `{plug}`" for stage, plug in diagnosis.trace.stages.items())
    counts = ", ".join(f"{count} {what}" for what, count in diagnosis.counts.items())
    labels = diagnosis.failures["stage"].value_counts()
    losses = diagnosis.losses.join(diagnosis.hard_losses["loss"].rename("hard loss"))
    losses["lost units"] = [int(labels.get(stage, 0)) for stage in losses.index]
    total = losses["loss"].sum() - losses["rescue"].sum()
    return "\n".join(
        [
            f"{stages}\n\n{counts}; {len(diagnosis.trace.chunks)} chunks\n",
            table(losses.reset_index()),
            f"\nLosses less rescues: {total:.12f}; 1 - recall: {1 - diagnosis.recall:.12f}\n",
            table(diagnosis.measures),
            "",
        ]
    )


def table(frame: pd.DataFrame) -> str:
    """A Markdown table."""
    rows = [
        [f"{v:.3f}" if isinstance(v, float) else str(v) for v in row] for row in frame.itertuples(index=False)
    ]
    head = [" | ".join(map(str, frame.columns)), " | ".join("---" for _ in frame.columns)]
    return "\n".join(f"| {line} |" for line in [*head, *map(" | ".join, rows)])


def beside_the_report(pipeline: Pipeline, diagnosis: Diagnosis) -> tuple[str, dict[str, Any]]:
    """Our recall, and the report's definition of it over the same run, beside the published figure."""
    documents, queries = spans_data("chroma_chunking")
    without_copies = diagnose(pipeline, documents, queries, copies=False, verify=False)
    as_in_report = np.mean([characters_found(without_copies, query) for query in queries])
    published = json.loads((data_folder("chroma_chunking") / "published_table.json").read_text())
    row = next(
        row
        for row in published["all-MiniLM-L6-v2"]
        if row[0] == "Recursive" and str(row[1]).startswith("200")
    )
    reported = float(str(row[3]).split()[0]) / 100
    values = {
        "ours": diagnosis.recall,
        "ours_without_copies": without_copies.recall,
        "definition_of_the_report": float(as_in_report),
        "published": reported,
    }
    text = f"""### Recall of the first five chunks beside the report

| | recall |
| --- | --- |
| ours: mean coverage of a query's spans, exact copies count | {values["ours"]:.3f} |
| the same without copies | {values["ours_without_copies"]:.3f} |
| the report's definition (characters found / characters of all spans) on the same run | {as_in_report:.3f} |
| published, with another recursive splitter | {reported:.3f} |
"""
    return text, values


def characters_found(diagnosis: Diagnosis, query: Query) -> float:
    """Characters of the query's spans inside the context / characters of its spans, whitespace included."""
    found = total = 0
    spans = [part for unit in query.evidence for part in unit.alternatives[0] if isinstance(part, Span)]
    for span in spans:
        held = {
            i
            for chunk in diagnosis.trace[query.id].context
            for s in chunk.spans
            if s.doc_id == span.doc_id
            for i in range(max(s.start, span.start), min(s.end, span.end))
        }
        found += len(held)
        total += len(span)
    return found / total


if __name__ == "__main__":
    main()
