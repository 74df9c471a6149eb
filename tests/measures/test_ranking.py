"""Rank measures beside trec_eval (pytrec_eval-terrier), and where ragdiag differs on purpose."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest
import pytrec_eval
from hypothesis import example, given
from hypothesis import strategies as st
from plugs import OrderRetriever, WholeChunker

from ragdiag import Chunk, DataError, Document, Hit, Pipeline, Query
from ragdiag.errors import ConfigError, RagdiagWarning
from ragdiag.measures import chunk_run, document_run, evaluate, parse_rank_measure
from ragdiag.measures.ranking import AP, RR, JudgedRankings, P, R, Rprec, Success, nDCG

# Our spec, and what trec_eval calls it.
NAMES = {
    "P@1": "P_1",
    "P@5": "P_5",
    "R@3": "recall_3",
    "R@100": "recall_100",
    "Success@2": "success_2",
    "RR": "recip_rank",
    "AP": "map",
    "AP@3": "map_cut_3",
    "Rprec": "Rprec",
    "nDCG": "ndcg",
    "nDCG@2": "ndcg_cut_2",
    "nDCG@10": "ndcg_cut_10",
}
ASKED = {
    "P.1,5",
    "recall.3,100",
    "success.2",
    "recip_rank",
    "map",
    "map_cut.3",
    "Rprec",
    "ndcg",
    "ndcg_cut.2,10",
}
IDS = [*(f"d{i}" for i in range(12)), "D", "é", "z", "\U0001f642"]
# Many equal scores, and some that only double precision tells apart.
SCORES = st.sampled_from([3.0, 2.0, 2.0 + 1e-9, 1.0, 0.0, -1.5]) | st.floats(-1e6, 1e6)
RUNS = st.dictionaries(st.sampled_from(IDS), SCORES, max_size=12)
JUDGEMENTS = st.dictionaries(st.sampled_from(IDS), st.integers(-2, 4), min_size=1, max_size=10)


def by_trec_eval(
    run: Mapping[str, Mapping[str, float]], qrels: Mapping[str, Mapping[str, int]], rel: int = 1
) -> dict[str, dict[str, float]]:
    evaluator = pytrec_eval.RelevanceEvaluator(qrels, ASKED, relevance_level=rel)
    return evaluator.evaluate(run)


@given(st.lists(st.tuples(RUNS, JUDGEMENTS), min_size=1, max_size=6))
@example([({"d1": 1.0, "d2": 1.0, "d0": 1.0}, {"d1": 1, "d2": 0})])
@example([({"d1": 1.0}, {"d1": 0}), ({}, {"d1": 1})])
def test_all_values_are_those_of_trec_eval(queries: list[tuple[dict[str, float], dict[str, int]]]) -> None:
    run = {f"q{i}": found for i, (found, _) in enumerate(queries)}
    qrels = {f"q{i}": grades for i, (_, grades) in enumerate(queries)}
    expected = by_trec_eval(run, qrels)
    table = evaluate(run, qrels, list(NAMES))
    assert list(table.columns) == list(NAMES)
    assert table.index.tolist() == list(qrels)
    for query, values in expected.items():
        for spec, name in NAMES.items():
            assert table.loc[query, spec] == pytest.approx(values[name], abs=1e-12), (query, spec)


@given(RUNS, JUDGEMENTS, st.integers(2, 4))
def test_a_relevance_level_is_that_of_trec_eval(
    found: dict[str, float], grades: dict[str, int], rel: int
) -> None:
    # pytrec_eval crashes where no grade reaches the level.
    qrels = {"q": {**grades, "never found": 4}}
    expected = by_trec_eval({"q": found}, qrels, rel)["q"]
    names = {f"P(rel={rel})@5": "P_5", f"R(rel={rel})@3": "recall_3", f"AP(rel={rel})": "map"}
    values = evaluate({"q": found}, qrels, list(names)).to_dict("records")[0]
    assert values == pytest.approx({spec: expected[name] for spec, name in names.items()}, abs=1e-12)


@given(
    st.lists(st.tuples(st.sampled_from(IDS), st.integers(-1, 4)), max_size=9, unique_by=lambda pair: pair[0])
)
def test_burges_gain_is_worked_out_by_hand(ranked: list[tuple[str, int]]) -> None:
    # Burges et al. 2005: sum of (2^grade - 1) / log2(1 + rank) over the same sum of the best order.
    hits = [Hit(name, float(-rank)) for rank, (name, _) in enumerate(ranked)]
    qrels = {"q": {**dict(ranked), "unfound": 2}}

    def discounted(grades: list[int]) -> float:
        return sum((2.0 ** max(grade, 0) - 1) / math.log2(rank + 2) for rank, grade in enumerate(grades[:4]))

    best = discounted(sorted(qrels["q"].values(), reverse=True))
    table = evaluate({"q": hits}, qrels, ["nDCG(gain=burges)@4"])
    assert table.iloc[0, 0] == pytest.approx(discounted([grade for _, grade in ranked]) / best, abs=1e-12)


def test_the_example_of_jarvelin_and_kekalainen() -> None:
    # ACM TOIS 20(4), 2002, p. 425: the gains of a ranking, and its DCG. Their discount begins at rank 2
    # with log2(rank); the one of trec_eval is log2(rank + 1), which is 1 at rank 1.
    gains = [3, 2, 3, 0, 0, 1, 2, 2, 3, 0]
    rankings = JudgedRankings(np.array([gains]), np.array([sorted(gains, reverse=True)]))
    dcg = sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, start=1))
    ideal = sum(gain / math.log2(rank + 1) for rank, gain in enumerate(sorted(gains, reverse=True), start=1))
    assert nDCG()(rankings)[0] == pytest.approx(dcg / ideal)


# Deliberate differences


def test_a_query_that_the_run_lacks_counts_as_zero() -> None:
    qrels = {"answered": {"a": 1}, "missing": {"a": 1}}
    run = {"answered": {"a": 1.0}}
    assert set(by_trec_eval(run, qrels)) == {"answered"}
    assert evaluate(run, qrels, ["AP"])["AP"].to_dict() == {"answered": 1.0, "missing": 0.0}


def test_a_query_without_judgements_is_left_out_and_said() -> None:
    with pytest.warns(RagdiagWarning, match="1 queries of the run have no judgements.*'stray'"):
        table = evaluate({"q": {"a": 1.0}, "stray": {"a": 1.0}}, {"q": {"a": 1}}, ["AP"])
    assert table.index.tolist() == ["q"]


def test_hits_keep_the_order_in_which_they_come_where_scores_tie() -> None:
    qrels = {"q": {"a": 1}}
    assert evaluate({"q": [Hit("a", 1.0), Hit("b", 1.0)]}, qrels, ["RR"]).iloc[0, 0] == 1.0
    assert evaluate({"q": {"a": 1.0, "b": 1.0}}, qrels, ["RR"]).iloc[0, 0] == 0.5


def test_nothing_relevant_is_zero_as_in_trec_eval() -> None:
    table = evaluate({"q": {"a": 1.0}}, {"q": {"a": 0, "b": -1}}, list(NAMES))
    assert (table.loc["q"] == 0).all()


def test_rankings_of_very_different_length_are_evaluated_each_by_itself() -> None:
    rng = np.random.default_rng(0)
    run, qrels = {}, {}
    for i, length in enumerate([0, 1, 3, 400, 2, 17, 5000, 40]):
        run[f"q{i}"] = {f"d{j}": float(rng.integers(50)) for j in range(length)}
        qrels[f"q{i}"] = {f"d{j}": int(rng.integers(-1, 3)) for j in rng.permutation(60)[: 1 + i]}
    together = evaluate(run, qrels, list(NAMES))
    expected = by_trec_eval(run, qrels)
    for query, grades in qrels.items():
        alone = evaluate({query: run[query]}, {query: grades}, list(NAMES))
        assert alone.equals(together.loc[[query]])
        values = alone.to_dict("records")[0]
        assert values == pytest.approx(
            {spec: expected[query][name] for spec, name in NAMES.items()}, abs=1e-12
        )


# Bad input


def test_bad_input_is_named() -> None:
    qrels = {"p": {"a": 1}, "q": {"a": 1}}
    with pytest.raises(DataError, match="no query"):
        evaluate({}, {}, ["AP"])
    with pytest.raises(DataError, match="query 'q': the score of 'b' must be finite, got nan"):
        evaluate({"p": {"c": 1.0}, "q": {"a": 1.0, "b": math.nan}}, qrels, ["AP"])
    with pytest.raises(DataError, match="query 'q': the score of 'b' must be finite, got -inf"):
        evaluate({"q": [Hit("a", 1.0), Hit("b", -math.inf)]}, qrels, ["AP"])
    with pytest.raises(DataError, match=r"query 'q': the grade of 'b' must be a whole number, got 0\.5"):
        evaluate({}, {"p": {"a": 1}, "q": {"a": 1, "b": 0.5}}, ["AP"])  # type: ignore[dict-item]
    with pytest.raises(
        DataError, match=r"query 'q': hits must come best first, but rank 2 scores 2\.0 after 1\.0"
    ):
        evaluate({"q": [Hit("a", 1.0), Hit("b", 2.0)]}, qrels, ["AP"])
    with pytest.raises(DataError, match="query 'q': 'a' is ranked twice"):
        evaluate({"q": [Hit("a", 1.0), Hit("b", 0.5), Hit("a", 0.1)]}, qrels, ["AP"])


# Specs


@pytest.mark.parametrize(
    "measure",
    [
        P(5),
        R(),
        R(100),
        Success(1),
        RR(),
        RR(10),
        AP(),
        AP(100, rel=2),
        Rprec(rel=3),
        nDCG(10),
        nDCG(gain="burges", rel=2),
    ],
)
def test_a_measure_reads_back_from_its_spec(measure: P) -> None:
    spec = repr(measure)
    assert parse_rank_measure(spec) == measure
    assert parse_rank_measure(f" {spec.upper()} ") == measure
    assert hash(parse_rank_measure(spec)) == hash(measure)


def test_the_names_of_the_means_are_read_too() -> None:
    assert [repr(parse_rank_measure(s)) for s in ("map", "MRR@10", "Precision@5", "recall@100")] == [
        "AP",
        "RR@10",
        "P@5",
        "R@100",
    ]


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ("", "cannot be read"),
        ("nDCG@", "cannot be read"),
        ("AP(rel)", "cannot be read"),
        (
            "ndgc@10",
            r"'ndgc@10' is not known, did you mean nDCG\?; known: AP, nDCG, P, R, Rprec, RR, Success",
        ),
        ("AP(gain=burges)", "AP takes no gain"),
        ("AP(k=3)", "AP takes no k"),
        ("nDCG(gain=huge)", "gain must be 'linear' or 'burges', got 'huge'"),
        ("AP(rel=0)", "AP: rel must be a whole number >= 1, got 0"),
        ("AP(rel=two)", "AP: rel must be a whole number >= 1, got 'two'"),
        ("P", "P: k must be a whole number >= 1, got None"),
        ("R@0", "R: k must be a whole number >= 1, got 0"),
        ("Rprec@5", "Rprec: its k is the number of relevant ones; got k=5"),
    ],
)
def test_a_spec_that_cannot_be_is_refused(spec: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        parse_rank_measure(spec)


# From a pipeline


class TwoDocumentsInOne:
    """A chunker of one chunk a line."""

    def chunk(self, document: Document) -> list[Chunk]:
        starts = [0, document.text.index("\n") + 1] if "\n" in document.text else [0]
        ends = [*(start - 1 for start in starts[1:]), len(document.text)]
        return [Chunk.of(document, pair) for pair in zip(starts, ends, strict=True)]


def test_a_document_stands_at_the_rank_of_its_best_chunk() -> None:
    documents = [Document("a", "one\ntwo"), Document("b", "three")]
    order = {"q": ["b#0-5", "a#4-7", "a#0-3"], "empty": []}
    pipeline = Pipeline(chunker=TwoDocumentsInOne(), retriever=OrderRetriever(order))
    trace = pipeline.run(documents, [Query("q", "?"), Query("empty", "?")])
    assert document_run(trace) == {"q": [Hit("b", 0.0), Hit("a", -1.0)], "empty": []}
    assert [hit.chunk_id for hit in chunk_run(trace)["q"]] == order["q"]
    table = evaluate(document_run(trace), {"q": {"a": 1}, "empty": {"a": 1}}, ["RR", "R@1"])
    assert table["RR"].tolist() == [0.5, 0.0]
    by_chunk = evaluate(chunk_run(trace), {"q": {"a#0-3": 2}, "empty": {"a#0-3": 1}}, ["nDCG"])
    assert by_chunk["nDCG"].tolist() == pytest.approx([0.5, 0.0])


def test_a_run_of_whole_documents_is_the_same_either_way() -> None:
    documents = [Document("a", "one"), Document("b", "two")]
    pipeline = Pipeline(chunker=WholeChunker(), retriever=OrderRetriever({"q": ["b#0-3", "a#0-3"]}))
    trace = pipeline.run(documents, [Query("q", "?")])
    assert [hit.score for hit in chunk_run(trace)["q"]] == [hit.score for hit in document_run(trace)["q"]]
