"""Rank measures: how a ranking places what is judged relevant, as values that print as their spec.

Their names are those of `ir_measures`, and no span measure has one of them: ``Recall@5`` is of units and the
spans that cover them, ``R@5`` is of judged documents. Each kind has a parser of its own, so that no spec can
mean a number of the other kind without a word.

For all of them: ranks are from 1. A document is relevant from grade ``rel`` on (1 where not given); one of a
lower or a negative grade is not, and neither is one without a judgment. A query without a relevant document
has no value, NaN (trec_eval: 0). An empty ranking: 0. Fewer documents than the cut: those there are; what is
missing counts as not relevant. Ties are in order before a measure sees them (`Ties`), and no document is
ranked twice (`Rankings` refuses it). All values are in [0, 1].
"""

from __future__ import annotations

import difflib
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ragdiag.errors import ConfigError
from ragdiag.measures.judgments import Graded, Judged
from ragdiag.measures.options import whole_number

__all__ = [
    "NDCG",
    "AveragePrecision",
    "RPrecision",
    "RankMeasure",
    "RankPrecision",
    "RankRecall",
    "ReciprocalRank",
    "Success",
    "parse_rank_measure",
]

_Values = NDArray[np.float64]


class RankMeasure(ABC):
    """A measure of the rankings of many queries: call it. `parse_rank_measure` reads its repr back."""

    name: ClassVar[str]

    def __call__(self, judged: Judged) -> _Values:
        """The value of each query, shape (queries,); NaN where it has no relevant document."""
        needed = judged.count(self._relevant(judged.ideal))
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(needed > 0, self._values(judged, needed), np.nan)

    def _relevant(self, documents: Graded) -> Graded:
        """Those that this measure calls relevant."""
        return documents

    @abstractmethod
    def _values(self, judged: Judged, needed: _Values) -> _Values:
        """The value of each query, of which ``needed`` documents are relevant; anything where none is."""


@dataclass(frozen=True, repr=False)
class _BinaryMeasure(RankMeasure):
    """Knows a document as relevant (grade >= ``rel``) or not."""

    rel: int = field(default=1, kw_only=True)

    def __post_init__(self) -> None:
        _set_whole(self, "rel")

    def __repr__(self) -> str:
        return self.name + ("" if self.rel == 1 else f"(rel={self.rel})")

    def _relevant(self, documents: Graded) -> Graded:
        return documents if self.rel == 1 else documents.of_grade(self.rel)


@dataclass(frozen=True, repr=False)
class _CutMeasure(_BinaryMeasure):
    """Looks at the first ``k`` ranks, or, without a cut, at all."""

    k: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.k is not None:
            _set_whole(self, "k")

    def __repr__(self) -> str:
        return super().__repr__() + ("" if self.k is None else f"@{self.k}")

    def _found(self, judged: Judged) -> Graded:
        return self._relevant(judged.found.within(self.k))


@dataclass(frozen=True, repr=False)
class RankPrecision(_CutMeasure):
    """P@k = relevant documents among the first k / k.

    Divided by k even where fewer were found. There is no P without a cut.

    Source: ``P`` of trec_eval.

    Example:
        >>> RankPrecision(5), parse_rank_measure("p(rel=2)@10")
        (P@5, P(rel=2)@10)
    """

    name: ClassVar[str] = "P"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.k is None:
            raise ConfigError("P needs a cut, such as P@5: it is divided by it")

    def _values(self, judged: Judged, needed: _Values) -> _Values:  # noqa: ARG002
        return judged.count(self._found(judged)) / (self.k or 1)


@dataclass(frozen=True, repr=False)
class RankRecall(_CutMeasure):
    """R@k = relevant documents among the first k / relevant documents in all.

    Also below 1 where more than k are relevant.

    Source: ``recall`` of trec_eval.

    Example:
        >>> RankRecall(100), RankRecall()
        (R@100, R)
    """

    name: ClassVar[str] = "R"

    def _values(self, judged: Judged, needed: _Values) -> _Values:
        return judged.count(self._found(judged)) / needed


