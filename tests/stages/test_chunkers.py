import json
import pickle
import re
import textwrap
import time
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise

import numpy as np
import pytest
import regex
from contracts_chunkers import SizedChunker, check_chunker, overlaps
from hypothesis import given, settings
from hypothesis import strategies as st
from test_tokens import tiny_encoding

from ragdiag.errors import ConfigError, StageError
from ragdiag.records import Document
from ragdiag.stages.chunkers import MarkdownChunker, RecursiveChunker, TokenChunker, sections
from ragdiag.stages.chunkers.graphemes import starts_grapheme
from ragdiag.stages.chunkers.sections import read_sections
from ragdiag.stages.protocols import Chunker
from ragdiag.stages.tokens import Tiktoken, TokenCounter

PROSE = (
    "A lease is the exclusive right to write one lane. It is granted by the leader, carries a number that "
    "only grows, and is lost when it is not renewed! Is that enough? Agents renew early, after 40 percent of "
    "the timeout; if no answer comes, they ask again.\n\nA new leader waits (for 20 seconds) before it "
    "grants anything. “Renewals are answered at once.” Stealing a lease raises the fence.\nThe old holder is "
    "told.\n\n"
) * 4
FAMILY, FLAG, ACCENTED = "👨\u200d👩\u200d👧\u200d👦", "🇩🇪", "e\u0301\u0323"
TEXTS = {
    "empty": "",
    "whitespace": " \t\r\n\u2003\u2029 ",
    "one character": "x",
    "prose": PROSE,
    "Thai": "ระบบจะต่ออายุสัญญาเช่าเมื่อเวลาผ่านไปร้อยละสี่สิบของเวลาหมดอายุแล้ว " * 20,
    "Thai without a space": "ระบบจะต่ออายุสัญญาเช่าเมื่อเวลาผ่านไป" * 30,
    "Chinese": "租约在超时后续订。如果没有答复，则每两秒重复一次！真的吗？「是的。」新领导者等待。" * 15,
    "Arabic": "هل تم تجديد العقد؟ نعم، يتم التجديد بعد مرور أربعين بالمئة من المهلة. " * 15,
    "families": FAMILY * 60,
    "flags": FLAG * 100,
    "combining marks": ACCENTED * 100 + " " + ACCENTED,
    "a mark on nothing": "\u0301 \u0301" + "\u0301" * 300,
    "CRLF": PROSE.replace("\n", "\r\n"),
    "CR": PROSE.replace("\n", "\r"),
    "lone surrogates": "broken \ud83d text \ude00, " * 40 + "\udc00" * 200,
    "one line of JSON": json.dumps([{"id": i, "tags": ["a"]} for i in range(60)], separators=(",", ":")),
    "one sentence again and again": "The lease is lost when it is not renewed. " * 40,
    "no spaces": "x" * 1500,
    "dots": "." * 700,
    "wide gaps": "a" + " " * 900 + "b\n" + "\n" * 500 + "c",
    "nulls and controls": "\x00\x01\x1b[31m\x85\u2028" * 60,
}
MARKDOWN = """\
---
title: The guide
---

Before any heading.

# Guide

## Limits

### Windows ###

At most two a day. {filler}

```bash
# not a heading
run --all

run --more
```

| plan | price |
|------|-------|
| free | none  |
| team | some  |
|------|-------|

Prices
======

~~~
## not a heading either
```
~~~

Twice
as long
---

The end.
"""


