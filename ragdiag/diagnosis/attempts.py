"""What a re-run may cost, and what becomes of one that fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ragdiag.diagnosis.verdicts import Effort, VoidBy

__all__ = ["Allowance", "Void", "calling"]

_LONGEST_MESSAGE = 200


class Void(Exception):  # noqa: N818  # no error: it says that one re-run proves nothing, and is always caught
    """A re-run that proves nothing.

    Attributes:
        by: why.
        reason: the same in plain words.
    """

    def __init__(self, by: VoidBy, reason: str) -> None:
        super().__init__(reason)
        self.by: VoidBy = by
        self.reason = reason


@contextmanager
def calling(stage: str) -> Iterator[None]:
    """A call of a plug: what it raises makes the re-run void, and costs no more than that.

    Raises:
        Void: the plug raised.
    """
    try:
        yield
    except Void:
        raise
    except Exception as error:
        message = " ".join(str(error).split())
        message = message if len(message) <= _LONGEST_MESSAGE else message[:_LONGEST_MESSAGE] + "…"
        raise Void("raised", f"the {stage} raised {type(error).__name__}: {message}") from error


class Allowance:
    """How many texts may still be embedded and pairs scored, and what was asked so far.

    Args:
        limit: texts and pairs together; None for any number.
    """

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._texts = self._pairs = self._searches = self._indexes = 0

    @property
    def left(self) -> float:
        """How many calls are left."""
        return float("inf") if self._limit is None else self._limit - self._texts - self._pairs

    def spend(self, *, texts: int = 0, pairs: int = 0) -> None:
        """Count what is about to be asked of a model.

        Raises:
            Void: it is more than is left; nothing is counted.
        """
        if texts + pairs > self.left:
            raise Void("spent", f"the {self._limit} extra calls that were allowed are spent")
        self._texts += texts
        self._pairs += pairs

    def count(self, *, searches: int = 0, indexes: int = 0) -> None:
        """Count what is asked of an index; it is not limited."""
        self._searches += searches
        self._indexes += indexes

    def effort(self, *, unproven: int) -> Effort:
        """All that was asked; ``unproven`` units were given up for the limit."""
        return Effort(self._texts, self._pairs, self._searches, self._indexes, self._limit, unproven)
