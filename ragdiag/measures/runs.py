"""Runs: the rankings of documents or chunks for many queries, in any form, and the order that they say.

Two rules for ties are in use, and the form of a ranking tells which is meant: a mapping of scores has no order
of its own and gets that of trec_eval; a sequence is in an order already and keeps it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
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
        ids: the ids in each query's ranking.
        scores: all scores, shape (ids in all,).
        bounds: where each query's part begins, and where the last ends, shape (queries + 1,).
        by_id: whether the ties of a query are those of trec_eval, shape (queries,).
    """

    ids: Sequence[Collection[str]]
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
        columns = [_columns(query_id, ranking) for query_id, ranking in zip(asked, given, strict=True)]
        is_mapping = np.array([isinstance(ranking, Mapping) for ranking in given], dtype=np.bool_)
        bounds = np.zeros(len(asked) + 1, dtype=np.intp)
        np.cumsum([len(ids) for ids, _ in columns], out=bounds[1:])
        rankings = cls(
            ids=[ids for ids, _ in columns],
            scores=_flat([scores for _, scores in columns], int(bounds[-1])),
            bounds=bounds,
            by_id=is_mapping if ties is None else np.full(len(asked), ties == "trec_eval"),
        )
        rankings._check(asked, is_mapping)
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
        with np.errstate(over="ignore"):  # what float32 cannot hold is infinite to trec_eval
            scores = np.where(self.by_id[rows], scores.astype(np.float32), scores)
        same_query = rows[1:] == rows[:-1]
        order = np.arange(len(scores))
        # What a search returns is mostly in order already.
        for row in np.unique(rows[1:][same_query & (scores[1:] > scores[:-1])]):
            part = slice(self.bounds[row], self.bounds[row + 1])
            order[part] = part.start + np.argsort(-scores[part], kind="stable")
        ordered = scores[order]
        tied = same_query & (ordered[1:] == ordered[:-1]) & self.by_id[rows[1:]]
        if worth is not None:
            # Ties that are not all of one worth have two neighbors that differ.
            tied &= np.diff(worth[order]) != 0
        for row in np.unique(rows[1:][tied]):
            part = slice(self.bounds[row], self.bounds[row + 1])
            order[part] = part.start + _by_score_and_id(scores[part], self.ids[row])
        return order

    def _check(self, asked: Sequence[str], is_mapping: NDArray[np.bool_]) -> None:
        rows, scores = self.rows, self.scores
        rising = (rows[1:] == rows[:-1]) & (scores[1:] > scores[:-1]) & ~is_mapping[rows[1:]]
        for wrong, problem in (
            (np.flatnonzero(~np.isfinite(scores)), "is not a finite number"),
            (
                np.flatnonzero(rising) + 1,
                "is higher than the one before it: a sequence must be best first; a mapping of ids to scores "
                "is put in order",
            ),
        ):
            if len(wrong):
                row = int(rows[wrong[0]])
                doc_id = list(self.ids[row])[wrong[0] - self.bounds[row]]
                raise DataError(f"query {asked[row]!r}: the score of {doc_id!r} {problem}")


def _columns(query_id: str, ranking: Ranking) -> tuple[Collection[str], Collection[float]]:
    """The ids and the scores of a ranking."""
    if isinstance(ranking, Mapping):
        return ranking.keys(), ranking.values()
    pairs = [_pair(query_id, entry) for entry in ranking]
    first_at: dict[str, int] = {}
    for rank, (doc_id, _) in enumerate(pairs, start=1):
        if first_at.setdefault(doc_id, rank) != rank:
            raise DataError(
                f"query {query_id!r}: {doc_id!r} is ranked twice, at {first_at[doc_id]} and at {rank}; "
                "keep the better rank"
            )
    return first_at.keys(), [score for _, score in pairs]


def _pair(query_id: str, entry: object) -> tuple[str, float]:
    if isinstance(entry, Hit):
        return entry.chunk_id, entry.score
    if isinstance(entry, tuple | list) and len(entry) == 2:
        return entry[0], entry[1]
    raise DataError(
        f"query {query_id!r}: expected Hit values or (id, score) pairs, best first, or a mapping of ids to "
        f"scores, got {entry!r}"
    )


def _flat(scores: Sequence[Collection[float]], count: int) -> NDArray[np.float64]:
    try:
        return np.fromiter(chain.from_iterable(scores), np.float64, count)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"scores must be numbers: {error}") from error


def _by_score_and_id(scores: NDArray[np.float64], ids: Collection[str]) -> list[int]:
    """Positions by score, equal ones by id, both descending."""
    names, numbers = list(ids), scores.tolist()
    order = sorted(range(len(names)), key=names.__getitem__, reverse=True)
    order.sort(key=numbers.__getitem__, reverse=True)  # which keeps the order of ties
    return order


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
