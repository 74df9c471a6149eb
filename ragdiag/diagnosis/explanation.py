"""One query's story: its evidence and the chunks around it, where it ranked, what lost it and the proof."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragdiag.diagnosis.evidence import EvidenceMap, QueryEvidence, disjoint
from ragdiag.diagnosis.ledger import at_stage
from ragdiag.diagnosis.ranks import UnitRanks
from ragdiag.diagnosis.verdicts import Verdict
from ragdiag.records import Document, Span, WholeDocument
from ragdiag.spans import Range, nonspace_before
from ragdiag.trace import Trace

if TYPE_CHECKING:
    from ragdiag.diagnosis.result import Diagnosis

__all__ = ["CONTEXT_CHARACTERS", "ChunkSight", "Explanation", "Passage", "UnitStory", "explain_query"]

CONTEXT_CHARACTERS = 160
"""How much of its source is shown on each side of a piece of evidence."""


@dataclass(frozen=True, slots=True)
class ChunkSight:
    """A chunk that holds some of a unit's evidence.

    Attributes:
        chunk_id: which chunk.
        ranges: where it stands in the source, in code points.
        share: the share of the passage's evidence that it holds.
        rank_exact: by an exact search with the embedder, from 1; None without an embedder.
        rank_retrieved: in what the retriever returned; None where it is not among them.
        rank_reranked: in the reranker's order; None where it is not among them, or without a reranker.
        in_context: whether it reached the prompt, whole or shortened.
    """

    chunk_id: str
    ranges: tuple[Range, ...]
    share: float
    rank_exact: int | None
    rank_retrieved: int | None
    rank_reranked: int | None
    in_context: bool


@dataclass(frozen=True, slots=True)
class Passage:
    """One span of evidence in its source.

    Attributes:
        doc_id: the source.
        start, end: the span; (0, length) for a whole document.
        before, text, after: the evidence and up to 160 characters on each side.
        whole: whether any chunk of the document would do.
        copies: how many exact copies elsewhere would do as well.
        boundaries: offsets inside the span where a chunk begins or ends.
        chunks: those that hold some of it.
    """

    doc_id: str
    start: int
    end: int
    before: str
    text: str
    after: str
    whole: bool
    copies: int
    boundaries: tuple[int, ...]
    chunks: tuple[ChunkSight, ...]


@dataclass(frozen=True, slots=True)
class UnitStory:
    """One unit of evidence.

    Attributes:
        number: its position in the query, from 0.
        verdict: why it was lost, with the re-runs that prove it; None where it was delivered.
        sentence: what the run itself shows, in plain words: the ledger's label, which a verdict may move.
        coverage: its coverage at every checkpoint, by name, in the order of the flow.
        ranks: where it is complete.
        alternatives: how many alternatives it has; the one that came furthest is shown.
        passages: the spans of that alternative.
    """

    number: int
    verdict: Verdict | None
    sentence: str
    coverage: Mapping[str, float]
    ranks: UnitRanks
    alternatives: int
    passages: tuple[Passage, ...]

    @property
    def stage(self) -> str | None:
        """What lost it, by the verdict; None where it was delivered."""
        return None if self.verdict is None else self.verdict.stage


@dataclass(frozen=True, slots=True, repr=False)
class Explanation:
    """One query's story; prints as text, shows as HTML in a notebook.

    Attributes:
        query_id, query: whose story it is.
        recall: the mean coverage of its units by the context.
        candidates, top_k: n and k.
        budget: the token budget that the packer declares; None where it declares none.
        stage_of: the stage charged with what is lost on the way to each checkpoint, by the checkpoint's name,
            in the order of the flow; the start is not among them.
        units: the stories of its units.
    """

    query_id: str
    query: str
    recall: float
    candidates: int
    top_k: int
    budget: int | None
    stage_of: Mapping[str, str]
    units: tuple[UnitStory, ...]

    def __repr__(self) -> str:
        lost = sum(unit.stage is not None for unit in self.units)
        return f"Explanation({self.query_id!r}, {lost} of {len(self.units)} units lost)"

    def __str__(self) -> str:
        from ragdiag.report.text import explanation_text

        return explanation_text(self)

    def _repr_html_(self) -> str:
        from ragdiag.report.html import explanation_html

        return explanation_html(self)


def explain_query(diagnosis: Diagnosis, position: int) -> Explanation:
    """The story of the assessed query at ``position``."""
    query = diagnosis.assessed[position]
    trace, ledger = diagnosis.trace, diagnosis.ledger
    evidence_map = EvidenceMap(
        diagnosis.documents, diagnosis.sources, trace.chunks, [query], copies=diagnosis.copies
    )
    evidence = evidence_map.of(query, trace[query.id].context)
    names = [checkpoint.name for checkpoint in ledger.checkpoints]
    first = int((ledger.owner < position).sum())
    sight = _Sight(diagnosis, position, evidence_map)
    stories = []
    for number, unit in enumerate(query.evidence):
        row = first + number
        best = _furthest_alternative(evidence, number)
        ranks = diagnosis.outcomes[position].ranks[number]
        passages = tuple(sight.passage(part) for part in disjoint(unit.alternatives[best]))
        stories.append(
            UnitStory(
                number=number,
                verdict=diagnosis.verdicts[row],
                sentence=_sentence(ledger.label(row), ranks, trace, float(ledger.soft[row, -1]), passages),
                coverage=dict(zip(names, ledger.soft[row].tolist(), strict=True)),
                ranks=ranks,
                alternatives=len(unit.alternatives),
                passages=passages,
            )
        )
    recall = float(ledger.values("soft")[position, -1])
    stage_of = {checkpoint.name: checkpoint.stage for checkpoint in ledger.checkpoints if checkpoint.stage}
    return Explanation(
        query_id=query.id,
        query=query.text,
        recall=recall,
        candidates=trace.candidates,
        top_k=trace.top_k,
        budget=trace.budget,
        stage_of=stage_of,
        units=tuple(stories),
    )


def _furthest_alternative(evidence: QueryEvidence, number: int) -> int:
    """The alternative that the context covers best, else the one that the chunks do."""
    chunks = evidence.mask_of(evidence.carriers)
    alternatives = evidence.units[number]
    return max(
        range(len(alternatives)),
        key=lambda i: (
            evidence.share(alternatives[i], evidence.context),
            evidence.share(alternatives[i], chunks),
            -i,
        ),
    )


class _Sight:
    """What one query's run did with the chunks around a place."""

    def __init__(self, diagnosis: Diagnosis, position: int, evidence_map: EvidenceMap) -> None:
        trace = diagnosis.trace
        record = trace[diagnosis.assessed[position].id]
        self._trace = trace
        self._sources = diagnosis.sources
        self._map = evidence_map
        self._exact = {} if diagnosis.exact is None else diagnosis.exact[position].ranks
        self._retrieved = {hit.chunk_id: rank for rank, hit in enumerate(record.retrieved, start=1)}
        self._reranked = {hit.chunk_id: rank for rank, hit in enumerate(record.reranked or (), start=1)}
        self._context = {chunk.id for chunk in record.context}

    def passage(self, part: Span | WholeDocument) -> Passage:
        source = self._sources[part.doc_id]
        if isinstance(part, WholeDocument):
            held = {p: self._ranges(p, part.doc_id) for p in self._map.chunks_of(part.doc_id)}
            return self._passage(source, 0, len(source.text), held, whole=True, copies=0)
        copies = len(self._map.copies_of(part)) - 1
        return self._passage(
            source, part.start, part.end, self._map.touching(part), whole=False, copies=copies
        )

    def _passage(
        self,
        source: Document,
        start: int,
        end: int,
        held: Mapping[int, Sequence[Range]],
        *,
        whole: bool,
        copies: int,
    ) -> Passage:
        text = source.text
        sights = []
        nonspace = nonspace_before(text[start:end])
        for position in sorted(held):
            inside = [(max(start, low) - start, min(end, high) - start) for low, high in held[position]]
            covered = sum(int(nonspace[high] - nonspace[low]) for low, high in inside)
            share = 1.0 if whole else covered / int(nonspace[-1])
            sights.append(self._chunk(position, held[position], share))
        return Passage(
            doc_id=source.id,
            start=start,
            end=end,
            before="" if whole else text[max(0, start - CONTEXT_CHARACTERS) : start],
            text=text[start : min(end, 2 * CONTEXT_CHARACTERS)] if whole else text[start:end],
            after="" if whole else text[end : end + CONTEXT_CHARACTERS],
            whole=whole,
            copies=copies,
            boundaries=() if whole else self._boundaries(source.id, held, start, end),
            chunks=tuple(sight for sight in sights if sight.share),
        )

    def _ranges(self, position: int, doc_id: str) -> list[Range]:
        return self._map.source_ranges(self._trace.chunks[position].spans).get(doc_id, [])

    def _boundaries(self, doc_id: str, held: Iterable[int], start: int, end: int) -> tuple[int, ...]:
        """Where spans of chunks begin or end; gaps that ingestion left inside of one are no boundaries."""
        placed = [
            self._map.source_ranges([span])[doc_id]
            for position in held
            for span in self._trace.chunks[position].spans
        ]
        offsets = {offset for ranges in placed if ranges for offset in (ranges[0][0], ranges[-1][1])}
        return tuple(sorted(offset for offset in offsets if start < offset < end))

    def _chunk(self, position: int, ranges: Sequence[Range], share: float) -> ChunkSight:
        chunk_id = self._trace.chunks[position].id
        return ChunkSight(
            chunk_id=chunk_id,
            ranges=tuple(ranges),
            share=share,
            rank_exact=self._exact.get(position),
            rank_retrieved=self._retrieved.get(chunk_id),
            rank_reranked=self._reranked.get(chunk_id),
            in_context=chunk_id in self._context,
        )


