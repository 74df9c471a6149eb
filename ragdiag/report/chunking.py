"""What every face says about a comparison of chunkers: the same sentences, tables and figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

from ragdiag.experiments.chunking.contrasts import stages_of
from ragdiag.experiments.chunking.result import ChunkerComparison
from ragdiag.measures.paired import FEWEST_QUERIES
from ragdiag.measures.standing import Standing
from ragdiag.report.escaping import cut_middle, one_line
from ragdiag.report.figures import (
    MISSING,
    count,
    interval,
    of_things,
    percent,
    share,
    signed,
    signed_interval,
)
from ragdiag.report.values import optional, rows_of
from ragdiag.report.words import describe_measure, enumerate_words, the

__all__ = ["STAGE_COLORS", "ChunkingStory", "Shown", "short"]

_NAME = 48  # characters shown of what a chunker is called
_NAMES, _WORSE, _LOSERS = 5, 3, 8  # chunkers named in one sentence; named as worse; told of one by one
_MUCH_CUT = 0.01  # of the units of evidence
_NOTHING = 0.0005  # what rounds to 0 is no difference to speak of

STAGE_COLORS: Mapping[str, str] = MappingProxyType(
    {
        "ingest": "#9aa5b1",
        "chunker": "#d1495b",
        "capacity": "#e09f3e",
        "embedder": "#4f83cc",
        "retriever": "#4ca695",
        "reranker": "#9a6fc4",
        "packer": "#8a9a5b",
    }
)
"""The color of each stage's losses, legible on light and on dark."""

_SELECTION = (
    "The best of several looks better than it is on the questions that chose it. Before it ships, judge it "
    "on questions that took no part: ragdiag.split_queries sets them aside, ragdiag.gate "
    "judges."
)


