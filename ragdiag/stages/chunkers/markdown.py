"""Cuts Markdown at its headings, and puts the path of headings before what is embedded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass

from ragdiag.records import Chunk, Document
from ragdiag.stages.chunkers.lengths import lengths_of
from ragdiag.stages.chunkers.merging import Fitting, check_limits
from ragdiag.stages.chunkers.sections import Section, read_sections
from ragdiag.stages.chunkers.splitting import SEPARATORS
from ragdiag.stages.chunkers.titles import BETWEEN_TITLES
from ragdiag.stages.tokens import TokenCounter, count, counter

__all__ = ["MarkdownChunker"]


@dataclass(frozen=True, slots=True, repr=False)
class MarkdownChunker:
    r"""Chunks of at most ``size`` that never reach across a heading and know under which headings they stand.

    A section is a heading (ATX or setext) with what follows up to the next one; a heading directly above its
    first subheading belongs to the section of that. A section that fits is one chunk. In a longer one,
    paragraphs, fenced code blocks and tables that fit are kept whole and neighbours are put together up to
    the size; those that do not fit are cut as `RecursiveChunker` does, a table between its rows.

    ``index_text``, which is what is embedded and searched, begins with the path of headings
    (``"Guide > Limits > Windows"`` and a newline); ``text``, which the model gets, does not. ``size`` holds
    for ``index_text``. A path that alone counts more than half of ``size`` loses its outermost headings,
    if need be all. The metadata ``"headings"`` hold the whole path as a tuple.

    Every character that is not whitespace, those of headings too, is in a chunk.

    Args:
        size: the most that the ``index_text`` of a chunk may count, in ``unit``.
        overlap: the most that a chunk may share with the one before it in its section, in ``unit``, less than
            ``size``; whole pieces are carried over, as many as fit.
        unit: ``"characters"``, the name of a tiktoken encoding, or an object with ``count_tokens(texts)``,
            such as the pipeline's embedder; special tokens that it counts are part of the size.
        heading_path: whether ``index_text`` begins with the path of headings; else it equals ``text``.

    Raises:
        ConfigError: an option that cannot work; or, when chunking, a single character that counts more than
            ``size``.
        ResourceError: when chunking, the encoding that ``unit`` names could not be loaded.

    Example:
        >>> document = Document("guide", "# Guide\n\n## Limits\n\nTwo a day.\n\n## Prices\n\nNone.")
        >>> for chunk in MarkdownChunker().chunk(document):
        ...     print(repr(chunk.index_text))
        'Guide > Limits\n# Guide\n\n## Limits\n\nTwo a day.'
        'Guide > Prices\n## Prices\n\nNone.'
    """

    size: int = 800
    _: KW_ONLY
    overlap: int = 0
    unit: str | TokenCounter = "characters"
    heading_path: bool = True

    def __post_init__(self) -> None:
        check_limits(self.size, self.overlap)
        counter(self.unit)

    def __repr__(self) -> str:
        return (
            f"MarkdownChunker({self.size}, overlap={self.overlap}, unit={self.unit!r}, "
            f"heading_path={self.heading_path})"
        )

    def chunk(self, document: Document) -> list[Chunk]:
        """The chunks of one document, in the order of the text; none where it is empty or whitespace."""
        text, by = document.text, counter(self.unit)
        sections = read_sections(text)
        prefixes = self._prefixes(sections, by)
        extents = [(section.blocks[0][0], section.blocks[-1][1]) for section in sections]
        fitting = Fitting(
            lengths_of(text, by),
            size=self.size,
            overlap=self.overlap,
            separators=SEPARATORS,
            where=f"document {document.id!r}",
        )
        sizes = fitting.lengths(extents, prefixes)
        chunks = []
        for section, prefix, extent, size in zip(sections, prefixes, extents, sizes, strict=True):
            ranges = [extent] if size <= self.size else fitting.chunks(section.blocks, prefix=prefix)
            chunks += [
                Chunk.of(
                    document,
                    (start, end),
                    index_text=prefix + text[start:end],
                    metadata={"headings": section.path},
                )
                for start, end in ranges
            ]
        return chunks

    def _prefixes(self, sections: Sequence[Section], by: TokenCounter) -> list[str]:
        """What is put before the chunks of each section: at most half of the size."""
        if not self.heading_path:
            return [""] * len(sections)
        # Titles first: one that is too long alone is then not counted again with every section below it.
        titles = list(dict.fromkeys(title for section in sections for title in section.path))
        usable = {title for title, fits in zip(titles, self._at_most_half(by, titles), strict=True) if fits}
        candidates = []
        for section in sections:
            path = section.path
            first = max((i + 1 for i, title in enumerate(path) if title not in usable), default=0)
            candidates.append([BETWEEN_TITLES.join(path[i:]) + "\n" for i in range(first, len(path))])
        fits = iter(self._at_most_half(by, [prefix for group in candidates for prefix in group]))
        return [next((p for p, fit in [(p, next(fits)) for p in group] if fit), "") for group in candidates]

    def _at_most_half(self, by: TokenCounter, texts: Sequence[str]) -> list[bool]:
        return [2 * number <= self.size for number in count(by, texts, stage="chunker")]
