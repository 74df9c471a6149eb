"""Is the label right? Checks of how evidence is marked."""

from __future__ import annotations

from ragdiag.diagnosis.checks.check import Check

__all__ = ["CHECKS"]

CHECKS: tuple[Check, ...] = ()
