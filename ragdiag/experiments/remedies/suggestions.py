"""Which remedies a diagnosis suggests: those that answer what was found at its lost units."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ragdiag.diagnosis.cause_tables import lost_units, name_cause
from ragdiag.diagnosis.result import Diagnosis
from ragdiag.diagnosis.verdicts import Verdict
from ragdiag.experiments.remedies.remedy import Remedy

__all__ = ["COARSE", "Suggestion", "masked_together", "suggest", "units_by_code"]

# What a stage is charged with where it is one of several to blame: what checks find at one of them does not
# say what mends it beside the others.
_OF_STAGE = {
    "chunker": "chunker.split",
    "embedder": "embedder.ranked_low",
    "retriever": "retriever.missed",
    "reranker": "reranker.not_promoted",
    "packer": "packer.dropped",
}

COARSE = frozenset({"embedder.ranked_low", "retriever.missed", "packer.dropped"})
"""What losses are called where no check says more: it suggests all that might help."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A remedy, and why it is worth a try.

    Attributes:
        remedy: which one.
        codes: those of its codes that were found, in its own order; none where it was merely asked for.
        units: the lost units at which they were, as rows of the ledger.
    """

    remedy: Remedy
    codes: tuple[str, ...]
    units: frozenset[int]


def suggest(diagnosis: Diagnosis, remedies: Iterable[Remedy]) -> list[Suggestion]:
    """Each of the remedies with what it answers, which may be nothing, in the order given."""
    units_of = units_by_code(diagnosis)
    suggestions = []
    for remedy in remedies:
        codes = tuple(code for code in remedy.answers if code in units_of)
        units = frozenset(unit for code in codes for unit in units_of[code])
        suggestions.append(Suggestion(remedy, codes, units))
    return suggestions


def units_by_code(diagnosis: Diagnosis) -> Mapping[str, frozenset[int]]:
    """The lost units, as rows of the ledger, by the code of each cause that was found at them."""
    units: dict[str, set[int]] = {}
    for unit, verdict in lost_units(diagnosis):
        for code in _codes(verdict):
            units.setdefault(code, set()).add(unit)
    return {code: frozenset(of_code) for code, of_code in units.items()}


def masked_together(diagnosis: Diagnosis) -> Mapping[tuple[str, ...], frozenset[int]]:
    """The lost units of which no single stage is to blame, by the stages that must be mended together."""
    units: dict[tuple[str, ...], set[int]] = {}
    for unit, verdict in lost_units(diagnosis):
        if verdict.proof == "joint":
            units.setdefault(verdict.blamed, set()).add(unit)
    return {stages: frozenset(of_stages) for stages, of_stages in units.items()}


def _codes(verdict: Verdict) -> Sequence[str]:
    codes = [finding.code for finding in verdict.findings]
    if verdict.proof != "joint":
        return [name_cause(verdict.stage, verdict.cause).code, *codes]
    return [*codes, *(_OF_STAGE[stage] for stage in verdict.blamed)]
