"""Truth by potential outcomes: against every set of faults tried by hand, and on made-up outcomes."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain, combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plugs import LineChunker

from ragdiag import (
    BM25Retriever,
    Document,
    Evidence,
    HashingEmbedder,
    LateInteractionReranker,
    Pipeline,
    Query,
    Span,
    diagnose,
)
from ragdiag.experiments.faults import FAULTS, Case, Planted, Truth, Unit, find_truth, plant
from ragdiag.experiments.faults.truth import delivered_by, delivered_units

NAMES = ("dropped_documents", "missing_upserts", "first_dropped")
UNIT = ("q0", 0)

LINES = [
    f"The {thing} of type {n} weighs {7 * n + 3} pounds." for n in range(6) for thing in ("lamp", "chair")
]
DOCUMENTS = tuple(Document(f"d{i}", "\n".join(LINES[i : i + 4])) for i in range(0, len(LINES), 4))


def queries() -> tuple[Query, ...]:
    asked: list[Query] = []
    for document in DOCUMENTS:
        for line in document.text.split("\n"):
            evidence = Evidence.of(Span.find(document, line))
            asked.append(Query(f"q{len(asked)}", " ".join(line.split()[:5]), [evidence]))
    return tuple(asked)


PIPELINE = Pipeline(
    chunker=LineChunker(),
    retriever=BM25Retriever(),
    reranker=LateInteractionReranker(HashingEmbedder(128)),
    candidates=4,
    top_k=2,
)
CASE = Case(PIPELINE, DOCUMENTS, queries())


def subsets(names: tuple[str, ...]) -> list[frozenset[str]]:
    return [frozenset(c) for c in chain.from_iterable(combinations(names, n) for n in range(len(names) + 1))]


def truth_where(delivered: Mapping[frozenset[str], bool], names: tuple[str, ...] = NAMES) -> Truth | None:
    """The truth of a unit that is delivered with just those sets of faults."""

    def outcome(planted: Planted) -> frozenset[Unit]:
        names = frozenset(fault.name for fault in planted.faults)
        return frozenset({UNIT} if delivered[names] else ())

    planted = plant(CASE, [FAULTS[name] for name in names])
    return find_truth(planted, delivered=outcome).get(UNIT)


def lost_with(*sets: set[str], names: tuple[str, ...] = NAMES) -> Truth | None:
    """The truth of a unit that is lost wherever all faults of one of the sets are."""
    return truth_where({some: not any(lost <= some for lost in sets) for some in subsets(names)}, names)


A, B, C = ({name} for name in NAMES)


@pytest.mark.parametrize(
    ("sets", "fate", "fixes"),
    [
        ([A], "only", [A]),
        ([A | B], "joint", [A, B]),
        ([A, B], "overdetermined", [A | B]),
        ([A, B, C], "overdetermined", [A | B | C]),
        ([A | B | C], "joint", [A, B, C]),
        ([A, B | C], "mixed", [A | B, A | C]),
        ([A | B, B | C], "mixed", [B, A | C]),
    ],
)
def test_fates(sets: list[set[str]], fate: str, fixes: list[set[str]]) -> None:
    truth = lost_with(*sets)
    assert truth is not None
    assert truth.fate == fate
    assert [set(fix) for fix in truth.fixes] == fixes
    stage_of = {name: FAULTS[name].stage for name in NAMES}
    assert [set(stages) for stages in truth.stages] == [{stage_of[name] for name in fix} for fix in fixes]


def test_what_is_lost_without_faults_or_delivered_with_them_has_no_truth() -> None:
    assert lost_with(set()) is None
    assert lost_with() is None


def test_stages_that_are_the_same_are_said_once() -> None:
    names = ("missing_upserts", "duplicate_ids")
    truth = lost_with(set(names), names=names)
    assert truth is not None
    assert (truth.fate, len(truth.fixes), truth.stages) == ("joint", 2, (frozenset({"retriever"}),))


@given(st.lists(st.booleans(), min_size=8, max_size=8))
def test_fixes_are_the_minimal_sets_whatever_the_outcomes(outcomes: list[bool]) -> None:
    delivered = dict(zip(subsets(NAMES), outcomes, strict=True))
    everything = frozenset(NAMES)
    truth = truth_where(delivered)
    if not delivered[frozenset()] or delivered[everything]:
        assert truth is None
        return
    mending = [some for some in subsets(NAMES) if delivered[everything - some]]
    expected = {some for some in mending if not any(other < some for other in mending)}
    assert truth is not None
    assert set(truth.fixes) == expected
    assert len(truth.fixes) == len(expected)


def test_a_set_of_faults_is_asked_for_once_and_planted_with_the_same_seed() -> None:
    asked: list[frozenset[str]] = []
    seeds = set()

    def outcome(planted: Planted) -> frozenset[Unit]:
        asked.append(frozenset(fault.name for fault in planted.faults))
        seeds.add(planted.seed)
        assert planted.healthy == CASE
        return frozenset()

    find_truth(plant(CASE, [FAULTS[name] for name in NAMES], seed=5), delivered=outcome)
    assert sorted(asked, key=sorted) == sorted(subsets(NAMES), key=sorted)
    assert seeds == {5}


def test_a_case_delivers_what_a_diagnosis_says_it_does() -> None:
    faults = [FAULTS["dropped_documents"].at(0.1), FAULTS["reranker_inverted"].at(0.5)]
    for planted in (plant(CASE, []), plant(CASE, faults)):
        case = planted.case
        diagnosis = diagnose(
            case.pipeline, case.documents, case.queries, sources=case.sources, verify=False, progress=False
        )
        rows = zip(diagnosis.units, diagnosis.ledger.hard[:, -1], strict=True)
        assert delivered_units(case) == {unit for unit, delivered in rows if delivered}
        assert delivered_by(planted) == delivered_units(case)


def test_the_truth_of_real_faults_is_what_taking_each_set_away_shows() -> None:
    faults = {
        "missing_upserts": FAULTS["missing_upserts"].at(0.4),
        "reranker_inverted": FAULTS["reranker_inverted"].at(0.7),
        "first_dropped": FAULTS["first_dropped"],
    }
    names = tuple(faults)
    delivered = {
        some: delivered_units(plant(CASE, [faults[name] for name in names if name in some], seed=3).case)
        for some in subsets(names)
    }
    truths = find_truth(plant(CASE, list(faults.values()), seed=3))
    everything = frozenset(names)
    assert set(truths) == delivered[frozenset()] - delivered[everything]
    for unit, truth in truths.items():
        mending = [some for some in subsets(names) if unit in delivered[everything - some]]
        assert set(truth.fixes) == {m for m in mending if not any(other < m for other in mending)}
    assert {"only", "overdetermined"} <= {truth.fate for truth in truths.values()}
