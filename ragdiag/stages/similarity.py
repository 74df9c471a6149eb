"""Exact similarity search: the one definition of "the n nearest vectors", and the rank of a given vector.

A score is defined in float64, row by row, so that it does not depend on how the matrix product was blocked
or threaded. The product itself runs in float32 over blocks of rows (which may be memory-mapped) and is only
used to *exclude*: a row whose float32 score is further from the threshold than rounding can explain is
counted as it is; the few rows in between are scored again in float64. Ranks follow the one tie rule: score
descending, then row order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ragdiag.stages.protocols import Similarity, Vectors
from ragdiag.stages.ranking import order_by_score

__all__ = ["Neighbors", "directions", "exact_ranks", "exact_scores", "nearest"]

# A block of scores is at most 8,192 x 1,000 float32 values, 32 MB: smaller ones starve the matrix product.
BLOCK_ROWS = 8192
_BLOCK_QUERIES = 1000
# Scores of 16 queries are compared at once: half a megabyte, which stays in the cache between comparisons.
_SLICE = 16
# A float32 dot product errs by about sqrt(d) units of rounding at most (Higham & Mary, 2019, "A new approach
# to probabilistic rounding error analysis"), and by less where it sums in lanes; the factor is the margin.
_ROUNDING_MARGIN = 1.5
# Rows this close to length 1, as most embedders make them, are not scaled again: the margin takes it up.
_UNIT_LENGTH = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Neighbors:
    """The nearest rows of one query, best first: ``rows`` and their float64 ``scores``, both shape (n,)."""

    rows: NDArray[np.intp]
    scores: NDArray[np.float64]


def directions(vectors: Vectors) -> NDArray[np.float64]:
    """The rows of ``vectors`` (shape (m, d)) at length 1, in float64; rows of zeros stay so."""
    rows = vectors.astype(np.float64)
    lengths = np.sqrt(np.square(rows).sum(axis=1, keepdims=True))
    units: NDArray[np.float64] = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
    return units


def exact_scores(query: Vectors, rows: Vectors, similarity: Similarity) -> NDArray[np.float64]:
    """The defining scores of ``rows`` (shape (m, d)) for one query (shape (d,)), higher is better.

    ``"l2"`` is the negative squared Euclidean distance. A zero vector has cosine 0 with everything.
    """
    a = np.ascontiguousarray(rows, dtype=np.float64)
    q = np.asarray(query, dtype=np.float64)
    if similarity == "l2":
        distances: NDArray[np.float64] = np.square(a - q).sum(axis=1)
        return -distances
    products: NDArray[np.float64] = (a * q).sum(axis=1)
    if similarity == "dot":
        return products
    norms = np.sqrt(np.square(a).sum(axis=1)) * np.sqrt(np.square(q).sum())
    cosines: NDArray[np.float64] = np.divide(products, norms, out=np.zeros_like(products), where=norms > 0)
    return cosines


def nearest(
    vectors: Vectors,
    queries: Vectors,
    n: int,
    similarity: Similarity,
    *,
    allowed: Sequence[NDArray[np.bool_] | None] | None = None,
) -> list[Neighbors]:
    """The exact ``n`` nearest of ``vectors`` (shape (m, d)) to each of ``queries`` (shape (q, d)).

    Args:
        vectors: what is searched; may be memory-mapped.
        queries: what is asked.
        n: how many; fewer come back where fewer are allowed.
        similarity: how vectors are compared.
        allowed: for each query a mask over the rows, shape (m,), or None for all of them.
    """
    masks = allowed if allowed is not None else [None] * len(queries)
    result: list[Neighbors] = []
    for first in range(0, len(queries), _BLOCK_QUERIES):
        group = queries[first : first + _BLOCK_QUERIES]
        shortlists = [_Shortlist(n) for _ in group]
        for start, scores, margins in _score_blocks(vectors, group, similarity):
            for i, shortlist in enumerate(shortlists):
                mask = masks[first + i]
                within = None if mask is None else mask[start : start + scores.shape[1]]
                shortlist.offer(start, scores[i], float(margins[i]), within)
        for query, shortlist in zip(group, shortlists, strict=True):
            rows = shortlist.rows()
            exact = exact_scores(query, vectors[rows], similarity)
            best = order_by_score(exact)[:n]
            result.append(Neighbors(rows[best], exact[best]))
    return result


class _Shortlist:
    """The rows that may be among the n best, given float32 scores and what rounding can explain."""

    def __init__(self, n: int) -> None:
        self._n = n
        self._rows = np.empty(0, dtype=np.intp)
        self._upper = np.empty(0, dtype=np.float64)  # the highest score that each row can really have
        self._threshold = -np.inf
        self._widest = 0.0

    def offer(
        self, start: int, scores: NDArray[np.float32], margin: float, within: NDArray[np.bool_] | None
    ) -> None:
        candidate = scores >= self._threshold - margin
        if within is not None:
            candidate &= within
        found = np.flatnonzero(candidate)
        if not len(found):
            return
        self._widest = max(self._widest, margin)
        self._rows = np.concatenate([self._rows, found + start])
        self._upper = np.concatenate([self._upper, scores[found].astype(np.float64) + margin])
        if len(self._rows) > self._n:
            # At least n rows really score this much; whatever cannot reach it is out.
            nth = np.partition(self._upper, len(self._upper) - self._n)[len(self._upper) - self._n]
            self._threshold = max(self._threshold, nth - 2 * self._widest)
            keep = self._upper >= self._threshold
            self._rows, self._upper = self._rows[keep], self._upper[keep]

    def rows(self) -> NDArray[np.intp]:
        return self._rows


def exact_ranks(
    vectors: Vectors,
    queries: Vectors,
    targets: Sequence[NDArray[np.intp]],
    similarity: Similarity,
) -> list[NDArray[np.int64]]:
    """The exact rank (from 1) of given rows for each query, without sorting anything.

    A rank is one more than the number of rows that come before it: a better score, or an equal score and an
    earlier row.

    Args:
        vectors: shape (m, d); may be memory-mapped.
        queries: shape (q, d).
        targets: for each query the rows whose rank is asked.
        similarity: how vectors are compared.

    Returns:
        For each query the ranks, in the order of its targets.
    """
    ranks: list[NDArray[np.int64]] = []
    for first in range(0, len(queries), _BLOCK_QUERIES):
        group = slice(first, first + _BLOCK_QUERIES)
        ranks += _ranks_of_group(vectors, queries[group], targets[group], similarity)
    return ranks


def _ranks_of_group(
    vectors: Vectors,
    queries: Vectors,
    targets: Sequence[NDArray[np.intp]],
    similarity: Similarity,
) -> list[NDArray[np.int64]]:
    owner = np.repeat(np.arange(len(queries)), [len(t) for t in targets])
    if not len(owner):
        return [np.empty(0, dtype=np.int64) for _ in targets]
    target = np.concatenate([np.asarray(t, dtype=np.intp) for t in targets])
    own = np.concatenate(
        [
            exact_scores(q, vectors[np.asarray(t, dtype=np.intp)], similarity)
            for q, t in zip(queries, targets, strict=True)
        ]
    )
    surely_before = np.zeros(len(owner), dtype=np.int64)
    in_doubt: list[list[NDArray[np.intp]]] = [[] for _ in owner]
    slices = [np.arange(i, min(i + _SLICE, len(owner))) for i in range(0, len(owner), _SLICE)]
    one_each = len(owner) == len(queries) and bool((owner == np.arange(len(owner))).all())

    for start, scores, margins in _score_blocks(vectors, queries, similarity):
        lower = (own - margins[owner]).astype(np.float32)[:, None]
        upper = (own + margins[owner]).astype(np.float32)[:, None]

        for part in slices:
            # The block is read where it lies unless a query has several targets.
            rows = scores[part[0] : part[-1] + 1] if one_each else scores[owner[part]]
            # Few are touched where the targets rank high: most blocks hold no rival.
            touched = np.flatnonzero(rows.max(axis=1) >= lower[part, 0])
            if not len(touched):
                continue
            rivals, of = (rows, part) if len(touched) == len(part) else (rows[touched], part[touched])
            at_least, sure = _count_true(rivals >= lower[of]), _count_true(rivals > upper[of])
            surely_before[of] += sure
            for row in np.flatnonzero(at_least > sure).tolist():
                doubtful = (rivals[row] >= lower[of[row]]) & (rivals[row] <= upper[of[row]])
                in_doubt[of[row]].append(np.flatnonzero(doubtful) + start)

    for j, i in enumerate(owner):
        if in_doubt[j]:
            near = np.concatenate(in_doubt[j])
            scores64 = exact_scores(queries[i], vectors[near], similarity)
            surely_before[j] += np.count_nonzero(
                (scores64 > own[j]) | ((scores64 == own[j]) & (near < target[j]))
            )
    return list(np.split(surely_before + 1, np.cumsum([len(t) for t in targets])[:-1]))


def _count_true(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The number of True in each row; eight at a time, which is several times faster than a sum."""
    whole = mask.shape[1] // 8 * 8
    words = np.ascontiguousarray(mask[:, :whole]).view(np.uint64)
    # A row of a block has at most 8,192 entries, so that 16 bits hold its count.
    counts: NDArray[np.int64] = np.bitwise_count(words).sum(axis=1, dtype=np.uint16).astype(np.int64)
    counts += mask[:, whole:].sum(axis=1, dtype=np.int64)
    return counts


