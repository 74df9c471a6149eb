"""What loses nothing: no fault at all, and changes that must not matter."""

from __future__ import annotations

from ragdiag.experiments.faults.fault import Fault

__all__ = ["FAULTS"]

FAULTS: tuple[Fault, ...] = ()
