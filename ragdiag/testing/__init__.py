"""Contract tests for plugs of one's own: what a pipeline needs of them, and what good verdicts rest on.

Each ``check_…`` tries a plug on inputs that plugs stumble over, and raises one `ContractError` (an
AssertionError) that names every promise it broke, the input that shows it, what was expected and what came.
A test, for pytest or for unittest, is a call:

    >>> from ragdiag import Chunk, Document
    >>> from ragdiag.testing import check_chunker
    >>> class WholeDocuments:
    ...     def chunk(self, document: Document) -> list[Chunk]:
    ...         return [Chunk.of(document, (0, len(document.text)))] if document.text else []
    >>> def test_my_chunker() -> None:
    ...     check_chunker(WholeDocuments())

`PROMISES` lists the promises of each kind of plug. The required ones are what every pipeline checks itself;
the promised ones may be left out, with ``without``; the optional ones are looked at with ``also``:

    >>> for promise in PROMISES["packer"]:
    ...     print(promise.name, promise.kind)
    raises_nothing required
    valid_context required
    usable_budget required
    nothing_from_nothing promised
    same_again promised
    chunks_unchanged promised
    within_budget promised

Nothing here needs pytest, a model or a network.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ragdiag.testing.chunkers import CHUNKER_PROMISES, check_chunker
from ragdiag.testing.embedders import EMBEDDER_PROMISES, check_embedder
from ragdiag.testing.packers import PACKER_PROMISES, check_packer
from ragdiag.testing.pipelines import PIPELINE_PROMISES, check_pipeline
from ragdiag.testing.promises import Broken, ContractError, Promise
from ragdiag.testing.rerankers import RERANKER_PROMISES, check_reranker
from ragdiag.testing.retrievers import RETRIEVER_PROMISES, check_retriever
from ragdiag.testing.samples import hostile_documents, hostile_texts

__all__ = [
    "PROMISES",
    "Broken",
    "ContractError",
    "Promise",
    "check_chunker",
    "check_embedder",
    "check_packer",
    "check_pipeline",
    "check_reranker",
    "check_retriever",
    "hostile_documents",
    "hostile_texts",
]

PROMISES: Mapping[str, tuple[Promise[Any], ...]] = MappingProxyType(
    {
        "chunker": CHUNKER_PROMISES,
        "embedder": EMBEDDER_PROMISES,
        "retriever": RETRIEVER_PROMISES,
        "reranker": RERANKER_PROMISES,
        "packer": PACKER_PROMISES,
        "pipeline": PIPELINE_PROMISES,
    }
)
"""What each kind of plug is held to, in the order in which it is looked at."""
