"""What a bar can be set for, each read off a diagnosis with a lower and an upper bound.

Shares (span measures and losses by stage) are means over queries of values in [0, 1]. The tokens of a context
are one, too, in units of the largest context that k chunks allow. Latency is a quantile, which needs no mean.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ragdiag.diagnosis.ledger import LOSS_STAGES
from ragdiag.diagnosis.result import Diagnosis
from ragdiag.errors import ConfigError, DataError
from ragdiag.measures.bounds import bounds, questions_needed
from ragdiag.measures.overlap import SpanMeasure, parse_measure
from ragdiag.measures.statistics import Clusters
from ragdiag.trace import Trace

__all__ = [
    "ContextTokens",
    "Latency",
    "Loss",
    "Measure",
    "Quantity",
    "Reading",
    "Share",
    "clusters_of",
    "parse_quantity",
]

_Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Reading:
    """A quantity as the queries show it.

    Attributes:
        value: of these queries.
        low: what it surely exceeds, one-sided; NaN where so few queries give no such bound.
        high: what it surely stays under, the same way.
        n: the number of queries.
        method: how the bounds were made, and what is wrong with them where something is.
    """

    value: float
    low: float
    high: float
    n: int
    method: str


class Quantity(ABC):
    """What a bar is set for.

    Attributes:
        better: whether ``more`` of it is better or ``less``.
        unit: what it is counted in.
    """

    better: ClassVar[str]
    unit: ClassVar[str] = "share"

    @property
    @abstractmethod
    def name(self) -> str:
        """As it stands in a bar."""

    @abstractmethod
    def read(self, diagnosis: Diagnosis, *, confidence: float) -> Reading:
        """Its value with both bounds, each one-sided at ``confidence``."""

    @abstractmethod
    def needed(self, diagnosis: Diagnosis, limit: float, *, confidence: float) -> int | None:
        """How many queries would decide between it and ``limit``; None where no number of them would."""

    def check_limit(self, limit: float) -> None:
        """Refuses a limit that makes no bar.

        Raises:
            ConfigError: it is not positive.
        """
        if not limit > 0:
            raise ConfigError(f"a bar for {self.name} must be above 0, got {limit:g}")


class Share(Quantity):
    """A mean over queries of values in [0, 1]."""

    @abstractmethod
    def by_query(self, diagnosis: Diagnosis) -> _Values:
        """One value for each assessed query, shape (queries,)."""

    def read(self, diagnosis: Diagnosis, *, confidence: float) -> Reading:
        """The mean with both bounds; queries about one document count for less than others."""
        found = bounds(self.by_query(diagnosis), clusters=clusters_of(diagnosis), confidence=confidence)
        return Reading(found.value, found.low, found.high, found.n, found.method)

    def needed(self, diagnosis: Diagnosis, limit: float, *, confidence: float) -> int | None:
        """As many questions of the same mix."""
        values, clusters = self.by_query(diagnosis), clusters_of(diagnosis)
        return questions_needed(values, limit, clusters=clusters, confidence=confidence)

    def check_limit(self, limit: float) -> None:
        """Refuses what no share can be, and what no sample can show.

        Raises:
            ConfigError: the limit is outside [0, 1], or the best value there is.
        """
        if not 0 <= limit <= 1:
            percent = f"; {limit:g}% is {limit / 100:g}" if 1 < limit <= 100 else ""
            raise ConfigError(f"a bar for {self.name} must be a share in [0, 1], got {limit:g}{percent}")
        if limit == (1 if self.better == "more" else 0):
            raise ConfigError(
                f"a bar for {self.name} cannot be {limit:g}: no number of questions can show that none of "
                f"all others fails; ask for less, such as {'0.95' if self.better == 'more' else '0.05'}"
            )


@dataclass(frozen=True)
class Measure(Share):
    """A span measure, such as ``Recall@5``; more is better."""

    better: ClassVar[str] = "more"
    measure: SpanMeasure

    @property
    def name(self) -> str:
        """The measure's spec."""
        return repr(self.measure)

    def by_query(self, diagnosis: Diagnosis) -> _Values:
        """The measure of each query; with a cut of the final ranking, without one of the context."""
        return diagnosis.measure_by_query(self.measure)


@dataclass(frozen=True)
class Loss(Share):
    """What a stage loses of recall; less is better."""

    better: ClassVar[str] = "less"
    stage: str

    @property
    def name(self) -> str:
        """Such as ``loss[reranker]``."""
        return f"loss[{self.stage}]"

    def by_query(self, diagnosis: Diagnosis) -> _Values:
        """What each query loses there; what is regained counts as no loss.

        Raises:
            ConfigError: the pipeline has no such stage.
        """
        stages = diagnosis.ledger.stages
        if self.stage not in stages:
            raise ConfigError(
                f"{self.name}: this pipeline has no {self.stage}; its losses are those of {', '.join(stages)}"
            )
        steps = diagnosis.charged_steps("soft")
        return np.asarray(np.clip(steps[:, list(stages).index(self.stage)], 0, 1))


