"""Cases in which a plausible rule would blame the wrong stage, each with what is right and why."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import pytest
from faults.broken_stages import (
    CuttingChunker,
    DemotingReranker,
    DroppingChunker,
    DroppingPacker,
    ForgetfulRetriever,
    FusingRetriever,
    LeastWordsRetriever,
    NoisyEmbedder,
    OnePerDocumentRetriever,
    ThriftyPacker,
    holds,
)
from faults.laboratory import (
    Fact,
    Laboratory,
    Unit,
    WordBudget,
    WordEmbedder,
    delivered,
    describe,
    examine,
    laboratory,
    verdicts,
    words,
)
from faults.planted import MARKING
from plugs import AnyPacker, CutChunker, LineChunker, TableEmbedder, TableReranker, WholeChunker

from ragdiag import BM25Retriever, ExactRetriever, HybridRetriever, Pipeline, diagnose
from ragdiag.diagnosis.verdicts import Verdict
from ragdiag.records import Chunk, Document, Evidence, Query, Span, WholeDocument


def unlike(found: dict[Unit, Verdict], **expected: Any) -> dict[Unit, str]:
    """The verdicts that are not as expected; ``repair`` is one that must be among the repairs."""
    repair = expected.pop("repair", None)
    return {
        unit: describe(verdict)
        for unit, verdict in sorted(found.items())
        if any(getattr(verdict, name) != value for name, value in expected.items())
        or (repair is not None and repair not in verdict.repairs)
    }


# Rescues


def by_words_and_vectors() -> HybridRetriever:
    return HybridRetriever([BM25Retriever(), ExactRetriever()])


@pytest.mark.parametrize("declared", [True, False])
def test_after_a_rescue_the_stage_that_drops_it_again_is_to_blame(declared: bool) -> None:  # noqa: FBT001
    """Vectors miss it, words bring it back, the reranker drops it: mending the vectors would not help."""
    healthy = laboratory("full", 3)
    marked = healthy.some_keys(0.3, 3)
    hybrid: Any = by_words_and_vectors() if declared else FusingRetriever(by_words_and_vectors())
    rescued = healthy.using(embedder=NoisyEmbedder(marked=marked), retriever=hybrid)
    assert delivered(rescued) == healthy.units
    dropped = rescued.using(reranker=DemotingReranker(marked))
    casualties = healthy.units - delivered(dropped)
    assert len(casualties) >= 5
    assert delivered(dropped.using(embedder=WordEmbedder())) == delivered(dropped)

    found = verdicts(examine(dropped))
    assert found.keys() == casualties
    assert unlike(found, stage="reranker", proof="verified", repairs=(("reranker",),)) == {}


def test_a_rescue_is_no_failure() -> None:
    """What words bring back is delivered, and the tables show both what the vectors missed and the rescue."""
    healthy = laboratory("full", 3)
    marked = healthy.some_keys(0.3, 3)
    hybrid = FusingRetriever(by_words_and_vectors())
    diagnosis = examine(healthy.using(embedder=NoisyEmbedder(marked=marked), retriever=hybrid))
    assert diagnosis.failures.empty
    losses = diagnosis.losses
    assert losses.loc["embedder", "loss"] == pytest.approx(losses.loc["retriever", "rescue"]) != 0


def test_what_a_hybrid_loses_in_its_fusion_is_the_retrievers() -> None:
    """Each arm finds it, so that an exact search of the arms holds it: only the fusion can have lost it."""
    healthy = laboratory("vectors", 4)
    marked = healthy.some_keys(0.3, 4)
    arms: list[Any] = [ExactRetriever(), ForgetfulRetriever(ExactRetriever(), marked)]
    hybrid = HybridRetriever(arms, weights=[0.01, 1])
    casualties = healthy.units - delivered(healthy.using(retriever=hybrid))
    assert len(casualties) >= 5
    found = verdicts(examine(healthy.using(retriever=hybrid)))
    assert found.keys() == casualties
    assert unlike(found, stage="retriever", proof="verified", repair=("retriever",)) == {}


def test_without_an_embedder_what_words_cannot_find_is_the_retrievers() -> None:
    """BM25 alone: there is no exact search by vectors that the retriever could be held against."""
    healthy = laboratory("bare", 4)
    queries = [
        replace(query, text=re.sub(r"([a-z])\b", r"\1x", query.text)) if number % 3 == 0 else query
        for number, query in enumerate(healthy.queries)
    ]
    misspelt = replace(healthy, queries=tuple(queries))
    casualties = healthy.units - delivered(misspelt)
    assert len(casualties) >= 5
    found = verdicts(examine(misspelt))
    assert found.keys() == casualties
    assert unlike(found, stage="retriever", cause="missed", proof="verified", repairs=(("retriever",),)) == {}


# Small pipelines whose ranking is written down


def ordered(query: Query, *texts: str) -> TableEmbedder:
    """Texts in the order of their similarity to the query; any other text comes after them."""
    angles = {text: (1.0, 0.02 * (rank + 1)) for rank, text in enumerate(texts)}
    return TableEmbedder({query.text: (1.0, 0.0), **angles}, default=(0.0, 1.0))


DOCUMENT = Document(
    "d",
    "\n".join(
        [
            "the amber gate opens at nine",
            "the bronze bell rings at noon",
            *(f"some other line about {w} things" for w in ("red", "green", "blue", "grey", "pink", "dark")),
        ]
    ),
)
AMBER, BRONZE, *OTHERS = DOCUMENT.text.split("\n")
FIRST, SECOND = Span.find(DOCUMENT, AMBER), Span.find(DOCUMENT, BRONZE)
QUERY = Query("q", "when do gate and bell sound", [Evidence.of(FIRST), Evidence.of(SECOND)])


def the_verdict(pipeline: Pipeline, query: Query = QUERY, **options: Any) -> tuple[int, Verdict]:
    """The only lost unit of a query, and the verdict on it."""
    diagnosis = diagnose(pipeline, [DOCUMENT], [query], verify=True, **options)
    [(unit, verdict)] = [(u, v) for u, v in enumerate(diagnosis.verdicts) if v is not None]
    return unit, verdict


def test_a_repair_that_evicts_a_sibling_does_not_count() -> None:
    """With k = 1 one of two lines can be delivered: to bring back the one is to lose the other."""
    pipeline = Pipeline(
        chunker=LineChunker(),
        embedder=ordered(QUERY, AMBER, *OTHERS, BRONZE),
        retriever=ExactRetriever(),
        reranker=TableReranker({AMBER: 1.0}),
        candidates=3,
        top_k=1,
    )
    unit, verdict = the_verdict(pipeline)
    assert unit == 1
    assert (verdict.stage, verdict.cause, verdict.proof, verdict.repairs) == (
        "capacity",
        "k",
        "verified",
        (),
    ), describe(verdict)
    delivered_it = [trial for trial in verdict.trials if trial.outcome == "evicted"]
    assert delivered_it, describe(verdict)
    assert all(not trial.recovered for trial in verdict.trials)


@pytest.mark.parametrize("stage", ["embedder", "retriever", "reranker"])
def test_a_repair_takes_the_chunk_that_keeps_the_sibling(stage: str) -> None:
    """Three chunks answer, and only one of them also holds the other line, which is delivered in two pieces
    that fill k: with another one it would lose a piece."""
    half = len(AMBER) // 2
    pieces, joined = (AMBER[:half], AMBER[half:]), f"{AMBER}\n{BRONZE}"
    red, green, *others = OTHERS
    answers = Evidence.any_of(SECOND, Span.find(DOCUMENT, red), Span.find(DOCUMENT, green))
    query = replace(QUERY, evidence=[Evidence.of(FIRST), answers])
    lines = [m.span() for m in islice(re.finditer(r"[^\n]+", DOCUMENT.text), 2, None)]
    cuts = [(0, half), (half, FIRST.end), *lines, (0, SECOND.end)]
    scores = {joined: 4.0, red: 3.0, green: 3.0, **dict.fromkeys(pieces, 2.0)}
    healthy = Pipeline(
        chunker=CutChunker({"d": [[cut] for cut in cuts]}),
        embedder=ordered(query, *pieces, red, green, joined, *others),
        retriever=ExactRetriever(),
        reranker=TableReranker(scores),
        candidates=5,
        top_k=2,
    )
    assert diagnose(healthy, [DOCUMENT], [query], verify=True).failures.empty
    faults: dict[str, Any] = {
        "embedder": ordered(query, *pieces, *others, red, green, joined),
        "retriever": ForgetfulRetriever(ExactRetriever(), frozenset({"bronze", "red", "green"})),
        "reranker": TableReranker(dict.fromkeys(pieces, 2.0)),
    }
    unit, verdict = the_verdict(replace(healthy, **{stage: faults[stage]}), query)
    assert unit == 1
    assert (verdict.stage, verdict.proof, verdict.repairs) == (
        stage,
        "verified",
        ((stage,),),
    ), describe(verdict)


def test_a_whole_chunk_takes_the_place_of_the_pieces_that_it_holds() -> None:
    """The whole line ranks behind its first half: beside it, it would push the other line out of k = 2."""
    half = SECOND.start + len(BRONZE) // 2
    pieces = [(SECOND.start, half), (half, SECOND.end)]
    pipeline = Pipeline(
        chunker=windows((0, FIRST.end), *pieces),
        embedder=ordered(QUERY, text_of(*pieces[0]), BRONZE, AMBER, *OTHERS, text_of(*pieces[1])),
        retriever=ExactRetriever(),
        top_k=2,
    )
    assert diagnose(replace(pipeline, chunker=LineChunker()), [DOCUMENT], [QUERY]).failures.empty
    unit, verdict = the_verdict(pipeline)
    assert unit == 1
    assert (verdict.stage, verdict.cause, verdict.proof, verdict.observed, verdict.repairs) == (
        "chunker",
        "split",
        "verified",
        "capacity",
        (("chunker",),),
    ), describe(verdict)


def windows(*ranges: tuple[int, int]) -> CutChunker:
    """The chunks of the document: overlapping ranges, then its other lines."""
    rest = [m.span() for m in islice(re.finditer(r"[^\n]+", DOCUMENT.text), 2, None)]
    return CutChunker({"d": [[r] for r in (*ranges, *rest)]})


def text_of(start: int, end: int) -> str:
    return DOCUMENT.text[start:end]


def test_overlapping_chunks_that_fill_k_are_a_loss_of_the_embedder() -> None:
    """Three overlapping chunks hold the first line and fill n = k = 3: the second ranks too low for it."""
    pad = SECOND.start
    chunks = [(0, FIRST.end), (0, pad + 3), (0, pad + 5), (SECOND.start, SECOND.end)]
    pipeline = Pipeline(
        chunker=windows(*chunks),
        embedder=ordered(QUERY, *(text_of(*chunk) for chunk in chunks), *OTHERS),
        retriever=ExactRetriever(),
        top_k=3,
    )
    unit, verdict = the_verdict(pipeline)
    assert unit == 1
    assert (verdict.stage, verdict.cause, verdict.proof) == ("embedder", "crowding", "verified"), describe(
        verdict
    )
    assert ("embedder",) in verdict.repairs
    enough = diagnose(replace(pipeline, top_k=4), [DOCUMENT], [QUERY], verify=True)
    assert enough.failures.empty


def test_overlapping_chunks_of_the_lost_line_do_not_push_its_sibling_out() -> None:
    """Three chunks hold the lost line; a reranker's repair that put them all first would fill k with them."""
    before = FIRST.end
    chunks = [
        (0, FIRST.end),
        (SECOND.start, SECOND.end),
        (before - 4, SECOND.end),
        (before - 8, SECOND.end),
    ]
    texts = [text_of(*chunk) for chunk in chunks]
    scores = {texts[0]: 9.0, **dict.fromkeys(OTHERS, 5.0)}
    pipeline = Pipeline(
        chunker=windows(*chunks),
        embedder=ordered(QUERY, *texts, *OTHERS),
        retriever=ExactRetriever(),
        reranker=TableReranker(scores),
        candidates=8,
        top_k=2,
    )
    unit, verdict = the_verdict(pipeline)
    assert unit == 1
    assert (verdict.stage, verdict.proof) == ("reranker", "verified"), describe(verdict)
    assert ("reranker",) in verdict.repairs


