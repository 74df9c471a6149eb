"""Several packers, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ragdiag.errors import ConfigError
from ragdiag.records import Chunk
from ragdiag.stages.protocols import Packer, budget_of, is_plug

__all__ = ["PackerChain"]


@dataclass(frozen=True)
class PackerChain:
    """Passes the chunks through packers in turn; each gets what the one before it returned.

    It declares the budget of the one packer in it that has one, as that packer counts tokens. The ledger
    takes this budget as what binds, so put first what makes room (duplicates out), then the budget, then the
    order. What any part drops is the packer's loss, as is what a `TopK` inside the chain cuts: only the
    pipeline's own ``top_k`` and the budget are limits to the ledger.

    Args:
        packers: one or more, the first first.

    Raises:
        ConfigError: there is none; one is no packer; or more than one declares a budget, since they may count
            differently and a chain can declare only one.

    Example:
        >>> from ragdiag.stages.packers import DuplicateFilter, PromptOrder, TokenBudget
        >>> chain = PackerChain([DuplicateFilter(), TokenBudget(4000, reserve=1000), PromptOrder("edges")])
        >>> chain.budget
        3000
    """

    packers: Sequence[Packer]

    def __post_init__(self) -> None:
        object.__setattr__(self, "packers", tuple(self.packers))
        if not self.packers:
            raise ConfigError("PackerChain.packers must be one or more packers, got none")
        for packer in self.packers:
            if not is_plug("packer", packer):
                raise ConfigError(f"PackerChain.packers must have pack(query, chunks), got {packer!r}")
        if len(self._with_budget) > 1:
            raise ConfigError(
                "PackerChain.packers may hold one packer with a budget, since a chain can declare only one, "
                f"got {', '.join(map(repr, self._with_budget))}"
            )

    @property
    def _with_budget(self) -> list[Packer]:
        return [packer for packer in self.packers if budget_of(packer) is not None]

    @property
    def budget(self) -> int | None:
        """The budget of the packer that has one, or None where none has."""
        return next(map(budget_of, self._with_budget), None)

    def tokens(self, chunk: Chunk) -> int:
        """What one chunk takes of the budget.

        Raises:
            ConfigError: no packer of the chain has a budget.
        """
        if self.budget is None:
            raise ConfigError(f"{self!r} has no budget that a chunk could take tokens of")
        [packer] = self._with_budget
        return int(packer.tokens(chunk))  # type: ignore[attr-defined]  # declared with the budget

    def pack(self, query: str, chunks: Sequence[Chunk]) -> list[Chunk]:
        """What the last of the packers returns."""
        packed = list(chunks)
        for packer in self.packers:
            packed = list(packer.pack(query, packed))
        return packed
