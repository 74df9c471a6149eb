"""The faces of a gate: the verdict first, the numbers of the tables, cut to fit, and nothing that obeys."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from gated import diagnosed, fates, timed
from html_pages import Node, check_page, rows_of
from markdown_it import MarkdownIt

from ragdiag import Diagnosis, Query
from ragdiag.experiments.gate import Baseline, GateResult, gate
from ragdiag.report.escaping import columns
from ragdiag.report.figures import share, signed
from ragdiag.report.gate import GateStory
from ragdiag.report.markdown import LONGEST

HOSTILE = """<script>alert(1)</script>|@someone [x](javascript:alert) \x1b[31m`code` \ud800 **b** #1"""

RELEASE = fates(50, 10)
WORSE = {name: "retriever" if int(name[1:]) < 12 else fate for name, fate in RELEASE.items()}
BARS = ("recall >= 0.4", "all >= 0.65", "loss[retriever] <= 0.05", "tokens <= 30")


@pytest.fixture(scope="module")
def release() -> Baseline:
    return Baseline.of(diagnosed(RELEASE, budget=99))


@pytest.fixture(scope="module")
def worse() -> Diagnosis:
    return diagnosed(WORSE, budget=99, texts={"q003": HOSTILE})


@pytest.fixture(scope="module")
def result(worse: Diagnosis) -> GateResult:
    """A drop, with a bar of each verdict, over queries of which one is hostile."""
    before = Baseline.of(diagnosed(RELEASE, budget=99, texts={"q003": HOSTILE}))
    return gate(worse, *BARS, baseline=before, min_effect=0.02)


@pytest.fixture(scope="module")
def unchanged(release: Baseline) -> GateResult:
    return gate(diagnosed(RELEASE, budget=99), "recall >= 0.7", baseline=release)


def faces(result: GateResult) -> dict[str, str]:
    """Each face as plain text, to be read for what it says."""
    page = check_page(result._repr_html_())
    html = " ".join(
        node.text for node in page.walk() if node.name in ("h3", "p", "li", "td", "th", "caption")
    )
    text = " ".join(str(result).split())
    markdown = re.sub(r"[*⁠]|</?code>", "", result.to_markdown())
    return {"text": text, "html": " ".join(html.split()), "markdown": " ".join(markdown.split())}


# What it says


def test_the_verdict_comes_first(result: GateResult, unchanged: GateResult) -> None:
    verdicts = result.table["verdict"].tolist()
    assert verdicts[:4] == ["pass", "cannot tell", "fail", "pass"]
    failed = verdicts.count("fail")
    headline = f"It may not ship: {failed} of {len(verdicts)} checks fail."
    for told in faces(result).values():
        assert headline in told
    assert str(result).startswith(headline)
    assert result.to_markdown().startswith(f"## ragdiag gate: fail\n\n**{headline}**")
    assert str(unchanged).startswith("It may ship: all 2 checks pass.")


@pytest.mark.parametrize(
    ("found", "bars", "headline"),
    [
        (fates(50), ["recall >= 0.8"], "It may ship: the one check passes."),
        (fates(0, 50), ["recall >= 0.8"], "It may not ship: 1 of 1 check fails."),
        (
            fates(42, 8),
            ["recall >= 0.8", "hit >= 0.1"],
            "It cannot be told whether it may ship: 1 of 2 checks can neither pass nor fail with 50 queries.",
        ),
    ],
)
def test_headlines(found: dict[str, str], bars: list[str], headline: str) -> None:
    for told in faces(gate(diagnosed(found), *bars)).values():
        assert headline in told


def test_every_number_of_a_check_is_shown(result: GateResult) -> None:
    table = result.table
    for name, told in faces(result).items():
        for row in table.to_dict("records"):
            if row["unit"] == "tokens":
                numbers = [f"{row['value']:,.0f}", f"{row['low']:,.0f} to {row['high']:,.0f}"]
            else:
                figure = signed if row["against"] == "baseline" else share
                numbers = [figure(row["value"]), f"{figure(row['low'])} to {figure(row['high'])}"]
            for number in numbers:
                assert number.replace("<", "&lt;") in told or number in told, (name, row["check"])
    [needed] = table.loc[table["check"] == "All >= 0.65", "needed"]
    assert all(f"about {needed:,}" in told for told in faces(result).values())


def test_latency_has_its_unit_and_a_bound_may_be_missing(worse: Diagnosis) -> None:
    result = gate(timed(worse, [5.0] * 40), "latency_p95 <= 6")
    for told in faces(result).values():
        assert "5.0 ms" in told
        assert "5.0 to –" in told


def test_the_stage_that_got_worse_is_named(result: GateResult, unchanged: GateResult) -> None:
    [stage] = result.stages.index[result.stages["worse"]]
    row = result.stages.loc[stage]
    figures = f"{signed(row['difference'])}, at least {signed(row['low'])}"
    blame = f"More than before is lost at the retriever ({figures})."
    for told in faces(result).values():
        assert blame in told
        assert "The retriever searches the chunks and returns candidates" in told
    assert "Each stage loses as much as before." in str(unchanged)


def test_what_may_be_chance_is_called_so(release: Baseline) -> None:
    one = {name: "retriever" if name == "q000" else fate for name, fate in RELEASE.items()}
    told = str(gate(diagnosed(one, budget=99), baseline=release))
    assert "More is lost at the retriever (+0.017), which may be chance." in told
    assert "No drop at all is allowed (min_effect 0)" in told
    better = {**RELEASE, "q055": "delivered"}
    assert "No stage loses more than before." in str(gate(diagnosed(better, budget=99), baseline=release))


def test_flips_are_counted_and_the_first_are_shown(result: GateResult, unchanged: GateResult) -> None:
    for told in faces(result).values():
        assert "Of 60 units of evidence: 12 lost (delivered then)." in told
        assert "q000" in told
    text = str(result)
    assert "  2 more: result.flips." in text
    assert ("q009" in text, "q010" in text) == (True, False)
    assert "Each of 60 units of evidence has the fate that it had." in str(unchanged)


def test_what_is_not_as_it_was_is_shown(result: GateResult, unchanged: GateResult) -> None:
    assert result.baseline is not None
    old = replace(result.baseline, top_k=3, made_by={"ragdiag": "0.0.1", "python": "3", "numpy": "2"})
    for told in faces(replace(result, baseline=old)).values():
        assert "2 candidates, top 3" in told
        assert "2 candidates, top 1" in told
        assert "numpy 2, python 3, ragdiag 0.0.1" in told
    assert all("OrderRetriever(" in told for told in faces(result).values())  # fates are its options
    assert all("The pipeline shows itself as it did." in told for told in faces(unchanged).values())
    unpacked = gate(diagnosed(RELEASE), baseline=Baseline.of(diagnosed(RELEASE, budget=99)))
    assert re.search(r"packer +then BudgetPacker\(budget=99\)\n +now none", str(unpacked))


def test_a_baseline_alone_is_enough_and_so_is_a_bar(release: Baseline) -> None:
    diagnosis = diagnosed(RELEASE, budget=99)
    for told in faces(gate(diagnosis, baseline=release)).values():
        assert "It may ship: the one check passes." in told
        assert "bars" not in told.lower()
    bar_alone = gate(diagnosis, "recall >= 0.5")
    assert all("baseline" not in told.lower() for told in faces(bar_alone).values())
    assert GateStory(bar_alone).changes == []


def test_what_limits_the_numbers_is_said(result: GateResult) -> None:
    few = str(gate(diagnosed(fates(19)), "recall >= 0.1"))
    assert "Under 20 queries nothing passes and nothing fails" in few
    assert "20 at least" in few
    at_the_bar = gate(diagnosed(fates(80, 20)), "recall >= 0.8")
    assert "no number: it is the limit itself" in str(at_the_bar)
    clustered = {f"q{i:03}": "delivered" if i % 100 < 85 else "reranker" for i in range(100)}
    assert "The evidence stands in few documents" in str(
        gate(diagnosed(clustered, shared=10), "recall >= 0.5")
    )
    assert result.baseline is not None
    proven = replace(result, baseline=replace(result.baseline, proven=True))
    assert "proven by running the pipeline again then, and only observed now" in " ".join(str(proven).split())


# Each face for itself


def test_the_text_fits_a_terminal(result: GateResult, unchanged: GateResult) -> None:
    for told in (str(result), str(unchanged)):
        assert told.endswith("\n")
        assert max(map(columns, told.splitlines())) <= 100
    rows = [line for line in str(result).splitlines() if re.match(r"  (pass|fail|cannot tell) ", line)]
    assert len(rows) == len(result.judgements)


def test_the_page_has_the_tables(result: GateResult) -> None:
    page = check_page(result._repr_html_())
    bars, since, _, stages, flips = (rows_of(table) for table in page.all("table"))
    assert [row[0] for row in bars[1:]] == result.table["check"].tolist()[:4]
    assert [row[1] for row in [*bars[1:], *since[1:]]] == result.table["verdict"].tolist()
    assert [row[0] for row in stages[1:]] == result.stages.index.tolist()
    assert len(flips) == 1 + 12
    cards = {card.all("dt")[0].text: card.all("dd")[0].text for card in page.all("div", "card")}
    assert cards["Verdict"] == "fail"
    assert int(cards["Pass"]) == result.table["verdict"].tolist().count("pass")


def test_untrusted_text_is_escaped(result: GateResult) -> None:
    page: Node = check_page(result._repr_html_())
    assert "<script>alert(1)</script>|@someone" in page.text
    rendered = MarkdownIt("gfm-like", {"linkify": False}).render(result.to_markdown())
    assert "<script" not in rendered
    assert "<a" not in rendered
    assert "@someone" not in rendered
    assert "&lt;script&gt;alert(1)&lt;/script&gt;|" in rendered
    for told in (str(result), result.to_markdown()):
        assert "\x1b" not in told
        told.encode("utf-8")


def test_markdown_is_cut_to_fit_and_says_so() -> None:
    many = {f"query number {i:04}": "delivered" for i in range(250)}
    texts = dict.fromkeys(many, HOSTILE * 9)
    before = Baseline.of(diagnosed(many, shared=7, texts=texts))
    now = diagnosed(dict.fromkeys(many, "reranker"), shared=7, texts=texts)
    result = gate(now, "recall >= 0.5", baseline=before)
    markdown = result.to_markdown()
    assert len(markdown) <= LONGEST
    shown = markdown.count("<sub>query number")
    left_out = re.search(r"^(\d+) more rows are left out here\.$", markdown, re.MULTILINE)
    assert left_out is not None
    assert shown + int(left_out[1]) == len(result.flips) == 250
    assert shown > 20
    assert markdown.endswith("</details>\n")
    assert "230 more: result.flips." in result._repr_html_()


def test_json_has_the_tables(result: GateResult, unchanged: GateResult) -> None:
    told = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert (told["format"], told["version"]) == ("ragdiag-gate", 1)
    assert (told["verdict"], told["exit_code"], told["queries"]) == ("fail", 1, 60)
    assert (told["confidence"], told["min_effect"]) == (0.95, 0.02)
    assert [row["verdict"] for row in told["judgements"]] == result.table["verdict"].tolist()
    assert [row["value"] for row in told["judgements"]] == result.table["value"].tolist()
    assert told["judgements"][0]["before"] is None
    assert [row["stage"] for row in told["stages"]] == result.stages.index.tolist()
    assert [row["query_id"] for row in told["flips"]] == result.flips["query_id"].tolist()
    assert told["baseline"]["top_k"] == 1
    assert unchanged.to_dict() == unchanged.to_dict()
    alone = gate(diagnosed(fates(40)), "recall >= 0.5").to_dict()
    assert (alone["baseline"], alone["stages"], alone["flips"]) == (None, [], [])


def test_a_query_that_is_not_assessed_takes_no_part(release: Baseline) -> None:
    diagnosis = diagnosed(RELEASE, budget=99)
    more = replace(diagnosis, queries=(*diagnosis.queries, Query("open", "?")))
    assert str(gate(more, "recall >= 0.5", baseline=release)) == str(
        gate(diagnosis, "recall >= 0.5", baseline=release)
    )