def test_an_n_that_is_too_small_is_a_loss_of_the_embedder() -> None:
    """The reranker would put it first, but it is sixth by vectors and five are handed on."""
    query = replace(QUERY, evidence=[Evidence.of(FIRST)])
    pipeline = Pipeline(
        chunker=LineChunker(),
        embedder=ordered(query, *OTHERS[:5], AMBER),
        retriever=ExactRetriever(),
        reranker=TableReranker({AMBER: 1.0}),
        candidates=5,
        top_k=2,
    )
    _, verdict = the_verdict(pipeline, query)
    assert (verdict.stage, verdict.cause, verdict.proof, verdict.repairs) == (
        "embedder",
        "crowding",
        "verified",
        (("embedder",),),
    ), describe(verdict)
    assert diagnose(replace(pipeline, candidates=6), [DOCUMENT], [query], verify=True).failures.empty


# What no stage could have delivered


def test_text_that_was_never_ingested_is_proven_to_be_missing() -> None:
    """With everything behind it ideal it is still lost."""
    healthy = laboratory("full", 2)
    marked = healthy.some_keys(0.3, 2)
    parsed = tuple(
        replace(d, text="\n".join(line for line in d.text.split("\n") if not holds(line, marked)))
        for d in healthy.documents
    )
    diagnosis = examine(replace(healthy, documents=parsed), sources=healthy.documents)
    found = verdicts(diagnosis)
    assert found.keys() == {unit for unit, fact in healthy.facts.items() if fact.key in marked}
    assert unlike(found, stage="ingest", cause="missing", proof="verified", repairs=()) == {}


