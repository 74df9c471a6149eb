"""What an index says of one chunk that a search did not return.

The chunk is looked for in each part of the retriever (`arms`), and in the index itself at the end of those.
What is not about the query's filter is asked without it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ragdiag.diagnosis.checks.arms import Part, parts
from ragdiag.diagnosis.checks.bench import Bench, Loss
from ragdiag.diagnosis.checks.check import NotApplicable
from ragdiag.diagnosis.checks.listings import Listing, shown_metric
from ragdiag.diagnosis.geometry import find_itself
from ragdiag.records import Hit, Query, Request
from ragdiag.stages.protocols import Similarity, uses_vectors
from ragdiag.stages.similarity import exact_scores

__all__ = ["Missed", "complete", "look_for"]

_T = TypeVar("_T")

# A smaller difference, as a share of the range of a query's scores, hardly moves a rank.
_HARDLY = 0.01
# The hits of so many queries are enough to tell a metric.
_TO_LEARN = 100


def complete(loss: Loss, positions: Sequence[int]) -> bool:
    """Whether a set of chunks delivers the lost unit."""
    unit = loss.unit
    atoms = unit.evidence.mask_of(positions)
    return bool(unit.evidence.coverage(atoms)[unit.number] >= unit.min_coverage)


@dataclass(frozen=True, eq=False)
class Missed:
    """One chunk with lost evidence that was not among the hits of its query.

    Attributes:
        bench: what everything is measured with.
        loss: the lost unit.
        position: the chunk.
        part: the index in which it is looked for: the first that searches vectors, else the first.
    """

    bench: Bench = field(repr=False)
    loss: Loss
    position: int
    part: Part

    @property
    def query(self) -> Query:
        """Whose hits it is not among."""
        return self.loss.query

    @property
    def chunk_id(self) -> str:
        """The chunk's id."""
        return self.bench.chunk(self.position).id

    @property
    def n(self) -> int:
        """How many hits are asked for."""
        return self.bench.trace.candidates

    @property
    def size(self) -> int:
        """How many chunks there are."""
        return len(self.bench.trace.chunks)

    @property
    def by_vectors(self) -> bool:
        """Whether the index is searched by vectors of the pipeline's embedder."""
        return self.bench.trace.similarity is not None and uses_vectors(self.part.retriever)

    @property
    def request(self) -> Request:
        """The query without its filter."""
        return replace(self.bench.trace.request(self.query), filter=None)

    def hits_of(self, part: Part) -> Listing:
        """What a part of the retriever returns for the query without its filter, n hits at most."""
        if part is parts(self.bench) and not self.query.filter:
            return Listing.of(self.bench.trace, self.bench.trace[self.query.id].retrieved)

        def search() -> Listing:
            return Listing.of(self.bench.trace, self.bench.search_in(part.searcher, self.request, self.n))

        return self._once(("hits", self.query.id, part), search)

    def rank_in(self, part: Part) -> int | None:
        """The chunk's rank among those hits."""
        return self.hits_of(part).rank_of(self.position)

    # The index itself

    @property
    def is_found(self) -> bool:
        """Whether the chunk is missed for the filter alone, or by what is done to the index's hits."""
        return any(self.rank_in(part) is not None for part in (parts(self.bench), self.part))

    @property
    def wide(self) -> Listing:
        """The query's hits where all chunks are asked for."""

        def search() -> Listing:
            hits = self.bench.search_in(self.part.searcher, self.request, self.size)
            return Listing.of(self.bench.trace, hits)

        return self._once(("wide", self.query.id), search)

    @property
    def own(self) -> Listing:
        """The hits for the chunk's own vector, n at most, or for its own text, as many as there are chunks.

        By its vector it is among the first, where the index holds it; by words longer texts may come before.
        """
        return Listing.of(self.bench.trace, self._own)

    @property
    def rank_for_itself(self) -> int | None:
        """The rank of the chunk, or of one like it, among those hits; None where they have neither."""
        trace, known = self.bench.trace, _Known(self._own)

        def find() -> int | None:
            return find_itself(known, trace.chunks, trace.vectors, [self.position], self.n)[0]

        return self._once(("for itself", self.position), find)

    @property
    def _own(self) -> tuple[Hit, ...]:
        chunk, vectors = self.bench.chunk(self.position), self.bench.trace.vectors
        vector = None if vectors is None else vectors[self.position]
        request = Request(chunk.id, chunk.index_text, vector)
        n = self.n if self.by_vectors else self.size
        return self._once(
            ("own", self.position), lambda: self.bench.search_in(self.part.searcher, request, n)
        )

    @property
    def metric(self) -> tuple[Similarity, bool] | None:
        """What the index computes, and whether its scores show it; None where nothing tells.

        Scores show it where those of a quarter of the hits are the exact ones of that metric; else, as where
        vectors are compressed, what the retriever declares is believed.
        """
        if parts(self.bench).arms:
            return self._once(("metric", self.query.id), lambda: self._find_metric([(self.query, self.wide)]))
        trace, run = self.bench.trace, self.bench.diagnosis.queries[:_TO_LEARN]
        hits = ((query, Listing.of(trace, trace[query.id].retrieved)) for query in run)
        return self._once(("metric",), lambda: self._find_metric(list(hits)))

    def _find_metric(self, listings: Sequence[tuple[Query, Listing]]) -> tuple[Similarity, bool] | None:
        bench = self.bench
        declared: Similarity | None = getattr(self.part.retriever, "metric", None)
        asked = [(bench.query_vector(query), listing) for query, listing in listings]
        first = [metric for metric in (declared, bench.similarity) if metric is not None]
        shown = shown_metric(asked, bench.vectors, first)
        if shown is not None:
            return shown, True
        return None if declared is None else (declared, False)

    def exact(self, metric: Similarity) -> NDArray[np.float64]:
        """The exact score of every chunk for the query by a metric, shape (chunks,)."""
        if metric == self.bench.similarity:
            return self.bench.scores(self.query)
        vector, vectors = self.bench.query_vector(self.query), self.bench.vectors
        return self._once(("exact", self.query.id, metric), lambda: exact_scores(vector, vectors, metric))

    def rank_by(self, metric: Similarity) -> int:
        """The chunk's exact rank (from 1) by a metric."""
        scores = self.exact(metric)
        return int((scores > scores[self.position]).sum()) + 1

    def is_held_apart(self, metric: Similarity) -> bool:
        """Whether the index scores the chunk for the query, and lower than what its own vector scores."""
        rank = self.wide.rank_of(self.position)
        if rank is None:
            return False
        apart = float(self.exact(metric)[self.position] - self.wide.scores[rank - 1])
        return apart > _HARDLY * self._range

    @property
    def _range(self) -> float:
        return float(np.ptp(self.wide.scores)) if len(self.wide.rows) else 0.0

    @property
    def lowest_hit(self) -> float | None:
        """The lowest score that the run had for any hit of any query; None where it had no hit."""
        ends = (hits[-1].score for record in self.bench.trace.queries if (hits := record.retrieved))
        return min(ends, default=None)

    def is_under_threshold(self, metric: Similarity) -> bool:
        """Whether the index seems to return all chunks above some score, too few for n, and not this one."""
        hits, lowest = self.hits_of(self.part), self.lowest_hit
        if parts(self.bench).arms or lowest is None or len(hits.rows) == self.n:
            return False
        scores = self.exact(metric)
        left_out = np.delete(scores, hits.rows)
        return (
            len(self.wide.rows) == len(hits.rows)
            and bool(scores[self.position] < lowest)
            and bool(left_out.max() <= hits.scores.min(initial=np.inf) + _HARDLY * self._range)
        )

    @property
    def was_seen(self) -> bool:
        """Whether any search returned the chunk: of the run, or a wide one for any lost unit's query."""
        return bool(self._seen[self.position])

    @property
    def looks_everywhere(self) -> bool:
        """Whether the index seems to look at all that it holds.

        Then asking wider changes nothing in the first hits; nor does it depend on the vector which chunks are
        hits at all (on the text it may: of BM25, what shares no word is none).
        """
        narrow, wide = self.hits_of(self.part).rows, self.wide.rows
        if not np.array_equal(wide[: len(narrow)], narrow):
            return False
        others = np.union1d(np.flatnonzero(self._seen), self.own.rows)
        return not self.by_vectors or bool(np.isin(others, wide).all())

    @property
    def _seen(self) -> NDArray[np.bool_]:
        """Which chunks any search returned, shape (chunks,)."""
        return self._once(("seen",), self._find_seen)

    def _find_seen(self) -> NDArray[np.bool_]:
        bench, trace = self.bench, self.bench.trace
        seen = np.zeros(self.size, dtype=bool)
        if not parts(bench).arms:
            for record in trace.queries:
                seen[trace.positions(record.retrieved)] = True
        for loss in bench.losses:
            if "retriever" in loss.verdict.blamed:
                seen[replace(self, loss=loss).wide.rows] = True
        return seen

    def _once(self, key: tuple[Hashable, ...], make: Callable[[], _T]) -> _T:
        return self.bench.once(("probe", *key), make)


