"""Where a text changes its subject, as an embedder sees it.

The sentences on both sides of a gap are compared, as in TextTiling (Hearst, "TextTiling: Segmenting text into
multi-paragraph subtopic passages", Computational Linguistics 23(1), 1997), by the cosine of their embeddings.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ragdiag.spans import Range
from ragdiag.stages import boundary
from ragdiag.stages.embedders.texts import encodable
from ragdiag.stages.protocols import Embedder
from ragdiag.stages.similarity import directions

__all__ = ["distances_at_gaps", "greatest"]

_ROUNDING = 1e-6
"""What may lie between two distances that are equal but for the rounding of float32 vectors."""


def distances_at_gaps(
    text: str, sentences: Sequence[Range], embedder: Embedder, *, window: int
) -> NDArray[np.float64]:
    """The cosine distance between what stands before and behind each gap, shape (len(sentences) - 1,).

    On each side stand ``window`` sentences, or as many as there are, with what lies between them. All texts
    are embedded in one call, each once. A zero vector is at distance 1 from everything.
    """
    last = len(sentences) - 1
    before = [(sentences[max(0, i - window + 1)][0], sentences[i][1]) for i in range(last)]
    behind = [(sentences[i + 1][0], sentences[min(last, i + window)][1]) for i in range(last)]
    if not before:
        return np.empty(0)
    windows = {pair: row for row, pair in enumerate(dict.fromkeys([*before, *behind]))}
    texts = encodable([text[start:end] for start, end in windows])
    units = directions(boundary.embed_documents(embedder, texts))
    left, right = (units[[windows[pair] for pair in side]] for side in (before, behind))
    distances: NDArray[np.float64] = 1 - np.einsum("ij,ij->i", left, right)
    return distances


def greatest(distances: NDArray[np.float64], percentile: float) -> list[int]:
    """The gaps with a distance above the percentile of all (linear interpolation); none where all are equal.

    Example:
        >>> greatest(np.array([0.1, 0.9, 0.1, 0.2]), 75)
        [1]
    """
    if not len(distances):
        return []
    above = distances > np.percentile(distances, percentile) + _ROUNDING
    return [int(gap) for gap in np.flatnonzero(above)]
