"""The surroundings of evidence, for chunks too long to be embedded well: beyond the input limit, or diluted.

The same chunk with the vector of a smaller window around its evidence tells whether the embedder would have
found the passage had it seen nothing else. Where the evidence lies beyond what the embedder reads of the
chunk, that convicts the embedder (``truncated``). Where the chunk is merely *oversize* (much longer than its
fellows), a better embedder would help as a better chunker would: the data cannot tell (``oversize``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ragdiag.diagnosis.evidence import EvidenceMap, disjoint
from ragdiag.diagnosis.repairs import LostUnit, window_around
from ragdiag.records import Chunk, Document, Span
from ragdiag.spans import Range
from ragdiag.stages.protocols import Embedder

__all__ = ["Windows", "evidence_in", "find_windows"]

_TIMES_MEDIAN = 4  # a chunk this many times as long as the median of all is oversize
_LONG = 2000  # and so is one of more characters, whatever the others are
_SHRINK = 0.9

_Cause: TypeAlias = Literal["truncated", "oversize"]


@dataclass(frozen=True, slots=True)
class Windows:
    """Texts to embed in place of whole chunks.

    Attributes:
        cause: why: the chunks are ``truncated`` by the embedder, or ``oversize``.
        texts: by chunk, what is embedded instead.
        problem: what is wrong with the first of them, in plain words.
    """

    cause: _Cause
    texts: Mapping[int, str]
    problem: str


def find_windows(
    evidence_map: EvidenceMap,
    documents: Mapping[str, Document],
    embedder: Embedder,
    unit: LostUnit,
    *,
    usual: int,
) -> Windows | None:
    """The windows for the chunks that best carry a lost unit; None where none is truncated or oversize.

    A chunk is truncated where the embedder declares ``max_tokens`` and ``count_tokens`` and the evidence ends
    beyond. A window holds the evidence and as much around it as the embedder reads, or as a usual chunk has
    (of ``usual`` characters, the median).
    """
    found: dict[_Cause, dict[int, str]] = {"truncated": {}, "oversize": {}}
    problems: dict[_Cause, str] = {}
    carriers = unit.carriers(chunker=False)
    best = {unit.chunk(n).spans for n in unit.best_of(carriers) if n in unit.carried}
    # All that deliver the same spans: of several children of a parent, one is found by the evidence.
    for number in [n for n in carriers if unit.chunk(n).spans in best]:
        chunk = unit.chunk(number)
        evidence = evidence_in(evidence_map, documents, unit, chunk)
        window = None if evidence is None else _window(chunk, evidence, embedder, usual)
        if window is not None:
            cause, text, problem = window
            found[cause][number] = text
            problems.setdefault(cause, problem)
    return next((Windows(cause, texts, problems[cause]) for cause, texts in found.items() if texts), None)


def _window(chunk: Chunk, evidence: Range, embedder: Embedder, usual: int) -> tuple[_Cause, str, str] | None:
    """Why a chunk is too long, the window in its place, and the problem in words; None where it is not."""
    text = chunk.index_text
    limit, count = getattr(embedder, "max_tokens", None), getattr(embedder, "count_tokens", None)
    if limit is not None and count is not None:
        window = _within_tokens(text, evidence, int(limit), count)
        if window is not None:
            problem = (
                f"the embedder reads {int(limit)} tokens, and chunk {chunk.id!r} has its evidence beyond"
            )
            return "truncated", text[slice(*window)], problem
    length = evidence[1] - evidence[0]
    if len(text) <= min(_LONG, _TIMES_MEDIAN * usual) or length >= len(text):
        return None
    window = window_around(text, evidence, (0, len(text)), max(min(usual, _LONG // 2), length))
    problem = f"chunk {chunk.id!r} has {len(text):,} characters, the median chunk {usual:,}"
    return "oversize", text[slice(*window)], problem


def evidence_in(
    evidence_map: EvidenceMap, documents: Mapping[str, Document], unit: LostUnit, chunk: Chunk
) -> Range | None:
    """From where to where a chunk's index text holds evidence of the unit; None where that is not seen."""
    found: list[Range] = []
    for alternative in unit.query.evidence[unit.number].alternatives:
        for part in disjoint(alternative):
            for place in evidence_map.copies_of(part) if isinstance(part, Span) else ():
                document = documents.get(place.doc_id)
                span = evidence_map.document_range(place)
                if document is None or span is None:
                    continue
                for own in chunk.spans:
                    start, end = max(own.start, span[0]), min(own.end, span[1])
                    if own.doc_id == place.doc_id and start < end:
                        at = chunk.index_text.find(document.text[start:end])
                        if at >= 0:
                            found.append((at, at + end - start))
    return (min(start for start, _ in found), max(end for _, end in found)) if found else None


def _within_tokens(
    text: str, evidence: Range, limit: int, count: Callable[[Sequence[str]], Sequence[int]]
) -> Range | None:
    """A window around ``evidence`` of at most ``limit`` tokens; None where it is read, or longer itself."""

    def tokens(part: str) -> int:
        return int(count([part])[0])

    whole = tokens(text)
    if whole <= limit or tokens(text[: evidence[1]]) <= limit:
        return None
    if tokens(text[slice(*evidence)]) > limit:
        return None
    length = evidence[1] - evidence[0]
    width = max(length, int(len(text) * limit / whole))
    while width > length:
        window = window_around(text, evidence, (0, len(text)), width)
        if tokens(text[slice(*window)]) <= limit:
            return window
        width = int(width * _SHRINK)
    return evidence
