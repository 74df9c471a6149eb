"""What the packer was given and kept at all queries of a run, and the rules that this may follow.

A packer may cut off after a number of chunks, stop at the first chunk that does not fit, or keep to a limit
in some unit, whether it declares one or not. A rule is seen only where all queries of the run agree with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeAlias, cast

from ragdiag.diagnosis.attempts import calling
from ragdiag.diagnosis.checks.bench import Bench, Loss
from ragdiag.diagnosis.checks.check import NotApplicable
from ragdiag.diagnosis.checks.probes import complete
from ragdiag.diagnosis.verdicts import Sureness
from ragdiag.records import Chunk
from ragdiag.stages.protocols import Packer, budget_of

__all__ = [
    "Limit",
    "Packing",
    "Record",
    "embedder_tokens",
    "find_limit",
    "fits_some_context",
    "is_late",
    "left_out",
    "needed_of",
    "needed_without_budget",
    "packing_of",
]

_Count: TypeAlias = Callable[[Sequence[Chunk]], Sequence[int]]

# Fewer chunks that were left out fit any limit.
_TO_TELL = 3
# Separators, and how counters treat them, shift a limit by a few tokens a chunk; a chunk has many more.
_SLACK = 1.1


@dataclass(frozen=True, eq=False)
class Record:
    """One query's chunks by position: those given, best first, and those kept, as the context has them."""

    query_id: str
    given: tuple[int, ...]
    kept: Mapping[int, Chunk] = field(repr=False)

    @property
    def left_out(self) -> list[int]:
        """The chunks that were given and not kept, best first."""
        return [position for position in self.given if position not in self.kept]


def is_late(record: Record, positions: Sequence[int]) -> bool:
    """Whether chunks that were given come after all that were kept."""
    last = max((record.given.index(position) for position in record.kept), default=-1)
    return all(record.given.index(position) > last for position in positions)


@dataclass(frozen=True, eq=False)
class Packing:
    """What a packer did at all queries.

    Attributes:
        records: one a query.
        budget: the tokens that it declares; None for none.
        tokens: of each chunk of the run, by the packer's own count; empty without a budget.
        taken: by query, what its context takes of the budget; empty without one.
    """

    records: tuple[Record, ...]
    budget: int | None
    tokens: Sequence[int] = field(repr=False)
    taken: Mapping[str, int] = field(repr=False)

    def of(self, loss: Loss) -> Record:
        """The record of a loss's query."""
        return self._by_query[loss.query.id]

    @cached_property
    def _by_query(self) -> Mapping[str, Record]:
        return {record.query_id: record for record in self.records}

    def room(self, record: Record) -> int:
        """What a context leaves of the budget; below 0 where it takes more."""
        return (self.budget or 0) - self.taken[record.query_id]

    def needs(self, positions: Sequence[int]) -> int:
        """What chunks take of the budget."""
        return sum(self.tokens[position] for position in positions)

    @property
    def never_skips(self) -> bool:
        """Whether nothing is kept that comes after a chunk that was left out."""
        return all(is_late(record, record.left_out) for record in self.records)

    @property
    def cut_after(self) -> int | None:
        """The number of first chunks that are kept at every query that has more; None where it varies."""
        counts = {len(record.kept) for record in self.records if record.left_out}
        most = max(len(record.kept) for record in self.records)
        return most if counts == {most} and self.never_skips else None

    def stopped_by(self, record: Record) -> int | None:
        """The first chunk left out, where it did not fit and the packer never goes on after such a one."""
        first = next(iter(record.left_out), None)
        if first is None or not self.never_skips or self.needs([first]) <= self.room(record):
            return None
        return first


def packing_of(bench: Bench) -> Packing:
    """What the pipeline's packer did in the run.

    Raises:
        NotApplicable: the pipeline has no packer.
        Void: the packer raised when it was asked for tokens.
    """
    return bench.once("packing", lambda: _read_packing(bench))


def _read_packing(bench: Bench) -> Packing:
    trace, packer = bench.trace, bench.index.pipeline.packer
    if packer is None:
        raise NotApplicable("the pipeline has no packer")
    records = tuple(
        Record(
            record.query_id,
            tuple(trace.positions(record.ranking[: trace.top_k])),
            {trace.position[chunk.id]: chunk for chunk in record.context},
        )
        for record in trace.queries
    )
    if trace.budget is None:
        return Packing(records, None, (), {})
    tokens = trace.chunk_tokens or ()
    taken = {
        record.query_id: sum(
            tokens[position] if chunk.spans == bench.chunk(position).spans else _tokens(packer, chunk)
            for position, chunk in record.kept.items()
        )
        for record in records
    }
    return Packing(records, trace.budget, tokens, taken)


def left_out(bench: Bench, loss: Loss) -> list[int]:
    """The chunks of a lost unit that the packer was given and left out whole.

    Raises:
        NotApplicable: the packer was not given the evidence.
    """
    record = packing_of(bench).of(loss)
    best = needed_of(loss, record.given)
    needed = best if complete(loss, best) else [p for p in record.given if p in loss.chunks]
    if not needed:
        raise NotApplicable("the packer was not given the evidence")
    return [position for position in needed if position not in record.kept]


