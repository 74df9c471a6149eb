"""Stages that answer otherwise, or fail, when they are asked again: no proof is made up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from faults.broken_stages import (
    CuttingChunker,
    DecapitatingPacker,
    DroppingChunker,
    ForgetfulRetriever,
    InvertedReranker,
    LossyRetriever,
    NoisyEmbedder,
    build_part,
)
from faults.laboratory import (
    OverlapReranker,
    Unit,
    WordEmbedder,
    describe,
    examine,
    laboratory,
    verdicts,
)
from faults.planted import Plant
from plugs import LineChunker

from ragdiag import ExactRetriever, HybridRetriever
from ragdiag.diagnosis.verdicts import Proof, Verdict
from ragdiag.records import Chunk, Document, Hit, Request
from ragdiag.stages.protocols import Vectors


def with_other_proof(found: dict[Unit, Verdict], *proofs: Proof) -> dict[Unit, str]:
    return {unit: describe(v) for unit, v in sorted(found.items()) if v.proof not in proofs}


def dice() -> np.random.Generator:
    """Where a stage draws its randomness from: what it draws next depends on all that it drew before."""
    return np.random.default_rng(0)


@dataclass(frozen=True)
class RandomChunker:
    """Begins to cut anywhere in the first line, then every 80 characters."""

    rng: Any = field(default_factory=dice, repr=False, compare=False)

    def chunk(self, document: Document) -> list[Chunk]:
        bounds = [0, *range(int(self.rng.integers(1, 80)), len(document.text), 80), len(document.text)]
        return [Chunk.of(document, (a, b)) for a, b in pairwise(bounds) if a < b]


@dataclass(frozen=True)
class RandomEmbedder(WordEmbedder):
    """Adds noise that is far louder than the text."""

    rng: Any = field(default_factory=dice, repr=False, compare=False)

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        vectors = super().embed_documents(texts)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        added = self.rng.standard_normal(vectors.shape).astype(np.float32) / np.sqrt(self.dimensions)
        return np.asarray(vectors + 6 * lengths * added, dtype=np.float32)


@dataclass(frozen=True)
class RandomRetriever:
    """An exact search of which every answer lacks a random half."""

    rng: Any = field(default_factory=dice, repr=False, compare=False)

    def build(self, chunks: Sequence[Chunk], vectors: Vectors | None) -> _RandomSearcher:
        return _RandomSearcher(ExactRetriever().build(chunks, vectors), self.rng)


@dataclass(frozen=True)
class _RandomSearcher:
    inner: Any
    rng: Any

    def search(self, requests: Sequence[Request], n: int) -> list[list[Hit]]:
        found = self.inner.search(requests, 2 * n)
        return [[hit for hit in hits if self.rng.random() < 0.5][:n] for hits in found]


@dataclass(frozen=True)
class RandomBuildRetriever:
    """An index that loses a random half of the chunks whenever it is built."""

    rng: Any = field(default_factory=dice, repr=False, compare=False)

    def build(self, chunks: Sequence[Chunk], vectors: Vectors | None) -> Any:
        return build_part(ExactRetriever(), chunks, vectors, (self.rng.random(len(chunks)) < 0.5).tolist())


@dataclass(frozen=True)
class RandomReranker:
    rng: Any = field(default_factory=dice, repr=False, compare=False)

    def score(self, query: str, texts: Sequence[str]) -> list[float]:  # noqa: ARG002
        return self.rng.random(len(texts)).tolist()  # type: ignore[no-any-return]


@dataclass(frozen=True)
class RandomPacker:
    """Leaves out one or two chunks, and shuffles the others."""

    rng: Any = field(default_factory=dice, repr=False, compare=False)

    def pack(self, query: str, chunks: Sequence[Chunk]) -> list[Chunk]:  # noqa: ARG002
        kept = self.rng.permutation(len(chunks))[int(self.rng.integers(1, 3)) :]
        return [chunks[i] for i in kept]


RANDOM: dict[str, dict[str, Any]] = {
    "chunker": {"chunker": RandomChunker()},
    "embedder": {"embedder": RandomEmbedder()},
    "retriever": {"retriever": RandomRetriever()},
    "retriever's index": {"retriever": RandomBuildRetriever()},
    "reranker": {"reranker": RandomReranker()},
    "packer": {"packer": RandomPacker()},
}


@pytest.mark.parametrize("stage", RANDOM)
def test_what_a_random_stage_loses_is_unreproducible(stage: str) -> None:
    diagnosis = examine(laboratory("full", 1).using(**RANDOM[stage]))
    found = verdicts(diagnosis)
    assert len(found) >= 10
    assert with_other_proof(found, "unreproducible") == {}
    assert all(v.stage == v.observed for v in found.values()), "the ledger's label stands"
    assert all(v.repairs == () for v in found.values())
    assert all(v.reason for v in found.values())
    hard = diagnosis.hard_losses
    assert (hard["loss"] - hard["rescue"]).sum() == pytest.approx(1 - diagnosis.hard_recall, abs=1e-9)


# A hiccup: broken in the plain run, healthy ever after. The loss surely does not come again.


@dataclass(frozen=True)
class HiccupChunker:
    seen: set[str] = field(default_factory=set, repr=False)

    def chunk(self, document: Document) -> list[Chunk]:
        if document.id in self.seen:
            return LineChunker().chunk(document)
        self.seen.add(document.id)
        return LineChunker().chunk(document)[::2]


@dataclass(frozen=True)
class HiccupEmbedder(WordEmbedder):
    seen: set[str] = field(default_factory=set, repr=False)

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        new = frozenset(text.split()[0] for text in texts if text not in self.seen)
        self.seen.update(texts)
        return NoisyEmbedder(marked=new).embed_documents(texts)


@dataclass(frozen=True)
class HiccupRetriever:
    """Its first searcher forgets at the first question, and remembers at the second."""

    seen: set[str] = field(default_factory=set, repr=False)

    def build(self, chunks: Sequence[Chunk], vectors: Vectors | None) -> _HiccupSearcher:
        exact = ExactRetriever()
        return _HiccupSearcher(
            exact.build(chunks, vectors), LossyRetriever(exact).build(chunks, vectors), self
        )


@dataclass(frozen=True)
class _HiccupSearcher:
    healthy: Any
    broken: Any
    retriever: HiccupRetriever

    def search(self, requests: Sequence[Request], n: int) -> list[list[Hit]]:
        found = []
        for request in requests:
            again = request.query_id in self.retriever.seen
            self.retriever.seen.add(request.query_id)
            found += (self.healthy if again else self.broken).search([request], n)
        return found


@dataclass(frozen=True)
class HiccupReranker:
    seen: set[str] = field(default_factory=set, repr=False)

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        again = query in self.seen
        self.seen.add(query)
        return (OverlapReranker() if again else InvertedReranker()).score(query, texts)


@dataclass(frozen=True)
class HiccupPacker:
    seen: set[str] = field(default_factory=set, repr=False)

    def pack(self, query: str, chunks: Sequence[Chunk]) -> list[Chunk]:
        again = query in self.seen
        self.seen.add(query)
        return list(chunks) if again else DecapitatingPacker().pack(query, chunks)


HICCUPS: dict[str, Any] = {
    "chunker": HiccupChunker,
    "embedder": HiccupEmbedder,
    "retriever": HiccupRetriever,
    "reranker": HiccupReranker,
    "packer": HiccupPacker,
}


@pytest.mark.parametrize("stage", HICCUPS)
def test_what_was_lost_once_and_never_again_is_unreproducible(stage: str) -> None:
    found = verdicts(examine(laboratory("full", 1).using(**{stage: HICCUPS[stage]()})))
    assert len(found) >= 10
    assert with_other_proof(found, "unreproducible") == {}
    assert all((v.stage, v.observed, v.repairs) == (stage, stage, ()) for v in found.values())


# Stages that fail when they are asked again


class RefusalError(RuntimeError):
    """Raised by a stage that does not want to be asked again."""


@dataclass(frozen=True)
class RefusingEmbedder(NoisyEmbedder):
    """Has a fixed store of vectors: a text that did not come with the first call is refused."""

    known: set[str] = field(default_factory=set, repr=False)

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        if not self.known:
            self.known.update(texts)
        unknown = set(texts) - self.known
        if unknown:
            raise RefusalError(f"no vector is stored for {min(unknown)!r}")
        return super().embed_documents(texts)


@dataclass(frozen=True)
class RefusingRetriever:
    """A service that can be filled once."""

    builds: list[int] = field(default_factory=list, repr=False)

    def build(self, chunks: Sequence[Chunk], vectors: Vectors | None) -> Any:
        self.builds.append(len(chunks))
        if len(self.builds) > 1:
            raise RefusalError("the index exists already")
        return ExactRetriever().build(chunks, vectors)


@dataclass(frozen=True)
class RefusingReranker:
    """Scores from a log: once it has scored for all queries, a text that it did not score is refused."""

    queries: int
    seen: dict[str, set[str]] = field(default_factory=dict, repr=False)

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        if len(self.seen) < self.queries:
            self.seen.setdefault(query, set()).update(texts)
        if set(texts) - self.seen.get(query, set()):
            raise RefusalError("that pair is not in the log")
        return OverlapReranker().score(query, texts)


@dataclass(frozen=True)
class RefusingPacker:
    """Answers each query once."""

    seen: set[str] = field(default_factory=set, repr=False)

    def pack(self, query: str, chunks: Sequence[Chunk]) -> list[Chunk]:
        if query in self.seen:
            raise RefusalError("this query was answered already")
        self.seen.add(query)
        return DecapitatingPacker().pack(query, chunks)


@dataclass(frozen=True)
class RefusingChunker:
    """Cuts each document once."""

    marked: frozenset[str] = field(repr=False)
    seen: set[str] = field(default_factory=set, repr=False)

    def chunk(self, document: Document) -> list[Chunk]:
        if document.id in self.seen:
            raise RefusalError("this document was cut already")
        self.seen.add(document.id)
        return CuttingChunker(self.marked).chunk(document)


def without_saying_so(found: dict[Unit, Verdict], message: str) -> dict[Unit, str]:
    """The verdicts whose reason does not hold what the stage said when it refused."""
    return {unit: describe(v) for unit, v in sorted(found.items()) if message not in v.reason}


def test_a_chunk_that_cannot_be_embedded_leaves_the_chunker_unproven() -> None:
    healthy = laboratory("full", 1)
    marked = healthy.some_keys(0.3, 1)
    for chunker, label in ((DroppingChunker(marked), "chunker"), (CuttingChunker(marked), "embedder")):
        found = verdicts(examine(healthy.using(chunker=chunker, embedder=RefusingEmbedder())))
        assert len(found) >= 10
        assert {v.observed for v in found.values()} == {label}
        assert all(("chunker",) not in v.repairs for v in found.values())
        assert without_saying_so(found, "no vector is stored") == {}
        if label == "chunker":
            assert with_other_proof(found, "observed") == {}


def test_an_index_that_cannot_be_built_again_leaves_the_embedder_unproven() -> None:
    healthy = laboratory("full", 1)
    marked = healthy.some_keys(0.3, 1)
    found = verdicts(
        examine(healthy.using(embedder=NoisyEmbedder(marked=marked), retriever=RefusingRetriever()))
    )
    assert len(found) >= 10
    assert {v.stage for v in found.values()} == {"embedder"}
    assert with_other_proof(found, "observed") == {}
    assert without_saying_so(found, "the index exists already") == {}


def test_pairs_that_cannot_be_scored_leave_the_chunker_unproven() -> None:
    healthy = laboratory("full", 1)
    marked = healthy.some_keys(0.3, 1)
    found = verdicts(
        examine(
            healthy.using(chunker=DroppingChunker(marked), reranker=RefusingReranker(len(healthy.queries)))
        )
    )
    assert len(found) >= 10
    assert {v.stage for v in found.values()} == {"chunker"}
    assert with_other_proof(found, "observed") == {}
    assert without_saying_so(found, "not in the log") == {}


def test_a_packer_that_answers_once_leaves_everything_unproven() -> None:
    found = verdicts(examine(laboratory("full", 1).using(packer=RefusingPacker())))
    assert len(found) >= 10
    assert {v.stage for v in found.values()} == {"packer"}
    assert with_other_proof(found, "observed") == {}
    assert without_saying_so(found, "answered already") == {}


def test_a_chunker_that_cuts_once_does_not_stop_the_diagnosis() -> None:
    healthy = laboratory("full", 1)
    marked = healthy.some_keys(0.3, 1)
    found = verdicts(examine(healthy.using(chunker=RefusingChunker(marked))))
    assert len(found) >= 10
    assert {v.observed for v in found.values()} == {"embedder"}
    unproven = {unit: v for unit, v in found.items() if v.proof == "observed"}
    assert without_saying_so(unproven, "cut already") == {}


def test_units_that_a_failing_stage_does_not_touch_are_proven_all_the_same() -> None:
    """The embedder refuses the chunker's repairs; what the reranker lost needs none of them."""
    healthy = laboratory("full", 1)
    plants: list[Plant] = [
        lambda lab, marked: lab.using(chunker=DroppingChunker(marked), embedder=RefusingEmbedder()),
        lambda lab, _: lab.using(reranker=InvertedReranker()),
    ]
    broken = healthy
    for plant in plants:
        broken = plant(broken, healthy.some_keys(0.3, 1))
    found = verdicts(examine(broken))
    by_reranker = {unit: v for unit, v in found.items() if v.observed == "reranker"}
    assert len(by_reranker) >= 10
    assert with_other_proof(by_reranker, "verified") == {}


