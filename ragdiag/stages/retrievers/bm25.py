"""BM25 over the chunks' ``index_text``, scored from an inverted index.

All that a term adds to a chunk's score is known once the corpus is known, so the index stores exactly that:
for each term the rows that hold it and what it adds there. A query sums the lists of its terms.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import cache
from itertools import pairwise
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ragdiag.errors import ConfigError
from ragdiag.records import Chunk, Hit, Request
from ragdiag.stages.protocols import Vectors
from ragdiag.stages.ranking import order_by_score
from ragdiag.stages.retrievers.filters import AllowedRows

__all__ = ["BM25Retriever", "tokenize_words"]

# Scripts that put no spaces between words: Thai, Lao, Myanmar, Khmer, kana, Han and their extensions.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uaa60-\uaa7f\uf900-\ufaff\uff66-\uff9f\U0001b000-\U0001b16f\U00020000-\U0003ffff"
)
_RUNS = re.compile(f"(?P<unspaced>[{_UNSPACED}]+)|[^{_UNSPACED}]+")


def tokenize_words(text: str) -> list[str]:
    r"""The lower-cased words of a text, as BM25 counts them.

    A word is a run of ``\w`` characters together with their combining marks (which ``\w`` leaves out, so
    that it would cut words of Hindi or Thai at their vowel signs). Scripts written without spaces (Han, kana,
    Thai, Lao, Khmer, Myanmar) give overlapping pairs of characters, or the one character of a run of one.

    Example:
        >>> tokenize_words("Return the PARCEL within 30 days.")
        ['return', 'the', 'parcel', 'within', '30', 'days']
        >>> tokenize_words("iPhone用ケース")
        ['iphone', '用ケ', 'ケー', 'ース']
    """
    words = []
    for word in _word_pattern().findall(text.lower()):
        if word.isascii():
            words.append(word)
            continue
        for run in _RUNS.finditer(word):
            pairs = [first + second for first, second in pairwise(run[0])] if run["unspaced"] else []
            words += pairs or [run[0]]
    return words


@dataclass(frozen=True, repr=False)
class BM25Retriever:
    """BM25 in the form of ``rank_bm25.BM25Okapi``: the same scores, from an inverted index.

    With N chunks, of which n hold a term, and f the term's count in a chunk of l of tokens (mean: L), each
    occurrence of the term in the query adds ``idf * f * (k1 + 1) / (f + k1 * (1 - b + b * l / L))``, where
    ``idf = ln((N - n + 0.5) / (n + 0.5))``. A term of more than half of the chunks would count against them;
    its idf becomes ``epsilon`` times the mean idf of all terms. Where that mean is itself below zero (tiny
    corpora of like texts) scores are negative, as they are in rank-bm25.

    Only chunks that share a term with the query are returned, whatever their score: there may be fewer
    than n.

    Args:
        k1: how soon repeats of a term stop counting, >= 0.
        b: how much long chunks are held back, 0 to 1.
        epsilon: the floor of idf, as a share of the mean idf, >= 0.
        tokenize: text to terms, for chunks and queries alike.

    Raises:
        ConfigError: an option out of its range, or a ``tokenize`` that returns a string.

    Source: Robertson et al., "Okapi at TREC-3", 1994; the floor is rank-bm25's.

    Example:
        >>> from ragdiag.records import Document
        >>> texts = ["Send the parcel back.", "We ship to Norway.", "Pay by card."]
        >>> chunks = [Chunk.of(Document(f"d{i}", text), (0, len(text))) for i, text in enumerate(texts)]
        >>> [[hit]] = BM25Retriever().build(chunks, None).search([Request("q", "lost parcel")], 5)
        >>> hit.chunk_id
        'd0#0-21'
    """

    _: KW_ONLY
    k1: float = 1.5
    b: float = 0.75
    epsilon: float = 0.25
    tokenize: Callable[[str], Sequence[str]] = tokenize_words

    uses_vectors: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for name, value, most in (
            ("k1", self.k1, math.inf),
            ("b", self.b, 1),
            ("epsilon", self.epsilon, math.inf),
        ):
            if not (0 <= value <= most and math.isfinite(value)):
                wanted = "from 0 to 1" if most == 1 else ">= 0"
                raise ConfigError(f"BM25Retriever.{name} must be a number {wanted}, got {value!r}")
        if not callable(self.tokenize):
            raise ConfigError(f"BM25Retriever.tokenize must be a function of a text, got {self.tokenize!r}")

    def __repr__(self) -> str:
        # The default repr of a function ends in its address, which differs from run to run.
        name = getattr(self.tokenize, "__qualname__", None) or repr(self.tokenize)
        return f"BM25Retriever(k1={self.k1}, b={self.b}, epsilon={self.epsilon}, tokenize={name})"

    def terms(self, text: str) -> Sequence[str]:
        """The terms of a text by ``tokenize``, checked."""
        terms = self.tokenize(text)
        if isinstance(terms, str):
            raise ConfigError(
                f"BM25Retriever.tokenize must return a sequence of terms, got the string {terms!r}"
            )
        return terms

    def build(self, chunks: Sequence[Chunk], vectors: Vectors | None = None) -> _BM25Searcher:  # noqa: ARG002
        """An index over the chunks' ``index_text``; ``vectors`` are not looked at."""
        vocabulary: dict[str, int] = {}
        term_of_token: list[int] = []
        lengths = np.zeros(len(chunks), dtype=np.int64)
        for row, chunk in enumerate(chunks):
            terms = self.terms(chunk.index_text)
            lengths[row] = len(terms)
            term_of_token += [vocabulary.setdefault(term, len(vocabulary)) for term in terms]
        row_of_token = np.repeat(np.arange(len(chunks)), lengths)
        # One number a (term, row), so that sorting it lays the rows of each term side by side.
        pairs, counts = np.unique(
            np.array(term_of_token, dtype=np.int64) * len(chunks) + row_of_token, return_counts=True
        )
        term, row = np.divmod(pairs, len(chunks))
        holders = np.bincount(term, minlength=len(vocabulary))
        idf = self._idf(holders, len(chunks))
        mean_length = lengths.mean() if len(pairs) else 1.0  # without a single token, no pair needs it
        saturation = self.k1 * (1 - self.b + self.b * lengths[row] / mean_length)
        return _BM25Searcher(
            retriever=self,
            chunks=chunks,
            vocabulary=vocabulary,
            starts=np.concatenate([[0], np.cumsum(holders)]),
            rows=row.astype(np.intp),
            scores=idf[term] * counts * (self.k1 + 1) / (counts + saturation),
        )

    def _idf(self, holders: NDArray[np.int64], n_chunks: int) -> NDArray[np.float64]:
        idf: NDArray[np.float64] = np.log(n_chunks - holders + 0.5) - np.log(holders + 0.5)
        if len(idf):
            idf[idf < 0] = self.epsilon * math.fsum(idf) / len(idf)
        return idf


