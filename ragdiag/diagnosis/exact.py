"""E: the candidates that an exact search by the embedder's similarity would hand on.

Only chunks that carry evidence matter, so nothing is sorted: the exact rank of each is the count of better
scores. A retriever that fuses several arms is held against the union of its arms' exact candidates. Filters
are ignored: what a filter loses is the retriever's.

Beside it the chunks of the context in the order of the embedder's similarity, which is what the order of the
later stages is compared with.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ragdiag.diagnosis.arms import arms_of_index, build_arm
from ragdiag.diagnosis.evidence import QueryEvidence
from ragdiag.index import Index
from ragdiag.records import Query, Request
from ragdiag.stages import boundary
from ragdiag.stages.protocols import Retriever, Searcher, arms_of, uses_vectors
from ragdiag.stages.ranking import order_by_score
from ragdiag.stages.similarity import exact_ranks, exact_scores
from ragdiag.trace import Trace

__all__ = ["ExactSearch", "search_exactly", "text_arms"]


@dataclass(frozen=True, slots=True)
class ExactSearch:
    """The exact search for one query, as far as chunks with evidence and those of the context are concerned.

    Attributes:
        ranks: the exact rank (from 1) of each chunk with evidence (by position) by the embedder's similarity.
        candidates: those of them that are among the exact top n of the embedder or of any other arm.
        order: the chunks of the context (by position) by the embedder's similarity, best first.
    """

    ranks: Mapping[int, int]
    candidates: frozenset[int]
    order: tuple[int, ...]


def search_exactly(
    index: Index, trace: Trace, queries: Sequence[Query], evidence: Sequence[QueryEvidence]
) -> list[ExactSearch] | None:
    """The exact search for each query, or None for a pipeline without an embedder."""
    if trace.vectors is None or trace.query_vectors is None or trace.similarity is None:
        return None
    rows = [trace.row[query.id] for query in queries]
    targets = [np.array(sorted(e.carriers), dtype=np.intp) for e in evidence]
    ranks = exact_ranks(trace.vectors, trace.query_vectors[rows], targets, trace.similarity)
    by_text = _text_candidates(index, trace, queries)
    found = []
    for row, positions, of_query, of_text in zip(rows, targets, ranks, by_text, strict=True):
        rank_of = dict(zip(positions.tolist(), of_query.tolist(), strict=True))
        by_vector = {position for position, rank in rank_of.items() if rank <= trace.candidates}
        context = np.array(sorted(trace.position[chunk.id] for chunk in trace.queries[row].context), np.intp)
        scores = exact_scores(trace.query_vectors[row], trace.vectors[context], trace.similarity)
        order = tuple(context[order_by_score(scores)].tolist())
        found.append(ExactSearch(rank_of, frozenset(by_vector | (of_text & rank_of.keys())), order))
    return found


def _text_candidates(index: Index, trace: Trace, queries: Sequence[Query]) -> list[set[int]]:
    """For each query the union of the top n of those arms that search texts, without filters."""
    requests = [Request(query.id, query.text) for query in queries]
    union: list[set[int]] = [set() for _ in queries]
    for searcher in text_arms(index, index.pipeline.retriever, index.searcher):
        rankings = boundary.search(searcher, requests, trace.candidates, trace.position)
        for found, ranking in zip(union, rankings, strict=True):
            found.update(trace.positions(ranking))
    return union


def text_arms(index: Index, retriever: Retriever, searcher: Searcher) -> Iterator[Searcher]:
    """The searchers of all arms, at any depth, that ignore vectors; built where not declared."""
    for arm, own in arms_of_index(retriever, searcher):
        if arms_of(arm):
            yield from text_arms(index, arm, own or build_arm(index, arm))
        elif not uses_vectors(arm):
            yield own or build_arm(index, arm)
