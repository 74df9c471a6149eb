"""The report's measures against sets of characters, and against the values of its own table."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import numpy as np
import pytest
import tiktoken
from chroma import OMEGAS, Kind, Length, omegas, places_of, splitter
from hypothesis import given
from hypothesis import strategies as st

from ragdiag.errors import DataError
from ragdiag.formats import read_documents, read_queries
from ragdiag.measures.chroma import (
    chroma_iou,
    chroma_omega,
    chroma_precision,
    chroma_recall,
    chroma_span,
    chroma_summary,
)
from ragdiag.records import Document, Query, Span

DATA = Path(os.environ.get("RAGDIAG_DATA", Path(__file__).parents[3] / "shared" / "data"))

spans = st.builds(
    lambda doc_id, start, length: Span(doc_id, start, start + length),
    st.sampled_from("de"),
    st.integers(0, 25),
    st.integers(1, 12),
)
evidence = st.lists(spans, min_size=1, max_size=4)
retrieved = st.lists(spans, max_size=5)


def characters(spans: list[Span]) -> set[tuple[str, int]]:
    return {(span.doc_id, i) for span in spans for i in range(span.start, span.end)}


@given(retrieved, evidence)
def test_measures_count_characters(chunks: list[Span], excerpts: list[Span]) -> None:
    found = characters(chunks) & characters(excerpts)
    delivered, named = sum(map(len, chunks)), sum(map(len, excerpts))
    missing = sum(len(characters([excerpt]) - found) for excerpt in excerpts)
    assert chroma_recall(chunks, excerpts) == len(found) / named
    assert chroma_precision(chunks, excerpts) == (len(found) / delivered if delivered else 0)
    assert chroma_iou(chunks, excerpts) == len(found) / (delivered + missing)


@given(retrieved, evidence)
def test_omega_takes_the_union_of_what_touches(chunks: list[Span], excerpts: list[Span]) -> None:
    edges = {(e.doc_id, edge) for e in excerpts for edge in range(e.start, e.end + 1)}
    touching = [c for c in chunks if edges & {(c.doc_id, edge) for edge in range(c.start, c.end + 1)}]
    expected = 0.0
    if touching:
        found = characters(touching) & characters(excerpts)
        expected = len(found) / len(characters(touching) | characters(excerpts))
    assert chroma_omega(chunks, excerpts) == expected


def test_a_touching_chunk_counts_for_omega_and_for_nothing_else() -> None:
    chunks, excerpts = [Span("d", 0, 10), Span("d", 10, 20)], [Span("d", 10, 20)]
    assert chroma_omega(chunks, excerpts) == 0.5
    assert chroma_omega(chunks[1:], excerpts) == 1
    assert chroma_omega(chunks[:1], excerpts) == 0
    assert chroma_recall(chunks[:1], excerpts) == 0


def test_a_chunk_stands_where_its_text_is_found_first() -> None:
    document = Document("d", "Net sales rose. Net sales rose. Costs fell.")
    assert chroma_span(document, "Net sales rose.") == Span("d", 0, 14)
    assert chroma_span(document, ".") == Span("d", 14, 15)
    assert chroma_span(document, "rose. Costs") == Span("d", 26, 37)
    for text in ("profits", ""):
        with pytest.raises(DataError, match=f"chunk not found in document 'd': '{text}'"):
            chroma_span(document, text)


@pytest.mark.parametrize("measure", [chroma_iou, chroma_omega, chroma_precision, chroma_recall])
def test_without_excerpts_there_is_no_value(measure: object) -> None:
    with pytest.raises(DataError, match="without excerpts"):
        measure([Span("d", 0, 1)], [])  # type: ignore[operator]


def test_the_deviation_is_that_of_the_population() -> None:
    values = [0.0, 0.25, 1.0]
    assert chroma_summary(values) == pytest.approx((np.mean(values), np.std(values, ddof=0)))


@pytest.fixture(scope="module")
def data() -> tuple[list[Document], list[Query]]:
    if not DATA.is_dir():
        pytest.skip(f"no real data in {DATA}: set RAGDIAG_DATA to their folder")
    documents = read_documents(DATA / "chroma_chunking" / "documents.jsonl")
    return documents, read_queries(DATA / "chroma_chunking" / "queries.jsonl", documents)


@pytest.fixture(scope="module")
def length() -> Length:
    """What a text takes of cl100k; all splitters ask for the same small parts."""
    return functools.cache(lambda text: len(tiktoken.get_encoding("cl100k_base").encode_ordinary(text)))


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize("row", OMEGAS, ids=str)
def test_omega_of_the_report_is_reproduced(
    row: tuple[Kind, int, int], data: tuple[list[Document], list[Query]], length: Length
) -> None:
    documents, queries = data
    found = omegas(places_of(splitter(*row, length), documents), queries)
    assert len(found) == 472
    assert 100 * chroma_summary(found)[0] == pytest.approx(OMEGAS[row], abs=0.05)
