"""Remedies that were run, and what each would gain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ragdiag.diagnosis.compare import Comparison
from ragdiag.diagnosis.result import Diagnosis
from ragdiag.errors import DataError
from ragdiag.measures.paired import FEWEST_QUERIES
from ragdiag.pipeline import Pipeline
from ragdiag.records import Query

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LEVEL", "Latency", "NotRun", "Remedies", "TriedRemedy"]

LEVEL = 0.05
"""From which p on, adjusted for the number of remedies, a gain may be chance."""


@dataclass(frozen=True, slots=True, eq=False)
class Latency:
    """Seconds for each of some queries, asked alone.

    Attributes:
        before: by the pipeline as it is, shape (queries,).
        after: by the changed one, each right after the other.

    Example:
        >>> latency = Latency(np.array([0.010, 0.020]), np.array([0.015, 0.022]))
        >>> round(latency.ratio, 2), round(latency.extra_ms, 2)
        (1.3, 3.5)
    """

    before: NDArray[np.float64]
    after: NDArray[np.float64]

    @property
    def ratio(self) -> float:
        """How many times as long a query takes: the median over queries."""
        return float(np.median(self.after / self.before))

    @property
    def extra_ms(self) -> float:
        """How many milliseconds longer a query takes: the median over queries."""
        return float(1e3 * np.median(self.after - self.before))


@dataclass(frozen=True, eq=False)
class TriedRemedy:
    """A remedy that was applied and run.

    Attributes:
        name: of the remedy; of several that were applied together, their names joined by `` + ``.
        what: what was changed, in plain words with its numbers.
        stage: what it changes.
        codes: the causes that suggest it; none where it was merely asked for.
        units: at how many lost units they were found.
        pipeline: the changed pipeline, ready to be used.
        queries: as they were asked.
        comparison: of the diagnosis and that of the changed pipeline.
        chunks: how many the changed pipeline makes.
        texts_embedded: document texts that had to be embedded for it, and were not for the pipeline as it is.
        tokens_embedded: in those; None where the embedder does not count.
        extra_tokens: in the context, in the mean over queries; None where nothing counts tokens.
        latency: of single queries; None where it was not measured. It differs from run to run.
    """

    name: str
    what: str
    stage: str
    codes: tuple[str, ...]
    units: int
    pipeline: Pipeline
    queries: tuple[Query, ...] = field(repr=False)
    comparison: Comparison
    chunks: int
    texts_embedded: int
    tokens_embedded: int | None
    extra_tokens: float | None
    latency: Latency | None = field(repr=False)

    @property
    def diagnosis(self) -> Diagnosis:
        """Of the changed pipeline; nothing in it is proven."""
        return self.comparison.b

    @property
    def gain(self) -> float:
        """By how much recall is higher."""
        return self.comparison.recall.value


@dataclass(frozen=True, slots=True)
class NotRun:
    """A remedy that was suggested and has no number.

    Attributes:
        name: of the remedy.
        stage: what it would change.
        codes: the causes that suggest it.
        units: at how many lost units they were found.
        reason: why it was not run.
    """

    name: str
    stage: str
    codes: tuple[str, ...]
    units: int
    reason: str


@dataclass(frozen=True, eq=False)
class Remedies:
    """What the suggested changes of a pipeline gain on its own queries; made by `remedies`.

    Attributes:
        diagnosis: whose losses they are to mend.
        tried: those that were run; what gains most recall comes first.
        skipped: those that were suggested and not run.
        unanswered: the causes that no change of a pipeline mends, with the number of lost units.
    """

    diagnosis: Diagnosis
    tried: tuple[TriedRemedy, ...]
    skipped: tuple[NotRun, ...]
    unanswered: Mapping[str, int]

    def __getitem__(self, name: str) -> TriedRemedy:
        """One remedy that was run.

        Raises:
            DataError: it was not run; the reason is told where it was suggested.
        """
        for remedy in self.tried:
            if remedy.name == name:
                return remedy
        reason = next((f": {one.reason}" for one in self.skipped if one.name == name), "")
        raise DataError(
            f"the remedy {name!r} was not run{reason}; run were {[one.name for one in self.tried]}"
        )

    @cached_property
    def table(self) -> pd.DataFrame:
        """A row for each remedy that was run, what gains most recall first.

        Columns: ``remedy``; ``what`` was changed; ``stage``; ``answers`` (codes of causes, a tuple) found at
        so many lost ``units``; ``recall`` with it; ``gain`` with ``low`` and ``high`` (paired 95% interval)
        and ``p``; ``p_holm``, which allows for the number of remedies tried; ``shown`` (p_holm <= .05 over 20
        queries or more: below that no gain and no loss is claimed); ``regained`` and ``lost`` (units of
        evidence); ``gain_precision`` with ``precision_low`` and ``precision_high`` (context precision);
        ``extra_tokens`` of the context of a query; ``latency_ratio`` and ``extra_ms`` of a single query, by
        medians; ``texts_embedded`` and ``tokens_embedded`` to index again; ``chunks``. What was not measured
        is missing.
        """
        import pandas as pd

        adjusted = self._adjusted
        rows = [_row(remedy, p) for remedy, p in zip(self.tried, adjusted, strict=True)]
        table = pd.DataFrame(rows, columns=_COLUMNS)
        return table.astype(
            {
                "tokens_embedded": "Int64",
                "extra_tokens": "Float64",
                "latency_ratio": "Float64",
                "extra_ms": "Float64",
            }
        )

    @property
    def not_run(self) -> pd.DataFrame:
        """A row for each remedy that was suggested and not run: ``remedy, stage, answers, units, reason``.

        One that does not apply, and is suggested only by what losses are called where no check says more, is
        left out.
        """
        import pandas as pd

        rows = [(one.name, one.stage, one.codes, one.units, one.reason) for one in self.skipped]
        return pd.DataFrame(rows, columns=["remedy", "stage", "answers", "units", "reason"])

    @cached_property
    def _adjusted(self) -> list[float]:
        """The p of each remedy by Holm (1979), which holds whatever the remedies have in common."""
        if not self.tried:
            return []
        from statsmodels.stats.multitest import multipletests  # heavy

        adjusted = multipletests([one.comparison.recall.p for one in self.tried], method="holm")[1]
        return [float(p) for p in adjusted]

    # Faces. These are the only places where the result knows of its reports.

    def __str__(self) -> str:
        from ragdiag.report.remedies import remedies_text

        return remedies_text(self)

    def __repr__(self) -> str:
        names = ", ".join(f"{one.name} {one.gain:+.3f}" for one in self.tried[:3])
        return f"Remedies({len(self.tried)} run, {len(self.skipped)} not run; most gain: {names or 'none'})"

    def _repr_html_(self) -> str:
        from ragdiag.report.remedies import remedies_html

        return remedies_html(self)


_COLUMNS = [
    "remedy",
    "what",
    "stage",
    "answers",
    "units",
    "recall",
    "gain",
    "low",
    "high",
    "p",
    "p_holm",
    "shown",
    "regained",
    "lost",
    "gain_precision",
    "precision_low",
    "precision_high",
    "extra_tokens",
    "latency_ratio",
    "extra_ms",
    "texts_embedded",
    "tokens_embedded",
    "chunks",
]


def _row(remedy: TriedRemedy, p_holm: float) -> dict[str, object]:
    recall, precision = remedy.comparison.recall, remedy.comparison.measure("CP")
    counts, latency = remedy.comparison.counts, remedy.latency
    return {
        "remedy": remedy.name,
        "what": remedy.what,
        "stage": remedy.stage,
        "answers": remedy.codes,
        "units": remedy.units,
        "recall": recall.b,
        "gain": recall.value,
        "low": recall.low,
        "high": recall.high,
        "p": recall.p,
        "p_holm": p_holm,
        "shown": p_holm <= LEVEL and recall.n >= FEWEST_QUERIES,
        "regained": counts["regained"],
        "lost": counts["lost"],
        "gain_precision": precision.value,
        "precision_low": precision.low,
        "precision_high": precision.high,
        "extra_tokens": remedy.extra_tokens,
        "latency_ratio": None if latency is None else latency.ratio,
        "extra_ms": None if latency is None else latency.extra_ms,
        "texts_embedded": remedy.texts_embedded,
        "tokens_embedded": remedy.tokens_embedded,
        "chunks": remedy.chunks,
    }