class WordPieces:
    """Counts as a BERT tokenizer does: two special tokens, words in pieces of four, long words as one."""

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [2 + sum(1 if len(w) > 50 else -(-len(w) // 4) for w in text.split()) for text in texts]

    def __repr__(self) -> str:
        return "WordPieces()"


class Swelling:
    """Counts more for a text than for its halves together."""

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text) + (len(text) // 10) ** 2 for text in texts]


class Erratic:
    """Counts in no order at all, but the same for the same text."""

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [1 + sum(map(ord, text)) * 31 % (1 + len(text)) for text in texts]


class DistinctWords:
    """Counts less for a text than for its halves together."""

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(set(text.split())) for text in texts]


UNITS: dict[str, str | TokenCounter] = {
    "characters": "characters",
    "byte pairs": Tiktoken(tiny_encoding()),
    "word pieces": WordPieces(),
    "swelling": Swelling(),
    "erratic": Erratic(),
    "distinct words": DistinctWords(),
    "cl100k": "cl100k_base",
    "o200k": "o200k_base",
}
MAKERS: dict[str, Callable[..., SizedChunker]] = {
    "recursive": RecursiveChunker,
    "markdown": MarkdownChunker,
    "token": TokenChunker,
}
pytestmark = pytest.mark.usefixtures("published")


@pytest.fixture(params=MAKERS)
def make(request: pytest.FixtureRequest) -> Callable[..., SizedChunker]:
    return MAKERS[request.param]


def ranges(chunker: Chunker, text: str) -> list[tuple[int, int]]:
    return [(c.spans[0].start, c.spans[0].end) for c in chunker.chunk(Document("d", text))]


def texts(chunker: Chunker, text: str) -> list[str]:
    return [chunk.text for chunk in chunker.chunk(Document("d", text))]


# The contract


@pytest.mark.parametrize("overlap", [0, 30])
@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("name", TEXTS)
def test_contract(make: Callable[..., SizedChunker], name: str, unit: str, overlap: int) -> None:
    check_chunker(make(100, overlap=overlap, unit=UNITS[unit]), Document(name, TEXTS[name]))


@settings(deadline=None, max_examples=150)
@given(
    text=st.lists(
        st.sampled_from(
            [
                *"ab.!? \n\r\t#`-=|，。？",
                "\r\n",
                "\n\n",
                "```",
                "# a",
                "|-|",
                FAMILY,
                FLAG,
                "\u0301",
                "\ud800",
            ]
        )
        | st.text(max_size=5),
        max_size=60,
    ).map("".join),
    unit=st.sampled_from(list(UNITS)),
    size=st.integers(12, 40),
    overlap=st.integers(0, 11),
    maker=st.sampled_from(list(MAKERS)),
)
def test_contract_of_any_text(text: str, unit: str, size: int, overlap: int, maker: str) -> None:
    check_chunker(MAKERS[maker](size, overlap=overlap, unit=UNITS[unit]), Document("d", text))


def test_the_metadata_of_the_document_reach_its_chunks(make: Callable[..., SizedChunker]) -> None:
    chunks = make(100).chunk(Document("d", PROSE, {"lang": "en"}))
    assert {chunk.metadata["lang"] for chunk in chunks} == {"en"}
    assert chunks[1].id.startswith("d#")


@pytest.mark.parametrize("name", ["empty", "whitespace"])
def test_a_document_without_text_has_no_chunks(make: Callable[..., SizedChunker], name: str) -> None:
    assert list(make(100).chunk(Document("d", TEXTS[name]))) == []


# Options


@pytest.mark.parametrize(
    ("size", "overlap", "problem"),
    [
        (0, 0, "size must be a whole number >= 1, got 0"),
        (-5, 0, "size .* got -5"),
        (1.5, 0, r"size .* got 1\.5"),
        (True, 0, "size .* got True"),
        (10, -1, "overlap must be a whole number >= 0, got -1"),
        (10, 10, "overlap must be smaller than size=10, got overlap=10"),
        (10, 11, "smaller"),
    ],
)
def test_limits_that_cannot_work_are_refused(
    make: Callable[..., SizedChunker], size: int, overlap: int, problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem):
        make(size, overlap=overlap)


def test_a_unit_that_cannot_count_is_refused_when_made(make: Callable[..., SizedChunker]) -> None:
    with pytest.raises(ConfigError, match="unit='words'"):
        make(10, unit="words")


@pytest.mark.parametrize("separators", ["\n", re.compile("a"), ["\n", ""], [3], [re.compile(b"a")]])
def test_separators_that_are_none_are_refused(separators: object) -> None:
    with pytest.raises(ConfigError, match="separators must"):
        RecursiveChunker(10, separators=separators)  # type: ignore[arg-type]


def test_options_show_in_the_repr() -> None:
    assert repr(RecursiveChunker()) == "RecursiveChunker(800, overlap=0, unit='characters')"
    own = RecursiveChunker(9, overlap=2, unit=WordPieces(), separators=["|"])
    assert repr(own) == "RecursiveChunker(9, overlap=2, unit=WordPieces(), separators=('|',))"
    assert repr(MarkdownChunker(9)) == "MarkdownChunker(9, overlap=0, unit='characters', heading_path=True)"


def test_chunkers_are_values(make: Callable[..., SizedChunker]) -> None:
    chunker = make(50, overlap=5)
    assert pickle.loads(pickle.dumps(chunker)) == chunker == make(50, overlap=5)  # noqa: S301
    assert hash(chunker) == hash(make(50, overlap=5))


@pytest.mark.parametrize(("unit", "text"), [(WordPieces(), "wood"), (Tiktoken(tiny_encoding()), "字")])
def test_a_size_below_one_character_is_named(
    make: Callable[..., SizedChunker], unit: TokenCounter, text: str
) -> None:
    with pytest.raises(
        ConfigError, match=r"size=2 is too small: in document 'd' the single character '.' \(U\+"
    ):
        make(2, unit=unit).chunk(Document("d", text))


def test_a_counter_that_changes_its_mind_is_named() -> None:
    class Growing:
        calls = 0

        def count_tokens(self, texts: Sequence[str]) -> list[int]:
            self.calls += 1
            return [len(text) + (200 if self.calls > 5 else 0) for text in texts]

    with pytest.raises(StageError, match="two different counts for the same text") as caught:
        RecursiveChunker(100, unit=Growing()).chunk(Document("d", PROSE))
    assert caught.value.where == "document 'd'"


# Where it cuts


def test_words_fill_lines_as_textwrap_fills_them() -> None:
    text = re.sub(r"[^\w\s]|\n", "", PROSE).replace("  ", " ")
    for size in (20, 33, 64):
        expected = textwrap.wrap(text, size, break_long_words=False)
        assert texts(RecursiveChunker(size), text) == expected


def test_tokens_fill_chunks_as_one_by_one_counting_does() -> None:
    by = Tiktoken(tiny_encoding())
    words = [w for w in re.split(r"\s+", re.sub(r"[^\w\s]", "", PROSE)) if w]
    expected = [words[0]]
    for word in words[1:]:
        longer = f"{expected[-1]} {word}"
        if by.count_tokens([longer])[0] <= 40:
            expected[-1] = longer
        else:
            expected.append(word)
    assert texts(RecursiveChunker(40, unit=by), " ".join(words)) == expected


def test_a_better_separator_is_preferred() -> None:
    text = "One, two three. Four five.\nSix seven eight.\n\nNine ten."
    assert texts(RecursiveChunker(45), text) == ["One, two three. Four five.\nSix seven eight.", "Nine ten."]
    assert texts(RecursiveChunker(30), text) == [
        "One, two three. Four five.",
        "Six seven eight.\n\nNine ten.",
    ]
    assert texts(RecursiveChunker(17), text) == [
        "One, two three.",
        "Four five.",
        "Six seven eight.",
        "Nine ten.",
    ]
    assert texts(RecursiveChunker(11), text)[:3] == ["One,", "two three.", "Four five."]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("他来了！！「好。」她走了。", ["他来了！！", "「好。」", "她走了。"]),
        ("هل؟ نعم.", ["هل؟", "نعم."]),
        ('He said "no." She left.', ['He said "no."', "She left."]),
        ("It is 3.5 now. Yes", ["It is 3.5 now.", "Yes"]),
        ("a\r\nb\r\n\r\nc\r\nd   \r\ne1", ["a\r\nb", "c\r\nd   \r\ne1"]),
        ('{"a":1,"b":2}', ['{"a":1,', '"b":2}']),
    ],
)
def test_sentences_of_many_languages_end(text: str, pieces: list[str]) -> None:
    assert texts(RecursiveChunker(max(map(len, pieces))), text) == pieces


