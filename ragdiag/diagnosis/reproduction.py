"""The same question asked again: a re-run proves something only where the pipeline repeats itself.

For each query with a lost unit every stage is asked again what the run asked it: the documents with its
evidence are chunked, the query and the chunks that carry the evidence embedded, the index built, the
candidates scored, the context packed. Rounding is forgiven, another answer is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ragdiag.diagnosis.attempts import Allowance, Void, calling
from ragdiag.diagnosis.evidence import QueryEvidence
from ragdiag.diagnosis.reruns import Pairs
from ragdiag.diagnosis.shelves import UNCHANGED, Found, Job, Shelf
from ragdiag.index import Index
from ragdiag.records import Chunk, Query
from ragdiag.stages import boundary
from ragdiag.stages.protocols import Vectors
from ragdiag.stages.ranking import order_by_score
from ragdiag.trace import QueryTrace, Trace

__all__ = ["Reproducer", "Reproduction", "carriers_to_embed", "embed_each"]

_Outcome = TypeVar("_Outcome")

_VECTORS_APART = 0.01  # of the vector's length
_SCORES_APART = 0.01  # of the range of a query's scores
_ROUNDING = 1e-6  # of the largest score, where all candidates score alike
_SAME_HITS = 0.9  # of the hits; what carries the evidence must be the same altogether
_CARRIERS = 3  # the chunks of a query that are embedded again
_PACKED_AGAIN = 3  # times: a packer that drops one of a few chunks by chance often makes the same context


@dataclass(frozen=True, slots=True)
class Reproduction:
    """The unrepaired re-run of one query.

    Attributes:
        context: what reached the prompt this time.
        differs: which stage gave another answer than in the run, in plain words; empty where none did.
    """

    context: tuple[Chunk, ...]
    differs: str


class Reproducer:
    """Asks a pipeline again what a run asked it.

    Args:
        index: the pipeline over its documents.
        trace: the run that is repeated.
        plain: the run's index, built again.
        pairs: scores pairs; what it is asked here it need not be asked again.
        allowance: counts what is asked.
    """

    def __init__(
        self, index: Index, trace: Trace, *, plain: Shelf, pairs: Pairs, allowance: Allowance
    ) -> None:
        self._pipeline = index.pipeline
        self._documents = index.documents_by_id
        self._trace = trace
        self._plain = plain
        self._pairs = pairs
        self._allowance = allowance
        self._cut: dict[str, str | Void] = {}
        self._evidence: dict[str, QueryEvidence] = {}
        self._embedded: dict[str, str | Void] = {}
        self._retrieved: dict[str, Found | Void] = {}
        self._again: dict[str, Reproduction | Void] = {}

    def prepare(self, queries: Sequence[Query], evidence: Mapping[str, QueryEvidence]) -> None:
        """Search and embed for all ``queries`` at once; ``evidence`` is that of each, by its id."""
        jobs = [Job(self._trace.request(query), UNCHANGED) for query in queries]
        found = self._plain.search(jobs, self._trace.candidates)
        self._retrieved = {query.id: hits for query, hits in zip(queries, found, strict=True)}
        self._embedded = self._embed_again(queries, evidence)
        self._evidence = dict(evidence)

    def reproduce(self, query: Query) -> Reproduction:
        """What came of a query this time; its candidates are reranked at the first call.

        Raises:
            Void: nothing came.
        """
        if query.id not in self._again:
            try:
                differs = _or_raise(self._cut_otherwise(query, self._evidence[query.id]))
                differs = differs or _or_raise(self._embedded[query.id])
                self._again[query.id] = self._after_retrieval(query, self.retrieved(query), differs)
            except Void as void:
                self._again[query.id] = void
        return _or_raise(self._again[query.id])

    def retrieved(self, query: Query) -> Found:
        """What the retriever returned this time.

        Raises:
            Void: it raised.
        """
        return _or_raise(self._retrieved[query.id])

    def _after_retrieval(self, query: Query, hits: Found, differs: str) -> Reproduction:
        """Rerank and pack what was found, and compare each step with the run."""
        record = self._trace[query.id]
        differs = differs or _retrieved_otherwise(self._trace, record, self._evidence[query.id], hits)
        ranking = [self._trace.chunks[number] for number in hits]
        if self._pipeline.reranker is not None:
            scores = self._pairs.scores(self._pipeline.reranker, query, ranking)
            differs = differs or _scored_otherwise(self._trace, record, hits, scores)
            ranking = [ranking[i] for i in order_by_score(scores)]
        top = tuple(ranking[: self._trace.top_k])
        if self._pipeline.packer is None:
            return Reproduction(top, differs)
        with calling("packer"):
            contexts = [
                boundary.pack(self._pipeline.packer, query.id, query.text, top, self._documents)
                for _ in range(_PACKED_AGAIN)
            ]
        return Reproduction(contexts[0], differs or _packed_otherwise(self._trace, record, top, contexts))

    # Chunks

    @cached_property
    def _chunks_before(self) -> Mapping[str, list[Chunk]]:
        before: dict[str, list[Chunk]] = {}
        for chunk in self._trace.chunks:
            before.setdefault(chunk.spans[0].doc_id, []).append(chunk)
        return before

    def _cut_otherwise(self, query: Query, evidence: QueryEvidence) -> str | Void:
        """Whether a document that holds the evidence, or should, is cut in another way than before."""
        chunks = self._trace.chunks
        named = self._documents.keys() & query.doc_ids
        doc_ids = sorted(named | {chunks[position].spans[0].doc_id for position in evidence.carriers})
        for doc_id in doc_ids:
            if doc_id not in self._cut:
                self._cut[doc_id] = self._cut_again(doc_id)
        return next((self._cut[doc_id] for doc_id in doc_ids if self._cut[doc_id]), "")

    def _cut_again(self, doc_id: str) -> str | Void:
        try:
            with calling("chunker"):
                chunks = boundary.chunk_document(self._pipeline.chunker, self._documents[doc_id])
        except Void as void:
            return void
        now = [(chunk.spans, chunk.index_text) for chunk in chunks]
        before = [(chunk.spans, chunk.index_text) for chunk in self._chunks_before.get(doc_id, [])]
        return "" if now == before else f"the chunker cut document {doc_id!r} in another way"

    # Vectors

    def _embed_again(
        self, queries: Sequence[Query], evidence: Mapping[str, QueryEvidence]
    ) -> dict[str, str | Void]:
        """For each query whether it, or a chunk that carries its evidence, gets another vector."""
        embedder, vectors, query_vectors = (
            self._pipeline.embedder,
            self._trace.vectors,
            self._trace.query_vectors,
        )
        if embedder is None or vectors is None or query_vectors is None:
            return dict.fromkeys((query.id for query in queries), "")
        chunks, dimensions = self._trace.chunks, vectors.shape[1]
        carriers = {query.id: carriers_to_embed(evidence[query.id]) for query in queries}
        asked = embed_each(
            [query.text for query in queries],
            lambda texts: boundary.embed_queries(embedder, texts, dimensions=dimensions),
            self._allowance,
        )
        read = embed_each(
            [chunks[position].index_text for positions in carriers.values() for position in positions],
            lambda texts: boundary.embed_documents(embedder, texts),
            self._allowance,
        )
        result: dict[str, str | Void] = {}
        for query in queries:
            told = [_other_vector("the query", asked[query.text], query_vectors[self._trace.row[query.id]])]
            told += [
                _other_vector(f"chunk {chunks[p].id!r}", read[chunks[p].index_text], vectors[p])
                for p in carriers[query.id]
            ]
            result[query.id] = next((problem for problem in told if problem), "")
        return result


def embed_each(
    texts: Iterable[str], embed: Callable[[Sequence[str]], Vectors], allowance: Allowance
) -> dict[str, Vectors | Void]:
    """The vector of each distinct text, or why it has none.

    All are embedded in one call; where that raises, each alone, so that the one at fault is found.
    """
    distinct = list(dict.fromkeys(texts))
    if not distinct:
        return {}
    try:
        allowance.spend(texts=len(distinct))
        with calling("embedder"):
            return dict(zip(distinct, embed(distinct), strict=True))
    except Void as void:
        if len(distinct) == 1 or void.by == "spent":
            return dict.fromkeys(distinct, void)
    return {text: vector for one in distinct for text, vector in embed_each([one], embed, allowance).items()}


def _or_raise(outcome: _Outcome | Void) -> _Outcome:
    if isinstance(outcome, Void):
        raise outcome
    return outcome


def carriers_to_embed(evidence: QueryEvidence) -> list[int]:
    """The few chunks, those that carry most of a query's evidence, that are embedded again."""
    return sorted(evidence.carriers, key=lambda p: -evidence.weight(evidence.carriers[p]))[:_CARRIERS]


