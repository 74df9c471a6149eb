"""Document retrieval on SciFact: BM25, MiniLM and their fusion beside bm25s on the same text.

    python benchmarks/scifact.py

Each abstract is one chunk (title, newline, text). nDCG@10 is computed by pytrec_eval from the training
qrels, over 809 claims.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import bm25s
import pytrec_eval
from real_data import data_folder, minilm, write_result

from ragdiag import BM25Retriever, Chunk, Document, ExactRetriever, HybridRetriever, Pipeline, Query
from ragdiag.stages.retrievers import tokenize_words

DEPTH = 100

Run = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class WholeDocumentChunker:
    """One chunk a document: how BEIR's data sets are searched."""

    def chunk(self, document: Document) -> Sequence[Chunk]:
        """The document as it is."""
        return [Chunk.of(document, (0, len(document.text)))]


def main() -> None:
    """Print and keep the table."""
    folder = data_folder("scifact")
    lines = (folder / "corpus.jsonl").read_text(encoding="utf-8").splitlines()
    documents = [Document(d["_id"], f"{d['title']}\n{d['text']}") for d in map(json.loads, lines)]
    texts = {
        q["_id"]: q["text"] for q in map(json.loads, (folder / "queries.jsonl").read_text().splitlines())
    }
    qrels = read_qrels(folder / "qrels" / "train.tsv")
    queries = [Query(query_id, texts[query_id]) for query_id in qrels]

    embedder = minilm()
    exact, bm25 = ExactRetriever(), BM25Retriever()
    fusion = HybridRetriever([exact, bm25], depth=DEPTH)
    plain = Pipeline(chunker=WholeDocumentChunker(), retriever=bm25, top_k=DEPTH)
    vectors = replace(plain, retriever=exact, embedder=embedder)
    runs = {
        "BM25Retriever": run(plain, documents, queries),
        "MiniLM, exact search": run(vectors, documents, queries),
        "their reciprocal rank fusion": run(replace(vectors, retriever=fusion), documents, queries),
        "bm25s, its own tokenizer": bm25s_run(documents, queries, own_tokenizer=True),
        "bm25s, our tokens": bm25s_run(documents, queries, own_tokenizer=False),
    }
    scores = {name: ndcg_at_10(found, qrels) for name, found in runs.items()}
    rows = "\n".join(f"| {name} | {score:.4f} |" for name, score in scores.items())
    text = f"""# SciFact, {len(documents)} abstracts, {len(queries)} claims (training qrels)

| retriever | nDCG@10 |
| --- | --- |
{rows}
"""
    write_result("scifact", text, {"ndcg@10": scores})


def run(pipeline: Pipeline, documents: Sequence[Document], queries: Sequence[Query]) -> Run:
    """Document scores of a pipeline."""
    trace = pipeline.run(documents, queries)
    document_of = {chunk.id: chunk.spans[0].doc_id for chunk in trace.chunks}
    return {
        record.query_id: {document_of[hit.chunk_id]: hit.score for hit in record.retrieved}
        for record in trace.queries
    }


def bm25s_run(documents: Sequence[Document], queries: Sequence[Query], *, own_tokenizer: bool) -> Run:
    """Document scores of bm25s, with its defaults but for the tokens."""
    engine = bm25s.BM25()
    if own_tokenizer:
        corpus = bm25s.tokenize([d.text for d in documents], show_progress=False)
        asked = bm25s.tokenize([q.text for q in queries], return_ids=False, show_progress=False)
    else:
        corpus = [tokenize_words(d.text) for d in documents]
        asked = [tokenize_words(q.text) for q in queries]
    engine.index(corpus, show_progress=False)
    rows, scores = engine.retrieve(asked, k=DEPTH, show_progress=False)
    return {
        query.id: {documents[row].id: float(score) for row, score in zip(found, of_query, strict=True)}
        for query, found, of_query in zip(queries, rows, scores, strict=True)
    }


def read_qrels(path: object) -> dict[str, dict[str, int]]:
    """BEIR's qrels: query, document, grade, tab-separated with a head line."""
    qrels: dict[str, dict[str, int]] = {}
    with open(str(path), encoding="utf-8", newline="") as file:  # noqa: PTH123
        for row in csv.DictReader(file, delimiter="\t"):
            qrels.setdefault(row["query-id"], {})[row["corpus-id"]] = int(row["score"])
    return qrels


def ndcg_at_10(found: Run, qrels: Mapping[str, Mapping[str, int]]) -> float:
    """Mean nDCG@10 by pytrec_eval."""
    evaluator = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut.10"})
    results = evaluator.evaluate({query: dict(scores) for query, scores in found.items()})
    return float(sum(r["ndcg_cut_10"] for r in results.values()) / len(qrels))


if __name__ == "__main__":
    main()
