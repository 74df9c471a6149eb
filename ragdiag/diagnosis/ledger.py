"""The ledger: what was still there at every checkpoint, so that losses by stage sum to 1 - recall.

    everything       V0 = 1
    documents        V1 = R(documents)              V0 - V1  ingest
    chunks           V2 = R(all chunks)             V1 - V2  chunker
    best k           V3 = opt(all chunks)           V2 - V3  capacity
    exact search     V4 = opt(exact top n)          V3 - V4  embedder
    retrieved        V5 = opt(retrieved)            V4 - V5  retriever
    reranked top k   V6 = opt(real top k)           V5 - V6  reranker
    context          V7 = R(context)                V6 - V7  packer

R is the mean over a query's units of their coverage (soft) or of delivered-or-lost (hard); opt is the best R
of at most k chunks within the packer's budget: what a perfect downstream would make of them. A checkpoint
whose stage a pipeline lacks is absent. A step that rises is a rescue. Values telescope, so the steps sum to
V0 - V7 exactly. A new stage adds one checkpoint here, and nothing else changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ragdiag.diagnosis.capacity import Goal, Objective, best_set
from ragdiag.diagnosis.evidence import Mask, QueryEvidence
from ragdiag.diagnosis.exact import ExactSearch
from ragdiag.trace import QueryTrace, Trace

__all__ = ["LOSS_STAGES", "Checkpoint", "Ledger", "at_stage", "build_ledger"]

LOSS_STAGES = ("ingest", "chunker", "capacity", "embedder", "retriever", "reranker", "packer")
"""All that a loss can be charged to, in the order of the flow."""


def at_stage(stage: str) -> str:
    """Where something was lost, as the end of a sentence.

    Example:
        >>> at_stage("capacity"), at_stage("reranker")
        ('to capacity', 'at the reranker')
    """
    return {"ingest": "at ingest", "capacity": "to capacity"}.get(stage, f"at the {stage}")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A point of the flow.

    Attributes:
        name: what is looked at there.
        stage: who is charged with what is lost on the way here; None for the start.
    """

    name: str
    stage: str | None


@dataclass(frozen=True, eq=False)
class Ledger:
    """Values of units and of queries at every checkpoint.

    Attributes:
        checkpoints: in the order of the flow, C of them.
        query_ids: the assessed queries, Q of them.
        owner: for each unit (U in all) the position of its query, shape (U,).
        soft: coverage of each unit at each checkpoint, shape (U, C).
        hard: whether each unit is delivered at each checkpoint, shape (U, C), 0 or 1.
        exact: whether the best sets behind a query's values are proven to be the best, shape (Q, C).
    """

    checkpoints: tuple[Checkpoint, ...]
    query_ids: tuple[str, ...]
    owner: NDArray[np.intp]
    soft: NDArray[np.float64]
    hard: NDArray[np.float64]
    exact: NDArray[np.bool_]

    def values(self, objective: Objective = "soft") -> NDArray[np.float64]:
        """R of each query at each checkpoint, shape (Q, C)."""
        return self._mean_by_query(self.soft if objective == "soft" else self.hard)

    def _mean_by_query(self, of_units: NDArray[np.float64]) -> NDArray[np.float64]:
        sums = np.zeros((len(self.query_ids), of_units.shape[1]))
        np.add.at(sums, self.owner, of_units)
        counts = np.bincount(self.owner, minlength=len(self.query_ids))
        return np.asarray(sums / counts[:, None])

    def steps(
        self, objective: Objective = "soft", *, moved: Mapping[int, str] | None = None
    ) -> NDArray[np.float64]:
        """What each query loses (or, negative, regains) on the way to each checkpoint, shape (Q, C - 1).

        Args:
            objective: coverage, or delivered or lost.
            moved: lost units that are charged to another stage than their label, with that stage. A unit
                takes along what it lost from its label on, less what it regained there; what it had lost or
                regained before stays where it is.
        """
        if not moved:
            return np.asarray(-np.diff(self.values(objective), axis=1))
        steps = -np.diff(self.soft if objective == "soft" else self.hard, axis=1)
        for unit, stage in moved.items():
            first = self._last_drop(unit)
            taken = steps[unit, first:].sum()
            steps[unit, first:] = 0
            steps[unit, self.stages.index(stage)] += taken
        return self._mean_by_query(steps)

    @property
    def stages(self) -> tuple[str, ...]:
        """The stage charged with each step."""
        return tuple(checkpoint.stage for checkpoint in self.checkpoints if checkpoint.stage)

    def label(self, unit: int) -> str | None:
        """The stage of a lost unit's last drop, None for a delivered one.

        After a rescue earlier drops no longer count.
        """
        return None if self.hard[unit, -1] else self.stages[self._last_drop(unit)]

    def _last_drop(self, unit: int) -> int:
        return int(np.flatnonzero(np.diff(self.hard[unit]) < 0)[-1])

    @property
    def lost(self) -> list[int]:
        """The units that are not delivered."""
        lost: list[int] = np.flatnonzero(self.hard[:, -1] == 0).tolist()
        return lost

    def units_of(self, queries: Sequence[int]) -> list[int]:
        """The units of some of the queries (by position), in order."""
        wanted = set(queries)
        return [unit for unit, query in enumerate(self.owner.tolist()) if query in wanted]

    def select(self, queries: Sequence[int]) -> Ledger:
        """The ledger of some of the queries, by position."""
        new_position = {query: i for i, query in enumerate(queries)}
        units = self.units_of(queries)
        return Ledger(
            checkpoints=self.checkpoints,
            query_ids=tuple(self.query_ids[query] for query in queries),
            owner=np.array([new_position[int(self.owner[unit])] for unit in units], dtype=np.intp),
            soft=self.soft[units],
            hard=self.hard[units],
            exact=self.exact[list(queries)],
        )


