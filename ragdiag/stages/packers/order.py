"""The order in which chunks stand in the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ragdiag.errors import ConfigError
from ragdiag.records import Chunk

__all__ = ["PromptOrder"]


@dataclass(frozen=True)
class PromptOrder:
    """All chunks, in another order. Declares no budget.

    Recall does not change. Measures that count from the top of the prompt do (context precision, ranks), and
    what they lose by a new order is the packer's: to them the end of a prompt is no better than its middle.

    Args:
        order: ``"ranked"``: best first, as they come. ``"reversed"``: best last, next to the question where
            that follows. ``"edges"``: ranks 1, 3, 5, … and then back …, 6, 4, 2, so that the best stand at
            the beginning and the end and the worst in the middle, which long-context models read least well.
            This is the order of Haystack's ``LostInTheMiddleRanker``. LangChain's ``LongContextReorder``
            gives the same for an odd number of chunks, and its mirror image, the best last, for an even one.

    Raises:
        ConfigError: there is no such order.

    Source: Liu et al., "Lost in the middle: how language models use long contexts", TACL 12 (2024),
    arXiv:2307.03172.

    Example:
        >>> from ragdiag.records import Document
        >>> chunks = [Chunk.of(Document("ranks", "123456"), (i, i + 1)) for i in range(6)]
        >>> " ".join(chunk.text for chunk in PromptOrder("edges").pack("?", chunks))
        '1 3 5 6 4 2'
    """

    order: Literal["ranked", "reversed", "edges"]

    def __post_init__(self) -> None:
        if self.order not in ("ranked", "reversed", "edges"):
            raise ConfigError(
                f"PromptOrder.order must be 'ranked', 'reversed' or 'edges', got {self.order!r}"
            )

    def pack(self, query: str, chunks: Sequence[Chunk]) -> list[Chunk]:  # noqa: ARG002
        """All of ``chunks``, which come best first, whatever the query."""
        if self.order == "edges":
            return [*chunks[::2], *reversed(chunks[1::2])]
        return list(reversed(chunks)) if self.order == "reversed" else list(chunks)
