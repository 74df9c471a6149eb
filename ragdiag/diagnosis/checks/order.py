"""What does the reranker do to the order? Checks of its scores.

Each names what would have to change for the evidence to come within the top k, and tries it. Where the
evidence is not among the candidates, since another stage lost it as well, its chunks are scored as if they
were.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ragdiag.diagnosis.attempts import calling
from ragdiag.diagnosis.checks.bench import Bench, Loss
from ragdiag.diagnosis.checks.check import Check, NotApplicable
from ragdiag.diagnosis.checks.packing import needed_of
from ragdiag.diagnosis.checks.probes import complete
from ragdiag.diagnosis.repairs import window_around
from ragdiag.diagnosis.verdicts import Finding, Sureness
from ragdiag.diagnosis.windows import evidence_in
from ragdiag.records import Query
from ragdiag.spans import Range
from ragdiag.stages.ranking import order_by_score

__all__ = ["CHECKS"]

# A score is the same up to this share of the range of its query's scores: a model's rounding in batches of
# other lengths stays far below, what a query's own words do to a score far above.
_SAME_SCORE = 1e-4

# More than the top k, which several such texts would take from one another.
_BEST = 3  # one in so many candidates
_STRANGERS = 5  # queries a text is tried with: with fewer, chance puts ordinary texts first in all of them
_MOST_TRIED = 20  # texts a loss; an ordinary one is tried with one query, which does not put it first
_CONTROLS = 12  # the longest, and the shortest, texts: a taste for lengths loves
_MOST_OF_THEM = 0.75  # of them, where an invented taste for single texts seldom loves half


def truncated(bench: Bench, loss: Loss) -> Finding | None:
    """The reranker does not read the evidence in its chunk, and is tried with the evidence first.

    Where that does not bring it within the top k, the reranker may want what stands around it, or lack more.
    A reranker that does not declare its limit reads no further than a point if what stands from there on can
    be replaced by the query itself, and the score stays the same.
    """
    order = _order(bench, loss)
    if order.rank <= bench.trace.top_k:
        return None
    places = {position: _place(bench, loss, position) for position in order.wanted}
    if not any(places.values()):
        raise NotApplicable("the evidence is a whole document, or its text is not found in its chunks")
    scores, unread = order.scores.copy(), []
    for row, position in enumerate(order.positions):
        evidence = places.get(position)
        what = None if evidence is None else _unread(bench, loss.query, order, position, evidence)
        if what is not None and evidence is not None:
            unread.append(what)
            windows = _windows(bench.chunk(position).text, evidence)
            scores[row] = max(scores[row], *bench.pair_scores(loss.query, windows))
    if not unread:
        return None
    rank, k = replace(order, scores=scores).rank, bench.trace.top_k
    observation = (
        f"{unread[0]} It is at {order}; with the evidence moved to where the reranker reads, it would be at "
        f"rank {rank:,}, {'within' if rank <= k else 'still not within'} the top {k}."
    )
    return Finding("reranker.truncated", observation, order.sureness if rank <= k else "suspected")


def phantom(bench: Bench, loss: Loss) -> Finding | None:
    """Without texts that come first for queries that did not even retrieve them, it is within the top k.

    A text is one of those if it would come within the best third of the candidates (and at least within the
    top k) of each of a few other queries that do not have it among them. Not so where most long or most short
    texts would: that is a taste for lengths.
    """
    order = _order(bench, loss)
    spare = order.rank - bench.trace.top_k  # how many must go
    if spare <= 0:
        return None
    if spare > _MOST_TRIED:
        raise NotApplicable(f"{spare:,} texts before it would have to be tried, more than {_MOST_TRIED}")
    if bench.once("reranker's taste for lengths", lambda: _prefers_lengths(bench)):
        return None
    before = [position for position in order.ranked[: order.rank - 1] if position not in loss.unit.masks]
    loved: list[int] = []
    answers: list[bool | None] = []
    for position in before[:_MOST_TRIED]:
        answers.append(_is_loved(bench, position))
        if answers[-1]:
            loved.append(position)
        if len(loved) >= spare:
            break
    if all(answer is None for answer in answers):
        raise NotApplicable(f"no text before it is strange to {_STRANGERS} other queries")
    if len(loved) < spare:
        return None
    observation = (
        f"It is at {order}. Of {len(answers):,} texts tried, best first, {len(loved):,} would also be among "
        f"the best {_best(bench, len(order.positions)):,} of each of {_STRANGERS} other queries that had "
        f"not retrieved them (chunk {bench.chunk(loved[0]).id!r}, say); without those it would be at rank "
        f"{order.rank - len(loved):,}."
    )
    return Finding("reranker.phantom", observation, order.sureness)


def ties(bench: Bench, loss: Loss) -> Finding | None:
    """Its score is that of the last text within the top k."""
    k, rank = bench.trace.top_k, loss.ranks.reranked
    if rank is None:
        raise NotApplicable("the evidence is not whole among the candidates")
    if rank <= k or not loss.ranks.tied:
        return None
    scores = np.array([hit.score for hit in bench.trace[loss.query.id].ranking])
    equal = np.flatnonzero(scores == scores[rank - 1]) + 1
    observation = (
        f"{len(equal):,} of {len(scores):,} candidates have the score {scores[rank - 1]:g}, from rank "
        f"{equal[0]:,} to {equal[-1]:,}: the top {k} end among them, and it is at rank {rank:,}."
    )
    return Finding("reranker.ties", observation, "measured")


# The order of the candidates


@dataclass(frozen=True, eq=False)
class _Order:
    """The candidates of a lost unit with the reranker's scores.

    Attributes:
        loss: the lost unit.
        positions: the candidates in the retriever's order; behind them what is wanted and is none.
        scores: the reranker's, aligned, shape (positions,).
        wanted: the chunks that deliver the unit.
        all_retrieved: whether all of those are candidates.
    """

    loss: Loss
    positions: tuple[int, ...]
    scores: NDArray[np.float64]
    wanted: tuple[int, ...]
    all_retrieved: bool

    @cached_property
    def ranked(self) -> list[int]:
        """The chunks in the reranker's order."""
        return [self.positions[row] for row in order_by_score(self.scores)]

    @cached_property
    def rank(self) -> int:
        """The rank (from 1) at which the unit is complete."""
        ranked = self.ranked
        return next(rank for rank in range(1, len(ranked) + 1) if complete(self.loss, ranked[:rank]))

    @property
    def sureness(self) -> Sureness:
        """Of what brings the unit into the top k: nothing is proven of chunks that were no candidates."""
        return "proven" if self.all_retrieved else "measured"

    def __str__(self) -> str:
        were = "" if self.all_retrieved else ", were its chunks among them"
        return f"rank {self.rank:,} of {len(self.positions):,} reranked candidates{were}"


