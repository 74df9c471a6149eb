"""What a gate decided, with every number behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from ragdiag.diagnosis.result import Diagnosis
from ragdiag.experiments.gate.baseline import Baseline
from ragdiag.experiments.gate.judging import GateVerdict, Judgement, whole
from ragdiag.experiments.gate.regression import FLIP_COLUMNS, STAGE_COLUMNS, Regression

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["GateResult"]

_EXIT_CODES: Mapping[GateVerdict, int] = {"pass": 0, "fail": 1, "cannot tell": 3}


@dataclass(frozen=True, eq=False)
class GateResult:
    """Whether a pipeline may ship; made by `gate`.

    Attributes:
        diagnosis: of the queries that were judged.
        baseline: what it was held against; None where nothing was.
        confidence: of each bound.
        min_effect: by how much a mean may be worse than in the baseline.
        judgements: of each bar, then of recall and what else has a bar against the baseline.
    """

    diagnosis: Diagnosis = field(repr=False)
    baseline: Baseline | None
    confidence: float
    min_effect: float
    judgements: tuple[Judgement, ...]

    @property
    def verdict(self) -> GateVerdict:
        """``fail`` where any judgement is, else ``cannot tell`` where any cannot, else ``pass``."""
        return whole([judgement.verdict for judgement in self.judgements])

    @property
    def passed(self) -> bool:
        """Whether it passes. What cannot be told has not passed."""
        return self.verdict == "pass"

    @property
    def exit_code(self) -> int:
        """0 where it passes, 1 where it fails, 3 where it cannot be told."""
        return _EXIT_CODES[self.verdict]

    @property
    def table(self) -> pd.DataFrame:
        """A row for each judgement; see `Judgement` for the columns.

        ``check``, ``against``, ``quantity``, ``unit``, ``verdict``, ``value``, ``low``, ``high``, ``limit``,
        ``n``, ``needed`` (missing where these queries tell, or no number of them would), ``before`` (missing
        against a bar), ``now``, ``method``.
        """
        import pandas as pd

        columns = list(Judgement.__dataclass_fields__)
        table = pd.DataFrame([asdict(judgement) for judgement in self.judgements], columns=columns)
        return table.astype({"needed": "Int64", "before": "Float64"})

    @property
    def stages(self) -> pd.DataFrame:
        """What each stage lost of recall in the baseline and now, indexed by ``stage``, in flow order.

        Columns: ``loss_before`` and ``loss_now`` (missing for a stage that a pipeline lacks, which counts as
        0 in the difference); ``difference`` with ``low`` and ``high``, each one-sided at the gate's
        confidence; ``worse`` (the loss has surely grown, by its own bound alone). Empty without a baseline.
        """
        import pandas as pd

        if self._regression is None:
            return pd.DataFrame(columns=list(STAGE_COLUMNS)).rename_axis("stage")
        return self._regression.stages

    @property
    def flips(self) -> pd.DataFrame:
        """A row for each unit of evidence with another fate than in the baseline, lost ones first.

        Columns: ``query_id``; ``unit`` (its position there, from 0); ``change`` (``lost``, ``regained``, or
        ``moved``: lost both times, at another stage); ``before`` and ``now`` (``delivered``, or the stage
        that lost it); ``query`` (its text). Empty without a baseline.
        """
        import pandas as pd

        if self._regression is None:
            return pd.DataFrame(columns=list(FLIP_COLUMNS))
        return self._regression.flips

    @cached_property
    def _regression(self) -> Regression | None:
        if self.baseline is None:
            return None
        return Regression(self.baseline, self.diagnosis, self.confidence, self.min_effect)

    # Faces. These are the only places where the result knows of its reports.

    def __str__(self) -> str:
        from ragdiag.report.gate_text import gate_text

        return gate_text(self)

    def __repr__(self) -> str:
        verdicts = [judgement.verdict for judgement in self.judgements]
        counts = ", ".join(f"{verdicts.count(v)} {v}" for v in _EXIT_CODES if v in verdicts)
        return f"GateResult({self.verdict}: {counts}; {len(self.diagnosis.assessed)} queries)"

    def _repr_html_(self) -> str:
        from ragdiag.report.gate_html import gate_html

        return gate_html(self)

    def to_markdown(self) -> str:
        """The result for the summary of a CI run or a comment, cut to fit the latter (65,536 characters)."""
        from ragdiag.report.gate_markdown import gate_markdown

        return gate_markdown(self)

    def to_dict(self) -> dict[str, object]:
        """The verdict and the tables as plain values, for JSON."""
        from ragdiag.report.gate_json import gate_dict

        return gate_dict(self)
