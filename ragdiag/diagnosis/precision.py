"""Context precision charged to a stage: who put irrelevant chunks above relevant ones.

CP is the mean over the R relevant chunks of a list of the share of relevant chunks down to each of them.
An irrelevant chunk above the relevant one at rank r takes 1 / (R r) of it, so that

    1 - CP = sum over pairs (irrelevant i above relevant r) of 1 / (R r)

and every pair is charged to the stage where its order last became wrong, walking back from the context:

    packer      the ranking had r above i, or i was relevant before it was shortened
    reranker    what was retrieved had r above i
    retriever   the embedder's similarity has r above i, or there is no embedder
    embedder    its similarity has i above r, and no later stage repaired it

Stages that a pipeline lacks are skipped. Where a retriever fuses several arms, it is still the embedder's
similarity that its order is compared with: noise that a text search lifts above evidence is the retriever's.
A list without any relevant chunk has no pairs and CP 0. What it lacks was lost before it could be ranked, so
its noise goes to the stages that lost the query's evidence; where none was lost, the evidence lies in pieces
too small for any chunk to be relevant, which is the chunker's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress, pairwise
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ragdiag.diagnosis.deliveries import is_relevant
from ragdiag.diagnosis.evidence import EvidenceMap, QueryEvidence
from ragdiag.diagnosis.exact import ExactSearch
from ragdiag.measures.delivery import Delivery
from ragdiag.measures.statistics import Estimate
from ragdiag.trace import QueryTrace, Trace

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "QueryPrecision",
    "boundaries",
    "charge_noise",
    "flow_table",
    "noise_table",
    "query_precision",
]

Estimator: TypeAlias = Callable[[NDArray[np.float64]], Estimate]
"""The mean of one value a query, with its interval."""

_ROUNDING = 1e-9  # what telescoping sums of shares may leave over


@dataclass(frozen=True, slots=True)
class QueryPrecision:
    """How much of one query's context is noise, and through whom.

    Attributes:
        flow: CP at each boundary (see `boundaries`), of its own list; the last is that of the context.
        charged: 1 - CP of the context by stage; None where no chunk of it is relevant.
    """

    flow: tuple[float, ...]
    charged: Mapping[str, float] | None


def boundaries(trace: Trace) -> tuple[tuple[str, str], ...]:
    """Where the first k chunks are looked at, and the stage that left them; absent stages are skipped."""
    return tuple(
        (name, stage)
        for name, stage in (
            ("exact top k", "embedder"),
            ("retrieved top k", "retriever"),
            ("reranked top k", "reranker"),
            ("context", "packer"),
        )
        if stage in trace.stages
    )


def query_precision(
    trace: Trace,
    record: QueryTrace,
    evidence_map: EvidenceMap,
    evidence: QueryEvidence,
    exact: ExactSearch | None,
    *,
    retrieved: Delivery,
    final: Delivery,
    context: Delivery,
) -> QueryPrecision:
    """The precision of one query's context.

    Args:
        trace: of the run.
        record: the query's way through it.
        evidence_map: of the corpus.
        evidence: the query's, in atoms.
        exact: the exact search for the query, or None without an embedder.
        retrieved: what the retriever's ranking delivered,
        final: what the final ranking did,
        context: and what the context did.
    """
    k = trace.top_k
    relevant_at = {
        "retriever": retrieved.relevant[:k],
        "reranker": final.relevant[:k],
        "packer": context.relevant,
    }
    if exact is not None:
        relevant_at["embedder"] = _exact_top(trace, evidence_map, evidence, exact)
    return QueryPrecision(
        flow=tuple(_precision(relevant_at[stage]) for _, stage in boundaries(trace)),
        charged=_charge_pairs(trace, record, exact, final.relevant, context.relevant),
    )


def _precision(relevant: NDArray[np.bool_]) -> float:
    """CP of a list of which it is known what is relevant; 0 where nothing is."""
    found, total = 0, 0.0
    for rank, counts in enumerate(relevant.tolist(), start=1):
        if counts:
            found += 1
            total += found / rank
    return total / found if found else 0.0


def _exact_top(
    trace: Trace, evidence_map: EvidenceMap, evidence: QueryEvidence, exact: ExactSearch
) -> NDArray[np.bool_]:
    """Which of the k nearest chunks are relevant: only those with evidence can be; their ranks are known."""
    relevant = np.zeros(min(trace.top_k, len(trace.chunks)), dtype=np.bool_)
    for position, rank in exact.ranks.items():
        if rank <= len(relevant):
            characters = evidence_map.characters([trace.chunks[position]])
            relevant[rank - 1] = is_relevant(evidence, evidence.carriers[position], characters)
    return relevant


def _charge_pairs(
    trace: Trace,
    record: QueryTrace,
    exact: ExactSearch | None,
    relevant_in_ranking: NDArray[np.bool_],
    relevant: NDArray[np.bool_],
) -> dict[str, float] | None:
    """1 - CP of a context by stage, or None where none of its chunks is relevant."""
    if not relevant.any():
        return None
    ranking = [hit.chunk_id for hit in record.ranking]
    context = [chunk.id for chunk in record.context]
    # The order that each stage left, from the last back to the first.
    orders = {
        "packer": context,
        "reranker": ranking,
        "retriever": [hit.chunk_id for hit in record.retrieved],
        "embedder": [] if exact is None else [trace.chunks[position].id for position in exact.order],
    }
    ranks = [
        (stage, {chunk_id: rank for rank, chunk_id in enumerate(order)})
        for stage, order in orders.items()
        if stage in trace.stages
    ]
    was_relevant = set(compress(ranking, relevant_in_ranking))  # before a packer shortened it

    def charged_with(noise: str, evidence: str) -> str:
        """The stage where ``noise`` came to stand above ``evidence`` and stayed there."""
        if noise in was_relevant:
            return "packer"
        for (stage, _), (_, given) in pairwise(ranks):
            if given[evidence] < given[noise]:
                return stage
        return ranks[-1][0]

    charged = {stage: 0.0 for stage, _ in ranks}
    number = int(relevant.sum())
    above: list[str] = []
    for rank, (chunk_id, counts) in enumerate(zip(context, relevant.tolist(), strict=True), start=1):
        if counts:
            for noise in above:
                charged[charged_with(noise, chunk_id)] += 1 / (number * rank)
        else:
            above.append(chunk_id)
    return charged


def charge_noise(
    precisions: Sequence[QueryPrecision], stages: Sequence[str], steps: NDArray[np.float64]
) -> NDArray[np.float64]:
    """1 - CP of each query by stage of the ledger, shape (queries, stages).

    Args:
        precisions: of each query.
        stages: of the ledger.
        steps: what each query lost of its evidence by stage, shape (queries, stages).
    """
    noise = np.zeros_like(steps)
    for row, precision in enumerate(precisions):
        if precision.charged is None:
            lost = np.where(steps[row] > _ROUNDING, steps[row], 0.0)
            if not lost.any():
                lost[stages.index("chunker")] = 1
            noise[row] = lost / lost.sum()
        else:
            for stage, charge in precision.charged.items():
                noise[row, stages.index(stage)] = charge
    return noise


# Tables


def noise_table(stages: Sequence[str], noise: NDArray[np.float64], estimate: Estimator) -> pd.DataFrame:
    """The mean of ``noise`` (shape (queries, stages)) with its interval, indexed by ``stage``."""
    import pandas as pd

    rows = []
    for stage, of_stage in zip(stages, noise.T, strict=True):
        loss = estimate(of_stage)
        rows.append((stage, loss.value, loss.low, loss.high))
    return pd.DataFrame(rows, columns=["stage", "loss", "low", "high"]).set_index("stage")


def flow_table(trace: Trace, precisions: Sequence[QueryPrecision], estimate: Estimator) -> pd.DataFrame:
    """Mean CP at each boundary with its interval, and its change from the one before, at first from 1."""
    import pandas as pd

    flow = np.array([precision.flow for precision in precisions])
    rows = []
    before = 1.0
    for (boundary, stage), values in zip(boundaries(trace), flow.T, strict=True):
        cp = estimate(values)
        rows.append((boundary, stage, cp.value, cp.low, cp.high, cp.value - before))
        before = cp.value
    columns = ["boundary", "stage", "cp", "low", "high", "change"]
    return pd.DataFrame(rows, columns=columns).set_index("boundary")
