"""Questions about facts of one document each, and pipelines of which is known what they deliver."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from plugs import LineChunker, OrderRetriever

from ragdiag import Diagnosis, Pipeline, diagnose
from ragdiag.records import Chunk, Document, Evidence, Query, Span


def document(i: int) -> Document:
    return Document(f"d{i}", f"The fact {i}.\nSomething else.")


def question(i: int) -> Query:
    return Query(f"q{i}", f"What is fact {i}?", [Evidence.of(Span.find(document(i), f"The fact {i}."))])


@dataclass(frozen=True)
class Dropper:
    """Leaves out the chunks that it is told."""

    gone: tuple[str, ...]

    def pack(self, query: str, chunks: Sequence[Chunk]) -> list[Chunk]:  # noqa: ARG002
        return [chunk for chunk in chunks if chunk.id not in self.gone]


def run(
    n: int, found: Collection[int], *, dropped: Collection[int] = (), queries: Sequence[Query] = ()
) -> Diagnosis:
    """Ask about ``n`` facts: the retriever has those of ``found``, the packer drops those of ``dropped``."""
    chunks = {i: LineChunker().chunk(document(i)) for i in range(n)}
    pipeline = Pipeline(
        chunker=LineChunker(),
        retriever=OrderRetriever({f"q{i}": [chunks[i][i not in found].id] for i in range(n)}),
        packer=Dropper(tuple(chunks[i][0].id for i in dropped)),
        candidates=1,
        top_k=1,
    )
    asked = queries or [question(i) for i in range(n)]
    return diagnose(pipeline, [document(i) for i in range(n)], asked, verify=False)
