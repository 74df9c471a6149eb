"""All health checks over a pipeline."""

from __future__ import annotations

from collections.abc import Sequence

from ragdiag.diagnosis.checks.check import NotApplicable
from ragdiag.diagnosis.health import chunks, prompts, searches, vectors
from ragdiag.diagnosis.health.check import Answer, HealthCheck
from ragdiag.diagnosis.health.result import Health
from ragdiag.diagnosis.health.survey import Survey
from ragdiag.errors import ConfigError
from ragdiag.index import check_unique
from ragdiag.pipeline import Pipeline
from ragdiag.progress import track
from ragdiag.records import Document, Query
from ragdiag.stages.tokens import TokenCounter
from ragdiag.stages.tokens import counter as counter_of

__all__ = ["CHECKS", "health"]

CHECKS = (*chunks.CHECKS, *vectors.CHECKS, *searches.CHECKS, *prompts.CHECKS)
"""In the order of the flow."""


def health(
    pipeline: Pipeline,
    documents: Sequence[Document],
    queries: Sequence[Query] | None = None,
    *,
    counter: str | TokenCounter | None = None,
    seed: int = 0,
    sample: int = 1000,
    progress: bool | None = None,
) -> Health:
    """What can be seen of ``pipeline`` over ``documents`` before a single label exists.

    The documents are chunked, embedded and indexed once; nothing is reranked or packed. A check that lacks
    its input says so, and never that all is fine.

    Args:
        pipeline: the stages to look at.
        documents: the corpus, as ingested.
        queries: what is asked; their evidence and filters are not looked at. Without them chunks stand for
            queries where something is searched for, and the checks say so.
        counter: what the answering model counts tokens with, against which the packer's count is held: the
            name of a tiktoken encoding, or an object with ``count_tokens(texts)``; None for the embedder.
        seed: of the samples.
        sample: how many queries, and how many chunks, are searched for at most.
        progress: whether long work shows a bar; None shows it on a terminal only.

    Raises:
        DataError: there are no documents, or ids are not unique.
        ConfigError: ``sample`` is under 1, or ``counter`` counts nothing.
        StageError: a plug broke its contract.

    Example:
        >>> from ragdiag import BM25Retriever, Document, Pipeline, RecursiveChunker
        >>> pipeline = Pipeline(chunker=RecursiveChunker(size=20), retriever=BM25Retriever())
        >>> result = health(pipeline, [Document("faq", "Returns are free. Refunds take five days.")])
        >>> result.table.set_index("check").loc["repeated chunks", ["status", "seen"]].tolist()
        ['ok', 'The same text as another: none of 3 passages.']
        >>> result.table.set_index("check").loc["hubs", ["status", "seen"]].tolist()
        ['not applicable', 'The pipeline has no embedder.']
    """
    if isinstance(sample, bool) or not isinstance(sample, int) or sample < 1:
        raise ConfigError(f"sample must be a whole number of at least 1, got {sample!r}")
    known = tuple(queries or ())
    check_unique("query", [query.id for query in known])
    counts = None if counter is None else counter_of(counter)
    index = pipeline.index(documents, progress=progress)
    survey = Survey(index, known, counts, seed, sample)
    answers = tuple(_answer(check, survey) for check in track(CHECKS, "checking", progress=progress))
    return Health(answers, len(index.documents), len(index.chunks), len(known))


def _answer(check: HealthCheck, survey: Survey) -> Answer:
    try:
        sight = check.look(survey)
    except NotApplicable as reason:
        return Answer(check, "not applicable", None, str(reason))
    return Answer(check, "warning" if sight.warns else "ok", sight.value, sight.seen, sight.details)
