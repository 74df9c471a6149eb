"""How the vectors of a corpus lie: hubs, anisotropy, equal texts, and whether a chunk finds itself.

Pure functions over vectors and searchers, without a query's evidence. They work in blocks of rows, so that
vectors may be memory-mapped.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ragdiag.errors import DataError
from ragdiag.records import Chunk, Request
from ragdiag.stages import boundary
from ragdiag.stages.protocols import Searcher, Similarity, Vectors
from ragdiag.stages.similarity import BLOCK_ROWS, directions, exact_scores, nearest

__all__ = ["cosines", "find_itself", "hub_counts", "mean_cosine", "norms", "same_texts", "skewness"]

_REQUESTS = 1000  # asked at once: their hits are kept only until they are looked through


def hub_counts(
    vectors: Vectors,
    query_vectors: Vectors,
    n: int,
    similarity: Similarity,
    *,
    own_rows: Sequence[int] | None = None,
) -> NDArray[np.intp]:
    """For how many queries each chunk is among the exact ``n`` nearest, shape (chunks,).

    Its k-occurrence: the counts sum to n times the queries, and a chunk far above the mean is a *hub*.

    Args:
        vectors: one row a chunk, shape (chunks, d).
        query_vectors: shape (queries, d).
        n: how many nearest chunks a query has; at least 1.
        similarity: how vectors are compared.
        own_rows: where the queries are themselves chunks, the row of each: no chunk is its own neighbor.

    Source: Radovanović, Nanopoulos & Ivanović, "Hubs in space", JMLR 11, 2010, section 2.

    Example:
        >>> vectors = np.array([[1, 0], [1, 0.1], [0, 1]], dtype=np.float32)
        >>> hub_counts(vectors, vectors[:2], 1, "cosine").tolist()
        [1, 1, 0]
        >>> hub_counts(vectors, vectors, 1, "cosine", own_rows=[0, 1, 2]).tolist()
        [1, 2, 0]
    """
    counts = np.zeros(len(vectors), dtype=np.intp)
    if own_rows is None:
        for neighbors in nearest(vectors, query_vectors, n, similarity):
            counts[neighbors.rows] += 1
        return counts
    found = nearest(vectors, query_vectors, n + 1, similarity)
    for own, neighbors in zip(own_rows, found, strict=True):
        counts[neighbors.rows[neighbors.rows != own][:n]] += 1
    return counts


def skewness(counts: NDArray[np.integer]) -> float:
    """The third standardized moment of ``counts`` (shape (m,), m >= 1), without unit; 0 for constant ones.

    Of k-occurrences: near 0 where chunks are found about equally often, and the larger the more some few are
    found at the expense of the rest.

    Source: Radovanović et al., 2010, equation 1.

    Example:
        >>> skewness(np.array([1, 1, 1])), round(skewness(np.array([0, 0, 0, 4])), 3)
        (0.0, 1.155)
    """
    deviations = counts - counts.mean()
    variance = float(np.square(deviations).mean())
    return float((deviations**3).mean() / variance**1.5) if variance else 0.0


def mean_cosine(vectors: Vectors) -> float:
    """The mean cosine of two different rows of ``vectors`` (shape (m, d)), over all pairs, from -1 to 1.

    Near 0 where directions are spread evenly; near 1 where all vectors point the same way (*anisotropy*), and
    cosines tell little apart. It needs no pairs: the squared length of the sum of unit vectors is the sum of
    all cosines. Rows of zeros have no direction and are left out.

    Raises:
        DataError: fewer than two rows have a direction.

    Source: Ethayarajh, "How contextual are contextualized word representations?", EMNLP 2019, section 3.2,
    which estimates it from random pairs.

    Example:
        >>> mean_cosine(np.array([[2, 0], [0, 1], [0, 3]], dtype=np.float32))  # cosines 0, 0 and 1
        0.3333333333333333
    """
    total, rows = np.zeros(vectors.shape[1]), 0
    for _, block in _blocks(vectors):
        units = directions(block)
        total += units.sum(axis=0)
        rows += int(np.count_nonzero(units.any(axis=1)))
    if rows < 2:
        raise DataError(f"a mean cosine needs two vectors that are not zero, got {rows}")
    return float((np.square(total).sum() - rows) / (rows * (rows - 1)))


def norms(vectors: Vectors) -> NDArray[np.float64]:
    """The Euclidean length of each row of ``vectors`` (shape (m, d)), shape (m,).

    Example:
        >>> norms(np.array([[3, 4], [0, 0]], dtype=np.float32)).tolist()
        [5.0, 0.0]
    """
    lengths = np.empty(len(vectors))
    for start, block in _blocks(vectors):
        lengths[start : start + len(block)] = np.linalg.norm(block.astype(np.float64), axis=1)
    return lengths


def cosines(vectors: Vectors, vector: Vectors) -> NDArray[np.float64]:
    """The cosine of each row of ``vectors`` (shape (m, d)) with ``vector`` (shape (d,)), shape (m,).

    Each is worked out row by row in float64, as every score of `ragdiag.stages.similarity`: it does not
    depend on what else is asked. A zero vector has cosine 0 with everything.

    Example:
        >>> cosines(np.eye(2, dtype=np.float32), np.array([0, 2], dtype=np.float32)).tolist()
        [0.0, 1.0]
    """
    scores = np.empty(len(vectors))
    for start, block in _blocks(vectors):
        scores[start : start + len(block)] = exact_scores(vector, block, "cosine")
    return scores


def same_texts(texts: Sequence[str]) -> list[list[int]]:
    """The positions of texts that are equal but for whitespace: a list for each text that comes twice.

    Positions ascend; the lists are in the order of their first positions. What is only whitespace is no text.

    Example:
        >>> same_texts(["a b", "c", "a  b ", "", " "])
        [[0, 2]]
    """
    groups: dict[str, list[int]] = defaultdict(list)
    for position, text in enumerate(texts):
        groups[_words(text)].append(position)
    return [positions for text, positions in groups.items() if text and len(positions) > 1]


def find_itself(
    searcher: Searcher, chunks: Sequence[Chunk], vectors: Vectors | None, rows: Sequence[int], n: int
) -> list[int | None]:
    """The rank (from 1) at which an index returns each chunk of ``rows`` when it is asked for that chunk.

    The request is the chunk's own vector and its ``index_text``, without a filter. A chunk with the same
    ``index_text`` (but for whitespace) or the same vector is as good as itself. None where neither is among
    the first ``n``: no query can find it by its nearness.

    Args:
        searcher: an index over ``chunks``.
        chunks: all of them.
        vectors: one row a chunk, shape (chunks, d); None for a pipeline without an embedder.
        rows: the positions of the chunks that are asked for.
        n: how many hits are asked for; at least 1.

    Raises:
        StageError: the searcher broke its contract; the "query" it names is the chunk's id.
    """
    position = {chunk.id: row for row, chunk in enumerate(chunks)}

    def is_same(a: int, b: int) -> bool:
        if a == b or (vectors is not None and np.array_equal(vectors[a], vectors[b])):
            return True
        return _words(chunks[a].index_text) == _words(chunks[b].index_text)

    ranks: list[int | None] = []
    for first in range(0, len(rows), _REQUESTS):
        asked = rows[first : first + _REQUESTS]
        requests = [
            Request(chunks[row].id, chunks[row].index_text, None if vectors is None else vectors[row])
            for row in asked
        ]
        for row, hits in zip(asked, boundary.search(searcher, requests, n, position), strict=True):
            places = enumerate((position[hit.chunk_id] for hit in hits), start=1)
            ranks.append(next((rank for rank, place in places if is_same(place, row)), None))
    return ranks


def _words(text: str) -> str:
    """A text with one space for each run of whitespace and none at its ends."""
    return " ".join(text.split())


def _blocks(vectors: Vectors) -> Iterator[tuple[int, Vectors]]:
    """Blocks of rows with the number of their first one."""
    for start in range(0, len(vectors), BLOCK_ROWS):
        yield start, np.asarray(vectors[start : start + BLOCK_ROWS])
