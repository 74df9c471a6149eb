"""Remedies that embed or search in another way."""

from __future__ import annotations

import re
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
    replacing,
)
from ragdiag.stages.protocols import arms_of, recipe_of, similarity_of, uses_vectors
from ragdiag.stages.retrievers import BM25Retriever, ExactRetriever, HybridRetriever

__all__ = ["REMEDIES"]

_MORE = 4  # times the candidates
_WIDER = 8  # times the effort of an approximate search

# The effort that FAISS makes by itself, by the name of its parameter.
_EFFORTS = {"nprobe": 1, "efSearch": 16}
_LISTS = re.compile(r"IVF(\d+)")


def _prompts(setting: Setting) -> Change:
    """The prompts that the model was trained with, where none is put."""
    embedder: Any = plug_at(setting.pipeline, "embedder")
    prompts: Mapping[str, str] | None = getattr(embedder, "unused_prompts", None)
    if prompts is None:
        raise DoesNotApply(f"{embedder!r} does not declare the prompts that its model was trained with")
    if not prompts:
        raise DoesNotApply(f"{embedder!r} puts all prompts that its model is known to be trained with")
    options = {f"{side}_prompt": prompt for side, prompt in prompts.items()}
    return change_options(setting, "embedder", list(options), lambda _: options)


def _hybrid(setting: Setting) -> Change:
    """A search by words beside that by vectors."""
    plug_at(setting.pipeline, "embedder")
    retriever = setting.pipeline.retriever
    lexical = [part for part in parts_of("retriever", retriever) if not uses_vectors(part)]  # type: ignore[arg-type]
    if lexical:
        raise DoesNotApply(f"{lexical[0]!r} searches by words already")
    hybrid = HybridRetriever([retriever, BM25Retriever()])
    return change_plug(
        setting, "retriever", hybrid, f"{BM25Retriever()!r} beside {retriever!r}, fused by their ranks"
    )


def _more_candidates(setting: Setting) -> Change:
    """Four times the candidates, and searches that are as deep."""
    pipeline = setting.pipeline
    plug_at(pipeline, "reranker")
    n, most = pipeline.candidates, len(setting.chunks)
    if n >= most:
        raise DoesNotApply(f"all {most} chunks are candidates already")
    more = max(min(_MORE * n, most), pipeline.top_k)
    words = [f"candidates from {n} to {more}"]

    def deepen(part: object) -> object:
        new = {
            name: more
            for name in ("depth", "fetch")
            if has_field(part, name) and (getattr(part, name) or more) < more
        }
        words.extend(f"{name} from {getattr(part, name)} to {more}" for name in new)
        return replace(part, **new) if new else part  # type: ignore[type-var]  # it has fields

    retriever = change_parts("retriever", pipeline.retriever, deepen)
    changed = replace(pipeline, candidates=more, retriever=retriever)
    return Change(changed, setting.queries, ", ".join(words))


def _wider_search(setting: Setting) -> Change:
    """Eight times the effort of an approximate search."""

    def choose(part: Any) -> Mapping[str, object]:
        recipe: Any = recipe_of(part)
        factory, parameters = str(getattr(recipe, "factory", "")), dict(part.parameters)
        known = {**getattr(recipe, "parameters", {}), **parameters}
        lists = _LISTS.search(factory)
        if lists or "nprobe" in known:
            effort, most = "nprobe", float(lists[1]) if lists else float("inf")
        elif "HNSW" in factory or "efSearch" in known:
            effort, most = "efSearch", float("inf")
        else:
            return {"parameters": parameters}
        before = known.get(effort, _EFFORTS[effort])
        wider = min(_WIDER * before, most)
        return {"parameters": {**parameters, effort: int(wider)} if wider > before else parameters}

    return change_options(setting, "retriever", ["parameters"], choose)


