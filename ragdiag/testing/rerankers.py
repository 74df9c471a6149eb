"""What a reranker promises."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from ragdiag.spans import quote
from ragdiag.stages import boundary
from ragdiag.stages.protocols import Reranker, require_plug
from ragdiag.testing.answers import (
    Answers,
    Ask,
    Rows,
    raises_nothing,
    same_again,
    same_alone,
    same_for_same_text,
    same_in_any_order,
    texts_unchanged,
)
from ragdiag.testing.promises import (
    Problem,
    Promise,
    failures,
    hold,
    optional,
    promised,
    required,
)
from ragdiag.testing.samples import RELATED, hostile_texts, sample_queries

__all__ = ["RERANKER_PROMISES", "check_reranker"]


def check_reranker(
    reranker: Reranker,
    texts: Iterable[str] | None = None,
    *,
    queries: Iterable[str] | None = None,
    tolerance: float = 1e-4,
    also: Collection[str] = (),
    without: Collection[str] = (),
) -> None:
    """Hold a reranker to its promises.

    Args:
        reranker: anything with ``score(query, texts)``.
        texts: what it scores; `hostile_texts` where not given.
        queries: what it scores them for; a few, some of them without words, where not given.
        tolerance: how far two scores of one pair may be apart, as a share of the score where that is above 1:
            those of a transformer vary in the last bits with what else is in a batch.
        also: ``["related_scores_higher"]`` for a trained model of English.
        without: names of promises that it does not make.

    Raises:
        ContractError: promises are broken; the message shows each.
        ConfigError: an option that cannot work.

    Example:
        >>> from ragdiag.stages.embedders import HashingEmbedder
        >>> from ragdiag.stages.rerankers import LateInteractionReranker
        >>> check_reranker(LateInteractionReranker(HashingEmbedder()), also=["related_scores_higher"])
    """
    require_plug("reranker", reranker, called="check_reranker")
    asked = [query.text for query in sample_queries()] if queries is None else list(queries)
    case = _Case(
        asks={f"query {quote(query, limit=40)}": _ask(reranker, query) for query in asked},
        texts=tuple(hostile_texts() if texts is None else texts),
        tolerance=tolerance,
        floor=1.0,
        reranker=reranker,
    )
    hold("reranker", reranker, RERANKER_PROMISES, case, also=also, without=without)


@dataclass(frozen=True, kw_only=True)
class _Case(Answers):
    reranker: Reranker


def _ask(reranker: Reranker, query: str) -> Ask:
    """The scores for one query, shape (texts, 1), checked as a pipeline checks them."""

    def ask(texts: Sequence[str]) -> Rows:
        names = [quote(text, limit=40) for text in texts]
        return boundary.score_pairs(reranker, query, query, names, texts)[:, None]

    return ask


@required
def valid_scores(case: _Case) -> Iterable[Problem]:
    """One finite score comes for each text."""
    return failures(case.outcomes, refused=True)


@promised
def no_texts_no_scores(case: _Case) -> Iterator[Problem]:
    """An empty list of texts gives no scores."""
    query = RELATED[0][0]
    scores = list(case.reranker.score(query, []))
    if scores:
        yield Problem(f"query {query!r}, no texts", f"expected no scores, got {scores!r}")


@optional
def related_scores_higher(case: _Case) -> Iterator[Problem]:
    """A text that answers a question scores higher than one that has nothing to do with it."""
    for question, related, unrelated in RELATED:
        high, low = _ask(case.reranker, question)([related, unrelated])[:, 0]
        if not high > low:
            yield Problem(
                f"query {question!r}",
                f"expected {related!r} to score higher than {unrelated!r}, got {high:.3g} and {low:.3g}",
            )


RERANKER_PROMISES: tuple[Promise[_Case], ...] = (
    raises_nothing,
    valid_scores,
    no_texts_no_scores,
    same_again,
    same_in_any_order,
    same_alone,
    same_for_same_text,
    texts_unchanged,
    related_scores_higher,
)