@pytest.mark.parametrize(
    ("changes", "cause"), [({"packer": WordBudget(12)}, "budget"), ({"top_k": 1}, "k")], ids=["budget", "k"]
)
def test_a_budget_or_a_k_that_is_too_small_is_proven_to_be_too_small(
    changes: dict[str, Any], cause: str
) -> None:
    """Even ideal stages cannot fit it in: a stage is not to blame for what the limits forbid."""
    healthy = laboratory("full", 2)
    tight = healthy.using(**changes)
    casualties = healthy.units - delivered(tight)
    assert len(casualties) >= 5
    found = verdicts(examine(tight))
    assert found.keys() == casualties
    assert unlike(found, stage="capacity", cause=cause, proof="verified", repairs=()) == {}


def test_a_packer_that_declares_no_budget_answers_for_all_that_it_drops() -> None:
    """The same budget, not declared, is unknown: k alone limits what could have been delivered."""
    healthy = laboratory("full", 2)
    found = verdicts(examine(healthy.using(packer=ThriftyPacker(12))))
    assert len(found) >= 5
    assert unlike(found, stage="packer", cause="budget", proof="verified", repair=("packer",)) == {}


# Evidence in pieces


def cut_and_complete(bench: str, seed: int, **changes: Any) -> Laboratory:
    """Every line cut in half, with queries that find both halves."""
    whole = laboratory(bench, seed, thorough=True, at_most=1)
    cut = whole.using(chunker=CuttingChunker(whole.some_keys(1, seed)), **changes)
    complete = delivered(cut)
    assert len(complete) >= 10
    return replace(cut, queries=tuple(q for q in cut.queries if (q.id, 0) in complete))


