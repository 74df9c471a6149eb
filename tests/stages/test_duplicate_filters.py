from __future__ import annotations

import time
from collections.abc import Sequence

import pytest
from contracts_retrievers import check_packer
from hypothesis import example, given
from hypothesis import strategies as st
from plugs import OrderRetriever, WholeChunker
from whole_documents import chunks_of

from ragdiag import Diagnosis, Evidence, Pipeline, Query, diagnose
from ragdiag.errors import ConfigError
from ragdiag.records import Chunk, Document, Span
from ragdiag.stages.packers import DuplicateFilter, NearDuplicateFilter
from ragdiag.stages.protocols import Packer, budget_of


def kept(packer: Packer, *texts: str) -> list[int]:
    """The positions of the texts that a packer keeps."""
    _, chunks = chunks_of(*texts)
    return [chunks.index(chunk) for chunk in packer.pack("?", chunks)]


# Few words, so that texts often repeat and hold each other.
TEXTS = st.lists(
    st.lists(st.sampled_from(["a", "b", "A", "b,", "30", "14"]), min_size=1, max_size=7)
    .flatmap(lambda words: st.sampled_from([" ", "\n", "  \t"]).map(lambda blank: blank.join(words))),
    max_size=9,
)  # fmt: skip


# --- word for word


@given(TEXTS)
@example(["a b", "a  b", "b a", "xa b", "a bx"])
def test_a_text_is_left_out_where_a_kept_one_holds_all_its_words_in_order(texts: list[str]) -> None:
    documents, chunks = chunks_of(*texts)
    check_packer(DuplicateFilter(), documents, chunks)

    def holds(outer: list[str], inner: list[str]) -> bool:
        return any(outer[at : at + len(inner)] == inner for at in range(len(outer) - len(inner) + 1))

    expected: list[int] = []
    for i, text in enumerate(texts):
        if not any(holds(texts[earlier].split(), text.split()) for earlier in expected):
            expected.append(i)
    assert kept(DuplicateFilter(), *texts) == expected


@pytest.mark.parametrize(
    "other",
    [
        "within 30 Days",
        "within 30 days.",
        "within 130 days",
        "within 3.30 days",
        "within 30 daysx",
        "within 30",
    ],
)
def test_what_differs_in_more_than_whitespace_is_no_duplicate(other: str) -> None:
    assert kept(DuplicateFilter(), other, "within 30 days") == [0, 1]


def test_a_chunk_that_holds_a_better_one_and_more_is_kept_as_is_that_one() -> None:
    assert kept(DuplicateFilter(), "b c", "a b c d", "a b c", "d") == [0, 1]


def test_overlapping_chunks_are_kept_and_pieces_are_not() -> None:
    document = Document("d", "one two three four five six")
    ranges = [(0, 18), (8, 27), (8, 18), (4, 27)]  # overlap, overlap, a piece of the first, more than both
    chunks = [Chunk.of(document, range_) for range_ in ranges]
    assert DuplicateFilter().pack("?", chunks) == [chunks[0], chunks[1], chunks[3]]


def test_children_that_deliver_the_same_parent_are_one() -> None:
    parent = Document("d", "The whole parent.")
    children = [
        Chunk(f"child {i}", (Span("d", 0, 17),), parent.text, index_text=word)
        for i, word in enumerate(parent.text.split())
    ]
    assert DuplicateFilter().pack("?", children) == children[:1]


def test_a_chunk_without_text_is_left_out_beside_any_other() -> None:
    chunks = [
        Chunk(id_, (Span("d", i, i + 1),), text) for i, (id_, text) in enumerate([("a", " "), ("b", "x")])
    ]
    assert DuplicateFilter().pack("?", chunks) == chunks
    assert DuplicateFilter().pack("?", chunks[::-1]) == chunks[1:]


# --- nearly so


