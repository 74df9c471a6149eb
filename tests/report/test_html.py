"""The notebook's face: well-formed, self-contained, escaped, and with the numbers of the tables."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from html_pages import Node, check_page, rows_of
from plugs import LineChunker, TableReranker

from ragdiag import BM25Retriever, Diagnosis, Evidence, Pipeline, Query, diagnose
from ragdiag.costs import Costs
from ragdiag.diagnosis.ledger import LOSS_STAGES
from ragdiag.diagnosis.verdicts import Trial, Verdict
from ragdiag.records import Document, Span, WholeDocument
from ragdiag.report.html.elements import Html, element
from ragdiag.report.html.style import stylesheet
from ragdiag.report.proof_words import PROOFS
from ragdiag.report.story import Story

HOSTILE = (
    """<script>alert(1)</script></style></td><img src=x onerror=alert(1)> " onload="x' &lt; \x00\x1b\ud800"""
)


@pytest.fixture(scope="module")
def page(losing: Diagnosis) -> Node:
    return check_page(losing._repr_html_())


def test_the_headline_says_where_the_loss_is(page: Node, losing: Diagnosis) -> None:
    assert page.all("h3")[0].text.startswith("Most is lost at the embedder: 0.222")
    cards = {card.all("dt")[0].text: [dd.text for dd in card.all("dd")] for card in page.all("div", "card")}
    assert float(cards["Recall"][0]) == pytest.approx(losing.recall, abs=5e-4)
    assert cards["Lost"] == ["21", "of 27 units of evidence"]
    assert cards["Loses most"][0] == "embedder"
    assert cards["Queries assessed"] == ["27", "1 unassessed, 1 unanswerable"]


def test_the_waterfall_has_the_numbers_of_the_tables(page: Node, losing: Diagnosis) -> None:
    rows = {row[0]: row for row in rows_of(page.all("table", "ledger")[0])}
    left = losing.ceilings.set_index("stage")["recall"]
    units = losing.failures["stage"].value_counts()
    for stage, row in losing.losses.iterrows():
        _, _, after, loss, interval, rescue, count = rows[str(stage)]
        assert float(after) == pytest.approx(left[str(stage)], abs=5e-4)
        assert float(loss) == pytest.approx(row["loss"], abs=5e-4)
        assert [float(end) for end in interval.split("–")] == pytest.approx(
            [row["low"], row["high"]], abs=5e-4
        )
        assert float(rescue) == pytest.approx(row["rescue"], abs=5e-4)
        assert int(count) == units[str(stage)]
    assert float(rows["recall"][2]) == pytest.approx(losing.recall, abs=5e-4)


def test_bars_have_the_size_of_what_they_show(page: Node, losing: Diagnosis) -> None:
    rows = page.all("table", "ledger")[0].all("tr")[2:-1]
    left = 1.0
    for row, (stage, step) in zip(rows, losing.losses.iterrows(), strict=True):
        sizes = {
            kind: sum(
                float(re.findall(r"width:([\d.]+)%", piece.attributes["style"] or "")[0])
                for piece in row.all("span", kind)
            )
            for kind in ("kept", "lost", "rescued")
        }
        assert sizes["lost"] == pytest.approx(100 * step["loss"], abs=0.01), stage
        assert sizes["rescued"] == pytest.approx(100 * step["rescue"], abs=0.01), stage
        before = sizes["kept"] + sizes["lost"]
        assert before == pytest.approx(100 * left, abs=0.01), stage
        left -= step["loss"] - step["rescue"]
    highlighted = page.all("table", "ledger")[0].all("tr", "highlighted")
    assert [row.all("th")[0].text for row in highlighted] == ["embedder"]


