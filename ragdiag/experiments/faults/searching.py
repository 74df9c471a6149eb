"""Faults of the index and of the search in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ragdiag.experiments.faults.fault import Case, Fault
from ragdiag.experiments.faults.marks import Marks
from ragdiag.records import Chunk
from ragdiag.stages.protocols import Retriever, Searcher, Vectors, uses_vectors

__all__ = ["FAULTS"]


@dataclass(frozen=True)
class _MissingUpserts:
    """An index that never got the chunks with marked evidence."""

    inner: Retriever
    marks: Marks = field(repr=False)

    @property
    def uses_vectors(self) -> bool:
        return uses_vectors(self.inner)

    def build(self, chunks: Sequence[Chunk], vectors: Vectors | None) -> Searcher:
        rows = [row for row, chunk in enumerate(chunks) if not self.marks.touch(chunk.text)]
        return self.inner.build([chunks[row] for row in rows], None if vectors is None else vectors[rows])


def _missing_upserts(case: Case, share: float, marks: Marks) -> Case:  # noqa: ARG001
    retriever = _MissingUpserts(case.pipeline.retriever, marks)
    return replace(case, pipeline=replace(case.pipeline, retriever=retriever))


FAULTS = (
    Fault(
        "missing_upserts",
        stage="retriever",
        cause="missing_from_index",
        what="some chunks never reached the index",
        wrap=_missing_upserts,
    ),
)
