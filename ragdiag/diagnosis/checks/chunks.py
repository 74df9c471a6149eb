"""Are the chunks right? Checks of their sizes and their repeats."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ragdiag.diagnosis.checks.bench import Bench, Loss
from ragdiag.diagnosis.checks.check import Check, NotApplicable
from ragdiag.diagnosis.geometry import same_texts
from ragdiag.diagnosis.verdicts import Finding

__all__ = ["CHECKS"]


def too_small(bench: Bench, loss: Loss) -> Finding | None:
    """Whether the chunks hold all of the evidence, which is longer than the longest of them.

    Lengths are in characters that are no whitespace, as coverage counts them.
    """
    unit, evidence = loss.unit, loss.unit.evidence
    held = evidence.mask_of(unit.carriers(chunker=False))
    if evidence.coverage(held)[unit.number] < unit.min_coverage:
        return None  # text that no chunk holds is another fault
    longest = bench.once(
        "longest chunk", lambda: max(len("".join(c.text.split())) for c in bench.trace.chunks)
    )
    needed = min(
        max(evidence.weight(copies[0]) for copies in alternative.parts)
        for alternative in evidence.units[unit.number]
    )
    if unit.min_coverage * needed <= longest:
        return None
    observation = (
        f"The evidence has {needed:,} characters in one piece, the longest of {len(bench.trace.chunks):,} "
        f"chunks {longest:,} (whitespace not counted)."
    )
    if any(trial.ideal == ("chunker",) and trial.recovered for trial in loss.verdict.trials):
        observation += " With one more chunk, as long as the evidence, the re-run delivered it."
        return Finding("chunker.too_small", observation, "proven")
    return Finding("chunker.too_small", observation, "measured")


def duplicates(bench: Bench, loss: Loss) -> Finding | None:
    """Whether repeats of the same text rank before the evidence, which without them would be high enough."""
    if not loss.chunks:
        raise NotApplicable("no chunk holds any of the evidence")
    rankings = [ranking for ranking in _rankings(bench, loss) if ranking.holds(loss.chunks)]
    if not rankings:
        raise NotApplicable("no ranking of a stage to blame holds the evidence")
    text_of = _text_numbers(bench)
    for ranking in rankings:
        rank = max(map(ranking.rank_of, loss.chunks))
        before = [text_of[position] for position in ranking.positions[: rank - 1]]
        repeats = len(before) - len(set(before))
        if rank - repeats <= ranking.kept < rank:
            observation = (
                f"Rank {rank:,} of {len(ranking.positions):,} {ranking.name}, of which {ranking.kept:,} are "
                f"kept. {repeats:,} of the {rank - 1:,} before it deliver the same text as another of them; "
                f"without those it would be rank {rank - repeats:,}."
            )
            return Finding("chunker.duplicates", observation, "measured")
    return None


@dataclass(frozen=True, slots=True)
class _Ranking:
    """Chunks by position, best first, of which the first ``kept`` go on."""

    name: str
    positions: Sequence[int]
    kept: int

    def holds(self, positions: Sequence[int]) -> bool:
        return set(positions) <= set(self.positions)

    def rank_of(self, position: int) -> int:
        return self.positions.index(position) + 1


def _rankings(bench: Bench, loss: Loss) -> Iterator[_Ranking]:
    """The rankings by which the stages to blame choose."""
    trace, query = bench.trace, loss.query
    if "embedder" in loss.verdict.blamed:
        order = bench.order(query).tolist()
        yield _Ranking("chunks by the embedder's similarity", order, trace.candidates)
    if "retriever" in loss.verdict.blamed and trace.similarity is None:
        hits = bench.once(
            ("all hits", query.id), lambda: bench.search(trace.request(query), len(trace.chunks))
        )
        yield _Ranking("hits of the retriever", trace.positions(hits), trace.candidates)
    if "reranker" in loss.verdict.blamed:
        yield _Ranking("reranked candidates", trace.positions(trace[query.id].ranking), trace.top_k)


def _text_numbers(bench: Bench) -> Sequence[int]:
    """A number for each chunk; chunks that deliver the same text have the same."""

    def number() -> list[int]:
        numbers = list(range(len(bench.trace.chunks)))
        for positions in same_texts([chunk.text for chunk in bench.trace.chunks]):
            for position in positions:
                numbers[position] = positions[0]
        return numbers

    return bench.once("numbers of texts", number)


CHECKS: tuple[Check, ...] = (
    Check("chunker.too_small", too_small, at=("chunker", "capacity")),
    Check("chunker.duplicates", duplicates, at=("embedder", "retriever", "reranker")),
)
