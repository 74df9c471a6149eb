"""A diagnosis held against a baseline: what got worse, at which stage, and which units flipped.

What a release gate asks is not "is there a difference?" but "may it be worse by more than is allowed?". So
passing must be shown (non-inferiority: the bound of the drop stays within ``min_effect``), failing must be
shown, too (the drop surely exceeds ``min_effect``), and what lies between is neither. Where a test for a
difference would pass everything that too few questions cannot tell apart, this one says so.

One thing passes without being shown: where not one query got worse. The bound of a drop is never 0, so that
a release that changed nothing could otherwise not pass under a small ``min_effect``, and a gate that stops
every release stops none. It is no proof: fifty questions do not see a drop that hits one question in fifty in
one case out of three.

Bounds are those of a mean of shares, for the differences as shares of what lies between all worse (0) and all
better (1). They keep their level where few queries differ, which is what releases look like: in simulation a
drop of exactly ``min_effect`` is passed in 1 to 3% of the cases, where bounds from the paired bootstrap,
narrower by a tenth, pass up to 11%.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ragdiag.diagnosis.compare import CHANGES, DELIVERED
from ragdiag.diagnosis.ledger import LOSS_STAGES
from ragdiag.diagnosis.result import Diagnosis
from ragdiag.experiments.gate.baseline import Baseline, fates_of
from ragdiag.experiments.gate.judging import GateVerdict, Judgement
from ragdiag.experiments.gate.quantities import Loss, Measure
from ragdiag.measures.bounds import Bounds, bounds, questions_needed
from ragdiag.measures.paired import FEWEST_QUERIES
from ragdiag.measures.statistics import Clusters

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FLIP_COLUMNS", "STAGE_COLUMNS", "Regression"]

_ROUNDING = 1e-9  # values that differ by less are the same value, computed in two ways
_Values = NDArray[np.float64]

STAGE_COLUMNS = ("loss_before", "loss_now", "difference", "low", "high", "worse")
FLIP_COLUMNS = ("query_id", "unit", "change", "before", "now", "query")


@dataclass(frozen=True)
class Regression:
    """What became of the queries of a baseline.

    Attributes:
        baseline: what is held against.
        diagnosis: of some or all of its queries, over the same corpus.
        confidence: of each bound.
        min_effect: by how much a mean may be worse.
    """

    baseline: Baseline
    diagnosis: Diagnosis
    confidence: float
    min_effect: float

    def judge(self, quantity: Measure | Loss) -> Judgement:
        """Whether a quantity is no worse than it was, up to ``min_effect``."""
        before, now = self._both(quantity)
        difference = self._difference(before, now)
        if quantity.better == "more":
            sign, low, high = 1, difference.low, difference.high
        else:
            sign, low, high = -1, -difference.high, -difference.low
        gains, allowed = sign * (now - before), -self.min_effect
        kept = low >= allowed if self.min_effect else low > 0
        needed: int | None = None
        verdict: GateVerdict
        if kept or gains.min() > -_ROUNDING:
            verdict = "pass"
        elif high < allowed:
            verdict = "fail"
        else:
            verdict = "cannot tell"
            needed = questions_needed(
                _shares(gains), (allowed + 1) / 2, clusters=self._clusters, confidence=self.confidence
            )
        if difference.n < FEWEST_QUERIES:
            verdict, needed = "cannot tell", max(needed or 0, FEWEST_QUERIES)
        return Judgement(
            check=_check(quantity, self.min_effect),
            against="baseline",
            quantity=quantity.name,
            unit=quantity.unit,
            verdict=verdict,
            value=difference.value,
            low=difference.low,
            high=difference.high,
            limit=sign * allowed + 0.0,
            n=difference.n,
            needed=needed,
            before=float(before.mean()),
            now=float(now.mean()),
            method=difference.method,
        )

    @cached_property
    def stages(self) -> pd.DataFrame:
        """What each stage lost of recall then and now, indexed by ``stage``; see `GateResult.stages`."""
        import pandas as pd

        there = (self.baseline.stages, self.diagnosis.ledger.stages)
        rows = {}
        for stage in LOSS_STAGES:
            if stage not in (*there[0], *there[1]):
                continue
            before, now = self._losses(stage)
            loss = self._difference(before, now)
            rows[stage] = (
                before.mean() if stage in there[0] else np.nan,
                now.mean() if stage in there[1] else np.nan,
                loss.value,
                loss.low,
                loss.high,
                loss.low > 0 and loss.n >= FEWEST_QUERIES,
            )
        table = pd.DataFrame.from_dict(rows, orient="index", columns=list(STAGE_COLUMNS))
        return table.rename_axis("stage")

    @cached_property
    def flips(self) -> pd.DataFrame:
        """The units with another fate than then; see `GateResult.flips`."""
        import pandas as pd

        before, now = self.baseline.fates(self._ids), fates_of(self.diagnosis)
        texts = {query.id: query.text for query in self.diagnosis.assessed}
        rows = []
        for unit, was in before.items():
            if (fate := now[unit]) != was:
                change = "lost" if was == DELIVERED else "regained" if fate == DELIVERED else "moved"
                rows.append((*unit, change, was, fate, texts[unit[0]]))
        rows.sort(key=lambda row: CHANGES.index(row[2]))  # stable: within each by query and unit
        return pd.DataFrame(rows, columns=list(FLIP_COLUMNS)).astype({"unit": "int64"})

    # Queries in the order of their ids, whatever that of the file

    @cached_property
    def _ids(self) -> Sequence[str]:
        return sorted(query.id for query in self.diagnosis.assessed)

    @cached_property
    def _order(self) -> NDArray[np.intp]:
        ids = [query.id for query in self.diagnosis.assessed]
        return np.array(sorted(range(len(ids)), key=ids.__getitem__), dtype=np.intp)

    @cached_property
    def _clusters(self) -> Clusters:
        return Clusters.of([self.diagnosis.assessed[i].doc_ids for i in self._order])

    def _both(self, quantity: Measure | Loss) -> tuple[_Values, _Values]:
        if isinstance(quantity, Loss):
            return self._losses(quantity.stage)
        return self.baseline.values(quantity.name, self._ids), quantity.by_query(self.diagnosis)[self._order]

    def _losses(self, stage: str) -> tuple[_Values, _Values]:
        """What each query lost at a stage; a pipeline without the stage lost nothing there."""
        before = self.baseline.losses(stage, self._ids)
        now = np.zeros_like(before)
        if stage in self.diagnosis.ledger.stages:
            now = Loss(stage).by_query(self.diagnosis)[self._order]
        return np.clip(before, 0, 1), now

    def _difference(self, before: _Values, now: _Values) -> Bounds:
        found = bounds(_shares(now - before), clusters=self._clusters, confidence=self.confidence)
        value, low, high = (2 * share - 1 for share in (found.value, found.low, found.high))
        return replace(found, value=value, low=low, high=high)


def _shares(differences: _Values) -> _Values:
    """Differences as shares of what lies between all worse (0) and all better (1)."""
    return np.clip((differences + 1) / 2, 0, 1)


def _check(quantity: Measure | Loss, min_effect: float) -> str:
    if not min_effect:
        return f"{quantity.name} no worse than the baseline"
    direction = "below" if quantity.better == "more" else "above"
    return f"{quantity.name} at most {min_effect:g} {direction} the baseline"
