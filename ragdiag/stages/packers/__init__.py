"""Packers: which of the best chunks go into the prompt, and in which order."""

from ragdiag.stages.packers.chain import PackerChain
from ragdiag.stages.packers.duplicates import DuplicateFilter, NearDuplicateFilter
from ragdiag.stages.packers.order import PromptOrder
from ragdiag.stages.packers.token_budget import TokenBudget
from ragdiag.stages.packers.top_k import TopK

__all__ = ["DuplicateFilter", "NearDuplicateFilter", "PackerChain", "PromptOrder", "TokenBudget", "TopK"]
