"""Diagnoses to judge, made of fates: each query is delivered, or lost at the stage that is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from plugs import BudgetPacker, LineChunker, OrderRetriever, TableReranker

from ragdiag import Diagnosis, Document, Evidence, Pipeline, Query, Span, diagnose
from ragdiag.costs import Costs

DECOY = Document("decoy", "Nobody asks for this.")

Fates = Mapping[str, str]


def fates(delivered: int, lost: int = 0, *, at: str = "reranker") -> dict[str, str]:
    """So many queries of each fate, called ``q000`` and so on, the delivered ones first."""
    all_fates = ["delivered"] * delivered + [at] * lost
    return {f"q{i:03}": fate for i, fate in enumerate(all_fates)}


def diagnosed(
    found: Fates,
    *,
    shared: int = 1,
    texts: Mapping[str, str] | None = None,
    budget: int | None = None,
    min_coverage: float = 1.0,
    more: Sequence[Document] = (),
) -> Diagnosis:
    """Each query asks for one line and has its fate: ``delivered``, ``retriever`` or ``reranker``.

    Args:
        found: the fate of each query.
        shared: how many queries ask of one document.
        texts: of queries, where they shall not be their ids.
        budget: of a packer that counts characters as tokens; none without.
        min_coverage: as of `diagnose`.
        more: further documents.
    """
    names = list(found)
    groups = [names[at : at + shared] for at in range(0, len(names), shared)]
    documents = [Document(group[0], "\n".join(f"Fact of {name}." for name in group)) for group in groups]
    place = {
        name: Span.find(document, f"Fact of {name}.")
        for document, group in zip(documents, groups, strict=True)
        for name in group
    }
    decoy = f"{DECOY.id}#0-{len(DECOY.text)}"
    orders, scores = {}, {DECOY.text: 2.0}
    for name, fate in found.items():
        own = f"{place[name].doc_id}#{place[name].start}-{place[name].end}"
        orders[name] = {"delivered": [own], "reranker": [own, decoy], "retriever": [decoy]}[fate]
        scores[f"Fact of {name}."] = 1.0
    pipeline = Pipeline(
        chunker=LineChunker(),
        retriever=OrderRetriever(orders),
        reranker=TableReranker(scores),
        packer=None if budget is None else BudgetPacker(budget),
        candidates=2,
        top_k=1,
    )
    queries = [Query(name, (texts or {}).get(name, name), [Evidence.of(place[name])]) for name in names]
    return diagnose(
        pipeline, [DECOY, *documents, *more], queries, min_coverage=min_coverage, verify=False, copies=False
    )


def timed(diagnosis: Diagnosis, milliseconds: Sequence[float]) -> Diagnosis:
    """The diagnosis with other latencies of single queries."""
    costs = Costs(latency={"total": [took / 1e3 for took in milliseconds]})
    return replace(diagnosis, trace=replace(diagnosis.trace, costs=costs))
