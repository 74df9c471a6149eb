"""All remedies, in the order of the flow."""

from __future__ import annotations

from collections.abc import Mapping

from ragdiag.experiments.remedies import chunking, context, searching
from ragdiag.experiments.remedies.remedy import Remedy

__all__ = ["REMEDIES"]

REMEDIES: Mapping[str, Remedy] = {
    remedy.name: remedy for remedy in (*chunking.REMEDIES, *searching.REMEDIES, *context.REMEDIES)
}
"""Every remedy by its name. Of two that gain the same, the first is listed first."""
