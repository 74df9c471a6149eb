"""A pipeline from a TOML file.

    candidates = 50
    top_k = 5

    [chunker]
    kind = "markdown"
    size = 800

    [embedder]
    kind = "static"

    [retriever]
    kind = "hybrid"
    [[retriever.arms]]
    kind = "faiss"
    [[retriever.arms]]
    kind = "bm25"

A table is a stage. Its ``kind`` names one of this library's, or any class or function by its import path
(``"package.module:Name"``, which is imported and called: read only files that you trust); its other keys
are the options of that class, by their names. Inside a table, ``embedder``, ``retriever``, ``arms``,
``packers``, ``parents`` and ``children`` are stages of their own. An option that takes a token counter may
say ``"embedder"``, for the tokenizer of the pipeline's embedder; a stage that must have an embedder and
names none gets the pipeline's.
"""

from __future__ import annotations

import importlib
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragdiag.errors import ConfigError, RagdiagError
from ragdiag.formats.jsonl import located
from ragdiag.stages import protocols

if TYPE_CHECKING:
    from ragdiag.pipeline import Pipeline
    from ragdiag.stages.protocols import Embedder

__all__ = ["read_pipeline", "read_plug", "read_settings"]

_KINDS: dict[str, dict[str, str]] = {
    "chunker": {
        "recursive": "ragdiag.stages.chunkers.recursive:RecursiveChunker",
        "markdown": "ragdiag.stages.chunkers.markdown:MarkdownChunker",
        "token": "ragdiag.stages.chunkers.token:TokenChunker",
        "sentence": "ragdiag.stages.chunkers.sentence:SentenceChunker",
        "semantic": "ragdiag.stages.chunkers.semantic:SemanticChunker",
        "parent-child": "ragdiag.stages.chunkers.parent_child:ParentChildChunker",
    },
    "embedder": {
        "static": "ragdiag.stages.embedders.static:StaticEmbedder",
        "hashing": "ragdiag.stages.embedders.hashing:HashingEmbedder",
        "sentence-transformer": "ragdiag.stages.embedders.sentence_transformer:SentenceTransformerEmbedder",
        "minilm": "ragdiag.stages.embedders.sentence_transformer:SentenceTransformerEmbedder.packaged_minilm",
    },
    "retriever": {
        "exact": "ragdiag.stages.retrievers.exact:ExactRetriever",
        "faiss": "ragdiag.stages.retrievers.faiss_index:FaissRetriever",
        "bm25": "ragdiag.stages.retrievers.bm25:BM25Retriever",
        "saved-faiss": "ragdiag.stages.retrievers.saved_faiss:SavedFaissRetriever",
        "hybrid": "ragdiag.stages.retrievers.hybrid:HybridRetriever",
        "threshold": "ragdiag.stages.retrievers.threshold:ThresholdRetriever",
        "mmr": "ragdiag.stages.retrievers.mmr:MMRRetriever",
        "distinct": "ragdiag.stages.retrievers.distinct:DistinctRetriever",
    },
    "reranker": {
        "late-interaction": "ragdiag.stages.rerankers:LateInteractionReranker",
        "cross-encoder": "ragdiag.stages.rerankers:CrossEncoderReranker",
    },
    "packer": {
        "top-k": "ragdiag.stages.packers:TopK",
        "token-budget": "ragdiag.stages.packers:TokenBudget",
        "duplicate-filter": "ragdiag.stages.packers:DuplicateFilter",
        "near-duplicate-filter": "ragdiag.stages.packers:NearDuplicateFilter",
        "prompt-order": "ragdiag.stages.packers:PromptOrder",
        "chain": "ragdiag.stages.packers:PackerChain",
    },
}

# Options that hold a stage, or a list of them, and of which kind.
_NESTED = {**{stage: stage for stage in protocols.STAGES}, "parents": "chunker", "children": "chunker"}
_LISTED = {"arms": "retriever", "packers": "packer"}


def read_pipeline(path: str | Path) -> Pipeline:
    """The pipeline that a TOML file describes (see this module's beginning for its form).

    Models are not loaded, and no index is built, before the pipeline runs.

    Raises:
        ConfigError: the file cannot be read, is not UTF-8 or not TOML, or a key is missing, unknown (the
            closest known one is named) or of the wrong type; a ``kind`` cannot be imported or is no such
            stage; a stage refuses its options. The message names the file and the dotted key.
        MissingExtraError: a stage needs a package that is not installed.
    """
    from ragdiag.formats.options import call  # pydantic is heavy
    from ragdiag.pipeline import Pipeline

    with located(str(path)):
        settings = read_settings(Path(path))
        embedder = read_plug("embedder", settings["embedder"], None) if "embedder" in settings else None
        stages = {
            name: embedder if name == "embedder" else read_plug(name, settings[name], embedder)
            for name in protocols.STAGES
            if name in settings
        }
        return call(Pipeline, {**settings, **stages}, "")


