"""The face for pull requests: small enough, and nothing in it can be read as Markdown or HTML."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from plugs import LineChunker, OrderRetriever

from ragdiag import Diagnosis, Evidence, Pipeline, Query, diagnose
from ragdiag.costs import Costs
from ragdiag.diagnosis.verdicts import Verdict
from ragdiag.records import Document, Span
from ragdiag.report.markdown import LONGEST
from ragdiag.report.proof_words import PROOFS

HOSTILE = (
    "a|b `c` <script>alert(1)</script>\n# x\r\n[l](javascript:1) ![i](http://e.org) "
    "**B** @me #12 \\| &lt; $x$"
)


def tables(text: str) -> list[list[list[str]]]:
    """The cells of each table, as text."""
    found: list[list[list[str]]] = []
    for block in text.split("\n\n"):
        rows = [line for line in block.split("\n") if line.startswith("|")]
        if rows:
            cells = [re.split(r"(?<!\\)\|", row)[1:-1] for row in rows]
            found.append([[html.unescape(cell.strip()) for cell in row] for row in cells])
    return found


@pytest.fixture(scope="module")
def many() -> Diagnosis:
    """1,500 lost units with long texts: more than fits."""
    document = Document("d", "\n".join(f"line {i} " + "|<" * 90 for i in range(1500)))
    spans = [(m.start(), m.end()) for m in re.finditer(r"[^\n]+", document.text)]
    queries = [
        Query(f"q{i}", f"Where is line {i}? " + "|" * 200, [Evidence.of(Span("d", *span))])
        for i, span in enumerate(spans)
    ]
    first = f"d#{spans[0][0]}-{spans[0][1]}"
    retriever = OrderRetriever({query.id: [first] for query in queries})
    pipeline = Pipeline(chunker=LineChunker(), retriever=retriever, top_k=1)
    return diagnose(pipeline, [document], queries, verify=False)


def test_tables_are_whole_and_have_the_numbers(losing: Diagnosis) -> None:
    ledger, causes, proofs, failures, noise, measures, pipeline = tables(losing.to_markdown())
    for table in (ledger, causes, proofs, failures, noise, measures, pipeline):
        assert len({len(row) for row in table}) == 1
        assert set("".join(table[1])) <= set("-:")
    rows = {row[0].strip("*"): row for row in ledger[3:]}
    for stage, row in losing.losses.iterrows():
        assert float(rows[str(stage)][2].strip("*")) == pytest.approx(row["loss"], abs=5e-4)
        assert float(rows[str(stage)][4]) == pytest.approx(row["rescue"], abs=5e-4)
    assert rows["embedder"][2].startswith("**")
    assert len(failures) - 2 == len(losing.failures)
    assert [row[0] for row in measures[2:]] == losing.measures["measure"].tolist()
    assert [row[0] for row in pipeline[2:]] == [*losing.trace.stages, "n and k"]
    assert "tied" in losing.to_markdown()


def test_nothing_lost(lossless: Diagnosis) -> None:
    text = lossless.to_markdown()
    assert "### Lost units\n\nNone." in text
    assert "<details>" not in text


def test_hostile_text_stays_text(diagnose_text: Callable[..., Diagnosis]) -> None:
    text = diagnose_text(HOSTILE).to_markdown()
    assert set(re.findall(r"<[^>]*>", text)) == {
        "<details>", "</details>", "<summary>", "</summary>", "<br>", "<sub>", "</sub>", "<code>", "</code>"
    }  # fmt: skip
    failures = tables(text)[3]
    assert len({len(row) for row in failures}) == 1
    assert len(failures) == 3
    words = failures[2][0].replace("\u2060", "")
    assert "a|b `c` <script>alert(1)</script> # x [l](javascript:1)" in words
    assert "@me" not in text
    assert "http://" not in text
    assert "**B**" not in text


def test_hostile_text_renders_as_text(diagnose_text: Callable[..., Diagnosis]) -> None:
    renderer = pytest.importorskip("markdown_it", reason="a second opinion, where a renderer is installed")
    rendered = (
        renderer.MarkdownIt("commonmark")
        .enable(["table", "strikethrough"])
        .render(diagnose_text(HOSTILE).to_markdown())
    )
    assert not re.search(r"<(script|img|a|del|h1)\b", rendered)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in rendered
    assert rendered.count("<table>") == 7


def test_it_fits_and_says_what_was_left_out(many: Diagnosis) -> None:
    text = many.to_markdown()
    assert 0.9 * LONGEST < len(text) <= LONGEST
    left_out = int(re.search(r"([\d,]+) more lost units are left out here", text)[1].replace(",", ""))  # type: ignore[index]
    assert len(tables(text)[3]) - 2 + left_out == len(many.failures) == 1499
    assert "### Pipeline" in text


def test_it_holds_no_timings(losing: Diagnosis) -> None:
    untimed = replace(losing, trace=replace(losing.trace, costs=Costs()))
    assert untimed.to_markdown() == losing.to_markdown()


def test_it_says_how_well_the_stages_are_proven(judged: Diagnosis, losing: Diagnosis) -> None:
    text = judged.to_markdown()
    _, _, proofs, failures, *_ = tables(text)
    assert proofs[0] == ["Stage", "Verified", "Joint", "Undetermined", "Unreproducible", "Observed"]
    assert ["embedder", "3", "3", "0", "0", "0"] in proofs
    rows = {row[0].split("<sub>")[-1]: row for row in failures[2:]}
    assert rows["retriever-0</sub>"][2:5] == ["embedder", "masked", "joint"]
    assert "9 of the 21 lost units are verified" in text
    assert "Moved: 3 units that the run by itself charges to capacity" in text
    assert "The limit of 20,000 texts and pairs" in html.unescape(text)
    for proof in PROOFS:
        assert f"- **{proof}**: " in text
    assert [row[0] for row in tables(losing.to_markdown())[2][:1]] == ["Stage"]


def test_hostile_causes_stay_text(judged: Diagnosis) -> None:
    verdict = Verdict("packer", HOSTILE, "observed", observed="packer", reason=HOSTILE)
    hostile = replace(judged, verdicts=tuple(v and verdict for v in judged.verdicts)).to_markdown()
    assert set(re.findall(r"<[^>]*>", hostile)) == {
        "<details>", "</details>", "<summary>", "</summary>", "<br>", "<sub>", "</sub>", "<code>", "</code>"
    }  # fmt: skip
    assert "@me" not in hostile
