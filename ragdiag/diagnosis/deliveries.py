"""What a query got, in the numbers that span measures take."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from operator import or_

import numpy as np

from ragdiag.diagnosis.evidence import EvidenceMap, Mask, QueryEvidence
from ragdiag.measures.delivery import Delivery
from ragdiag.records import Chunk, Query, WholeDocument

__all__ = ["deliver", "is_relevant"]


def deliver(
    evidence_map: EvidenceMap,
    query: Query,
    evidence: QueryEvidence,
    delivered: Sequence[tuple[Chunk, Mask]],
    *,
    tokens: Sequence[int] | None,
) -> Delivery:
    """The `Delivery` of a list of chunks.

    Args:
        evidence_map: of the corpus.
        query: whose evidence it is.
        evidence: the same, in atoms.
        delivered: the chunks, best first, each with its atoms.
        tokens: what each chunk takes of a budget, or None.
    """
    chunks = [chunk for chunk, _ in delivered]
    masks = [mask for _, mask in delivered]
    prefixes = list(accumulate(masks, or_, initial=0))
    distinct = {mask: row for row, mask in enumerate(dict.fromkeys(prefixes))}  # most chunks add nothing
    rows = [distinct[mask] for mask in prefixes]
    characters = [evidence_map.characters([chunk]) for chunk in chunks]
    found = np.array([evidence.weight(mask & evidence.partial) for mask in distinct])[rows]
    whole = _whole_documents(query)
    if whole:
        # A document of which any chunk answers is evidence from beginning to end.
        of_whole = [bool(_documents(chunk) & whole) for chunk in chunks]
        found = found + [
            evidence_map.characters(
                [c for c, counts in zip(chunks[:depth], of_whole, strict=False) if counts]
            )
            for depth in range(len(prefixes))
        ]
    # A source can count more characters than the normalized document that was chunked.
    limits = [0, *accumulate(characters)]
    missing = [evidence.weight(evidence.missing(mask) & evidence.spans) for mask in distinct]
    return Delivery(
        unit_coverage=np.stack([evidence.coverage(mask) for mask in distinct])[rows],
        evidence_characters=np.minimum(found, limits),
        missing_characters=np.array(missing)[rows],
        chunk_characters=np.array(characters, dtype=np.int64),
        relevant=np.array([is_relevant(evidence, m, n) for m, n in zip(masks, characters, strict=True)]),
        tokens=None if tokens is None else np.array(tokens, dtype=np.int64),
        touching=_touching(evidence_map, evidence, whole),
    )


def is_relevant(evidence: QueryEvidence, atoms: Mask, characters: int) -> bool:
    """Whether a chunk covers half of a span of an alternative, or is itself at least half evidence."""
    if not atoms:
        return False
    halves = (
        2 * evidence.weight(copy & atoms) >= evidence.weight(copy)
        for unit in evidence.units
        for alternative in unit
        for part in alternative.parts
        for copy in part
    )
    return any(halves) or 2 * evidence.weight(atoms) >= characters


def _touching(evidence_map: EvidenceMap, evidence: QueryEvidence, whole: frozenset[str]) -> tuple[int, int]:
    """Characters of evidence, and all characters, in the union of the chunks that hold any evidence."""
    chunks = [evidence_map.chunks[position] for position in evidence.carriers]
    everything = evidence_map.characters(chunks)
    found = evidence.weight(evidence.mask_of(evidence.carriers) & evidence.partial)
    if whole:
        found += evidence_map.characters([chunk for chunk in chunks if _documents(chunk) & whole])
    return min(found, everything), everything


def _whole_documents(query: Query) -> frozenset[str]:
    return frozenset(
        part.doc_id
        for unit in query.evidence
        for alternative in unit.alternatives
        for part in alternative
        if isinstance(part, WholeDocument)
    )


def _documents(chunk: Chunk) -> frozenset[str]:
    return frozenset(span.doc_id for span in chunk.spans)
