"""Document retrieval on SciFact and Cranfield: BM25, MiniLM and their fusion beside bm25s on the same text.

    python benchmarks/document_retrieval.py

Each document is one chunk. Every run goes through a TREC file, and its measures are computed twice from it:
by ragdiag (`read_run`, `evaluate`) and by pytrec_eval (its own reader and trec_eval's code). The script
fails unless both agree for every query and measure to 1e-9.
"""

from __future__ import annotations

import math
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import bm25s
import pytrec_eval
from real_data import data_folder, minilm, write_result

from ragdiag import (
    BM25Retriever,
    Chunk,
    Document,
    ExactRetriever,
    HybridRetriever,
    Pipeline,
    Query,
    RagdiagWarning,
    read_documents,
    read_queries,
)
from ragdiag.formats import read_beir, read_qrels, read_run, write_qrels, write_run
from ragdiag.measures import Qrels, Run, document_run, evaluate
from ragdiag.stages.retrievers import tokenize_words

DEPTH = 100
MEASURES = {"nDCG@10": "ndcg_cut_10", "R@100": "recall_100", "MAP": "map"}
"""In ragdiag's words and in trec_eval's."""
TOLERANCE = 1e-9

Means = Mapping[str, Mapping[str, float]]
"""By measure its value, the ends of its interval, and the number of queries."""

CRANFIELD_GRADES = {1: 4, 2: 3, 3: 2, 4: 1, -1: 0}
"""Cranfield's scale is inverted: 1 is best, 4 least, -1 of no interest."""


@dataclass(frozen=True)
class Collection:
    """What is searched, what is asked, and what is relevant."""

    name: str
    documents: Sequence[Document]
    queries: Sequence[Query]
    qrels: Qrels


@dataclass(frozen=True)
class WholeDocumentChunker:
    """One chunk a document, none where it has no text: how these collections are searched."""

    def chunk(self, document: Document) -> Sequence[Chunk]:
        """The document as it is."""
        return [Chunk.of(document, (0, len(document.text)))] if document.text.strip() else []


def main() -> None:
    """Print and keep the tables."""
    sections, differences = [], []
    values: dict[str, Any] = {}
    for collection in (scifact(), cranfield()):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", RagdiagWarning)
            means = {}
            for name, run in runs(collection):
                means[name], difference = measured(run, collection.qrels, f"{collection.name}, {name}")
                differences.append(difference)
        values[collection.name] = means
        said = list(dict.fromkeys(str(warning.message) for warning in caught))
        sections.append(section(collection, means, said))
    agreement = (
        f"{len(differences)} runs, each written as a TREC file and read back. ragdiag and pytrec_eval agree "
        f"for every query and measure (largest difference {max(differences):.1e})."
    )
    values["largest difference from pytrec_eval"] = max(differences)
    write_result("document_retrieval", "\n".join([*sections, agreement]), values)


def scifact() -> Collection:
    """5,183 abstracts; the text is the title, a newline, the abstract. Training qrels, as BEIR has them."""
    dataset = read_beir(data_folder("scifact"), split="train")
    return Collection("SciFact", dataset.documents, dataset.queries, dataset.qrels)


def cranfield() -> Collection:
    """1,400 abstracts, graded judgments."""
    folder = data_folder("cranfield")
    documents = read_documents(folder / "documents.jsonl")
    queries = read_queries(folder / "queries.jsonl", documents)
    return Collection(
        "Cranfield", documents, queries, read_qrels(folder / "qrels.trec", grades=CRANFIELD_GRADES)
    )


