"""What retrievers around other retrievers ask of those, and pass on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

from ragdiag.errors import ConfigError, StageError
from ragdiag.records import Hit
from ragdiag.stages.protocols import Retriever, Similarity, is_plug, recipe_of

__all__ = ["AroundOne", "known_rows"]


@dataclass(frozen=True)
class AroundOne:
    """What a retriever around one other retriever declares. The other one is its only arm.

    So whatever is done to that one's hits is held against what it finds by itself.
    """

    retriever: Retriever

    def __post_init__(self) -> None:
        if not is_plug("retriever", self.retriever):
            kind = self.retriever.__name__ if isinstance(self.retriever, type) else None
            raise ConfigError(
                f"{type(self).__name__}.retriever must be an object with build(chunks, vectors), "
                f"got {f'the class {kind}' if kind else repr(self.retriever)}"
            )

    @property
    def arms(self) -> tuple[Retriever]:
        """The retriever whose hits are looked at."""
        return (self.retriever,)

    @property
    def metric(self) -> Similarity | None:
        """What that retriever's index computes; None where it does not say."""
        return getattr(self.retriever, "metric", None)

    @property
    def recipe(self) -> Self:
        """The same around what builds such an index over any chunks."""
        return replace(self, retriever=recipe_of(self.retriever))


def known_rows(hits: Sequence[Hit], row_of: Mapping[str, int], retriever: Retriever) -> list[int]:
    """The rows of the chunks that ``retriever`` found.

    Raises:
        StageError: it returned a chunk that is not in its index.
    """
    for hit in hits:
        if hit.chunk_id not in row_of:
            raise StageError("retriever", f"{retriever!r} returned an unknown chunk {hit.chunk_id!r}")
    return [row_of[hit.chunk_id] for hit in hits]
