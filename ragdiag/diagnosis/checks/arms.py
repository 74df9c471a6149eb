"""The parts of a retriever: what it fuses or wraps, and the indexes at the end of those."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ragdiag.diagnosis.attempts import calling
from ragdiag.diagnosis.checks.bench import Bench
from ragdiag.stages import boundary
from ragdiag.stages.protocols import Retriever, Searcher, arms_of, uses_vectors

__all__ = ["Part", "parts"]


@dataclass(frozen=True, eq=False)
class Part:
    """A retriever, its index over the run's chunks, and the parts that it fuses or wraps."""

    retriever: Retriever
    searcher: Searcher = field(repr=False)
    arms: tuple[Part, ...]

    @property
    def name(self) -> str:
        """What it is called in an observation."""
        return type(self.retriever).__name__

    def all(self) -> Iterator[Part]:
        """It and all below it, from the outside inward."""
        yield self
        for arm in self.arms:
            yield from arm.all()


def parts(bench: Bench) -> Part:
    """The pipeline's retriever with all its arms; those whose index it does not show are built once.

    Raises:
        Void: an arm cannot be built, or there are not as many indexes as arms.
    """

    def part(retriever: Retriever, searcher: Searcher) -> Part:
        arms = arms_of(retriever)
        built = getattr(searcher, "arms", [None] * len(arms))
        return Part(
            retriever, searcher, tuple(part(a, s or build(a)) for a, s in zip(arms, built, strict=True))
        )

    def build(retriever: Retriever) -> Searcher:
        index = bench.index
        return boundary.build_index(
            retriever, index.chunks, index.vectors if uses_vectors(retriever) else None
        )

    def whole() -> Part:
        with calling("retriever"):
            return part(bench.index.pipeline.retriever, bench.index.searcher)

    return bench.once("parts of the retriever", whole)
