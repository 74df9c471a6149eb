"""What a line of BEIR's ``corpus.jsonl`` and ``queries.jsonl`` may say.

Imports pydantic, so it is itself imported inside the functions that read a file. As in `lines`, nothing is
coerced, no unknown field is let through, and strings carry no constraint (those refuse lone surrogates).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ragdiag.errors import DataError
from ragdiag.formats.jsonl import located, read_lines
from ragdiag.formats.problems import describe

__all__ = ["CorpusLine", "QueryLine", "read_beir_lines"]


class QueryLine(BaseModel):
    """A line of ``queries.jsonl``."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    id: str = Field(alias="_id")
    text: str
    metadata: dict[str, Any] = Field(default_factory=dict)


class CorpusLine(QueryLine):
    """A line of ``corpus.jsonl``."""

    title: str = ""


LineT = TypeVar("LineT", bound=QueryLine)


def read_beir_lines(path: str | Path, model: type[LineT]) -> Iterator[tuple[str, LineT]]:
    """The lines of a file as ``model``, each with its place, such as ``"corpus.jsonl:3"``.

    Raises:
        DataError: naming the file, the line and the field; also where two lines have the same id.
    """
    names = [field.alias or name for name, field in model.model_fields.items()]
    first_at: dict[str, int] = {}
    for number, line in read_lines(path):
        place = f"{path}:{number}"
        with located(place):
            try:
                entry = model.model_validate(line)
            except ValidationError as error:
                raise DataError(describe(error, line, names=names)) from error
            first = first_at.setdefault(entry.id, number)
            if first != number:
                raise DataError(f"_id: {entry.id!r} is already the _id of line {first}")
        yield place, entry
