"""What the chunkers of other libraries have in common once they are plugs."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from importlib.metadata import PackageNotFoundError, version
from typing import Any, ClassVar, NamedTuple

from ragdiag.adapters.describing import describe
from ragdiag.adapters.placing import Piece, Placed, Placement, place
from ragdiag.errors import ConfigError, MissingExtraError, RagdiagWarning
from ragdiag.records import Chunk, Document
from ragdiag.stages.embedders.texts import encodable

__all__ = ["ForeignChunker", "Library"]


class Library(NamedTuple):
    """Where a chunker comes from.

    Attributes:
        distribution: what is installed.
        package: what is imported.
        extra: the extra of this project that installs it.
        method: what an object of it is asked for chunks with.
    """

    distribution: str
    package: str
    extra: str
    method: str


@dataclass(frozen=True, repr=False, eq=False)
class ForeignChunker(ABC):
    """A chunker of another library as a plug: the object itself, left as it is.

    Every chunk says where its text stands in the document. What a library says about that is verified; where
    it says nothing or is wrong, chunks are located by their text (the rules: `ragdiag.adapters.placing`).
    ``index_text`` is the library's text; so is ``text``, unless a part of it is not in the document. Chunks
    without a visible character are dropped.

    The ``repr`` names the library, its version and the settings of the object as they were when it was handed
    over. A part that cannot be known is shown with its address in memory, by which a store sees that it must
    not keep results under that name; give a ``name`` then, and a new one with every change.

    Pickling an adapter pickles the object, if its library can.

    Attributes:
        name: what stands in the ``repr`` in place of the object's settings.
        placement: ``"verified"`` where the library says where each chunk stands; ``"mixed"`` where it does
            but is sometimes wrong; ``"located"`` where it says nothing, or what a search of its own found,
            so that its chunks are located by their text.
        library: where its objects come from.

    Raises:
        MissingExtraError: the library is not installed.
        ConfigError: what was handed over is not an object of it.
    """

    name: str | None = field(default=None, kw_only=True)
    _settings: tuple[str, ...] = field(default=(), init=False)

    placement: ClassVar[Placement]
    library: ClassVar[Library]

    def __post_init__(self) -> None:
        kind = type(self).__name__
        try:
            release = version(self.library.distribution)
        except PackageNotFoundError as error:
            raise MissingExtraError(kind, self.library.package, self.library.extra) from error
        (first, taken), *options = self._taken()
        if isinstance(taken, type) or not callable(getattr(taken, self.library.method, None)):
            got = f"the class {taken.__name__}" if isinstance(taken, type) else repr(taken)
            raise ConfigError(
                f"{kind}.{first} must be an object of {self.library.distribution} with "
                f"{self.library.method}, got {got}"
            )
        settings = (
            describe(taken) if self.name is None else repr(self.name),
            *(f"{option}={value!r}" for option, value in options),
            f"{self.library.distribution} {release}",
        )
        object.__setattr__(self, "_settings", settings)

    def _taken(self) -> list[tuple[str, Any]]:
        """The library's object, and the options beside it, by the names of their fields."""
        own = [f.name for f in fields(self) if f.name not in ForeignChunker.__dataclass_fields__]
        return [(name, getattr(self, name)) for name in own]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self._settings)})"

    def chunk(self, document: Document) -> list[Chunk]:
        """The chunks of one document, in the library's order.

        A `RagdiagWarning` tells where text of the library is not in the document; `place` returns the counts.
        """
        placed = self.place(document)
        if placed.partly or placed.left_out:
            warnings.warn(
                f"document {document.id!r}: of {len(placed.chunks) + placed.left_out} chunks of "
                f"{type(self).__name__}, {placed.partly} hold text that is not the document's and deliver "
                f"the part that is, and {placed.left_out} are left out because they stand nowhere in it; "
                f"{placed.unlocated_characters} characters are not the document's",
                RagdiagWarning,
                stacklevel=2,
            )
        return list(placed.chunks)

    def place(self, document: Document) -> Placed:
        """The same chunks, and how it is known where each of them stands."""
        return place(document, self._pieces(encodable([document.text])[0]))

    @abstractmethod
    def _pieces(self, text: str) -> Sequence[Piece]:
        """What the library makes of a text that has no lone surrogates."""
