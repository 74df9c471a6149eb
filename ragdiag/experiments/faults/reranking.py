"""Faults of scoring the candidates again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ragdiag.errors import ConfigError
from ragdiag.experiments.faults.around import AroundReranker
from ragdiag.experiments.faults.chance import share_of
from ragdiag.experiments.faults.fault import Aim, Case, Fault
from ragdiag.stages.protocols import Reranker

__all__ = ["FAULTS"]

_LOVE = 1000.0  # far above what rerankers score
_SAMPLE = 12  # queries, and as many texts, over which the spread of scores is looked at


def _reranker(case: Case) -> Reranker:
    reranker = case.pipeline.reranker
    if reranker is None:
        raise ConfigError("the pipeline has no reranker")
    return reranker


@dataclass(frozen=True)
class _Inverted(AroundReranker):
    """Takes the best for the worst, for some queries."""

    share: float

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        sign = -1.0 if share_of(query, "inverted") < self.share else 1.0
        return [sign * score for score in self.inner.score(query, texts)]


def _inverted(case: Case, aim: Aim) -> Case:
    return case.using(reranker=_Inverted(_reranker(case), aim.severity))


@dataclass(frozen=True)
class _Random(AroundReranker):
    """Scores some queries' texts by chance, the same text always alike."""

    share: float

    def score(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        if share_of(query, "random") >= self.share:
            return self.inner.score(query, texts)
        return [share_of(text, query) for text in texts]


def _random(case: Case, aim: Aim) -> Case:
    return case.using(reranker=_Random(_reranker(case), aim.severity))


@dataclass(frozen=True)
class _Truncated:
    """Reads the beginning of each text only, and does not say so."""

    inner: Reranker
    characters: int

    def score(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        return self.inner.score(query, [text[: self.characters] for text in texts])


def _truncated(case: Case, aim: Aim) -> Case:
    return case.using(reranker=_Truncated(_reranker(case), max(1, round(aim.severity))))


@dataclass(frozen=True)
class _PhantomBoost(AroundReranker):
    """Loves some texts, whatever is asked."""

    share: float

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        scores = self.inner.score(query, texts)
        loved = [share_of(text, "loved") < self.share for text in texts]
        return [float(score) + _LOVE * love for score, love in zip(scores, loved, strict=True)]


def _phantom_boost(case: Case, aim: Aim) -> Case:
    return case.using(reranker=_PhantomBoost(_reranker(case), aim.severity))


@dataclass(frozen=True)
class _LengthBias(AroundReranker):
    """Adds to each score what the text's length is worth to it."""

    of_character: float

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        scores = self.inner.score(query, texts)
        return [float(s) + self.of_character * len(text) for s, text in zip(scores, texts, strict=True)]


def _length_bias(case: Case, aim: Aim) -> Case:
    """For every 1,000 characters so many times what scores of texts usually differ by."""
    healthy = aim.healthy
    texts = [d.text[:400] for d in healthy.documents[:: max(1, len(healthy.documents) // _SAMPLE)]]
    scores = [np.asarray(_reranker(healthy).score(q.text, texts)) for q in healthy.queries[:_SAMPLE]]
    spread = float(np.mean([np.std(of_query) for of_query in scores]))
    return case.using(reranker=_LengthBias(_reranker(case), aim.severity * spread / 1000))


FAULTS = (
    Fault(
        "reranker_inverted",
        stage="reranker",
        cause="demoted",
        what="for some queries the worst text comes first",
        reach="whole",
        parameter="share of the queries",
        severity=0.2,
        needs=("reranker",),
        wrap=_inverted,
    ),
    Fault(
        "reranker_random",
        stage="reranker",
        cause="demoted",
        what="for some queries texts are scored by chance",
        reach="whole",
        parameter="share of the queries",
        severity=0.2,
        needs=("reranker",),
        wrap=_random,
    ),
    Fault(
        "reranker_truncated",
        stage="reranker",
        cause="truncated",
        what="the reranker reads the beginning of each text only",
        reach="whole",
        parameter="characters that are read",
        severity=150,
        needs=("reranker",),
        wrap=_truncated,
    ),
    Fault(
        "phantom_boost",
        stage="reranker",
        cause="phantom",
        what="the reranker loves some texts, whatever is asked",
        reach="whole",
        parameter="share of all texts",
        severity=0.05,
        needs=("reranker",),
        wrap=_phantom_boost,
    ),
    Fault(
        "length_bias",
        stage="reranker",
        cause="demoted",
        what="the reranker prefers long texts",
        reach="whole",
        parameter="standard deviations of a query's scores for 1,000 characters",
        severity=3,
        needs=("reranker",),
        wrap=_length_bias,
    ),
)
