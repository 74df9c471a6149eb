"""The one rule for ties: score descending, then input order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["hangs_on_tie", "order_by_score"]


def order_by_score(scores: ArrayLike) -> NDArray[np.intp]:
    """Positions of ``scores`` (shape (m,)), best first; equal scores keep their input order.

    Example:
        >>> order_by_score([1.0, 3.0, 3.0]).tolist()
        [1, 2, 0]
    """
    return np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")


def hangs_on_tie(scores: Sequence[float], rank: int | None, cut: int) -> bool:
    """Whether the cut after ``cut`` descending scores separates ``rank`` (from 1) from an equal score.

    Example:
        >>> [hangs_on_tie([3.0, 2.0, 2.0, 1.0], rank, cut=2) for rank in (1, 2, 3, 4, None)]
        [False, True, True, False, False]
    """
    if rank is None or not cut < len(scores):
        return False
    other = cut if rank <= cut else cut - 1  # the first score on the other side
    return scores[rank - 1] == scores[other]
