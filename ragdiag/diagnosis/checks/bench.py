"""What checks measure with: exact scores, the real index, texts and pairs asked anew, each once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ragdiag.diagnosis.attempts import Allowance, calling
from ragdiag.diagnosis.checks.check import NotApplicable
from ragdiag.diagnosis.evidence import EvidenceMap
from ragdiag.diagnosis.ranks import UnitRanks
from ragdiag.diagnosis.repairs import LostUnit
from ragdiag.diagnosis.reruns import Pairs
from ragdiag.diagnosis.result import Diagnosis
from ragdiag.diagnosis.verdicts import Verdict
from ragdiag.index import Index
from ragdiag.records import Chunk, Hit, Query, Request
from ragdiag.stages import boundary
from ragdiag.stages.protocols import Searcher, Similarity, Vectors
from ragdiag.stages.ranking import order_by_score
from ragdiag.stages.retrievers.bm25 import tokenize_words
from ragdiag.stages.similarity import exact_scores
from ragdiag.trace import Trace

__all__ = ["Bench", "Loss"]

_T = TypeVar("_T")


@dataclass(frozen=True, eq=False)
class Loss:
    """One lost unit, as checks see it.

    Attributes:
        unit: the unit, with the chunks that carry it.
        verdict: what the re-runs say of it.
        ranks: where it is complete in each ranking.
    """

    unit: LostUnit
    verdict: Verdict
    ranks: UnitRanks

    @property
    def query(self) -> Query:
        """Whose unit it is."""
        return self.unit.query

    @cached_property
    def chunks(self) -> tuple[int, ...]:
        """The run's chunks, by position, that best deliver the unit; empty where none holds any of it."""
        carriers = self.unit.carriers(chunker=False)
        best = set(self.unit.best_of(carriers))
        return tuple(n for n in carriers if n in best) or tuple(carriers[:1])


class Bench:
    """The instruments of one diagnosis. What is asked of a model is counted, and asked once.

    Args:
        diagnosis: whose losses are looked at, with verdicts.
        index: the pipeline over its documents.
        evidence_map: of the run.
        losses: all lost units, in the order of the ledger.
        pairs: scores pairs, and remembers those of the re-runs.
        allowance: how many texts and pairs may still be asked of the models.
    """

    def __init__(
        self,
        diagnosis: Diagnosis,
        index: Index,
        evidence_map: EvidenceMap,
        losses: Sequence[Loss],
        *,
        pairs: Pairs,
        allowance: Allowance,
    ) -> None:
        self.diagnosis = diagnosis
        self.index = index
        self.map = evidence_map
        self.losses = tuple(losses)
        self._pairs = pairs
        self._allowance = allowance
        self._known: dict[Hashable, Any] = {}

    @property
    def trace(self) -> Trace:
        """The run."""
        return self.diagnosis.trace

    def once(self, key: Hashable, make: Callable[[], _T]) -> _T:
        """What ``make`` returns, worked out once for all losses; ``key`` begins with the caller's name."""
        if key not in self._known:
            self._known[key] = make()
        found: _T = self._known[key]
        return found

    # Exact scores by the embedder's similarity

    @property
    def vectors(self) -> Vectors:
        """One row a chunk.

        Raises:
            NotApplicable: the pipeline has no embedder.
        """
        return _of_embedder(self.trace.vectors)

    @property
    def similarity(self) -> Similarity:
        """How the embedder's vectors are meant to be compared; raises as `vectors` does."""
        return _of_embedder(self.trace.similarity)

    def query_vector(self, query: Query) -> NDArray[np.float32]:
        """The query's vector, shape (d,); raises as `vectors` does."""
        row: NDArray[np.float32] = _of_embedder(self.trace.query_vectors)[self.trace.row[query.id]]
        return row

    def scores(self, query: Query) -> NDArray[np.float64]:
        """The exact score of every chunk for a query, shape (chunks,)."""
        return self.once(
            ("scores", query.id),
            lambda: exact_scores(self.query_vector(query), self.vectors, self.similarity),
        )

    def order(self, query: Query) -> NDArray[np.intp]:
        """All chunks by their exact scores, best first, shape (chunks,)."""
        return self.once(("order", query.id), lambda: order_by_score(self.scores(query)))

    def rank_of_score(self, query: Query, score: float) -> int:
        """The exact rank (from 1) of a chunk with a score: one more than there are better ones."""
        return int((self.scores(query) > score).sum()) + 1

    def words(self, text: str) -> frozenset[str]:
        """The different words of a text."""
        return self.once(("words", text), lambda: frozenset(tokenize_words(text)))

    # The real stages, asked anew

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """One row a text by the pipeline's embedder, shape (len(texts), d); each text is embedded once.

        Raises:
            NotApplicable: the pipeline has no embedder.
            Void: the embedder raised, or too few calls are left.
        """
        return self._embed(texts, "document")

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """The same for queries."""
        return self._embed(texts, "query")

    def _embed(self, texts: Sequence[str], side: str) -> Vectors:
        embedder, dimensions = _of_embedder(self.index.pipeline.embedder), self.vectors.shape[1]
        missing = [text for text in dict.fromkeys(texts) if ("embedded", side, text) not in self._known]
        if missing:
            self._allowance.spend(texts=len(missing))
            with calling("embedder"):
                if side == "document":
                    rows = boundary.embed_documents(embedder, missing)
                else:
                    rows = boundary.embed_queries(embedder, missing, dimensions=dimensions)
            self._known |= {("embedded", side, text): row for text, row in zip(missing, rows, strict=True)}
        return np.array([self._known["embedded", side, text] for text in texts], np.float32).reshape(
            len(texts), -1
        )

    def search(self, request: Request, n: int) -> tuple[Hit, ...]:
        """What the real index returns for any request.

        Raises:
            Void: the retriever raised.
        """
        return self.search_in(self.index.searcher, request, n)

    def search_in(self, searcher: Searcher, request: Request, n: int) -> tuple[Hit, ...]:
        """What an index over the run's chunks returns.

        Raises:
            Void: the retriever raised.
        """
        self._allowance.count(searches=1)
        with calling("retriever"):
            [hits] = boundary.search(searcher, [request], n, self.trace.position)
        return hits

    def pair_scores(self, query: Query, texts: Sequence[str]) -> NDArray[np.float64]:
        """The reranker's score of each text, shape (len(texts),); each pair is scored once.

        Raises:
            NotApplicable: the pipeline has no reranker.
            Void: the reranker raised, or too few calls are left.
        """
        reranker = self.index.pipeline.reranker
        if reranker is None:
            raise NotApplicable("the pipeline has no reranker")
        return self._pairs.of_texts(reranker, query, texts)

    def chunk(self, position: int) -> Chunk:
        """A chunk of the run."""
        return self.trace.chunks[position]


def _of_embedder(value: _T | None) -> _T:
    """What only a pipeline with an embedder has.

    Raises:
        NotApplicable: it has none.
    """
    if value is None:
        raise NotApplicable("the pipeline has no embedder")
    return value
