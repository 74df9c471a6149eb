"""Stages as a user writes them, for ``kind = "plugs_of_my_own:…"``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ragdiag.errors import MissingExtraError
from ragdiag.records import Chunk, Document
from ragdiag.stages.embedders.hashing import HashingEmbedder
from ragdiag.stages.protocols import Vectors

if TYPE_CHECKING:
    import a_package_for_type_checkers_only  # type: ignore[import-not-found]

NOT_CALLABLE = 3


@dataclass
class Style:
    name: str = "plain"


class Shape(Protocol):
    """A type that nothing can be checked against: isinstance refuses it."""

    sides: int


@dataclass
class WholeTexts:
    """A chunker with an option of every kind."""

    size: int = 1
    ratio: float = 0.5
    strict: bool = False
    names: tuple[str, ...] = ()
    weights: Sequence[float] | None = None
    limits: Mapping[str, float] | None = None
    folder: Path = Path()
    style: str | Style = "plain"
    model: str | a_package_for_type_checkers_only.Model = ""
    measure: Callable[[str], int] = len
    shape: Shape | int = 0
    later: Sequence["Nowhere"] = ()  # type: ignore[name-defined]  # noqa: F821, UP037
    table: a_package_for_type_checkers_only.Table[str] | None = None
    array: Vectors | None = None

    def chunk(self, document: Document) -> list[Chunk]:
        return [Chunk.of(document, (0, len(document.text)))] if document.text else []


class Untyped:
    def __init__(self, size, **others):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN003, ANN204
        self.size = size
        self.others = others

    def chunk(self, document: Document) -> list[Chunk]:
        return [Chunk.of(document, (0, self.size))]


class Mute:
    """An embedder that does not count tokens."""

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        return np.zeros((len(texts), 2), dtype=np.float32)

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return np.zeros((len(texts), 2), dtype=np.float32)


class Topics:
    """A chunker that needs an embedder."""

    def __init__(self, *, embedder: HashingEmbedder, threshold: float = 0.5) -> None:
        self.embedder = embedder
        self.threshold = threshold

    def chunk(self, document: Document) -> list[Chunk]:
        return [Chunk.of(document, (0, 1))]


class Fragile:
    def __init__(self, *, size: int) -> None:
        raise KeyError(size)


def needs_more(*, size: int = 1) -> Any:
    raise MissingExtraError("needs_more", f"package{size}", "more")
