import json
import pickle
import re
import time

import pytest
from contracts_chunkers import check_chunker
from hypothesis import given, settings
from hypothesis import strategies as st
from plugs import AnyChunker, CutChunker, LineChunker, WholeChunker
from test_chunkers import FAMILY, MARKDOWN, PROSE, TEXTS, UNITS

from ragdiag import (
    Diagnosis,
    Evidence,
    ExactRetriever,
    HashingEmbedder,
    Pipeline,
    Query,
    Span,
    diagnose,
    testing,
)
from ragdiag.errors import ConfigError, StageError
from ragdiag.records import Chunk, Document
from ragdiag.stages.chunkers import MarkdownChunker, ParentChildChunker, RecursiveChunker, SentenceChunker

pytestmark = pytest.mark.usefixtures("published")


def check_parents_and_children(chunker: ParentChildChunker, document: Document) -> list[Chunk]:
    """What the chunker promises, against what its two chunkers make by themselves."""
    assert isinstance(chunker.parents, RecursiveChunker | MarkdownChunker | SentenceChunker)
    assert isinstance(chunker.children, RecursiveChunker | MarkdownChunker | SentenceChunker)
    parents = {parent.id: parent for parent in check_chunker(chunker.parents, document)}
    size, unit = chunker.children.size, chunker.children.unit
    testing.check_chunker(chunker, [document], size=size, unit=unit, repeats_text=True)
    chunks = chunker.chunk(document)
    held: dict[str, set[int]] = {parent_id: set() for parent_id in parents}
    for chunk in chunks:
        parent_id, _, child = chunk.id.rpartition("/")
        parent = parents[parent_id]
        start, end = chunk.metadata["child"]
        assert child == f"{start}-{end}"
        assert (chunk.spans, chunk.text) == (parent.spans, parent.text)
        assert parent.spans[0].start <= start < end <= parent.spans[0].end
        assert chunk.index_text.endswith(document.text[start:end])
        held[parent_id] |= set(range(start, end))
    for parent_id, places in held.items():
        span = parents[parent_id].spans[0]
        lost = [i for i in range(span.start, span.end) if i not in places and not document.text[i].isspace()]
        assert not lost
    return chunks


# The contract


@pytest.mark.parametrize("unit", ["characters", "erratic", "cl100k"])
@pytest.mark.parametrize("name", TEXTS)
def test_contract(name: str, unit: str) -> None:
    chunker = ParentChildChunker(
        RecursiveChunker(200, overlap=40, unit=UNITS[unit]),
        SentenceChunker(60, overlap=20, unit=UNITS[unit]),
    )
    check_parents_and_children(chunker, Document(name, TEXTS[name]))


@settings(max_examples=60)
@given(
    text=st.lists(
        st.sampled_from(
            [*"ab.!? \n#|-，。", "# A\n\n", "\r\n\r\n", "Ab. ", "cde fgh", FAMILY, "\u0301", "\ud800"]
        )
        | st.text(max_size=5),
        max_size=60,
    ).map("".join),
    parent=st.sampled_from([MarkdownChunker(50), RecursiveChunker(40, overlap=10), SentenceChunker(30)]),
    child=st.sampled_from([MarkdownChunker(16), RecursiveChunker(12, overlap=5), SentenceChunker(12)]),
)
def test_contract_of_any_text(
    text: str,
    parent: MarkdownChunker | RecursiveChunker | SentenceChunker,
    child: MarkdownChunker | RecursiveChunker | SentenceChunker,
) -> None:
    check_parents_and_children(ParentChildChunker(parent, child), Document("d", text))


def test_promises_hold_on_hostile_documents() -> None:
    chunker = ParentChildChunker(SentenceChunker(120), RecursiveChunker(40, overlap=10))
    testing.check_chunker(chunker, size=40, unit="characters", repeats_text=True)


@pytest.mark.parametrize("name", ["empty", "whitespace"])
def test_a_document_without_text_has_no_chunks(name: str) -> None:
    chunker = ParentChildChunker(RecursiveChunker(100), RecursiveChunker(30))
    assert chunker.chunk(Document("d", TEXTS[name])) == []


# Parents and children


def test_children_are_those_of_the_text_of_the_parent_alone() -> None:
    document = Document("guide", PROSE)
    chunks = ParentChildChunker(RecursiveChunker(300), RecursiveChunker(80)).chunk(document)
    expected = [
        (parent.id, child.text)
        for parent in RecursiveChunker(300).chunk(document)
        for child in RecursiveChunker(80).chunk(Document("any", parent.text))
    ]
    assert [(chunk.id.rpartition("/")[0], chunk.index_text) for chunk in chunks] == expected
    assert len(expected) > len({parent_id for parent_id, _ in expected}) > 3


