"""A packer that counts tokens.

It knows the model's context window and what else stands in it, and so how much room the chunks have together.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from itertools import accumulate
from typing import Literal

from ragdiag.errors import ConfigError, StageError
from ragdiag.records import Chunk
from ragdiag.stages.tokens import TokenCounter, count
from ragdiag.stages.tokens import counter as counter_of

__all__ = ["TokenBudget"]

_ZERO_WIDTH_JOINER = "\u200d"


@dataclass(frozen=True)
class TokenBudget:
    """The best chunks that fit together into what a context window leaves free.

    Args:
        max_tokens: the model's context window.
        counter: ``"characters"``, the name of a tiktoken encoding, or an object with
            ``count_tokens(texts)``.
        system_prompt: stands in the window with every query, as do
        history: the messages before the question, and
        tool_results: what tools returned.
        reserve: tokens kept free, for the question and the answer.
        separator: what follows each chunk in the prompt; it is counted with each.
        overflow: what happens at a chunk that does not fit. ``"skip"`` leaves it out and tries the next ones;
            ``"stop"`` leaves out all from there; ``"truncate"`` shortens it to the longest beginning that
            fits and leaves out all that follow. The beginning ends after a word, unless that would give up
            more than half of what fits (text without spaces): then between any two characters, but not
            between a letter and its marks.

    Raises:
        ConfigError: an option out of its range, or nothing is left for chunks.

    Example:
        >>> TokenBudget(100, system_prompt="Answer from the context.", reserve=50).budget
        26
    """

    max_tokens: int
    _: KW_ONLY
    counter: str | TokenCounter = "characters"
    system_prompt: str = ""
    history: Sequence[str] = ()
    tool_results: Sequence[str] = ()
    reserve: int = 0
    separator: str = "\n\n"
    overflow: Literal["skip", "stop", "truncate"] = "skip"

    budget: int = field(init=False, repr=False, compare=False)
    _counter: TokenCounter = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.overflow not in ("skip", "stop", "truncate"):
            raise ConfigError(
                f"TokenBudget.overflow must be 'skip', 'stop' or 'truncate', got {self.overflow!r}"
            )
        if self.reserve < 0:
            raise ConfigError(f"TokenBudget.reserve must be >= 0, got {self.reserve!r}")
        for name, texts in (("history", self.history), ("tool_results", self.tool_results)):
            if isinstance(texts, str):
                raise ConfigError(f"TokenBudget.{name} must be a sequence of texts, got the text {texts!r}")
            object.__setattr__(self, name, tuple(texts))
        object.__setattr__(self, "_counter", counter_of(self.counter))
        object.__setattr__(self, "budget", self._room_for_chunks())

    def _room_for_chunks(self) -> int:
        taken = {
            "system prompt": self._tokens_of(self.system_prompt),
            "history": self._tokens_of(*self.history),
            "tool results": self._tokens_of(*self.tool_results),
            "reserve": self.reserve,
        }
        room = self.max_tokens - sum(taken.values())
        if room <= 0:
            parts = "".join(f" - {tokens} ({name})" for name, tokens in taken.items())
            raise ConfigError(
                f"TokenBudget leaves no room for chunks: {self.max_tokens} (max_tokens){parts} = {room}; "
                "it must be greater than 0"
            )
        return room

    def _tokens_of(self, *texts: str) -> int:
        return sum(count(self._counter, [text for text in texts if text], stage="packer"))

    def tokens(self, chunk: Chunk) -> int:
        """What one chunk takes of the budget: the tokens of its text and the separator after it."""
        return self._tokens_of(chunk.text + self.separator)

    def pack(self, query: str, chunks: Sequence[Chunk]) -> list[Chunk]:  # noqa: ARG002
        """The chunks that fit, in the order given.

        Raises:
            StageError: ``overflow="truncate"`` meets a chunk whose text is not, character by character, its
                spans joined by whitespace: where its beginning stands in the document cannot be told.
        """
        packed: list[Chunk] = []
        room = self.budget
        for chunk in chunks:
            tokens = self.tokens(chunk)
            if tokens <= room:
                packed.append(chunk)
                room -= tokens
            elif self.overflow != "skip":
                if self.overflow == "truncate" and (end := self._longest_beginning(chunk, room)):
                    packed.append(_shortened(chunk, end))
                break
        return packed

    def _longest_beginning(self, chunk: Chunk, room: int) -> int:
        """How many characters of a chunk's text fit into ``room`` tokens; 0 where nothing does."""
        text = chunk.text
        between = [i for i in range(1, len(text)) if _may_end(text, i)]
        after_words = [i for i in between if text[i].isspace()]
        longest, at_word = (self._last_that_fits(text, ends, room) for ends in (between, after_words))
        return at_word if 2 * at_word >= longest else longest

    def _last_that_fits(self, text: str, ends: Sequence[int], room: int) -> int:
        """The last of ``ends`` that fits, by bisection: more text is taken to need no fewer tokens."""
        fitting = bisect_right(ends, room, key=lambda end: self._tokens_of(text[:end] + self.separator))
        return ends[fitting - 1] if fitting else 0


def _may_end(text: str, end: int) -> bool:
    """Whether ``text[:end]`` ends with something visible and leaves marks with their letter."""
    before, after = text[end - 1], text[end]
    return (
        not before.isspace()
        and unicodedata.category(after)[0] != "M"
        and _ZERO_WIDTH_JOINER not in (before, after)
    )


def _shortened(chunk: Chunk, end: int) -> Chunk:
    """The chunk that delivers the first ``end`` characters of a chunk's text, with spans to match."""
    # Where each span begins in the text, one character apart; the last number is where another would begin.
    begins = list(accumulate((len(span) + 1 for span in chunk.spans), initial=0))
    if begins[-1] != len(chunk.text) + 1 or not all(chunk.text[at - 1].isspace() for at in begins[1:-1]):
        raise StageError(
            "packer",
            "it cannot be shortened, since its text is not, character by character, that of its spans: "
            f"{len(chunk.text)} characters, expected {begins[-1] - 1}, with whitespace between spans; "
            "use overflow='skip' or 'stop'",
            where=f"chunk {chunk.id!r}",
        )
    spans = tuple(
        replace(span, end=min(span.end, span.start + end - at))
        for span, at in zip(chunk.spans, begins[:-1], strict=True)
        if at < end
    )
    return replace(chunk, text=chunk.text[:end], spans=spans)
