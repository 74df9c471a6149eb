"""Remedies that cut the documents in another way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ragdiag.experiments.parts import has_field, parts_of
from ragdiag.experiments.remedies.headings import HeadedChunker
from ragdiag.experiments.remedies.remedy import (
    Change,
    DoesNotApply,
    Remedy,
    Setting,
    change_options,
    change_plug,
)
from ragdiag.stages.chunkers import MarkdownChunker, SentenceChunker
from ragdiag.stages.chunkers.sections import read_sections

__all__ = ["REMEDIES"]


def _overlap(setting: Setting) -> Change:
    """Twice the overlap, at least a quarter of the size and at most half of it."""

    def choose(part: Any) -> Mapping[str, object]:
        return {"overlap": max(part.overlap, min(max(2 * part.overlap, part.size // 4), part.size // 2))}

    return change_options(setting, "chunker", ["overlap", "size"], choose)


def _smaller_chunks(setting: Setting) -> Change:
    """Half of the size, and half of what overlaps."""

    def choose(part: Any) -> Mapping[str, object]:
        size = max(part.size // 2, 1)
        if not has_field(part, "overlap"):
            return {"size": size}
        return {"size": size, "overlap": min(part.overlap // 2, size - 1)}

    return change_options(setting, "chunker", ["size"], choose)


def _larger_chunks(setting: Setting) -> Change:
    """Twice the size."""
    return change_options(setting, "chunker", ["size"], lambda part: {"size": 2 * part.size})


def _structure_aware_chunks(setting: Setting) -> Change:
    """Chunks as large as they are, cut at headings where there are any, else between sentences."""
    chunker: Any = setting.pipeline.chunker
    if any(has_field(part, "heading_path") for part in parts_of("chunker", chunker)):
        raise DoesNotApply(f"{type(chunker).__name__} cuts at headings already")
    headings = any(section.path for document in setting.documents for section in read_sections(document.text))
    if not headings and any(has_field(part, "sentences") for part in parts_of("chunker", chunker)):
        raise DoesNotApply(
            f"no document has a heading, and {type(chunker).__name__} cuts between sentences already"
        )
    kind = MarkdownChunker if headings else SentenceChunker
    if has_field(chunker, "size"):
        options = {name: getattr(chunker, name) for name in ("overlap", "unit") if has_field(chunker, name)}
        new = kind(chunker.size, **options)
    else:
        new = kind(max(len(chunk.text) for chunk in setting.chunks))
    return change_plug(setting, "chunker", new, f"{new!r} in place of {chunker!r}")


def _heading_prefix(setting: Setting) -> Change:
    """The path of headings, or the title, before what is embedded and searched."""
    chunker = setting.pipeline.chunker
    if any(has_field(part, "heading_path") for part in parts_of("chunker", chunker)):
        return change_options(setting, "chunker", ["heading_path"], lambda _: {"heading_path": True})
    if any(isinstance(part, HeadedChunker) for part in parts_of("chunker", chunker)):
        raise DoesNotApply(f"{type(chunker).__name__} puts titles before its chunks already")
    headed = HeadedChunker(chunker)
    texts = {chunk.id: chunk.index_text for chunk in setting.chunks}
    if not any(
        chunk.index_text != texts.get(chunk.id)
        for document in setting.documents
        for chunk in headed.chunk(document)
    ):
        raise DoesNotApply("no chunk stands under a heading or a title that it does not hold itself")
    return change_plug(setting, "chunker", headed, f"{headed!r} in place of {chunker!r}")


REMEDIES = (
    Remedy("overlap", "chunker", ("chunker.split",), _overlap),
    Remedy(
        "smaller_chunks",
        "chunker",
        (
            "chunker.oversize",
            "embedder.truncated",
            "embedder.ranked_low",
            "reranker.truncated",
            "packer.budget",
            "capacity.budget",
        ),
        _smaller_chunks,
    ),
    Remedy(
        "larger_chunks",
        "chunker",
        ("chunker.split", "chunker.too_small", "capacity.k"),
        _larger_chunks,
    ),
    Remedy(
        "structure_aware_chunks",
        "chunker",
        (
            "chunker.dropped_text",
            "chunker.too_small",
            "chunker.split",
            "chunker.oversize",
            "embedder.orphan_context",
        ),
        _structure_aware_chunks,
    ),
    Remedy(
        "heading_prefix",
        "chunker",
        ("embedder.orphan_context", "embedder.near_duplicates", "embedder.ranked_low"),
        _heading_prefix,
    ),
)