def near_by_sets(texts: Sequence[str], threshold: float, shingle: int) -> list[int]:
    """Every pair compared by sets of strings, for texts of ASCII words alone."""

    def shingles(text: str) -> set[str]:
        words = text.lower().replace(",", "").split()
        runs = zip(*(words[start:] for start in range(shingle)), strict=False)
        return {" ".join(run) for run in runs} or {" ".join(words)}

    def near(text: str, better: str) -> bool:
        mine, theirs = shingles(text), shingles(better)
        lost = {word for word in text.split() if word.isdigit()} - set(better.split())
        return len(mine & theirs) >= threshold * len(mine) and not lost

    expected: list[int] = []
    for i, text in enumerate(texts):
        if not any(near(text, texts[earlier]) for earlier in expected):
            expected.append(i)
    return expected


@given(texts=TEXTS, threshold=st.sampled_from([0.25, 0.5, 0.75, 1.0]), shingle=st.integers(1, 4))
def test_near_duplicates_are_those_of_a_comparison_of_all_pairs(
    texts: list[str], threshold: float, shingle: int
) -> None:
    documents, chunks = chunks_of(*texts)
    packer = NearDuplicateFilter(threshold, shingle=shingle)
    check_packer(packer, documents, chunks)
    assert kept(packer, *texts) == near_by_sets(texts, threshold, shingle)


@given(texts=TEXTS, threshold=st.floats(0.1, 1), shingle=st.integers(1, 4), numbers=st.booleans())
def test_nothing_is_left_to_leave_out(
    texts: list[str], threshold: float, shingle: int, *, numbers: bool
) -> None:
    _, chunks = chunks_of(*texts)
    for packer in (DuplicateFilter(), NearDuplicateFilter(threshold, shingle=shingle, keep_numbers=numbers)):
        once = packer.pack("?", chunks)
        assert packer.pack("?", once) == once
        assert once[:1] == chunks[:1]


LONG = " ".join(f"word{chr(97 + i % 26)}{chr(97 + i // 26)}" for i in range(100))


def test_one_changed_word_of_a_hundred_leaves_91_of_96_shingles() -> None:
    changed = LONG.replace("wordya", "another")
    assert kept(NearDuplicateFilter(91 / 96), LONG, changed) == [0]
    assert kept(NearDuplicateFilter(91.5 / 96), LONG, changed) == [0, 1]


def test_containment_has_a_direction() -> None:
    part = " ".join(LONG.split()[20:60])
    assert kept(NearDuplicateFilter(0.9), LONG, part) == [0]
    assert kept(NearDuplicateFilter(0.9), part, LONG) == [0, 1]


def test_one_better_chunk_must_hold_it_not_several_together() -> None:
    words = LONG.split()
    halves = [" ".join(words[:60]), " ".join(words[40:])]
    assert kept(NearDuplicateFilter(0.9), *halves, LONG) == [0, 1, 2]


@pytest.mark.parametrize(
    ("better", "text"),
    [
        ("within 30 days", "within 14 days"),
        ("costs 4.90 euros", "costs 4 90 euros"),
        ("a change of 5%", "a change of 5"),
        ("a change of -5", "a change of 5"),
        ("a fee of $5", "a fee of €5"),
        ("on 2024-01-02", "on 2024-02-01"),
        ("open at 9:30", "open at 9, 30"),
        ("退货期限为30天", "退货期限为14天"),
    ],
)
def test_a_number_that_the_better_chunk_lacks_keeps_a_chunk(better: str, text: str) -> None:
    assert kept(NearDuplicateFilter(0.1, shingle=1), better, text) == [0, 1]
    assert kept(NearDuplicateFilter(0.1, shingle=1, keep_numbers=False), better, text) == [0]


def test_the_same_number_beside_other_punctuation_is_no_news() -> None:
    assert kept(NearDuplicateFilter(1, shingle=2), "within 30 days (or 14)", "Within 30, days: or 14.") == [0]


def test_a_word_that_turns_the_meaning_is_not_noticed() -> None:
    """What the docstring warns of."""
    assert kept(NearDuplicateFilter(0.5, shingle=1), "it may be returned", "it may not be returned") == [0]


