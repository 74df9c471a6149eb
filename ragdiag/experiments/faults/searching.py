"""Faults of the index and of the search in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ragdiag.errors import ConfigError
from ragdiag.experiments.faults.around import AroundEmbedder, AroundRetriever
from ragdiag.experiments.faults.chance import checksum, share_of, turned
from ragdiag.experiments.faults.fault import Aim, Case, Fault
from ragdiag.experiments.faults.marks import Marks
from ragdiag.experiments.faults.parts import change_parts, has_field
from ragdiag.records import Chunk
from ragdiag.stages.protocols import Searcher, Vectors, similarity_of, uses_vectors

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
    """An index that holds other vectors than the embedder's for the chunks with marked evidence."""

    marks: Marks = field(repr=False)
    other: Callable[[Vectors, str], Vectors]

    def build(self, chunks: Sequence[Chunk], vectors: Vectors | None) -> Searcher:
        if vectors is not None:
            vectors = np.array(vectors, np.float32)
            for row, chunk in enumerate(chunks):
                if self.marks.touch(chunk.text):
                    vectors[row] = self.other(vectors[row : row + 1], chunk.index_text)[0]
        return self.index(chunks, vectors)


def _of_an_older_text(vector: Vectors, text: str) -> Vectors:
    """What once stood in the place of a text: to each text its own, which has nothing to do with it."""
    return turned(vector, 1.0, checksum(text, "older text"))


def _of_another_version(vector: Vectors, text: str) -> Vectors:  # noqa: ARG001
    return turned(vector, 1.0, _VERSION)


_VERSION = 11  # of the model that made some of the vectors


def _stale_vectors(case: Case, aim: Aim) -> Case:
    return case.using(retriever=_OtherVectors(case.pipeline.retriever, aim.marks, _of_an_older_text))


def _mixed_versions(case: Case, aim: Aim) -> Case:
    return case.using(retriever=_OtherVectors(case.pipeline.retriever, aim.marks, _of_another_version))


@dataclass(frozen=True)
class _Unnormalized(AroundEmbedder):
    """Documents' vectors have lengths that say nothing, as before the last layer that normalizes."""

    sigma: float

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        vectors = self.inner.embed_documents(texts)
        rngs = [np.random.default_rng(checksum(text, "length")) for text in texts]
        lengths = np.array([rng.lognormal(0.0, self.sigma) for rng in rngs], np.float32)
        return vectors * lengths[:, None]


def _inner_product(case: Case, aim: Aim) -> Case:
    embedder = case.pipeline.embedder
    if embedder is None or similarity_of(embedder) != "cosine":
        raise ConfigError("inner_product needs an embedder whose vectors are compared by cosine")

    def compute_products(part: object) -> object:
        searches = has_field(part, "metric") and uses_vectors(part)  # type: ignore[arg-type]
        return replace(part, metric="dot") if searches else part  # type: ignore[type-var]

    retriever = change_parts("retriever", case.pipeline.retriever, compute_products)
    if retriever is case.pipeline.retriever:
        raise ConfigError(f"inner_product needs a retriever with an option metric, got {retriever!r}")
    return case.using(embedder=_Unnormalized(embedder, aim.severity), retriever=retriever)


def _narrow_search(case: Case, aim: Aim) -> Case:
    width = max(1, round(aim.severity))

    def search_less(part: object) -> object:
        if not has_field(part, "parameters"):
            return part
        given = dict(part.parameters)  # type: ignore[attr-defined]
        factory = str(getattr(part, "factory", ""))
        of_factory = {"IVF": "nprobe", "HNSW": "efSearch"}
        names = [name for kind, name in of_factory.items() if name in given or kind in factory]
        narrow = {**given, **dict.fromkeys(names, width)}
        return part if narrow == given else replace(part, parameters=narrow)  # type: ignore[type-var]

    retriever = change_parts("retriever", case.pipeline.retriever, search_less)
    if retriever is case.pipeline.retriever:
        raise ConfigError(f"narrow_search needs an approximate index that can be narrowed, got {retriever!r}")
    return case.using(retriever=retriever)


_TENANT = "tenant of the fault wrong_filter"
_TENANTS = ("north", "south")


def _tenant(doc_id: str) -> str:
    return _TENANTS[checksum(doc_id, "tenant") % 2]


def _wrong_filter(case: Case, aim: Aim) -> Case:
    documents = tuple(replace(d, metadata={**d.metadata, _TENANT: _tenant(d.id)}) for d in case.documents)
    queries = []
    for query in case.queries:
        marked = [unit for n, unit in enumerate(query.evidence) if (query.id, n) in aim.marks.units]
        if marked:
            own = _tenant(marked[0].alternatives[0][0].doc_id)
            other = _TENANTS[1 - _TENANTS.index(own)]
            queries.append(replace(query, filter={**(query.filter or {}), _TENANT: other}))
        else:
            queries.append(query)
    chunk = next((c for d in documents for c in case.pipeline.chunker.chunk(d)), None)
    if chunk is None or _TENANT not in chunk.metadata:
        raise ConfigError("wrong_filter needs a chunker that hands on the metadata of documents")
    return replace(case, documents=documents, queries=tuple(queries))


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
    Fault(
        "inner_product",
        stage="retriever",
        cause="metric",
        what="the index computes inner products of vectors that are made for cosines and not of length 1",
        reach="whole",
        parameter="sigma of the lengths (lognormal)",
        severity=0.5,
        needs=("embedder",),
        wrap=_inner_product,
    ),
    Fault(
        "narrow_search",
        stage="retriever",
        cause="approximate",
        what="the approximate index looks at too little of itself",
        reach="whole",
        parameter="nprobe or efSearch",
        severity=1,
        needs=("embedder",),
        wrap=_narrow_search,
    ),
    Fault(
        "wrong_filter",
        stage="retriever",
        cause="filter",
        what="some queries are sent to the documents of another tenant",
        wrap=_wrong_filter,
    ),
)
