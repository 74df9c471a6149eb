"""The one rule for ties: score descending, then input order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["order_by_score", "tied_at"]


def order_by_score(scores: ArrayLike) -> NDArray[np.intp]:
    """Positions of ``scores`` (shape (m,)), best first; equal scores keep their input order.

    Example:
        >>> order_by_score([1.0, 3.0, 3.0]).tolist()
        [1, 2, 0]
    """
    return np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")


def tied_at(scores: Sequence[float], cut: int) -> bool:
    """Whether what is cut off after the first ``cut`` of descending ``scores`` hangs on a tie."""
    return 0 < cut < len(scores) and scores[cut - 1] == scores[cut]
