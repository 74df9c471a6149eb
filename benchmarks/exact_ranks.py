"""Exact ranks of gold over a million memory-mapped vectors, against the blocked matrix product alone.

    python benchmarks/exact_ranks.py

1,000 queries, each with one gold row; 1,000,000 x 384 float32 vectors in a file. The ratio is taken in one
run, the median of several pairs; the memory is what the process holds beyond the mapped file.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Self

import numpy as np
from real_data import write_result

from ragdiag.stages.protocols import Similarity, Vectors
from ragdiag.stages.similarity import BLOCK_ROWS, exact_ranks

DIMENSIONS = 384


def main() -> None:
    """Print and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=1_000)
    parser.add_argument("--pairs", type=int, default=9)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        vectors = made_vectors(Path(folder) / "vectors.npy", options.rows)
        rng = np.random.default_rng(1)
        gold = rng.integers(0, options.rows, options.queries)
        noise = rng.standard_normal((options.queries, DIMENSIONS)).astype(np.float32)
        # Most golds rank near the top, one in ten anywhere: a lost unit may be far down.
        strength = np.where(np.arange(options.queries) % 10, 4.0, 100.0) / DIMENSIONS**0.5
        queries = unit(np.asarray(vectors[gold]) + noise * strength[:, None].astype(np.float32))
        targets = [np.array([row]) for row in gold]
        blocked_product(vectors, queries)  # reads the file once, so that both find it in the page cache
        results = {}
        for similarity in ("dot", "cosine"):
            pairs = [measure(vectors, queries, targets, similarity) for _ in range(options.pairs)]
            results[similarity] = {
                "product_seconds": statistics.median(product for product, _ in pairs),
                "ranks_seconds": statistics.median(ranks for _, ranks in pairs),
                "ratio": statistics.median(ranks / product for product, ranks in pairs),
            }
        with PeakMemory() as memory:
            ranks = np.concatenate(exact_ranks(vectors, queries, targets, "cosine"))
    rows = "\n".join(
        f"| {name} | {r['product_seconds']:.2f} s | {r['ranks_seconds']:.2f} s | {r['ratio']:.2f} |"
        for name, r in results.items()
    )
    text = f"""# Exact ranks: {options.queries} queries, {options.rows} x {DIMENSIONS} memory-mapped vectors

| similarity | blocked product alone | exact ranks | ratio (median of {options.pairs} pairs) |
| --- | --- | --- | --- |
{rows}

Ranks of gold: median {np.median(ranks):.0f}, largest {ranks.max()}.
Memory beside the mapped file, interpreter and libraries included: at most {memory.mib:.0f} MiB.
"""
    write_result("exact_ranks", text, {"by_similarity": results, "anonymous_mib": round(memory.mib)})


def made_vectors(path: Path, rows: int) -> Vectors:
    """Random unit vectors, written block by block and opened as a memory map."""
    rng = np.random.default_rng(0)
    out = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(rows, DIMENSIONS))
    for start in range(0, rows, BLOCK_ROWS):
        size = min(BLOCK_ROWS, rows - start)
        out[start : start + size] = unit(rng.standard_normal((size, DIMENSIONS), dtype=np.float32))
    out.flush()
    del out
    vectors: Vectors = np.load(path, mmap_mode="r")
    return vectors


def unit(vectors: Vectors) -> Vectors:
    """Rows of length 1."""
    rows: Vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return rows


def blocked_product(vectors: Vectors, queries: Vectors) -> float:
    """Seconds for all scores, block after block, thrown away."""
    began = time.perf_counter()
    out = np.empty((len(queries), BLOCK_ROWS), dtype=np.float32)
    for start in range(0, len(vectors), BLOCK_ROWS):
        block = np.asarray(vectors[start : start + BLOCK_ROWS])
        np.matmul(queries, block.T, out=out[:, : len(block)])
    return time.perf_counter() - began


def measure(
    vectors: Vectors, queries: Vectors, targets: list[np.ndarray], similarity: Similarity
) -> tuple[float, float]:
    """Seconds of the product alone and of the ranks, one right after the other."""
    product = blocked_product(vectors, queries)
    began = time.perf_counter()
    exact_ranks(vectors, queries, targets, similarity)
    return product, time.perf_counter() - began


class PeakMemory:
    """The most anonymous memory that this process held meanwhile, looked at every 20 ms."""

    def __enter__(self) -> Self:
        self.mib = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.02):
            self.mib = max(self.mib, anonymous_mib())


def anonymous_mib() -> float:
    """Memory of this process that no file backs: all but the mapped vectors."""
    status = Path("/proc/self/status").read_text()
    fields = dict(line.split(":", 1) for line in status.splitlines())
    kib = int(fields["RssAnon"].split()[0])
    return kib / 1024


if __name__ == "__main__":
    main()