def _order(bench: Bench, loss: Loss) -> _Order:
    return bench.once(("reranked", loss.unit.unit), lambda: _find_order(bench, loss))


def _find_order(bench: Bench, loss: Loss) -> _Order:
    record = bench.trace[loss.query.id]
    retrieved = bench.trace.positions(record.retrieved)
    known = {bench.trace.position[hit.chunk_id]: hit.score for hit in record.ranking}
    best = needed_of(loss, retrieved)
    wanted = best if complete(loss, best) else loss.chunks
    if not complete(loss, wanted):
        raise NotApplicable("no k chunks deliver the evidence")
    absent = [position for position in wanted if position not in known]
    scores = bench.pair_scores(loss.query, [bench.chunk(position).text for position in absent])
    known |= dict(zip(absent, scores.tolist(), strict=True))
    positions = (*retrieved, *absent)
    return _Order(loss, positions, np.array([known[p] for p in positions]), wanted, not absent)


# What of a text is read


def _place(bench: Bench, loss: Loss, position: int) -> Range | None:
    """From where to where a chunk's text, which the reranker gets, holds evidence of the unit."""
    chunk = bench.chunk(position)
    as_searched = replace(chunk, index_text=chunk.text)
    return evidence_in(bench.map, bench.index.documents_by_id, loss.unit, as_searched)


