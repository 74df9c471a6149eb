"""Cuts plain text where its subject changes, as an embedder sees it."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from itertools import pairwise

from ragdiag.errors import ConfigError
from ragdiag.records import Chunk, Document
from ragdiag.stages.chunkers.breakpoints import distances_at_gaps, greatest
from ragdiag.stages.chunkers.lengths import lengths_of
from ragdiag.stages.chunkers.merging import check_limits
from ragdiag.stages.chunkers.sentence_fitting import SentenceFitting
from ragdiag.stages.chunkers.sentences import SentenceFinder, find_sentences, name_of, sentences_of
from ragdiag.stages.protocols import Embedder, is_plug
from ragdiag.stages.tokens import TokenCounter, counter

__all__ = ["SemanticChunker"]


@dataclass(frozen=True, slots=True, repr=False)
class SemanticChunker:
    """Chunks that never reach across a change of subject, each at most ``size``.

    At every gap between two sentences the ``window`` sentences before it and the ``window`` behind it are
    embedded; where the cosine distance of the two is above the ``percentile`` of the document's distances,
    the text is cut. A segment that fits is one chunk; a longer one is cut between sentences, as many in a
    chunk as fit. Segments are never put together, so a short one stays a short chunk.

    A percentile of the document's own distances is what LangChain's ``SemanticChunker`` and LlamaIndex's
    ``SemanticSplitterNodeParser`` cut at, after Kamradt. They compare two windows *around* neighboring
    sentences, which share all but two of their sentences, so that a change of subject shows a sentence too
    early or too late. Here the two sides share nothing, as in TextTiling.

    A percentile always cuts: about one gap in twenty at 95, whether or not the subject changes there. Only
    where the distances at the top are all equal, as between sentences that repeat, nothing is cut.

    Every character that is not whitespace is in a chunk; whitespace at the edges of a chunk is in none.

    Args:
        embedder: of the sentences, usually the pipeline's; a document's windows are embedded in one call.
            What lies beyond its input limit is not seen.
        size: the most that a chunk may count, in ``unit``.
        overlap: the most that a chunk may share with the one before it in its segment, in ``unit``, less than
            ``size``; whole sentences are carried over, as by `SentenceChunker`.
        unit: ``"characters"``, the name of a tiktoken encoding, or an object with ``count_tokens(texts)``,
            such as the pipeline's embedder; special tokens that it counts are part of the size.
        percentile: of the distances, 0 to 100; lower cuts more, 100 never.
        window: how many sentences on each side of a gap are compared.
        sentences: from a text to the ranges of its sentences, as for `SentenceChunker`.

    Raises:
        ConfigError: an option that cannot work; or, when chunking, a single character that counts more than
            ``size``.
        StageError: when chunking, ``sentences`` or the embedder did not return what they must.
        ResourceError: when chunking, the encoding that ``unit`` names could not be loaded.

    Source:
        Greg Kamradt, "5 Levels Of Text Splitting", level 4 (2023), for the cut by a percentile. M. A. Hearst,
        "TextTiling: Segmenting text into multi-paragraph subtopic passages", Computational Linguistics 23(1),
        1997, for the comparison of what stands before and behind a gap.

    Example:
        >>> from ragdiag.stages.embedders import HashingEmbedder
        >>> text = "The cat sleeps. The cat purrs. Ice melts at zero. Water boils, ice melts."
        >>> chunker = SemanticChunker(HashingEmbedder(1024), percentile=60)
        >>> [chunk.text for chunk in chunker.chunk(Document("d", text))]
        ['The cat sleeps. The cat purrs.', 'Ice melts at zero. Water boils, ice melts.']
    """

    embedder: Embedder
    _: KW_ONLY
    size: int = 800
    overlap: int = 0
    unit: str | TokenCounter = "characters"
    percentile: float = 95.0
    window: int = 2
    sentences: SentenceFinder = find_sentences

    def __post_init__(self) -> None:
        if not is_plug("embedder", self.embedder):
            raise ConfigError(
                "embedder must be an embedder, with embed_documents(texts) and embed_queries(texts), "
                f"got {self.embedder!r}"
            )
        check_limits(self.size, self.overlap)
        counter(self.unit)
        number = self.percentile
        if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number <= 100:
            raise ConfigError(f"percentile must be a number from 0 to 100, got {number!r}")
        if isinstance(self.window, bool) or not isinstance(self.window, int) or self.window < 1:
            raise ConfigError(f"window must be a whole number >= 1, got {self.window!r}")
        name_of(self.sentences)

    def __repr__(self) -> str:
        own = "" if self.sentences is find_sentences else f", sentences={name_of(self.sentences)}"
        return (
            f"SemanticChunker({self.embedder!r}, size={self.size}, overlap={self.overlap}, "
            f"unit={self.unit!r}, percentile={self.percentile}, window={self.window}{own})"
        )

    def chunk(self, document: Document) -> list[Chunk]:
        """The chunks of one document, in the order of the text; none where it is empty or whitespace."""
        text, where = document.text, f"document {document.id!r}"
        sentences = sentences_of(text, self.sentences, where=where)
        distances = distances_at_gaps(text, sentences, self.embedder, window=self.window)
        edges = [0, *(gap + 1 for gap in greatest(distances, self.percentile)), len(sentences)]
        segments = [sentences[first:stop] for first, stop in pairwise(edges) if first < stop]
        extents = [(segment[0][0], segment[-1][1]) for segment in segments]
        lengths = lengths_of(text, counter(self.unit))
        fitting = SentenceFitting(lengths, size=self.size, overlap=self.overlap, where=where)
        chunks = []
        for segment, extent, size in zip(segments, extents, lengths(extents), strict=True):
            ranges = [extent] if size <= self.size else fitting.chunks(segment)
            chunks += [Chunk.of(document, piece) for piece in ranges]
        return chunks