def test_a_cut_does_not_excuse_a_retriever_that_got_every_piece() -> None:
    """The vectors find both halves, the index lacks short chunks: both repairs help, and the cut alone did
    no harm."""
    complete = cut_and_complete("vectors", 1)
    broken = complete.using(retriever=LeastWordsRetriever(ExactRetriever(), 8))
    casualties = complete.units - delivered(broken)
    assert len(casualties) >= 5
    found = verdicts(examine(broken))
    assert found.keys() == casualties
    assert unlike(found, stage="retriever", proof="verified", repair=("retriever",)) == {}
    assert unlike(found, repair=("chunker",)) == {}


def test_a_retriever_that_returns_one_chunk_a_document_answers_for_the_other_half() -> None:
    """Both halves would have come through in a retriever that returns them; a whole line would have been the
    one of its document, but in an index that still holds its better half it is not."""
    complete = cut_and_complete("vectors", 1)
    broken = complete.using(retriever=OnePerDocumentRetriever(ExactRetriever()))
    casualties = complete.units - delivered(broken)
    assert len(casualties) >= 5
    found = verdicts(examine(broken))
    assert found.keys() == casualties
    assert unlike(found, stage="retriever", proof="verified", repair=("retriever",)) == {}


def test_without_an_embedder_a_cut_is_the_chunkers() -> None:
    """Nothing says which pieces an exact search would have found: what mends the cut is named."""
    complete = cut_and_complete("bare", 1)
    broken = complete.using(retriever=LeastWordsRetriever(BM25Retriever(), 8))
    casualties = complete.units - delivered(broken)
    assert len(casualties) >= 5
    found = verdicts(examine(broken))
    assert found.keys() == casualties
    assert (
        unlike(
            found,
            stage="chunker",
            cause="split",
            proof="verified",
            observed="retriever",
            repair=("chunker",),
        )
        == {}
    )