def read_settings(path: Path) -> dict[str, Any]:
    """What a TOML file says.

    Raises:
        ConfigError: it cannot be read, is not UTF-8 or not TOML; the message leaves its name to the caller.
    """
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"not UTF-8: {error.reason} at offset {error.start} of the file") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"not valid TOML: {error}") from error


def read_plug(name: str, table: object, embedder: Embedder | None, place: str = "") -> Any:
    """The plug that a table describes.

    Args:
        name: of the stage.
        table: what stands in the file.
        embedder: the pipeline's, in whose tokens sizes may be counted.
        place: the dotted key of the table, for errors; the stage's name where not given.

    Raises:
        ConfigError, MissingExtraError: as `read_pipeline`.
    """
    from ragdiag.formats.options import call, parameters_of, takes_counter  # pydantic is heavy

    place = place or name
    if not isinstance(table, dict):
        raise ConfigError(f"{place}: expected a table with a kind, got {table!r}")
    kind = table.get("kind")
    with located(f"{place}.kind"):
        target = _target(name, kind)
        parameters = parameters_of(target)
    options = {
        option: _option(option, value, embedder, f"{place}.{option}")
        for option, value in table.items()
        if option != "kind"
    }
    for option, parameter in parameters.items():
        if option == "embedder" and option not in options and parameter.default is parameter.empty:
            if embedder is None:
                raise ConfigError(
                    f"{place}.embedder: is missing: {kind!r} needs an embedder, and the pipeline has none"
                )
            options[option] = embedder
        elif options.get(option) == "embedder" and takes_counter(parameter):
            options[option] = _counter(embedder, f"{place}.{option}")
    stage = call(target, options, place)
    protocol = protocols.PROTOCOLS[name]
    missing = [method for method in vars(protocol) if method[0] != "_" and not hasattr(stage, method)]
    if missing:
        raise ConfigError(f"{place}.kind: {kind!r} makes no {name}: it has no {', '.join(missing)}()")
    return stage


def _option(option: str, value: object, embedder: Embedder | None, place: str) -> object:
    """An option's value, with a stage in place of each table that describes one."""
    if option in _LISTED and isinstance(value, list):
        return [read_plug(_LISTED[option], part, embedder, f"{place}[{at}]") for at, part in enumerate(value)]
    if option in _NESTED and isinstance(value, dict):
        return read_plug(_NESTED[option], value, embedder, place)
    return value


def _counter(embedder: Embedder | None, place: str) -> Embedder:
    if embedder is None:
        raise ConfigError(f"{place}: is 'embedder', and the pipeline has none")
    if not hasattr(embedder, "count_tokens"):
        raise ConfigError(f"{place}: is 'embedder', and {embedder!r} has no count_tokens()")
    return embedder


def _target(stage: str, kind: object) -> Callable[..., Any]:
    """The class or function that a kind names."""
    known = _KINDS[stage]
    if not isinstance(kind, str):
        came = "is missing" if kind is None else f"expected a string, got {kind!r}"
        raise ConfigError(f"{came}; one of {', '.join(map(repr, known))}, or 'package.module:Name'")
    if kind not in known and ":" not in kind:
        from ragdiag.formats.problems import unknown_name  # pydantic is heavy

        raise ConfigError(
            f"{kind!r} is not known; {unknown_name(kind, list(known))} "
            "(a class of your own is named 'package.module:Name')"
        )
    module, _, name = known.get(kind, kind).partition(":")
    try:
        target: Any = importlib.import_module(module)
    except RagdiagError:
        raise
    except Exception as error:  # a module from elsewhere may raise anything
        raise ConfigError(f"cannot import {module!r}: {type(error).__name__}: {error}") from error
    for step in name.split("."):
        if not hasattr(target, step):
            raise ConfigError(f"cannot import {kind!r}: {target!r} has no {step!r}")
        target = getattr(target, step)
    if not callable(target):
        raise ConfigError(f"{kind!r} is neither a class nor a function: {target!r}")
    return target  # type: ignore[no-any-return]
