"""Progress bars on long work: on a terminal, and nowhere else."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

__all__ = ["track"]

Item = TypeVar("Item")


def track(
    items: Iterable[Item], description: str, *, progress: bool | None = None, total: int | None = None
) -> Iterator[Item]:
    """Iterate with a bar on standard error.

    Args:
        items: what is worked through.
        description: what the bar says.
        progress: True or False decide; None shows a bar only where standard error is a terminal.
        total: how many items there are, where they do not say so themselves.
    """
    shown = sys.stderr.isatty() if progress is None else progress
    if not shown:
        return iter(items)
    from tqdm import tqdm

    bar: Iterable[Item] = tqdm(items, desc=description, leave=False, total=total)
    return iter(bar)
