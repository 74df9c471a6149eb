"""Health of the retriever: its metric, chunks that its index cannot reach, recall against exact search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ragdiag.diagnosis.checks.check import NotApplicable
from ragdiag.diagnosis.geometry import find_itself
from ragdiag.diagnosis.health.check import HealthCheck, Sight, of_all, percent
from ragdiag.diagnosis.health.survey import Arm, Survey
from ragdiag.stages.protocols import Similarity
from ragdiag.stages.similarity import Neighbors, exact_ranks, exact_scores

__all__ = ["CHECKS", "SearchRecall", "Unreachable"]

SAME_LENGTH = 1e-3
"""Vectors of lengths this near, relatively, rank alike by every metric: half precision rounds by 5e-4."""

ENOUGH_RECALL = 0.95
"""The recall against exact search under which an index is called too approximate: at .95, one in twenty
of the chunks that the embedder would find is lost by the index alone."""

DEPTHS = (1, 5, 10, 20, 50, 100)
"""At which ranks recall is looked at, up to as many hits as the pipeline asks for."""


@dataclass(frozen=True, slots=True)
class SearchRecall:
    """How much of an exact search an index finds, down to one rank.

    Attributes:
        retriever: the repr of what built the index.
        metric: by which the exact search compares.
        depth: of both rankings.
        recall: the mean share of the exact nearest, or of what is as near, among what the index returns.
        queries: over how many queries, or chunks in place of queries.
    """

    retriever: str
    metric: str
    depth: int
    recall: float
    queries: int


@dataclass(frozen=True, slots=True)
class Unreachable:
    """A chunk that an index does not return for its own vector, though an exact search does.

    Attributes:
        retriever: the repr of what built the index.
        chunk_id: which chunk.
    """

    retriever: str
    chunk_id: str


def _metric(survey: Survey) -> Sight:
    similarity = survey.similarity
    arms = [arm for arm in survey.arms if arm.declares]
    if not arms:
        raise NotApplicable("The retriever does not declare what its index computes (metric).")
    undeclared = [arm for arm in survey.arms if not arm.declares]
    silent = f" Not known of: {_names(undeclared)}." if undeclared else ""
    others = [arm for arm in arms if arm.metric != similarity]
    if not others:
        seen = f"Meant for {similarity}, the vectors are compared by it in {_names(arms)}."
        return Sight(warns=False, value=0.0, seen=f"{seen}{silent}")
    spread, zeros = _spread(survey.lengths)
    seen = (
        f"Meant for {similarity}, the vectors are compared by "
        f"{' and '.join(dict.fromkeys(arm.metric for arm in others))} in {_names(others)}"
    )
    if spread <= SAME_LENGTH and not zeros:
        return Sight(
            warns=False, value=0.0, seen=f"{seen}; all have the same length, so that both rank alike.{silent}"
        )
    probes, n = survey.probes, _depth(survey)
    meant = probes.nearest(survey.vectors, n, similarity)
    changed = 0.0
    for arm in others:
        computed = [near.rows for near in probes.nearest(survey.vectors, n, arm.metric)]
        changed = max(changed, 1 - float(np.mean(_recalls(survey, computed, meant, n, similarity))))
    seen += (
        f". The longest vector is {spread:.1%} longer than the shortest, and {percent(changed)} of the {n:,} "
        f"nearest are others than meant, by {probes.words}.{silent}"
    )
    return Sight(changed > 0, changed, seen)


def _unreachable(survey: Survey) -> Sight:
    rows, n = survey.sampled_rows, survey.index.pipeline.n
    lost, outscored = [], 0
    for arm in survey.arms:
        missing = _not_found(survey, arm, rows, n)
        # Under a dot product longer vectors outscore a chunk even for its own: that is no fault of the index.
        exact = exact_ranks(survey.vectors, survey.vectors[missing], list(missing[:, None]), arm.metric)
        reachable = [row for row, rank in zip(missing.tolist(), exact, strict=True) if rank[0] <= n]
        lost += [Unreachable(repr(arm.retriever), survey.chunks[row].id) for row in reachable]
        outscored += len(missing) - len(reachable)
    sampled = len(rows) < len(survey.chunks)
    chunk_ids = list(dict.fromkeys(row.chunk_id for row in lost))
    seen = (
        f"Not among the {n:,} hits for its own vector, where an exact search has it: "
        f"{of_all(len(chunk_ids), len(rows), 'sampled chunks' if sampled else 'chunks')}"
    )
    if chunk_ids:
        seen += f", {', '.join(map(repr, chunk_ids[:3]))}{' and others' if len(chunk_ids) > 3 else ''}"
    if outscored:
        seen += f"; outscored by others in an exact search, too: {outscored:,}"
    return Sight(bool(lost), len(chunk_ids) / len(rows), f"{seen}.", tuple(lost))


def _approximate(survey: Survey) -> Sight:
    probes, n = survey.probes, _depth(survey)
    depths = sorted({*(depth for depth in DEPTHS if depth < n), n})
    rows, in_words = [], []
    for arm in survey.arms:
        found = probes.found(arm.searcher, n, survey.position)
        exact = probes.nearest(survey.vectors, n, arm.metric)
        recalls = {
            depth: float(np.mean(_recalls(survey, found, exact, depth, arm.metric))) for depth in depths
        }
        name = repr(arm.retriever)
        rows += [SearchRecall(name, arm.metric, depth, recalls[depth], len(probes)) for depth in depths]
        in_words.append(
            f"{name} finds "
            + ", ".join(
                f"{percent(recalls[d])} of the {'very nearest' if d == 1 else f'{d:,} nearest'}"
                for d in depths
            )
        )
    worst = min(row.recall for row in rows)
    seen = f"By {probes.words}: {'; '.join(in_words)}."
    return Sight(worst < ENOUGH_RECALL, worst, seen, tuple(rows))


def _recalls(
    survey: Survey,
    found: Sequence[NDArray[np.intp]],
    exact: Sequence[Neighbors],
    depth: int,
    metric: Similarity,
) -> list[float]:
    """For each probe the share of its exact ``depth`` nearest, or of what is as near, among those found."""
    recalls = []
    for query, rows, nearest in zip(survey.probes.vectors, found, exact, strict=True):
        scores = exact_scores(query, survey.vectors[rows[:depth]], metric)
        recalls.append(int((scores >= nearest.scores[depth - 1]).sum()) / depth)
    return recalls


def _not_found(survey: Survey, arm: Arm, rows: Sequence[int], n: int) -> NDArray[np.intp]:
    """Those of ``rows`` that an index does not return among ``n`` hits for their own vector."""
    ranks = find_itself(arm.searcher, survey.chunks, survey.vectors, rows, n)
    return np.array([row for row, rank in zip(rows, ranks, strict=True) if rank is None], dtype=np.intp)


def _depth(survey: Survey) -> int:
    """How many hits a probe can have, as many as the pipeline asks for at most."""
    others = len(survey.chunks) - (survey.probes.own_rows is not None)
    return min(survey.index.pipeline.n, others)


def _spread(lengths: NDArray[np.float64]) -> tuple[float, bool]:
    """By how much the longest exceeds the shortest that is not zero, as a share; and whether any is zero."""
    rest = lengths[lengths > 0]
    spread = float(rest.max() / rest.min() - 1) if len(rest) else 0.0
    return spread, len(rest) < len(lengths)


def _names(arms: Sequence[Arm]) -> str:
    return " and ".join(repr(arm.retriever) for arm in arms)


CHECKS = (
    HealthCheck("metric", "share of nearest", _metric, "retriever.metric"),
    HealthCheck(
        "unreachable vectors",
        "share of chunks",
        _unreachable,
        "retriever.unreachable",
        # Without the index's own list of entries the two cannot be told apart.
        advice="See whether the index holds all chunks; if so, search wider or build it with more links.",
    ),
    HealthCheck("recall of the index", "recall", _approximate, "retriever.approximate"),
)
"""In the order in which they are shown."""
