"""The static embedding model that ships inside the wheel of wordllama: offline, small, no torch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ragdiag.errors import MissingExtraError
from ragdiag.stages.embedders.packaged import WORDLLAMA
from ragdiag.stages.embedders.rows import unit_rows
from ragdiag.stages.embedders.texts import encodable
from ragdiag.stages.protocols import Vectors

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["StaticEmbedder"]

_BLOCK = (
    1024  # texts tokenized at once: bounds the memory, and is enough to keep the tokenizer's threads busy
)
_START = 1  # the id of "<s>", all that Llama's own tokenizer makes of an empty text


class StaticEmbedder:
    """Static token vectors, averaged: the model ``l2_supercat_256`` of WordLlama, read from its wheel.

    Vectors have shape (len(texts), 256), float32 and length 1: the mean over a text's tokens of vectors that
    do not depend on their context, distilled from a large model's token embeddings
    (https://github.com/dleemiller/WordLlama). Words count, their order hardly does.
    There is no input limit, so a long text is never cut, only diluted. An empty text gets the vector of the
    start token.

    The files are verified when they are first used; needs the extra ``static``.

    Raises:
        MissingExtraError: at first use, if the extra is not installed.
        ResourceError: at first use, if a file is missing or is not the expected one.
    """

    def __repr__(self) -> str:
        return "StaticEmbedder()"

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """One row a text, shape (len(texts), 256)."""
        vectors = np.empty((len(texts), self._table.shape[1]), dtype=np.float32)
        for row, ids in zip(vectors, self._tokenize(texts), strict=True):
            np.mean(self._table[ids or [_START]], axis=0, out=row)
        return unit_rows(vectors)

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """The same as for documents."""
        return self.embed_documents(texts)

    def token_vectors(self, texts: Sequence[str]) -> list[Vectors]:
        """The vector of each token, for late interaction: one array (tokens, 256) a text.

        Lengths are the model's: a word that says much has a long vector, a function word a short one.
        """
        return [self._table[np.asarray(ids, dtype=np.intp)] for ids in self._tokenize(texts)]

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """The number of tokens of each text; the model has no special tokens."""
        return [len(ids) for ids in self._tokenize(texts)]

    def __getstate__(self) -> dict[str, object]:
        return {}  # the weights are read again where they are used

    def _tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        clean = encodable(texts)
        return [
            encoding.ids
            for start in range(0, len(clean), _BLOCK)
            for encoding in self._tokenizer.encode_batch(
                clean[start : start + _BLOCK], add_special_tokens=False
            )
        ]

    @cached_property
    def _table(self) -> Vectors:
        return self._model[0]

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        return self._model[1]

    @cached_property
    def _model(self) -> tuple[Vectors, Tokenizer]:
        if not WORDLLAMA.installed:
            raise MissingExtraError("StaticEmbedder", WORDLLAMA.package, "static")
        try:
            from safetensors.numpy import load_file
            from tokenizers import Tokenizer
        except ImportError as error:
            raise MissingExtraError("StaticEmbedder", error.name or "tokenizers", "static") from error
        # wordllama itself is never imported: that would configure the root logger of the whole process.
        folder = WORDLLAMA.locate()
        weights = load_file(folder / "weights/l2_supercat_256.safetensors")
        tokenizer = Tokenizer.from_file(str(folder / "tokenizers/l2_supercat_tokenizer_config.json"))
        return weights["embedding.weight"].astype(np.float32), tokenizer
