"""What does the packer do with the top k? Checks of the context and its budget.

All look at chunks that the packer left out whole; what it shortened stays the ledger's ``cut``. Beside them
the flag for delivered evidence in the middle of a context.
"""

from __future__ import annotations

from collections.abc import Sequence

from ragdiag.diagnosis.checks.bench import Bench, Loss
from ragdiag.diagnosis.checks.check import Check, Delivered, Flag, NotApplicable
from ragdiag.diagnosis.checks.packing import (
    Packing,
    embedder_tokens,
    find_limit,
    is_late,
    left_out,
    needed_of,
    needed_without_budget,
    packing_of,
)
from ragdiag.diagnosis.checks.probes import complete
from ragdiag.diagnosis.checks.repeats import find_repeat
from ragdiag.diagnosis.verdicts import Finding

__all__ = ["CHECKS", "FLAGS"]

# Fewer queries with chunks left out agree on any number that is kept.
_TO_TELL = 3
# Vocabularies differ by up to a half in what they make of a text; twice as many tokens are another unit.
_TIMES = 2.0
_LEAST = 3  # chunks of a context that has a middle third


def deduplicated(bench: Bench, loss: Loss) -> Finding | None:
    """The packer keeps the chunk beside other chunks, but not behind one that it shares words with."""
    found = find_repeat(bench, loss)
    if found is None:
        return None
    observation = (
        f"{found.shared:,} of the {found.words:,} different words of chunk {found.chunk!r} stand in "
        f"{found.of!r}, which the packer kept before it. Given behind that one alone it is left out, beside "
        f"{found.beside:,} of {found.others:,} others it is kept"
    )
    if found.comes_back:
        observation += "; with nothing given that it repeats, the evidence is in the context"
    return Finding("packer.deduplicated", f"{observation}.", "proven" if found.comes_back else "measured")


def miscount(bench: Bench, loss: Loss) -> Finding | None:
    """There was room, and the packer keeps to another limit; or another counter finds far fewer tokens."""
    packing = _with_budget(bench)
    if loss.verdict.stage == "capacity":
        return _by_other_count(bench, packing, needed_without_budget(loss), ())
    lost, record = left_out(bench, loss), packing.of(loss)
    if not lost:
        return None
    room = packing.room(record)
    if packing.needs(lost) > room:
        return _by_other_count(bench, packing, lost, tuple(record.kept))
    if _is_cut_off(packing, loss, lost) or packing.stopped_by(record) is not None:
        return None
    limit = None if find_repeat(bench, loss) is not None else find_limit(bench)
    if limit is None:
        return None
    observation = (
        f"By the packer's own count {_chunks_take(packing, lost)} tokens, and {room:,} of {packing.budget:,} "
        f"were left. {limit}."
    )
    return Finding("packer.miscount", observation, limit.sureness)


def overflow(bench: Bench, loss: Loss) -> Finding | None:
    """The context takes more of the budget than there is."""
    packing = _with_budget(bench)
    if packing.room(packing.of(loss)) >= 0:
        return None
    over = sum(packing.room(record) < 0 for record in packing.records)
    observation = (
        f"By the packer's own count the context takes {packing.taken[loss.query.id]:,} tokens of a budget of "
        f"{packing.budget:,}; {over:,} of {len(packing.records):,} contexts take more than that."
    )
    return Finding("packer.overflow", observation, "measured")


def budget(bench: Bench, loss: Loss) -> Finding | None:
    """Other chunks took the budget, of which another choice would have kept it."""
    packing, lost = packing_of(bench), left_out(bench, loss)
    if not lost or find_repeat(bench, loss) is not None:
        return None
    if packing.budget is None:
        return _undeclared(bench, packing, loss, lost)
    record = packing.of(loss)
    room, chosen = packing.room(record), needed_of(loss, record.given)
    if room < 0 or not complete(loss, chosen):
        return None
    stopped_by = packing.stopped_by(record)
    if packing.needs(lost) > room:
        what = f"{_chunks_take(packing, lost)} tokens; {room:,} of {packing.budget:,} were left"
    elif stopped_by is not None:
        what = (
            f"chunk {bench.chunk(stopped_by).id!r} takes {packing.needs([stopped_by]):,} tokens, of "
            f"{packing.budget:,} {room:,} were left, and the packer leaves out all that comes behind it"
        )
    else:
        return None
    observation = (
        f"By the packer's own count {what}. What holds the evidence, {len(chosen):,} of the "
        f"{len(record.given):,} chunks, takes {packing.needs(chosen):,}: another choice keeps it."
    )
    recovered = any(trial.ideal == ("packer",) and trial.recovered for trial in loss.verdict.trials)
    return Finding("packer.budget", observation, "proven" if recovered else "measured")


