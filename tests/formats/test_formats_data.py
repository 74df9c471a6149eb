"""Real files, where they are at hand: ``RAGDIAG_DATA`` names their folder."""

import json
import os
from pathlib import Path

import pytest

from ragdiag.formats import read_documents, read_queries
from ragdiag.formats.jsonl import read_lines
from ragdiag.records import Document

DATA = Path(os.environ.get("RAGDIAG_DATA", Path(__file__).parents[3] / "shared" / "data"))

pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason=f"no real data in {DATA}: set RAGDIAG_DATA to their folder"
)


@pytest.mark.parametrize(
    ("name", "documents", "queries", "units"),
    [("chroma_chunking", 5, 472, 790), ("xquad_en", 48, 1190, 1190), ("cranfield", 1400, 225, 0)],
)
def test_documents_and_queries_load(name: str, documents: int, queries: int, units: int) -> None:
    sources = read_documents(DATA / name / "documents.jsonl")
    read = read_queries(DATA / name / "queries.jsonl", sources)
    assert len(sources) == documents
    assert len(read) == queries
    assert sum(len(query.evidence) for query in read) == units


def test_scifact_with_its_alternatives_loads() -> None:
    path = DATA / "scifact" / "corpus.jsonl"
    sources = [Document(line["_id"], f"{line['title']}\n{line['text']}") for _, line in read_lines(path)]
    queries = read_queries(DATA / "scifact" / "queries_with_spans.jsonl", sources)
    assert len(sources) == 5183
    assert len(queries) == 505
    # The quotes of the file, read without ragdiag, stand where its spans are.
    texts = {source.id: source.text for source in sources}
    lines = (DATA / "scifact" / "queries_with_spans.jsonl").read_text(encoding="utf-8").splitlines()
    for query, line in zip(queries, map(json.loads, lines), strict=True):
        quotes = [[part["quote"] for part in parts] for parts in line["evidence"][0]["any_of"]]
        spans = query.evidence[0].alternatives
        assert [[texts[s.doc_id][s.start : s.end] for s in a] for a in spans] == quotes  # type: ignore[union-attr]
