"""Faults of cutting documents into chunks."""

from __future__ import annotations

from ragdiag.experiments.faults.fault import Fault

__all__ = ["FAULTS"]

FAULTS: tuple[Fault, ...] = ()
