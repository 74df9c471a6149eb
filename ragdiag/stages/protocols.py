"""The plugs of a pipeline: six small Protocols.

Anything with these methods is a plug: nothing registers and nothing inherits. What a plug *may* declare
beside its methods (plain attributes or properties) is listed in each docstring and read through the
functions at the end of this module, which hold the defaults.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ragdiag.errors import ConfigError
from ragdiag.records import Chunk, Document, Hit, Request

__all__ = [
    "PROTOCOLS",
    "STAGES",
    "Chunker",
    "Embedder",
    "Packer",
    "Reranker",
    "Retriever",
    "Searcher",
    "Similarity",
    "Vectors",
    "arms_of",
    "budget_of",
    "bytes_of",
    "is_plug",
    "recipe_of",
    "require_plug",
    "similarity_of",
    "token_counts",
    "uses_vectors",
]

STAGES = ("chunker", "embedder", "retriever", "reranker", "packer")
"""The stages in the order of the flow; these are also the pipeline's argument names."""

Similarity: TypeAlias = Literal["cosine", "dot", "l2"]
Vectors: TypeAlias = NDArray[np.float32]


@runtime_checkable
class Chunker(Protocol):
    """Cuts one document into chunks. The same document must give the same chunks."""

    def chunk(self, document: Document) -> Sequence[Chunk]:
        """The chunks of one document, in the order of the text; empty for an empty document."""
        ...


@runtime_checkable
class Embedder(Protocol):
    """Turns texts into vectors, shape (len(texts), d), float32.

    May declare:
        similarity: ``"cosine"`` (assumed), ``"dot"`` or ``"l2"``: how its vectors are meant to be compared.
        max_tokens (int): the input limit, special tokens included; what lies beyond is not embedded.
        count_tokens(texts) -> Sequence[int]: how many tokens the model sees of each text before any
            truncation, special tokens included.
        unused_prompts (Mapping[str, str]): the prompts that its model was trained with and that are not put
            before texts, by side (``"query"``, ``"document"``); empty where none is missing.
    """

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """One row a text, for what is indexed."""
        ...

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """One row a text, for what is asked."""
        ...


@runtime_checkable
class Searcher(Protocol):
    """A built index. Returns at most ``n`` hits for each request, best first, each chunk once.

    May declare:
        arms: the searchers it fuses, in the order of its retriever's ``arms``.
        nbytes (int): what the index takes in memory, without the texts and metadata of its chunks.
    """

    def search(self, requests: Sequence[Request], n: int) -> Sequence[Sequence[Hit]]:
        """One ranking a request, in the order of the requests."""
        ...


@runtime_checkable
class Retriever(Protocol):
    """A recipe for an index over ``index_text``; ``vectors`` has shape (len(chunks), d), or is None.

    May declare:
        metric: ``"cosine"``, ``"dot"`` or ``"l2"``: what its index computes.
        arms: the retrievers that it fuses.
        uses_vectors (bool): False for one that searches texts alone (True is assumed).
        recipe: for one that brings a finished index: the retriever that builds such an index over any chunks.
    """

    def build(self, chunks: Sequence[Chunk], vectors: Vectors | None) -> Searcher:
        """An index over all chunks."""
        ...