def cutoff(bench: Bench, loss: Loss) -> Finding | None:
    """At every query the packer keeps so many chunks, the first ones, though there is room for more."""
    packing, lost = packing_of(bench), left_out(bench, loss)
    record = packing.of(loss)
    if not _is_cut_off(packing, loss, lost):
        return None
    if packing.budget is not None and packing.needs(record.left_out[:1]) > packing.room(record):
        return None
    queries = sum(bool(other.left_out) for other in packing.records)
    ranks = " and ".join(f"{record.given.index(position) + 1:,}" for position in lost)
    observation = (
        f"At {queries:,} of {len(packing.records):,} queries the packer was given more than "
        f"{packing.cut_after:,} chunks, and kept the first {packing.cut_after:,} of them each time; the "
        f"evidence came at rank {ranks} of {len(record.given):,}."
    )
    return Finding("packer.cutoff", observation, "measured" if queries >= _TO_TELL else "suspected")


def _with_budget(bench: Bench) -> Packing:
    packing = packing_of(bench)
    if packing.budget is None:
        raise NotApplicable("the packer declares no budget")
    return packing


def _is_cut_off(packing: Packing, loss: Loss, lost: Sequence[int]) -> bool:
    return bool(lost) and packing.cut_after is not None and is_late(packing.of(loss), lost)


def _chunks_take(packing: Packing, lost: Sequence[int]) -> str:
    many = len(lost) > 1
    return f"the evidence's chunk{'s' * many} take{'s' * (not many)} {packing.needs(lost):,}"


def _undeclared(bench: Bench, packing: Packing, loss: Loss, lost: Sequence[int]) -> Finding | None:
    """A packer that declares no budget, and keeps to a limit."""
    limit = None if _is_cut_off(packing, loss, lost) else find_limit(bench)
    if limit is None:
        return None
    return Finding("packer.budget", f"The packer declares no budget. {limit}.", limit.sureness)


def _by_other_count(
    bench: Bench, packing: Packing, lost: Sequence[int], kept: Sequence[int]
) -> Finding | None:
    """Whether what does not fit by the packer's count would fit by the embedder's."""
    if not hasattr(bench.index.pipeline.embedder, "count_tokens"):
        return None
    limit, own = packing.budget or 0, packing.needs([*kept, *lost])
    other = sum(embedder_tokens(bench, [bench.chunk(position) for position in (*kept, *lost)]))
    if not other <= limit < own or own < _TIMES * other:
        return None
    observation = (
        f"The context with the evidence takes {own:,} tokens by the packer's own count and {other:,} by the "
        f"embedder's; the budget is {limit:,}."
    )
    return Finding("packer.miscount", observation, "suspected")


CHECKS: tuple[Check, ...] = (
    Check("packer.deduplicated", deduplicated, ("packer",)),
    Check("packer.miscount", miscount, ("packer", "capacity")),
    Check("packer.overflow", overflow, ("packer",)),
    Check("packer.budget", budget, ("packer",)),
    Check("packer.cutoff", cutoff, ("packer",)),
)


def middle(delivered: Delivered) -> bool:
    """Whether a unit is delivered only with chunks in the middle third of the context.

    A chunk is there if its own middle is: by its place among the chunks, and where tokens are counted by its
    place among those as well.

    Source: Liu et al., "Lost in the middle: how language models use long contexts", TACL 12 (2024).
    """
    masks = delivered.evidence.delivered
    if len(masks) < _LEAST:
        raise NotApplicable(f"no context has the {_LEAST} chunks that a middle third takes")
    inside = _in_middle([1] * len(masks))
    if delivered.tokens is not None:
        inside = [a and b for a, b in zip(inside, _in_middle(delivered.tokens), strict=True)]
    outside = 0
    for mask, is_inside in zip(masks, inside, strict=True):
        outside |= 0 if is_inside else mask
    return bool(delivered.evidence.coverage(outside)[delivered.number] < delivered.min_coverage)


def _in_middle(sizes: Sequence[int]) -> list[bool]:
    """Which of several pieces, one after the other, have their middle in the middle third of all."""
    total, before, found = sum(sizes), 0, []
    for size in sizes:
        found.append(2 * total <= 3 * (2 * before + size) <= 4 * total)
        before += size
    return found


FLAGS: tuple[Flag, ...] = (Flag("packer.middle", middle),)
