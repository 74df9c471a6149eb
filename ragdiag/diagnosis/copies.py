"""Exact copies of evidence elsewhere in the sources: a text that answers does so wherever it stands.

The search is linear in the size of the sources, however many spans are looked for: every window of 20
characters gets a polynomial hash, and only windows whose hash begins a wanted text are compared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from ragdiag.records import Document, Span
from ragdiag.spans import code_points

__all__ = ["SHORTEST_COPY", "find_copies"]

SHORTEST_COPY = 20
"""Texts below this many characters are not looked for elsewhere: they recur by chance."""

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


def find_copies(spans: Iterable[Span], sources: Mapping[str, Document]) -> dict[Span, tuple[Span, ...]]:
    """All places where the text of each span stands, the span itself first, then by document and offset.

    Spans shorter than `SHORTEST_COPY` are their only copy.
    """
    wanted: dict[str, list[Span]] = defaultdict(list)
    copies: dict[Span, tuple[Span, ...]] = {}
    for span in dict.fromkeys(spans):
        copies[span] = (span,)
        if len(span) >= SHORTEST_COPY:
            wanted[sources[span.doc_id].text[span.start : span.end]].append(span)
    if not wanted:
        return copies
    places = _places_of(wanted, sources)
    for text, originals in wanted.items():
        for span in originals:
            copies[span] = (span, *(place for place in places[text] if place != span))
    return copies


def _places_of(texts: Iterable[str], sources: Mapping[str, Document]) -> dict[str, list[Span]]:
    """Every place where each of ``texts`` stands, by document and offset."""
    by_hash: dict[int, list[str]] = defaultdict(list)
    for text in texts:
        by_hash[int(_window_hashes(text[:SHORTEST_COPY])[0])].append(text)
    hashes = np.array(sorted(by_hash), dtype=np.uint64)
    places: dict[str, list[Span]] = defaultdict(list)
    for source in sorted(sources.values(), key=lambda document: document.id):
        windows = _window_hashes(source.text)
        at = np.searchsorted(hashes, windows)
        at[at == len(hashes)] = 0
        for start in np.flatnonzero(hashes[at] == windows).tolist():
            for text in by_hash[int(windows[start])]:
                if source.text.startswith(text, start):
                    places[text].append(Span(source.id, start, start + len(text)))
    return places


def _window_hashes(text: str) -> NDArray[np.uint64]:
    """A hash of every window of `SHORTEST_COPY` characters, shape (max(0, len(text) - 19),)."""
    codes = code_points(text).astype(np.uint64)
    count = max(0, len(codes) - SHORTEST_COPY + 1)
    hashes = np.zeros(count, dtype=np.uint64)
    with np.errstate(over="ignore"):
        for offset in range(SHORTEST_COPY):
            hashes *= _MULTIPLIER
            hashes += codes[offset : offset + count]
    return hashes
