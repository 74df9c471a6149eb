"""The lost units of a diagnosis, each with what an ideal chunker would add for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ragdiag.diagnosis.attempts import Void, calling
from ragdiag.diagnosis.evidence import EvidenceMap, QueryEvidence
from ragdiag.diagnosis.repairs import LostUnit, ideal_chunks
from ragdiag.diagnosis.result import Diagnosis
from ragdiag.records import Chunk, Document
from ragdiag.stages.protocols import Embedder, Packer, token_counts

__all__ = ["find_lost_units"]


def find_lost_units(
    diagnosis: Diagnosis,
    evidence_map: EvidenceMap,
    evidence: Sequence[QueryEvidence],
    *,
    packer: Packer | None,
    embedder: Embedder | None,
) -> list[LostUnit]:
    """The units that a diagnosis found lost, in the order of its ledger.

    Args:
        diagnosis: what the ledger observed.
        evidence_map: of the run.
        evidence: of each assessed query.
        packer: counts the tokens of new chunks, where it declares a budget; else
        embedder: does, where it can.
    """
    finder = _Finder(diagnosis, evidence_map, evidence, packer, embedder)
    return [finder.unit(row) for row in diagnosis.ledger.lost]


class _Finder:
    def __init__(
        self,
        diagnosis: Diagnosis,
        evidence_map: EvidenceMap,
        evidence: Sequence[QueryEvidence],
        packer: Packer | None,
        embedder: Embedder | None,
    ) -> None:
        self._diagnosis = diagnosis
        self._map = evidence_map
        self._evidence = evidence
        self._packer = packer
        self._embedder = embedder
        self._documents: Mapping[str, Document] = {d.id: d for d in diagnosis.documents}

    def unit(self, row: int) -> LostUnit:
        diagnosis, trace = self._diagnosis, self._diagnosis.trace
        position = int(diagnosis.ledger.owner[row])
        query = diagnosis.assessed[position]
        first = int(np.searchsorted(diagnosis.ledger.owner, position))
        kept = diagnosis.ledger.hard[first : first + len(query.evidence), -1]
        own, tokens = self._ideal_chunks(position, row - first)
        return LostUnit(
            query=query,
            unit=row,
            number=row - first,
            label=str(diagnosis.ledger.label(row)),
            evidence=self._map.of(query, own),
            chunks=trace.chunks,
            added=own,
            kept=kept,
            min_coverage=diagnosis.min_coverage,
            top_k=trace.top_k,
            budget=trace.budget,
            tokens=tokens.__getitem__,
        )

    def _ideal_chunks(self, position: int, number: int) -> tuple[tuple[Chunk, ...], tuple[int, ...]]:
        """What an ideal chunker adds for a unit of a query, and the tokens of all chunks and of these.

        Nothing where a plug that counts tokens raises: then the chunker cannot be made ideal.
        """
        diagnosis, trace = self._diagnosis, self._diagnosis.trace
        query, evidence = diagnosis.assessed[position], self._evidence[position]
        added = ideal_chunks(
            self._map, self._documents, query, evidence, number, min_coverage=diagnosis.min_coverage
        )
        if trace.chunk_tokens is None:
            return tuple(added), ()
        try:
            with calling("packer" if trace.budget is not None else "embedder"):
                return tuple(added), (
                    *trace.chunk_tokens,
                    *(token_counts(added, self._packer, self._embedder) or ()),
                )
        except Void:
            return (), trace.chunk_tokens
