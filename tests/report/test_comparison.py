"""The faces of a comparison: what they claim, the numbers of the tables, and that no text does harm."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from facts import run
from html_pages import Node, check_page, rows_of
from plugs import LineChunker, TableReranker
from wcwidth import wcswidth

from ragdiag import (
    BM25Retriever,
    Comparison,
    Diagnosis,
    ExactRetriever,
    HashingEmbedder,
    Pipeline,
    compare,
    diagnose,
)
from ragdiag.diagnosis.verdicts import Effort
from ragdiag.report.html.comparison import comparison_html

HOSTILE = """<script>alert(1)</script></td> " onload="x' &lt; \x00\x1b[2J\u202e\ud800"""


@pytest.fixture(scope="module")
def better() -> Comparison:
    """Of 60 units, 30 are regained (more than any face shows), 2 are lost and 2 moved."""
    a = run(60, found=range(12), dropped=[10, 11])
    return compare(a, run(60, found=range(2, 42), dropped=[40, 41]), names=("before.jsonl", "after.jsonl"))


def flat(comparison: Comparison) -> str:
    return " ".join(str(comparison).split())


def headline(comparison: Comparison) -> str:
    """The verdict, which both faces must give in the same words."""
    [sentence] = [node.text for node in check_page(comparison._repr_html_()).all("h3")]
    assert sentence in flat(comparison)
    return sentence


# What is claimed


def test_the_better_one_is_named_in_either_order(better: Comparison) -> None:
    assert headline(better) == "B is better than A: it delivers 0.467 more of the evidence."
    other = compare(better.b, better.a)
    assert headline(other) == "A is better than B: it delivers 0.467 more of the evidence."
    text = flat(better)
    recall = better.recall
    assert (
        f"0.167 in A, 0.633 in B, a difference of +0.467 (95% interval +{recall.low:.3f} to "
        f"+{recall.high:.3f}; p < 0.001). It differs in 32 of 60 queries." in text
    )
    assert "a difference of -0.467 (95% interval -" in flat(other)
    assert "could have told from chance" not in text
    assert text.startswith("A before.jsonl B after.jsonl B is better")
    assert flat(other).startswith("A is better")


def test_what_may_be_chance_is_not_claimed() -> None:
    comparison = compare(run(40, found=range(20)), run(40, found=range(8, 30)))
    assert headline(comparison) == "No difference is shown between A and B: +0.050 in recall may be chance."
    assert comparison.recall.needed is not None
    assert f"could have told from chance: a difference of {comparison.recall.needed:.3f} or more" in flat(
        comparison
    )


def test_too_few_queries_that_differ_show_nothing_whatever_they_do() -> None:
    comparison = compare(run(40, found=range(20)), run(40, found=range(23)))
    assert headline(comparison) == "No difference is shown between A and B: +0.075 in recall may be chance."
    assert "Only 3 queries of 40 differ: too few for any difference to be told from chance" in flat(
        comparison
    )


def test_under_twenty_queries_nothing_is_claimed() -> None:
    comparison = compare(run(19, found=[]), run(19, found=range(19)))
    assert headline(comparison) == "No difference is claimed: only 19 queries are assessed."
    assert "Under 20 queries no difference is claimed" in flat(comparison)
    one = compare(run(1, found=[]), run(1, found=[0]))
    assert headline(one) == "No difference is claimed: only 1 query is assessed."
    assert "It differs in 1 of 1 query." in flat(one)


def test_the_same_run_twice() -> None:
    a = run(24, found=range(10))
    same = compare(a, a)
    assert (
        headline(same)
        == "No difference: in each of the 24 queries, A and B deliver the same share of the evidence."
    )
    assert "how large a difference these queries may have missed in others" in flat(same)
    assert (
        "WHAT DIFFERS BETWEEN A AND B nothing The same in both: chunker, retriever, packer, n and k"
        in flat(same)
    )
    page = check_page(same._repr_html_())
    assert "Nothing." in page.text
    assert "Units that changed" not in page.text
    assert "in the one query" in headline(compare(a.select(["q1"]), a.select(["q1"])))


def test_few_documents_are_told(losing: Diagnosis, judged: Diagnosis) -> None:
    text = flat(compare(losing, judged))
    assert "The evidence stands in few documents" in text
    assert "few documents" not in flat(compare(run(24, found=[0]), run(24, found=[1])))


def test_a_proof_that_one_alone_has_is_told(losing: Diagnosis, judged: Diagnosis) -> None:
    note = "The stages of A were only observed, those of the other were checked by running the pipeline again"
    assert note in flat(compare(losing, judged))
    assert note.replace("of A", "of B") in flat(compare(judged, losing))
    for both in (compare(losing, losing), compare(judged, judged)):
        assert "were only observed" not in flat(both)
    delivered = [run(3, found=range(3)) for _ in range(2)]
    proven = replace(delivered[1], effort=Effort())
    assert "were only observed" not in flat(compare(delivered[0], proven))  # there was nothing to prove


