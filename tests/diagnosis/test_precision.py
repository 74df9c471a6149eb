"""Context precision charged to stages: against the definition, and with noise planted in every stage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
import pytrec_eval
from evidence_oracle import Held, Oracle
from hypothesis import given
from hypothesis import strategies as st
from plugs import (
    AnyPacker,
    CutChunker,
    LineChunker,
    OrderRetriever,
    TableEmbedder,
    TableReranker,
    exact_order,
)
from random_cases import Case, cases

from ragdiag import BM25Retriever, Diagnosis, ExactRetriever, HybridRetriever, Pipeline, diagnose
from ragdiag.diagnosis.precision import QueryPrecision, charge_noise
from ragdiag.records import Chunk, Document, Evidence, Query, Span, WholeDocument

ignore_empty = pytest.mark.filterwarnings("ignore:.*hold no text:ragdiag.errors.RagdiagWarning")

Lists = Sequence[tuple[str, Sequence[str]]]
"""The order that each stage left, by stage, in the order of the flow."""


def precision(order: Sequence[str], relevant: set[str]) -> Fraction:
    """CP as it is written: the sum of v_r * P@r over the sum of v."""
    ranks = [rank for rank, chunk in enumerate(order, start=1) if chunk in relevant]
    at = [Fraction(sum(chunk in relevant for chunk in order[:rank]), rank) for rank in ranks]
    return sum(at, Fraction(0)) / len(at) if at else Fraction(0)


def charges(lists: Lists, relevant: set[str], relevant_before: set[str] | None = None) -> Counter[str]:
    """Every pair of the last list to the stage after the last order that was right.

    ``relevant_before``: the chunks that are relevant where the packer has not shortened them yet.
    """
    charged: Counter[str] = Counter()
    context = lists[-1][1]
    gold = [chunk for chunk in context if chunk in relevant]
    for good in gold:
        rank = context.index(good) + 1
        for bad in [chunk for chunk in context[: rank - 1] if chunk not in relevant]:
            right = [
                at
                for at, (stage, order) in enumerate(lists)
                if order.index(good) < order.index(bad)
                or (stage != "packer" and relevant_before is not None and bad in relevant_before)
            ]
            stage, _ = lists[right[-1] + 1 if right else 0]
            charged[stage] += Fraction(1, len(gold) * rank)  # type: ignore[assignment]
    return charged


# Random pipelines


def is_relevant(oracle: Oracle, query: Query, chunk: Chunk) -> bool:
    """It covers half of a span of an alternative, or is at least half evidence."""
    held = oracle.holds([chunk])
    pieces = [
        copy
        for unit in query.evidence
        for alternative in unit.alternatives
        for part in oracle.parts(alternative)
        for copy in part
    ]
    evidence: Held = held & frozenset().union(*pieces)
    text = "".join(oracle.documents[span.doc_id].text[span.start : span.end] for span in _union(chunk))
    return any(copy & held and 2 * len(copy & held) >= len(copy) for copy in pieces) or (
        bool(evidence) and 2 * len(evidence) >= sum(not character.isspace() for character in text)
    )


def _union(chunk: Chunk) -> list[Span]:
    """The characters of a chunk, each once."""
    inside = {(span.doc_id, i) for span in chunk.spans for i in range(span.start, span.end)}
    return [Span(doc_id, i, i + 1) for doc_id, i in sorted(inside)]


def orders(diagnosis: Diagnosis, query: Query) -> dict[str, list[Chunk]]:
    """All that each stage returned, in the order of the flow."""
    trace = diagnosis.trace
    record = trace[query.id]
    by_id = {chunk.id: chunk for chunk in trace.chunks}
    found: dict[str, list[Chunk]] = {}
    if trace.vectors is not None and trace.query_vectors is not None and trace.similarity is not None:
        row = [record.query_id for record in trace.queries].index(query.id)
        order = exact_order(trace.vectors, trace.query_vectors[row], trace.similarity)
        found["embedder"] = [trace.chunks[position] for position in order]
    found["retriever"] = [by_id[hit.chunk_id] for hit in record.retrieved]
    if record.reranked is not None:
        found["reranker"] = [by_id[hit.chunk_id] for hit in record.reranked]
    if "packer" in trace.stages:
        found["packer"] = list(record.context)
    return found


@ignore_empty
@given(cases())
def test_noise_equals_the_definition_over_random_pipelines(case: Case) -> None:
    diagnosis = case.diagnose()
    stages = diagnosis.ledger.stages
    oracle = Oracle.of(case.documents, case.sources, copies=case.copies)
    noise = diagnosis.charged_noise()
    k = diagnosis.trace.top_k
    flows = []
    for row, query in enumerate(diagnosis.assessed):
        lists = orders(diagnosis, query)
        relevant = {
            stage: {chunk.id for chunk in chunks if is_relevant(oracle, query, chunk)}
            for stage, chunks in lists.items()
        }
        flows.append(
            [precision([chunk.id for chunk in lists[stage][:k]], relevant[stage]) for stage in lists]
        )
        ids = [(stage, [chunk.id for chunk in chunks]) for stage, chunks in lists.items()]
        ids[-1] = (ids[-1][0], ids[-1][1][:k])  # the last list is the context
        last = ids[-1][0]
        before = relevant["reranker" if "reranker" in relevant else "retriever"]
        if precision(ids[-1][1], relevant[last]):
            expected: Any = charges(ids, relevant[last], before)
        else:
            lost = np.clip(diagnosis.charged_steps("soft")[row], 0, None)
            share = lost / lost.sum() if lost.sum() > 1e-9 else np.array([s == "chunker" for s in stages])
            expected = dict(zip(stages, share, strict=True))
        assert noise[row].tolist() == pytest.approx([float(expected.get(s, 0)) for s in stages], abs=1e-9)
    precisions = np.array(flows, dtype=np.float64)
    np.testing.assert_allclose(noise.sum(axis=1), 1 - precisions[:, -1], atol=1e-9)
    np.testing.assert_allclose(diagnosis.measure_by_query("CP"), precisions[:, -1], atol=1e-12)
    check_tables(diagnosis, noise, precisions)


def check_tables(diagnosis: Diagnosis, noise: Any, precisions: Any) -> None:
    table = diagnosis.noise
    assert tuple(table.index) == diagnosis.ledger.stages
    assert list(table.columns) == ["loss", "low", "high"]
    np.testing.assert_allclose(table["loss"], noise.mean(axis=0), atol=1e-12)
    assert table["loss"].sum() == pytest.approx(1 - diagnosis.measure("CP").value, abs=1e-9)
    assert (table["low"] <= table["loss"] + 1e-12).all()
    assert (table["loss"] <= table["high"] + 1e-12).all()

    flow = diagnosis.precision_flow
    assert list(flow.columns) == ["stage", "cp", "low", "high", "change"]
    np.testing.assert_allclose(flow["cp"], precisions.mean(axis=0), atol=1e-12)
    assert flow["change"].sum() == pytest.approx(diagnosis.measure("CP").value - 1, abs=1e-9)
    assert flow["cp"].iloc[-1] == pytest.approx(diagnosis.measure("CP").value, abs=1e-12)
    ranked = flow.loc["reranked top k" if "reranked top k" in flow.index else "retrieved top k", "cp"]
    assert ranked == pytest.approx(diagnosis.measure(f"CP@{diagnosis.trace.top_k}").value, abs=1e-12)
    names = {
        "embedder": "exact top k",
        "retriever": "retrieved top k",
        "reranker": "reranked top k",
        "packer": "context",
    }
    present = [stage for stage in names if stage in diagnosis.trace.stages]
    assert flow["stage"].tolist() == present
    assert flow.index.tolist() == [names[stage] for stage in present]


# Lists of letters: capitals are evidence, small letters are noise.


@dataclass(frozen=True)
class Letters:
    """A pipeline whose stages leave the orders that they are told."""

    retriever: str
    embedder: str | None = None
    reranker: str | None = None
    packer: str | None = None

    @property
    def lists(self) -> list[tuple[str, str]]:
        found = [(stage, getattr(self, stage)) for stage in ("embedder", "retriever", "reranker", "packer")]
        return [(stage, order) for stage, order in found if order is not None]

    def diagnose(self, top_k: int | None = None) -> Diagnosis:
        texts = {letter: f"{letter} line" for letter in sorted(set(self.embedder or self.retriever))}
        document = Document("d", "\n".join(texts.values()))
        chunks = dict(zip(texts, LineChunker().chunk(document), strict=True))
        query = Query(
            "q",
            "which line",
            [Evidence.of(chunk.spans[0]) for letter, chunk in chunks.items() if letter.isupper()],
        )
        order_of = {stage: {texts[c]: rank for rank, c in enumerate(order)} for stage, order in self.lists}
        vectors = {text: (1.0, 0.1 * rank) for text, rank in order_of.get("embedder", {}).items()}
        vectors[query.text] = (1.0, 0.0)
        pipeline = Pipeline(
            chunker=LineChunker(),
            embedder=None if self.embedder is None else TableEmbedder(vectors),
            retriever=OrderRetriever(
                {"q": [chunks[letter].id for letter in self.retriever]},
                uses_vectors=self.embedder is not None,
            ),
            reranker=None
            if self.reranker is None
            else TableReranker({text: -float(rank) for text, rank in order_of["reranker"].items()}),
            packer=None if self.packer is None else AnyPacker(self._pack),
            candidates=max(len(self.retriever), top_k or 1),
            top_k=top_k or len(self.retriever),
        )
        return diagnose(pipeline, [document], [query], verify=False)

    def _pack(self, chunks: Sequence[Chunk]) -> list[Chunk]:
        by_letter = {chunk.text[0]: chunk for chunk in chunks}
        return [by_letter[letter] for letter in self.packer or ""]


def noise_of(diagnosis: Diagnosis) -> dict[str, float]:
    """The stages that are charged with anything."""
    loss = diagnosis.noise["loss"]
    return {str(stage): value for stage, value in loss.items() if value}


@given(st.data())
def test_every_pair_goes_to_the_stage_after_the_last_right_order(data: st.DataObject) -> None:
    letters = "ABwxyz"
    orders = st.permutations(letters).map("".join)
    packed = orders.flatmap(lambda order: st.integers(0, 6).map(lambda n: order[:n]))
    plan = Letters(
        retriever=data.draw(orders),
        embedder=data.draw(st.none() | orders),
        reranker=data.draw(st.none() | orders),
        packer=data.draw(st.none() | packed),
    )
    diagnosis = plan.diagnose()
    context = plan.lists[-1][1]
    if set(context) & set("AB"):
        expected = charges(plan.lists, set("AB"))
        assert noise_of(diagnosis) == pytest.approx({s: float(v) for s, v in expected.items()}, abs=1e-12)
    flow = [float(precision(order, set("AB"))) for _, order in plan.lists]
    assert diagnosis.precision_flow["cp"].tolist() == pytest.approx(flow, abs=1e-12)


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        (Letters(embedder="ABxy", retriever="ABxy", reranker="ABxy", packer="ABxy"), {}),
        # Pairs below one relevant chunk at rank 3 of 3 weigh 1/3 each.
        (Letters(embedder="xyA", retriever="xyA", reranker="xyA", packer="xyA"), {"embedder": 2 / 3}),
        (Letters(embedder="Axy", retriever="xyA", reranker="xyA", packer="xyA"), {"retriever": 2 / 3}),
        (Letters(embedder="Axy", retriever="Axy", reranker="xyA", packer="xyA"), {"reranker": 2 / 3}),
        (Letters(embedder="Axy", retriever="Axy", reranker="Axy", packer="xyA"), {"packer": 2 / 3}),
        # The last stage that made it wrong, not the first.
        (Letters(embedder="xyA", retriever="Axy", reranker="xyA", packer="xyA"), {"reranker": 2 / 3}),
        (Letters(embedder="xA", retriever="Ax", reranker="xA", packer="Ax"), {}),
        # Each pair on its own: y came in front at the reranker, x stood there all along.
        (
            Letters(embedder="xAy", retriever="xAy", reranker="xyA"),
            {"embedder": 1 / 3, "reranker": 1 / 3},
        ),
        # Two relevant ones at ranks 2 and 4: the second has both pieces of noise above it.
        (Letters(embedder="xAyB", retriever="xAyB"), {"embedder": 1 / 4 + 2 / 8}),
        # Without an embedder, reranker or packer.
        (Letters(retriever="xyA"), {"retriever": 2 / 3}),
        (Letters(retriever="xyA", packer="xA"), {"retriever": 1 / 2}),
        (Letters(retriever="Axy", packer="yxA"), {"packer": 2 / 3}),
        (Letters(retriever="Axy", reranker="yAx"), {"reranker": 1 / 2}),
        (Letters(embedder="Axy", retriever="yAx"), {"retriever": 1 / 2}),
    ],
)
def test_planted_noise_goes_to_the_stage_that_planted_it(plan: Letters, expected: dict[str, float]) -> None:
    diagnosis = plan.diagnose()
    assert noise_of(diagnosis) == pytest.approx(expected)
    assert diagnosis.noise["loss"].sum() == pytest.approx(1 - diagnosis.measure("CP").value, abs=1e-12)


def test_changes_say_who_let_noise_in_and_who_removed_it() -> None:
    flow = Letters(embedder="xAy", retriever="xyA", reranker="Axy", packer="xA").diagnose().precision_flow
    assert flow["cp"].tolist() == pytest.approx([1 / 2, 1 / 3, 1, 1 / 2])
    assert flow["change"].tolist() == pytest.approx([-1 / 2, 1 / 3 - 1 / 2, 2 / 3, -1 / 2])


def test_each_boundary_counts_the_relevant_chunks_of_its_own_list() -> None:
    """k is 2: of two relevant chunks the first two lists hold one, and the reranked list holds none."""
    plan = Letters(embedder="xAByz", retriever="AxByz", reranker="xyzAB")
    flow = plan.diagnose(top_k=2).precision_flow
    assert flow["cp"].tolist() == pytest.approx([1 / 2, 1, 0])


@given(st.data())
def test_precision_is_average_precision_over_the_relevant_chunks_found(data: st.DataObject) -> None:
    """Judged on what was retrieved alone, trec_eval's average precision is CP."""
    order = "".join(data.draw(st.permutations("ABCwxyz")))
    k = data.draw(st.integers(1, 7))
    found = [letter for letter in order[:k] if letter.isupper()]
    judge = pytrec_eval.RelevanceEvaluator({"q": dict.fromkeys(found, 1)}, {"map"})
    ranking = {letter: float(-rank) for rank, letter in enumerate(order[:k])}
    expected = judge.evaluate({"q": ranking})["q"]["map"] if found else 0.0
    flow = Letters(retriever=order).diagnose(top_k=k).precision_flow
    assert flow.loc["retrieved top k", "cp"] == pytest.approx(expected, abs=1e-6)


