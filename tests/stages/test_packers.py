from __future__ import annotations

import pickle
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pytest
import tiktoken
from contracts_retrievers import check_packer
from hypothesis import given
from hypothesis import strategies as st
from whole_documents import chunks_of

from ragdiag.errors import ConfigError, StageError
from ragdiag.records import Chunk, Document, Span
from ragdiag.stages.packers import TokenBudget, TopK
from ragdiag.stages.protocols import budget_of

Overflow = Literal["skip", "stop", "truncate"]


@dataclass(frozen=True)
class Words:
    """Counts words, and each line break as one."""

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(re.findall(r"\w+|\n", text)) for text in texts]


# A real byte pair encoding of a few merges, which needs no download.
BYTE_PAIRS = tiktoken.Encoding(
    "tiny",
    pat_str=r" ?\w+|\s+|[^\s\w]+",
    mergeable_ranks={
        **{bytes([i]): i for i in range(256)},
        **{
            pair: 256 + i
            for i, pair in enumerate([b"th", b"in", b"the", b" t", b"er", b" w", b"an", b"\n\n"])
        },
    },
    special_tokens={},
)


@dataclass(frozen=True)
class BytePairs:
    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(BYTE_PAIRS.encode_ordinary(text)) for text in texts]


def ids(chunks: Sequence[Chunk]) -> list[str]:
    return [chunk.id.split("#")[0] for chunk in chunks]


def test_top_k_cuts() -> None:
    documents, chunks = chunks_of("one", "two", "three")
    for k in (1, 2, 5):
        check_packer(TopK(k), documents, chunks)
        assert TopK(k).pack("?", chunks) == chunks[:k]
    assert budget_of(TopK(2)) is None
    with pytest.raises(ConfigError, match=r"TopK\.k must be at least 1, got 0"):
        TopK(0)


texts = st.lists(st.text("ab\u0301 \n\r.漢👩\u200d", min_size=1, max_size=30).filter(str.strip), max_size=6)


@given(
    texts=texts,
    room=st.integers(1, 60),
    counter=st.sampled_from(["characters", Words(), BytePairs()]),
    overflow=st.sampled_from(["skip", "stop", "truncate"]),
    separator=st.sampled_from(["", "\n\n", "\n---\n"]),
)
def test_contract(texts: list[str], room: int, counter: Any, overflow: Overflow, separator: str) -> None:
    documents, chunks = chunks_of(*texts)
    packer = TokenBudget(room, counter=counter, overflow=overflow, separator=separator)
    assert packer.budget == room
    check_packer(packer, documents, chunks)


def test_what_else_stands_in_the_window_is_subtracted() -> None:
    packer = TokenBudget(
        100,
        counter=Words(),
        system_prompt="Answer from the context",  # 4
        history=["hello there", "hi"],  # 3
        tool_results=("42 degrees",),  # 2
        reserve=50,
    )
    assert packer.budget == budget_of(packer) == 41
    assert packer.tokens(chunks_of("three words here")[1][0]) == 3 + 2  # the separator is two line breaks


def test_nothing_left_shows_the_arithmetic() -> None:
    with pytest.raises(ConfigError) as caught:
        TokenBudget(
            10, counter=Words(), system_prompt="a b c", history=["d", "e"], tool_results=["f"], reserve=4
        )
    assert (
        "10 (max_tokens) - 3 (system prompt) - 2 (history) - 1 (tool results) - 4 (reserve) = 0; "
        "it must be greater than 0" in str(caught.value)
    )


def test_overflow_decides_what_follows_a_chunk_that_does_not_fit() -> None:
    _, chunks = chunks_of("a b c", "d e f g h", "i")
    packed = {
        overflow: [chunk.text for chunk in packer.pack("?", chunks)]
        for overflow in ("skip", "stop", "truncate")
        for packer in [TokenBudget(6, counter=Words(), separator="", overflow=overflow)]
    }
    assert packed == {"skip": ["a b c", "i"], "stop": ["a b c"], "truncate": ["a b c", "d e f"]}


def test_what_fits_exactly_stays() -> None:
    _, chunks = chunks_of("a b c", "d e f")
    assert ids(TokenBudget(10, counter=Words()).pack("?", chunks)) == ["d0", "d1"]
    assert ids(TokenBudget(9, counter=Words()).pack("?", chunks)) == ["d0"]


@pytest.mark.parametrize(
    ("text", "room", "kept"),
    [
        ("alpha beta gamma", 13, "alpha beta"),
        ("alpha beta gamma", 10, "alpha beta"),
        ("alpha beta gamma", 9, "alpha"),
        ("alpha beta gamma", 3, "alp"),
        ("alpha\r\nbeta", 6, "alpha"),
        ("alpha  beta", 7, "alpha"),
        ("見出し 日本語には空白がない文章", 10, "見出し 日本語には空"),
        ("見出し 日本語", 6, "見出し"),
        ("e\u0301e\u0301", 3, "e\u0301"),
        ("👩\u200d🔬👩", 2, ""),
        ("  alpha", 2, ""),
        ("   ab", 4, "   a"),
    ],
)
def test_a_shortened_chunk_ends_where_a_reader_would_end_it(text: str, room: int, kept: str) -> None:
    documents, chunks = chunks_of(text)
    packer = TokenBudget(room, separator="", overflow="truncate")
    check_packer(packer, documents, chunks)
    assert [chunk.text for chunk in packer.pack("?", chunks)] == ([kept] if kept else [])


