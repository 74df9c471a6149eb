"""What does the retriever do around its index? Checks of its filter, its threshold and its fusion.

What it does in the index itself is looked at in `entries`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ragdiag.diagnosis.checks import entries
from ragdiag.diagnosis.checks.arms import Part, parts
from ragdiag.diagnosis.checks.bench import Bench, Loss
from ragdiag.diagnosis.checks.check import Check, NotApplicable
from ragdiag.diagnosis.checks.probes import Missed, complete, look_for
from ragdiag.diagnosis.verdicts import Finding
from ragdiag.records import Request
from ragdiag.stages.retrievers import matches

__all__ = ["CHECKS"]


def filtered_out(bench: Bench, loss: Loss) -> Finding | None:
    """Whether the same search without its filter has the evidence, or at least the chunk somewhere."""
    asked = loss.query.filter
    if not asked:
        raise NotApplicable("the query has no filter")
    missed = look_for(bench, loss)
    whole = parts(bench)
    compared = _compare(asked, bench, missed)
    without = missed.hits_of(whole)
    if complete(loss, without.rows.tolist()):
        rank = missed.rank_in(whole)
        at = "" if rank is None else f", {missed.chunk_id!r} at rank {rank:,}"
        observation = f"Without its filter the same search has the evidence among its {missed.n:,} hits{at}. "
        return Finding("retriever.filter", observation + compared, "proven")

    def all_hits(request: Request) -> list[str]:
        return [hit.chunk_id for hit in bench.search_in(whole.searcher, request, missed.size)]

    with_filter, without_it = all_hits(bench.trace.request(loss.query)), all_hits(missed.request)
    if missed.chunk_id in with_filter or missed.chunk_id not in without_it:
        return None
    observation = (
        f"Asked for all {missed.size:,} chunks, the search returns {len(with_filter):,} with its filter and "
        f"not {missed.chunk_id!r}, and {len(without_it):,} without, that one at rank "
        f"{without_it.index(missed.chunk_id) + 1:,}. "
    )
    return Finding("retriever.filter", observation + compared, "measured")


def _compare(asked: Mapping[str, Any], bench: Bench, missed: Missed) -> str:
    """What the filter asks for beside what the chunk has."""
    chunk = bench.chunk(missed.position)
    differ = [key for key, value in asked.items() if not matches(chunk.metadata, {key: value})]
    if not differ:
        return "The chunk's metadata are what the filter asks for."
    document = bench.index.documents_by_id[chunk.spans[0].doc_id]
    told = []
    for key in differ:
        has = repr(chunk.metadata[key]) if key in chunk.metadata else "none"
        if document.metadata.get(key) != chunk.metadata.get(key):
            has += f" (its document has {document.metadata.get(key)!r})"
        told.append(f"{key!r} = {asked[key]!r}, the chunk has {has}")
    return f"The filter asks for {'; for '.join(told)}."


def threshold(bench: Bench, loss: Loss) -> Finding | None:
    """Whether fewer than n hits come back, and the chunk scores below all of them.

    Seen where the retriever declares what it wraps, by the hits that it leaves out; else by exact scores.
    """
    missed = look_for(bench, loss)
    whole = parts(bench)
    if missed.rank_in(whole) is not None:
        return None
    for part in whole.all():
        if len(part.arms) == 1 and (finding := _cut_off(missed, part, is_whole=part is whole)):
            return finding
    if whole.arms:
        return None
    if not missed.by_vectors or missed.metric is None:
        raise NotApplicable("the score of a chunk that is not returned is not known")
    metric, _ = missed.metric
    if not missed.is_under_threshold(metric):
        return None
    observation = (
        f"{missed.n:,} hits are asked for and {len(missed.hits_of(whole).rows):,} come back, no more where "
        f"all {missed.size:,} chunks are asked for. {missed.chunk_id!r} scores "
        f"{missed.exact(metric)[missed.position]:.4g}; the lowest score of any hit of the run is "
        f"{missed.lowest_hit:.4g}."
    )
    return Finding("retriever.threshold", observation, "measured")


def _cut_off(missed: Missed, part: Part, *, is_whole: bool) -> Finding | None:
    """Whether a part leaves out the last of the hits of the one that it wraps, the chunk with them."""
    [inner] = part.arms
    rank = missed.rank_in(inner)
    if rank is None or missed.rank_in(part) is not None:
        return None
    kept, found = missed.hits_of(part), missed.hits_of(inner)
    left = len(kept.rows)
    if left == missed.n or not np.array_equal(found.rows[:left], kept.rows):
        return None
    score = float(found.scores[rank - 1])
    lowest = missed.lowest_hit
    # A cut after so many hits would show the same at one query, not over all of a run.
    is_sure = is_whole and lowest is not None and score < lowest
    observation = (
        f"Of the {len(found.rows):,} hits of {inner.name}, {part.name} keeps "
        f"{f'the best {left:,}' if left else 'none'}. "
        f"{missed.chunk_id!r} is number {rank:,} and scores {score:.4g}"
    )
    if is_sure:
        observation += f"; the lowest score of any hit of the run is {lowest:.4g}"
    return Finding("retriever.threshold", f"{observation}.", "measured" if is_sure else "suspected")


def fusion(bench: Bench, loss: Loss) -> Finding | None:
    """Whether an arm of several has the chunk among its n hits, and their fused hits have it not."""
    missed = look_for(bench, loss)
    whole = parts(bench)
    fused = [part for part in whole.all() if len(part.arms) > 1]
    if not fused:
        raise NotApplicable("the retriever declares no searches that it fuses")
    if missed.rank_in(whole) is not None:
        return None
    for part in fused:
        ranks = [missed.rank_in(arm) for arm in part.arms]
        if missed.rank_in(part) is not None or not any(ranks):
            continue
        told = [
            f"{arm.name} has it at rank {rank:,}" if rank else f"{arm.name} has it not"
            for arm, rank in zip(part.arms, ranks, strict=True)
        ]
        observation = (
            f"Of {missed.n:,} hits each, {' and '.join(told)}; it ({missed.chunk_id!r}) is not among the "
            f"{len(missed.hits_of(part).rows):,} that {part.name} makes of them."
        )
        return Finding("retriever.fusion", observation, "measured")
    return None


CHECKS: tuple[Check, ...] = (
    Check("retriever.filter", filtered_out, at=("retriever",)),
    Check("retriever.threshold", threshold, at=("retriever",)),
    Check("retriever.fusion", fusion, at=("retriever",)),
    *entries.CHECKS,
)
