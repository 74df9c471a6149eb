"""The one call: many pipelines over the same documents and queries, with no step done twice.

The pipelines of a sweep form a tree: those with the same chunker share its chunks, of these those with the
same embedder share the vectors, of these those with the same retriever share the index. The tree is worked
through level by level, and each level is a list of steps that need nothing of each other:

    cut      every chunker over all documents
    embed    every embedder over all texts of all its chunkers, in blocks of a fixed size
    measure  every branch: the pipelines that share chunks, vectors and index

A step writes what it found to the store and returns counts. So a step runs in this process, in another one,
or on another machine that sees the same folder; and a sweep that was killed goes on where it stood.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ragdiag.diagnosis.result import Diagnosis
from ragdiag.errors import ConfigError, DataError
from ragdiag.experiments.sweep.executing import Step, run_steps
from ragdiag.experiments.sweep.keys import Rules, distinct, queries_key, same_plug, unknown_stages
from ragdiag.experiments.sweep.measured import Measured
from ragdiag.experiments.sweep.result import Sweep
from ragdiag.experiments.sweep.steps import (
    Setting,
    chunk_documents,
    chunks_key,
    chunks_of,
    embed_texts,
    index_of,
    keep_documents,
    measure_branch,
    measured_key,
    observe,
    open_store,
)
from ragdiag.experiments.sweep.timing import time_pipelines
from ragdiag.experiments.sweep.work import Work
from ragdiag.index import check_documents, check_unique
from ragdiag.measures.overlap import parse_measure
from ragdiag.pipeline import Pipeline
from ragdiag.records import Document, Query
from ragdiag.spans import check_evidence
from ragdiag.stages.protocols import Chunker
from ragdiag.store import Store, fingerprint

__all__ = ["sweep"]

_BLOCK = 512
"""Texts that are embedded by one step. Always the same blocks, whoever works on them: what else is in a batch
can change the last digits of a vector."""


def sweep(
    pipelines: Mapping[str, Pipeline],
    documents: Sequence[Document],
    queries: Sequence[Query],
    *,
    sources: Sequence[Document] | None = None,
    min_coverage: float = 1.0,
    copies: bool = True,
    measures: Sequence[str] = (),
    store: str | Path | Store | None = None,
    workers: int | None = None,
    latency_queries: int = 0,
    progress: bool | None = None,
) -> Sweep:
    """Run ``pipelines`` over the same documents and queries, sharing all that they have in common.

    Each document is cut once by each chunker, each text embedded once by each embedder, each query searched
    once in each index, each pair scored once; over later sweeps too, where ``store`` is a folder. Results are
    what `diagnose` observes; nothing is proven. `Sweep.diagnose` gives the diagnosis of one of them.

    Args:
        pipelines: by name, such as a `grid` makes.
        documents: the corpus, as ingested.
        queries: what is asked; those without evidence take no part.
        sources: the originals in which evidence is anchored, where ingestion changed the text.
        min_coverage: the share of a unit from which it counts as delivered, in (0, 1].
        copies: whether exact copies of evidence satisfy it as well.
        measures: specs of further span measures, such as ``"Recall@20"``.
        store: where results are kept: a folder, or a store over one. None for a folder that is removed with
            the result. A plug that cannot say what it is (see `fingerprint`) has nothing kept; `Sweep.unkept`
            names it.
        workers: how many local processes work at a time, by joblib; None for this one alone, or for what an
            active ``joblib.parallel_config`` says, such as a Dask cluster. The result is the same.
        latency_queries: over how many queries latency is measured, each asked alone, after all else and in
            this process; 0 leaves it out, and the time to build an index with it.
        progress: whether long work shows a bar; None shows it on a terminal only.

    Raises:
        DataError: no documents, no query with evidence, ids that are not unique, or evidence outside its
            source.
        ConfigError: no pipelines, a spec that names no span measure, a ``min_coverage`` outside of (0, 1], or
            a store that is in memory.
        StageError: a plug broke its contract. What was finished before is kept.

    Example:
        >>> from ragdiag import BM25Retriever, Evidence, RecursiveChunker, Span, grid
        >>> faq = Document("faq", "Returns are free. Refunds take five days.")
        >>> query = Query("q1", "How long do refunds take?", [Evidence.of(Span.find(faq, "five days"))])
        >>> base = Pipeline(chunker=RecursiveChunker(size=24), retriever=BM25Retriever(), top_k=1)
        >>> chunkers = {"small": RecursiveChunker(24), "whole": RecursiveChunker(99)}
        >>> found = sweep(grid(base, chunker=chunkers), [faq], [query])
        >>> found.table("Recall", "Precision").round(2).to_dict("index")
        {'small': {'Recall': 1.0, 'Precision': 0.4}, 'whole': {'Recall': 1.0, 'Precision': 0.23}}
    """
    assessed = _check(pipelines, documents, queries, sources)
    if not 0 < min_coverage <= 1:
        raise ConfigError(f"min_coverage must be in (0, 1], got {min_coverage!r}")
    rules = Rules(float(min_coverage), bool(copies), tuple(repr(parse_measure(spec)) for spec in measures))
    folder = _Folder.of(store)
    open_store.cache_clear()  # what stood there before may have been removed by hand
    opened = open_store(str(folder.path))
    setting = Setting(
        store=str(folder.path),
        documents=keep_documents(opened, documents),
        sources=None if sources is None else keep_documents(opened, sources),
        queries=assessed,
        queries_key=queries_key(assessed),
        rules=rules,
        process=os.getpid(),
    )
    run = _Run(setting, pipelines, workers, progress)
    measured = run.measured()
    timings = {}
    if latency_queries:
        timings = time_pipelines(setting, pipelines, latency_queries, progress=progress)
    return Sweep(
        pipelines=dict(pipelines),
        measured=measured,
        timings=timings,
        queries=assessed,
        unkept={name: stages for name, p in pipelines.items() if (stages := unknown_stages(p))},
        work=run.work,
        _diagnose=_Diagnosing(setting, folder),
    )


def _check(
    pipelines: Mapping[str, Pipeline],
    documents: Sequence[Document],
    queries: Sequence[Query],
    sources: Sequence[Document] | None,
) -> tuple[Query, ...]:
    """The queries with evidence."""
    if not isinstance(pipelines, Mapping) or not pipelines:
        raise ConfigError(f"pipelines must be a mapping of names to pipelines, got {pipelines!r}")
    for name, pipeline in pipelines.items():
        if not isinstance(pipeline, Pipeline):
            raise ConfigError(f"pipeline {name!r} must be a Pipeline, got {type(pipeline).__name__}")
    check_documents(documents)
    check_unique("query", [query.id for query in queries])
    check_unique("source", [source.id for source in sources or ()])
    assessed = tuple(query for query in queries if query.assessed)
    if not assessed:
        raise DataError(f"none of the {len(queries)} queries has evidence: there is nothing to compare by")
    originals = {source.id: source for source in (documents if sources is None else sources)}
    check_evidence(assessed, originals)
    return assessed


@dataclass(frozen=True)
class _Folder:
    """Where the results of a sweep lie; a folder of its own is removed when nothing needs it any more."""

    path: Path

    @classmethod
    def of(cls, store: str | Path | Store | None) -> _Folder:
        if store is None:
            folder = cls(Path(tempfile.mkdtemp(prefix="ragdiag-sweep-")))
            weakref.finalize(folder, shutil.rmtree, folder.path, ignore_errors=True)
            return folder
        path = store.path if isinstance(store, Store) else Path(store)
        if path is None:
            raise ConfigError(
                "store: a store in memory cannot be shared by the steps of a sweep; give a folder"
            )
        return cls(path.absolute())


@dataclass(frozen=True)
class _Diagnosing:
    """Gives the diagnosis of a pipeline of the sweep."""

    setting: Setting
    folder: _Folder

    def __call__(self, pipeline: Pipeline) -> Diagnosis:
        index, _ = index_of(self.setting, pipeline)
        return observe(self.setting, index).diagnosis


@dataclass
class _Run:
    """One sweep under way."""

    setting: Setting
    pipelines: Mapping[str, Pipeline]
    workers: int | None
    progress: bool | None
    work: Work = field(default_factory=Work)

    def measured(self) -> dict[str, Measured]:
        """What each pipeline got, in the order in which they were given."""
        found = {name: self._kept(pipeline) for name, pipeline in self.pipelines.items()}
        missing = {name: self.pipelines[name] for name, known in found.items() if known is None}
        if missing:
            self._cut(missing)
            self._embed(missing)
            found |= self._measure(missing)
        return {name: one for name, one in found.items() if one is not None}

    def _kept(self, pipeline: Pipeline) -> Measured | None:
        key = measured_key(self.setting, pipeline)
        lines = None if key is None else self.setting.opened().read_step("measured", key)
        return None if lines is None else Measured.of_lines(lines)

    # The levels of the tree

    def _cut(self, pipelines: Mapping[str, Pipeline]) -> None:
        chunkers = distinct(pipeline.chunker for pipeline in pipelines.values())
        missing = [
            chunker
            for chunker in chunkers
            if chunks_key(self.setting, chunker) is not None and chunks_of(self.setting, chunker) is None
        ]
        self._do("chunking", [Step(chunk_documents, (self.setting, chunker)) for chunker in missing])

    def _embed(self, pipelines: Mapping[str, Pipeline]) -> None:
        steps = []
        for embedder in distinct(p.embedder for p in pipelines.values()):
            if embedder is None or fingerprint(embedder) is None:
                continue  # what cannot be kept, each branch embeds for itself
            chunkers = distinct(p.chunker for p in pipelines.values() if same_plug(p.embedder, embedder))
            stored = self.setting.opened().embedder(embedder)
            for side, texts in (("query", self._questions()), ("document", self._texts(chunkers))):
                missing = set(stored.missing(texts, side))
                for start in range(0, len(texts), _BLOCK):
                    block = [text for text in texts[start : start + _BLOCK] if text in missing]
                    if block:
                        steps.append(Step(embed_texts, (self.setting, embedder, side, block)))
        self._do("embedding", steps)

    def _questions(self) -> list[str]:
        return list(dict.fromkeys(query.text for query in self.setting.queries))

    def _texts(self, chunkers: Sequence[Chunker]) -> list[str]:
        """The different texts of all chunks, as far as these are kept."""
        texts: dict[str, None] = {}
        for chunker in chunkers:
            texts.update(dict.fromkeys(c.index_text for c in chunks_of(self.setting, chunker) or ()))
        return list(texts)

    def _measure(self, pipelines: Mapping[str, Pipeline]) -> dict[str, Measured | None]:
        branches: dict[tuple[object, ...], dict[str, Pipeline]] = {}
        for name, pipeline in pipelines.items():
            of_branch = tuple(
                id(plug) if (known := fingerprint(plug)) is None else known
                for plug in (pipeline.chunker, pipeline.embedder, pipeline.retriever)
            )
            branches.setdefault(of_branch, {})[name] = pipeline
        steps = [Step(measure_branch, (self.setting, branch)) for branch in branches.values()]
        found: dict[str, Measured | None] = {}
        for of_branch_found in self._do("measuring", steps):
            found |= of_branch_found
        for name, one in found.items():
            if one is None:
                found[name] = self._kept(pipelines[name]) or self._here(name)
        return found

    def _here(self, name: str) -> Measured:
        """Measured in this process: a worker could not write what it found, or its file was damaged since."""
        found, work = measure_branch(self.setting, {name: self.pipelines[name]})
        self.work += work
        one = found[name] or self._kept(self.pipelines[name])
        if one is None:
            raise DataError(f"{self.setting.store}: what was just written cannot be read")
        return one

    def _do(self, what: str, steps: Sequence[Step]) -> list[Any]:
        """Run steps and count their work; their results."""
        results, work = run_steps(what, steps, workers=self.workers, progress=self.progress)
        self.work += work
        return results
