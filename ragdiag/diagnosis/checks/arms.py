"""The parts of a retriever: what it fuses or wraps, and the indexes at the end of those."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ragdiag.diagnosis.arms import arms_of_index, build_arm
from ragdiag.diagnosis.attempts import calling
from ragdiag.diagnosis.checks.bench import Bench
from ragdiag.stages.protocols import Retriever, Searcher

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
        arms = arms_of_index(retriever, searcher)
        return Part(retriever, searcher, tuple(part(a, own or build_arm(bench.index, a)) for a, own in arms))

    def whole() -> Part:
        with calling("retriever"):
            return part(bench.index.pipeline.retriever, bench.index.searcher)

    return bench.once("parts of the retriever", whole)
