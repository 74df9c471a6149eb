"""What the lines of a saved trace and of a saved diagnosis may say, and the walk through them.

A saved file is a header, which names its format and version and how many lines of each kind follow, and then
the lines, kind by kind, each with its ``"kind"``. So a file that is cut off between two lines shows it.

Imports pydantic, so it is itself imported inside the functions that read a file. As in `lines`, nothing is
coerced, no unknown field is let through, and strings carry no constraint (those refuse lone surrogates).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Strict,
    Tag,
    ValidationError,
)
from pydantic_core import PydanticCustomError

from ragdiag.diagnosis.verdicts import Outcome, Proof, VoidBy
from ragdiag.errors import DataError
from ragdiag.formats.jsonl import located, read_lines
from ragdiag.formats.problems import describe

__all__ = [
    "ChunkLine",
    "ChunkRecord",
    "DiagnosisHeader",
    "DocumentLine",
    "EffortRecord",
    "ExactLine",
    "QueryLine",
    "QueryTraceLine",
    "SavedFile",
    "SourceLine",
    "TraceHeader",
    "TrialRecord",
    "VerdictLine",
]

Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]


def _list_of(*items: str) -> BeforeValidator:
    """Checks for a list of as many items; what stands in it is for the tuple to check."""

    def check(value: object) -> object:
        if isinstance(value, list) and len(value) == len(items):
            return value
        raise PydanticCustomError("items", f"Input should be a list of {', '.join(items)}")

    return BeforeValidator(check)


# A JSON array is a list, which a strict tuple would refuse; what stands in it stays strict.
_AnyList = Strict(strict=False)
SpanTuple = Annotated[tuple[str, int, int], _AnyList, _list_of("document id", "start", "end")]
WholeTuple = Annotated[tuple[str], _AnyList, _list_of("document id")]
HitTuple = Annotated[tuple[str, float], _AnyList, _list_of("chunk id", "score")]
RankTuple = Annotated[tuple[str, Positive], _AnyList, _list_of("chunk id", "rank")]


class _Saved(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class _Line(_Saved):
    kind: ClassVar[str]
    identity: ClassVar[str] = "id"
    """The field that no two lines of the kind may share."""


class TraceHeader(_Saved):
    """The first line of a trace."""

    format: str
    version: int
    stages: dict[Literal["chunker", "embedder", "retriever", "reranker", "packer"], str]
    candidates: Positive
    top_k: Positive
    similarity: Literal["cosine", "dot", "l2"] | None
    budget: Count | None
    dimensions: Positive | None
    tokens: bool
    chunks: Count
    queries: Count


class ChunkRecord(_Saved):
    """A chunk."""

    id: str
    spans: list[SpanTuple]
    text: str
    index_text: str | None = None
    metadata: dict[str, Any] = {}


class ChunkLine(ChunkRecord, _Line):
    """A chunk of the corpus, with its tokens and its vector where the trace has them."""

    kind: ClassVar[str] = "chunk"

    tokens: Count | None = None
    vector: str | None = None


def _shape(value: object) -> str:
    return "chunk" if isinstance(value, dict) else "id"


class QueryTraceLine(_Line):
    """One query's way; a chunk of the context is an id, or the chunk itself where it was shortened."""

    kind: ClassVar[str] = "query_trace"
    identity: ClassVar[str] = "query_id"

    query_id: str
    vector: str | None = None
    retrieved: list[HitTuple]
    reranked: list[HitTuple] | None
    context: list[
        Annotated[Annotated[str, Tag("id")] | Annotated[ChunkRecord, Tag("chunk")], Discriminator(_shape)]
    ]


class EffortRecord(_Saved):
    """What the re-runs took."""

    texts: Count
    pairs: Count
    searches: Count
    indexes: Count
    limit: Count | None
    unproven: Count


class DiagnosisHeader(_Saved):
    """The first line of a diagnosis."""

    format: str
    version: int
    min_coverage: Annotated[float, Field(gt=0, le=1)]
    copies: bool
    documents: Positive
    sources: Count | None
    queries: Positive
    exact: Count | None
    effort: EffortRecord | None


class DocumentLine(_Line):
    """A document."""

    kind: ClassVar[str] = "document"

    id: str
    text: str
    metadata: dict[str, Any] = {}


class SourceLine(DocumentLine):
    """An original in which evidence is anchored."""

    kind: ClassVar[str] = "source"


def _length(part: object) -> str:
    return "whole" if isinstance(part, list) and len(part) == 1 else "span"


PartTuple = Annotated[
    Annotated[SpanTuple, Tag("span")] | Annotated[WholeTuple, Tag("whole")], Discriminator(_length)
]


class QueryLine(_Line):
    """A query; its evidence is a list of units, each a list of alternatives, each a list of parts."""

    kind: ClassVar[str] = "query"

    id: str
    text: str
    evidence: list[list[list[PartTuple]]] = []
    filter: dict[str, Any] | None = None
    answerable: bool = True
    metadata: dict[str, Any] = {}


class ExactLine(_Line):
    """The exact search for one assessed query."""

    kind: ClassVar[str] = "exact"
    identity: ClassVar[str] = "query_id"

    query_id: str
    ranks: list[RankTuple]
    candidates: list[str]
    order: list[str]


class TrialRecord(_Saved):
    """One re-run."""

    ideal: list[str]
    outcome: Outcome
    coverage: Annotated[float, Field(ge=0, le=1)] | None
    note: str
    variant: str
    void_by: VoidBy | None


class VerdictLine(_Line):
    """Why a unit was lost; ``row`` is its row in the ledger."""

    kind: ClassVar[str] = "verdict"
    identity: ClassVar[str] = "row"

    row: Count
    query_id: str
    unit: Count
    stage: str
    cause: str
    proof: Proof
    repairs: list[list[str]]
    reason: str
    trials: list[TrialRecord]
    shapley: dict[str, float] | None


Header = TypeVar("Header", TraceHeader, DiagnosisHeader)
LineOf = TypeVar("LineOf", bound=_Line)
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
