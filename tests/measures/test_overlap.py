"""Span measures against sets of characters, and against pytrec_eval where the two mean the same."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError, dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st

from ragdiag.errors import ConfigError, DataError
from ragdiag.measures import (
    MRR,
    All,
    ContextPrecision,
    Delivery,
    Hit,
    IoU,
    Omega,
    Precision,
    Recall,
    SpanMeasure,
    parse_measure,
)

Characters = frozenset[int]


@dataclass(frozen=True)
class Case:
    """A query in sets of character positions: a unit is a tuple of alternatives."""

    units: tuple[tuple[Characters, ...], ...]
    chunks: tuple[Characters, ...]
    tokens: tuple[int, ...]

    @property
    def evidence(self) -> Characters:
        return frozenset().union(*(alternative for unit in self.units for alternative in unit))

    def delivered(self, r: int) -> Characters:
        return frozenset().union(*self.chunks[:r])

    def coverage(self, unit: tuple[Characters, ...], r: int) -> float:
        return max(len(alternative & self.delivered(r)) / len(alternative) for alternative in unit)

    def missing(self, r: int) -> Characters:
        nearest = (min((alt - self.delivered(r) for alt in unit), key=len) for unit in self.units)
        return frozenset().union(*nearest)

    def relevant(self, chunk: Characters) -> bool:
        halves = any(2 * len(alt & chunk) >= len(alt) for unit in self.units for alt in unit)
        return halves or (bool(chunk) and 2 * len(chunk & self.evidence) >= len(chunk))

    @property
    def delivery(self) -> Delivery:
        prefixes = range(len(self.chunks) + 1)
        touching = frozenset().union(*(chunk for chunk in self.chunks if chunk & self.evidence))
        return Delivery(
            unit_coverage=np.array([[self.coverage(unit, r) for unit in self.units] for r in prefixes]),
            evidence_characters=np.array([len(self.delivered(r) & self.evidence) for r in prefixes]),
            missing_characters=np.array([len(self.missing(r)) for r in prefixes]),
            chunk_characters=np.array([len(chunk) for chunk in self.chunks], dtype=np.int64),
            relevant=np.array([self.relevant(chunk) for chunk in self.chunks], dtype=bool),
            tokens=np.array(self.tokens, dtype=np.int64),
            touching=(len(touching & self.evidence), len(touching)),
        )


spans = st.tuples(st.integers(0, 30), st.integers(1, 12)).map(lambda p: frozenset(range(p[0], p[0] + p[1])))
units = st.lists(spans, min_size=1, max_size=2).map(tuple)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    chunks = draw(st.lists(spans, max_size=6))
    tokens = draw(st.lists(st.integers(0, 9), min_size=len(chunks), max_size=len(chunks)))
    return Case(tuple(draw(st.lists(units, min_size=1, max_size=3))), tuple(chunks), tuple(tokens))


def first_delivered(case: Case, unit: tuple[Characters, ...], depth: int, min_coverage: float) -> int | None:
    ranks = (r for r in range(1, depth + 1) if case.coverage(unit, r) >= min_coverage)
    return next(ranks, None)


ks = st.integers(1, 8)
thresholds = st.sampled_from([1.0, 0.5, 0.3])
CORE = {"unit_coverage": [[0.0], [0.5], [1.0]], "evidence_characters": [0, 10, 20]}
HALVES: dict[str, Any] = {
    **CORE,
    "missing_characters": [20, 10, 0],
    "chunk_characters": [40, 40],
    "relevant": [True, True],
}
EMPTY: dict[str, Any] = {
    "unit_coverage": [[0.0, 0.0]],
    "evidence_characters": [0],
    "missing_characters": [7],
    "chunk_characters": [],
    "relevant": [],
    "tokens": [],
    "touching": (0, 0),
}
EVERY_MEASURE = [Recall, Hit, All, MRR, Precision, IoU, ContextPrecision, Omega]
CUT_MEASURES = [Recall, Hit, All, MRR, Precision, IoU, ContextPrecision]


@given(cases(), ks)
def test_recall_is_the_mean_coverage_of_the_units(case: Case, k: int) -> None:
    expected = np.mean([case.coverage(unit, min(k, len(case.chunks))) for unit in case.units])
    assert Recall(k)(case.delivery) == pytest.approx(expected)


@given(cases())
def test_without_a_cut_the_whole_ranking_counts(case: Case) -> None:
    for kind in CUT_MEASURES:
        assert kind()(case.delivery) == kind(len(case.chunks) + 1)(case.delivery)


@given(cases(), st.integers(1, 40))
def test_a_token_budget_takes_chunks_in_order_until_one_does_not_fit(case: Case, budget: int) -> None:
    fitting = 0
    for total in accumulate(case.tokens):
        if total > budget:
            break
        fitting += 1
    for kind in CUT_MEASURES:
        cut = Case(case.units, case.chunks[:fitting], case.tokens[:fitting])
        assert kind(tokens=budget)(case.delivery) == kind()(cut.delivery)


@given(cases(), ks, thresholds)
def test_hit_all_and_mrr_follow_the_first_rank_of_each_unit(case: Case, k: int, threshold: float) -> None:
    depth = min(k, len(case.chunks))
    ranks = [first_delivered(case, unit, depth, threshold) for unit in case.units]
    found = [rank is not None for rank in ranks]
    assert Hit(k, min_coverage=threshold)(case.delivery) == float(any(found))
    assert All(k, min_coverage=threshold)(case.delivery) == float(all(found))
    reciprocal = [1 / rank if rank else 0 for rank in ranks]
    assert MRR(k, min_coverage=threshold)(case.delivery) == pytest.approx(np.mean(reciprocal))


@given(cases(), ks)
def test_precision_counts_evidence_once_and_every_delivery(case: Case, k: int) -> None:
    paid = sum(len(chunk) for chunk in case.chunks[:k])
    expected = len(case.delivered(k) & case.evidence) / paid if paid else 0
    assert Precision(k)(case.delivery) == pytest.approx(expected)


@given(st.lists(spans, min_size=1, max_size=3), st.lists(spans, max_size=5), ks)
def test_iou_is_the_jaccard_index_when_chunks_do_not_overlap(
    evidence: list[Characters], chunks: list[Characters], k: int
) -> None:
    seen: set[int] = set()
    apart = []
    for chunk in chunks:
        apart.append(frozenset(chunk - seen))
        seen |= chunk
    case = Case(tuple((span,) for span in evidence), tuple(apart), (1,) * len(apart))
    needed, delivered = case.evidence, case.delivered(k)
    assert IoU(k)(case.delivery) == pytest.approx(len(needed & delivered) / len(needed | delivered))


@given(cases(), ks)
def test_iou_with_alternatives_stays_in_range_and_is_one_only_for_the_bare_evidence(
    case: Case, k: int
) -> None:
    value = IoU(k)(case.delivery)
    assert 0 <= value <= 1
    bare = (
        not case.missing(k)
        and case.delivered(k) <= case.evidence
        and sum(map(len, case.chunks[:k])) == len(case.delivered(k))
    )
    assert (value == 1) == bare


def test_delivering_one_of_two_copies_is_a_perfect_iou() -> None:
    original, copy = frozenset(range(5)), frozenset(range(10, 15))
    assert IoU()(Case(((original, copy),), (copy,), (1,)).delivery) == 1


@given(cases(), ks)
def test_context_precision_is_average_precision_over_what_was_found(case: Case, k: int) -> None:
    top = case.chunks[:k]
    run = {"q": {f"c{r}": float(-r) for r in range(len(top))}}
    qrels = {"q": {f"c{r}": int(case.relevant(chunk)) for r, chunk in enumerate(top)}}
    reference = pytrec_eval.RelevanceEvaluator(qrels, {"map"}).evaluate(run)["q"]["map"] if top else 0
    assert ContextPrecision(k)(case.delivery) == pytest.approx(reference)


@given(cases(), ks)
def test_mrr_is_the_reciprocal_rank_where_one_chunk_completes_the_unit(case: Case, k: int) -> None:
    (first, *_), top = case.units, case.chunks[:k]
    holds = [any(alternative <= chunk for alternative in first) for chunk in top]
    pieced = [case.coverage(first, r + 1) == 1 and not any(holds[: r + 1]) for r in range(len(top))]
    if not top or any(pieced):
        return
    run = {"q": {f"c{r}": float(-r) for r in range(len(top))}}
    qrels = {"q": {f"c{r}": int(whole) for r, whole in enumerate(holds)}}
    reference = pytrec_eval.RelevanceEvaluator(qrels, {"recip_rank"}).evaluate(run)["q"]["recip_rank"]
    alone = Case((first,), case.chunks, case.tokens)
    assert MRR(k)(alone.delivery) == pytest.approx(reference)


@given(cases())
def test_omega_is_the_precision_of_the_union_of_the_chunks_that_touch(case: Case) -> None:
    union: set[int] = set()
    for chunk in case.chunks:
        if chunk & case.evidence:
            union |= chunk
    expected = len(union & case.evidence) / len(union) if union else 0
    assert Omega()(case.delivery) == pytest.approx(expected)


@given(cases(), ks)
def test_a_duplicate_costs_precision_and_never_adds_recall(case: Case, k: int) -> None:
    top = case.chunks[:k]
    twice = Case(case.units, top + top, case.tokens[:k] * 2)
    once = Case(case.units, top, case.tokens[:k])
    assert Recall()(twice.delivery) == Recall()(once.delivery)
    assert Precision()(twice.delivery) == pytest.approx(Precision()(once.delivery) / 2)


@given(cases())
def test_every_value_is_a_float_in_range(case: Case) -> None:
    for kind in EVERY_MEASURE:
        value = kind()(case.delivery)
        assert type(value) is float
        assert 0 <= value <= 1


@pytest.mark.parametrize("kind", EVERY_MEASURE)
def test_an_empty_ranking_is_worth_nothing(kind: type[SpanMeasure]) -> None:
    assert kind()(Delivery(**EMPTY)) == 0


def test_a_delivery_takes_numbers_of_any_kind() -> None:
    zeros_and_ones = Delivery(**{**HALVES, "relevant": [0, 1], "unit_coverage": [[False], [False], [True]]})
    assert ContextPrecision()(zeros_and_ones) == 0.5
    assert Recall(2)(zeros_and_ones) == 1


def test_first_ranks_are_the_prefix_that_completes_a_unit() -> None:
    coverage = [[0, 0, 0], [0.5, 0, 1], [1, 0.9, 1]]
    delivery = Delivery(
        **{
            **HALVES,
            "unit_coverage": coverage,
            "evidence_characters": [0, 9, 9],
            "missing_characters": [9] * 3,
        }
    )
    assert delivery.first_ranks().tolist() == [2, np.inf, 1]
    assert delivery.first_ranks(0.5).tolist() == [1, 2, 1]


SPECS: list[tuple[SpanMeasure, str]] = [
    (Recall(), "Recall"),
    (Recall(5), "Recall@5"),
    (Recall(tokens=512), "Recall@512t"),
    (Hit(5), "Hit@5"),
    (Hit(5, min_coverage=0.8), "Hit(min_coverage=0.8)@5"),
    (All(min_coverage=1e-05), "All(min_coverage=1e-05)"),
    (MRR(10), "MRR@10"),
    (Precision(5), "Precision@5"),
    (IoU(5), "IoU@5"),
    (Omega(), "Omega"),
    (ContextPrecision(5), "CP@5"),
]


@pytest.mark.parametrize(("measure", "spec"), SPECS)
def test_a_measure_prints_as_its_spec_and_is_read_back(measure: SpanMeasure, spec: str) -> None:
    assert repr(measure) == str(measure) == spec
    for spelling in (spec, spec.lower(), spec.upper(), f" {spec} "):
        assert parse_measure(spelling) == measure


@given(
    st.sampled_from([Hit, All, MRR]),
    st.floats(0, 1, exclude_min=True),
    st.one_of(st.just({}), ks.map(lambda k: {"k": k}), ks.map(lambda k: {"tokens": k})),
)
def test_any_option_survives_the_round_trip(
    kind: type[Hit | All | MRR], min_coverage: float, cut: dict[str, int]
) -> None:
    measure = kind(**cut, min_coverage=min_coverage)
    assert parse_measure(str(measure)) == measure


def test_specs_may_be_spelled_out() -> None:
    assert parse_measure("contextprecision@5") == ContextPrecision(5)
    assert parse_measure("recall @ 512 Tokens") == Recall(tokens=512)
    assert parse_measure("hit( MIN_COVERAGE = .5 )@3") == Hit(3, min_coverage=0.5)


def test_measures_are_hashable_frozen_values() -> None:
    measures = {measure for measure, _ in SPECS}
    assert len(measures) == len(SPECS)
    assert Recall(np.int64(5)) in measures  # type: ignore[arg-type]  # what numpy users pass
    assert parse_measure("Recall@5") != parse_measure("Precision@5")
    assert pickle.loads(pickle.dumps(Recall(5))) == Recall(5)  # noqa: S301  # our own bytes
    with pytest.raises(FrozenInstanceError):
        Recall(5).k = 6  # type: ignore[misc]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("recal@5", "did you mean Recall?; known: All, CP, Hit, IoU, MRR, Omega, Precision, Recall"),
        ("context_precision@5", "did you mean CP?"),
        ("xyzzy", "'xyzzy' is not known; known: All"),
        ("", "cannot be read"),
        ("Recall@", "cannot be read"),
        ("Recall@-1", "cannot be read"),
        ("Recall@5@6", "cannot be read"),
        ("Recall@0", "Recall: k must be an integer >= 1, got 0"),
        ("Omega@5", "Omega takes no k"),
        ("Omega@5t", "Omega takes no tokens"),
        ("Recall(min_coverage=0.5)@5", "Recall takes no min_coverage"),
        ("Hit(min_coverage=0)", "min_coverage must be in"),
        ("Hit(min_coverage=1.5)", "min_coverage must be in"),
        (
            "Hit(min_coverage=1.2.3)",
            "measure 'Hit(min_coverage=1.2.3)': min_coverage must be a number, got '1.2.3'",
        ),
    ],
)
def test_a_spec_that_cannot_be_is_explained(spec: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_measure(spec)
    assert message in str(error.value)


@pytest.mark.parametrize("k", [0, -1, True, 2.5, "5"])
def test_a_cut_must_be_a_positive_integer(k: Any) -> None:
    with pytest.raises(ConfigError, match="k must be an integer >= 1"):
        Recall(k)
    with pytest.raises(ConfigError, match="tokens must be an integer >= 1"):
        Recall(tokens=k)


@pytest.mark.parametrize("kind", CUT_MEASURES)
def test_all_but_k_are_given_by_name(kind: Any) -> None:
    with pytest.raises(TypeError):
        kind(None, 1)


def test_a_threshold_becomes_a_plain_number() -> None:
    assert type(Hit(min_coverage=np.float64(0.5)).min_coverage) is float


def test_chunks_and_tokens_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match="give k or tokens, not both"):
        Recall(5, tokens=512)


def test_what_was_not_counted_cannot_be_measured() -> None:
    with pytest.raises(DataError, match="Recall@512t needs the tokens"):
        Recall(tokens=512)(Delivery(**HALVES))
    with pytest.raises(DataError, match="Omega needs"):
        Omega()(Delivery(**HALVES))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("unit_coverage", [[], [], []], "at least one unit"),
        ("unit_coverage", [0, 0.5, 1], "at least one unit"),
        ("unit_coverage", [[0], [1]], r"shape \(3, 1\) for 2 chunks, got \(2, 1\)"),
        ("unit_coverage", [[0.25], [0.5], [1]], r"must be 0 for the empty prefix, got \[0.25\]"),
        ("unit_coverage", [[0], [1], [0.5]], "never fall"),
        ("unit_coverage", [[0], [0.5], [1.5]], r"stay in \[0, 1\]"),
        ("unit_coverage", [[0], [np.nan], [1]], "never fall"),
        ("evidence_characters", [0, 10], "evidence_characters must have shape"),
        ("evidence_characters", [1, 10, 20], "first 0 chunks have 0 characters but 1"),
        ("evidence_characters", [0, 41, 41], "first 1 chunks have 40 characters but 41"),
        ("missing_characters", [20, 10, -1], "missing_characters must be >= 0, got -1"),
        ("chunk_characters", [[40, 40]], r"chunk_characters must have shape \(2,\)"),
        ("relevant", [True], "relevant must have shape"),
        ("tokens", [0, -2], "tokens must be >= 0, got -2"),
        ("tokens", [1, 2, 3], "tokens must have shape"),
        ("touching", (30, 20), "touching must be"),
    ],
)
def test_a_delivery_checks_itself(field: str, value: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Delivery(**{**HALVES, field: value})
