"""Evidence and its coverage: against sets of characters, and by hand where a rule is meant."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from evidence_oracle import Oracle
from hypothesis import given
from hypothesis import strategies as st
from plugs import SeededChunker
from random_cases import corpora, ingested, questions

from ragdiag.diagnosis.copies import SHORTEST_COPY, find_copies
from ragdiag.diagnosis.evidence import EvidenceMap
from ragdiag.records import Chunk, Document, Evidence, Query, Span, WholeDocument


def coverage(
    units: Evidence | Sequence[Evidence],
    documents: Sequence[Document],
    chunks: Sequence[Chunk],
    *,
    sources: Sequence[Document] | None = None,
    copies: bool = True,
) -> list[float]:
    """The coverage of units by the union of chunks, which must be the same asked from two sides."""
    query = Query("q", "?", [units] if isinstance(units, Evidence) else units)
    originals = {s.id: s for s in (documents if sources is None else sources)}
    evidence = EvidenceMap(documents, originals, chunks, [query], copies=copies).of(query, chunks)
    by_position = evidence.coverage(evidence.mask_of(range(len(chunks)))).tolist()
    by_context = evidence.coverage(np.bitwise_or.reduce([0, *evidence.delivered])).tolist()
    assert by_position == by_context
    return [float(value) for value in by_position]


@given(st.data())
def test_coverage_equals_sets_of_characters(data: st.DataObject) -> None:
    sources = data.draw(corpora().filter(lambda found: any(s.text.strip() for s in found)))
    documents = data.draw(ingested(sources))
    queries = data.draw(questions(sources))
    copies = data.draw(st.booleans())
    seed = data.draw(st.integers(0, 10_000))
    chunks = [chunk for document in documents for chunk in SeededChunker(seed).chunk(document)]
    oracle = Oracle.of(documents, sources, copies=copies)
    evidence_map = EvidenceMap(documents, {s.id: s for s in sources}, chunks, queries, copies=copies)
    for query in queries:
        context = data.draw(st.lists(st.sampled_from(chunks), max_size=4)) if chunks else []
        evidence = evidence_map.of(query, context)
        held = {position: oracle.holds([chunk]) for position, chunk in enumerate(chunks)}
        assert evidence.coverage(evidence.ingested).tolist() == pytest.approx(
            [oracle.coverage(unit, oracle.ingested()) for unit in query.evidence]
        )
        for chosen in ([], range(len(chunks)), data.draw(st.lists(st.sampled_from(range(len(chunks) or 1))))):
            union = frozenset().union(*(held[p] for p in chosen if p in held))
            assert evidence.coverage(evidence.mask_of(chosen)).tolist() == pytest.approx(
                [oracle.coverage(unit, union) for unit in query.evidence]
            )
        delivered = 0
        for atoms in evidence.delivered:
            delivered |= atoms
        assert evidence.coverage(delivered).tolist() == pytest.approx(
            [oracle.coverage(unit, oracle.holds(context)) for unit in query.evidence]
        )
        assert all(evidence.carriers.values())
        assert evidence_map.characters(context) == len(
            {
                (s.doc_id, i)
                for c in context
                for s in c.spans
                for i in range(s.start, s.end)
                if not oracle.documents[s.doc_id].text[i].isspace()
            }
        )


@given(st.lists(st.text("ab", min_size=1, max_size=70), min_size=1, max_size=3), st.data())
def test_copies_are_where_the_text_stands(texts: list[str], data: st.DataObject) -> None:
    """Texts of two letters are full of copies, overlapping ones among them."""
    sources = {
        f"s{i}": Document(f"s{i}", text * data.draw(st.integers(1, 2))) for i, text in enumerate(texts)
    }
    spans = []
    for source in sources.values():
        start = data.draw(st.integers(0, len(source.text) - 1))
        spans.append(Span(source.id, start, data.draw(st.integers(start + 1, len(source.text)))))
    oracle = Oracle(sources, sources)
    copies = find_copies(spans, sources)
    assert set(copies) == set(spans)
    for span, places in copies.items():
        assert places[0] == span
        assert list(places[1:]) == sorted(places[1:])
        assert len(set(places)) == len(places)
        assert set(places) == set(oracle.places(span))


LONG = "returns are free of charge"
OTHER = "a refund takes five working days"


def test_a_copy_counts_from_twenty_characters_on() -> None:
    assert SHORTEST_COPY == 20
    for length, covered in ((19, 0.0), (20, 1.0)):
        text = "abcdefghijklmnopqrstuvwxyz"[:length]
        document = Document("d", f"{text} | {text}")
        second = Chunk.of(document, (length + 3, 2 * length + 3))
        assert coverage(Evidence.of(Span("d", 0, length)), [document], [second]) == [covered]


def test_a_copy_in_another_document_counts_unless_copies_are_off() -> None:
    documents = [Document("a", f"{LONG}."), Document("b", f"We say: {LONG}!")]
    there = Chunk.of(documents[1], (0, len(documents[1].text)))
    unit = Evidence.of(Span("a", 0, len(LONG)))
    assert coverage(unit, documents, [there]) == [1.0]
    assert coverage(unit, documents, [there], copies=False) == [0.0]


def test_halves_of_two_copies_are_no_whole() -> None:
    document = Document("d", f"{LONG} | {LONG}")
    half = len(LONG) // 2
    second = len(LONG) + 3
    halves = [Chunk.of(document, (0, half)), Chunk.of(document, (second + half, second + len(LONG)))]
    [covered] = coverage(Evidence.of(Span("d", 0, len(LONG))), [document], halves)
    solid = len(LONG.replace(" ", ""))
    best = max(len(LONG[:half].replace(" ", "")), len(LONG[half:].replace(" ", "")))
    assert covered == pytest.approx(best / solid)


def test_each_part_of_an_alternative_has_copies_of_its_own() -> None:
    documents = [Document("a", f"{LONG} {OTHER}"), Document("b", LONG), Document("c", OTHER)]
    unit = Evidence.of(Span("a", 0, len(LONG)), Span("a", len(LONG) + 1, len(documents[0].text)))
    elsewhere = [Chunk.of(document, (0, len(document.text))) for document in documents[1:]]
    assert coverage(unit, documents, elsewhere) == [1.0]
    [first] = coverage(unit, documents, elsewhere[:1])
    assert first == pytest.approx(22 / (22 + 27))
    assert coverage(unit, documents, elsewhere, copies=False) == [0.0]


def test_spans_that_touch_are_parts_of_their_own() -> None:
    documents = [Document("a", LONG + OTHER), Document("b", LONG), Document("c", OTHER)]
    unit = Evidence.of(Span("a", 0, len(LONG)), Span("a", len(LONG), len(LONG + OTHER)))
    elsewhere = [Chunk.of(document, (0, len(document.text))) for document in documents[1:]]
    assert coverage(unit, documents, elsewhere) == [1.0]


def test_overlapping_copies_count_each_for_itself() -> None:
    document = Document("d", "ab" * 15)
    unit = Evidence.of(Span("d", 0, 20))
    assert coverage(unit, [document], [Chunk.of(document, (4, 24))]) == [1.0]
    assert coverage(unit, [document], [Chunk.of(document, (10, 30))]) == [1.0]
    assert coverage(unit, [document], [Chunk.of(document, (5, 24))]) == [pytest.approx(19 / 20)]


def test_any_alternative_is_enough_and_all_its_spans_are_needed() -> None:
    document = Document("d", "aaaa bbbb cccc dddd")
    unit = Evidence.any_of(Span("d", 0, 4), [Span("d", 5, 9), Span("d", 10, 14)])
    ranges = {letter: Chunk.of(document, (5 * i, 5 * i + 4)) for i, letter in enumerate("abcd")}

    def covered(letters: str) -> list[float]:
        return coverage(unit, [document], [ranges[letter] for letter in letters])

    assert covered("a") == covered("bc") == covered("abc") == [1.0]
    assert covered("b") == covered("c") == covered("bd") == [0.5]
    assert covered("d") == [0.0]


def test_overlapping_spans_of_one_alternative_count_each_character_once() -> None:
    document = Document("d", "abcdefghij")
    unit = Evidence.of(Span("d", 0, 6), Span("d", 4, 10), Span("d", 4, 6))
    assert coverage(unit, [document], [Chunk.of(document, (0, 5))]) == [0.5]


def test_touching_is_not_overlap() -> None:
    document = Document("d", "abcdef")
    touching = [Chunk.of(document, (0, 2)), Chunk.of(document, (4, 6))]
    query = Query("q", "?", [Evidence.of(Span("d", 2, 4))])
    evidence = EvidenceMap([document], {"d": document}, touching, [query]).of(query)
    assert evidence.carriers == {}


def test_the_union_counts_and_whitespace_does_not() -> None:
    document = Document("d", "a b\u00a0\u3000\tc\r\nd")
    unit = Evidence.of(Span("d", 0, len(document.text)))
    solid = [i for i, c in enumerate(document.text) if not c.isspace()]
    for depth in range(1, 5):
        chunks = [Chunk.of(document, (i, i + 1)) for i in solid[:depth]]
        assert coverage(unit, [document], [*chunks, *[Chunk.of(document, (0, 2))]]) == [depth / 4]
    assert coverage(unit, [document], [Chunk.of(document, (3, 6))]) == [0.0]


def test_a_whole_document_is_covered_by_any_chunk_of_it() -> None:
    documents = [Document("a", "one two three"), Document("b", "four")]
    both = Evidence.of(WholeDocument("a"), WholeDocument("b"))
    piece, other = Chunk.of(documents[0], (4, 5)), Chunk.of(documents[1], (0, 4))
    assert coverage(Evidence.of(WholeDocument("a")), documents, [piece]) == [1.0]
    assert coverage(Evidence.of(WholeDocument("a")), documents, [other]) == [0.0]
    assert coverage(both, documents, [piece]) == [0.5]
    assert coverage(both, documents, [piece, other]) == [1.0]
    either = Evidence.any_of(WholeDocument("b"), Span("a", 0, 3))
    assert coverage(either, documents, [piece]) == [0.0]
    assert coverage(either, documents, [other]) == [1.0]


SCRIPTS = {
    "Chinese and Japanese": ("本店の営業時間は", "九時から五時まで", "です。"),
    "Thai": ("ร้านเปิดทุกวัน", "เวลาเก้าโมงเช้า", "ถึงห้าโมงเย็น"),
    "Arabic": ("الشحن مجاني ", "للطلبات الكبيرة", " فقط"),
    "joined emoji": ("👩‍👩‍👧 ", "👨🏽‍🚀🏳️‍🌈", " 🇩🇪"),
    "combining marks": ("cafe\u0301 ", "cre\u0300me bru\u0302le\u0301e", " de\u0301ja\u0300"),
    "line ends": ("first\r\n", "second\r\nline", "\r\nthird"),
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_offsets_are_code_points_in_any_script(script: str) -> None:
    before, text, after = SCRIPTS[script]
    document = Document("d", before + text + after)
    span = Span.find(document, text)
    assert (span.start, span.end) == (len(before), len(before) + len(text))
    unit = Evidence.of(span)
    solid = [i for i in range(span.start, span.end) if not document.text[i].isspace()]
    for cut in range(span.start, span.end):
        chunk = Chunk.of(document, (0, cut + 1))
        expected = sum(i <= cut for i in solid) / len(solid)
        assert coverage(unit, [document], [chunk]) == [pytest.approx(expected)]


@pytest.mark.parametrize("script", SCRIPTS)
def test_normalized_whitespace_loses_nothing_in_any_script(script: str) -> None:
    source = Document("d", "\n \t".join(SCRIPTS[script]))
    document = Document("d", " ".join(source.text.split()))
    unit = Evidence.of(Span.find(source, SCRIPTS[script][1]))
    whole = Chunk.of(document, (0, len(document.text)))
    assert coverage(unit, [document], [whole], sources=[source]) == [1.0]


def test_a_lone_surrogate_is_a_character_like_any_other() -> None:
    text = "broken \ud800 text of some length"
    documents = [Document("a", text), Document("b", f"copy: {text}")]
    unit = Evidence.of(Span("a", 0, len(text)))
    assert coverage(unit, documents, [Chunk.of(documents[1], (0, len(documents[1].text)))]) == [1.0]


def test_chunks_of_a_document_without_source_carry_nothing() -> None:
    source = Document("a", LONG)
    extra = Document("extra", LONG)
    unit = Evidence.of(Span("a", 0, len(LONG)))
    chunk = Chunk.of(extra, (0, len(LONG)))
    assert coverage(unit, [source, extra], [chunk], sources=[source]) == [0.0]
    # Where the extra document is a source as well, it holds a copy.
    assert coverage(unit, [source, extra], [chunk], sources=[source, extra]) == [1.0]


def test_a_chunk_without_evidence_is_no_carrier() -> None:
    document = Document("d", "one two")
    chunks = [Chunk.of(document, (0, 3)), Chunk.of(document, (3, 4)), Chunk.of(document, (4, 7))]
    query = Query("q", "?", [Evidence.of(Span("d", 0, 4))])
    assert list(EvidenceMap([document], {"d": document}, chunks, [query]).of(query).carriers) == [0]


def test_a_chunk_of_two_ranges_in_backward_order_covers_both() -> None:
    document = Document("d", "one two three four")
    chunk = Chunk.of(document, (14, 18), (0, 3))
    units = [Evidence.of(Span("d", 0, 3)), Evidence.of(Span("d", 14, 18)), Evidence.of(Span("d", 0, 18))]
    assert coverage(units, [document], [chunk]) == [1.0, 1.0, pytest.approx(7 / 15)]
