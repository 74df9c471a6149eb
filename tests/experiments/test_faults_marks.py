"""How faults know the evidence that they hit, by text alone; and the chance that is the same everywhere."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragdiag import Document, Evidence, Query, Span
from ragdiag.experiments.faults.chance import checksum, share_of, turned
from ragdiag.experiments.faults.marks import Marks
from ragdiag.records import WholeDocument

WORDS = st.lists(st.text("abcdefghij", min_size=2, max_size=7), min_size=30, max_size=60)


def marks_of(text: str, start: int, end: int) -> Marks:
    source = Document("d", text)
    query = Query("q", "?", [Evidence.of(Span("d", start, end))])
    return Marks.of([("q", 0)], [query], {"d": source})


@given(WORDS, st.data())
def test_a_text_with_the_evidence_and_some_around_it_is_touched_wherever_it_is_cut(
    words: list[str], data: st.DataObject
) -> None:
    text = " ".join(words)
    start = data.draw(st.integers(0, len(text) - 3))
    end = data.draw(st.integers(start + 2, len(text)))
    if not text[start:end].strip():
        return
    marks = marks_of(text, start, end)
    first = data.draw(st.integers(0, start))
    last = data.draw(st.integers(end, len(text)))
    holder = text[first:last]
    assert marks.touch(text)
    assert (start, end) in marks.ranges(text)
    if end - start >= 20:
        assert marks.touch(holder)
        assert (start - first, end - first) in marks.ranges(holder)
        assert marks.touch("other words " + "\n\n".join(holder.split(" ")) + " and more")
    elif start - first >= 40 or last - end >= 40:
        assert marks.touch(holder)  # short evidence is known by what stands before or behind it


@given(WORDS, st.data())
def test_texts_that_share_no_run_with_the_evidence_are_not_touched(
    words: list[str], data: st.DataObject
) -> None:
    text = " ".join(words)
    start = data.draw(st.integers(0, len(text) - 25))
    marks = marks_of(text, start, start + 25)
    assert not marks.touch(text[start : start + 25].upper())
    assert not marks.ranges(text.upper())
    assert not marks.touch("")


@given(st.lists(WORDS, min_size=2, max_size=4), st.data())
def test_the_marks_of_some_units_are_those_of_each(texts: list[list[str]], data: st.DataObject) -> None:
    sources = {f"d{i}": Document(f"d{i}", " ".join(words)) for i, words in enumerate(texts)}
    units = []
    for name, source in sources.items():
        start = data.draw(st.integers(0, len(source.text) - 30))
        units.append(Evidence.of(Span(name, start, start + data.draw(st.integers(20, 29)))))
    queries = [Query("q", "?", units)]
    wanted = data.draw(st.sets(st.integers(0, len(units) - 1)))
    together = Marks.of([("q", n) for n in wanted], queries, sources)
    each = [Marks.of([("q", n)], queries, sources) for n in wanted]
    assert together.units == {("q", n) for n in wanted}
    for source in sources.values():
        assert together.touch(source.text) == any(marks.touch(source.text) for marks in each)
        assert together.ranges(source.text) == sorted({r for m in each for r in m.ranges(source.text)})


def test_copies_are_marked_like_the_original_and_short_evidence_only_in_its_place() -> None:
    long = "refunds take five days at most"
    marks = marks_of(f"We say that {long}. So it is.", 12, 12 + len(long))
    assert marks.touch(f"Elsewhere it says: {long}!")
    short = "# Refunds by bank transfer\n\nThey take five days. Then write to us, and we look into it."
    at = short.index("five days")
    marks = marks_of(short, at, at + len("five days"))
    assert marks.touch(short)
    assert marks.ranges(short) == [(at, at + 9)]
    assert not marks.touch("A parcel to an island in the far north may take five days or more in winter.")
    assert not marks.ranges("It takes five days.")


def test_a_short_piece_of_the_evidence_is_touched() -> None:
    text = "Before it. The warranty covers parts and labor for two years from delivery. After it."
    start, end = text.index("The warranty"), text.index(" After")
    marks = marks_of(text, start, end)
    assert marks.touch("covers parts and labor for two")
    assert not marks.touch("parts and labor")  # too short to come from there alone
    assert not marks.touch("other words about parts and labor")


def test_rules_and_blanks_of_a_table_mark_nothing() -> None:
    rule = "|" + "-" * 60 + "|"
    table = f"| what | how long |\n{rule}\n| refunds by bank transfer to another country | five days |"
    marks = marks_of(table, 0, len(table))
    assert marks.touch(table)
    assert not marks.touch(f"Another table\n{rule}\nof other things")


def test_evidence_of_rules_alone_is_still_known() -> None:
    rule = "=" * 50
    marks = marks_of(f"Title\n{rule}\ntext", 6, 6 + len(rule))
    assert marks.touch(f"Title\n{rule}\ntext")


def test_a_whole_document_and_each_of_several_alternatives_are_marked() -> None:
    sources = {
        "a": Document("a", "The first document says one thing and another, at some length."),
        "b": Document("b", "The second one says that the lamp is out of warranty since May."),
    }
    unit = Evidence.any_of(WholeDocument("a"), Span("b", 20, 60))
    marks = Marks.of([("q", 0)], [Query("q", "?", [unit])], sources)
    assert marks.touch(sources["a"].text)
    assert marks.touch(sources["b"].text)
    assert marks.ranges(sources["a"].text) == [(0, len(sources["a"].text))]
    assert not Marks.of([], [Query("q", "?", [unit])], sources).touch(sources["a"].text)


def test_every_place_of_evidence_that_repeats_is_found() -> None:
    sentence = "Returns are free of charge. "
    marks = marks_of(sentence * 3, 0, len(sentence) - 1)
    assert marks.ranges(sentence * 3) == [
        (at, at + len(sentence) - 1) for at in (0, len(sentence), 2 * len(sentence))
    ]


@given(st.text(), st.text(max_size=8))
def test_chance_is_that_of_the_text(text: str, salt: str) -> None:
    assert checksum(text, salt) == checksum(text, salt)
    assert 0 <= share_of(text, salt) < 1


def test_shares_are_spread_evenly_and_salts_are_independent() -> None:
    a, b = (np.array([share_of(f"text {i}", salt) for i in range(2000)]) for salt in ("a", "b"))
    assert np.histogram(a, bins=5, range=(0, 1))[0] == pytest.approx([400] * 5, abs=75)
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.06
    assert share_of("\ud800", "a") < 1  # a lone surrogate is a text too


def test_vectors_are_turned_alike_and_keep_their_lengths_and_at_full_strength_their_angles() -> None:
    vectors = np.random.default_rng(0).standard_normal((30, 64)).astype(np.float32)
    for strength in (0.0, 0.4, 1.0):
        out = turned(vectors, strength, 3)
        assert out.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(out, axis=1), np.linalg.norm(vectors, axis=1), rtol=1e-5)
        np.testing.assert_array_equal(out[4:5], turned(vectors[4:5], strength, 3))
    np.testing.assert_allclose(turned(vectors, 0.0, 3), vectors, rtol=1e-5)
    whole = turned(vectors, 1.0, 3)
    np.testing.assert_allclose(whole @ whole.T, vectors @ vectors.T, rtol=1e-3, atol=1e-3)
    cosines = (whole * vectors).sum(axis=1) / np.square(vectors).sum(axis=1)
    assert abs(cosines.mean()) < 0.1
    assert not turned(np.zeros((1, 8), np.float32), 1.0, 0).any()
    assert not np.allclose(turned(vectors, 1.0, 3), turned(vectors, 1.0, 4))
