"""Vector search through any FAISS index, with the filters and the tie rule of this project.

FAISS may choose freely among equal scores at the cut, and most of its indexes know no filter. One loop mends
both: it asks for more until the first n allowed rows can no longer change.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ragdiag.errors import ConfigError, StageError
from ragdiag.records import Chunk, Hit, Request
from ragdiag.stages.protocols import Similarity, Vectors
from ragdiag.stages.ranking import order_by_score
from ragdiag.stages.retrievers.faiss_file import FaissFile, sketch_of
from ragdiag.stages.retrievers.filters import AllowedRows

__all__ = ["FaissRetriever", "FaissSearcher"]

# These search among the selected rows exactly as they would among all. The graph indexes also take a
# selection but may then find too little; the others refuse it or are wrappers.
_SELECTING = {"IndexFlat", "IndexScalarQuantizer", "IndexIVFFlat", "IndexIVFScalarQuantizer", "IndexIVFPQ"}


@dataclass(frozen=True)
class FaissRetriever:
    """A FAISS index named by its factory string, such as ``"HNSW32"`` or ``"IVF64,PQ16"``.

    Scores are FAISS's own, of the vectors as the index holds them (quantized ones, for SQ and PQ), and higher
    is always better. The same chunks and vectors give the same index: it is trained and filled in one thread,
    since HNSW graphs may otherwise depend on timing, with the fixed seeds of FAISS; queries are searched one
    by one, so that no score depends on what else is asked.

    A built index can be kept: ``searcher.save(path)``, and `SavedFaissRetriever` in place of this one.

    Args:
        factory: what ``faiss.index_factory`` understands.
        metric: ``"cosine"`` (vectors are scaled to length 1; a zero vector has cosine 0 with everything),
            ``"dot"``, or ``"l2"`` (the score is the negative *squared* distance).
        parameters: search-time parameters by the names of ``faiss.ParameterSpace``, such as ``nprobe`` or
            ``efSearch``.

    Raises:
        ConfigError: an unknown metric; on `build`, a factory string or parameter that FAISS refuses for these
            vectors, too few vectors to train on, or no vectors at all.

    Source: Douze et al., "The Faiss library", 2024 (arXiv:2401.08281).

    Example:
        >>> from ragdiag.records import Document
        >>> chunks = [Chunk.of(Document(name, "text"), (0, 4)) for name in ("east", "north")]
        >>> searcher = FaissRetriever("Flat").build(chunks, np.eye(2, dtype=np.float32))
        >>> searcher.search([Request("q", "?", np.array([0.6, 0.8], dtype=np.float32))], 1)
        [[Hit(chunk_id='north#0-4', score=0.800000011920929)]]
    """

    factory: str = "HNSW32"
    _: KW_ONLY
    metric: Similarity = "cosine"
    parameters: Mapping[str, float] = field(default_factory=dict, hash=False)

    uses_vectors: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.metric not in ("cosine", "dot", "l2"):
            raise ConfigError(f"FaissRetriever.metric must be 'cosine', 'dot' or 'l2', got {self.metric!r}")
        for name, value in self.parameters.items():
            if not isinstance(value, int | float | np.number) or not value > 0:
                raise ConfigError(
                    f"FaissRetriever.parameters[{name!r}] must be a number greater than 0, got {value!r}"
                )

    def build(self, chunks: Sequence[Chunk], vectors: Vectors | None) -> FaissSearcher:
        """Train the index where it must be, and fill it with ``vectors``, shape (len(chunks), d)."""
        faiss = _faiss()
        rows = self.rows(chunks, vectors)
        metric = faiss.METRIC_L2 if self.metric == "l2" else faiss.METRIC_INNER_PRODUCT
        try:
            index = faiss.index_factory(rows.shape[1], self.factory, metric)
            if "ht" not in self.parameters:
                _train_no_filter(index)
            with _one_thread():
                if len(rows) and not index.is_trained:
                    index.train(rows)
                if len(rows):
                    index.add(rows)
            self._set_parameters(index)
        except (RuntimeError, TypeError) as error:
            raise ConfigError(
                f"FAISS cannot build {self!r} over {len(rows)} vectors of dimension {rows.shape[1]}: "
                f"{_reason(error)}"
            ) from error
        return FaissSearcher(self, index, chunks, sketch_of(rows))

    def over(self, stored: FaissFile, chunks: Sequence[Chunk]) -> FaissSearcher:
        """The searcher over a stored index of ``chunks``, with this retriever's parameters."""
        try:
            self._set_parameters(stored.index)
        except (RuntimeError, TypeError) as error:
            raise ConfigError(f"FAISS cannot search the stored {self!r}: {_reason(error)}") from error
        return FaissSearcher(self, stored.index, chunks, stored.sketch)

    def _set_parameters(self, index: Any) -> None:
        for name, value in self.parameters.items():
            _faiss().ParameterSpace().set_index_parameter(index, name, float(value))

    def rows(self, chunks: Sequence[Chunk], vectors: Vectors | None) -> Vectors:
        """What the index of ``chunks`` holds, a row a chunk: their vectors, checked and scaled.

        Raises:
            ConfigError: there are no vectors.
            StageError: there is not one vector a chunk.
        """
        if vectors is None:
            raise ConfigError(f"{self!r} searches vectors: the pipeline needs an embedder")
        if vectors.ndim != 2 or len(vectors) != len(chunks):
            raise StageError(
                "retriever", f"{self!r} expected vectors of shape ({len(chunks)}, d), got {vectors.shape}"
            )
        return self.scale(vectors)

    def scale(self, vectors: Vectors) -> Vectors:
        """The vectors (shape (m, d)) as the index compares them: of length 1 under cosine."""
        rows = np.ascontiguousarray(vectors, dtype=np.float32)
        if self.metric != "cosine":
            return rows
        lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))[:, None]
        scaled = np.zeros_like(rows)
        np.divide(rows, lengths, out=scaled, where=lengths > 0, casting="same_kind")
        return scaled


