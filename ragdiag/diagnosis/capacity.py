"""The best that any downstream could make of a set of chunks: at most k of them, within a token budget.

This is a maximum coverage problem. It is solved exactly: chunks that cannot matter are dropped (another one
carries at least as much and costs no more), what then fits is taken whole, small rests are enumerated, and
large ones go to the mixed-integer solver of scipy (HiGHS). Where the solver's time runs out, the answer says
that it is approximate.

Among equally good sets the one is chosen that keeps most of what the next step delivers, so that a loss is
not seen where none is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import comb
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ragdiag.diagnosis.evidence import AlternativeAtoms, Mask, QueryEvidence

__all__ = ["BestSet", "Goal", "Objective", "best_set"]

Objective: TypeAlias = Literal["soft", "hard"]

_ENUMERATION_LIMIT = 2_000
_SLACK = 1e-7  # what the solver's own tolerances ask for
_DIGITS = 12  # values are means of shares of characters: real differences are far larger than 1e-12


@dataclass(frozen=True, slots=True)
class Goal:
    """What is maximized, and within which limits.

    Attributes:
        objective: ``"soft"``: the sum of the units' coverage; ``"hard"``: the number of delivered units.
        min_coverage: the coverage from which a unit counts as delivered.
        k: how many chunks may be chosen.
        budget: how many tokens the chosen chunks may take together; None where no budget is declared.
        only: the one unit (by number) that is maximized, the others then only break ties; None for all.
    """

    objective: Objective
    min_coverage: float
    k: int
    budget: int | None = None
    only: int | None = None

    def unit_values(self, evidence: QueryEvidence, atoms: Mask) -> NDArray[np.float64]:
        """What a set of atoms is worth for each unit, shape (units,)."""
        coverage = evidence.coverage(atoms)
        if self.objective == "soft":
            return coverage
        return (coverage >= self.min_coverage).astype(np.float64)

    def worth(self, values: NDArray[np.float64]) -> float:
        """What is maximized, given the units' values."""
        return float(values.sum() if self.only is None else values[self.only])


@dataclass(frozen=True, slots=True)
class BestSet:
    """The chosen chunks (positions) with their atoms, and whether they are proven to be the best."""

    positions: tuple[int, ...]
    atoms: Mask
    exact: bool = True


@dataclass(frozen=True, slots=True)
class _Item:
    position: int
    atoms: Mask
    tokens: int


def best_set(
    evidence: QueryEvidence,
    candidates: Mapping[int, Mask],
    goal: Goal,
    *,
    keep: NDArray[np.float64],
    tokens: Callable[[int], int] | None = None,
    time_limit: float = 10.0,
) -> BestSet:
    """The best choice of chunks for one query.

    Args:
        evidence: of the query.
        candidates: the chunks to choose from (positions), with their atoms.
        goal: what is maximized, and the limits.
        keep: for each unit what the next step delivers; the preference among equally good sets.
        tokens: what a chunk takes of the budget; needed where the goal has a budget.
        time_limit: seconds that the solver may take.
    """
    cost = tokens if goal.budget is not None and tokens is not None else lambda _: 0
    items = [_Item(p, m, cost(p)) for p, m in candidates.items() if m]
    items = _undominated([item for item in items if goal.budget is None or item.tokens <= goal.budget])
    if len(items) <= goal.k and _fits(items, goal):
        return _as_set(items)
    if sum(comb(len(items), size) for size in range(1, min(goal.k, len(items)) + 1)) <= _ENUMERATION_LIMIT:
        return _by_enumeration(evidence, items, goal, keep)
    return _by_solver(evidence, items, goal, keep, time_limit)


def _as_set(items: list[_Item], *, exact: bool = True) -> BestSet:
    atoms = 0
    for item in items:
        atoms |= item.atoms
    return BestSet(tuple(sorted(item.position for item in items)), atoms, exact)


def _fits(items: list[_Item], goal: Goal) -> bool:
    return goal.budget is None or sum(item.tokens for item in items) <= goal.budget


def _undominated(items: list[_Item]) -> list[_Item]:
    """Drop every chunk for which another carries all its atoms at no higher cost; the earlier one stays."""
    cheapest: dict[Mask, _Item] = {}
    for item in items:
        if item.atoms not in cheapest or item.tokens < cheapest[item.atoms].tokens:
            cheapest[item.atoms] = item
    distinct = list(cheapest.values())
    return [
        item
        for item in distinct
        if not any(
            item.atoms | other.atoms == other.atoms and other.tokens <= item.tokens
            for other in distinct
            if other is not item
        )
    ]