def test_a_cut_does_not_excuse_a_packer_that_got_every_piece() -> None:
    """Both halves are among the top k, and the packer keeps one chunk a document."""

    def one_a_document(chunks: Sequence[Chunk]) -> list[Chunk]:
        return list({chunk.spans[0].doc_id: chunk for chunk in reversed(chunks)}.values())

    complete = cut_and_complete("full", 1)
    broken = complete.using(packer=AnyPacker(one_a_document))
    casualties = complete.units - delivered(broken)
    assert len(casualties) >= 5
    found = verdicts(examine(broken))
    assert found.keys() == casualties
    assert unlike(found, stage="packer", cause="dropped", proof="verified", repair=("packer",)) == {}
    assert unlike(found, repair=("chunker",)) == {}


def test_a_piece_that_the_reranker_puts_too_low_is_the_chunkers() -> None:
    """With n = all every piece reaches the reranker, which cannot know what a second half is about."""
    healthy = laboratory("full", 1).using(candidates=1000)
    cut = healthy.using(chunker=CuttingChunker(healthy.some_keys(0.3, 1)))
    casualties = healthy.units - delivered(cut)
    assert len(casualties) >= 5
    found = verdicts(examine(cut))
    assert found.keys() == casualties
    assert (
        unlike(
            found, stage="chunker", cause="split", proof="verified", observed="reranker", repair=("chunker",)
        )
        == {}
    )


def test_a_piece_that_the_retriever_drops_is_the_chunkers_where_mending_the_retriever_does_not_help() -> None:
    """Every piece reaches the retriever, whose index lacks short chunks; but even with them the reranker
    would put the second half too low."""
    healthy = laboratory("full", 1).using(retriever=LeastWordsRetriever(ExactRetriever(), 8), candidates=1000)
    assert delivered(healthy) == healthy.units
    cut = healthy.using(chunker=CuttingChunker(healthy.some_keys(0.3, 1)))
    casualties = healthy.units - delivered(cut)
    assert len(casualties) >= 5
    found = verdicts(examine(cut))
    assert found.keys() == casualties
    assert (
        unlike(
            found, stage="chunker", cause="split", proof="verified", observed="retriever", repair=("chunker",)
        )
        == {}
    )


def test_pieces_that_do_not_fit_into_k_are_the_chunkers() -> None:
    """No stage behind the chunker could deliver five pieces in four places, but the whole line fits."""
    healthy = laboratory("full", 1, at_most=1)
    cut = healthy.using(chunker=CuttingChunker(healthy.some_keys(0.3, 1), pieces=5))
    found = verdicts(examine(cut))
    assert len(found) >= 5
    assert (
        unlike(
            found,
            stage="chunker",
            cause="split",
            proof="verified",
            observed="capacity",
            repairs=(("chunker",),),
        )
        == {}
    )


