import json
import pickle
import random
import re
import textwrap
import time
from collections.abc import Callable, Iterable

import pytest
from contracts_chunkers import check_chunker, overlaps
from hypothesis import given, settings
from hypothesis import strategies as st
from test_chunkers import FAMILY, FLAG, PROSE, TEXTS, UNITS, WordPieces

from ragdiag import testing
from ragdiag.errors import ConfigError, StageError
from ragdiag.records import Document
from ragdiag.stages.chunkers import RecursiveChunker, SentenceChunker
from ragdiag.stages.chunkers.sentences import find_sentences

pytestmark = pytest.mark.usefixtures("published")

SENTENCES = (
    "Dr. Ng and Prof. A. B. Li met at 5 p.m. in the U.S. capital.",
    "Did it cost $3.50, i.e. less than No. 5 did?",
    "“It did!” she said.",
    "(See Fig. 3 and cf. Smith et al. for more.)",
    "Others, e.g. J. Doe, waited... and waited.",
    "The end of the line was reached by noon.",
)


def found(text: str) -> list[str]:
    return [text[start:end] for start, end in find_sentences(text)]


def texts(chunker: SentenceChunker, text: str) -> list[str]:
    return [chunk.text for chunk in chunker.chunk(Document("d", text))]


# Where sentences end: each line of an example is one sentence


@pytest.mark.parametrize(
    "example",
    [
        " ¦ ".join(SENTENCES),
        "He moved to the U.S. in May. ¦ The U.S. Army followed. ¦ It left the U.S. ¦ Then it came back.",
        "Apple Inc. grew. ¦ So did Acme Inc. ¦ The rest, Foo Ltd. among them, did not.",
        "Buy milk, eggs, etc. and go. ¦ Bring a bag etc. ¦ It helps.",
        "No. 5 is alive. ¦ Is it? ¦ No. ¦ Yes. ¦ See pp. 3-9 and vol. 2.",
        "It holds 3.5 l. of water, v. 2.0 says so. ¦ In 1999. ¦ Nobody knew.",
        "He left... ¦ She came… and stayed. ¦ “Why?” ¦ “Because!” he cried. ¦ 'So.' ¦ Fine.",
        "The claim is old.[12] ¦ It was made twice.[citation needed] ¦ Nobody checked.:12–14 ¦ Why?",
        "1. Open the box. ¦ 2. Look inside. ¦ A. Left. ¦ IV. Right. ¦ 3.1. Done.",
        "He said it . ¦ She did not . ¦ To be , or not .",
        "Wait. . . for it. ¦ Now.",
        "node.js and ragdiag.toml are files, as is a.b.c here. ¦ Next.",
        "What?! ¦ Never!! ¦ *Bold.* ¦ Done.",
        "lower case text has no capitals. ¦ it still ends, e.g. here, or etc. and so on. ¦ fine",
        "« Non ! » ¦ Il part. ¦ Das kostet ca. 5 Euro, z.B. Äpfel. ¦ ¿Qué? ¦ ¡Nada!",
        "هل تم التجديد؟ ¦ نعم. ¦ لا شك",
        "यह एक वाक्य है। ¦ यह दूसरा है॥ ¦ अंत",
        "Սա նախադասություն է։ ¦ Սա էլ։ ¦ Վերջ",
    ],
)
def test_sentences_end_where_a_reader_ends_them(example: str) -> None:
    expected = example.split(" ¦ ")
    assert found(" ".join(expected)) == expected
    assert found("\n".join(expected) + "\n") == expected


def test_chinese_and_japanese_need_no_space() -> None:
    assert found("他来了！！「好。」她走了。他说3.5元。ええ？はい｡おわり") == [
        *("他来了！！", "「好。」", "她走了。", "他说3.5元。", "ええ？", "はい｡", "おわり")
    ]