def test_lost_units_show_text_stage_and_ranks(page: Node, losing: Diagnosis) -> None:
    rows = rows_of(page.all("table", "failures")[0])
    assert rows[0] == ["Query", "Evidence", "Lost at", "Cause", "Proof", "Exact", "Retrieved", "Reranked"]
    assert len(rows) == 21
    line = "The reranker put this line last."
    assert ["rerankerreranker-0", line, "reranker", "demoted", "observed", "1", "1", "3"] in rows
    assert any(row[2] == "capacitytied at the cut" and row[7] == "3" for row in rows)
    assert any(row[2] == "chunker" and row[5] == "–" for row in rows)
    text = page.text
    assert "The worst 20 of 21 lost units" in text
    assert "– never complete in that ranking" in text
    assert "observedseen in the run itself, not proven by running it again." in text
    few = check_page(losing.select(["packer-0"])._repr_html_())
    assert "All 1 lost unit, least" in few.text
    assert "The whole table" not in few.text


def test_measures_and_stages_are_complete(page: Node, losing: Diagnosis) -> None:
    tables = {table.all("caption")[0].text: rows_of(table)[1:] for table in page.all("table")}
    measures = tables["Means over 27 queries."]
    assert [row[0] for row in measures] == losing.measures["measure"].tolist()
    assert [float(row[1].lstrip("<>")) for row in measures] == pytest.approx(
        losing.measures["value"], abs=1e-3
    )
    assert [row[0] for row in tables["In the order of the flow."]] == [*losing.trace.stages, "n and k"]


def test_nothing_lost(lossless: Diagnosis) -> None:
    page = check_page(lossless._repr_html_())
    assert "Nothing was lost" in page.all("h3")[0].text
    assert "None: every unit of evidence was delivered." in page.text
    assert not page.all("div", "card-worst")
    assert {row[0] for row in rows_of(page.all("table", "ledger")[0])} == {
        "Stage", "everything", "ingest", "chunker", "capacity", "retriever", "recall"
    }  # fmt: skip


def test_several_worst_stages_share_the_card(losing: Diagnosis) -> None:
    page = check_page(losing.select(["packer-0", "chunker-0", "delivered-0"])._repr_html_())
    assert [dd.text for dd in page.all("div", "card-worst")[0].all("dd")] == [
        "chunker, packer",
        "0.333 each of 0.667 lost",
    ]


def test_costs_and_latency_show_only_where_measured(lossless: Diagnosis) -> None:
    assert "Costs" in lossless._repr_html_()
    trace = lossless.trace
    assert (
        "Costs" not in check_page(replace(lossless, trace=replace(trace, costs=Costs()))._repr_html_()).text
    )
    costs = Costs(trace.costs.stages, {"retriever": [0.001, 0.003]})
    page = check_page(replace(lossless, trace=replace(trace, costs=costs))._repr_html_())
    assert ["retriever", "2.00", "2.90", "2"] in rows_of(page.all("table")[-1])


@pytest.mark.parametrize("top_k", [1, 2])
def test_hostile_text_stays_text(diagnose_text: Callable[..., Diagnosis], top_k: int) -> None:
    diagnosis = diagnose_text(HOSTILE, top_k=top_k, reranker=TableReranker({HOSTILE: 1.0}), candidates=2)
    page = check_page(diagnosis._repr_html_())
    assert "<script>alert(1)</script>" in page.text
    story = check_page(diagnosis.explain(diagnosis.queries[0].id)._repr_html_())
    assert "<script>alert(1)</script></style></td><img src=x onerror=alert(1)>" in story.text


def test_elements_escape_whatever_is_not_markup() -> None:
    made = element("td", "<b>", element("i", "&"), kind="a b", attributes={"title": '"x"'})
    assert made == '<td class="ragdiag-a ragdiag-b" title="&quot;x&quot;">&lt;b&gt;<i>&amp;</i></td>'
    assert isinstance(made, Html)


def test_both_themes_are_there_and_a_notebooks_own_theme_counts_more() -> None:
    style = stylesheet()
    system = style.index("@media (prefers-color-scheme: dark)")
    for theme in ('data-jp-theme-light="false"', "body.vscode-dark"):
        assert style.index(theme) > system
    for theme in ('data-jp-theme-light="true"', "body.vscode-light"):
        assert style.index(theme) > system
    used = set(re.findall(r"var\((--ragdiag-[\w-]+)\)", style))
    assert len(used) > 10
    for block in re.findall(r"color-scheme: (?:light|dark);([^}]*)", style):
        assert used <= set(re.findall(r"(--ragdiag-[\w-]+):", block))