def needed_of(loss: Loss, pool: Sequence[int]) -> tuple[int, ...]:
    """The chunks of ``pool`` that best deliver a unit within k and the budget, and none for other units."""
    return loss.unit.best_of([position for position in pool if position in loss.unit.carried])


def needed_without_budget(loss: Loss) -> tuple[int, ...]:
    """The chunks of the run that best deliver a unit within k, whatever tokens they take."""
    unit = replace(loss.unit, budget=None)
    return unit.best_of(unit.carriers(chunker=False))


# A limit that is not declared, or not kept to as declared


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit that tells what a packer keeps from what it leaves out, at all queries.

    Attributes:
        unit: what is counted.
        most: the most that any context takes.
        least: the least that one would have taken with a chunk that was left out.
        drops: how many chunks were left out.
    """

    unit: str
    most: int
    least: int
    drops: int

    @property
    def sureness(self) -> Sureness:
        """Whether the limit tells all of them apart, or all but nearly."""
        return "measured" if self.most < self.least else "suspected"

    def __str__(self) -> str:
        return (
            f"At no query does it keep more than {self.most:,} {self.unit}, and with any of the "
            f"{self.drops:,} chunks that it left out these would have been {self.least:,} or more"
        )


def find_limit(bench: Bench) -> Limit | None:
    """The limit that the packer seems to keep to, in the unit that tells best; None in no unit.

    That is the one in which the declared budget would be such a limit, else that with the widest gap.

    Raises:
        Void: a plug raised when it was asked for tokens.
    """
    return bench.once("limit of the packer", lambda: _find_limit(bench))


def fits_some_context(bench: Bench, positions: Sequence[int]) -> bool:
    """Whether chunks take no more, in any unit, than some context of several chunks does.

    Raises:
        Void: a plug raised when it was asked for tokens.
    """
    chunks = [bench.chunk(position) for position in positions]
    largest = bench.once("largest contexts", lambda: _largest_contexts(bench))
    return all(sum(count(chunks)) <= largest[unit] for unit, count in _counters(bench))


def _largest_contexts(bench: Bench) -> Mapping[str, int]:
    contexts = [list(r.kept.values()) for r in packing_of(bench).records if len(r.kept) > 1]
    return {unit: max((sum(count(c)) for c in contexts), default=0) for unit, count in _counters(bench)}


def _find_limit(bench: Bench) -> Limit | None:
    limits = (_limit_in(bench, unit, count) for unit, count in _counters(bench))
    told = [limit for limit in limits if limit is not None and limit.most <= _SLACK * limit.least]
    declared = bench.trace.budget

    def tells(limit: Limit) -> tuple[bool, float]:
        is_declared = declared is not None and limit.most <= declared < limit.least
        return is_declared, limit.least / max(limit.most, 1)

    return max(told, key=tells, default=None)


def _counters(bench: Bench) -> Iterator[tuple[str, _Count]]:
    packer, embedder = bench.index.pipeline.packer, bench.index.pipeline.embedder
    if budget_of(packer) is not None:
        yield "tokens by its own count", lambda chunks: [_tokens(packer, chunk) for chunk in chunks]
    yield "words", lambda chunks: [len(chunk.text.split()) for chunk in chunks]
    yield "characters", lambda chunks: [len(chunk.text) for chunk in chunks]
    if hasattr(embedder, "count_tokens"):
        yield "tokens by the embedder's count", lambda chunks: embedder_tokens(bench, chunks)


def _limit_in(bench: Bench, unit: str, count: _Count) -> Limit | None:
    """What is kept at most and left out at least, in one unit; None where little was left out.

    A packer that goes on after a chunk that does not fit would have had to keep every one that does; one that
    stops there, only the first.
    """
    packing = packing_of(bench)
    kept: list[int] = []
    too_many: list[int] = []
    for record in packing.records:
        chunks = [record.kept.get(position) or bench.chunk(position) for position in record.given]
        room_for = record.left_out[:1] if packing.never_skips else record.left_out
        taken = 0
        for position, size in zip(record.given, count(chunks), strict=True):
            if position in record.kept:
                taken += size
            elif position in room_for:
                too_many.append(taken + size)
        kept.append(taken)
    if len(too_many) < _TO_TELL:
        return None
    return Limit(unit, max(kept), min(too_many), len(too_many))


def _tokens(packer: Packer | None, chunk: Chunk) -> int:
    with calling("packer"):
        return int(cast("Callable[[Chunk], int]", packer.tokens)(chunk))  # type: ignore[union-attr]


def embedder_tokens(bench: Bench, chunks: Sequence[Chunk]) -> list[int]:
    """The tokens of each chunk's text, as the embedder counts them.

    Raises:
        Void: the embedder raised.
    """
    embedder = bench.index.pipeline.embedder
    with calling("embedder"):
        return [int(n) for n in embedder.count_tokens([chunk.text for chunk in chunks])]  # type: ignore[union-attr]