@dataclass(frozen=True, repr=False)
class Success(_CutMeasure):
    """Success@k = 1 if a relevant document is among the first k, else 0 (hit rate).

    Source: ``success`` of trec_eval.

    Example:
        >>> Success(1)
        Success@1
    """

    name: ClassVar[str] = "Success"

    def _values(self, judged: Judged, needed: _Values) -> _Values:  # noqa: ARG002
        return (judged.count(self._found(judged)) > 0).astype(np.float64)


@dataclass(frozen=True, repr=False)
class ReciprocalRank(_CutMeasure):
    """RR = 1 / the rank of the first relevant document; 0 where none is found within the cut.

    Its mean over queries is known as MRR.

    Source: Voorhees, TREC-8 question answering track (1999); ``recip_rank`` of trec_eval, which has no cut.

    Example:
        >>> ReciprocalRank(), ReciprocalRank(10)
        (RR, RR@10)
    """

    name: ClassVar[str] = "RR"

    def _values(self, judged: Judged, needed: _Values) -> _Values:  # noqa: ARG002
        found = self._found(judged)
        return judged.count(found, (_ordinals(found) == 1) / found.rank)


@dataclass(frozen=True, repr=False)
class AveragePrecision(_CutMeasure):
    """AP = Σ_r P@r / relevant documents in all, summed over the ranks r of relevant documents within the cut.

    Divided by all that are relevant, also those that were not found, and also where more than k are. Its mean
    over queries is known as MAP, and so it prints.

    Source: Buckley and Voorhees, TREC (2005), chapter 3; ``map`` and ``map_cut`` of trec_eval.

    Example:
        >>> AveragePrecision(), parse_rank_measure("ap@100")
        (MAP, MAP@100)
    """

    name: ClassVar[str] = "MAP"

    def _values(self, judged: Judged, needed: _Values) -> _Values:
        found = self._found(judged)
        return judged.count(found, _ordinals(found) / found.rank) / needed


@dataclass(frozen=True, repr=False)
class RPrecision(_BinaryMeasure):
    """Rprec = relevant documents among the first R / R, where R documents are relevant.

    Source: ``Rprec`` of trec_eval.

    Example:
        >>> RPrecision(), RPrecision(rel=2)
        (Rprec, Rprec(rel=2))
    """

    name: ClassVar[str] = "Rprec"

    def _values(self, judged: Judged, needed: _Values) -> _Values:
        found = self._relevant(judged.found)
        return judged.count(found, (found.rank <= needed[found.query]).astype(np.float64)) / needed


@dataclass(frozen=True, repr=False)
class NDCG(RankMeasure):
    """nDCG@k = DCG@k of the ranking / DCG@k of the best ranking of all judged documents.

    DCG@k = Σ_r gain(g_r) / log2(r + 1) over the first k ranks, with ``gain`` either

    - ``"linear"``: g, as in trec_eval (Järvelin and Kekäläinen, 2002, with the discount from rank 2 on), or
    - ``"burges"``: 2^g - 1 (Burges et al., 2005), which rewards high grades more.

    A negative grade has the gain 0. There is no ``rel``: each grade above 0 has its gain. The best ranking
    may need documents that were not found.

    Source: ``ndcg`` and ``ndcg_cut`` of trec_eval.

    Example:
        >>> NDCG(10), NDCG(gain="burges"), parse_rank_measure("ndcg@10") == NDCG(10)
        (nDCG@10, nDCG(gain=burges), True)
    """

    name: ClassVar[str] = "nDCG"

    k: int | None = None
    gain: Literal["linear", "burges"] = field(default="linear", kw_only=True)

    def __post_init__(self) -> None:
        if self.k is not None:
            _set_whole(self, "k")
        if self.gain not in ("linear", "burges"):
            raise ConfigError(f"nDCG: gain must be 'linear' or 'burges', got {self.gain!r}")

    def __repr__(self) -> str:
        gain = "" if self.gain == "linear" else f"(gain={self.gain})"
        return self.name + gain + ("" if self.k is None else f"@{self.k}")

    def _values(self, judged: Judged, needed: _Values) -> _Values:  # noqa: ARG002
        return self._dcg(judged, judged.found) / self._dcg(judged, judged.ideal)

    def _dcg(self, judged: Judged, documents: Graded) -> _Values:
        counted = documents.within(self.k)
        gains = counted.grade if self.gain == "linear" else np.exp2(counted.grade) - 1
        return judged.count(counted, gains / np.log2(counted.rank + 1))


