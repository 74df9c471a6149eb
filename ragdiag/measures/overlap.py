"""Span measures: what one query got of its evidence, as values that print as their spec.

A measure maps one `Delivery`, which holds the counts that all of them need, to one number in [0, 1].
All characters counted here are non-whitespace characters.
"""

from __future__ import annotations

import difflib
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ragdiag.errors import ConfigError, DataError
from ragdiag.measures.delivery import Delivery
from ragdiag.measures.options import whole_number

__all__ = [
    "MRR",
    "All",
    "ContextPrecision",
    "Hit",
    "IoU",
    "Omega",
    "Precision",
    "Recall",
    "SpanMeasure",
    "parse_measure",
]


class SpanMeasure(ABC):
    """A measure of one `Delivery`: call it. Its repr is its spec, which `parse_measure` reads back."""

    name: ClassVar[str]

    @abstractmethod
    def __call__(self, delivery: Delivery) -> float:
        """The value for one query, in [0, 1]."""

    def __repr__(self) -> str:
        return self.name


@dataclass(frozen=True, repr=False)
class _CutMeasure(SpanMeasure):
    """Looks at a prefix: the first ``k`` chunks, or what fits into ``tokens``, or (neither given) all.

    A token budget takes chunks in order while their sum fits and stops at the first that does not.
    """

    k: int | None = None
    tokens: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        for option in ("k", "tokens"):
            value = getattr(self, option)
            if value is not None:
                object.__setattr__(self, option, whole_number(self.name, option, value))
        if self.k is not None and self.tokens is not None:
            raise ConfigError(
                f"{self.name}: give k or tokens, not both; got k={self.k}, tokens={self.tokens}"
            )

    def __repr__(self) -> str:
        cut = f"@{self.k}" if self.k is not None else f"@{self.tokens}t" if self.tokens is not None else ""
        return self.name + self._options() + cut

    def _options(self) -> str:
        return ""

    def _depth(self, delivery: Delivery) -> int:
        if self.tokens is not None:
            if delivery.tokens is None:
                raise DataError(f"{self} needs the tokens of each chunk, but this Delivery has none")
            return int(np.searchsorted(delivery.tokens.cumsum(), self.tokens, side="right"))
        chunks = delivery.chunk_characters.size
        return chunks if self.k is None else min(self.k, chunks)