def _other_vector(what: str, new: Vectors | Void, old: Vectors) -> str | Void:
    if isinstance(new, Void):
        return new
    apart = float(np.linalg.norm(new - old)) if new.shape == old.shape else np.inf
    length = float(np.linalg.norm(old))
    return "" if apart <= _VECTORS_APART * length else f"the embedder gave {what} another vector"


def _retrieved_otherwise(trace: Trace, record: QueryTrace, evidence: QueryEvidence, hits: Found) -> str:
    before, now = set(trace.positions(record.retrieved)), set(hits)
    returned = "the retriever, its index built again, returned"
    if (before ^ now) & evidence.carriers.keys():
        return f"{returned} other chunks of the evidence"
    if len(before & now) < _SAME_HITS * max(len(before), len(now)):
        return f"{returned} only {len(before & now)} of the {len(before)} chunks"
    return ""


def _scored_otherwise(trace: Trace, record: QueryTrace, hits: Found, scores: NDArray[np.float64]) -> str:
    """Whether the reranker scored the same candidates in another way."""
    if record.reranked is None or not hits:
        return ""
    if list(hits) != trace.positions(record.retrieved):
        return ""  # other candidates: what was retrieved is judged before
    before = {trace.position[hit.chunk_id]: hit.score for hit in record.reranked}
    apart = max(abs(score - before[n]) for n, score in zip(hits, scores.tolist(), strict=True))
    spread = max(before.values()) - min(before.values())
    tolerance = max(_SCORES_APART * spread, _ROUNDING * max(map(abs, before.values())))
    return "" if apart <= tolerance else "the reranker gave the same candidates other scores"


def _packed_otherwise(
    trace: Trace, record: QueryTrace, top: Sequence[Chunk], contexts: Sequence[Sequence[Chunk]]
) -> str:
    if [chunk.id for chunk in top] != [hit.chunk_id for hit in record.ranking[: trace.top_k]]:
        return ""  # other chunks: what was retrieved and scored is judged before
    expected = [(chunk.id, chunk.spans) for chunk in record.context]
    same = all([(chunk.id, chunk.spans) for chunk in context] == expected for context in contexts)
    return "" if same else "the packer made another context of the same chunks"