def _ordinals(documents: Graded) -> NDArray[np.intp]:
    """The how-manieth of its query each document is, from 1."""
    return np.arange(1, len(documents.query) + 1) - np.searchsorted(documents.query, documents.query)


def _set_whole(measure: RankMeasure, option: str) -> None:
    """Check that an option is an integer >= 1, and make it an int."""
    object.__setattr__(measure, option, whole_number(measure.name, option, getattr(measure, option)))


_MEASURES: Mapping[str, type[RankMeasure]] = {
    spelling.casefold(): kind
    for kind in (RankPrecision, RankRecall, Success, ReciprocalRank, AveragePrecision, RPrecision, NDCG)
    for spelling in (kind.name, kind.__name__)
} | {"ap": AveragePrecision}

_OF_SPANS = {"recall": "R", "precision": "P", "hit": "Success", "mrr": "RR"}
"""What people may look for here by the name of a span measure."""

_SPEC = re.compile(
    r"""\s* (?P<name> \w+ )
        \s* (?: \( \s* (?P<option> rel | gain ) \s* = \s* (?P<value> \w+ ) \s* \) )?
        \s* (?: @ \s* (?P<k> [0-9]+ ) )? \s*""",
    re.VERBOSE | re.ASCII | re.IGNORECASE,
)


def parse_rank_measure(spec: str) -> RankMeasure:
    """The measure that a spec names, read without regard to case; ``parse_rank_measure(str(m)) == m``.

    A spec is a name, then perhaps ``(rel=2)`` or ``(gain=burges)``, then perhaps a cut ``@10``. ``AP`` is
    another name of MAP. The names of span measures (``Recall@5``, see `parse_measure`) are not taken, so that
    a number is never of another kind than its name says.

    Raises:
        ConfigError: no spec, an unknown name (the known ones are listed), or an option that the measure does
            not take.

    Example:
        >>> parse_rank_measure("ndcg(gain=burges)@10"), parse_rank_measure("map")
        (nDCG(gain=burges)@10, MAP)
    """
    match = _SPEC.fullmatch(spec)
    if match is None:
        raise ConfigError(
            f"rank measure {spec!r} cannot be read: expected a name such as MAP, nDCG@10, P(rel=2)@5 or "
            "nDCG(gain=burges)@10"
        )
    name = match["name"].casefold()
    if name not in _MEASURES:
        raise ConfigError(f"rank measure {spec!r} is not known{_hint(name)}; known: {_known()}")
    kind = _MEASURES[name]
    options: dict[str, int | str] = {}
    if match["k"]:
        options["k"] = int(match["k"])
    if match["option"]:
        value = match["value"].casefold()
        options[match["option"].casefold()] = int(value) if value.isdecimal() else value
    for option in options:
        if option not in getattr(kind, "__dataclass_fields__", {}):
            raise ConfigError(f"rank measure {spec!r}: {kind.name} takes no {option}")
    return kind(**options)


def _hint(name: str) -> str:
    if name in _OF_SPANS:
        return f": it is a span measure, that of judged documents is {_OF_SPANS[name]}"
    close = difflib.get_close_matches(name, _MEASURES, n=1)
    return f", did you mean {_MEASURES[close[0]].name}?" if close else ""


def _known() -> str:
    return ", ".join(sorted({kind.name for kind in _MEASURES.values()}, key=str.casefold))