def test_a_language_without_stops_is_divided_at_lines_alone() -> None:
    text = "ระบบจะต่ออายุสัญญาเช่า เมื่อเวลาผ่านไป"
    assert found(f"{text}\n\n{text}") == [text, text]


# Lines


@pytest.mark.parametrize("width", [30, 48, 72, 100, 140])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_sentences_are_the_same_however_their_lines_are_wrapped(width: int, end: str) -> None:
    choose = random.Random(width)  # noqa: S311  # a fixed mixture
    paragraph = [choose.choice(SENTENCES) for _ in range(60)]
    wrapped = textwrap.fill(" ".join(paragraph), width, break_on_hyphens=False).replace("\n", end)
    assert [" ".join(sentence.split()) for sentence in found(wrapped)] == paragraph


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Title\n\nText goes on\nand on.", ["Title", "Text goes on\nand on."]),
        ("Title\n \t\nText", ["Title", "Text"]),
        ("One\fTwo\u2029three", ["One", "Two", "three"]),
        ("Limits\nA plan has at most two windows a day and\nno more.", 2),
        ("We need:\n- milk\n- Some eggs. Two.\n• bread\n3) salt\nb) oil", 7),
        (
            "# Guide\ntext goes on\n## limits\ntwo a day",
            ["# Guide", "text goes on", "## limits", "two a day"],
        ),
        ("| a | b |\n|---|---|\n| 1 | 2 |", ["| a | b |", "|---|---|", "| 1 | 2 |"]),
        ("```\nrun\n```\nafter", 4),
        ("The limits\n======\nare two", ["The limits\n======", "are two"]),
        ("short line,\nThen more of it " + "x" * 60, 1),
        ("short line\nthen more of it " + "x" * 60, 1),
        ("short line\nThen more of it " + "x" * 60, 2),
        ("这是很长的一行文字没有标点\n符号也没有结束。", 1),
        ("标题\n这是很长的一行文字没有标点符号也没有结束。", 2),
        ("a long line " * 20 + "\nand another", 2),
        ("the end of it\n", ["the end of it"]),
    ],
)
def test_lines_that_were_ended_on_purpose_end_sentences(text: str, sentences: list[str] | int) -> None:
    assert (found(text) if isinstance(sentences, list) else len(found(text))) == sentences


# Nothing is lost, whatever the text


@settings(max_examples=300)
@given(
    st.lists(
        st.sampled_from(
            [*"aA.!?… \n\r\t\f#-|=[1]\"')(,。」", "\r\n", "Dr", "e.g", "U.S", "No", "\ud800", FAMILY]
        )
        | st.text(max_size=3),
        max_size=50,
    ).map("".join)
)
def test_sentences_hold_all_that_is_not_whitespace(text: str) -> None:
    ranges = find_sentences(text)
    flat = [place for pair in ranges for place in pair]
    assert flat == sorted(flat)
    assert all(text[start:end] == text[start:end].strip() != "" for start, end in ranges)
    assert re.sub(r"\s", "", "".join(text[s:e] for s, e in ranges)) == re.sub(r"\s", "", text)


# The contract of chunkers


@pytest.mark.parametrize("overlap", [0, 30])
@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("name", TEXTS)
def test_contract(name: str, unit: str, overlap: int) -> None:
    check_chunker(SentenceChunker(100, overlap=overlap, unit=UNITS[unit]), Document(name, TEXTS[name]))


def test_promises_hold_on_hostile_documents() -> None:
    testing.check_chunker(SentenceChunker(100, overlap=20))


@settings(max_examples=100)
@given(
    text=st.lists(
        st.sampled_from([*"ab.!? \n#-，。？", "\r\n\r\n", "Ab", "cde fgh", FAMILY, FLAG, "\u0301", "\ud800"])
        | st.text(max_size=5),
        max_size=60,
    ).map("".join),
    unit=st.sampled_from(list(UNITS)),
    size=st.integers(12, 40),
    overlap=st.integers(0, 11),
)
def test_contract_of_any_text(text: str, unit: str, size: int, overlap: int) -> None:
    check_chunker(SentenceChunker(size, overlap=overlap, unit=UNITS[unit]), Document("d", text))