class _BM25Searcher:
    """For each term of the vocabulary, the rows that hold it and what it adds to their scores.

    The lists lie one after the other: those of term t are ``rows[starts[t]:starts[t + 1]]``, likewise scores.
    """

    def __init__(
        self,
        *,
        retriever: BM25Retriever,
        chunks: Sequence[Chunk],
        vocabulary: dict[str, int],
        starts: NDArray[np.int64],
        rows: NDArray[np.intp],
        scores: NDArray[np.float64],
    ) -> None:
        self._retriever = retriever
        self._ids = [chunk.id for chunk in chunks]
        self._allowed = AllowedRows(chunks)
        self._vocabulary = vocabulary
        self._starts = starts
        self._rows = rows
        self._scores = scores

    @property
    def nbytes(self) -> int:
        """The lists of all terms, and the terms in UTF-8."""
        terms = sum(len(term.encode("utf-8", "surrogatepass")) for term in self._vocabulary)
        return terms + self._starts.nbytes + self._rows.nbytes + self._scores.nbytes

    def search(self, requests: Sequence[Request], n: int) -> list[list[Hit]]:
        """At most ``n`` hits a request among the chunks that share a term with its text."""
        return [self._search(request, n) for request in requests]

    def _search(self, request: Request, n: int) -> list[Hit]:
        totals = np.zeros(len(self._ids))
        shares_term = np.zeros(len(self._ids), dtype=bool)
        for term, count in Counter(self._retriever.terms(request.text)).items():
            if (t := self._vocabulary.get(term)) is not None:
                here = slice(self._starts[t], self._starts[t + 1])
                np.add.at(totals, self._rows[here], count * self._scores[here])
                shares_term[self._rows[here]] = True
        allowed = self._allowed.mask(request.filter)
        rows = np.flatnonzero(shares_term if allowed is None else shares_term & allowed)
        rows = _best(rows, totals[rows], n)
        return [Hit(self._ids[row], float(totals[row])) for row in rows]


def _best(rows: NDArray[np.intp], scores: NDArray[np.float64], n: int) -> NDArray[np.intp]:
    """The ``n`` of ``rows`` (ascending) with the best scores, best first; only contenders are sorted."""
    if len(rows) > n > 0:
        contend = scores >= np.partition(scores, -n)[-n]  # ties with the n-th contend as well
        rows, scores = rows[contend], scores[contend]
    return rows[order_by_score(scores)[:n]]


@cache
def _word_pattern() -> re.Pattern[str]:
    marks = "".join(chr(c) for c in range(0x300, 0x1F000) if unicodedata.category(chr(c))[0] == "M")
    # The lookahead is for speed alone: it spares most words the walk through a long character class.
    return re.compile(rf"\w+(?:(?![\0-\u02ff])[{marks}]+\w*)*")
