"""Queries in two parts: on one a pipeline is selected, on the other it is judged."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ragdiag.errors import ConfigError, DataError
from ragdiag.measures.statistics import Clusters

__all__ = ["Split", "split_queries"]

_TOLERANCE = 0.1  # of all queries: by how much documents that stay whole may miss the share


@dataclass(frozen=True, eq=False)
class Split:
    """Which queries are for selection and which for judgment.

    Attributes:
        selection: positions of queries, ascending.
        judgment: positions of the others, ascending.
        by: ``document``: no query of one part shares a document with one of the other, so that what is
            selected is judged on documents that had no say in it. ``query``: documents are shared so widely
            that this cannot be had; the judgment may then be a little too kind.
    """

    selection: NDArray[np.intp]
    judgment: NDArray[np.intp]
    by: Literal["document", "query"]


def split_queries(documents: Sequence[Iterable[Hashable]], *, share: float = 0.5, seed: int = 0) -> Split:
    """Split queries, given the ``documents`` that each of them needs, in two parts by chance.

    Queries that share a document fall on the same side, as long as the parts then miss their share by no more
    than a tenth of all queries; else each query falls as it may. The best of many pipelines looks better than
    it is on the queries that chose it: judge it on the others.

    Args:
        documents: of each query; a query without documents shares none.
        share: of the queries that are for selection.
        seed: of chance.

    Raises:
        DataError: fewer than two queries.
        ConfigError: the share is not inside (0, 1).

    Example:
        >>> split = split_queries([["a"], ["a", "b"], ["c"], ["d"], ["b"], ["c"]])
        >>> split.selection.tolist(), split.judgment.tolist(), split.by
        ([0, 1, 4], [2, 3, 5], 'document')
    """
    if not 0 < share < 1:
        raise ConfigError(f"share must be inside (0, 1), got {share!r}")
    n = len(documents)
    if n < 2:
        raise DataError(f"split_queries: two parts need at least two queries, got {n}")
    chance = np.random.default_rng(seed)
    wanted = min(max(round(share * n), 1), n - 1)
    blocks = Clusters.of(documents).blocks
    selected = _whole_blocks(blocks, wanted, chance)[blocks]
    missed = abs(int(selected.sum()) - wanted)
    whole = missed <= _TOLERANCE * n and 0 < selected.sum() < n
    if not whole:
        selected = np.zeros(n, dtype=bool)
        selected[chance.permutation(n)[:wanted]] = True
    return Split(np.flatnonzero(selected), np.flatnonzero(~selected), "document" if whole else "query")


def _whole_blocks(blocks: NDArray[np.intp], wanted: int, chance: np.random.Generator) -> NDArray[np.bool_]:
    """Which blocks are selected: the largest first, each for the part that lacks more of its share."""
    sizes = np.bincount(blocks)
    shuffled = chance.permutation(len(sizes))
    selected = np.zeros(len(sizes), dtype=bool)
    lacking = [len(blocks) - wanted, wanted]
    for block in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:
        part = lacking[1] > lacking[0] or (lacking[1] == lacking[0] and chance.random() < 0.5)
        selected[block] = part
        lacking[part] -= int(sizes[block])
    return selected
