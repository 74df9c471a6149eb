"""How much faster ragdiag works out rank measures than pytrec_eval and ranx, and that all three agree.

    python benchmarks/rank_measures.py

Runs and judgments are plain dictionaries, and what each library makes of them first is part of its time. The
three take turns in one process; ranx has compiled its code before. Scores have no ties, in which ranx has no
rule. One run lists the documents best first, as a search returns them, the other in random order.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import pytrec_eval
import ranx
from real_data import write_result

from ragdiag.measures import evaluate

MEASURES = {
    "nDCG@10": ("ndcg_cut_10", "ndcg@10"),
    "MAP": ("map", "map"),
    "R@100": ("recall_100", "recall@100"),
    "RR": ("recip_rank", "mrr"),
    "P@10": ("P_10", "precision@10"),
}
"""In ragdiag's words, in trec_eval's and in ranx's."""
ASKED = {"ndcg_cut.10", "map", "recall.100", "recip_rank", "P.10"}
JUDGED = 12
TURNS = 7

Runs = dict[str, dict[str, float]]
Qrels = dict[str, dict[str, int]]


def main() -> None:
    """Print and keep the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--hits", type=int, default=100)
    options = parser.parse_args()

    lines: list[str] = []
    values: dict[str, object] = {}
    differs = 0.0
    for order in ("best first", "random"):
        run, qrels = searched(options.queries, options.hits, shuffled=order == "random")
        differs = max(differs, check_agreement(run, qrels))
        seconds = take_turns(
            {
                "ragdiag": partial(evaluate, run, qrels, list(MEASURES)),
                "pytrec_eval": partial(by_pytrec_eval, run, qrels),
                "ranx": partial(by_ranx, run, qrels),
            }
        )
        median = {name: statistics.median(of_name) for name, of_name in seconds.items()}
        times = {name: median[name] / median["ragdiag"] for name in median}
        lines.append(f"| {order} | {times['pytrec_eval']:.1f} | {times['ranx']:.1f} |")
        values[order] = {"times_as_long_as_ragdiag": times}
    values["largest_difference"] = differs

    text = f"""# Rank measures of {options.queries:,} queries x {options.hits} hits: {", ".join(MEASURES)}

How many times as long as ragdiag the others take, conversion of the dictionaries included (medians of {TURNS}
turns in one process). No two values of a query differ by more than {differs:.1g}.

| hits in a dictionary | pytrec_eval | ranx |
| --- | --- | --- |
{chr(10).join(lines)}
"""
    write_result("rank_measures", text, values)


def searched(queries: int, hits: int, *, shuffled: bool) -> tuple[Runs, Qrels]:
    """A run in which no query has two equal scores, and judgments of hits and of other documents."""
    rng = np.random.default_rng(0)
    run: Runs = {}
    qrels: Qrels = {}
    for query in range(queries):
        documents = [f"d{number}" for number in rng.choice(1_000_000, hits + JUDGED, replace=False)]
        scores = np.cumsum(rng.random(hits) + 0.01)[::-1]
        order = rng.permutation(hits) if shuffled else np.arange(hits)
        run[f"q{query}"] = {documents[place]: float(scores[place]) for place in order}
        judged = rng.choice(hits + JUDGED, JUDGED, replace=False)
        grades = rng.integers(0, 4, JUDGED)
        grades[0] = 1  # ranx and trec_eval do not mean the same where nothing is relevant
        qrels[f"q{query}"] = {
            documents[place]: int(grade) for place, grade in zip(judged, grades, strict=True)
        }
    return run, qrels


def by_pytrec_eval(run: Runs, qrels: Qrels) -> Mapping[str, Mapping[str, float]]:
    """By query and measure."""
    values: Mapping[str, Mapping[str, float]] = pytrec_eval.RelevanceEvaluator(qrels, ASKED).evaluate(run)
    return values


def by_ranx(run: Runs, qrels: Qrels) -> ranx.Run:
    """A run of ranx, which has the values by measure and query in its ``scores``."""
    converted = ranx.Run(run)
    ranx.evaluate(ranx.Qrels(qrels), converted, [name for _, name in MEASURES.values()])
    return converted


def check_agreement(run: Runs, qrels: Qrels) -> float:
    """The largest difference of any two values; ends the program where it is more than rounding."""
    ours, trec, by_name = (
        evaluate(run, qrels, list(MEASURES)),
        by_pytrec_eval(run, qrels),
        by_ranx(run, qrels),
    )
    largest = 0.0
    for measure, (trec_name, ranx_name) in MEASURES.items():
        for query, value in ours.per_query[measure].items():
            for other in (trec[str(query)][trec_name], by_name.scores[ranx_name][query]):
                largest = max(largest, abs(value - other))
    if not largest < 1e-9:
        raise SystemExit(f"the libraries differ by {largest}")
    return largest


def take_turns(tasks: Mapping[str, Callable[[], object]]) -> dict[str, list[float]]:
    """The seconds of each task, one turn of all after the other."""
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(TURNS):
        for name, task in tasks.items():
            started = time.perf_counter()
            task()
            seconds[name].append(time.perf_counter() - started)
    return seconds


if __name__ == "__main__":
    main()
