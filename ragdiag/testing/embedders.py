"""What an embedder promises."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, partial

from ragdiag.errors import ConfigError
from ragdiag.spans import quote
from ragdiag.stages import boundary
from ragdiag.stages.protocols import Embedder, require_plug, similarity_of
from ragdiag.stages.similarity import exact_scores
from ragdiag.stages.tokens import TokenCounter, count
from ragdiag.testing.answers import (
    Answers,
    Ask,
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
    attempt,
    failure,
    failures,
    hold,
    optional,
    promised,
    required,
)
from ragdiag.testing.samples import RELATED, hostile_texts

__all__ = ["EMBEDDER_PROMISES", "check_embedder"]

_DOCUMENTS, _QUERIES = "embed_documents", "embed_queries"


def check_embedder(
    embedder: Embedder,
    texts: Iterable[str] | None = None,
    *,
    tolerance: float = 1e-4,
    also: Collection[str] = (),
    without: Collection[str] = (),
) -> None:
    """Hold an embedder to its promises.

    Args:
        embedder: anything with ``embed_documents(texts)`` and ``embed_queries(texts)``.
        texts: what it is tried on; `hostile_texts` where not given.
        tolerance: how far two vectors of one text may be apart, as a share of their length: those of a
            transformer vary in the last bits with what else is in a batch.
        also: ``["related_is_nearer"]`` for a trained model of English.
        without: names of promises that it does not make.

    Raises:
        ContractError: promises are broken; the message shows each.
        ConfigError: an option that cannot work.

    Example:
        >>> from ragdiag.stages.embedders import HashingEmbedder
        >>> check_embedder(HashingEmbedder(), also=["related_is_nearer"])
    """
    require_plug("embedder", embedder, called="check_embedder")
    case = _Case(
        asks=_asks(embedder),
        texts=tuple(hostile_texts() if texts is None else texts),
        tolerance=tolerance,
        embedder=embedder,
    )
    hold("embedder", embedder, EMBEDDER_PROMISES, case, also=also, without=without)


@dataclass(frozen=True, kw_only=True)
class _Case(Answers):
    embedder: Embedder


def _asks(embedder: Embedder) -> dict[str, Ask]:
    """Both methods, checked as a pipeline checks them."""

    @cache
    def dimensions() -> int:
        return int(boundary.embed_documents(embedder, [RELATED[0][1]]).shape[1])

    return {
        _DOCUMENTS: lambda texts: boundary.embed_documents(embedder, texts),
        _QUERIES: lambda texts: boundary.embed_queries(embedder, texts, dimensions=dimensions()),
    }


@required
def valid_vectors(case: _Case) -> Iterable[Problem]:
    """One finite vector of floats comes for each text, of one length for documents and queries."""
    return failures(case.outcomes, refused=True)


@required
def known_similarity(case: _Case) -> Iterator[Problem]:
    """A declared similarity is "cosine", "dot" or "l2"."""
    try:
        similarity_of(case.embedder)
    except ConfigError as error:
        yield Problem("", str(error), error)


@promised
def no_texts_no_rows(case: _Case) -> Iterator[Problem]:
    """An empty list of texts gives an array of shape (0, d)."""
    for way, ask, rows in case.answered:
        none = attempt(partial(ask, []))
        if isinstance(none, Exception):
            yield failure(f"{way}, no texts", none)
        elif none.shape[1] != rows.shape[1]:
            yield Problem(f"{way}, no texts", f"expected shape (0, {rows.shape[1]}), got {none.shape}")


@promised
def counts_tokens(case: _Case) -> Iterator[Problem]:
    """A declared count_tokens gives each text one whole number, the same alone as among other texts."""
    if not isinstance(case.embedder, TokenCounter):
        return
    together = count(case.embedder, case.texts, stage="embedder")
    for text, number in zip(case.texts, together, strict=True):
        [alone] = count(case.embedder, [text], stage="embedder")
        if alone != number:
            yield Problem(f"text {quote(text, limit=40)}", f"expected {alone} tokens as alone, got {number}")


@promised
def counts_before_truncation(case: _Case) -> Iterator[Problem]:
    """A declared count_tokens also counts what lies beyond max_tokens, so that truncation can be seen."""
    limit = getattr(case.embedder, "max_tokens", None)
    if limit is None or not isinstance(case.embedder, TokenCounter):
        return
    [number] = count(case.embedder, [_more_than(limit)], stage="embedder")
    if number <= limit:
        yield Problem(
            f"a text of {2 * limit + 8} words", f"expected more than max_tokens={limit} tokens, got {number}"
        )


@promised
def reads_no_further(case: _Case) -> Iterator[Problem]:
    """What lies beyond a declared max_tokens changes no vector."""
    limit = getattr(case.embedder, "max_tokens", None)
    if limit is None:
        return
    text = _more_than(limit)
    for way, ask, _ in case.answered:
        before, after = ask([text]), ask([f"{text} and something else at the end"])
        [distance] = case.apart(before, after)
        if distance > case.tolerance:
            yield Problem(
                f"{way}, a text of {2 * limit + 8} words",
                f"expected that more words after max_tokens={limit} change nothing, got a vector that is "
                f"{distance:.2g} of its length apart",
            )


def _more_than(limit: int) -> str:
    """A text of more than ``limit`` tokens, however words are counted: they are all different."""
    return " ".join(f"word{i}" for i in range(2 * limit + 8))


@optional
def related_is_nearer(case: _Case) -> Iterator[Problem]:
    """A question is nearer to a text that answers it than to one that has nothing to do with it."""
    for question, related, unrelated in RELATED:
        near, far = exact_scores(
            case.asks[_QUERIES]([question])[0],
            case.asks[_DOCUMENTS]([related, unrelated]),
            similarity_of(case.embedder),
        )
        if not near > far:
            yield Problem(
                f"query {question!r}",
                f"expected {related!r} to be nearer than {unrelated!r}, got {near:.3g} and {far:.3g}",
            )


EMBEDDER_PROMISES: tuple[Promise[_Case], ...] = (
    raises_nothing,
    valid_vectors,
    known_similarity,
    no_texts_no_rows,
    same_again,
    same_in_any_order,
    same_alone,
    same_for_same_text,
    texts_unchanged,
    counts_tokens,
    counts_before_truncation,
    reads_no_further,
    related_is_nearer,
)
