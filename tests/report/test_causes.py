"""What went wrong and what to do about it: the same in every face, short, and safe to show."""

from __future__ import annotations

import html
import re
from dataclasses import replace

import pytest
from html_pages import check_page, rows_of
from wcwidth import wcswidth

from ragdiag import Diagnosis
from ragdiag.diagnosis.checks.catalog import CAUSES, FLAGS
from ragdiag.diagnosis.checks.check import CheckOutcome
from ragdiag.diagnosis.verdicts import Finding, Verdict
from ragdiag.report.causes import TITLE, Causes, causes_of_unit
from ragdiag.report.escaping import markdown_text

HOSTILE = "<script>alert(1)</script>|`x`\n# y @me \x1b[2J\u202e\ud800"


def flat(text: object) -> str:
    return " ".join(str(text).split())


def section_of(diagnosis: Diagnosis) -> str:
    return str(diagnosis).split(TITLE.upper())[1].split("HOW THAT IS PROVEN")[0]


def test_a_row_a_cause_with_what_shows_it_and_what_to_do(examined: Diagnosis) -> None:
    rows = {row.code: row for row in Causes(examined).rows}
    table = examined.causes
    assert list(rows) == table.index[table["main"] > 0].tolist()
    assert len(rows) == 8
    truncated = rows["embedder.truncated"]
    assert truncated.units == 3
    assert truncated.loss == pytest.approx(1 / 9)
    assert truncated.source == "proven, query embedder-0"
    # A filter and what hides it: the embedder, at which no check has seen a cause.
    assert rows["retriever.filter"].observation == "Without the filter it has rank 1."
    assert rows["embedder.masked"].source == ""
    assert rows["embedder.masked"].observation.endswith("embedder + retriever (3).")
    # The ties explain nothing where the stage is not determined.
    assert rows["reranker.demoted"].observation == ""
    assert (rows["chunker.split"].observation, rows["chunker.split"].source) == ("", "")


def test_every_face_says_it(examined: Diagnosis) -> None:
    text = flat(section_of(examined))
    page = check_page(examined._repr_html_())
    cells = {row[0]: row[1:] for row in rows_of(page.all("table", "causes")[0])[1:]}
    markdown = examined.to_markdown()
    for row in Causes(examined).rows:
        assert f"{row.units} {row.loss:.3f} {row.code}: {row.meaning}" in text
        shown = row.observation + row.source
        assert cells[row.code + row.meaning] == [
            str(row.units), f"{row.loss:.3f}", shown or "–", row.remedy or "–"
        ]  # fmt: skip
        if row.observation:
            assert f"{f' ({row.source})' if row.source else ''}: {row.observation}" in text
        assert f"To do: {row.remedy}" in text
        beginning = f"<code>{markdown_text(row.code)}</code><br>{markdown_text(row.meaning)} | "
        [line] = [line for line in markdown.split("\n") if line.startswith(f"| {beginning}")]
        assert line.endswith(f" | {row.remedy} | {row.units} | {row.loss:.3f} |")
        assert markdown_text(row.observation) in line
    for note in (Causes(examined).legend, *Causes(examined).notes):
        assert flat(note) in text
        assert note in page.text
        assert f"- {markdown_text(note)}" in markdown


def test_it_stands_right_below_the_losses(examined: Diagnosis) -> None:
    order = ["WHERE THE EVIDENCE WAS LOST", TITLE.upper(), "HOW THAT IS PROVEN", "LOST UNITS"]
    places = [str(examined).index(title) for title in order]
    assert places == sorted(places)
    heads = [head.text for head in check_page(examined._repr_html_()).all("h4")]
    assert heads[:3] == ["Where the evidence was lost", TITLE, "How that is proven"]
    heads = re.findall(r"^### (.*)$", examined.to_markdown(), flags=re.MULTILINE)
    assert heads[:3] == ["Where the evidence was lost", TITLE, "How that is proven, in lost units"]


def test_only_the_words_for_sureness_that_stand_there_are_explained(examined: Diagnosis) -> None:
    legend = Causes(examined).legend
    assert [word in legend for word in ("Proven: ", "Measured: ", "Suspected: ")] == [True] * 3
    part = Causes(examined.select(["embedder-0", "chunker-0"])).legend
    assert [word in part for word in ("Proven: ", "Measured: ", "Suspected: ")] == [True, False, False]


def test_what_else_was_seen_and_what_was_not_checked(examined: Diagnosis) -> None:
    beside, flag, unchecked = Causes(examined).notes
    assert beside == ("Also seen, but not as the main cause: embedder.hubs (3), reranker.ties (3).")
    assert flag == (
        f"{FLAGS['packer.middle'].meaning} So it is with 2 of 6 units (packer.middle). "
        f"{FLAGS['packer.middle'].remedy}"
    )
    # By reason; that of a stage which lost nothing is nobody's question.
    assert unchecked == (
        "Not checked: embedder.missing_prompt, retriever.metric (the embedder declares no prompt); "
        "embedder.lexical_gap (the chunks hold no words); retriever.fusion (the retriever fuses nothing); "
        "and 1 more (diagnosis.check_table)."
    )
    assert Causes(replace(examined, checks=())).notes == [beside]