def test_stages_that_one_lacks_are_told() -> None:
    a = run(3, found=[0, 1], dropped=[1])
    pipeline = Pipeline(
        chunker=LineChunker(), embedder=HashingEmbedder(16), retriever=ExactRetriever(), top_k=1
    )
    comparison = compare(a, diagnose(pipeline, a.documents, a.queries, verify=False))
    text = flat(comparison)
    assert "B has no packer, which counts as a loss of 0 there." in text
    assert (
        "A has no embedder, which counts as a loss of 0 there. Its retriever answers for the embedder's"
        in text
    )
    assert re.search(r"\n  packer +0\.333 +– ", str(comparison))
    rows = {row[0]: row for row in rows_of(check_page(comparison._repr_html_()).all("table", "ledger")[0])}
    assert rows["packer"][1:3] == ["0.333", "–"]
    assert rows["embedder"][1] == "–"
    assert "packer A Dropper(" in text
    assert "B none" in text


def test_rescues_are_told(losing: Diagnosis) -> None:
    comparison = compare(losing, losing)
    assert comparison.losses["rescue_a"].max() > 0
    assert re.search(
        r"Rescue is what a stage brought back .*: retriever 0\.\d+ in A, 0\.\d+ in B", flat(comparison)
    )
    assert "Rescue is" not in flat(compare(run(3, found=[0]), run(3, found=[1])))


def test_the_share_from_which_a_unit_counts_is_told(losing: Diagnosis) -> None:
    assert "Delivered only when complete (hard recall)" in flat(compare(losing, losing))
    lenient = replace(losing, min_coverage=0.5)
    text = flat(compare(lenient, lenient))
    assert "Delivered only when covered to 0.5 (hard recall)" in text
    assert "MRR(min_coverage=0.5) " in text


# The terminal


def test_no_line_is_wider_than_a_hundred_columns(
    better: Comparison, losing: Diagnosis, judged: Diagnosis, diagnose_text: Callable[..., Diagnosis]
) -> None:
    wide = diagnose_text("日本語" * 60)
    for comparison in (
        better,
        compare(losing, judged),
        compare(wide, diagnose_text("日本語" * 60, top_k=2), names=("長い" * 100, "x" * 300)),
        compare(replace(losing, min_coverage=0.123456789), replace(losing, min_coverage=0.123456789)),
    ):
        assert max(wcswidth(line) for line in str(comparison).split("\n")) <= 100


def test_bars_go_to_the_side_that_loses_less(better: Comparison) -> None:
    rows = re.findall(r"^  (\w+) +[\d.<>]+ +[\d.<>]+  ([▒ ]{12})│([█ ]{12})", str(better), re.MULTILINE)
    drawn = {stage: (less.count("▒"), more.count("█")) for stage, less, more in rows}
    assert list(drawn) == better.losses.index.tolist()
    assert drawn["retriever"] == (12, 0)
    assert drawn["packer"] == (0, 0)
    other = re.findall(r"^  retriever .*│(█+)", str(compare(better.b, better.a)), re.MULTILINE)
    assert other == ["█" * 12]


def test_the_text_has_the_numbers_of_the_tables(better: Comparison) -> None:
    text = str(better)
    row = better.losses.to_dict("index")["retriever"]
    line = next(line for line in text.split("\n") if line.startswith("  retriever") and "│" in line)
    assert [float(found) for found in re.findall(r"[-+]?\d\.\d+", line)] == pytest.approx(
        [row[name] for name in ("loss_a", "loss_b", "difference", "low", "high")], abs=5e-4
    )
    table = [line.split() for line in text.split("\n")]
    assert ["A", "down,", "B", "across", "delivered", "retriever", "packer"] in table
    assert ["delivered", "8", "2", "."] in table
    assert ["retriever", "28", "18", "2"] in table
    assert "lost, delivered in A, lost in B: 2\n" in text
    assert "regained, lost in A, delivered in B: the first 5 of 30\n" in text
    assert "moved, lost in both, at another stage: 2\n" in text
    assert re.search(r"\n    q0 +What is fact 0\?\n +delivered -> retriever: missed, observed\n", text)
    assert "All of them: comparison.flips." in text
    assert "retriever.missed: an exact search finds the chunk, the real one does not." in text
    for name, found in (("Hard recall", better.hard_recall), ("CP", better.measure("CP"))):
        numbers = next(line for line in text.split("\n") if line.startswith(f"  {name} ")).split(name)[1]
        assert float(numbers.split()[2]) == pytest.approx(found.value, abs=5e-4)


def test_long_descriptions_are_cut_where_they_begin_to_differ() -> None:
    prompt = "Answer from the passages. " * 40
    reranker = TableReranker({prompt: 1.0, "end": 1.0}), TableReranker({prompt: 1.0, "END": 1.0})
    diagnoses = [
        diagnose(
            Pipeline(chunker=LineChunker(), retriever=BM25Retriever(), reranker=one, top_k=1),
            run(2, found=[]).documents,
            run(2, found=[]).queries,
            verify=False,
        )
        for one in reranker
    ]
    text = flat(compare(*diagnoses))
    assert re.search(r"reranker A TableReranker.* … .*'end': 1.0.* B TableReranker.* … .*'END': 1.0", text)
    assert len(text) < 5_000