@given(
    text=st.text("abc \n漢", min_size=2, max_size=40).filter(str.strip),
    room=st.integers(1, 30),
    counter=st.sampled_from(["characters", Words(), BytePairs()]),
)
def test_no_longer_beginning_fits(text: str, room: int, counter: Any) -> None:
    _, chunks = chunks_of(text)
    packer = TokenBudget(room, counter=counter, overflow="truncate", separator="|")
    packed = packer.pack("?", chunks)

    def fits(end: int) -> bool:
        [tokens] = packer._counter.count_tokens([text[:end] + "|"])
        return tokens <= room

    if packer.tokens(chunks[0]) <= room:
        assert packed == chunks
        return
    # Every end that fits, tried one by one; these counters never count less for more text.
    ends = [end for end in range(1, len(text)) if not text[end - 1].isspace() and fits(end)]
    words = [end for end in ends if text[end].isspace()]
    longest, at_word = max(ends, default=0), max(words, default=0)
    expected = at_word if 2 * at_word >= longest else longest
    assert [chunk.text for chunk in packed] == ([text[:expected]] if expected else [])


@pytest.mark.parametrize(
    ("room", "text", "spans"),
    [
        (25, "first part\nthe second\nend", [(0, 10), (20, 30), (35, 38)]),
        (24, "first part\nthe second", [(0, 10), (20, 30)]),
        (21, "first part\nthe second", [(0, 10), (20, 30)]),
        (20, "first part\nthe", [(0, 10), (20, 23)]),
        (13, "first part", [(0, 10)]),
        (9, "first", [(0, 5)]),
    ],
)
def test_spans_are_shortened_with_the_text(room: int, text: str, spans: list[tuple[int, int]]) -> None:
    document = Document("d", "first part----------the second-----end of it")
    chunk = Chunk.of(document, (0, 10), (20, 30), (35, 44), index_text="Heading: first part")
    packer = TokenBudget(room, separator="", overflow="truncate")
    check_packer(packer, {"d": document}, [chunk])
    [packed] = packer.pack("?", [chunk])
    assert (packed.id, packed.text) == (chunk.id, text)
    assert packed.spans == tuple(Span("d", start, end) for start, end in spans)
    assert packed.index_text == "Heading: first part"


def test_a_text_with_other_whitespace_of_the_same_length_can_be_shortened() -> None:
    chunk = Chunk("c", (Span("d", 3, 8), Span("d", 20, 25)), "alpha bravo")
    [packed] = TokenBudget(9, separator="", overflow="truncate").pack("?", [chunk])
    assert (packed.text, packed.spans) == ("alpha", (Span("d", 3, 8),))


@pytest.mark.parametrize(
    "chunk",
    [
        Chunk("c", (Span("d", 0, 13),), "alpha bravo"),
        Chunk("c", (Span("d", 0, 5), Span("d", 8, 13)), "alpha-bravo"),
        Chunk("c", (Span("d", 0, 5), Span("d", 8, 14)), "alpha bravo"),
    ],
    ids=["collapsed", "joined by a hyphen", "shorter"],
)
def test_a_text_that_its_spans_do_not_spell_cannot_be_shortened(chunk: Chunk) -> None:
    with pytest.raises(StageError, match=r"chunk 'c': it cannot be shortened.*overflow='skip'"):
        TokenBudget(8, separator="", overflow="truncate").pack("?", [chunk])
    assert TokenBudget(8, separator="", overflow="skip").pack("?", [chunk]) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"overflow": "cut"}, "overflow.*'cut'"),
        ({"reserve": -1}, "reserve.*-1"),
        ({"history": "one message"}, "history must be a sequence"),
        ({"tool_results": "one result"}, "tool_results must be a sequence"),
        ({"counter": "no-such-model"}, "no-such-model"),
    ],
)
def test_options_that_cannot_work(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TokenBudget(100, **options)


def test_the_recipe_prints_its_options_and_can_be_pickled() -> None:
    packer = TokenBudget(100, counter=Words(), history=["hi"], reserve=5)
    assert repr(packer) == (
        "TokenBudget(max_tokens=100, counter=Words(), system_prompt='', history=('hi',), tool_results=(), "
        "reserve=5, separator='\\n\\n', overflow='skip')"
    )
    copy = pickle.loads(pickle.dumps(packer))  # noqa: S301  # our own bytes
    assert copy == packer
    assert copy.budget == 94
