"""One bar, judged: pass, fail, or cannot tell with so many questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ragdiag.diagnosis.result import Diagnosis
from ragdiag.experiments.gate.bars import Bar
from ragdiag.measures.paired import FEWEST_QUERIES

__all__ = ["Against", "GateVerdict", "Judgement", "judge", "whole"]

GateVerdict: TypeAlias = Literal["pass", "fail", "cannot tell"]
Against: TypeAlias = Literal["bar", "baseline"]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was asked of one quantity, and the answer.

    Attributes:
        check: what was asked, such as ``"Recall@5 >= 0.85"``.
        against: whether its value was judged, by a ``bar``, or its difference from the ``baseline``.
        quantity: the name of what was judged.
        unit: what it is counted in: ``share``, ``tokens`` or ``ms``.
        verdict: ``pass``, ``fail`` or ``cannot tell``.
        value: of these queries; against a baseline, by how much it differs from it.
        low: what the value of all such queries surely exceeds, one-sided; NaN where nothing can be said.
        high: what it surely stays under, the same way.
        limit: what it must keep.
        n: the number of queries.
        needed: how many queries would tell, where these cannot; None where they can, or no number would.
        before: the value in the baseline; None against a bar.
        now: the value, whichever it is judged against.
        method: how the bounds were made, and what is wrong with them where something is.
    """

    check: str
    against: Against
    quantity: str
    unit: str
    verdict: GateVerdict
    value: float
    low: float
    high: float
    limit: float
    n: int
    needed: int | None
    before: float | None
    now: float
    method: str


def judge(bar: Bar, diagnosis: Diagnosis, *, confidence: float) -> Judgement:
    """Whether the bar is kept by all queries like these: by the bound that speaks against it."""
    quantity, limit = bar.quantity, bar.limit
    reading = quantity.read(diagnosis, confidence=confidence)
    if quantity.better == "more":
        kept, missed = reading.low >= limit, reading.high < limit
    else:
        kept, missed = reading.high <= limit, reading.low > limit
    needed: int | None = None
    if not (kept or missed):
        needed = quantity.needed(diagnosis, limit, confidence=confidence)
    verdict: GateVerdict = "pass" if kept else "fail" if missed else "cannot tell"
    if reading.n < FEWEST_QUERIES:
        verdict, needed = "cannot tell", max(needed or 0, FEWEST_QUERIES)
    return Judgement(
        check=repr(bar),
        against="bar",
        quantity=quantity.name,
        unit=quantity.unit,
        verdict=verdict,
        value=reading.value,
        low=reading.low,
        high=reading.high,
        limit=limit,
        n=reading.n,
        needed=needed,
        before=None,
        now=reading.value,
        method=reading.method,
    )


def whole(verdicts: Sequence[GateVerdict]) -> GateVerdict:
    """Fail where any fails, else cannot tell where any cannot, else pass."""
    if "fail" in verdicts:
        return "fail"
    return "cannot tell" if "cannot tell" in verdicts else "pass"
