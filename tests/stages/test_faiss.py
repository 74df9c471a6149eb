from __future__ import annotations

import pickle
from typing import Any, Literal

import faiss
import numpy as np
import pytest
from contracts_retrievers import check_retriever, some_chunks, some_requests, some_vectors

from ragdiag.errors import ConfigError, StageError
from ragdiag.records import Hit, Request
from ragdiag.stages.protocols import Vectors
from ragdiag.stages.retrievers import ExactRetriever, FaissRetriever
from ragdiag.stages.retrievers.faiss_index import _one_thread

CHUNKS = some_chunks(300)
VECTORS = some_vectors(300)
REQUESTS = some_requests(6)

Metric = Literal["cosine", "dot", "l2"]
METRICS: tuple[Metric, ...] = ("cosine", "dot", "l2")


def brute_force(vectors: Vectors, query: Vectors, metric: str) -> Any:
    a, q = vectors.astype(np.float64), query.astype(np.float64)
    if metric == "l2":
        return -((a - q) ** 2).sum(axis=1)
    scores = a @ q
    return scores / np.linalg.norm(a, axis=1) / np.linalg.norm(q) if metric == "cosine" else scores


def rows_of(hits: list[Hit]) -> list[int]:
    row_of = {chunk.id: row for row, chunk in enumerate(CHUNKS)}
    return [row_of[hit.chunk_id] for hit in hits]


@pytest.mark.parametrize(
    ("factory", "metric", "parameters", "needs_training"),
    [
        ("Flat", "cosine", {}, False),
        ("Flat", "dot", {}, False),
        ("HNSW16", "cosine", {"efSearch": 48}, False),
        ("HNSW16", "l2", {}, False),
        ("HNSW16_SQ8", "dot", {}, False),
        ("IVF8,Flat", "cosine", {"nprobe": 8}, True),
        ("IVF8,Flat", "l2", {"nprobe": 4}, True),
        ("IVF4,SQ8", "dot", {"nprobe": 4}, True),
        ("IVF4,PQ2x4", "cosine", {"nprobe": 4}, True),
        ("PQ2x4", "l2", {}, True),
        ("SQ8", "cosine", {}, False),
        ("SQ8", "l2", {}, False),
        ("PCA8,IVF4,Flat", "dot", {"nprobe": 4}, True),
        ("IVF4,Flat,RFlat", "cosine", {"k_factor_rf": 2, "nprobe": 4}, True),
        ("NSG16", "l2", {}, True),
    ],
)
def test_contract(factory: str, metric: Metric, parameters: dict[str, float], needs_training: bool) -> None:  # noqa: FBT001
    retriever = FaissRetriever(factory, metric=metric, parameters=parameters)
    check_retriever(retriever, CHUNKS, VECTORS, REQUESTS, needs_training=needs_training)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("factory", ["Flat", "HNSW32", "SQ8", "PQ8", "IVF16,Flat", "IVF16,SQ8", "IVF16,PQ8"])
def test_contract_of_common_indexes_under_every_metric(factory: str, metric: Metric) -> None:
    parameters = {"nprobe": 16} if "IVF" in factory else {}
    retriever = FaissRetriever(factory, metric=metric, parameters=parameters)
    check_retriever(
        retriever, CHUNKS, VECTORS, REQUESTS[:2], needs_training="PQ" in factory or "IVF" in factory
    )


@pytest.mark.parametrize("metric", METRICS)
def test_exact_contract(metric: Metric) -> None:
    check_retriever(ExactRetriever(metric), CHUNKS, VECTORS, REQUESTS)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("d", [1, 7, 64])
def test_flat_equals_brute_force(metric: Metric, d: int) -> None:
    vectors = some_vectors(300, d, seed=3) * 5
    requests = some_requests(4, d, seed=4)
    searcher = FaissRetriever("Flat", metric=metric).build(CHUNKS, vectors)
    for request, hits in zip(requests, searcher.search(requests, 300), strict=True):
        assert request.vector is not None
        expected = brute_force(vectors, request.vector, metric)
        atol = 1e-6 * np.abs(expected).max()  # where products cancel, nothing is exact
        rows = rows_of(hits)
        assert sorted(rows) == list(range(300))
        np.testing.assert_allclose([hit.score for hit in hits], expected[rows], rtol=1e-5, atol=atol)


@pytest.mark.parametrize("metric", METRICS)
def test_flat_returns_what_the_exact_retriever_returns(metric: Metric) -> None:
    # Every tenth vector is a copy: at some n the cut goes between the two, and the earlier row must win.
    exact = ExactRetriever(metric).build(CHUNKS, VECTORS)
    flat = FaissRetriever("Flat", metric=metric).build(CHUNKS, VECTORS)
    for n in (1, 2, 3, 5, 10, 50, 299):
        for ours, theirs in zip(flat.search(REQUESTS, n), exact.search(REQUESTS, n), strict=True):
            assert [hit.chunk_id for hit in ours] == [hit.chunk_id for hit in theirs]


