"""How far one machine goes: time, memory and disk of each step of a sweep, by the number of chunks.

    python benchmarks/scale.py

Made-up documents of about 24 chunks each, with a question about a passage of every fiftieth. For each number
of chunks a process of its own sweeps one chunker with three ways to search (exact, HNSW, BM25), with the
packaged static model, and takes the time of each step and its highest resident size. MiniLM embeds a sample,
since its rate is the same for any number of texts.
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
from typing import Any

import numpy as np
from real_data import write_result

from ragdiag import (
    BM25Retriever,
    Document,
    Evidence,
    ExactRetriever,
    FaissRetriever,
    Pipeline,
    Query,
    RecursiveChunker,
    Retriever,
    SentenceTransformerEmbedder,
    Span,
    StaticEmbedder,
    Store,
    sweep,
)
from ragdiag.index import chunk_all

SIZES = (5_000, 20_000, 80_000)
CHUNKS_A_DOCUMENT = 24
RETRIEVERS: dict[str, Retriever] = {
    "exact": ExactRetriever(),
    "HNSW": FaissRetriever("HNSW32"),
    "BM25": BM25Retriever(),
}
SAMPLE = 200


def main() -> None:
    """Print and keep the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.size:
        print(json.dumps(measure(options.size)))
        return
    results: dict[str, Any] = {"sizes": [of_process(size) for size in SIZES], "minilm": minilm_rate()}
    write_result("scale", report(results), results)


def corpus(chunks: int) -> tuple[list[Document], list[Query]]:
    """Documents of made-up words, the frequent ones frequent (Zipf), and questions about some sentences."""
    generator = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = ["".join(generator.choice(letters, size)) for size in generator.integers(2, 11, 20_000)]
    weights = 1 / np.arange(1, len(words) + 1)
    documents, queries = [], []
    for number in range(chunks // CHUNKS_A_DOCUMENT):
        drawn = generator.choice(len(words), CHUNKS_A_DOCUMENT * 56, p=weights / weights.sum())
        sentences = [" ".join(words[w] for w in drawn[i : i + 14]) + "." for i in range(0, len(drawn), 14)]
        document = Document(f"d{number}", " ".join(sentences))
        documents.append(document)
        if number % 50 == 0:
            sentence = sentences[len(sentences) // 2]
            start = document.text.index(sentence)
            span = Span(document.id, start, start + len(sentence))
            queries.append(Query(f"q{number}", sentence[:60], [Evidence.of(span)]))
    return documents, queries


def measure(size: int) -> dict[str, Any]:
    """Seconds, rates and sizes of each step for about so many chunks, in this process."""
    documents, queries = corpus(size)
    embedder = StaticEmbedder()
    embedder.embed_documents(["ready"])
    before = memory()
    chunker = RecursiveChunker(400)
    steps = time_steps(chunker, embedder, documents)
    pipelines = {
        name: Pipeline(
            chunker=chunker, embedder=None if name == "BM25" else embedder, retriever=retriever, top_k=5
        )
        for name, retriever in RETRIEVERS.items()
    }
    with tempfile.TemporaryDirectory() as folder:
        to_sweep, found = timed(lambda: sweep(pipelines, documents, queries, store=folder))
        kept = int(Store(folder).contents()["bytes"].sum())
        again, _ = timed(lambda: sweep(pipelines, documents, queries, store=folder))
    return {
        "documents": len(documents),
        "characters": sum(len(document.text) for document in documents),
        "queries": len(queries),
        "chunks": found["exact"].chunks.chunks,
        **steps,
        "index_bytes": {name: found[name].chunks.index_bytes for name in RETRIEVERS},
        "sweep_seconds": to_sweep,
        "again_seconds": again,
        "store_bytes": kept,
        "memory_mebibytes": memory(),
        "memory_before_mebibytes": before,
        "recall": {name: float(found[name]["Recall"].mean()) for name in RETRIEVERS},
    }


def time_steps(
    chunker: RecursiveChunker, embedder: StaticEmbedder, documents: list[Document]
) -> dict[str, Any]:
    """Seconds of cutting, embedding and building each index, one after the other."""
    to_chunk, chunks = timed(lambda: chunk_all(chunker, documents, progress=False))
    to_embed, vectors = timed(lambda: embedder.embed_documents([chunk.index_text for chunk in chunks]))
    to_build = {}
    for name, retriever in RETRIEVERS.items():
        began = time.perf_counter()
        retriever.build(chunks, vectors)
        to_build[name] = time.perf_counter() - began
    return {"chunk_seconds": to_chunk, "embed_seconds": to_embed, "build_seconds": to_build}


def minilm_rate() -> dict[str, float]:
    """Texts and characters a second that MiniLM embeds here."""
    embedder = SentenceTransformerEmbedder.packaged_minilm()
    embedder.embed_documents(["ready"])
    documents, _ = corpus(SAMPLE * 2)
    texts = [chunk.index_text for chunk in chunk_all(RecursiveChunker(400), documents, progress=False)][
        :SAMPLE
    ]
    seconds, _ = timed(lambda: embedder.embed_documents(texts))
    return {"texts": len(texts) / seconds, "characters": sum(map(len, texts)) / seconds}


def memory() -> float:
    """The highest resident size of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what came of it."""
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


def of_process(size: int) -> dict[str, Any]:
    """What `measure` says in a process of its own."""
    done = subprocess.run(  # noqa: S603  # this very script
        [sys.executable, __file__, "--size", str(size)], stdout=subprocess.PIPE, text=True, check=True
    )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def report(results: dict[str, Any]) -> str:
    """The table as Markdown."""
    sizes, minilm = results["sizes"], results["minilm"]
    rows: list[tuple[str, Callable[[dict[str, Any]], str]]] = [
        ("documents", lambda r: f"{r['documents']:,}"),
        ("text", lambda r: f"{r['characters'] / 1e6:.1f} M characters"),
        ("questions", lambda r: f"{r['queries']}"),
        ("cutting", lambda r: f"{r['characters'] / r['chunk_seconds'] / 1e6:.1f} M characters/s"),
        ("embedding, static model", lambda r: f"{r['chunks'] / r['embed_seconds']:,.0f} chunks/s"),
        *((f"building {name}", lambda r, n=name: f"{r['build_seconds'][n]:.2f} s") for name in RETRIEVERS),
        *(
            (f"index of {name}", lambda r, n=name: f"{r['index_bytes'][n] / 2**20:.1f} MiB")
            for name in RETRIEVERS
        ),
        ("the sweep of the three", lambda r: f"{r['sweep_seconds']:.1f} s"),
        ("the same sweep again", lambda r: f"{r['again_seconds']:.2f} s"),
        ("the store on disk", lambda r: f"{r['store_bytes'] / 2**20:.0f} MiB"),
        (
            "memory above the loaded model",
            lambda r: f"{r['memory_mebibytes'] - r['memory_before_mebibytes']:.0f} MiB",
        ),
    ]
    of_minilm = (
        f"MiniLM embeds {minilm['texts']:.0f} chunks of these a second, "
        f"{minilm['characters']:,.0f} characters."
    )
    lines = [
        "# How far one machine goes",
        "",
        "Two cores, no GPU, shared with others: rates of one run.",
        "",
        "| chunks | " + " | ".join(f"{r['chunks']:,}" for r in sizes) + " |",
        "|---|" + "---:|" * len(sizes),
        *(f"| {name} | " + " | ".join(show(r) for r in sizes) + " |" for name, show in rows),
        "",
        of_minilm,
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
