"""What does the packer do with the top k? Checks of the context and its budget."""

from __future__ import annotations

from ragdiag.diagnosis.checks.check import Check

__all__ = ["CHECKS"]

CHECKS: tuple[Check, ...] = ()