@dataclass(frozen=True, repr=False)
class _DeliveredMeasure(_CutMeasure):
    """Knows a unit as delivered (coverage >= ``min_coverage``, compared without tolerance) or lost."""

    min_coverage: float = field(default=1.0, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.min_coverage <= 1:
            raise ConfigError(f"{self.name}: min_coverage must be in (0, 1], got {self.min_coverage!r}")
        object.__setattr__(self, "min_coverage", float(self.min_coverage))

    def _options(self) -> str:
        return "" if self.min_coverage == 1 else f"(min_coverage={self.min_coverage})"

    def _reciprocal_ranks(self, delivery: Delivery) -> NDArray[np.float64]:
        """1 / the rank at which each unit is delivered; 0 where that is not within the cut."""
        ranks = delivery.first_ranks(self.min_coverage)
        return np.where(ranks <= self._depth(delivery), 1 / ranks, 0.0)


@dataclass(frozen=True, repr=False)
class Recall(_CutMeasure):
    """Mean over the units of their coverage by the first k chunks, or by what fits into a token budget.

    Soft: half of a span counts as half. The union counts, so duplicates and overlaps add nothing. Fewer
    than k chunks: those there are; an empty ranking: 0. A query without evidence has no value.

    Source: span recall of the report "Evaluating Chunking Strategies for Retrieval" (Smith and Troynikov,
    Chroma, 2024), with each unit weighing the same whatever its length.

    Example:
        >>> halves = Delivery([[0], [0.5], [1]], [0, 10, 20], [20, 10, 0], [40, 40], [True, True])
        >>> Recall(1)(halves), Recall()(halves), Recall(tokens=512)
        (0.5, 1.0, Recall@512t)
    """

    name: ClassVar[str] = "Recall"

    def __call__(self, delivery: Delivery) -> float:
        """Mean coverage of the units, in [0, 1]."""
        return float(delivery.unit_coverage[self._depth(delivery)].mean())


@dataclass(frozen=True, repr=False)
class Hit(_DeliveredMeasure):
    """1 if the first k chunks deliver at least one unit, else 0 (success@k of units).

    Delivered: coverage >= ``min_coverage`` by the union, so duplicates add nothing. Fewer than k chunks:
    those there are; an empty ranking: 0. A query without evidence has no value.

    Example:
        >>> halves = Delivery([[0], [0.5], [1]], [0, 10, 20], [20, 10, 0], [40, 40], [True, True])
        >>> Hit(1)(halves), Hit(2)(halves), Hit(1, min_coverage=0.5)(halves), Hit(1, min_coverage=0.5)
        (0.0, 1.0, 1.0, Hit(min_coverage=0.5)@1)
    """

    name: ClassVar[str] = "Hit"

    def __call__(self, delivery: Delivery) -> float:
        """0.0 or 1.0."""
        return float((self._reciprocal_ranks(delivery) > 0).any())


@dataclass(frozen=True, repr=False)
class All(_DeliveredMeasure):
    """1 if the first k chunks deliver every unit, else 0: what a question of several hops needs.

    Edge cases as for `Hit`, to which it is equal where there is one unit.

    Example:
        >>> halves = Delivery([[0], [0.5], [1]], [0, 10, 20], [20, 10, 0], [40, 40], [True, True])
        >>> All(2), All(2)(halves)
        (All@2, 1.0)
    """

    name: ClassVar[str] = "All"

    def __call__(self, delivery: Delivery) -> float:
        """0.0 or 1.0."""
        return float((self._reciprocal_ranks(delivery) > 0).all())


@dataclass(frozen=True, repr=False)
class MRR(_DeliveredMeasure):
    """Mean over the units of 1 / the rank of the chunk that completes them; 0 for a unit lost within k.

    The rank is that of the first prefix whose union delivers the unit, so a unit in two halves has the rank
    of the second half. Duplicates above it push it down. Fewer than k chunks: those there are; an empty
    ranking: 0. A query without evidence has no value. Where one chunk holds the whole unit this is the
    reciprocal rank of TREC-8 question answering (Voorhees, 1999), per unit.

    Example:
        >>> halves = Delivery([[0], [0.5], [1]], [0, 10, 20], [20, 10, 0], [40, 40], [True, True])
        >>> MRR(10), MRR(10)(halves)
        (MRR@10, 0.5)
    """

    name: ClassVar[str] = "MRR"

    def __call__(self, delivery: Delivery) -> float:
        """Mean reciprocal rank of the units, in [0, 1]."""
        return float(self._reciprocal_ranks(delivery).mean())


@dataclass(frozen=True, repr=False)
class Precision(_CutMeasure):
    """Characters of evidence (each once) / characters delivered by the first k chunks.

    What is delivered twice is paid for twice: overlaps and duplicates count again below the line, never
    above it. All alternatives count as evidence. Fewer than k chunks: divided by what there is (a character
    has no rank to fill); nothing delivered: 0. A query without evidence has no value.

    Source: precision of the report "Evaluating Chunking Strategies for Retrieval" (Smith and Troynikov,
    Chroma, 2024), in characters in place of tokens.

    Example:
        >>> halves = Delivery([[0], [0.5], [1]], [0, 10, 20], [20, 10, 0], [40, 40], [True, True])
        >>> Precision(2), Precision(2)(halves)
        (Precision@2, 0.25)
    """

    name: ClassVar[str] = "Precision"

    def __call__(self, delivery: Delivery) -> float:
        """Share of the delivered characters that is evidence, in [0, 1]."""
        depth = self._depth(delivery)
        return _share(delivery.evidence_characters[depth], delivery.chunk_characters[:depth].sum())


@dataclass(frozen=True, repr=False)
class IoU(_CutMeasure):
    """Characters of evidence delivered / (characters delivered + characters of evidence still missing).

    1 only where the first k chunks are the evidence and nothing else. Duplicates count again below the line,
    as in `Precision`. With one alternative a unit this is |E ∩ D| / (|E| + |D| - |E ∩ D|); with several, each
    unit misses only what completes its nearest alternative. An empty ranking: 0; fewer than k chunks: those
    there are. A query without evidence has no value.

    Source: the token-wise Jaccard index of the report "Evaluating Chunking Strategies for Retrieval" (Smith
    and Troynikov, Chroma, 2024), in characters in place of tokens.

    Example:
        >>> halves = Delivery([[0], [0.5], [1]], [0, 10, 20], [20, 10, 0], [40, 40], [True, True])
        >>> IoU(1)(halves), IoU(2)(halves)
        (0.2, 0.25)
    """

    name: ClassVar[str] = "IoU"

    def __call__(self, delivery: Delivery) -> float:
        """Intersection over union, in [0, 1]."""
        depth = self._depth(delivery)
        delivered = delivery.chunk_characters[:depth].sum()
        return _share(delivery.evidence_characters[depth], delivered + delivery.missing_characters[depth])


@dataclass(frozen=True, repr=False)
class ContextPrecision(_CutMeasure):
    """CP@k = Σ_r v_r · P@r / Σ_r v_r over the first k ranks; v_r says whether chunk r is relevant.

    Are the relevant chunks above the others? 1 where no irrelevant chunk stands above a relevant one, 0
    where none is relevant. P@r is the share of relevant chunks among the first r. Blind to what was not
    retrieved: average precision divided by the relevant chunks *found*. A duplicate counts as one more
    relevant chunk. Fewer than k chunks: those there are. A query without evidence has no value.

    Source: context precision as in RAGAS (Es et al., 2024), with relevance from spans, not from a model.

    Example:
        >>> halves = Delivery([[0], [0.5], [1]], [0, 10, 20], [20, 10, 0], [40, 40], [True, True])
        >>> ContextPrecision(5), ContextPrecision(5)(halves)
        (CP@5, 1.0)
    """

    name: ClassVar[str] = "CP"

    def __call__(self, delivery: Delivery) -> float:
        """Average precision over the relevant chunks found, in [0, 1]."""
        relevant = delivery.relevant[: self._depth(delivery)]
        if not relevant.any():
            return 0.0
        precision_at = relevant.cumsum() / np.arange(1, len(relevant) + 1)
        return float(precision_at[relevant].mean())


@dataclass(frozen=True, repr=False)
class Omega(SpanMeasure):
    """Precision if every chunk that touches the evidence were retrieved, and no other.

    Characters of evidence / characters in the union of those chunks: what the chunker alone costs, the same
    for every ranking. No cutoff. Each character counts once, so overlap costs nothing here. 0 where no chunk
    touches the evidence. Needs `Delivery.touching`. A query without evidence has no value.

    Source: precision omega of the report "Evaluating Chunking Strategies for Retrieval" (Smith and
    Troynikov, Chroma, 2024), in characters in place of tokens.

    Example:
        >>> halves = Delivery(
        ...     [[0], [0.5], [1]], [0, 10, 20], [20, 10, 0], [40, 40], [True, True], touching=(20, 80)
        ... )
        >>> Omega(), Omega()(halves)
        (Omega, 0.25)
    """

    name: ClassVar[str] = "Omega"

    def __call__(self, delivery: Delivery) -> float:
        """Precision at full recall, in [0, 1].

        Raises:
            DataError: the delivery does not say what touches the evidence.
        """
        if delivery.touching is None:
            raise DataError("Omega needs Delivery.touching, the chunks of the index that touch the evidence")
        return _share(*delivery.touching)


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else 0.0


_MEASURES: dict[str, type[SpanMeasure]] = {
    spelling.casefold(): kind
    for kind in (Recall, Hit, All, MRR, Precision, IoU, Omega, ContextPrecision)
    for spelling in (kind.name, kind.__name__)
}
_SPEC = re.compile(
    r"""\s* (?P<name> \w+ )
        \s* (?: \( \s* min_coverage \s* = \s* (?P<min_coverage> [0-9.e+-]+ ) \s* \) )?
        \s* (?: @ \s* (?P<cut> [0-9]+ ) (?P<tokens> t | \s* tokens )? )? \s*""",
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)


def parse_measure(spec: str) -> SpanMeasure:
    """The measure that a spec names, read without regard to case; ``parse_measure(str(m)) == m``.

    A spec is a name, then perhaps ``(min_coverage=…)``, then perhaps a cut: ``@5`` (chunks) or ``@512t``
    (tokens; ``@512tokens`` too).

    Raises:
        ConfigError: no spec, an unknown name (the known ones are listed), or an option it does not take.

    Example:
        >>> parse_measure("recall@5") == Recall(5), parse_measure("ContextPrecision@3")
        (True, CP@3)
    """
    match = _SPEC.fullmatch(spec)
    if match is None:
        raise ConfigError(
            f"measure {spec!r} cannot be read: expected a name such as Recall, Recall@5 (chunks), "
            "Recall@512t (tokens) or Hit(min_coverage=0.8)@5"
        )
    kind = _MEASURES.get(match["name"].casefold())
    if kind is None:
        raise ConfigError(f"measure {spec!r} is not known{_nearest(match['name'])}; known: {_known()}")
    options: dict[str, float] = {}
    if match["cut"]:
        options["tokens" if match["tokens"] else "k"] = int(match["cut"])
    if match["min_coverage"]:
        options["min_coverage"] = _number(match["min_coverage"], spec)
    for option in options:
        if option not in getattr(kind, "__dataclass_fields__", {}):
            raise ConfigError(f"measure {spec!r}: {kind.name} takes no {option}")
    return kind(**options)


def _number(text: str, spec: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"measure {spec!r}: min_coverage must be a number, got {text!r}") from None


def _nearest(name: str) -> str:
    close = difflib.get_close_matches(name.casefold(), _MEASURES, n=1)
    return f", did you mean {_MEASURES[close[0]].name}?" if close else ""


def _known() -> str:
    return ", ".join(sorted({kind.name for kind in _MEASURES.values()}))
