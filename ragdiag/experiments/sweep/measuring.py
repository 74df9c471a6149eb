"""From a run to what it is worth: the values of all measures by query, and the facts about its chunks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from ragdiag.diagnosis.deliveries import deliver
from ragdiag.diagnosis.diagnose import Observation
from ragdiag.diagnosis.evidence import AlternativeAtoms, EvidenceMap, QueryEvidence
from ragdiag.diagnosis.geometry import same_texts
from ragdiag.diagnosis.usual_measures import usual_specs
from ragdiag.errors import DataError
from ragdiag.experiments.sweep.measured import CEILING, CUT, ChunkFacts, Measured
from ragdiag.index import Index
from ragdiag.measures.delivery import Delivery
from ragdiag.measures.overlap import SpanMeasure, parse_measure
from ragdiag.records import Chunk, Query
from ragdiag.stages import boundary
from ragdiag.stages.protocols import bytes_of, token_counts

__all__ = ["DeepRankings", "measure"]

_Values = NDArray[np.float64]


def measure(
    index: Index, observation: Observation, specs: Sequence[str] = (), *, known: DeepRankings | None = None
) -> Measured:
    """What a pipeline got on its queries.

    Measures with a cut (``@10``, ``@1024t``) look at its final ranking. Without a reranker that has no end:
    where the n chunks that the retriever hands on do not reach the cut, it is asked for more, so that
    chunkers of small chunks are not cut short. A reranker has seen n chunks, and there are no more.

    Args:
        index: the pipeline's.
        observation: of a run of that index.
        specs: further measures, beside the usual ones.
        known: deep rankings that other pipelines of the same searcher have left; this one leaves its own.

    Raises:
        ConfigError: a spec that names no span measure.
        DataError: a measure needs tokens, and nothing counts them.
    """
    diagnosis = observation.diagnosis
    trace, ledger = diagnosis.trace, diagnosis.ledger
    measures = [parse_measure(spec) for spec in (*usual_specs(diagnosis), *specs)]
    deep = _DeepRanking(index, observation, measures)
    if known is not None:
        # What the packer does comes after a ranking, but for how it counts tokens.
        deep = known.setdefault((id(index.searcher), index.pipeline.n, trace.chunk_tokens), deep)
    values: dict[str, _Values] = {
        repr(each): deep.values(each) if deep.needed_for(each) else diagnosis.measure_by_query(each)
        for each in measures
    }
    names = [checkpoint.name for checkpoint in ledger.checkpoints]
    values[CEILING] = ledger.values("soft")[:, names.index("best k")]
    values[CUT] = np.array([_cut(e, diagnosis.min_coverage) for e in observation.evidence])
    steps, noise = diagnosis.charged_steps("soft"), diagnosis.charged_noise()
    return Measured(
        stages=trace.stages,
        candidates=trace.candidates,
        top_k=trace.top_k,
        query_ids=ledger.query_ids,
        measures=values,
        losses={stage: steps[:, i] for i, stage in enumerate(ledger.stages)},
        noise={stage: noise[:, i] for i, stage in enumerate(ledger.stages)},
        context_tokens=_context_tokens(index, observation),
        chunks=_chunk_facts(index, observation.evidence_map, trace.chunk_tokens),
    )


# Rankings that are long enough for a cut


@dataclass(frozen=True)
class _DeepRanking:
    """The final ranking of each query, continued as far as the deepest of some measures looks."""

    index: Index
    observation: Observation
    measures: Sequence[SpanMeasure]

    def needed_for(self, one: SpanMeasure) -> bool:
        """Whether the ranking that the pipeline made may end before the measure's cut."""
        k, tokens = getattr(one, "k", None), getattr(one, "tokens", None)
        n = self.index.pipeline.n
        return self.index.pipeline.reranker is None and (tokens is not None or (k is not None and k > n))

    def values(self, one: SpanMeasure) -> _Values:
        """The measure of each assessed query."""
        return np.array([one(delivery) for delivery in self._deliveries])

    @cached_property
    def _deliveries(self) -> list[Delivery]:
        trace = self.observation.diagnosis.trace
        tokens = trace.chunk_tokens
        found = []
        for query, evidence, positions in zip(
            self._queries, self.observation.evidence, self._positions, strict=True
        ):
            delivered = [(trace.chunks[p], evidence.carriers.get(p, 0)) for p in positions]
            taken = None if tokens is None else [tokens[p] for p in positions]
            found.append(deliver(self.observation.evidence_map, query, evidence, delivered, tokens=taken))
        return found

    @property
    def _queries(self) -> tuple[Query, ...]:
        return self.observation.diagnosis.assessed

    @cached_property
    def _positions(self) -> list[list[int]]:
        trace = self.observation.diagnosis.trace
        budget, deepest = self._budget(), self._deepest()
        positions = [trace.positions(trace[query.id].ranking) for query in self._queries]
        asked = self.index.pipeline.n
        while True:
            # Who got less than was asked for has no more to come.
            short = [
                i
                for i, found in enumerate(positions)
                if len(found) == asked and (asked < deepest or self._size(found) <= budget)
            ]
            if not short:
                return positions
            asked = max(2 * asked, deepest, self._likely_depth(budget))
            requests = [trace.request(self._queries[i]) for i in short]
            rankings = boundary.search(self.index.searcher, requests, asked, trace.position)
            for i, hits in zip(short, rankings, strict=True):
                positions[i] = trace.positions(hits)

    def _likely_depth(self, budget: int) -> int:
        """How many chunks of middling size fill a budget."""
        tokens = self.observation.diagnosis.trace.chunk_tokens
        return int(budget / max(1.0, float(np.median(tokens)))) + 2 if tokens else 0

    def _deepest(self) -> int:
        return max([int(k) for one in self.measures if (k := getattr(one, "k", None))], default=0)

    def _budget(self) -> int:
        budgets = [int(t) for one in self.measures if (t := getattr(one, "tokens", None))]
        return max(budgets, default=-1)

    def _size(self, positions: Sequence[int]) -> int:
        tokens = self.observation.diagnosis.trace.chunk_tokens
        return 0 if tokens is None else sum(tokens[p] for p in positions)


