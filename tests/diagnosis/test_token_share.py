"""The share of a context's tokens that is evidence, against sets of characters and brute force."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pytest
from evidence_oracle import Held, Oracle
from hypothesis import given, settings
from plugs import AnyPacker, BudgetPacker, CutChunker, LineChunker, OrderRetriever, TableEmbedder
from random_cases import Case, cases

from ragdiag import Diagnosis, ExactRetriever, Pipeline, diagnose
from ragdiag.records import Chunk, Document, Evidence, Query, Span, WholeDocument

ignore_empty = pytest.mark.filterwarnings("ignore:.*hold no text:ragdiag.errors.RagdiagWarning")


def shares(diagnosis: Diagnosis) -> dict[str, float]:
    return {str(name): value for name, value in diagnosis.token_share["share"].items()}


# Brute force


@dataclass(frozen=True)
class Judge:
    """What is evidence for one query, and what chunks cost."""

    oracle: Oracle
    query: Query
    tokens: dict[str, int] | None
    whole: dict[str, Chunk]

    def characters(self, chunk: Chunk) -> Held:
        return frozenset((doc_id, i) for doc_id, i in self.oracle.holds([chunk]) if i >= 0)

    def size(self, chunk: Chunk) -> float:
        if self.tokens is None:
            return len(self.characters(chunk))
        original = self.whole[chunk.id]
        everything = len(self.characters(original))
        left = len(self.characters(chunk)) / everything if everything else 1
        return self.tokens[chunk.id] * left

    def evidence(self) -> Held:
        found: set[tuple[str, int]] = set()
        for unit in self.query.evidence:
            for alternative in unit.alternatives:
                for part in alternative:
                    if isinstance(part, WholeDocument):
                        text = self.oracle.sources[part.doc_id].text
                        found |= self.oracle.characters(part.doc_id, 0, len(text))
                for copies in self.oracle.parts(alternative):
                    found |= {character for copy in copies for character in copy}
        return frozenset(found)

    def share(self, chunks: Sequence[Chunk]) -> float:
        evidence, seen, found, total = self.evidence(), set[tuple[str, int]](), 0.0, 0.0
        for chunk in chunks:
            characters = self.characters(chunk)
            if characters:
                found += self.size(chunk) * len((characters & evidence) - seen) / len(characters)
            total += self.size(chunk)
            seen |= characters
        return found / total if total else 0.0

    def value(self, chunks: Sequence[Chunk]) -> float:
        held = self.oracle.holds(chunks)
        return sum(self.oracle.coverage(unit, held) for unit in self.query.evidence)

    def best_sets(self, chunks: Sequence[Chunk], k: int, budget: int | None) -> list[tuple[Chunk, ...]]:
        """The sets of most recall in which no chunk is superfluous."""
        useful = [chunk for chunk in chunks if self.value([chunk])]
        sets = [
            (self.value(chosen), chosen)
            for size in range(min(k, len(useful)) + 1)
            for chosen in combinations(useful, size)
            if budget is None or sum((self.tokens or {})[chunk.id] for chunk in chosen) <= budget
        ]
        best = max(value for value, _ in sets)
        return [
            chosen
            for value, chosen in sets
            if value >= best - 1e-9
            and all(
                self.value([other for other in chosen if other is not chunk]) < best - 1e-9
                for chunk in chosen
            )
        ]


@ignore_empty
@settings(max_examples=40)
@given(cases(changed=False))
def test_shares_equal_sets_of_characters(case: Case) -> None:
    diagnosis = diagnose(case.pipeline, case.documents, case.queries, copies=case.copies, verify=False)
    trace = diagnosis.trace
    tokens = None
    if trace.chunk_tokens is not None:
        tokens = dict(zip((chunk.id for chunk in trace.chunks), trace.chunk_tokens, strict=True))
    whole = {chunk.id: chunk for chunk in trace.chunks}
    oracle = Oracle.of(case.documents, copies=case.copies)
    for query, outcome in zip(diagnosis.assessed, diagnosis.outcomes, strict=True):
        judge = Judge(oracle, query, tokens, whole)
        assert outcome.share.context == pytest.approx(judge.share(trace[query.id].context), abs=1e-12)
        possible = [judge.share(best) for best in judge.best_sets(trace.chunks, trace.top_k, trace.budget)]
        assert min(abs(outcome.share.attainable - share) for share in possible) < 1e-9
    table = diagnosis.token_share
    assert list(table.columns) == ["share", "low", "high", "n", "unit"]
    assert table.index.tolist() == ["context", "attainable"]
    assert (table["n"] == len(diagnosis.assessed)).all()
    assert (table["low"] <= table["share"]).all()
    assert (table["share"] <= table["high"]).all()
    assert (table["unit"] == ("characters" if tokens is None else "tokens")).all()
    for name in ("context", "attainable"):
        of_queries = [getattr(outcome.share, name) for outcome in diagnosis.outcomes]
        assert table.loc[name, "share"] == pytest.approx(np.mean(of_queries), abs=1e-12)
    if tokens is None:
        assert table.loc["context", "share"] == pytest.approx(diagnosis.measure("Precision").value, abs=1e-9)


# Planted

TEXT = Document("d", "\n".join(["evidence", "eightx noise more", "n" * 20]))
EVIDENCE = Evidence.of(Span("d", 0, 15))  # "evidence" and "eightx": 14 characters


def told(order: Sequence[str], **options: object) -> Pipeline:
    plan: dict[str, object] = {
        "chunker": LineChunker(),
        "retriever": OrderRetriever({"q": order}),
        "top_k": 3,
        **options,
    }
    return Pipeline(**plan)  # type: ignore[arg-type]


def diagnosed(pipeline: Pipeline, *units: Evidence, document: Document = TEXT) -> Diagnosis:
    return diagnose(pipeline, [document], [Query("q", "?", list(units or (EVIDENCE,)))], verify=False)


FIRST, SECOND, NOISE = "d#0-8", "d#9-26", "d#27-47"


def test_all_that_is_no_evidence_is_paid_for() -> None:
    found = diagnosed(told([NOISE, FIRST, SECOND]))
    assert shares(found) == pytest.approx({"context": 14 / 43, "attainable": 14 / 23})
    assert found.token_share["unit"].tolist() == ["characters", "characters"]


def test_tokens_are_counted_where_something_counts_them() -> None:
    class Counted(TableEmbedder):
        def count_tokens(self, texts: Sequence[str]) -> list[int]:
            return [len(text.split()) for text in texts]

    found = diagnosed(told([], embedder=Counted({}), retriever=ExactRetriever()))
    # One token that is evidence, three of which 6 of 15 characters are, and one of noise.
    assert shares(found) == pytest.approx(
        {"context": (1 + 3 * 6 / 15) / 5, "attainable": (1 + 3 * 6 / 15) / 4}
    )
    assert found.token_share["unit"].tolist() == ["tokens", "tokens"]


def test_a_shortened_chunk_takes_its_tokens_in_proportion_to_its_characters() -> None:
    class Cuts(BudgetPacker):
        def pack(self, query: str, chunks: Sequence[Chunk]) -> list[Chunk]:  # noqa: ARG002
            second = replace(chunks[1], spans=(Span("d", 9, 19),), text="eightx noi")
            return [chunks[0], second]

    # The budget counts characters with blanks: 17, of which 9 of 15 others are left, 6 of them evidence.
    left = 17 * 9 / 15
    found = diagnosed(told([FIRST, SECOND], packer=Cuts(100)))
    assert shares(found)["context"] == pytest.approx((8 + left * 6 / 9) / (8 + left))
    # Without a count the characters that are left are the size.
    cut = AnyPacker(lambda chunks: [replace(chunks[0], spans=(Span("d", 12, 18),), text="htx no")])
    assert shares(diagnosed(told([SECOND], packer=cut)))["context"] == pytest.approx(3 / 5)


def test_what_comes_twice_is_evidence_once() -> None:
    overlapping = CutChunker({"d": [[(0, 8)], [(0, 15)], [(27, 47)]]})
    found = diagnosed(told(["d#0-8", "d#0-15"], chunker=overlapping))
    assert shares(found) == pytest.approx({"context": 14 / 22, "attainable": 1})
    # Whatever comes first or stands between.
    for order, size in ((["d#0-15", "d#0-8"], 22), (["d#0-8", "d#27-47", "d#0-15"], 42)):
        other = diagnosed(told(order, chunker=overlapping))
        assert shares(other)["context"] == pytest.approx(14 / size)


def test_the_smaller_of_equally_good_chunks_is_attainable() -> None:
    for cuts in ([[(0, 47)], [(0, 15)]], [[(0, 15)], [(0, 47)]]):
        found = diagnosed(told(["d#0-47"], chunker=CutChunker({"d": cuts})))
        assert shares(found) == pytest.approx({"context": 14 / 43, "attainable": 1})


def test_an_alternative_that_is_not_needed_is_not_paid_for() -> None:
    either = Evidence.any_of(Span("d", 0, 8), Span("d", 9, 15))
    found = diagnosed(told([FIRST, SECOND]), either)
    assert shares(found) == pytest.approx({"context": 14 / 23, "attainable": 1})


def test_a_context_that_delivers_less_can_exceed_what_is_attainable() -> None:
    found = diagnosed(told([FIRST]))
    assert found.recall < 1
    assert shares(found) == pytest.approx({"context": 1, "attainable": 14 / 23})


def test_k_and_the_budget_bind_what_is_attainable() -> None:
    assert shares(diagnosed(told([FIRST], top_k=1)))["attainable"] == 1
    # Within 8 characters only the first fits; within 17 the second does, but holds less.
    for budget, attainable in ((8, 1), (17, 1), (25, (8 + 17 * 6 / 15) / 25)):
        found = diagnosed(told([FIRST], packer=BudgetPacker(budget)))
        assert shares(found)["attainable"] == pytest.approx(attainable)


def test_nothing_delivered_and_nothing_to_deliver_are_no_evidence() -> None:
    other = Document("d", "nothing of it")
    missing = diagnose(
        told(["d#0-13"]),
        [other],
        [Query("q", "?", [Evidence.of(Span("d", 0, 8))])],
        sources=[TEXT],
        verify=False,
    )
    assert shares(missing) == {"context": 0, "attainable": 0}
    assert shares(diagnosed(told([]))) == pytest.approx({"context": 0, "attainable": 14 / 23})


def test_a_chunk_is_no_more_than_all_evidence_where_the_source_is_longer() -> None:
    """A ligature in the document stands for three letters of the source."""
    source, document = Document("d", "some office"), Document("d", "some o\ufb03ce")
    query = Query("q", "?", [Evidence.of(Span("d", 5, 11))])
    cuts = CutChunker({"d": [[(0, 4)], [(5, 9)]]})
    found = diagnose(
        told(["d#0-4", "d#5-9"], chunker=cuts), [document], [query], sources=[source], verify=False
    )
    assert found.recall == 1
    assert shares(found) == {"context": 4 / 8, "attainable": 1}
    # What is too many characters of one chunk is no evidence in the next.
    other = diagnose(
        told(["d#5-9", "d#0-4"], chunker=cuts), [document], [query], sources=[source], verify=False
    )
    assert shares(other) == {"context": 4 / 8, "attainable": 1}
