"""Faults of making the context."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ragdiag.errors import ConfigError
from ragdiag.experiments.faults.around import AroundPacker
from ragdiag.experiments.faults.fault import Aim, Case, Fault
from ragdiag.experiments.parts import change_parts, has_field
from ragdiag.records import Chunk
from ragdiag.stages.packers.duplicates import NearDuplicateFilter
from ragdiag.stages.packers.token_budget import TokenBudget
from ragdiag.stages.protocols import Packer, budget_of

__all__ = ["FAULTS"]


@dataclass(frozen=True)
class _Budget(AroundPacker):
    """Keeps what fits into a smaller budget than the inner packer's, and declares it."""

    most: int

    @property
    def budget(self) -> int:
        return self.most

    def pack(self, query: str, chunks: Sequence[Chunk]) -> list[Chunk]:
        kept: list[Chunk] = []
        room = self.most
        for chunk in self.packed(query, chunks):
            if (tokens := self.tokens(chunk)) <= room:
                kept.append(chunk)
                room -= tokens
        return kept


def _with_budget(packer: Packer, budget: int) -> Packer:
    """The packer with another budget: by the option that decides it, else by what is put around it."""

    def change(part: object) -> object:
        given = budget_of(part) if has_field(part, "budget") or has_field(part, "max_tokens") else None  # type: ignore[arg-type]
        if given is None:
            return part
        if has_field(part, "budget"):
            return replace(part, budget=budget)  # type: ignore[type-var]
        return replace(part, max_tokens=part.max_tokens - given + budget)  # type: ignore[type-var,attr-defined]

    changed = change_parts("packer", packer, change)
    return changed if budget_of(changed) == budget else _Budget(packer, budget)


def _declared(case: Case) -> tuple[Packer, int]:
    """The packer, and the budget that it declares."""
    packer = case.pipeline.packer
    budget = budget_of(packer)
    if packer is None or budget is None:
        raise ConfigError(f"the fault needs a packer that declares a budget, got {packer!r}")
    return packer, budget


def _small_budget(case: Case, aim: Aim) -> Case:
    packer, budget = _declared(case)
    return case.using(packer=_with_budget(packer, max(1, round(budget * aim.severity))))


@dataclass(frozen=True)
class _Miscount(AroundPacker):
    """Declares the inner packer's budget, and packs as if chunks took more of it than they do."""

    counting: Packer

    def pack(self, query: str, chunks: Sequence[Chunk]) -> Sequence[Chunk]:
        return self.counting.pack(query, chunks)


def _miscount(case: Case, aim: Aim) -> Case:
    packer, budget = _declared(case)
    if aim.severity < 1:
        raise ConfigError(f"miscount: {MISCOUNT_PARAMETER} must be >= 1, got {aim.severity!r}")
    return case.using(packer=_Miscount(packer, _with_budget(packer, max(1, round(budget / aim.severity)))))


@dataclass(frozen=True)
class _Deduplicated(AroundPacker):
    """Takes chunks for repeats that share much of their vocabulary with a better one."""

    repeats: Packer

    def pack(self, query: str, chunks: Sequence[Chunk]) -> Sequence[Chunk]:
        return self.packed(query, self.repeats.pack(query, chunks))


def _deduplication(case: Case, aim: Aim) -> Case:
    repeats = NearDuplicateFilter(aim.severity, shingle=1, keep_numbers=False)
    return case.using(packer=_Deduplicated(case.pipeline.packer, repeats))


@dataclass(frozen=True)
class _ChunksCut(AroundPacker):
    """Keeps the beginning of each chunk."""

    share: float

    def pack(self, query: str, chunks: Sequence[Chunk]) -> list[Chunk]:
        return [part for chunk in self.packed(query, chunks) for part in self._beginning(query, chunk)]

    def _beginning(self, query: str, chunk: Chunk) -> list[Chunk]:
        characters = round(len(chunk.text) * self.share)
        return (
            TokenBudget(characters, separator="", overflow="truncate").pack(query, [chunk])
            if characters
            else []
        )


def _chunks_cut(case: Case, aim: Aim) -> Case:
    return case.using(packer=_ChunksCut(case.pipeline.packer, min(1.0, aim.severity)))


@dataclass(frozen=True)
class _FirstDropped(AroundPacker):
    """Leaves out the best chunks."""

    dropped: int

    def pack(self, query: str, chunks: Sequence[Chunk]) -> Sequence[Chunk]:
        return self.packed(query, chunks[self.dropped :])


def _first_dropped(case: Case, aim: Aim) -> Case:
    return case.using(packer=_FirstDropped(case.pipeline.packer, round(aim.severity)))


MISCOUNT_PARAMETER = "times as many tokens as there are"

FAULTS = (
    Fault(
        "small_budget",
        stage="capacity",
        cause="budget",
        what="the budget is too small for the context that is needed",
        reach="whole",
        parameter="share of the budget",
        severity=0.2,
        needs=("packer",),
        wrap=_small_budget,
    ),
    Fault(
        "miscount",
        stage="packer",
        cause="miscount",
        what="the packer counts more tokens than there are",
        reach="whole",
        parameter=MISCOUNT_PARAMETER,
        severity=5,
        needs=("packer",),
        wrap=_miscount,
    ),
    Fault(
        "deduplication",
        stage="packer",
        cause="deduplicated",
        what="chunks that share much of their vocabulary with a better one are taken for repeats",
        reach="whole",
        parameter="share of the words from which a chunk is a repeat",
        severity=0.25,
        wrap=_deduplication,
    ),
    Fault(
        "chunks_cut",
        stage="packer",
        cause="cut",
        what="only the beginning of each chunk is kept",
        reach="whole",
        parameter="share of each chunk that is kept",
        severity=0.8,
        wrap=_chunks_cut,
    ),
    Fault(
        "first_dropped",
        stage="packer",
        cause="dropped",
        what="the best chunk is left out",
        reach="whole",
        parameter="chunks left out",
        severity=1,
        wrap=_first_dropped,
    ),
)
