from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from contracts_retrievers import check_packer
from hypothesis import given
from hypothesis import strategies as st
from plugs import AnyPacker, BudgetPacker, OrderRetriever, WholeChunker
from whole_documents import chunks_of

from ragdiag import Diagnosis, Evidence, Pipeline, Query, diagnose
from ragdiag.errors import ConfigError, StageError
from ragdiag.records import Document, Span
from ragdiag.stages.packers import (
    DuplicateFilter,
    NearDuplicateFilter,
    PackerChain,
    PromptOrder,
    TokenBudget,
    TopK,
)
from ragdiag.stages.protocols import budget_of, token_counts

PACKERS = st.one_of(
    st.builds(TopK, st.integers(1, 4)),
    st.just(DuplicateFilter()),
    st.builds(NearDuplicateFilter, st.sampled_from([0.3, 1.0]), shingle=st.integers(1, 3)),
    st.builds(PromptOrder, st.sampled_from(["ranked", "reversed", "edges"])),
)
BUDGETS = st.builds(
    TokenBudget,
    st.integers(1, 60),
    overflow=st.sampled_from(["skip", "stop", "truncate"]),
    separator=st.just("|"),
)


@given(
    texts=st.lists(st.text("ab \n", min_size=1, max_size=20).filter(str.strip), max_size=6),
    before=st.lists(PACKERS, max_size=2),
    budget=st.lists(BUDGETS, max_size=1),
    after=st.lists(PACKERS, min_size=1, max_size=2),
)
def test_a_chain_is_its_parts_in_turn(texts: list[str], before: Any, budget: Any, after: Any) -> None:
    documents, chunks = chunks_of(*texts)
    parts = [*before, *budget, *after]
    chain = PackerChain(parts)
    check_packer(chain, documents, chunks)
    expected = chunks
    for part in parts:
        expected = part.pack("?", expected)
    assert chain.pack("?", chunks) == expected
    assert PackerChain([chain]).pack("?", chunks) == expected
    nested = PackerChain([PackerChain(parts[:1]), *parts[1:]])
    assert nested.pack("?", chunks) == expected
    for each in (chain, nested):
        assert budget_of(each) == (budget[0].budget if budget else None)
        assert token_counts(chunks, each, None) == (
            tuple(budget[0].tokens(chunk) for chunk in chunks) if budget else None
        )


def test_a_chain_prints_its_parts_and_can_be_pickled() -> None:
    chain = PackerChain([DuplicateFilter(), TopK(3)])
    assert repr(chain) == "PackerChain(packers=(DuplicateFilter(), TopK(k=3)))"
    assert pickle.loads(pickle.dumps(chain)) == chain  # noqa: S301  # our own bytes


def test_tokens_need_a_budget() -> None:
    _, [chunk] = chunks_of("text")
    assert PackerChain([TopK(1), TokenBudget(50)]).tokens(chunk) == 6
    with pytest.raises(ConfigError, match=r"TopK\(k=1\)\,\)\) has no budget"):
        PackerChain([TopK(1)]).tokens(chunk)


