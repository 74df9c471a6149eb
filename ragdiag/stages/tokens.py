"""How the length of a text is counted: the one place that decides what a unit of size is.

A counter is anything with ``count_tokens(texts)``. An embedder that declares it is one: its counts include
the model's special tokens, so that ``count <= max_tokens`` says that nothing of the text is cut off.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from ragdiag.errors import ConfigError, ResourceError, StageError
from ragdiag.stages.embedders.texts import encodable

if TYPE_CHECKING:
    import tiktoken

__all__ = ["Characters", "Tiktoken", "TokenCounter", "count", "counter"]

_LOADING_SECONDS = 60.0
"""How long an encoding may take to load: tiktoken downloads it without any time limit of its own."""


@runtime_checkable
class TokenCounter(Protocol):
    """Counts the units that texts take. The same text must always give the same count."""

    def count_tokens(self, texts: Sequence[str]) -> Sequence[int]:
        """One count a text, special tokens included where the model adds any."""
        ...


@dataclass(frozen=True, slots=True)
class Characters:
    """Counts code points, the unit of every offset.

    Example:
        >>> Characters().count_tokens(["naïve", ""])
        [5, 0]
    """

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """The number of code points of each text."""
        return [len(text) for text in texts]


@dataclass(frozen=True, slots=True)
class Tiktoken:
    """Counts the tokens of a byte pair encoding of ``tiktoken``.

    Nothing in a text is special: ``<|endoftext|>`` counts as the characters that it is written with. Each
    lone surrogate counts as U+FFFD.

    Args:
        encoding: the name of an encoding, such as ``"cl100k_base"`` or ``"o200k_base"``, which is loaded
            (and, where tiktoken has not cached it, downloaded) at the first count; or an encoding itself.

    Raises:
        ConfigError: tiktoken knows no encoding of that name.
        ResourceError: when counting: the encoding could not be loaded.

    Example:
        >>> Tiktoken("cl100k_base")
        Tiktoken(encoding='cl100k_base')
    """

    encoding: str | tiktoken.Encoding

    def __post_init__(self) -> None:
        import tiktoken  # heavy, and needed only where tokens are counted with it

        if isinstance(self.encoding, tiktoken.Encoding):
            return
        names = sorted(tiktoken.list_encoding_names())
        if self.encoding not in names:
            raise ConfigError(
                f"encoding must be one that tiktoken knows ({', '.join(names)}) or a tiktoken.Encoding, "
                f"got {self.encoding!r}"
            )

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """The number of tokens of each text."""
        encode = self.loaded.encode_ordinary
        # One by one: tiktoken's own batches start a task a text, which costs more than a short text does.
        return [len(encode(text)) for text in encodable(texts)]

    @property
    def loaded(self) -> tiktoken.Encoding:
        """The encoding itself.

        Raises:
            ResourceError: it could not be loaded.
        """
        return _load(self.encoding) if isinstance(self.encoding, str) else self.encoding


def counter(unit: str | TokenCounter) -> TokenCounter:
    """The counter that an option names.

    Args:
        unit: ``"characters"``, the name of a tiktoken encoding, or anything that has ``count_tokens``.

    Raises:
        ConfigError: ``unit`` is none of these.

    Example:
        >>> counter("characters")
        Characters()
    """
    if unit == "characters":
        return Characters()
    if isinstance(unit, str):
        try:
            return Tiktoken(unit)
        except ConfigError as error:
            raise ConfigError(
                f'unit={unit!r} is neither "characters" nor known to tiktoken: {error}'
            ) from None
    if isinstance(unit, TokenCounter) and not isinstance(unit, type):
        return unit
    raise ConfigError(
        'unit must be "characters", the name of a tiktoken encoding such as "cl100k_base", or an object with '
        f"count_tokens(texts), such as the pipeline's embedder; got {unit!r}"
    )


def count(by: TokenCounter, texts: Sequence[str], *, stage: str) -> list[int]:
    """What ``by`` counts for each text, checked; ``stage`` is the one that asks.

    Raises:
        StageError: not one whole number >= 0 came for each text.
    """
    counts = list(by.count_tokens(texts)) if texts else []
    if len(counts) != len(texts):
        raise StageError(
            stage,
            f"{by!r}.count_tokens must return one count a text: {len(texts)} texts, {len(counts)} counts",
        )
    for text, number in zip(texts, counts, strict=True):
        if isinstance(number, bool) or not isinstance(number, int | np.integer) or number < 0:
            raise StageError(
                stage, f"{by!r}.count_tokens must return whole numbers >= 0, got {number!r} for {text[:80]!r}"
            )
    return [int(number) for number in counts]


@functools.cache
def _load(name: str) -> tiktoken.Encoding:
    """The encoding of that name, from tiktoken's cache or from the network."""
    import tiktoken

    loaded: list[tiktoken.Encoding] = []
    failures: list[Exception] = []

    def load() -> None:
        try:
            loaded.append(tiktoken.get_encoding(name))
        except Exception as error:  # noqa: BLE001  # told to the caller below, whatever it was
            failures.append(error)

    # A thread of its own, because a network that swallows packets would otherwise hold the caller for good.
    thread = threading.Thread(target=load, name=f"load {name}", daemon=True)
    thread.start()
    thread.join(_LOADING_SECONDS)
    if loaded:
        return loaded[0]
    cause = failures[0] if failures else TimeoutError(f"nothing came within {_LOADING_SECONDS:g} seconds")
    raise ResourceError(
        f"the tiktoken encoding {name!r} could not be loaded ({type(cause).__name__}: {cause}). tiktoken "
        "downloads an encoding at its first use. Without a network: set the environment variable "
        "TIKTOKEN_CACHE_DIR to a folder that holds the encoding's file under its sha1 name (filled where "
        f'there is a network by: TIKTOKEN_CACHE_DIR=FOLDER python -c "import tiktoken; '
        f'tiktoken.get_encoding({name!r})"), or count with unit="characters" or with the embedder\'s own '
        "tokens (unit=embedder)"
    ) from cause
