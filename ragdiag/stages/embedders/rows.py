"""Vectors at length 1."""

from __future__ import annotations

import numpy as np

from ragdiag.stages.protocols import Vectors

__all__ = ["unit_rows"]


def unit_rows(vectors: Vectors) -> Vectors:
    """Each row of ``vectors`` (shape (m, d)) at length 1; a row of zeros becomes the first unit vector.

    Example:
        >>> unit_rows(np.array([[3, 4], [0, 0]], dtype=np.float32)).tolist()
        [[0.6000000238418579, 0.800000011920929], [1.0, 0.0]]
    """
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    units: Vectors = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    units[lengths[:, 0] == 0, 0] = 1
    return units
