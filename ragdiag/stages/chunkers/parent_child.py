"""Small chunks to be found by, each of which delivers the larger one that it lies in."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

from ragdiag.errors import ConfigError, StageError
from ragdiag.records import Chunk, Document
from ragdiag.spans import Range
from ragdiag.stages import boundary
from ragdiag.stages.protocols import Chunker, is_plug

__all__ = ["ParentChildChunker"]


@dataclass(frozen=True, slots=True, repr=False)
class ParentChildChunker:
    """Chunks that are searched by a small text, the child, and deliver a larger one, its parent.

    A short text says one thing and is found by it; a long one tells the model enough. So ``children`` cuts
    what ``parents`` made, and each child becomes a chunk: its ``index_text`` is the child's, its ``text`` and
    spans are the parent's. The id is the parent's with the range of the child (``"guide#0-900/120-310"``),
    and the metadata are the parent's, with that range as ``"child"``: start and end in the document.

    The chunks of one parent deliver the same text. Where several are found they would fill the context with
    copies: `DistinctRetriever` returns each parent once.

    Children never leave their parent. Where neither chunker loses text, neither does this one.

    Args:
        parents: makes what the model gets; each must have one span.
        children: makes what is embedded and searched, from a document that holds one parent's text; each must
            have one span. Its size holds for ``index_text``.
        parent_prefix: whether what ``parents`` puts before a text to be embedded, such as the path of
            headings of `MarkdownChunker`, is put before each child's too, unless it stands there. It is not
            part of the children's size, so leave room for it below the embedder's limit.

    Raises:
        ConfigError: ``parents`` or ``children`` is no chunker.
        StageError: when chunking, one of them broke its contract, or made a chunk of several spans.

    Example:
        >>> from ragdiag.stages.chunkers import RecursiveChunker
        >>> chunker = ParentChildChunker(RecursiveChunker(50), RecursiveChunker(25))
        >>> text = "Goods may be returned. Keep the receipt."
        >>> for chunk in chunker.chunk(Document("returns", text)):
        ...     print(chunk.id, "|", chunk.index_text, "|", chunk.text)
        returns#0-40/0-22 | Goods may be returned. | Goods may be returned. Keep the receipt.
        returns#0-40/23-40 | Keep the receipt. | Goods may be returned. Keep the receipt.
    """

    parents: Chunker
    children: Chunker
    _: KW_ONLY
    parent_prefix: bool = False

    def __post_init__(self) -> None:
        for name, chunker in (("parents", self.parents), ("children", self.children)):
            if not is_plug("chunker", chunker):
                raise ConfigError(f"{name} must be a chunker, with chunk(document), got {chunker!r}")

    def __repr__(self) -> str:
        return f"ParentChildChunker({self.parents!r}, {self.children!r}, parent_prefix={self.parent_prefix})"

    def chunk(self, document: Document) -> list[Chunk]:
        """The chunks of one document, parent by parent, in the order of the text."""
        return [
            chunk
            for parent in boundary.chunk_document(self.parents, document)
            for chunk in self._with_children(parent, document)
        ]

    def _with_children(self, parent: Chunk, document: Document) -> list[Chunk]:
        start, end = _range_of(parent, "parent", document)
        prefix = ""
        if self.parent_prefix and parent.index_text.endswith(parent.text):
            prefix = parent.index_text.removesuffix(parent.text)
        # Under the id of the document, by which errors name it.
        alone = Document(document.id, document.text[start:end], parent.metadata)
        chunks = []
        for child in boundary.chunk_document(self.children, alone):
            first, last = _range_of(child, "child", document)
            place = (start + first, start + last)
            told = child.index_text.startswith(prefix)
            chunks.append(
                Chunk(
                    id=f"{parent.id}/{place[0]}-{place[1]}",
                    spans=parent.spans,
                    text=parent.text,
                    index_text=child.index_text if told else prefix + child.index_text,
                    metadata={**child.metadata, **parent.metadata, "child": place},
                )
            )
        return chunks


def _range_of(chunk: Chunk, role: str, document: Document) -> Range:
    if len(chunk.spans) != 1:
        raise StageError(
            "chunker",
            f"ParentChildChunker needs chunks of one span, the {role} {chunk.id!r} has {len(chunk.spans)}",
            where=f"document {document.id!r}",
        )
    return chunk.spans[0].start, chunk.spans[0].end
