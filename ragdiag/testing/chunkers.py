"""What a chunker promises."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Literal, TypeAlias

from ragdiag.errors import ConfigError
from ragdiag.records import Chunk, Document
from ragdiag.spans import Range, merge, quote
from ragdiag.stages import boundary
from ragdiag.stages.protocols import Chunker, require_plug
from ragdiag.stages.tokens import Characters, TokenCounter, count, counter
from ragdiag.testing.promises import (
    Problem,
    Promise,
    attempt,
    failure,
    failures,
    hold,
    promised,
    required,
)
from ragdiag.testing.samples import hostile_documents

__all__ = ["CHUNKER_PROMISES", "check_chunker"]

Limit: TypeAlias = int | Literal["declared"] | None


def check_chunker(
    chunker: Chunker,
    documents: Iterable[Document] | None = None,
    *,
    size: Limit = "declared",
    overlap: Limit = "declared",
    unit: str | TokenCounter | None = None,
    repeats_text: bool = False,
    without: Collection[str] = (),
) -> None:
    """Hold a chunker to its promises.

    Args:
        chunker: anything with ``chunk(document)``.
        documents: what it is tried on; `hostile_documents` where not given.
        size: the most that a chunk may count, in ``unit``. ``"declared"`` takes the chunker's own ``size``,
            where it also declares a ``unit`` or one is given here; None is no limit.
        overlap: the most that a chunk may share with the one before it; as for ``size``.
        unit: ``"characters"``, the name of a tiktoken encoding, or an object with ``count_tokens(texts)``;
            the chunker's own, else characters, where not given.
        repeats_text: for a chunker that delivers the same text with several chunks on purpose, such as the
            parent of each indexed child, or a window around each sentence. Chunks may then begin where the
            one before begins and end anywhere, may share any text, and the size limits ``index_text`` alone.
        without: names of promises that it does not make.

    Raises:
        ContractError: promises are broken; the message shows each.
        ConfigError: an option that cannot work.

    Example:
        >>> from ragdiag.stages.chunkers import RecursiveChunker
        >>> check_chunker(RecursiveChunker(100, overlap=20))
    """
    require_plug("chunker", chunker, called="check_chunker")
    says_unit = unit is not None or hasattr(chunker, "unit")
    limits = {
        name: _limit(name, getattr(chunker, name, None) if given == "declared" and says_unit else given)
        for name, given in (("size", size), ("overlap", overlap))
    }
    if unit is None:
        unit = getattr(chunker, "unit", "characters")
    case = _Case(
        _tried(chunker, hostile_documents() if documents is None else list(documents)),
        size=limits["size"],
        overlap=limits["overlap"],
        by=counter(unit) if any(limit is not None for limit in limits.values()) else Characters(),
        repeats_text=repeats_text,
    )
    hold("chunker", chunker, CHUNKER_PROMISES, case, also=(), without=without)


@dataclass(frozen=True, slots=True)
class _Tried:
    """A document as it was before it was cut, twice, and what came of it."""

    before: Document
    after: Document
    outcome: tuple[Chunk, ...] | Exception
    again: tuple[Chunk, ...] | Exception

    @property
    def at(self) -> str:
        return f"document {self.before.id!r} {quote(self.before.text, limit=40)}"

    @property
    def chunks(self) -> tuple[Chunk, ...]:
        return () if isinstance(self.outcome, Exception) else self.outcome


@dataclass(frozen=True, slots=True)
class _Case:
    documents: Sequence[_Tried]
    size: int | None
    overlap: int | None
    by: TokenCounter
    repeats_text: bool


def _tried(chunker: Chunker, documents: Sequence[Document]) -> list[_Tried]:
    befores, afters = ([deepcopy(document) for document in documents] for _ in range(2))
    outcomes = [attempt(partial(boundary.chunk_document, chunker, document)) for document in afters]
    # Backwards, so that a chunker which carries something over from document to document shows it.
    again = [
        attempt(partial(boundary.chunk_document, chunker, deepcopy(before))) for before in reversed(befores)
    ]
    return [_Tried(*row) for row in zip(befores, afters, outcomes, reversed(again), strict=True)]


def _limit(name: str, limit: object) -> int | None:
    if limit is None or limit == "declared":
        return None  # where nothing is declared there is no limit
    if isinstance(limit, bool) or not isinstance(limit, int):
        raise ConfigError(f"{name} must be a whole number, 'declared' or None, got {limit!r}")
    return limit


@required
def raises_nothing(case: _Case) -> Iterable[Problem]:
    """Every document gets its chunks: nothing is raised, whatever the text."""
    return failures(((tried.at, tried.outcome) for tried in case.documents), refused=False)


@required
def valid_chunks(case: _Case) -> Iterable[Problem]:
    """Chunks have unique ids, spans inside their document, and the text of their spans."""
    return failures(((tried.at, tried.outcome) for tried in case.documents), refused=True)


@required
def ids_across_documents(case: _Case) -> Iterator[Problem]:
    """No two documents have chunks of the same id."""
    first: dict[str, Document] = {}
    for tried in case.documents:
        for chunk in tried.chunks:
            other = first.setdefault(chunk.id, tried.before)
            if other is not tried.before:
                yield Problem(
                    tried.at,
                    f"expected an id that no other chunk has, got {chunk.id!r}, which stands for a chunk of "
                    f"document {other.id!r}",
                )
                break


@promised
def same_again(case: _Case) -> Iterator[Problem]:
    """The same document gives the same chunks."""
    for tried in case.documents:
        if isinstance(tried.outcome, Exception) or tried.outcome == tried.again:
            continue
        if isinstance(tried.again, Exception):
            yield failure(tried.at, tried.again)
        else:
            expected, got = _first_difference(tried.outcome, tried.again)
            yield Problem(tried.at, f"expected {expected} again, got {got}")


def _first_difference(before: Sequence[Chunk], now: Sequence[Chunk]) -> tuple[str, str]:
    if len(before) != len(now):
        return f"{len(before)} chunks", f"{len(now)}"
    return next((quote(repr(a)), quote(repr(b))) for a, b in zip(before, now, strict=True) if a != b)


@promised
def document_unchanged(case: _Case) -> Iterator[Problem]:
    """The document that is cut stays as it was, with its metadata."""
    for tried in case.documents:
        if tried.after != tried.before:
            yield Problem(
                tried.at,
                f"expected metadata {dict(tried.before.metadata)!r}, got {dict(tried.after.metadata)!r}",
            )


@promised
def carries_metadata(case: _Case) -> Iterator[Problem]:
    """A chunk holds its document's metadata, beside or under its own, so that filters find it."""
    for tried in case.documents:
        keys = tried.before.metadata.keys()
        missing = [(chunk, key) for chunk in tried.chunks for key in keys if key not in chunk.metadata]
        if missing:
            chunk, key = missing[0]
            yield Problem(
                tried.at, f"expected the key {key!r} in chunk {chunk.id!r}, got {sorted(chunk.metadata)}"
            )


