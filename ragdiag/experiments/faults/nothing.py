"""What loses nothing: no fault at all, and changes that must not matter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ragdiag.experiments.faults.around import AroundPacker
from ragdiag.experiments.faults.chance import checksum
from ragdiag.experiments.faults.fault import Aim, Case, Fault
from ragdiag.records import Chunk

__all__ = ["FAULTS"]


def _nothing(case: Case, aim: Aim) -> Case:  # noqa: ARG001
    return case


def _reordered_documents(case: Case, aim: Aim) -> Case:  # noqa: ARG001
    by_chance = sorted(case.documents, key=lambda document: checksum(document.id, "order"))
    return replace(case, documents=tuple(by_chance))


@dataclass(frozen=True)
class _Reversed(AroundPacker):
    """The best chunk comes last."""

    def pack(self, query: str, chunks: Sequence[Chunk]) -> list[Chunk]:
        return list(reversed(self.packed(query, chunks)))


def _reordered_context(case: Case, aim: Aim) -> Case:  # noqa: ARG001
    return case.using(packer=_Reversed(case.pipeline.packer))


FAULTS = (
    Fault(
        "nothing",
        stage="",
        cause="",
        what="nothing is changed",
        reach="whole",
        parameter="none",
        severity=1,
        wrap=_nothing,
    ),
    Fault(
        "reordered_documents",
        stage="",
        cause="",
        what="the documents come in another order",
        reach="whole",
        parameter="none",
        severity=1,
        wrap=_reordered_documents,
    ),
    Fault(
        "reordered_context",
        stage="",
        cause="",
        what="the context comes in the reverse order",
        reach="whole",
        parameter="none",
        severity=1,
        wrap=_reordered_context,
    ),
)