@dataclass(frozen=True, slots=True)
class Shown:
    """A table as faces show it.

    Attributes:
        title: what it is about.
        caption: how to read it.
        header: of each column, the chunkers' first.
        rows: one a chunker, the best first; the first cell is its name, which is untrusted.
    """

    title: str
    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class ChunkingStory:
    """A comparison of chunkers as its faces tell it."""

    comparison: ChunkerComparison

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """The table, row by row, with the name as ``chunker`` and None for what is missing."""
        table = self.comparison.table.reset_index()
        return rows_of(table.astype(object).where(table.notna(), None))

    @cached_property
    def standing(self) -> Standing:
        """By the measure that decides."""
        return self.comparison.standing()

    @property
    def measure(self) -> str:
        """The measure that decides."""
        return self.comparison.measure

    @property
    def best(self) -> str:
        """The name of the chunker with the highest mean."""
        return short(self.comparison.best)

    @property
    def enough(self) -> bool:
        """Whether there are queries enough to claim anything."""
        return self.standing.n >= FEWEST_QUERIES

    # The verdict

    @property
    def headline(self) -> str:
        """Which is best, as far as that can be said."""
        standing = self.standing
        if not self.enough:
            return f"No winner is claimed: only {of_things(standing.n, 'query is', 'queries are')} assessed."
        if standing.winner is not None:
            return f"{self.best} is best in {self.measure}, of {count(len(standing.order))} chunkers."
        if not standing.losers:
            number = count(len(standing.order))
            return f"No winner: the {number} chunkers cannot be told apart in {self.measure}."
        worse = _names(standing.losers) if len(standing.losers) <= _WORSE else count(len(standing.losers))
        verb = "is" if len(standing.losers) == 1 else "are"
        return f"{_names(standing.ties)} tie for the best in {self.measure}; {worse} {verb} worse."

    @property
    def sentences(self) -> Sequence[str]:
        """What stands behind the headline, one point a sentence or two."""
        return [
            self._of_the_best,
            *self._losers(),
            *self._power(),
            *self._clusters(),
            *self._unkept(),
            _SELECTION,
        ]

    @property
    def _of_the_best(self) -> str:
        row = self.rows[0]
        return (
            f"{self.measure}: {describe_measure(self.measure)}, over "
            f"{of_things(self.standing.n, 'query', 'queries')}. {self.best} has {share(row['value'])} (95% "
            f"interval {interval(row['low'], row['high'])})."
        )

    @cached_property
    def _differences(self) -> Mapping[str, dict[str, Any]]:
        return {row["chunker"]: row for row in rows_of(self.comparison.differences.reset_index())}

    def _losers(self) -> Iterator[str]:
        losers = [name for name in self.standing.order if name in self.standing.losers]
        for name in losers[:_LOSERS] if self.enough else []:
            row = self._differences[name]
            yield (
                f"{short(name)} is worse than {self.best}: {signed(row['difference'])} (95% interval "
                f"{signed_interval(row['low'], row['high'])}; adjusted {_p(row['p_adjusted'])}). "
                f"{self._deciding(name, row['recall'])}{self._cut(name)}"
            )
        if self.enough and len(losers) > _LOSERS:
            more = len(losers) - _LOSERS
            yield f"{count(more)} more {'is' if more == 1 else 'are'} worse: comparison.differences."

    def _deciding(self, name: str, recall: float) -> str:
        """At which stage a loser loses what the best keeps."""
        context = f"a context of {of_things(self._top_k, 'chunk')}"
        if recall > -_NOTHING:
            return (
                f"In {context} it loses no more of the evidence than {self.best} ({signed(recall)} in "
                "recall): its chunks use a budget of tokens less well."
            )
        rows = self.deciding(name)
        parts = [
            f"{the(row['stage'])}, which loses {share(row['difference'])} more "
            f"({signed_interval(row['low'], row['high'])}{'' if row['shown'] else '; may be chance'})"
            for row in rows
        ]
        told = f"In {context} its recall is {share(-recall)} lower"
        if not parts:
            return f"{told}, a little at several stages."
        if not rows[0]["shown"]:
            return f"{told}, most of it at {parts[0]}."
        return f"{told}, decided by {enumerate_words(parts)}{self._made_up(name, rows, -recall)}."

    def _made_up(self, name: str, decided: Sequence[dict[str, Any]], lower: float) -> str:
        """Which stages lose less, where the stages that decide lose more than recall is lower."""
        if sum(row["difference"] for row in decided) <= lower + _NOTHING:
            return ""
        table = self.comparison.stages
        less = table[(table["chunker"] == name) & (table["difference"] < -_NOTHING)]["stage"].tolist()
        verb = "loses" if len(less) == 1 else "lose"
        return f"; {enumerate_words([the(stage) for stage in less])} {verb} less" if less else ""

    def _cut(self, name: str) -> str:
        """How much evidence a chunker cuts, where that is more than the best one does."""
        cut = {row["chunker"]: row["cut"] for row in self.rows}
        best = self.comparison.best
        if cut[name] - cut[best] < _MUCH_CUT:
            return ""
        return (
            f" It cuts {percent(cut[name])} of the evidence in pieces ({percent(cut[best])} with "
            f"{self.best}); what that loses is charged to the stage that does not bring all pieces."
        )

    def deciding(self, name: str) -> Sequence[dict[str, Any]]:
        """The stages that lose more with a chunker than with the best, as far as that is shown.

        Those that are shown, the most first; where none is, the one that loses most.
        """
        table = self.comparison.stages
        more = rows_of(table[(table["chunker"] == name) & (table["difference"] > _NOTHING)])
        ordered = sorted(more, key=lambda row: -row["difference"])
        return [row for row in ordered if row["shown"]] or ordered[:1]

    @property
    def _top_k(self) -> int:
        return self.comparison.sweep[self.comparison.best].top_k

    def _power(self) -> Iterator[str]:
        standing = self.standing
        if not self.enough:
            yield (
                f"Under {FEWEST_QUERIES} queries the numbers describe these queries and say nothing about "
                "others."
            )
        elif standing.detectable is not None:
            yield (
                f"What {of_things(standing.n, 'query', 'queries')} that differ as much as these could have "
                f"told from chance: a difference of {share(standing.detectable)} or more. Less than "
                f"{share(self.comparison.min_effect)} (min_effect) would not matter."
            )

    def _clusters(self) -> Iterator[str]:
        estimate = self.comparison.sweep.estimate(self.comparison.best, self.measure)
        if "understates" in estimate.method:
            yield (
                "The evidence stands in few documents: for questions about other documents the intervals are "
                "too narrow, and p too small."
            )

    def _unkept(self) -> Iterator[str]:
        unkept = self.comparison.sweep.unkept
        if unkept:
            names = enumerate_words(dict.fromkeys(stage for of_one in unkept.values() for stage in of_one))
            yield (
                f"Nothing of {_names(list(unkept))} could be kept for another time: the {names} cannot say "
                "what it is."
            )

    # Tables

    @property
    def tables(self) -> Sequence[Shown]:
        """What was measured, in four tables."""
        return [self.quality, self.losses, self.chunks, *([self.costs] if self.costs.header[1:] else [])]

    @property
    def quality(self) -> Shown:
        """How good each chunker is."""
        columns: dict[str, Callable[[dict[str, Any]], str]] = {
            self.measure: lambda row: share(row["value"]),
            "95% interval": lambda row: interval(row["low"], row["high"]),
            "standing": lambda row: row["standing"] or MISSING,
        }
        if self.measure != "Recall":
            columns["recall"] = _shares("recall")
        columns |= {
            f"@{budget}t": _shares(f"recall_{budget}t")
            for budget in (512, 1024, 2048, 4096)
            if f"recall_{budget}t" in self.rows[0] and self.measure != f"Recall@{budget}t"
        }
        columns |= {
            "CP": _shares("context_precision"),
            "precision": _shares("precision"),
            "IoU": _shares("iou"),
            "omega": _shares("omega"),
        }
        return self._table(
            "How good",
            "The best first. recall: of the context; @512t: of what fits into 512 tokens. CP: relevant "
            "chunks before others. precision, IoU, omega: how much of the text is evidence.",
            columns,
        )

    @property
    def losses(self) -> Shown:
        """What each stage loses with each chunker."""
        stages = stages_of(self.comparison.sweep)
        columns: dict[str, Callable[[dict[str, Any]], str]] = {
            stage: _losses(f"loss_{stage}") for stage in stages
        }
        columns["recall"] = _shares("recall")
        columns["cut"] = _percents("cut")
        return self._table(
            "Where the evidence is lost",
            "What each stage loses of recall, less what it rescues; with recall of the context a row sums to "
            "1. cut: evidence that no single chunk holds.",
            columns,
        )

    @property
    def chunks(self) -> Shown:
        """What each chunker makes of the documents."""
        units = {row["size_unit"] for row in self.rows}
        columns: dict[str, Callable[[dict[str, Any]], str]] = {
            "chunks": _counts("chunks"),
            "median": _counts("size_median"),
            "half of them": lambda row: f"{row['size_q1']:,.0f}\u2013{row['size_q3']:,.0f}",
            "all of them": lambda row: f"{row['size_min']:,}\u2013{row['size_max']:,}",
        }
        columns |= self._known(
            {
                "over limit": _percents("over_limit"),
                "repeated": _percents("duplicates"),
                "dropped": _percents("dropped"),
            },
            ("over_limit", "duplicates", "dropped"),
        )
        return self._table(
            "The chunks",
            f"Sizes in {enumerate_words(sorted(units))}. over limit: longer than the embedder reads; "
            "dropped: text that no chunk holds.",
            columns,
        )

    @property
    def costs(self) -> Shown:
        """What each chunker costs; columns of what is not known of any are left out."""
        known = {
            "to embed": ("index_tokens", _counts("index_tokens")),
            "index": ("index_bytes", lambda row: _bytes(row["index_bytes"])),
            "seconds": ("index_seconds", _numbers("index_seconds")),
            "tokens a question": ("context_tokens", _counts("context_tokens")),
            "p50 ms": ("latency_p50_ms", _numbers("latency_p50_ms")),
            "p95 ms": ("latency_p95_ms", _numbers("latency_p95_ms")),
            "to index, money": ("index_cost", _numbers("index_cost")),
            "1,000 questions": ("cost_per_1000", _numbers("cost_per_1000")),
        }
        columns = self._known(
            {title: shown for title, (_, shown) in known.items()}, [column for column, _ in known.values()]
        )
        return self._table(
            "What it costs",
            "to embed: tokens of the different texts; index: in memory; seconds: to chunk, embed and index.",
            columns,
        )

    def _known(
        self, columns: Mapping[str, Callable[[dict[str, Any]], str]], needs: Sequence[str]
    ) -> dict[str, Callable[[dict[str, Any]], str]]:
        """The columns of which there is anything."""
        return {
            title: shown
            for (title, shown), needed in zip(columns.items(), needs, strict=True)
            if any(row.get(needed) is not None for row in self.rows)
        }

    def _table(
        self, title: str, caption: str, columns: Mapping[str, Callable[[dict[str, Any]], str]]
    ) -> Shown:
        return Shown(
            title,
            caption,
            ["chunker", *columns],
            [[short(row["chunker"]), *(shown(row) for shown in columns.values())] for row in self.rows],
        )