# Evidence of other kinds


def of_whole_documents(bench: str, seed: int) -> Laboratory:
    healthy = laboratory(bench, seed, at_most=1)
    queries = [
        replace(query, evidence=[Evidence.of(WholeDocument(healthy.facts[query.id, 0].span.doc_id))])
        for query in healthy.queries
    ]
    return replace(healthy, queries=tuple(queries))


@pytest.mark.parametrize("stage", MARKING)
def test_evidence_that_is_a_whole_document(stage: str) -> None:
    """Any chunk of it counts, so that a fault has to hit all of them."""
    healthy = of_whole_documents("full", 1)
    assert delivered(healthy) == healthy.units
    common = set(words("of keeps moves holds needs brings"))
    marked = frozenset(
        word for document in healthy.documents[:6] for word in words(document.text) if word not in common
    )
    broken = MARKING[stage](healthy, marked)
    casualties = healthy.units - delivered(broken)
    assert len(casualties) >= 3
    found = verdicts(examine(broken))
    assert found.keys() == casualties
    assert unlike(found, stage=stage) == {}
    if stage != "chunker":  # a document without a chunk has no span that a chunk could be made of
        assert unlike(found, proof="verified", repair=(stage,)) == {}


def with_two_ways_to_answer(bench: str, seed: int) -> tuple[Laboratory, dict[str, list[Fact]]]:
    """Each unit is either two lines of two documents together, or a third line."""
    single = laboratory(bench, seed)
    pairs = [query for query in single.queries if len(query.evidence) == 2]
    others = [query for query in single.queries if len(query.evidence) == 1]
    queries, facts = [], {}
    for pair, other in zip(pairs, others, strict=True):
        of_unit = [single.facts[pair.id, 0], single.facts[pair.id, 1], single.facts[other.id, 0]]
        unit = Evidence.any_of([of_unit[0].span, of_unit[1].span], of_unit[2].span)
        queries.append(replace(pair, text=f"{pair.text} or {other.text}", evidence=[unit]))
        facts[pair.id] = of_unit
    laboratory_ = replace(single, queries=tuple(queries))
    assert delivered(laboratory_) == laboratory_.units
    return laboratory_, facts


def keys(facts: dict[str, list[Fact]], position: int) -> frozenset[str]:
    return frozenset(of_unit[position].key for of_unit in facts.values())


@pytest.mark.parametrize("stage", MARKING)
def test_a_fault_that_hits_a_span_of_every_alternative(stage: str) -> None:
    """Lost only where both ways to answer are hit; to mend either is enough."""
    healthy, facts = with_two_ways_to_answer("full", 1)
    for hit in ([1], [2]):
        one = MARKING[stage](healthy, frozenset().union(*(keys(facts, i) for i in hit)))
        assert delivered(one) == healthy.units
        assert verdicts(examine(one)) == {}
    broken = MARKING[stage](healthy, keys(facts, 1) | keys(facts, 2))
    casualties = healthy.units - delivered(broken)
    assert len(casualties) >= 5
    found = verdicts(examine(broken))
    assert found.keys() == casualties
    assert unlike(found, stage=stage, proof="verified", repair=(stage,)) == {}


def test_alternatives_that_different_stages_lose() -> None:
    """The reranker loses one way to answer, the packer the other: the last drop is the packer's, and to mend
    either stage is enough."""
    healthy, facts = with_two_ways_to_answer("full", 1)
    no_reranker_fault = healthy.using(packer=DroppingPacker(keys(facts, 2)))
    broken = no_reranker_fault.using(reranker=DemotingReranker(keys(facts, 1)))
    assert delivered(no_reranker_fault) == healthy.units
    assert delivered(healthy.using(reranker=DemotingReranker(keys(facts, 1)))) == healthy.units
    assert delivered(broken) == frozenset()
    found = verdicts(examine(broken))
    assert found.keys() == healthy.units
    assert unlike(found, stage="packer", proof="verified", repair=("packer",)) == {}
    assert unlike(found, repair=("reranker",)) == {}