def _worth(
    evidence: QueryEvidence, atoms: Mask, goal: Goal, keep: NDArray[np.float64]
) -> tuple[float, float]:
    """What is maximized, then the preference among ties."""
    values = goal.unit_values(evidence, atoms)
    return round(goal.worth(values), _DIGITS), round(float(np.minimum(values, keep).sum()), _DIGITS)


def _by_enumeration(
    evidence: QueryEvidence, items: list[_Item], goal: Goal, keep: NDArray[np.float64]
) -> BestSet:
    bound = _worth(evidence, _as_set(items).atoms, goal, keep)
    best, best_worth = BestSet((), 0), _worth(evidence, 0, goal, keep)
    for chosen in _feasible_sets(items, goal):
        candidate = _as_set(chosen)
        worth = _worth(evidence, candidate.atoms, goal, keep)
        if worth > best_worth:
            best, best_worth = candidate, worth
        if best_worth == bound:
            break
    return best


def _feasible_sets(items: list[_Item], goal: Goal) -> Iterator[list[_Item]]:
    """All non-empty sets of at most k items within the budget."""

    def extend(chosen: list[_Item], start: int) -> Iterator[list[_Item]]:
        for i in range(start, len(items)):
            larger = [*chosen, items[i]]
            if _fits(larger, goal):
                yield larger
                if len(larger) < goal.k:
                    yield from extend(larger, i + 1)

    return extend([], 0)


def _by_solver(
    evidence: QueryEvidence,
    items: list[_Item],
    goal: Goal,
    keep: NDArray[np.float64],
    time_limit: float,
) -> BestSet:
    program = _Program(evidence, items, goal)
    first = program.maximize(program.value, time_limit)
    if first is None:
        return _greedy(evidence, items, goal, keep)
    best = program.chosen(first.x)
    if not first.exact:
        return _as_set(best, exact=False)
    value = _worth(evidence, _as_set(best).atoms, goal, keep)[0]
    program.require_value(value)
    second = program.maximize(program.kept(keep), time_limit)
    if second is None or not second.exact:
        return _as_set(best, exact=False)  # its worth is proven, which of the equals it should be is not
    preferred = _as_set(program.chosen(second.x))
    # The solver's tolerances would trade a few characters of value for the preference.
    return preferred if _worth(evidence, preferred.atoms, goal, keep)[0] >= value else _as_set(best)


def _greedy(evidence: QueryEvidence, items: list[_Item], goal: Goal, keep: NDArray[np.float64]) -> BestSet:
    """Add the most useful chunk while one fits: what is left when the solver found nothing in time."""
    chosen: list[_Item] = []
    while len(chosen) < goal.k:
        atoms = _as_set(chosen).atoms
        fitting = [item for item in items if item not in chosen and _fits([*chosen, item], goal)]
        if not fitting:
            break
        chosen.append(max(fitting, key=lambda item: _worth(evidence, atoms | item.atoms, goal, keep)))
    return _as_set(chosen, exact=False)


@dataclass(frozen=True, slots=True)
class _Solution:
    x: NDArray[np.float64]
    exact: bool


