"""What does the reranker do to the order? Checks of its scores."""

from __future__ import annotations

from ragdiag.diagnosis.checks.check import Check

__all__ = ["CHECKS"]

CHECKS: tuple[Check, ...] = ()