DeepRankings: TypeAlias = dict[tuple[object, ...], _DeepRanking]
"""By what they depend on; each holds on to its index, so that the id of a searcher stays its own."""


# Evidence and chunks


def _cut(evidence: QueryEvidence, min_coverage: float) -> float:
    """The share of units that all chunks hold, but for which a span must be put together of several."""
    everything = evidence.mask_of(evidence.carriers)
    held = evidence.coverage(everything) >= min_coverage
    whole = [any(_in_single_chunks(evidence, a, min_coverage) for a in unit) for unit in evidence.units]
    return float(np.mean(held & ~np.array(whole)))


def _in_single_chunks(evidence: QueryEvidence, alternative: AlternativeAtoms, min_coverage: float) -> bool:
    return all(
        any(
            evidence.weight(copy & atoms) >= min_coverage * evidence.weight(copy)
            for copy in part
            for atoms in evidence.carriers.values()
        )
        for part in alternative.parts
    )


def _context_tokens(index: Index, observation: Observation) -> _Values | None:
    """Tokens of the context of each assessed query, as the packer or the embedder counts."""
    diagnosis, pipeline = observation.diagnosis, index.pipeline
    contexts = [diagnosis.trace[query.id].context for query in diagnosis.assessed]
    # Packers shorten chunks and leave their ids: the text tells which is which.
    chunks: dict[tuple[str, str], Chunk] = {(c.id, c.text): c for context in contexts for c in context}
    counts = token_counts(list(chunks.values()), pipeline.packer, pipeline.embedder)
    if counts is None:
        return None
    tokens = dict(zip(chunks, counts, strict=True))
    return np.array([float(sum(tokens[c.id, c.text] for c in context)) for context in contexts])


def _chunk_facts(
    index: Index, evidence_map: EvidenceMap, delivered_tokens: Sequence[int] | None
) -> ChunkFacts:
    chunks, embedder = index.chunks, index.pipeline.embedder
    sizes = [len(chunk.text) for chunk in chunks] if delivered_tokens is None else list(delivered_tokens)
    lower, median, upper = np.percentile(sizes, [25, 50, 75]).tolist()
    texts = list(dict.fromkeys(chunk.index_text for chunk in chunks))
    tokens_of: dict[str, int] | None = None
    if embedder is not None and hasattr(embedder, "count_tokens"):
        tokens_of = dict(zip(texts, map(int, cast("Any", embedder).count_tokens(texts)), strict=True))
    limit = getattr(embedder, "max_tokens", None)
    over = None
    if limit is not None and tokens_of is not None:
        over = float(np.mean([tokens_of[chunk.index_text] > limit for chunk in chunks]))
    # Children of one parent deliver the same passage: the same place is no repeat.
    places = list({chunk.spans: chunk for chunk in chunks}.values())
    repeated = sum(len(group) - 1 for group in same_texts([chunk.text for chunk in places]))
    characters = sum(len("".join(document.text.split())) for document in index.documents)
    if not characters:
        raise DataError("the documents hold no text")
    return ChunkFacts(
        chunks=len(chunks),
        unit="characters" if delivered_tokens is None else "tokens",
        shortest=min(sizes),
        lower=lower,
        median=median,
        upper=upper,
        longest=max(sizes),
        over_limit=over,
        duplicates=repeated / len(places),
        dropped=1 - evidence_map.characters(chunks) / characters,
        texts=0 if embedder is None else len(texts),
        tokens=None if tokens_of is None else sum(tokens_of.values()),
        index_bytes=bytes_of(index.searcher),
    )
