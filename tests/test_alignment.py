"""Alignment of ingested text with its source: known edits, and properties on random ones."""

import random
import time
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragdiag.alignment import Alignment, align

words = st.lists(
    st.sampled_from(["red", "blue", "lantern", "of", "the", "河", "e\u0301", "\r\n", "42"]), max_size=40
)


def normal(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def check_blocks(alignment: Alignment, document: str, source: str) -> None:
    a = b = 0
    for block in alignment.blocks:
        assert a <= block.document[0] < block.document[1] <= len(document)
        assert b <= block.source[0] < block.source[1] <= len(source)
        (a_start, a), (b_start, b) = block.document, block.source
        assert normal(document[a_start:a]) == normal(source[b_start:b])


@settings(deadline=None, max_examples=200)
@given(words, words)
def test_blocks_hold_the_same_text_in_increasing_order(a: list[str], b: list[str]) -> None:
    document, source = " ".join(a), " ".join(b)
    check_blocks(align(document, source), document, source)


@settings(deadline=None, max_examples=100)
@given(words, st.data())
def test_deleting_words_from_the_source_loses_nothing_else(
    source_words: list[str], data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, len(source_words)))
    end = data.draw(st.integers(start, len(source_words)))
    source, document = " ".join(source_words), " ".join(source_words[:start] + source_words[end:])
    alignment = align(document, source)
    check_blocks(alignment, document, source)
    matched = "".join(document[slice(*block.document)] for block in alignment.blocks)
    assert "".join(matched.split()) == "".join(document.split())


def test_identity_and_empty_texts() -> None:
    assert align("same", "same").to_source(1, 3) == [(1, 3)]
    assert align("", "").blocks == ()
    assert align("", "gone").source_ranges() == []
    assert align("new", "").blocks == ()


def test_folded_whitespace_keeps_every_word() -> None:
    source = "First  line\r\n\r\nSecond\tline, with  gaps."
    document = " ".join(source.split())
    alignment = align(document, source)
    check_blocks(alignment, document, source)
    kept = "".join(source[start:end] for start, end in alignment.source_ranges())
    assert "".join(kept.split()) == "".join(source.split())


def test_truncated_and_prefixed_document() -> None:
    source = "alpha beta gamma delta epsilon zeta"
    alignment = align("TITLE\n" + source[:16], source)
    assert alignment.source_ranges() == [(0, 16)]
    assert alignment.to_source(0, 6) == []
    assert alignment.to_source(6, 11) == [(0, 5)]


def test_normalized_text_is_not_lost() -> None:
    source = "Cafe\u0301 au lait, \ufb01ne cre\u0300me bru\u0302le\u0301e for EVERYONE at the table"
    document = unicodedata.normalize("NFKC", source).lower()
    alignment = align(document, source)
    kept = "".join(source[start:end] for start, end in alignment.source_ranges())
    assert "".join(kept.split()) == "".join(source.split())
    where = document.index("everyone")
    assert alignment.to_source(where + 1, where + 8) == [
        (source.index("EVERYONE") + 1, source.index("EVERYONE") + 8)
    ]
    assert alignment.to_source(0, 1) == [(0, 5)], "a word of another length is matched as a whole"


def test_moved_paragraph_is_matched_once() -> None:
    rng = random.Random(3)  # noqa: S311
    one, two = (" ".join(rng.choice("abcdefgh") * rng.randint(2, 9) for _ in range(60)) for _ in range(2))
    alignment = align(two + "\n" + one, one + "\n" + two)
    check_blocks(alignment, two + "\n" + one, one + "\n" + two)
    assert sum(end - start for start, end in alignment.source_ranges()) >= len(one) - 60


def test_long_texts_take_a_moment_only() -> None:
    rng = random.Random(5)  # noqa: S311
    vocabulary = ["".join(rng.choice("abcdefghij") for _ in range(rng.randint(2, 8))) for _ in range(3000)]
    paragraphs = [" ".join(rng.choices(vocabulary, k=80)) for _ in range(400)]
    source = "\r\n\r\n".join(paragraphs)
    document = " ".join(p for i, p in enumerate(paragraphs) if i % 10)
    began = time.perf_counter()
    alignment = align(document, source)
    # Far beyond what it takes (about a second); a quadratic algorithm would need minutes.
    assert time.perf_counter() - began < 30
    check_blocks(alignment, document, source)
    kept = {i for start, end in alignment.source_ranges() for i in range(start, end)}
    place = source.index(paragraphs[11])
    assert all(i in kept for i in range(place, place + len(paragraphs[11])))
    gone = source.index(paragraphs[10])
    share_kept = sum(i in kept for i in range(gone, gone + len(paragraphs[10]))) / len(paragraphs[10])
    assert share_kept < 0.05


LINES = ["".join(f"{name}{i} " for i in range(1, 6)).strip() + "." for name in "abcde"]


@pytest.mark.parametrize(
    ("document", "source", "expected"),
    [
        ("One two. Five six.", "One two. Three four. Five six.", ["One two.", "Five six."]),
        ("A b. The e f. G h.", "A b. The c d. The e f. G h.", ["A b.", "The e f. G h."]),
        ("A b\nThe e\nG h", "A b\nThe c\nThe e\nG h", ["A b", "The e\nG h"]),
        ("A b… The e… G h", "A b… The c… The e… G h", ["A b…", "The e… G h"]),
        ("A b. The c d. The e f.", "A b. The e f.", ["A b.", "The e f."]),
        ("\n".join(LINES[::2]), "\n".join(LINES), LINES[::2]),
    ],
)
def test_what_was_left_out_begins_with_a_line_or_a_sentence(
    document: str, source: str, expected: list[str]
) -> None:
    """Where it begins or ends as its surroundings do, it could have stood in several places."""
    assert [source[start:end] for start, end in align(document, source).source_ranges()] == expected


@given(
    st.lists(st.sampled_from(["a b.", "a c.", "b c.", "a b c\n", "c."]), min_size=1, max_size=12), st.data()
)
def test_a_moved_gap_changes_no_text(parts: list[str], data: st.DataObject) -> None:
    first = data.draw(st.integers(0, len(parts)))
    last = data.draw(st.integers(first, len(parts)))
    source, document = " ".join(parts), " ".join([*parts[:first], *parts[last:]])
    for shorter, longer in ((document, source), (source, document)):
        alignment = align(shorter, longer)
        for block in alignment.blocks:
            in_document, in_source = shorter[slice(*block.document)], longer[slice(*block.source)]
            assert in_document.split() == in_source.split()
        ends = [(block.document[1], block.source[1]) for block in alignment.blocks]
        starts = [(block.document[0], block.source[0]) for block in alignment.blocks]
        assert all(e[0] <= s[0] and e[1] <= s[1] for e, s in zip(ends, starts[1:], strict=False))
