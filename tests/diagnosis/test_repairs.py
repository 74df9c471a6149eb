"""What each stage made ideal is, by hand: documents of words of four letters, chunks of some of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragdiag.diagnosis.evidence import EvidenceMap
from ragdiag.diagnosis.repairs import LostUnit, ideal_chunks, ideal_vector, under_new_id, window_around
from ragdiag.diagnosis.verdicts import Verdict
from ragdiag.records import Chunk, Document, Evidence, Query, Span, WholeDocument
from ragdiag.spans import Range
from ragdiag.stages.protocols import Similarity

DOCUMENT = Document("d", " ".join(letter * 4 for letter in "abcdefghijkl"), {"lang": "en"})
OTHER = Document("e", " ".join(letter * 4 for letter in "mnopqr"), {"lang": "de"})


def words(first: int, last: int) -> Range:
    """Where the words from ``first`` to before ``last`` stand."""
    return 5 * first, 5 * last - 1


def said(first: int, last: int, doc_id: str = "d") -> Span:
    return Span(doc_id, *words(first, last))


def chunk(first: int, last: int, document: Document = DOCUMENT, **changes: Any) -> Chunk:
    return replace(Chunk.of(document, words(first, last)), **changes)


def chunks_for(
    unit: Evidence,
    chunks: Sequence[Chunk],
    *,
    documents: Sequence[Document] = (DOCUMENT, OTHER),
    sources: Sequence[Document] = (DOCUMENT, OTHER),
    min_coverage: float = 1.0,
    longest: int = 1000,
    taken: Sequence[str] = (),
) -> list[Chunk]:
    """What an ideal chunker makes for a unit, which stands behind another one."""
    query = Query("q", "?", [Evidence.of(said(0, 1, "e")), unit])
    evidence_map = EvidenceMap(documents, {s.id: s for s in sources}, chunks, [query])
    return ideal_chunks(
        evidence_map,
        {d.id: d for d in documents},
        query,
        evidence_map.of(query),
        1,
        min_coverage=min_coverage,
        longest=longest,
        taken=taken,
    )


def texts(chunks: Sequence[Chunk]) -> list[str]:
    return [chunk.text for chunk in chunks]


# The chunker


def test_a_span_in_one_chunk_needs_no_other() -> None:
    pieces = [chunk(0, 2), chunk(2, 4), chunk(1, 3)]
    assert chunks_for(Evidence.of(said(1, 3)), pieces) == []
    assert chunks_for(Evidence.of(said(1, 3)), pieces[:2]) != []


def test_a_span_in_pieces_gets_them_all_as_one() -> None:
    pieces = [chunk(0, 2), chunk(2, 3), chunk(3, 6), chunk(6, 8)]
    [made] = chunks_for(Evidence.of(said(1, 4)), pieces)
    assert (made.id, made.spans) == ("d#0-29~ideal", (said(0, 6),))
    assert made.text == made.index_text == "aaaa bbbb cccc dddd eeee ffff"


def test_a_span_of_which_pieces_are_missing_is_whole_in_the_ideal_chunk() -> None:
    for pieces in ([chunk(2, 3), chunk(4, 5)], [chunk(4, 5), chunk(2, 3)]):
        [made] = chunks_for(Evidence.of(said(1, 6)), pieces)
        assert made.spans == (said(1, 6),)


@pytest.mark.parametrize("pieces", [[], [chunk(0, 2)], [chunk(0, 1), chunk(3, 4)]])
def test_a_span_that_one_chunk_touches_or_none_stands_alone(pieces: list[Chunk]) -> None:
    [made] = chunks_for(Evidence.of(said(1, 3)), pieces)
    assert made == replace(chunk(1, 3), id="d#5-14~ideal")


def test_an_ideal_chunk_is_no_longer_than_the_longest_or_than_its_span() -> None:
    pieces = [chunk(0, 4), chunk(4, 8)]
    lengths = {3: (3, 5), 9: (3, 5), 14: (3, 5), 20: (2, 6), 29: (1, 7), 39: (0, 8)}
    for longest, around in lengths.items():
        [made] = chunks_for(Evidence.of(said(3, 5)), pieces, longest=longest)
        assert made.spans == (said(*around),)


def test_it_carries_what_the_chunk_with_most_of_the_span_carries() -> None:
    pieces = [
        chunk(0, 2, metadata={"part": 1}, index_text="First: aaaa bbbb"),
        chunk(2, 4, metadata={"part": 2}, index_text="Second: cccc dddd"),
    ]
    for last, heading, part in ((3, "First", 1), (4, "Second", 2)):
        [made] = chunks_for(Evidence.of(said(last - 3, last)), pieces)
        assert made.text == "aaaa bbbb cccc dddd"
        assert made.index_text == f"{heading}: {made.text}"
        assert made.metadata == {"lang": "en", "part": part}


@pytest.mark.parametrize(
    ("length", "index_text"),
    [
        (4, "ddd eeee"),
        (19, "dddd eeee ffff"),
        (22, "cccc dddd eeee ffff"),
        (99, "aaaa bbbb cccc dddd eeee ffff gggg hhhh"),
    ],
)
def test_where_a_child_is_found_the_ideal_chunk_is_found_by_a_part_too(length: int, index_text: str) -> None:
    """A part around the span as long as the child, within the text, and never less than the span."""
    parents = [chunk(0, 4, index_text="other"), chunk(4, 8, index_text="x" * length)]
    [made] = chunks_for(Evidence.of(Span("d", 16, 24)), parents)
    assert made.text == "aaaa bbbb cccc dddd eeee ffff gggg hhhh"
    assert made.index_text == index_text


def test_children_of_one_parent_are_one_chunk_that_touches() -> None:
    children = [chunk(0, 4, index_text="aaaa bbbb"), chunk(0, 4, id="second", index_text="cccc dddd")]
    [made] = chunks_for(Evidence.of(said(3, 5)), children)
    assert made.text == made.index_text == "dddd eeee"


def test_the_pieces_of_a_chunk_with_several_spans_are_looked_at_one_by_one() -> None:
    """Of a chunk that also holds text elsewhere only the span that touches is joined."""
    far = Chunk.of(DOCUMENT, words(2, 4), words(9, 11))
    [made] = chunks_for(Evidence.of(said(1, 3)), [chunk(0, 2), far])
    assert made.spans == (said(0, 4),)
    elsewhere = replace(far, spans=(said(2, 4), said(0, 6, "e")))
    [made] = chunks_for(Evidence.of(said(1, 3)), [chunk(0, 2), elsewhere])
    assert made.spans == (said(0, 4),), "offsets of another document mean nothing"
    near = Chunk.of(DOCUMENT, words(1, 2), words(3, 5))
    [made] = chunks_for(Evidence.of(said(1, 4)), [near, chunk(2, 3, metadata={"lang": "fr"})])
    assert (made.spans, made.metadata["lang"]) == ((said(1, 5),), "en"), "two words against one"


def test_each_span_in_pieces_gets_a_chunk_and_no_id_twice() -> None:
    pieces = [chunk(0, 2), chunk(2, 4), chunk(6, 8), chunk(8, 10)]
    made = chunks_for(Evidence.of(said(1, 3), said(7, 9), said(3, 4)), pieces)
    assert [c.id for c in made] == ["d#0-19~ideal", "d#30-49~ideal"]
    both = chunks_for(Evidence.of(said(0, 3), said(1, 4)), pieces)
    assert [c.id for c in both] == ["d#0-19~ideal"], "overlapping spans are one"
    apart = chunks_for(Evidence.any_of(said(0, 3), said(1, 4)), pieces, taken=["d#0-19~ideal2"])
    assert [c.id for c in apart] == ["d#0-19~ideal", "d#0-19~ideal3"]
    again = chunks_for(Evidence.of(said(1, 3)), pieces, taken=["d#0-19~ideal"])
    assert [c.id for c in again] == ["d#0-19~ideal2"]


def test_no_chunk_is_needed_where_one_alternative_is_whole() -> None:
    pieces = [chunk(0, 2), chunk(2, 4)]
    for alternatives in ([said(1, 3), said(2, 4)], [said(2, 4), said(1, 3)]):
        assert chunks_for(Evidence.any_of(*alternatives), pieces) == []
    made = chunks_for(Evidence.any_of([said(2, 4), said(1, 3)], said(4, 5)), pieces)
    assert texts(made) == ["aaaa bbbb cccc dddd", "eeee"]


@pytest.mark.parametrize(("min_coverage", "made"), [(2 / 3, 0), (0.67, 1)])
def test_a_chunk_that_covers_enough_is_whole_enough(min_coverage: float, made: int) -> None:
    found = chunks_for(Evidence.of(said(1, 4)), [chunk(0, 3), chunk(3, 4)], min_coverage=min_coverage)
    assert len(found) == made


def test_of_several_copies_the_one_of_which_most_was_ingested_is_mended() -> None:
    long = said(0, 5)
    text = DOCUMENT.text[long.start : long.end]
    copy = Document("copy", f"xxxx {text} yyyy")
    parsed = replace(DOCUMENT, text=DOCUMENT.text[5:])
    for documents, doc_id in [((parsed, copy), "copy"), ((DOCUMENT, copy), "d"), ((DOCUMENT,), "d")]:
        [made] = chunks_for(Evidence.of(long), [], documents=documents, sources=[DOCUMENT, OTHER, copy])
        assert (made.text, made.spans[0].doc_id) == (text, doc_id)
    in_copy = Chunk.of(copy, (0, len(copy.text)))
    assert (
        chunks_for(Evidence.of(long), [in_copy], documents=[DOCUMENT, copy], sources=[DOCUMENT, OTHER, copy])
        == []
    )


def test_offsets_are_those_of_the_document_not_of_its_source() -> None:
    parsed = replace(DOCUMENT, text=DOCUMENT.text.removeprefix("aaaa bbbb "))
    pieces = [chunk(0, 2, parsed), chunk(2, 4, parsed)]
    [made] = chunks_for(Evidence.of(said(3, 5)), pieces, documents=[parsed])
    assert (made.id, made.text) == ("d#0-19~ideal", "cccc dddd eeee ffff")


def test_what_was_not_ingested_gets_no_chunk() -> None:
    unit = Evidence.of(said(1, 3))
    for documents in (
        [OTHER],
        [replace(DOCUMENT, text=" \n"), OTHER],
        [replace(DOCUMENT, text="zzzz"), OTHER],
    ):
        assert chunks_for(unit, [], documents=documents) == []
    whole = Evidence.of(WholeDocument("d"))
    for documents in ([OTHER], [replace(DOCUMENT, text=" \n"), OTHER]):
        assert chunks_for(whole, [], documents=documents) == []


def test_a_whole_document_without_a_chunk_gets_its_beginning() -> None:
    whole = Evidence.of(WholeDocument("d"))
    assert chunks_for(whole, [chunk(7, 8)]) == []
    for longest, last in {13: 2, 14: 3, 15: 3, 1000: 12}.items():
        [made] = chunks_for(whole, [], longest=longest)
        assert made == replace(chunk(0, last), id=f"d#0-{5 * last - 1}~ideal")
    [made] = chunks_for(whole, [], longest=3)
    assert made.text == "aaa", "a word longer than all is cut"


def test_a_chunk_gets_the_first_name_that_nobody_has() -> None:
    names = (f"n{i}" for i in count())
    assert under_new_id(chunk(0, 1), names, {"n0"}, ["n2"], {"n1": 1}) == chunk(0, 1, id="n3")


# Windows

TEXT = "aa bb cc dd ee ff gg"


@pytest.mark.parametrize(
    ("inner", "outer", "length", "window"),
    [
        ("dd", TEXT, 0, "dd"),
        ("dd", TEXT, 2, "dd"),
        ("dd", TEXT, 7, "dd ee"),
        ("dd", TEXT, 8, "cc dd ee"),
        ("dd", TEXT, 13, "cc dd ee ff"),
        ("dd", TEXT, 14, "bb cc dd ee ff"),
        ("dd", TEXT, 20, TEXT),
        ("dd", TEXT, 99, TEXT),
        ("dd", "cc dd ee", 99, "cc dd ee"),
        ("dd", "dd ee ff gg", 8, "dd ee ff"),
        ("dd", "aa bb cc dd", 8, "bb cc dd"),
        ("aa", TEXT, 8, "aa bb cc"),
        ("bb", TEXT, 11, "aa bb cc dd"),
        ("gg", TEXT, 8, "ee ff gg"),
        ("ff", TEXT, 11, "dd ee ff gg"),
        ("dd", " dd ", 99, "dd"),
        ("d", TEXT, 1, "d"),
        ("d", TEXT, 2, "dd"),
        ("d", TEXT, 4, "dd"),
        ("c dd e", TEXT, 6, "c dd e"),
        ("c dd e", TEXT, 10, "cc dd ee"),
        ("c dd e", TEXT, 12, "cc dd ee"),
        ("c dd e", TEXT, 16, "bb cc dd ee ff"),
    ],
)
def test_a_window_holds_what_it_is_around(inner: str, outer: str, length: int, window: str) -> None:
    at = {part: (TEXT.index(part), TEXT.index(part) + len(part)) for part in (inner, outer)}
    assert TEXT[slice(*window_around(TEXT, at[inner], at[outer], length))] == window


@pytest.mark.parametrize(
    ("text", "inner", "length", "window"),
    [
        ("a b c d e", "c", 3, "c"),
        ("a b c d e", "c", 5, "b c d"),
        ("aa  bb  cc  dd  ee", "cc", 10, "bb  cc  dd"),
        ("aa  bb  cc  dd  ee", "cc", 12, "bb  cc  dd"),
        ("   aa", "", 2, " "),
        (" aa bb", "", 5, " aa"),
    ],
)
def test_blanks_are_no_words(text: str, inner: str, length: int, window: str) -> None:
    """And a window is never empty."""
    at = text.index(inner)
    found = window_around(text, (at, at + len(inner)), (0, len(text)), length)
    assert text[slice(*found)] == window


@given(st.text("ab \n", min_size=1, max_size=30), st.integers(0, 35), st.data())
def test_a_window_is_of_whole_words_and_no_longer_than_asked(
    text: str, length: int, data: st.DataObject
) -> None:
    bounds = sorted(data.draw(st.lists(st.integers(0, len(text)), min_size=4, max_size=4)))
    outer, inner = (bounds[0], bounds[3]), (bounds[1], bounds[2])
    start, end = window_around(text, inner, outer, length)
    assert outer[0] <= start <= inner[0]
    assert inner[1] <= end <= outer[1]
    assert end - start <= max(length, inner[1] - inner[0])
    if start < inner[0]:
        assert not text[start].isspace()
        assert text[outer[0] : start].isspace() or start == outer[0] or text[start - 1].isspace()
    if end > max(inner[1], start + 1):
        assert not text[end - 1].isspace()
    if end > inner[1] > start:
        assert text[end : outer[1]].isspace() or end == outer[1] or text[end].isspace()


# The embedder


@pytest.mark.parametrize("similarity", ["cosine", "l2"])
def test_an_ideal_vector_is_the_querys_own(similarity: Similarity) -> None:
    query = np.array([3, 4], dtype=np.float32)
    assert ideal_vector(query, similarity, longest=100.0).tolist() == [3, 4]


@pytest.mark.parametrize(("longest", "length"), [(0.0, 5.0), (4.9, 5.0), (5.0, 5.05), (100.0, 101.0)])
def test_under_a_dot_product_it_outscores_the_longest(longest: float, length: float) -> None:
    """By a little: a score that is far above all others would not be one of this embedder."""
    query = np.array([3, 4], dtype=np.float32)
    vector = ideal_vector(query, "dot", longest=longest)
    assert vector.dtype == np.float32
    assert vector.tolist() == pytest.approx([3 * length / 5, 4 * length / 5])
    assert ideal_vector(0 * query, "dot", longest=longest).tolist() == [0, 0]


# Chunks in the order of what they hold of a lost unit


def lost_unit(
    chunks: Sequence[Chunk],
    *units: Evidence,
    number: int = 0,
    added: Sequence[Chunk] = (),
    kept: Sequence[float] | None = None,
    min_coverage: float = 1.0,
    top_k: int = 2,
    budget: int | None = None,
) -> LostUnit:
    """A lost unit of a query; a chunk takes as many tokens as it has words."""
    query = Query("q", "?", list(units))
    evidence_map = EvidenceMap([DOCUMENT, OTHER], {"d": DOCUMENT, "e": OTHER}, chunks, [query])
    everything = [*chunks, *added]
    return LostUnit(
        query=query,
        unit=7,
        number=number,
        observed=Verdict("embedder", "ranked_low", "undetermined", observed="retriever"),
        evidence=evidence_map.of(query, added),
        chunks=chunks,
        added=tuple(added),
        kept=np.zeros(len(units)) if kept is None else np.array(kept, dtype=np.float64),
        min_coverage=min_coverage,
        top_k=top_k,
        budget=budget,
        tokens=lambda n: len(everything[n].text.split()),
    )


PIECES = [chunk(0, 4), chunk(4, 7), chunk(7, 9), chunk(2, 5), chunk(9, 10), chunk(2, 3)]
UNIT = Evidence.of(said(1, 6))
"""Five words: three of them in piece 0 and in 3, two in 1, one in 5; 0 and 1 together hold it."""
WHOLE = chunk(0, 7)
IDEAL = chunk(0, 7, id="ideal")


def test_chunks_are_numbered_through() -> None:
    unit = lost_unit(PIECES, UNIT, added=[IDEAL, chunk(8, 9)])
    assert (unit.label, unit.added_numbers) == ("retriever", (6, 7))
    assert [unit.chunk(n) for n in range(8)] == [*PIECES, IDEAL, chunk(8, 9)]
    assert "chunks=" not in repr(unit)
    assert "tokens=" not in repr(unit)


def test_carried_is_the_coverage_by_each_chunk_that_holds_any() -> None:
    second = Evidence.of(said(8, 10))
    unit = lost_unit(PIECES, UNIT, second, added=[IDEAL, chunk(8, 9), chunk(10, 11)])
    assert unit.carried == {0: 0.6, 1: 0.4, 3: 0.6, 5: 0.2, 6: 1.0}
    assert lost_unit(PIECES, UNIT, second, number=1).carried == {2: 0.5, 4: 0.5}
    assert set(unit.masks) == set(range(8)), "those of the other unit too, and none without evidence"


def test_an_ideal_chunk_takes_the_place_of_those_inside_it() -> None:
    unit = lost_unit(PIECES, UNIT, added=[IDEAL])
    assert unit.replaced == {0, 1, 3, 5}
    assert unit.carriers(chunker=False) == [0, 1, 3, 5]
    assert unit.carriers(chunker=True) == [6]
    overlapping = lost_unit([chunk(0, 3), chunk(3, 7)], UNIT, added=[chunk(1, 6)])
    assert overlapping.replaced == set()
    assert overlapping.carriers(chunker=True) == [0, 1, 2]


def test_inside_means_each_span_in_some_span_of_the_same_document() -> None:
    pieces = [
        Chunk.of(DOCUMENT, words(0, 2), words(3, 4)),
        Chunk.of(DOCUMENT, words(0, 2), words(3, 6)),
        replace(chunk(0, 2), spans=(said(0, 2), said(0, 2, "e"))),
        chunk(0, 2, OTHER),
    ]
    units = (UNIT, Evidence.of(said(0, 2, "e")))
    assert lost_unit(pieces, *units, added=[Chunk.of(DOCUMENT, words(0, 2), words(3, 5))]).replaced == {0}
    assert lost_unit(pieces, *units, added=[chunk(0, 6)]).replaced == {0, 1}
    assert lost_unit(pieces, *units, added=[chunk(0, 2, OTHER)]).replaced == {3}
    assert lost_unit(pieces, *units, added=[chunk(3, 6), chunk(0, 3, OTHER)]).replaced == {3}


def test_the_best_deliver_the_unit_with_few_and_keep_the_order() -> None:
    unit = lost_unit(PIECES, UNIT)
    assert unit.best_of([5, 4, 3, 2, 1, 0]) == (1, 0)
    assert unit.best_of([0, 3, 5, 1]) == (0, 1)
    assert unit.best_of([2, 4]) == ()
    assert unit.best_of([9, 0, 1]) == (0, 1), "a chunk that holds no evidence may be any"
    assert lost_unit([*PIECES, WHOLE], UNIT).best_of([0, 1, 6]) == (6,)
    assert lost_unit(PIECES, UNIT, added=[IDEAL]).best_of([0, 1, 6]) == (6,)
    assert lost_unit(PIECES, UNIT, top_k=1, min_coverage=0.6).best_of([1, 3, 0]) == (3,)
    assert lost_unit(PIECES, UNIT, budget=7).best_of([3, 0, 1]) == (0, 1)
    assert lost_unit(PIECES, UNIT, budget=6, min_coverage=0.8).best_of([3, 0, 1]) == (3, 1)


def test_ties_keep_the_units_that_were_delivered() -> None:
    """Either second piece completes the unit; which one is taken hangs on what else was delivered."""
    units = (Evidence.of(said(1, 3)), Evidence.of(said(3, 4)), Evidence.of(said(4, 5)))
    pieces = [chunk(1, 2), chunk(2, 4), Chunk.of(DOCUMENT, words(2, 3), words(4, 5))]
    for kept, best in (([0, 1, 0], (0, 1)), ([0, 0, 1], (0, 2))):
        assert lost_unit(pieces, *units, kept=kept).best_of([0, 1, 2]) == best


@pytest.mark.parametrize(
    ("top_k", "budget", "fits"),
    [(1, None, False), (2, None, True), (2, 6, False), (2, 7, True)],
)
def test_it_fits_where_k_chunks_within_the_budget_carry_it(
    top_k: int,
    budget: int | None,
    fits: bool,  # noqa: FBT001  # of a case
) -> None:
    assert lost_unit(PIECES, UNIT, top_k=top_k, budget=budget).fits is fits
    sibling = Evidence.of(said(7, 9))
    assert lost_unit(PIECES, sibling, UNIT, number=1, top_k=top_k, budget=budget).fits is fits


def test_it_fits_in_chunks_of_the_run_and_where_enough_of_it_does() -> None:
    assert not lost_unit(PIECES, UNIT, added=[IDEAL], top_k=1).fits
    assert lost_unit(PIECES, UNIT, added=[IDEAL], top_k=2).fits
    assert lost_unit(PIECES, UNIT, top_k=1, min_coverage=0.6).fits
    assert not lost_unit(PIECES, UNIT, top_k=1, min_coverage=0.7).fits


def test_the_best_order_is_the_best_then_what_holds_most_then_as_they_come() -> None:
    unit = lost_unit(PIECES, UNIT)
    assert unit.in_best_order([4, 5, 2, 3, 1, 0]) == [0, 1, 3, 5, 4, 2]
    assert lost_unit(PIECES, UNIT, min_coverage=0.4, top_k=1).in_best_order([4, 5, 1, 3, 2]) == [
        1,
        3,
        5,
        4,
        2,
    ]


def test_a_perfect_packer_keeps_the_best_and_what_still_fits() -> None:
    """Two, one, four and three words; the best take seven."""
    top = [2, 4, 0, 1]
    assert lost_unit(PIECES, UNIT).best_context(top) == top
    for budget, context in {7: [0, 1], 8: [4, 0, 1], 9: [2, 0, 1], 10: top, 99: top}.items():
        assert lost_unit(PIECES, UNIT, budget=budget).best_context(top) == context
    assert lost_unit(PIECES, UNIT, budget=10).best_context([3, *top, 5]) == [3, 0, 1]


def test_an_ideal_embedder_lifts_half_of_the_candidates_at_most_but_all_of_the_best() -> None:
    unit = lost_unit(PIECES, UNIT)
    assert unit.to_embed_ideally(9, chunker=False) == [0, 1, 3, 5], "the best first, then what holds most"
    assert unit.to_embed_ideally(8, chunker=False) == [0, 1, 3, 5]
    assert unit.to_embed_ideally(7, chunker=False) == [0, 1, 3]
    assert unit.to_embed_ideally(1, chunker=False) == [0, 1]
    assert lost_unit(PIECES[2:3], UNIT).to_embed_ideally(9, chunker=False) == []


def test_chunks_that_hold_the_same_are_lifted_by_number() -> None:
    pieces = [chunk(1, 3), chunk(0, 3), chunk(0, 6), chunk(0, 7)]
    unit = lost_unit(pieces, UNIT)
    assert unit.to_embed_ideally(9, chunker=False) == [2, 3, 0, 1]


def test_of_the_children_of_one_parent_it_lifts_one() -> None:
    parents = [chunk(1, 4, index_text="bbbb"), chunk(4, 6), chunk(1, 4, id="second", index_text="cccc")]
    unit = lost_unit(parents, UNIT)
    assert unit.to_embed_ideally(9, chunker=False) == [0, 1]
    assert unit.carriers(chunker=False) == [0, 1, 2]


def test_with_an_ideal_chunker_it_lifts_the_ideal_chunk_in_place_of_the_pieces() -> None:
    unit = lost_unit(PIECES, UNIT, added=[IDEAL])
    assert unit.to_embed_ideally(9, chunker=True) == [6]
    assert unit.to_embed_ideally(9, chunker=False) == [0, 1, 3, 5]


def test_it_lifts_what_keeps_the_delivered_units_of_the_query_too() -> None:
    sibling, lost = Evidence.of(said(7, 9)), Evidence.of(said(9, 10))
    units = (UNIT, sibling, lost)
    for kept, lifted in (([0, 1, 0], 2), ([0, 0, 1], 4)):
        unit = lost_unit(PIECES, *units, kept=kept, top_k=3, added=[IDEAL])
        assert unit.to_embed_ideally(2, chunker=False) == [0, 1, lifted]
        assert unit.to_embed_ideally(2, chunker=True) == [6, lifted]
    assert lost_unit(PIECES, *units, top_k=3, added=[IDEAL]).to_embed_ideally(2, chunker=True) == [6]
    assert lost_unit(PIECES, *units, kept=[0, 1, 0]).to_embed_ideally(2, chunker=False) == [0, 1], "k is two"


def test_it_lifts_only_what_is_there_with_or_without_an_ideal_chunker() -> None:
    """The sibling lies in a piece, in a chunk that is replaced, and in one that only the chunker adds."""
    sibling = Evidence.of(said(7, 9))
    pieces = [chunk(0, 4), chunk(4, 7), chunk(7, 8), chunk(8, 9)]
    unit = lost_unit(pieces, UNIT, sibling, kept=[0, 1], top_k=4, added=[IDEAL, chunk(7, 9, id="both")])
    assert unit.to_embed_ideally(2, chunker=False) == [0, 1, 2, 3]
    assert unit.to_embed_ideally(2, chunker=True) == [4, 5]
