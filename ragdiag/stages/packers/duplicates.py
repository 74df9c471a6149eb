"""Packers that leave out what better chunks already say: word for word, or nearly so."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TypeAlias

from ragdiag.errors import ConfigError
from ragdiag.records import Chunk
from ragdiag.stages.retrievers.bm25 import tokenize_words

__all__ = ["DuplicateFilter", "NearDuplicateFilter"]


@dataclass(frozen=True)
class DuplicateFilter:
    """Leaves out each chunk whose whole text a better chunk holds, word for word. Declares no budget.

    Words are what stands between whitespace; only how much and which whitespace stands there is not compared.
    Case and punctuation are: "10 mW" is not "10 MW". Where a text stands does not matter: children that
    deliver the same parent, copies in other documents and pieces of a larger chunk are left out; chunks that
    merely overlap are not. A chunk that holds a better one and more is kept, and so is the better one.

    The model loses no word by this, but evidence is a place in a document: evidence of less than 20
    characters, which has no copies to ragdiag, is lost with a chunk whose text is kept from elsewhere.

    A pipeline gives a packer its ``top_k`` chunks, so that what is left out makes room for tokens, not for
    other chunks. For k distinct chunks let the pipeline pass on more of them and cut here:
    ``top_k=20, packer=PackerChain([DuplicateFilter(), TopK(5)])``. To the ledger k is then 20, and what
    `TopK` cuts is the packer's.

    Example:
        >>> from ragdiag.records import Document
        >>> texts = ["Free returns within 30 days.", "within 30 days.", "within 30  days", "30 days. Or not."]
        >>> chunks = [Chunk.of(Document(f"d{i}", text), (0, len(text))) for i, text in enumerate(texts)]
        >>> [chunk.text for chunk in DuplicateFilter().pack("?", chunks)]
        ['Free returns within 30 days.', 'within 30  days', '30 days. Or not.']
    """

    def pack(self, query: str, chunks: Sequence[Chunk]) -> list[Chunk]:  # noqa: ARG002
        """The chunks whose text no earlier one holds, in the order given, whatever the query."""
        kept: list[Chunk] = []
        texts: list[str] = []
        for chunk in chunks:
            # A blank at either end, so that only whole words are found.
            text = " ".join(["", *chunk.text.split(), ""])
            if not any(text in earlier for earlier in texts):
                kept.append(chunk)
                texts.append(text)
        return kept


_Shingle: TypeAlias = tuple[str, ...]

# A number with what changes its meaning: sign, currency, decimals, percent; dates and times in one piece.
_NUMBER = re.compile(r"[-+±$€£¥]?\d+(?:[.,:/-]\d+)*[%‰]?")


@dataclass(frozen=True)
class NearDuplicateFilter:
    """Leaves out each chunk of which a better chunk holds nearly all. Declares no budget.

    A shingle is a run of words, lower-cased and without punctuation (as `tokenize_words` cuts them). A chunk
    is left out where at least ``threshold`` of its distinct shingles stand in one kept chunk before it: its
    *containment* in that chunk, not the symmetrical resemblance, since what the better chunk says beyond it
    is no loss. A text of fewer words than a shingle is one shingle; one without words is
    kept.

    This can remove evidence. Texts made from one template differ in the few words that matter: a name, a
    unit, a "not". A chunk with a number that the better one lacks is therefore kept; nothing keeps one whose
    only news is a word. What it costs is seen in a diagnosis, as the packer's loss.

    Args:
        threshold: the share of shingles from which a chunk is left out, above 0, at most 1. One changed word
            changes up to ``shingle`` of them: of a text of 100 words, 91 of 96 stay in common.
        shingle: the number of words in a shingle.
        keep_numbers: whether chunks with a number that the better one lacks are kept. Numbers are written in
            digits, and compared with sign, currency, decimals and percent. False where numbers are page
            numbers or the like.

    Raises:
        ConfigError: an option is out of range.

    Source: Broder, "On the resemblance and containment of documents", SEQUENCES 1997. The sets are compared
    whole: a context is too small to need his sketches.

    Example:
        >>> from ragdiag.records import Document
        >>> texts = [f"Goods may be returned {time}." for time in
        ...          ("within 30 days", "inside 30 days", "within 14 days")]
        >>> chunks = [Chunk.of(Document(f"d{i}", text), (0, len(text))) for i, text in enumerate(texts)]
        >>> [chunk.text for chunk in NearDuplicateFilter(0.5, shingle=2).pack("?", chunks)]
        ['Goods may be returned within 30 days.', 'Goods may be returned within 14 days.']
    """

    threshold: float
    _: KW_ONLY
    shingle: int = 5
    keep_numbers: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise ConfigError(
                f"NearDuplicateFilter.threshold must be above 0 and at most 1, got {self.threshold!r}"
            )
        if self.shingle < 1:
            raise ConfigError(f"NearDuplicateFilter.shingle must be at least 1, got {self.shingle!r}")

    def pack(self, query: str, chunks: Sequence[Chunk]) -> list[Chunk]:  # noqa: ARG002
        """The chunks that no earlier one nearly holds, in the order given, whatever the query."""
        kept: list[Chunk] = []
        numbers: list[set[str]] = []  # of each kept chunk
        holders: defaultdict[_Shingle, list[int]] = defaultdict(list)  # the kept chunks that hold a shingle
        for chunk in chunks:
            shingles, own = self._shingles(chunk.text), self._numbers(chunk.text)
            shared = Counter(place for shingle in shingles for place in holders.get(shingle, ()))
            if any(
                common / len(shingles) >= self.threshold and own <= numbers[place]
                for place, common in shared.items()
            ):
                continue
            for shingle in shingles:
                holders[shingle].append(len(kept))
            numbers.append(own)
            kept.append(chunk)
        return kept

    def _shingles(self, text: str) -> set[_Shingle]:
        words = tokenize_words(text)
        last = max(len(words) - self.shingle, 0)
        return {tuple(words[at : at + self.shingle]) for at in range(last + 1)} if words else set()

    def _numbers(self, text: str) -> set[str]:
        """The numbers that may not be lost."""
        return set(_NUMBER.findall(text)) if self.keep_numbers else set()