@runtime_checkable
class Reranker(Protocol):
    """Scores texts for a query, aligned with ``texts``; ragdiag sorts, cuts and records.

    May declare both of:
        max_tokens (int): the input limit of query and text together, special tokens included.
        count_pair_tokens(query, texts) -> Sequence[int]: how many tokens the model sees of the query with
            each text before any truncation, special tokens included.
    """

    def score(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        """One finite score a text, higher is better."""
        ...


@runtime_checkable
class Packer(Protocol):
    """Drops, reorders or shortens chunks; cannot invent one.

    May declare both of:
        budget (int): the tokens that the chunks may take together.
        tokens(chunk) -> int: what one chunk takes of it.
    """

    def pack(self, query: str, chunks: Sequence[Chunk]) -> Sequence[Chunk]:
        """The chunks that reach the prompt, in the order of the prompt; ``chunks`` come best first."""
        ...


PROTOCOLS: Mapping[str, type[Any]] = {
    "chunker": Chunker,
    "embedder": Embedder,
    "retriever": Retriever,
    "reranker": Reranker,
    "packer": Packer,
}
"""What a plug of each stage must be."""


def is_plug(stage: str, value: object) -> bool:
    """Whether a value has the methods of its stage's Protocol, and is not the class that has them."""
    return not isinstance(value, type) and isinstance(value, PROTOCOLS[stage])


def require_plug(stage: str, plug: object, *, called: str) -> None:
    """Refuses what is no plug of a stage; ``called`` is what the error begins with.

    Raises:
        ConfigError: it lacks methods of the Protocol, or is a class.
    """
    if not is_plug(stage, plug):
        methods = sorted(name for name in vars(PROTOCOLS[stage]) if not name.startswith("_"))
        got = f"the class {plug.__name__}" if isinstance(plug, type) else type(plug).__name__
        raise ConfigError(f"{called}: expected an object with {' and '.join(methods)}, got {got}")


def similarity_of(embedder: Embedder) -> Similarity:
    """How an embedder's vectors are meant to be compared: what it declares, else cosine."""
    similarity = getattr(embedder, "similarity", "cosine")
    if similarity not in ("cosine", "dot", "l2"):
        raise ConfigError(
            f"{type(embedder).__name__}.similarity must be 'cosine', 'dot' or 'l2', got {similarity!r}"
        )
    return cast("Similarity", similarity)


def arms_of(retriever: Retriever) -> tuple[Retriever, ...]:
    """The retrievers that a retriever fuses: empty for one that fuses none."""
    return tuple(getattr(retriever, "arms", ()))


def bytes_of(searcher: Searcher) -> int | None:
    """What an index takes in memory: what it declares, else what its arms do; None where one does not say."""
    declared = getattr(searcher, "nbytes", None)
    if declared is not None:
        return int(declared)
    arms = [bytes_of(arm) for arm in getattr(searcher, "arms", ())]
    known = [size for size in arms if size is not None]
    return sum(known) if known and len(known) == len(arms) else None


def uses_vectors(retriever: Retriever) -> bool:
    """Whether a retriever looks at vectors: what it declares, else whether one of its arms does."""
    declared = getattr(retriever, "uses_vectors", None)
    if declared is not None:
        return bool(declared)
    arms = arms_of(retriever)
    return any(map(uses_vectors, arms)) if arms else True


def recipe_of(retriever: Retriever) -> Retriever:
    """What builds an index like a retriever's over any chunks: what it declares as ``recipe``, else itself.

    A retriever that brings a finished index cannot build one over other chunks, as the re-runs of a
    diagnosis need it.
    """
    recipe: Retriever = getattr(retriever, "recipe", retriever)
    return recipe


def budget_of(packer: Packer | None) -> int | None:
    """The token budget that a packer declares, or None where it declares none.

    Raises:
        ConfigError: it declares a budget but no ``tokens(chunk)``, or a budget below zero.
    """
    budget = getattr(packer, "budget", None)
    if budget is None:
        return None
    if not callable(getattr(packer, "tokens", None)):
        raise ConfigError(f"{type(packer).__name__} declares a budget but no tokens(chunk)")
    if int(budget) < 0:
        raise ConfigError(f"{type(packer).__name__}.budget must be >= 0, got {budget}")
    return int(budget)


def token_counts(
    chunks: Sequence[Chunk], packer: Packer | None, embedder: Embedder | None
) -> tuple[int, ...] | None:
    """Tokens of each chunk: as a packer with a budget counts them, else as the embedder does, else None."""
    if budget_of(packer) is not None:
        tokens = cast("Callable[[Chunk], int]", packer.tokens)  # type: ignore[union-attr]
        return tuple(int(tokens(chunk)) for chunk in chunks)
    if embedder is not None and hasattr(embedder, "count_tokens"):
        return tuple(map(int, embedder.count_tokens([chunk.text for chunk in chunks])))
    return None
