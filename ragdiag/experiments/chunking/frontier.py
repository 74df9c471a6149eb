"""What quality costs: which chunkers give more only for more, and which are beaten on both sides."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from ragdiag.errors import ConfigError, DataError
from ragdiag.experiments.sweep import Sweep

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["COSTS", "frontier"]

COSTS: Mapping[str, str] = MappingProxyType(
    {
        "tokens": "context_tokens",
        "latency": "latency_p50_ms",
        "money": "cost_per_1000",
        "index_tokens": "index_tokens",
        "index_money": "index_cost",
        "index_bytes": "index_bytes",
    }
)
"""What may be set against quality, and the column of the table that holds it."""

_LACKING = {
    "context_tokens": "nothing in the pipeline counts tokens",
    "latency_p50_ms": "latency was not measured (latency_queries=0)",
    "cost_per_1000": "give prices for context or reranking, and a pipeline that counts tokens",
    "index_tokens": "the embedder does not count tokens",
    "index_cost": "give a price for embedding, and an embedder that counts tokens",
    "index_bytes": "the index does not say what it takes",
}


def frontier(sweep: Sweep, table: pd.DataFrame, spec: str, cost: str) -> pd.DataFrame:
    """Quality against cost, the cheapest first; see `ChunkerComparison.pareto`.

    Raises:
        ConfigError: an unknown cost, or a measure that was not measured.
        DataError: the cost is not known of every chunker; the message says why.
    """
    import pandas as pd

    if cost not in COSTS:
        raise ConfigError(f"cost must be one of {', '.join(COSTS)}, got {cost!r}")
    column = COSTS[cost]
    if column not in table or table[column].isna().any():
        raise DataError(f"cost={cost!r} is not known of every chunker: {_LACKING[column]}")
    estimates = {name: sweep.estimate(str(name), spec) for name in table.index}
    found = pd.DataFrame(
        {
            "value": [one.value for one in estimates.values()],
            "low": [one.low for one in estimates.values()],
            "high": [one.high for one in estimates.values()],
            "cost": table[column].astype("float64"),
        },
        index=table.index,
    )
    found["efficient"] = _efficient(found["value"].to_numpy(), found["cost"].to_numpy())
    return found.sort_values(["cost", "value"], ascending=[True, False], kind="stable")


def _efficient(values: NDArray[np.float64], costs: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether no other has at least the value for at most the cost, and is better in one of them."""
    as_good = (values[None, :] >= values[:, None]) & (costs[None, :] <= costs[:, None])
    better = (values[None, :] > values[:, None]) | (costs[None, :] < costs[:, None])
    beaten: NDArray[np.bool_] = np.any(as_good & better, axis=1)
    return ~beaten
