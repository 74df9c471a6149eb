import itertools
import json
import math
import pickle
import time
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from contracts_chunkers import check_chunker, overlaps
from hypothesis import given, settings
from hypothesis import strategies as st
from plugs import AnyEmbedder, CountingEmbedder, SeededEmbedder, TableEmbedder
from test_chunkers import FAMILY, PROSE, TEXTS, UNITS, WordPieces

from ragdiag import testing
from ragdiag.errors import ConfigError, StageError
from ragdiag.records import Document
from ragdiag.stages.chunkers import SemanticChunker, SentenceChunker
from ragdiag.stages.chunkers.sentences import find_sentences
from ragdiag.stages.embedders import HashingEmbedder, StaticEmbedder
from ragdiag.stages.protocols import Embedder

pytestmark = pytest.mark.usefixtures("published")

HASHING = HashingEmbedder(64)
ZOO = (
    "Elephants in the zoo drink much water. The elephants of the zoo eat hay. Young elephants in the zoo "
    "drink milk. Hay and water for the elephants cost much. The zoo has four elephants. They eat hay at noon."
)
BANK = (
    "A bank lends money to a firm. The firm pays interest to a bank. A firm without money pays no interest. "
    "That bank lends to another firm. Interest is money. A bank sets what interest a firm pays."
)


def texts(chunker: SemanticChunker, text: str) -> list[str]:
    return [chunk.text for chunk in chunker.chunk(Document("d", text))]


# The contract of chunkers


@pytest.mark.parametrize("overlap", [0, 30])
@pytest.mark.parametrize("unit", ["characters", "erratic", "cl100k"])
@pytest.mark.parametrize("name", TEXTS)
def test_contract(name: str, unit: str, overlap: int) -> None:
    chunker = SemanticChunker(HASHING, size=100, overlap=overlap, unit=UNITS[unit], percentile=70)
    check_chunker(chunker, Document(name, TEXTS[name]))


def test_promises_hold_on_hostile_documents() -> None:
    testing.check_chunker(SemanticChunker(HASHING, size=100, overlap=20))


@settings(max_examples=100)
@given(
    text=st.lists(
        st.sampled_from([*"ab.!? \n，。？", "\r\n\r\n", "Ab. ", "cde fgh. ", FAMILY, "\u0301", "\ud800"])
        | st.text(max_size=5),
        max_size=40,
    ).map("".join),
    unit=st.sampled_from(list(UNITS)),
    size=st.integers(12, 40),
    overlap=st.integers(0, 11),
    percentile=st.sampled_from([0, 50, 95.0, 100]),
    window=st.integers(1, 4),
)
def test_contract_of_any_text(
    *, text: str, unit: str, size: int, overlap: int, percentile: float, window: int
) -> None:
    chunker = SemanticChunker(
        SeededEmbedder(7),
        size=size,
        overlap=overlap,
        unit=UNITS[unit],
        percentile=percentile,
        window=window,
    )
    check_chunker(chunker, Document("d", text))


# Where it cuts


@pytest.mark.parametrize("embedder", [HashingEmbedder(1024), StaticEmbedder()], ids=repr)
@pytest.mark.parametrize("window", [2, 3])
def test_a_change_of_subject_is_found(embedder: Embedder, window: int) -> None:
    chunker = SemanticChunker(embedder, percentile=95, window=window)
    assert texts(chunker, f"{ZOO} {BANK}") == [ZOO, BANK]
    assert texts(chunker, f"{BANK}\n\n{ZOO}") == [BANK, ZOO]


def test_as_many_gaps_are_cut_as_lie_above_the_percentile() -> None:
    text = " ".join(f"Sentence of number {i} here." for i in range(101))
    embedder = SeededEmbedder(3, dimensions=16, values=1000)
    for percentile in (0, 50, 90, 95, 99, 100):
        chunker = SemanticChunker(embedder, size=10_000, percentile=percentile)
        # Of 100 different distances, at most one is the percentile itself.
        assert abs(len(texts(chunker, text)) - 1 - (100 - percentile)) <= 1


@settings(max_examples=150)
@given(
    words=st.lists(st.sampled_from("ABCDE"), min_size=1, max_size=25),
    percentile=st.sampled_from([0, 30, 50, 80, 95, 99.5, 100]),
    window=st.integers(1, 5),
    seed=st.integers(0, 3),
)
def test_cuts_are_those_of_the_definition(
    words: list[str], percentile: float, window: int, seed: int
) -> None:
    text = " ".join(f"{word}." for word in words)
    embedder = SeededEmbedder(seed, dimensions=3, values=2)
    chunker = SemanticChunker(embedder, size=10_000, percentile=percentile, window=window, sentences=_words)
    assert texts(chunker, text) == _segments(text.split(), embedder, percentile, window)


