"""How much faster ragdiag's BM25 answers than rank-bm25, and that the scores are the same.

Texts are synthetic: words drawn from a Zipf distribution, as in natural language. Both engines get the same
token lists and the same queries, one query at a time, in one process.

    python benchmarks/bm25_speed.py --chunks 20000 --out bm25_speed.json
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from rank_bm25 import BM25Okapi

from ragdiag.records import Chunk, Document, Request
from ragdiag.stages.retrievers import BM25Retriever

T = TypeVar("T")

VOCABULARY = 50_000
ZIPF_EXPONENT = 1.07
MEAN_WORDS = 120
QUERY_WORDS = 8
CANDIDATES = 50


def zipf_texts(lengths: NDArray[np.int64], seed: int) -> list[list[str]]:
    """Token lists of the given lengths."""
    weights = 1.0 / np.arange(1, VOCABULARY + 1) ** ZIPF_EXPONENT
    drawn = np.random.default_rng(seed).choice(VOCABULARY, size=int(lengths.sum()), p=weights / weights.sum())
    return [[f"w{word}" for word in part] for part in np.split(drawn, np.cumsum(lengths)[:-1])]


def timed(answer: Callable[[int], T], n: int) -> tuple[list[T], list[float]]:
    """What ``answer`` gives for 0 … n - 1, and the seconds that each took."""
    answers, seconds = [], []
    for i in range(n):
        started = time.perf_counter()
        answers.append(answer(i))
        seconds.append(time.perf_counter() - started)
    return answers, seconds


def main() -> None:
    """Run once, print a table, and write it as JSON where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--chunks", type=int, default=20_000)
    parser.add_argument("--queries", type=int, default=20, help="queries timed with both engines")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="write the numbers here, as JSON")
    options = parser.parse_args()

    lengths = np.random.default_rng(options.seed).poisson(MEAN_WORDS, options.chunks) + 1
    corpus = zipf_texts(lengths, options.seed)
    queries = zipf_texts(np.full(options.queries, QUERY_WORDS), options.seed + 1)
    texts = [" ".join(tokens) for tokens in corpus]
    chunks = [Chunk.of(Document(f"d{i}", text), (0, len(text))) for i, text in enumerate(texts)]
    requests = [Request(f"q{i}", " ".join(tokens)) for i, tokens in enumerate(queries)]

    started = time.perf_counter()
    searcher = BM25Retriever(tokenize=str.split).build(chunks, None)
    ours_build = time.perf_counter() - started
    started = time.perf_counter()
    reference = BM25Okapi(corpus)
    reference_build = time.perf_counter() - started

    searcher.search(requests[:1], CANDIDATES)  # numpy's first calls are slower
    rankings, ours_seconds = timed(lambda i: searcher.search([requests[i]], CANDIDATES)[0], len(queries))
    all_scores, reference_seconds = timed(lambda i: reference.get_scores(queries[i]), len(queries))

    row_of = {chunk.id: row for row, chunk in enumerate(chunks)}
    largest_difference = 0.0
    for hits, scores in zip(rankings, all_scores, strict=True):
        ours_scores = np.array([hit.score for hit in hits])
        best = np.sort(scores)[::-1][: len(hits)]
        # The same best scores in the same order, and each belongs to the chunk that it is said to belong to.
        for expected in (best, scores[[row_of[hit.chunk_id] for hit in hits]]):
            np.testing.assert_allclose(ours_scores, expected, rtol=1e-6)
            largest_difference = max(largest_difference, float(np.abs(ours_scores / expected - 1).max()))

    ours, theirs = statistics.median(ours_seconds), statistics.median(reference_seconds)
    result = {
        "chunks": options.chunks,
        "queries": options.queries,
        "words_per_query": QUERY_WORDS,
        "ragdiag_build_s": ours_build,
        "rank_bm25_build_s": reference_build,
        "ragdiag_ms_per_query": ours * 1e3,
        "rank_bm25_ms_per_query": theirs * 1e3,
        "ratio": theirs / ours,
        "largest_relative_difference": largest_difference,
        "python": platform.python_version(),
        "numpy": np.__version__,
    }
    print(f"{options.chunks:,} chunks, {options.queries} queries of {QUERY_WORDS} words, top {CANDIDATES}")
    print(f"{'':12}{'build, s':>10}{'query, ms':>12}")
    print(f"{'rank-bm25':12}{reference_build:>10.2f}{theirs * 1e3:>12.3f}")
    print(f"{'ragdiag':12}{ours_build:>10.2f}{ours * 1e3:>12.3f}")
    print(f"{theirs / ours:.0f} times faster; scores differ by at most {largest_difference:.1e} (relative)")
    if options.out:
        options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
