"""The data model: documents, spans, evidence, queries, chunks.

Everything is a frozen value that checks itself when it is made. All offsets are Python code points, and
all ranges are half-open: ``text[start:end]``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ragdiag.errors import DataError

__all__ = [
    "Alternative",
    "Chunk",
    "Document",
    "Evidence",
    "Hit",
    "Query",
    "Request",
    "Span",
    "WholeDocument",
]


def _require_text(value: object, what: str, *, may_be_empty: bool = False) -> None:
    if not isinstance(value, str):
        raise DataError(f"{what} must be a string, got {type(value).__name__}: {value!r}")
    if not value and not may_be_empty:
        raise DataError(f"{what} must not be empty")


@dataclass(frozen=True, slots=True)
class Document:
    """A text as the pipeline ingested it, or (as a *source*) the original in which evidence is anchored.

    Example:
        >>> Document("returns", "Goods may be returned within 30 days.").id
        'returns'
    """

    id: str
    text: str
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        _require_text(self.id, "Document.id")
        _require_text(self.text, f"text of document {self.id!r}", may_be_empty=True)


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """The code points ``start <= i < end`` of a source's text: the only identity of evidence.

    Example:
        >>> document = Document("returns", "Goods may be returned within 30 days.")
        >>> Span.find(document, "30 days")
        Span(doc_id='returns', start=29, end=36)
    """

    doc_id: str
    start: int
    end: int

    def __post_init__(self) -> None:
        _require_text(self.doc_id, "Span.doc_id")
        for name, value in (("start", self.start), ("end", self.end)):
            if isinstance(value, bool) or not isinstance(value, int | np.integer):
                raise DataError(f"Span.{name} in document {self.doc_id!r} must be an integer, got {value!r}")
        object.__setattr__(self, "start", int(self.start))
        object.__setattr__(self, "end", int(self.end))
        if not 0 <= self.start < self.end:
            raise DataError(
                f"Span in document {self.doc_id!r} must satisfy 0 <= start < end, "
                f"got start={self.start}, end={self.end}"
            )

    def __len__(self) -> int:
        return self.end - self.start

    @classmethod
    def find(cls, document: Document, quote: str) -> Span:
        """The one place where ``quote`` stands in ``document``.

        Raises:
            DataError: the quote is empty, occurs nowhere, or occurs more than once (the places are listed).
        """
        _require_text(quote, "quote")
        places = []
        at = document.text.find(quote)
        while at >= 0:
            places.append(at)
            at = document.text.find(quote, at + 1)
        if not places:
            raise DataError(f"quote not found in document {document.id!r}: {quote!r}")
        if len(places) > 1:
            raise DataError(
                f"quote occurs {len(places)} times in document {document.id!r}, at "
                f"{', '.join(map(str, places[:10]))}{' …' if len(places) > 10 else ''}: {quote!r}; "
                "give start and end, or a longer quote"
            )
        return cls(document.id, places[0], places[0] + len(quote))


@dataclass(frozen=True, slots=True, order=True)
class WholeDocument:
    """Evidence at the level of a document: covered by any chunk of it."""

    doc_id: str

    def __post_init__(self) -> None:
        _require_text(self.doc_id, "WholeDocument.doc_id")


Alternative: TypeAlias = tuple[Span, ...] | tuple[WholeDocument, ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """One unit that an answer needs: *any one* of its alternatives satisfies it.

    An alternative is one or more spans, *all* needed (or whole documents, never a mixture).

    Example:
        >>> unit = Evidence.any_of(Span("faq", 10, 40), [Span("terms", 5, 20), Span("terms", 90, 99)])
        >>> len(unit.alternatives)
        2
    """

    alternatives: tuple[Alternative, ...]

    def __post_init__(self) -> None:
        if not self.alternatives:
            raise DataError("Evidence needs at least one alternative")
        if any(isinstance(alternative, Span | WholeDocument) for alternative in self.alternatives):
            raise DataError(
                "an alternative of Evidence is a tuple of spans; Evidence.any_of takes single ones"
            )
        object.__setattr__(self, "alternatives", tuple(tuple(a) for a in self.alternatives))
        for alternative in self.alternatives:
            kinds = {type(part) for part in alternative}
            if not alternative:
                raise DataError("an alternative of Evidence needs at least one span")
            if kinds not in ({Span}, {WholeDocument}):
                raise DataError(
                    "an alternative of Evidence holds Span values or WholeDocument values, not both "
                    f"and nothing else; got {alternative!r}"
                )

    @classmethod
    def of(cls, *parts: Span | WholeDocument) -> Evidence:
        """One alternative: all of ``parts`` are needed."""
        return cls((parts,))  # type: ignore[arg-type]  # a mixture is refused by __post_init__

    @classmethod
    def any_of(cls, *alternatives: Span | WholeDocument | Iterable[Span | WholeDocument]) -> Evidence:
        """Several alternatives, each a span or an iterable of spans that are needed together."""
        return cls(
            tuple((a,) if isinstance(a, Span | WholeDocument) else tuple(a) for a in alternatives)  # type: ignore[misc]
        )

    @property
    def doc_ids(self) -> tuple[str, ...]:
        """The ids of all sources that any alternative names, sorted."""
        return tuple(sorted({part.doc_id for alternative in self.alternatives for part in alternative}))


@dataclass(frozen=True, slots=True)
class Query:
    """A question; *all* of its evidence units are needed.

    A query without evidence is *unassessed*: it is run and counted, but takes part in no mean.
    ``answerable=False`` says that the corpus holds no answer; such a query has no evidence.

    Example:
        >>> Query("q1", "How long may goods be returned?", [Evidence.of(Span("returns", 29, 36))]).assessed
        True
    """

    id: str
    text: str
    evidence: Sequence[Evidence] = ()
    filter: Mapping[str, Any] | None = field(default=None, hash=False)
    answerable: bool = True
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        _require_text(self.id, "Query.id")
        _require_text(self.text, f"text of query {self.id!r}")
        if isinstance(self.evidence, Evidence):
            raise DataError(
                f"evidence of query {self.id!r} must be a list of Evidence: put the one in a list"
            )
        units = tuple(self.evidence)
        for unit in units:
            if not isinstance(unit, Evidence):
                raise DataError(f"evidence of query {self.id!r} must be Evidence values, got {unit!r}")
        if units and not self.answerable:
            raise DataError(f"query {self.id!r} is marked answerable=False but has evidence")
        object.__setattr__(self, "evidence", units)

    @property
    def doc_ids(self) -> tuple[str, ...]:
        """The ids of all sources that any unit of evidence names, sorted."""
        return tuple(sorted({doc_id for unit in self.evidence for doc_id in unit.doc_ids}))

    @property
    def assessed(self) -> bool:
        """Whether the query has evidence, so that recall is defined for it."""
        return bool(self.evidence)


@dataclass(frozen=True, slots=True)
class Chunk:
    """What is indexed and delivered as one piece.

    Attributes:
        id: derived from the spans (see `Chunk.of`), never random.
        spans: where the text stands in its document (half-open, in code points, of the *ingested* text).
        text: what the model gets: the text of the spans, joined by a newline, up to whitespace.
        index_text: what is embedded and searched; the text where not given.
        metadata: of the document and of the chunk, for filters.
    """

    id: str
    spans: tuple[Span, ...]
    text: str
    index_text: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        _require_text(self.id, "Chunk.id")
        _require_text(self.text, f"text of chunk {self.id!r}", may_be_empty=True)
        object.__setattr__(self, "spans", tuple(self.spans))
        if not self.spans:
            raise DataError(f"chunk {self.id!r} has no spans: a chunk must say where its text stands")
        for span in self.spans:
            if not isinstance(span, Span):
                raise DataError(f"spans of chunk {self.id!r} must be Span values, got {span!r}")
        _require_text(self.index_text, f"index_text of chunk {self.id!r}", may_be_empty=True)
        if not self.index_text:
            object.__setattr__(self, "index_text", self.text)

    @classmethod
    def of(
        cls,
        document: Document,
        *ranges: tuple[int, int],
        index_text: str = "",
        metadata: Mapping[str, Any] | None = None,
    ) -> Chunk:
        """The chunk of ``document`` that delivers ``ranges`` (pairs of start, end), in the order given.

        Its id is ``"<document id>#<start>-<end>[+<start>-<end>…]"``; its metadata are the document's,
        overridden by ``metadata``.

        Raises:
            DataError: a range is empty or reaches beyond the text.

        Example:
            >>> Chunk.of(Document("returns", "Goods may be returned."), (0, 5)).id
            'returns#0-5'
        """
        spans = tuple(Span(document.id, start, end) for start, end in ranges)
        for span in spans:
            if span.end > len(document.text):
                raise DataError(
                    f"range {span.start}-{span.end} reaches beyond document {document.id!r}, "
                    f"which has {len(document.text)} characters"
                )
        return cls(
            id=f"{document.id}#" + "+".join(f"{span.start}-{span.end}" for span in spans),
            spans=spans,
            text="\n".join(document.text[span.start : span.end] for span in spans),
            index_text=index_text,
            metadata={**document.metadata, **(metadata or {})},
        )


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """What a searcher gets for one query: never the evidence.

    Attributes:
        vector: the query's embedding, shape (d,), float32; None in a pipeline without an embedder.
        filter: the query's metadata filter, or None.
    """

    query_id: str
    text: str
    vector: NDArray[np.float32] | None = None
    filter: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """One entry of a ranking: higher scores are better."""

    chunk_id: str
    score: float