@dataclass(frozen=True)
class TiringArm:
    """A search by words that finds nothing, and answers a question without a vector only once."""

    asked: list[int] = field(default_factory=list, repr=False, compare=False)
    uses_vectors: bool = False

    def build(self, chunks: Sequence[Chunk], vectors: Vectors | None) -> TiringArm:  # noqa: ARG002
        return self

    def search(self, requests: Sequence[Request], n: int) -> list[list[Hit]]:
        if all(request.vector is None for request in requests):
            self.asked.append(n)
            if len(self.asked) > 1:
                raise RuntimeError("tired")
        return [[] for _ in requests]


def test_an_arm_that_fails_when_it_is_asked_again_costs_no_more_than_its_own_proofs() -> None:
    """Where a repair does not help, who loses the unit then is asked of the arms as well."""
    healthy = laboratory("full", 1)
    keys = healthy.some_keys(0.4, 1)
    broken = healthy.using(
        embedder=NoisyEmbedder(**vars(healthy.pipeline.embedder), marked=keys),
        retriever=HybridRetriever([ForgetfulRetriever(ExactRetriever(), keys), TiringArm()]),
    )
    found = verdicts(examine(broken, causes=False))
    assert len(found) >= 5
    assert with_other_proof(found, "observed") == {}
    assert {trial.void_by for verdict in found.values() for trial in verdict.trials} >= {"raised", None}
