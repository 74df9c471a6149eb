"""What a fault is: a named way to break a case, with a severity, and the units that it hits."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any, Literal, TypeAlias

import numpy as np

from ragdiag.errors import ConfigError
from ragdiag.experiments.faults.marks import Marks, Unit
from ragdiag.pipeline import Pipeline
from ragdiag.records import Document, Query
from ragdiag.stages.protocols import Chunker, Embedder, Packer, Reranker, Retriever

__all__ = ["Aim", "Case", "Fault", "Planted", "Unit", "plant"]

Reach: TypeAlias = Literal["share", "whole"]


@dataclass(frozen=True)
class Case:
    """A pipeline, what it is asked, and about what: all that a fault can break.

    Attributes:
        pipeline: the stages.
        documents: the corpus, as ingested.
        queries: with their evidence.
        sources: the originals in which the evidence is anchored; None where the documents are.
    """

    pipeline: Pipeline
    documents: tuple[Document, ...] = field(repr=False)
    queries: tuple[Query, ...] = field(repr=False)
    sources: tuple[Document, ...] | None = field(default=None, repr=False)

    @property
    def originals(self) -> Mapping[str, Document]:
        """The documents in which the evidence is anchored, by id."""
        return {document.id: document for document in self.sources or self.documents}

    @property
    def units(self) -> tuple[Unit, ...]:
        """All units of evidence, in order."""
        return tuple((query.id, number) for query in self.queries for number in range(len(query.evidence)))

    def using(
        self,
        *,
        chunker: Chunker | None = None,
        embedder: Embedder | None = None,
        retriever: Retriever | None = None,
        reranker: Reranker | None = None,
        packer: Packer | None = None,
    ) -> Case:
        """The same with other plugs; the stages that are not given stay."""
        given = {
            "chunker": chunker,
            "embedder": embedder,
            "retriever": retriever,
            "reranker": reranker,
            "packer": packer,
        }
        changes: dict[str, Any] = {stage: plug for stage, plug in given.items() if plug is not None}
        return replace(self, pipeline=replace(self.pipeline, **changes))


@dataclass(frozen=True)
class Aim:
    """What a fault is aimed at: the same whatever other faults are planted, so that effects can be compared.

    Attributes:
        severity: how hard it hits.
        marks: of the units that it hits; of all units, where it reaches the whole pipeline.
        healthy: the case before any fault.
    """

    severity: float
    marks: Marks
    healthy: Case


@dataclass(frozen=True)
class Fault:
    """A way to break a case.

    Attributes:
        name: what it is called.
        stage: who is to blame for what it alone loses: a plug, ``ingest``, ``capacity``, or ``""`` for a
            fault that loses nothing.
        cause: the named cause that it should be found as; empty where there is none.
        what: what it does, in plain words.
        reach: ``share``: it hits a share of the units, which is its severity; ``whole``: it breaks the whole
            pipeline, and its severity is what ``parameter`` says.
        parameter: what the severity means.
        severity: the usual one.
        needs: the stages that a pipeline must have for it, beside the chunker and the retriever.
        synthetic: whether its damage is made up, because the real models at hand cannot show it.
        wrap: breaks a case, given what it is aimed at. Raises `ConfigError` where the pipeline lacks what it
            breaks.
    """

    name: str
    _: KW_ONLY
    stage: str
    cause: str
    what: str
    reach: Reach = "share"
    parameter: str = "share of the units"
    severity: float = 0.15
    needs: tuple[str, ...] = ()
    synthetic: bool = False
    wrap: Callable[[Case, Aim], Case] = field(repr=False)

    def at(self, severity: float) -> Fault:
        """The same fault, more or less severe."""
        return replace(self, severity=severity)

    def hits(self, case: Case, *, seed: int) -> frozenset[Unit]:
        """The units that it hits: a share of them by chance, or all.

        What is drawn depends on the seed and the fault's name, and on nothing that other faults do.
        """
        if self.reach == "whole":
            return frozenset(case.units)
        units = case.units
        rng = np.random.default_rng([seed, zlib.crc32(self.name.encode())])
        chosen = rng.choice(len(units), round(self.severity * len(units)), replace=False)
        return frozenset(units[i] for i in chosen)


@dataclass(frozen=True)
class Planted:
    """A case with its faults.

    Attributes:
        case: the broken one.
        healthy: the one before.
        faults: what broke it, in the order of the flow.
        seed: what decided which units were hit.
        hit: the units that each fault was aimed at, by its name. Not all need be lost, nor these alone.
    """

    case: Case
    healthy: Case
    faults: tuple[Fault, ...]
    seed: int
    hit: Mapping[str, frozenset[Unit]] = field(repr=False)


def plant(case: Case, faults: Sequence[Fault], *, seed: int = 0) -> Planted:
    """Break a case by faults.

    Args:
        case: a healthy one; it is not changed.
        faults: what to plant; several are put in in the order given, so that each wraps those before.
        seed: decides by chance which units are hit, where a fault hits a share of them.

    Raises:
        ConfigError: the pipeline lacks what a fault breaks, a severity is out of range, or a fault comes
            twice.

    Example:
        >>> from ragdiag import BM25Retriever, Evidence, RecursiveChunker, Span
        >>> from ragdiag.experiments.faults import FAULTS
        >>> faq = Document("faq", "Returns are free. Refunds take five days.")
        >>> query = Query("q1", "How long do refunds take?", [Evidence.of(Span.find(faq, "five days"))])
        >>> pipeline = Pipeline(chunker=RecursiveChunker(size=24), retriever=BM25Retriever(), top_k=1)
        >>> planted = plant(Case(pipeline, (faq,), (query,)), [FAULTS["missing_upserts"].at(1.0)])
        >>> planted.hit
        {'missing_upserts': frozenset({('q1', 0)})}
    """
    names = [fault.name for fault in faults]
    if len(set(names)) < len(names):
        raise ConfigError(f"a fault comes twice: {', '.join(names)}")
    broken = case
    hit = {}
    for fault in faults:
        missing = [stage for stage in fault.needs if stage not in case.pipeline.plugs]
        if missing:
            raise ConfigError(f"{fault.name} breaks the {missing[0]}, which the pipeline has not")
        if fault.reach == "share" and not 0 <= fault.severity <= 1:
            raise ConfigError(f"{fault.name}: a share must be in [0, 1], got {fault.severity!r}")
        if not fault.severity >= 0:
            raise ConfigError(f"{fault.name}: {fault.parameter} must be >= 0, got {fault.severity!r}")
        units = fault.hits(case, seed=seed)
        hit[fault.name] = units
        marks = Marks.of(units, case.queries, case.originals)
        broken = fault.wrap(broken, Aim(fault.severity, marks, case))
    return Planted(broken, case, tuple(faults), seed, hit)