@given(
    lengths=st.lists(st.integers(2, 30), min_size=1, max_size=30),
    size=st.integers(30, 70),
    overlap=st.integers(0, 29),
)
def test_chunks_hold_as_many_sentences_as_fit_and_share_as_many_as_fit(
    lengths: list[int], size: int, overlap: int
) -> None:
    text = " ".join("A" * (length - 1) + "." for length in lengths)
    chunks = SentenceChunker(size, overlap=overlap, sentences=_words).chunk(Document("d", text))
    assert [(chunk.spans[0].start, chunk.spans[0].end) for chunk in chunks] == _greedy(text, size, overlap)


def _words(text: str) -> list[tuple[int, int]]:
    return [match.span() for match in re.finditer(r"\S+", text)]


def _greedy(text: str, size: int, overlap: int) -> list[tuple[int, int]]:
    """Sentence by sentence: what the chunker does in batches."""
    pieces = _words(text)
    chunks, first, fresh = [], 0, 0
    while fresh < len(pieces):
        stop = fresh + 1
        while pieces[stop - 1][1] - pieces[first][0] > size:
            first += 1
        while stop < len(pieces) and pieces[stop][1] - pieces[first][0] <= size:
            stop += 1
        chunks.append((pieces[first][0], pieces[stop - 1][1]))
        first = next(
            i for i in range(first + 1, stop + 1) if i == stop or chunks[-1][1] - pieces[i][0] <= overlap
        )
        fresh = stop
    return chunks


def test_no_chunk_ends_or_begins_inside_a_sentence_that_fits() -> None:
    text = " ".join(SENTENCES * 9)
    starts, ends = (set(places) for places in zip(*find_sentences(text), strict=True))
    for overlap in (0, 20, 50, 120):
        chunks = check_chunker(SentenceChunker(200, overlap=overlap), Document("d", text))
        assert {chunk.spans[0].start for chunk in chunks} <= starts
        assert {chunk.spans[0].end for chunk in chunks} <= ends


@pytest.mark.parametrize("unit", ["characters", "byte pairs", "word pieces"])
def test_neighbors_share_sentences_that_fit(unit: str) -> None:
    text = "The lease is lost. A new one is granted. " * 40
    chunks = check_chunker(SentenceChunker(150, overlap=60, unit=UNITS[unit]), Document("d", text))
    assert len(chunks) > 2
    assert min(overlaps(chunks)) >= len("The lease is lost.")


def test_a_sentence_that_does_not_fit_is_cut_and_its_parts_are_shared() -> None:
    run = ", ".join(f"clause number {i}" for i in range(60)) + "."
    text = f"Before it. {run} Behind it."
    plain = check_chunker(SentenceChunker(100), Document("d", text))
    assert all(chunk.text.startswith("clause") or i == 0 for i, chunk in enumerate(plain))
    chunks = check_chunker(SentenceChunker(100, overlap=30), Document("d", text))
    assert min(overlaps(chunks)[1:-1]) > 0
    assert all(len(chunk.text) > 50 for chunk in chunks[:-1])


@pytest.mark.parametrize("name", ["one line of JSON", "no spaces", "dots", "Thai without a space"])
def test_without_sentences_chunks_are_those_of_the_recursive_chunker(name: str) -> None:
    document = Document("d", TEXTS[name])
    for overlap in (0, 30):
        expected = RecursiveChunker(100, overlap=overlap).chunk(document)
        assert SentenceChunker(100, overlap=overlap).chunk(document) == expected


# A finder of one's own


def test_sentences_may_be_found_by_a_function_of_ones_own() -> None:
    assert texts(SentenceChunker(3, sentences=_words), "ab. cd ef.") == ["ab.", "cd", "ef."]


