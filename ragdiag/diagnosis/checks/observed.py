"""What the ledger and the re-runs call a loss, as a finding with the numbers behind it.

It is what a verdict is left with where no check says more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import median

from ragdiag.diagnosis.capacity import Goal, best_set
from ragdiag.diagnosis.cause_tables import name_cause
from ragdiag.diagnosis.checks.bench import Bench, Loss
from ragdiag.diagnosis.checks.packing import needed_without_budget
from ragdiag.diagnosis.evidence import Mask, QueryEvidence
from ragdiag.diagnosis.verdicts import Finding
from ragdiag.records import Chunk, WholeDocument

__all__ = ["CODES", "code_of", "observe_loss"]


def code_of(loss: Loss) -> str:
    """The code of what the verdict calls the loss; where faults mask each other, of what the ledger does."""
    verdict = loss.verdict
    called = loss.unit.observed if verdict.proof == "joint" else verdict
    return name_cause(called.stage, called.cause).code


def observe_loss(bench: Bench, loss: Loss) -> Finding:
    """The finding of that code."""
    code = code_of(loss)
    mended = code in _MENDED_ALONE and loss.verdict.proof == "verified"
    return Finding(code, _OBSERVATIONS[code](bench, loss), "proven" if mended else "measured")


# How much of the evidence


def _held(loss: Loss, evidence: QueryEvidence, atoms: Mask) -> str:
    """``40 of the evidence's 84 characters``: by the alternative that is covered best."""
    number = loss.unit.number
    best = max(evidence.units[number], key=lambda alternative: evidence.share(alternative, atoms))
    held = round(evidence.share(best, atoms) * best.size)
    if any(isinstance(p, WholeDocument) for a in loss.query.evidence[number].alternatives for p in a):
        return "all of the evidence" if held == best.size else "not all of the evidence"
    return f"{held:,} of the evidence's {best.size:,} characters (whitespace not counted)"


def _held_by(loss: Loss, *chunks: int) -> str:
    evidence = loss.unit.evidence
    return _held(loss, evidence, evidence.mask_of(chunks))


def _all(bench: Bench) -> str:
    count = len(bench.trace.chunks)
    return f"{count:,} chunk{'s' * (count != 1)}"


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def _rank(rank: int | None) -> str:
    return "nowhere complete" if rank is None else f"complete at rank {rank:,}"


# The observations


def _missing(bench: Bench, loss: Loss) -> str:
    count = len(bench.diagnosis.documents)
    held = _held(loss, loss.unit.evidence, loss.unit.evidence.ingested)
    return f"The corpus of {count:,} document{'s' * (count != 1)} holds {held}."


def _dropped_text(bench: Bench, loss: Loss) -> str:
    return f"The union of {_all(bench)} holds {_held_by(loss, *loss.unit.carriers(chunker=False))}."


def _split(bench: Bench, loss: Loss) -> str:
    carriers = loss.unit.carriers(chunker=False)
    most = max(carriers, key=lambda position: loss.unit.carried[position])
    return (
        f"It lies in {len(carriers):,} of {_all(bench)}, of which one holds {_held_by(loss, most)}; with one "
        "chunk more, that holds it whole, the re-run delivered it."
    )


def _oversize(bench: Bench, loss: Loss) -> str:
    chunk = _longest(bench, loss)
    usual = bench.once("usual length", lambda: int(median(len(c.index_text) for c in bench.trace.chunks)))
    return (
        f"Chunk {chunk.id!r} has {len(chunk.index_text):,} characters, the median chunk {usual:,}; "
        f"{_where_exact(bench, loss)}."
    )


def _truncated(bench: Bench, loss: Loss) -> str:
    chunk, limit = _longest(bench, loss), getattr(bench.index.pipeline.embedder, "max_tokens", 0)
    return (
        f"The embedder reads {int(limit):,} tokens of a text, and in chunk {chunk.id!r} of "
        f"{len(chunk.index_text):,} characters the evidence is beyond; {_where_exact(bench, loss)}."
    )


def _longest(bench: Bench, loss: Loss) -> Chunk:
    return max(map(bench.chunk, loss.chunks), key=lambda chunk: len(chunk.index_text))


def _where_exact(bench: Bench, loss: Loss) -> str:
    return (
        f"by the embedder's similarity the evidence is {_rank(loss.ranks.exact)} of {_all(bench)}, and "
        f"{bench.trace.candidates:,} are candidates"
    )


