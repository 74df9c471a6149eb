"""How often intervals hold the truth, and how often a bar lets through what is no better than the bar.

    python benchmarks/interval_coverage.py
    python benchmarks/interval_coverage.py --quick    # a few trials, nothing is kept

Queries are simulated whose true mean is known. Yes/no values of one document share a rate drawn from a beta
distribution (beta-binomial); graded values are of a beta distribution with a + b = 2, most of them near
the end that its mean is near, and are tied within a document by a Gaussian copula; both with a correlation
of .35.
Yes/no values of independent queries need no simulation: every count is weighed by its probability.

The program ends with an error where a claim of the text does not hold.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from real_data import write_result
from scipy import special, stats

from ragdiag.measures.bootstrap import cluster_bootstrap
from ragdiag.measures.bounds import bounds
from ragdiag.measures.splits import Split, split_queries
from ragdiag.measures.standing import stand
from ragdiag.measures.statistics import FEWEST_CLUSTERS, Clusters, interval

MEANS = (0.5, 0.8, 0.95, 0.98)
KINDS: tuple[Kind, ...] = ("yes/no", "graded")
SHAPES = ((50, None), (200, None), (50, 30), (200, 30), (200, 100), (50, 10), (200, 10))
"""Queries, and the documents that they are about; None: a document each."""
CORRELATION = 0.35
COVERED, PASSED = 0.92, 0.05
"""An interval has to hold the truth as often as the first, a bar may let through as often as the second."""
CHUNKERS = 20
ALIKE = 8

Kind = Literal["yes/no", "graded"]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Trials:
    """How often each thing is tried."""

    bounds: int = 4_000
    bootstrap: int = 400
    chosen: int = 4_000
    alike: int = 500


QUICK = Trials(bounds=60, bootstrap=4, chosen=60, alike=6)


@dataclass(frozen=True)
class Case:
    """Queries of one kind, and what became of them.

    Attributes:
        covered: how often the 95% interval holds the true mean.
        passed: how often the lower bound at 95% is at or above a bar that is the true mean.
        failed: how often the upper bound is below that bar.
        bootstrapped: how often the interval of the cluster bootstrap holds the true mean; None where it
            refuses.
        method: of the interval.
    """

    kind: Kind
    queries: int
    documents: int | None
    mean: float
    covered: float
    passed: float
    failed: float
    bootstrapped: float | None
    method: str

    @property
    def enough(self) -> bool:
        """Whether there are as many documents as the claims are made for."""
        return self.documents is None or self.documents >= FEWEST_CLUSTERS

    def row(self) -> str:
        """Of the table."""
        documents = "one each" if self.documents is None else f"{self.documents}"
        bootstrapped = "" if self.bootstrapped is None else percent(self.bootstrapped)
        cells = (percent(self.covered), bootstrapped, percent(self.passed), percent(self.failed))
        return f"| {self.queries} | {documents} | {self.kind} | {self.mean} | {' | '.join(cells)} |"


def main() -> None:
    """Print and keep the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    trials = QUICK if quick else Trials()
    cases = [*all_cases(trials)]
    chosen = {
        f"{bar} {'documents of two' if documents else 'independent'}": choose(
            bar, trials.chosen, documents=documents
        )
        for bar, documents in product((0.8, 0.95), (False, True))
    }
    worse = told_apart(trials.alike)
    text = report(cases, chosen, worse, trials)
    if quick:
        print(text)
        return
    values = {
        "cases": [vars(case) for case in cases],
        "chosen": chosen,
        "told apart": worse,
        "trials": vars(trials),
    }
    write_result("interval_coverage", text, values)
    missed = misses(cases, chosen, worse)
    if missed:
        raise SystemExit("\n".join(missed))


# Intervals and bars


def all_cases(trials: Trials) -> Iterator[Case]:
    """Each shape with each kind of values and each true mean."""
    for (queries, documents), kind, mean in product(SHAPES, KINDS, MEANS):
        if documents is None and kind == "yes/no":
            yield counted(queries, mean)
        else:
            yield simulated(kind, queries, documents, mean, trials)


def counted(queries: int, mean: float) -> Case:
    """Yes/no values of independent queries: each count of successes, by its probability."""
    counts = np.arange(queries + 1)
    judged = [judge(np.repeat([1.0, 0.0], [k, queries - k]), None, mean) for k in counts]
    covered, passed, failed = stats.binom.pmf(counts, queries, mean) @ np.array(judged)
    method = interval([1.0, 0.0]).method
    return Case("yes/no", queries, None, mean, float(covered), float(passed), float(failed), None, method)


