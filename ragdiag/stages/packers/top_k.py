"""A packer that counts chunks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ragdiag.errors import ConfigError
from ragdiag.records import Chunk

__all__ = ["TopK"]


@dataclass(frozen=True)
class TopK:
    """The first ``k`` chunks. Declares no budget.

    Raises:
        ConfigError: ``k`` is below 1.

    Example:
        >>> TopK(3)
        TopK(k=3)
    """

    k: int

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ConfigError(f"TopK.k must be at least 1, got {self.k!r}")

    def pack(self, query: str, chunks: Sequence[Chunk]) -> list[Chunk]:  # noqa: ARG002
        """The first ``k`` of ``chunks``, whatever the query."""
        return list(chunks[: self.k])