def _ranked_low(bench: Bench, loss: Loss) -> str:
    return _sentence(_where_exact(bench, loss))


def _missed(bench: Bench, loss: Loss) -> str:
    hits = bench.trace.positions(bench.trace[loss.query.id].retrieved)
    found = f"what the retriever returned, {len(hits):,} of {_all(bench)}, holds {_held_by(loss, *hits)}"
    if bench.trace.similarity is None:
        return _sentence(found)
    exact = f"By the embedder's similarity the evidence is {_rank(loss.ranks.exact)}"
    return f"{exact}; {found}."


def _reordered(bench: Bench, loss: Loss) -> str:
    ranking, k = bench.trace[loss.query.id].ranking, bench.trace.top_k
    before, after = loss.ranks.retrieved, loss.ranks.reranked
    own, last = ranking[(after or len(ranking)) - 1].score, ranking[min(k, len(ranking)) - 1].score
    return (
        f"Before the reranker the evidence was {_rank(before)} of {len(ranking):,} candidates, after it "
        f"{_rank(after)} with the score {own:.4g}; the top {k} go on, down to {last:.4g}."
    )


def _cut(bench: Bench, loss: Loss) -> str:
    context = bench.trace[loss.query.id].context
    evidence = bench.map.of(loss.query, context)
    shares = [
        f"{len(chunk.text):,} of {len(whole.text):,} characters of chunk {chunk.id!r}"
        for chunk in context
        if (whole := bench.chunk(bench.trace.position[chunk.id])).spans != chunk.spans
        and bench.trace.position[chunk.id] in loss.unit.carried
    ]
    return f"The context has {', '.join(shares)}, and with them {_held(loss, evidence, evidence.context)}."


def _dropped(bench: Bench, loss: Loss) -> str:
    record, k = bench.trace[loss.query.id], bench.trace.top_k
    given = bench.trace.positions(record.ranking[:k])
    kept = {bench.trace.position[chunk.id] for chunk in record.context}
    lost = [f"{given.index(p) + 1:,}" for p in given if p in loss.unit.carried and p not in kept]
    return (
        f"Of {len(given):,} chunks the packer kept {len(kept):,}, and left out what holds the evidence: rank "
        f"{' and '.join(lost)}."
    )


def _too_many_chunks(bench: Bench, loss: Loss) -> str:
    if loss.unit.fits:
        needed = len(needed_without_budget(loss))
        return (
            f"What holds the evidence takes {needed:,} of the {bench.trace.top_k:,} places. {_compete(loss)}"
        )
    unit, carriers = loss.unit, loss.unit.carriers(chunker=False)
    goal = Goal("soft", unit.min_coverage, unit.top_k, only=unit.number)
    best = best_set(
        unit.evidence, {number: unit.masks[number] for number in carriers}, goal, keep=unit.kept
    ).positions
    return (
        f"It lies in {len(carriers):,} of {_all(bench)}; the best {len(best):,} of them, k being "
        f"{bench.trace.top_k:,}, hold {_held_by(loss, *best)}."
    )


def _too_many_tokens(bench: Bench, loss: Loss) -> str:
    best = needed_without_budget(loss)
    tokens, limit = sum(map(loss.unit.tokens, best)), bench.trace.budget or 0
    needs = f"What holds the evidence, {len(best):,} of {_all(bench)}, takes {tokens:,} tokens of {limit:,}."
    return f"{needs} {_compete(loss)}" if loss.unit.fits else needs


def _compete(loss: Loss) -> str:
    count = len(loss.query.evidence)
    return f"It would fit alone, and does not beside all that the query's {count:,} units need."


_OBSERVATIONS: Mapping[str, Callable[[Bench, Loss], str]] = {
    "ingest.missing": _missing,
    "chunker.dropped_text": _dropped_text,
    "chunker.split": _split,
    "chunker.oversize": _oversize,
    "embedder.truncated": _truncated,
    "embedder.ranked_low": _ranked_low,
    "retriever.missed": _missed,
    "reranker.demoted": _reordered,
    "reranker.not_promoted": _reordered,
    "packer.cut": _cut,
    "packer.dropped": _dropped,
    "capacity.k": _too_many_chunks,
    "capacity.budget": _too_many_tokens,
}

CODES = tuple(_OBSERVATIONS)
"""All that the ledger and the re-runs call losses."""

# Re-runs in which exactly this was mended: a chunk that holds it whole, the part that the embedder reads.
_MENDED_ALONE = ("chunker.split", "embedder.truncated")
