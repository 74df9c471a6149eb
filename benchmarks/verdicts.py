"""How often a verdict names the stage that really lost the evidence: faults are planted, the truth is known.

    python benchmarks/verdicts.py            # run what is missing, then report
    python benchmarks/verdicts.py --report   # report on what was run

Three corpora (the project's handbook, four documents of the chunking data, the Wikipedia articles of XQuAD)
with real stages: Markdown, recursive and sentence chunkers, MiniLM, FAISS HNSW and IVF, a hybrid with BM25,
late interaction, a token budget. Each fault of `ragdiag.experiments.faults` is planted alone, all pairs of
ten across stages and some triples together, with two seeds, at one severity. Who is to blame for each lost
unit is known from runs with each set of the faults (see `ragdiag.experiments.faults.truth`), and is laid
beside what the diagnosis says and what simpler rules say (`verdict_rules`).

Rules and thresholds were chosen on the tests' made-up corpus and on seed 0 of the handbook, which is not
reported. Classes that no data can identify were listed before the run (`verdict_trials.UNIDENTIFIABLE`).

Every trial is written as it ends, under a digest of the code that made it: a run that was cut off goes on.
Vectors are kept in one store.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import combinations
from pathlib import Path
from typing import Any

from real_data import CACHE, HERE
from verdict_cases import healthy_case
from verdict_report import report
from verdict_trials import Outcomes, run_trial

from ragdiag import SentenceTransformerEmbedder, Store
from ragdiag.experiments.faults import FAULTS

SEEDS = (1, 2)
TEN = (
    "split_evidence",
    "last_chunk_dropped",
    "noise",
    "dimensions_cut",
    "missing_upserts",
    "stale_vectors",
    "reranker_inverted",
    "phantom_boost",
    "chunks_cut",
    "deduplication",
)
"""Two faults a stage, planted in all pairs across stages."""

TRIPLES = (
    ("split_evidence", "noise", "phantom_boost"),
    ("noise", "missing_upserts", "chunks_cut"),
    ("last_chunk_dropped", "stale_vectors", "deduplication"),
    ("split_evidence", "reranker_inverted", "chunks_cut"),
    ("dimensions_cut", "missing_upserts", "reranker_inverted"),
)

# The corpus with the most text first and last: two processes then never wait for the same vectors.
_ORDER = (
    ("chroma_chunking", 1),
    ("handbook", 1),
    ("xquad_en", 1),
    ("handbook", 2),
    ("xquad_en", 2),
    ("chroma_chunking", 2),
)


def trials() -> list[tuple[str, ...]]:
    """The sets of faults that are planted in each case, by name."""
    pairs = [pair for pair in combinations(TEN, 2) if FAULTS[pair[0]].stage != FAULTS[pair[1]].stage]
    return [*((name,) for name in FAULTS), *pairs, *TRIPLES]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run, and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--report", action="store_true", help="report on what was run, and run nothing")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    chosen = parser.parse_args(arguments)
    folder = CACHE / "verdicts" / code_digest()
    folder.mkdir(parents=True, exist_ok=True)
    if not chosen.report:
        with ProcessPoolExecutor(chosen.processes) as pool:
            for done in pool.map(run_case, *zip(*((folder, *case) for case in _ORDER), strict=True)):
                print(done, file=sys.stderr)
    report(
        [record for path in sorted(folder.glob("*.jsonl")) for record in read(path)], expected=len(trials())
    )


def run_case(folder: Path, corpus: str, seed: int) -> str:
    """Run all trials in one corpus with one seed that are not in its file yet."""
    import torch

    torch.set_num_threads(1)  # a process a core
    path = folder / f"{corpus}-{seed}.jsonl"
    done = {tuple(record["faults"]) for record in read(path)}
    missing = [names for names in trials() if names not in done]
    if missing:
        store = Store(CACHE / "verdict_vectors")
        model = SentenceTransformerEmbedder.packaged_minilm(progress=False)
        healthy = healthy_case(corpus, store.embedder(model, name="minilm"), seed=seed)
        outcomes = Outcomes()
        for names in missing:
            record = run_trial(healthy, names, seed=seed, outcomes=outcomes)
            line = json.dumps({"corpus": corpus, "seed": seed, **record}, sort_keys=True)
            with path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
    return f"{corpus}, seed {seed}: {len(missing)} trials run, {len(done)} known"


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The trials in a file; a last line that was cut off is left out, and run again."""
    if not path.exists():
        return
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        path.write_text(whole, encoding="utf-8")
    for line in whole.splitlines():
        yield json.loads(line)


def code_digest() -> str:
    """A digest of all code that a trial runs: what other code found must not be reported."""
    package = HERE.parent / "ragdiag"
    files = [path for path in package.rglob("*.py") if not {"report", "cli"} & set(path.parts)]
    files += [HERE / name for name in ("verdict_cases.py", "verdict_rules.py", "verdict_trials.py")]
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(path.relative_to(HERE.parent).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


if __name__ == "__main__":
    main()
