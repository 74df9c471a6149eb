"""A trace on disk is the trace that was written, or an error that names its place."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs import DOCUMENTS, PIPELINES, QUERIES

from ragdiag.errors import DataError
from ragdiag.formats.traces import read_trace, write_trace
from ragdiag.records import Chunk, Document
from ragdiag.trace import QueryTrace, Trace
from ragdiag.values import from_json, to_json

Line = dict[str, Any]


@pytest.fixture(scope="module", params=PIPELINES)
def trace(request: pytest.FixtureRequest) -> Trace:
    return PIPELINES[request.param].run(DOCUMENTS, QUERIES)


def lines_of(path: Path) -> list[Line]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def write_raw(path: Path, lines: list[Line]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="ascii")


def assert_same(got: Trace, expected: Trace, *, vectors: bool = True) -> None:
    for field in fields(Trace):
        one, other = getattr(got, field.name), getattr(expected, field.name)
        if field.name == "costs":
            assert one.stages == []
        elif field.name in ("vectors", "query_vectors"):
            if not vectors or other is None:
                assert one is None
            else:
                assert one.dtype == np.float32
                assert one.tobytes() == other.tobytes()
                assert one.shape == other.shape
        else:
            assert one == other, field.name
    assert list(got.stages) == list(expected.stages)


@pytest.mark.parametrize("vectors", [True, False])
def test_what_is_written_reads_back(trace: Trace, tmp_path: Path, *, vectors: bool) -> None:
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    write_trace(trace, first, vectors=vectors)
    read = read_trace(first)
    assert_same(read, trace, vectors=vectors)
    write_trace(read, second, vectors=vectors)
    assert first.read_bytes() == second.read_bytes()


def test_the_runs_hold_what_the_format_has_to_keep() -> None:
    """Otherwise the test above would say little."""
    traces = [pipeline.run(DOCUMENTS, QUERIES) for pipeline in PIPELINES.values()]
    stages = {stage for run in traces for stage in run.stages}
    shortened = [c for run in traces for q in run.queries for c in q.context if c not in run.chunks]
    assert stages == {"chunker", "embedder", "retriever", "reranker", "packer"}
    assert {"embedder", "reranker", "packer"}.isdisjoint(traces[0].stages)
    assert any(run.chunk_tokens for run in traces)
    assert any(run.budget for run in traces)
    assert shortened
    assert any(c.index_text != c.text for run in traces for c in run.chunks)
    assert any("\udc80" in chunk.text for run in traces for chunk in run.chunks)
    assert any(isinstance(chunk.metadata.get("headings"), tuple) for run in traces for chunk in run.chunks)


def test_the_form_of_the_file(tmp_path: Path) -> None:
    """The bytes are a promise to other programs: change them only with the version."""
    document = Document("a", "One. Two.", {"lang": "en"})
    whole = Chunk.of(document, (0, 9), index_text="Title\nOne. Two.")
    other = Chunk.of(document, (5, 9))
    short = replace(whole, text="One.", spans=(replace(whole.spans[0], end=4),))
    trace = replace(
        PIPELINES["vectors"].run(DOCUMENTS, QUERIES),
        stages={"chunker": "C()", "embedder": "E()", "retriever": "R()", "reranker": "S()", "packer": "P()"},
        candidates=4,
        top_k=2,
        chunks=(whole, other),
        vectors=np.array([[1, 0.1], [0, -2]], dtype=np.float32),
        query_vectors=np.array([[0.5, 0]], dtype=np.float32),
        budget=9,
        chunk_tokens=(3, 1),
        queries=(
            _way("q", [(whole.id, 0.1), (other.id, -1e-7)], [(other.id, 2.0), (whole.id, 1 / 3)], short),
        ),
    )
    path = tmp_path / "trace.jsonl"
    write_trace(trace, path)
    assert path.read_text(encoding="utf-8") == (
        '{"format": "ragdiag-trace", "version": 1, "stages": {"chunker": "C()", "embedder": "E()", '
        '"retriever": "R()", "reranker": "S()", "packer": "P()"}, "candidates": 4, "top_k": 2, '
        '"similarity": "cosine", "budget": 9, "dimensions": 2, "tokens": true, "chunks": 2, "queries": 1}\n'
        '{"kind": "chunk", "id": "a#0-9", "spans": [["a", 0, 9]], "text": "One. Two.", '
        '"index_text": "Title\\nOne. Two.", "metadata": {"lang": "en"}, "tokens": 3, '
        '"vector": "AACAP83MzD0="}\n'
        '{"kind": "chunk", "id": "a#5-9", "spans": [["a", 5, 9]], "text": "Two.", '
        '"metadata": {"lang": "en"}, "tokens": 1, "vector": "AAAAAAAAAMA="}\n'
        '{"kind": "query_trace", "query_id": "q", "vector": "AAAAPwAAAAA=", '
        '"retrieved": [["a#0-9", 0.1], ["a#5-9", -1e-07]], '
        '"reranked": [["a#5-9", 2.0], ["a#0-9", 0.3333333333333333]], '
        '"context": ["a#5-9", {"id": "a#0-9", "spans": [["a", 0, 4]], "text": "One.", '
        '"index_text": "Title\\nOne. Two.", "metadata": {"lang": "en"}}]}\n'
    )
    assert_same(read_trace(path), trace)


def _way(
    query_id: str, retrieved: list[tuple[str, float]], reranked: list[tuple[str, float]], short: Chunk
) -> QueryTrace:
    from ragdiag.records import Hit

    document = Document("a", "One. Two.", {"lang": "en"})
    return QueryTrace(
        query_id,
        tuple(Hit(*pair) for pair in retrieved),
        tuple(Hit(*pair) for pair in reranked),
        (Chunk.of(document, (5, 9)), short),
    )


def test_bytes_are_the_same_in_another_process(tmp_path: Path) -> None:
    """Sets have another order in every process: metadata with sets must not."""
    program = """