def test_all_rules_stay_inside_the_report() -> None:
    rules = re.sub(r"/\*.*?\*/", "", stylesheet(), flags=re.DOTALL)
    selectors = [s for group in re.findall(r"([^{};]+)\{", rules) for s in group.split(",")]
    inside = [s.strip() for s in selectors if not s.strip().startswith("@")]
    assert all(".ragdiag-report" in selector for selector in inside)


@pytest.mark.parametrize(
    ("ink", "ground"),
    [
        ("ink", "surface"),
        ("muted", "surface"),
        ("muted", "soft"),
        ("ink", "soft"),
        ("worst", "surface"),
        ("worst", "worst-soft"),
        ("rescue", "surface"),
        ("ink", "mark"),
    ],
)
def test_text_has_contrast_in_both_themes(ink: str, ground: str) -> None:
    """WCAG 2.2, level AA: 4.5 to 1."""

    def luminance(color: str) -> float:
        channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    blocks = re.findall(r"color-scheme: (?:light|dark);([^}]*)", stylesheet())
    assert len(blocks) == 4
    for block in blocks:
        colors = dict(re.findall(r"--ragdiag-([\w-]+): (#\w{6})", block))
        light, dark = sorted((luminance(colors[ink]), luminance(colors[ground])), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5


# Explanations


def test_an_explanation_marks_the_evidence_and_the_cuts(losing: Diagnosis) -> None:
    page = check_page(losing.explain("capacity-0")._repr_html_())
    assert page.all("h3")[0].text == "capacity"
    assert page.all("h3")[0].attributes["dir"] == "auto"
    mark = page.all("mark")[0]
    assert mark.text == "One of three parts. Two of the three parts. All of the three parts."
    assert [cut.attributes["aria-label"] for cut in mark.all("span", "cut")] == [
        "a chunk begins or ends here"
    ] * 2
    quote = page.all("blockquote")[0]
    assert quote.text.startswith("…") is False
    assert "The chunker dropped this line.\nOne of" in quote.text
    assert "lost to capacity" in page.text


def test_the_steps_show_the_coverage_at_each_checkpoint(losing: Diagnosis) -> None:
    explanation = losing.explain("capacity-0")
    page = check_page(explanation._repr_html_())
    heads, values = rows_of(page.all("table", "steps")[0])
    assert [head.replace("\u00a0", " ") for head in heads[1:]] == list(explanation.units[0].coverage)
    shares = [float(value.rstrip("%")) / 100 for value in values[1:]]
    assert shares == pytest.approx(list(explanation.units[0].coverage.values()), abs=0.005)
    fallen = [cell.text for cell in page.all("td", "fallen")]
    assert fallen == ["70%", "65%"]
    rescued = check_page(losing.explain("rescued-0")._repr_html_())
    assert [cell.text for cell in rescued.all("td", "risen")] == ["100%"]
    assert "100% regained at the retriever" in rescued.text
    assert rescued.all("span", "chip-delivered")


def test_chunks_around_the_evidence(losing: Diagnosis, lossless: Diagnosis) -> None:
    rows = rows_of(check_page(losing.explain("reranker-0")._repr_html_()).all("table")[-1])
    assert rows[0] == ["Chunk", "Holds", "Exact rank", "Retrieved rank", "Reranked rank", "In context"]
    assert rows[1][1:] == ["100%", "1", "1", "3", "no"]
    rows = rows_of(check_page(lossless.explain("q1")._repr_html_()).all("table")[-1])
    assert rows[0] == ["Chunk", "Holds", "Retrieved rank", "In context"]
    assert rows[1][-1] == "yes"
    dropped = check_page(losing.explain("chunker-0")._repr_html_())
    assert "No chunk holds any of it." in dropped.text


def test_whole_documents_and_many_chunks() -> None:
    document = Document("d", "\n".join(f"line {i}" for i in range(60)))
    queries = [
        Query("q", "line 33", [Evidence.any_of(WholeDocument("d"), [Span("d", 0, 6), Span("d", 7, 13)])])
    ]
    pipeline = Pipeline(chunker=LineChunker(), retriever=BM25Retriever(), top_k=1)
    page = check_page(diagnose(pipeline, [document], queries).explain("q")._repr_html_())
    assert "any chunk of it would do" in page.text
    assert "40 chunks more are not shown" in page.text
    assert not page.all("span", "cut")
    assert page.all("blockquote")[0].text.endswith("…")


# Verdicts


def test_the_summary_says_how_well_the_stages_are_proven(judged: Diagnosis) -> None:
    page = check_page(judged._repr_html_())
    cards = {card.all("dt")[0].text: [dd.text for dd in card.all("dd")] for card in page.all("div", "card")}
    assert cards["Proven"] == ["12", "9 verified, 3 joint"]
    assert "How sure that is: 9 of the 21 lost units are verified" in page.text
    tables = {table.all("caption")[0].text: rows_of(table) for table in page.all("table")}
    proofs = tables["Lost units by stage and kind of proof."]
    assert proofs[0] == ["Stage", *(proof.capitalize() for proof in PROOFS)]
    assert ["embedder", "3", "3", "0", "0", "0"] in proofs
    failures = rows_of(page.all("table", "failures")[0])
    assert ["embedder", "masked", "joint"] in [row[2:5] for row in failures]
    words = [node.text for node in page.all("dl", "words")]
    assert all(f"{proof}{meaning}." in words[1] for proof, meaning in PROOFS.items())
    assert "The limit of 20,000 texts and pairs (max_extra_calls) was reached" in page.text


def test_nothing_proven_is_told(losing: Diagnosis, lossless: Diagnosis) -> None:
    page = check_page(losing._repr_html_())
    cards = {card.all("dt")[0].text: [dd.text for dd in card.all("dd")] for card in page.all("div", "card")}
    assert cards["Proven"][0] == "0"
    quiet = check_page(lossless._repr_html_()).text
    assert "How sure" not in quiet
    assert "What went wrong" not in quiet


@pytest.mark.parametrize("fate", LOSS_STAGES)
def test_an_explanation_tells_the_proof_as_a_story(judged: Diagnosis, fate: str) -> None:
    explanation = judged.explain(f"{fate}-0")
    page = check_page(explanation._repr_html_())
    proof = Story(explanation).proof(explanation.units[0])
    assert proof is not None
    chips = [chip.text for chip in page.all("span", "chip")]
    assert chips == [Story(explanation).fate(explanation.units[0]), proof.verdict.proof]
    heads = [head.text for head in page.all("h5")]
    assert heads[:-3] == ["What the run shows", *(["What was tried"] if proof.trials else [])]
    assert heads[-3:-1] == ["What it means", "What went wrong, and what to do about it"]
    assert page.all("p", "conclusion")[0].text == " ".join(proof.conclusion)
    assert proof.shapley in page.text
    if proof.trials:
        [table] = page.all("table", "trials")
        assert table.all("caption")[0].text == proof.how_tried
        assert [row[0] for row in rows_of(table)[1:]] == [row.ideal + row.gloss for row in proof.trials]
        assert [row[1] for row in rows_of(table)[1:]] == [row.result for row in proof.trials]
        assert all(table.all("span", f"outcome-{row.outcome}") for row in proof.trials)


def test_the_flow_glosses_every_stage(judged: Diagnosis) -> None:
    for markup in (judged._repr_html_(), judged.explain("capacity-0")._repr_html_()):
        [flow] = check_page(markup).all("p", "flow")
        assert "the embedder turns texts into vectors" in flow.text
        assert all(f"he {stage} " in flow.text for stage in judged.trace.stages)


def test_hostile_reasons_notes_and_causes_stay_text(judged: Diagnosis) -> None:
    trials = (
        Trial(("packer",), "void", None, HOSTILE),
        Trial(("embedder",), "lost", 0.5, variant=HOSTILE),
    )
    verdict = Verdict("packer", HOSTILE, "observed", observed="packer", reason=HOSTILE, trials=trials)
    hostile = replace(judged, verdicts=tuple(v and verdict for v in judged.verdicts))
    assert "<script>alert(1)</script>" in check_page(hostile._repr_html_()).text
    story = check_page(hostile.explain("packer-0")._repr_html_())
    assert story.text.count("<script>alert(1)</script>") >= 4
