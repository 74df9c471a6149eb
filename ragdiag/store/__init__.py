"""The store: what plugs returned, kept by content in a folder that processes share."""

from ragdiag.store.chunks import chunk_from_json, chunk_to_json
from ragdiag.store.models import StoredEmbedder, StoredReranker
from ragdiag.store.naming import fingerprint, without_address
from ragdiag.store.plugs import Asked
from ragdiag.store.recipes import StoredChunker, StoredRetriever
from ragdiag.store.store import Store

__all__ = [
    "Asked",
    "Store",
    "StoredChunker",
    "StoredEmbedder",
    "StoredReranker",
    "StoredRetriever",
    "chunk_from_json",
    "chunk_to_json",
    "fingerprint",
    "without_address",
]
