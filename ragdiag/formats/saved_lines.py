"""What the lines of a saved trace and of a saved diagnosis may say; `saved_file` walks through them.

Imports pydantic, so it is itself imported inside the functions that read a file. As in `lines`, nothing is
coerced, no unknown field is let through, and strings carry no constraint (those refuse lone surrogates).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Strict,
    Tag,
)
from pydantic_core import PydanticCustomError

from ragdiag.diagnosis.checks.catalog import CAUSES, FLAGS
from ragdiag.diagnosis.checks.check import Status
from ragdiag.diagnosis.verdicts import Outcome, Proof, Sureness, VoidBy

__all__ = [
    "CheckLine",
    "ChunkLine",
    "ChunkRecord",
    "DiagnosisHeader",
    "DocumentLine",
    "EffortRecord",
    "ExactLine",
    "FindingRecord",
    "QueryLine",
    "QueryTraceLine",
    "SavedLine",
    "SavedRecord",
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


def _code_in(*catalogs: Collection[str]) -> BeforeValidator:
    """Checks for the code of a cause in one of the catalogs."""

    def check(value: object) -> object:
        if any(isinstance(value, str) and value in catalog for catalog in catalogs):
            return value
        raise PydanticCustomError("code", "Input should be the code of a known cause")

    return BeforeValidator(check)


# A JSON array is a list, which a strict tuple would refuse; what stands in it stays strict.
_AnyList = Strict(strict=False)
SpanTuple = Annotated[tuple[str, int, int], _AnyList, _list_of("document id", "start", "end")]
WholeTuple = Annotated[tuple[str], _AnyList, _list_of("document id")]
HitTuple = Annotated[tuple[str, float], _AnyList, _list_of("chunk id", "score")]
RankTuple = Annotated[tuple[str, Positive], _AnyList, _list_of("chunk id", "rank")]


class SavedRecord(BaseModel):
    """What stands in a saved file."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class SavedLine(SavedRecord):
    """A line after the header."""

    kind: ClassVar[str]
    identity: ClassVar[str] = "id"
    """The field that no two lines of the kind may share."""


class TraceHeader(SavedRecord):
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


class ChunkRecord(SavedRecord):
    """A chunk."""

    id: str
    spans: list[SpanTuple]
    text: str
    index_text: str | None = None
    metadata: dict[str, Any] = {}


class ChunkLine(ChunkRecord, SavedLine):
    """A chunk of the corpus, with its tokens and its vector where the trace has them."""

    kind: ClassVar[str] = "chunk"

    tokens: Count | None = None
    vector: str | None = None


def _shape(value: object) -> str:
    return "chunk" if isinstance(value, dict) else "id"


class QueryTraceLine(SavedLine):
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


class EffortRecord(SavedRecord):
    """What the re-runs took."""

    texts: Count
    pairs: Count
    searches: Count
    indexes: Count
    limit: Count | None
    unproven: Count


class DiagnosisHeader(SavedRecord):
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
    checks: Count


class DocumentLine(SavedLine):
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


class QueryLine(SavedLine):
    """A query; its evidence is a list of units, each a list of alternatives, each a list of parts."""

    kind: ClassVar[str] = "query"

    id: str
    text: str
    evidence: list[list[list[PartTuple]]] = []
    filter: dict[str, Any] | None = None
    answerable: bool = True
    metadata: dict[str, Any] = {}


class ExactLine(SavedLine):
    """The exact search for one assessed query."""

    kind: ClassVar[str] = "exact"
    identity: ClassVar[str] = "query_id"

    query_id: str
    ranks: list[RankTuple]
    candidates: list[str]
    order: list[str]


class TrialRecord(SavedRecord):
    """One re-run."""

    ideal: list[str]
    outcome: Outcome
    coverage: Annotated[float, Field(ge=0, le=1)] | None
    note: str
    variant: str
    void_by: VoidBy | None
    lost_at: str | None


class FindingRecord(SavedRecord):
    """A named cause, seen at the unit."""

    code: Annotated[str, _code_in(CAUSES)]
    observation: str
    sureness: Sureness


class VerdictLine(SavedLine):
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
    findings: list[FindingRecord]


class CheckLine(SavedLine):
    """What became of a check for a named cause."""

    kind: ClassVar[str] = "check"
    identity: ClassVar[str] = "code"

    code: Annotated[str, _code_in(CAUSES, FLAGS)]
    status: Status
    looked_at: Count
    found: Count
    why: str
