"""Runs and judgments by hand, where trec_eval has nothing to say. The rest is in `test_ranking`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ragdiag.errors import ConfigError, DataError
from ragdiag.measures import Clusters, evaluate, interval, parse_rank_measure
from ragdiag.measures.ranking import NDCG
from ragdiag.measures.runs import Rankings


def test_ties_by_input_keep_the_order_of_a_long_ranking() -> None:
    """Long enough for a sort to shuffle equal scores, and not sorted when it comes."""
    scores = {f"d{i}": float(i % 3) for i in range(500)}
    order = Rankings.of({"q": scores}, ["q"], ties="input").best_first().tolist()
    assert order == [i for score in (2, 1, 0) for i in range(500) if i % 3 == score]


@pytest.mark.parametrize("scores", [[3, 1, 2], [1, 2, 0]])
def test_a_sequence_must_never_rise(scores: list[float]) -> None:
    with pytest.raises(DataError, match=r"the score of '\w' is higher than the one before it"):
        Rankings.of({"q": list(zip("abc", scores, strict=True))}, ["q"])


def test_what_is_ranked_three_times_is_named_with_the_first_two_ranks() -> None:
    with pytest.raises(DataError, match="'a' is ranked twice, at 1 and at 2"):
        Rankings.of({"q": [("a", 3.0), ("a", 2.0), ("a", 1.0)]}, ["q"])


def test_pairs_may_be_tuples_and_lists_together() -> None:
    pairs: Any = [("a", 2.0), ["b", 1.0]]
    assert list(Rankings.of({"q": pairs}, ["q"]).ids[0]) == ["a", "b"]


def test_no_query_has_no_ranking() -> None:
    assert Rankings.of({}, []).best_first().tolist() == []


def test_the_limits_of_grades_are_grades() -> None:
    qrels: Any = {"q": {"a": np.int64(1000), "b": 1000, "c": -1000}}
    found = evaluate({"q": {"c": 3.0, "a": 2.0}}, qrels, ["R"])
    assert found.per_query["R"].tolist() == [0.5]


def test_an_evaluation_is_a_table_of_numbers_by_query() -> None:
    found = evaluate({"q": {"a": 1.0}}, {"q": {"a": 1}, "none": {"a": 0}}, ["RR", "nDCG"])
    assert found.per_query.index.name == "query_id"
    assert set(map(str, found.per_query.dtypes)) == {"float64"}
    assert "qrels" not in repr(found)


def test_queries_share_what_is_relevant_to_them_and_nothing_else() -> None:
    """Three queries a document, which succeed and fail together; all have judgments of a common one."""
    qrels = {f"q{i}": {f"d{i // 3}": 1, "common": 0} for i in range(90)}
    run = {f"q{i}": {f"d{i // 3}" if i // 3 % 4 else "x": 1.0} for i in range(90)}
    found = evaluate(run, qrels, ["RR"])
    [row] = found.means().to_dict("records")
    together = interval(found.per_query["RR"], clusters=Clusters.of([[i // 3] for i in range(90)]))
    assert together.low < interval(found.per_query["RR"]).low
    assert (row["low"], row["high"]) == (together.low, together.high)


@pytest.mark.parametrize(
    ("span_measure", "twin"), [("Recall", "R"), ("precision@5", "P"), ("hit", "Success"), ("MRR", "RR")]
)
def test_a_span_measure_is_told_its_twin(span_measure: str, twin: str) -> None:
    with pytest.raises(ConfigError, match=f"it is a span measure, that of judged documents is {twin};"):
        parse_rank_measure(span_measure)


def test_a_gain_is_given_by_name() -> None:
    with pytest.raises(TypeError):
        NDCG(10, "burges")  # type: ignore[call-arg]