def test_what_a_finder_leaves_out_is_a_sentence_of_its_own() -> None:
    chunker = SentenceChunker(12, sentences=lambda _: [(2, 6), (6, 6), (12, 16)])
    check_chunker(chunker, Document("d", "> One. two. Six. Rest is kept."))
    assert texts(chunker, "> One. two. Six.") == ["> One. two.", "Six."]


@pytest.mark.parametrize(
    ("ranges", "problem"),
    [
        ([(0, 4), (3, 6)], r"expected 4 <= start <= end <= 10, got \(3, 6\)"),
        ([(5, 6), (0, 4)], r"got \(0, 4\)"),
        ([(4, 2)], r"got \(4, 2\)"),
        ([(0, 11)], r"<= 10, got \(0, 11\)"),
        ([(-1, 3)], r"got \(-1, 3\)"),
        (["One."], "pairs of start and end, got 'One.'"),
        ([(0, 1, 2)], r"pairs of start and end, got \(0, 1, 2\)"),
        ([(0, 1.5)], r"pairs of start and end, got \(0, 1.5\)"),
    ],
)
def test_ranges_that_are_none_are_refused(ranges: Iterable[tuple[int, int]], problem: str) -> None:
    with pytest.raises(StageError, match=problem) as caught:
        SentenceChunker(20, sentences=lambda _: ranges).chunk(Document("doc", "One. Two. "))
    assert caught.value.where == "document 'doc'"


# Options


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: SentenceChunker(0), "size must be a whole number >= 1, got 0"),
        (lambda: SentenceChunker(10, overlap=10), "overlap must be smaller than size=10"),
        (lambda: SentenceChunker(unit="words"), "unit='words'"),
        (lambda: SentenceChunker(sentences="en"), "sentences must be a function .* got 'en'"),  # type: ignore[arg-type]
    ],
)
def test_options_that_cannot_work_are_refused(make: Callable[[], object], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        make()


def test_options_show_in_the_repr() -> None:
    assert repr(SentenceChunker()) == "SentenceChunker(800, overlap=0, unit='characters')"
    own = SentenceChunker(9, overlap=2, unit=WordPieces(), sentences=_words)
    assert repr(own) == "SentenceChunker(9, overlap=2, unit=WordPieces(), sentences=_words)"


def test_it_is_a_value() -> None:
    chunker = SentenceChunker(50, overlap=5)
    assert pickle.loads(pickle.dumps(chunker)) == chunker  # noqa: S301
    assert hash(chunker) == hash(SentenceChunker(50, overlap=5))


def test_metadata_reach_the_chunks() -> None:
    chunks = SentenceChunker(60).chunk(Document("d", PROSE, {"lang": "en"}))
    assert {chunk.metadata["lang"] for chunk in chunks} == {"en"}


# Speed: processor time; what is quadratic would take minutes


@pytest.mark.parametrize(
    "text",
    [
        json.dumps([{"id": i, "tags": ["a", "b"]} for i in range(5000)], separators=(",", ":")),
        "x" * 200_000,
        "." * 200_000,
        ". " * 100_000,
        ".)" * 100_000,
        '."' * 100_000 + " ",
        ".[" * 100_000,
        ".[a]" * 50_000,
        "。」" * 100_000,
        "A. " * 70_000,
        "a\n" * 100_000,
        "- \n" * 70_000,
        "\n" * 200_000,
        " " * 200_000 + "a." + "\n " * 100_000,
        "The lease is lost when it is not renewed. " * 600,
        "The lease is lost when it is not renewed. " * 5000,
        "<|endoftext|>" * 15_000,
    ],
    ids=lambda text: f"{text[:12]!r}...",
)
def test_time_is_about_linear(text: str) -> None:
    started = time.process_time()
    find_sentences(text)
    assert time.process_time() - started < 2
    SentenceChunker(800, overlap=80).chunk(Document("d", text))
    assert time.process_time() - started < 12
