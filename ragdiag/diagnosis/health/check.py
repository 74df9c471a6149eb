"""What a health check is, and what it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ragdiag.diagnosis.checks.catalog import CAUSES

if TYPE_CHECKING:
    from ragdiag.diagnosis.health.survey import Survey

__all__ = ["Answer", "HealthCheck", "Sight", "Status", "of_all", "percent"]

Status: TypeAlias = Literal["ok", "warning", "not applicable"]


@dataclass(frozen=True, slots=True)
class Sight:
    """What a check saw.

    Attributes:
        warns: whether it is a problem.
        value: the number that decides it, in the check's unit.
        seen: what was seen, in words with numbers.
        details: the rows of the table behind it, values of one dataclass.
    """

    warns: bool
    value: float
    seen: str
    details: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """One thing that is looked at.

    Attributes:
        name: what it is about.
        unit: of its value.
        look: what it sees; raises `NotApplicable` where it lacks its input.
        code: ``stage.cause`` of the losses that such a problem causes, as in the catalog; "" where none is
            called so.
        advice: what to do about a problem, where the catalog does not say it.
    """

    name: str
    unit: str
    look: Callable[[Survey], Sight]
    code: str = ""
    advice: str = ""

    @property
    def remedy(self) -> str:
        """What to do about a problem, in one sentence."""
        return self.advice or CAUSES[self.code].remedy


@dataclass(frozen=True, slots=True)
class Answer:
    """What one check answered.

    Attributes:
        check: which one.
        status: ``ok``, ``warning``, or ``not applicable`` where it lacks its input.
        value: as of the sight; None where it is not applicable.
        seen: what was seen, or why nothing could be.
        details: the rows of the table behind it.
    """

    check: HealthCheck
    status: Status
    value: float | None
    seen: str
    details: tuple[Any, ...] = ()

    @property
    def advice(self) -> str:
        """What to do; empty without a warning."""
        return self.check.remedy if self.status == "warning" else ""


def of_all(part: int, whole: int, things: str) -> str:
    """A part of a whole in words.

    Example:
        >>> of_all(12, 1340, "chunks"), of_all(0, 1340, "chunks")
        ('12 of 1,340 chunks (0.9%)', 'none of 1,340 chunks')
    """
    if not part:
        return f"none of {whole:,} {things}"
    return f"{part:,} of {whole:,} {things} ({percent(part / whole)})"


def percent(share: float) -> str:
    """A share in [0, 1] with one decimal; what only rounds to 0 or 1 is not written as 0 or 1.

    Example:
        >>> percent(0), percent(0.0001), percent(0.25), percent(0.9999), percent(1)
        ('0.0%', '<0.1%', '25.0%', '>99.9%', '100.0%')
    """
    written = f"{share:.1%}"
    return written if share in (0, 1) else {"0.0%": "<0.1%", "100.0%": ">99.9%"}.get(written, written)
