"""The pipeline run again for a lost unit, with some of its stages made ideal and all others real.

Everything goes through the Protocols, so that it works on any plug. What a stage would be asked twice is
asked once: texts are embedded before, pairs are scored once for each query and text, contexts are packed once
for each list of chunks.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ragdiag.diagnosis.attempts import Allowance, Void, calling
from ragdiag.diagnosis.evidence import EvidenceMap
from ragdiag.diagnosis.repairs import LostUnit
from ragdiag.diagnosis.shelves import UNCHANGED, Edit, Found, Job, Place, Shelf
from ragdiag.diagnosis.verdicts import Trial
from ragdiag.index import Index
from ragdiag.records import Chunk, Query, Request
from ragdiag.stages import boundary
from ragdiag.stages.protocols import STAGES, Packer, Reranker
from ragdiag.stages.ranking import order_by_score
from ragdiag.stages.similarity import Neighbors, exact_scores, nearest
from ragdiag.trace import Trace

__all__ = ["EditKey", "EditKind", "Pairs", "Reruns"]

EditKind: TypeAlias = Literal["chunker", "embedder", "both", "window"]
"""What of the corpus is changed: chunks added, vectors replaced, both, or windows embedded."""

EditKey: TypeAlias = tuple[int, EditKind]
"""An edit of one unit: the unit's row in the ledger, and the kind."""

_EVICTS = "it came back, but then unit {} of the query, which had been delivered, was lost"


class Pairs:
    """The reranker's scores, each distinct pair of query and text asked for once."""

    def __init__(self, allowance: Allowance) -> None:
        self._allowance = allowance
        self._scores: dict[tuple[str, str], float] = {}

    def scores(self, reranker: Reranker, query: Query, chunks: Sequence[Chunk]) -> NDArray[np.float64]:
        """One score a chunk, shape (len(chunks),), by the pipeline's reranker.

        Raises:
            Void: the reranker raised, or too few calls are left.
        """
        return self.of_texts(
            reranker, query, [chunk.text for chunk in chunks], [chunk.id for chunk in chunks]
        )

    def of_texts(
        self, reranker: Reranker, query: Query, texts: Sequence[str], names: Sequence[str] | None = None
    ) -> NDArray[np.float64]:
        """The same for texts, which need not be those of chunks; ``names`` are what errors call them."""
        called = zip(texts, names or texts, strict=True)
        missing = {text: name for text, name in called if (query.text, text) not in self._scores}
        self._allowance.spend(pairs=len(missing))
        with calling("reranker"):
            scores = boundary.score_pairs(
                reranker, query.id, query.text, list(missing.values()), list(missing)
            )
        self._scores |= {
            (query.text, text): float(score) for text, score in zip(missing, scores, strict=True)
        }
        return np.array([self._scores[query.text, text] for text in texts], np.float64)


@dataclass(eq=False)
class _Placed:
    """An edit in its place, and what was found there once it was searched for."""

    place: Place
    found: Found | Void | None = None