@pytest.mark.parametrize(
    ("packers", "message"),
    [
        ([], "must be one or more packers, got none"),
        ([TopK(1), object()], r"must have pack\(query, chunks\), got <object"),
        ([TopK], r"must have pack\(query, chunks\), got <class"),
        ([TokenBudget(50), BudgetPacker(20)], r"one packer with a budget.*max_tokens=50.*budget=20"),
        ([PackerChain([TokenBudget(50)]), TokenBudget(50)], "one packer with a budget"),
    ],
)
def test_chains_that_cannot_work(packers: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PackerChain(packers)


# --- in a pipeline

FACTS = {
    "a": "Parcels are collected from the depot on Monday.",
    "b": "Parcels are collected from the depot on Friday.",
    "c": "Vouchers expire after a year.",
    "d": "Deposits are paid back in cash and never by a cheque or a voucher.",
    "e": "Parcels are collected from the depot on Monday.",
}


def diagnosed(packer: Any, *, order: str = "abcde", top_k: int = 5, evidence: str = "abcd") -> Diagnosis:
    """All documents are retrieved in an order; each of some is the evidence of a query of its own."""
    documents = {name: Document(name, text) for name, text in FACTS.items()}
    queries = [
        Query(name, f"question {name}", [Evidence.of(Span(name, 0, len(FACTS[name])))]) for name in evidence
    ]
    ids = [f"{name}#0-{len(FACTS[name])}" for name in order]
    retriever = OrderRetriever(dict.fromkeys(evidence, ids))
    pipeline = Pipeline(chunker=WholeChunker(), retriever=retriever, packer=packer, top_k=top_k)
    diagnosis = diagnose(pipeline, [*documents.values()], queries, progress=False)
    lost = diagnosis.losses["loss"].sum() - diagnosis.losses["rescue"].sum()
    delivered = np.mean([name not in set(diagnosis.failures["query_id"]) for name in evidence])
    assert lost == pytest.approx(1 - delivered, abs=1e-9)
    return diagnosis


def lost(diagnosis: Diagnosis) -> dict[str, tuple[str, str, str]]:
    failures = diagnosis.failures
    rows = zip(failures["stage"], failures["cause"], failures["proof"], strict=True)
    return dict(zip(failures["query_id"], rows, strict=True))


def test_duplicates_out_of_the_way_make_room_within_the_budget() -> None:
    budget = TokenBudget(130, separator="")
    assert set(lost(diagnosed(budget, order="aecdb", evidence="cd"))) == {"d"}
    chain = PackerChain([DuplicateFilter(), budget])
    assert lost(diagnosed(chain, order="aecdb", evidence="acde")) == {
        "d": lost(diagnosed(budget, order="acdb", top_k=4, evidence="d"))["d"]
    }


def test_what_a_chain_drops_is_the_packers() -> None:
    chain = PackerChain([NearDuplicateFilter(0.6, shingle=3), TokenBudget(500), PromptOrder("edges")])
    diagnosis = diagnosed(chain)
    assert {query: (stage, proof) for query, (stage, _, proof) in lost(diagnosis).items()} == {
        "b": ("packer", "verified")
    }
    assert diagnosis.trace.budget == 500
    assert diagnosis.trace.chunk_tokens == tuple(len(text) + 2 for text in FACTS.values())


def test_what_cannot_fit_is_not_the_packers() -> None:
    """A budget inside a chain binds the ledger as it does alone."""
    chain = PackerChain([DuplicateFilter(), TokenBudget(50, separator=""), PromptOrder("reversed")])
    stages = {
        query: (stage, cause) for query, (stage, cause, _) in lost(diagnosed(chain, order="cabde")).items()
    }
    assert stages["d"] == ("capacity", "budget")
    assert stages["a"][0] == stages["b"][0] == "packer"


def test_a_cut_inside_a_chain_is_the_packers() -> None:
    """Five are passed on, duplicates go, three are left: k is five to the ledger."""
    chain = PackerChain([DuplicateFilter(), TopK(3)])
    assert lost(diagnosed(chain, order="aebcd")).keys() == {"d"}
    assert lost(diagnosed(chain, order="aebcd"))["d"][0] == "packer"
    assert lost(diagnosed(TopK(3), order="aebcd")).keys() == {"c", "d"}


def test_the_order_costs_no_recall_but_precision_is_the_packers() -> None:
    ranked = diagnosed(PackerChain([PromptOrder("ranked")]))
    edges = diagnosed(PackerChain([PromptOrder("edges")]))
    assert lost(ranked) == lost(edges) == {}
    assert ranked.noise["loss"].to_dict()["packer"] == 0
    assert edges.noise["loss"].to_dict()["packer"] > 0


def test_a_part_that_invents_a_chunk_is_found_out() -> None:
    _, [stranger] = chunks_of("text of nobody")
    with pytest.raises(StageError, match=r"packer.*was not among those given"):
        diagnosed(PackerChain([AnyPacker(lambda chunks: [*chunks, stranger]), TopK(9)]))
