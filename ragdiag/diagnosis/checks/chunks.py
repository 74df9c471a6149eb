"""Are the chunks right? Checks of their sizes and their repeats."""

from __future__ import annotations

from ragdiag.diagnosis.checks.check import Check

__all__ = ["CHECKS"]

CHECKS: tuple[Check, ...] = ()
