"""Prices, and what a chunker costs by them: to index the corpus, and to answer questions."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ragdiag.errors import ConfigError
from ragdiag.experiments.sweep.measured import Measured

__all__ = ["Prices"]

_MILLION, _THOUSAND = 1_000_000, 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """What models charge, in any one currency. A price that is None is not counted.

    The tokens are those that the pipeline counts (by its packer or embedder); another model counts others, by
    a factor that is nearly the same for all chunkers. The question itself, the prompt around the context and
    the answer are left out, since no chunker changes them.

    Args:
        embedding: of a million tokens that are embedded.
        context: of a million tokens of context, which the answering model reads.
        reranking: of a thousand pairs of question and text.

    Raises:
        ConfigError: a price that is no number of at least 0, or none at all.

    Example:
        >>> Prices(embedding=0.02, context=2.5)
        Prices(embedding=0.02, context=2.5, reranking=None)
    """

    embedding: float | None = None
    context: float | None = None
    reranking: float | None = None

    def __post_init__(self) -> None:
        given = {name: getattr(self, name) for name in self.__slots__}
        if all(price is None for price in given.values()):
            raise ConfigError(f"Prices: give at least one of {', '.join(given)}")
        for name, price in given.items():
            if price is None:
                continue
            if isinstance(price, bool) or not isinstance(price, int | float) or not 0 <= price < math.inf:
                raise ConfigError(f"Prices: {name} must be a number of at least 0, got {price!r}")

    def to_index(self, measured: Measured) -> float | None:
        """What it costs to embed the corpus; None where that has no price or nothing counts tokens."""
        tokens = measured.chunks.tokens
        return None if self.embedding is None or tokens is None else tokens / _MILLION * self.embedding

    def to_ask(self, measured: Measured) -> float | None:
        """What 1,000 questions cost in contexts and reranking; None where what has a price is not counted."""
        cost = 0.0
        if self.context is not None:
            if measured.context_tokens is None:
                return None
            cost += _THOUSAND * float(measured.context_tokens.mean()) / _MILLION * self.context
        if self.reranking is not None and "reranker" in measured.stages:
            cost += min(measured.candidates, measured.chunks.chunks) * self.reranking
        return cost
