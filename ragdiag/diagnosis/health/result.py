"""The result of all health checks, as tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from ragdiag.diagnosis.health.check import Answer, Status
from ragdiag.diagnosis.health.chunks import DroppedText, Repeats, Sizes
from ragdiag.diagnosis.health.searches import SearchRecall, Unreachable
from ragdiag.diagnosis.health.vectors import Hub

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Health"]


@dataclass(frozen=True, eq=False)
class Health:
    """What can be seen of a pipeline before a single label exists; made by `health`.

    Attributes:
        answers: what each check answered, in the order of the flow.
        documents: how many were looked at.
        chunks: how many they make.
        queries: how many queries were known.
    """

    answers: tuple[Answer, ...] = field(repr=False)
    documents: int
    chunks: int
    queries: int

    @property
    def table(self) -> pd.DataFrame:
        """A row for each check.

        Columns: ``check``, ``code`` (``stage.cause`` of the losses that such a problem causes; empty where
        none is called so), ``status`` (``ok``, ``warning`` or ``not applicable``), ``value`` and its ``unit``
        (NA where not applicable), ``seen`` (what was seen, or why nothing could be) and ``advice`` (what to
        do; empty without a warning).
        """
        import pandas as pd

        rows = [
            {
                "check": answer.check.name,
                "code": answer.check.code,
                "status": answer.status,
                "value": answer.value,
                "unit": answer.check.unit,
                "seen": answer.seen,
                "advice": answer.advice,
            }
            for answer in self.answers
        ]
        return pd.DataFrame(rows).astype({"value": "Float64"})

    @property
    def counts(self) -> Mapping[Status, int]:
        """How many checks have each status."""
        counted = Counter(answer.status for answer in self.answers)
        statuses: tuple[Status, ...] = ("warning", "ok", "not applicable")
        return {status: counted[status] for status in statuses}

    @property
    def sizes(self) -> pd.DataFrame:
        """How long chunks are: ``text, unit, chunks, shortest, lower, median, upper, longest``.

        A row for the characters and one for the tokens (where something counts them) of the ``delivered``
        text, and of the ``indexed`` one where that is another; ``lower`` and ``upper`` are the quartiles.
        """
        return self._details(Sizes)

    @property
    def dropped(self) -> pd.DataFrame:
        """A row for each document with text that no chunk holds.

        Columns: ``doc_id, characters, dropped, share, start, end``. Whitespace does not count; from ``start``
        to ``end`` is the longest passage.
        """
        return self._details(DroppedText)

    @property
    def repeats(self) -> pd.DataFrame:
        """A row for each text that stands in several places, most frequent first: ``times, chunk_ids``."""
        return self._details(Repeats)

    @property
    def hubs(self) -> pd.DataFrame:
        """The chunks that are near to a great many queries, worst first: ``chunk_id, queries, share``."""
        return self._details(Hub)

    @property
    def unreachable(self) -> pd.DataFrame:
        """The chunks that an index does not return for their own vector: ``retriever, chunk_id``."""
        return self._details(Unreachable)

    @property
    def ann_recall(self) -> pd.DataFrame:
        """How much of an exact search each index finds: ``retriever, metric, depth, recall, queries``."""
        return self._details(SearchRecall)

    def _details(self, kind: type[Any]) -> pd.DataFrame:
        import pandas as pd

        rows = [row for answer in self.answers for row in answer.details if isinstance(row, kind)]
        return pd.DataFrame(map(astuple, rows), columns=[column.name for column in fields(kind)])

    def __str__(self) -> str:
        from ragdiag.report.health import health_text

        return health_text(self)

    def __repr__(self) -> str:
        counts = self.counts
        return (
            f"Health({len(self.answers)} checks: {counts['warning']} warn, {counts['ok']} ok, "
            f"{counts['not applicable']} not applicable)"
        )

    def _repr_html_(self) -> str:
        from ragdiag.report.health import health_html

        return health_html(self)
