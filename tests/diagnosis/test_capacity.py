"""The best k chunks within a budget: compared with brute force over sets of characters, on every path."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from evidence_oracle import Oracle
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from plugs import LineChunker, SeededChunker
from random_cases import corpora, questions

from ragdiag.diagnosis import capacity
from ragdiag.diagnosis.capacity import BestSet, Goal, best_set
from ragdiag.diagnosis.evidence import EvidenceMap, QueryEvidence
from ragdiag.records import Chunk, Document, Evidence, Query, Span, WholeDocument


@dataclass(frozen=True)
class Choice:
    oracle: Oracle
    query: Query
    chunks: list[Chunk]
    evidence: QueryEvidence
    goal: Goal
    keep: list[float]
    tokens: Mapping[str, int]

    def solve(self, *, time_limit: float = 30.0) -> BestSet:
        return best_set(
            self.evidence,
            self.evidence.carriers,
            self.goal,
            keep=np.array(self.keep),
            tokens=lambda position: self.tokens[self.chunks[position].id],
            time_limit=time_limit,
        )

    def check_feasible(self, found: BestSet) -> tuple[float, float]:
        """What a choice is worth, by the oracle; it must keep to k, the budget and its own atoms."""
        chosen = [self.chunks[position] for position in found.positions]
        assert len(set(found.positions)) == len(chosen) <= self.goal.k
        if self.goal.budget is not None:
            assert sum(self.tokens[chunk.id] for chunk in chosen) <= self.goal.budget
        assert found.atoms == self.evidence.mask_of(found.positions)
        values = self.oracle.values(
            self.query,
            self.oracle.holds(chosen),
            hard=self.goal.objective == "hard",
            min_coverage=self.goal.min_coverage,
        )
        assert self.goal.unit_values(self.evidence, found.atoms) == pytest.approx(values)
        return sum(values), sum(min(v, most) for v, most in zip(values, self.keep, strict=True))

    def by_brute_force(self) -> tuple[float, float]:
        return self.oracle.best(
            self.query,
            self.chunks,
            k=self.goal.k,
            budget=self.goal.budget,
            tokens=self.tokens,
            hard=self.goal.objective == "hard",
            min_coverage=self.goal.min_coverage,
            keep=self.keep,
        )


@st.composite
def choices(draw: st.DrawFn) -> Choice:
    documents = draw(corpora(2).filter(lambda found: any(d.text.strip() for d in found)))
    [query] = draw(questions(documents, most=1, most_units=4))
    seed = draw(st.integers(0, 10_000))
    chunks = [chunk for document in documents for chunk in SeededChunker(seed, 6).chunk(document)]
    copies = draw(st.booleans())
    evidence_map = EvidenceMap(documents, {d.id: d for d in documents}, chunks, [query], copies=copies)
    return Choice(
        Oracle.of(documents, copies=copies),
        query,
        chunks,
        evidence_map.of(query),
        Goal(
            draw(st.sampled_from(["soft", "hard"])),
            draw(st.sampled_from([1.0, 0.75, 0.5, 0.3])),
            draw(st.integers(1, 4)),
            draw(st.sampled_from([None, None, 3, 6, 10])),
        ),
        [draw(st.sampled_from([0.0, 0.25, 0.5, 1.0])) for _ in query.evidence],
        {chunk.id: draw(st.integers(0, 6)) for chunk in chunks},
    )


@given(choices())
def test_value_and_preference_equal_brute_force(choice: Choice) -> None:
    found = choice.solve()
    assert found.exact
    assert choice.check_feasible(found) == pytest.approx(choice.by_brute_force(), abs=1e-9)


@given(choices())
def test_the_solver_agrees_with_brute_force(choice: Choice) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(capacity, "_ENUMERATION_LIMIT", 0)
        found = choice.solve()
    assert found.exact
    assert choice.check_feasible(found) == pytest.approx(choice.by_brute_force(), abs=1e-9)


@given(choices())
def test_without_time_the_answer_is_flagged_and_still_feasible(choice: Choice) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(capacity, "_ENUMERATION_LIMIT", 0)
        found = choice.solve(time_limit=0.0)
    worth = choice.check_feasible(found)
    best = choice.by_brute_force()
    assert worth[0] <= best[0] + 1e-9
    if found.exact:
        assert worth == pytest.approx(best, abs=1e-9)


def numbered(lines: int, *, width: int = 6) -> Document:
    return Document("d", "\n".join(f"line{i:0{width}}" for i in range(lines)))


def map_of(document: Document, query: Query) -> tuple[EvidenceMap, QueryEvidence]:
    evidence_map = EvidenceMap([document], {"d": document}, LineChunker().chunk(document), [query])
    return evidence_map, evidence_map.of(query)


def test_time_that_is_up_falls_back_on_the_most_useful_chunks() -> None:
    document = numbered(60)
    query = Query("q", "?", [Evidence.of(Span("d", 0, len(document.text) - 4))])
    _, evidence = map_of(document, query)
    found = best_set(evidence, evidence.carriers, Goal("soft", 1.0, 3), keep=np.zeros(1), time_limit=0.0)
    assert not found.exact
    assert len(found.positions) == 3
    assert evidence.coverage(found.atoms) == pytest.approx(30 / 596)


def solve_in_no_time(
    evidence: QueryEvidence, goal: Goal, keep: NDArray[np.float64], *, proofs: list[bool]
) -> BestSet:
    """The real solver, which is said to have proven its first and second answer or not."""
    really = capacity._Program.maximize

    def maximize(program: capacity._Program, objective: dict[int, float], limit: float) -> Any:
        found = really(program, objective, limit)
        assert found is not None
        return replace(found, exact=proofs.pop(0))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(capacity, "_ENUMERATION_LIMIT", 0)
        patch.setattr(capacity._Program, "maximize", maximize)
        return best_set(evidence, evidence.carriers, goal, keep=keep)


def test_an_unproven_value_is_flagged_and_an_unproven_preference_is_not_taken() -> None:
    document = Document("d", "first\nsecond")
    units = [Evidence.of(Span("d", 0, 5)), Evidence.of(Span("d", 6, 12))]
    _, evidence = map_of(document, Query("q", "?", units))
    goal = Goal("soft", 1.0, 1)
    for keep in (np.array([1.0, 0.0]), np.array([0.0, 1.0])):
        unproven = solve_in_no_time(evidence, goal, keep, proofs=[False])
        assert not unproven.exact
        preferred_in_vain = solve_in_no_time(evidence, goal, keep, proofs=[True, False])
        assert not preferred_in_vain.exact
        assert preferred_in_vain.positions == unproven.positions
        assert solve_in_no_time(evidence, goal, keep, proofs=[True, True]).exact


def test_a_budget_that_fills_up_ends_the_fallback() -> None:
    document = numbered(60)
    query = Query("q", "?", [Evidence.of(Span("d", 0, len(document.text)))])
    _, evidence = map_of(document, query)
    found = best_set(
        evidence,
        evidence.carriers,
        Goal("soft", 1.0, 5, budget=25),
        keep=np.zeros(1),
        tokens=lambda _: 10,
        time_limit=0.0,
    )
    assert not found.exact
    assert len(found.positions) == 2


@pytest.mark.parametrize("objective", ["soft", "hard"])
@pytest.mark.parametrize("min_coverage", [1.0, 0.25])
def test_forty_chunks_over_one_span_take_no_time(objective: capacity.Objective, min_coverage: float) -> None:
    document = numbered(40)
    query = Query("q", "?", [Evidence.of(Span("d", 0, len(document.text)))])
    _, evidence = map_of(document, query)
    began = time.perf_counter()
    found = best_set(evidence, evidence.carriers, Goal(objective, min_coverage, 10), keep=np.ones(1))
    assert time.perf_counter() - began < 2
    assert found.exact
    value = Goal(objective, min_coverage, 10).unit_values(evidence, found.atoms)
    assert value == pytest.approx({"soft": 0.25, "hard": float(min_coverage == 0.25)}[objective])


def test_a_document_of_a_thousand_chunks_takes_no_time() -> None:
    document = numbered(1000)
    query = Query("q", "?", [Evidence.of(WholeDocument("d"))])
    began = time.perf_counter()
    _, evidence = map_of(document, query)
    found = best_set(evidence, evidence.carriers, Goal("hard", 1.0, 5), keep=np.ones(1))
    assert time.perf_counter() - began < 2
    assert len(evidence.carriers) == 1000
    assert found.positions == (0,)  # one is enough, and the first of equals stays


def test_a_long_span_over_hundreds_of_chunks_in_two_units_is_solved() -> None:
    document = numbered(300)
    half = len(document.text) // 2
    query = Query("q", "?", [Evidence.of(Span("d", 0, half)), Evidence.of(Span("d", half, 2 * half))])
    _, evidence = map_of(document, query)
    began = time.perf_counter()
    found = best_set(evidence, evidence.carriers, Goal("soft", 1.0, 5), keep=np.array([0.02, 0.0]))
    assert time.perf_counter() - began < 10
    assert found.exact
    assert len(found.positions) == 5
    assert evidence.coverage(found.atoms).sum() == pytest.approx(
        sum(sorted((10 / 1500 for _ in range(300)), reverse=True)[:5]), rel=1e-2
    )


def test_equal_worth_goes_to_what_the_next_step_delivers() -> None:
    document = Document("d", "first\nsecond")
    units = [Evidence.of(Span("d", 0, 5)), Evidence.of(Span("d", 6, 12))]
    _, evidence = map_of(document, Query("q", "?", units))
    for keep, chosen in (([1.0, 0.0], 0), ([0.0, 1.0], 1)):
        for limit in (2000, 0):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(capacity, "_ENUMERATION_LIMIT", limit)
                found = best_set(evidence, evidence.carriers, Goal("soft", 1.0, 1), keep=np.array(keep))
            assert found.positions == (chosen,)


def long_choice(seed: int) -> tuple[QueryEvidence, Goal, NDArray[np.float64], list[int]]:
    """Units of 20,000 characters of nearly equal length: single characters are worth less than 1e-7."""
    generator = np.random.default_rng(seed)
    text, units = "", []
    for letter in "abcd"[: generator.integers(1, 5)]:
        start = len(text)
        text += letter * int(generator.integers(19_997, 20_004))
        units.append(Evidence.of(Span("d", start, len(text))))
        text += "\n"
    document = Document("d", text)
    chunks = {}
    for start in generator.integers(0, len(text) - 1, 8).tolist():
        end = min(len(text), start + int(generator.choice([1, 2, 5, 7_000, 20_000, 40_000])))
        chunk = Chunk.of(document, (start, end))
        chunks[chunk.id] = chunk
    query = Query("q", "?", units)
    evidence = EvidenceMap([document], {"d": document}, list(chunks.values()), [query]).of(query)
    goal = Goal(
        ("soft", "hard")[generator.integers(2)],
        float(generator.choice([1.0, 0.8, 0.3])),
        int(generator.integers(1, 5)),
        (None, 10, 20)[generator.integers(3)],
    )
    keep = generator.choice([0.0, 0.3, 1.0], len(units))
    return evidence, goal, keep, generator.integers(1, 10, len(chunks)).tolist()


def test_the_solver_does_not_trade_characters_of_long_evidence_for_the_preference() -> None:
    for seed in (*range(20), 257, 268):  # 1, 257 and 268 once went wrong
        evidence, goal, keep, costs = long_choice(seed)
        worths = []
        for limit in (10**9, 0):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(capacity, "_ENUMERATION_LIMIT", limit)
                found = best_set(evidence, evidence.carriers, goal, keep=keep, tokens=costs.__getitem__)
            assert found.exact
            values = goal.unit_values(evidence, found.atoms)
            worths.append((values.sum(), np.minimum(values, keep).sum()))
        assert worths[0] == pytest.approx(worths[1], abs=1e-9), seed


def test_a_cheap_chunk_is_kept_beside_a_dear_one_that_carries_more() -> None:
    """Either the dear chunk alone, or the cheap one, which it contains, with a third: the latter is more."""
    document = Document("d", "ab\ncdefgh")
    query = Query("q", "?", [Evidence.of(Span("d", 0, 9))])
    chunks = [Chunk.of(document, ranges) for ranges in ((0, 1), (0, 2), (3, 9))]
    evidence = EvidenceMap([document], {"d": document}, chunks, [query]).of(query)
    goal = Goal("soft", 1.0, 2, budget=10)
    for limit in (2000, 0):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(capacity, "_ENUMERATION_LIMIT", limit)
            found = best_set(
                evidence, evidence.carriers, goal, keep=np.zeros(1), tokens=[1, 10, 9].__getitem__
            )
        assert found.positions == (0, 2)


def test_chunks_beyond_the_budget_and_without_evidence_are_left_out() -> None:
    document = Document("d", "one\ntwo\nthree")
    query = Query("q", "?", [Evidence.of(Span("d", 0, 7))])
    _, evidence = map_of(document, query)
    costs = [9, 1, 0]
    found = best_set(
        evidence,
        {0: 0b01, 1: 0b10, 2: 0},
        Goal("soft", 1.0, 3, budget=5),
        keep=np.ones(1),
        tokens=costs.__getitem__,
    )
    assert found == BestSet((1,), 0b10)
    nothing = best_set(evidence, {}, Goal("soft", 1.0, 3), keep=np.ones(1))
    assert nothing == BestSet((), 0)
