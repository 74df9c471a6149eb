"""The steps of a sweep, each a function that any process can run.

A step reads its input from the store and writes its result there. So what travels to a worker is small:
plugs, keys and the texts in hand. Documents, chunks and vectors go through the store, which all workers see.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from time import perf_counter
from typing import Any, TypeVar

from ragdiag import __version__
from ragdiag.diagnosis.diagnose import Observation, observe_index
from ragdiag.diagnosis.evidence import EvidenceMap
from ragdiag.errors import DataError
from ragdiag.experiments.sweep.keys import Rules, digest, documents_key, fingerprints, unknown_stages
from ragdiag.experiments.sweep.measured import Measured
from ragdiag.experiments.sweep.measuring import DeepRankings, measure
from ragdiag.experiments.sweep.work import Work
from ragdiag.index import Index, chunk_all
from ragdiag.pipeline import Pipeline
from ragdiag.records import Chunk, Document, Query
from ragdiag.stages.protocols import Chunker, Embedder
from ragdiag.store import Store, StoredEmbedder, chunk_from_json, chunk_to_json, fingerprint
from ragdiag.values import from_json, to_json

__all__ = [
    "Setting",
    "chunk_documents",
    "chunks_key",
    "chunks_of",
    "embed_texts",
    "index_of",
    "keep_documents",
    "measure_branch",
    "measured_key",
    "observe",
    "open_store",
    "seconds_to_chunk",
    "seconds_to_embed",
]

_Plug = TypeVar("_Plug")


@dataclass(frozen=True, slots=True)
class Setting:
    """What all steps of a sweep have in common.

    Attributes:
        store: the folder of the store.
        documents: the key of the corpus.
        sources: the key of the originals; None where the documents are the sources.
        queries: what is asked.
        queries_key: their key.
        rules: by what evidence is judged.
        process: who began the sweep; in any other process plugs are kept from step to step, so that each
            loads its model once.
    """

    store: str
    documents: str
    sources: str | None
    queries: tuple[Query, ...]
    queries_key: str
    rules: Rules
    process: int

    def opened(self) -> Store:
        """The store, of which each process has one."""
        return open_store(self.store)

    def own(self, stage: str, plug: _Plug) -> _Plug:
        """The plug of this process that is the same as ``plug``, so that a model is loaded once."""
        name = fingerprint(plug)
        if os.getpid() == self.process or name is None:
            return plug
        own: _Plug = _PLUGS.setdefault((stage, name), plug)
        return own


_PLUGS: dict[tuple[str, str], Any] = {}


@lru_cache(maxsize=4)
def open_store(path: str) -> Store:
    """The store in a folder, of which a process opens one."""
    return Store(path)


# Documents


def keep_documents(store: Store, documents: Sequence[Document]) -> str:
    """Write a corpus for the other processes to read; its key."""
    key = documents_key(documents)
    if store.read_step("documents", key) is None:
        lines = [
            {"id": d.id, "text": d.text, "metadata": to_json(d.metadata, f"metadata of document {d.id!r}")}
            for d in documents
        ]
        store.write_step("documents", key, lines, name=f"{len(documents)} documents")
    return key


@lru_cache(maxsize=2)
def _documents(path: str, key: str) -> tuple[Document, ...]:
    lines = open_store(path).read_step("documents", key)
    if lines is None:
        raise DataError(
            f"{path}: this process does not find the documents of the sweep there: they could not be "
            "written, were removed since, or the folder is not one that all workers see"
        )
    return tuple(Document(line["id"], line["text"], from_json(line["metadata"])) for line in lines)


# Chunks


def chunks_key(setting: Setting, chunker: Chunker) -> str | None:
    """What the chunks of a chunker are kept under; None for one that cannot say what it is."""
    name = fingerprint(chunker)
    return None if name is None else digest("chunks", __version__, name, setting.documents)


def chunk_documents(setting: Setting, chunker: Chunker) -> Work:
    """Cut all documents, and keep the chunks and how long it took."""
    store, key = setting.opened(), chunks_key(setting, chunker)
    documents = _documents(setting.store, setting.documents)
    began = perf_counter()
    chunks = chunk_all(setting.own("chunker", chunker), documents, progress=False)
    seconds = perf_counter() - began
    if key is not None:
        store.write_step("chunk-seconds", key, [{"seconds": seconds}], name=repr(chunker))
        store.write_step("chunks", key, [chunk_to_json(chunk) for chunk in chunks], name=repr(chunker))
    return Work(chunked=len(documents))


def chunks_of(setting: Setting, chunker: Chunker) -> tuple[Chunk, ...] | None:
    """The chunks of a chunker; None where they are not kept."""
    key = chunks_key(setting, chunker)
    lines = None if key is None else setting.opened().read_step("chunks", key)
    return None if lines is None else tuple(map(chunk_from_json, lines))


@dataclass(frozen=True)
class _Cut:
    """A chunker whose chunks are known."""

    inner: Chunker
    chunks: Mapping[str, tuple[Chunk, ...]]

    def chunk(self, document: Document) -> tuple[Chunk, ...]:
        return self.chunks.get(document.id, ())

    def __repr__(self) -> str:
        return repr(self.inner)


# Vectors


def embed_texts(setting: Setting, embedder: Embedder, side: str, texts: Sequence[str]) -> Work:
    """Embed some texts as ``document`` or ``query``, and keep their vectors."""
    stored = setting.opened().embedder(setting.own("embedder", embedder))
    if side == "query":
        stored.embed_queries(texts)
    else:
        stored.embed_documents(texts)
    return _work_of(stored)


# Pipelines


def measured_key(setting: Setting, pipeline: Pipeline) -> str | None:
    """What a pipeline's values are kept under; None where a plug cannot say what it is."""
    if unknown_stages(pipeline):
        return None
    return digest(
        "measured",
        __version__,
        dict(fingerprints(pipeline)),
        pipeline.n,
        pipeline.top_k,
        setting.documents,
        setting.sources,
        setting.queries_key,
        [setting.rules.min_coverage, setting.rules.copies, setting.rules.measures],
    )


