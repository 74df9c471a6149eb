"""Sweeps: the same as separate runs, with nothing done twice, in any process, before and after a crash."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from plugs import AnyPacker, CountingEmbedder, LineChunker, SeededReranker

from ragdiag import (
    BM25Retriever,
    Chunk,
    Chunker,
    ConfigError,
    DataError,
    Document,
    Evidence,
    ExactRetriever,
    FaissRetriever,
    HashingEmbedder,
    HybridRetriever,
    MMRRetriever,
    Pipeline,
    Query,
    RagdiagWarning,
    RecursiveChunker,
    SentenceChunker,
    Span,
    StageError,
    Store,
    Sweep,
    TokenBudget,
    diagnose,
    grid,
    sweep,
)
from ragdiag.demo import demo_data
from ragdiag.experiments.sweep import CEILING, CUT
from ragdiag.measures.overlap import Recall
from ragdiag.stages.protocols import Vectors


@pytest.fixture(scope="module")
def handbook() -> tuple[list[Document], list[Query]]:
    return some_data()


def some_data() -> tuple[list[Document], list[Query]]:
    """Thirty questions, and the documents that they need."""
    documents, queries = demo_data()
    chosen = [query for query in queries if query.assessed][:30]
    needed = {doc_id for query in chosen for doc_id in query.doc_ids}
    return [document for document in documents if document.id in needed], chosen


BASE = Pipeline(
    chunker=RecursiveChunker(400), embedder=HashingEmbedder(64), retriever=ExactRetriever(), candidates=10
)
CHUNKERS: dict[str, Chunker] = {"small": RecursiveChunker(250, overlap=60), "sentences": SentenceChunker(500)}
RETRIEVERS = {
    "exact": ExactRetriever(),
    "HNSW": FaissRetriever("HNSW8"),
    "hybrid": HybridRetriever((ExactRetriever(), BM25Retriever())),
    "MMR": MMRRetriever(ExactRetriever()),
}
PIPELINES = {
    name: pipeline
    for name, pipeline in grid(
        BASE,
        chunker=CHUNKERS,
        retriever=RETRIEVERS,
        reranker={"none": None, "seeded": SeededReranker(7)},
        packer={"none": None, "budget": TokenBudget(900)},
    ).items()
    if (pipeline.reranker is None) == (pipeline.packer is None)
}
FEW = grid(
    BASE, chunker=CHUNKERS, retriever={name: RETRIEVERS[name] for name in ("exact", "hybrid")}, top_k=[2, 5]
)


@pytest.fixture(scope="module")
def swept(handbook: tuple[list[Document], list[Query]]) -> Sweep:
    return sweep(PIPELINES, *handbook)


# The same as separate runs


@pytest.mark.parametrize("name", PIPELINES)
def test_a_pipeline_of_a_sweep_is_worth_what_it_is_worth_alone(
    name: str, swept: Sweep, handbook: tuple[list[Document], list[Query]]
) -> None:
    alone = diagnose(PIPELINES[name], *handbook, verify=False)
    measured = swept[name]
    assert measured.query_ids == tuple(query.id for query in alone.assessed)
    for spec in ("Recall", "All", "MRR", "CP", "IoU", "Precision", "Recall@1", "Omega"):
        np.testing.assert_allclose(measured[spec], alone.measure_by_query(spec), atol=1e-12, err_msg=spec)
    assert swept.losses[name].dropna().to_dict() == pytest.approx(
        (alone.losses["loss"] - alone.losses["rescue"]).to_dict()
    )
    assert swept.losses[name].sum() == pytest.approx(1 - alone.recall)
    assert swept.noise[name].dropna().to_dict() == pytest.approx(alone.noise["loss"].to_dict())
    assert measured[CEILING].mean() == pytest.approx(alone.ceilings.loc["best k", "recall"])
    assert measured.chunks.chunks == len(alone.trace.chunks)
    assert measured.stages == alone.trace.stages


def test_its_diagnosis_is_that_of_a_run_alone(
    swept: Sweep, handbook: tuple[list[Document], list[Query]]
) -> None:
    name = "sentences | hybrid | seeded | budget"
    alone = diagnose(PIPELINES[name], *handbook, verify=False)
    found = swept.diagnose(name)
    assert found.to_dict() | {"costs": None} == alone.to_dict() | {"costs": None}
    assert found.failures.equals(alone.failures)


@pytest.mark.parametrize("name", ["small | exact | none | none", "sentences | HNSW | none | none"])
def test_recall_at_a_token_budget_looks_as_deep_as_the_budget_goes(
    name: str, handbook: tuple[list[Document], list[Query]]
) -> None:
    documents, queries = handbook
    embedder = _Counted(HashingEmbedder(64))
    pipeline = replace(PIPELINES[name], embedder=embedder, top_k=1)
    measured = sweep({"it": pipeline}, documents, queries, measures=["Recall@30"])["it"]
    # A pipeline that hands on every chunk has every ranking as deep as it goes.
    deep = diagnose(replace(pipeline, top_k=10_000), documents, queries, verify=False)
    for spec in ("Recall@512t", "Recall@4096t", "Recall@30"):
        np.testing.assert_allclose(measured[spec], deep.measure_by_query(spec), atol=1e-12, err_msg=spec)
    assert measured["Recall@4096t"].mean() > measured["Recall@512t"].mean() >= measured["Recall@1"].mean()


def test_a_reranker_has_seen_its_candidates_and_no_more(
    handbook: tuple[list[Document], list[Query]],
) -> None:
    pipeline = replace(
        BASE, embedder=_Counted(HashingEmbedder(64)), reranker=SeededReranker(7), candidates=6, top_k=2
    )
    measured = sweep({"it": pipeline}, *handbook, measures=["Recall@500"])["it"]
    np.testing.assert_array_equal(measured["Recall@500"], measured["Recall@6"])
    np.testing.assert_array_equal(measured["Recall@4096t"], measured["Recall@6"])


def test_facts_about_chunks_and_evidence_that_a_boundary_cuts() -> None:
    document = Document("d", "one two\nthree four\nthree four\nfive")
    spans = {"whole": (0, 7), "cut": (4, 13), "repeated": (8, 18), "partly cut": (0, 13)}
    queries = [Query(name, name, [Evidence.of(Span("d", *ends))]) for name, ends in spans.items()]
    pipeline = Pipeline(chunker=LineChunker(), retriever=BM25Retriever(), top_k=9)
    measured = sweep({"lines": pipeline}, [document], queries)["lines"]
    assert dict(zip(spans, measured[CUT].tolist(), strict=True)) == {
        "whole": 0.0, "cut": 1.0, "repeated": 0.0, "partly cut": 1.0,
    }  # fmt: skip
    facts = measured.chunks
    assert (facts.chunks, facts.unit, facts.shortest, facts.longest) == (4, "characters", 4, 10)
    assert (facts.duplicates, facts.dropped, facts.over_limit, facts.tokens) == (1 / 4, 0.0, None, None)
    assert facts.index_bytes is not None
    assert measured.context_tokens is None


def test_what_a_chunker_drops_and_what_is_over_the_limit_is_counted() -> None:
    @dataclass(frozen=True)
    class FirstHalf:
        def chunk(self, document: Document) -> list[Chunk]:
            return [Chunk.of(document, (0, len(document.text) // 2))]

    documents = [Document("a", "ab cd"), Document("b", "abcdefgh" * 3)]
    queries = [Query("q", "ab", [Evidence.of(Span("a", 0, 2))])]
    embedder = _Counted(HashingEmbedder(8), max_tokens=10)
    pipeline = Pipeline(chunker=FirstHalf(), embedder=embedder, retriever=ExactRetriever())
    facts = sweep({"it": pipeline}, documents, queries)["it"].chunks
    assert facts.dropped == pytest.approx(14 / 28)
    assert facts.over_limit == 0.5
    assert (facts.texts, facts.tokens, facts.index_bytes) == (2, 14, 2 * 8 * 4)


@dataclass(frozen=True)
class _Counted:
    """Counts characters as tokens, with none of its own."""

    inner: Any
    max_tokens: int = 10**6

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        return self.inner.embed_documents(texts)  # type: ignore[no-any-return]

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return self.inner.embed_queries(texts)  # type: ignore[no-any-return]

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text) for text in texts]


# Nothing twice


@dataclass(frozen=True)
class _Recording:
    """A chunker that keeps which documents it was given."""

    inner: Any
    given: list[str] = field(default_factory=list, compare=False, repr=False)

    def chunk(self, document: Document) -> Sequence[Chunk]:
        self.given.append(document.id)
        return self.inner.chunk(document)  # type: ignore[no-any-return]


def test_every_step_is_done_once(handbook: tuple[list[Document], list[Query]], tmp_path: Path) -> None:
    documents, queries = handbook
    embedder = CountingEmbedder(HashingEmbedder(64))
    chunkers = {name: _Recording(chunker) for name, chunker in CHUNKERS.items()}
    pipelines = grid(
        replace(BASE, embedder=embedder),
        chunker=chunkers,
        retriever=RETRIEVERS,
        packer={"none": None, "budget": TokenBudget(900)},
    )
    first = sweep(pipelines, documents, queries, store=tmp_path)
    for chunker in chunkers.values():
        assert chunker.given == [document.id for document in documents]
    texts = {
        chunk.index_text
        for chunker in CHUNKERS.values()
        for document in documents
        for chunk in chunker.chunk(document)
    }
    assert sorted(chain(*embedder.documents)) == sorted(texts)
    assert sorted(chain(*embedder.queries)) == sorted({query.text for query in queries})
    assert first.work.texts == len(texts)
    assert first.work.chunked == 2 * len(documents)
    assert first.work.pipelines == len(pipelines)
    assert not first.unkept

    embedder.documents.clear()
    second = sweep(pipelines, documents, queries, store=tmp_path)
    assert not embedder.documents
    assert second.work == type(second.work)()
    assert second.to_dict() == first.to_dict()


def test_a_later_sweep_embeds_what_is_new(
    handbook: tuple[list[Document], list[Query]], tmp_path: Path
) -> None:
    first = sweep({"small": BASE}, *handbook, store=tmp_path)
    both = {"small": BASE, "overlapping": replace(BASE, chunker=RecursiveChunker(400, overlap=100))}
    second = sweep(both, *handbook, store=Store(tmp_path))
    alone = sweep({"overlapping": both["overlapping"]}, *handbook)
    assert 0 < second.work.texts < alone.work.texts
    assert second.work.pipelines == 1
    assert list(second["overlapping"].lines()) == list(alone["overlapping"].lines())
    assert list(second) == ["small", "overlapping"]
    np.testing.assert_array_equal(second["small"]["Recall"], first["small"]["Recall"])


def test_what_cannot_say_what_it_is_is_not_kept_and_said(
    handbook: tuple[list[Document], list[Query]], tmp_path: Path
) -> None:
    class Nameless:
        def pack(self, query: str, chunks: Sequence[Chunk]) -> Sequence[Chunk]:  # noqa: ARG002
            return chunks[:1]

    pipelines = {"named": BASE, "nameless": replace(BASE, packer=Nameless())}
    first = sweep(pipelines, *handbook, store=tmp_path)
    again = sweep(pipelines, *handbook, store=tmp_path)
    assert dict(first.unkept) == {"nameless": ("packer",)}
    assert again.work.pipelines == 1
    assert again.work.texts == 0
    assert again.to_dict() == first.to_dict()


def test_nameless_chunkers_and_embedders_work_as_well(handbook: tuple[list[Document], list[Query]]) -> None:
    class Nameless:
        def chunk(self, document: Document) -> Sequence[Chunk]:
            return CHUNKERS["small"].chunk(document)

    class Embedder:
        def embed_documents(self, texts: Sequence[str]) -> Vectors:
            return HashingEmbedder(64).embed_documents(texts)

        def embed_queries(self, texts: Sequence[str]) -> Vectors:
            return HashingEmbedder(64).embed_queries(texts)

    pipelines = {
        "known": replace(BASE, chunker=CHUNKERS["small"]),
        "chunker": replace(BASE, chunker=Nameless()),
        "embedder": replace(BASE, chunker=CHUNKERS["small"], embedder=Embedder()),
    }
    found = sweep(pipelines, *handbook, latency_queries=2)
    assert dict(found.unkept) == {"chunker": ("chunker",), "embedder": ("embedder",)}
    for name in ("chunker", "embedder"):
        np.testing.assert_array_equal(found[name]["Recall"], found["known"]["Recall"])
    assert found.timings["chunker"].chunker > 0
    assert found.timings["embedder"].embedder is None


# Anywhere


@pytest.fixture(scope="module")
def serial(handbook: tuple[list[Document], list[Query]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("serial")
    sweep(FEW, *handbook, store=folder)
    return folder


def measured_files(folder: Path) -> dict[str, bytes]:
    files = {path.name: path.read_bytes() for path in (folder / "steps" / "measured").iterdir()}
    assert files
    return files


def test_workers_give_the_same_byte_for_byte(
    handbook: tuple[list[Document], list[Query]], serial: Path, tmp_path: Path
) -> None:
    found = sweep(FEW, *handbook, store=tmp_path, workers=2)
    assert found.work.pipelines == len(FEW)
    assert measured_files(tmp_path) == measured_files(serial)


def test_a_dask_cluster_gives_the_same_byte_for_byte(
    handbook: tuple[list[Document], list[Query]], serial: Path, tmp_path: Path
) -> None:
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
        joblib.parallel_config(backend="dask"),
    ):
        assert len(client.scheduler_info()["workers"]) == 2
        sweep(FEW, *handbook, store=tmp_path)
    assert measured_files(tmp_path) == measured_files(serial)


def test_what_a_worker_warns_of_is_warned_of_here(handbook: tuple[list[Document], list[Query]]) -> None:
    class Complaining:
        def chunk(self, document: Document) -> Sequence[Chunk]:
            warnings.warn("cut in a worker", RagdiagWarning, stacklevel=1)
            return CHUNKERS["small"].chunk(document)

        def __repr__(self) -> str:
            return "Complaining()"

    pipelines = {"one": replace(BASE, chunker=Complaining()), "two": BASE}
    with pytest.warns(RagdiagWarning, match="cut in a worker") as caught:
        sweep(pipelines, *handbook, workers=2)
    assert len(caught) == 1


def test_what_a_worker_could_not_write_is_worked_out_here(
    handbook: tuple[list[Document], list[Query]], serial: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Store.write_step
    lost: list[str] = []

    def write_step(store: Store, kind: str, key: str, lines: Any, *, name: str = "") -> None:
        if kind == "measured" and not lost:
            lost.append(key)
        else:
            write(store, kind, key, lines, name=name)

    monkeypatch.setattr(Store, "write_step", write_step)
    found = sweep(FEW, *handbook)
    assert lost
    assert found.work.pipelines == len(FEW) + 1
    assert found.to_dict() == sweep(FEW, *handbook, store=serial).to_dict()


def test_two_processes_may_sweep_into_one_store(
    handbook: tuple[list[Document], list[Query]], serial: Path, tmp_path: Path
) -> None:
    processes = [start(tmp_path) for _ in range(2)]
    for process in processes:
        _, errors = process.communicate(timeout=100)
        assert process.returncode == 0, errors
    assert measured_files(tmp_path) == measured_files(serial)
    assert sweep(FEW, *handbook, store=tmp_path).work.pipelines == 0


SCRIPT = """
import os, signal, sys
sys.path += {paths!r}
import test_sweep
from ragdiag import HashingEmbedder, sweep
from ragdiag.experiments.sweep import steps
{before}
sweep(test_sweep.FEW, *test_sweep.some_data(), store={folder!r})
"""


def start(folder: Path, before: str = "") -> subprocess.Popen[str]:
    paths = [str(Path(__file__).parent), *[path for path in sys.path if path.endswith("tests")]]
    script = SCRIPT.format(paths=paths, folder=str(folder), before=textwrap.dedent(before))
    return subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True)


# A crash

KILLED = {
    "while it embeds": """
        def killed(self, texts, embed=HashingEmbedder.embed_documents):
            if len(texts) > len(test_sweep.some_data()[1]):
                os.kill(os.getpid(), signal.SIGKILL)
            return embed(self, texts)
        HashingEmbedder.embed_documents = killed
    """,
    "while it measures": """
        calls = []
        def killed(*arguments, measure=steps.measure, **options):
            calls.append(1)
            if len(calls) == 4:
                os.kill(os.getpid(), signal.SIGKILL)
            return measure(*arguments, **options)
        steps.measure = killed
    """,
}


@pytest.mark.parametrize("when", KILLED)
def test_a_sweep_that_was_killed_goes_on_where_it_stood(
    when: str, handbook: tuple[list[Document], list[Query]], serial: Path, tmp_path: Path
) -> None:
    process = start(tmp_path, KILLED[when])
    process.communicate(timeout=100)
    assert process.returncode == -signal.SIGKILL
    resumed = sweep(FEW, *handbook, store=tmp_path)
    assert resumed.work.chunked == 0
    assert measured_files(tmp_path) == measured_files(serial)
    assert not list(tmp_path.rglob("*.tmp"))
    if when == "while it embeds":
        assert resumed.work.queries == 0
        assert resumed.work.texts > 0
    else:
        assert (resumed.work.texts, resumed.work.pipelines) == (0, len(FEW) - 3)


@pytest.mark.parametrize("change", ["truncated", "altered", "emptied"])
def test_a_damaged_result_is_said_and_worked_out_again(
    change: str, handbook: tuple[list[Document], list[Query]], serial: Path, tmp_path: Path
) -> None:
    shutil.copytree(serial, tmp_path, dirs_exist_ok=True)
    path = min((tmp_path / "steps" / "measured").iterdir())
    content = path.read_bytes()
    path.write_bytes(
        {
            "truncated": content[: len(content) // 2],
            "altered": content.replace(b"1.0", b"0.9", 1),
            "emptied": b"",
        }[change]
    )
    with pytest.warns(RagdiagWarning, match=path.name):
        again = sweep(FEW, *handbook, store=tmp_path)
    assert again.work.pipelines == 1
    assert measured_files(tmp_path) == measured_files(serial)


def test_vectors_that_were_altered_are_not_believed(
    handbook: tuple[list[Document], list[Query]], serial: Path, tmp_path: Path
) -> None:
    shutil.copytree(serial, tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "steps" / "measured")
    shards = sorted((tmp_path / "rows").rglob("*.npy"), key=lambda path: path.stat().st_size)
    content = bytearray(shards[-1].read_bytes())
    content[-100] ^= 255
    shards[-1].write_bytes(content)
    with pytest.warns(RagdiagWarning, match=shards[-1].name):
        again = sweep(FEW, *handbook, store=tmp_path)
    assert again.work.texts > 0
    assert measured_files(tmp_path) == measured_files(serial)


@pytest.mark.parametrize("room", [0, 2, 5])
def test_on_a_full_disk_the_work_goes_on_and_says_so(
    room: int,
    handbook: tuple[list[Document], list[Query]],
    serial: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written: list[int] = []

    def fsync(file: int) -> None:
        written.append(file)
        if len(written) > room + 1:  # the first file is the mark of the store
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.warns(RagdiagWarning, match="No space left on device"):
        found = sweep(FEW, *handbook, store=tmp_path)
    monkeypatch.undo()
    assert found.to_dict() == sweep(FEW, *handbook, store=serial).to_dict()
    assert not list(tmp_path.rglob("*.tmp"))
    # What was not kept is worked out by the next one.
    again = sweep(FEW, *handbook, store=tmp_path)
    assert again.work.pipelines == len(FEW)
    assert measured_files(tmp_path) == measured_files(serial)


# Rules, time and errors


def test_the_rules_of_evidence_are_handed_on() -> None:
    document = Document("d", "alpha beta gamma\nalpha beta gamma delta")
    source = Document("d", "alpha  beta gamma\nalpha beta gamma delta")
    queries = [Query("q", "alpha", [Evidence.of(Span("d", 0, 17))])]
    pipeline = Pipeline(chunker=RecursiveChunker(12), retriever=BM25Retriever(), top_k=1)
    for options in ({}, {"min_coverage": 0.5}, {"sources": [source]}, {"copies": False}):
        found = sweep({"it": pipeline}, [document], queries, **options)["it"]
        alone = diagnose(pipeline, [document], queries, verify=False, **options)
        for spec in alone.measures["measure"]:
            if "@" not in spec:
                np.testing.assert_array_equal(found[spec], alone.measure_by_query(spec))
        assert found["Recall"].mean() == pytest.approx(alone.recall)


def test_time_is_measured_once_and_stands_beside(
    handbook: tuple[list[Document], list[Query]], tmp_path: Path
) -> None:
    pipelines = {"exact": BASE, "reranked": replace(BASE, reranker=SeededReranker(1))}
    first = sweep(pipelines, *handbook, store=tmp_path, latency_queries=5)
    again = sweep(pipelines, *handbook, store=tmp_path, latency_queries=5)
    assert again.timings == first.timings
    for timings in first.timings.values():
        assert len(timings.latency) == 5
        assert timings.embedder is not None
        assert min(timings.chunker, timings.embedder, timings.retriever, *timings.latency) > 0
        assert timings.seconds_to_index == timings.chunker + timings.embedder + timings.retriever
        low, high = timings.percentile(50), timings.percentile(95)
        assert low is not None
        assert high is not None
        assert low <= high
    assert not sweep(pipelines, *handbook, store=tmp_path).timings


def test_tables(swept: Sweep) -> None:
    table = swept.table("Recall", Recall(1))
    assert list(table.index) == list(PIPELINES)
    assert list(table.columns) == ["Recall", "Recall@1"]
    everything = swept.table()
    assert {"Recall", "CP", CEILING, CUT, "Omega"} <= set(everything.columns)
    by_query = swept.per_query("Recall")
    assert by_query.mean().to_dict() == pytest.approx(table["Recall"].to_dict())
    assert list(by_query.index) == [query.id for query in swept.queries]
    estimate = swept.estimate("small | exact | none | none", "Recall")
    assert estimate.low < estimate.value < estimate.high
    standing = swept.standing("Recall")
    assert standing.order[0] == table["Recall"].idxmax()
    assert len(swept) == len(PIPELINES)


def test_what_was_not_measured_and_what_is_not_there_is_named(swept: Sweep) -> None:
    with pytest.raises(ConfigError, match=r"Recall@17 was not measured; give it to measures=.*Recall@5"):
        swept["small | exact | none | none"]["recall@17"]
    with pytest.raises(ConfigError, match=r"no pipeline of the sweep is called 'tiny'.*small \| exact"):
        swept["tiny"]
    with pytest.raises(ConfigError, match=r"no pipeline of the sweep is called 'tiny'"):
        swept.diagnose("tiny")
    with pytest.raises(DataError, match="at least two"):
        replace(swept, measured={"one": swept["small | exact | none | none"]}).standing("Recall")


def test_bad_input_is_refused_before_anything_is_done(
    handbook: tuple[list[Document], list[Query]], tmp_path: Path
) -> None:
    documents, queries = handbook
    by_words = Pipeline(chunker=LineChunker(), retriever=BM25Retriever())
    call: Any = sweep
    wrong: tuple[Any, ...] = ({}, [BASE])
    for pipelines in wrong:
        with pytest.raises(ConfigError, match="pipelines must be a mapping"):
            call(pipelines, documents, queries)
    with pytest.raises(ConfigError, match="pipeline 'a' must be a Pipeline, got str"):
        call({"a": "b"}, documents, queries)
    with pytest.raises(ConfigError, match=r"min_coverage must be in \(0, 1\], got 2"):
        sweep({"a": BASE}, documents, queries, min_coverage=2)
    with pytest.raises(ConfigError, match="nDCG"):
        sweep({"a": BASE}, documents, queries, measures=["nDCG@5"])
    with pytest.raises(ConfigError, match="a store in memory"):
        sweep({"a": BASE}, documents, queries, store=Store())
    with pytest.raises(DataError, match="none of the 1 queries has evidence"):
        sweep({"a": BASE}, documents, [Query("q", "what")])
    with pytest.raises(DataError, match="tokens"):
        sweep({"a": by_words}, documents, queries, measures=["Recall@512t"], store=tmp_path)


def test_what_was_finished_before_a_plug_failed_is_kept(
    handbook: tuple[list[Document], list[Query]], tmp_path: Path
) -> None:
    failing = replace(BASE, packer=AnyPacker(lambda _: [Chunk.of(Document("x", "invented"), (0, 3))]))
    with pytest.raises(StageError, match="packer"):
        sweep({"good": BASE, "bad": failing}, *handbook, store=tmp_path)
    assert sweep({"good": BASE}, *handbook, store=tmp_path).work.pipelines == 0


# Grids


def test_a_grid_holds_every_combination_with_a_name() -> None:
    found = grid(BASE, chunker=list(CHUNKERS.values()), reranker=[None, SeededReranker(3)], top_k=[1, 2])
    assert len(found) == 8
    first, *_, last = found.items()
    assert first[0] == f"{repr(CHUNKERS['small']).replace('Chunker', '')} | no reranker | top_k=1"
    assert (first[1].chunker, first[1].reranker, first[1].top_k) == (CHUNKERS["small"], None, 1)
    assert (last[1].chunker, last[1].reranker, last[1].top_k) == (CHUNKERS["sentences"], SeededReranker(3), 2)


def test_a_grid_says_what_is_wrong_with_it() -> None:
    with pytest.raises(ConfigError, match="a grid varies at least one of: chunker, embedder"):
        grid(BASE)
    with pytest.raises(ConfigError, match="chunker: give at least one option"):
        grid(BASE, chunker={})
    with pytest.raises(ConfigError, match=r"chunker: two options show themselves as 'Line\(\)'"):
        grid(BASE, chunker=[LineChunker(), LineChunker()])
    with pytest.raises(ConfigError, match=r"the combination 'top_k=0' is no pipeline: top_k must be"):
        grid(BASE, top_k=[0])