# No relevant chunk in the context


def test_noise_without_anything_relevant_goes_where_the_evidence_was_lost() -> None:
    lost_by = {
        "embedder": Letters(embedder="xyzA", retriever="xyz", reranker="yxz"),
        "retriever": Letters(embedder="Axyz", retriever="xyz", packer="zx"),
        "reranker": Letters(embedder="Axyz", retriever="Axyz", reranker="xyzA", packer="xy"),
        "packer": Letters(embedder="Axyz", retriever="Axyz", packer="xy"),
    }
    for stage, plan in lost_by.items():
        assert noise_of(plan.diagnose(top_k=3)) == {stage: 1.0}


def test_an_empty_context_has_no_precision_and_is_the_packers() -> None:
    diagnosis = Letters(retriever="Ax", packer="").diagnose()
    assert noise_of(diagnosis) == {"packer": 1.0}
    assert diagnosis.precision_flow["cp"].tolist() == [1, 0]
    assert diagnosis.token_share["share"].tolist() == [0, 1]


def test_several_losses_share_the_noise_in_their_proportion() -> None:
    """Of four units the search misses three, and the packer drops the fourth."""
    diagnosis = Letters(embedder="ABCDwxyz", retriever="wxyD", packer="wxy").diagnose(top_k=4)
    assert noise_of(diagnosis) == pytest.approx({"retriever": 3 / 4, "packer": 1 / 4})


