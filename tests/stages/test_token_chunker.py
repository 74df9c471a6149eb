from itertools import pairwise

import pytest
import tiktoken
from contracts_chunkers import check_chunker, overlaps
from test_chunkers import PROSE, TEXTS, WordPieces

from ragdiag.records import Document
from ragdiag.stages.chunkers import RecursiveChunker, TokenChunker

pytestmark = pytest.mark.usefixtures("published")


def windows(text: str, size: int, overlap: int) -> list[str]:
    """The plain windows over the tokens of a text, decoded one by one."""
    codec = tiktoken.get_encoding("cl100k_base")
    tokens = codec.encode_ordinary(text)
    starts = range(0, max(len(tokens) - overlap, 1), size - overlap)
    return [codec.decode(tokens[start : start + size]).strip() for start in starts]


def texts(chunker: TokenChunker, text: str) -> list[str]:
    return [chunk.text for chunk in chunker.chunk(Document("d", text))]


@pytest.mark.parametrize(("size", "overlap"), [(16, 0), (20, 10), (50, 49), (5, 1)])
def test_windows_are_those_of_the_tokens_where_no_edge_counts_more(size: int, overlap: int) -> None:
    # Words that are one token with a space before them and without one: no edge changes a count.
    text = "the house is in the city and the river is near " * 12
    assert texts(TokenChunker(size, overlap=overlap), text) == windows(text.strip(), size, overlap)


@pytest.mark.parametrize("overlap", [0, 7])
def test_windows_are_as_full_as_recounting_allows(overlap: int) -> None:
    codec = tiktoken.get_encoding("cl100k_base")
    chunks = check_chunker(TokenChunker(20, overlap=overlap), Document("d", PROSE))
    counts = [len(codec.encode_ordinary(chunk.text)) for chunk in chunks]
    assert max(counts) == 20
    assert min(counts[:-1]) >= 18
    shared = [
        len(codec.encode_ordinary(PROSE[b.spans[0].start : a.spans[0].end].strip()))
        for a, b in pairwise(chunks)
    ]
    assert max(shared) == overlap
    assert min(shared) >= overlap - 2


def test_an_overlap_that_would_not_lead_further_is_given_up() -> None:
    # All tokens but one are shared, and what follows takes more than one token.
    text = "a b c \U0001f9ff\U0001f9ff\U0001f9ff d e f"
    chunks = check_chunker(TokenChunker(4, overlap=3), Document("d", text))
    assert chunks[-1].text.endswith("f")


def test_a_cut_may_fall_inside_a_word_but_never_inside_a_grapheme() -> None:
    assert texts(TokenChunker(2), "antidisestablishmentarianism") == ["antidis", "establishment", "arianism"]
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
    assert texts(TokenChunker(20), f"{family}{family}{family}") == [family] * 3


def test_a_grapheme_that_does_not_fit_is_cut_and_nothing_is_lost() -> None:
    text = "word a" + "\u0301" * 500 + " word"
    chunks = check_chunker(TokenChunker(10, overlap=3), Document("d", text))
    assert len(chunks) > 50


def test_with_any_other_unit_windows_end_after_words() -> None:
    for unit in ("characters", WordPieces()):
        chunker = TokenChunker(30, overlap=8, unit=unit)
        words = RecursiveChunker(30, overlap=8, unit=unit, separators=[" ", "\n"])
        chunks = check_chunker(chunker, Document("d", TEXTS["prose"]))
        assert min(overlaps(chunks)) > 0
        assert len(chunks) == len(words.chunk(Document("d", TEXTS["prose"])))


def test_options_show_in_the_repr() -> None:
    assert repr(TokenChunker(64, overlap=8)) == "TokenChunker(64, overlap=8, unit='cl100k_base')"
