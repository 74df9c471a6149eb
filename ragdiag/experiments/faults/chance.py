"""Chance that is the same everywhere: by the hash of a text, never by its place or by how many there are.

A diagnosis asks broken plugs again, with other chunks beside and in another order; what was hit before must
be hit then, and nothing else.
"""

from __future__ import annotations

import zlib
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ragdiag.stages.embedders.rows import unit_rows
from ragdiag.stages.protocols import Vectors

__all__ = ["checksum", "share_of", "turned"]


def checksum(text: str, salt: str) -> int:
    """A number in [0, 2**32) that looks random; each ``salt`` gives others."""
    return zlib.crc32(text.encode("utf-8", "surrogatepass"), zlib.crc32(salt.encode()))


def share_of(text: str, salt: str) -> float:
    """A number in [0, 1) that looks random and uniform.

    Example:
        >>> share_of("the same", "salt") == share_of("the same", "salt")
        True
    """
    return float(np.random.default_rng(checksum(text, salt)).random())


def turned(vectors: Vectors, strength: float, seed: int) -> Vectors:
    """Each row of ``vectors`` (shape (m, d)) mixed with what another model would make of it, at its length.

    That model is a fixed rotation (dimensions change places and signs), which keeps all angles between what
    it makes and has nothing to do with the vectors as they are. At ``strength`` 1 nothing but it is left.
    """
    places, signs = _rotation(vectors.shape[1], seed)
    mixed = (1 - strength) * vectors + strength * vectors[:, places] * signs
    turned: Vectors = unit_rows(mixed) * np.linalg.norm(vectors, axis=1, keepdims=True)
    return turned.astype(np.float32)


@cache
def _rotation(dimensions: int, seed: int) -> tuple[NDArray[np.intp], Vectors]:
    rng = np.random.default_rng([seed, dimensions])
    return rng.permutation(dimensions), rng.choice(np.array([-1, 1], np.float32), dimensions)
