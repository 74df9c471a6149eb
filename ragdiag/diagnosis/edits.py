"""The changes of the corpus that re-runs need, with everything embedded in one call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from ragdiag.diagnosis.attempts import Allowance, Void
from ragdiag.diagnosis.repairs import LostUnit, ideal_vector
from ragdiag.diagnosis.reproduction import embed_each
from ragdiag.diagnosis.reruns import EditKey
from ragdiag.diagnosis.shelves import Edit
from ragdiag.diagnosis.windows import Windows
from ragdiag.stages import boundary
from ragdiag.stages.protocols import Embedder, Vectors
from ragdiag.trace import Trace

__all__ = ["make_edits"]


def make_edits(
    trace: Trace,
    embedder: Embedder | None,
    units: Sequence[LostUnit],
    windows: Mapping[int, Windows],
    allowance: Allowance,
) -> dict[EditKey, Edit | Void]:
    """For each unit the edits of its repairs; void where a text of one could not be embedded.

    Args:
        trace: of the run.
        embedder: the pipeline's, or None.
        units: the lost units.
        windows: of the units that have some, by their row in the ledger.
        allowance: counts the texts.
    """
    if embedder is None or trace.vectors is None or trace.query_vectors is None or trace.similarity is None:
        return {
            (unit.unit, "chunker"): _edit(unit, dict.fromkeys(unit.added_numbers), unit.replaced)
            for unit in units
            if unit.added
        }
    texts = [chunk.index_text for unit in units for chunk in unit.added]
    texts += [text for of_unit in windows.values() for text in of_unit.texts.values()]
    vectors = _embed(trace, trace.vectors, embedder, texts, allowance)
    longest = float(np.linalg.norm(trace.vectors, axis=1).max())
    edits: dict[EditKey, Edit | Void] = {}
    for unit in units:
        best = ideal_vector(trace.query_vectors[trace.row[unit.query.id]], trace.similarity, longest=longest)
        edits |= _edits_of(unit, best, trace.candidates, vectors)
        if unit.unit in windows:
            seen = {number: vectors[text] for number, text in windows[unit.unit].texts.items()}
            edits[unit.unit, "window"] = _edit(unit, seen)
    return edits


def _embed(
    trace: Trace, known: Vectors, embedder: Embedder, texts: Iterable[str], allowance: Allowance
) -> Mapping[str, Vectors | Void]:
    """The vectors of texts; those of the run's own texts are known."""
    row_of = {chunk.index_text: row for row, chunk in enumerate(trace.chunks)}
    texts = list(dict.fromkeys(texts))

    def embed(missing: Sequence[str]) -> Vectors:
        made = boundary.embed_documents(embedder, missing)
        if made.shape[1] != known.shape[1]:
            raise ValueError(f"vectors of {made.shape[1]} dimensions, expected {known.shape[1]}")
        return made

    vectors = embed_each([text for text in texts if text not in row_of], embed, allowance)
    return vectors | {text: known[row_of[text]] for text in texts if text in row_of}


def _edits_of(
    unit: LostUnit, best: Vectors, candidates: int, vectors: Mapping[str, Vectors | Void]
) -> dict[EditKey, Edit | Void]:
    """The edits of an ideal embedder, whose vector is ``best``, an ideal chunker, and both."""
    edits: dict[EditKey, Edit | Void] = {}
    ideal = dict.fromkeys(unit.to_embed_ideally(candidates, chunker=False), best)
    if ideal:
        edits[unit.unit, "embedder"] = _edit(unit, ideal)
    if unit.added:
        real = {number: vectors[unit.chunk(number).index_text] for number in unit.added_numbers}
        both = dict.fromkeys(unit.to_embed_ideally(candidates, chunker=True), best)
        edits[unit.unit, "chunker"] = _edit(unit, real, unit.replaced)
        edits[unit.unit, "both"] = _edit(unit, {**real, **both}, unit.replaced)
    return edits


def _edit(
    unit: LostUnit, vectors: Mapping[int, Vectors | Void | None], hidden: frozenset[int] = frozenset()
) -> Edit | Void:
    """The edit that gives chunks these vectors; void where one of them could not be embedded."""
    failed = next((vector for vector in vectors.values() if isinstance(vector, Void)), None)
    if failed is not None:
        return failed
    good = {number: vector for number, vector in vectors.items() if not isinstance(vector, Void)}
    return Edit({number: unit.chunk(number) for number in good}, good, hidden)
