"""The promises of a reranker: each is broken by one that is wrong in one way, and the message says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from broken_promises import (
    Row,
    broken_by,
    check_broken,
    check_complete,
    each_row,
    names,
)
from contracts_embedders import static
from plugs import (
    AnyReranker,
)

from ragdiag import testing
from ragdiag.stages.embedders import HashingEmbedder
from ragdiag.stages.protocols import Reranker
from ragdiag.stages.rerankers import LateInteractionReranker


def words_shared(query: str, texts: Sequence[str]) -> list[float]:
    asked = set(query.lower().strip("?").split())
    return [len(asked & set(text.lower().strip(".").split())) + len(text) / 1000 for text in texts]


def stale_scores() -> Callable[[str, Sequence[str]], list[float]]:
    asked: set[tuple[str, ...]] = set()

    def score(query: str, texts: Sequence[str]) -> list[float]:
        again = len(texts) > 2 and (query, *texts) in asked
        asked.add((query, *texts))
        return [number + again for number in words_shared(query, texts)]

    return score


def cached_scores() -> Callable[[str, Sequence[str]], list[float]]:
    kept: dict[tuple[str, int], list[float]] = {}

    def score(query: str, texts: Sequence[str]) -> list[float]:
        scores = words_shared(query, texts)
        return kept.setdefault((query, len(texts)), scores) if len(texts) > 2 else scores

    return score


def softmax(query: str, texts: Sequence[str]) -> list[float]:
    scores = np.exp(words_shared(query, texts))
    return (scores / scores.sum()).tolist()  # type: ignore[no-any-return]


def by_place(query: str, texts: Sequence[str]) -> list[float]:
    return [score + i for i, score in enumerate(words_shared(query, texts))]


def sorts_and_scores(query: str, texts: Any) -> list[float]:
    scores = words_shared(query, texts)
    texts.sort()
    return scores


@pytest.mark.parametrize(
    "reranker",
    [
        LateInteractionReranker(HashingEmbedder()),
        LateInteractionReranker(static()),
        AnyReranker(words_shared),
    ],
    ids=["hashing", "static", "three lines"],
)
def test_rerankers_that_keep_their_promises(reranker: Reranker) -> None:
    testing.check_reranker(reranker)


BROKEN: list[Row] = [
    (
        AnyReranker(lambda q, texts: words_shared(q.encode().decode(), texts)),
        {"raises_nothing"},
        ["query 'a broken \\ud800 one', text 'Goods may be", "UnicodeEncodeError"],
    ),
    (
        AnyReranker(lambda _, texts: [float(len(text)) or np.nan for text in texts]),
        {"valid_scores"},
        ["query 'How long can goods be returned?', text ''", "is nan"],
    ),
    (
        AnyReranker(lambda q, texts: words_shared(q, texts) or [0.0]),
        {"no_texts_no_scores"},
        ["no texts: expected no scores, got [0.0]"],
    ),
    (
        AnyReranker(
            lambda q, texts: [float(x) for x in np.stack([np.float64(s) for s in words_shared(q, texts)])]
        ),
        {"no_texts_no_scores"},
        ["got ValueError: need at least one array to stack"],
    ),
    (
        AnyReranker(stale_scores()),
        {"same_again"},
        ["within 30 days.': expected 3.037 again, got 4.037 (0.25 apart"],
    ),
    (AnyReranker(cached_scores()), {"same_in_any_order"}, ["with the texts in reverse order"]),
    (
        AnyReranker(lambda q, texts: sorted(words_shared(q, texts), reverse=True)),
        {"same_in_any_order", "same_alone", "same_for_same_text"},
        ["Answers follow their texts, unsorted"],
    ),
    (AnyReranker(softmax), {"same_alone"}, ["expected 1 among other texts as alone, got"]),
    (
        AnyReranker(by_place),
        {"same_for_same_text", "same_alone", "same_in_any_order"},
        ["as for the same text before, got"],
    ),
    (AnyReranker(sorts_and_scores), {"texts_unchanged"}, ["expected the list as it was"]),
]


@each_row(BROKEN)
def test_broken_rerankers(plug: Any, broken: set[str], says: Sequence[str]) -> None:
    check_broken(lambda: testing.check_reranker(plug), broken, says)


def test_every_promise_is_broken_once() -> None:
    check_complete("reranker", BROKEN, "related_scores_higher")


def test_sense_is_asked_of_rerankers_on_request() -> None:
    testing.check_reranker(LateInteractionReranker(static()), also=["related_scores_higher"])
    error = broken_by(
        lambda: testing.check_reranker(
            AnyReranker(lambda _, texts: [1.0] * len(texts)), also=["related_scores_higher"]
        )
    )
    assert names(error) == {"related_scores_higher"}
    assert "to score higher than" in str(error)