def runs(collection: Collection) -> Iterator[tuple[str, Run]]:
    """What each retriever finds. The model's vectors are only computed for SciFact."""
    documents, queries = collection.documents, collection.queries
    exact, bm25 = ExactRetriever(), BM25Retriever()
    plain = Pipeline(chunker=WholeDocumentChunker(), retriever=bm25, top_k=DEPTH)
    yield "BM25Retriever", document_run(plain.run(documents, queries))
    if collection.name == "SciFact":
        vectors = replace(plain, retriever=exact, embedder=minilm())
        fusion = replace(vectors, retriever=HybridRetriever([exact, bm25], depth=DEPTH))
        yield "MiniLM, exact search", document_run(vectors.run(documents, queries))
        yield "their reciprocal rank fusion", document_run(fusion.run(documents, queries))
    yield "bm25s, its own tokenizer", bm25s_run(documents, queries, own_tokenizer=True)
    yield "bm25s, our tokens", bm25s_run(documents, queries, own_tokenizer=False)


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


def measured(run: Run, qrels: Qrels, what: str) -> tuple[Means, float]:
    """The means, and how far pytrec_eval is from any query's value; ends the program where too far."""
    with tempfile.TemporaryDirectory() as folder:
        run_file, qrels_file = Path(folder, "run.trec"), Path(folder, "qrels.trec")
        write_run(run_file, run)
        write_qrels(qrels_file, qrels)
        ours = evaluate(read_run(run_file), read_qrels(qrels_file), list(MEASURES))
        theirs = by_pytrec_eval(run_file, qrels_file)
    largest = 0.0
    by_query = ours.per_query.fillna(0.0)  # pytrec_eval's value where nothing is relevant
    for measure, their_name in MEASURES.items():
        for query, value in zip(by_query.index, by_query[measure].tolist(), strict=True):
            other = theirs[query][their_name] if query in theirs else math.nan
            if not abs(value - other) <= TOLERANCE:
                raise SystemExit(
                    f"{what}, query {query!r}: {measure} is {value} by ragdiag and {other} by pytrec_eval"
                )
            largest = max(largest, abs(value - other))
    rows = ours.means().to_dict(orient="records")
    means = {row["measure"]: {key: row[key] for key in ("value", "low", "high", "n")} for row in rows}
    return means, largest


def by_pytrec_eval(run_file: Path, qrels_file: Path) -> Mapping[str, Mapping[str, float]]:
    """The same measures of the same files by query; pytrec_eval leaves out queries that found nothing."""
    with run_file.open(encoding="utf-8") as file:
        run = pytrec_eval.parse_run(file)
    with qrels_file.open(encoding="utf-8") as file:
        qrels = pytrec_eval.parse_qrel(file)
    evaluator = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut.10", "recall.100", "map"})
    values: Mapping[str, Mapping[str, float]] = evaluator.evaluate(run)
    return values


def section(collection: Collection, means: Mapping[str, Means], said: Sequence[str]) -> str:
    """The table of a collection in Markdown, and what is odd about its documents."""
    rows = "\n".join(
        f"| {name} | {' | '.join(format(of_run[measure]['value'], '.4f') for measure in MEASURES)} |"
        for name, of_run in means.items()
    )
    asked = {of_run[measure]["n"] for of_run in means.values() for measure in MEASURES}
    return f"""# {collection.name}, {len(collection.documents)} documents, {len(collection.queries)} queries

| retriever | {" | ".join(MEASURES)} |
| --- |{" --- |" * len(MEASURES)}
{rows}

Means over the {" or ".join(map(str, sorted(asked)))} queries for which something is relevant.
{about_empty(collection, said)}"""


def about_empty(collection: Collection, said: Sequence[str]) -> str:
    """What becomes of documents without text."""
    empty = [document.id for document in collection.documents if not document.text.strip()]
    if not empty:
        return ""
    wanted = [
        f"{document} is relevant for query {query}"
        for query, grades in collection.qrels.items()
        for document in empty
        if grades.get(document, 0) >= 1
    ]
    return f"""
Documents without text: {", ".join(empty)}. They make no chunk, so that no retriever of ragdiag finds them,
and ragdiag warns: "{"; ".join(said)}". Judged: {"; ".join(wanted) or "none of them is relevant"}.
"""


if __name__ == "__main__":
    main()
