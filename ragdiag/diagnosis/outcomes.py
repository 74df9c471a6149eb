"""What one assessed query got: at each ranking, at which ranks, with how much noise and how many tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ragdiag.diagnosis.deliveries import deliver
from ragdiag.diagnosis.evidence import EvidenceMap, QueryEvidence
from ragdiag.diagnosis.exact import ExactSearch
from ragdiag.diagnosis.precision import QueryPrecision, query_precision
from ragdiag.diagnosis.ranks import UnitRanks, rank_units
from ragdiag.diagnosis.token_share import TokenShare, token_share
from ragdiag.measures.delivery import Delivery
from ragdiag.records import Query
from ragdiag.trace import Trace

__all__ = ["QueryOutcome", "RankingName", "query_outcome"]

RankingName: TypeAlias = Literal["retrieved", "final", "context"]


@dataclass(frozen=True, slots=True, eq=False)
class QueryOutcome:
    """What one assessed query got.

    Attributes:
        deliveries: of the retriever's ranking, of the final ranking, and of the context.
        ranks: of each unit.
        precision: how much of its context is noise, and through whom.
        share: how much of its context's tokens is evidence.
    """

    deliveries: Mapping[RankingName, Delivery]
    ranks: tuple[UnitRanks, ...]
    precision: QueryPrecision
    share: TokenShare


def query_outcome(
    trace: Trace,
    query: Query,
    evidence_map: EvidenceMap,
    evidence: QueryEvidence,
    exact: ExactSearch | None,
    *,
    min_coverage: float,
) -> QueryOutcome:
    """What ``query`` got in the run.

    Args:
        trace: the run.
        query: one with evidence.
        evidence_map: of the run.
        evidence: the query's.
        exact: the query's exact search; None without an embedder.
        min_coverage: the coverage from which a unit counts as delivered.
    """
    deliveries = _deliveries(trace, query, evidence_map, evidence)
    record = trace[query.id]
    precision = query_precision(
        trace,
        record,
        evidence_map,
        evidence,
        exact,
        retrieved=deliveries["retrieved"],
        final=deliveries["final"],
        context=deliveries["context"],
    )
    return QueryOutcome(
        deliveries,
        rank_units(trace, record, evidence, exact, min_coverage=min_coverage),
        precision,
        token_share(trace, record, evidence_map, evidence),
    )


def _deliveries(
    trace: Trace, query: Query, evidence_map: EvidenceMap, evidence: QueryEvidence
) -> dict[RankingName, Delivery]:
    record = trace[query.id]

    def of_positions(positions: Sequence[int]) -> Delivery:
        tokens = None if trace.chunk_tokens is None else [trace.chunk_tokens[p] for p in positions]
        delivered = [(trace.chunks[p], evidence.carriers.get(p, 0)) for p in positions]
        return deliver(evidence_map, query, evidence, delivered, tokens=tokens)

    retrieved = of_positions(trace.positions(record.retrieved))
    context = list(zip(record.context, evidence.delivered, strict=True))
    return {
        "retrieved": retrieved,
        "final": retrieved if record.reranked is None else of_positions(trace.positions(record.reranked)),
        "context": deliver(evidence_map, query, evidence, context, tokens=None),
    }
