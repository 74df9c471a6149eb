"""Embedders and rerankers whose vectors, token counts and scores a store keeps, each by its text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ragdiag.errors import ConfigError, DataError, StageError
from ragdiag.stages.protocols import Embedder, Reranker, Vectors
from ragdiag.stages.tokens import TokenCounter, count
from ragdiag.store.naming import key_of
from ragdiag.store.plugs import StoredPlug
from ragdiag.store.rows import Piece, Shelf
from ragdiag.store.shards import make_rows

__all__ = ["CountingEmbedder", "StoredEmbedder", "StoredReranker"]

# The same on every machine, whatever its own order of bytes.
_FLOAT, _DOUBLE, _WHOLE = "<f4", "<f8", "<i8"


@dataclass(frozen=True, repr=False)
class _StoredModel(StoredPlug):
    def _complete(
        self,
        shelf: Shelf,
        texts: Sequence[str],
        ask: Callable[[list[str]], NDArray[Any]],
        question: Sequence[str] = (),
    ) -> tuple[NDArray[Any], int]:
        """The value of each text, and how many texts ``inner`` was asked for, once each and in one call."""
        distinct = list(dict.fromkeys(texts))
        keys = _keys(shelf, distinct, question)
        pieces = shelf.read(keys)
        missing = _missing(pieces, len(keys))
        if len(missing):
            asked = [distinct[position] for position in missing]
            began = perf_counter()
            fresh = ask(asked)
            seconds = _shares(perf_counter() - began, asked)
            pieces.append(Piece(missing, make_rows([keys[position] for position in missing], fresh, seconds)))
        values = self._joined(pieces, shelf, len(keys))
        if len(missing):
            shelf.keep(pieces[-1].rows)
        if len(distinct) < len(texts):
            position_of = {text: position for position, text in enumerate(distinct)}
            values = values[[position_of[text] for text in texts]]
        return values, len(missing)

    def _joined(self, pieces: Sequence[Piece], shelf: Shelf, length: int) -> NDArray[Any]:
        kinds = {piece.rows.dtype["value"] for piece in pieces} or {np.dtype(shelf.dtype)}
        if len(kinds) > 1:
            sizes = sorted(kind.itemsize for kind in kinds)
            raise DataError(
                f"{self.store!r} keeps results of another size under the name {self.name!r}: expected one "
                f"size, got {sizes} bytes. Another model needs another name, or a new folder"
            )
        values = np.empty(length, kinds.pop())
        for piece in pieces:
            values[piece.positions] = piece.rows["value"]
        return values


@dataclass(frozen=True, repr=False)
class StoredEmbedder(_StoredModel):
    """An embedder whose vectors a store keeps; made by `Store.embedder`.

    It shows itself, and declares everything, as the embedder inside does. Token vectors are not kept: give a
    reranker that needs them the embedder itself.

    Attributes:
        inner: what embeds the texts that the store does not hold, in one call, each text once.
        store: where vectors are kept.
        name: what they are kept under.
        asked: how many texts reached ``inner``.
    """

    inner: Embedder = field(compare=False)

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """One row a text, shape (len(texts), d).

        Raises:
            DataError: the store holds vectors of another dimension under this name.
            StageError: ``inner`` did not return a finite vector for each text.
        """
        rows, asked = self._rows("document", texts, self.inner.embed_documents)
        self.asked.documents += asked
        return rows

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """One row a text, shape (len(texts), d); raises as `embed_documents` does."""
        rows, asked = self._rows("query", texts, self.inner.embed_queries)
        self.asked.queries += asked
        return rows

    def missing(self, texts: Sequence[str], side: str = "document") -> list[str]:
        """The different texts that the store does not hold, in order.

        Args:
            texts: what may be embedded.
            side: ``"document"`` or ``"query"``: as what.

        Raises:
            ConfigError: there is no such side.
        """
        if side not in ("document", "query"):
            raise ConfigError(f"side must be 'document' or 'query', got {side!r}")
        shelf = self._shelf(side)
        distinct = list(dict.fromkeys(texts))
        keys = _keys(shelf, distinct)
        return [distinct[position] for position in _missing(shelf.read(keys), len(keys))]

    def seconds(self, texts: Sequence[str]) -> float:
        """How long it took to embed these texts as documents, whoever did it, each text once.

        The time of a call is shared among its texts by their lengths.

        Raises:
            DataError: the store does not hold all of them.
        """
        shelf = self._shelf("document")
        distinct = list(dict.fromkeys(texts))
        pieces = shelf.read(_keys(shelf, distinct))
        missing = _missing(pieces, len(distinct))
        if len(missing):
            raise DataError(
                f"{self.store!r} does not hold {len(missing)} of {len(distinct)} texts as {self.name!r} "
                f"embeds them, so it cannot say how long that took; the first: {distinct[missing[0]][:80]!r}"
            )
        return float(sum(piece.rows["seconds"].sum(dtype=np.float64) for piece in pieces))

    def _shelf(self, side: str) -> Shelf:
        return self.store.shelf(f"{side}-vectors", self.name, _FLOAT)

    def _rows(
        self, side: str, texts: Sequence[str], embed: Callable[[Sequence[str]], Vectors]
    ) -> tuple[Vectors, int]:
        if not texts:
            return embed(texts), 0  # what nothing looks like, the embedder alone knows

        def ask(missing: list[str]) -> NDArray[Any]:
            return _finite("embedder", self.inner, embed(missing), len(missing), None, dtype=_FLOAT)

        values, asked = self._complete(self._shelf(side), texts, ask)
        return values.astype(np.float32, copy=False), asked


class CountingEmbedder(StoredEmbedder):
    """Around an embedder that counts tokens. A class of its own, so that it has the method and others not."""

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """As the embedder inside counts; counts are kept, too."""

        def ask(missing: list[str]) -> NDArray[Any]:
            return np.array(count(cast("TokenCounter", self.inner), missing, stage="embedder"), _WHOLE)

        values, _ = self._complete(self.store.shelf("token-counts", self.name, _WHOLE), texts, ask)
        counts: list[int] = values.tolist()
        return counts


@dataclass(frozen=True, repr=False)
class StoredReranker(_StoredModel):
    """A reranker whose scores a store keeps; made by `Store.reranker`.

    It shows itself, and declares everything, as the reranker inside does.

    Attributes:
        inner: what scores the pairs that the store does not hold, in one call, each text once.
        store: where scores are kept.
        name: what they are kept under.
        asked: how many pairs reached ``inner``.
    """

    inner: Reranker = field(compare=False)

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """One score a text, higher is better.

        Raises:
            StageError: ``inner`` did not return a finite score for each text.
        """

        def ask(missing: list[str]) -> NDArray[Any]:
            returned = self.inner.score(query, missing)
            return _finite("reranker", self.inner, returned, len(missing), dtype=_DOUBLE)

        shelf = self.store.shelf("pair-scores", self.name, _DOUBLE)
        values, asked = self._complete(shelf, texts, ask, [query])
        self.asked.pairs += asked
        scores: list[float] = values.tolist()
        return scores


def _keys(shelf: Shelf, texts: Sequence[str], question: Sequence[str] = ()) -> list[bytes]:
    return [key_of((shelf.kind, *question, text)) for text in texts]


def _missing(pieces: Sequence[Piece], length: int) -> NDArray[np.intp]:
    """Which of ``length`` positions are in no piece."""
    found = np.zeros(length, dtype=bool)
    for piece in pieces:
        found[piece.positions] = True
    return np.flatnonzero(~found)


def _shares(seconds: float, texts: Sequence[str]) -> NDArray[np.float64]:
    """The time of a call, shared among its texts by their lengths."""
    lengths = np.array([max(1, len(text)) for text in texts])
    shares: NDArray[np.float64] = seconds * lengths / lengths.sum()
    return shares


def _finite(stage: str, plug: object, returned: object, *shape: int | None, dtype: str) -> NDArray[Any]:
    """What a plug returned as an array, if it may be kept: what is wrong must not come back for ever.

    Args:
        stage: the plug's stage.
        plug: which plug.
        returned: what it returned.
        shape: as expected; None for any length of at least 1.
        dtype: as what the numbers are kept.
    """
    try:
        with np.errstate(over="ignore"):  # what the type cannot hold becomes infinite, and is refused
            array = np.asarray(returned).astype(dtype, casting="same_kind")
    except (TypeError, ValueError) as error:
        raise StageError(stage, f"nothing can be kept of what {plug!r} returned: {error}") from error
    fits = array.ndim == len(shape) and all(
        length >= 1 if wanted is None else length == wanted
        for length, wanted in zip(array.shape, shape, strict=True)
    )
    if not fits or not np.isfinite(array).all():
        wanted = f"({', '.join('d' if length is None else str(length) for length in shape)})"
        got = f"shape {array.shape}" if not fits else "some that are NaN or infinite"
        raise StageError(
            stage,
            f"nothing can be kept of what {plug!r} returned: expected finite numbers of shape {wanted}, "
            f"got {got}",
        )
    return array
