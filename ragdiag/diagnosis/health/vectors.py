"""Health of the embedder and its vectors: what is cut off, their lengths, directions and hubs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ragdiag.diagnosis.checks.check import NotApplicable
from ragdiag.diagnosis.geometry import hub_counts, mean_cosine, skewness
from ragdiag.diagnosis.health.check import HealthCheck, Sight, of_all, percent
from ragdiag.diagnosis.health.survey import Survey
from ragdiag.errors import DataError

__all__ = ["CHECKS", "Hub"]

ANISOTROPIC = 0.9
"""The mean cosine over which scores differ too little to mean much. It is high on purpose: models trained
with a low temperature put all texts at .7 to 1 (so the cards of the E5 models), and their order is good."""

HUB_DEPTH = 10
"""How many nearest chunks of a query count for hubs, as in Radovanović et al., JMLR 2010."""

HUB_TIMES = 5
"""A hub is found this many times as often as the average chunk, "very often" in the words of that paper; some
are found twice or three times as often because there is more to ask of them."""

HUB_SHARE = 0.25
"""And by this share of the queries: what fewer have in common may be their subject."""

FEWEST_PROBES = 20
"""Under this many queries no share is claimed."""


@dataclass(frozen=True, slots=True)
class Hub:
    """A chunk that is near to a great many queries.

    Attributes:
        chunk_id: which one.
        queries: to how many, among their nearest `HUB_DEPTH`.
        share: the same as a share.
    """

    chunk_id: str
    queries: int
    share: float


def _truncated(survey: Survey) -> Sight:
    limit = getattr(survey.embedder, "max_tokens", None)
    if limit is None:
        raise NotApplicable("The embedder declares no input limit (max_tokens).")
    if survey.indexed_tokens is None:
        raise NotApplicable("The embedder does not count tokens (count_tokens).")
    tokens = np.array(survey.indexed_tokens)
    over = tokens > int(limit)
    cut_off = int((tokens - int(limit))[over].sum())
    longest = int(tokens.argmax())
    chunks = of_all(int(over.sum()), len(tokens), "chunks")
    seen = (
        f"Over the {int(limit):,} tokens that the embedder reads: {chunks}; the longest, "
        f"{survey.chunks[longest].id!r}, has {tokens[longest]:,}."
    )
    if cut_off:
        seen += f" Not embedded: {of_all(cut_off, int(tokens.sum()), 'tokens')}."
    return Sight(bool(over.any()), float(over.mean()), seen)


def _lengths(survey: Survey) -> Sight:
    lengths = survey.lengths
    zero = np.flatnonzero(lengths == 0)
    seen = f"Of {len(lengths):,} vectors {len(zero) or 'none'} {'is' if len(zero) < 2 else 'are'} zero"
    if len(zero):
        seen += f", first that of chunk {survey.chunks[int(zero[0])].id!r}"
    rest = lengths[lengths > 0]
    if len(rest):
        low, median, high = (f"{length:.4g}" for length in np.percentile(rest, [0, 50, 100]))
        seen += f"; the others have the length {low}"
        seen += f" to {high}, the median {median}" if low != high else ""
    return Sight(bool(len(zero)), len(zero), f"{seen}.")


def _anisotropy(survey: Survey) -> Sight:
    try:
        mean = mean_cosine(survey.vectors)
    except DataError as error:
        raise NotApplicable(f"{str(error)[0].upper()}{str(error)[1:]}.") from error
    seen = f"Two different chunks have a cosine of {mean:.3f} on average, over all pairs."
    return Sight(mean > ANISOTROPIC, mean, seen)


def _hubs(survey: Survey) -> Sight:
    probes, size = survey.probes, len(survey.chunks)
    if len(probes) < FEWEST_PROBES:
        raise NotApplicable(f"No share is claimed of {probes.words}; it takes {FEWEST_PROBES:,}.")
    if size < HUB_DEPTH * HUB_TIMES:
        raise NotApplicable(
            f"Of {size:,} chunks each is among the {HUB_DEPTH} nearest of many queries; it takes "
            f"{HUB_DEPTH * HUB_TIMES}."
        )
    counts = hub_counts(
        survey.vectors, probes.vectors, HUB_DEPTH, survey.similarity, own_rows=probes.own_rows
    )
    mean = float(counts.mean())
    order = np.argsort(-counts, kind="stable")
    hubs = order[counts[order] >= max(HUB_TIMES * mean, HUB_SHARE * len(probes))]
    most = int(order[0])
    average = percent(mean / len(probes))
    seen = (
        f"By {probes.words}: chunk {survey.chunks[most].id!r} is among the {HUB_DEPTH} nearest of "
        f"{of_all(int(counts[most]), len(probes), 'queries')}, the average chunk of {average} "
        f"(skewness {skewness(counts):.1f}); {of_all(len(hubs), size, 'chunks')} are hubs"
    )
    if len(hubs):
        seen += f" and take {percent(counts[hubs].sum() / counts.sum())} of all these places"
    rows = (Hub(survey.chunks[i].id, int(counts[i]), float(counts[i] / len(probes))) for i in hubs.tolist())
    return Sight(bool(len(hubs)), float(counts[most] / len(probes)), f"{seen}.", tuple(rows))


CHECKS = (
    HealthCheck("input limit", "share of chunks", _truncated, "embedder.truncated"),
    HealthCheck(
        "zero vectors",
        "vectors",
        _lengths,
        advice="Find out which texts the model makes nothing of, and leave them out or mend them.",
    ),
    HealthCheck("anisotropy", "mean cosine", _anisotropy, "embedder.anisotropy"),
    HealthCheck("hubs", "share of queries", _hubs, "embedder.hubs"),
)
"""In the order in which they are shown."""