def test_documents_and_chunks_that_are_not_the_same_are_told(better: Comparison) -> None:
    assert "The same in both: chunker, n and k, documents, chunks." in flat(better)
    a = run(2, found=[])
    documents = [replace(document, text=document.text + " More.") for document in a.documents]
    b = diagnose(
        Pipeline(chunker=LineChunker(), retriever=BM25Retriever(), top_k=2),
        documents,
        a.queries,
        sources=a.documents,
        verify=False,
    )
    text = flat(compare(a, b))
    assert "documents A 2 documents B 2 documents, not the same" in text
    assert "chunks A 4 chunks B 4 chunks, not the same" in text
    assert "n and k A 1 candidate, top 1 B 2 candidates, top 2" in text


# The notebook


@pytest.fixture(scope="module")
def page(better: Comparison) -> Node:
    return check_page(comparison_html(better))


def test_the_cards_show_both_recalls(page: Node, better: Comparison) -> None:
    cards = {card.all("dt")[0].text: [dd.text for dd in card.all("dd")] for card in page.all("div", "card")}
    assert cards["Recall of A"][0] == "0.167"
    assert cards["Recall of B"] == ["0.633", "over the same 60 queries"]
    assert cards["Difference, B less A"][0] == "+0.467"
    assert cards["Difference, B less A"][1].endswith("; p < 0.001")
    assert cards["Units of evidence"] == ["+30 -2", "regained and lost by B, of 60"]
    assert "A: before.jsonl" in page.text
    assert "jsonl" not in check_page(compare(better.a, better.b)._repr_html_()).text


def test_the_page_has_the_numbers_of_the_tables(page: Node, better: Comparison) -> None:
    rows = {row[0]: row for row in rows_of(page.all("table", "ledger")[0])}
    for stage, row in better.losses.iterrows():
        loss_a, loss_b, _, difference, interval = rows[str(stage)][1:]
        shown = [loss_a, loss_b, difference, *interval.split(" to ")]
        assert [float(number) for number in shown] == pytest.approx(
            row[["loss_a", "loss_b", "difference", "low", "high"]].tolist(), abs=5e-4
        )
    assert rows["recall"][4] == "+0.467"
    tables = {table.all("caption")[0].text: rows_of(table) for table in page.all("table")}
    transitions = next(table for caption, table in tables.items() if caption.startswith("How many units"))
    assert transitions[0] == ["In A", "delivered in B", "retriever in B", "packer in B"]
    assert transitions[2] == ["retriever", "28", "18", "2"]
    lost = tables["Delivered in A, lost in B: 2"]
    assert lost[1] == ["What is fact 0?q0", "The fact 0.", "delivered", "retrievermissed, observed"]
    assert len(tables["Lost in A, delivered in B: the first 10 of 30"]) == 11
    measures = tables["Means over 60 queries. More: comparison.measures."]
    assert [row[0] for row in measures] == ["Measure", "Recall", "Hard recall", "MRR", "CP", "Precision"]
    assert [row[0] for row in tables["The two runs, in the order of the flow."]] == [
        "What", "retriever", "packer"
    ]  # fmt: skip


def test_bars_have_the_size_and_the_side_of_what_they_show(losing: Diagnosis, judged: Diagnosis) -> None:
    comparison = compare(losing, judged)
    assert (comparison.losses["difference"] > 0).any()
    assert (comparison.losses["difference"] < 0).any()
    widest = comparison.losses["difference"].abs().max()
    rows = check_page(comparison._repr_html_()).all("table", "ledger")[0].all("tr")[1:-1]
    for row, difference in zip(rows, comparison.losses["difference"], strict=True):
        sizes = {
            kind: [re.findall(r"[\d.]+", piece.attributes["style"] or "") for piece in row.all("span", kind)]
            for kind in ("less", "more")
        }
        if not difference:
            assert sizes == {"less": [], "more": []}
            continue
        width = 50 * abs(difference) / widest
        left = 50 - width if difference < 0 else 50
        [(found_left, found_width)] = sizes["less" if difference < 0 else "more"]
        assert (float(found_left), float(found_width)) == pytest.approx((left, width), abs=0.01)
        assert not sizes["more" if difference < 0 else "less"]


@pytest.mark.parametrize("top_k", [1, 2])
def test_hostile_text_stays_text(diagnose_text: Callable[..., Diagnosis], top_k: int) -> None:
    lost = diagnose_text(HOSTILE, reranker=TableReranker({HOSTILE: 1.0}), candidates=2)
    other = diagnose_text(HOSTILE, reranker=TableReranker({}), candidates=2, top_k=top_k)
    comparison = compare(lost, other, names=(HOSTILE, HOSTILE + "x"))
    page = check_page(comparison._repr_html_())
    assert "<script>alert(1)</script>" in page.text
    text = str(comparison)
    assert not set("\x00\x1b\u202e\ud800") & set(text)
    assert "\ufffd[2J" in text
    text.encode("utf-8")
