"""What a sweep costs beside separate runs of the same pipelines, and what running it again costs.

    python benchmarks/sweep_cost.py

Four chunkers times six ways to search and pack, with MiniLM, over the handbook and over XQuAD. In one
process, one after the other: 24 calls of ``diagnose(verify=False)``; one `sweep` of the 24 pipelines into an
empty store; the same sweep again from that store. The model is loaded before, so that nobody waits for it.
Separate runs chunk and embed everything 24 times, a sweep each text once; what the ledger takes is the same
for both, and a sweep also ranks deep enough to fill token budgets.

The memory is the highest resident size of a process that does nothing but the first sweep, model included;
beside it that of a process that has loaded the model and embedded one text.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from real_data import spans_data, write_result

from ragdiag import (
    BM25Retriever,
    Document,
    ExactRetriever,
    FaissRetriever,
    HybridRetriever,
    MarkdownChunker,
    Pipeline,
    Query,
    RecursiveChunker,
    SentenceChunker,
    SentenceTransformerEmbedder,
    Sweep,
    TokenBudget,
    diagnose,
    grid,
    sweep,
)
from ragdiag.demo import demo_data

DATA_SETS = ("handbook", "xquad_en")
CHUNKERS = {
    "recursive 400": RecursiveChunker(400),
    "recursive 800": RecursiveChunker(800),
    "sentences 600": SentenceChunker(600),
    "markdown 800": MarkdownChunker(800),
}


def main() -> None:
    """Print and keep the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peak", choices=[*DATA_SETS, "model"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        peak(options.peak)
        return
    results: dict[str, Any] = {name: measure(name) for name in DATA_SETS}
    for name in (*DATA_SETS, "model"):
        results.setdefault("peak_mebibytes", {})[name] = peak_of_process(name)
    write_result("sweep_cost", report(results), results)


def load(name: str) -> tuple[list[Document], list[Query]]:
    """Documents and assessed queries of a data set."""
    documents, queries = demo_data() if name == "handbook" else spans_data(name)
    return documents, [query for query in queries if query.assessed]


def pipelines(embedder: SentenceTransformerEmbedder) -> dict[str, Pipeline]:
    """Twenty-four: four chunkers, six ways to search and pack."""
    base = Pipeline(chunker=RecursiveChunker(400), embedder=embedder, retriever=ExactRetriever())
    hybrid = HybridRetriever((ExactRetriever(), BM25Retriever()))
    found = grid(
        base,
        chunker=CHUNKERS,
        retriever={"exact": ExactRetriever(), "HNSW": FaissRetriever("HNSW32"), "hybrid": hybrid},
        packer={"top 5": None, "budget": TokenBudget(600, counter=embedder)},
    )
    if len(found) != 24:
        raise AssertionError(f"expected 24 pipelines, got {len(found)}")
    return found


def measure(name: str) -> dict[str, Any]:
    """Seconds of the separate runs, of the first sweep and of the second; what both sweeps embedded."""
    documents, queries = load(name)
    embedder = loaded_model()
    made = pipelines(embedder)
    separate, recalls = timed(
        lambda: {key: diagnose(p, documents, queries, verify=False).recall for key, p in made.items()}
    )
    with tempfile.TemporaryDirectory() as folder:
        first, found = timed(lambda: sweep(made, documents, queries, store=folder))
        second, again = timed(lambda: sweep(made, documents, queries, store=folder))
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    differences = [abs(float(found[key]["Recall"].mean()) - recalls[key]) for key in made]
    return {
        "documents": len(documents),
        "queries": len(queries),
        "separate_seconds": separate,
        "first_seconds": first,
        "second_seconds": second,
        "texts_first": found.work.texts,
        "texts_second": again.work.texts + again.work.queries,
        "chunks": sum(found[key].chunks.chunks for key in made) // 6,
        "store_mebibytes": size / 2**20,
        "recall_differs_by": max(differences),
        "same_again": found.to_dict() == again.to_dict(),
    }


def loaded_model() -> SentenceTransformerEmbedder:
    """MiniLM, ready to embed."""
    embedder = SentenceTransformerEmbedder.packaged_minilm()
    embedder.embed_documents(["ready"])
    return embedder


def timed(work: Any) -> tuple[float, Any]:
    """Seconds, and what came of it."""
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


# Memory


def peak(name: str) -> None:
    """Print the highest resident size of this process after one sweep."""
    embedder = loaded_model()
    if name != "model":
        documents, queries = load(name)
        swept: Sweep = sweep(pipelines(embedder), documents, queries)
        if len(swept) != 24:
            raise AssertionError(f"expected 24 results, got {len(swept)}")
    print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def peak_of_process(name: str) -> float:
    """The same of a process of its own, in MiB."""
    done = subprocess.run(  # noqa: S603  # this very script
        [sys.executable, __file__, "--peak", name], capture_output=True, text=True, check=True
    )
    return float(done.stdout.splitlines()[-1])


def report(results: dict[str, Any]) -> str:
    """The table as Markdown."""
    lines = [
        "# What a sweep costs",
        "",
        "24 pipelines: 4 chunkers, 6 ways to search and pack, MiniLM. Seconds of one run on a shared",
        "machine; only their ratios mean anything.",
        "",
        "| | " + " | ".join(DATA_SETS) + " |",
        "|---|" + "---:|" * len(DATA_SETS),
    ]
    rows: list[tuple[str, Callable[[dict[str, Any]], str]]] = [
        ("documents, questions", lambda r: f"{r['documents']}, {r['queries']}"),
        ("chunks of the four chunkers together", lambda r: f"{r['chunks']:,}"),
        ("24 separate runs", lambda r: f"{r['separate_seconds']:.0f} s"),
        ("one sweep", lambda r: f"{r['first_seconds']:.0f} s"),
        ("the same sweep again", lambda r: f"{r['second_seconds']:.2f} s"),
        ("separate runs / sweep", lambda r: f"{r['separate_seconds'] / r['first_seconds']:.1f}"),
        ("sweep / the same again", lambda r: f"{r['first_seconds'] / r['second_seconds']:.0f}"),
        ("texts embedded, first time", lambda r: f"{r['texts_first']:,}"),
        ("texts embedded, second time", lambda r: f"{r['texts_second']:,}"),
        ("the same result again", lambda r: "yes" if r["same_again"] else "**no**"),
        ("recall differs from separate runs by at most", lambda r: f"{r['recall_differs_by']:.1e}"),
        ("the store on disk", lambda r: f"{r['store_mebibytes']:.1f} MiB"),
    ]
    lines += [f"| {name} | " + " | ".join(show(results[d]) for d in DATA_SETS) + " |" for name, show in rows]
    peaks = results["peak_mebibytes"]
    lines.append("| peak memory | " + " | ".join(f"{peaks[d]:.0f} MiB" for d in DATA_SETS) + " |")
    lines += ["", f"A process that only loads the model and embeds one text: {peaks['model']:.0f} MiB."]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