def test_noise_follows_a_loss_that_a_verdict_moved() -> None:
    diagnosis = Letters(embedder="Axyz", retriever="xyz").diagnose(top_k=3)
    [verdict] = diagnosis.verdicts
    assert verdict is not None
    moved = replace(diagnosis, verdicts=(replace(verdict, stage="chunker"),))
    assert noise_of(diagnosis) == {"retriever": 1.0}
    assert noise_of(moved) == {"chunker": 1.0}


def test_what_rounding_leaves_of_a_loss_is_charged_with_nothing() -> None:
    stages = ("ingest", "chunker", "retriever")
    delivered, lost = [1e-16, 0.0, -1e-16], [1e-16, 0.25, 0.5]
    nothing_relevant = QueryPrecision(flow=(0.0,), charged=None)
    noise = charge_noise([nothing_relevant, nothing_relevant], stages, np.array([delivered, lost]))
    assert noise.tolist() == [[0, 1, 0], pytest.approx([0, 1 / 3, 2 / 3])]


def test_rescues_are_charged_with_nothing() -> None:
    """The embedder missed both units, the search found one, the packer dropped it: 1 and 1/2 were lost."""
    diagnosis = Letters(embedder="xyzAB", retriever="xyA", packer="xy").diagnose(top_k=3)
    steps = dict(zip(diagnosis.ledger.stages, diagnosis.charged_steps("soft")[0], strict=True))
    assert steps["retriever"] == -0.5
    assert noise_of(diagnosis) == pytest.approx({"embedder": 2 / 3, "packer": 1 / 3})