import sys
from ragdiag import BM25Retriever, Document, Pipeline, Query, RecursiveChunker
from ragdiag.formats.traces import write_trace

document = Document("a", "Some text.", {"tags": {"one", "two", "three", ("four", 4), frozenset("five")}})
pipeline = Pipeline(chunker=RecursiveChunker(size=40), retriever=BM25Retriever())
write_trace(pipeline.run([document], [Query("q", "text")]), sys.argv[1])
"""
    for seed in ("1", "2"):
        subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / seed)],
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[2],
        )
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()
    tags = read_trace(tmp_path / "1").chunks[0].metadata["tags"]
    assert tags == {"one", "two", "three", ("four", 4), frozenset("five")}


def test_a_trace_without_queries_keeps_its_shape(tmp_path: Path) -> None:
    trace = PIPELINES["all stages"].run(DOCUMENTS, [])
    write_trace(trace, tmp_path / "trace.jsonl")
    assert_same(read_trace(tmp_path / "trace.jsonl"), trace)


# Values of metadata

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
        | st.frozensets(st.integers() | st.text(max_size=3) | st.tuples(st.integers()), max_size=3)
        | st.sets(st.integers() | st.text(max_size=3), max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=5), VALUES, max_size=4))
def test_metadata_read_back_with_their_types(metadata: dict[str, Any]) -> None:
    read = from_json(json.loads(json.dumps(to_json(metadata, "metadata"))))
    # repr tells 1 from True from 1.0, and a list from a tuple; sets are told apart by ==.
    assert read == metadata
    assert _types(read) == _types(metadata)


def _types(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _types(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value), [_types(item) for item in value]
    return type(value)


@pytest.mark.parametrize(
    ("metadata", "problem"),
    [
        ({"a": object}, "metadata['a']: a file cannot hold <class 'object'>, of type type; expected strings"),
        ({"a": {"b": [1, b"x"]}}, "metadata['a']['b']: a file cannot hold b'x', of type bytes"),
        ({"a": float("nan")}, "metadata['a']: a file cannot hold nan, of type float"),
        ({"a": {1: 2}}, "metadata['a']: a key must be a string, got 1"),
        ({"a": {"$set": 2}}, "metadata['a']: the key '$set' is one by which files mark types; rename it"),
    ],
)
def test_metadata_that_no_file_can_hold_name_chunk_and_key(
    tmp_path: Path, metadata: dict[str, Any], problem: str
) -> None:
    document = Document("a", "Some text.", metadata)
    trace = PIPELINES["words alone"].run([document], QUERIES[-1:])
    path = tmp_path / "trace.jsonl"
    path.write_text("before")
    with pytest.raises(DataError) as caught:
        write_trace(trace, path)
    assert str(caught.value).startswith(f"{path}: chunk 'a#0-10': {problem}")
    assert path.read_text() == "before"


def test_metadata_that_hold_themselves_are_refused() -> None:
    loop: dict[str, Any] = {}
    loop["self"] = loop
    with pytest.raises(DataError, match=r"^metadata: nested too deeply$"):
        to_json(loop, "metadata")


def test_a_marked_set_of_what_no_set_can_hold_is_refused() -> None:
    with pytest.raises(DataError, match=r"a set cannot hold \[\[1\]\]"):
        from_json({"a": {"$set": [[1]]}})
    assert from_json({"a": {"$set": 1, "b": 2}, "$set": [1]}) == {"a": {"$set": 1, "b": 2}, "$set": [1]}


# Damage


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> list[Line]:
    path = tmp_path_factory.mktemp("saved") / "trace.jsonl"
    write_trace(PIPELINES["all stages"].run(DOCUMENTS, QUERIES), path)
    return lines_of(path)


def change(at: int, **values: Any) -> Callable[[list[Line]], None]:
    def damage(lines: list[Line]) -> None:
        lines[at].update(values)

    return damage


def drop(at: int, field: str) -> Callable[[list[Line]], None]:
    def damage(lines: list[Line]) -> None:
        del lines[at][field]

    return damage


NAN_VECTOR = base64.b64encode(np.full(256, np.nan, dtype="<f4").tobytes()).decode()


@pytest.mark.parametrize(
    ("damage", "line", "problem"),
    [
        (
            change(0, format="ragdiag-diagnosis"),
            1,
            "format: expected 'ragdiag-trace', got 'ragdiag-diagnosis'",
        ),
        (drop(0, "format"), 1, "format: expected 'ragdiag-trace', got none"),
        (
            change(0, version=2, new=1),
            1,
            "version: this release of ragdiag reads version 1 of ragdiag-trace, got 2",
        ),
        (change(0, version=True), 1, "version: expected a valid integer, got True"),
        (change(0, top_k=0), 1, "top_k: expected greater than or equal to 1, got 0"),
        (change(0, topk=1), 1, "topk: is not known; did you mean 'top_k'?"),
        (change(0, similarity="cosin"), 1, "similarity: expected 'cosine', 'dot' or 'l2', got 'cosin'"),
        (change(0, similarity=None), 1, "dimensions: vectors need a similarity"),
        (change(0, tokens=False), 1, "tokens: a budget needs the tokens of every chunk"),
        (change(0, tokens=False, budget=None), 2, "tokens: does not belong here, by the header"),
        (change(0, dimensions=None), 2, "vector: does not belong here, by the header"),
        (change(0, dimensions=3), 2, "vector: expected 3 numbers of 4 bytes, got 1024 bytes"),
        (change(0, chunks=8), 10, "kind: expected 'query_trace' (1 of 6 by the header), got 'chunk'"),
        (change(0, chunks=10), 11, "kind: expected 'chunk' (10 of 10 by the header), got 'query_trace'"),
        (change(0, queries=5), 16, "expected the end of the file"),
        (drop(1, "kind"), 2, "kind: expected 'chunk' (1 of 9 by the header), got None"),
        (drop(1, "text"), 2, "text: is missing"),
        (drop(1, "tokens"), 2, "tokens: is missing"),
        (drop(1, "vector"), 2, "vector: is missing"),
        (change(1, vector="é"), 2, "vector: not base64: "),
        (change(1, vector="AAA"), 2, "vector: not base64: "),
        (change(1, vector=NAN_VECTOR), 2, "vector: holds NaN or infinity"),
        (change(1, spans=[["returns", "0", 5]]), 2, "spans[0][1]: expected a valid integer, got '0'"),
        (
            change(1, spans=[["returns", 5, 5]]),
            2,
            "spans: Span in document 'returns' must satisfy 0 <= start",
        ),
        (
            change(1, spans=[["returns", 5]]),
            2,
            "spans[0]: expected a list of document id, start, end, got ['returns', 5]",
        ),
        (
            change(1, spans=["returns"]),
            2,
            "spans[0]: expected a list of document id, start, end, got 'returns'",
        ),
        (change(1, spans=[]), 2, "chunk 'returns#0-50' has no spans"),
        (change(1, metadata={"a": {"$set": [[1]]}}), 2, "metadata: a set cannot hold [[1]]"),
        (change(2, id="returns#0-50"), 3, "id: 'returns#0-50' is already that of line 2"),
        (change(11, query_id="days"), 12, "query_id: 'days' is already that of line 11"),
        (change(10, retrieved=[["x"]]), 11, "retrieved[0]: expected a list of chunk id, score, got ['x']"),
        (change(10, retrieved=[["x", 1.0]]), 11, "retrieved[0]: there is no chunk 'x' in this file"),
        (
            change(10, retrieved=[["returns#0-50", "1"]]),
            11,
            "retrieved[0][1]: expected a valid number, got '1'",
        ),
        (
            change(10, retrieved=[["returns#0-50", 1], ["returns#0-50", 1]]),
            11,
            "retrieved[1]: chunk 'returns#0-50' comes twice",
        ),
        (
            change(10, retrieved=[["returns#0-50", 1], ["copies#0-6", 2]]),
            11,
            "retrieved[1]: expected the best first, got the score 2.0 after 1.0",
        ),
        (
            change(10, retrieved=[["returns#0-50", 1]] * 6),
            11,
            "retrieved: expected at most 5 chunks ('candidates' of the header), got 6",
        ),
        (change(10, reranked=[]), 11, "reranked: expected the chunks of 'retrieved' and no others"),
        (change(10, reranked=None), 11, "reranked: is missing"),
        (
            change(10, context=["x"]),
            11,
            "context[0]: chunk 'x' is not among the first 3 of the final ranking",
        ),
        (change(10, context=["returns#0-50"] * 2), 11, "context[1]: chunk 'returns#0-50' comes twice"),
        (change(10, context=[{"id": "returns#0-50"}]), 11, "context[0].spans: is missing"),
        (
            change(10, context=[{"id": "returns#0-50", "spans": [["a", 1, 0]], "text": ""}]),
            11,
            "context[0].spans: Span in",
        ),
    ],
)
def test_damage_is_named_by_line_and_field(
    saved: list[Line], tmp_path: Path, damage: Callable[[list[Line]], None], line: int, problem: str
) -> None:
    lines: list[Line] = json.loads(json.dumps(saved))
    damage(lines)
    path = tmp_path / "trace.jsonl"
    write_raw(path, lines)
    with pytest.raises(DataError) as caught:
        read_trace(path)
    assert str(caught.value).startswith(f"{path}:{line}: {problem}")


@pytest.mark.parametrize("kept", range(16))
def test_a_file_cut_off_between_lines_is_noticed(saved: list[Line], tmp_path: Path, kept: int) -> None:
    assert len(saved) == 16
    path = tmp_path / "trace.jsonl"
    write_raw(path, saved[:kept])
    after = f"after line {kept}" if kept else "before any line"
    with pytest.raises(DataError, match=rf"trace.jsonl: ends {after}, expected .*: the file is cut off$"):
        read_trace(path)


def test_a_file_cut_off_inside_a_line_is_noticed(saved: list[Line], tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    write_raw(path, saved)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"trace.jsonl:16: not valid JSON: .*cut off"):
        read_trace(path)