def simulated(kind: Kind, queries: int, documents: int | None, mean: float, trials: Trials) -> Case:
    """Drawn values, the same for the same arguments."""
    chance = np.random.default_rng([queries, documents or 0, round(mean * 100), KINDS.index(kind)])
    labels = np.arange(queries) % (documents or queries)
    clusters = None if documents is None else Clusters.of([[label] for label in labels])
    drawn = draw(kind, labels, mean, trials.bounds, chance)
    judged = np.array([judge(values, clusters, mean) for values in drawn])
    covered, passed, failed = judged.mean(axis=0)
    bootstrapped = None
    if clusters is not None and round(clusters.equal) >= 30 and mean <= 0.8:
        taken = [values for values in drawn[: trials.bootstrap] if 0.1 <= values.mean() <= 0.9]
        ends = [cluster_bootstrap(values, clusters, resamples=999) for values in taken]
        bootstrapped = float(np.mean([one.low <= mean <= one.high for one in ends]))
    method = interval(drawn[0], clusters=clusters).method
    return Case(
        kind, queries, documents, mean, float(covered), float(passed), float(failed), bootstrapped, method
    )


def judge(values: Values, clusters: Clusters | None, mean: float) -> tuple[bool, bool, bool]:
    """Whether the interval holds the true mean, and whether as a bar it is passed, and failed."""
    between, one_sided = interval(values, clusters=clusters), bounds(values, clusters=clusters)
    return between.low <= mean <= between.high, one_sided.low >= mean, one_sided.high < mean


def draw(
    kind: Kind, labels: NDArray[np.intp], mean: float, trials: int, chance: np.random.Generator
) -> Values:
    """Values, shape (trials, queries), of queries about the documents ``labels``."""
    documents, queries = int(labels.max()) + 1, len(labels)
    if kind == "yes/no":
        strength = 1 / CORRELATION - 1
        rates = chance.beta(mean * strength, (1 - mean) * strength, size=(trials, documents))
        return np.asarray((chance.random((trials, queries)) < rates[:, labels]), dtype=np.float64)
    of_document, of_query = (
        chance.standard_normal((trials, documents)),
        chance.standard_normal((trials, queries)),
    )
    shared = CORRELATION if documents < queries else 0.0
    normal = np.sqrt(shared) * of_document[:, labels] + np.sqrt(1 - shared) * of_query
    return np.asarray(special.betaincinv(2 * mean, 2 * (1 - mean), special.ndtr(normal)))


# Many chunkers


def choose(bar: float, trials: int, *, documents: bool, queries: int = 200) -> dict[str, float]:
    """Of chunkers that are all at the bar, take the best on one part; how often it passes on either part.

    Hard queries are hard for all, and so are documents, of which each is for two queries or for one.
    """
    chance = np.random.default_rng([queries, round(bar * 100), documents])
    labels = np.arange(queries) // 2 if documents else np.arange(queries)
    split = split_queries([[label] for label in labels])
    known = {part: Clusters.of([[label] for label in labels[at]]) for part, at in parts_of(split).items()}
    passes = dict.fromkeys(known, 0)
    for _ in range(trials):
        values = (alike(labels, CHUNKERS, chance) < special.ndtri(bar)).astype(np.float64)
        best = int(values[split.selection].mean(axis=0).argmax())
        for part, at in parts_of(split).items():
            passes[part] += bounds(values[at, best], clusters=known[part]).low >= bar
    return {part: count / trials for part, count in passes.items()}


def parts_of(split: Split) -> dict[str, NDArray[np.intp]]:
    """The queries that the best was chosen on, and the others."""
    return {"selection": split.selection, "judgment": split.judgment}


def alike(labels: NDArray[np.intp], systems: int, chance: np.random.Generator) -> Values:
    """Standard normal values, shape (queries, systems): in equal parts of document, query, and both."""
    documents, queries = int(labels.max()) + 1, len(labels)
    shared = chance.standard_normal((documents, 1))[labels] + chance.standard_normal((queries, 1))
    return np.asarray((shared + chance.standard_normal((queries, systems))) / np.sqrt(3))


