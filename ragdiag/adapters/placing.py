"""Where the chunks of another library stand in their document: verified, located, or said to be nowhere.

Texts are compared without their whitespace, which most libraries strip, fold or replace. Four rules, the
first that holds:

1. *Verified.* The library says where a chunk stands, and its text does stand there.
2. *Located.* The text stands in the document once, so it stands there, whatever the order.
3. *Located in order.* The text stands there several times. The chunk begins and ends after the one before,
   and early enough for those after it; among such places it leaves no gap and repeats least; else it leaves
   the smallest gap.
4. *Partly.* The text stands nowhere. A cut between the bytes of a character leaves broken characters at the
   edges: what is between them is placed by the rules before. A library that parses a format rewrites it: its
   texts are aligned with the document. Where half or more is found, that is what the chunk delivers. Less is
   coincidence: the chunk is left out, and counted.

A chunk that stands nowhere cannot be kept as it is: evidence is a range of the document, and a chunk without
a range would hold none, however much of it the model gets to read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Literal, TypeAlias

import numpy as np

from ragdiag.alignment import align
from ragdiag.records import Chunk, Document
from ragdiag.spans import Range, merge, nonspace_before
from ragdiag.stages.embedders.texts import encodable

__all__ = ["Piece", "Placed", "Placement", "place"]

Placement: TypeAlias = Literal["verified", "located", "mixed"]


@dataclass(frozen=True, slots=True)
class Piece:
    """What a library calls a chunk.

    Attributes:
        text: as the library delivers it.
        range: where it stands, as the library says, in code points; None where it says nothing of worth.
        metadata: what the library says about it, such as the headings above it.
    """

    text: str
    range: Range | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Placed:
    """The chunks of one document, and how it is known where they stand.

    Attributes:
        chunks: in the library's order, each with the library's text as its ``index_text``.
        verified: how many stand where the library says.
        located: how many were found by their text.
        partly: how many deliver a part of the library's text, as the rest is not the document's.
        left_out: how many chunks of the library have no place, and are not among ``chunks``.
        unlocated_characters: of these and of the partly found ones, the characters that are not in the
            document, without whitespace.
    """

    chunks: tuple[Chunk, ...]
    verified: int
    located: int
    partly: int
    left_out: int
    unlocated_characters: int

    @property
    def placement(self) -> Placement:
        """How all of the chunks came by their spans."""
        searched = self.located + self.partly
        return "located" if searched and not self.verified else "mixed" if searched else "verified"


def place(document: Document, pieces: Sequence[Piece]) -> Placed:
    """The pieces as chunks of the document; those without a visible character are dropped.

    Example:
        >>> placed = place(Document("d", "Yes. No. Yes."), [Piece("Yes."), Piece("No."), Piece("Yes.")])
        >>> [chunk.id for chunk in placed.chunks], placed.placement
        (['d#0-4', 'd#5-8', 'd#9-13'], 'located')
    """
    text = _Visible(encodable([document.text])[0])
    pieces = [piece for piece in pieces if piece.text and not piece.text.isspace()]
    claims = [text.claimed(piece) for piece in pieces]
    keys = [_visible(piece.text) for piece in pieces]
    # What is searched for; empty where a text stands nowhere.
    wanted = {i: text.intact(key) for i, key in enumerate(keys) if claims[i] is None}
    once = {i: text.only(key) for i, key in wanted.items() if key}
    certain = {i: range_ for i, range_ in (dict(enumerate(claims)) | once).items() if range_}
    parts = _aligned(text, pieces, [i for i, key in wanted.items() if not key])
    anchors = certain | {i: (ranges[0][0], ranges[-1][1]) for i, ranges in parts.items()}
    repeated = {i: key for i, key in wanted.items() if key and i not in certain}
    located = certain | _in_order(text.characters, repeated, anchors)
    found = parts | {i: [range_] for i, range_ in located.items()}
    missing = [max(0, len(key) - _length(found.get(i, ()))) for i, key in enumerate(keys)]
    verified = len(pieces) - len(wanted)
    partly = sum(missing[i] > 0 for i in found)
    return Placed(
        chunks=_chunks(document, [(pieces[i], text.ranges(found[i])) for i in sorted(found)]),
        verified=verified,
        located=len(found) - verified - partly,
        partly=partly,
        left_out=len(pieces) - len(found),
        unlocated_characters=sum(missing),
    )


def _visible(text: str) -> str:
    return "".join(text.split())


def _length(ranges: Iterable[Range]) -> int:
    return sum(end - start for start, end in ranges)


class _Visible:
    """A text without its whitespace, and where each of its characters stands in the text.

    All ranges between here and `ranges` are of ``characters``.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.characters = _visible(text)
        self.before = nonspace_before(text)
        self.places = np.flatnonzero(np.diff(self.before))

    def claimed(self, piece: Piece) -> Range | None:
        """Where the piece stands as its library says; None where it does not say, or other text stands."""
        if piece.range is None:
            return None
        start, end = piece.range
        if not 0 <= start < end <= len(self.text) or _visible(self.text[start:end]) != _visible(piece.text):
            return None
        return int(self.before[start]), int(self.before[end])

    def intact(self, key: str) -> str:
        """The key if it stands in the text; else what of it lies between broken characters, if that does.

        Where a library cuts between the bytes of a character, both chunks get U+FFFD in its place.
        """
        if key in self.characters:
            return key
        inner = key.strip("\ufffd")
        return inner if 2 * len(inner) >= len(key) and inner in self.characters else ""

    def only(self, key: str) -> Range | None:
        """Where the key stands, if it stands in the text once."""
        at = self.characters.find(key)
        return None if self.characters.find(key, at + 1) >= 0 else (at, at + len(key))

    def ranges(self, ranges: Sequence[Range]) -> list[Range]:
        """The ranges of the text, without whitespace at their edges."""
        return [(int(self.places[start]), int(self.places[end - 1]) + 1) for start, end in ranges]


