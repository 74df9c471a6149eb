"""What a line of ``documents.jsonl`` and of ``queries.jsonl`` may say.

Imports pydantic, so it is itself imported inside the functions that read a file. Nothing is coerced and
no unknown field is let through. Strings carry no constraint of pydantic's: those refuse lone surrogates,
which a text may hold; the records check what is left.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Discriminator, Tag, ValidationError

from ragdiag.errors import DataError
from ragdiag.formats.jsonl import located, read_lines
from ragdiag.formats.problems import describe

__all__ = ["AnyOf", "DocumentLine", "IdLine", "Part", "QueryLine", "check_line", "read_entries"]


class _Line(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class IdLine(_Line):
    """A line that no other of its file may share its id with."""

    id: str


class DocumentLine(IdLine):
    """A line of ``documents.jsonl``."""

    text: str
    metadata: dict[str, Any] = {}


class Part(_Line):
    """A span by its offsets, by its quote, or both; a whole document where neither is given."""

    doc_id: str
    start: int | None = None
    end: int | None = None
    quote: str | None = None


def _shape(unit: object) -> str:
    if isinstance(unit, list):
        return "all"
    return "alternatives" if isinstance(unit, dict) and "any_of" in unit else "part"


def _shape_inside(unit: object) -> str:
    return "all" if isinstance(unit, list) else "part"


class AnyOf(_Line):
    """Alternatives, each a part or a list of parts that are needed together."""

    any_of: list[
        Annotated[
            Annotated[Part, Tag("part")] | Annotated[list[Part], Tag("all")], Discriminator(_shape_inside)
        ]
    ]


Unit = Annotated[
    Annotated[Part, Tag("part")] | Annotated[list[Part], Tag("all")] | Annotated[AnyOf, Tag("alternatives")],
    Discriminator(_shape),
]


class QueryLine(IdLine):
    """A line of ``queries.jsonl``."""

    text: str
    evidence: list[Unit] = []
    filter: dict[str, Any] | None = None
    answerable: bool = True
    metadata: dict[str, Any] = {}


LineT = TypeVar("LineT", bound=IdLine)


def read_entries(path: str | Path, model: type[LineT]) -> Iterator[tuple[str, LineT]]:
    """The lines of a file as ``model``, each with its place, such as ``"queries.jsonl:3"``.

    Raises:
        DataError: naming the file, the line and the field; also where two lines have the same id.
    """
    first_at: dict[str, int] = {}
    for number, line in read_lines(path):
        place = f"{path}:{number}"
        with located(place):
            entry = check_line(model, line)
            if entry.id in first_at:
                field = _names(model)[0]
                raise DataError(f"{field}: {entry.id!r} is already the {field} of line {first_at[entry.id]}")
        first_at[entry.id] = number
        yield place, entry


def check_line(model: type[LineT], line: dict[str, Any]) -> LineT:
    """``line`` as a ``model``.

    Raises:
        DataError: naming each field that is missing, unknown or of the wrong type.
    """
    try:
        return model.model_validate(line)
    except ValidationError as error:
        unit = (*Part.model_fields, *AnyOf.model_fields) if model is QueryLine else ()
        raise DataError(describe(error, line, names=_names(model), inner=unit)) from error


def _names(model: type[IdLine]) -> list[str]:
    """The fields as they stand in a file, the id first."""
    return [field.alias or name for name, field in model.model_fields.items()]
