"""What a step of a sweep is kept under: digests of everything that its result depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ragdiag.pipeline import Pipeline
from ragdiag.records import Document, Query
from ragdiag.stages.protocols import STAGES
from ragdiag.store import fingerprint
from ragdiag.values import to_json

__all__ = [
    "Rules",
    "digest",
    "distinct",
    "documents_key",
    "fingerprints",
    "queries_key",
    "same_plug",
    "unknown_stages",
]


@dataclass(frozen=True, slots=True)
class Rules:
    """By what evidence is judged.

    Attributes:
        min_coverage: the share of a unit from which it counts as delivered.
        copies: whether exact copies of evidence satisfy it.
        measures: the specs that are measured beside the usual ones.
    """

    min_coverage: float
    copies: bool
    measures: tuple[str, ...]


def digest(*parts: object) -> str:
    """The digest (blake2b, 128 bits) of values that JSON can hold, as 32 hexadecimal digits.

    Example:
        >>> digest("a", [1, 2]) == digest("a", (1, 2)), digest("a", "b") == digest("ab")
        (True, False)
    """
    return _digest_of_lines([parts])


def documents_key(documents: Sequence[Document]) -> str:
    """The digest of a corpus: ids, texts and metadata, in order."""
    return _digest_of_lines([d.id, d.text, to_json(d.metadata, f"metadata of {d.id!r}")] for d in documents)


def queries_key(queries: Sequence[Query]) -> str:
    """The digest of what is asked, with evidence and filters, in order; metadata do not matter."""
    return _digest_of_lines(
        [
            query.id,
            query.text,
            [asdict(unit) for unit in query.evidence],
            None if query.filter is None else to_json(query.filter, f"filter of query {query.id!r}"),
            query.answerable,
        ]
        for query in queries
    )


def fingerprints(pipeline: Pipeline) -> Mapping[str, str | None]:
    """What each plug says that it is, by stage; None for one that cannot say."""
    return {stage: fingerprint(plug) for stage, plug in pipeline.plugs.items()}


def unknown_stages(pipeline: Pipeline) -> tuple[str, ...]:
    """The stages whose plugs cannot say what they are, so that nothing can be kept of what follows."""
    known = fingerprints(pipeline)
    return tuple(stage for stage in STAGES if stage in known and known[stage] is None)


def distinct(plugs: Iterable[Any]) -> list[Any]:
    """The plugs without those that are the same as one before."""
    found: list[Any] = []
    for plug in plugs:
        if not any(same_plug(plug, other) for other in found):
            found.append(plug)
    return found


def same_plug(plug: object, other: object) -> bool:
    """Whether two plugs are one, or say that they are the same."""
    if plug is other:
        return True
    name = None if plug is None or other is None else fingerprint(plug)
    return name is not None and name == fingerprint(other)


def _digest_of_lines(lines: Iterable[Any]) -> str:
    found = hashlib.blake2b(digest_size=16)
    for line in lines:
        # ASCII only: lone surrogates, which UTF-8 cannot hold, are escaped like everything else.
        found.update(json.dumps(line, ensure_ascii=True, sort_keys=True, allow_nan=False).encode("ascii"))
        found.update(b"\n")
    return found.hexdigest()