@dataclass(frozen=True, eq=False)
class _Known:
    """Hits that were found before."""

    hits: Sequence[Hit]

    def search(self, requests: Sequence[Request], n: int) -> list[Sequence[Hit]]:  # noqa: ARG002
        return [self.hits for _ in requests]


def look_for(bench: Bench, loss: Loss) -> Missed:
    """The chunk that is looked for: of those that would deliver the unit the fullest that was not retrieved.

    Where an exact search has chunks among its candidates that deliver the unit, it is one of those.

    Raises:
        NotApplicable: no chunk holds any of the evidence, or all that it needs were retrieved.
    """

    def look() -> Missed:
        record = bench.trace[loss.query.id]
        retrieved = set(bench.trace.positions(record.retrieved))
        absent = [position for position in _wanted(bench, loss) if position not in retrieved]
        if not absent:
            raise NotApplicable("the retriever returned the chunks that the evidence needs")
        position = max(absent, key=lambda p: loss.unit.carried[p])
        every = list(parts(bench).all())
        ends = [part for part in every if not part.arms]
        searched = next((part for part in ends if uses_vectors(part.retriever)), ends[0])
        return Missed(bench, loss, position, searched)

    return bench.once(("missed chunk", loss.unit.unit), look)


def _wanted(bench: Bench, loss: Loss) -> Sequence[int]:
    if not loss.chunks:
        raise NotApplicable("no chunk holds any of the evidence")
    if bench.trace.similarity is None:
        return loss.chunks
    scores, carriers = bench.scores(loss.query), loss.unit.carriers(chunker=False)
    near = [p for p in carriers if bench.rank_of_score(loss.query, scores[p]) <= bench.trace.candidates]
    best = loss.unit.best_of(near)
    return best if complete(loss, best) else loss.chunks