def test_own_separators_are_strings_as_they_stand_or_patterns() -> None:
    assert texts(RecursiveChunker(4, separators=["."]), "ab.cd.ef") == ["ab.", "cd.", "ef"]
    assert texts(RecursiveChunker(4, separators=[re.compile(r"\d")]), "abc1de2f") == ["abc1", "de2f"]


def test_a_run_without_separators_is_cut_into_full_chunks() -> None:
    assert ranges(RecursiveChunker(100), "x" * 350) == [(0, 100), (100, 200), (200, 300), (300, 350)]


def test_offsets_are_those_of_the_piece_not_of_its_first_copy() -> None:
    sentence = "The lease is lost when it is not renewed. "
    assert ranges(RecursiveChunker(41), sentence * 50) == [(i * 42, i * 42 + 41) for i in range(50)]


def test_a_repair_leaves_chunks_as_full_as_counts_allow() -> None:
    by = Swelling()  # for which every estimate is too low
    text = "word " * 400
    chunks = RecursiveChunker(60, unit=by).chunk(Document("d", text))
    # Plans are shortened by 1, 2, 4 ... words, so more than half of what would fit is there.
    most = max(n for n in range(1, 20) if by.count_tokens([("word " * n).strip()])[0] <= 60)
    assert all(len(chunk.text.split()) > most / 2 for chunk in chunks[:-1])


