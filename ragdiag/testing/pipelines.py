"""What a pipeline promises as a whole: the same run again, and queries that do not depend on each other."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ragdiag.pipeline import Pipeline
from ragdiag.records import Document, Query
from ragdiag.spans import quote
from ragdiag.stages.protocols import Vectors
from ragdiag.testing.promises import Problem, Promise, attempt, failures, hold, promised, required
from ragdiag.testing.samples import hostile_documents, sample_queries
from ragdiag.testing.searches import difference
from ragdiag.trace import QueryTrace, Trace

__all__ = ["PIPELINE_PROMISES", "check_pipeline"]


def check_pipeline(
    pipeline: Pipeline,
    documents: Iterable[Document] | None = None,
    queries: Iterable[Query] | None = None,
    *,
    tolerance: float = 1e-4,
    without: Collection[str] = (),
) -> None:
    """Run a pipeline twice, and each query by itself: every answer is checked, and must come again.

    Args:
        pipeline: the plugs that work together.
        documents: the corpus; the `hostile_documents` that hold text where not given.
        queries: what is asked; a few questions where not given.
        tolerance: how far two vectors or scores may be apart, as a share of them (of 1 where a score is
            below 1).
        without: names of promises that it does not make.

    Raises:
        ContractError: promises are broken; the message shows each.
        ConfigError: an option that cannot work.

    Example:
        >>> from ragdiag.stages.chunkers import RecursiveChunker
        >>> from ragdiag.stages.retrievers import BM25Retriever
        >>> check_pipeline(Pipeline(chunker=RecursiveChunker(200), retriever=BM25Retriever()))
    """
    if documents is None:
        documents = [document for document in hostile_documents() if document.text.strip()]
    case = _Case(pipeline, list(documents), sample_queries() if queries is None else list(queries), tolerance)
    hold("pipeline", pipeline, PIPELINE_PROMISES, case, also=(), without=without)


@dataclass(frozen=True)
class _Case:
    pipeline: Pipeline
    documents: list[Document]
    queries: list[Query]
    tolerance: float

    def run(self) -> Trace:
        return self.pipeline.run(self.documents, self.queries, progress=False)

    @cached_property
    def ran(self) -> Trace | Exception:
        return attempt(self.run)

    @property
    def at(self) -> str:
        return f"{len(self.documents)} documents, {len(self.queries)} queries"


@required
def raises_nothing(case: _Case) -> Iterable[Problem]:
    """Documents are indexed and queries answered: nothing is raised."""
    return failures([(case.at, case.ran)], refused=False)


@required
def valid_stages(case: _Case) -> Iterable[Problem]:
    """Every stage returns what the next one needs."""
    return failures([(case.at, case.ran)], refused=True)


@promised
def same_again(case: _Case) -> Iterator[Problem]:
    """A second run gives the same chunks, vectors, hits, scores and contexts."""
    if isinstance(case.ran, Exception):
        return
    again = case.run()
    at = f"{case.at}, run again"
    if case.ran.chunks != again.chunks:
        yield Problem(at, f"chunker: expected the same {len(case.ran.chunks)} chunks, got others")
        return  # all that follows is about other chunks
    yield from _other_vectors(
        f"{at}, documents",
        [chunk.index_text for chunk in again.chunks],
        case.ran.vectors,
        again.vectors,
        case,
    )
    texts = [query.text for query in case.queries]
    yield from _other_vectors(f"{at}, queries", texts, case.ran.query_vectors, again.query_vectors, case)
    for before, now in zip(case.ran.queries, again.queries, strict=True):
        yield from _other_answer(before, now, "run again", case.tolerance)


@promised
def same_alone(case: _Case) -> Iterator[Problem]:
    """A query gets the same hits, scores and context alone as among other queries."""
    if isinstance(case.ran, Exception):
        return
    index = case.pipeline.index(case.documents, progress=False)
    for query, together in zip(case.queries, case.ran.queries, strict=True):
        [alone] = index.run([query], progress=False).queries
        yield from _other_answer(alone, together, "alone, then among others", case.tolerance)


def _other_vectors(
    at: str, texts: Sequence[str], before: Vectors | None, now: Vectors | None, case: _Case
) -> Iterator[Problem]:
    if before is None or now is None:
        return
    distances = np.linalg.norm(before - now, axis=1)
    for row in np.flatnonzero(distances > case.tolerance * np.linalg.norm(before, axis=1)).tolist():
        yield Problem(
            at,
            f"embedder: expected the same vector for {quote(texts[row], limit=40)}, got one that is "
            f"{distances[row]:.2g} away",
        )


def _other_answer(before: QueryTrace, now: QueryTrace, how: str, tolerance: float) -> Iterator[Problem]:
    """The first stage that answered a query in another way."""
    at = f"query {before.query_id!r}, {how}"
    if differs := difference(before.retrieved, now.retrieved, tolerance):
        yield Problem(at, f"retriever: {differs}")
    elif differs := difference(before.ranking, now.ranking, tolerance):
        yield Problem(at, f"reranker: {differs}")
    elif before.context != now.context:
        expected, got = ([chunk.id for chunk in record.context] for record in (before, now))
        yield Problem(at, f"packer: expected the context {expected}, got {got}")


PIPELINE_PROMISES: tuple[Promise[_Case], ...] = (
    raises_nothing,
    valid_stages,
    same_again,
    same_alone,
)
