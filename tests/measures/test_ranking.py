"""Rank measures beside trec_eval (pytrec_eval-terrier), and where ragdiag differs from it on purpose."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import pytrec_eval
from hypothesis import example, given
from hypothesis import strategies as st
from plugs import LineChunker, OrderRetriever

from ragdiag.errors import ConfigError, DataError
from ragdiag.measures import chunk_run, document_run, evaluate, interval, parse_measure, parse_rank_measure
from ragdiag.measures.ranking import (
    NDCG,
    AveragePrecision,
    RankMeasure,
    RankPrecision,
    RankRecall,
    ReciprocalRank,
    RPrecision,
    Success,
)
from ragdiag.measures.runs import Rankings, Ties
from ragdiag.measures.statistics import Clusters
from ragdiag.pipeline import Pipeline
from ragdiag.records import Document, Hit, Query

Scores = Mapping[str, float]
Grades = Mapping[str, int]

# Our spec, and what trec_eval calls it. Those of the second part look at grades alone, whatever the level.
BINARY = {
    "P@1": "P_1",
    "P@5": "P_5",
    "R": "set_recall",
    "R@3": "recall_3",
    "R@100": "recall_100",
    "Success@2": "success_2",
    "RR": "recip_rank",
    "MAP": "map",
    "MAP@3": "map_cut_3",
    "Rprec": "Rprec",
}
GRADED = {"nDCG": "ndcg", "nDCG@2": "ndcg_cut_2", "nDCG@10": "ndcg_cut_10"}
ASKED = {
    "P.1,5",
    "set_recall",
    "recall.3,100",
    "success.2",
    "recip_rank",
    "map",
    "map_cut.3",
    "Rprec",
    "ndcg",
    "ndcg_cut.2,10",
}

IDS = [*(f"d{i}" for i in range(12)), "D", "é", "z", "\uffff", "\U0001f642"]
# Many equal scores; two that only double precision tells apart, and two beyond single precision.
SCORES = st.sampled_from([3.0, 2.0, 2.0 + 1e-9, 1.0, 0.0, -0.0, -1.5, 1e300, 2e300]) | st.floats(-1e6, 1e6)
RUNS = st.dictionaries(st.sampled_from(IDS), SCORES, max_size=len(IDS))
GRADES = st.dictionaries(st.sampled_from([*IDS, "unfound", "lost"]), st.integers(-2, 4), max_size=12)
RELEVANT = st.builds(lambda grades, best: {**grades, "nowhere": best}, GRADES, st.integers(1, 4))


def by_trec_eval(
    run: Mapping[str, Scores], qrels: Mapping[str, Grades], *, rel: int = 1
) -> Mapping[str, Mapping[str, float]]:
    evaluator = pytrec_eval.RelevanceEvaluator(qrels, ASKED, relevance_level=rel)
    values: Mapping[str, Mapping[str, float]] = evaluator.evaluate(run)
    return values


def values(run: Any, qrels: Mapping[str, Grades], *specs: str, ties: Ties | None = None) -> list[float]:
    """Of the one query."""
    (row,) = evaluate(run, qrels, specs, ties=ties).per_query.itertuples(index=False)
    return list(row)


def value(run: Any, qrels: Mapping[str, Grades], spec: str, ties: Ties | None = None) -> float:
    return values(run, qrels, spec, ties=ties)[0]


# Beside trec_eval


@given(st.lists(st.tuples(RUNS, RELEVANT), min_size=1, max_size=6))
@example([({"d1": 1.0, "d2": 1.0, "d0": 1.0}, {"d1": 1, "d2": 0})])
@example([({}, {"d1": 1})])
def test_all_values_are_those_of_trec_eval(cases: list[tuple[Scores, Grades]]) -> None:
    run = {f"q{i}": found for i, (found, _) in enumerate(cases)}
    qrels = {f"q{i}": grades for i, (_, grades) in enumerate(cases)}
    found = evaluate(run, qrels, [*BINARY, *GRADED])
    assert found.per_query.index.tolist() == list(qrels)
    assert found.per_query.columns.tolist() == [*BINARY, *GRADED]
    for query_id, expected in by_trec_eval(run, qrels).items():
        for spec, name in {**BINARY, **GRADED}.items():
            assert found.per_query.loc[query_id, spec] == pytest.approx(expected[name], abs=1e-12, rel=0), (
                spec
            )


@given(RUNS, RELEVANT, st.integers(2, 4))
def test_a_relevance_level_is_that_of_trec_eval(found: Scores, grades: Grades, rel: int) -> None:
    qrels = {"q": {**grades, "nowhere": 4}}  # pytrec_eval crashes where nothing reaches the level
    expected = by_trec_eval({"q": found}, qrels, rel=rel)["q"]
    specs = {re.sub(r"^(\w+)", rf"\1(rel={rel})", spec): name for spec, name in BINARY.items()} | GRADED
    for spec, got in zip(specs, values({"q": found}, qrels, *specs), strict=True):
        assert got == pytest.approx(expected[specs[spec]], abs=1e-12, rel=0), spec


def strictly(ids: Sequence[str]) -> Scores:
    """Scores that say the order of ``ids``."""
    return {name: -float(rank) for rank, name in enumerate(ids)}


@given(RUNS, RELEVANT)
def test_ties_by_input_keep_the_order_given_and_compare_as_doubles(found: Scores, grades: Grades) -> None:
    pairs = sorted(found.items(), key=lambda pair: -pair[1])
    expected = by_trec_eval({"q": strictly([name for name, _ in pairs])}, {"q": grades})["q"]
    hits = [Hit(name, score) for name, score in pairs]
    forms: tuple[tuple[Any, Ties | None], ...] = (
        (pairs, None),
        (tuple(hits), None),
        ([list(pair) for pair in pairs], "input"),
        (found, "input"),
    )
    for form, ties in forms:
        got = values({"q": form}, {"q": grades}, *BINARY, *GRADED, ties=ties)
        assert got == pytest.approx([expected[name] for name in {**BINARY, **GRADED}.values()], abs=1e-12)


@given(RUNS, RELEVANT)
def test_a_sequence_can_have_the_ties_of_trec_eval(found: Scores, grades: Grades) -> None:
    pairs = sorted(found.items(), key=lambda pair: -pair[1])
    expected = by_trec_eval({"q": found}, {"q": grades})["q"]
    got = values({"q": pairs}, {"q": grades}, *BINARY, *GRADED, ties="trec_eval")
    assert got == pytest.approx([expected[name] for name in {**BINARY, **GRADED}.values()], abs=1e-12)


def test_the_form_of_a_ranking_tells_how_its_ties_are_ordered() -> None:
    qrels = {"pairs": {"a": 1}, "mapping": {"a": 1}}
    run: Any = {"pairs": [("a", 1.0), ("b", 1.0)], "mapping": {"a": 1.0, "b": 1.0}}
    assert evaluate(run, qrels, ["RR"]).per_query["RR"].tolist() == [1.0, 0.5]
    assert evaluate(run, qrels, ["RR"], ties="input").per_query["RR"].tolist() == [1.0, 1.0]
    assert evaluate(run, qrels, ["RR"], ties="trec_eval").per_query["RR"].tolist() == [0.5, 0.5]


def test_trec_eval_holds_scores_in_single_precision() -> None:
    near = {"q": {"a": 1.0 + 1e-9, "b": 1.0}}
    assert by_trec_eval(near, {"q": {"a": 1}})["q"]["recip_rank"] == 0.5
    assert value(near, {"q": {"a": 1}}, "RR") == 0.5
    assert value(near, {"q": {"a": 1}}, "RR", ties="input") == 1.0


def test_rankings_of_very_different_length_do_not_disturb_each_other() -> None:
    rng = np.random.default_rng(0)
    run, qrels = {}, {}
    for i, length in enumerate([0, 1, 3, 400, 2, 17, 5000, 40, 3]):
        run[f"q{i}"] = {f"d{j}": float(rng.integers(50)) for j in range(length)}
        qrels[f"q{i}"] = {f"d{j}": int(rng.integers(-1, 3)) for j in rng.permutation(60)[: 1 + i]} | {"x": 1}
    together = evaluate(run, qrels, [*BINARY, *GRADED]).per_query
    for query_id, expected in by_trec_eval(run, qrels).items():
        got = together.loc[query_id].to_numpy().tolist()
        assert got == values({query_id: run[query_id]}, {query_id: qrels[query_id]}, *BINARY, *GRADED)
        assert got == pytest.approx([expected[name] for name in {**BINARY, **GRADED}.values()], abs=1e-12)


@given(RUNS)
def test_the_order_of_all_ids_is_that_of_trec_eval_not_only_of_the_relevant(found: Scores) -> None:
    rankings = Rankings.of({"q": found}, ["q"])
    ids = list(found)
    order = [ids[at] for at in rankings.best_first()]
    for rank, name in enumerate(order, start=1):
        assert by_trec_eval({"q": found}, {"q": {name: 1}})["q"]["recip_rank"] == pytest.approx(1 / rank)


# By hand


def test_average_precision_of_trecs_own_example() -> None:
    # "Common evaluation measures", an appendix of TREC's proceedings: four relevant documents, retrieved at
    # ranks 1, 2, 4 and 7, have the precisions 1, 1, .75 and .57, of which the mean is .83.
    run = {"q": strictly("abcdefghij")}
    qrels = {"q": dict.fromkeys("abdg", 1)}
    assert value(run, qrels, "MAP") == pytest.approx((1 + 1 + 3 / 4 + 4 / 7) / 4)
    assert round(value(run, qrels, "MAP"), 2) == 0.83
    assert value(run, qrels, "MAP@2") == 0.5
    assert value(run, qrels, "Rprec") == 0.75


def test_ndcg_of_the_example_that_textbooks_print() -> None:
    # The grades 3, 2, 3, 0, 1, 2 in this order, and two documents of grades 3 and 2 not found:
    # DCG = 6.861, the best DCG of six ranks 8.740, nDCG = 0.785.
    run = {"q": strictly("abcdef")}
    qrels = {"q": dict(zip("abcdefgh", [3, 2, 3, 0, 1, 2, 3, 2], strict=True))}
    assert value(run, qrels, "nDCG@6") == pytest.approx(6.861 / 8.740, abs=1e-4)


@given(
    st.lists(st.tuples(st.sampled_from(IDS), st.integers(-1, 4)), max_size=9, unique_by=lambda pair: pair[0])
)
def test_burges_gain_is_two_to_the_grade_minus_one(ranked: list[tuple[str, int]]) -> None:
    grades = [*(max(grade, 0) for _, grade in ranked)]

    def discounted(best_first: list[int]) -> float:
        return sum(
            (2.0**grade - 1) / math.log2(rank + 1) for rank, grade in enumerate(best_first[:4], start=1)
        )

    expected = discounted(grades) / discounted(sorted([*grades, 2], reverse=True))
    run, qrels = {"q": strictly([name for name, _ in ranked])}, {"q": {**dict(ranked), "unfound": 2}}
    assert value(run, qrels, "nDCG(gain=burges)@4") == pytest.approx(expected, abs=1e-12)


def test_measures_without_a_twin_in_trec_eval() -> None:
    run, qrels = {"q": strictly("abcd")}, {"q": {"c": 1, "d": 2}}
    assert values(run, qrels, "RR@2", "RR@3", "RR(rel=2)", "RR(rel=2)@3") == [0, 1 / 3, 1 / 4, 0]
    assert values(run, qrels, "Success", "Success@2", "Success(rel=2)@3", "P@8") == [1, 0, 0, 2 / 8]


def test_the_largest_grades_still_have_a_gain() -> None:
    qrels = {"q": {"a": 1000, "b": 999}}
    assert value({"q": strictly("ab")}, qrels, "nDCG(gain=burges)") == 1
    assert value({"q": strictly("ba")}, qrels, "nDCG(gain=burges)") < 1


# Where ragdiag differs on purpose


def test_a_query_that_the_run_lacks_counts_as_nothing_found() -> None:
    run, qrels = {"answered": {"a": 1.0}}, {"answered": {"a": 1}, "lacking": {"a": 1}}
    assert set(by_trec_eval(run, qrels)) == {"answered"}
    found = evaluate(run, qrels, ["MAP"])
    assert found.per_query["MAP"].to_dict() == {"answered": 1.0, "lacking": 0.0}
    assert found.missing == ("lacking",)
    assert found.unjudged == ()
    assert evaluate({}, qrels, ["MAP", "nDCG"]).per_query.to_numpy().tolist() == [[0, 0], [0, 0]]


def test_a_query_without_judgments_has_no_row_and_is_named() -> None:
    found = evaluate({"q": {"a": 1.0}, "stray": {"a": 1.0}}, {"q": {"a": 1}}, ["MAP"])
    assert found.per_query.index.tolist() == ["q"]
    assert found.unjudged == ("stray",)


def test_a_query_without_a_relevant_document_has_no_value_and_no_part_in_the_mean() -> None:
    run, qrels = {"q": {"a": 1.0}, "none": {"a": 1.0}}, {"q": {"a": 1}, "none": {"a": 0, "b": -1}}
    assert set(by_trec_eval(run, qrels)["none"].values()) == {0.0}
    found = evaluate(run, {**qrels, "empty": {}}, [*BINARY, *GRADED])
    assert found.per_query.loc[["none", "empty"]].isna().all(axis=None)
    assert found.means()["n"].tolist() == [1] * len({**BINARY, **GRADED})
    assert found.per_query.fillna(0).loc["none"].to_numpy().tolist() == [0.0] * len({**BINARY, **GRADED})


def test_what_a_level_calls_relevant_decides_which_queries_have_a_value() -> None:
    qrels = {"good": {"a": 2}, "fair": {"a": 1}}
    run = {"good": {"a": 1.0}, "fair": {"a": 1.0}}
    means = evaluate(run, qrels, ["RR", "RR(rel=2)", "nDCG"]).means().set_index("measure")
    assert means["n"].to_dict() == {"RR": 2, "RR(rel=2)": 1, "nDCG": 2}
    assert means["value"].to_dict() == {"RR": 1, "RR(rel=2)": 1, "nDCG": 1}
    with pytest.raises(DataError, match=r"RR\(rel=3\) has no mean: no query has a document that it calls"):
        evaluate(run, qrels, ["RR(rel=3)"]).means()


def test_means_have_intervals_in_which_queries_that_share_a_document_vary_together() -> None:
    qrels = {f"q{i}": {f"d{i // 2}": 1, "common": 0} for i in range(60)}
    run = {f"q{i}": strictly([f"d{i // 2}"] if i % 3 else ["x", f"d{i // 2}"]) for i in range(60)}
    found = evaluate(run, qrels, ["RR"])
    (row,) = found.means().to_dict("records")
    expected = interval(found.per_query["RR"], clusters=Clusters.of([[i // 2] for i in range(60)]))
    assert (row["value"], row["low"], row["high"]) == (expected.value, expected.low, expected.high)
    assert expected.method == "Wilson by cluster"
    assert list(row) == ["measure", "value", "low", "high", "n"]


# Bad input


@pytest.mark.parametrize(
    ("ranking", "problem"),
    [
        ({"a": 1.0, "b": math.nan}, "query 'q': the score of 'b' is not a finite number; got nan"),
        (
            [Hit("a", 1.0), Hit("b", -math.inf)],
            "query 'q': the score of 'b' is not a finite number; got -inf",
        ),
        ({"a": None}, "query 'q': the score of 'a' is not a finite number; got None"),
        ({"a": "high"}, "scores must be numbers: could not convert string to float: 'high'"),
        (
            [("a", 1.0), ("b", 2.0)],
            "query 'q': the score of 'b' is higher than the one before it: a sequence must be best first",
        ),
        ([("a", 3), ("b", 2), ("a", 1)], "query 'q': 'a' is ranked twice, at 1 and at 3; keep the better"),
        ([Hit("b", 3), Hit("a", 2), Hit("a", 2)], "query 'q': 'a' is ranked twice, at 2 and at 3"),
        (["a", "b"], "got a list of str"),
        ([("a", 1.0, "tag")], "got a list of tuple"),
        ((Hit("a", 1.0), ("b", 0.5)), "got a tuple of Hit and tuple"),
    ],
)
@pytest.mark.parametrize("ties", [None, "trec_eval", "input"])
def test_a_ranking_that_cannot_be_is_named(ranking: Any, problem: str, ties: Ties | None) -> None:
    run = {"p": {"z": 1.0}, "q": ranking}
    with pytest.raises(DataError) as caught:
        evaluate(run, {"p": {"a": 1}, "q": {"a": 1}}, ["MAP"], ties=ties)
    assert problem in str(caught.value)


@pytest.mark.parametrize("grade", [0.5, 1.0, True, "1", None, math.nan, 1001, -1001, 10**30])
def test_a_grade_that_cannot_be_is_named(grade: Any) -> None:
    with pytest.raises(DataError) as caught:
        evaluate({}, {"p": {"a": 1}, "q": {"a": 1, "b": grade}}, ["MAP"])
    assert str(caught.value) == (
        f"query 'q': the grade of 'b' must be an integer from -1000 to 1000, got {grade!r}"
    )


def test_integers_of_numpy_are_grades_and_its_numbers_are_scores() -> None:
    qrels: Any = {"q": {"a": np.int64(2), "b": np.int8(1)}}
    assert value({"q": {"a": np.float32(1), "b": np.int64(3)}}, qrels, "RR(rel=2)") == 0.5


def test_what_cannot_be_evaluated_is_refused() -> None:
    with pytest.raises(DataError, match="no judgments: qrels holds no query"):
        evaluate({"q": {}}, {}, ["MAP"])
    with pytest.raises(DataError, match="no query in common: the run has 'q1', qrels have '1', for instance"):
        evaluate({"q1": {"a": 1.0}}, {"1": {"a": 1}}, ["MAP"])
    with pytest.raises(ConfigError, match="measures must name at least one rank measure"):
        evaluate({}, {"q": {"a": 1}}, [])
    with pytest.raises(
        ConfigError, match="measures must be a list of rank measures or specs, got 'MAP' alone"
    ):
        evaluate({}, {"q": {"a": 1}}, "MAP")
    with pytest.raises(ConfigError, match="ties must be 'trec_eval' or 'input', got 'random'"):
        evaluate({}, {"q": {"a": 1}}, ["MAP"], ties="random")  # type: ignore[arg-type]


# Specs


MEASURES = [
    RankPrecision(5),
    RankPrecision(10, rel=2),
    RankRecall(),
    RankRecall(100),
    Success(1),
    ReciprocalRank(),
    ReciprocalRank(10, rel=3),
    AveragePrecision(),
    AveragePrecision(100),
    RPrecision(),
    RPrecision(rel=2),
    NDCG(),
    NDCG(np.int64(10)),  # type: ignore[arg-type]  # any whole number is one
    NDCG(20, gain="burges"),
]


@pytest.mark.parametrize("measure", MEASURES)
def test_a_measure_reads_back_from_its_spec(measure: RankMeasure) -> None:
    spec = repr(measure)
    for spelling in (spec, spec.upper(), f" {spec.lower()} ".replace("@", " @ ").replace("=", " = ")):
        assert parse_rank_measure(spelling) == measure
        assert hash(parse_rank_measure(spelling)) == hash(measure)
    by_value = evaluate({"q": {"a": 1.0}}, {"q": {"a": 3}}, [measure])
    assert by_value.per_query.columns.tolist() == [spec]


def test_specs_are_as_documented() -> None:
    assert [*map(repr, MEASURES)] == [
        "P@5", "P(rel=2)@10", "R", "R@100", "Success@1", "RR", "RR(rel=3)@10", "MAP", "MAP@100", "Rprec",
        "Rprec(rel=2)", "nDCG", "nDCG@10", "nDCG(gain=burges)@20",
    ]  # fmt: skip
    assert parse_rank_measure("AP@5") == AveragePrecision(5)
    assert parse_rank_measure("ReciprocalRank@5") == ReciprocalRank(5)


@pytest.mark.parametrize("measure", MEASURES)
def test_no_spec_is_of_a_rank_measure_and_of_a_span_measure(measure: RankMeasure) -> None:
    with pytest.raises(ConfigError):
        parse_measure(measure.name)
    with pytest.raises(ConfigError):
        parse_measure(type(measure).__name__)


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ("", "cannot be read: expected a name such as MAP, nDCG@10"),
        ("nDCG@", "cannot be read"),
        ("P@-5", "cannot be read"),
        ("R@5t", "cannot be read"),
        ("MAP(rel)", "cannot be read"),
        ("ndgc@10", "not known, did you mean nDCG?; known: MAP, nDCG, P, R, Rprec, RR, Success"),
        ("xyz", "'xyz' is not known; known: MAP"),
        ("Recall@5", "'Recall@5' is not known: it is a span measure, that of judged documents is R; known"),
        ("mrr", "'mrr' is not known: it is a span measure, that of judged documents is RR; known"),
        ("MAP(gain=burges)", "MAP takes no gain"),
        ("MAP(k=3)@5", "cannot be read"),
        ("nDCG(rel=2)", "nDCG takes no rel"),
        ("nDCG(gain=huge)", "nDCG: gain must be 'linear' or 'burges', got 'huge'"),
        ("MAP(rel=0)", "MAP: rel must be an integer >= 1, got 0"),
        ("MAP(rel=two)", "MAP: rel must be an integer >= 1, got 'two'"),
        ("P", "P needs a cut, such as P@5"),
        ("R@0", "R: k must be an integer >= 1, got 0"),
        ("Rprec@5", "Rprec takes no k"),
    ],
)
def test_a_spec_that_cannot_be_is_refused(spec: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_rank_measure(spec)
    assert problem in str(caught.value)


@pytest.mark.parametrize("k", [0, -1, 1.5, True, "5"])
def test_a_cut_that_cannot_be_is_refused(k: Any) -> None:
    for kind in (RankRecall, NDCG):
        with pytest.raises(ConfigError, match=rf"{kind.name}: k must be an integer >= 1, got {k!r}"):
            kind(k)


# From a pipeline


class ReversingReranker:
    """Turns the order of the candidates around."""

    def score(self, query: str, texts: Sequence[str]) -> list[float]:  # noqa: ARG002
        return [float(rank) for rank, _ in enumerate(texts)]


def test_a_document_stands_at_the_rank_of_its_best_chunk() -> None:
    documents = [Document("a", "one\ntwo"), Document("b", "three")]
    order = {"q": ["b#0-5", "a#4-7", "a#0-3"], "empty": []}
    pipeline = Pipeline(
        chunker=LineChunker(), retriever=OrderRetriever(order), reranker=ReversingReranker(), top_k=3
    )
    trace = pipeline.run(documents, [Query("q", "?"), Query("empty", "?")])
    assert [hit.chunk_id for hit in chunk_run(trace, ranking="retrieved")["q"]] == order["q"]
    assert chunk_run(trace)["q"] == (Hit("a#0-3", 2.0), Hit("a#4-7", 1.0), Hit("b#0-5", 0.0))
    assert document_run(trace) == {"q": (("a", 2.0), ("b", 0.0)), "empty": ()}
    assert [name for name, _ in document_run(trace, ranking="retrieved")["q"]] == ["b", "a"]

    judged = {"q": {"b": 1}, "empty": {"a": 1}}
    assert evaluate(document_run(trace), judged, ["RR"]).per_query["RR"].tolist() == [1 / 2, 0]
    judged = {"q": {"b#0-5": 1}, "empty": {"a#0-3": 1}}
    assert evaluate(chunk_run(trace), judged, ["RR"]).per_query["RR"].tolist() == [1 / 3, 0]
