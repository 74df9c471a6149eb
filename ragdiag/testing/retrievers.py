"""What a retriever promises."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from functools import partial
from itertools import pairwise

import numpy as np

from ragdiag.errors import ConfigError
from ragdiag.records import Chunk, Document, Request
from ragdiag.stages import boundary
from ragdiag.stages.protocols import Retriever, Vectors, require_plug, uses_vectors
from ragdiag.stages.retrievers.filters import matches
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
from ragdiag.testing.samples import (
    hostile_texts,
    sample_chunks,
    sample_requests,
    sample_vectors,
)
from ragdiag.testing.searches import Rankings, Searches, difference

__all__ = ["RETRIEVER_PROMISES", "check_retriever"]


def check_retriever(
    retriever: Retriever,
    chunks: Iterable[Chunk] | None = None,
    vectors: Vectors | None = None,
    requests: Iterable[Request] | None = None,
    *,
    smallest: int = 1,
    tolerance: float = 1e-5,
    also: Collection[str] = (),
    without: Collection[str] = (),
) -> None:
    """Hold a retriever to its promises, and the searchers that it builds.

    Args:
        retriever: anything with ``build(chunks, vectors)``.
        chunks: the corpus; where not given, one with metadata, with texts that repeat and hostile ones.
        vectors: one row a chunk, shape (chunks, d). Where no chunks are given: 16 dimensions, vectors that
            repeat and zeros among them; they are only given to a retriever that uses vectors.
        requests: what is asked, without filters, which are added by what the metadata hold.
        smallest: over how few chunks it can be built; an index that is trained needs more than one.
        tolerance: how far two scores of one hit may be apart, as a share of the score where that is above 1.
        also: ``["ties_in_order"]`` for one that keeps the order of the chunks among equal scores.
        without: names of promises that it does not make.

    Raises:
        ContractError: promises are broken; the message shows each.
        ConfigError: an option that cannot work.

    Example:
        >>> from ragdiag.stages.retrievers import BM25Retriever
        >>> check_retriever(BM25Retriever(), also=["ties_in_order"])
    """
    require_plug("retriever", retriever, called="check_retriever")
    if chunks is None:
        if vectors is not None:
            raise ConfigError("vectors need the chunks that they are of: give chunks too")
        chunks, vectors = _corpus(max(120, smallest))
    corpus = list(chunks)
    if vectors is None and uses_vectors(retriever):
        raise ConfigError(f"{type(retriever).__name__} uses vectors: give those of the chunks")
    if requests is None:
        requests = _requests(16 if vectors is None else vectors.shape[1])
    case = Searches(
        retriever=retriever,
        chunks=corpus,
        vectors=vectors if uses_vectors(retriever) else None,
        requests=list(requests),
        smallest=smallest,
        tolerance=tolerance,
    )
    hold("retriever", retriever, RETRIEVER_PROMISES, case, also=also, without=without)


def _corpus(n: int) -> tuple[list[Chunk], Vectors]:
    chunks = sample_chunks(n)
    for row, text in zip(range(5, n, 7), filter(None, hostile_texts()), strict=False):
        document = Document(f"hostile {row}", text, {"lang": "en"})
        chunks[row] = Chunk.of(document, (0, len(text)))
    vectors = sample_vectors(n)
    vectors[n // 2 :: 50] = 0
    return chunks, vectors


def _requests(d: int) -> list[Request]:
    requests = sample_requests(10, d)
    hostile = [Request(f"hostile {i}", text, requests[i].vector) for i, text in enumerate(["?!", "\ud800"])]
    return [*requests, *hostile, Request("zero", "return", np.zeros(d, dtype=np.float32))]


@required
def raises_nothing(case: Searches) -> Iterable[Problem]:
    """An index is built, and every search answered: nothing is raised, whatever the request and n."""
    return failures(case.outcomes, refused=False)


@required
def valid_rankings(case: Searches) -> Iterable[Problem]:
    """Each request gets at most n hits: chunks of the index, each once, finite scores, best first."""
    return failures(case.outcomes, refused=True)


@required
def small_index(case: Searches) -> Iterator[Problem]:
    """An index over very few chunks is built and answers."""
    if isinstance(case.built, Exception) or case.smallest >= len(case.chunks):
        return
    known = {chunk.id: row for row, chunk in enumerate(case.chunks[: case.smallest])}
    outcome = attempt(lambda: boundary.search(case.build(case.smallest), case.requests, 5, known))
    if isinstance(outcome, Exception):
        yield failure(f"an index over {case.smallest} of the chunks", outcome)


@promised
def finds_something(case: Searches) -> Iterator[Problem]:
    """Some request gets hits."""
    for _, n, rankings in case.plain:
        if not any(rankings):
            yield Problem(
                f"{len(case.requests)} requests for {n} hits",
                f"expected hits from {len(case.chunks)} chunks, got none for any request",
            )


@promised
def no_requests_no_rankings(case: Searches) -> Iterator[Problem]:
    """An empty list of requests gives no rankings."""
    if isinstance(case.built, Exception):
        return
    outcome = attempt(partial(case.search, case.built, [], 5))
    if isinstance(outcome, Exception):
        yield failure("no requests", outcome)


@promised
def same_again(case: Searches) -> Iterator[Problem]:
    """The same search gives the same hits."""
    for searcher, n, rankings in case.plain:
        yield from _differing(case, n, rankings, case.search(searcher, case.requests, n), "asked again")


@promised
def same_alone(case: Searches) -> Iterator[Problem]:
    """A request gets the same hits alone as among other requests."""
    for searcher, n, rankings in case.plain:
        alone = [ranking for request in case.requests for ranking in case.search(searcher, [request], n)]
        yield from _differing(case, n, alone, rankings, "alone, then among others")


@promised
def same_when_built_again(case: Searches) -> Iterator[Problem]:
    """An index that is built again from the same chunks gives the same hits."""
    if isinstance(case.built, Exception):
        return
    again = case.build()
    for _, n, rankings in case.plain:
        yield from _differing(case, n, rankings, case.search(again, case.requests, n), "built again")


def _differing(case: Searches, n: int, expected: Rankings, got: Rankings, how: str) -> Iterator[Problem]:
    for request, before, now in zip(case.requests, expected, got, strict=True):
        differs = difference(before, now, case.tolerance)
        if differs:
            yield Problem(f"query {request.query_id!r}, {n} hits, {how}", differs)


@promised
def input_unchanged(case: Searches) -> Iterator[Problem]:
    """The chunks, the vectors and the requests stay as they were."""
    if not case.found:
        return  # nothing was built
    chunks, vectors, requests = case.given
    if chunks != case.chunks:
        yield Problem(f"building over {len(case.chunks)} chunks", "expected them as they were, got others")
    if vectors is not None and case.vectors is not None:
        changed = np.flatnonzero((vectors != case.vectors).any(axis=1))
        if len(changed):
            yield Problem(
                f"building over {len(vectors)} vectors",
                f"expected them as they were, got {len(changed)} others, the first in row {changed[0]}",
            )
    for before, now in zip(case.requests, requests, strict=True):
        if before.vector is not None and not np.array_equal(before.vector, np.asarray(now.vector)):
            yield Problem(f"query {before.query_id!r}", "expected its vector as it was, got another")


@promised
def filters_hold(case: Searches) -> Iterator[Problem]:
    """A filter keeps out every chunk whose metadata lack its key, or hold neither its value nor a member."""
    for wanted, n, outcome in case.filtered:
        if isinstance(outcome, Exception):
            continue
        for request, hits in zip(case.requests, outcome, strict=True):
            got = [case.chunks[case.row_of[hit.chunk_id]] for hit in hits]
            wrong = [chunk for chunk in got if not matches(chunk.metadata, wanted)]
            if wrong:
                yield Problem(
                    f"query {request.query_id!r}, {n} hits, filter {wanted!r}",
                    f"expected only chunks that it allows, got one with {dict(wrong[0].metadata)!r}",
                )


@promised
def filters_take_no_places(case: Searches) -> Iterator[Problem]:
    """A filter is applied before the cut at n: what it keeps out costs the allowed chunks no place."""
    everything = case.found.get(case.numbers[-1])
    if everything is None or isinstance(everything, Exception):
        return
    for wanted, n, outcome in case.filtered:
        if isinstance(outcome, Exception):
            continue
        for request, hits, without_filter in zip(case.requests, outcome, everything, strict=True):
            found = [case.chunks[case.row_of[hit.chunk_id]] for hit in without_filter]
            allowed = sum(matches(chunk.metadata, wanted) for chunk in found)
            if len(hits) < min(n, allowed):
                yield Problem(
                    f"query {request.query_id!r}, {n} hits, filter {wanted!r}",
                    f"expected {min(n, allowed)} hits, since a search without it finds {allowed} chunks that "
                    f"it allows, got {len(hits)}",
                )


@optional
def ties_in_order(case: Searches) -> Iterator[Problem]:
    """Among equal scores hits come in the order of the chunks."""
    for _, n, rankings in case.plain:
        for request, hits in zip(case.requests, rankings, strict=True):
            for first, second in pairwise(hits):
                if first.score == second.score and case.row_of[first.chunk_id] > case.row_of[second.chunk_id]:
                    yield Problem(
                        f"query {request.query_id!r}, {n} hits",
                        f"expected {second.chunk_id!r} before {first.chunk_id!r}, which scores the same "
                        f"({first.score:.6g}) and stands later in the corpus",
                    )
                    break


RETRIEVER_PROMISES: tuple[Promise[Searches], ...] = (
    raises_nothing,
    valid_rankings,
    small_index,
    finds_something,
    no_requests_no_rankings,
    same_again,
    same_alone,
    same_when_built_again,
    input_unchanged,
    filters_hold,
    filters_take_no_places,
    ties_in_order,
)
