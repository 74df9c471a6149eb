"""The walk through the lines of a saved trace or diagnosis.

A saved file is a header, which names its format and version and how many lines of each kind follow, and then
the lines, kind by kind, each with its ``"kind"``. So a file that is cut off between two lines shows it.

Imports pydantic, so it is itself imported inside the functions that read a file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ragdiag.errors import DataError
from ragdiag.formats.jsonl import located, read_lines
from ragdiag.formats.problems import describe
from ragdiag.formats.saved_lines import ChunkRecord, DiagnosisHeader, SavedLine, TraceHeader

__all__ = ["SavedFile"]

Header = TypeVar("Header", TraceHeader, DiagnosisHeader)
LineOf = TypeVar("LineOf", bound=SavedLine)
Model = TypeVar("Model", bound=BaseModel)


class SavedFile:
    """The lines of a saved file, in order; whatever does not fit is a `DataError` with its line and field."""

    def __init__(self, path: str | Path) -> None:
        self._path = path
        self._lines = read_lines(path)
        self._number = 0

    @property
    def place(self) -> str:
        """The file and the line that was read last."""
        return f"{self._path}:{self._number}"

    def header(self, model: type[Header], name: str, version: int) -> Header:
        """The next line, which must be a header of the format ``name`` in this ``version``."""
        line = self._next(f"the header of a {name} file")
        with located(self.place):
            if line.get("format") != name:
                found = repr(line["format"]) if "format" in line else "none"
                raise DataError(f"format: expected {name!r}, got {found}")
            if line.get("version") != version:
                raise DataError(
                    f"version: this release of ragdiag reads version {version} of {name}, "
                    f"got {line.get('version')!r}; read the file with the release that wrote it"
                )
            return _check(model, line)

    def section(self, model: type[LineOf], count: int) -> Iterator[tuple[str, LineOf]]:
        """The next ``count`` lines, all of the model's kind, each with its place (file and line)."""
        first_at: dict[str, int] = {}
        for position in range(1, count + 1):
            line = self._next(f"line {position} of {count} of kind {model.kind!r}")
            with located(self.place):
                kind = line.pop("kind", None)
                if kind != model.kind:
                    raise DataError(
                        f"kind: expected {model.kind!r} ({position} of {count} by the header), got {kind!r}"
                    )
                checked = _check(model, line)
                identity = getattr(checked, model.identity)
                if identity in first_at:
                    raise DataError(
                        f"{model.identity}: {identity!r} is already that of line {first_at[identity]}"
                    )
                first_at[identity] = self._number
            yield self.place, checked

    def end(self) -> None:
        """Check that no line is left."""
        for number, _ in self._lines:
            raise DataError(f"{self._path}:{number}: expected the end of the file")

    def _next(self, expected: str) -> dict[str, Any]:
        for number, line in self._lines:
            self._number = number
            return line
        after = f"after line {self._number}" if self._number else "before any line"
        raise DataError(f"{self._path}: ends {after}, expected {expected}: the file is cut off")


def _check(model: type[Model], line: dict[str, Any]) -> Model:
    try:
        return model.model_validate(line)
    except ValidationError as error:
        raise DataError(
            describe(error, line, names=tuple(model.model_fields), inner=tuple(ChunkRecord.model_fields))
        ) from error
