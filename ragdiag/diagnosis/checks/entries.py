"""What does the index hold of a chunk, and does it look there? Checks of one entry of an index."""

from __future__ import annotations

from collections import Counter

import numpy as np

from ragdiag.diagnosis.checks.bench import Bench, Loss
from ragdiag.diagnosis.checks.check import Check, NotApplicable
from ragdiag.diagnosis.checks.probes import Missed, complete, look_for
from ragdiag.diagnosis.geometry import norms
from ragdiag.diagnosis.verdicts import Finding, Sureness
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
        f"Asked for all {missed.size:,} chunks for the query, {missed.part.name} returns "
        f"{len(missed.wide.rows):,} without {missed.chunk_id!r}. It is not among the "
        f"{len(missed.own.rows):,} hits for its own {asked} either, nor among those of any other query."
    )
    return Finding("retriever.missing_from_index", observation, "measured")


def _is_missing(missed: Missed) -> bool:
    wide, own = missed.wide.rank_of(missed.position), missed.own.rank_of(missed.position)
    return wide is None and own is None and not missed.was_seen and missed.looks_everywhere


def stale_vectors(bench: Bench, loss: Loss) -> Finding | None:
    """Whether the index scores the chunk below what its own vector scores, which would be a candidate's."""
    missed = look_for(bench, loss)
    metric, is_shown = _metric(missed)
    if missed.is_found or not _is_stale(missed):
        return None
    exact = missed.rank_by(metric)
    if exact > missed.n and loss.verdict.proof != "joint":
        return None
    rank = missed.wide.rank_of(missed.position) or 0
    observation = (
        f"{missed.part.name} scores {missed.chunk_id!r} {missed.wide.scores[rank - 1]:.4g} for the query, "
        f"rank {rank:,} of {len(missed.wide.rows):,}; the vector that the embedder makes of it scores "
        f"{missed.exact(metric)[missed.position]:.4g} ({_SCORES[metric]}), rank {exact:,}."
    )
    if not is_shown:
        observation += f" For that vector it is not among the {missed.n:,} hits either."
    return Finding("retriever.stale_vectors", observation, "measured" if is_shown else "suspected")


def _is_stale(missed: Missed) -> bool:
    """Whether another vector than the chunk's own explains its score.

    Where the index's scores are exact, any lower one shows it. Where they are not, compressing the vector
    lowers its score as well, but then the chunk is still found by the vector that was compressed.
    """
    if missed.metric is None:
        return False
    metric, is_shown = missed.metric
    return missed.is_held_apart(metric) and (is_shown or missed.rank_for_itself is None)


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
        f"{missed.part.name} {'returns' if is_shown else 'declares'} {_SCORES[computed]}, the embedder is "
        f"meant for {_SCORES[meant]}; vectors are {lengths.min():.3g} to {lengths.max():.3g} long. By the "
        f"one, {missed.chunk_id!r} is rank {rank:,} of {missed.size:,}, by the other {should_be:,}; "
        f"{missed.n:,} are asked for."
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
    by, is_shown = _metric(missed)
    if missed.rank_for_itself is not None or _is_stale(missed):
        return None
    if _exact_rank_for_itself(missed, by) > missed.n:
        return None
    return _unreached(
        missed, "vector", missed.n, is_there=is_shown and missed.wide.rank_of(missed.position) is not None
    )


def _unreached(missed: Missed, what: str, n: int, *, is_there: bool) -> Finding:
    rank = missed.wide.rank_of(missed.position)
    found = f"{len(missed.wide.rows):,} without it" if rank is None else f"it at rank {rank:,}"
    observation = (
        f"Asked for {n:,} hits for the own {what} of {missed.chunk_id!r}, {missed.part.name} does not return "
        f"it; asked for all {missed.size:,} chunks for the query, it returns {found}."
    )
    return Finding("retriever.unreachable", observation, "measured" if is_there else "suspected")


def _exact_rank_for_itself(missed: Missed, by: Similarity) -> int:
    vectors = missed.bench.vectors
    scores = exact_scores(vectors[missed.position], vectors, by)
    return int(np.count_nonzero(scores > scores[missed.position])) + 1


def approximate(bench: Bench, loss: Loss) -> Finding | None:
    """Whether the chunk is in the index, scored rightly, within n, and the search passes it by."""
    missed = look_for(bench, loss)
    by, _ = _metric(missed)
    if missed.is_found:
        return None
    exact = missed.rank_by(by)
    if exact > missed.n or missed.is_under_threshold(by) or _is_stale(missed):
        return None
    if missed.rank_for_itself is None:
        return None
    rank = missed.wide.rank_of(missed.position)
    observation = (
        f"An exact search has {missed.chunk_id!r} at rank {exact:,}. {missed.part.name}, asked for "
        f"{missed.n:,} hits, does not return it; asked for all {missed.size:,} chunks, "
    )
    if rank is not None and complete(loss, missed.wide.rows[: missed.n].tolist()):
        observation += f"it has it at rank {rank:,}, and so the evidence among the first {missed.n:,}."
        return Finding("retriever.approximate", observation, "proven")
    if rank is not None:
        observation += f"it has it at rank {rank:,}"
    else:
        observation += f"it returns {len(missed.wide.rows):,} without it"
        if len(missed.wide.rows):
            observation += f", the last with a score of {missed.wide.scores[-1]:.4g}"
        observation += f", where it would score {missed.exact(by)[missed.position]:.4g}"
    observation += f"; for its own vector it has it at rank {missed.rank_for_itself:,}."
    sureness: Sureness = "measured" if _is_passed_by(missed, by) else "suspected"
    return Finding("retriever.approximate", observation, sureness)


def _is_passed_by(missed: Missed, by: Similarity) -> bool:
    """Whether neither a least score nor a most number of hits a document explains that it is no hit."""

    def document(position: int) -> str:
        return missed.bench.chunk(position).spans[0].doc_id

    wide = missed.wide
    hits_of = Counter(map(document, wide.rows.tolist()))
    return (
        wide.rank_of(missed.position) is None
        and bool((wide.scores < missed.exact(by)[missed.position]).any())
        and hits_of[document(missed.position)] < max(hits_of.values())
    )


def _metric(missed: Missed) -> tuple[Similarity, bool]:
    """What the index computes, and whether its scores show it.

    Raises:
        NotApplicable: it is not searched by vectors, or nothing tells.
    """
    if not missed.by_vectors:
        raise NotApplicable("the index is not searched by an embedder's vectors")
    if missed.metric is None:
        raise NotApplicable(
            "the retriever declares no metric, and its scores are neither cosines nor dot products nor "
            "negative squared distances"
        )
    return missed.metric


CHECKS: tuple[Check, ...] = (
    Check("retriever.missing_from_index", missing_from_index, at=("retriever",)),
    Check("retriever.stale_vectors", stale_vectors, at=("retriever",)),
    Check("retriever.metric", metric, at=("retriever",)),
    Check("retriever.unreachable", unreachable, at=("retriever",)),
    Check("retriever.approximate", approximate, at=("retriever",)),
)
