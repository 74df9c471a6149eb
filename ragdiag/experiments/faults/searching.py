"""Faults of searching: what is compared, how far is looked, and what is kept of what was found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ragdiag.errors import ConfigError
from ragdiag.experiments.faults.around import AroundEmbedder
from ragdiag.experiments.faults.chance import checksum
from ragdiag.experiments.faults.fault import Aim, Case, Fault
from ragdiag.experiments.faults.marks import Marks
from ragdiag.experiments.parts import change_parts, has_field, parts_of
from ragdiag.stages.protocols import Retriever, Vectors, arms_of, similarity_of, uses_vectors
from ragdiag.stages.retrievers.threshold import ThresholdRetriever

__all__ = ["FAULTS"]


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


@dataclass(frozen=True)
class _Find:
    """Where the first chunk with some evidence of a unit stands among a retriever's hits."""

    rank: int
    score: float


def _finds(case: Case, retriever: Retriever) -> list[_Find]:
    """What a retriever by itself finds of the units of a case, as many hits deep as the pipeline asks for."""
    pipeline = replace(
        case.pipeline,
        retriever=retriever,
        embedder=case.pipeline.embedder if uses_vectors(retriever) else None,
        reranker=None,
        packer=None,
        top_k=case.pipeline.n,
    )
    trace = pipeline.run(case.documents, case.queries, progress=False)
    finds = []
    for query in case.queries:
        hits = trace[query.id].retrieved
        texts = [trace.chunks[trace.position[hit.chunk_id]].text for hit in hits]
        for number in range(len(query.evidence)):
            marks = Marks.of([(query.id, number)], [query], case.originals)
            rank = next((rank for rank, text in enumerate(texts, start=1) if marks.touch(text)), None)
            if rank is not None:
                finds.append(_Find(rank, hits[rank - 1].score))
    return finds


def _score_threshold(case: Case, aim: Aim) -> Case:
    scores = [find.score for find in _finds(aim.healthy, aim.healthy.pipeline.retriever)]
    if not scores:
        raise ConfigError("score_threshold needs a pipeline that finds some of the evidence")
    min_score = float(np.quantile(scores, min(1.0, aim.severity)))
    return case.using(retriever=ThresholdRetriever(case.pipeline.retriever, min_score=min_score))


def _fusion_weights(case: Case, aim: Aim) -> Case:
    def fuses(part: object) -> bool:
        return has_field(part, "arms") and has_field(part, "weights")

    healthy = aim.healthy.pipeline.retriever
    fusing = next(filter(fuses, parts_of("retriever", healthy)), None)
    if fusing is None:
        raise ConfigError(f"fusion_weights needs a retriever that fuses arms by weights, got {healthy!r}")
    arms = arms_of(fusing)  # type: ignore[arg-type]  # a part of a retriever
    worth = [sum(1 / find.rank for find in _finds(aim.healthy, arm)) for arm in arms]
    weights = [aim.severity] * len(arms)
    weights[worth.index(min(worth))] = 1.0
    retriever = change_parts(
        "retriever",
        case.pipeline.retriever,
        lambda part: replace(part, weights=weights) if fuses(part) else part,  # type: ignore[type-var]
    )
    return case.using(retriever=retriever)


FAULTS = (
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
    Fault(
        "score_threshold",
        stage="retriever",
        cause="threshold",
        what="hits under a fixed score are left out, and good ones are among them",
        reach="whole",
        parameter="share of the evidence found that scores lower",
        severity=0.2,
        wrap=_score_threshold,
    ),
    Fault(
        "fusion_weights",
        stage="retriever",
        cause="fusion",
        what="of the fused searches the worst counts for nearly all",
        reach="whole",
        parameter="weight of each other search",
        severity=0.01,
        wrap=_fusion_weights,
    ),
)