def test_evidence_delivered_in_pieces_too_small_to_be_relevant_is_the_chunkers() -> None:
    """Each of three chunks holds a third of the span, and is three quarters noise."""
    document = Document("d", "e" * 30 + "n" * 90)
    thirds = [[(10 * i, 10 * i + 10), (30 * i + 30, 30 * i + 60)] for i in range(3)]
    ids = [Chunk.of(document, *ranges).id for ranges in thirds]
    pipeline = Pipeline(
        chunker=CutChunker({"d": thirds}), retriever=OrderRetriever({"q": ids}), candidates=3, top_k=3
    )
    query = Query("q", "?", [Evidence.of(Span("d", 0, 30))])
    diagnosis = diagnose(pipeline, [document], [query], verify=False)
    assert diagnosis.recall == 1
    assert noise_of(diagnosis) == {"chunker": 1.0}
    # With one third missing there is a loss again, and the noise follows it.
    assert noise_of(diagnose(replace(pipeline, top_k=2), [document], [query], verify=False)) == {
        "capacity": 1.0
    }


# Whole documents, shortened chunks, several arms


def test_any_chunk_of_a_document_that_is_evidence_is_relevant() -> None:
    documents = [Document("a", "one\ntwo\nthree"), Document("b", "noise")]
    query = Query("q", "?", [Evidence.of(WholeDocument("a"))])
    order = ["b#0-5", "a#8-13", "a#0-3"]
    pipeline = Pipeline(chunker=LineChunker(), retriever=OrderRetriever({"q": order}), top_k=3)
    diagnosis = diagnose(pipeline, documents, [query], verify=False)
    assert noise_of(diagnosis) == pytest.approx({"retriever": 1 - (1 / 2 + 2 / 3) / 2})
    share = diagnosis.token_share["share"]
    assert share["context"] == pytest.approx(8 / 13)
    assert share["attainable"] == 1


