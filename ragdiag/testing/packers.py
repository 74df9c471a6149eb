"""What a packer promises."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property, partial

from ragdiag.errors import ConfigError
from ragdiag.records import Chunk, Document
from ragdiag.spans import quote
from ragdiag.stages import boundary
from ragdiag.stages.chunkers.recursive import RecursiveChunker
from ragdiag.stages.protocols import Packer, budget_of, require_plug, token_counts
from ragdiag.testing.promises import (
    Problem,
    Promise,
    attempt,
    failures,
    hold,
    promised,
    required,
)
from ragdiag.testing.samples import hostile_documents

__all__ = ["PACKER_PROMISES", "check_packer"]

_QUERY = "How long can goods be returned?"
_FEW = 3  # chunks: about what fits into many budgets


def check_packer(
    packer: Packer,
    documents: Iterable[Document] | None = None,
    *,
    chunks: Iterable[Chunk] | None = None,
    query: str = _QUERY,
    without: Collection[str] = (),
) -> None:
    """Hold a packer to its promises. It is given all chunks, a few, one, and all in reverse order.

    Args:
        packer: anything with ``pack(query, chunks)``.
        documents: whose chunks it packs; `hostile_documents` where not given.
        chunks: of these documents, best first; chunks of 300 characters, and one of two spans, where not
            given.
        query: what is asked.
        without: names of promises that it does not make.

    Raises:
        ContractError: promises are broken; the message shows each.
        ConfigError: an option that cannot work.

    Example:
        >>> from ragdiag.stages.packers import TokenBudget
        >>> check_packer(TokenBudget(1000, overflow="truncate"))
    """
    require_plug("packer", packer, called="check_packer")
    corpus = hostile_documents() if documents is None else list(documents)
    best_first = _cut(corpus) if chunks is None else list(chunks)
    case = _Case(packer, {document.id: document for document in corpus}, best_first, query)
    hold("packer", packer, PACKER_PROMISES, case, also=(), without=without)


def _cut(documents: Sequence[Document]) -> list[Chunk]:
    chunks = [chunk for document in documents for chunk in RecursiveChunker(300).chunk(document)]
    # A chunk of two spans, with text that stands between them.
    apart = [
        Chunk.of(document, (0, 20), (40, 60), metadata={"apart": True})
        for document in documents
        if document.text[:20].strip() and document.text[40:60].strip()
    ]
    return [*apart[:1], *chunks]


@dataclass(frozen=True)
class _Case:
    packer: Packer
    documents: Mapping[str, Document]
    chunks: list[Chunk]
    query: str

    def pack(self, chunks: Sequence[Chunk]) -> tuple[Chunk, ...]:
        """The context, checked as a pipeline checks it."""
        return boundary.pack(self.packer, self.query, self.query, chunks, self.documents)

    @cached_property
    def packed(self) -> list[_Packed]:
        """What comes of several lists of chunks."""
        lists = {
            "1 chunk": self.chunks[:1],
            f"{len(self.chunks[:_FEW])} chunks": self.chunks[:_FEW],
            f"{len(self.chunks)} chunks": self.chunks,
            f"{len(self.chunks)} chunks in reverse order": self.chunks[::-1],
        }
        given = {at: deepcopy(chunks) for at, chunks in lists.items()}
        return [
            _Packed(at, chunks, given[at], attempt(partial(self.pack, given[at])))
            for at, chunks in lists.items()
        ]

    @property
    def outcomes(self) -> list[tuple[str, object]]:
        """All that came, with what was given."""
        return [(packed.at, packed.outcome) for packed in self.packed]


@dataclass(frozen=True, slots=True)
class _Packed:
    """Chunks, the copies of them that were handed over, and what came of it."""

    at: str
    chunks: list[Chunk]
    given: list[Chunk]
    outcome: tuple[Chunk, ...] | Exception


@required
def raises_nothing(case: _Case) -> Iterable[Problem]:
    """Any chunks are packed: nothing is raised, whatever their text."""
    return failures(case.outcomes, refused=False)


@required
def valid_context(case: _Case) -> Iterable[Problem]:
    """The context holds chunks that were given, each once, whole or shortened; no text is invented."""
    return failures(case.outcomes, refused=True)


@required
def usable_budget(case: _Case) -> Iterator[Problem]:
    """A declared budget is a whole number >= 0, beside a method tokens(chunk)."""
    try:
        budget_of(case.packer)
    except ConfigError as error:
        yield Problem("", str(error), error)


@promised
def nothing_from_nothing(case: _Case) -> Iterator[Problem]:
    """No chunks give an empty context."""
    packed = list(case.packer.pack(case.query, []))
    if packed:
        yield Problem("no chunks", f"expected none, got {len(packed)}")


@promised
def same_again(case: _Case) -> Iterator[Problem]:
    """The same chunks give the same context."""
    for packed in case.packed:
        if isinstance(packed.outcome, Exception):
            continue
        again = case.pack(deepcopy(packed.chunks))
        if again != packed.outcome:
            expected, got = ([chunk.id for chunk in context] for context in (packed.outcome, again))
            otherwise = ", shortened otherwise" * (expected == got)
            yield Problem(packed.at, f"expected {_few(expected)} again, got {_few(got)}{otherwise}")


@promised
def chunks_unchanged(case: _Case) -> Iterator[Problem]:
    """The list of chunks stays as it was, and so do the chunks with their metadata."""
    for packed in case.packed:
        before, now = ([chunk.id for chunk in chunks] for chunks in (packed.chunks, packed.given))
        if now != before:
            yield Problem(packed.at, f"expected the list as it was, {_few(before)}, got {_few(now)}")
        elif packed.given != packed.chunks:
            chunk, other = next(
                pair for pair in zip(packed.chunks, packed.given, strict=True) if pair[0] != pair[1]
            )
            yield Problem(
                packed.at,
                f"expected chunk {chunk.id!r} with metadata {dict(chunk.metadata)!r}, got it with "
                f"{dict(other.metadata)!r}",
            )


@promised
def within_budget(case: _Case) -> Iterator[Problem]:
    """The context takes no more than a declared budget, by the packer's own count."""
    budget = attempt(partial(budget_of, case.packer))
    if not isinstance(budget, int):
        return  # none is declared, or one that cannot be used
    for packed in case.packed:
        if isinstance(packed.outcome, Exception):
            continue
        taken = sum(token_counts(packed.outcome, case.packer, None) or ())
        if taken > budget:
            yield Problem(
                packed.at, f"expected at most {budget} tokens, got {taken} in {len(packed.outcome)} chunks"
            )


def _few(ids: Sequence[str]) -> str:
    return quote(", ".join(ids))


PACKER_PROMISES: tuple[Promise[_Case], ...] = (
    raises_nothing,
    valid_context,
    usable_budget,
    nothing_from_nothing,
    same_again,
    chunks_unchanged,
    within_budget,
)
