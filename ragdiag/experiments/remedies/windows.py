"""Any reranker over long texts: by the window of each that scores best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass

from ragdiag.errors import ConfigError
from ragdiag.records import Document
from ragdiag.stages.chunkers.recursive import RecursiveChunker
from ragdiag.stages.protocols import Reranker, is_plug

__all__ = ["BestWindowReranker"]


@dataclass(frozen=True)
class BestWindowReranker:
    """A text's score is that of its best window, so that nothing lies beyond what the reranker reads.

    Windows are cut as `RecursiveChunker` cuts, at paragraphs and sentences where that is possible; a text
    that fits is its only window.

    Args:
        reranker: what scores.
        size: the most characters of a window.
        overlap: the most characters that a window shares with the one before it.

    Raises:
        ConfigError: ``reranker`` is none, or an option that cannot work.

    Source: Dai & Callan, "Deeper text understanding for IR with contextual neural language modeling", SIGIR
    2019 (MaxP).

    Example:
        >>> class Shortest:
        ...     def score(self, query: str, texts: Sequence[str]) -> list[float]:
        ...         return [-float(len(text)) for text in texts]
        >>> BestWindowReranker(Shortest(), size=20, overlap=0).score("?", ["Six words are here. Two here."])
        [-9.0]
    """

    reranker: Reranker
    _: KW_ONLY
    size: int
    overlap: int

    def __post_init__(self) -> None:
        if not is_plug("reranker", self.reranker):
            raise ConfigError(f"BestWindowReranker.reranker must be a reranker, got {self.reranker!r}")
        RecursiveChunker(self.size, overlap=self.overlap)  # refuses what cannot be a size

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """One score a text, higher is better."""
        cutter = RecursiveChunker(self.size, overlap=self.overlap)
        windows = [
            [window.text for window in cutter.chunk(Document("text", text))] or [text] for text in texts
        ]
        scores = iter(self.reranker.score(query, [window for of_text in windows for window in of_text]))
        return [max(float(next(scores)) for _ in of_text) for of_text in windows]