def measure_branch(
    setting: Setting, pipelines: Mapping[str, Pipeline]
) -> tuple[dict[str, Measured | None], Work]:
    """Run pipelines that share chunks, vectors and retriever, and keep what each is worth.

    Returns:
        By name None for what is kept, else the values themselves; and the work.
    """
    store = setting.opened()
    found: dict[str, Measured | None] = {}
    work = Work()
    index: Index | None = None
    evidence_map: EvidenceMap | None = None
    rankings: DeepRankings = {}
    for name, pipeline in pipelines.items():
        # What a step of this size has worked out is written once, at its end.
        with store.batch():
            index, made = index_of(setting, pipeline, index)
            observation = observe(setting, index, evidence_map)
            evidence_map = observation.evidence_map
            measured = measure(index, observation, setting.rules.measures, known=rankings)
            key = measured_key(setting, pipeline)
            if key is not None:
                lines = list(measured.lines())
                store.write_step("measured", key, lines, name=" | ".join(pipeline.stages.values()))
        found[name] = measured if key is None else None
        work += made + _work_of(*index.pipeline.plugs.values()) + Work(pipelines=1)
    return found, work


def index_of(setting: Setting, pipeline: Pipeline, near: Index | None = None) -> tuple[Index, Work]:
    """The index of a pipeline, with all that is known taken from the store.

    Args:
        setting: of the sweep.
        pipeline: as the user gave it.
        near: the index of another pipeline with the same chunks, of which all that is equal is shared.
    """
    store = setting.opened()
    plugs: dict[str, Any] = {}
    for stage, plug in pipeline.plugs.items():
        own = setting.own(stage, plug)
        if stage in _STORED and fingerprint(plug) is not None:
            own = getattr(store, stage)(own)
        plugs[stage] = own
    work = Work()
    if near is not None:
        plugs["chunker"] = near.pipeline.chunker
        return near.changed(replace(pipeline, **plugs), progress=False), work
    documents = _documents(setting.store, setting.documents)
    chunks = chunks_of(setting, pipeline.chunker)
    if chunks is None:
        work = Work(chunked=len(documents))
    else:
        of_document: dict[str, list[Chunk]] = {}
        for chunk in chunks:
            of_document.setdefault(chunk.spans[0].doc_id, []).append(chunk)
        plugs["chunker"] = _Cut(pipeline.chunker, {d: tuple(own) for d, own in of_document.items()})
    return Index.build(replace(pipeline, **plugs), documents, progress=False), work


_STORED = ("embedder", "retriever", "reranker")
"""The stages of whose plugs the store keeps each result."""


def observe(setting: Setting, index: Index, evidence_map: EvidenceMap | None = None) -> Observation:
    """What the ledger observes of an index, by the rules of the sweep."""
    return observe_index(
        index,
        setting.queries,
        sources=None if setting.sources is None else _documents(setting.store, setting.sources),
        min_coverage=setting.rules.min_coverage,
        copies=setting.rules.copies,
        evidence_map=evidence_map,
        progress=False,
    )


def _work_of(*plugs: object) -> Work:
    """What reached stored plugs; others count nothing."""
    work = Work()
    for plug in plugs:
        if (asked := getattr(plug, "asked", None)) is not None:
            work += Work(
                texts=asked.documents, queries=asked.queries, searches=asked.searched, pairs=asked.pairs
            )
    return work


def seconds_to_chunk(setting: Setting, chunker: Chunker) -> float | None:
    """How long a chunker took, as far as that is kept."""
    key = chunks_key(setting, chunker)
    lines = None if key is None else setting.opened().read_step("chunk-seconds", key)
    return None if lines is None else float(lines[0]["seconds"])


def seconds_to_embed(embedder: Embedder | None, chunks: Sequence[Chunk]) -> float | None:
    """How long it took to embed the texts of some chunks, whoever did it; None where nothing tells."""
    if not isinstance(embedder, StoredEmbedder):
        return None
    return embedder.seconds(list(dict.fromkeys(chunk.index_text for chunk in chunks)))
