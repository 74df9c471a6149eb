"""What proving every verdict costs beside the plain run of the same pipeline.

    python benchmarks/verdict_cost.py

A data set of 472 questions, chunks of 200 word pieces, MiniLM, late interaction over MiniLM's token vectors
for 50 candidates, the first 5 in the context. Timed in one process, one after the other and again from the
start: `Pipeline.run`, `diagnose(verify=False)`, `diagnose(verify=True)`.

What is compared, and why it is fair. Vectors and token vectors come from disk on all sides, those of the
chunks that a repair makes too: a first pass that is not timed computes what is missing. So the model, which a
plain run has to wait for and which would make any ratio look small, is out of both. Token vectors are served
in one of two ways, and a case uses the same one on all sides. *Warm*: one reranker for all calls holds all of
them in memory. A plain run then only counts tokens, searches and scores; a re-run has nothing to hide behind,
which makes this the strict case. *Fresh*: every timed call begins with an empty reranker and reads each
distinct text once from disk, a verified diagnosis those of the repaired chunks as well.

A good part of all these seconds is the chunker's, which counts word pieces with the model's tokenizer: a run
cuts every document, and verification cuts those that hold evidence again, to see whether they come out the
same. Where the chunker is faster it weighs less, so that the ratio without its seconds stands beside.
"""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from real_data import StoredEmbedder, minilm, minilm_tokens, spans_data, write_result

from ragdiag import (
    Chunk,
    Chunker,
    Diagnosis,
    Document,
    ExactRetriever,
    FaissRetriever,
    LateInteractionReranker,
    Pipeline,
    Query,
    RecursiveChunker,
    Retriever,
    diagnose,
)

T = TypeVar("T")

ROUNDS = 5
RATIO_LIMIT = 2.0
SECONDS_LIMIT = 180.0
MEMORY = 2**30  # holds the token vectors of all chunks, so that none is read twice


@dataclass(frozen=True)
class Case:
    """A pipeline, made anew for each call or once for all."""

    retriever: Retriever
    warm: bool


CASES = {
    "exact search, warm reranker": Case(ExactRetriever(), warm=True),
    "exact search, fresh reranker": Case(ExactRetriever(), warm=False),
    "HNSW, warm reranker": Case(FaissRetriever("HNSW32"), warm=True),
}


def main() -> None:
    """Print and keep the tables."""
    documents, queries = spans_data("chroma_chunking")
    results = {name: measure(case, documents, queries) for name, case in CASES.items()}
    write_result("verdict_cost", report(results), results)


def measure(case: Case, documents: list[Document], queries: list[Query]) -> dict[str, Any]:
    """Median seconds of the three calls and medians of their ratios; what verification did and found."""
    embedder = minilm()
    clock = ClockedChunker(RecursiveChunker(200, unit=embedder))
    make = pipelines(case, clock, embedder)
    diagnosis = diagnose(make(), documents, queries)  # computes what is missing, and is not timed
    rounds = []
    for _ in range(ROUNDS):
        run, _ = timed(clock, lambda: make().run(documents, queries))
        ledger, _ = timed(clock, lambda: diagnose(make(), documents, queries, verify=False))
        whole, diagnosis = timed(clock, lambda: diagnose(make(), documents, queries))
        rounds.append(
            {
                "run_seconds": run.all,
                "ledger_seconds": ledger.all,
                "diagnose_seconds": whole.all,
                "verification_seconds": whole.all - ledger.all,
                "run_chunker_seconds": run.chunker,
                "diagnose_chunker_seconds": whole.chunker,
                "ratio": whole.all / run.all,
                "ratio_of_processor_time": whole.processor / run.processor,
                "ratio_without_chunker": (whole.all - whole.chunker) / (run.all - run.chunker),
            }
        )
    medians = {name: statistics.median(r[name] for r in rounds) for name in rounds[0]}
    return {**medians, "rounds": rounds, **what_it_did(diagnosis)}


@dataclass
class ClockedChunker:
    """A chunker that knows how long it took."""

    chunker: Chunker
    seconds: float = field(default=0.0, repr=False)

    def chunk(self, document: Document) -> Sequence[Chunk]:
        """As the chunker does."""
        began = time.perf_counter()
        chunks = self.chunker.chunk(document)
        self.seconds += time.perf_counter() - began
        return chunks


