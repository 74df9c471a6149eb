"""Verdicts proven by re-execution: from lost units to what their re-runs say.

1. Every query with a lost unit is asked again, unrepaired (`reproduction`).
2. What the repairs need is embedded in one call and put into one index (`repairs`, `windows`, `shelves`).
3. Each unit is run again with its stages made ideal (`reruns`), and the rules make a verdict (`findings`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ragdiag.diagnosis.attempts import Allowance, Void, calling
from ragdiag.diagnosis.evidence import EvidenceMap, QueryEvidence
from ragdiag.diagnosis.findings import Runs, decide, shapley_values, try_repairs
from ragdiag.diagnosis.repairs import LostUnit, ideal_chunks, ideal_vector
from ragdiag.diagnosis.reproduction import Reproducer, Reproduction, embed_each
from ragdiag.diagnosis.reruns import EditKind, Pairs, Reruns
from ragdiag.diagnosis.result import Diagnosis
from ragdiag.diagnosis.shelves import Edit, Shelf
from ragdiag.diagnosis.verdicts import Trial, Verdict
from ragdiag.diagnosis.windows import Windows, find_windows
from ragdiag.index import Index
from ragdiag.progress import track
from ragdiag.records import Chunk
from ragdiag.stages import boundary
from ragdiag.stages.protocols import Vectors, token_counts

__all__ = ["verify"]


def verify(
    diagnosis: Diagnosis,
    index: Index,
    evidence_map: EvidenceMap,
    evidence: Sequence[QueryEvidence],
    *,
    shapley: bool = False,
    max_extra_calls: int | None = None,
    progress: bool | None = None,
) -> Diagnosis:
    """The diagnosis with its verdicts proven, as far as re-runs can prove them.

    Args:
        diagnosis: what the ledger observed.
        index: the pipeline over the documents; it is asked again.
        evidence_map: of the run.
        evidence: of each assessed query.
        shapley: whether every set of stages is tried for every unit.
        max_extra_calls: how many texts may be embedded and pairs scored together; None for any number.
        progress: whether long work shows a bar; None shows it on a terminal only.
    """
    return _Verification(diagnosis, index, evidence_map, evidence, max_extra_calls).run(
        shapley=shapley, progress=progress
    )


class _Verification:
    def __init__(
        self,
        diagnosis: Diagnosis,
        index: Index,
        evidence_map: EvidenceMap,
        evidence: Sequence[QueryEvidence],
        limit: int | None,
    ) -> None:
        self._diagnosis = diagnosis
        self._index = index
        self._map = evidence_map
        self._evidence = evidence
        self._documents = {document.id: document for document in diagnosis.documents}
        self._allowance = Allowance(limit)
        self._pairs = Pairs(index, self._allowance)
        self._verdicts = list(diagnosis.verdicts)
        trace = diagnosis.trace
        self._longest = 0.0 if trace.vectors is None else float(np.linalg.norm(trace.vectors, axis=1).max())
        self._row = {record.query_id: row for row, record in enumerate(trace.queries)}

    def run(self, *, shapley: bool, progress: bool | None) -> Diagnosis:
        units = self._affordable([self._lost_unit(row) for row in self._diagnosis.ledger.lost])
        again = self._reproduce(units)
        units = [unit for unit in units if self._repeats_itself(unit, again)]
        if units:
            windows = self._windows(units)
            reruns = self._prepare(units, windows, again)
            for unit in track(units, "re-running", progress=progress):
                self._verdicts[unit.unit] = self._judge(unit, reruns, windows.get(unit.unit), every=shapley)
        unproven = sum(
            verdict is not None
            and verdict.proof == "observed"
            and (not verdict.trials or any(trial.void_by == "spent" for trial in verdict.trials))
            and _SPENT in verdict.reason
            for verdict in self._verdicts
        )
        return replace(
            self._diagnosis,
            verdicts=tuple(self._verdicts),
            effort=self._allowance.effort(unproven=unproven),
        )

    # Units

    def _lost_unit(self, row: int) -> LostUnit:
        diagnosis, trace = self._diagnosis, self._diagnosis.trace
        position = int(diagnosis.ledger.owner[row])
        query, evidence = diagnosis.assessed[position], self._evidence[position]
        first = int(np.searchsorted(diagnosis.ledger.owner, position))
        added: Sequence[Chunk] = ideal_chunks(
            self._map, self._documents, query, evidence, row - first, min_coverage=diagnosis.min_coverage
        )
        of_added: Sequence[int] = ()
        if trace.chunk_tokens is not None:
            pipeline = self._index.pipeline
            try:
                with calling("packer" if trace.budget is not None else "embedder"):
                    of_added = token_counts(added, pipeline.packer, pipeline.embedder) or ()
            except Void:
                added = of_added = ()
        tokens = (*(trace.chunk_tokens or ()), *of_added)
        verdict = diagnosis.verdicts[row]
        return LostUnit(
            query=query,
            unit=row,
            number=row - first,
            label="" if verdict is None else verdict.observed,
            evidence=self._map.of(query, added),
            chunks=trace.chunks,
            added=tuple(added),
            kept=diagnosis.ledger.hard[first : first + len(query.evidence), -1],
            min_coverage=diagnosis.min_coverage,
            top_k=trace.top_k,
            budget=trace.budget,
            tokens=lambda number: tokens[number],
        )

    def _affordable(self, units: Sequence[LostUnit]) -> list[LostUnit]:
        """The first units whose re-runs the allowance is likely to cover; the others stay observed."""
        left = self._allowance.left
        pipeline = self._index.pipeline
        n = self._diagnosis.trace.candidates
        chosen, seen = [], set[str]()
        for unit in units:
            texts = 0 if pipeline.embedder is None else len(unit.added) + 1
            pairs = 0 if pipeline.reranker is None else n
            if unit.query.id not in seen:
                texts += 0 if pipeline.embedder is None else 4
                pairs *= 2
            left -= texts + pairs
            if left < 0:
                self._set(unit, reason=f"It could not be proven: {_SPENT}.")
                continue
            seen.add(unit.query.id)
            chosen.append(unit)
        return chosen

    def _set(self, unit: LostUnit, *, reason: str, proof: str = "observed") -> None:
        verdict = self._verdicts[unit.unit]
        if verdict is not None:
            self._verdicts[unit.unit] = replace(verdict, reason=reason, proof=proof)  # type: ignore[arg-type]

    # The unrepaired re-run

    def _reproduce(self, units: Sequence[LostUnit]) -> Mapping[str, Reproduction | Void]:
        queries = list({unit.query.id: unit.query for unit in units}.values())
        if not queries:
            return {}
        try:
            self._plain = Shelf.plain(self._index, self._allowance)
        except Void as void:
            return dict.fromkeys((query.id for query in queries), void)
        position = {query.id: i for i, query in enumerate(self._diagnosis.assessed)}
        reproducer = Reproducer(
            self._index,
            self._diagnosis.trace,
            plain=self._plain,
            pairs=self._pairs,
            allowance=self._allowance,
        )
        return reproducer.reproduce(
            queries, {query.id: self._evidence[position[query.id]] for query in queries}
        )

    def _repeats_itself(self, unit: LostUnit, again: Mapping[str, Reproduction | Void]) -> bool:
        """Whether the unit is lost again in the same way; if not, its verdict says so."""
        outcome = again[unit.query.id]
        if isinstance(outcome, Void):
            self._set(unit, reason=f"It could not be proven: {outcome.reason}.")
            return False
        if outcome.differs:
            self._set(
                unit,
                proof="unreproducible",
                reason=f"The same question did not get the same answer again: {outcome.differs}.",
            )
            return False
        evidence = self._map.of(unit.query, outcome.context)
        if evidence.coverage(evidence.context)[unit.number] >= unit.min_coverage:
            self._set(
                unit,
                proof="unreproducible",
                reason="Asked again, without any repair, the pipeline delivered the evidence.",
            )
            return False
        return True

    # What the repairs need

    def _windows(self, units: Sequence[LostUnit]) -> dict[int, Windows]:
        embedder = self._index.pipeline.embedder
        if embedder is None:
            return {}
        found = {unit.unit: find_windows(self._map, self._documents, embedder, unit) for unit in units}
        return {row: windows for row, windows in found.items() if windows is not None}

    def _prepare(
        self,
        units: Sequence[LostUnit],
        windows: Mapping[int, Windows],
        again: Mapping[str, Reproduction | Void],
    ) -> Reruns:
        texts = [chunk.index_text for unit in units for chunk in unit.added]
        texts += [text for of_unit in windows.values() for text in of_unit.texts.values()]
        vectors = self._embed(texts)
        edits: dict[tuple[int, EditKind], Edit | Void] = {}
        for unit in units:
            edits |= self._edits(unit, windows.get(unit.unit), vectors)
        reruns = Reruns(
            self._index,
            self._diagnosis.trace,
            self._map,
            pairs=self._pairs,
            plain=self._plain,
            retrieved={q: r.retrieved for q, r in again.items() if isinstance(r, Reproduction)},
            allowance=self._allowance,
        )
        reruns.prepare(units, edits)
        return reruns

    def _embed(self, texts: Sequence[str]) -> Mapping[str, Vectors | Void]:
        """The vectors of texts; those of the run's own texts are known."""
        embedder, known = self._index.pipeline.embedder, self._diagnosis.trace.vectors
        if embedder is None or known is None:
            return {}
        row_of = {chunk.index_text: row for row, chunk in enumerate(self._diagnosis.trace.chunks)}

        def embed(missing: Sequence[str]) -> Vectors:
            made = boundary.embed_documents(embedder, missing)
            if made.shape[1] != known.shape[1]:
                raise ValueError(f"vectors of {made.shape[1]} dimensions, expected {known.shape[1]}")
            return made

        vectors = embed_each((text for text in texts if text not in row_of), embed, self._allowance)
        return vectors | {text: known[row_of[text]] for text in texts if text in row_of}

    def _edits(
        self, unit: LostUnit, windows: Windows | None, vectors: Mapping[str, Vectors | Void]
    ) -> dict[tuple[int, EditKind], Edit | Void]:
        """The changes of the corpus that the unit's re-runs need."""
        trace = self._diagnosis.trace
        edits: dict[tuple[int, EditKind], Edit | Void] = {}
        if trace.similarity is None or trace.query_vectors is None:
            if unit.added:
                edits[unit.unit, "chunker"] = _edit(unit, dict.fromkeys(unit.added_numbers))
            return edits
        query = trace.query_vectors[self._row[unit.query.id]]
        best = ideal_vector(query, trace.similarity, longest=self._longest)
        n = trace.candidates
        real: dict[int, Vectors | Void | None] = {
            number: vectors[unit.chunk(number).index_text] for number in unit.added_numbers
        }
        ideal = dict.fromkeys(unit.to_embed_ideally(n, chunker=False), best)
        if unit.added:
            edits[unit.unit, "chunker"] = _edit(unit, real)
            both = dict.fromkeys(unit.to_embed_ideally(n, chunker=True), best)
            edits[unit.unit, "both"] = _edit(unit, {**real, **both})
        if ideal:
            edits[unit.unit, "embedder"] = _edit(unit, dict(ideal))
        if windows is not None:
            seen = {number: vectors[text] for number, text in windows.texts.items()}
            edits[unit.unit, "window"] = _edit(unit, dict(seen))
        return edits

    # Re-runs and verdict

    def _judge(
        self, unit: LostUnit, reruns: Reruns, windows: Windows | None, *, every: bool
    ) -> Verdict | None:
        observed = self._verdicts[unit.unit]
        if observed is None:
            return None
        stages = self._repairable(unit)

        def run(ideal: tuple[str, ...]) -> Trial:
            return reruns.run(unit, ideal)

        together = unit.label != "ingest" and (unit.label != "capacity" or bool(unit.added))
        trials = try_repairs(stages, run, every=every, together=together)
        rest = None
        if unit.label in ("ingest", "capacity"):
            others = tuple(stage for stage in stages if stage != "chunker")
            rest = (trials.get(frozenset(others)) or run(others)) if others else None
        runs = Runs(
            trials=trials,
            window=None if windows is None else reruns.run(unit, ("embedder",), window=True),
            windows=windows,
            rest=rest,
            whole=self._whole_at(unit),
        )
        verdict = decide(unit, observed, runs, embedder=self._index.pipeline.embedder is not None)
        return replace(verdict, shapley=shapley_values(stages, trials)) if every else verdict

    def _repairable(self, unit: LostUnit) -> list[str]:
        """The stages for which there is something to make ideal, in the order of the flow."""
        plugs = self._index.pipeline.plugs
        has = {
            "chunker": bool(unit.added),
            "embedder": "embedder" in plugs and bool(unit.carriers(chunker=bool(unit.added))),
        }
        return [stage for stage in plugs if has.get(stage, True)]

    def _whole_at(self, unit: LostUnit) -> bool:
        """Whether the stage that lost the unit had all of it before it."""
        stages = self._diagnosis.ledger.stages
        before = stages.index(unit.label)
        return bool(self._diagnosis.ledger.hard[unit.unit, before])


_SPENT = "the extra calls that were allowed are spent"


def _edit(unit: LostUnit, vectors: Mapping[int, Vectors | Void | None]) -> Edit | Void:
    """The edit that gives chunks these vectors; void where one of them could not be embedded."""
    failed = next((vector for vector in vectors.values() if isinstance(vector, Void)), None)
    if failed is not None:
        return failed
    good = {number: vector for number, vector in vectors.items() if not isinstance(vector, Void)}
    return Edit({number: unit.chunk(number) for number in good}, good)