def short(name: str) -> str:
    """The name of a chunker on one line, cut in the middle where it is long."""
    return cut_middle(one_line(name), _NAME)


def _names(names: Sequence[str]) -> str:
    shown = [short(name) for name in names[:_NAMES]]
    more = len(names) - len(shown)
    return enumerate_words([*shown, f"{count(more)} more"] if more else shown)


def _p(value: float) -> str:
    return "p < 0.001" if value < _NOTHING else f"p = {share(value)}"


# Cells


def _shares(column: str) -> Callable[[dict[str, Any]], str]:
    return lambda row: MISSING if row[column] is None else share(row[column])


def _losses(column: str) -> Callable[[dict[str, Any]], str]:
    return lambda row: MISSING if row[column] is None else _loss(row[column])


def _loss(value: float) -> str:
    return share(value) if value > -1e-9 else f"-{share(-value)}"


def _percents(column: str) -> Callable[[dict[str, Any]], str]:
    return lambda row: MISSING if row[column] is None else percent(row[column])


def _counts(column: str) -> Callable[[dict[str, Any]], str]:
    return lambda row: MISSING if row[column] is None else count(round(row[column]))


def _numbers(column: str) -> Callable[[dict[str, Any]], str]:
    """Three digits that count."""
    return lambda row: MISSING if row[column] is None else _number(optional(row[column]))


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _bytes(value: int | None) -> str:
    if value is None:
        return MISSING
    for unit in ("B", "kB", "MB"):
        if value < 1_000:
            return f"{value:.3g} {unit}"
        value = value / 1_000  # type: ignore[assignment]
    return f"{value:,.3g} GB"