class FaissSearcher:
    """A built FAISS index over chunks.

    Args:
        retriever: the recipe by which it was built.
        index: the FAISS index.
        chunks: a chunk a row of the index.
        sketch: `sketch_of` those rows.
    """

    def __init__(
        self, retriever: FaissRetriever, index: Any, chunks: Sequence[Chunk], sketch: NDArray[np.float64]
    ) -> None:
        self._retriever = retriever
        self._index = index
        self._sketch = sketch
        self._ids = [chunk.id for chunk in chunks]
        self._allowed = AllowedRows(chunks)
        self._sign = -1.0 if retriever.metric == "l2" else 1.0

    def search(self, requests: Sequence[Request], n: int) -> list[list[Hit]]:
        """At most ``n`` hits a request; an index that does not look everywhere may find fewer."""
        return [self._search(request, n) for request in requests]

    @property
    def nbytes(self) -> int:
        """The index as FAISS writes it."""
        return int(_faiss().serialize_index(self._index).nbytes)

    def save(self, path: str | Path) -> None:
        """Write the index to one file, from which `SavedFaissRetriever` takes it.

        The file appears, or replaces the one before, only when all of it is written. It is a ``.npz`` archive
        without pickles, whatever its name is: ``faiss.deserialize_index(numpy.load(path)["index"])`` is the
        plain FAISS index. The same index gives the same bytes. While it is saved it is in memory twice.

        Raises:
            DataError: the file cannot be written.
        """
        FaissFile(
            factory=self._retriever.factory,
            metric=self._retriever.metric,
            parameters=self._retriever.parameters,
            chunk_ids=self._ids,
            dimension=self._index.d,
            sketch=self._sketch,
            index=self._index,
        ).write(path)

    def _search(self, request: Request, n: int) -> list[Hit]:
        query = self._query(request)
        allowed = self._allowed.mask(request.filter)
        k = n + 1  # one more than asked shows whether the cut goes through a tie
        while True:
            k = min(k, len(self._ids))
            rows, scores = self._fetch(query, k, allowed)
            seen_all = k == len(self._ids) or len(rows) < k
            last = scores.min(initial=np.inf)
            if allowed is not None:
                rows, scores = rows[allowed[rows]], scores[allowed[rows]]
            by_row = np.argsort(rows)
            rows, scores = rows[by_row], scores[by_row]
            best = order_by_score(scores)[:n]
            if seen_all or (len(best) == n and scores[best].min(initial=np.inf) > last):
                return [Hit(self._ids[rows[i]], float(scores[i])) for i in best]
            k *= 4

    def _query(self, request: Request) -> Vectors:
        where = f"query {request.query_id!r}"
        if request.vector is None:
            raise StageError("retriever", f"{self._retriever!r} needs the query's vector", where=where)
        if request.vector.shape != (self._index.d,):
            raise StageError(
                "retriever",
                f"the index holds vectors of dimension {self._index.d}, the query's has shape "
                f"{request.vector.shape}: documents and queries must be embedded alike",
                where=where,
            )
        return self._retriever.scale(request.vector[None, :])

    def _fetch(
        self, query: Vectors, k: int, allowed: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The best ``k`` rows by FAISS, at least where it can select by itself only the allowed ones."""
        if not k:
            return np.empty(0, dtype=np.int64), np.empty(0)
        try:
            scores, rows = self._index.search(query, k, params=self._selection(allowed, k))
        except RuntimeError as error:
            raise StageError(
                "retriever", f"FAISS cannot search {self._retriever!r}: {_reason(error)}"
            ) from error
        found = rows[0] >= 0  # FAISS fills up with -1
        return rows[0][found], self._sign * scores[0][found].astype(np.float64)

    def _selection(self, allowed: NDArray[np.bool_] | None, k: int) -> Any:
        """Search parameters for one filter: what is given with a search replaces what the index holds."""
        if allowed is None:
            return None
        faiss = _faiss()
        if isinstance(self._index, faiss.IndexHNSW):
            # With a narrower search a graph comes back with fewer than k, however many there are.
            return faiss.SearchParametersHNSW(efSearch=max(self._index.hnsw.efSearch, k))
        if type(self._index).__name__ not in _SELECTING:
            return None
        selector = faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
        if isinstance(self._index, faiss.IndexIVF):
            return faiss.SearchParametersIVF(
                sel=selector, nprobe=self._index.nprobe, max_codes=self._index.max_codes
            )
        return faiss.SearchParameters(sel=selector)


def _faiss() -> Any:
    """FAISS, without types: it rewrites its classes at import, in ways that their annotations do not know."""
    import faiss

    return faiss


def _train_no_filter(index: Any) -> None:
    """Spare an index of product quantizers seconds of training that only a search with ``ht`` makes use of.

    FAISS orders the codes for polysemous filtering, in about two seconds for each byte of a code, however few
    the vectors are. Without that filter the order makes no difference.
    """
    faiss = _faiss()
    while not hasattr(index, "do_polysemous_training"):
        inside = (getattr(index, name, None) for name in ("index", "base_index", "storage"))
        index = next((faiss.downcast_index(part) for part in inside if isinstance(part, faiss.Index)), None)
        if index is None:
            return
    index.do_polysemous_training = False


@contextmanager
def _one_thread() -> Iterator[None]:
    faiss = _faiss()
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(threads)


def _reason(error: Exception) -> str:
    """What FAISS says, without the place in its source where it says it."""
    return re.sub(r"^Error in .* at \S+:\d+: (?:Error: )?", "", str(error), flags=re.DOTALL)