def shortening(doc_id: str, **ends: int) -> AnyPacker:
    """Cuts each chunk that is named by its first letter to so many characters."""

    def cut(chunk: Chunk) -> Chunk:
        if chunk.text[0] not in ends:
            return chunk
        start = chunk.spans[0].start
        end = start + ends[chunk.text[0]]
        return replace(chunk, spans=(Span(doc_id, start, end),), text=chunk.text[: end - start])

    return AnyPacker(lambda chunks: [cut(chunk) for chunk in chunks])


LINES = Document("d", "A1234567 evidence one\nB1234567 evidence two\nx1234567 noise")
BY_LETTER = {chunk.text[0]: chunk.id for chunk in LineChunker().chunk(LINES)}
ONE_AND_TWO = Query(
    "q", "?", [Evidence.of(Span.find(LINES, "evidence one")), Evidence.of(Span.find(LINES, "evidence two"))]
)


def shortened(order: str, packer: AnyPacker) -> Diagnosis:
    pipeline = Pipeline(
        chunker=LineChunker(),
        retriever=OrderRetriever({"q": [BY_LETTER[letter] for letter in order]}),
        packer=packer,
        top_k=3,
    )
    return diagnose(pipeline, [LINES], [ONE_AND_TWO], verify=False)


def test_evidence_that_the_packer_cut_off_leaves_noise_of_the_packers() -> None:
    assert noise_of(shortened("ABx", shortening("d", A=8))) == pytest.approx({"packer": 1 / 2})
    # What was noise before it was shortened is still the retriever's.
    assert noise_of(shortened("xAB", shortening("d", x=3, A=8))) == pytest.approx(
        {"retriever": 1 / 3, "packer": 1 / 3}
    )


