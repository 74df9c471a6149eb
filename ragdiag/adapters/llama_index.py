"""The node parsers of LlamaIndex (https://github.com/run-llama/llama_index)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ragdiag.adapters.foreign import ForeignChunker, Library
from ragdiag.adapters.placing import Piece, Placement

if TYPE_CHECKING:
    from llama_index.core.node_parser import NodeParser

__all__ = ["LlamaIndexChunker"]


@dataclass(frozen=True, repr=False, eq=False)
class LlamaIndexChunker(ForeignChunker):
    """A node parser of LlamaIndex; needs the extra ``llama-index``.

    The places that its nodes name are found by a search of its own, which takes the first place where text
    repeats; they are not used. Documents are handed over without their metadata, for which some parsers would
    make their nodes smaller. What a parser itself adds to a node's metadata becomes the chunk's.

    Args:
        parser: such as ``SentenceSplitter(chunk_size=512)``.
        name: what to call it in place of its settings.

    Example:
        >>> from ragdiag import Document
        >>> from llama_index.core.node_parser import SentenceWindowNodeParser
        >>> chunker = LlamaIndexChunker(SentenceWindowNodeParser(window_size=1))
        >>> text = "Goods may be returned. Keep the receipt."
        >>> [chunk.text for chunk in chunker.chunk(Document("returns", text))]
        ['Goods may be returned. ', 'Keep the receipt.']
    """

    parser: NodeParser

    placement: ClassVar[Placement] = "located"
    library: ClassVar[Library] = Library(
        "llama-index-core", "llama_index.core", "llama-index", "get_nodes_from_documents"
    )

    def _pieces(self, text: str) -> list[Piece]:
        from llama_index.core.schema import Document as LlamaDocument
        from llama_index.core.schema import MetadataMode

        nodes = self.parser.get_nodes_from_documents([LlamaDocument(text=text)])
        return [
            Piece(node.get_content(metadata_mode=MetadataMode.NONE), metadata=node.metadata) for node in nodes
        ]