def test_among_equal_scores_the_first_rows_win_wherever_the_cut_is() -> None:
    vectors = np.tile(np.array([[1.0, 0.0]], dtype=np.float32), (300, 1))
    searcher = FaissRetriever("Flat").build(CHUNKS, vectors)
    request = Request("q", "?", np.array([2.0, 0.0], dtype=np.float32))
    for n in (1, 5, 120):
        assert rows_of(searcher.search([request], n)[0]) == list(range(n))
    # Nothing is like or unlike a zero vector; left alone, FAISS takes what comes first in its lists.
    searcher = FaissRetriever("IVF4,Flat", metric="dot", parameters={"nprobe": 4}).build(CHUNKS, VECTORS)
    request = Request("q", "?", np.zeros(16, dtype=np.float32))
    for n in (1, 5, 120):
        assert rows_of(searcher.search([request], n)[0]) == list(range(n))


@pytest.mark.parametrize(
    "factory", ["Flat", "SQ8", "IVF8,Flat", "IVF8,SQ8", "IVF8,PQ2x4", "PQ2x4", "PCA8,Flat"]
)
@pytest.mark.parametrize("wanted", [{"lang": "de"}, {"lang": ["fr"], "even": True}])
def test_filtering_is_post_filtering(factory: str, wanted: dict[str, Any]) -> None:
    parameters = {"nprobe": 3} if "IVF" in factory else {}
    searcher = FaissRetriever(factory, parameters=parameters).build(CHUNKS, VECTORS)
    everything = searcher.search(REQUESTS, len(CHUNKS))
    for n in (2, 10, 300):
        filtered = searcher.search([Request(r.query_id, r.text, r.vector, wanted) for r in REQUESTS], n)
        for hits, unfiltered in zip(filtered, everything, strict=True):
            metadata = [CHUNKS[row].metadata for row in rows_of(unfiltered)]
            allowed = [
                hit
                for hit, m in zip(unfiltered, metadata, strict=True)
                if m["lang"] in wanted["lang"] and m["even"] == wanted.get("even", m["even"])
            ]
            assert hits == allowed[:n]


def test_a_filter_that_leaves_little_is_satisfied_by_a_graph_index() -> None:
    chunks = some_chunks(300)
    searcher = FaissRetriever("HNSW8").build(chunks, VECTORS)
    [hits] = searcher.search([Request("q", "?", REQUESTS[0].vector, {"lang": "de", "even": True})], 50)
    assert len(hits) == 50


def test_search_parameters_reach_the_index() -> None:
    def found(nprobe: int) -> int:
        retriever = FaissRetriever("IVF16,Flat", parameters={"nprobe": nprobe})
        return len(retriever.build(CHUNKS, VECTORS).search(REQUESTS[:1], 300)[0])

    assert found(1) < found(4) < found(16) == 300
    # A filter passes its own parameters, which must not fall back to one list.
    retriever = FaissRetriever("IVF16,Flat", parameters={"nprobe": 16})
    request = Request("q", "?", REQUESTS[0].vector, {"lang": "de"})
    assert len(retriever.build(CHUNKS, VECTORS).search([request], 300)[0]) == 100


@pytest.mark.parametrize(
    "factory", ["PQ2x4", "IVF4,PQ2x4", "PCA8,PQ2x4", "PQ2x4,RFlat", "HNSW8,PQ2x4", "PCA8,IVF4,PQ2x4"]
)
def test_codes_are_not_ordered_for_a_filter_that_nobody_uses(factory: str) -> None:
    spared = FaissRetriever(factory, metric="l2").build(CHUNKS, VECTORS)
    plain = faiss.index_factory(16, factory, faiss.METRIC_L2)
    with _one_thread():
        plain.train(VECTORS)
        plain.add(VECTORS)
    for request, hits in zip(REQUESTS, spared.search(REQUESTS, len(CHUNKS)), strict=True):
        assert request.vector is not None
        distances, rows = plain.search(request.vector[None, :], len(CHUNKS))
        distances = distances[rows >= 0][None, :]
        assert [-hit.score for hit in hits] == distances[0].tolist()


def test_codes_are_ordered_where_the_filter_is_used() -> None:
    filtering = FaissRetriever("PQ2x4", metric="l2", parameters={"ht": 3}).build(CHUNKS, VECTORS)
    assert filtering._index.do_polysemous_training
    assert not FaissRetriever("PQ2x4", metric="l2").build(CHUNKS, VECTORS)._index.do_polysemous_training