def told_apart(trials: int) -> dict[str, float]:
    """How often one of a few chunkers that are alike is called worse than the best.

    100 queries, independent or about 25 documents, each of which suits one chunker better than another.
    """
    chance = np.random.default_rng(0)
    names = [f"chunker {number}" for number in range(ALIKE)]
    labels = np.arange(100) % 25
    clusters = Clusters.of([[label] for label in labels])

    def lost(liking: float, known: Clusters | None) -> float:
        called = 0
        for _ in range(trials):
            suits = chance.standard_normal((25, ALIKE))[labels] * liking
            values = (alike(np.arange(100), ALIKE, chance) + suits < 1 + liking).astype(np.float64)
            called += bool(stand(values, names, clusters=known, resamples=299).losers)
        return called / trials

    return {
        "independent": lost(0.0, None),
        "by document": lost(0.7, clusters),
        "as if independent": lost(0.7, None),
    }


# What is said of it


def misses(cases: list[Case], chosen: dict[str, dict[str, float]], worse: dict[str, float]) -> list[str]:
    """The claims that do not hold."""
    wrong = [
        f"{case.row()}: {what}"
        for case in cases
        for what, missed in (
            ("covers too seldom", case.enough and case.covered < COVERED),
            ("bootstrap covers too seldom", (case.bootstrapped or 1) < COVERED),
            ("passes too often", case.passed > PASSED),
            ("fails too often", case.failed > PASSED),
            ("does not say that it understates", case.enough == case.method.endswith("understates")),
        )
        if missed
    ]
    wrong += [f"{name}: {p['judgment']} pass" for name, p in chosen.items() if p["judgment"] > PASSED]
    # Exact but for the number of trials: within two standard errors.
    most = PASSED + 2 * np.sqrt(PASSED * (1 - PASSED) / Trials().alike)
    return wrong + [f"{name}: {worse[name]}" for name in ("independent", "by document") if worse[name] > most]


def report(
    cases: list[Case], chosen: dict[str, dict[str, float]], worse: dict[str, float], trials: Trials
) -> str:
    """As Markdown."""
    rows = "\n".join(case.row() for case in cases)
    enough, few = [c for c in cases if c.enough], [c for c in cases if not c.enough]

    def least(of: list[Case]) -> str:
        return percent(min(case.covered for case in of))

    def most(of: list[Case], what: Callable[[Case], float]) -> str:
        return percent(max(map(what, of)))

    choices = "\n".join(
        f"| {' | '.join((*name.split(maxsplit=1), percent(p['judgment']), percent(p['selection'])))} |"
        for name, p in chosen.items()
    )
    return f"""# What intervals and bars are worth

The truth is known, because the queries are simulated: {trials.bounds:,} samples a row, {trials.bootstrap:,}
for the bootstrap; yes/no values of independent queries are counted out. *Covers*: how often the 95% interval
holds the true mean ({percent(COVERED)} are asked for). *Passes*: how often a pipeline whose true mean is the
bar passes it at 95% confidence; *fails*: how often it fails it ({percent(PASSED)} are allowed). The
correlation within a document is {CORRELATION}.

- Independent queries, or 30 documents and more: no interval covers less than {least(enough)};
  at most {most(enough, lambda case: case.passed)} pass, and {most(enough, lambda case: case.failed)} fail.
- 10 documents, where ragdiag says that the interval understates: no interval covers less than {least(few)};
  at most {most(few, lambda case: case.passed)} pass, and {most(few, lambda case: case.failed)} fail.

| queries | documents | values | true mean | covers | bootstrap covers | passes | fails |
| --- | --- | --- | --- | --- | --- | --- | --- |
{rows}

The bootstrap is for 30 equal documents or more and means from .1 to .9, and refuses anything else.

## The best of {CHUNKERS} chunkers that are all at the bar

200 queries are split in two. The best on one part is judged on the other; beside it, what judging it on the
queries that chose it would do. {trials.chosen:,} trials.

| bar | queries | passes on the other part | passes on the same part |
| --- | --- | --- | --- |
{choices}

## {ALIKE} chunkers that are alike

How often any of them is called worse than the best over 100 queries, {trials.alike:,} trials:
{percent(worse["independent"])} where queries are independent, {percent(worse["by document"])} where each of
25 documents suits some chunkers better, {percent(worse["as if independent"])} if that is not heeded.
"""


def percent(share: float) -> str:
    """With one digit."""
    return f"{100 * share:.1f}%"


if __name__ == "__main__":
    main()
