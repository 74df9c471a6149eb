"""Runs: the rankings of documents or chunks for many queries, in any form, and the order that they say.

Two rules for ties are in use, and the form of a ranking tells which is meant: a mapping of scores has no
order of its own and gets that of trec_eval; a sequence is in an order already and keeps it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ragdiag.errors import ConfigError, DataError
from ragdiag.records import Chunk, Hit

__all__ = ["Ranking", "Rankings", "Run", "Ties", "chunk_run", "document_run"]

Ranking: TypeAlias = Mapping[str, float] | Sequence[tuple[str, float]] | Sequence[Hit]
"""One query's documents (or chunks): a score for each id, or, best first, pairs of id and score, or hits."""

Run: TypeAlias = Mapping[str, Ranking]
"""A ranking for each query, by the query's id."""

Ties: TypeAlias = Literal["trec_eval", "input"]
"""How equal scores are ordered.

``"trec_eval"``: scores are rounded to single precision, in which trec_eval holds them, and equal ones are
ordered by id, descending by code point. ``"input"``: scores are compared as they are, and equal ones keep the
order in which they came, as everywhere else in ragdiag.
"""


@dataclass(frozen=True, slots=True, eq=False)
class Rankings:
    """Some queries' rankings, laid out one after the other, each in the order in which it was given.

    Attributes:
        ids: each query's ids, with their scores.
        scores: all scores, shape (ids in all,).
        bounds: where each query's part begins, and where the last ends, shape (queries + 1,).
        by_id: whether the ties of a query are those of trec_eval, shape (queries,).
    """

    ids: Sequence[Mapping[str, float]]
    scores: NDArray[np.float64]
    bounds: NDArray[np.intp]
    by_id: NDArray[np.bool_]

    @classmethod
    def of(cls, run: Run, query_ids: Iterable[str], *, ties: Ties | None = None) -> Rankings:
        """The rankings of ``query_ids``, empty for a query that the run lacks.

        Without ``ties`` those of mappings are trec_eval's, and those of sequences are by input.

        Raises:
            DataError: a score is no finite number; or a sequence holds something else than hits or pairs,
                holds an id twice, or is not best first.
            ConfigError: there is no such rule for ties.
        """
        if ties not in (None, "trec_eval", "input"):
            raise ConfigError(f"ties must be 'trec_eval' or 'input', got {ties!r}")
        asked = list(query_ids)
        given = [run.get(query_id, ()) for query_id in asked]
        ids = [_scores_by_id(query_id, ranking) for query_id, ranking in zip(asked, given, strict=True)]
        is_mapping = np.array([isinstance(ranking, Mapping) for ranking in given], dtype=np.bool_)
        bounds = np.zeros(len(asked) + 1, dtype=np.intp)
        np.cumsum(list(map(len, ids)), out=bounds[1:])
        try:
            scores = np.fromiter(
                chain.from_iterable(ranking.values() for ranking in ids), np.float64, bounds[-1]
            )
        except (TypeError, ValueError, OverflowError) as error:
            raise DataError(f"scores must be numbers: {error}") from error
        by_id = is_mapping if ties is None else np.full(len(asked), ties == "trec_eval")
        rankings = cls(ids, scores, bounds, by_id)
        rankings._check(asked, ~is_mapping)
        return rankings

    @property
    def rows(self) -> NDArray[np.intp]:
        """The query of each id, counted from 0, shape (ids in all,)."""
        return np.repeat(np.arange(len(self.ids)), np.diff(self.bounds))

    def best_first(self, worth: NDArray[np.int64] | None = None) -> NDArray[np.intp]:
        """Positions in `scores`, each query's best first, shape (ids in all,).

        Ties between ids of the same ``worth`` (shape (ids in all,)) may stay in any order: enough for whom
        only the worth of what stands at a rank matters.
        """
        scores, rows = self.scores, self.rows
        if self.by_id.any():
            with np.errstate(over="ignore"):  # what float32 cannot hold is infinite to trec_eval
                scores = np.where(self.by_id[rows], scores.astype(np.float32), scores)
        same_query = rows[1:] == rows[:-1]
        order = self._by_score(scores, _distinct(rows[1:][same_query & (scores[1:] > scores[:-1])]))
        ordered = scores[order]
        tied = same_query & (ordered[1:] == ordered[:-1]) & self.by_id[rows[1:]]
        if worth is not None:
            # Ties that are not all of one worth have two neighbors that differ.
            tied &= np.diff(worth[order]) != 0
        for row in _distinct(rows[1:][tied]):
            part = slice(self.bounds[row], self.bounds[row + 1])
            order[part] = part.start + _by_score_and_id(scores[part], self.ids[row])
        return order

    def _by_score(self, scores: NDArray[np.float64], unsorted: NDArray[np.intp]) -> NDArray[np.intp]:
        """Positions by score, those of equal ones by input (by id comes later); others are so already."""
        order = np.arange(len(scores))
        starts, lengths = self.bounds[unsorted], np.diff(self.bounds)[unsorted]
        kind: Literal["stable"] | None = None if self.by_id.all() else "stable"
        for length in _distinct(lengths):  # the queries of one length are one matrix
            start = starts[lengths == length][:, None]
            part = start + np.arange(length)
            order[part] = start + np.argsort(-scores[part], axis=1, kind=kind)
        return order

    def _check(self, asked: Sequence[str], is_sequence: NDArray[np.bool_]) -> None:
        rows, scores = self.rows, self.scores
        rising = (rows[1:] == rows[:-1]) & (scores[1:] > scores[:-1]) & is_sequence[rows[1:]]
        order = "is higher than the one before it: a sequence must be best first (a mapping is put in order)"
        for wrong, problem in (
            (np.flatnonzero(~np.isfinite(scores)), "is not a finite number"),
            (np.flatnonzero(rising) + 1, order),
        ):
            if len(wrong):
                row = int(rows[wrong[0]])
                name, score = [*self.ids[row].items()][wrong[0] - self.bounds[row]]
                raise DataError(f"query {asked[row]!r}: the score of {name!r} {problem}; got {score!r}")


