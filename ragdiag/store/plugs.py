"""What all stored plugs have in common: they pass for the plug inside, and count what reached it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ragdiag.store.store import Store

__all__ = ["Asked", "StoredPlug"]


@dataclass(slots=True)
class Asked:
    """What really reached a stored plug, because the store did not hold it.

    Attributes:
        chunked: documents that were cut.
        documents: texts that were embedded as documents.
        queries: texts that were embedded as queries.
        searched: queries that an index was asked for.
        pairs: pairs of query and text that were scored.
    """

    chunked: int = 0
    documents: int = 0
    queries: int = 0
    searched: int = 0
    pairs: int = 0


@dataclass(frozen=True, repr=False)
class StoredPlug:
    """A plug whose results a store keeps.

    Two of one store are equal if their results are kept under one name, since then they answer the same.

    Attributes:
        inner: the plug that answers what the store cannot.
        store: where its results are kept.
        name: what they are kept under.
        asked: what reached ``inner``.
    """

    inner: Any = field(compare=False)
    store: Store
    name: str
    asked: Asked = field(default_factory=Asked, compare=False)

    def __repr__(self) -> str:
        return repr(self.inner)

    def __getattr__(self, name: str) -> Any:
        # What a plug may declare is open, and hasattr() must answer as it does for the one inside.
        if name.startswith("_") or name == "inner":
            raise AttributeError(name)
        return getattr(self.inner, name)
