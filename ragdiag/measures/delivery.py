"""What one query got of its evidence, in the numbers that every span measure needs.

All characters counted here are non-whitespace characters, and a prefix of a ranking is its first r chunks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ragdiag.errors import DataError

__all__ = ["Delivery"]


@dataclass(frozen=True, slots=True, eq=False)
class Delivery:
    """What one assessed query got from a ranking (or a context) of m chunks, best first, in numbers.

    Index r of the arrays of length m + 1 speaks of the union of the first r chunks, r = 0 … m. Evidence of
    a whole document counts all of its characters as evidence, and none is missing once any chunk of it came.

    Attributes:
        unit_coverage: coverage of each unit (its best alternative) by each prefix, shape (m + 1, units).
        evidence_characters: characters of any alternative of any unit inside each prefix, each counted
            once, shape (m + 1,).
        missing_characters: characters that each prefix still lacks, each counted once, where every unit
            takes the alternative of which least is missing, shape (m + 1,).
        chunk_characters: characters of each chunk, shape (m,); what two chunks share counts in both.
        relevant: whether each chunk counts for context precision, shape (m,).
        tokens: what each chunk takes of a token budget, shape (m,); None where tokens were not counted.
        touching: (characters of evidence, characters in all) in the union of every chunk of the index that
            shares a character with any alternative; None where the index was not looked at.

    Raises:
        DataError: no unit, shapes that do not fit, coverage that falls or leaves [0, 1] or is not 0 for
            the empty prefix, negative counts, or more evidence than text.

    Example:
        A unit of 20 characters, one half in each of two chunks of 40 characters:

        >>> Delivery([[0], [0.5], [1]], [0, 10, 20], [20, 10, 0], [40, 40], [True, True]).first_ranks()
        array([2.])
    """

    unit_coverage: NDArray[np.float64]
    evidence_characters: NDArray[np.int64]
    missing_characters: NDArray[np.int64]
    chunk_characters: NDArray[np.int64]
    relevant: NDArray[np.bool_]
    tokens: NDArray[np.int64] | None = None
    touching: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        for name, dtype in _DTYPES.items():
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, np.asarray(value, dtype=dtype))
        self._check_shapes()
        self._check_values()

    def _check_shapes(self) -> None:
        coverage, m = self.unit_coverage, self.chunk_characters.size
        if coverage.ndim != 2 or coverage.shape[1] == 0:
            raise DataError(
                "Delivery.unit_coverage must have shape (m + 1, units) with at least one unit, got "
                f"{coverage.shape}; a query without evidence has no Delivery"
            )
        for name, shape in (
            ("chunk_characters", (m,)),
            ("unit_coverage", (m + 1, coverage.shape[1])),
            ("evidence_characters", (m + 1,)),
            ("missing_characters", (m + 1,)),
            ("relevant", (m,)),
            ("tokens", (m,)),
        ):
            value = getattr(self, name)
            if value is not None and value.shape != shape:
                raise DataError(f"Delivery.{name} must have shape {shape} for {m} chunks, got {value.shape}")

    def _check_values(self) -> None:
        coverage = self.unit_coverage
        if not (coverage[0] == 0).all():
            raise DataError(f"Delivery.unit_coverage must be 0 for the empty prefix, got {coverage[0]}")
        if not ((np.diff(coverage, axis=0) >= 0).all() and (coverage[-1] <= 1).all()):
            raise DataError("Delivery.unit_coverage must stay in [0, 1] and never fall from prefix to prefix")
        for name in ("evidence_characters", "missing_characters", "chunk_characters", "tokens"):
            value = getattr(self, name)
            if value is not None and (value < 0).any():
                raise DataError(f"Delivery.{name} must be >= 0, got {value[value < 0][0]}")
        delivered = np.concatenate([[0], self.chunk_characters.cumsum()])
        if (self.evidence_characters > delivered).any():
            r = int(np.argmax(self.evidence_characters > delivered))
            raise DataError(
                f"Delivery: the first {r} chunks have {delivered[r]} characters "
                f"but {self.evidence_characters[r]} characters of evidence"
            )
        if self.touching is not None and not 0 <= self.touching[0] <= self.touching[1]:
            raise DataError(
                f"Delivery.touching must be (evidence, all) with 0 <= evidence <= all, got {self.touching}"
            )

    def first_ranks(self, min_coverage: float = 1.0) -> NDArray[np.float64]:
        """The rank (from 1) at which each unit is delivered, shape (units,); inf for a unit that never is."""
        # Coverage never falls, so the prefixes that do not deliver a unit are exactly those before its rank.
        ranks = (self.unit_coverage < min_coverage).sum(axis=0)
        return np.where(ranks > self.chunk_characters.size, np.inf, ranks)


_DTYPES = {
    "unit_coverage": np.float64,
    "evidence_characters": np.int64,
    "missing_characters": np.int64,
    "chunk_characters": np.int64,
    "relevant": np.bool_,
    "tokens": np.int64,
}
