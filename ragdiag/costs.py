"""What a run took: seconds, counts and tokens by stage, and the latency of single queries.

Costs stand beside a trace. They differ from run to run and take part in no comparison and in no file that
must be the same twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from ragdiag.stages.protocols import Embedder

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Costs", "StageCost", "WorkEstimate", "count_tokens"]


@dataclass(frozen=True, slots=True)
class StageCost:
    """What one stage did in one run.

    Attributes:
        stage: the pipeline's argument name; the embedder and the retriever have two rows, one for the
            index and one for the queries.
        work: what was done.
        count: how many of them.
        seconds: wall-clock time of all calls together.
        tokens: what went in, where the embedder can count.
    """

    stage: str
    work: str
    count: int
    seconds: float
    tokens: int | None = None


@dataclass(slots=True)
class Costs:
    """The costs of a run by stage, and the latency of single queries where it was measured."""

    stages: list[StageCost] = field(default_factory=list)
    latency: Mapping[str, Sequence[float]] = field(default_factory=dict)

    @contextmanager
    def measure(self, stage: str, work: str, count: int, tokens: int | None = None) -> Iterator[None]:
        """Time what runs inside and add it as one row."""
        began = perf_counter()
        yield
        self.stages.append(StageCost(stage, work, count, perf_counter() - began, tokens))

    def table(self) -> pd.DataFrame:
        """A row for each piece of work: ``stage, work, count, tokens, seconds``."""
        import pandas as pd

        rows = [(c.stage, c.work, c.count, c.tokens, c.seconds) for c in self.stages]
        table = pd.DataFrame(rows, columns=["stage", "work", "count", "tokens", "seconds"])
        return table.astype({"tokens": "Int64"})

    def latency_table(self) -> pd.DataFrame:
        """Milliseconds for a single query, by stage and in total: ``stage, p50, p95, n``."""
        import pandas as pd

        rows = [
            (stage, 1e3 * np.quantile(seconds, 0.5), 1e3 * np.quantile(seconds, 0.95), len(seconds))
            for stage, seconds in self.latency.items()
        ]
        return pd.DataFrame(rows, columns=["stage", "p50", "p95", "n"])


@dataclass(frozen=True, slots=True)
class WorkEstimate:
    """What a run will ask of the plugs, before anything is paid for.

    Attributes:
        documents: how many are chunked.
        chunks: how many chunks that makes.
        queries: how many questions.
        texts: distinct chunk texts plus queries to embed; 0 without an embedder.
        tokens: in those texts; None where the embedder does not count.
        pairs: query-chunk pairs to rerank, at most; 0 without a reranker.
    """

    documents: int
    chunks: int
    queries: int
    texts: int
    tokens: int | None
    pairs: int


def count_tokens(embedder: Embedder, texts: Sequence[str]) -> int | None:
    """Tokens that an embedder sees in ``texts`` together, or None where it does not count."""
    if not hasattr(embedder, "count_tokens"):
        return None
    return int(sum(embedder.count_tokens(texts)))