def test_cosine_does_not_depend_on_length_and_dot_does() -> None:
    vectors = np.array([[1, 0], [0, 30], [0, 0]], dtype=np.float32)
    request = Request("q", "?", np.array([0.8, 0.6], dtype=np.float32))
    cosine, dot = (
        FaissRetriever("Flat", metric=metric).build(CHUNKS[:3], vectors).search([request], 3)[0]
        for metric in ("cosine", "dot")
    )
    assert rows_of(cosine) == [0, 1, 2]
    assert rows_of(dot) == [1, 0, 2]
    assert [hit.score for hit in cosine] == pytest.approx([0.8, 0.6, 0.0])


def test_very_long_vectors_have_a_cosine() -> None:
    vectors = np.array([[3e30, 0], [0, 1e-30]], dtype=np.float32)
    [hits] = FaissRetriever("Flat").build(CHUNKS[:2], vectors).search([Request("q", "?", vectors[1])], 2)
    assert [(row, hit.score) for row, hit in zip(rows_of(hits), hits, strict=True)] == [(1, 1.0), (0, 0.0)]


def test_the_graph_does_not_depend_on_threads_and_the_setting_is_restored() -> None:
    threads = faiss.omp_get_max_threads()
    chunks, vectors = some_chunks(4000), some_vectors(4000, 8)
    graphs = []
    try:
        for count in (1, 4):
            faiss.omp_set_num_threads(count)
            searcher = FaissRetriever("HNSW4", metric="l2").build(chunks, vectors)
            graphs.append(faiss.vector_to_array(searcher._index.hnsw.neighbors))
            assert faiss.omp_get_max_threads() == count
    finally:
        faiss.omp_set_num_threads(threads)
    assert np.array_equal(graphs[0], graphs[1])


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("HNSW_32", r"could not parse HNSW code description 32"),
        ("", r"could not parse"),
        ("PQ7", r"multiple of the number of subquantizers"),
        ("IVF500,Flat", r"300 vectors.*training points \(300\).*clusters \(500\)"),
        ("PQ4x9", r"training points \(300\).*clusters \(512\)"),
        ("IDMap,Flat", r"IDMap"),
        (None, r"FAISS cannot build"),
    ],
)
def test_what_faiss_cannot_build(factory: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        FaissRetriever(factory).build(CHUNKS, VECTORS)
    assert ".cpp" not in str(caught.value)


@pytest.mark.parametrize("parameters", [{"efSearch": 8}, {"nonsense": 1}, {"nprobe": "many"}, {"nprobe": 0}])
def test_parameters_that_cannot_work(parameters: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(parameters))):
        FaissRetriever("IVF4,Flat", parameters=parameters).build(CHUNKS, VECTORS)


def test_what_faiss_refuses_while_searching() -> None:
    searcher = FaissRetriever("Flat,RFlat", parameters={"k_factor_rf": 0.5}).build(CHUNKS, VECTORS)
    with pytest.raises(StageError, match=r"retriever: FAISS cannot search FaissRetriever\(.*k_factor_rf"):
        searcher.search(REQUESTS, 10)


def test_unknown_metric() -> None:
    with pytest.raises(ConfigError, match=r"FaissRetriever\.metric .*'euclid'"):
        FaissRetriever("Flat", metric="euclid")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"ExactRetriever\.metric .*'euclid'"):
        ExactRetriever("euclid")  # type: ignore[arg-type]


def test_vectors_that_do_not_fit() -> None:
    with pytest.raises(StageError, match=r"shape \(300, d\), got \(299, 16\)"):
        FaissRetriever("Flat").build(CHUNKS, VECTORS[:299])
    with pytest.raises(StageError, match=r"got \(300,\)"):
        FaissRetriever("Flat").build(CHUNKS, VECTORS[:, 0])
    searcher = FaissRetriever("Flat").build(CHUNKS, VECTORS)
    with pytest.raises(StageError, match=r"query 'q': .*dimension 16.*\(8,\)"):
        searcher.search([Request("q", "?", VECTORS[0, :8])], 3)
    with pytest.raises(StageError, match=r"query 'q': .*vector"):
        searcher.search([Request("q", "?")], 3)


def test_no_chunks_give_no_hits() -> None:
    searcher = FaissRetriever("IVF64,Flat").build([], VECTORS[:0])
    assert searcher.search(REQUESTS[:2], 5) == [[], []]


def test_vectors_of_another_precision_or_layout() -> None:
    request = REQUESTS[0]
    expected = FaissRetriever("Flat").build(CHUNKS, VECTORS).search([request], 5)
    for vectors in (VECTORS.astype(np.float64), np.asfortranarray(VECTORS)):
        assert FaissRetriever("Flat").build(CHUNKS, vectors).search([request], 5) == expected  # type: ignore[arg-type]


def test_the_recipe_prints_its_options_and_can_be_pickled() -> None:
    retriever = FaissRetriever("IVF4,Flat", metric="l2", parameters={"nprobe": 2})
    assert repr(retriever) == "FaissRetriever(factory='IVF4,Flat', metric='l2', parameters={'nprobe': 2})"
    assert pickle.loads(pickle.dumps(retriever)) == retriever  # noqa: S301  # our own bytes
