"""The faults: what is broken, in which stage, and in which laboratories."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from faults.broken_stages import (
    CuttingChunker,
    DecapitatingPacker,
    DemotingReranker,
    DroppingChunker,
    DroppingPacker,
    EndlessChunker,
    FixedWidthChunker,
    ForeignEmbedder,
    ForgetfulRetriever,
    HoleyChunker,
    InvertedReranker,
    LeastWordsChunker,
    LossyRetriever,
    Marked,
    MaskingEmbedder,
    MiscountingPacker,
    NoisyEmbedder,
    PartitionedRetriever,
    PhantomReranker,
    ShorteningPacker,
    ShortsightedReranker,
    StaleRetriever,
    ThriftyPacker,
    VerboseReranker,
)
from faults.laboratory import SHELVES, Laboratory, WordEmbedder

from ragdiag import ExactRetriever

Plant = Callable[[Laboratory, Marked], Laboratory]


@dataclass(frozen=True)
class Fault:
    """One thing that is broken.

    Attributes:
        name: what happens.
        stage: who is to blame for what it loses.
        plant: breaks a laboratory, given the keys of the facts to hit.
        benches: where it can be planted.
        cause: what the verdicts must call it, where that does not depend on ranks.
        keyed: whether it hits only the facts that it is given.
        alone: whether no other stage could make up for it, however good it was.
        whole: whether what it hits is lost whole, so that no other stage loses even a part of it.
        at_most: how many facts a query may ask for. One, where other facts of the query would be crowded out
            without being hit.
    """

    name: str
    stage: str
    plant: Plant
    benches: tuple[str, ...]
    cause: str | None = None
    keyed: bool = True
    alone: bool = True
    whole: bool = True
    at_most: int = 2

    def __repr__(self) -> str:
        return f"{self.stage}: {self.name}"


def _wrong_filter(laboratory: Laboratory, marked: Marked) -> Laboratory:
    """Queries that name a marked fact are sent to the other shelf."""
    shelf = {document.id: document.metadata["shelf"] for document in laboratory.documents}

    def other_shelf(query_id: str) -> str | None:
        for (of_query, _), fact in laboratory.facts.items():
            if of_query == query_id and fact.key in marked:
                return SHELVES[1 - SHELVES.index(shelf[fact.span.doc_id])]
        return None

    queries = [
        replace(query, filter={"shelf": other}) if (other := other_shelf(query.id)) else query
        for query in laboratory.queries
    ]
    return replace(laboratory, queries=tuple(queries))


EVERYWHERE = ("full", "vectors", "text", "bare")

CHUNKER = [
    Fault(
        "lines are cut in half",
        "chunker",
        lambda lab, marked: lab.using(chunker=CuttingChunker(marked)),
        EVERYWHERE,
        cause="split",
        whole=False,
        alone=False,
    ),
    Fault(
        "lines are cut into thirds",
        "chunker",
        lambda lab, marked: lab.using(chunker=CuttingChunker(marked, pieces=3)),
        EVERYWHERE,
        cause="split",
        whole=False,
        alone=False,
    ),
    Fault(
        "lines are cut into more pieces than k",
        "chunker",
        lambda lab, marked: lab.using(chunker=CuttingChunker(marked, pieces=5)),
        ("text",),  # by vectors, pieces of one or two words crowd out whole lines of other facts
        cause="split",
        whole=False,
    ),
    Fault(
        "every so many characters are a chunk",
        "chunker",
        lambda lab, _: lab.using(chunker=FixedWidthChunker(120)),
        ("full", "text"),
        cause="split",
        keyed=False,
        whole=False,
        at_most=1,
        alone=False,
    ),
    Fault(
        "some lines are dropped",
        "chunker",
        lambda lab, marked: lab.using(chunker=DroppingChunker(marked)),
        EVERYWHERE,
        cause="dropped_text",
    ),
    Fault(
        "some words are dropped",
        "chunker",
        lambda lab, marked: lab.using(chunker=HoleyChunker(marked)),
        EVERYWHERE,
        cause="dropped_text",
        whole=False,
    ),
    Fault(
        "the end of each document is dropped",
        "chunker",
        lambda lab, _: lab.using(chunker=EndlessChunker()),
        EVERYWHERE,
        cause="dropped_text",
        keyed=False,
    ),
    Fault(
        "short lines are dropped",
        "chunker",
        lambda lab, _: lab.using(chunker=LeastWordsChunker(11)),
        EVERYWHERE,
        cause="dropped_text",
        keyed=False,
    ),
]

EMBEDDER = [
    Fault(
        "some vectors are noise",
        "embedder",
        lambda lab, marked: lab.using(embedder=NoisyEmbedder(marked=marked)),
        ("full", "vectors"),
    ),
    Fault(
        "the words that queries use are not seen",
        "embedder",
        lambda lab, marked: lab.using(embedder=MaskingEmbedder(marked=marked, hidden=lab.names_of(marked))),
        ("full", "vectors"),
    ),
    Fault(
        "the input is truncated",
        "embedder",
        lambda lab, _: lab.using(embedder=WordEmbedder(max_tokens=14)),
        ("paragraphs",),
        cause="truncated",
        keyed=False,
        at_most=1,
    ),
    Fault(
        "queries are embedded without their prompt",
        "embedder",
        lambda lab, _: lab.using(embedder=ForeignEmbedder()),
        ("full", "vectors"),
        keyed=False,
    ),
    Fault(
        "there are too few dimensions",
        "embedder",
        lambda lab, _: lab.using(embedder=WordEmbedder(dimensions=6)),
        ("full", "vectors"),
        keyed=False,
    ),
]

RETRIEVER = [
    Fault(
        "some texts were never indexed",
        "retriever",
        lambda lab, marked: lab.using(retriever=ForgetfulRetriever(lab.pipeline.retriever, marked)),
        EVERYWHERE,
        cause="missing_from_index",
    ),
    Fault(
        "a third of the chunks was never indexed",
        "retriever",
        lambda lab, _: lab.using(retriever=LossyRetriever(lab.pipeline.retriever)),
        EVERYWHERE,
        cause="missing_from_index",
        keyed=False,
    ),
    Fault("the filter is wrong", "retriever", _wrong_filter, EVERYWHERE, cause="filter", keyed=False),
    Fault(
        "an inner product under a cosine embedder",
        "retriever",
        lambda lab, _: lab.using(retriever=ExactRetriever(metric="dot")),
        ("full", "vectors"),
        cause="metric",
        keyed=False,
        alone=False,
    ),
    Fault(
        "only one of two partitions is searched",
        "retriever",
        lambda lab, _: lab.using(retriever=PartitionedRetriever(lab.pipeline.retriever)),
        EVERYWHERE,
        keyed=False,
    ),
    Fault(
        "some vectors are those of older texts",
        "retriever",
        lambda lab, marked: lab.using(retriever=StaleRetriever(marked)),
        ("full", "vectors"),
        cause="stale_vectors",
    ),
]

RERANKER = [
    Fault(
        "scores are inverted",
        "reranker",
        lambda lab, _: lab.using(reranker=InvertedReranker()),
        ("full", "text"),
        keyed=False,
    ),
    Fault(
        "half of all texts are loved",
        "reranker",
        lambda lab, _: lab.using(reranker=PhantomReranker()),
        ("full",),
        keyed=False,
    ),
    Fault(
        "only the beginning is read",
        "reranker",
        lambda lab, _: lab.using(reranker=ShortsightedReranker(14)),
        ("paragraphs",),
        cause="truncated",
        keyed=False,
    ),
    Fault(
        "long texts are preferred",
        "reranker",
        lambda lab, _: lab.using(reranker=VerboseReranker()),
        ("full",),
        keyed=False,
    ),
    Fault(
        "some texts are put last",
        "reranker",
        lambda lab, marked: lab.using(reranker=DemotingReranker(marked)),
        ("full",),
    ),
]

PACKER = [
    Fault(
        "the first chunk is left out",
        "packer",
        lambda lab, _: lab.using(packer=DecapitatingPacker()),
        EVERYWHERE,
        cause="dropped",
        keyed=False,
    ),
    Fault(
        "some chunks are taken for repeats",
        "packer",
        lambda lab, marked: lab.using(packer=DroppingPacker(marked)),
        EVERYWHERE,
        cause="dropped",
    ),
    Fault(
        "each chunk is shortened",
        "packer",
        lambda lab, _: lab.using(packer=ShorteningPacker()),
        EVERYWHERE,
        cause="cut",
        keyed=False,
    ),
    Fault(
        "a budget that is not declared",
        "packer",
        lambda lab, _: lab.using(packer=ThriftyPacker(12)),
        EVERYWHERE,
        cause="budget",
        keyed=False,
    ),
    Fault(
        "letters are counted as words",
        "packer",
        lambda lab, _: lab.using(packer=MiscountingPacker(64)),
        EVERYWHERE,
        cause="miscount",
        keyed=False,
    ),
]

SINGLE = [*CHUNKER, *EMBEDDER, *RETRIEVER, *RERANKER, *PACKER]

MARKING: dict[str, Plant] = {
    "chunker": lambda lab, marked: lab.using(chunker=DroppingChunker(marked)),
    "embedder": lambda lab, marked: lab.using(
        embedder=NoisyEmbedder(**vars(lab.pipeline.embedder), marked=marked)
    ),
    "retriever": lambda lab, marked: lab.using(retriever=ForgetfulRetriever(lab.pipeline.retriever, marked)),
    "reranker": lambda lab, marked: lab.using(reranker=DemotingReranker(marked)),
    "packer": lambda lab, marked: lab.using(packer=DroppingPacker(marked)),
}
"""A fault of each stage that loses the texts with a marked word, whatever else is in the pipeline."""


def broken_by(stages: Sequence[str], healthy: Laboratory, marked: Mapping[str, Marked]) -> Laboratory:
    """A laboratory with the faults of some stages, each with its own marked words."""
    broken = healthy
    for stage in stages:
        broken = MARKING[stage](broken, marked[stage])
    return broken


JOINT: dict[str, list[Plant]] = {
    "chunker": [
        MARKING["chunker"],
        lambda lab, marked: lab.using(chunker=HoleyChunker(marked)),
    ],
    "embedder": [
        MARKING["embedder"],
        lambda lab, marked: lab.using(embedder=MaskingEmbedder(marked=marked, hidden=lab.names_of(marked))),
    ],
    "retriever": [
        MARKING["retriever"],
        lambda lab, marked: lab.using(retriever=StaleRetriever(marked)),
    ],
    "reranker": [
        MARKING["reranker"],
        lambda lab, _: lab.using(reranker=InvertedReranker()),
    ],
    "packer": [
        MARKING["packer"],
        lambda lab, marked: lab.using(packer=ShorteningPacker(marked)),
    ],
}
"""Two faults a stage that hit any text with a marked word, a repaired chunk's as well."""
