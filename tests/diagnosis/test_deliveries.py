"""What measures are given, against sets of characters; and that tables pass it on to the right measure."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from evidence_oracle import Held, Oracle
from hypothesis import given
from hypothesis import strategies as st
from plugs import SeededChunker
from random_cases import corpora, questions

from ragdiag.diagnosis.deliveries import deliver, is_relevant
from ragdiag.diagnosis.evidence import EvidenceMap
from ragdiag.measures.delivery import Delivery
from ragdiag.records import Chunk, Document, Evidence, Query, Span, WholeDocument

NOTHING: Held = frozenset()


def characters(oracle: Oracle, chunks: list[Chunk]) -> Held:
    """Non-whitespace characters, without the marks of whole documents."""
    return frozenset((doc_id, i) for doc_id, i in oracle.holds(chunks) if i >= 0)


def evidence_of(oracle: Oracle, query: Query) -> Held:
    """All characters of any alternative of any unit; of a whole document all of its characters."""
    found: set[tuple[str, int]] = set()
    for unit in query.evidence:
        for alternative in unit.alternatives:
            for part in alternative:
                if isinstance(part, WholeDocument):
                    found |= oracle.characters(part.doc_id, 0, len(oracle.sources[part.doc_id].text))
            for copies in oracle.parts(alternative):
                found |= {(doc_id, i) for copy in copies for doc_id, i in copy if i >= 0}
    return frozenset(found)


def possible_missing(oracle: Oracle, query: Query, held: Held) -> set[int]:
    """How many characters may be missing, over all choices among equally near alternatives and copies."""
    choices = []
    for unit in query.evidence:
        by_alternative = [
            [
                frozenset().union(*(copy - held for copy in copies))
                for copies in product(*(nearest(part, held) for part in oracle.parts(alternative)))
            ]
            for alternative in unit.alternatives
        ]
        # Whichever copies are taken, the alternative that lacks least lacks no more than this.
        enough = min(max(map(len, options)) for options in by_alternative)
        choices.append([option for options in by_alternative for option in options if len(option) <= enough])
    return {sum(i >= 0 for _, i in frozenset().union(*chosen)) for chosen in product(*choices)}


def nearest(copies: list[Held], held: Held) -> list[Held]:
    least = min(len(copy - held) for copy in copies)
    return [copy for copy in copies if len(copy - held) == least]


def relevant(oracle: Oracle, query: Query, chunk: Chunk) -> bool:
    """Covers half of a span of an alternative, or is at least half evidence."""
    held = oracle.holds([chunk])
    copies = [
        copy
        for unit in query.evidence
        for alt in unit.alternatives
        for part in oracle.parts(alt)
        for copy in part
    ]
    in_evidence = held & frozenset().union(*copies)
    if not in_evidence:
        return False
    covers_half = any(2 * len(copy & held) >= len(copy) for copy in copies)
    return covers_half or 2 * len(in_evidence) >= len(characters(oracle, [chunk]))


@given(st.data())
def test_a_delivery_equals_sets_of_characters(data: st.DataObject) -> None:
    documents = data.draw(corpora().filter(lambda found: any(d.text.strip() for d in found)))
    [query] = data.draw(questions(documents, most=1))
    copies = data.draw(st.booleans())
    seed = data.draw(st.integers(0, 10_000))
    chunks = [chunk for document in documents for chunk in SeededChunker(seed).chunk(document)]
    ranking = data.draw(st.lists(st.sampled_from(chunks), max_size=5, unique=True))
    oracle = Oracle.of(documents, copies=copies)
    evidence_map = EvidenceMap(documents, {d.id: d for d in documents}, chunks, [query], copies=copies)
    evidence = evidence_map.of(query, ranking)
    found = deliver(
        evidence_map, query, evidence, list(zip(ranking, evidence.delivered, strict=True)), tokens=None
    )
    wanted = evidence_of(oracle, query)
    for depth in range(len(ranking) + 1):
        held = oracle.holds(ranking[:depth])
        expected = [oracle.coverage(unit, held) for unit in query.evidence]
        assert found.unit_coverage[depth].tolist() == pytest.approx(expected)
        assert found.evidence_characters[depth] == len(held & wanted)
        assert found.missing_characters[depth] in possible_missing(oracle, query, held)
    assert found.chunk_characters.tolist() == [len(characters(oracle, [chunk])) for chunk in ranking]
    assert found.relevant.tolist() == [relevant(oracle, query, chunk) for chunk in ranking]
    touching = [c for c in chunks if any(oracle.coverage(u, oracle.holds([c])) for u in query.evidence)] + [
        c for c in chunks if oracle.holds([c]) & wanted
    ]
    everything = characters(oracle, touching)
    assert found.touching == (len(everything & wanted), len(everything))


def delivery_of(units: list[Evidence], documents: list[Document], ranking: list[Chunk]) -> Delivery:
    query = Query("q", "?", units)
    evidence_map = EvidenceMap(documents, {d.id: d for d in documents}, ranking, [query])
    evidence = evidence_map.of(query, ranking)
    return deliver(
        evidence_map,
        query,
        evidence,
        list(zip(ranking, evidence.delivered, strict=True)),
        tokens=list(range(1, len(ranking) + 1)),
    )


def test_missing_is_what_completes_the_nearest_alternative() -> None:
    """The longer alternative is better covered, but ten characters would complete the shorter one."""
    document = Document("d", "s" * 10 + " " + "l" * 100)
    unit = Evidence.any_of(Span("d", 0, 10), Span("d", 11, 111))
    found = delivery_of([unit], [document], [Chunk.of(document, (11, 61))])
    assert found.unit_coverage.ravel().tolist() == [0, 0.5]
    assert found.missing_characters.tolist() == [10, 10]


def test_a_span_inside_a_document_that_is_evidence_counts_once() -> None:
    documents = [Document("a", "abcdefghij"), Document("b", "klmnopqrst")]
    units = [Evidence.of(WholeDocument("a")), Evidence.of(Span("a", 0, 4))]
    ranking = [Chunk.of(documents[0], (0, 10)), Chunk.of(documents[1], (0, 10))]
    found = delivery_of(units, documents, ranking)
    assert found.evidence_characters.tolist() == [0, 10, 10]
    assert found.missing_characters.tolist() == [4, 0, 0]
    assert found.touching == (10, 10)
    assert found.tokens is not None
    assert found.tokens.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("chunk", "expected"),
    [
        ((0, 5), True),  # half of the span
        ((0, 4), True),  # less, but nothing but evidence
        ((8, 12), True),  # two of four characters
        ((8, 13), False),  # two of five
        ((9, 40), False),  # one of ten
        ((5, 40), True),  # half of the span among much else
        ((6, 40), False),
        ((20, 40), False),  # none
    ],
)
def test_relevance_needs_half_of_a_span_or_half_of_the_chunk(chunk: tuple[int, int], expected: bool) -> None:  # noqa: FBT001
    document = Document("d", "e" * 10 + "n" * 30)
    query = Query("q", "?", [Evidence.of(Span("d", 0, 10))])
    made = Chunk.of(document, chunk)
    evidence = EvidenceMap([document], {"d": document}, [made], [query]).of(query)
    atoms = evidence.carriers.get(0, 0)
    assert is_relevant(evidence, atoms, chunk[1] - chunk[0]) is expected


def test_an_empty_ranking_delivers_nothing() -> None:
    document = Document("d", "abc")
    found = delivery_of([Evidence.of(Span("d", 0, 3))], [document], [])
    assert found.unit_coverage.tolist() == [[0.0]]
    assert found.missing_characters.tolist() == [3]
    assert found.touching == (0, 0)
    assert np.isinf(found.first_ranks()).all()


def test_a_source_longer_than_its_document_cannot_yield_more_evidence_than_was_delivered() -> None:
    """A ligature in the document stands for three letters of the source."""
    source, document = Document("d", "office staff"), Document("d", "o\ufb03ce staff")
    query = Query("q", "?", [Evidence.of(Span("d", 0, 6))])
    chunk = Chunk.of(document, (0, 4))
    evidence_map = EvidenceMap([document], {"d": source}, [chunk], [query])
    evidence = evidence_map.of(query, [chunk])
    found = deliver(evidence_map, query, evidence, [(chunk, evidence.delivered[0])], tokens=None)
    assert found.unit_coverage[-1].tolist() == [1.0]
    assert found.chunk_characters.tolist() == [4]
    assert found.evidence_characters.tolist() == [0, 4]
