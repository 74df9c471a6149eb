"""Twelve chunkers on two data sets with MiniLM: which tie, which lose, and at which stage it is decided.

    python benchmarks/chunkers.py [--again]

Sizes are in MiniLM's word pieces, its two special tokens included. Exact search, five chunks in the context.
What decides is recall of what fits into 1,024 word pieces. The store lies in `benchmarks/cache/chunkers`. It
is emptied first, so that the time of the whole sweep is measured; with ``--again`` it is used as it is,
nothing is embedded twice, and the time that is kept stays that of the last whole sweep.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import time
from typing import Any

import matplotlib as mpl
from langchain_text_splitters import RecursiveCharacterTextSplitter
from real_data import CACHE, RESULTS, spans_data, write_result
from semchunk import chunkerify

from ragdiag import (
    ChunkerComparison,
    ExactRetriever,
    Pipeline,
    RecursiveChunker,
    SemanticChunker,
    SentenceChunker,
    SentenceTransformerEmbedder,
    StaticEmbedder,
    TokenChunker,
    compare_chunkers,
)
from ragdiag.adapters import LangChainChunker, SemchunkChunker
from ragdiag.stages.protocols import Chunker

DATA_SETS = ("chroma_chunking", "xquad_en")
MINUTES_LIMIT = 75.0


def main() -> None:
    """Print and keep the tables and the pictures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--again", action="store_true", help="use what is in the store")
    options = parser.parse_args()
    mpl.use("agg")
    for name in DATA_SETS:
        run(name, again=options.again)


def run(name: str, *, again: bool) -> None:
    """Compare on one data set."""
    store = CACHE / "chunkers" / name
    if not again:
        shutil.rmtree(store, ignore_errors=True)
    documents, queries = spans_data(name)
    embedder = SentenceTransformerEmbedder.packaged_minilm()
    pipeline = Pipeline(chunker=RecursiveChunker(200), embedder=embedder, retriever=ExactRetriever(), top_k=5)
    began = time.perf_counter()
    comparison = compare_chunkers(documents, queries, chunkers(embedder), pipeline=pipeline, store=store)
    cost = {
        "minutes": (time.perf_counter() - began) / 60,
        "texts": comparison.sweep.work.texts,
        "peak_mebibytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    if again:
        cost = json.loads((RESULTS / f"chunkers_{name}.json").read_text(encoding="utf-8"))["cost"]
    for what, figure in (("frontier", comparison.plot()), ("losses", comparison.plot_losses())):
        figure.savefig(RESULTS / f"chunkers_{name}_{what}.png", dpi=110, bbox_inches="tight")
    values: dict[str, Any] = {"cost": cost, "comparison": comparison.to_dict()}
    write_result(f"chunkers_{name}", report(name, comparison, cost), values)


def chunkers(embedder: SentenceTransformerEmbedder) -> dict[str, Chunker]:
    """The twelve."""

    def pieces(text: str) -> int:
        [count] = embedder.count_tokens([text])
        return int(count)

    splitter = RecursiveCharacterTextSplitter(
        chunk_size=200,
        chunk_overlap=0,
        length_function=pieces,
        separators=["\n\n", "\n", ".", "?", "!", " ", ""],
    )
    return {
        "recursive 100": RecursiveChunker(100, unit=embedder),
        "recursive 200": RecursiveChunker(200, unit=embedder),
        "recursive 250/125": RecursiveChunker(250, overlap=125, unit=embedder),
        "recursive 400": RecursiveChunker(400, unit=embedder),
        "recursive 400/200": RecursiveChunker(400, overlap=200, unit=embedder),
        "tokens 200": TokenChunker(200, unit=embedder),
        "tokens 400": TokenChunker(400, unit=embedder),
        "sentences 200": SentenceChunker(200, unit=embedder),
        "sentences 400": SentenceChunker(400, unit=embedder),
        "semantic 400": SemanticChunker(StaticEmbedder(), size=400, unit=embedder),
        "LangChain 200": LangChainChunker(splitter, name="LangChain, recursive, 200 word pieces of MiniLM"),
        "semchunk 200": SemchunkChunker(chunkerify(pieces, 200), name="semchunk, 200 word pieces of MiniLM"),
    }


def report(name: str, comparison: ChunkerComparison, cost: dict[str, float]) -> str:
    """The page."""
    took = (
        f"The whole sweep took {cost['minutes']:.1f} minutes on two shared cores "
        f"(limit: {MINUTES_LIMIT:.0f}); "
        f"{cost['texts']:,.0f} texts were embedded; peak memory of the process so far "
        f"{cost['peak_mebibytes']:,.0f} MiB, models included."
    )
    return "\n".join(
        [
            f"# Twelve chunkers on {name}",
            "",
            took,
            "",
            comparison.to_markdown(),
            "",
            f"![quality against tokens](chunkers_{name}_frontier.png)",
            "",
            f"![losses by stage](chunkers_{name}_losses.png)",
        ]
    )


if __name__ == "__main__":
    main()