def _score_blocks(
    vectors: Vectors, queries: Vectors, similarity: Similarity
) -> Iterator[tuple[int, NDArray[np.float32], NDArray[np.float64]]]:
    """Float32 scores of all queries against block after block of rows.

    Yields:
        The block's first row; the scores, shape (q, rows of the block), valid until the next block; and by
        how much each query's scores may differ from the defining ones, shape (q,).
    """
    queries = np.ascontiguousarray(queries, dtype=np.float32)
    query_norms = np.sqrt(np.einsum("ij,ij->i", queries, queries, dtype=np.float64))
    if similarity == "cosine":
        queries = queries / np.where(query_norms > 0, query_norms, 1).astype(np.float32)[:, None]
    rounding = _ROUNDING_MARGIN * np.sqrt(queries.shape[1]) * 2.0**-24
    buffer = np.empty((len(queries), min(BLOCK_ROWS, len(vectors))), dtype=np.float32)
    for start in range(0, len(vectors), BLOCK_ROWS):
        block: Vectors = np.asarray(vectors[start : start + BLOCK_ROWS], dtype=np.float32)
        squares: NDArray[np.float32] = np.einsum("ij,ij->i", block, block)
        norms = np.sqrt(squares)
        largest = float(norms.max())
        off_unit = 0.0
        if similarity == "cosine":
            off_unit = float(np.abs(norms - 1).max())
            if off_unit > _UNIT_LENGTH:
                block = np.divide(block, np.where(norms > 0, norms, 1)[:, None], dtype=np.float32)
                off_unit = 0.0
        scores = buffer[:, : len(block)]
        np.matmul(queries, block.T, out=scores)
        margins: NDArray[np.float64]
        if similarity == "cosine":
            margins = np.full(len(queries), rounding + off_unit)
        elif similarity == "dot":
            margins = rounding * query_norms * largest
        else:
            scores *= 2
            scores -= squares
            scores -= np.square(query_norms).astype(np.float32)[:, None]
            margins = rounding * np.square(query_norms + largest)
        yield start, scores, margins