def test_a_chunker_has_nothing_to_mend_where_one_alternative_is_whole() -> None:
    """One way to answer was dropped by the chunker, the other lies in its chunks and the index lost it."""
    healthy, facts = with_two_ways_to_answer("full", 1)
    broken = healthy.using(
        chunker=DroppingChunker(keys(facts, 2)),
        retriever=ForgetfulRetriever(ExactRetriever(), keys(facts, 1)),
    )
    assert delivered(broken) == frozenset()
    found = verdicts(examine(broken))
    assert unlike(found, stage="retriever", proof="verified", repairs=(("retriever",),)) == {}


def test_an_alternative_with_one_cut_span_is_mended_by_the_chunker() -> None:
    """The third line was dropped, the second is cut: every span that no chunk holds gets one."""
    healthy, facts = with_two_ways_to_answer("full", 1)

    @dataclass(frozen=True)
    class CuttingAndDropping:
        cut: frozenset[str] = field(repr=False)
        dropped: frozenset[str] = field(repr=False)

        def chunk(self, document: Document) -> list[Chunk]:
            return [c for c in CuttingChunker(self.cut).chunk(document) if not holds(c.text, self.dropped)]

    broken = healthy.using(chunker=CuttingAndDropping(keys(facts, 1), keys(facts, 2)))
    casualties = healthy.units - delivered(broken)
    assert len(casualties) >= 5
    found = verdicts(examine(broken))
    assert found.keys() == casualties
    assert unlike(found, stage="chunker", proof="verified", repair=("chunker",)) == {}


# What the data cannot tell


@dataclass(frozen=True)
class UnevenChunker:
    """Lines, but one document stays whole."""

    whole: str

    def chunk(self, document: Document) -> list[Chunk]:
        return (WholeChunker() if document.id == self.whole else LineChunker()).chunk(document)


def test_an_oversize_chunk_that_dilutes_is_undetermined() -> None:
    """A chunk ninety times as long as the others has a vector like none of its lines: a better embedder or a
    better chunker would both find it, and no re-run can tell whose the fault is."""
    lines = laboratory("vectors", 1, at_most=1)
    long = Document("long", "\n".join(document.text for document in lines.documents[:10]))
    documents = (long, *lines.documents[10:])
    queries = []
    for query in lines.queries:
        span = lines.facts[query.id, 0].span
        text = next(d.text for d in lines.documents if d.id == span.doc_id)[span.start : span.end]
        if text in long.text:
            evidence = Evidence.of(Span.find(long, text))
            # Every line has an "of": by that word alone a long text would be found.
            queries.append(replace(query, text=query.text.replace(" of ", " "), evidence=[evidence]))
    by_lines = replace(lines, documents=documents, queries=tuple(queries)).using(
        embedder=WordEmbedder(max_tokens=10**6)
    )
    assert delivered(by_lines) == by_lines.units
    uneven = by_lines.using(chunker=UnevenChunker("long"))
    casualties = by_lines.units - delivered(uneven)
    assert len(casualties) >= 5
    found = verdicts(examine(uneven))
    assert found.keys() == casualties
    assert unlike(found, proof="undetermined", cause="oversize", observed="embedder") == {}


def test_the_same_question_twice_gets_the_same_verdicts() -> None:
    healthy = laboratory("full", 4)
    marked = healthy.some_keys(0.5, 4)
    broken = healthy.using(
        embedder=NoisyEmbedder(marked=marked), reranker=DemotingReranker(healthy.some_keys(0.5, 5))
    )
    once, again = examine(broken), examine(broken)
    assert len(verdicts(once)) >= 10
    assert once.verdicts == again.verdicts
    assert once.effort == again.effort
    assert once.failures.equals(again.failures)


def test_without_verification_the_ledgers_labels_stand_as_observed() -> None:
    healthy = laboratory("full", 4)
    broken = healthy.using(chunker=CuttingChunker(healthy.some_keys(0.5, 4)))
    diagnosis = examine(broken, verify=False)
    found = verdicts(diagnosis)
    assert len(found) >= 10
    assert unlike(found, proof="observed", repairs=(), trials=(), stage="embedder") == {}
    assert diagnosis.effort is None