def test_noise_above_a_chunk_that_only_shortening_made_relevant_keeps_its_stage() -> None:
    """Four of twenty characters are evidence, then four of eight; the noise stood above them all along."""
    document = Document("d", "e" * 10 + "n" * 16 + "x" * 10)
    cuts = {"d": [[(0, 6)], [(6, 26)], [(26, 36)]]}
    pipeline = Pipeline(
        chunker=CutChunker(cuts),
        retriever=OrderRetriever({"q": ["d#26-36", "d#6-26"]}),
        packer=shortening("d", e=8),
        top_k=2,
    )
    diagnosis = diagnose(
        pipeline, [document], [Query("q", "?", [Evidence.of(Span("d", 0, 10))])], verify=False
    )
    assert diagnosis.precision_flow["cp"].tolist() == [0, 1 / 2]
    assert noise_of(diagnosis) == {"retriever": 1 / 2}


def test_a_text_search_that_lifts_noise_above_evidence_is_the_retrievers() -> None:
    document = Document("d", "how long do refunds take\nfive days")
    query = Query("q", "how long do refunds take?", [Evidence.of(Span.find(document, "five days"))])
    vectors = {query.text: (1.0, 0.0), "five days": (1.0, 0.1), "how long do refunds take": (1.0, 0.5)}
    pipeline = Pipeline(
        chunker=LineChunker(),
        embedder=TableEmbedder(vectors),
        retriever=HybridRetriever([BM25Retriever(), ExactRetriever()], weights=[2, 1]),
        top_k=2,
    )
    diagnosis = diagnose(pipeline, [document], [query], verify=False)
    assert noise_of(diagnosis) == {"retriever": 1 / 2}
    assert diagnosis.precision_flow["cp"].tolist() == [1, 1 / 2]


def test_equal_similarities_keep_the_order_of_the_chunks() -> None:
    """The one rule for ties is the embedder's order too: a search that breaks it has moved the noise."""
    document = Document("d", "evidence\nnoise")
    query = Query("q", "?", [Evidence.of(Span("d", 0, 8))])
    pipeline = Pipeline(
        chunker=LineChunker(),
        embedder=TableEmbedder({}),
        retriever=OrderRetriever({"q": ["d#9-14", "d#0-8"]}, uses_vectors=True),
        top_k=2,
    )
    assert noise_of(diagnose(pipeline, [document], [query], verify=False)) == {"retriever": 1 / 2}
    kept = replace(pipeline, retriever=ExactRetriever())
    assert noise_of(diagnose(kept, [document], [query], verify=False)) == {}


# Groups


def test_groups_make_up_the_whole() -> None:
    documents = [Document(name, f"{name} one\n{name} two") for name in ("a", "b", "c")]
    queries = [
        Query(
            f"{d.id}{n}",
            f"{d.id} one",
            [Evidence.of(Span(d.id, 0, 5))] if n else [Evidence.of(Span(d.id, 6, 11))],
            metadata={"kind": kind},
        )
        for n, (d, kind) in enumerate(zip(documents, ("x", "y", "y"), strict=True))
    ]
    pipeline = Pipeline(chunker=LineChunker(), retriever=BM25Retriever(), candidates=3, top_k=2)
    diagnosis = diagnose(pipeline, documents, queries, verify=False)
    groups = diagnosis.by("kind")
    weights = pd.Series({value: len(part.assessed) / 3 for value, part in groups.items()})
    for name, column in (("noise", "loss"), ("precision_flow", "cp"), ("token_share", "share")):
        whole = getattr(diagnosis, name)[column]
        parts = getattr(groups, name)[column].unstack("kind")
        assert getattr(groups, name).index.names == ["kind", whole.index.name]
        pd.testing.assert_series_equal(
            (parts * weights).sum(axis=1)[whole.index], whole, check_names=False, atol=1e-12
        )
