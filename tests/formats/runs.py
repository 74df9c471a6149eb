"""Small pipelines and a small corpus, for the tests of saved traces and diagnoses."""

from __future__ import annotations

from ragdiag import (
    BM25Retriever,
    Document,
    Evidence,
    ExactRetriever,
    HashingEmbedder,
    HybridRetriever,
    LateInteractionReranker,
    MarkdownChunker,
    Pipeline,
    Query,
    RecursiveChunker,
    Span,
    TokenBudget,
    WholeDocument,
)

DOCUMENTS = [
    Document(
        "returns",
        "# Returns\n\nGoods may be returned within 30 days of the delivery.\n\n"
        "## Refunds\n\nRefunds take five days. Größe und 🦜 stay free.\n",
        {"lang": "en", "tags": ["shop", "law"], "versions": (1, (2, "x"))},
    ),
    Document("rückgabe", "# Rückgabe\n\nWaren können binnen 30 Tagen zurück.\n", {"lang": "de"}),
    Document("shipping", "# Shipping\n\nWe ship on Mondays. A broken \udc80 byte stays.\n", {"lang": "en"}),
    Document("copies", "# More\n\nGoods may be returned within 30 days of the delivery.\n", {"lang": "en"}),
]


def span(doc_id: str, text: str) -> Span:
    return Span.find(next(document for document in DOCUMENTS if document.id == doc_id), text)


QUERIES = [
    Query(
        "days",
        "How long may goods be returned?",
        [Evidence.of(span("returns", "Goods may be returned within 30 days of the delivery."))],
        metadata={"topic": ("returns", 1)},
    ),
    Query(
        "two",
        "How long do refunds take, and when is shipping?",
        [
            Evidence.any_of(
                span("returns", "Refunds take five days."), [span("returns", "five"), span("returns", "30")]
            ),
            Evidence.of(span("shipping", "We ship on Mondays.")),
        ],
        metadata={"topic": ("returns", 1)},
    ),
    Query(
        "filtered",
        "Goods returned within 30 days \ud800",
        [Evidence.of(WholeDocument("rückgabe"))],
        filter={"lang": {"de", "fr"}},
        metadata={"topic": ("filters",)},
    ),
    Query(
        "lost",
        "delivery refunds shipping",
        [Evidence.of(span("rückgabe", "binnen 30 Tagen"))],
        filter={"lang": ("en",)},
        metadata={"topic": ("filters",)},
    ),
    Query("unassessed", "Do you ship on Mondays?"),
    Query("nothing", "Who is the king?", answerable=False),
]

_EMBEDDER = HashingEmbedder()

PIPELINES = {
    "words alone": Pipeline(chunker=RecursiveChunker(size=40), retriever=BM25Retriever(), top_k=2),
    "vectors": Pipeline(
        chunker=MarkdownChunker(size=60), embedder=_EMBEDDER, retriever=ExactRetriever(), top_k=2
    ),
    "vectors, packed": Pipeline(
        chunker=RecursiveChunker(size=30),
        embedder=_EMBEDDER,
        retriever=ExactRetriever("l2"),
        packer=TokenBudget(50, overflow="truncate"),
        top_k=3,
    ),
    "words, reranked": Pipeline(
        chunker=RecursiveChunker(size=40),
        retriever=BM25Retriever(),
        reranker=LateInteractionReranker(_EMBEDDER),
        candidates=4,
        top_k=2,
    ),
    "all stages": Pipeline(
        chunker=MarkdownChunker(size=60),
        embedder=_EMBEDDER,
        retriever=HybridRetriever([ExactRetriever(), BM25Retriever()]),
        reranker=LateInteractionReranker(_EMBEDDER),
        packer=TokenBudget(80, counter=_EMBEDDER, reserve=62, overflow="truncate"),
        candidates=5,
        top_k=3,
    ),
}
