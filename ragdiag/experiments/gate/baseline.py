"""A baseline: what a release was worth, query by query, small enough to stand beside the code.

It holds no text: values, losses and fates by query, digests of corpus and queries, and what made it.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ragdiag import __version__
from ragdiag.diagnosis.compare import DELIVERED
from ragdiag.diagnosis.result import Diagnosis
from ragdiag.diagnosis.usual_measures import usual_specs
from ragdiag.errors import ConfigError, DataError
from ragdiag.experiments.gate.fingerprints import corpus_digest, corpus_texts, query_digest
from ragdiag.experiments.gate.quantities import Measure, parse_quantity
from ragdiag.store import without_address

__all__ = ["Baseline", "BaselineQuery", "Corpus", "fates_of", "versions"]

_NAMED = 3  # queries named where many differ


@dataclass(frozen=True, slots=True)
class Corpus:
    """By what a corpus is known again.

    Attributes:
        digest: of its ids and texts.
        documents: how many.
        characters: in all their texts.
    """

    digest: str
    documents: int
    characters: int

    @classmethod
    def of(cls, diagnosis: Diagnosis) -> Corpus:
        """The corpus of a diagnosis."""
        texts = corpus_texts(diagnosis)
        return cls(corpus_digest(diagnosis), len(texts), sum(map(len, texts.values())))

    def __str__(self) -> str:
        return f"{self.documents:,} documents of {self.characters:,} characters"


@dataclass(frozen=True, slots=True)
class BaselineQuery:
    """What one assessed query got.

    Attributes:
        id: of the query.
        digest: of its text and evidence.
        values: of the measures, in their order.
        losses: by stage, in their order: what each loses (or, negative, regains) of recall.
        fates: of its units: ``delivered``, or the stage that lost it.
    """

    id: str
    digest: str
    values: tuple[float, ...]
    losses: tuple[float, ...]
    fates: tuple[str, ...]


@dataclass(frozen=True)
class Baseline:
    """What later diagnoses of the same queries over the same corpus are held against.

    Attributes:
        made_by: the versions of ``ragdiag``, ``python`` and ``numpy``.
        min_coverage: the coverage from which a unit counts as delivered.
        copies: whether exact copies of evidence satisfy it.
        corpus: by what it is known again.
        pipeline: the repr of each stage's plug, by stage.
        candidates: n, how many chunks the retriever was asked for.
        top_k: k, how many could reach the prompt.
        proven: whether stages were proven by re-runs, or merely observed.
        measures: the specs of the measures.
        stages: to which losses are charged.
        queries: the assessed ones, by id.

    Example:
        >>> from ragdiag import BM25Retriever, Document, Evidence, Pipeline, Query, RecursiveChunker, Span
        >>> from ragdiag import diagnose
        >>> faq = Document("faq", "Returns are free. Refunds take five days.")
        >>> query = Query("q1", "How long do refunds take?", [Evidence.of(Span.find(faq, "five days"))])
        >>> pipeline = Pipeline(chunker=RecursiveChunker(24), retriever=BM25Retriever(), top_k=1)
        >>> Baseline.of(diagnose(pipeline, [faq], [query]))
        Baseline(recall 1.000 of 1 query, 1 document, made by ragdiag 0.1.0)
    """

    made_by: Mapping[str, str] = field(hash=False)
    min_coverage: float
    copies: bool
    corpus: Corpus
    pipeline: Mapping[str, str] = field(hash=False)
    candidates: int
    top_k: int
    proven: bool
    measures: tuple[str, ...]
    stages: tuple[str, ...]
    queries: tuple[BaselineQuery, ...]

    @classmethod
    def of(cls, diagnosis: Diagnosis, *, measures: Iterable[str] = ()) -> Baseline:
        """The baseline that a diagnosis makes: its usual measures, and more ``measures`` by their specs.

        Raises:
            ConfigError: there is no such measure.
            DataError: it needs tokens, and nothing counts them.
        """
        specs = tuple(dict.fromkeys(map(_spec, [*usual_specs(diagnosis), *measures])))
        # Sums of shares leave their range by rounding alone.
        values = np.clip(np.column_stack([diagnosis.measure_by_query(spec) for spec in specs]), 0, 1)
        losses = np.clip(diagnosis.charged_steps("soft"), -1, 1)
        fates = fates_of(diagnosis)
        queries = [
            BaselineQuery(
                id=query.id,
                digest=query_digest(query),
                values=tuple(values[row].tolist()),
                losses=tuple(losses[row].tolist()),
                fates=tuple(fates[query.id, number] for number in range(len(query.evidence))),
            )
            for row, query in enumerate(diagnosis.assessed)
        ]
        trace = diagnosis.trace
        return cls(
            made_by=versions(),
            min_coverage=diagnosis.min_coverage,
            copies=diagnosis.copies,
            corpus=Corpus.of(diagnosis),
            pipeline={stage: without_address(shown) for stage, shown in trace.stages.items()},
            candidates=trace.candidates,
            top_k=trace.top_k,
            proven=diagnosis.effort is not None,
            measures=specs,
            stages=tuple(diagnosis.ledger.stages),
            queries=tuple(sorted(queries, key=lambda query: query.id)),
        )

    def __repr__(self) -> str:
        recall = float(self.values("Recall", [query.id for query in self.queries]).mean())
        queries, documents = len(self.queries), self.corpus.documents
        return (
            f"Baseline(recall {recall:.3f} of {queries:,} {'query' if queries == 1 else 'queries'}, "
            f"{documents:,} document{'' if documents == 1 else 's'}, "
            f"made by ragdiag {self.made_by['ragdiag']})"
        )

    # Values, in the order of the queries that are asked for

    def values(self, measure: str, query_ids: Sequence[str]) -> NDArray[np.float64]:
        """A measure of some queries, shape (queries,).

        Raises:
            DataError: the baseline was made without the measure.
        """
        if measure not in self.measures:
            raise DataError(
                f"the baseline holds no values of {measure}, but of {', '.join(self.measures)}; make a new "
                f"one with Baseline.of(diagnosis, measures=[{measure!r}]), or with ragdiag gate --bar … "
                "--save-baseline"
            )
        at = self.measures.index(measure)
        return np.array([self._by_id[query_id].values[at] for query_id in query_ids])

    def losses(self, stage: str, query_ids: Sequence[str]) -> NDArray[np.float64]:
        """What a stage loses (or, negative, regains) of recall, shape (queries,); 0 where it is absent."""
        if stage not in self.stages:
            return np.zeros(len(query_ids))
        at = self.stages.index(stage)
        return np.array([self._by_id[query_id].losses[at] for query_id in query_ids])

    def fates(self, query_ids: Sequence[str]) -> dict[tuple[str, int], str]:
        """What became of each unit, by its query and its position there."""
        return {
            (query_id, number): fate
            for query_id in query_ids
            for number, fate in enumerate(self._by_id[query_id].fates)
        }

    @cached_property
    def _by_id(self) -> Mapping[str, BaselineQuery]:
        return {query.id: query for query in self.queries}

    def check(self, diagnosis: Diagnosis) -> None:
        """Check that a diagnosis can be held against this baseline.

        Raises:
            DataError: its corpus or its assessed queries are others.
            ConfigError: units count as delivered from another coverage, or by copies in one of them only.
        """
        for rule in ("min_coverage", "copies"):
            before, now = getattr(self, rule), getattr(diagnosis, rule)
            if before != now:
                raise ConfigError(
                    f"the baseline judges by other rules: {rule} is {before!r} there and {now!r} here; "
                    "diagnose with the same, or make a new baseline"
                )
        corpus = Corpus.of(diagnosis)
        if corpus.digest != self.corpus.digest:
            raise DataError(
                f"the corpus is not that of the baseline: {corpus} here, {self.corpus} there"
                f"{'; ids or texts differ' if str(corpus) == str(self.corpus) else ''}. {_NEW_ONE}"
            )
        self._check_queries({query.id: query_digest(query) for query in diagnosis.assessed})

    def _check_queries(self, now: Mapping[str, str]) -> None:
        before = {query.id: query.digest for query in self.queries}
        kinds = {
            "missing here": sorted(before.keys() - now.keys()),
            "new": sorted(now.keys() - before.keys()),
            "changed in text or evidence": sorted(
                query_id for query_id in before.keys() & now.keys() if before[query_id] != now[query_id]
            ),
        }
        if any(kinds.values()):
            told = ", ".join(f"{len(ids)} {kind} ({_some(ids)})" for kind, ids in kinds.items() if ids)
            raise DataError(
                f"the queries are not those of the baseline, which holds {len(before)}: {told}. {_NEW_ONE}"
            )

    # Files. These are the only places where a baseline knows of its file.

    def save(self, path: str | Path) -> None:
        """Write it as JSON, whole or not at all; the same baseline gives the same bytes.

        Raises:
            DataError: the file cannot be written.
        """
        from ragdiag.experiments.gate.baseline_file import write_baseline

        write_baseline(self, path)

    @classmethod
    def load(cls, path: str | Path) -> Baseline:
        """Read a saved baseline.

        Raises:
            DataError: the file cannot be read, is damaged or was changed, is something else, or is of a
                version that this release does not read.
        """
        from ragdiag.experiments.gate.baseline_file import read_baseline  # pydantic is heavy

        return read_baseline(path)


_NEW_ONE = (
    "Values over other questions or texts cannot be compared: make a new baseline from the release that "
    "stands, with Baseline.of(diagnosis).save(path) or ragdiag gate --save-baseline"
)


def versions() -> dict[str, str]:
    """What values may depend on beside the pipeline, as it is here and now."""
    return {"ragdiag": __version__, "python": platform.python_version(), "numpy": np.__version__}


def fates_of(diagnosis: Diagnosis) -> dict[tuple[str, int], str]:
    """What became of each unit: `DELIVERED`, or the stage that lost it."""
    return {
        unit: DELIVERED if verdict is None else verdict.stage
        for unit, verdict in zip(diagnosis.units, diagnosis.verdicts, strict=True)
    }


def _spec(spec: str) -> str:
    quantity = parse_quantity(spec)
    if not isinstance(quantity, Measure):
        raise ConfigError(f"a baseline keeps the losses of all stages, and measures; {spec!r} is none")
    return quantity.name


def _some(ids: Sequence[str]) -> str:
    return ", ".join(map(repr, ids[:_NAMED])) + (", …" if len(ids) > _NAMED else "")