def pipelines(case: Case, chunker: Chunker, embedder: StoredEmbedder) -> Callable[[], Pipeline]:
    """What makes the pipeline of a call."""
    tokens = minilm_tokens(embedder)
    shared = LateInteractionReranker(tokens, cache_bytes=MEMORY)

    def make() -> Pipeline:
        return Pipeline(
            chunker=chunker,
            embedder=embedder,
            retriever=case.retriever,
            reranker=shared if case.warm else LateInteractionReranker(tokens, cache_bytes=MEMORY),
            candidates=50,
            top_k=5,
        )

    return make


@dataclass(frozen=True)
class Seconds:
    """Wall-clock time of one call, how much of it the chunker took, and processor time of all threads."""

    all: float
    chunker: float
    processor: float


def timed(clock: ClockedChunker, work: Callable[[], T]) -> tuple[Seconds, T]:
    """How long one call took, and what it returned."""
    began, cut, used = time.perf_counter(), clock.seconds, time.process_time()
    result = work()
    spent = Seconds(time.perf_counter() - began, clock.seconds - cut, time.process_time() - used)
    return spent, result


def what_it_did(diagnosis: Diagnosis) -> dict[str, Any]:
    """The plain run's work, what the re-runs asked for beside it, and the verdicts that came of it."""
    if diagnosis.effort is None:
        raise SystemExit("the diagnosis was not verified")
    failures, trace = diagnosis.failures, diagnosis.trace
    return {
        "queries": len(trace.queries),
        "chunks": len(trace.chunks),
        "pairs": sum(len(query.retrieved) for query in trace.queries),
        "lost_units": len(failures),
        "effort": asdict(diagnosis.effort),
        "proofs": Counter(failures["proof"]),
        "stages": Counter(failures["stage"]),
        "causes": Counter(map(".".join, zip(failures["stage"], failures["cause"], strict=True))),
    }


def report(results: dict[str, dict[str, Any]]) -> str:
    """The tables in Markdown."""
    one = next(iter(results.values()))
    seconds = [
        [
            name,
            *(f"{r[key]:.1f} s" for key in ("run_seconds", "ledger_seconds", "diagnose_seconds")),
            f"{r['ratio']:.2f}",
            f"{r['ratio_of_processor_time']:.2f}",
            f"{r['ratio_without_chunker']:.2f}",
            f"{r['verification_seconds']:.1f} s",
        ]
        for name, r in results.items()
    ]
    work = [
        [name, r["lost_units"], *(r["effort"][key] for key in ("texts", "pairs", "searches", "indexes"))]
        for name, r in results.items()
    ]
    found = [
        [
            name,
            *(
                "; ".join(f"{what} {n}" for what, n in r[key].items())
                for key in ("proofs", "stages", "causes")
            ),
        ]
        for name, r in results.items()
    ]
    slowest = max(r["ratio"] for r in results.values())
    longest = max(r["verification_seconds"] for r in results.values())
    return f"""# Verdicts beside the plain run

chroma_chunking: {one["queries"]} questions, {one["chunks"]} chunks of 200 word pieces; MiniLM, late
interaction over its token vectors, 50 candidates, 5 in the context. Medians of {
        ROUNDS
    } rounds in one process,
the three calls in turn; vectors and token vectors are on disk or in memory on all sides.

{
        table(
            [
                "case",
                "`Pipeline.run`",
                "`diagnose(verify=False)`",
                "`diagnose`",
                "ratio",
                "of processor time",
                "ratio without the chunker",
                "verification",
            ],
            seconds,
        )
    }

Largest ratio: {slowest:.2f} (limit {RATIO_LIMIT}); longest verification: {longest:.1f} s (limit {
        SECONDS_LIMIT:.0f} s).

What the re-runs asked for beside the run itself, which embeds each distinct chunk and question once, scores
{one["pairs"]:,} pairs and searches {one["queries"]} times in one index:

{table(["case", "lost units", "texts embedded", "pairs scored", "searches", "indexes built"], work)}

{table(["case", "proof", "stage", "cause"], found)}
"""


def table(head: list[str], rows: list[list[Any]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


if __name__ == "__main__":
    main()
