"""Faults of loading documents, and of the labels made on them."""

from __future__ import annotations

from ragdiag.experiments.faults.fault import Fault

__all__ = ["FAULTS"]

FAULTS: tuple[Fault, ...] = ()
