"""Faults of the candidates: too few of them, or all taken by texts that say nearly the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ragdiag.experiments.faults.fault import Aim, Case, Fault
from ragdiag.experiments.faults.marks import Marks
from ragdiag.records import Document
from ragdiag.spans import Range, merge

__all__ = ["FAULTS"]


def _few_candidates(case: Case, aim: Aim) -> Case:
    few = max(round(aim.severity), case.pipeline.top_k)
    return replace(case, pipeline=replace(case.pipeline, candidates=few))


def _near_duplicate_flood(case: Case, aim: Aim) -> Case:
    copies = tuple(_near_copies(aim))
    sources = None if case.sources is None else (*case.sources, *copies)
    return replace(case, documents=(*case.documents, *copies), sources=sources)


def _near_copies(aim: Aim) -> Iterator[Document]:
    """For each unit more near-copies of its chunk than there are candidates.

    They are copies of what is indexed, so that they have the chunk's heading; in the place of the evidence
    they ask what the query asks, as messages do that quote a page and do not know better.
    """
    healthy, originals = aim.healthy, aim.healthy.originals
    for query in healthy.queries:
        for number, unit in enumerate(query.evidence):
            if (query.id, number) not in aim.marks.units:
                continue
            document = originals[unit.alternatives[0][0].doc_id]
            marks = Marks.of([(query.id, number)], [query], originals)
            for chunk in healthy.pipeline.chunker.chunk(document):
                if evidence := marks.ranges(chunk.index_text):
                    passage = _replaced(chunk.index_text, evidence, query.text)
                    for copy in range(healthy.pipeline.n + 1):
                        yield Document(
                            f"near-copy {copy} of {chunk.id} for {query.id}, {number}",
                            f"{passage}\n\nRevision {copy + 1}.",
                            chunk.metadata,
                        )
                    break


def _replaced(text: str, ranges: list[Range], by: str) -> str:
    for start, end in reversed(merge(ranges)):
        text = text[:start] + by + text[end:]
    return text


FAULTS = (
    Fault(
        "few_candidates",
        stage="embedder",
        cause="depth",
        what="the reranker gets so few candidates that it has little to choose from",
        reach="whole",
        parameter="candidates, but no fewer than top_k",
        severity=5,
        needs=("reranker",),
        wrap=_few_candidates,
    ),
    Fault(
        "near_duplicate_flood",
        stage="embedder",
        cause="crowding",
        what="near-copies of some chunks, which ask where those answer, take all places among the candidates",
        severity=0.05,
        wrap=_near_duplicate_flood,
    ),
)
