"""Verdicts proven by re-execution: from lost units to what their re-runs say.

1. Every query with a lost unit is asked again, unrepaired (`reproduction`).
2. What the repairs need is embedded in one call and put into one index (`repairs`, `windows`, `shelves`).
3. Each unit is run again with its stages made ideal (`reruns`), and the rules make a verdict (`findings`).
4. Checks look for what exactly is wrong at the stage to blame (`checks`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median

from ragdiag.diagnosis.attempts import Allowance, Void, calling
from ragdiag.diagnosis.checks.examine import examine
from ragdiag.diagnosis.edits import make_edits
from ragdiag.diagnosis.evidence import EvidenceMap, QueryEvidence
from ragdiag.diagnosis.findings import Runs, decide, shapley_values, try_repairs
from ragdiag.diagnosis.repairs import LostUnit
from ragdiag.diagnosis.reproduction import Reproducer, carriers_to_embed
from ragdiag.diagnosis.reruns import Pairs, Reruns
from ragdiag.diagnosis.result import Diagnosis
from ragdiag.diagnosis.shelves import Shelf
from ragdiag.diagnosis.units import find_lost_units
from ragdiag.diagnosis.verdicts import Proof, Trial, Verdict
from ragdiag.diagnosis.windows import Windows, find_windows
from ragdiag.index import Index
from ragdiag.progress import track

__all__ = ["verify"]


def verify(
    diagnosis: Diagnosis,
    index: Index,
    evidence_map: EvidenceMap,
    evidence: Sequence[QueryEvidence],
    *,
    shapley: bool = False,
    causes: bool = True,
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
        causes: whether named causes are looked for.
        max_extra_calls: how many texts may be embedded and pairs scored together; None for any number.
        progress: whether long work shows a bar; None shows it on a terminal only.
    """
    return _Verification(diagnosis, index, evidence_map, evidence, max_extra_calls).run(
        shapley=shapley, causes=causes, progress=progress
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
        self._allowance = Allowance(limit)
        self._pairs = Pairs(self._allowance)
        self._verdicts = list(diagnosis.verdicts)
        self._given_up: set[int] = set()  # units for which the allowance did not reach

    def run(self, *, shapley: bool, causes: bool, progress: bool | None) -> Diagnosis:
        units = find_lost_units(self._diagnosis, self._index, self._map, self._evidence)
        self._prove(self._affordable(units), every=shapley, progress=progress)
        proven = replace(self._diagnosis, verdicts=tuple(self._verdicts))
        if causes:
            proven = examine(
                proven, self._index, self._map, units, pairs=self._pairs, allowance=self._allowance
            )
        unproven = sum(
            verdict is not None and verdict.proof == "observed" and self._ran_out(unit, verdict)
            for unit, verdict in enumerate(self._verdicts)
        )
        return replace(proven, effort=self._allowance.effort(unproven=unproven))

    def _prove(self, units: Sequence[LostUnit], *, every: bool, progress: bool | None) -> None:
        """Texts are embedded at once, pairs scored unit by unit: a limit is spent on the first ones."""
        if not units:
            return
        try:
            plain = Shelf.plain(self._index, self._allowance)
        except Void as void:
            for unit in units:
                self._give_up(unit, void)
            return
        reproducer = self._reproducer(units, plain)
        windows = self._windows(units)
        reruns = self._reruns(units, windows, plain, reproducer)
        for unit in track(units, "re-running", progress=progress):
            if self._repeats_itself(unit, reproducer):
                self._verdicts[unit.unit] = self._judge(unit, reruns, windows.get(unit.unit), every=every)

    def _ran_out(self, unit: int, verdict: Verdict) -> bool:
        return unit in self._given_up or any(trial.void_by == "spent" for trial in verdict.trials)

    # The allowance

    def _affordable(self, units: Sequence[LostUnit]) -> list[LostUnit]:
        """The first units that the allowance suffices to ask again and to embed; others stay observed."""
        left = self._allowance.left
        trace, plugs = self._diagnosis.trace, self._index.pipeline.plugs
        known = {chunk.index_text for chunk in trace.chunks}
        chosen, queries = [], set[str]()
        read, asked = set[str](), set[str]()  # texts that will be embedded, as documents and as queries
        for unit in units:
            calls = 0
            texts = {chunk.index_text for chunk in unit.added} - known
            if unit.query.id not in queries:
                carriers = carriers_to_embed(self._evidence_of(unit))
                texts |= {trace.chunks[position].index_text for position in carriers}
                if "reranker" in plugs:
                    hits = trace.positions(trace[unit.query.id].retrieved)
                    calls += len({trace.chunks[position].text for position in hits})
            if "embedder" in plugs:
                calls += len(texts - read) + (unit.query.text not in asked)
            if calls > left:
                self._give_up(unit, Void("spent", "the extra calls that were allowed do not suffice"))
                continue
            left -= calls
            read |= texts
            asked.add(unit.query.text)
            queries.add(unit.query.id)
            chosen.append(unit)
        return chosen

    def _evidence_of(self, unit: LostUnit) -> QueryEvidence:
        return self._evidence[int(self._diagnosis.ledger.owner[unit.unit])]

    def _give_up(self, unit: LostUnit, void: Void) -> None:
        if void.by == "spent":
            self._given_up.add(unit.unit)
        self._conclude(unit, "observed", f"It could not be proven: {void.reason}.")

    def _conclude(self, unit: LostUnit, proof: Proof, reason: str) -> None:
        self._verdicts[unit.unit] = replace(unit.observed, proof=proof, reason=reason)

    # The unrepaired re-run

    def _reproducer(self, units: Sequence[LostUnit], plain: Shelf) -> Reproducer:
        reproducer = Reproducer(
            self._index,
            self._diagnosis.trace,
            plain=plain,
            pairs=self._pairs,
            allowance=self._allowance,
        )
        by_query = {unit.query.id: unit for unit in units}
        reproducer.prepare(
            [unit.query for unit in by_query.values()],
            {query_id: self._evidence_of(unit) for query_id, unit in by_query.items()},
        )
        return reproducer

    def _repeats_itself(self, unit: LostUnit, reproducer: Reproducer) -> bool:
        """Whether the unit is lost again in the same way; if not, its verdict says so."""
        try:
            outcome = reproducer.reproduce(unit.query)
        except Void as void:
            self._give_up(unit, void)
            return False
        evidence = self._map.of(unit.query, outcome.context)
        if outcome.differs:
            reason = f"The same question did not get the same answer again: {outcome.differs}."
        elif evidence.coverage(evidence.context)[unit.number] >= unit.min_coverage:
            reason = "Asked again, without any repair, the pipeline delivered the evidence."
        else:
            return True
        self._conclude(unit, "unreproducible", reason)
        return False

    # What the repairs need

    def _windows(self, units: Sequence[LostUnit]) -> dict[int, Windows | Void]:
        embedder = self._index.pipeline.embedder
        if embedder is None:
            return {}
        usual = int(median(len(chunk.index_text) for chunk in self._index.chunks))
        found: dict[int, Windows | Void] = {}
        for unit in units:
            try:
                with calling("embedder"):  # it counts tokens
                    windows = find_windows(
                        self._map, self._index.documents_by_id, embedder, unit, usual=usual
                    )
            except Void as void:
                found[unit.unit] = void
            else:
                if windows is not None:
                    found[unit.unit] = windows
        return found

    def _reruns(
        self,
        units: Sequence[LostUnit],
        windows: Mapping[int, Windows | Void],
        plain: Shelf,
        reproducer: Reproducer,
    ) -> Reruns:
        found = {row: of_unit for row, of_unit in windows.items() if isinstance(of_unit, Windows)}
        edits = make_edits(
            self._diagnosis.trace, self._index.pipeline.embedder, units, found, self._allowance
        )
        reruns = Reruns(
            self._index,
            self._diagnosis.trace,
            self._map,
            pairs=self._pairs,
            plain=plain,
            retrieved=reproducer.retrieved,
            allowance=self._allowance,
        )
        reruns.prepare(units, edits)
        return reruns

    # Re-runs and verdict

    def _judge(
        self, unit: LostUnit, reruns: Reruns, windows: Windows | Void | None, *, every: bool
    ) -> Verdict:
        stages = self._repairable(unit)

        def run(ideal: tuple[str, ...]) -> Trial:
            return reruns.run(unit, ideal)

        trials = try_repairs(stages, run, every=every, together=unit.label != "ingest")
        rest = None
        if unit.label in ("ingest", "capacity"):
            others = tuple(stage for stage in stages if stage != "chunker")
            rest = (trials.get(frozenset(others)) or run(others)) if others else None
        runs = Runs(
            trials=trials,
            window=self._in_windows(unit, reruns, windows),
            windows=windows if isinstance(windows, Windows) else None,
            rest=rest,
            whole=self._whole_at(unit),
        )
        verdict = decide(unit, runs, embedder=self._index.pipeline.embedder is not None)
        return replace(verdict, shapley=shapley_values(stages, trials)) if every else verdict

    def _in_windows(self, unit: LostUnit, reruns: Reruns, windows: Windows | Void | None) -> Trial | None:
        if isinstance(windows, Void):
            return Trial(("embedder",), "void", None, windows.reason, "window", windows.by)
        return None if windows is None else reruns.run(unit, ("embedder",), window=True)

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
