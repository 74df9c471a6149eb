from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import faiss
import numpy as np
import pytest
from contracts_retrievers import check_retriever, some_chunks, some_requests, some_vectors
from hypothesis import given
from hypothesis import strategies as st
from plugs import WholeChunker

from ragdiag import Document, HashingEmbedder, Pipeline, Query
from ragdiag.errors import ConfigError, DataError
from ragdiag.records import Chunk
from ragdiag.stages.protocols import Vectors
from ragdiag.stages.retrievers import DistinctRetriever, FaissRetriever, SavedFaissRetriever

CHUNKS = some_chunks(300)
VECTORS = some_vectors(300)
REQUESTS = [
    replace(request, filter=wanted)
    for request in some_requests(6)
    for wanted in (None, {"lang": "de"}, {"lang": ["fr"], "even": True})
]

Metric = Literal["cosine", "dot", "l2"]


def save(
    path: Path, retriever: FaissRetriever, chunks: list[Chunk] = CHUNKS, vectors: Vectors = VECTORS
) -> Any:
    searcher = retriever.build(chunks, vectors)
    searcher.save(path)
    return searcher


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A small saved index, over the first ten chunks."""
    save(tmp_path / "flat.index", FaissRetriever("Flat"), CHUNKS[:10], VECTORS[:10])
    return tmp_path / "flat.index"


@pytest.mark.parametrize("metric", ["cosine", "dot", "l2"])
@pytest.mark.parametrize(
    ("factory", "parameters"),
    [
        ("Flat", {}),
        ("HNSW32", {"efSearch": 24}),
        ("HNSW16_SQ8", {}),
        ("NSG16", {}),
        ("SQ8", {}),
        ("PQ4x4", {}),
        ("IVF16,Flat", {"nprobe": 5}),
        ("IVF16,SQ8", {}),
        ("IVF16,PQ4x4", {"nprobe": 16}),
        ("PCA8,IVF4,Flat", {"nprobe": 2}),
        ("PQ2x4,RFlat", {"k_factor_rf": 4}),
    ],
)
def test_hits_are_those_of_the_index_that_was_saved(
    tmp_path: Path, factory: str, parameters: dict[str, float], metric: Metric
) -> None:
    before = save(tmp_path / "index", FaissRetriever(factory, metric=metric, parameters=parameters))
    after = SavedFaissRetriever(tmp_path / "index").build(CHUNKS, VECTORS)
    for n in (1, 10, 300):
        assert after.search(REQUESTS, n) == before.search(REQUESTS, n)


@pytest.mark.parametrize("factory", ["Flat", "HNSW32", "IVF16,PQ4x4"])
def test_contract(tmp_path: Path, factory: str) -> None:
    save(tmp_path / "index", FaissRetriever(factory, metric="l2"))
    saved = SavedFaissRetriever(tmp_path / "index")
    check_retriever(saved, CHUNKS, VECTORS, some_requests(2), needs_training=True)


def test_another_process_finds_the_same_without_building(tmp_path: Path) -> None:
    before = save(tmp_path / "index", FaissRetriever("HNSW16"))
    code = (
        "import sys; from contracts_retrievers import some_chunks, some_requests, some_vectors\n"
        "import faiss; faiss.index_factory = None  # nothing can be built\n"
        "from ragdiag.stages.retrievers import SavedFaissRetriever\n"
        "searcher = SavedFaissRetriever(sys.argv[1]).build(some_chunks(300), some_vectors(300))\n"
        "print(searcher.search(some_requests(6), 10))"
    )
    search = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[2])])
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "index")],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": search},
    )
    assert done.stdout.strip() == repr(before.search(some_requests(6), 10))


def test_in_a_pipeline(tmp_path: Path) -> None:
    documents = [Document(f"d{i}", text) for i, text in enumerate(["free parcels", "lost parcels", "fees"])]
    queries = [Query("q1", "parcels that are lost"), Query("q2", "what is free")]

    def pipeline(retriever: Any) -> Pipeline:
        return Pipeline(chunker=WholeChunker(), embedder=HashingEmbedder(), retriever=retriever, top_k=2)

    index = pipeline(DistinctRetriever(FaissRetriever("HNSW8"))).index(documents)
    index.searcher.arms[0].save(tmp_path / "index")  # type: ignore[attr-defined]
    saved = DistinctRetriever(SavedFaissRetriever(tmp_path / "index"))
    assert pipeline(saved).run(documents, queries).queries == index.run(queries).queries
    with pytest.raises(ConfigError, match="2 chunks"):
        pipeline(saved).index(documents[:2])


def test_the_recipe_builds_such_an_index_over_any_chunks(path: Path) -> None:
    retriever = FaissRetriever("IVF4,Flat", metric="l2", parameters={"nprobe": 2})
    save(path, retriever)
    saved = SavedFaissRetriever(path)
    assert saved.recipe == retriever
    assert saved.metric == "l2"
    assert SavedFaissRetriever(path, parameters={"nprobe": 4}).recipe == replace(
        retriever, parameters={"nprobe": 4}
    )
    assert DistinctRetriever(saved).recipe == DistinctRetriever(retriever)
    assert DistinctRetriever(saved).metric == "l2"


def test_parameters_can_be_changed_without_building(tmp_path: Path) -> None:
    save(tmp_path / "index", FaissRetriever("IVF16,Flat", parameters={"nprobe": 2}))

    def found(**parameters: float) -> int:
        saved = SavedFaissRetriever(tmp_path / "index", parameters=parameters)
        return len(saved.build(CHUNKS, VECTORS).search(REQUESTS[:1], 300)[0])

    assert found(nprobe=1) < found() == found(nprobe=2) < found(nprobe=16) == 300
    with pytest.raises(ConfigError, match=r"parameters\['nprobe'\] must be a number greater than 0"):
        found(nprobe=0)
    with pytest.raises(ConfigError, match=r"cannot search the stored .*'efSearch': 9.*could not set"):
        found(efSearch=9)


def test_the_retriever_prints_its_options_and_can_be_pickled(path: Path) -> None:
    saved = SavedFaissRetriever(Path("kept") / "catalog.index", parameters={"nprobe": 4})
    assert (
        repr(saved)
        == f"SavedFaissRetriever(path={str(Path('kept/catalog.index'))!r}, parameters={{'nprobe': 4}})"
    )
    assert saved == SavedFaissRetriever(str(Path("kept/catalog.index")), parameters={"nprobe": 4})
    copy = pickle.loads(pickle.dumps(SavedFaissRetriever(path)))  # noqa: S301  # our own bytes
    assert copy.build(CHUNKS[:10], VECTORS[:10]).search(REQUESTS[:1], 1)


# --- whose index it is


@pytest.mark.parametrize(
    ("chunks", "message"),
    [
        (CHUNKS[:9], f"holds 10 chunks, the pipeline has 9.*chunk 9: '{CHUNKS[9].id}' there, none here"),
        (CHUNKS[:11], f"holds 10 chunks, the pipeline has 11.*chunk 10: none there, '{CHUNKS[10].id}' here"),
        ([*CHUNKS[:8], CHUNKS[9], CHUNKS[8]], "chunk 8: "),
        ([*CHUNKS[:9], CHUNKS[20]], f"chunk 9: '{CHUNKS[9].id}' there, '{CHUNKS[20].id}' here"),
        ([], "holds 10 chunks, the pipeline has 0"),
    ],
    ids=["fewer", "more", "another order", "another id", "none"],
)
def test_other_chunks_are_refused(path: Path, chunks: list[Chunk], message: str) -> None:
    with pytest.raises(ConfigError, match=rf"index in .*flat\.index is not of these chunks: .*{message}"):
        SavedFaissRetriever(path).build(chunks, VECTORS[: len(chunks)])


def test_vectors_of_another_dimension_are_refused(path: Path) -> None:
    with pytest.raises(ConfigError, match="its vectors have 16 dimensions, those of the pipeline 8"):
        SavedFaissRetriever(path).build(CHUNKS[:10], VECTORS[:10, :8])


@pytest.mark.parametrize("metric", ["cosine", "dot", "l2"])
@given(row=st.integers(0, 299), column=st.integers(0, 15), by=st.sampled_from([-2.0, 0.01, 0.3]))
def test_one_other_vector_is_refused_and_named(
    tmp_path_factory: pytest.TempPathFactory, metric: Metric, row: int, column: int, by: float
) -> None:
    path = tmp_path_factory.getbasetemp() / f"saved-{metric}.index"
    if not path.exists():
        save(path, FaissRetriever("Flat", metric=metric))
    changed = VECTORS.copy()
    changed[row, column] += by * np.linalg.norm(changed[row])
    with pytest.raises(ConfigError, match=rf"1 of 300 chunks have other vectors.*'{CHUNKS[row].id}'"):
        SavedFaissRetriever(path).build(CHUNKS, changed)


@given(st.integers(0, 10**6))
def test_rounding_makes_no_other_vectors(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    path = tmp_path_factory.getbasetemp() / "saved-dot.index"
    if not path.exists():
        save(path, FaissRetriever("Flat", metric="dot"))
    noise = np.random.default_rng(seed).normal(size=VECTORS.shape) * np.linalg.norm(VECTORS, axis=1)[:, None]
    rounded = (VECTORS + 1e-6 * noise).astype(np.float32)
    assert not np.array_equal(rounded, VECTORS)
    SavedFaissRetriever(path).build(CHUNKS, rounded)


@pytest.mark.parametrize(("metric", "same"), [("cosine", True), ("dot", False), ("l2", False)])
def test_lengths_matter_where_the_index_knows_them(tmp_path: Path, metric: Metric, *, same: bool) -> None:
    save(tmp_path / "index", FaissRetriever("Flat", metric=metric))
    saved = SavedFaissRetriever(tmp_path / "index")
    if same:
        saved.build(CHUNKS, 3 * VECTORS)
    else:
        with pytest.raises(ConfigError, match="300 of 300 chunks have other vectors"):
            saved.build(CHUNKS, 3 * VECTORS)


def test_huge_and_zero_vectors_have_an_index_of_their_own(tmp_path: Path) -> None:
    vectors = np.full((3, 64), np.finfo(np.float32).max, dtype=np.float32) * np.array([[1], [-1], [0]], "f")
    save(tmp_path / "index", FaissRetriever("Flat", metric="l2"), CHUNKS[:3], vectors)
    SavedFaissRetriever(tmp_path / "index").build(CHUNKS[:3], vectors)
    with pytest.raises(ConfigError, match=f"2 of 3 chunks.*'{CHUNKS[0].id}'"):
        SavedFaissRetriever(tmp_path / "index").build(CHUNKS[:3], -vectors)


def test_ids_in_any_script_and_no_chunks_at_all(tmp_path: Path) -> None:
    chunks = [replace(CHUNKS[0], id=name) for name in ("№ 5#0-3", "broken \ud800", "\n")]
    save(tmp_path / "index", FaissRetriever("Flat"), chunks, VECTORS[:3])
    assert SavedFaissRetriever(tmp_path / "index").build(chunks, VECTORS[:3]).search(REQUESTS[:1], 3)
    save(tmp_path / "empty", FaissRetriever("IVF64,Flat"), [], VECTORS[:0])
    assert SavedFaissRetriever(tmp_path / "empty").build([], VECTORS[:0]).search(REQUESTS[:1], 3) == [[]]


# --- the file


def test_the_same_index_gives_the_same_bytes_and_replaces_the_file_before(path: Path) -> None:
    first = path.read_bytes()
    save(path, FaissRetriever("SQ8"), CHUNKS[:10], VECTORS[:10])
    assert path.read_bytes() != first
    save(path, FaissRetriever("Flat"), CHUNKS[:10], VECTORS[:10])
    assert path.read_bytes() == first
    assert [file.name for file in path.parent.iterdir()] == ["flat.index"]


def test_the_file_holds_the_plain_faiss_index(path: Path) -> None:
    with np.load(path, allow_pickle=False) as archive:
        index = faiss.deserialize_index(archive["index"])
    assert (index.ntotal, index.d, index.metric_type) == (10, 16, faiss.METRIC_INNER_PRODUCT)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_file_that_could_not_be_finished_leaves_the_one_before(
    path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    before = path.read_bytes()
    write = io.BufferedWriter.write

    def fail_late(file: Any, **_: Any) -> None:
        write(file, b"half of the file")
        raise error

    monkeypatch.setattr(np, "savez", fail_late)
    expected = DataError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected) as caught:
        save(path, FaissRetriever("SQ8"))
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["flat.index"]
    if expected is DataError:
        assert str(caught.value) == f"{path}: cannot be written: No space left on device"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no[/\\]where: cannot be written: No such file or directory"):
        save(tmp_path / "no" / "where", FaissRetriever("Flat"))
    saved = SavedFaissRetriever(tmp_path / "no" / "where")
    for ask in (lambda: saved.metric, lambda: saved.recipe, lambda: saved.build(CHUNKS, VECTORS)):
        with pytest.raises(DataError, match=r"no[/\\]where: cannot be read: No such file or directory"):
            ask()


def test_a_folder_in_place_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        SavedFaissRetriever(tmp_path).build(CHUNKS, VECTORS)
    with pytest.raises(DataError, match="cannot be written: it is there and is not a regular file"):
        save(tmp_path, FaissRetriever("Flat"))
    assert list(tmp_path.iterdir()) == []


def _npz(**arrays: Any) -> bytes:
    with io.BytesIO() as file:
        np.savez(file, **arrays)
        return file.getvalue()


def _npy(array: Any) -> bytes:
    with io.BytesIO() as file:
        np.save(file, array)
        return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not an index at all",
        _npy(np.arange(3)),
        _npy(np.array([{"a": 1}], dtype=object)),
        _npz(vectors=np.arange(3)),
        _npz(about=np.array([{"format": 1}], dtype=object)),
        _npz(about=np.frombuffer(b"[1]", np.uint8)),
        faiss.serialize_index(faiss.IndexFlatL2(4)).tobytes(),
    ],
    ids=["empty", "text", "npy", "pickle", "npz", "pickle in npz", "no object", "faiss"],
)
def test_a_file_of_something_else(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "index").write_bytes(content)
    with pytest.raises(DataError, match=r"index: is damaged, or no index that FaissSearcher\.save wrote"):
        SavedFaissRetriever(tmp_path / "index").build(CHUNKS, VECTORS)


def test_a_file_of_a_later_version(path: Path) -> None:
    path.write_bytes(_npz(about=np.frombuffer(b'{"format": 2}', np.uint8)))
    with pytest.raises(DataError, match=r"has the format 2, and this version of ragdiag reads 1"):
        SavedFaissRetriever(path).build(CHUNKS[:10], VECTORS[:10])


def test_an_index_that_this_faiss_cannot_read(path: Path) -> None:
    with np.load(path) as archive:
        parts = dict(archive)
    path.write_bytes(_npz(**{**parts, "index": np.zeros(40, np.uint8)}))
    with pytest.raises(DataError, match=rf"FAISS {faiss.__version__} cannot read the index, which FAISS"):
        SavedFaissRetriever(path).build(CHUNKS[:10], VECTORS[:10])


def test_a_truncated_file_is_refused_wherever_it_ends(path: Path) -> None:
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"is damaged"):
            SavedFaissRetriever(path).build(CHUNKS[:10], VECTORS[:10])


def test_a_flipped_bit_is_refused_or_changes_nothing(path: Path) -> None:
    whole = path.read_bytes()
    expected = SavedFaissRetriever(path).build(CHUNKS[:10], VECTORS[:10]).search(REQUESTS, 10)
    refused = 0
    positions = range(0, len(whole), 5)
    for position in positions:
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        try:
            found = SavedFaissRetriever(path).build(CHUNKS[:10], VECTORS[:10]).search(REQUESTS, 10)
        except DataError:
            refused += 1
        else:
            assert found == expected, position
    assert refused > len(positions) / 2
