"""The promises of a chunker: each is broken by one that is wrong in one way, and the message says so."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from broken_promises import (
    Row,
    broken_by,
    check_broken,
    check_complete,
    each_row,
    encodes,
    names,
)
from contracts_embedders import static
from plugs import AnyChunker, LineChunker, WholeChunker

from ragdiag import testing
from ragdiag.errors import ConfigError
from ragdiag.records import Chunk, Document
from ragdiag.stages.chunkers import MarkdownChunker, RecursiveChunker
from ragdiag.stages.protocols import Chunker


@dataclass(frozen=True)
class Windows:
    """Every ``step`` characters a chunk of ``length``; says nothing of size and overlap."""

    length: int
    step: int

    def chunk(self, document: Document) -> list[Chunk]:
        text = document.text
        last = max(1, len(text) - (self.length - self.step))
        starts = range(0, last, self.step) if text else ()
        return [Chunk.of(document, (start, min(start + self.length, len(text)))) for start in starts]


@dataclass(frozen=True)
class SaysItsLimits(Windows):
    size: int = 10
    overlap: int = 3
    unit: str = "characters"


@dataclass(frozen=True)
class BitsAndTheirLines:
    """Twenty characters are searched; their line is delivered. The size is that of what is searched."""

    size: int = 20
    overlap: int = 0
    unit: str = "characters"

    def chunk(self, document: Document) -> list[Chunk]:
        return [
            replace(line, id=f"{line.id}/{at}", index_text=line.text[at : at + 20])
            for line in LineChunker().chunk(document)
            for at in range(0, len(line.text), 20)
        ]


def lines(document: Document, change: Callable[[Chunk], Chunk]) -> list[Chunk]:
    return [change(chunk) for chunk in LineChunker().chunk(document)]


def forgets_metadata(document: Document) -> list[Chunk]:
    return LineChunker().chunk(Document(document.id, document.text))


def marks_the_document(document: Document) -> list[Chunk]:
    document.metadata["seen"] = True  # type: ignore[index]
    return LineChunker().chunk(document)


def numbered() -> Callable[[Document], list[Chunk]]:
    number = itertools.count()
    return lambda document: lines(document, lambda chunk: replace(chunk, id=f"chunk {next(number)}"))


@pytest.mark.parametrize(
    "chunker",
    [
        RecursiveChunker(80, overlap=20),
        RecursiveChunker(3),
        MarkdownChunker(120, overlap=30),
        RecursiveChunker(40, unit=static()),
        LineChunker(),
        WholeChunker(),
        Windows(50, 30),
    ],
    ids=lambda value: type(value).__name__,
)
def test_chunkers_that_keep_their_promises(chunker: Chunker) -> None:
    testing.check_chunker(chunker)


BROKEN: list[Row] = [
    (
        AnyChunker(encodes),
        {"raises_nothing"},
        ["document 'lone surrogates' 'broken \\ud83d text", "got UnicodeEncodeError: 'utf-8' codec can't"],
    ),
    (
        AnyChunker(lambda d: lines(d, lambda c: replace(c, text=c.text.upper()))),
        {"valid_chunks"},
        ["document 'one character' 'x'", "expected 'x', got 'X'", "more like this"],
    ),
    (
        AnyChunker(lambda d: [replace(c, id=f"chunk {i}") for i, c in enumerate(LineChunker().chunk(d))]),
        {"ids_across_documents"},
        ["document 'prose'", "got 'chunk 0', which stands for a chunk of document 'one character'"],
    ),
    (AnyChunker(numbered()), {"same_again"}, ["Chunk(id='chunk 0'", "again, got"]),
    (
        AnyChunker(marks_the_document),
        {"document_unchanged"},
        ["expected metadata {'lang': 'en', 'tags': ['hostile', 'empty']}, got", "'seen': True"],
    ),
    (
        AnyChunker(forgets_metadata),
        {"carries_metadata"},
        ["expected the key 'lang' in chunk 'one char", "[]"],
    ),
    (
        AnyChunker(lambda d: LineChunker().chunk(d)[:-1]),
        {"keeps_all_text"},
        ["expected all characters, got chunks without 1 of them, the first at 0: 'x'"],
    ),
    (
        AnyChunker(lambda d: LineChunker().chunk(d)[::-1]),
        {"in_order"},
        ["document 'prose'", "expected a start of at least "],
    ),
    (
        SaysItsLimits(12, 9),
        {"within_size"},
        ["expected at most 10, got 12 for 'Goods may be'"],
    ),
    (
        SaysItsLimits(10, 5),
        {"within_overlap"},
        ["expected at most 3, got 5 for ' may '"],
    ),
]


@each_row(BROKEN)
def test_broken_chunkers(plug: Any, broken: set[str], says: Sequence[str]) -> None:
    check_broken(lambda: testing.check_chunker(plug), broken, says)


def test_every_promise_is_broken_once() -> None:
    check_complete("chunker", BROKEN)


def test_another_number_of_chunks_and_a_raise_the_second_time_are_told() -> None:
    seen: set[str] = set()

    def cuts_once(document: Document) -> list[Chunk]:
        if document.id in seen:
            raise RuntimeError("no more")
        seen.add(document.id)
        return WholeChunker().chunk(document)

    error = broken_by(lambda: testing.check_chunker(AnyChunker(cuts_once)))
    assert "same_again (promised): The same document gives the same chunks." in str(error)
    assert "got RuntimeError: no more (raised by the chunker AnyChunker, document 'empty')" in str(error)

    counts = itertools.count(1)
    document = Document("d", "one\ntwo\nthree")
    growing = AnyChunker(lambda d: LineChunker().chunk(d)[: next(counts)])
    error = broken_by(lambda: testing.check_chunker(growing, [document], without=["keeps_all_text"]))
    assert names(error) == {"same_again"}
    assert "document 'd' 'one\\ntwo\\nthree': expected 1 chunks again, got 2" in str(error)


def test_limits_are_looked_at_where_given_or_declared_in_a_known_unit() -> None:
    class SizeOfSomething(Windows):
        size = 3  # of what, it does not say

    testing.check_chunker(SizeOfSomething(10, 10))
    assert names(broken_by(lambda: testing.check_chunker(SizeOfSomething(10, 10), unit="characters"))) == {
        "within_size"
    }
    assert names(broken_by(lambda: testing.check_chunker(Windows(10, 10), size=9))) == {"within_size"}
    assert names(broken_by(lambda: testing.check_chunker(Windows(10, 6), overlap=3))) == {"within_overlap"}
    testing.check_chunker(Windows(10, 6), size=10, overlap=4)
    testing.check_chunker(SaysItsLimits(20, 10), size=None, overlap=None)
    testing.check_chunker(SaysItsLimits(20, 10), size=20, overlap=10)
    with pytest.raises(ConfigError, match=r"size must be a whole number, 'declared' or None, got 1\.5"):
        testing.check_chunker(Windows(10, 10), size=1.5)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="unit='words'"):
        testing.check_chunker(SaysItsLimits(10, 10, unit="words"))


def test_tokens_are_counted_by_the_unit_itself() -> None:
    class Words:
        def count_tokens(self, texts: Sequence[str]) -> list[int]:
            return [len(text.split()) for text in texts]

    document = Document("d", "one two three four five")
    testing.check_chunker(WholeChunker(), [document], size=5, unit=Words())
    error = broken_by(lambda: testing.check_chunker(WholeChunker(), [document], size=4, unit=Words()))
    assert "expected at most 4, got 5 for 'one two three four five'" in str(error)


def test_text_that_is_repeated_on_purpose() -> None:
    error = broken_by(lambda: testing.check_chunker(BitsAndTheirLines()))
    assert names(error) == {"in_order", "within_size", "within_overlap"}
    assert "expected a later start and end than 0-155, got 0-155; text that is repeated on" in str(error)
    testing.check_chunker(BitsAndTheirLines(), repeats_text=True)
    nested = AnyChunker(lambda d: [*WholeChunker().chunk(d), *LineChunker().chunk(d)[1:]])
    assert names(broken_by(lambda: testing.check_chunker(nested))) == {"in_order"}
    testing.check_chunker(nested, repeats_text=True)
    backwards = AnyChunker(lambda d: BitsAndTheirLines().chunk(d)[::-1])
    error = broken_by(lambda: testing.check_chunker(backwards, repeats_text=True))
    assert names(error) == {"in_order"}
    assert "expected a start of at least" in str(error)
    too_long = BitsAndTheirLines(size=19)
    assert names(broken_by(lambda: testing.check_chunker(too_long, repeats_text=True))) == {"within_size"}


def test_chunks_of_several_spans_share_what_both_deliver() -> None:
    document = Document("d", "abcdefghij")
    cuts = AnyChunker(lambda d: [Chunk.of(d, (0, 3), (5, 7)), Chunk.of(d, (1, 2), (3, 10))])
    testing.check_chunker(cuts, [document], overlap=4)
    error = broken_by(lambda: testing.check_chunker(cuts, [document], overlap=3))
    assert "expected at most 3, got 4 for 'b\\nfg'" in str(error)
