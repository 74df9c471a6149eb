"""Late interaction over token vectors as a reranker."""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ragdiag.errors import ConfigError, StageError
from ragdiag.stages.embedders.rows import unit_rows
from ragdiag.stages.protocols import Vectors

__all__ = ["LateInteractionReranker", "TokenVectors"]

_BLOCK = 128  # texts encoded at once: bounds the memory beside the cache


@runtime_checkable
class TokenVectors(Protocol):
    """What late interaction needs of an embedder."""

    def token_vectors(self, texts: Sequence[str]) -> Sequence[Vectors]:
        """The vectors of each text's tokens, shape (tokens, d), float32; no rows for no tokens."""
        ...


@dataclass(frozen=True, eq=False)
class LateInteractionReranker:
    """MaxSim: how well, on average, each token of the query is matched by its best token of the text.

    score = mean over query tokens q, weighted by |q|, of max over text tokens t of cos(q, t); in [-1, 1] up
    to rounding. For vectors of one length this is the late interaction of ColBERT (Khattab & Zaharia, SIGIR
    2020, arXiv:2004.12832) with the mean in place of the sum, so that scores are comparable across queries;
    the order of the texts is the same. Where lengths differ, as in a static model, a token counts for as
    much as it does in the model's own mean: function words for little. A text without tokens scores -1; for
    a query without tokens every text scores 0.

    Each distinct text is encoded once as long as the cache holds it. A score depends on its query and text
    alone where token vectors do; those of a transformer vary in the last bits with what else is in a batch.

    Args:
        embedder: whose token vectors are compared.
        cache_bytes: how much memory the vectors of recent texts may take (held in half precision).

    Raises:
        ConfigError: the embedder has no ``token_vectors``, or ``cache_bytes`` is negative.

    Example:
        >>> from ragdiag.stages.embedders import HashingEmbedder
        >>> reranker = LateInteractionReranker(HashingEmbedder())
        >>> exact, none = reranker.score("free shipping", ["Shipping is free.", ""])
        >>> round(exact, 2), none
        (1.0, -1.0)
    """

    embedder: TokenVectors
    _: KW_ONLY
    cache_bytes: int = field(default=256 * 1024**2, repr=False)  # it changes no score
    _cache: _VectorCache = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.embedder, TokenVectors):
            raise ConfigError(
                "LateInteractionReranker.embedder must have token_vectors(texts), "
                f"which {type(self.embedder).__name__} has not"
            )
        if self.cache_bytes < 0:
            raise ConfigError(f"LateInteractionReranker.cache_bytes must be >= 0, got {self.cache_bytes}")
        object.__setattr__(self, "_cache", _VectorCache(self.cache_bytes))

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """One score a text, higher is better."""
        scores: list[float] = []
        [asked] = self._token_vectors([query])
        for start in range(0, len(texts), _BLOCK):
            block = self._token_vectors(texts[start : start + _BLOCK])
            scores += [_mean_of_best(asked, tokens) for tokens in block]
        return scores

    def __getstate__(self) -> dict[str, object]:
        return {"embedder": self.embedder, "cache_bytes": self.cache_bytes}

    def __setstate__(self, state: dict[str, object]) -> None:
        vars(self).update(state)
        self.__post_init__()

    def _token_vectors(self, texts: Sequence[str]) -> list[_Tokens]:
        """The token vectors of at most a block of texts, from the cache or newly encoded."""
        known = {text: self._cache.get(text) for text in texts}
        missing = [text for text, tokens in known.items() if tokens is None]
        encoded = self.embedder.token_vectors(missing) if missing else []
        if len(encoded) != len(missing):
            raise StageError(
                "reranker",
                f"{type(self.embedder).__name__}.token_vectors returned {len(encoded)} arrays for "
                f"{len(missing)} texts",
            )
        fresh = {text: _Tokens.of(vectors) for text, vectors in zip(missing, encoded, strict=True)}
        for text, tokens in fresh.items():
            self._cache.put(text, tokens)
        return [fresh[text] if (held := known[text]) is None else held for text in texts]


@dataclass(frozen=True, slots=True, eq=False)
class _Tokens:
    """A text's token vectors: their directions, shape (tokens, d), and lengths, shape (tokens,)."""

    directions: NDArray[np.float16]
    lengths: Vectors

    @classmethod
    def of(cls, vectors: Vectors) -> _Tokens:
        return cls(unit_rows(vectors).astype(np.float16), np.linalg.norm(vectors, axis=1).astype(np.float32))

    @property
    def bytes(self) -> int:
        return self.directions.nbytes + self.lengths.nbytes


# One product a text, never one over all texts: how a matrix product rounds depends on its shape, and a
# text's score must not depend on which texts it is scored with.
def _mean_of_best(query: _Tokens, text: _Tokens) -> float:
    if not query.lengths.any():
        return 0.0
    if not len(text.lengths):
        return -1.0
    cosines = text.directions.astype(np.float32) @ query.directions.astype(np.float32).T
    return float(np.average(cosines.max(axis=0), weights=query.lengths))


class _VectorCache:
    """Token vectors by text; what was used longest ago is dropped first, so that ``limit`` bytes are kept."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._entries: OrderedDict[str, _Tokens] = OrderedDict()

    def get(self, text: str) -> _Tokens | None:
        tokens = self._entries.get(text)
        if tokens is not None:
            self._entries.move_to_end(text)
        return tokens

    def put(self, text: str, tokens: _Tokens) -> None:
        self._entries[text] = tokens
        self._size += _bytes_of(text, tokens)
        while self._size > self._limit:
            oldest, dropped = self._entries.popitem(last=False)
            self._size -= _bytes_of(oldest, dropped)


def _bytes_of(text: str, tokens: _Tokens) -> int:
    return tokens.bytes + sys.getsizeof(text)