# Overlap


@pytest.mark.parametrize("unit", ["characters", "byte pairs", "word pieces"])
def test_on_prose_every_chunk_shares_something_with_the_one_before(
    make: Callable[..., SizedChunker], unit: str
) -> None:
    chunks = check_chunker(make(200, overlap=40, unit=UNITS[unit]), Document("d", PROSE * 4))
    assert len(chunks) > 2
    assert min(overlaps(chunks)) > 0


@pytest.mark.parametrize(
    "sentence", ["The lease is lost when it is not renewed at an opportunity. ", "x" * 700]
)
def test_an_overlap_fits_beside_long_pieces_too(sentence: str) -> None:
    chunks = check_chunker(RecursiveChunker(70, overlap=20), Document("d", sentence * 10))
    assert min(overlaps(chunks)) > 0


def test_the_overlap_is_whole_pieces_and_as_many_as_fit() -> None:
    text = " ".join(f"w{i:03}" for i in range(200))  # four characters a word, and a space
    chunks = RecursiveChunker(24, overlap=12).chunk(Document("d", text))
    assert set(overlaps(list(chunks))) == {9}
    assert chunks[1].text == "w003 w004 w005 w006 w007"


def test_words_are_not_cut_for_the_sake_of_an_overlap() -> None:
    chunks = RecursiveChunker(30, overlap=25).chunk(
        Document("d", "considerably longer words everywhere " * 9)
    )
    words = {"considerably", "longer", "words", "everywhere"}
    assert {word for chunk in chunks for word in chunk.text.split()} == words


# Graphemes


def cut_places(chunker: Chunker, text: str) -> set[int]:
    return {place for pair in ranges(chunker, text) for place in pair}