class _Program:
    """The mixed-integer program.

    Its variables lie between 0 and 1:

    ``take[j]``      chunk j is chosen (binary)
    ``have[a]``      atom a is covered: at most the sum of the takes that carry it
    ``use[u, v]``    unit u is satisfied by its alternative v (binary; at most one a unit)
    ``copy[...]``    a part of that alternative is read from this copy (binary; at most ``use``)
    ``read[...]``    an atom counted for it: at most ``have`` and at most ``copy``
    ``keep[u]``      a unit's value, capped by what the next step delivers
    """

    def __init__(self, evidence: QueryEvidence, items: list[_Item], goal: Goal) -> None:
        self._items = items
        self._binary: list[bool] = []
        self._rows: list[tuple[dict[int, float], float]] = []  # sum of coefficient * variable <= bound
        self._take = [self._variable(binary=True) for _ in items]
        self._at_most(dict.fromkeys(self._take, 1.0), goal.k)
        if goal.budget is not None:
            costs = {t: float(i.tokens) for t, i in zip(self._take, items, strict=True)}
            self._at_most(costs, goal.budget)
        # In characters of the longest evidence, so that the solver's absolute tolerances are below one.
        self._scale = float(max(alternative.size for unit in evidence.units for alternative in unit))
        self._weights = evidence.weights
        self._have = [self._atom(1 << atom) for atom in range(len(evidence.weights))]
        self._unit_values = [self._unit(unit, goal) for unit in evidence.units]
        self._maximized = self._unit_values if goal.only is None else [self._unit_values[goal.only]]

    def _atom(self, atom: Mask) -> int:
        have = self._variable()
        carriers = {t: -1.0 for t, item in zip(self._take, self._items, strict=True) if item.atoms & atom}
        self._at_most({have: 1.0, **carriers}, 0)
        return have

    def _unit(self, unit: Sequence[AlternativeAtoms], goal: Goal) -> dict[int, float]:
        """The value of a unit as a linear expression."""
        uses = [self._variable(binary=True) for _ in unit]
        self._at_most(dict.fromkeys(uses, 1.0), 1)
        value: dict[int, float] = {}
        for use, alternative in zip(uses, unit, strict=True):
            shares: dict[int, float] = {}
            for part in alternative.parts:
                copies = [self._variable(binary=True) for _ in part]
                self._at_most({**dict.fromkeys(copies, 1.0), use: -1.0}, 0)
                for copy, atoms in zip(copies, part, strict=True):
                    shares |= self._read(copy, atoms, alternative.size)
            if goal.objective == "soft":
                value |= shares
            else:
                value[use] = 1.0
                # In characters: whole numbers, however long the evidence is.
                size = alternative.size
                missed = {read: -share * size for read, share in shares.items()}
                self._at_most({use: (goal.min_coverage - _SLACK) * size, **missed}, 0)
        return value

    def _read(self, copy: int, atoms: Mask, size: int) -> dict[int, float]:
        """The share of an alternative that one copy of a part adds, as a linear expression."""
        shares = {}
        for atom, weight in enumerate(self._weights):
            if atoms >> atom & 1:
                read = self._variable()
                self._at_most({read: 1.0, copy: -1.0}, 0)
                self._at_most({read: 1.0, self._have[atom]: -1.0}, 0)
                shares[read] = weight / size
        return shares

    def _variable(self, *, binary: bool = False) -> int:
        self._binary.append(binary)
        return len(self._binary) - 1

    def _at_most(self, coefficients: dict[int, float], bound: float) -> None:
        self._rows.append((coefficients, bound))

    @property
    def value(self) -> dict[int, float]:
        """The objective: the sum over the units that are maximized."""
        return {variable: c for unit in self._maximized for variable, c in unit.items()}

    def require_value(self, value: float) -> None:
        """From now on only sets of this value."""
        lacking = {variable: -c * self._scale for variable, c in self.value.items()}
        self._at_most(lacking, -value * self._scale + _SLACK)

    def kept(self, keep: NDArray[np.float64]) -> dict[int, float]:
        """The preference: the sum over units of the value, capped by ``keep``."""
        objective: dict[int, float] = {}
        for unit, most in zip(self._unit_values, keep, strict=True):
            variable = self._variable()
            self._at_most({variable: 1.0}, float(most))
            self._at_most({variable: 1.0, **{v: -c for v, c in unit.items()}}, 0)
            objective[variable] = 1.0
        return objective

    def maximize(self, objective: dict[int, float], time_limit: float) -> _Solution | None:
        """Solve; None where not even a feasible point was found in time."""
        from scipy.optimize import Bounds, LinearConstraint, milp
        from scipy.sparse import coo_array

        size = len(self._binary)
        cost = np.zeros(size)
        for variable, coefficient in objective.items():
            cost[variable] = -coefficient * self._scale
        entries = [(i, v, c) for i, (row, _) in enumerate(self._rows) for v, c in row.items()]
        rows, columns, values = zip(*entries, strict=True)
        matrix = coo_array((values, (rows, columns)), shape=(len(self._rows), size)).tocsr()
        result = milp(
            cost,
            integrality=np.array(self._binary, dtype=np.int64),
            bounds=Bounds(0, 1),
            constraints=LinearConstraint(matrix, ub=np.array([bound for _, bound in self._rows])),
            options={"time_limit": time_limit, "mip_rel_gap": 0.0},
        )
        if result.x is None:
            return None
        return _Solution(np.asarray(result.x), exact=bool(result.status == 0))

    def chosen(self, x: NDArray[np.float64]) -> list[_Item]:
        """The chunks that a solution takes."""
        return [item for item, variable in zip(self._items, self._take, strict=True) if x[variable] > 0.5]