def _words(text: str) -> list[tuple[int, int]]:
    """A word is a sentence: single letters would be initials."""
    places = [0, *(i + 1 for i, char in enumerate(text) if char == " "), len(text)]
    return list(itertools.pairwise(places))


def _segments(sentences: list[str], embedder: Embedder, percentile: float, window: int) -> list[str]:
    """The definition, gap by gap."""
    distances = []
    for gap in range(1, len(sentences)):
        sides = [sentences[max(0, gap - window) : gap], sentences[gap : gap + window]]
        left, right = ([float(x) for x in embedder.embed_documents([" ".join(side)])[0]] for side in sides)
        norm = math.hypot(*left) * math.hypot(*right)
        distances.append(1 - sum(a * b for a, b in zip(left, right, strict=True)) / norm if norm else 1.0)
    segments = [sentences[:1]]
    for sentence, distance in zip(sentences[1:], distances, strict=True):
        if distance > _percentile(distances, percentile) + 1e-6:
            segments.append([])
        segments[-1].append(sentence)
    return [" ".join(segment) for segment in segments]


def _percentile(values: list[float], percentile: float) -> float:
    ordered = sorted(values)
    place = (len(ordered) - 1) * percentile / 100
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def test_a_segment_is_one_chunk_and_a_longer_one_is_cut_between_sentences() -> None:
    chunker = SemanticChunker(HashingEmbedder(1024), size=230, percentile=95)
    assert texts(chunker, f"{ZOO} {BANK}") == [ZOO, BANK]
    cut = texts(SemanticChunker(HashingEmbedder(1024), size=120, percentile=95), f"{ZOO} {BANK}")
    by_sentences = [c.text for part in (ZOO, BANK) for c in SentenceChunker(120).chunk(Document("d", part))]
    assert cut == by_sentences


def test_nothing_is_shared_across_a_change_of_subject() -> None:
    document = Document("d", f"{ZOO} {BANK}")
    chunks = SemanticChunker(HashingEmbedder(1024), size=120, overlap=60, percentile=95).chunk(document)
    shared = overlaps(list(chunks))
    border = next(i for i, chunk in enumerate(chunks) if chunk.text.startswith("A bank lends"))
    assert shared[border - 1] == 0
    assert sum(shared) > 0


@pytest.mark.parametrize("text", ["One sentence.", "One sentence. And another one.", "No stop"])
def test_short_documents_are_one_chunk(text: str) -> None:
    assert texts(SemanticChunker(HASHING), text) == [text]


@pytest.mark.parametrize("percentile", [0, 50, 95])
@pytest.mark.parametrize("embedder", [HASHING, StaticEmbedder()], ids=repr)
def test_sentences_that_are_all_the_same_are_not_cut(embedder: Embedder, percentile: float) -> None:
    text = "The lease is lost when it is not renewed. " * 15
    assert texts(SemanticChunker(embedder, percentile=percentile), text) == [text.strip()]


def test_vectors_of_nothing_are_far_from_everything_and_cut_nothing() -> None:
    chunker = SemanticChunker(TableEmbedder({}, default=(0.0, 0.0)), percentile=50)
    assert texts(chunker, ZOO) == [ZOO]


# What the embedder is asked


def test_a_document_is_embedded_in_one_call_and_no_window_twice() -> None:
    embedder = CountingEmbedder(HASHING)
    SemanticChunker(embedder, window=3).chunk(Document("d", f"{ZOO} {BANK}"))
    assert len(embedder.documents) == 1
    asked = embedder.documents[0]
    assert len(asked) == len(set(asked))
    assert not embedder.queries
    [first, second] = [ZOO[start:end] for start, end in find_sentences(ZOO)[:2]]
    assert {first, f"{first} {second}"} <= set(asked)


def test_windows_are_whole_stretches_of_the_text() -> None:
    embedder = CountingEmbedder(HASHING)
    text = "Aa bb.  Cc\ndd.\n\nEe ff. Gg."
    SemanticChunker(embedder, window=2).chunk(Document("d", text))
    assert sorted(embedder.documents[0]) == sorted(
        ["Aa bb.", "Aa bb.  Cc\ndd.", "Cc\ndd.\n\nEe ff.", "Ee ff. Gg.", "Gg."]
    )