def _scores_by_id(query_id: str, ranking: Ranking) -> Mapping[str, float]:
    """A ranking in any form as a mapping, in the order that it has."""
    if isinstance(ranking, Mapping):
        return ranking
    kinds = set(map(type, ranking))
    scores: Mapping[str, float]
    if kinds <= {Hit}:
        scores = {hit.chunk_id: hit.score for hit in ranking}  # type: ignore[union-attr]  # they are hits
    elif kinds <= {tuple, list} and {len(pair) for pair in ranking} == {2}:  # type: ignore[arg-type]
        scores = dict(ranking)  # type: ignore[arg-type]  # they are pairs
    else:
        raise DataError(
            f"query {query_id!r}: a ranking must be a mapping of ids to scores or, best first, a sequence of "
            f"(id, score) pairs or of Hit values, got a {type(ranking).__name__} of "
            f"{' and '.join(sorted(kind.__name__ for kind in kinds))}"
        )
    if len(scores) < len(ranking):
        ids = [entry.chunk_id if isinstance(entry, Hit) else entry[0] for entry in ranking]
        twice = next(name for rank, name in enumerate(ids) if name in ids[:rank])
        first, second = [rank for rank, name in enumerate(ids, start=1) if name == twice][:2]
        raise DataError(
            f"query {query_id!r}: {twice!r} is ranked twice, at {first} and at {second}; keep the better rank"
        )
    return scores


def _distinct(numbers: NDArray[np.intp]) -> NDArray[np.intp]:
    """Which of 0, 1, … occur in ``numbers``."""
    return np.flatnonzero(np.bincount(numbers))


def _by_score_and_id(scores: NDArray[np.float64], ids: Iterable[str]) -> NDArray[np.intp]:
    """Positions by score, equal ones by id, both descending."""
    names, numbers = list(ids), scores.tolist()
    order = sorted(range(len(names)), key=names.__getitem__, reverse=True)
    order.sort(key=numbers.__getitem__, reverse=True)  # which keeps the order of ties
    return np.array(order, dtype=np.intp)


class _RankedQuery(Protocol):
    @property
    def query_id(self) -> str: ...

    @property
    def retrieved(self) -> Sequence[Hit]: ...

    @property
    def ranking(self) -> Sequence[Hit]: ...


class _Ranked(Protocol):
    """What a run takes from a `ragdiag.Trace`; measures know no pipeline."""

    @property
    def chunks(self) -> Sequence[Chunk]: ...

    @property
    def queries(self) -> Sequence[_RankedQuery]: ...


def chunk_run(
    trace: _Ranked, *, ranking: Literal["retrieved", "final"] = "final"
) -> dict[str, tuple[Hit, ...]]:
    """The chunks of each query of a `ragdiag.Trace`, best first.

    Args:
        trace: of a run of a pipeline.
        ranking: ``"final"`` is the order after the reranker, where there is one; ``"retrieved"`` the
            retriever's.
    """
    return {
        query.query_id: tuple(query.ranking if ranking == "final" else query.retrieved)
        for query in trace.queries
    }


def document_run(
    trace: _Ranked, *, ranking: Literal["retrieved", "final"] = "final"
) -> dict[str, tuple[tuple[str, float], ...]]:
    """The documents of each query of a `ragdiag.Trace`, best first, each with the score of its best chunk.

    A document stands where the first of its chunks stood, so that ties keep the order of the trace. As many
    documents come out as had a chunk in the ranking: fewer than n where several chunks are of one.

    Args:
        trace: of a run of a pipeline.
        ranking: as for `chunk_run`.

    Source: MaxP of Dai and Callan (SIGIR 2019).
    """
    document_of = {chunk.id: chunk.spans[0].doc_id for chunk in trace.chunks}
    run: dict[str, tuple[tuple[str, float], ...]] = {}
    for query_id, hits in chunk_run(trace, ranking=ranking).items():
        best: dict[str, float] = {}
        for hit in hits:
            best.setdefault(document_of[hit.chunk_id], hit.score)
        run[query_id] = tuple(best.items())
    return run
