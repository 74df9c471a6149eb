"""Changed pipelines run over the documents of a diagnosis, sharing all that does not change.

One base index stands behind all of them, and one store answers for every model: no text is embedded twice and
no pair scored twice, whichever changes ask for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ragdiag.diagnosis.compare import Comparison, compare
from ragdiag.diagnosis.diagnose import diagnose_index
from ragdiag.diagnosis.result import Diagnosis
from ragdiag.experiments.remedies.remedy import Change
from ragdiag.experiments.remedies.result import Latency
from ragdiag.index import Index
from ragdiag.pipeline import Pipeline
from ragdiag.records import Chunk, Query
from ragdiag.stages import boundary
from ragdiag.stages.protocols import token_counts
from ragdiag.store import Store
from ragdiag.trace import Trace

__all__ = ["Rerun", "Reruns"]


@dataclass(frozen=True, slots=True, eq=False)
class Rerun:
    """A changed pipeline that was run.

    Attributes:
        change: what was changed.
        index: of the changed pipeline, with the store around its models.
        comparison: of the diagnosis and that of the changed pipeline.
    """

    change: Change
    index: Index
    comparison: Comparison


class Reruns:
    """The pipeline of a diagnosis, ready to be changed and run again.

    Args:
        diagnosis: what is compared with.
        pipeline: as it was diagnosed.
    """

    def __init__(self, diagnosis: Diagnosis, pipeline: Pipeline) -> None:
        self.diagnosis = diagnosis
        self.pipeline = pipeline
        self._store = Store()
        self._stored: dict[int, Any] = {}
        self._tokens: dict[tuple[str, str], int] = {}
        self.base = self._base_index()

    def _base_index(self) -> Index:
        """The index that the diagnosis was made with, as far as it holds its vectors; else a new one."""
        trace, pipeline = self.diagnosis.trace, self._with_store(self.pipeline)
        if pipeline.embedder is not None and trace.vectors is None:
            return pipeline.index(self.diagnosis.documents, progress=False)
        searcher = boundary.build_index(pipeline.retriever, trace.chunks, trace.vectors)
        return Index(pipeline, self.diagnosis.documents, trace.chunks, trace.vectors, searcher)

    def run(self, change: Change) -> Rerun:
        """Run a changed pipeline by the rules of the diagnosis.

        Raises:
            StageError: a plug broke its contract.
            ConfigError: a plug cannot work with the others, which it may say only when it is built.
        """
        index = self.base.changed(self._with_store(change.pipeline), progress=False)
        after = diagnose_index(
            index,
            change.queries,
            sources=tuple(self.diagnosis.sources.values()),
            min_coverage=self.diagnosis.min_coverage,
            copies=self.diagnosis.copies,
            progress=False,
        )
        return Rerun(change, index, compare(self.diagnosis, after))

    def _with_store(self, pipeline: Pipeline) -> Pipeline:
        plugs = {
            stage: pipeline.plugs[stage] for stage in ("embedder", "reranker") if stage in pipeline.plugs
        }
        stored: dict[str, Any] = {stage: self._stored_plug(stage, plug) for stage, plug in plugs.items()}
        return replace(pipeline, **stored)

    def _stored_plug(self, stage: str, plug: object) -> object:
        """The same one for the same plug, so that the index knows them as equal."""
        if id(plug) not in self._stored:
            # Numbered, since this store lives no longer than the plugs: a repr may be the same for two.
            name = f"{stage} {len(self._stored)}"
            self._stored[id(plug)] = getattr(self._store, stage)(plug, name=name)
        return self._stored[id(plug)]

    # What a change costs

    def extra_tokens(self, rerun: Rerun) -> float | None:
        """Tokens of a context more than before, in the mean over queries, as the pipeline itself counts.

        None where neither its packer nor its embedder counts.
        """
        before, after = (self._context_tokens(d.trace) for d in (self.diagnosis, rerun.comparison.b))
        return None if before is None or after is None else after - before

    def _context_tokens(self, trace: Trace) -> float | None:
        contexts = [trace[query.id].context for query in self.diagnosis.queries]
        new = {
            _key(chunk): chunk for context in contexts for chunk in context if _key(chunk) not in self._tokens
        }
        counts = token_counts(list(new.values()), self.pipeline.packer, self.base.pipeline.embedder)
        if counts is None:
            return None
        self._tokens.update(zip(new, counts, strict=True))
        return sum(self._tokens[_key(chunk)] for context in contexts for chunk in context) / len(contexts)

    def latencies(self, reruns: Sequence[Rerun], queries: int) -> list[Latency | None]:
        """How long single queries take, each asked of the pipeline as it is and of every changed one in turn.

        Nothing is taken from the store. Every query is asked of all of them once before, so that models are
        loaded, and those plugs that remember texts remember them whoever was asked first.
        """
        if not queries:
            return [None] * len(reruns)
        asked = [_Asked(replace(self.base, pipeline=self.pipeline), self.diagnosis.queries)]
        asked += [_Asked(replace(r.index, pipeline=r.change.pipeline), r.change.queries) for r in reruns]
        places = range(min(queries, len(self.diagnosis.queries)))
        _, seconds = (np.array([[one.seconds(p) for one in asked] for p in places]) for _ in range(2))
        return [Latency(seconds[:, 0], after) for after in seconds[:, 1:].T]


@dataclass(frozen=True, slots=True)
class _Asked:
    index: Index
    queries: tuple[Query, ...]

    def seconds(self, place: int) -> float:
        [total] = self.index.latency([self.queries[place]])["total"]
        return total


def _key(chunk: Chunk) -> tuple[str, str]:
    """What tells contexts' chunks apart: packers shorten them and leave their ids."""
    return chunk.id, chunk.text