def test_surrogates_are_replaced_before_they_reach_the_embedder() -> None:
    embedder = CountingEmbedder(HASHING)
    document = Document("d", "A broken \ud83d one. Another.")
    assert "".join(c.text for c in SemanticChunker(embedder).chunk(document)) == document.text
    assert set(embedder.documents[0]) == {"A broken \ufffd one.", "Another."}


def test_no_sentence_no_call() -> None:
    embedder = CountingEmbedder(HASHING)
    for text in ("", " \n", "One."):
        SemanticChunker(embedder).chunk(Document("d", text))
    assert embedder.documents == []


def test_an_embedder_that_breaks_its_contract_is_named() -> None:
    def ragged(asked: Sequence[str]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return np.full((len(asked), 2), np.nan, dtype=np.float32)

    with pytest.raises(StageError, match=r"embedder: embed_documents: .* NaN"):
        SemanticChunker(AnyEmbedder(ragged, ragged)).chunk(Document("d", ZOO))


# Options


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: SemanticChunker("static"), "embedder must be an embedder, .* got 'static'"),  # type: ignore[arg-type]
        (lambda: SemanticChunker(HashingEmbedder), "embedder must be an embedder"),  # type: ignore[arg-type]
        (lambda: SemanticChunker(HASHING, size=0), "size must be a whole number >= 1, got 0"),
        (lambda: SemanticChunker(HASHING, size=9, overlap=9), "overlap must be smaller than size=9"),
        (lambda: SemanticChunker(HASHING, unit="words"), "unit='words'"),
        (lambda: SemanticChunker(HASHING, percentile=101), "percentile must be .* got 101"),
        (lambda: SemanticChunker(HASHING, percentile=-0.1), "percentile must be .* got -0.1"),
        (lambda: SemanticChunker(HASHING, percentile=math.nan), "percentile must be .* got nan"),
        (lambda: SemanticChunker(HASHING, percentile=True), "percentile must be .* got True"),
        (lambda: SemanticChunker(HASHING, percentile="95"), "percentile must be .* got '95'"),  # type: ignore[arg-type]
        (lambda: SemanticChunker(HASHING, window=0), "window must be a whole number >= 1, got 0"),
        (lambda: SemanticChunker(HASHING, window=1.5), "window must be .* got 1.5"),  # type: ignore[arg-type]
        (lambda: SemanticChunker(HASHING, sentences=3), "sentences must be a function"),  # type: ignore[arg-type]
    ],
)
def test_options_that_cannot_work_are_refused(make: Callable[[], object], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        make()


def test_options_show_in_the_repr() -> None:
    assert repr(SemanticChunker(StaticEmbedder())) == (
        "SemanticChunker(StaticEmbedder(), size=800, overlap=0, unit='characters', percentile=95.0, window=2)"
    )
    own = SemanticChunker(
        HASHING, size=9, overlap=2, unit=WordPieces(), percentile=80, window=1, sentences=_words
    )
    assert repr(own) == (
        f"SemanticChunker({HASHING!r}, size=9, overlap=2, unit=WordPieces(), percentile=80, window=1, "
        "sentences=_words)"
    )


def test_it_is_a_value() -> None:
    chunker = SemanticChunker(HASHING, size=50)
    assert pickle.loads(pickle.dumps(chunker)) == chunker  # noqa: S301
    assert hash(chunker) == hash(SemanticChunker(HashingEmbedder(64), size=50))


def test_metadata_reach_the_chunks() -> None:
    chunks = SemanticChunker(HASHING, size=60).chunk(Document("d", PROSE, {"lang": "en"}))
    assert {chunk.metadata["lang"] for chunk in chunks} == {"en"}


# Speed: processor time; what is quadratic would take minutes


@pytest.mark.parametrize(
    "text",
    [
        json.dumps([{"id": i, "tags": ["a", "b"]} for i in range(5000)], separators=(",", ":")),
        "x" * 200_000,
        "The lease is lost when it is not renewed. " * 600,
        " ".join(f"Word {i} is followed by {i * i % 1009}." for i in range(6000)),
    ],
    ids=lambda text: f"{text[:12]!r}...",
)
@pytest.mark.parametrize("unit", ["characters", "cl100k_base"])
def test_time_is_about_linear(text: str, unit: str) -> None:
    started = time.process_time()
    SemanticChunker(HASHING, size=200, overlap=80, unit=unit).chunk(Document("d", text))
    assert time.process_time() - started < 12
