"""Where does the chunk lie among the vectors? Checks of ranks, near-copies, hubs and spread."""

from __future__ import annotations

from ragdiag.diagnosis.checks.check import Check

__all__ = ["CHECKS"]

CHECKS: tuple[Check, ...] = ()