@pytest.mark.parametrize(
    "text", [FAMILY * 40, FLAG * 90, ACCENTED * 90, "x" + FLAG * 90, "กำ" * 90, "क्षि" * 60]
)
def test_cuts_fall_between_graphemes(make: Callable[..., SizedChunker], text: str) -> None:
    whole = {0, *accumulate(len(match.group()) for match in regex.finditer(r"\X", text))}
    for unit, sizes in (("characters", (16, 17, 18, 19)), ("cl100k_base", (40, 41, 42))):
        for size in sizes:
            assert cut_places(make(size, unit=unit), text) <= whole


def test_own_separators_do_not_cut_graphemes() -> None:
    assert cut_places(RecursiveChunker(4, separators=["e"]), "abe\u0301cde\u0301") & {3, 7} == set()


def test_a_grapheme_longer_than_the_size_is_cut_between_its_code_points() -> None:
    chunks = RecursiveChunker(3).chunk(Document("d", FAMILY))
    assert "".join(chunk.text for chunk in chunks) == FAMILY
    assert len(chunks) == 3


def grapheme_starts(text: str) -> list[int]:
    return [0, *(i for i in range(1, len(text)) if starts_grapheme(text, i))]


def test_a_line_end_begins_no_grapheme_of_marks() -> None:
    assert grapheme_starts("a\r\n\u0301\u0301b") == [0, 1, 3, 5]


@settings(deadline=None, max_examples=300)
@given(
    st.text(
        st.sampled_from(
            "ab \r\n\t\u0301\u200d\u200c🇩🇪👨👩🏽♀️❤\u0e33\u0eb3กक\u094dषि한각\uff9eカ\u0000\u00ad\ud800"
        )
        | st.characters(),
        max_size=20,
    )
)
def test_no_start_is_seen_inside_a_grapheme_of_the_standard(text: str) -> None:
    standard = np.zeros(len(text) + 1, dtype=np.bool_)
    standard[[0, *accumulate(len(match.group()) for match in regex.finditer(r"\X", text))]] = True
    # Prepended marks, of which regex knows and the categories do not tell, are left out.
    prepended = regex.compile(r"\p{GCB=Prepend}|\p{InCB=Linker}|\p{GCB=L}")
    for place in grapheme_starts(text):
        assert standard[place] or prepended.match(text[place - 1])


def test_ordinary_text_is_seen_as_the_standard_sees_it() -> None:
    text = "".join(
        TEXTS[name] for name in ("prose", "Chinese", "Thai", "Arabic", "families", "flags", "CRLF")
    )
    lengths = [len(match.group()) for match in regex.finditer(r"\X", text)]
    assert grapheme_starts(text) == [0, *accumulate(lengths)][:-1]


# Speed: processor time, with room for slow machines; what is quadratic would take minutes


@pytest.mark.parametrize("unit", ["characters", "cl100k"])
@pytest.mark.parametrize(
    "text",
    [
        PROSE * 400,
        PROSE.replace("\n", " ") * 150,
        json.dumps([{"id": i, "tags": ["a", "b"]} for i in range(5000)], separators=(",", ":")),
        "x" * 200_000,
        "." * 200_000,
        "字" * 200_000,
        FLAG * 100_000,
        "a" + "\u0301" * 30_000,
        " " * 200_000 + "a" + "\n " * 100_000,
        "The lease is lost when it is not renewed. " * 600,
        "# a\n" * 10_000,
        "```\n" * 50_001,
        "- " + " " * 200_000 + "x",
        "# " + "h" * 100_000 + "\n\ntext\n" + "## b\n\ntext\n" * 3000,
        "|" * 50_000 + "\n" + "|-" * 50_000,
        "a\n" * 40_000 + "---",
        "---\nkey: value\n" * 10_000,
    ],
    ids=lambda text: f"{text[:12]!r}...",
)
def test_time_is_about_linear(make: Callable[..., SizedChunker], text: str, unit: str) -> None:
    started = time.process_time()
    make(800, overlap=80, unit=UNITS[unit]).chunk(Document("d", text))
    assert time.process_time() - started < 12


