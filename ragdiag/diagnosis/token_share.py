"""The share of a context's tokens that is evidence, and the share that the chunks allow.

Each chunk's tokens count as evidence in proportion to the characters of evidence that it adds to the chunks
before it, and all of its tokens are paid for: what comes twice, and the rest of a chunk around its evidence,
is the price. A chunk that the packer shortened takes its tokens in proportion to the characters that are
left. Where nothing counts tokens, non-whitespace characters take their place.

Attainable is the same share of the best set of chunks (of most recall within k and the budget) with nothing
beside it: what a perfect search would pay with these chunks. Of equally good chunks it takes the smaller, and
it leaves out what adds nothing to the rest; where the solver's time runs out it takes the best set found. A
context that delivers less can exceed it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ragdiag.diagnosis.capacity import Goal, best_set
from ragdiag.diagnosis.evidence import EvidenceMap, Mask, QueryEvidence
from ragdiag.measures.statistics import Estimate
from ragdiag.records import Chunk
from ragdiag.trace import QueryTrace, Trace

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TokenShare", "share_table", "token_share"]

_ROUNDING = 1e-9  # what sums of shares in another order may differ by
_SECONDS = 2.0  # for a best set that needs the solver: the ledger's, which proofs rest on, has more


@dataclass(frozen=True, slots=True)
class TokenShare:
    """The share of one query's context that is evidence.

    Attributes:
        context: of the context.
        attainable: of the best set that the chunks allow, and nothing else.
    """

    context: float
    attainable: float


def token_share(
    trace: Trace, record: QueryTrace, evidence_map: EvidenceMap, evidence: QueryEvidence
) -> TokenShare:
    """The share of one query's context that is evidence, from its way through the run and its evidence."""
    size = _Sizes(trace, evidence_map)
    context = list(zip(record.context, evidence.delivered, strict=True))
    best = [
        (trace.chunks[position], evidence.carriers[position])
        for position in _best_positions(trace, evidence, size)
    ]
    return TokenShare(
        context=_evidence_share(evidence_map, evidence, context, size),
        attainable=_evidence_share(evidence_map, evidence, best, size),
    )


class _Sizes:
    """What chunks take of a context: tokens, or non-whitespace characters where nothing counts tokens."""

    def __init__(self, trace: Trace, evidence_map: EvidenceMap) -> None:
        self._trace = trace
        self._characters = evidence_map.characters

    def of_whole(self, position: int) -> int:
        """The size of a chunk of the index."""
        tokens = self._trace.chunk_tokens
        return self._characters([self._trace.chunks[position]]) if tokens is None else tokens[position]

    def __call__(self, chunk: Chunk) -> float:
        """The size of a chunk; a shortened one takes its part in proportion to its characters."""
        position = self._trace.position[chunk.id]
        size = self.of_whole(position)
        characters = self._characters([self._trace.chunks[position]])
        return size * self._characters([chunk]) / characters if characters else size


def _evidence_share(
    evidence_map: EvidenceMap,
    evidence: QueryEvidence,
    delivered: Sequence[tuple[Chunk, Mask]],
    size: Callable[[Chunk], float],
) -> float:
    """The share of a list of chunks (each with its atoms) that is evidence; 0 for an empty one."""
    found = total = 0.0
    seen = 0
    whole: list[Chunk] = []  # chunks of documents that are evidence from beginning to end
    for chunk, atoms in delivered:
        characters = evidence_map.characters([chunk])
        if atoms & ~evidence.spans:
            added = -evidence_map.characters(whole)
            whole.append(chunk)
            added += evidence_map.characters(whole)
        else:
            added = evidence.weight(atoms & ~seen)
        seen |= atoms
        paid = size(chunk)
        total += paid
        # A source can count more characters than the normalized document that was chunked.
        found += paid * min(added / characters, 1.0) if characters else 0.0
    return found / total if total else 0.0


def _best_positions(trace: Trace, evidence: QueryEvidence, size: _Sizes) -> list[int]:
    """The best set of chunks, without those that add nothing to the others."""
    sizes = {position: size.of_whole(position) for position in evidence.carriers}
    # Where no budget is declared, one that never binds lets the smaller of equally good chunks win.
    budget = sum(sizes.values()) if trace.budget is None else trace.budget
    goal = Goal("soft", 1.0, trace.top_k, budget)
    indifferent = np.zeros(len(evidence.units))
    found = best_set(
        evidence,
        evidence.carriers,
        goal,
        keep=indifferent,
        tokens=sizes.__getitem__,
        time_limit=_SECONDS,
    )

    def worth(positions: Sequence[int]) -> float:
        return float(goal.unit_values(evidence, evidence.mask_of(positions)).sum())

    chosen = list(found.positions)
    best = worth(chosen)
    for position in sorted(chosen, key=lambda p: (-sizes[p], p)):
        rest = [other for other in chosen if other != position]
        if worth(rest) >= best - _ROUNDING:
            chosen = rest
    return chosen


def share_table(
    trace: Trace, shares: Sequence[TokenShare], estimate: Callable[[NDArray[np.float64]], Estimate]
) -> pd.DataFrame:
    """The mean shares with their intervals, indexed by ``of``: ``context`` and ``attainable``."""
    import pandas as pd

    unit = "characters" if trace.chunk_tokens is None else "tokens"
    rows = []
    for name in ("context", "attainable"):
        share = estimate(np.array([getattr(of_query, name) for of_query in shares]))
        rows.append((name, share.value, share.low, share.high, share.n, unit))
    return pd.DataFrame(rows, columns=["of", "share", "low", "high", "n", "unit"]).set_index("of")
