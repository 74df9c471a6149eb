"""Health of the chunks: their sizes, text that none holds, repeats, and chunks without text."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ragdiag.diagnosis.geometry import same_texts
from ragdiag.diagnosis.health.check import HealthCheck, Sight, of_all, percent
from ragdiag.diagnosis.health.survey import Survey
from ragdiag.records import Document
from ragdiag.spans import Range, merge, quote

__all__ = ["CHECKS", "DroppedText", "Repeats", "Sizes"]

LONG_CHUNK = 2000
"""Characters over which one vector says little of each sentence: about 500 English tokens, where 200 to 400
do best in Smith & Troynikov, "Evaluating chunking strategies for retrieval", Chroma 2024."""

LONG_TEXT = 0.05
"""The share of the text that long chunks may hold: under a twentieth, hardly a question is concerned."""

REPEATED = 0.01
"""The share of chunks that may be repeats: under one in a hundred, hardly a top k meets one."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How long chunks are.

    Attributes:
        text: ``delivered`` to the model, or ``indexed`` where that is another text.
        unit: ``characters``, or ``tokens`` where something counts them.
        chunks: how many there are.
        shortest: the least.
        lower: the quartile that a quarter of the chunks does not exceed.
        median: half of the chunks have no more.
        upper: three quarters have no more.
        longest: the most.
    """

    text: str
    unit: str
    chunks: int
    shortest: int
    lower: float
    median: float
    upper: float
    longest: int


@dataclass(frozen=True, slots=True)
class DroppedText:
    """Text of one document that no chunk holds.

    Attributes:
        doc_id: whose text it is.
        characters: non-whitespace characters of the document.
        dropped: how many of them no chunk holds.
        share: the same as a share.
        start: where the longest dropped passage begins, in code points.
        end: where it ends.
    """

    doc_id: str
    characters: int
    dropped: int
    share: float
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Repeats:
    """A text that stands in several chunks.

    Attributes:
        times: in how many, from different places.
        chunk_ids: which ones, in order.
    """

    times: int
    chunk_ids: tuple[str, ...]


def _sizes(survey: Survey) -> Sight:
    characters = [len(chunk.text) for chunk in survey.chunks]
    rows = [_distribution("delivered", "characters", characters)]
    if survey.delivered_tokens is not None:
        rows.append(_distribution("delivered", "tokens", survey.delivered_tokens))
    if any(chunk.index_text != chunk.text for chunk in survey.chunks):
        indexed = [len(chunk.index_text) for chunk in survey.chunks]
        rows.append(_distribution("indexed", "characters", indexed))
        if survey.indexed_tokens is not None:
            rows.append(_distribution("indexed", "tokens", survey.indexed_tokens))
    # What a vector dilutes is the text that is indexed.
    lengths = np.array([len(chunk.index_text) for chunk in survey.chunks])
    long = lengths > LONG_CHUNK
    share = float(lengths[long].sum() / lengths.sum()) if lengths.sum() else 0.0
    over = of_all(int(long.sum()), len(long), "chunks")
    in_words = "; ".join(
        f"{row.unit} as {row.text} {row.shortest:,} to {row.longest:,}, half of all {row.lower:,.0f} to "
        f"{row.upper:,.0f}, the median {row.median:,.0f}"
        for row in rows
    )
    seen = (
        f"Over {LONG_CHUNK:,} characters: {over}{f', with {percent(share)} of the text' if share else ''}. "
        f"{in_words[0].upper()}{in_words[1:]}."
    )
    return Sight(share > LONG_TEXT, share, seen, tuple(rows))


def _distribution(text: str, unit: str, sizes: Sequence[int]) -> Sizes:
    lower, median, upper = np.percentile(sizes, [25, 50, 75]).tolist()
    return Sizes(text, unit, len(sizes), min(sizes), lower, median, upper, max(sizes))


def _empty(survey: Survey) -> Sight:
    empty = [chunk.id for chunk in survey.chunks if not chunk.text.strip() or not chunk.index_text.strip()]
    first = f", first {empty[0]!r}" if empty else ""
    seen = f"Nothing but whitespace: {of_all(len(empty), len(survey.chunks), 'chunks')}{first}."
    return Sight(bool(empty), len(empty), seen)


def _dropped(survey: Survey) -> Sight:
    kept: dict[str, list[Range]] = defaultdict(list)
    for chunk in survey.chunks:
        for span in chunk.spans:
            kept[span.doc_id].append((span.start, span.end))
    documents = survey.index.documents
    passages = {
        document.id: found for document in documents if (found := _passages(document, kept[document.id]))
    }
    if not passages:
        return Sight(warns=False, value=0.0, seen="Every character that is no whitespace is in a chunk.")
    text_of = {document.id: document.text for document in documents}
    rows = tuple(_dropped_of(doc_id, text_of[doc_id], found) for doc_id, found in passages.items())
    dropped, characters = sum(row.dropped for row in rows), sum(_visible(text) for text in text_of.values())
    longest = max(rows, key=lambda row: row.end - row.start)
    text = text_of[longest.doc_id][longest.start : longest.end]
    seen = (
        f"No chunk holds {of_all(dropped, characters, 'characters')} of the text, whitespace aside, in "
        f"{of_all(len(rows), len(documents), 'documents')}; the longest passage is "
        f"{longest.start:,}-{longest.end:,} of document {longest.doc_id!r}: {quote(text, limit=60)}."
    )
    # Rules, bullets and quotation marks hold no evidence.
    worded = any(
        character.isalnum()
        for doc_id, found in passages.items()
        for start, end in found
        for character in text_of[doc_id][start:end]
    )
    if not worded:
        seen += " None of it is a letter or a digit."
    return Sight(worded, dropped / characters, seen, rows)


def _dropped_of(doc_id: str, text: str, passages: Sequence[Range]) -> DroppedText:
    characters = _visible(text)
    dropped = sum(_visible(text[start:end]) for start, end in passages)
    start, end = max(passages, key=lambda passage: passage[1] - passage[0])
    return DroppedText(doc_id, characters, dropped, dropped / characters, start, end)


def _visible(text: str) -> int:
    """How many characters of a text are no whitespace."""
    return len("".join(text.split()))


def _passages(document: Document, kept: Sequence[Range]) -> list[Range]:
    """The passages of a document that lie outside ``kept``, without whitespace at their ends."""
    union = merge(kept)
    ends = [0, *(end for _, end in union)]
    starts = [*(start for start, _ in union), len(document.text)]
    found = []
    for start, end in zip(ends, starts, strict=True):
        passage = document.text[start:end]
        if passage.strip():
            begin = start + len(passage) - len(passage.lstrip())
            found.append((begin, begin + len(passage.strip())))
    return found


def _repeated(survey: Survey) -> Sight:
    # Children of one parent deliver the same passage: the same place is no repeat.
    places = list({chunk.spans: chunk for chunk in survey.chunks}.values())
    groups = same_texts([chunk.text for chunk in places])
    repeats = sorted(
        (Repeats(len(group), tuple(places[i].id for i in group)) for group in groups),
        key=lambda repeated: -repeated.times,
    )
    extra = sum(repeated.times - 1 for repeated in repeats)
    share = extra / len(places)
    seen = f"The same text as another: {of_all(extra, len(places), 'passages')}"
    if repeats:
        first = repeats[0]
        seen += f"; one text stands {first.times:,} times, first in chunk {first.chunk_ids[0]!r}"
    return Sight(share > REPEATED, share, f"{seen}.", tuple(repeats))


CHECKS = (
    HealthCheck("chunk sizes", "share in long chunks", _sizes, "chunker.oversize"),
    HealthCheck("dropped text", "share of the text", _dropped, "chunker.dropped_text"),
    HealthCheck("repeated chunks", "share of passages", _repeated, "chunker.duplicates"),
    HealthCheck("empty chunks", "chunks", _empty, advice="Leave out chunks without text."),
)
"""In the order in which they are shown."""
