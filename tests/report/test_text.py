"""The terminal's face: readable, narrow, and safe to print."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
from plugs import CutChunker, LineChunker, TableReranker
from wcwidth import wcswidth

from ragdiag import BM25Retriever, Diagnosis, Evidence, Pipeline, Query, diagnose
from ragdiag.costs import Costs
from ragdiag.diagnosis.ledger import LOSS_STAGES
from ragdiag.diagnosis.verdicts import Proof, Trial, Verdict
from ragdiag.records import Document, Span, WholeDocument
from ragdiag.report.proof_words import PROOFS
from ragdiag.report.story import Story

HOSTILE = "\x1b[2J\x1b]0;title\x07\r\n\tx\u202ey\ud800 \x9b31m"


def lines_of(result: object) -> list[str]:
    return str(result).split("\n")


def flat(result: object) -> str:
    """All on one line, so that a sentence is found wherever it is wrapped."""
    return " ".join(str(result).split())


def failures_in(diagnosis: Diagnosis) -> list[tuple[str, str, str]]:
    """Id, query and what follows, of each unit in the list of lost units."""
    return re.findall(r"^  (\w+-\d) +(\S.*?)\n +(.*)$", str(diagnosis), flags=re.MULTILINE)


def bars(text: str) -> dict[str, str]:
    found = re.findall(r"^  (\w+) +[0-9.<>]+  ([░▒█ ]{36})  ", text, re.MULTILINE)
    return dict(found)


@pytest.fixture(scope="module")
def scripts() -> Diagnosis:
    """Wide, right-to-left and very long words, over 20 chunks of one document."""
    text = "\n".join(
        [
            "日本語のテキスト。" * 12,
            "ניתן להחזיר מוצרים בתוך שלושים יום מיום הקנייה",
            "x" * 400,
            *map(str, range(1000, 1030)),
        ]
    )
    document = Document("文書" * 30, text)
    other = Document("other", "Nothing here.")
    queries = [
        Query("長" * 40, "返品できますか" * 20, [Evidence.of(Span.find(document, "x" * 400))]),
        Query("whole", "Which?", [Evidence.any_of(WholeDocument(document.id), WholeDocument("other"))]),
    ]
    pipeline = Pipeline(chunker=LineChunker(), retriever=BM25Retriever(), top_k=2)
    return diagnose(pipeline, [document, other], queries)


def test_no_line_is_wider_than_a_hundred_columns(losing: Diagnosis, scripts: Diagnosis) -> None:
    shown: list[object] = [losing, scripts, *(scripts.explain(q.id) for q in scripts.assessed)]
    shown += [losing.explain(query.id) for query in losing.assessed[:9]]
    for result in shown:
        assert max(wcswidth(line) for line in lines_of(result)) <= 100


def test_the_headline_counts_queries_apart_and_names_the_worst_stage(losing: Diagnosis) -> None:
    text = str(losing)
    assert text.startswith(f"Recall {losing.recall:.3f} (95% interval ")
    assert "21 of 27 units of evidence did not reach the prompt." in text
    assert "27 assessed, 1 unassessed (no evidence given), 1 unanswerable" in text
    assert "Most is lost at the embedder" in text
    assert "capacity: no choice of 2 chunks within 75 tokens" in text
    assert "ingest: the source's text is missing" in text
    assert "observed: seen in the run itself, not proven by running it again." in text
    assert "all 21 lost units are merely observed: nothing was run again to prove it." in flat(losing)


def test_few_queries_are_told(losing_few: Diagnosis) -> None:
    assert "Only 9 queries are assessed. Under 20, no share is claimed" in " ".join(str(losing_few).split())


def test_the_ledger_has_the_numbers_of_the_tables(losing: Diagnosis) -> None:
    rows = {
        line.split()[0]: line.split()
        for line in str(losing).split("WHAT WENT", maxsplit=1)[0].split("\n")
        if re.match(r"  \w+ +[01]\.\d{3} ", line)
    }
    left = losing.ceilings.set_index("stage")["recall"]
    units = losing.failures["stage"].value_counts()
    for stage, row in losing.losses.iterrows():
        loss, _, rescue, count = rows[str(stage)][-4:]
        assert float(rows[str(stage)][1]) == pytest.approx(left[str(stage)], abs=5e-4)
        assert float(loss) == pytest.approx(row["loss"], abs=5e-4)
        assert float(rescue) == pytest.approx(row["rescue"], abs=5e-4)
        assert int(count) == units[str(stage)]
    assert float(rows["recall"][1]) == pytest.approx(losing.recall, abs=5e-4)


def test_bars_fall_from_everything_to_recall(losing: Diagnosis) -> None:
    drawn = bars(str(losing))
    assert list(drawn) == list(losing.losses.index)
    ends = 36
    for stage, bar in drawn.items():
        assert "█" in bar or losing.losses.loss[stage] <= losing.losses.rescue[stage]
        assert ("▒" in bar) == (losing.losses.rescue[stage] > 0)
        assert len(bar.rstrip()) <= ends + 1
        ends = len(bar.rstrip().rstrip("█"))
    assert ends == pytest.approx(36 * losing.recall, abs=1)


def test_a_loss_or_rescue_too_small_for_a_column_is_still_seen(losing: Diagnosis) -> None:
    soft = np.ones_like(losing.ledger.soft)
    soft[:, 4:] -= 0.004
    soft[0, 5:] += 0.004
    soft[:, 6:] -= 0.6
    drawn = bars(str(replace(losing, ledger=replace(losing.ledger, soft=soft))))
    assert drawn["embedder"].count("█") == 1
    assert drawn["retriever"].count("▒") == 1
    assert drawn["reranker"].count("█") == pytest.approx(36 * 0.6, abs=1)
    assert "█" not in drawn["ingest"] + drawn["retriever"] + drawn["packer"]


def test_failures_have_a_line_each_with_their_ranks(losing: Diagnosis) -> None:
    few = losing.select(["reranker-0", "packer-0", "embedder-0", "capacity-0"])
    lines = {query: (text, *what.split()) for query, text, what in failures_in(few)}
    assert lines["reranker-0"] == ("reranker", "reranker", "demoted", "observed", "1", "1", "3")
    assert lines["packer-0"] == ("packer", "packer", "dropped", "observed", "1", "1", "2")
    assert lines["embedder-0"][1:4] == ("embedder", "ranked_low", "observed")
    assert lines["embedder-0"][4:] == (str(_rank_of_embedder(few)), "–", "–")
    assert lines["capacity-0"][-2:] == ("3", "tied")
    assert "the worst 4 of 4" in str(few)
    assert "All of them" not in str(few)
    assert not any(line.endswith(" tied") for line in lines_of(losing.select(["packer-0"])))
    assert "the worst 8 of 21" in str(losing)
    assert "All of them: diagnosis.failures" in str(losing)


def _rank_of_embedder(diagnosis: Diagnosis) -> int:
    failures = diagnosis.failures
    return int(failures.loc[failures["stage"] == "embedder", "rank_exact"].iloc[0])


def test_nothing_lost(lossless: Diagnosis) -> None:
    text = str(lossless)
    assert "Nothing was lost" in text
    assert "LOST UNITS\n  none" in text
    assert "█" not in text.split("LOST UNITS", maxsplit=1)[0].replace("█ lost at this stage", "")


def test_stages_that_are_absent_are_absent(lossless: Diagnosis, losing: Diagnosis) -> None:
    ledger = str(lossless).split("LOST UNITS")[0]
    assert "packer" not in ledger
    assert "embedder" not in ledger
    assert "reranker" not in ledger
    for stage in losing.trace.stages:
        assert re.search(rf"^  {stage} ", str(losing).split("PIPELINE")[1], re.MULTILINE)


def test_costs_and_latency_show_only_where_measured(
    lossless: Diagnosis, diagnose_text: Callable[..., Diagnosis]
) -> None:
    assert "documents cut" in str(lossless)
    assert "latency" not in str(lossless)
    trace = lossless.trace
    assert "COSTS" not in str(replace(lossless, trace=replace(trace, costs=Costs())))
    costs = Costs(trace.costs.stages, {"retriever": [0.001, 0.003], "total": [0.002, 0.004]})
    measured = str(replace(lossless, trace=replace(trace, costs=costs)))
    assert re.search(r"retriever +2\.00 +2\.90 +2\n", measured)
    assert re.search(r"texts embedded +2 +\d+ ", str(diagnose_text("here")))  # tokens, where counted


@pytest.mark.parametrize("plugs", [{}, {"reranker": TableReranker({HOSTILE: 1.0}), "candidates": 2}])
def test_hostile_text_cannot_reach_the_terminal(
    diagnose_text: Callable[..., Diagnosis], plugs: dict[str, Any]
) -> None:
    diagnosis = diagnose_text(HOSTILE, **plugs)
    for result in (diagnosis, diagnosis.explain(diagnosis.queries[0].id)):
        text = str(result)
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\ud800]", text)
        text.encode("utf-8")


def test_an_explanation_tells_the_loss_step_by_step(losing: Diagnosis) -> None:
    text = str(losing.explain("capacity-0"))
    assert "UNIT 1 OF 1: LOST TO CAPACITY" in text
    assert re.search(r"best k +█+░+ +70%   <- 30% lost to capacity\n", text)
    assert re.search(r"reranked top k .*<- 6% lost at the reranker\n", text)
    evidence = " ".join(text.split("Evidence in")[1].split())
    assert "⟦One of three parts.┃ Two of the three parts.┃ All of the three parts.⟧" in evidence
    assert "┃ a chunk begins or ends there" in text
    rows = re.findall(r"^    handbook#\S+ +(\d+%) +(\d+) +(\d+) +(\d+) +(yes|no)$", text, re.MULTILINE)
    assert len(rows) == 3
    assert [row[-1] for row in rows].count("no") == 1


def test_an_explanation_of_a_rescue_and_of_a_missing_chunk(losing: Diagnosis) -> None:
    rescued = str(losing.explain("rescued-0"))
    assert "UNIT 1 OF 1: DELIVERED" in rescued
    assert "100% regained at the retriever" in rescued
    dropped = str(losing.explain("chunker-0"))
    assert "LOST AT THE CHUNKER" in dropped
    assert "No chunk holds any of it." in dropped
    ingest = str(losing.explain("ingest-0"))
    assert "LOST AT INGEST" in ingest
    assert "⟦Ingestion dropped this line.⟧" in ingest
    assert "…" not in ingest.split("⟦", maxsplit=1)[0]  # nothing stands before it


def test_missing_ranks_are_written_and_explained(losing: Diagnosis) -> None:
    text = str(losing.explain("retriever-0"))
    assert re.search(r" 1 +– +– +no\n", text)
    assert "– where the chunk is not in that ranking" in " ".join(text.split())


def test_rankings_that_the_pipeline_lacks_are_not_shown(lossless: Diagnosis) -> None:
    header = next(line for line in lines_of(lossless.explain("q1")) if line.startswith("    chunk "))
    assert header.split() == ["chunk", "holds", "retrieved", "in", "context"]


def test_whole_documents_and_alternatives(scripts: Diagnosis) -> None:
    text = " ".join(str(scripts.explain("whole")).split())
    assert "the whole document: any chunk of it would do" in text
    assert "the one of 2 alternatives that came furthest" in text


def test_many_chunks_show_those_that_came_furthest() -> None:
    document = Document("d", "\n".join(f"line {i}" for i in range(40)))
    query = Query("q", "line 33", [Evidence.of(WholeDocument("d"))])
    pipeline = Pipeline(chunker=LineChunker(), retriever=BM25Retriever(), top_k=1)
    text = str(diagnose(pipeline, [document], [query]).explain("q"))
    delivered = [line for line in text.split("\n") if line.endswith("yes")]
    assert len(delivered) == 1
    assert "and 20 chunks more" in text


def test_several_spans_and_copies() -> None:
    twice = "This sentence stands in two documents."
    documents = [Document("a", f"{twice} More."), Document("b", f"Less. {twice} And here.")]
    unit = Evidence.of(Span.find(documents[0], twice), Span.find(documents[1], "And here."))
    pipeline = Pipeline(
        chunker=CutChunker({"b": [[(0, 20)], [(20, len(documents[1].text))]]}),
        retriever=BM25Retriever(),
        top_k=1,
    )
    text = str(diagnose(pipeline, documents, [Query("q", "sentence", [unit])]).explain("q"))
    flat = " ".join(text.split())
    assert "passage 1 of 2, all are needed; 1 exact copy elsewhere would do as well" in flat
    assert "passage 2 of 2, all are needed" in flat
    assert text.count("⟦") == 2


def test_measures_say_from_which_coverage_a_unit_counts(losing: Diagnosis) -> None:
    lenient = str(replace(losing, min_coverage=0.5))
    assert re.search(r"^  All\(min_coverage=0\.5\) +0\.\d{3} ", lenient, flags=re.MULTILINE)
    assert max(map(len, lenient.splitlines())) <= 100


# Verdicts


def test_the_summary_says_how_well_the_stages_are_proven(judged: Diagnosis) -> None:
    text = str(judged)
    assert "How sure that is: 9 of the 21 lost units are verified" in flat(text)
    proofs = text.split("HOW THAT IS PROVEN")[1].split("LOST UNITS", maxsplit=1)[0]
    assert "stage verified joint undetermined unreproducible observed" in flat(proofs)
    assert "embedder 3 3 0 0 0" in flat(proofs)
    for proof, meaning in PROOFS.items():
        assert f"{proof}: {meaning}." in flat(proofs)
    assert "The proof took, beside the run itself: 1 text embedded" in flat(proofs)
    assert "Moved: 3 units that the run by itself charges to capacity" in flat(text)


def test_lost_units_show_stage_cause_and_proof(judged: Diagnosis) -> None:
    shown = failures_in(judged)
    assert [line for _, query, line in shown if query == "retriever"] == [
        "embedder   masked        joint               1         –        –"
    ] * 3
    assert {line.split()[2] for _, _, line in shown} == {"observed", "joint", "verified"}


@pytest.mark.parametrize("fate", LOSS_STAGES)
def test_an_explanation_tells_the_proof_as_a_story(judged: Diagnosis, fate: str) -> None:
    explanation = judged.explain(f"{fate}-0")
    text, verdict = str(explanation), explanation.units[0].verdict
    proof = Story(explanation).proof(explanation.units[0])
    assert verdict is not None
    assert proof is not None
    assert f"({verdict.proof.upper()})" in text
    assert f"LOST AT THE {verdict.stage.upper()}" in text.replace("AT INGEST", "AT THE INGEST")
    order = ["What the run shows", "What was tried", "What it means", "What went wrong", "Evidence in"]
    places = [text.index(part) for part in order if verdict.trials or part != "What was tried"]
    assert places == sorted(places)
    assert explanation.units[0].sentence in flat(text)
    for sentence in (*proof.conclusion, proof.how_tried, proof.shapley):
        assert sentence in flat(text)
    for row in proof.trials:
        assert row.ideal.split()[0] in text
        assert row.result.split(":")[0].split(",")[0] in text
    assert max(wcswidth(line) for line in text.split("\n")) <= 100


def test_trials_are_rows_with_their_outcome_and_coverage(judged: Diagnosis) -> None:
    table = str(judged.explain("capacity-0")).split("coverage\n")[1]
    assert re.search(r"^    nothing: the same question once more +lost again +0%$", table, flags=re.MULTILINE)
    assert re.search(
        r"^    chunker: evidence that is cut gets one chunk +it came back +100%$", table, flags=re.MULTILINE
    )
    assert re.search(r"^      that holds it whole, in place of its pieces$", table, flags=re.MULTILINE)
    assert re.search(r"^    packer: .* proves nothing: the packer raised +–$", table, flags=re.MULTILINE)


def test_every_stage_is_said_in_plain_words_before_it_is_charged(
    judged: Diagnosis, lossless: Diagnosis
) -> None:
    text = flat(judged.explain("capacity-0"))
    for stage in judged.trace.stages:
        assert text.index(f"he {stage} ") < text.index("UNIT 1 OF 1")
    assert "the embedder turns texts into vectors" in text
    assert "the packer fits at most 2 of them into the prompt, within 75 tokens." in text
    assert "Capacity (no stage of the pipeline) is how much evidence fits into the prompt." in text
    assert "Capacity (" not in flat(judged.explain("packer-0"))
    assert "Ingest (no stage of the pipeline) turns the sources into" in flat(judged.explain("ingest-0"))
    bare = flat(lossless.explain("q1"))
    assert "returns up to 1 candidate; the first reaches the prompt." in bare
    for stage in ("embedder", "reranker", "packer"):
        assert stage not in bare


def test_a_delivered_unit_has_no_proof(judged: Diagnosis) -> None:
    text = str(judged.explain("delivered-0"))
    assert "UNIT 1 OF 1: DELIVERED\n" in text
    assert "What was tried" not in text
    assert "What it means" not in text


def test_hostile_reasons_notes_and_causes_cannot_reach_the_terminal(judged: Diagnosis) -> None:
    wide = "広" * 300
    trials = (
        Trial(("packer",), "void", None, HOSTILE + wide),
        Trial(("embedder",), "lost", 0.5, variant=HOSTILE),
        Trial(("packer",), "evicted", 1.0, "x" * 500),
    )
    for proof in get_args(Proof):
        verdict = Verdict("packer", HOSTILE, proof, observed="packer", reason=HOSTILE + wide, trials=trials)
        verdicts = [v and verdict for v in judged.verdicts]
        hostile = replace(judged, verdicts=tuple(verdicts))
        for result in (hostile, hostile.explain("packer-0")):
            text = str(result)
            assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\ud800]", text)
            text.encode("utf-8")
            assert max(wcswidth(line) for line in text.split("\n")) <= 100
