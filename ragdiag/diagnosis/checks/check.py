"""What a check is: a code, the losses that it looks at, and a function that looks at one of them.

A flag is the same for delivered evidence, of which nothing is charged: it looks at the trace alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from ragdiag.diagnosis.verdicts import Finding

if TYPE_CHECKING:
    from ragdiag.diagnosis.checks.bench import Bench, Loss
    from ragdiag.diagnosis.evidence import QueryEvidence

__all__ = ["Check", "CheckOutcome", "Delivered", "Flag", "NotApplicable", "Status"]

Status: TypeAlias = Literal["found", "silent", "not applicable"]


class NotApplicable(Exception):  # noqa: N818  # no error: a check's answer where it lacks its input
    """A check lacks what it would look at; the message says what, in plain words."""


@dataclass(frozen=True, slots=True)
class Check:
    """One named cause, and how it is seen.

    Attributes:
        code: ``stage.cause``, as in the catalog.
        look: what the numbers say of one loss: a `Finding` with this code, or None where they do not show the
            cause. Raises `NotApplicable` where they cannot tell.
        at: it looks at the losses that are blamed on one of these stages.
    """

    code: str
    look: Callable[[Bench, Loss], Finding | None]
    at: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Delivered:
    """One delivered unit, as flags see it.

    Attributes:
        evidence: of its query; ``delivered`` holds the atoms of each chunk of the context, in its order.
        number: the unit's position in the query.
        min_coverage: the coverage from which a unit counts as delivered.
        tokens: what each chunk of the context takes; None where nothing counts tokens.
    """

    evidence: QueryEvidence
    number: int
    min_coverage: float
    tokens: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class Flag:
    """Something worth knowing of delivered evidence, and how it is seen.

    Attributes:
        code: ``stage.cause``, as in the catalog.
        look: whether a delivered unit shows it. Raises `NotApplicable` where that cannot be told.
    """

    code: str
    look: Callable[[Delivered], bool]


@dataclass(frozen=True, slots=True)
class CheckOutcome:
    """What became of one check, or one flag, over a diagnosis.

    Attributes:
        code: the check's.
        status: ``found``: at one unit or more; ``silent``: looked for and not seen; ``not applicable``: there
            was nothing to look at, or it could not be seen at any unit, for the reason in ``why``.
        looked_at: at how many units it could look.
        found: at how many it saw the cause.
        why: for the first unit at which it could not look, the reason; else empty. Of a flag that was found:
            at which units. A check leaves its finding in their verdicts, a flag has no other place.
    """

    code: str
    status: Status
    looked_at: int
    found: int
    why: str = ""
