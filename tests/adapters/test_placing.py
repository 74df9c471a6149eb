"""Places of chunks against the places that they were really cut from."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plugs import AnyChunker

from ragdiag.adapters.placing import Piece, Placed, place
from ragdiag.records import Document
from ragdiag.spans import Range
from ragdiag.stages import boundary

# Few words in all scripts, so that nearly every text repeats itself.
words = st.sampled_from(["a", "b", "ab", "é", "👩‍👧", "商品"])
blanks = st.sampled_from([" ", "  ", "\n\n", "\r\n", "\t", "\u2003", "\x1c", ""])
texts = st.lists(st.tuples(words, blanks), min_size=1, max_size=30).map(
    lambda parts: "".join(word + blank for word, blank in parts)
)


def ranges_of(placed: Placed) -> list[Range]:
    return [(span.start, span.end) for chunk in placed.chunks for span in chunk.spans]


def checked(document: Document, pieces: list[Piece]) -> Placed:
    """The placed pieces, after the boundary has held every chunk against the document."""
    placed = place(document, pieces)

    assert boundary.chunk_document(AnyChunker(lambda _: placed.chunks), document) == placed.chunks
    assert placed.verified + placed.located + placed.partly == len(placed.chunks)
    return placed


def visible(text: str) -> str:
    return "".join(text.split())


def without_edges(text: str, range_: Range) -> Range:
    start, end = range_
    inner = text[start:end]
    return start + len(inner) - len(inner.lstrip()), end - len(inner) + len(inner.rstrip())


@st.composite
def partitions(draw: st.DrawFn) -> tuple[str, list[Range]]:
    """A text, and ranges that divide it; each holds a visible character."""
    text = draw(texts)
    cuts = sorted(draw(st.sets(st.integers(0, len(text)), max_size=8)) | {0, len(text)})
    return text, [pair for pair in pairwise(cuts) if text[slice(*pair)].strip()]


@st.composite
def windows(draw: st.DrawFn) -> tuple[str, list[Range]]:
    """A text, and overlapping ranges over all of it; each begins and ends after the one before."""
    text = visible(draw(texts))
    ranges = [(0, draw(st.integers(1, min(6, len(text)))))]
    while ranges[-1][1] < len(text):
        start, end = ranges[-1]
        ranges.append(
            (
                draw(st.integers(max(start + 1, end - 4), end)),
                draw(st.integers(end + 1, min(end + 6, len(text)))),
            )
        )
    return text, ranges


@given(partitions(), st.sampled_from([str, str.strip, lambda text: " ".join(text.split())]))
def test_what_divides_a_text_is_found_where_it_was_cut(cut: tuple[str, list[Range]], strip: object) -> None:
    text, ranges = cut
    placed = checked(Document("d", text), [Piece(strip(text[a:b])) for a, b in ranges])  # type: ignore[operator]
    assert ranges_of(placed) == [without_edges(text, range_) for range_ in ranges]
    assert [chunk.text for chunk in placed.chunks] == [strip(text[a:b]) for a, b in ranges]  # type: ignore[operator]
    assert placed.placement == ("located" if ranges else "verified")


@given(windows())
def test_overlapping_pieces_keep_their_order_and_lose_nothing(cut: tuple[str, list[Range]]) -> None:
    text, ranges = cut
    found = ranges_of(checked(Document("d", text), [Piece(text[a:b]) for a, b in ranges]))
    assert [text[a:b] for a, b in found] == [text[a:b] for a, b in ranges]
    assert all(a < c and b < d for (a, b), (c, d) in pairwise(found))
    assert {i for a, b in found for i in range(a, b)} == set(range(len(text)))


@given(windows(), st.data())
def test_what_a_library_says_is_taken_where_it_is_right(
    cut: tuple[str, list[Range]], data: st.DataObject
) -> None:
    text, ranges = cut
    claims = [data.draw(st.sampled_from([range_, (range_[0] + 900, range_[1] + 900)])) for range_ in ranges]
    placed = checked(
        Document("d", text), [Piece(text[a:b], claim) for (a, b), claim in zip(ranges, claims, strict=True)]
    )
    right = [claim == range_ for claim, range_ in zip(claims, ranges, strict=True)]
    assert placed.verified == sum(right)
    found = ranges_of(placed)
    assert all(found[i] == ranges[i] for i, is_right in enumerate(right) if is_right)
    assert placed.placement == ("verified" if all(right) else "mixed" if any(right) else "located")


def test_offsets_of_bytes_are_not_believed() -> None:
    text = "naïve café. naïve café. au lait"
    pieces, at = [], 0
    for part in ("naïve café. ", "naïve café. ", "au lait"):
        size = len(part.encode())
        pieces.append(Piece(part, (at, at + size)))
        at += size
    placed = checked(Document("d", text), pieces)
    assert ranges_of(placed) == [(0, 11), (12, 23), (24, 31)]
    assert (placed.verified, placed.located, placed.placement) == (0, 3, "located")


def test_what_stands_there_once_needs_no_order() -> None:
    text = "One two. Three four. Five six."
    parts = ["Three four. Five six.", "One two.", "Five six.", "Three four."]
    assert [text[a:b] for a, b in ranges_of(checked(Document("d", text), [*map(Piece, parts)]))] == parts


def test_between_what_is_certain_a_repeat_takes_the_place_that_is_left() -> None:
    text = "Yes. First. Yes. Second. Yes. Third. Yes."
    pieces = [*map(Piece, ["First.", "Yes.", "Second.", "Third.", "Yes."])]
    assert ranges_of(checked(Document("d", text), pieces)) == [
        (5, 11),
        (12, 16),
        (17, 24),
        (30, 36),
        (37, 41),
    ]


def test_the_smallest_gap_is_left_where_a_library_drops_text() -> None:
    text = "x, yes. y - yes. z, yes."
    pieces = [*map(Piece, ["x", "yes.", "y", "yes.", "z"])]
    assert ranges_of(checked(Document("d", text), pieces)) == [(0, 1), (3, 7), (8, 9), (12, 16), (17, 18)]


def test_levels_begin_anew() -> None:
    text = "a b a b a b"
    pieces = [*map(Piece, ["a b a b a b", "a b", "a b", "a b", "a", "b", "a", "b", "a", "b"])]
    placed = checked(Document("d", text), pieces)
    assert placed.left_out == 0
    assert {i for a, b in ranges_of(placed)[4:] for i in range(a, b)} <= set(range(len(text)))


def test_two_chunks_of_one_place_have_ids_of_their_own() -> None:
    placed = checked(Document("d", "Only this."), [Piece("Only this."), Piece("Only  this."), Piece("this.")])
    assert [chunk.id for chunk in placed.chunks] == ["d#0-10", "d#0-10/2", "d#5-10"]


@pytest.mark.parametrize("text", ["", " \n", "x"])
def test_pieces_without_a_visible_character_are_dropped(text: str) -> None:
    placed = place(Document("d", text), [Piece(""), Piece(" "), Piece("\n", (0, 1))])
    assert placed == Placed((), verified=0, located=0, partly=0, left_out=0, unlocated_characters=0)


def test_what_is_between_broken_characters_is_delivered() -> None:
    text = "Reden 🇩🇪 über Käse und 🇩🇪 Brot."
    pieces = [Piece("Reden 🇩\ufffd"), Piece("\ufffd über Käse und \ufffd\ufffd"), Piece("\ufffd Brot.")]
    placed = checked(Document("d", text), pieces)
    assert [chunk.text for chunk in placed.chunks] == ["Reden 🇩", "über Käse und", "Brot."]
    assert [chunk.index_text for chunk in placed.chunks] == [piece.text for piece in pieces]
    assert (placed.partly, placed.left_out, placed.unlocated_characters) == (3, 0, 5)


def test_rewritten_text_is_aligned_and_what_is_found_is_delivered() -> None:
    text = (
        "<h1>Returns of goods</h1>\n<p>Within <b>thirty</b> days of delivery, for free.</p>\n<p>Ask us.</p>"
    )
    piece = Piece("RETURNS OF GOODS. Within thirty days of delivery, for free.")
    placed = checked(Document("d", text), [piece, Piece("Ask us.")])
    chunk = placed.chunks[0]
    assert " ".join(chunk.text.split()) == "Returns of goods Within thirty days of delivery, for free."
    assert chunk.index_text == piece.text
    assert len(chunk.spans) == 4
    assert (placed.located, placed.partly, placed.unlocated_characters) == (1, 1, 1)


def test_overlapping_rewritten_pieces_are_each_aligned() -> None:
    sentences = [f"Clause {i} says {'no' if i % 2 else 'yes'} to number {i * i}." for i in range(12)]
    document = Document("d", " ".join(sentences).replace("says", "<i>says</i>"))
    pieces = [Piece(" ".join(sentences[i : i + 2])) for i in range(11)]
    placed = checked(document, pieces)
    assert (placed.partly + placed.located, placed.left_out) == (11, 0)
    for chunk, piece in zip(placed.chunks, pieces, strict=True):
        words_left = iter(piece.text.split())
        assert all(word in words_left for word in chunk.text.split())  # in order
        assert chunk.text.count("to number") == 2


def test_a_piece_of_which_most_stands_nowhere_is_left_out_and_counted() -> None:
    document = Document("d", "Goods may be returned within 30 days. Keep the receipt.")
    pieces = [Piece("A summary that somebody made of returned"), Piece("Keep the receipt.")]
    placed = checked(document, pieces)
    assert [chunk.text for chunk in placed.chunks] == ["Keep the receipt."]
    assert (placed.located, placed.left_out) == (1, 1)
    assert placed.unlocated_characters == len("Asummarythatsomebodymadeofreturned")


def test_lone_surrogates_stay_in_the_text_and_not_in_what_is_indexed() -> None:
    document = Document("d", "broken \ud83d text")
    placed = checked(document, [Piece("broken \ufffd"), Piece("text")])
    assert [chunk.text for chunk in placed.chunks] == ["broken \ud83d", "text"]
    assert [chunk.index_text for chunk in placed.chunks] == ["broken \ufffd", "text"]
    assert (placed.located, placed.partly) == (2, 0)


garbled = st.lists(
    st.sampled_from(
        ["Goods ", "returned ", "ﬁne ", "Fine.\n", "ß", "SS ", "<b>", "\ufffd", "\ud83d", "商品", "\x85"]
    ),
    max_size=25,
).map("".join)


@given(st.lists(garbled, max_size=6), st.lists(st.tuples(garbled, st.integers(-2, 40)), max_size=6))
def test_whatever_a_library_says_chunks_are_those_of_the_document(
    parts: list[str], others: list[tuple[str, int]]
) -> None:
    pieces = [Piece(part.upper().replace("\ud83d", "\ufffd")) for part in parts]
    pieces += [Piece(other.replace("\ud83d", "\ufffd"), (at, at + len(other))) for other, at in others]
    placed = checked(Document("d", "".join(parts)), pieces)
    shown = [piece for piece in pieces if piece.text.strip()]
    assert len(placed.chunks) + placed.left_out == len(shown)
    assert placed.unlocated_characters <= sum(len(visible(piece.text)) for piece in shown)


def test_metadata_of_the_library_stand_over_those_of_the_document() -> None:
    document = Document("d", "text", {"lang": "en", "heading": "none"})
    [chunk] = place(document, [Piece("text", metadata={"heading": "Guide"})]).chunks
    assert chunk.metadata == {"lang": "en", "heading": "Guide"}
