"""Remedies that choose in another way what reaches the prompt, or let more of it in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ragdiag.experiments.parts import change_parts, has_field, parts_of
from ragdiag.experiments.remedies.remedy import (
    Change,
    DoesNotApply,
    Remedy,
    Setting,
    change_options,
    change_plug,
    plug_at,
)
from ragdiag.experiments.remedies.windows import BestWindowReranker
from ragdiag.pipeline import Pipeline
from ragdiag.stages.packers import NearDuplicateFilter, PackerChain, TopK
from ragdiag.stages.protocols import budget_of
from ragdiag.stages.retrievers import DistinctRetriever

__all__ = ["REMEDIES"]

_SPARE = 4  # times k: how many chunks repeats are looked for in
_REPEAT = 0.8  # the share of a text that a better one must hold
_PARTS = 4  # windows of the longest chunk, for a reranker that does not say how much it reads
_MARGIN = 0.8  # of what the reranker reads: characters a token differ from text to text


def _without_reranker(setting: Setting) -> Change:
    """The retriever's order is final."""
    reranker = plug_at(setting.pipeline, "reranker")
    what = f"no reranker in place of {reranker!r}; candidates from {setting.pipeline.n} to k"
    return change_plug(setting, "reranker", None, what)


def _reranker_input(setting: Setting) -> Change:
    """The best of windows that the reranker can read, in place of each text's beginning."""
    reranker: Any = plug_at(setting.pipeline, "reranker")
    if getattr(reranker, "max_tokens", None) is None or not hasattr(reranker, "count_pair_tokens"):
        size = max(len(chunk.text) for chunk in setting.chunks) // _PARTS
    else:
        size = _surely_read(reranker, setting)
    if size < 1:
        raise DoesNotApply(f"{type(reranker).__name__} reads too little for windows")
    best = BestWindowReranker(reranker, size=size, overlap=size // 4)
    return change_plug(setting, "reranker", best, f"{best!r} in place of {reranker!r}")


def _surely_read(reranker: Any, setting: Setting) -> int:
    """The characters of a text that a reranker reads beside any query, by the densest chunk."""
    limit = reranker.max_tokens
    query = max((query.text for query in setting.queries), key=len)
    texts = list(dict.fromkeys(chunk.text for chunk in setting.chunks))
    of_query, *of_pairs = reranker.count_pair_tokens(query, ["", *texts])
    if max(of_pairs) <= limit:
        raise DoesNotApply(
            f"no chunk takes more than the {limit} tokens that {type(reranker).__name__} reads"
        )
    cut_off = [
        (text, tokens - of_query) for text, tokens in zip(texts, of_pairs, strict=True) if tokens > limit
    ]
    return int(_MARGIN * min(len(text) / tokens for text, tokens in cut_off) * (limit - of_query))


def _larger_k(setting: Setting) -> Change:
    """Twice the chunks in the context, and no packer that keeps fewer."""
    pipeline = setting.pipeline
    parts: Iterator[Any] = parts_of("packer", pipeline.packer)
    k = min([pipeline.top_k, *(part.k for part in parts if has_field(part, "k"))])
    if k >= len(setting.chunks):
        raise DoesNotApply(f"all {len(setting.chunks)} chunks fit into k already")
    more = 2 * k
    words = [f"top_k from {pipeline.top_k} to {more}"] if pipeline.top_k < more else []

    def keep(part: Any) -> object:
        if not has_field(part, "k") or part.k >= more:
            return part
        words.append(f"k of the packer from {part.k} to {more}")
        return replace(part, k=more)

    changed = _with_k(replace(pipeline, packer=change_parts("packer", pipeline.packer, keep)), more)
    if changed.candidates > pipeline.candidates:
        words.append(f"candidates from {pipeline.candidates} to {changed.candidates}")
    return Change(changed, setting.queries, ", ".join(words))


def _larger_budget(setting: Setting) -> Change:
    """Twice the room for chunks."""
    packer: Any = plug_at(setting.pipeline, "packer")
    before = budget_of(packer)
    if before is None:
        raise DoesNotApply(f"{type(packer).__name__} declares no budget")

    def widen(part: Any) -> object:
        if budget_of(part) is None:
            return part
        if has_field(part, "budget"):
            return replace(part, budget=2 * before)
        return replace(part, max_tokens=part.max_tokens + before) if has_field(part, "max_tokens") else part

    changed = change_parts("packer", packer, widen)
    if changed is packer:
        raise DoesNotApply(f"{type(packer).__name__} has no option budget or max_tokens")
    what = f"room for chunks from {before} to {budget_of(changed)} tokens"
    return change_plug(setting, "packer", changed, what)


def _whole_chunks(setting: Setting) -> Change:
    """A chunk that does not fit is left out, and the next ones are tried."""

    def choose(part: Any) -> Mapping[str, object]:
        return {"overflow": "skip"} if part.overflow == "truncate" else {"overflow": part.overflow}

    return change_options(setting, "packer", ["overflow"], choose)


def _stricter_deduplication(setting: Setting) -> Change:
    """Only what a better chunk holds whole is a repeat."""
    return change_options(setting, "packer", ["threshold"], lambda _: {"threshold": 1.0})


def _without_packer(setting: Setting) -> Change:
    """The top k as they are; a budget is not done away with, since the model's window is not."""
    packer: Any = plug_at(setting.pipeline, "packer")
    budget = budget_of(packer)
    if budget is not None:
        raise DoesNotApply(f"{type(packer).__name__} keeps the context within {budget} tokens")
    return change_plug(setting, "packer", None, f"no packer in place of {packer!r}")


def _distinct_passages(setting: Setting) -> Change:
    """Of the chunks that deliver the same spans, the best."""
    retriever = setting.pipeline.retriever
    if len({chunk.spans for chunk in setting.chunks}) == len(setting.chunks):
        raise DoesNotApply("no two chunks deliver the same passage")
    if any(isinstance(part, DistinctRetriever) for part in parts_of("retriever", retriever)):
        raise DoesNotApply(f"{type(retriever).__name__} returns each passage once already")
    distinct = DistinctRetriever(retriever)
    return change_plug(setting, "retriever", distinct, f"{distinct!r} in place of {retriever!r}")


def _deduplicate(setting: Setting) -> Change:
    """Of near-copies of each other, the best; others take the places of the rest."""
    pipeline = setting.pipeline
    k, packer = pipeline.top_k, pipeline.packer
    if any(has_field(part, "threshold") for part in parts_of("packer", packer)):
        raise DoesNotApply(f"{type(packer).__name__} leaves repeats out already")
    repeats = NearDuplicateFilter(_REPEAT)
    chain = PackerChain([repeats, TopK(k), *([] if packer is None else [packer])])
    changed = _with_k(replace(pipeline, packer=chain), _SPARE * k)
    what = f"of {_SPARE * k} chunks in place of {k}, the best {k} that {repeats!r} keeps"
    return Change(changed, setting.queries, what)


def _with_k(pipeline: Pipeline, k: int) -> Pipeline:
    """A pipeline with a larger k, and with as many candidates where they are reranked."""
    enough = pipeline.candidates if pipeline.reranker is None else max(pipeline.candidates, k)
    return replace(pipeline, top_k=max(pipeline.top_k, k), candidates=enough)


REMEDIES = (
    Remedy(
        "without_reranker",
        "reranker",
        ("reranker.demoted", "reranker.not_promoted", "reranker.phantom", "reranker.ties"),
        _without_reranker,
    ),
    Remedy("reranker_input", "reranker", ("reranker.truncated",), _reranker_input),
    Remedy(
        "larger_k",
        "capacity",
        (
            "capacity.k",
            "embedder.depth",
            "embedder.ranked_low",
            "reranker.demoted",
            "reranker.not_promoted",
            "packer.cutoff",
        ),
        _larger_k,
    ),
    Remedy(
        "larger_budget",
        "packer",
        ("capacity.budget", "packer.budget", "packer.cut", "packer.dropped", "packer.miscount"),
        _larger_budget,
    ),
    Remedy("whole_chunks", "packer", ("packer.cut",), _whole_chunks),
    Remedy("stricter_deduplication", "packer", ("packer.deduplicated",), _stricter_deduplication),
    Remedy(
        "without_packer",
        "packer",
        ("packer.cut", "packer.cutoff", "packer.deduplicated", "packer.dropped"),
        _without_packer,
    ),
    Remedy(
        "distinct_passages",
        "retriever",
        ("chunker.duplicates", "embedder.crowding"),
        _distinct_passages,
    ),
    Remedy(
        "deduplicate",
        "packer",
        ("chunker.duplicates", "embedder.crowding", "embedder.near_duplicates"),
        _deduplicate,
    ),
)
