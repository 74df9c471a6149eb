"""Chunkers of other libraries as plugs; no library is imported before one of its objects is used."""

from ragdiag.adapters.chonkie import ChonkieChunker
from ragdiag.adapters.langchain import LangChainChunker
from ragdiag.adapters.llama_index import LlamaIndexChunker
from ragdiag.adapters.semantic_text_splitter import SemanticTextSplitterChunker
from ragdiag.adapters.semchunk import SemchunkChunker

__all__ = [
    "ChonkieChunker",
    "LangChainChunker",
    "LlamaIndexChunker",
    "SemanticTextSplitterChunker",
    "SemchunkChunker",
]
