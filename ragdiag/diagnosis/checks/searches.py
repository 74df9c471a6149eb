"""What does the index do? Checks of the retriever."""

from __future__ import annotations

from ragdiag.diagnosis.checks.check import Check

__all__ = ["CHECKS"]

CHECKS: tuple[Check, ...] = ()
