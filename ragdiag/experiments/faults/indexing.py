"""Faults of what the index holds: chunks that it lacks, and vectors that are not the embedder's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ragdiag.experiments.faults.around import AroundRetriever
from ragdiag.experiments.faults.chance import checksum, share_of, turned
from ragdiag.experiments.faults.fault import Aim, Case, Fault
from ragdiag.experiments.faults.marks import Marks
from ragdiag.records import Chunk
from ragdiag.stages.protocols import Searcher, Vectors

__all__ = ["FAULTS"]


@dataclass(frozen=True)
class _MissingUpserts(AroundRetriever):
    """An index that never got the chunks with marked evidence."""

    marks: Marks = field(repr=False)

    def build(self, chunks: Sequence[Chunk], vectors: Vectors | None) -> Searcher:
        rows = [row for row, chunk in enumerate(chunks) if not self.marks.touch(chunk.text)]
        return self.index([chunks[row] for row in rows], None if vectors is None else vectors[rows])


def _missing_upserts(case: Case, aim: Aim) -> Case:
    return case.using(retriever=_MissingUpserts(case.pipeline.retriever, aim.marks))


@dataclass(frozen=True)
class _DuplicateIds(AroundRetriever):
    """An index in which some chunks were overwritten by others that came under the same id."""

    share: float

    def build(self, chunks: Sequence[Chunk], vectors: Vectors | None) -> Searcher:
        rows = [row for row, chunk in enumerate(chunks) if share_of(chunk.id, "duplicate id") >= self.share]
        return self.index([chunks[row] for row in rows], None if vectors is None else vectors[rows])


def _duplicate_ids(case: Case, aim: Aim) -> Case:
    return case.using(retriever=_DuplicateIds(case.pipeline.retriever, aim.severity))


@dataclass(frozen=True)
class _OtherVectors(AroundRetriever):
    """An index that holds other vectors than the embedder's for the chunks with marked evidence.

    They are those of what once stood in the chunk's place, to each text its own; or those that another
    version of the model makes.
    """

    marks: Marks = field(repr=False)
    made_from: Literal["older text", "another version"]

    def build(self, chunks: Sequence[Chunk], vectors: Vectors | None) -> Searcher:
        if vectors is not None:
            vectors = np.array(vectors, np.float32)
            for row, chunk in enumerate(chunks):
                if self.marks.touch(chunk.text):
                    seed = checksum(chunk.index_text, "older") if self.made_from == "older text" else _VERSION
                    vectors[row] = turned(vectors[row : row + 1], 1.0, seed)[0]
        return self.index(chunks, vectors)


_VERSION = 11  # of the model that made some of the vectors


def _stale_vectors(case: Case, aim: Aim) -> Case:
    return case.using(retriever=_OtherVectors(case.pipeline.retriever, aim.marks, "older text"))


def _mixed_versions(case: Case, aim: Aim) -> Case:
    return case.using(retriever=_OtherVectors(case.pipeline.retriever, aim.marks, "another version"))


FAULTS = (
    Fault(
        "missing_upserts",
        stage="retriever",
        cause="missing_from_index",
        what="some chunks never reached the index",
        wrap=_missing_upserts,
    ),
    Fault(
        "duplicate_ids",
        stage="retriever",
        cause="missing_from_index",
        what="some chunks are overwritten in the index by others with the same id",
        reach="whole",
        parameter="share of the chunks",
        severity=0.15,
        wrap=_duplicate_ids,
    ),
    Fault(
        "stale_vectors",
        stage="retriever",
        cause="stale_vectors",
        what="some chunks are indexed with the vectors of what once stood in their place",
        needs=("embedder",),
        wrap=_stale_vectors,
    ),
    Fault(
        "mixed_versions",
        stage="retriever",
        cause="stale_vectors",
        what="some chunks are indexed with vectors by another version of the model",
        needs=("embedder",),
        wrap=_mixed_versions,
    ),
)
