"""What a sweep found: a table of its pipelines, their values query by query, and each one's diagnosis."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ragdiag.diagnosis.ledger import LOSS_STAGES
from ragdiag.errors import ConfigError, DataError
from ragdiag.experiments.sweep.measured import Measured, Timings
from ragdiag.experiments.sweep.work import Work
from ragdiag.measures.overlap import SpanMeasure
from ragdiag.measures.standing import Standing, stand
from ragdiag.measures.statistics import Clusters, Estimate, interval
from ragdiag.pipeline import Pipeline
from ragdiag.records import Query

if TYPE_CHECKING:
    import pandas as pd

    from ragdiag.diagnosis.result import Diagnosis

__all__ = ["Sweep"]


@dataclass(frozen=True, eq=False)
class Sweep(Mapping[str, Measured]):
    """Pipelines that were run over the same documents and queries; made by `sweep`.

    Attributes:
        pipelines: what was run, by name.
        measured: what each got, by name.
        timings: what each took; empty where that was not measured.
        queries: the assessed queries.
        unkept: for each pipeline whose results could not be kept, the stages that cannot say what they are.
        work: what was asked of the plugs.
    """

    pipelines: Mapping[str, Pipeline]
    measured: Mapping[str, Measured] = field(repr=False)
    timings: Mapping[str, Timings] = field(repr=False)
    queries: tuple[Query, ...] = field(repr=False)
    unkept: Mapping[str, tuple[str, ...]]
    work: Work
    _diagnose: Callable[[Pipeline], Diagnosis] = field(repr=False)

    # A mapping of the names to what was measured

    def __getitem__(self, name: str) -> Measured:
        """What one pipeline got.

        Raises:
            ConfigError: there is none of that name.
        """
        if name not in self.measured:
            there = ", ".join(self.measured)
            raise ConfigError(f"no pipeline of the sweep is called {name!r}; there are: {there}")
        return self.measured[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.measured)

    def __len__(self) -> int:
        return len(self.measured)

    # Tables

    def estimate(self, name: str, spec: str | SpanMeasure) -> Estimate:
        """The mean of a measure over the queries of one pipeline, with its 95% interval."""
        return interval(self[name][spec], clusters=self.clusters)

    def table(self, *specs: str | SpanMeasure) -> pd.DataFrame:
        """A row for each pipeline, indexed by ``pipeline``, a column for the mean of each measure.

        Without ``specs`` those that all pipelines have.
        """
        import pandas as pd

        chosen = specs or tuple(self._common)
        rows = {name: {str(spec): float(one[spec].mean()) for spec in chosen} for name, one in self.items()}
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("pipeline")

    def per_query(self, spec: str | SpanMeasure) -> pd.DataFrame:
        """A measure for each query (the index, ``query_id``) and each pipeline (the columns)."""
        import pandas as pd

        index = pd.Index([query.id for query in self.queries], name="query_id")
        return pd.DataFrame({name: one[spec] for name, one in self.items()}, index=index)

    @property
    def losses(self) -> pd.DataFrame:
        """What each stage (the index) loses of recall, less what it rescues, in each pipeline (the columns).

        Each column sums to 1 - recall. Missing where a pipeline lacks the stage.
        """
        return self._by_stage("losses")

    @property
    def noise(self) -> pd.DataFrame:
        """What each stage takes of context precision, in each pipeline; each column sums to 1 - CP."""
        return self._by_stage("noise")

    def _by_stage(self, what: str) -> pd.DataFrame:
        import pandas as pd

        tables = {name: getattr(one, what) for name, one in self.items()}
        stages = [stage for stage in LOSS_STAGES if any(stage in table for table in tables.values())]
        return pd.DataFrame(
            {
                name: [float(table[s].mean()) if s in table else np.nan for s in stages]
                for name, table in tables.items()
            },
            index=pd.Index(stages, name="stage"),
        )

    @cached_property
    def _common(self) -> list[str]:
        first, *others = self.values()
        return [spec for spec in first.measures if all(spec in one.measures for one in others)]

    # Decisions

    @cached_property
    def clusters(self) -> Clusters:
        """Which queries need the same documents."""
        return Clusters.of([query.doc_ids for query in self.queries])

    def standing(self, spec: str | SpanMeasure, *, min_effect: float = 0.0) -> Standing:
        """Which pipelines tie for the best in a measure, and which are worse; see `Standing`.

        Raises:
            ConfigError: it was not measured.
            DataError: there is one pipeline only.
        """
        if len(self) < 2:
            raise DataError("a standing needs at least two pipelines")
        values = np.column_stack([one[spec] for one in self.values()])
        return stand(values, list(self), clusters=self.clusters, min_effect=min_effect)

    def diagnose(self, name: str) -> Diagnosis:
        """The diagnosis of one pipeline, as its ledger observes it; what is stored is not done again."""
        if name not in self.pipelines:
            self[name]
        return self._diagnose(self.pipelines[name])

    def to_dict(self) -> dict[str, Any]:
        """The tables as plain values, for JSON: nothing in it depends on the machine or on the time."""
        return {
            "queries": [query.id for query in self.queries],
            "pipelines": {name: list(one.lines()) for name, one in self.items()},
        }