def test_many_causes_are_counted(losing: Diagnosis) -> None:
    codes = [code for code in CAUSES if code.startswith(("embedder", "retriever"))][:15]
    lost = [unit for unit, verdict in enumerate(losing.verdicts) if verdict]
    verdicts = list(losing.verdicts)
    for unit, code in zip(lost, codes, strict=False):
        stage, cause = code.split(".")
        verdicts[unit] = Verdict(stage, cause, "observed", observed=stage)
    for unit in lost[len(codes) :]:
        verdicts[unit] = None
    causes = Causes(replace(losing, verdicts=tuple(verdicts)))
    # All cost the same: by code.
    assert [row.code for row in causes.rows] == sorted(codes)[:8]
    [further] = causes.notes
    assert further.startswith("7 more causes: ")
    assert further.endswith(f"{sorted(codes)[13]} (1), 1 more (diagnosis.causes).")
    one = Causes(
        replace(losing, verdicts=tuple(v if unit in lost[:9] else None for unit, v in enumerate(verdicts)))
    )
    assert [note.split(":")[0] for note in one.notes] == ["1 more cause"]


def test_nothing_is_said_where_nothing_was_lost(lossless: Diagnosis) -> None:
    assert Causes(lossless).rows == []
    for face in (str(lossless), lossless._repr_html_(), lossless.to_markdown()):
        assert TITLE.lower() not in face.lower()


def test_json_holds_the_tables(examined: Diagnosis) -> None:
    report = examined.to_dict()
    causes: list[dict[str, object]] = report["causes"]  # type: ignore[assignment]
    assert [row["code"] for row in causes] == list(examined.causes.index)
    assert causes[0].keys() == {"code", *examined.causes.columns}
    checks: list[dict[str, object]] = report["checks"]  # type: ignore[assignment]
    assert checks[1] == {
        "code": "embedder.depth", "status": "silent", "looked_at": 6, "found": 0, "why": ""
    }  # fmt: skip
    failures: list[dict[str, object]] = report["failures"]  # type: ignore[assignment]
    [row] = [row for row in failures if row["query_id"] == "embedder-0"]
    assert row["findings"] == ["embedder.truncated", "embedder.hubs"]
    assert row["observation"] == "The embedder reads 9 of 40 tokens."


# One unit


def test_the_causes_of_a_unit_are_told_main_cause_first(examined: Diagnosis) -> None:
    explanation = examined.explain("embedder-0")
    verdict = explanation.units[0].verdict
    assert verdict is not None
    main, beside = causes_of_unit(verdict)
    assert main.title == "Cause: embedder.truncated"
    assert main.meaning == CAUSES["embedder.truncated"].meaning
    assert main.observation == "Seen (proven): The embedder reads 9 of 40 tokens."
    assert main.remedy == f"To do: {CAUSES['embedder.truncated'].remedy}"
    assert (beside.title, beside.observation) == (
        "Also seen: embedder.hubs", "Seen (suspected): 2 of the 3 before it are hubs."
    )  # fmt: skip
    page = check_page(explanation._repr_html_())
    told = [node.text for node in page.all("div", "cause")]
    assert told == [
        f"{main.title}. {main.meaning}{main.observation}{main.remedy}", f"{beside.title}.{beside.observation}"
    ]  # fmt: skip
    text = flat(explanation)
    assert f"{TITLE} {main.title}. {main.meaning} {main.observation} {main.remedy} {beside.title}." in text


def test_what_is_not_proven_is_called_apparent(examined: Diagnosis) -> None:
    verdict = examined.explain("reranker-0").units[0].verdict
    assert verdict is not None
    assert verdict.proof == "undetermined"
    main, beside = causes_of_unit(verdict)
    assert (main.title, main.observation) == ("Apparent cause: reranker.demoted", "")
    assert main.remedy.startswith("What may help: ")
    assert beside.title == "Also seen: reranker.ties"


def test_faults_that_hide_each_other_are_told_with_their_stages(examined: Diagnosis) -> None:
    text = flat(examined.explain("retriever-0"))
    assert f"Cause: retriever.filter. {CAUSES['retriever.filter'].meaning}" in text
    assert "Cause: embedder.masked. Several faults hide each other." in text
    assert "To do: Mend these together, one alone changes nothing: embedder + retriever." in text


def test_a_delivered_unit_has_none(examined: Diagnosis) -> None:
    explanation = examined.explain("delivered-0")
    assert TITLE not in str(explanation)
    assert TITLE not in explanation._repr_html_()


# Untrusted text


def test_hostile_observations_reasons_and_ids_stay_text(examined: Diagnosis) -> None:
    long = HOSTILE + "\u5e83" * 500
    finding = Finding("packer.dropped", long, "measured")
    verdict = Verdict("packer", "dropped", "verified", observed="packer", findings=(finding,))
    checks = (CheckOutcome("packer.overflow", "not applicable", 0, 0, long),)
    verdicts = tuple(v and verdict for v in examined.verdicts)
    hostile = replace(examined, verdicts=verdicts, checks=checks)
    for result in (hostile, hostile.explain("packer-0")):
        text = str(result)
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\ud800]", text)
        assert max(wcswidth(line) for line in text.split("\n")) <= 100
        assert "<script>alert(1)</script>" in check_page(result._repr_html_()).text
    markdown = hostile.to_markdown()
    assert "<script>" not in markdown
    assert "<script>alert(1)</script>" in html.unescape(markdown)
    assert "@me" not in markdown
    [row] = Causes(hostile).rows
    assert len(row.observation) <= 401
    assert len(Causes(hostile).notes[-1]) < 200


@pytest.mark.parametrize("empty", ["", " "])
def test_empty_words_break_no_face(examined: Diagnosis, empty: str) -> None:
    finding = Finding("packer.dropped", empty, "measured")
    for cause, findings in (("dropped", (finding,)), (empty, ())):
        verdict = Verdict("packer", cause, "verified", observed="packer", findings=findings)
        made = replace(examined, verdicts=tuple(v and verdict for v in examined.verdicts))
        assert str(made)
        assert made.to_markdown()
        assert check_page(made._repr_html_())
        assert str(made.explain("packer-0"))