def test_offsets_of_children_are_those_of_the_document() -> None:
    # The same line again and again: places cannot be looked up by what stands there.
    document = Document("d", "same line\n" * 6)
    parents = CutChunker({"d": [[(10, 29)], [(30, 59)]]})
    chunks = ParentChildChunker(parents, LineChunker()).chunk(document)
    assert [chunk.id for chunk in chunks] == [
        *("d#10-29/10-19", "d#10-29/20-29", "d#30-59/30-39", "d#30-59/40-49", "d#30-59/50-59")
    ]
    assert chunks[-1].metadata["child"] == (50, 59)
    assert chunks[-1].text == "same line\nsame line\nsame line"


def test_metadata_are_those_of_the_parent_and_what_only_the_child_has() -> None:
    document = Document("guide", MARKDOWN, {"lang": "en", "child": "of mine"})
    both = ParentChildChunker(MarkdownChunker(200), MarkdownChunker(100)).chunk(document)
    parents = {parent.id: parent.metadata for parent in MarkdownChunker(200).chunk(document)}
    for chunk in both:
        metadata = dict(chunk.metadata)
        place = metadata.pop("child")
        assert place == tuple(map(int, chunk.id.rpartition("/")[2].split("-")))
        assert metadata == {
            key: value for key, value in parents[chunk.id.rpartition("/")[0]].items() if key != "child"
        }
    plain = ParentChildChunker(RecursiveChunker(200), MarkdownChunker(100)).chunk(document)
    assert any(chunk.metadata["headings"] for chunk in plain)


# What is put before an index text


def headed(chunker: ParentChildChunker) -> list[str]:
    text = "# Guide\n\n## Limits\n\n" + "At most two a day. " * 10
    return [chunk.index_text for chunk in chunker.chunk(Document("guide", text))]


def test_what_the_children_put_before_their_text_is_kept() -> None:
    found = headed(ParentChildChunker(RecursiveChunker(1000), MarkdownChunker(60)))
    assert len(found) > 3
    assert all(text.startswith("Guide > Limits\n") for text in found)


def test_the_path_of_the_parent_comes_before_its_children_where_asked_for() -> None:
    parents, children = MarkdownChunker(1000), RecursiveChunker(60)
    without = headed(ParentChildChunker(parents, children))
    assert not any("Guide > Limits" in text for text in without)
    assert headed(ParentChildChunker(parents, children, parent_prefix=True)) == [
        "Guide > Limits\n" + text for text in without
    ]


def test_a_path_that_stands_there_is_not_put_there_twice() -> None:
    found = headed(ParentChildChunker(MarkdownChunker(1000), MarkdownChunker(60), parent_prefix=True))
    assert all(text.count("Guide > Limits\n") == 1 for text in found)


def test_a_parent_that_puts_nothing_before_its_text_adds_nothing() -> None:
    parents, children = RecursiveChunker(100), RecursiveChunker(40)
    plain = headed(ParentChildChunker(parents, children))
    assert headed(ParentChildChunker(parents, children, parent_prefix=True)) == plain


# What cannot be


@pytest.mark.parametrize("part", [{"parents": 5}, {"children": "markdown"}, {"parents": RecursiveChunker}])
def test_what_is_no_chunker_is_refused(part: dict[str, object]) -> None:
    options = {"parents": RecursiveChunker(), "children": RecursiveChunker(), **part}
    [(name, value)] = part.items()
    with pytest.raises(ConfigError, match=rf"{name} must be a chunker, .* got {re.escape(repr(value))}"):
        ParentChildChunker(**options)  # type: ignore[arg-type]


def test_chunks_of_several_spans_are_refused() -> None:
    several = CutChunker({"d": [[(0, 3), (5, 8)]]})
    document = Document("d", "abcdefgh")
    for chunker, role in (
        (ParentChildChunker(several, WholeChunker()), "parent 'd#0-3"),
        (ParentChildChunker(WholeChunker(), several), "child 'd#0-3"),
    ):
        with pytest.raises(StageError, match=rf"one span, the {role}\+5-8' has 2") as caught:
            chunker.chunk(document)
        assert caught.value.where == "document 'd'"


