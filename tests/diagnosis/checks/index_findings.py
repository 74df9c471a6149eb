"""What checks find in the laboratory whose retriever is broken, and its exact scores by hand."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from faults.laboratory import Laboratory, Unit, examine, laboratory, verdicts

from ragdiag import Diagnosis
from ragdiag.diagnosis.checks.check import CheckOutcome
from ragdiag.diagnosis.verdicts import Finding
from ragdiag.stages.protocols import Similarity

N, SIZE = 4, 144
"""How many hits are asked for, and how many chunks there are."""

VECTORS, WORDS = laboratory("vectors", 1), laboratory("bare", 1)
MARKED = VECTORS.some_keys(0.3, 1)


@cache
def with_retriever(retriever: Any, bench: str = "vectors") -> Diagnosis:
    """The diagnosis of a laboratory with another retriever."""
    return examine(laboratory(bench, 1).using(retriever=retriever))


def findings(diagnosis: Diagnosis, code: str) -> dict[Unit, Finding]:
    """The findings of one code."""
    return {
        unit: finding
        for unit, verdict in verdicts(diagnosis).items()
        for finding in verdict.findings
        if finding.code == code
    }


def outcome(diagnosis: Diagnosis, code: str) -> CheckOutcome:
    """What became of one check."""
    [found] = [outcome for outcome in diagnosis.checks if outcome.code == code]
    return found


def lost(diagnosis: Diagnosis) -> set[Unit]:
    """The units that were lost."""
    return set(verdicts(diagnosis))


def only(diagnosis: Diagnosis, code: str) -> dict[Unit, Finding]:
    """The findings of one code, by which all that was lost is called; no other of its stage is found."""
    found = findings(diagnosis, code)
    stage, _, cause = code.partition(".")
    assert found.keys() == lost(diagnosis)
    assert len(found) >= 5
    assert {verdict.cause for verdict in verdicts(diagnosis).values()} == {cause}
    codes = {f.code for verdict in verdicts(diagnosis).values() for f in verdict.findings}
    assert {other for other in codes if other.startswith(f"{stage}.")} == {code}
    return found


def chunk_of(healthy: Laboratory, unit: Unit) -> str:
    """The id of the chunk that is the evidence of a unit: a line."""
    span = healthy.facts[unit].span
    return f"{span.doc_id}#{span.start}-{span.end}"


@cache
def scores(query_id: str, by: Similarity = "cosine") -> dict[str, float]:
    """The score of each line of `VECTORS` for a query, worked out from their words alone."""
    embedder = VECTORS.pipeline.embedder
    assert embedder is not None
    [query] = [query for query in VECTORS.queries if query.id == query_id]
    chunks = [c for document in VECTORS.documents for c in VECTORS.pipeline.chunker.chunk(document)]
    rows = embedder.embed_documents([chunk.text for chunk in chunks]).astype(float)
    [asked] = embedder.embed_queries([query.text]).astype(float)
    found = rows @ asked
    if by == "cosine":
        found = found / np.linalg.norm(rows, axis=1) / np.linalg.norm(asked)
    return {chunk.id: float(score) for chunk, score in zip(chunks, found, strict=True)}


def rank(query_id: str, chunk_id: str, by: Similarity = "cosine") -> int:
    """The rank (from 1) of a line by those scores."""
    found = scores(query_id, by)
    return 1 + sum(score > found[chunk_id] for score in found.values())