def _in_order(text: str, repeated: Mapping[int, str], anchors: Mapping[int, Range]) -> dict[int, Range]:
    """A place for each piece whose text stands in ``text`` several times; ``anchors`` are the others' places.

    Where there is none in order, as pieces of several levels begin anew with each, it is the first after the
    piece before, or the first of all.
    """
    latest = _latest_starts(text, repeated, anchors)
    placed: dict[int, Range] = {}
    before: Range = (-1, 0)
    for i in sorted(repeated.keys() | anchors.keys()):
        if i in anchors:
            before = anchors[i]
            continue
        key = repeated[i]
        start, end = before
        # Later than the piece before, ending later too, and without a gap: the last such place repeats least.
        low, high = max(start + 1, end - len(key) + 1), min(end, latest[i])
        at = text.rfind(key, low, high + len(key)) if low <= high else -1
        if at < 0:
            at = text.find(key, end, latest[i] + len(key))
        if at < 0:
            at = text.find(key, start + 1)
        if at < 0:
            at = text.find(key)
        before = placed[i] = (at, at + len(key))
    return placed


def _latest_starts(text: str, repeated: Mapping[int, str], anchors: Mapping[int, Range]) -> dict[int, int]:
    """Where each repeated piece must begin at the latest, so that those after it begin and end later."""
    latest: dict[int, int] = {}
    after: Range = (len(text) + 1, len(text) + 1)
    for i in sorted(repeated.keys() | anchors.keys(), reverse=True):
        if i in anchors:
            after = anchors[i]
            continue
        length = len(repeated[i])
        at = text.rfind(repeated[i], 0, max(0, min(after[0] + length, after[1]) - 1))
        latest[i] = at if at >= 0 else len(text)
        after = (latest[i], latest[i] + length)
    return latest


def _aligned(text: _Visible, pieces: Sequence[Piece], nowhere: Sequence[int]) -> dict[int, list[Range]]:
    """What an alignment finds of the pieces whose text stands nowhere, where it is half of them or more.

    Neighbors may overlap, and an alignment finds nothing twice, so every other piece is aligned at a time.
    """
    found: dict[int, list[Range]] = {}
    for parity in {i % 2 for i in nowhere}:
        ends = accumulate(len(piece.text) + 1 for piece in pieces[parity::2])
        starts = dict(zip(range(parity, len(pieces), 2), (0, *ends), strict=False))
        alignment = align("\n".join(piece.text for piece in pieces[parity::2]), text.text)
        for i in (i for i in nowhere if i % 2 == parity):
            ranges = alignment.to_source(starts[i], starts[i] + len(pieces[i].text))
            part = merge((int(text.before[start]), int(text.before[end])) for start, end in ranges)
            if 2 * _length(part) >= len(_visible(pieces[i].text)):
                found[i] = part
    return found


def _chunks(document: Document, placed: Sequence[tuple[Piece, list[Range]]]) -> tuple[Chunk, ...]:
    chunks = []
    seen: Counter[str] = Counter()
    for piece, ranges in placed:
        chunk = Chunk.of(document, *ranges, index_text=piece.text, metadata=piece.metadata)
        same = _visible(chunk.text) == _visible(piece.text)
        seen[chunk.id] += 1
        chunks.append(
            Chunk(
                # The second chunk of one place, such as the only child of its parent.
                id=chunk.id if seen[chunk.id] == 1 else f"{chunk.id}/{seen[chunk.id]}",
                spans=chunk.spans,
                text=piece.text if same else chunk.text,
                index_text=piece.text,
                metadata=chunk.metadata,
            )
        )
    return tuple(chunks)