def test_a_chunker_that_breaks_its_contract_is_named() -> None:
    wrong = AnyChunker(lambda document: [Chunk("c", (Span(document.id, 0, 3),), "xyz")])
    for chunker in (ParentChildChunker(wrong, WholeChunker()), ParentChildChunker(WholeChunker(), wrong)):
        with pytest.raises(StageError, match="the text of chunk 'c' is not that of its spans"):
            chunker.chunk(Document("d", "abcdefgh"))


def test_options_show_in_the_repr() -> None:
    parents, children = MarkdownChunker(2000), SentenceChunker(400)
    assert repr(ParentChildChunker(parents, children)) == (
        f"ParentChildChunker({parents!r}, {children!r}, parent_prefix=False)"
    )


def test_it_is_a_value() -> None:
    chunker, other = (ParentChildChunker(MarkdownChunker(90), RecursiveChunker(30)) for _ in range(2))
    assert pickle.loads(pickle.dumps(chunker)) == chunker == other  # noqa: S301
    assert hash(chunker) == hash(other)


# Speed: processor time; what is quadratic would take minutes


@pytest.mark.parametrize(
    "text",
    [
        json.dumps([{"id": i, "tags": ["a", "b"]} for i in range(5000)], separators=(",", ":")),
        "x" * 200_000,
        "The lease is lost when it is not renewed. " * 600,
        "# a\n\ntext\n\n" * 10_000,
    ],
    ids=lambda text: f"{text[:12]!r}...",
)
def test_time_is_about_linear(text: str) -> None:
    started = time.process_time()
    chunker = ParentChildChunker(MarkdownChunker(800, overlap=80), RecursiveChunker(100, overlap=20))
    chunker.chunk(Document("d", text))
    assert time.process_time() - started < 12


# In a diagnosis: many chunks of the same span, found by different texts

DOCUMENTS = [
    Document(
        "lease",
        "A lease is the exclusive right to write one lane. It is granted by the leader. It is lost when "
        "it is not renewed. Agents renew early, after forty percent of the timeout. If no answer comes, "
        "they ask again.",
    ),
    Document(
        "shop",
        "Goods may be returned within thirty days. Keep the receipt for a refund. Gifts are exchanged but "
        "never refunded. Shipping costs are paid by the buyer. Refunds take five working days to arrive.",
    ),
    Document(
        "zoo",
        "The zoo opens at nine. Elephants are fed at noon by the keeper. Tickets cost twelve euros for "
        "adults. Children under six enter free of charge. Dogs must stay outside the gate.",
    ),
]
QUESTIONS = [
    ("fed", "When are elephants fed?", "zoo", "Elephants are fed at noon by the keeper."),
    ("refund", "How long do refunds take to arrive?", "shop", "Refunds take five working days"),
    ("gratis", "Who may go in gratis?", "zoo", "Children under six enter free of charge."),
    ("cut", "How is it lost, when renewed?", "lease", "It is lost when it is not renewed. Agents renew"),
]


def diagnosed(top_k: int) -> Diagnosis:
    by_id = {document.id: document for document in DOCUMENTS}
    queries = [
        Query(query_id, text, [Evidence.of(Span.find(by_id[doc_id], quote))])
        for query_id, text, doc_id, quote in QUESTIONS
    ]
    pipeline = Pipeline(
        chunker=ParentChildChunker(SentenceChunker(120), SentenceChunker(60)),
        embedder=HashingEmbedder(128),
        retriever=ExactRetriever(),
        top_k=top_k,
    )
    return diagnose(pipeline, DOCUMENTS, queries)


@pytest.mark.parametrize("top_k", [1, 2, 3, 8])
def test_the_losses_of_a_diagnosis_add_up(top_k: int) -> None:
    diagnosis = diagnosed(top_k)
    losses = diagnosis.losses
    assert (losses["loss"] - losses["rescue"]).sum() == pytest.approx(1 - diagnosis.recall, abs=1e-9)


def test_a_parent_is_delivered_by_any_of_its_children_and_a_cut_parent_is_the_chunkers() -> None:
    diagnosis = diagnosed(2)
    context = {found.query_id: found.context for found in diagnosis.trace.queries}
    # The question is that of one child; what is delivered is all of its parent.
    assert context["fed"][0].index_text == "Elephants are fed at noon by the keeper."
    assert context["fed"][0].text.startswith("The zoo opens at nine. Elephants are fed")
    # One question is answered in other words; the evidence of the other lies in two parents.
    assert dict(zip(diagnosis.failures["query_id"], diagnosis.failures["stage"], strict=True)) == {
        "gratis": "embedder",
        "cut": "chunker",
    }
    # The two children that were found for it are of one parent, and deliver the same text twice.
    assert len({chunk.spans for chunk in context["cut"]}) == 1
