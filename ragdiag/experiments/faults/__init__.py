"""A laboratory of faults: any pipeline is broken on purpose, and what was done to it is known.

    fault.py      what a fault is, what it breaks, and which units it hits
    marks.py      how a fault knows the evidence that it hits, in chunks and in texts
    around.py chance.py
                  what broken plugs have in common: what they pass on, whom they hit
    ingest.py chunking.py embedding.py indexing.py searching.py candidates.py reranking.py packing.py
    nothing.py    the faults, each a small named value, in the order of the flow
    truth.py      who is to blame for each unit that is then lost, by potential outcomes

A fault wraps plugs and changes documents or queries; it never looks at what a diagnosis says.
"""

from __future__ import annotations

from ragdiag.experiments.faults import (
    candidates,
    chunking,
    embedding,
    indexing,
    ingest,
    nothing,
    packing,
    reranking,
    searching,
)
from ragdiag.experiments.faults.fault import Case, Fault, Planted, Unit, plant
from ragdiag.experiments.faults.truth import Fate, Truth, find_truth

__all__ = ["FAULTS", "Case", "Fate", "Fault", "Planted", "Truth", "Unit", "find_truth", "plant"]

_MODULES = (ingest, chunking, embedding, indexing, searching, candidates, reranking, packing, nothing)

FAULTS: dict[str, Fault] = {fault.name: fault for module in _MODULES for fault in module.FAULTS}
"""All faults by name, in the order of the flow."""
