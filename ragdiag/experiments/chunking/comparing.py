"""The one call: the same documents and questions with one chunker after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ragdiag.errors import ConfigError
from ragdiag.experiments.chunking.names import Chunkers, named_chunkers
from ragdiag.experiments.chunking.prices import Prices
from ragdiag.experiments.chunking.result import ChunkerComparison
from ragdiag.experiments.sweep import Sweep, sweep
from ragdiag.measures.overlap import SpanMeasure, parse_measure
from ragdiag.measures.ranking import parse_rank_measure
from ragdiag.pipeline import Pipeline
from ragdiag.records import Document, Query
from ragdiag.stages.protocols import Chunker
from ragdiag.store import Store

__all__ = ["compare_chunkers", "usual_pipeline"]

_AT_BUDGET, _IN_CONTEXT = "Recall@1024t", "Recall"
_ALWAYS_MEASURED = {_IN_CONTEXT, "CP", "Precision", "IoU", "Omega"}


def compare_chunkers(
    documents: Sequence[Document],
    queries: Sequence[Query],
    chunkers: Chunkers,
    *,
    pipeline: Pipeline | None = None,
    measure: str | SpanMeasure | None = None,
    min_effect: float = 0.02,
    prices: Prices | None = None,
    sources: Sequence[Document] | None = None,
    min_coverage: float = 1.0,
    copies: bool = True,
    store: str | Path | Store | None = None,
    workers: int | None = None,
    latency_queries: int = 20,
    progress: bool | None = None,
) -> ChunkerComparison:
    """Which chunker serves these documents and questions best, as far as the questions can tell.

    Everything behind the chunker stays the same, so that what differs is the chunker's doing: at its own
    stage, or at a later one that it makes harder (an embedder that must say in one vector what a whole page
    is about). The losses by stage say which.

    Chunks of different sizes are compared at a budget of tokens. At the same k, larger chunks bring more text
    and so find more, which tells nothing but their size. The budget is filled from a ranking that goes on as
    far as it takes, beyond the k chunks of the context (a reranker has ranked n, and there it ends); the
    losses by stage are those of the context.

    **Selection is not judgement.** The best of many chunkers looks better than it is, on the questions that
    chose it. To know what it is worth, set questions aside (`ragdiag.split_queries`), choose
    on the one part, and put `ragdiag.diagnose` and `ragdiag.gate` to the other; there a bar is one on
    ``Recall``, of the context, since a diagnosis ranks no further than its pipeline does.

    Args:
        documents: the corpus, as ingested.
        queries: what is asked, with evidence; those without take no part.
        chunkers: by name; or a list, which is named by reprs, shortened to what differs.
        pipeline: gives everything behind the chunker; its own chunker takes no part unless it is given. None:
            the packaged static embedder (extra ``static``), exact search, five chunks in the context.
        measure: the span measure that decides. None: recall of what fits into 1,024 tokens, where tokens are
            counted; else recall of the context.
        min_effect: by how much a chunker must be better for the difference to matter.
        prices: what models charge, for the columns of money.
        sources: the originals in which evidence is anchored, where ingestion changed the text.
        min_coverage: the share of a unit of evidence from which it counts as delivered, in (0, 1].
        copies: whether exact copies of evidence satisfy it as well.
        store: a folder that keeps what was done, so that nothing is embedded twice; see `sweep`.
        workers: how many processes work at a time; see `sweep`.
        latency_queries: over how many queries latency is measured, each asked alone; 0 leaves out latency and
            the seconds to index.
        progress: whether long work shows a bar; None shows it on a terminal only.

    Raises:
        ConfigError: fewer than two chunkers, one that is none, an unknown measure, a measure of rankings
            (each chunker ranks other chunks), or a ``min_effect`` outside of [0, 1).
        DataError: no query with evidence, or evidence outside its source.
        StageError: a plug broke its contract.
        MissingExtraError: no pipeline is given and the extra ``static`` is not installed.

    Example:
        >>> from ragdiag import BM25Retriever, Evidence, RecursiveChunker, Span
        >>> faq = Document("faq", "Returns are free. Refunds take five days.")
        >>> query = Query("q1", "How long do refunds take?", [Evidence.of(Span.find(faq, "five days"))])
        >>> base = Pipeline(chunker=RecursiveChunker(), retriever=BM25Retriever(), top_k=1)
        >>> chunkers = {"whole": RecursiveChunker(99), "sentences": RecursiveChunker(24)}
        >>> found = compare_chunkers([faq], [query], chunkers, pipeline=base, latency_queries=0)
        >>> found.table[["chunks", "recall", "precision"]].round(2).to_dict("index")
        {'whole': {'chunks': 1, 'recall': 1.0, 'precision': 0.23}, 'sentences': {'chunks': 2, 'recall': 1.0, \
'precision': 0.4}}
    """
    by_name = named_chunkers(chunkers)
    chosen = None if measure is None else _span_measure(measure)
    if isinstance(min_effect, bool) or not 0 <= min_effect < 1:
        raise ConfigError(f"min_effect must be in [0, 1), got {min_effect!r}")
    base = usual_pipeline(next(iter(by_name.values()))) if pipeline is None else pipeline
    found = sweep(
        {name: replace(base, chunker=chunker) for name, chunker in by_name.items()},
        documents,
        queries,
        sources=sources,
        min_coverage=min_coverage,
        copies=copies,
        measures=() if chosen is None or chosen in _ALWAYS_MEASURED else (chosen,),
        store=store,
        workers=workers,
        latency_queries=latency_queries,
        progress=progress,
    )
    return ChunkerComparison(found, chosen or _usual_measure(found), float(min_effect), prices)


def usual_pipeline(chunker: Chunker) -> Pipeline:
    """What stands behind a chunker where nothing else is said: small static vectors, exact search, k = 5.

    Raises:
        MissingExtraError: the extra ``static`` is not installed.
    """
    from ragdiag.stages.embedders import StaticEmbedder
    from ragdiag.stages.retrievers import ExactRetriever

    return Pipeline(chunker=chunker, embedder=StaticEmbedder(), retriever=ExactRetriever(), top_k=5)


def _usual_measure(found: Sweep) -> str:
    counted = all(_AT_BUDGET in one.measures for one in found.values())
    return _AT_BUDGET if counted else _IN_CONTEXT


def _span_measure(measure: str | SpanMeasure) -> str:
    """The spec of a span measure.

    Raises:
        ConfigError: it is none.
    """
    spec = str(measure)
    try:
        return repr(parse_measure(spec))
    except ConfigError as error:
        try:
            parse_rank_measure(spec)
        except ConfigError:
            raise error from None
    raise ConfigError(
        f"measure={spec!r} counts ranks of chunks, and cannot compare chunkers: each cuts other chunks, so "
        "that their rankings have nothing in common. Take a span measure, such as Recall@1024t, Recall, All, "
        "CP or IoU"
    )
