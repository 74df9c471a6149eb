"""Where does the chunk lie among the vectors? Checks of ranks, near-copies, hubs and spread.

Each cause takes some chunks out of the exact search, or the common part out of all vectors, and is seen where
that brings the chunk among the candidates. `depth` is left for a rank just beyond them that none of the
crowds before the chunk explains.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ragdiag.diagnosis.checks.bench import Bench, Loss
from ragdiag.diagnosis.checks.check import Check, NotApplicable
from ragdiag.diagnosis.checks.places import Place, place_of, rank_by_vectors
from ragdiag.diagnosis.geometry import cosines, hub_counts, mean_cosine
from ragdiag.diagnosis.verdicts import Finding
from ragdiag.errors import DataError
from ragdiag.stages.protocols import Vectors
from ragdiag.stages.similarity import directions

__all__ = ["CHECKS"]

# How far candidates can be raised without much ado: to twice as many, or, where a reranker will choose among
# them, to as many as pipelines usually have.
_JUST_BEYOND = 2
_USUAL_CANDIDATES = 50

# A near-copy has nearly the same vector *and* mostly the same words: where a model tells little apart (few
# dimensions, one common direction), other texts have nearly the same vector too.
_SAME_VECTOR = 0.95
_SAME_WORDS = 0.5  # of the words of both, the share that both hold
_ALIKE = f"cosine >= {_SAME_VECTOR:g}, half of the words shared"
_BLOCK = 128  # rows compared at once; most crowds are ruled out by the first block

_ENOUGH_QUERIES = 20  # under them one query is more than a twentieth of all, and chance makes hubs
_HUB_SHARE = 0.25  # of all queries: what ranks high for so many is not about one of them
_HUB_DEVIATIONS = 3.0  # beyond the mean: under 2 in 1,000 chunks reach it where neighbors are spread evenly

# The mean cosine at which scores are called narrow. Models that search well reach .7 to .8 (those trained at
# a low temperature, such as E5), where order tells texts apart though values hardly do.
_NARROW = 0.8


def depth(bench: Bench, loss: Loss) -> Finding | None:
    """A little more candidates would hold it."""
    place = place_of(bench, loss)
    if place is None or place.rank > _deepest(bench, place) or _is_crowded_out(bench, loss, place):
        return None
    observation = f"It has {place}: {place.rank:,} candidates would hold it."
    return Finding("embedder.depth", observation, "measured")


def _deepest(bench: Bench, place: Place) -> int:
    reranked = bench.index.pipeline.reranker is not None
    return max(_JUST_BEYOND * place.n, _USUAL_CANDIDATES * reranked)


def near_duplicates(bench: Bench, loss: Loss) -> Finding | None:
    """Without near-copies of itself it would be among the candidates."""
    place = place_of(bench, loss)
    copies = None if place is None else _own_copies(bench, loss, place)
    if place is None or copies is None:
        return None
    observation = (
        f"It has {place}; {_of_those(len(copies), place)} near-copies of it without the evidence ({_ALIKE}), "
        f"the first at rank {copies[0]:,}. Without them it would have rank {place.rank - len(copies):,}."
    )
    return Finding("embedder.near_duplicates", observation, "measured")


def crowding(bench: Bench, loss: Loss) -> Finding | None:
    """With one of each group of near-copies before it, it would be among the candidates."""
    place = place_of(bench, loss)
    crowd = None if place is None else _crowd(bench, loss, place)
    if place is None or crowd is None:
        return None
    texts = f"{crowd.texts:,} text{'s' * (crowd.texts > 1)}"
    observation = (
        f"It has {place}; {_of_those(crowd.members, place)} near-copies of {texts} ({_ALIKE}). "
        f"With each text once it would have rank {place.rank - crowd.repeats:,}."
    )
    return Finding("embedder.crowding", observation, "measured")


def hubs(bench: Bench, loss: Loss) -> Finding | None:
    """Without chunks that are near to a great many queries it would be among the candidates.

    A hub's k-occurrence lies three standard deviations above the mean of neighbors that are spread evenly,
    and it is near to a quarter of all queries.

    Source: Radovanović, Nanopoulos & Ivanović, "Hubs in space", JMLR 11, 2010.
    """
    queries = len(bench.diagnosis.assessed)
    place = place_of(bench, loss)
    if queries < _ENOUGH_QUERIES:
        raise NotApplicable(f"{queries} queries are too few to see hubs, which takes {_ENOUGH_QUERIES}")
    if place is None or _crowd(bench, loss, place) is not None:
        return None
    found = _hubs_before(bench, loss, place)
    if found is None:
        return None
    counts = _occurrences(bench)[found]
    most = int(counts.max())
    each = f"of {most}" if counts.min() == most else f"of {int(counts.min())} to {most}"
    observation = (
        f"It has {place}; {_of_those(len(found), place)} hubs, each among the {place.n:,} nearest {each} of "
        f"all {queries:,} queries, where {place.n * queries / place.total:.1f} would be even. Without them "
        f"it would have rank {place.rank - len(found):,}."
    )
    return Finding("embedder.hubs", observation, "measured")


def anisotropy(bench: Bench, loss: Loss) -> Finding | None:
    """The vectors share one direction, and without it the chunk is among the candidates.

    Only cosines change when vectors are centered: to a dot product or a distance the common part is the same
    for all chunks.

    Source: Mu & Viswanath, "All-but-the-top", ICLR 2018, for taking the common part out.
    """
    if bench.similarity != "cosine":
        raise NotApplicable(f"centering vectors changes no order by {bench.similarity}")
    place = place_of(bench, loss)
    if place is None:
        return None
    mean = bench.once("mean cosine", lambda: _mean_cosine(bench.vectors))
    if mean < _NARROW:
        return None
    center, centered = bench.once("centered", lambda: _centered(bench.vectors))
    query = directions(bench.query_vector(loss.query)[None])[0] - center
    rank = rank_by_vectors(query.astype(np.float32), centered, place.chunks, "cosine")
    if rank > place.n:
        return None
    own = bench.scores(loss.query)
    last = float(own[place.before[place.n - 1]])
    observation = (
        f"Two chunks have a mean cosine of {mean:.3f}. It has {place}, and misses the last of them by "
        f"{last - float(own[place.last]):.2g} (all scores deviate by {float(own.std()):.2g}); with all "
        f"vectors centered it has rank {rank:,}: an exact search has it among its candidates."
    )
    return Finding("embedder.anisotropy", observation, "proven")


def _of_those(count: int, place: Place) -> str:
    """``12 of the 56 before it are``."""
    return f"{count:,} of the {place.rank - 1:,} before it {'is' if count == 1 else 'are'}"


# Crowds: chunks before it that would not be missed


def _is_crowded_out(bench: Bench, loss: Loss, place: Place) -> bool:
    return (
        _own_copies(bench, loss, place) is not None
        or _crowd(bench, loss, place) is not None
        or (len(bench.diagnosis.assessed) >= _ENOUGH_QUERIES and _hubs_before(bench, loss, place) is not None)
    )


@dataclass(frozen=True, slots=True)
class _Crowd:
    """Near-copies of one another: chunks that are near-copies of some ``texts``, of which each is one."""

    members: int
    texts: int

    @property
    def repeats(self) -> int:
        """How many would go if each text stood there once."""
        return self.members - self.texts


def _own_copies(bench: Bench, loss: Loss, place: Place) -> list[int] | None:
    """The ranks of its near-copies before it without any of the evidence; None where others must go too."""
    return bench.once(("own copies", loss.unit.unit), lambda: _find_own_copies(bench, loss, place))


def _find_own_copies(bench: Bench, loss: Loss, place: Place) -> list[int] | None:
    found: list[int] = []
    for first, rows in _blocks(place.before):
        near = cosines(bench.vectors[rows], bench.vectors[place.last]) >= _SAME_VECTOR
        found += [
            first + int(i) + 1
            for i in np.flatnonzero(near)
            if int(rows[i]) not in loss.unit.carried and _share_words(bench, int(rows[i]), place.last)
        ]
        if first + len(rows) - len(found) >= place.n:
            return None
    return found


def _crowd(bench: Bench, loss: Loss, place: Place) -> _Crowd | None:
    """The near-copies of one another before it; None where others must go too."""
    return bench.once(("crowd", loss.unit.unit), lambda: _find_crowd(bench, place))


def _find_crowd(bench: Bench, place: Place) -> _Crowd | None:
    """Each chunk joins the first text of which it is a near-copy, or stands for a text of its own.

    Near-copies of the unit's own chunk are left to `near_duplicates`: of these none is counted as a repeat.
    """
    texts, sizes = [place.last], [1]
    known = directions(bench.vectors[[place.last]])
    repeats = 0
    for first, rows in _blocks(place.before):
        units = directions(bench.vectors[rows])
        near = units @ np.concatenate([known, units]).T >= _SAME_VECTOR
        columns = list(range(len(texts)))  # of ``near``: where each text stands
        for i, row in enumerate(rows.tolist()):
            alike = np.flatnonzero(near[i, columns]).tolist()
            text = next((text for text in alike if _share_words(bench, row, texts[text])), None)
            if text is None:
                columns.append(len(known) + i)
                texts.append(row)
                sizes.append(1)
            else:
                sizes[text] += 1
                repeats += text > 0
            if first + i + 1 - repeats >= place.n:
                return None
        known = np.concatenate([known, units[[column - len(known) for column in columns[len(known) :]]]])
    repeated = [size for size in sizes[1:] if size > 1]
    return _Crowd(sum(repeated), len(repeated))


def _share_words(bench: Bench, row: int, other: int) -> bool:
    a, b = (bench.words(bench.chunk(position).index_text) for position in (row, other))
    return len(a & b) >= _SAME_WORDS * len(a | b)


def _blocks(rows: NDArray[np.intp]) -> Iterator[tuple[int, NDArray[np.intp]]]:
    for first in range(0, len(rows), _BLOCK):
        yield first, rows[first : first + _BLOCK]


def _hubs_before(bench: Bench, loss: Loss, place: Place) -> NDArray[np.intp] | None:
    """The hubs before it without any of the evidence; None where others must go too."""
    queries = len(bench.diagnosis.assessed)
    even = place.n / place.total
    most = even + _HUB_DEVIATIONS * float(np.sqrt(even * (1 - even) / queries))  # of a binomial distribution
    is_hub = _occurrences(bench) >= queries * max(_HUB_SHARE, most)
    found: NDArray[np.intp] = place.before[is_hub[place.before]]
    found = found[~np.isin(found, list(loss.unit.carried))]
    return found if place.rank - len(found) <= place.n else None


def _occurrences(bench: Bench) -> NDArray[np.intp]:
    """For how many assessed queries each chunk is among the n nearest, shape (chunks,)."""
    vectors, similarity, trace = bench.vectors, bench.similarity, bench.trace
    queries = np.array([bench.query_vector(query) for query in bench.diagnosis.assessed])
    return bench.once("occurrences", lambda: hub_counts(vectors, queries, trace.candidates, similarity))


def _mean_cosine(vectors: Vectors) -> float:
    try:
        return mean_cosine(vectors)
    except DataError as error:
        raise NotApplicable(str(error)) from error


def _centered(vectors: Vectors) -> tuple[NDArray[np.float64], Vectors]:
    """The mean of all directions, shape (d,), and the directions without it, shape (chunks, d)."""
    units = directions(vectors)
    center: NDArray[np.float64] = units.mean(axis=0)
    return center, (units - center).astype(np.float32)


CHECKS: tuple[Check, ...] = (
    Check("embedder.depth", depth, ("embedder",)),
    Check("embedder.crowding", crowding, ("embedder",)),
    Check("embedder.near_duplicates", near_duplicates, ("embedder",)),
    Check("embedder.hubs", hubs, ("embedder",)),
    Check("embedder.anisotropy", anisotropy, ("embedder",)),
)
