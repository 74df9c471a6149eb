"""What a retriever fuses or wraps, each with its index."""

from __future__ import annotations

from collections.abc import Sequence

from ragdiag.errors import StageError
from ragdiag.index import Index
from ragdiag.stages import boundary
from ragdiag.stages.protocols import Retriever, Searcher, arms_of, uses_vectors

__all__ = ["arms_of_index", "build_arm"]


def arms_of_index(retriever: Retriever, searcher: Searcher) -> list[tuple[Retriever, Searcher | None]]:
    """The arms of a retriever with their indexes, which are None where its searcher does not declare them.

    Raises:
        StageError: it declares another number of arms than its searcher.
    """
    arms = arms_of(retriever)
    built: Sequence[Searcher | None] = getattr(searcher, "arms", [None] * len(arms))
    if len(built) != len(arms):
        raise StageError("retriever", f"declares {len(arms)} arms, but its searcher {len(built)}")
    return list(zip(arms, built, strict=True))


def build_arm(index: Index, arm: Retriever) -> Searcher:
    """An arm's index over the chunks of the whole."""
    return boundary.build_index(arm, index.chunks, index.vectors if uses_vectors(arm) else None)
