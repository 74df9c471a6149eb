"""A baseline to and from its file: one JSON object, with a line for each query.

The last field is a digest of all others, so that a value that was changed by hand or by a merge is found.
Imports pydantic, so it is itself imported inside the functions that use a file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ragdiag.errors import DataError
from ragdiag.experiments.gate.baseline import Baseline, BaselineQuery, Corpus
from ragdiag.experiments.sweep.keys import digest
from ragdiag.files import open_atomically

__all__ = ["read_baseline", "write_baseline"]

_FORMAT, _VERSION = "ragdiag-baseline", 1


def write_baseline(baseline: Baseline, path: str | Path) -> None:
    """Write a baseline; the same one gives the same bytes.

    Raises:
        DataError: the file cannot be written.
    """
    fields = {"format": _FORMAT, "version": _VERSION, **asdict(baseline)}
    fields["digest"] = _digest_of(fields)
    # Escaped, since UTF-8 cannot hold the lone surrogates that an id may have.
    lines = [f" {json.dumps(name)}: {_written(name, value)}" for name, value in fields.items()]
    with open_atomically(path) as file:
        file.write(("{\n" + ",\n".join(lines) + "\n}\n").encode("ascii"))


def read_baseline(path: str | Path) -> Baseline:
    """The baseline that a file holds.

    Raises:
        DataError: the file cannot be read, is damaged or was changed, is something else, or is of a version
            that this release does not read; the message names the file and the field.
    """
    from ragdiag.formats.jsonl import located

    value = _parse(path)
    with located(str(path)):
        return _baseline(value)


def _written(name: str, value: Any) -> str:
    if name != "queries":
        return json.dumps(value)
    return "[\n" + ",\n".join(f"  {json.dumps(query)}" for query in value) + "\n ]"


def _digest_of(fields: Mapping[str, Any]) -> str:
    return digest({name: value for name, value in fields.items() if name != "digest"})


def _parse(path: str | Path) -> dict[str, Any]:
    from ragdiag.formats.jsonl import text_lines

    text = "\n".join(line for _, line in text_lines(path))
    try:
        value, end = json.JSONDecoder().raw_decode(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{path}: not valid JSON: {error.msg} at line {error.lineno}") from error
    except RecursionError as error:
        raise DataError(f"{path}: not valid JSON: nested too deeply") from error
    found = value.get("format") if isinstance(value, dict) else None
    if found != _FORMAT:  # before what follows: a saved diagnosis has more than one line
        raise DataError(
            f"{path}: format: expected {_FORMAT!r}, got {found!r}; a baseline is written by Baseline.save or "
            "ragdiag gate --save-baseline"
        )
    if text[end:].strip():
        raise DataError(f"{path}: expected one JSON object, and more text follows it")
    return dict(value)


def _baseline(value: dict[str, Any]) -> Baseline:
    from ragdiag.formats.problems import describe

    if value.get("version") != _VERSION:
        raise DataError(
            f"version: this release of ragdiag reads version {_VERSION} of {_FORMAT}, got "
            f"{value.get('version')!r}; make the baseline anew"
        )
    try:
        file = _File.model_validate(value)
    except ValidationError as error:
        raise DataError(
            describe(error, value, names=tuple(_File.model_fields), inner=tuple(_Query.model_fields))
        ) from error
    _check_lengths(file)
    if file.digest != _digest_of(value):
        raise DataError("digest: is not that of the other fields: the file was changed after it was written")
    return Baseline(
        made_by={str(name): version for name, version in file.made_by.items()},
        min_coverage=file.min_coverage,
        copies=file.copies,
        corpus=Corpus(file.corpus.digest, file.corpus.documents, file.corpus.characters),
        pipeline={str(stage): shown for stage, shown in file.pipeline.items()},
        candidates=file.candidates,
        top_k=file.top_k,
        proven=file.proven,
        measures=tuple(file.measures),
        stages=tuple(file.stages),
        queries=tuple(
            BaselineQuery(q.id, q.digest, tuple(q.values), tuple(q.losses), tuple(q.fates))
            for q in file.queries
        ),
    )


def _check_lengths(file: _File) -> None:
    for at, query in enumerate(file.queries):
        for name, numbers, of in (("values", query.values, "measures"), ("losses", query.losses, "stages")):
            expected = len(getattr(file, of))
            if len(numbers) != expected:
                raise DataError(
                    f"queries[{at}].{name}: expected {expected} numbers, as many as there are {of}, got "
                    f"{len(numbers)}"
                )


# What the file may say. Nothing is coerced, and strings carry no constraint (those refuse lone surrogates).

_Fate = Literal["delivered", "ingest", "chunker", "capacity", "embedder", "retriever", "reranker", "packer"]
_LossStage = Literal["ingest", "chunker", "capacity", "embedder", "retriever", "reranker", "packer"]
_Stage = Literal["chunker", "embedder", "retriever", "reranker", "packer"]
_Positive = Annotated[int, Field(ge=1)]


class _Record(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class _Corpus(_Record):
    digest: str
    documents: _Positive
    characters: _Positive


class _Query(_Record):
    id: str
    digest: str
    values: list[Annotated[float, Field(ge=0, le=1)]]
    losses: list[Annotated[float, Field(ge=-1, le=1)]]
    fates: Annotated[list[_Fate], Field(min_length=1)]


class _File(_Record):
    format: str
    version: int
    made_by: dict[Literal["ragdiag", "python", "numpy"], str]
    min_coverage: Annotated[float, Field(gt=0, le=1)]
    copies: bool
    corpus: _Corpus
    pipeline: dict[_Stage, str]
    candidates: _Positive
    top_k: _Positive
    proven: bool
    measures: list[str]
    stages: list[_LossStage]
    queries: Annotated[list[_Query], Field(min_length=1)]
    digest: str
