"""A comparison of chunkers: a table, differences from the best, quality against cost, and its faces."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from ragdiag.experiments.chunking.columns import chunker_table
from ragdiag.experiments.chunking.contrasts import stage_differences
from ragdiag.experiments.chunking.frontier import frontier
from ragdiag.experiments.chunking.prices import Prices
from ragdiag.experiments.sweep import Sweep
from ragdiag.measures.overlap import SpanMeasure
from ragdiag.measures.paired import FEWEST_QUERIES, paired_difference
from ragdiag.measures.standing import Standing

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["ChunkerComparison"]


@dataclass(frozen=True, eq=False)
class ChunkerComparison:
    """Chunkers that were run on the same documents and queries; made by `compare_chunkers`.

    Attributes:
        sweep: all else that was measured, query by query; `Sweep.diagnose` gives the diagnosis of one.
        measure: the spec of the measure that decides.
        min_effect: by how much a chunker must be better for the difference to matter.
        prices: what models charge; None where no money is counted.
    """

    sweep: Sweep = field(repr=False)
    measure: str
    min_effect: float = 0.02
    prices: Prices | None = None

    @property
    def best(self) -> str:
        """The chunker with the highest mean, which need not be a winner (`Standing.winner`)."""
        return self._standing.order[0]

    def standing(self, measure: str | SpanMeasure | None = None) -> Standing:
        """Which chunkers tie for the best, and which are worse; by the measure that decides if none is given.

        Raises:
            ConfigError: the measure was not measured.
        """
        if measure is None:
            return self._standing
        return self.sweep.standing(measure, min_effect=self.min_effect)

    @cached_property
    def _standing(self) -> Standing:
        return self.sweep.standing(self.measure, min_effect=self.min_effect)

    # Tables

    @cached_property
    def table(self) -> pd.DataFrame:
        """A row for each chunker (the index, ``chunker``), the best first.

        Columns:
            standing: ``winner``, ``tie`` (with the best) or ``worse``; empty under 20 queries.
            value, low, high: of the measure that decides, with its 95% interval.
            recall, recall_low, recall_high: the share of the evidence in the context.
            ceiling: the recall that the best k chunks within the packer's budget could have.
            recall_512t, recall_1024t, recall_2048t, recall_4096t: recall of what fits into so many tokens;
                absent where nothing counts tokens.
            context_precision: relevant chunks before others in the context.
            precision, iou, omega: shares of the text of the context, and of all chunks with evidence, that
                are evidence; see `Precision`, `IoU` and `Omega`.
            cut: the share of units of evidence that no single chunk holds to the coverage that is needed.
            loss_STAGE: what a stage loses of recall, less what it rescues, for each stage that is charged
                (``loss_chunker``, ``loss_capacity``, ``loss_embedder``, …); they sum to 1 - recall.
            chunks: how many.
            size_unit, size_min, size_q1, size_median, size_q3, size_max: the sizes of their texts.
            over_limit: the share of chunks longer than the embedder's input limit.
            duplicates: the share of chunks whose text another one has, too.
            dropped: the share of the documents' text that no chunk holds.
            index_tokens: in the different texts that are embedded.
            index_bytes: what the index takes in memory.
            context_tokens: of a question, in the mean.
            index_seconds: to chunk, embed and index.
            latency_p50_ms, latency_p95_ms: of a question that is asked alone.
            index_cost: money to embed the corpus; only where that has a price.
            cost_per_1000: money for 1,000 questions; only where contexts or reranking have a price.

        What was not measured, or is not declared, is missing.
        """
        standing = self._standing
        words = dict.fromkeys(self.sweep, "")
        if standing.n >= FEWEST_QUERIES:
            words |= dict.fromkeys(standing.ties, "tie") | dict.fromkeys(standing.losers, "worse")
            words |= {} if standing.winner is None else {standing.winner: "winner"}
        return chunker_table(self.sweep, self.measure, standing.order, words, self.prices)

    @cached_property
    def differences(self) -> pd.DataFrame:
        """A row for each other chunker (the index, ``chunker``) against the best one, `best`.

        Columns: ``difference`` of the measure that decides (below 0: less than the best) with its paired 95%
        interval, ``low`` and ``high``; ``p_adjusted`` for the comparison of all pairs (randomized Tukey);
        ``worse``, whether it is shown to be worse by more than ``min_effect``; ``recall``, the difference in
        recall of the context, which is what `stages` sums to, with its sign turned.
        """
        import pandas as pd

        standing, best, others = self._standing, self.best, self._standing.order[1:]
        found = [
            paired_difference(
                self.sweep[best][self.measure], self.sweep[name][self.measure], clusters=self.sweep.clusters
            )
            for name in others
        ]
        recall = {name: float(self.sweep[name]["Recall"].mean()) for name in self.sweep}
        return pd.DataFrame(
            {
                "difference": [one.value for one in found],
                "low": [one.low for one in found],
                "high": [one.high for one in found],
                "p_adjusted": list(standing.p[1:]),
                "worse": [name in standing.losers for name in others],
                "recall": [recall[name] - recall[best] for name in others],
            },
            index=pd.Index(others, name="chunker"),
        )

    @cached_property
    def stages(self) -> pd.DataFrame:
        """At which stage each other chunker's recall differs from that of the best one.

        A row for each ``chunker`` and ``stage``: the ``difference`` of what the stage loses, less what it
        rescues (above 0: it loses more than with the best), with its paired 95% interval, ``low`` and
        ``high``; ``p``, and ``p_holm``, which allows for all rows with any difference; ``shown``: p_holm <=
        .05 over 20 queries or more. The differences of a chunker sum to its difference in recall of the
        context, with its sign turned.
        """
        return stage_differences(self.sweep, self.best, self._standing.order[1:])

    def pareto(self, cost: str = "tokens", *, measure: str | SpanMeasure = "Recall") -> pd.DataFrame:
        """Quality against cost: a row for each chunker, the cheapest first.

        Columns: ``value`` with its 95% interval, ``low`` and ``high``; ``cost``; ``efficient``: no other
        chunker has as much for less, or more for as much. Quality is that of the context unless another
        measure is given, since it is the context that is paid for.

        Args:
            cost: ``"tokens"`` of a context, ``"latency"`` of a question (p50, ms), ``"money"`` for 1,000
                questions; ``"index_tokens"``, ``"index_money"`` or ``"index_bytes"``.
            measure: what is set against it.

        Raises:
            ConfigError: an unknown cost, or a measure that was not measured.
            DataError: the cost is not known of every chunker.
        """
        return frontier(self.sweep, self.table, str(measure), cost)

    # Faces. These are the only places where the result knows of its reports.

    @property
    def verdict(self) -> str:
        """What can be said: who ties for the best, who loses, by how much, and at which stage."""
        from ragdiag.report.text.chunking import verdict_text

        return verdict_text(self)

    def plot(self, cost: str = "tokens", *, measure: str | SpanMeasure = "Recall") -> Figure:
        """A picture of `pareto`: quality with its 95% interval against cost, and the efficient frontier.

        Raises:
            MissingExtraError: matplotlib is not installed (extra ``plots``).
            ConfigError, DataError: as `pareto`.
        """
        from ragdiag.report.chunking_pictures import draw_frontier

        return draw_frontier(self, cost, str(measure))

    def plot_losses(self) -> Figure:
        """A picture of what each stage loses with each chunker: one bar a chunker, as long as 1 - recall.

        Raises:
            MissingExtraError: matplotlib is not installed (extra ``plots``).
        """
        from ragdiag.report.chunking_pictures import draw_losses

        return draw_losses(self)

    def __str__(self) -> str:
        from ragdiag.report.text.chunking import chunkers_text

        return chunkers_text(self)

    def __repr__(self) -> str:
        from ragdiag.report.chunking import ChunkingStory

        return f"ChunkerComparison({ChunkingStory(self).headline})"

    def _repr_html_(self) -> str:
        from ragdiag.report.html.chunking import chunkers_html

        return chunkers_html(self)

    def to_markdown(self) -> str:
        """The verdict and the tables, for a pull request or the summary of a CI run."""
        from ragdiag.report.chunking_markdown import chunkers_markdown

        return chunkers_markdown(self)

    def to_dict(self) -> dict[str, object]:
        """The tables as plain values, for JSON."""
        from ragdiag.report.chunking_json import chunkers_dict

        return chunkers_dict(self)
