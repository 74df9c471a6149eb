"""The lost units of a diagnosis, each with what an ideal chunker would add for it."""

from __future__ import annotations

from collections.abc import Sequence

from ragdiag.diagnosis.attempts import Void, calling
from ragdiag.diagnosis.evidence import EvidenceMap, QueryEvidence
from ragdiag.diagnosis.repairs import LostUnit, ideal_chunks
from ragdiag.diagnosis.result import Diagnosis
from ragdiag.diagnosis.verdicts import Verdict
from ragdiag.index import Index
from ragdiag.records import Chunk
from ragdiag.stages.protocols import token_counts

__all__ = ["find_lost_units"]


def find_lost_units(
    diagnosis: Diagnosis,
    index: Index,
    evidence_map: EvidenceMap,
    evidence: Sequence[QueryEvidence],
) -> list[LostUnit]:
    """The units that a diagnosis found lost, in the order of its ledger.

    Args:
        diagnosis: what the ledger observed.
        index: the pipeline over the documents; its plugs count the tokens of new chunks.
        evidence_map: of the run.
        evidence: of each assessed query.
    """
    finder = _Finder(diagnosis, index, evidence_map, evidence)
    return [
        finder.unit(row, verdict) for row, verdict in enumerate(diagnosis.verdicts) if verdict is not None
    ]


class _Finder:
    def __init__(
        self,
        diagnosis: Diagnosis,
        index: Index,
        evidence_map: EvidenceMap,
        evidence: Sequence[QueryEvidence],
    ) -> None:
        self._diagnosis = diagnosis
        self._index = index
        self._map = evidence_map
        self._evidence = evidence
        self._longest = max(len(chunk.text) for chunk in index.chunks)

    def unit(self, row: int, observed: Verdict) -> LostUnit:
        diagnosis, trace = self._diagnosis, self._diagnosis.trace
        position = int(diagnosis.ledger.owner[row])
        query = diagnosis.assessed[position]
        _, number = diagnosis.units[row]
        added, tokens_added = self._ideal_chunks(position, number)
        size = len(trace.chunks)

        def tokens(chunk: int) -> int:
            return tokens_added[chunk - size] if chunk >= size else (trace.chunk_tokens or ())[chunk]

        return LostUnit(
            query=query,
            unit=row,
            number=number,
            observed=observed,
            evidence=self._map.of(query, added),
            chunks=trace.chunks,
            added=added,
            kept=diagnosis.ledger.hard[row - number :, -1][: len(query.evidence)],
            min_coverage=diagnosis.min_coverage,
            top_k=trace.top_k,
            budget=trace.budget,
            tokens=tokens,
        )

    def _ideal_chunks(self, position: int, number: int) -> tuple[tuple[Chunk, ...], tuple[int, ...]]:
        """What an ideal chunker adds for a unit of a query, and the tokens of each where they are counted.

        Nothing where a plug that counts tokens raises: then the chunker cannot be made ideal.
        """
        diagnosis, trace, pipeline = self._diagnosis, self._diagnosis.trace, self._index.pipeline
        query, evidence = diagnosis.assessed[position], self._evidence[position]
        added = ideal_chunks(
            self._map,
            self._index.documents_by_id,
            query,
            evidence,
            number,
            min_coverage=diagnosis.min_coverage,
            longest=self._longest,
            taken=trace.position,
        )
        if trace.chunk_tokens is None:
            return tuple(added), ()
        try:
            with calling("packer" if trace.budget is not None else "embedder"):
                return tuple(added), token_counts(added, pipeline.packer, pipeline.embedder) or ()
        except Void:
            return (), ()
