"""Labels that are cut inside words, and sound ones that look odd."""

from __future__ import annotations

import pytest
from diagnosis.checks.index_findings import findings, outcome
from faults.laboratory import examine, laboratory
from plugs import OrderRetriever, WholeChunker

from ragdiag import Diagnosis, Pipeline, diagnose
from ragdiag.diagnosis.verdicts import Finding
from ragdiag.records import Document, Evidence, Query, Span, WholeDocument


def labelled(text: str, *evidence: Evidence) -> Diagnosis:
    """A document of which nothing is retrieved."""
    pipeline = Pipeline(chunker=WholeChunker(), retriever=OrderRetriever({"q": []}), top_k=1)
    return diagnose(pipeline, [Document("d", text)], [Query("q", "?", evidence)], progress=False)


def at(text: str, marked: str) -> Evidence:
    """The label of ``marked``, from one | to the other, in a text without them."""
    start, end = marked.index("|"), marked.rindex("|") - 1
    assert marked.replace("|", "") == text
    return Evidence.of(Span("d", start, end))


def label_of(marked: str) -> Finding | None:
    text = marked.replace("|", "")
    found = findings(labelled(text, at(text, marked)), "ingest.invalid_label")
    return found.get(("q", 0))


@pytest.mark.parametrize(
    ("marked", "cuts"),
    [
        ("Refu|nds take five da|ys.", "begin inside the word 'Refunds' and end inside the word 'days'"),
        ("Возв|рат за пять дн|ей.", "begin inside the word 'Возврат' and end inside the word 'дней'"),
        ("क|ि धन वाप|सी", "begin inside the word 'कि' and end inside the word 'वापसी'"),
        ("In 2|02|4", "begin inside the word '2024' and end inside the word '2024'"),
        ("en e\N{COMBINING ACUTE ACCENT}t|e\N{COMBINING ACUTE ACCENT}| x", None),
    ],
)
def test_both_ends_inside_a_word_are_measured(marked: str, cuts: str | None) -> None:
    finding = label_of(marked)
    text = marked.replace("|", "")
    start, end = marked.index("|"), marked.rindex("|") - 1
    assert finding is not None
    if cuts is None:
        assert finding.sureness == "suspected"
        return
    assert (finding.sureness, finding.observation) == (
        "measured",
        f"Characters {start}-{end} of source 'd' {cuts}: {text[start:end]!r}.",
    )


@pytest.mark.parametrize(
    ("marked", "cut"),
    [
        ("Re|funds take five days|.", "begin inside the word 'Refunds': 'funds take five days'"),
        ("|Refunds take fi|ve days.", "end inside the word 'five': 'Refunds take fi'"),
        ("Sie |kommen mor|gen.", "end inside the word 'morgen': 'kommen mor'"),
    ],
)
def test_one_end_inside_a_word_is_suspected(marked: str, cut: str) -> None:
    finding = label_of(marked)
    assert finding is not None
    assert finding.sureness == "suspected"
    assert finding.observation.endswith(f" of source 'd' {cut}.")


@pytest.mark.parametrize("marked", ["Paid| … —| by card", "a|\N{ZERO WIDTH SPACE} .|b"])
def test_a_label_without_a_word_is_measured(marked: str) -> None:
    finding = label_of(marked)
    assert finding is not None
    assert finding.sureness == "measured"
    assert " hold no word: " in finding.observation


@pytest.mark.parametrize(
    "marked",
    [
        "|Refunds take five days.|",
        "Refunds take |five days|.",
        "a range of |30|km and no more",
        "Version v|2|.1",
        "返金は|五日|かかります。",
        "iPhone|用ケース|です",
        "คืนเงิน|ภายใน|ห้าวัน",
        "a well-|known| fact",
        "the shop's| rule",
        "Ticked: |✓|",
        "one \ud800|two\udc00| three",
    ],
)
def test_sound_labels_are_left_alone(marked: str) -> None:
    if marked.count("|") == 1:
        marked += "|"
    assert label_of(marked) is None


def test_one_sound_alternative_makes_the_unit_sound() -> None:
    text = "Refunds take five days."
    cut, sound = Span("d", 2, 9), Span("d", 0, 7)
    diagnosis = labelled(text, Evidence.any_of(cut, sound))
    assert outcome(diagnosis, "ingest.invalid_label").status == "silent"
    [finding] = findings(
        labelled(text, Evidence.any_of(cut, [sound, Span("d", 15, 20)])), "ingest.invalid_label"
    ).values()
    assert finding.observation.endswith("None of the 2 alternatives is marked better.")


def test_of_several_spans_the_worst_is_told() -> None:
    text = "Refunds take five days."
    [finding] = findings(
        labelled(text, Evidence.of(Span("d", 2, 7), Span("d", 14, 20))), "ingest.invalid_label"
    ).values()
    assert finding.sureness == "measured"
    assert "Characters 14-20" in finding.observation


def test_a_whole_document_has_no_ends() -> None:
    seen = outcome(labelled("Refunds.", Evidence.of(WholeDocument("d"))), "ingest.invalid_label")
    assert (seen.status, seen.why) == ("not applicable", "the evidence is a whole document")


def test_the_label_is_looked_at_in_the_source_that_it_was_anchored_in() -> None:
    """The loader lost the text; then the label's stage is called by what is wrong with the label."""
    source = Document("d", "Refunds take five days.")
    pipeline = Pipeline(chunker=WholeChunker(), retriever=OrderRetriever({"q": []}), top_k=1)
    queries = [Query("q", "?", [Evidence.of(Span("d", 2, 15))])]
    diagnosis = diagnose(pipeline, [Document("d", "?")], queries, sources=[source], progress=False)
    [verdict] = diagnosis.verdicts
    assert verdict is not None
    assert (verdict.stage, verdict.cause) == ("ingest", "invalid_label")


def test_labels_of_whole_lines_are_sound_whatever_loses_them() -> None:
    healthy = laboratory("bare", 1)
    diagnosis = examine(healthy.using(retriever=OrderRetriever({query.id: [] for query in healthy.queries})))
    seen = outcome(diagnosis, "ingest.invalid_label")
    assert (seen.status, seen.looked_at) == ("silent", len(healthy.units))
