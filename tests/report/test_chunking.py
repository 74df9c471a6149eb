"""The faces of a comparison of chunkers: what they claim, the same numbers in all, and that no text harms."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from importlib.machinery import ModuleSpec
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hand_made_sweeps import FACTS, TIMINGS, comparison_of, measured, rows_by_name, shares
from html_pages import Node, check_page, read, rows_of
from markdown_it import MarkdownIt
from matplotlib.text import Annotation, Text
from wcwidth import wcswidth

from ragdiag import DataError, MissingExtraError
from ragdiag.experiments.chunking import ChunkerComparison, Prices
from ragdiag.experiments.sweep import CUT, Measured
from ragdiag.report.chunking import ChunkingStory, short
from ragdiag.report.chunking_pictures import picture_bytes

N = 60
GOOD, FAIR, POOR = shares(N, 0.9, seed=1), shares(N, 0.85, seed=1), shares(N, 0.4, seed=1)
HOSTILE = (
    '<script>alert(1)</script></td> " onload="x\' &lt; | \x00\x1b[2J\u202e\ud800 $\\frac{$ `*_[a](b)_*` @who'
)


@pytest.fixture(scope="module")
def ranked() -> ChunkerComparison:
    """Two that tie, one that is worse by what its chunks and its embedder lose, and all that has a price."""
    dropped = np.where(np.arange(N) < 12, 1 - np.array(POOR), 0.0)
    return comparison_of(
        {
            "poor": measured(POOR, losses={"chunker": dropped}, context_tokens=100.0),
            "fair": measured(FAIR, context_tokens=400.0),
            "good": measured(GOOD, context_tokens=500.0),
        },
        timings=dict.fromkeys(("poor", "fair", "good"), TIMINGS),
        prices=Prices(embedding=0.5, context=2.0),
    )


def headline(comparison: ChunkerComparison) -> str:
    """The first sentence, which every face must give in the same words."""
    [sentence] = [node.text for node in check_page(comparison._repr_html_()).all("h3")]
    assert flat(str(comparison)).startswith(sentence)
    assert flat(comparison.verdict).startswith(sentence)
    assert repr(comparison) == f"ChunkerComparison({sentence})"
    assert comparison.to_dict()["headline"] == sentence
    return sentence


def flat(text: str) -> str:
    return " ".join(text.split())


# What is claimed


def test_ties_and_losers_are_named(ranked: ChunkerComparison) -> None:
    assert headline(ranked) == "good and fair tie for the best in Recall@1024t; poor is worse."
    assert "poor is worse than good: -0.500 (95% interval -" in flat(ranked.verdict)
    assert "fair is worse" not in flat(ranked.verdict)


def test_a_winner_is_named() -> None:
    found = comparison_of({"good": measured(GOOD), "poor": measured(POOR)})
    assert headline(found) == "good is best in Recall@1024t, of 2 chunkers."
    assert ChunkingStory(found).rows[0]["standing"] == "winner"


def test_no_difference_is_no_winner() -> None:
    found = comparison_of({"a": measured(GOOD), "b": measured(FAIR), "c": measured(GOOD)})
    assert headline(found) == "No winner: the 3 chunkers cannot be told apart in Recall@1024t."
    assert " worse" not in flat(found.verdict)


def test_a_difference_that_does_not_matter_is_none() -> None:
    chunkers = {"good": measured(GOOD), "poor": measured(POOR)}
    assert headline(comparison_of(chunkers, min_effect=0.6)).startswith("No winner")


def test_too_few_queries_claim_nothing() -> None:
    few = comparison_of({"a": measured(np.ones(19)), "b": measured(np.zeros(19))})
    assert headline(few) == "No winner is claimed: only 19 queries are assessed."
    text = flat(few.verdict)
    assert "Under 20 queries the numbers describe these queries and say nothing about others." in text
    assert "worse" not in text
    assert "decided" not in text
    one = comparison_of({"a": measured([1.0]), "b": measured([0.0])})
    assert headline(one) == "No winner is claimed: only 1 query is assessed."


def test_many_losers_are_counted() -> None:
    good, poor = measured(np.ones(20)), measured(np.zeros(20))
    found = comparison_of({"good": good, "fair": good, **{f"poor {i}": poor for i in range(9)}})
    assert headline(found) == "good and fair tie for the best in Recall@1024t; 9 are worse."
    assert flat(found.verdict).count("is worse than good") == 8
    assert "1 more is worse: comparison.differences." in flat(found.verdict)
    tied = comparison_of({**{f"good {i}": good for i in range(7)}, "poor": poor})
    assert "good 3, good 4 and 2 more tie for the best" in headline(tied)


# Which stage decides


def told_of(comparison: ChunkerComparison, name: str) -> str:
    [sentence] = [one for one in ChunkingStory(comparison).sentences if one.startswith(f"{name} is worse")]
    return sentence


def test_the_stages_that_decide_are_named_with_their_shares(ranked: ChunkerComparison) -> None:
    told = told_of(ranked, "poor")
    assert "In a context of 5 chunks its recall is 0.500 lower, decided by the embedder, which" in told
    stages = ranked.stages[ranked.stages["chunker"] == "poor"].set_index("stage")["difference"]
    assert f"the embedder, which loses {stages['embedder']:.3f} more (+" in told
    assert f" and the chunker, which loses {stages['chunker']:.3f} more (+" in told


def test_what_other_stages_make_up_for_is_told() -> None:
    lost = 1 - np.array(POOR)
    good = np.array(GOOD)
    found = comparison_of(
        {
            "a": measured(good, losses={"capacity": 1 - good}),
            "b": measured(POOR, losses={"chunker": lost}),
        }
    )
    told = told_of(found, "b")
    assert "its recall is 0.500 lower, decided by the chunker, which loses 0.600 more (+" in told
    assert told.endswith("; capacity loses less.")


def test_what_may_be_chance_decides_nothing() -> None:
    """Worse at the budget; in the context a little, which four queries cannot show."""
    slightly = np.array(GOOD)
    slightly[np.flatnonzero(slightly)[:3]] = 0
    found = comparison_of({"a": measured(GOOD), "b": measured(slightly, at_budget=POOR)})
    told = told_of(found, "b")
    assert "its recall is 0.050 lower, most of it at the embedder, which loses 0.050 more (" in told
    assert told.endswith("; may be chance).")
    assert "decided" not in told


def test_a_little_everywhere_is_said_to_be_that() -> None:
    little = np.full(N, 0.0003)
    worse = measured(
        np.array(GOOD) * (1 - 0.0009),
        at_budget=POOR,
        losses={"chunker": little * GOOD, "capacity": little * GOOD},
    )
    found = comparison_of({"a": measured(GOOD), "b": worse})
    assert told_of(found, "b").endswith("its recall is 0.001 lower, a little at several stages.")


def test_chunks_that_only_use_a_budget_less_well_are_said_to_do_that() -> None:
    found = comparison_of({"a": measured(GOOD), "b": measured(GOOD, at_budget=POOR)})
    assert told_of(found, "b").endswith(
        "In a context of 5 chunks it loses no more of the evidence than a (0.000 in recall): its chunks use "
        "a budget of tokens less well."
    )


def test_cut_evidence_is_told_beside_the_stage_that_it_is_charged_to() -> None:
    cutting, whole = measured(POOR), measured(GOOD)
    apart = np.where(np.arange(N) < 9, 1.0, 0.0)
    cutting = replace(cutting, measures={**cutting.measures, CUT: apart})
    found = comparison_of({"a": whole, "b": cutting})
    assert "decided by the embedder, which" in told_of(found, "b")
    assert told_of(found, "b").endswith(
        "It cuts 15% of the evidence in pieces (0% with a); what that loses is charged to the stage that "
        "does not bring all pieces."
    )
    assert "in pieces" not in told_of(comparison_of({"a": whole, "b": measured(POOR)}), "b")


# What is said besides


def test_what_could_have_been_shown_is_told(ranked: ChunkerComparison) -> None:
    detectable = ranked.standing().detectable
    assert detectable is not None
    assert f"a difference of {detectable:.3f} or more. Less than 0.020 (min_effect)" in flat(ranked.verdict)


def test_selection_is_not_judgement(ranked: ChunkerComparison) -> None:
    assert "The best of several looks better than it is on the questions that chose it." in flat(
        ranked.verdict
    )


def test_few_documents_are_told() -> None:
    chunkers = {"good": measured(GOOD), "poor": measured(POOR)}
    few = comparison_of(chunkers, documents=[f"d{i % 4}" for i in range(N)])
    assert "The evidence stands in few documents" in flat(few.verdict)
    assert "The evidence stands in few documents" not in flat(comparison_of(chunkers).verdict)


def test_what_could_not_be_kept_is_told() -> None:
    chunkers = {"good": measured(GOOD), "poor": measured(POOR)}
    found = comparison_of(chunkers, unkept={"good": ("chunker", "embedder"), "poor": ("embedder",)})
    told = "Nothing of good and poor could be kept for another time: the chunker and embedder cannot say what"
    assert told in flat(found.verdict)
    assert "could be kept" not in flat(comparison_of(chunkers).verdict)


# Faces


def test_the_text_fits_and_holds_the_tables(ranked: ChunkerComparison) -> None:
    text = str(ranked)
    assert all(wcswidth(line) <= 100 for line in text.splitlines())
    assert text.startswith(ranked.verdict)
    for title in ("HOW GOOD", "WHERE THE EVIDENCE IS LOST", "THE CHUNKS", "WHAT IT COSTS"):
        assert f"\n\n{title}\n" in text
    row, *_ = [line.split() for line in text.splitlines() if line.startswith("  poor ")]
    low, high = (rows_by_name(ranked.table)["poor"][end] for end in ("low", "high"))
    assert row[:4] == ["poor", "0.400", f"{low:.3f}–{high:.3f}", "worse"]


def test_long_names_are_cut_and_tables_broken(ranked: ChunkerComparison) -> None:
    name = "A(" + "very " * 30 + "long)"
    sweep = replace(ranked.sweep, measured={name: ranked.sweep["good"], "語" * 60: ranked.sweep["poor"]})
    found = replace(ranked, sweep=sweep)
    text = str(found)
    assert all(wcswidth(line) <= 100 for line in text.splitlines())
    assert len(short(name)) == 48
    assert text.count("\n  chunker ") > 4, "columns for which there is no room stand below"


def test_what_is_not_known_of_any_has_no_column() -> None:
    facts = replace(FACTS, unit="characters", over_limit=None, tokens=None, index_bytes=None)
    blind = measured(GOOD, context_tokens=None, chunks=facts)
    found = comparison_of({"a": blind, "b": blind}, measure="Recall")
    story = ChunkingStory(found)
    assert [shown.title for shown in story.tables] == ["How good", "Where the evidence is lost", "The chunks"]
    assert "over limit" not in story.chunks.header
    assert "@512t" not in story.quality.header
    assert "Sizes in characters" in story.chunks.caption
    assert story.quality.header[1:4] == ["Recall", "95% interval", "standing"]
    assert "recall" not in story.quality.header
    seen = comparison_of({"a": blind, "b": measured(GOOD)}, measure="Recall")
    tokens = ChunkingStory(seen).costs
    column = tokens.header.index("tokens a question")
    assert {row[0]: row[column] for row in tokens.rows} == {"a": "–", "b": "500"}
    for face in (str(found), found._repr_html_(), found.to_markdown()):
        assert "nan" not in face.replace("finance", "")
        assert "None" not in face


def test_figures_have_their_units() -> None:
    sizes = {"a": None, "b": 512, "c": 2_500, "d": 1_234_567, "e": 5_000_000_000}
    chunkers = {
        name: measured([1.0], chunks=replace(FACTS, index_bytes=size)) for name, size in sizes.items()
    }
    slow = replace(TIMINGS, embedder=1234.0)
    story = ChunkingStory(comparison_of(chunkers, timings={**dict.fromkeys(chunkers, TIMINGS), "a": slow}))
    columns = [story.costs.header.index(title) for title in ("index", "seconds")]
    assert {row[0]: [row[column] for column in columns] for row in story.costs.rows} == {
        "a": ["–", "1,235"],
        "b": ["512 B", "2.75"],
        "c": ["2.5 kB", "2.75"],
        "d": ["1.23 MB", "2.75"],
        "e": ["5 GB", "2.75"],
    }


def test_html_markdown_and_text_show_the_same_cells(ranked: ChunkerComparison) -> None:
    tables = ChunkingStory(ranked).tables
    page = check_page(ranked._repr_html_())
    for shown, table in zip(tables, page.all("table"), strict=True):
        rows = [[cell for cell in row if cell] for row in rows_of(table)[1:]]
        assert rows == [list(row) for row in shown.rows]
    for shown, (header, *rows) in zip(tables, markdown_tables(ranked.to_markdown()), strict=True):
        joined = [[cell.replace("\u2060", "") for cell in row] for row in (header, *rows)]
        assert joined == [list(row) for row in (shown.header, *shown.rows)]


def markdown_tables(markdown: str) -> list[list[list[str]]]:
    page: Node = check_fragment(MarkdownIt("commonmark").enable("table").render(markdown))
    return [rows_of(table) for table in page.all("table")]


def check_fragment(markup: str) -> Node:
    return read(f"<div>{markup}</div>")


def test_bars_are_as_long_as_the_numbers(ranked: ChunkerComparison) -> None:
    quality, losses = check_page(ranked._repr_html_()).all("table")[:2]
    for (name, row), drawn in zip(rows_by_name(ranked.table).items(), quality.all("tr")[1:], strict=True):
        bar, between = drawn.all("rect")
        assert float(bar.attributes["width"] or "") == pytest.approx(100 * row["value"], abs=0.01), name
        assert float(between.attributes["x"] or "") == pytest.approx(100 * row["low"], abs=0.01)
    for row, drawn in zip(rows_by_name(ranked.table).values(), losses.all("tr")[1:], strict=True):
        widths = [float(part.attributes["width"] or "") for part in drawn.all("rect")]
        assert sum(widths) == pytest.approx(100 * (1 - row["recall"]), abs=0.01)


def test_json_holds_the_tables(ranked: ChunkerComparison) -> None:
    told = json.loads(json.dumps(ranked.to_dict(), allow_nan=False))
    assert (told["format"], told["version"]) == ("ragdiag-chunkers", 1)
    assert [row["chunker"] for row in told["table"]] == ["good", "fair", "poor"]
    assert told["table"][0]["cost_per_1000"] == 1.0
    assert told["differences"][1]["worse"] is True
    assert len(told["stages"]) == 8
    assert told["prices"] == {"embedding": 0.5, "context": 2.0, "reranking": None}
    assert told["standing"]["order"] == ["good", "fair", "poor"]
    assert told["pipelines"]["good"]["top_k"] == 5
    plain = comparison_of({"a": measured(GOOD), "b": measured(GOOD)}).to_dict()
    assert plain["prices"] is None
    assert plain["table"][0]["index_seconds"] is None  # type: ignore[index]


@pytest.mark.parametrize("face", ["text", "html", "markdown", "plot", "losses"])
def test_no_name_harms(ranked: ChunkerComparison, face: str) -> None:
    chunkers: Mapping[str, Measured] = {HOSTILE: ranked.sweep["good"], f"{HOSTILE} too": ranked.sweep["poor"]}
    found = replace(
        ranked, sweep=replace(ranked.sweep, measured=chunkers, timings={}, unkept={HOSTILE: ("chunker",)})
    )
    if face == "html":
        page = check_page(found._repr_html_())
        assert "alert(1)" in page.text
    elif face == "markdown":
        rendered = MarkdownIt("commonmark", {"html": True}).enable("table").render(found.to_markdown())
        names = {node.name for node in check_fragment(rendered).walk()}
        assert not names & {"script", "a", "code", "em", "strong"}
    elif face == "text":
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202e\ud800]", str(found))
        assert "alert(1)" in str(found)
    else:
        figure = found.plot() if face == "plot" else found.plot_losses()
        assert picture_bytes(figure, "png").startswith(b"\x89PNG")
        svg = picture_bytes(figure, "svg").decode()
        assert "<script" not in svg


# Pictures


@pytest.mark.parametrize("n", [2, 7, 16])
def test_names_beside_points_do_not_overlap(n: int) -> None:
    chunkers = {
        f"chunker {i}": measured([0.8 - 0.001 * (i % 3)] * 30, context_tokens=100.0 + i % 5) for i in range(n)
    }
    figure = comparison_of(chunkers).plot()
    figure.draw_without_rendering()
    names = [child for child in figure.axes[0].texts if isinstance(child, Annotation)]
    assert sorted(name.get_text() for name in names) == sorted(chunkers)
    # As a text, without the line that leads to its point.
    texts = [Text.get_window_extent(name) for name in names]
    for one, other in combinations(texts, 2):
        assert not one.overlaps(other)
    width, height = figure.canvas.get_width_height()
    assert all(box.x0 >= 0 and box.x1 <= width and box.y0 >= 0 and box.y1 <= height for box in texts)


def test_the_picture_is_the_table_of_costs(ranked: ChunkerComparison) -> None:
    table = ranked.pareto("money")
    axes = ranked.plot("money").axes[0]
    drawn = {
        (float(x), float(y))
        for line in axes.lines
        if line.get_marker() == "o"
        for x, y in zip(np.asarray(line.get_xdata()), np.asarray(line.get_ydata()), strict=True)
    }
    assert drawn == {*zip(table["cost"], table["value"], strict=True)}
    assert axes.get_xlabel() == "money for 1,000 questions"
    assert axes.get_ylabel() == "Recall with 95% interval"
    assert ranked.plot("latency", measure="CP").axes[0].get_ylabel() == "CP with 95% interval"
    with pytest.raises(DataError, match="give prices"):
        comparison_of({"a": measured(GOOD), "b": measured(GOOD)}).plot("money")


def test_bars_of_losses_end_where_recall_begins(ranked: ChunkerComparison) -> None:
    figure = ranked.plot_losses()
    axes = figure.axes[0]
    ends: dict[float, float] = {}
    for bar in axes.patches:
        middle = bar.get_y() + bar.get_height() / 2  # type: ignore[attr-defined]
        ends[middle] = max(ends.get(middle, 0.0), bar.get_x() + bar.get_width())  # type: ignore[attr-defined]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["poor", "fair", "good"]
    recall = ranked.table["recall"]
    assert [ends[place] for place in sorted(ends)] == pytest.approx([1 - recall[name] for name in names])
    [legend] = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["chunker", "embedder"]
    nothing = comparison_of({"a": measured(np.ones(30)), "b": measured(np.ones(30))}).plot_losses()
    assert not nothing.legends


def test_a_picture_is_the_same_every_time(ranked: ChunkerComparison) -> None:
    first, second = (picture_bytes(ranked.plot_losses(), "svg") for _ in range(2))
    assert first == second
    assert b"good" in first, "a text stays a text"


def test_without_matplotlib_the_extra_is_named(
    ranked: ChunkerComparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec

    def blind(name: str, *package: Any) -> ModuleSpec | None:
        return None if name == "matplotlib" else find(name, *package)

    monkeypatch.setattr(importlib.util, "find_spec", blind)
    with pytest.raises(MissingExtraError, match=re.escape("pip install 'ragdiag-toolkit[plots]'")):
        ranked.plot_losses()
