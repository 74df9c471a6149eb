"""What one pipeline of a sweep is worth, query by query, in plain numbers that a file can hold.

Small beside a diagnosis: no text, no chunk and no ranking, but everything that comparisons and their
statistics need.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragdiag.errors import ConfigError
from ragdiag.measures.overlap import SpanMeasure, parse_measure

__all__ = ["CEILING", "CUT", "ChunkFacts", "Measured", "Timings"]

CEILING = "Ceiling"
"""The recall that the best k chunks within the budget could carry (`capacity` is what they lack)."""

CUT = "Cut"
"""The share of units that the chunks hold together, and no single chunk to the coverage that is needed."""

_Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ChunkFacts:
    """What a chunker made of the documents.

    Attributes:
        chunks: how many.
        unit: what their sizes are counted in: ``tokens``, or ``characters`` where nothing counts tokens.
        shortest: the least size of a chunk's text.
        lower: the quartile that a quarter of the chunks does not exceed.
        median: half of the chunks have no more.
        upper: three quarters have no more.
        longest: the most.
        over_limit: the share of chunks whose indexed text is longer than the embedder's input limit; None
            where no limit is declared or nothing counts.
        duplicates: the share of passages whose text another passage has, too.
        dropped: the share of the documents' text (whitespace aside) that no chunk holds.
        texts: how many different texts are embedded.
        tokens: in those texts, as the embedder counts; None where it does not.
        index_bytes: what the index takes in memory; None where it does not say.
    """

    chunks: int
    unit: str
    shortest: int
    lower: float
    median: float
    upper: float
    longest: int
    over_limit: float | None
    duplicates: float
    dropped: float
    texts: int
    tokens: int | None
    index_bytes: int | None


@dataclass(frozen=True, eq=False)
class Measured:
    """What one pipeline got, by query.

    Attributes:
        stages: the repr of each plug, by stage.
        candidates: n, how many chunks the retriever was asked for.
        top_k: k, how many could reach the prompt.
        query_ids: the assessed queries.
        measures: one value a query, shape (queries,): of the usual span measures by their specs, of recall at
            token budgets, and of `CEILING` and `CUT`.
        losses: what each stage loses (or, negative, regains) of recall, shape (queries,); they sum to
            1 - recall.
        noise: what each stage takes of context precision, shape (queries,).
        context_tokens: the tokens of each query's context; None where nothing counts them.
        chunks: what the chunker made.
    """

    stages: Mapping[str, str]
    candidates: int
    top_k: int
    query_ids: tuple[str, ...]
    measures: Mapping[str, _Values] = field(repr=False)
    losses: Mapping[str, _Values] = field(repr=False)
    noise: Mapping[str, _Values] = field(repr=False)
    context_tokens: _Values | None = field(repr=False)
    chunks: ChunkFacts = field(repr=False)

    def __getitem__(self, spec: str | SpanMeasure) -> _Values:
        """The values of a measure, one a query.

        Raises:
            ConfigError: it was not measured; the message lists what was.
        """
        name = spec if isinstance(spec, str) and spec in self.measures else repr(_parsed(spec))
        if name not in self.measures:
            there = ", ".join(self.measures)
            raise ConfigError(f"{name} was not measured; give it to measures=. There are: {there}")
        return self.measures[name]

    def lines(self) -> Iterator[dict[str, Any]]:
        """As JSON holds it: one line of what is the same for all queries, then one a query."""
        yield {
            "stages": dict(self.stages),
            "candidates": self.candidates,
            "top_k": self.top_k,
            "chunks": asdict(self.chunks),
            "tokens": self.context_tokens is not None,
        }
        for row, query_id in enumerate(self.query_ids):
            line: dict[str, Any] = {"id": query_id}
            for name in _TABLES:
                line[name] = {key: float(values[row]) for key, values in getattr(self, name).items()}
            if self.context_tokens is not None:
                line["tokens"] = float(self.context_tokens[row])
            yield line

    @classmethod
    def of_lines(cls, lines: Sequence[Mapping[str, Any]]) -> Measured:
        """What `lines` gave."""
        first, *queries = lines
        tables = {
            name: {key: np.array([line[name][key] for line in queries]) for key in queries[0][name]}
            for name in _TABLES
        }
        return cls(
            stages=first["stages"],
            candidates=first["candidates"],
            top_k=first["top_k"],
            query_ids=tuple(line["id"] for line in queries),
            context_tokens=np.array([line["tokens"] for line in queries]) if first["tokens"] else None,
            chunks=ChunkFacts(**first["chunks"]),
            **tables,
        )


_TABLES = ("measures", "losses", "noise")


def _parsed(spec: str | SpanMeasure) -> SpanMeasure:
    return parse_measure(spec) if isinstance(spec, str) else spec


@dataclass(frozen=True, slots=True)
class Timings:
    """What one pipeline took on the machine where it was measured; no two runs give the same.

    Attributes:
        chunker: seconds to cut the documents.
        embedder: seconds to embed the texts of the chunks, whichever run embedded them first; None without
            an embedder.
        retriever: seconds to build the index.
        latency: milliseconds that the whole pipeline takes for each of some queries, asked alone; empty
            where it was not measured.
    """

    chunker: float
    embedder: float | None
    retriever: float
    latency: tuple[float, ...] = ()

    def line(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)

    @classmethod
    def of_line(cls, line: Mapping[str, Any]) -> Timings:
        """What `line` gave."""
        return cls(**{**line, "latency": tuple(line["latency"])})

    @property
    def seconds_to_index(self) -> float:
        """All that comes before the first query."""
        return self.chunker + (self.embedder or 0.0) + self.retriever

    def percentile(self, percent: float) -> float | None:
        """Milliseconds that so many percent of the queries do not exceed; None where none was measured."""
        return float(np.percentile(self.latency, percent)) if self.latency else None