_Candidates = Mapping[int, Mask]


@dataclass(frozen=True, slots=True)
class _Look:
    """A checkpoint of one query: either a fixed set of atoms, or chunks from which the best are chosen."""

    checkpoint: Checkpoint
    atoms: Mask | None = None
    candidates: _Candidates | None = None


def build_ledger(
    trace: Trace,
    query_ids: Sequence[str],
    evidence: Sequence[QueryEvidence],
    exact: Sequence[ExactSearch] | None,
    *,
    min_coverage: float,
) -> Ledger:
    """The ledger of ``query_ids``, aligned with their ``evidence`` and ``exact`` search."""
    tokens = None if trace.chunk_tokens is None else trace.chunk_tokens.__getitem__
    goals = [Goal(objective, min_coverage, trace.top_k, trace.budget) for objective in ("soft", "hard")]
    soft, hard, proven, owner = [], [], [], []
    checkpoints: tuple[Checkpoint, ...] = ()
    for i, (query_id, of_query) in enumerate(zip(query_ids, evidence, strict=True)):
        looks = _looks(trace, trace[query_id], of_query, None if exact is None else exact[i])
        checkpoints = tuple(look.checkpoint for look in looks)
        (soft_values, soft_exact), (hard_values, hard_exact) = (
            _values(of_query, looks, goal, tokens) for goal in goals
        )
        soft.append(soft_values)
        hard.append(hard_values)
        proven.append(soft_exact & hard_exact)
        owner += [i] * len(of_query.units)
    return Ledger(
        checkpoints,
        tuple(query_ids),
        np.array(owner, dtype=np.intp),
        np.concatenate(soft),
        np.concatenate(hard),
        np.stack(proven),
    )


def _looks(
    trace: Trace, query: QueryTrace, evidence: QueryEvidence, exact: ExactSearch | None
) -> list[_Look]:
    """The checkpoints of one query, in the order of the flow."""
    carriers = evidence.carriers

    def among(positions: Sequence[int] | frozenset[int]) -> _Candidates:
        return {position: carriers[position] for position in positions if position in carriers}

    looks = [
        _Look(Checkpoint("everything", None), atoms=-1),
        _Look(Checkpoint("documents", "ingest"), atoms=evidence.ingested),
        _Look(Checkpoint("chunks", "chunker"), atoms=evidence.mask_of(carriers)),
        _Look(Checkpoint("best k", "capacity"), candidates=carriers),
    ]
    if exact is not None:
        looks.append(_Look(Checkpoint("exact search", "embedder"), candidates=among(exact.candidates)))
    retrieved = among(trace.positions(query.retrieved))
    looks.append(_Look(Checkpoint("retrieved", "retriever"), candidates=retrieved))
    if query.reranked is not None:
        top = among(trace.positions(query.reranked[: trace.top_k]))
        looks.append(_Look(Checkpoint("reranked top k", "reranker"), candidates=top))
    if "packer" in trace.stages:
        looks.append(_Look(Checkpoint("context", "packer"), atoms=evidence.context))
    return looks


def _values(
    evidence: QueryEvidence, looks: Sequence[_Look], goal: Goal, tokens: Callable[[int], int] | None
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Unit values, shape (units, checkpoints), and which checkpoints are proven, shape (checkpoints,).

    Worked out from the last checkpoint back: among equally good sets the one is taken that keeps what the
    next checkpoint delivers.
    """
    columns: list[NDArray[np.float64]] = []
    proven: list[bool] = []
    following = np.zeros(len(evidence.units))
    for look in reversed(looks):
        exact = True
        if look.candidates is None:
            atoms = look.atoms or 0
        else:
            chosen = best_set(evidence, look.candidates, goal, keep=following, tokens=tokens)
            atoms, exact = chosen.atoms, chosen.exact
        following = goal.unit_values(evidence, atoms)
        columns.append(following)
        proven.append(exact)
    return np.stack(columns[::-1], axis=1), np.array(proven[::-1])
