"""An approximate index moves when rows are added: what it misses is still the retriever's, and proven."""

from __future__ import annotations

from typing import Any

import pytest
from faults.broken_stages import ClusteredRetriever, CuttingChunker, FickleRetriever
from faults.laboratory import Laboratory, delivered, describe, examine, laboratory, verdicts, without

from ragdiag import BM25Retriever, ExactRetriever, FaissRetriever

APPROXIMATE: list[Any] = [
    ClusteredRetriever(8),
    ClusteredRetriever(3),
    FaissRetriever("IVF4,Flat"),
    FaissRetriever("HNSW2", parameters={"efSearch": 1}),
]


def check_that_the_retriever_is_named(exact: Laboratory, retriever: Any) -> None:
    assert delivered(exact) == exact.units, "an exact search delivers everything"
    approximate = exact.using(retriever=retriever)
    casualties = exact.units - delivered(approximate)
    assert len(casualties) >= 3
    found = verdicts(examine(approximate))
    assert found.keys() == casualties
    wrong = {
        unit: describe(verdict)
        for unit, verdict in sorted(found.items())
        if (verdict.stage, verdict.proof) != ("retriever", "verified")
        or verdict.cause not in ("approximate", "unreachable")
        or ("retriever",) not in verdict.repairs
    }
    assert wrong == {}


@pytest.mark.parametrize("retriever", APPROXIMATE, ids=repr)
@pytest.mark.parametrize("bench", ["full", "vectors"])
@pytest.mark.parametrize("seed", [0, 2])
def test_what_an_approximate_search_misses_is_the_retrievers(bench: str, retriever: Any, seed: int) -> None:
    check_that_the_retriever_is_named(laboratory(bench, seed), retriever)


@pytest.mark.parametrize("retriever", APPROXIMATE, ids=repr)
@pytest.mark.parametrize("bench", ["full", "vectors"])
def test_evidence_that_is_cut_changes_nothing_where_an_exact_search_finds_all_pieces(
    bench: str, retriever: Any
) -> None:
    """Only here a chunker's repair adds rows, and with other clusters the pieces may come back by chance."""
    whole = laboratory(bench, 1, thorough=True, at_most=1)
    cut = whole.using(
        chunker=CuttingChunker(whole.some_keys(1, 1)), retriever=ExactRetriever(), top_k=6, candidates=12
    )
    cut = without(cut, cut.units - delivered(cut))
    check_that_the_retriever_is_named(cut, retriever)


@pytest.mark.parametrize("rows", [1, 4])
@pytest.mark.parametrize(("bench", "inner"), [("vectors", ExactRetriever()), ("bare", BM25Retriever())])
def test_an_index_that_added_rows_heal_proves_nothing_against_other_stages(
    bench: str, inner: Any, rows: int
) -> None:
    """With one row more, whatever it is, the index finds everything: that a chunk was added cannot count.

    Where it takes more rows than one unit's repair adds, an index of its own shows that the chunk is missed.
    """
    whole = laboratory(bench, 1, thorough=True, at_most=1)
    cut = whole.using(chunker=CuttingChunker(whole.some_keys(1, 1)))
    cut = without(cut, cut.units - delivered(cut))
    size = len(cut.pipeline.run(cut.documents, cut.queries, progress=False).chunks)
    fickle = FickleRetriever(inner, cut.some_keys(0.5, 1), size + rows)
    casualties = cut.units - delivered(cut.using(retriever=fickle))
    assert len(casualties) >= 5
    found = verdicts(examine(cut.using(retriever=fickle)))
    assert found.keys() == casualties
    wrong = {
        unit: describe(verdict)
        for unit, verdict in sorted(found.items())
        if (verdict.stage, verdict.proof, verdict.repairs) != ("retriever", "verified", (("retriever",),))
    }
    assert wrong == {}
