"""What does the index hold of a chunk, and does it look there? Checks of one entry of an index."""

from __future__ import annotations

import numpy as np

from ragdiag.diagnosis.checks.bench import Bench, Loss
from ragdiag.diagnosis.checks.check import Check, NotApplicable
from ragdiag.diagnosis.checks.probes import Missed, complete, look_for
from ragdiag.diagnosis.geometry import norms
from ragdiag.diagnosis.verdicts import Finding
from ragdiag.stages.protocols import Similarity
from ragdiag.stages.similarity import exact_scores

__all__ = ["CHECKS"]

_SCORES: dict[Similarity, str] = {
    "cosine": "cosines",
    "dot": "dot products",
    "l2": "negative squared distances",
}


def missing_from_index(bench: Bench, loss: Loss) -> Finding | None:
    """Whether no search returns the chunk, of an index that looks at all it holds."""
    missed = look_for(bench, loss)
    if missed.is_found or not _is_missing(missed):
        return None
    asked = "vector" if missed.by_vectors else "text"
    observation = (
        f"Asked for all {missed.size:,} chunks, {missed.part.name} returns {len(missed.wide.rows):,} for the "
        f"query and {len(missed.own.rows):,} for the chunk's own {asked}; {missed.chunk_id!r} is not among "
        f"them, nor among the hits of any other query."
    )
    return Finding("retriever.missing_from_index", observation, "measured")


def _is_missing(missed: Missed) -> bool:
    wide, own = missed.wide.rank_of(missed.position), missed.own.rank_of(missed.position)
    return wide is None and own is None and not missed.was_seen and missed.looks_everywhere


def stale_vectors(bench: Bench, loss: Loss) -> Finding | None:
    """Whether the index scores the chunk below what its own vector scores, which would be a candidate's."""
    missed = look_for(bench, loss)
    metric, _ = _metric(missed)
    if missed.is_found:
        return None
    rank = missed.wide.rank_of(missed.position)
    if rank is None or not missed.held_apart(metric):
        return None
    exact = missed.rank_by(metric)
    if exact > missed.n and loss.verdict.proof != "joint":
        return None
    observation = (
        f"{missed.part.name} scores {missed.chunk_id!r} {missed.wide.scores[rank - 1]:.4g} for the query, rank "
        f"{rank:,} of {len(missed.wide.rows):,}; the vector that the embedder makes of it scores "
        f"{missed.exact(metric)[missed.position]:.4g} ({_SCORES[metric]}), rank {exact:,}."
    )
    return Finding("retriever.stale_vectors", observation, "measured")


def metric(bench: Bench, loss: Loss) -> Finding | None:
    """Whether the index compares in another way than the embedder, which puts the chunk beyond n."""
    missed = look_for(bench, loss)
    computed, is_shown = _metric(missed)
    meant = bench.similarity
    if missed.is_found or computed == meant:
        return None
    rank, should_be = missed.rank_by(computed), missed.rank_by(meant)
    if rank <= missed.n or rank <= should_be or (should_be > missed.n and loss.verdict.proof != "joint"):
        return None
    lengths = bench.once("lengths of vectors", lambda: norms(bench.vectors))
    observation = (
        f"{missed.part.name} {'returns' if is_shown else 'declares'} {_SCORES[computed]}, the embedder is meant "
        f"for {_SCORES[meant]}, and vectors are {lengths.min():.3g} to {lengths.max():.3g} long. By the one "
        f"{missed.chunk_id!r} is rank {rank:,} of {missed.size:,}, by the other {should_be:,}; {missed.n:,} are "
        "asked for."
    )
    return Finding("retriever.metric", observation, "measured")


def unreachable(bench: Bench, loss: Loss) -> Finding | None:
    """Whether the index does not return the chunk, nor one like it, for its own vector (or text).

    Not where it does not hold it, holds another vector for it, or compares so that others come first.
    """
    missed = look_for(bench, loss)
    if missed.is_found or _is_missing(missed):
        return None
    if not missed.by_vectors:
        if missed.own.rank_of(missed.position) is not None:
            return None
        return _unreached(missed, "text", missed.size, is_there=missed.was_seen)
    known = missed.metric
    by = bench.similarity if known is None else known[0]
    if (
        missed.held_apart(by)
        or missed.rank_for_itself is not None
        or _exact_rank_for_itself(missed, by) > missed.n
    ):
        return None
    return _unreached(missed, "vector", missed.n, is_there=known is not None and missed.held_apart(by) == 0)


def _unreached(missed: Missed, what: str, n: int, *, is_there: bool) -> Finding:
    rank = missed.wide.rank_of(missed.position)
    found = f"{len(missed.wide.rows):,} without it" if rank is None else f"it at rank {rank:,}"
    observation = (
        f"Asked for {n:,} hits for the own {what} of {missed.chunk_id!r}, {missed.part.name} does not return it; "
        f"asked for all {missed.size:,} chunks for the query, it returns {found}."
    )
    return Finding("retriever.unreachable", observation, "measured" if is_there else "suspected")


def _exact_rank_for_itself(missed: Missed, by: Similarity) -> int:
    vectors = missed.bench.vectors
    scores = exact_scores(vectors[missed.position], vectors, by)
    return int(np.count_nonzero(scores > scores[missed.position])) + 1


def approximate(bench: Bench, loss: Loss) -> Finding | None:
    """Whether the chunk is in the index, is scored rightly and ranks within n, and the search passes it by."""
    missed = look_for(bench, loss)
    by, _ = _metric(missed)
    if missed.is_found:
        return None
    exact = missed.rank_by(by)
    if (
        exact > missed.n
        or missed.is_under_threshold(by)
        or missed.held_apart(by)
        or missed.rank_for_itself is None
    ):
        return None
    rank = missed.wide.rank_of(missed.position)
    observation = (
        f"An exact search has {missed.chunk_id!r} at rank {exact:,}. {missed.part.name}, asked for {missed.n:,} "
        f"hits, does not return it; asked for all {missed.size:,} chunks, "
    )
    if rank is not None and complete(loss, missed.wide.rows[: missed.n].tolist()):
        observation += f"it has it at rank {rank:,}, and so the evidence among the first {missed.n:,}."
        return Finding("retriever.approximate", observation, "proven")
    found = f"{len(missed.wide.rows):,} without it" if rank is None else f"it at rank {rank:,}"
    observation += f"it returns {found}; for its own vector, it at rank {missed.rank_for_itself:,}."
    return Finding("retriever.approximate", observation, "suspected")


def _metric(missed: Missed) -> tuple[Similarity, bool]:
    """What the index computes, and whether its scores show it.

    Raises:
        NotApplicable: it is not searched by vectors, or nothing tells.
    """
    if not missed.by_vectors:
        raise NotApplicable("the index is not searched by an embedder's vectors")
    if missed.metric is None:
        raise NotApplicable(
            "the retriever declares no metric, and its scores are neither cosines nor dot products nor negative "
            "squared distances"
        )
    return missed.metric


CHECKS: tuple[Check, ...] = (
    Check("retriever.missing_from_index", missing_from_index, at=("retriever",)),
    Check("retriever.stale_vectors", stale_vectors, at=("retriever",)),
    Check("retriever.metric", metric, at=("retriever",)),
    Check("retriever.unreachable", unreachable, at=("retriever",)),
    Check("retriever.approximate", approximate, at=("retriever",)),
)