def test_counts_are_asked_for_in_batches(make: Callable[..., SizedChunker]) -> None:
    class Asked:
        calls = 0

        def count_tokens(self, texts: Sequence[str]) -> list[int]:
            self.calls += 1
            return [len(text) for text in texts]

    by = Asked()
    text = "# A heading that is long, but not too long\n\n" + PROSE * 50
    assert len(make(100, overlap=20, unit=by).chunk(Document("d", text))) > 1000
    assert by.calls < 60


def test_an_embedder_counts_for_its_chunker() -> None:
    pytest.importorskip("wordllama")
    from ragdiag.stages.embedders import StaticEmbedder

    chunks = check_chunker(RecursiveChunker(60, overlap=12, unit=StaticEmbedder()), Document("d", PROSE))
    assert len(chunks) > 5
    assert min(overlaps(chunks)) > 0


# Markdown


def headings(text: str) -> list[tuple[str, ...]]:
    return [section.path for section in read_sections(text)]


def test_sections_stand_under_their_headings() -> None:
    assert headings(MARKDOWN) == [
        (),
        ("Guide", "Limits", "Windows"),
        ("Prices",),
        ("Prices", "Twice as long"),
    ]


def test_a_chunk_tells_the_headings_above_it() -> None:
    chunks = check_chunker(MarkdownChunker(300), Document("guide", MARKDOWN))
    windows = [c for c in chunks if c.metadata["headings"] == ("Guide", "Limits", "Windows")]
    assert windows[0].text.startswith("# Guide\n\n## Limits\n\n### Windows ###\n\nAt most two")
    assert all(c.index_text == "Guide > Limits > Windows\n" + c.text for c in windows)
    assert chunks[0].metadata["headings"] == ()
    assert chunks[0].index_text == chunks[0].text
    assert chunks[0].text.startswith("---\ntitle")


def test_without_the_path_the_text_itself_is_embedded() -> None:
    chunks = check_chunker(MarkdownChunker(300, heading_path=False), Document("guide", MARKDOWN))
    assert all(chunk.index_text == chunk.text for chunk in chunks)
    assert chunks[1].metadata["headings"] == ("Guide", "Limits", "Windows")


def test_code_and_tables_that_fit_are_kept_whole() -> None:
    text = MARKDOWN.replace("{filler}", "Nothing more is said here, but it is said at some length. " * 3)
    code = "```bash\n# not a heading\nrun --all\n\nrun --more\n```"
    table = "| plan | price |\n|------|-------|\n| free | none  |\n| team | some  |\n|------|-------|"
    for size in range(len(table) + 25, 400, 7):
        for overlap in (0, 50):
            found = texts(MarkdownChunker(size, overlap=overlap), text)
            assert any(code in chunk for chunk in found)
            assert any(table in chunk for chunk in found)


def test_a_table_is_kept_whole_behind_the_paragraph_that_introduces_it() -> None:
    rows = "| a | b |\n|---|---|\n" + "| 1 | 2 |\n" * 5
    text = "A paragraph without a blank line behind it.\n" + rows
    assert texts(MarkdownChunker(80), text) == ["A paragraph without a blank line behind it.", rows.strip()]


def test_a_table_that_does_not_fit_is_cut_between_rows() -> None:
    rows = ["| name | value |", "|---|---|", *(f"| row {i} | {i * 11} |" for i in range(40))]
    lines = [line for chunk in texts(MarkdownChunker(100), "\n".join(rows)) for line in chunk.splitlines()]
    assert lines == rows


def test_code_that_does_not_fit_is_cut_between_lines() -> None:
    lines = ["```python", *(f"value_{i} = compute({i}, {i + 1})" for i in range(40)), "```"]
    found = texts(MarkdownChunker(100), "\n".join(lines))
    assert [line for chunk in found for line in chunk.splitlines()] == lines