class Reruns:
    """Re-runs for the lost units of one diagnosis.

    Args:
        index: the pipeline over its documents.
        trace: its run.
        evidence_map: of the run.
        pairs: scores pairs, and remembers those of the unrepaired re-run.
        plain: the run's index, built again.
        retrieved: what the unrepaired re-run retrieved for a query.
        allowance: counts what is asked.
    """

    def __init__(
        self,
        index: Index,
        trace: Trace,
        evidence_map: EvidenceMap,
        *,
        pairs: Pairs,
        plain: Shelf,
        retrieved: Callable[[Query], Found],
        allowance: Allowance,
    ) -> None:
        self._index = index
        self._pipeline = index.pipeline
        self._trace = trace
        self._map = evidence_map
        self._pairs = pairs
        self._plain = plain
        self._retrieved = retrieved
        self._allowance = allowance
        self._edits: dict[EditKey, Edit | Void] = {}
        self._placed: dict[EditKey, _Placed] = {}
        self._own: dict[EditKey, _Placed | Void] = {}
        self._placebos: dict[int, list[Found | Void]] = {}
        self._needs_own: dict[int, bool] = {}
        self._nearest: dict[str, Neighbors] = {}
        self._texts: dict[tuple[int, bool], list[Found | Void]] = {}
        self._contexts: dict[tuple[str, tuple[int, ...], int | None], tuple[Chunk, ...]] = {}

    # What is prepared for all units at once

    def prepare(self, units: Sequence[LostUnit], edits: Mapping[EditKey, Edit | Void]) -> None:
        """Put all edits (by unit and kind) into as few indexes as hold them, and search there."""
        self._edits = dict(edits)
        self._find_nearest(units)
        good = {key: edit for key, edit in edits.items() if isinstance(edit, Edit)}
        try:
            places = Shelf.augmented(self._index, list(good.values()), self._allowance)
        except Void:
            places = [None] * len(good)
        queries = {unit.unit: unit.query for unit in units}
        jobs: dict[Shelf, dict[tuple[int, EditKind | None], Job]] = {}
        for (row, kind), place in zip(good, places, strict=True):
            if place is None:
                self._needs_own[row] = True
                continue
            self._placed[row, kind] = _Placed(place)
            on_shelf = jobs.setdefault(place.shelf, {})
            on_shelf[row, None] = Job(self._trace.request(queries[row]), place.placebo)
            if kind in ("chunker", "embedder"):
                on_shelf[row, kind] = Job(self._trace.request(queries[row]), place.view)
        for shelf, of_edits in jobs.items():
            found = shelf.search(list(of_edits.values()), self._trace.candidates)
            for (row, edited), hits in zip(of_edits, found, strict=True):
                if edited is None:
                    self._placebos.setdefault(row, []).append(hits)
                else:
                    self._placed[row, edited].found = hits

    def _find_nearest(self, units: Sequence[LostUnit]) -> None:
        """The exact candidates of each query, and as many more as an edit may replace."""
        trace = self._trace
        if trace.vectors is None or trace.query_vectors is None or trace.similarity is None:
            return
        size = len(trace.chunks)
        hidden = max(
            (
                len(edit.hidden) + sum(n < size for n in edit.chunks)
                for edit in self._edits.values()
                if isinstance(edit, Edit)
            ),
            default=0,
        )
        queries = {unit.query.id: unit.query for unit in units}
        vectors = trace.query_vectors[[trace.row[query_id] for query_id in queries]]
        neighbors = nearest(trace.vectors, vectors, trace.candidates + hidden, trace.similarity)
        self._nearest = dict(zip(queries, neighbors, strict=True))

    # One re-run

    def run(self, unit: LostUnit, ideal: Collection[str], *, window: bool = False) -> Trial:
        """The pipeline with the stages of ``ideal`` made ideal for the evidence of ``unit``.

        With ``window``, windows around the evidence are embedded in place of whole chunks, and that is all.
        """
        stages = tuple(stage for stage in STAGES if stage in ideal)
        variant = "window" if window else ""
        try:
            candidates = self._candidates(unit, stages, window=window)
            ranked = self._ranked(unit, candidates, () if window else stages)
            context = self._context(unit, ranked, () if window else stages)
        except Void as void:
            return Trial(stages, "void", None, void.reason, variant, void.by)
        coverage = self.coverage(unit, context)
        delivered = coverage >= unit.min_coverage
        own = float(coverage[unit.number])
        if not delivered[unit.number]:
            lost_at = None if window else self._stage_of_loss(unit, stages, candidates, ranked)
            return Trial(stages, "lost", own, variant=variant, lost_at=lost_at)
        evicted = np.flatnonzero((unit.kept > 0) & ~delivered)
        if len(evicted):
            return Trial(stages, "evicted", own, _EVICTS.format(int(evicted[0]) + 1), variant)
        return Trial(stages, "recovered", own, variant=variant)

    def _stage_of_loss(
        self, unit: LostUnit, ideal: tuple[str, ...], candidates: Sequence[int], ranked: Sequence[int]
    ) -> str | None:
        """The first stage behind which nothing holds the unit whole; None where a plug fails to tell."""
        if self._holds(unit, ranked[: self._trace.top_k]):
            return "packer"
        if self._holds(unit, candidates):
            return "reranker"
        if self._trace.similarity is None:
            return "retriever"
        try:
            exact = self._candidates(unit, (*ideal, "retriever"))
        except Void:
            return None
        return "retriever" if self._holds(unit, exact) else "embedder"

    def _holds(self, unit: LostUnit, numbers: Sequence[int]) -> bool:
        chunks = [unit.chunk(number) for number in numbers]
        return bool(self.coverage(unit, chunks)[unit.number] >= unit.min_coverage)

    def coverage(self, unit: LostUnit, context: Sequence[Chunk]) -> NDArray[np.float64]:
        """The coverage of every unit of the query by a context."""
        known = [self._number_of(unit, chunk) for chunk in context]
        if all(number is not None for number in known):
            atoms = 0
            for number in known:
                atoms |= unit.masks.get(number or 0, 0)
            return unit.evidence.coverage(atoms)
        evidence = self._map.of(unit.query, context)  # a chunk was shortened: its parts are cut anew
        return evidence.coverage(evidence.context)

    def _number_of(self, unit: LostUnit, chunk: Chunk) -> int | None:
        """The number of a whole chunk; None for a shortened one."""
        number = self._trace.position.get(chunk.id)
        if number is None:
            number = next(n for n in unit.added_numbers if unit.chunk(n).id == chunk.id)
        return number if unit.chunk(number).spans == chunk.spans else None

    def downstream(
        self, unit: LostUnit, candidates: Sequence[int], ideal: Collection[str]
    ) -> tuple[Chunk, ...]:
        """The context that the stages after the retriever make of ``candidates``.

        Raises:
            Void: a plug raised, or too few calls are left.
        """
        return self._context(unit, self._ranked(unit, candidates, ideal), ideal)

    def _context(self, unit: LostUnit, ranked: Sequence[int], ideal: Collection[str]) -> tuple[Chunk, ...]:
        """The context that comes of the final order of the candidates."""
        top = ranked[: self._trace.top_k]
        if self._pipeline.packer is None:
            return tuple(unit.chunk(number) for number in top)
        if "packer" in ideal:
            return tuple(unit.chunk(number) for number in unit.best_context(top))
        return self._packed(self._pipeline.packer, unit, top)

    def _ranked(self, unit: LostUnit, candidates: Sequence[int], ideal: Collection[str]) -> list[int]:
        """The final order of the candidates."""
        order = list(candidates)
        if self._pipeline.reranker is None:
            return order
        chunks = [unit.chunk(number) for number in order]
        scores = self._pairs.scores(self._pipeline.reranker, unit.query, chunks)
        order = [order[i] for i in order_by_score(scores)]
        return unit.in_best_order(order) if "reranker" in ideal else order

    def _packed(self, packer: Packer, unit: LostUnit, top: Sequence[int]) -> tuple[Chunk, ...]:
        size = len(self._trace.chunks)
        key = (unit.query.id, tuple(top), None if all(n < size for n in top) else unit.unit)
        if key not in self._contexts:
            chunks = [unit.chunk(number) for number in top]
            with calling("packer"):
                self._contexts[key] = boundary.pack(
                    packer, unit.query.id, unit.query.text, chunks, self._index.documents_by_id
                )
        return self._contexts[key]

    # What reaches the reranker

    def _candidates(self, unit: LostUnit, ideal: Collection[str], *, window: bool = False) -> list[int]:
        kind: EditKind | None = "window" if window else _kind_of(ideal)
        edit = None if kind is None else self._edits.get((unit.unit, kind))
        if isinstance(edit, Void):
            raise edit
        if edit is None:
            kind = None  # there is nothing to change: no chunk holds any of the evidence, say
        if "retriever" in ideal:
            pool = self._exact_pool(unit, kind, edit)
            return unit.in_best_order(pool)[: self._trace.candidates]
        if kind is None:
            return list(self._retrieved(unit.query))
        return list(self._search(unit, kind))

    def _search(self, unit: LostUnit, kind: EditKind) -> Found:
        """What the real retriever finds in the edited corpus."""
        placed = self._place_of(unit, kind)
        if placed.found is None:
            job = Job(self._trace.request(unit.query), placed.place.view)
            [placed.found] = placed.place.shelf.search([job], self._trace.candidates)
        if isinstance(placed.found, Void):
            raise placed.found
        return placed.found

    def _place_of(self, unit: LostUnit, kind: EditKind) -> _Placed:
        """The place on a common shelf, or on the unit's own where the placebo brings the unit back there."""
        key = (unit.unit, kind)
        if unit.unit not in self._needs_own:
            placebos = self._placebos.get(unit.unit, ())
            self._needs_own[unit.unit] = not all(self._still_lost(unit, found) for found in placebos)
        if not self._needs_own[unit.unit]:
            return self._placed[key]
        if key not in self._own:
            try:
                self._own[key] = _Placed(self._place_of_its_own(unit, kind))
            except Void as void:
                self._own[key] = void
        held = self._own[key]
        if isinstance(held, Void):
            raise held
        return held

    def _place_of_its_own(self, unit: LostUnit, kind: EditKind) -> Place:
        edit = self._edits[unit.unit, kind]
        if isinstance(edit, Void):
            raise edit
        place = Shelf.own(self._index, edit, self._allowance)
        if kind == "both":
            self._place_of(unit, "chunker")  # the same rows with their real vectors: its placebo counts
        elif kind == "chunker":
            job = Job(self._trace.request(unit.query), place.placebo)
            [placebo] = place.shelf.search([job], self._trace.candidates)
            if isinstance(placebo, Void):
                raise placebo
            if not self._still_lost(unit, placebo):
                raise Void("placebo", _PLACEBO_CAME_BACK)
        return place

    def _still_lost(self, unit: LostUnit, found: Found | Void) -> bool:
        """Whether the unit is lost with these candidates and everything else real."""
        if isinstance(found, Void):
            return False
        try:
            context = self.downstream(unit, found, ())
        except Void as void:
            return void.by == "spent"  # then no re-run of the unit can be finished, and each says so
        return bool(self.coverage(unit, context)[unit.number] < unit.min_coverage)

    def _exact_pool(self, unit: LostUnit, kind: EditKind | None, edit: Edit | None) -> list[int]:
        """What an ideal retriever chooses from: the exact candidates, or without an embedder all chunks."""
        if self._trace.similarity is None:
            gone = frozenset() if edit is None else edit.hidden
            retrieved = (n for n in self._retrieved(unit.query) if n not in gone)
            return [*dict.fromkeys([*unit.carriers(chunker=edit is not None), *retrieved])]
        near = self._nearest[unit.query.id]
        scored = dict(zip(near.rows.tolist(), near.scores.tolist(), strict=True))
        if edit is not None:
            query = self._trace.request(unit.query).vector
            for number in edit.hidden & scored.keys():
                del scored[number]
            for number, vector in edit.vectors.items():
                if vector is not None and query is not None:
                    scored[number] = float(exact_scores(query, vector[None, :], self._trace.similarity)[0])
        ranked = sorted(scored, key=lambda number: (-scored[number], number))[: self._trace.candidates]
        return [*dict.fromkeys([*ranked, *self._by_text(unit, kind)])]

    def _by_text(self, unit: LostUnit, kind: EditKind | None) -> list[int]:
        """What those arms find that search texts, without filters; new vectors change nothing for them."""
        key = (unit.unit, kind in ("chunker", "both"))
        if key not in self._texts:
            request = Request(unit.query.id, unit.query.text)
            if kind in ("chunker", "both"):
                place = self._place_of(unit, kind).place
                job, shelf = Job(request, place.view), place.shelf
            else:
                job, shelf = Job(request, UNCHANGED), self._plain
            self._texts[key] = [found for [found] in shelf.search_texts([job], self._trace.candidates)]
        numbers: dict[int, None] = {}
        for found in self._texts[key]:
            if isinstance(found, Void):
                raise found
            numbers |= dict.fromkeys(found)
        return list(numbers)


_PLACEBO_CAME_BACK = (
    "adding a chunk to the index is enough to bring the unit back, even where that chunk itself is not "
    "looked at"
)


def _kind_of(ideal: Collection[str]) -> EditKind | None:
    chunker, embedder = "chunker" in ideal, "embedder" in ideal
    if chunker and embedder:
        return "both"
    return "chunker" if chunker else "embedder" if embedder else None