def _exact_search(setting: Setting) -> Change:
    """Every chunk compared with every query, in place of every other search by vectors."""
    similarity = similarity_of(plug_at(setting.pipeline, "embedder"))  # type: ignore[arg-type]

    def becomes(part: Any) -> object:
        if arms_of(part) or not uses_vectors(part):
            return part
        exact = ExactRetriever(getattr(part, "metric", None) or similarity)
        return part if part == exact else exact

    why_not = f"{setting.pipeline.retriever!r} has no search by vectors that is not exact"
    return replacing(setting, "retriever", becomes, why_not=why_not)


def _own_metric(setting: Setting) -> Change:
    """Vectors compared as the embedder says that they are meant to be."""
    similarity = similarity_of(plug_at(setting.pipeline, "embedder"))  # type: ignore[arg-type]
    return change_options(setting, "retriever", ["metric"], lambda _: {"metric": similarity})


def _without_filter(setting: Setting) -> Change:
    """Every query without its filter: what it would gain at most were the filter mended."""
    filtered = sum(query.filter is not None for query in setting.queries)
    if not filtered:
        raise DoesNotApply("no query has a filter")
    queries = tuple(replace(query, filter=None) for query in setting.queries)
    return Change(setting.pipeline, queries, f"{filtered} of {len(queries)} queries without their filter")


def _without_threshold(setting: Setting) -> Change:
    """The hits of the retriever inside, however low their scores."""

    def becomes(part: Any) -> object:
        return part.retriever if has_field(part, "min_score") and has_field(part, "retriever") else part

    why_not = (
        f"{type(setting.pipeline.retriever).__name__} is not around a retriever whose hits it drops by score"
    )
    return replacing(setting, "retriever", becomes, why_not=why_not)


def _equal_fusion(setting: Setting) -> Change:
    """Arms fused by their ranks, all of one weight."""
    return change_options(
        setting, "retriever", ["fusion", "weights"], lambda _: {"fusion": "rrf", "weights": None}
    )


def _deeper_fusion(setting: Setting) -> Change:
    """Arms that are asked for four times as many hits."""
    n, most = setting.pipeline.n, len(setting.chunks)

    def choose(part: Any) -> Mapping[str, object]:
        depth = part.depth or n
        return {"depth": max(depth, min(_MORE * depth, most))}

    return change_options(setting, "retriever", ["fusion", "depth"], choose)


def _codes(stage: str, *causes: str) -> Iterator[str]:
    return (f"{stage}.{cause}" for cause in causes)


_EMBEDDER_MISSES_WORDS = tuple(
    _codes(
        "embedder",
        "near_duplicates",
        "hubs",
        "numbers_or_entities",
        "lexical_gap",
        "anisotropy",
        "ranked_low",
    )
)
_INDEX_MISSES = tuple(
    _codes(
        "retriever", "missing_from_index", "stale_vectors", "metric", "unreachable", "approximate", "missed"
    )
)

REMEDIES = (
    Remedy("prompts", "embedder", ("embedder.missing_prompt",), _prompts),
    Remedy("hybrid", "retriever", _EMBEDDER_MISSES_WORDS, _hybrid),
    Remedy(
        "more_candidates",
        "retriever",
        ("embedder.depth", "embedder.crowding", "embedder.ranked_low"),
        _more_candidates,
    ),
    Remedy(
        "wider_search",
        "retriever",
        tuple(_codes("retriever", "unreachable", "approximate", "missed")),
        _wider_search,
    ),
    Remedy("exact_search", "retriever", _INDEX_MISSES, _exact_search),
    Remedy("own_metric", "retriever", ("retriever.metric",), _own_metric),
    Remedy("without_filter", "queries", ("retriever.filter", "retriever.missed"), _without_filter),
    Remedy("without_threshold", "retriever", ("retriever.threshold", "retriever.missed"), _without_threshold),
    Remedy("equal_fusion", "retriever", ("retriever.fusion", "retriever.missed"), _equal_fusion),
    Remedy("deeper_fusion", "retriever", ("retriever.fusion", "retriever.missed"), _deeper_fusion),
)