def _sentence(
    stage: str | None, ranks: UnitRanks, trace: Trace, coverage: float, passages: Sequence[Passage]
) -> str:
    """The label in plain words, with the numbers that it rests on."""
    n, k = trace.candidates, trace.top_k
    final = ranks.retrieved if ranks.reranked is None else ranks.reranked
    in_pieces = any(p.boundaries and all(sight.share < 1 for sight in p.chunks) for p in passages)
    cut = " A chunk boundary cuts the evidence." if in_pieces else ""
    if stage is None:
        at = f" It is complete at rank {final}." if final is not None else ""
        return f"Delivered: the context holds {coverage:.0%} of it.{at}"
    budget = "" if trace.budget is None else f" within {trace.budget} tokens"
    exact = "at no rank" if ranks.exact is None else f"at rank {ranks.exact}"
    although = ""
    if "embedder" in trace.stages:
        # Another arm of a hybrid may have had it where the vectors had not.
        by_vectors = ranks.exact is not None and ranks.exact <= n
        although = (
            f", although an exact search does ({f'complete {exact}' if by_vectors else 'by another arm'})"
        )
    reasons = {
        "ingest": "the ingested documents do not hold the source's text.",
        "chunker": "the documents hold it, but no chunk does: the chunker dropped the text.",
        "capacity": f"no choice of {k} chunks{budget} could carry what the query needs.{cut}",
        "embedder": (
            f"a chunk holds it, but an exact search by the embedder's similarity has it complete {exact}, "
            f"and only {n} candidates are handed on.{cut}"
        ),
        "retriever": f"the retriever does not return all of it among its {n} candidates{although}.{cut}",
        "reranker": (
            f"the retriever returned it (complete at rank {ranks.retrieved}), but after reranking it is "
            f"complete {'nowhere' if ranks.reranked is None else f'at rank {ranks.reranked}'} only, "
            f"behind the top {k}.{cut}"
        ),
        "packer": f"it was among the top {k} (complete at rank {final}), but the packer left it out.{cut}",
    }
    partly = f" The context holds {coverage:.0%} of it." if coverage else ""
    tied = f" Its score is that of rank {k}: another order would be as good." if ranks.tied else ""
    return f"Lost {at_stage(stage)}: {reasons[stage]}{partly}{tied}"