def test_texts_in_scripts_without_spaces_are_compared() -> None:
    text = "商品は三十日以内に返品できます。送料はお客様のご負担となります。"
    packer = NearDuplicateFilter(0.7, shingle=3)
    assert kept(packer, text, text.replace("お客様", "購入者"), "退货期限为三十天。") == [0, 2]


def test_texts_without_words_are_kept() -> None:
    assert kept(NearDuplicateFilter(0.1), "---", "---", "?") == [0, 1, 2]


def test_a_hundred_long_chunks_take_no_time() -> None:
    texts = [f"{LONG} {LONG[: 5 * i]} number {i}" for i in range(100)]
    _, chunks = chunks_of(*texts)
    started = time.perf_counter()
    assert len(NearDuplicateFilter(0.99).pack("?", chunks)) == 100
    assert len(DuplicateFilter().pack("?", chunks)) == 100
    assert time.perf_counter() - started < 5


# --- both


def test_declarations() -> None:
    assert repr(DuplicateFilter()) == "DuplicateFilter()"
    assert repr(NearDuplicateFilter(0.9)) == (
        "NearDuplicateFilter(threshold=0.9, shingle=5, keep_numbers=True)"
    )
    assert budget_of(DuplicateFilter()) is None
    assert budget_of(NearDuplicateFilter(1)) is None


@pytest.mark.parametrize("threshold", [0, -0.1, 1.01, float("nan")])
def test_a_threshold_is_a_share(threshold: float) -> None:
    with pytest.raises(ConfigError, match=r"threshold must be above 0 and at most 1, got"):
        NearDuplicateFilter(threshold)


def test_a_shingle_has_words() -> None:
    with pytest.raises(ConfigError, match="shingle must be at least 1, got 0"):
        NearDuplicateFilter(0.9, shingle=0)


def diagnosed(packer: Packer, texts: Sequence[str], evidence: str) -> Diagnosis:
    """A pipeline that delivers all documents in order, asked for evidence in the last of them."""
    documents, chunks = chunks_of(*texts)
    last = [*documents.values()][-1]
    query = Query("q", "a question", [Evidence.of(Span.find(last, evidence))])
    order = OrderRetriever({"q": [chunk.id for chunk in chunks]})
    pipeline = Pipeline(chunker=WholeChunker(), retriever=order, packer=packer)
    return diagnose(pipeline, [*documents.values()], [query], progress=False)


def lost_at(diagnosis: Diagnosis) -> list[tuple[str, str]]:
    return list(zip(diagnosis.failures["stage"], diagnosis.failures["proof"], strict=True))


def test_evidence_that_a_kept_chunk_says_too_is_not_lost() -> None:
    copy = "Goods may be returned within 30 days."
    assert lost_at(diagnosed(DuplicateFilter(), [f"Returns: {copy}", copy], copy)) == []
    # Below the length from which copies count, the place is what was asked for.
    short = diagnosed(DuplicateFilter(), [f"Returns: {copy}", copy], "30 days")
    assert lost_at(short) == [("packer", "verified")]


def test_a_near_duplicate_that_held_the_evidence_is_the_packers_loss() -> None:
    texts = [f"{LONG}. Parcels may be {how} by the neighbors." for how in ("opened", "collected")]
    evidence = "Parcels may be collected by the neighbors."
    diagnosis = diagnosed(NearDuplicateFilter(0.9), texts, evidence)
    assert lost_at(diagnosis) == [("packer", "verified")]
    assert diagnosis.losses.loc["packer", "loss"] == pytest.approx(1)
    assert lost_at(diagnosed(NearDuplicateFilter(0.99), texts, evidence)) == []
    numbers = [f"{LONG}. Parcels are kept for {days} days." for days in (7, 10)]
    assert lost_at(diagnosed(NearDuplicateFilter(0.9), numbers, "Parcels are kept for 10 days.")) == []