@dataclass(frozen=True)
class ContextTokens(Quantity):
    """The tokens that reach the prompt for a question, in the mean; less is better.

    Tokens are those of the chunks as the packer, or else the embedder, counts them; a chunk that the packer
    shortened takes its part by its characters. No context can be larger than the k largest chunks together,
    so that tokens are shares of that, and have the bounds that shares have.
    """

    better: ClassVar[str] = "less"
    unit: ClassVar[str] = "tokens"

    @property
    def name(self) -> str:
        """It has no options."""
        return "tokens"

    def read(self, diagnosis: Diagnosis, *, confidence: float) -> Reading:
        """The mean with both bounds, in tokens."""
        shares, most = self._shares(diagnosis)
        found = bounds(shares, clusters=clusters_of(diagnosis), confidence=confidence)
        value, low, high = (most * share for share in (found.value, found.low, found.high))
        return Reading(value, low, high, found.n, found.method)

    def needed(self, diagnosis: Diagnosis, limit: float, *, confidence: float) -> int | None:
        """As many questions of the same mix."""
        shares, most = self._shares(diagnosis)
        clusters = clusters_of(diagnosis)
        return questions_needed(shares, limit / most, clusters=clusters, confidence=confidence)

    def _shares(self, diagnosis: Diagnosis) -> tuple[_Values, float]:
        """The tokens of each context as shares of the most that there can be, and that."""
        trace = diagnosis.trace
        if trace.chunk_tokens is None:
            raise DataError(
                "a bar for tokens needs a packer or an embedder that counts them, and this pipeline has none"
            )
        most = float(max(1, sum(sorted(trace.chunk_tokens)[-trace.top_k :])))
        tokens = [_tokens_of_context(trace, query.id) for query in diagnosis.assessed]
        return np.array(tokens) / most, most


@dataclass(frozen=True)
class Latency(Quantity):
    """The time that a given percentage of single queries does not exceed, in milliseconds; less is better.

    The bounds are order statistics, right whatever the distribution (Conover, 1999), for queries asked on
    the same machine under the same load. Other machines are another matter, which no statistics can mend.
    """

    better: ClassVar[str] = "less"
    unit: ClassVar[str] = "ms"
    percent: int

    @property
    def name(self) -> str:
        """Such as ``latency_p95``."""
        return f"latency_p{self.percent}"

    def read(self, diagnosis: Diagnosis, *, confidence: float) -> Reading:
        """The quantile with both bounds, in milliseconds."""
        from scipy.stats import quantile_test  # heavy

        took, share = self._milliseconds(diagnosis), self.percent / 100
        ends = {
            side: quantile_test(took, p=share, alternative=side).confidence_interval(confidence)
            for side in ("less", "greater")
        }
        return Reading(
            value=float(np.quantile(took, share)),
            low=float(ends["greater"].low),
            high=float(ends["less"].high),
            n=len(took),
            method="order statistics",
        )

    def needed(self, diagnosis: Diagnosis, limit: float, *, confidence: float) -> int | None:
        """As many queries, of which the same share is quick enough."""
        quick = (self._milliseconds(diagnosis) <= limit).astype(float)
        return questions_needed(quick, self.percent / 100, confidence=confidence)

    def _milliseconds(self, diagnosis: Diagnosis) -> _Values:
        latency = diagnosis.trace.costs.latency
        if not latency:
            raise DataError(
                f"a bar for {self.name} needs the latency of single queries, which this diagnosis lacks: "
                "diagnose with latency_queries=100, and judge before it is saved (timings are in no file)"
            )
        return 1e3 * np.array(latency["total"])


def clusters_of(diagnosis: Diagnosis) -> Clusters:
    """Which assessed queries share documents."""
    return Clusters.of([query.doc_ids for query in diagnosis.assessed])


def _tokens_of_context(trace: Trace, query_id: str) -> float:
    taken = 0.0
    for chunk in trace[query_id].context:
        position = trace.position[chunk.id]
        whole = _characters(trace.chunks[position].text)
        left = min(1.0, _characters(chunk.text) / whole) if whole else 1.0
        taken += left * trace.chunk_tokens[position]  # type: ignore[index]  # checked before
    return taken


def _characters(text: str) -> int:
    return sum(map(len, text.split()))


_LOSS = re.compile(r"loss\s*\[\s*(\w+)\s*\]", re.IGNORECASE)
_LATENCY = re.compile(r"latency_?p([1-9][0-9]?)", re.IGNORECASE)


def parse_quantity(spec: str) -> Quantity:
    """The quantity that a spec names, read without regard to case; underscores in names do not count.

    Raises:
        ConfigError: there is no such quantity.

    Example:
        >>> parse_quantity("context_precision@5").name, parse_quantity("LOSS[reranker]").name
        ('CP@5', 'loss[reranker]')
    """
    if found := _LOSS.fullmatch(spec):
        stage = found[1].lower()
        if stage not in LOSS_STAGES:
            raise ConfigError(f"{spec}: there is no stage {stage!r}; there are {', '.join(LOSS_STAGES)}")
        return Loss(stage)
    if found := _LATENCY.fullmatch(spec):
        return Latency(int(found[1]))
    if spec.lower() == "tokens":
        return ContextTokens()
    name, rest = re.fullmatch(r"([^(@]*)(.*)", spec, re.DOTALL).groups()  # type: ignore[union-attr]
    try:
        return Measure(parse_measure(name.replace("_", "") + rest))
    except ConfigError as error:
        raise ConfigError(
            f"{error}; beside measures there are loss[STAGE], tokens, and latency_p95 and the like"
        ) from error