@promised
def keeps_all_text(case: _Case) -> Iterator[Problem]:
    """Every character that is not whitespace is in a chunk."""
    for tried in case.documents:
        if isinstance(tried.outcome, Exception):
            continue
        text = tried.before.text
        kept = bytearray(len(text))
        for start, end in merge(_ranges(tried.chunks)):
            kept[start:end] = b"\x01" * (end - start)
        lost = [i for i, char in enumerate(text) if not kept[i] and not char.isspace()]
        if lost:
            yield Problem(
                tried.at,
                f"expected all characters, got chunks without {len(lost)} of them, "
                f"the first at {lost[0]}: {quote(text[lost[0] :], limit=40)}",
            )


@promised
def in_order(case: _Case) -> Iterator[Problem]:
    """Chunks come in the order of the text: each begins and ends after the one before."""
    for tried in case.documents:
        for (start, end), (next_start, next_end) in pairwise(_extent(chunk) for chunk in tried.chunks):
            got = f"got {next_start}-{next_end}"
            if next_start < start:
                yield Problem(tried.at, f"expected a start of at least {start}, {got}")
                break
            if not case.repeats_text and (next_start == start or next_end <= end):
                hint = "text that is repeated on purpose is checked with repeats_text=True"
                yield Problem(tried.at, f"expected a later start and end than {start}-{end}, {got}; {hint}")
                break


@promised
def within_size(case: _Case) -> Iterator[Problem]:
    """No chunk counts more than the size, counted by the unit itself."""
    if case.size is None:
        return
    for tried in case.documents:
        texts = list(dict.fromkeys(chunk.index_text for chunk in tried.chunks))
        if not case.repeats_text:
            texts = list(dict.fromkeys([*texts, *(chunk.text for chunk in tried.chunks)]))
        for text, number in zip(texts, count(case.by, texts, stage="chunker"), strict=True):
            if number > case.size:
                yield Problem(
                    tried.at, f"expected at most {case.size}, got {number} for {quote(text, limit=40)}"
                )
                break


@promised
def within_overlap(case: _Case) -> Iterator[Problem]:
    """No chunk shares more than the overlap with the one before it, counted by the unit itself."""
    if case.overlap is None or case.repeats_text:
        return
    for tried in case.documents:
        shared = [_shared(tried.before.text, first, second) for first, second in pairwise(tried.chunks)]
        texts = [text for text in shared if text]
        for text, number in zip(texts, count(case.by, texts, stage="chunker"), strict=True):
            if number > case.overlap:
                yield Problem(
                    tried.at, f"expected at most {case.overlap}, got {number} for {quote(text, limit=40)}"
                )
                break


def _ranges(chunks: Iterable[Chunk]) -> list[Range]:
    return [(span.start, span.end) for chunk in chunks for span in chunk.spans]


def _extent(chunk: Chunk) -> Range:
    return min(span.start for span in chunk.spans), max(span.end for span in chunk.spans)


def _shared(text: str, first: Chunk, second: Chunk) -> str:
    """The text that two chunks both deliver."""
    both = [
        (max(a, start), min(b, end))
        for a, b in merge(_ranges([first]))
        for start, end in merge(_ranges([second]))
        if max(a, start) < min(b, end)
    ]
    return "\n".join(text[start:end] for start, end in sorted(both))


CHUNKER_PROMISES: tuple[Promise[_Case], ...] = (
    raises_nothing,
    valid_chunks,
    ids_across_documents,
    same_again,
    document_unchanged,
    carries_metadata,
    keeps_all_text,
    in_order,
    within_size,
    within_overlap,
)
