"""Names of chunkers: short, readable, and never the same for two."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plugs import LineChunker

from ragdiag import (
    Chunker,
    ConfigError,
    HashingEmbedder,
    MarkdownChunker,
    ParentChildChunker,
    RecursiveChunker,
    SemanticChunker,
)
from ragdiag.experiments.chunking.names import named_chunkers
from ragdiag.records import Chunk, Document


@dataclass(frozen=True, repr=False)
class Called:
    """Shows itself as it is told."""

    shown: str

    def __repr__(self) -> str:
        return self.shown

    def chunk(self, document: Document) -> list[Chunk]:
        raise NotImplementedError(document)


def names(*shown: str) -> list[str]:
    return list(named_chunkers([Called(one) for one in shown]))


def test_a_mapping_keeps_its_names_and_its_order() -> None:
    chunkers = {"b": RecursiveChunker(100), "a": RecursiveChunker(100)}
    assert list(named_chunkers(chunkers).items()) == list(chunkers.items())


def test_a_list_is_named_by_what_differs() -> None:
    embedder = HashingEmbedder(64)
    chunkers: list[Chunker] = [
        RecursiveChunker(400),
        RecursiveChunker(400, overlap=100),
        RecursiveChunker(100, unit=embedder),
        MarkdownChunker(800),
        SemanticChunker(embedder, size=300),
        ParentChildChunker(RecursiveChunker(800), RecursiveChunker(200)),
        ParentChildChunker(RecursiveChunker(800), RecursiveChunker(100, overlap=20)),
        LineChunker(),
    ]
    named = named_chunkers(chunkers)
    assert list(named.values()) == chunkers
    assert list(named) == [
        "Recursive(400)",
        "Recursive(400, overlap=100)",
        f"Recursive(100, unit={embedder!r})",
        "Markdown(800)",
        "Semantic(HashingEmbedder())",
        "ParentChild(Recursive(800), Recursive(200))",
        "ParentChild(Recursive(800), Recursive(100, overlap=20))",
        "Line",
    ]


def test_what_is_no_expression_stays_as_it_is() -> None:
    assert names("<splitter of mine, 5>", "Other(5)", "f(") == ["<splitter of mine, 5>", "Other(5)", "f("]
    assert names("a.B(1, x='(y)')", "a.B(1, x='z')") == ["a.B(1)", "a.B(1, x='z')"]


def test_names_that_would_be_the_same_stay_whole() -> None:
    assert names("FastChunker(5, x=1)", "Fast(5, x=1)") == ["FastChunker(5, x=1)", "Fast(5, x=1)"]
    assert names("FastChunker(5, x=1)", "Fast(5)", "C(1)") == ["FastChunker(5, x=1)", "Fast(5)", "C(1)"]


@given(
    st.lists(
        st.builds(
            lambda name, size, options: (
                f"{name}({', '.join([str(size), *(f'{key}={value}' for key, value in options.items())])})"
            ),
            st.sampled_from(["A", "AChunker", "B"]),
            st.integers(0, 2),
            st.dictionaries(st.sampled_from(["x", "y"]), st.sampled_from(["1", "2", "C(1)", "C(1, z=2)"])),
        ),
        min_size=2,
        max_size=8,
        unique=True,
    )
)
def test_names_differ_where_chunkers_do(shown: list[str]) -> None:
    found = names(*shown)
    assert len(set(found)) == len(shown)
    assert all(len(name) <= len(whole) for name, whole in zip(found, shown, strict=True))


@pytest.mark.parametrize(
    ("chunkers", "message"),
    [
        ([], "needs at least two chunkers, got none"),
        ([RecursiveChunker()], "needs at least two chunkers, got Recursive(800)"),
        ({"only": RecursiveChunker()}, "needs at least two chunkers, got only"),
        ([RecursiveChunker(), RecursiveChunker()], "two chunkers show themselves as RecursiveChunker(800,"),
        ([RecursiveChunker(), RecursiveChunker], "chunker 2: expected an object with chunk, got the class"),
        ({"a": RecursiveChunker(), "b": 5}, "chunker 'b': expected an object with chunk, got int"),
        ({"a": RecursiveChunker(), "": LineChunker()}, "name of a chunker must be a text, got ''"),
        ({"a": RecursiveChunker(), 3: LineChunker()}, "name of a chunker must be a text, got 3"),
        ("recursive", "a mapping of names to chunkers, or a list, got 'recursive'"),
        (RecursiveChunker(), "a mapping of names to chunkers, or a list, got RecursiveChunker"),
    ],
)
def test_what_cannot_be_named_is_refused(chunkers: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        named_chunkers(chunkers)
