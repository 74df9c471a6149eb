"""Causes of the packer: each planted in what it keeps, and what looks like it and is not."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import pytest
from diagnosis.checks.index_findings import findings, outcome
from faults.broken_stages import (
    DecapitatingPacker,
    DroppingPacker,
    ForgetfulRetriever,
    MiscountingPacker,
    ShorteningPacker,
    ThriftyPacker,
)
from faults.laboratory import WordBudget, examine, first_that_fit, laboratory, verdicts, words
from hypothesis import given
from hypothesis import strategies as st
from plugs import AnyPacker, CutChunker, OrderRetriever, WholeChunker

from ragdiag import Diagnosis, Pipeline, diagnose
from ragdiag.diagnosis.checks.check import CheckOutcome
from ragdiag.records import Chunk, Document, Evidence, Query, Span
from ragdiag.stages.embedders import HashingEmbedder
from ragdiag.stages.packers import NearDuplicateFilter, PackerChain, PromptOrder, TokenBudget, TopK
from ragdiag.stages.protocols import Vectors

REPEATS = NearDuplicateFilter(0.5, shingle=1, keep_numbers=False)


# A pipeline in which only the packer decides


def whole_chunk(document: Document) -> str:
    """The id of the one chunk of a document."""
    return WholeChunker().chunk(document)[0].id


def packed(
    packer: Any,
    asked: Sequence[tuple[Sequence[str], int]],
    *,
    top_k: int = 5,
    embedder: Any = None,
) -> Diagnosis:
    """Each question is given texts, best first, of which the one with this number is its evidence."""
    documents, queries, order = [], [], {}
    for number, (texts, gold) in enumerate(asked):
        own = [Document(f"q{number}-{i}", text) for i, text in enumerate(texts)]
        documents += own
        whole = Evidence.of(Span(own[gold].id, 0, len(own[gold].text)))
        queries.append(Query(f"q{number}", f"question {number}", [whole]))
        order[f"q{number}"] = [whole_chunk(document) for document in own]
    pipeline = Pipeline(
        chunker=WholeChunker(),
        embedder=embedder,
        retriever=OrderRetriever(order, uses_vectors=embedder is not None),
        packer=packer,
        candidates=top_k,
        top_k=top_k,
    )
    return diagnose(pipeline, documents, queries, copies=False, progress=False)


def sentence(name: str, length: int) -> str:
    """A text of so many words that no other sentence has."""
    return " ".join(f"{name}{'abcdefghijklmnopqrstuvwxyz'[i]}" for i in range(length))


def sentences(name: str, *lengths: int) -> list[str]:
    return [sentence(f"{name}{i * 'x'}", length) for i, length in enumerate(lengths)]


def numbers(pattern: str, observation: str) -> list[int]:
    found = re.search(pattern, observation)
    assert found is not None, observation
    return [int(number) for number in found.groups()]


def only(diagnosis: Diagnosis, code: str) -> dict[tuple[str, int], Any]:
    """The findings of one code: all that was lost is called by it."""
    found = findings(diagnosis, code)
    assert found.keys() == verdicts(diagnosis).keys()
    assert {f"packer.{verdict.cause}" for verdict in verdicts(diagnosis).values()} == {code}
    return found


# Repeats

ALIKE = [
    "the river gate opens at seven in spring and closes at nine",
    "rust on the lower hinges was found by the night crew in the second week of march",
    "the river gate opens at eight in spring and closes at ten",
    "paint for the upper hinges is kept in the shed behind the engine house",
]


@pytest.mark.parametrize(
    "packer",
    [REPEATS, PackerChain([REPEATS, TopK(3)]), PackerChain([REPEATS, TokenBudget(2000)])],
    ids=["alone", "before a cut", "before a budget"],
)
def test_a_chunk_taken_for_a_repeat_is_seen_by_trying_pairs(packer: Any) -> None:
    diagnosis = packed(packer, [(ALIKE, 2)] * 3)
    found = only(diagnosis, "packer.deduplicated")
    assert len(found) == 3
    for (query_id, _), finding in found.items():
        assert finding.sureness == "proven"
        shared, own = numbers(r"^(\d+) of the (\d+) different words of chunk", finding.observation)
        assert own == len(set(ALIKE[2].split()))
        assert shared == len(set(ALIKE[2].split()) & set(ALIKE[0].split()))
        ids = re.findall(r"'([^']+)'", finding.observation)
        texts = {chunk.id: chunk.text for chunk in diagnosis.trace.chunks}
        assert [texts[chunk_id] for chunk_id in ids] == [ALIKE[2], ALIKE[0]]
        assert "beside 2 of 2 others" in finding.observation
        assert query_id in ids[0]


def test_without_what_it_repeats_it_may_still_be_left_out() -> None:
    """The packer keeps only two chunks: beside any other one it is kept, behind two others it is not."""
    packer = PackerChain([REPEATS, TopK(2)])
    texts = [ALIKE[0], ALIKE[1], ALIKE[3], ALIKE[2]]
    found = findings(packed(packer, [(texts, 3)]), "packer.deduplicated")
    assert [finding.sureness for finding in found.values()] == ["measured"]


@pytest.mark.parametrize("bench", ["full", "bare"])
@pytest.mark.parametrize("packer", [ThriftyPacker(12), DecapitatingPacker(), MiscountingPacker(64)])
def test_what_is_left_out_whatever_it_says_is_no_repeat(packer: Any, bench: str) -> None:
    diagnosis = examine(laboratory(bench, 0).using(packer=packer))
    seen = outcome(diagnosis, "packer.deduplicated")
    assert (seen.status, seen.looked_at) == ("silent", len(verdicts(diagnosis)))


def test_what_the_packer_never_keeps_is_no_repeat() -> None:
    healthy = laboratory("full", 0)
    diagnosis = examine(healthy.using(packer=DroppingPacker(healthy.some_keys(0.3, 0))))
    assert {verdict.cause for verdict in verdicts(diagnosis).values()} == {"dropped"}
    assert outcome(diagnosis, "packer.deduplicated").status == "silent"


def test_a_short_budget_before_similar_texts_is_no_repeat() -> None:
    """It shares most words with the longest text before it, and only that one leaves no room."""
    long = f"{ALIKE[0]} {sentence('more', 20)}"
    diagnosis = packed(WordBudget(40), [([long, "a short one", ALIKE[2]], 2)])
    assert findings(diagnosis, "packer.deduplicated") == {}
    assert only(diagnosis, "packer.budget")


def test_a_repeat_is_seen_where_all_else_repeats_as_well() -> None:
    """There is nothing that it is kept beside; but other contexts take as much as the two together."""
    alike = [ALIKE[0], ALIKE[2]]
    long = (sentences("p", 20, 20), 0)
    found = findings(packed(REPEATS, [(alike, 1), long]), "packer.deduplicated")
    assert [finding.sureness for finding in found.values()] == ["proven"]
    assert findings(packed(REPEATS, [(alike, 1)]), "packer.deduplicated") == {}


def test_two_chunks_of_one_document_are_no_repeats() -> None:
    """The packer keeps one chunk a document, whatever they say."""
    document = Document("d", "alpha beta gamma of delta epsilon zeta of eta theta iota kappa")
    first, second = document.text[:21], document.text[22:]
    others = [Document(name, sentence(name, 9)) for name in ("e", "f")]
    ranges = [[(0, len(first))], [(22, len(document.text))]]
    chunks = CutChunker({"d": ranges}).chunk(document)
    order = [chunks[0].id, whole_chunk(others[0]), chunks[1].id, whole_chunk(others[1])]
    pipeline = Pipeline(
        chunker=CutChunker({"d": ranges}),
        retriever=OrderRetriever({"q": order}),
        packer=AnyPacker(lambda given: list({c.spans[0].doc_id: c for c in reversed(given)}.values())),
    )
    query = Query("q", "question", [Evidence.of(Span.find(document, second))])
    diagnosis = diagnose(pipeline, [document, *others], [query], progress=False)
    assert {verdict.cause for verdict in verdicts(diagnosis).values()} == {"dropped"}
    assert outcome(diagnosis, "packer.deduplicated").status == "silent"


def test_room_for_one_chunk_is_no_repeat() -> None:
    diagnosis = packed(TopK(1), [([ALIKE[0], ALIKE[2]], 1), ([sentence("p", 26)], 0)])
    assert outcome(diagnosis, "packer.deduplicated").status == "silent"


# Counting


def test_counting_in_another_unit_than_declared_is_a_miscount() -> None:
    diagnosis = examine(laboratory("full", 1).using(packer=MiscountingPacker(64)))
    found = only(diagnosis, "packer.miscount")
    trace = diagnosis.trace
    kept = {query.query_id: sum(len(chunk.text) for chunk in query.context) for query in trace.queries}
    for (query_id, _), finding in found.items():
        assert finding.sureness == "measured"
        takes, room, budget = numbers(
            r"chunk takes (\d+) tokens, and (\d+) of (\d+) were left\.", finding.observation
        )
        context = trace[query_id].context
        assert (budget, room) == (64, 64 - sum(len(words(chunk.text)) for chunk in context))
        assert takes <= room
        most, least = numbers(r"more than (\d+) characters, .* been (\d+) or more", finding.observation)
        assert most == max(kept.values()) <= 64 < least


def test_the_limit_may_be_a_part_of_the_budget() -> None:
    """As where every token is counted five times."""

    @dataclass(frozen=True)
    class FiveTimes:
        budget: int = 60

        def tokens(self, chunk: Chunk) -> int:
            return len(words(chunk.text))

        def pack(self, query: str, chunks: Sequence[Chunk]) -> list[Chunk]:  # noqa: ARG002
            return first_that_fit(chunks, self.budget, lambda chunk: 5 * self.tokens(chunk))

    asked = [(sentences("p", 5, 7, 6, 5), 2), (sentences("q", 9, 6, 1), 1), (sentences("r", 13, 6), 0)]
    found = only(packed(FiveTimes(), asked), "packer.miscount")
    for finding in found.values():
        assert finding.sureness == "measured"
        assert numbers(r"more than (\d+) .* been (\d+) or more", finding.observation) == [12, 13]
    takes = [numbers(r"takes (\d+) tokens, and (\d+) of (\d+)", f.observation) for f in found.values()]
    assert takes == [[6, 48, 60], [6, 50, 60], [13, 54, 60]]


def test_a_single_chunk_left_out_fits_any_limit() -> None:
    asked = [(sentences("p", 2, 9, 2), 1), (sentences("q", 2, 2), 0)]
    [verdict] = verdicts(packed(MiscountingPacker(30), asked)).values()
    assert [finding.code for finding in verdict.findings] == ["packer.dropped"]


def test_a_limit_that_tells_nearly_all_apart_is_suspected() -> None:
    """The packer adds ten letters to each chunk, for what stands between them: the sums overlap a little."""

    @dataclass(frozen=True)
    class Separating:
        def pack(self, query: str, chunks: Sequence[Chunk]) -> list[Chunk]:  # noqa: ARG002
            return first_that_fit(chunks, 100, lambda chunk: len(chunk.text) + 10)

    many_words, few_words = " ".join("abcdefgh" * 5 + "abcde"), ["p" * 40, "q" * 30, "r" * 11]
    asked = [([many_words[:88].strip() + "x", *few_words[:2]], 1), (few_words, 2), (few_words, 2)]
    found = findings(packed(Separating(), asked), "packer.budget")
    assert {finding.sureness for finding in found.values()} == {"suspected"}
    for finding in found.values():
        assert numbers(r"more than (\d+) characters, .* been (\d+) or more", finding.observation) == [88, 81]


@dataclass(frozen=True)
class Declaring:
    """Another packer, that declares a budget that it does not look at."""

    inner: Any
    budget: int

    def tokens(self, chunk: Chunk) -> int:
        return len(words(chunk.text))

    def pack(self, query: str, chunks: Sequence[Chunk]) -> Sequence[Chunk]:
        return self.inner.pack(query, chunks)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "inner",
    [DecapitatingPacker(), TopK(2), ShorteningPacker()],
    ids=["first dropped", "cut off", "shortened"],
)
def test_room_that_is_left_for_other_reasons_is_no_miscount(inner: Any) -> None:
    diagnosis = examine(laboratory("bare", 1).using(packer=Declaring(inner, 96)))
    assert verdicts(diagnosis) or isinstance(inner, TopK)
    assert outcome(diagnosis, "packer.miscount").found == 0


def test_room_that_is_left_where_a_repeat_was_dropped_is_no_miscount() -> None:
    diagnosis = packed(Declaring(REPEATS, 500), [(ALIKE, 2)] * 3)
    assert findings(diagnosis, "packer.miscount") == {}
    assert only(diagnosis, "packer.deduplicated")


@dataclass(frozen=True)
class LetterBudget:
    """Declares a budget, and that a chunk takes a token a letter of it."""

    budget: int

    def tokens(self, chunk: Chunk) -> int:
        return len(chunk.text)

    def pack(self, query: str, chunks: Sequence[Chunk]) -> list[Chunk]:  # noqa: ARG002
        return first_that_fit(chunks, self.budget, self.tokens)


def test_far_more_tokens_than_the_embedder_counts_are_suspected() -> None:
    texts = sentences("p", 6, 5, 8)
    embedder = HashingEmbedder()
    diagnosis = packed(LetterBudget(30), [(texts, 1)], embedder=embedder)
    [verdict] = verdicts(diagnosis).values()
    assert verdict.cause == "budget", "the packer keeps to what it declares"
    [finding] = findings(diagnosis, "packer.miscount").values()
    assert finding.sureness == "suspected"
    both = numbers(r"takes (\d+) tokens by the packer's own count and (\d+) by the", finding.observation)
    kept = texts[:2]
    assert both == [sum(map(len, kept)), sum(embedder.count_tokens(kept))]


def test_so_are_those_that_no_choice_could_fit() -> None:
    diagnosis = packed(LetterBudget(20), [(sentences("p", 2, 8), 1)], embedder=HashingEmbedder())
    [verdict] = verdicts(diagnosis).values()
    assert (verdict.stage, verdict.cause) == ("capacity", "budget")
    assert [f.code for f in verdict.findings] == ["capacity.budget", "packer.miscount"]


@dataclass(frozen=True)
class SilentEmbedder:
    """Does not say how it counts tokens."""

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        return HashingEmbedder().embed_documents(texts)

    embed_queries = embed_documents


def test_without_another_counter_nothing_is_suspected() -> None:
    diagnosis = packed(LetterBudget(30), [(sentences("p", 6, 5, 8), 1)], embedder=SilentEmbedder())
    assert outcome(diagnosis, "packer.miscount").status == "silent"


def test_the_same_count_as_the_embedder_s_is_not_suspected() -> None:
    diagnosis = packed(WordBudget(8), [(sentences("p", 6, 5, 8), 1)], embedder=HashingEmbedder())
    assert verdicts(diagnosis)
    assert outcome(diagnosis, "packer.miscount").status == "silent"


@pytest.mark.parametrize("code", ["packer.miscount", "packer.overflow"])
def test_without_a_budget_there_is_nothing_to_count(code: str) -> None:
    seen = outcome(packed(ThriftyPacker(8), [(sentences("p", 6, 5, 8), 1)]), code)
    assert seen == CheckOutcome(code, "not applicable", 0, 0, "the packer declares no budget")


# Overflow


@dataclass(frozen=True)
class Overflowing:
    """Goes on until the budget is exceeded."""

    budget: int

    def tokens(self, chunk: Chunk) -> int:
        return len(words(chunk.text))

    def pack(self, query: str, chunks: Sequence[Chunk]) -> list[Chunk]:  # noqa: ARG002
        packed, taken = [], 0
        for chunk in chunks:
            if taken > self.budget:
                break
            packed.append(chunk)
            taken += self.tokens(chunk)
        return packed


def test_a_context_beyond_the_budget_is_an_overflow() -> None:
    asked = [(sentences("p", 6, 9, 4), 2), (sentences("q", 6, 4), 0), (sentences("r", 3, 9, 5), 1)]
    diagnosis = packed(Overflowing(10), asked)
    [finding] = only(diagnosis, "packer.overflow").values()
    assert finding.sureness == "measured"
    assert numbers(r"takes (\d+) tokens of a budget of (\d+); (\d+) of (\d+)", finding.observation) == [
        15,
        10,
        2,
        3,
    ]


def test_a_context_within_the_budget_is_no_overflow() -> None:
    diagnosis = packed(WordBudget(10), [(sentences("p", 6, 9, 4, 8), 3)])
    seen = outcome(diagnosis, "packer.overflow")
    assert (seen.status, seen.looked_at) == ("silent", 1)


# Budget


@given(st.lists(st.integers(1, 12), min_size=2, max_size=5), st.integers(4, 30), st.data())
def test_what_fills_the_budget_before_it_is_seen_where_another_choice_would_keep_it(
    lengths: list[int], budget: int, data: st.DataObject
) -> None:
    gold = data.draw(st.integers(0, len(lengths) - 1))
    diagnosis = packed(WordBudget(budget), [(sentences("p", *lengths), gold)])
    kept, room = [], budget
    for number, length in enumerate(lengths):
        if length <= room:
            kept.append(number)
            room -= length
    fits = any(
        gold in chosen and sum(lengths[i] for i in chosen) <= budget
        for size in range(1, len(lengths) + 1)
        for chosen in combinations(range(len(lengths)), size)
    )
    found = findings(diagnosis, "packer.budget")
    assert bool(found) == (gold not in kept and fits)
    for finding in found.values():
        assert finding.sureness == "proven"
        assert numbers(r"chunk takes (\d+) tokens; (\d+) of (\d+) were left", finding.observation) == [
            lengths[gold],
            room,
            budget,
        ]
        assert numbers(r"(\d+) of the (\d+) chunks, takes (\d+)", finding.observation) == [
            1,
            len(lengths),
            lengths[gold],
        ]


def test_a_packer_that_stops_leaves_out_what_would_have_fitted() -> None:
    packer = TokenBudget(60, counter="characters", separator="", overflow="stop")
    texts = ["x" * 30, "y" * 40, "z" * 20]
    diagnosis = packed(packer, [(texts, 2), (texts, 0)])
    [finding] = only(diagnosis, "packer.budget").values()
    assert finding.sureness == "proven"
    assert numbers(r"chunk '\S+' takes (\d+) tokens, of (\d+) (\d+) were left", finding.observation) == [
        40,
        60,
        30,
    ]
    assert outcome(diagnosis, "packer.miscount").status == "silent"


def test_a_budget_that_is_not_declared_shows_in_all_contexts() -> None:
    diagnosis = examine(laboratory("bare", 1).using(packer=ThriftyPacker(12)))
    for finding in only(diagnosis, "packer.budget").values():
        assert finding.sureness == "measured"
        most, drops, least = numbers(
            r"more than (\d+) words, and with any of the (\d+) chunks .* been (\d+) or more",
            finding.observation,
        )
        contexts = [sum(len(words(c.text)) for c in q.context) for q in diagnosis.trace.queries]
        assert most == max(contexts) <= 12 < least
        kept = sum(len(query.context) for query in diagnosis.trace.queries)
        assert drops == 4 * len(diagnosis.trace.queries) - kept


@pytest.mark.parametrize("packer", [DecapitatingPacker(), TopK(2)])
def test_what_depends_on_no_length_is_no_budget(packer: Any) -> None:
    asked = [(sentences(name, *lengths), gold) for name, lengths, gold in MIXED]
    diagnosis = packed(packer, asked)
    assert verdicts(diagnosis)
    assert outcome(diagnosis, "packer.budget").status == "silent"


MIXED = [("p", (5, 3, 9), 0), ("q", (2, 7, 4), 2), ("r", (9, 9, 2), 2), ("s", (3, 1, 1), 0)]


# Cut-off


def test_as_many_chunks_at_every_query_are_a_cutoff() -> None:
    asked = [(sentences(name, *lengths), 2) for name, lengths, _ in MIXED]
    asked.append((sentences("t", 4, 4), 1))  # it has no more than are kept
    diagnosis = packed(TopK(2), asked)
    found = only(diagnosis, "packer.cutoff")
    assert len(found) == 4
    for finding in found.values():
        assert finding.sureness == "measured"
        assert numbers(r"At (\d+) of (\d+) queries .* more than (\d+) chunks", finding.observation) == [
            4,
            5,
            2,
        ]
        assert numbers(r"at rank (\d+) of (\d+)", finding.observation) == [3, 3]


def test_two_queries_are_few_to_see_a_cutoff() -> None:
    asked = [(sentences("p", 3, 2, 5), 2), (sentences("q", 5, 1, 2), 2)]
    found = findings(packed(TopK(2), asked), "packer.cutoff")
    assert {finding.sureness for finding in found.values()} == {"suspected"}


def test_a_cut_within_a_budget_that_has_room_is_a_cutoff() -> None:
    asked = [(sentences(name, 5, 3, 4), 2) for name in ("p", "q", "r")]
    assert only(packed(Declaring(TopK(2), 100), asked), "packer.cutoff")


def test_a_budget_that_is_full_after_as_many_chunks_is_no_cutoff() -> None:
    asked = [(sentences(name, 5, 5, 5), 2) for name in ("p", "q", "r")]
    diagnosis = packed(WordBudget(11), asked)
    assert only(diagnosis, "packer.budget")
    assert findings(diagnosis, "packer.cutoff") == {}


@pytest.mark.parametrize("packer", [ThriftyPacker(12), DecapitatingPacker()])
def test_other_chunks_than_the_first_ones_are_no_cutoff(packer: Any) -> None:
    diagnosis = examine(laboratory("bare", 1).using(packer=packer))
    seen = outcome(diagnosis, "packer.cutoff")
    assert (seen.status, seen.looked_at) == ("silent", len(verdicts(diagnosis)))


def test_shortened_chunks_are_left_to_the_ledger() -> None:
    diagnosis = examine(laboratory("full", 1).using(packer=ShorteningPacker()))
    assert {verdict.cause for verdict in verdicts(diagnosis).values()} == {"cut"}
    codes = {finding.code for verdict in verdicts(diagnosis).values() for finding in verdict.findings}
    assert codes == {"packer.cut"}


def test_where_the_packer_was_not_given_it_nothing_of_it_is_said() -> None:
    """The retriever and the packer are to blame together: what comes in place of the chunk says nothing."""
    healthy = laboratory("bare", 2)
    hit = healthy.some_keys(0.8, 2)
    broken = healthy.using(
        retriever=ForgetfulRetriever(healthy.pipeline.retriever, hit), packer=DroppingPacker(hit)
    )
    diagnosis = examine(broken)
    joint = [verdict for verdict in verdicts(diagnosis).values() if verdict.proof == "joint"]
    assert len(joint) >= 5
    seen = outcome(diagnosis, "packer.cutoff")
    assert (seen.status, seen.why) == ("not applicable", "the packer was not given the evidence")


@dataclass(frozen=True)
class Uncountable(Declaring):
    """Counts whole chunks, and cannot count shortened ones."""

    def tokens(self, chunk: Chunk) -> int:
        if chunk.text.endswith(" end"):
            return super().tokens(chunk)
        raise ValueError("no whole chunk")


def test_a_packer_that_cannot_count_what_it_shortened_is_not_looked_at() -> None:
    texts = [f"{text} end" for text in sentences("p", 5, 4, 6)]
    diagnosis = packed(Uncountable(ShorteningPacker(), 90), [(texts, 1)])
    [verdict] = verdicts(diagnosis).values()
    assert verdict.cause == "cut"
    assert verdict.findings
    seen = outcome(diagnosis, "packer.overflow")
    assert (seen.status, seen.why) == ("not applicable", "the packer raised ValueError: no whole chunk")


# The flag


def in_middle(count: int, tokens: Sequence[int] | None, place: int) -> bool:
    """By the middle of a chunk, in whole sixths."""
    by_place = count <= 3 * place + 1.5 <= 2 * count
    if tokens is None:
        return by_place
    middle = (sum(tokens[:place]) + sum(tokens[: place + 1])) / 2
    return by_place and sum(tokens) / 3 <= middle <= 2 * sum(tokens) / 3


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.data(), st.booleans())
def test_evidence_in_the_middle_of_the_context_is_flagged(
    lengths: list[int],
    data: st.DataObject,
    counted: bool,  # noqa: FBT001
) -> None:
    gold = data.draw(st.integers(0, len(lengths) - 1))
    packer = WordBudget(1000) if counted else PromptOrder("ranked")
    seen = outcome(packed(packer, [(sentences("p", *lengths), gold)], top_k=8), "packer.middle")
    expected = in_middle(len(lengths), lengths if counted else None, gold)
    if len(lengths) < 3:
        why = "no context has the 3 chunks that a middle third takes"
        assert seen == CheckOutcome("packer.middle", "not applicable", 0, 0, why)
    elif expected:
        assert seen == CheckOutcome("packer.middle", "found", 1, 1, "unit 0 of query 'q0'")
    else:
        assert seen == CheckOutcome("packer.middle", "silent", 1, 0, "")


def test_another_order_of_the_prompt_moves_it_out_of_the_middle() -> None:
    asked = [(sentences(name, 4, 4, 4, 4, 4), 2) for name in ("p", "q")]
    in_order = outcome(packed(PromptOrder("ranked"), asked), "packer.middle")
    assert (in_order.found, in_order.why) == (2, "unit 0 of query 'q0', unit 0 of query 'q1'")
    # The order 1 3 5 4 2 puts the third second.
    assert outcome(packed(PromptOrder("edges"), asked), "packer.middle").status == "silent"


def test_a_copy_at_an_edge_is_enough() -> None:
    healthy = laboratory("bare", 3, at_most=1)
    text = healthy.documents[0].text.splitlines()[0]
    documents = [
        Document(name, line) for name, line in zip("abcde", [text, "x y", text, "z", "w"], strict=True)
    ]
    query = Query("q", "question", [Evidence.of(Span("c", 0, len(text)))])
    order = OrderRetriever({"q": [whole_chunk(document) for document in documents]})
    pipeline = Pipeline(chunker=WholeChunker(), retriever=order, top_k=5)

    def status(**options: Any) -> str:
        diagnosis = diagnose(pipeline, documents, [query], progress=False, **options)
        return outcome(diagnosis, "packer.middle").status

    assert status(copies=True) == "silent"
    assert status(copies=False) == "found"


def test_where_nothing_is_delivered_nothing_is_flagged() -> None:
    def nothing(query: str, chunks: Sequence[Chunk]) -> list[Chunk]:  # noqa: ARG001
        return []

    @dataclass(frozen=True)
    class Emptying:
        pack: Callable[[str, Sequence[Chunk]], list[Chunk]]

    seen = outcome(packed(Emptying(nothing), [(sentences("p", 3, 3, 3), 0)]), "packer.middle")
    assert seen == CheckOutcome("packer.middle", "not applicable", 0, 0, "no evidence is delivered")


def test_shortened_chunks_take_fewer_tokens_there() -> None:
    """The first chunk is cut from 12 words to 6, and the second is then not in the middle by tokens."""

    @dataclass(frozen=True)
    class HalvesFirst(Declaring):
        def pack(self, query: str, chunks: Sequence[Chunk]) -> Sequence[Chunk]:
            return [*ShorteningPacker().pack(query, chunks[:1]), *chunks[1:]]

    asked = [([sentence("p", 12), sentence("q", 2), sentence("r", 14)], 1)]
    assert outcome(packed(Declaring(PromptOrder("ranked"), 99), asked), "packer.middle").found == 1
    assert outcome(packed(HalvesFirst(None, 99), asked), "packer.middle").found == 0
