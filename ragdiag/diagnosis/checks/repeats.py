"""Is a chunk left out as a repeat of another? The packer is given pairs of chunks, and shows it.

Whatever the packer calls a repeat, a chunk is one if it is kept alone and beside other chunks, and left out
behind the one that it repeats. It is no lack of room where other contexts take as much as the two together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ragdiag.diagnosis.attempts import calling
from ragdiag.diagnosis.checks.bench import Bench, Loss
from ragdiag.diagnosis.checks.packing import fits_some_context, left_out, packing_of
from ragdiag.records import Chunk
from ragdiag.stages import boundary

__all__ = ["Repeat", "find_repeat"]

# What shares fewer of its words, the function words, with another text nobody would call a repeat of it:
# a packer that leaves it out goes by something else, such as the document that both are from.
_LEAST_SHARED = 0.2


@dataclass(frozen=True, slots=True)
class Repeat:
    """A chunk that was left out as a repeat.

    Attributes:
        chunk: its id.
        of: the id of the chunk that it shares most words with, of those behind which it is left out.
        shared: how many different words it shares with that one, of
        words: so many of its own.
        beside: how many of the other chunks given it is kept beside.
        others: how many others there are.
        comes_back: whether the evidence is in the context where the chunks that it repeats are not given.
    """

    chunk: str
    of: str
    shared: int
    words: int
    beside: int
    others: int
    comes_back: bool


def find_repeat(bench: Bench, loss: Loss) -> Repeat | None:
    """The first chunk of a lost unit that was left out as a repeat; None where none was.

    Raises:
        NotApplicable: the packer was not given the evidence.
        Void: the packer raised.
    """
    return bench.once(("repeat", loss.unit.unit), lambda: _find(bench, loss))


def _find(bench: Bench, loss: Loss) -> Repeat | None:
    record = packing_of(bench).of(loss)
    for chunk in left_out(bench, loss):
        if not _keeps(bench, loss, [chunk], chunk):
            continue
        rest = [other for other in record.given if other != chunk]
        beside = [other for other in rest if _keeps(bench, loss, [other, chunk], other, chunk)]
        before = [p for p in record.given[: record.given.index(chunk)] if p in record.kept]
        repeated = [other for other in before if other not in beside]
        if not repeated:
            continue
        words = bench.words(bench.chunk(chunk).text)
        shared = {other: len(words & bench.words(bench.chunk(other).text)) for other in rest}
        of = max(repeated, key=lambda other: shared[other])
        if shared[of] <= max((shared[other] for other in beside), default=0):
            continue
        if shared[of] < _LEAST_SHARED * len(words):
            continue
        if not fits_some_context(bench, [of, chunk]):
            continue
        return Repeat(
            chunk=bench.chunk(chunk).id,
            of=bench.chunk(of).id,
            shared=shared[of],
            words=len(words),
            beside=len(beside),
            others=len(rest) - len(repeated),
            comes_back=_delivers(bench, loss, [p for p in record.given if p not in repeated]),
        )
    return None


def _keeps(bench: Bench, loss: Loss, given: Sequence[int], *positions: int) -> bool:
    """Whether the packer keeps some chunks of those that it is given."""
    kept = {chunk.id for chunk in _packed(bench, loss, given)}
    return all(bench.chunk(position).id in kept for position in positions)


def _delivers(bench: Bench, loss: Loss, given: Sequence[int]) -> bool:
    """Whether the unit is in the context that the packer makes of chunks."""
    evidence = bench.map.of(loss.query, _packed(bench, loss, given))
    return bool(evidence.coverage(evidence.context)[loss.unit.number] >= loss.unit.min_coverage)


def _packed(bench: Bench, loss: Loss, given: Sequence[int]) -> tuple[Chunk, ...]:
    packer, query = bench.index.pipeline.packer, loss.query

    def pack() -> tuple[Chunk, ...]:
        chunks = [bench.chunk(position) for position in given]
        with calling("packer"):
            return boundary.pack(packer, query.id, query.text, chunks, bench.index.documents_by_id)  # type: ignore[arg-type]

    return bench.once(("packed", query.id, tuple(given)), pack)