def _unread(bench: Bench, query: Query, order: _Order, position: int, evidence: Range) -> str | None:
    """How it shows that the reranker does not read (all) the evidence in a chunk; None where it does not."""
    chunk, reranker = bench.chunk(position), bench.index.pipeline.reranker
    limit, count = getattr(reranker, "max_tokens", None), getattr(reranker, "count_pair_tokens", None)
    if limit is not None and count is not None:
        with calling("reranker"):
            whole, upto = map(int, count(query.text, [chunk.text, chunk.text[: evidence[1]]]))
        if upto <= limit:
            return None
        return (
            f"The reranker reads {int(limit):,} tokens of query and text; with chunk {chunk.id!r} they are "
            f"{whole:,}, up to the end of the evidence {upto:,}."
        )
    start, end = evidence
    points = (start, end - max(1, (end - start) // 4))
    probes = [f"{chunk.text[:point]} {query.text}" for point in points]
    score, probed = order.scores[order.positions.index(position)], bench.pair_scores(query, probes).tolist()
    same = [p for p, s in zip(points, probed, strict=True) if abs(s - score) <= _SAME_SCORE * _range(order)]
    if not same:
        return None
    part = "the evidence" if same[0] == start else "the last quarter of the evidence"
    return (
        f"Chunk {chunk.id!r} keeps its score of {score:.4g} where the query itself stands in place of {part} "
        f"and all behind it, from character {same[0]:,} of {len(chunk.text):,} on."
    )


def _range(order: _Order) -> float:
    return float(np.ptp(order.scores))


def _windows(text: str, evidence: Range) -> list[str]:
    """The evidence with what follows it, and with as much before it as after it."""
    start, end = evidence
    around = window_around(text, evidence, (0, len(text)), max(end - start, start // 2))
    return [text[start:], text[slice(*around)]]


# Texts that are loved whatever is asked


def _is_loved(bench: Bench, position: int) -> bool | None:
    """Whether a text is put first for other queries; None where too few have not retrieved it."""
    return bench.once(("loved", position), lambda: _ask_strangers(bench, position))


def _ask_strangers(bench: Bench, position: int) -> bool | None:
    chunk = bench.chunk(position)
    queries = bench.once("queries by id", lambda: {query.id: query for query in bench.diagnosis.queries})
    known = bench.once("queries that retrieved each chunk", lambda: _queries_by_chunk(bench)).get(
        chunk.id, set()
    )
    strangers = [
        record
        for record in bench.trace.queries
        if len(record.ranking) > bench.trace.top_k and record.query_id not in known
    ]
    if len(strangers) < _STRANGERS:
        return None
    for i in np.linspace(0, len(strangers) - 1, _STRANGERS).astype(int).tolist():
        ranking = strangers[i].ranking
        [score] = bench.pair_scores(queries[strangers[i].query_id], [chunk.text])
        if score <= ranking[_best(bench, len(ranking)) - 1].score:
            return False
    return True


def _queries_by_chunk(bench: Bench) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for record in bench.trace.queries:
        for hit in record.retrieved:
            found.setdefault(hit.chunk_id, set()).add(record.query_id)
    return found


def _best(bench: Bench, candidates: int) -> int:
    """How many of so many candidates are the best."""
    return max(bench.trace.top_k, candidates // _BEST)


def _prefers_lengths(bench: Bench) -> bool:
    """Whether most of the longest texts are loved, or most of the shortest."""
    lengths = np.array([len(chunk.text) for chunk in bench.trace.chunks])
    by_length = np.argsort(lengths, kind="stable").tolist()
    return any(_most_loved(bench, some) for some in (by_length[-_CONTROLS:], by_length[:_CONTROLS]))


def _most_loved(bench: Bench, positions: Sequence[int]) -> bool:
    answers = [answer for position in positions if (answer := _is_loved(bench, position)) is not None]
    return sum(answers) >= max(1.0, _MOST_OF_THEM * len(answers))


CHECKS: tuple[Check, ...] = (
    Check("reranker.truncated", truncated, ("reranker",)),
    Check("reranker.phantom", phantom, ("reranker",)),
    Check("reranker.ties", ties, ("reranker",)),
)
