"""The measures of Chroma's report on chunking, as its code defines them, to be compared with its tables.

Ragdiag's own measures are in `ragdiag.measures.overlap`; where these differ, theirs is another question:

- Characters count, whitespace too, and a question's excerpts are counted together: a long one weighs more.
- A chunk stands where its text, without a full stop at its end, is found first, even if it was cut from a
  later repetition (`chroma_span`).
- An excerpt stands in one place; a repetition of it elsewhere is no evidence.
- Ranges are closed: for omega, a chunk that merely touches an excerpt counts as holding it.
- The deviation beside a mean is that of the questions themselves, not of the mean (`chroma_summary`).

Source: Smith and Troynikov, "Evaluating Chunking Strategies for Retrieval", Chroma, 2024.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from ragdiag.errors import DataError
from ragdiag.records import Document, Span
from ragdiag.spans import Range, merge, quote

__all__ = ["chroma_iou", "chroma_omega", "chroma_precision", "chroma_recall", "chroma_span", "chroma_summary"]


def chroma_span(document: Document, text: str) -> Span:
    """Where the report says that a chunk of ``document`` stands: where its text is found first.

    A full stop at its end is left out, as the report's code does.

    Raises:
        DataError: the text is empty or stands nowhere in the document.

    Example:
        >>> chroma_span(Document("d", "Yes. No. Yes."), "Yes.")
        Span(doc_id='d', start=0, end=3)
    """
    wanted = text.removesuffix(".") or text  # a chunk of a full stop alone would have no characters left
    at = document.text.find(wanted)
    if at < 0 or not wanted:
        raise DataError(f"chunk not found in document {document.id!r}: {quote(text)}")
    return Span(document.id, at, at + len(wanted))


def chroma_recall(chunks: Sequence[Span], excerpts: Sequence[Span]) -> float:
    """Characters of the excerpts inside the retrieved chunks / characters of all excerpts.

    What several chunks hold counts once above the line; what several excerpts share counts below it as often
    as it is named, so that excerpts that overlap can not all be found. In [0, 1].

    Raises:
        DataError: there are no excerpts.

    Example:
        >>> chroma_recall([Span("d", 0, 10), Span("d", 5, 15)], [Span("d", 5, 25)])
        0.5
    """
    _require(excerpts)
    return _length(_shared(chunks, excerpts)) / _length(excerpts)


def chroma_precision(chunks: Sequence[Span], excerpts: Sequence[Span]) -> float:
    """Characters of the excerpts inside the retrieved chunks / characters of the chunks; 0 without chunks.

    What several chunks hold counts below the line as often as it is retrieved. In [0, 1].

    Raises:
        DataError: there are no excerpts.

    Example:
        >>> chroma_precision([Span("d", 0, 10), Span("d", 5, 15)], [Span("d", 5, 25)])
        0.5
    """
    _require(excerpts)
    return _share(_length(_shared(chunks, excerpts)), _length(chunks))


def chroma_iou(chunks: Sequence[Span], excerpts: Sequence[Span]) -> float:
    """Characters of the excerpts inside the chunks / (those of the chunks + those of excerpts still missing).

    Both sums below the line count a character as often as it is retrieved or named. In [0, 1].

    Raises:
        DataError: there are no excerpts.

    Example:
        >>> chroma_iou([Span("d", 0, 10), Span("d", 5, 15)], [Span("d", 5, 25)])
        0.3333333333333333
    """
    _require(excerpts)
    missing = _length(excerpts) - sum(_length(_shared(chunks, [excerpt])) for excerpt in excerpts)
    return _share(_length(_shared(chunks, excerpts)), _length(chunks) + missing)


def chroma_omega(chunks: Sequence[Span], excerpts: Sequence[Span]) -> float:
    """Precision if exactly the chunks that hold or touch an excerpt were retrieved, each character once.

    The excerpts inside them / the union of these chunks and of what they lack of the excerpts. In [0, 1]; 0
    where no chunk touches an excerpt.

    Args:
        chunks: all chunks that there are; those of other documents change nothing.
        excerpts: those of one question.

    Raises:
        DataError: there are no excerpts.

    Example:
        The second chunk ends where the excerpt begins, and pays for it:

        >>> chroma_omega([Span("d", 20, 30), Span("d", 10, 20), Span("d", 0, 10)], [Span("d", 20, 25)])
        0.25
    """
    _require(excerpts)
    touching = [chunk for chunk in chunks if any(_touch(chunk, excerpt) for excerpt in excerpts)]
    return _length(_shared(touching, excerpts)) / _length(_union([*touching, *excerpts]))


def chroma_summary(values: ArrayLike) -> tuple[float, float]:
    """Mean and population deviation of a measure's values by question: the report's ``±``.

    Example:
        >>> chroma_summary([0.0, 1.0])
        (0.5, 0.5)
    """
    array = np.asarray(values, dtype=np.float64)
    return float(array.mean()), float(array.std())


def _require(excerpts: Sequence[Span]) -> None:
    if not excerpts:
        raise DataError("a question without excerpts has no value: leave it out of the mean")


def _touch(a: Span, b: Span) -> bool:
    return a.doc_id == b.doc_id and a.start <= b.end and b.start <= a.end


def _shared(chunks: Sequence[Span], excerpts: Sequence[Span]) -> list[Span]:
    """What chunks and excerpts have in common, each character once."""
    return _union(
        Span(chunk.doc_id, max(chunk.start, excerpt.start), min(chunk.end, excerpt.end))
        for chunk in chunks
        for excerpt in excerpts
        if chunk.doc_id == excerpt.doc_id and chunk.start < excerpt.end and excerpt.start < chunk.end
    )


def _union(spans: Iterable[Span]) -> list[Span]:
    by_document: dict[str, list[Range]] = {}
    for span in spans:
        by_document.setdefault(span.doc_id, []).append((span.start, span.end))
    return [Span(doc_id, *range_) for doc_id, ranges in by_document.items() for range_ in merge(ranges)]


def _length(spans: Iterable[Span]) -> int:
    return sum(len(span) for span in spans)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
