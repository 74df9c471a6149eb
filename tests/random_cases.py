"""Random corpora, evidence and pipelines for hypothesis: small, and damaged in every stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from plugs import (
    BudgetPacker,
    DamagedRetriever,
    SeededChunker,
    SeededEmbedder,
    SeededPacker,
    SeededReranker,
)

from ragdiag import BM25Retriever, Diagnosis, ExactRetriever, HybridRetriever, Pipeline, diagnose
from ragdiag.records import Document, Evidence, Query, Span, WholeDocument
from ragdiag.stages.protocols import Similarity

# Longer than 20 characters, so that exact copies count; they hold what offsets go wrong over.
PIECES = (
    "refunds take five days",
    "refunds take five days",
    "opening hours: 9 to 5",
    "税込み価格は千円です。送料は別途かかります。はい",
    "ยินดีต้อนรับสู่ร้านของเรา",
    "الشحن مجاني للطلبات الكبيرة",
    "👩‍👩‍👧 family plan e\u0301te\u0301 🇩🇪",
    "a b",
    " \r\n\t ",
    "\u00a0",
    "x",
)


def texts(least: int = 1, most: int = 5) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(PIECES), min_size=least, max_size=most).map(" ".join)


@st.composite
def corpora(draw: st.DrawFn, most: int = 3) -> list[Document]:
    """Documents with text, some with a ``lang`` to filter by."""
    return [
        Document(f"d{i}", draw(texts()), {"lang": draw(st.sampled_from(["en", "de"]))})
        for i in range(draw(st.integers(1, most)))
    ]


@st.composite
def spans(draw: st.DrawFn, sources: list[Document]) -> Span:
    """A span that is more than whitespace."""
    able = [source for source in sources if source.text.strip()]
    source = draw(st.sampled_from(able))
    solid = [i for i, c in enumerate(source.text) if not c.isspace()]
    inside = draw(st.sampled_from(solid))
    start = draw(st.integers(max(0, inside - 25), inside))
    return Span(source.id, start, draw(st.integers(inside + 1, min(len(source.text), inside + 26))))


def units(sources: list[Document], *, documents: bool = True) -> st.SearchStrategy[Evidence]:
    """Evidence of one to three alternatives, each of one to three spans or one or two whole documents."""
    several = st.lists(spans(sources), min_size=1, max_size=3)
    whole = st.lists(st.sampled_from([s.id for s in sources]).map(WholeDocument), min_size=1, max_size=2)
    alternatives: Any = st.one_of(several, several, whole) if documents else several
    return st.lists(alternatives, min_size=1, max_size=3).map(lambda found: Evidence.any_of(*found))


@st.composite
def questions(
    draw: st.DrawFn, sources: list[Document], *, most: int = 3, most_units: int = 3, documents: bool = True
) -> list[Query]:
    return [
        Query(
            f"q{i}",
            draw(texts(1, 2).filter(str.strip)),
            draw(st.lists(units(sources, documents=documents), min_size=1, max_size=most_units)),
            filter=draw(st.sampled_from([None, None, {"lang": "en"}])),
            metadata={"kind": draw(st.sampled_from(["easy", "hard"]))},
        )
        for i in range(draw(st.integers(1, most)))
    ]


@dataclass(frozen=True)
class Case:
    pipeline: Pipeline
    documents: list[Document]
    sources: list[Document]
    queries: list[Query]
    min_coverage: float
    copies: bool

    def diagnose(self, *, verify: bool = False, shapley: bool = False) -> Diagnosis:
        return diagnose(
            self.pipeline,
            self.documents,
            self.queries,
            sources=self.sources,
            min_coverage=self.min_coverage,
            copies=self.copies,
            verify=verify,
            shapley=shapley,
        )


@st.composite
def cases(draw: st.DrawFn, *, changed: bool = True) -> Case:
    """A pipeline with random damage, with and without each optional stage."""
    sources = draw(corpora().filter(lambda found: any(s.text.strip() for s in found)))
    documents = draw(ingested(sources)) if changed else list(sources)
    seed = draw(st.integers(0, 10_000))
    kind = draw(st.sampled_from(["exact", "damaged", "hybrid", "bm25"]))
    similarities: list[Similarity] = ["cosine", "dot", "l2"]
    similarity = draw(st.sampled_from(similarities))
    exact = ExactRetriever(metric=similarity)
    retriever: Any = {
        "exact": exact,
        "damaged": DamagedRetriever(exact, seed),
        "hybrid": HybridRetriever([BM25Retriever(), DamagedRetriever(exact, seed)]),
        "bm25": BM25Retriever(),
    }[kind]
    texts_of = {document.id: document.text for document in documents}
    top_k = draw(st.integers(1, 3))
    packers = [None, SeededPacker(seed, texts_of), BudgetPacker(draw(st.integers(1, 60)))]
    pipeline = Pipeline(
        chunker=SeededChunker(seed),
        embedder=None if kind == "bm25" else SeededEmbedder(seed, similarity=similarity),
        retriever=retriever,
        reranker=draw(st.sampled_from([None, SeededReranker(seed)])),
        packer=draw(st.sampled_from(packers)),
        candidates=top_k + draw(st.integers(0, 3)),
        top_k=top_k,
    )
    return Case(
        pipeline,
        documents,
        sources,
        draw(questions(sources)),
        draw(st.sampled_from([1.0, 0.5, 0.8])),
        draw(st.booleans()),
    )


@st.composite
def ingested(draw: st.DrawFn, sources: list[Document]) -> list[Document]:
    """Documents as a parser with faults might have left them: never none, never all empty."""
    documents = []
    for source in sources:
        text = source.text
        damage = draw(st.sampled_from(["none", "none", "blanks", "truncated", "middle", "missing", "extra"]))
        if damage == "blanks":
            text = " ".join(text.split())
        elif damage == "truncated":
            text = text[: draw(st.integers(1, len(text)))]
        elif damage == "middle":
            at = draw(st.integers(0, len(text)))
            text = text[:at] + text[at + 7 :]
        elif damage == "extra":
            documents.append(Document(f"{source.id} extra", text, source.metadata))
        if damage != "missing":
            documents.append(Document(source.id, text, source.metadata))
    if not any(document.text.strip() for document in documents):
        documents.append(Document("filler", "opening hours: 9 to 5"))
    return documents
