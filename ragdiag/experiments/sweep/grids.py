"""Grids: the pipelines that come of every combination of some plugs and numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any, TypeAlias

from ragdiag.errors import ConfigError
from ragdiag.pipeline import Pipeline

__all__ = ["Options", "grid", "named"]

Options: TypeAlias = "Mapping[str, Any] | Sequence[Any]"
"""What a part of a pipeline may be, by name; a sequence is named by what its items show themselves as."""


def grid(
    pipeline: Pipeline,
    *,
    chunker: Options | None = None,
    embedder: Options | None = None,
    retriever: Options | None = None,
    reranker: Options | None = None,
    packer: Options | None = None,
    candidates: Options | None = None,
    top_k: Options | None = None,
) -> dict[str, Pipeline]:
    """Every combination of what is given, in place of what ``pipeline`` has there, by name.

    The names are those of the options, in the order of the flow, joined by `` | ``. None among the options of
    a stage leaves the stage out.

    Raises:
        ConfigError: nothing is varied, an empty or not uniquely named list of options, or a combination that
            is no pipeline; the message names it.

    Example:
        >>> from ragdiag import BM25Retriever, RecursiveChunker
        >>> base = Pipeline(chunker=RecursiveChunker(200), retriever=BM25Retriever())
        >>> chunkers = {"small": RecursiveChunker(100), "large": RecursiveChunker(400)}
        >>> list(grid(base, chunker=chunkers, top_k=[3, 5]))
        ['small | top_k=3', 'small | top_k=5', 'large | top_k=3', 'large | top_k=5']
    """
    given = {
        "chunker": chunker,
        "embedder": embedder,
        "retriever": retriever,
        "reranker": reranker,
        "packer": packer,
        "candidates": candidates,
        "top_k": top_k,
    }
    varied = {part: named(part, options) for part, options in given.items() if options is not None}
    if not varied:
        raise ConfigError("a grid varies at least one of: " + ", ".join(given))
    pipelines = {}
    for combination in product(*(options.items() for options in varied.values())):
        name = " | ".join(option for option, _ in combination)
        changes = {part: plug for part, (_, plug) in zip(varied, combination, strict=True)}
        try:
            pipelines[name] = replace(pipeline, **changes)
        except ConfigError as error:
            raise ConfigError(f"the combination {name!r} is no pipeline: {error}") from error
    return pipelines


def named(part: str, options: Options) -> dict[str, Any]:
    """The options of one part by their names.

    Raises:
        ConfigError: there is none, or two have one name.
    """
    if isinstance(options, Mapping):
        found = dict(options)
    else:
        names = [_name(part, option) for option in options]
        repeated = {name for name in names if names.count(name) > 1}
        if repeated:
            raise ConfigError(
                f"{part}: two options show themselves as {min(repeated)!r}: give a mapping with names"
            )
        found = dict(zip(names, options, strict=True))
    if not found:
        raise ConfigError(f"{part}: give at least one option")
    return found


def _name(part: str, option: object) -> str:
    """What an option shows itself as; a plug without the word for its stage, which goes without saying."""
    if isinstance(option, int):
        return f"{part}={option}"
    if option is None:
        return f"no {part}"
    return re.sub(rf"{part}(?=\(|$)", "", repr(option), flags=re.IGNORECASE) or repr(option)
