"""An embedder without a model: hashed words and character n-grams, for tests, examples and offline trials."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ragdiag.errors import ConfigError
from ragdiag.stages.embedders.rows import unit_rows
from ragdiag.stages.embedders.texts import encodable
from ragdiag.stages.protocols import Vectors

__all__ = ["HashingEmbedder"]

_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class HashingEmbedder:
    r"""A bag of hashed features: each word (``\w+``, lower-cased) and its character n-grams.

    Vectors have shape (len(texts), dimensions), float32 and length 1; texts that share words or parts of
    words are similar, and nothing is known of meaning. The same on every machine and in every process. A
    text without words gets the first unit vector.

    The features are hashed to signed positions (Weinberger et al., "Feature hashing for large scale multitask
    learning", ICML 2009); a word is a feature, and its n-grams together weigh as much as the word.

    Args:
        dimensions: the length of a vector.
        ngram: the length of the n-grams, taken from the word between ``<`` and ``>``; 0 for words alone.
        max_tokens: the input limit in words, beyond which a text is not embedded, as with a real model;
            None for no limit.

    Raises:
        ConfigError: an option is out of range.

    Example:
        >>> embedder = HashingEmbedder(64)
        >>> near, far = embedder.embed_documents(["shipping costs", "opening hours"])
        >>> query = embedder.embed_queries(["cost of shipping"])[0]
        >>> bool(query @ near > query @ far)
        True
    """

    dimensions: int = 256
    _: KW_ONLY
    ngram: int = 3
    max_tokens: int | None = None

    def __post_init__(self) -> None:
        if self.dimensions < 1:
            raise ConfigError(f"HashingEmbedder.dimensions must be >= 1, got {self.dimensions}")
        if self.ngram < 0:
            raise ConfigError(f"HashingEmbedder.ngram must be >= 0, got {self.ngram}")
        if self.max_tokens is not None and self.max_tokens < 1:
            raise ConfigError(f"HashingEmbedder.max_tokens must be >= 1 or None, got {self.max_tokens}")

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """One row a text, shape (len(texts), dimensions)."""
        vectors = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        for row, text in enumerate(encodable(texts)):
            features = [_features(word, self.ngram, self.dimensions) for word in self._words(text)]
            if features:
                places = np.concatenate([places for places, _ in features])
                weights = np.concatenate([weights for _, weights in features])
                vectors[row] = np.bincount(places, weights, minlength=self.dimensions)
        return unit_rows(vectors)

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """The same as for documents."""
        return self.embed_documents(texts)

    def token_vectors(self, texts: Sequence[str]) -> list[Vectors]:
        """The vector of each word, for late interaction: one array (words, dimensions) a text."""
        return [self._word_vectors(self._words(text)) for text in encodable(texts)]

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """The number of words of each text, before any cut at ``max_tokens``."""
        return [len(_WORD.findall(text)) for text in encodable(texts)]

    def _words(self, text: str) -> list[str]:
        return _WORD.findall(text.lower())[: self.max_tokens]

    def _word_vectors(self, words: list[str]) -> Vectors:
        vectors = np.zeros((len(words), self.dimensions), dtype=np.float32)
        for row, word in zip(vectors, words, strict=True):
            np.add.at(row, *_features(word, self.ngram, self.dimensions))
        return vectors


@lru_cache(maxsize=1 << 16)
def _features(word: str, ngram: int, dimensions: int) -> tuple[NDArray[np.intp], Vectors]:
    """The positions that a word's features hash to, and the signed weight of each."""
    framed = f"<{word}>"
    grams = [framed[at : at + ngram] for at in range(len(framed) - ngram + 1)] if ngram else []
    # The prefixes keep the word "the" apart from the n-gram "the".
    features = [f"word {word}", *(f"gram {gram}" for gram in grams)]
    hashes = [_stable_hash(feature) for feature in features]
    weights = np.ones(len(features), dtype=np.float32)
    weights[1:] /= np.sqrt(max(len(grams), 1))
    places = np.array([value // 2 % dimensions for value in hashes], dtype=np.intp)
    return places, np.where([value % 2 for value in hashes], weights, -weights)


def _stable_hash(feature: str) -> int:
    # Python's own hash() of a string differs from process to process.
    return int.from_bytes(hashlib.blake2b(feature.encode(), digest_size=8).digest(), "little")
