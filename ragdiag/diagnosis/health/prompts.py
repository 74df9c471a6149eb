"""Health of the packer: how it counts tokens, and how many chunks its budget holds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ragdiag.diagnosis.checks.check import NotApplicable
from ragdiag.diagnosis.health.check import HealthCheck, Sight, of_all
from ragdiag.diagnosis.health.survey import Survey
from ragdiag.stages.protocols import budget_of, token_counts

__all__ = ["CHECKS"]

SAME_COUNT = 1.2
"""How far two counts of tokens may differ, as a ratio: separators, special tokens and another vocabulary
of the same kind make up for that much; characters and words in place of tokens do not."""


def _miscount(survey: Survey) -> Sight:
    _, tokens = _budget(survey)
    reference = survey.delivered_tokens
    if reference is None:
        raise NotApplicable(
            "Nothing else counts tokens: name what the answering model counts with, such as "
            "counter='cl100k_base'."
        )
    packed, real = int(tokens.sum()), sum(reference)
    if not real:
        raise NotApplicable("The chunks hold no tokens.")
    ratio = packed / real
    seen = (
        f"The packer counts {packed:,} tokens in all chunks, {survey.counter_name} {real:,}: {ratio:.2f} "
        "times as many."
    )
    return Sight(not 1 / SAME_COUNT <= ratio <= SAME_COUNT, ratio, seen)


def _room(survey: Survey) -> Sight:
    budget, tokens = _budget(survey)
    k = min(survey.index.pipeline.top_k, len(tokens))
    median = float(np.median(tokens))
    holds = budget / max(median, 1.0)
    too_long = int((tokens > budget).sum())
    seen = (
        f"The budget of {budget:,} tokens holds {holds:.1f} chunks of {median:,.0f} tokens, the median; "
        f"k is {survey.index.pipeline.top_k:,}"
    )
    if too_long:
        seen += f"; {of_all(too_long, len(tokens), 'chunks')} do not even fit alone"
    return Sight(holds < k, holds, f"{seen}.")


def _budget(survey: Survey) -> tuple[int, NDArray[np.int64]]:
    """The packer's budget, and what each chunk takes of it."""
    packer = survey.index.pipeline.packer
    if packer is None:
        raise NotApplicable("The pipeline has no packer.")
    budget = budget_of(packer)
    if budget is None:
        raise NotApplicable("The packer declares no budget.")
    return budget, np.array(token_counts(survey.chunks, packer, None), dtype=np.int64)


CHECKS = (
    HealthCheck("count of tokens", "ratio", _miscount, "packer.miscount"),
    HealthCheck("room in the budget", "median chunks", _room, "capacity.budget"),
)
"""In the order in which they are shown."""