def test_small_blocks_of_a_section_are_put_together() -> None:
    text = "# One\n\n" + "A short paragraph.\n\n" * 10 + "# Two\n\nLast."
    found = texts(MarkdownChunker(70, heading_path=False), text)
    assert found[0] == "# One" + "\n\nA short paragraph." * 3
    assert found[-1] == "# Two\n\nLast."


@pytest.mark.parametrize(
    ("size", "prefix"),
    [(100, "Guide > Limits > Windows\n"), (49, "Limits > Windows\n"), (33, "Windows\n"), (15, "")],
)
def test_a_path_above_half_of_the_size_loses_its_outermost_headings(size: int, prefix: str) -> None:
    text = "# Guide\n## Limits\n### Windows\n\n" + "At most two of them a day. " * 10
    chunks = check_chunker(MarkdownChunker(size), Document("d", text))
    assert {chunk.index_text.removesuffix(chunk.text) for chunk in chunks} == {prefix}
    assert {chunk.metadata["headings"] for chunk in chunks} == {("Guide", "Limits", "Windows")}


def test_a_heading_above_half_of_the_size_ends_the_path_above_it() -> None:
    text = f"# Guide\n## {'long ' * 30}\n### Windows\n\n" + "At most two of them a day. " * 10
    chunks = check_chunker(MarkdownChunker(100), Document("d", text))
    assert {chunk.index_text.removesuffix(chunk.text) for chunk in chunks} == {"Windows\n"}


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("#Tag\n#\n####### seven", [(), ()]),
        ("    # code\n\n# C# #\n\\# escaped", [(), ("C#",)]),
        ("# A\n### C\n## B\nx", [("A", "C"), ("A", "B")]),
        ("## B\n# A\nx", [("B",), ("A",)]),
        ("# Same\n# Same\n", [("Same",), ("Same",)]),
        ("- item\n---\n> quote\n===\n", [()]),
        ("Title\r\n===\r\nx\r\rNext\r---\r", [("Title",), ("Title", "Next")]),
        ("***\nTitle\n---\n", [(), ("Title",)]),
        ("    code\nTitle\n---\n", [(), ("Title",)]),
        ("a | b\n---\n", [("a | b",)]),
        ("```\n# never closed", [()]),
        ("````\n```\n# inside\n````\n# B", [(), ("B",)]),
        ("``` `x`\n# B", [(), ("B",)]),
        ("~~~ `x`\n    ~~~\n# inside\n~~~ x\n# inside\n~~~\n# B", [(), ("B",)]),
        ("---\nkey: value\n# comment\n...\n# B", [(), ("B",)]),
        ("---\n\nTitle\n---\n", [(), ("Title",)]),
        ("---\nkey: value\n", [()]),
        ("---", [()]),
        ("| a |\n| - |\n| 1 |\n# B", [(), ("B",)]),
    ],
)
def test_headings_are_those_of_commonmark(text: str, paths: list[tuple[str, ...]]) -> None:
    assert headings(text) == paths


LINES = """\

text
more  text
# One
## Two ##
   ### Three
#
#no
===
---
  --
***
- - -
```
~~~~
````
~~~
    indented
| a | b |
|---|---|
x \\# y"""


@settings(deadline=None, max_examples=200)
@given(st.lists(st.sampled_from(LINES.split("\n")), max_size=25))
def test_headings_are_those_that_a_commonmark_parser_finds(lines: list[str]) -> None:
    markdown_it = pytest.importorskip("markdown_it")
    tokens = markdown_it.MarkdownIt("commonmark").enable("table").parse("\n".join(["first", "", *lines]))
    expected = [
        (int(opening.tag[1]), " ".join(inline.content.split()))
        for opening, inline in pairwise(tokens)
        if opening.type == "heading_open"
    ]
    blocks = sections._read_blocks("\n".join(["first", "", *lines]))
    assert [(block.level, block.title) for block in blocks if block.level] == expected
