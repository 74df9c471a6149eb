"""All checks together: every verdict has a finding that it is called by, and every code has its meaning."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pytest
from diagnosis.checks.index_findings import outcome
from faults.broken_stages import DemotingReranker
from faults.laboratory import Laboratory, WordBudget, WordEmbedder, examine, laboratory, verdicts
from faults.planted import MARKING, SINGLE, Fault
from plugs import CutChunker

from ragdiag import BM25Retriever, Diagnosis, ExactRetriever, Pipeline, diagnose
from ragdiag.diagnosis.attempts import Allowance, Void
from ragdiag.diagnosis.checks import observed
from ragdiag.diagnosis.checks.bench import Bench, Loss
from ragdiag.diagnosis.checks.catalog import CAUSES, FLAGS
from ragdiag.diagnosis.checks.check import Check, CheckOutcome, Delivered, Flag, NotApplicable
from ragdiag.diagnosis.checks.examine import CHECKS
from ragdiag.diagnosis.checks.examine import FLAGS as ALL_FLAGS
from ragdiag.diagnosis.checks.examine import examine as make_checks
from ragdiag.diagnosis.diagnose import diagnose_index
from ragdiag.diagnosis.evidence import EvidenceMap
from ragdiag.diagnosis.reruns import Pairs
from ragdiag.diagnosis.units import find_lost_units
from ragdiag.diagnosis.verdicts import Finding
from ragdiag.records import Document, Evidence, Query, Span, WholeDocument

HEALTHY = laboratory("full", 0)
BROKEN = HEALTHY.using(reranker=DemotingReranker(HEALTHY.some_keys(0.3, 0)))


# Codes


def test_every_code_that_can_come_out_has_a_meaning_and_a_remedy() -> None:
    assert {check.code for check in CHECKS} | set(observed.CODES) == set(CAUSES)
    assert {flag.code for flag in ALL_FLAGS} == set(FLAGS)
    assert len({check.code for check in CHECKS}) == len(CHECKS)


@pytest.mark.parametrize("fault", SINGLE, ids=repr)
def test_every_verdict_has_a_finding_that_it_is_called_by(fault: Fault) -> None:
    bench = fault.benches[0]
    healthy = laboratory(bench, 0, at_most=fault.at_most)
    found = verdicts(examine(fault.plant(healthy, healthy.some_keys(0.3, 0))))
    assert found
    for verdict in found.values():
        finding = verdict.findings[0]
        assert (finding.stage, finding.cause) == (verdict.stage, verdict.cause)
        assert re.search(r"\d", finding.observation), "an observation has numbers"
        assert finding.observation.endswith(".")
        assert "None" not in finding.observation
        codes = [finding.code for finding in verdict.findings]
        assert len(codes) == len(set(codes))


@pytest.mark.parametrize("first", ["embedder", "retriever", "reranker"])
def test_of_faults_that_mask_each_other_a_finding_is_of_one_of_them(first: str) -> None:
    hit = HEALTHY.some_keys(0.6, 1)
    both = MARKING["packer"](MARKING[first](HEALTHY, hit), hit)
    joint = [verdict for verdict in verdicts(examine(both)).values() if verdict.proof == "joint"]
    assert len(joint) >= 5
    for verdict in joint:
        assert verdict.cause == "masked"
        assert {finding.stage for finding in verdict.findings} & set(verdict.blamed)


# What the ledger and the re-runs call losses


def lines(*texts: str) -> Document:
    return Document("d", "\n".join(texts))


def told(
    document: Document,
    cuts: Sequence[str],
    evidence: Sequence[Evidence],
    *,
    asked: str | None = None,
    **options: object,
) -> Diagnosis:
    """A query for all words of a document, or those asked for, that is cut as told."""
    ranges = [[(document.text.index(cut), document.text.index(cut) + len(cut))] for cut in cuts]
    stages = {"retriever": BM25Retriever(), "candidates": 5, "top_k": 5, **options}
    pipeline = Pipeline(chunker=CutChunker({"d": ranges}), **stages)  # type: ignore[arg-type]
    return diagnose(pipeline, [document], [Query("q", asked or document.text, evidence)], progress=False)


def own(diagnosis: Diagnosis) -> Finding:
    [first] = [verdict for verdict in diagnosis.verdicts if verdict is not None][:1]
    return first.findings[0]


def quoted(document: Document, quote: str) -> Evidence:
    return Evidence.of(Span.find(document, quote))


def test_text_that_was_not_ingested_is_counted() -> None:
    source = Document("d", "alpha beta gamma delta")
    query = Query("q", "alpha", [quoted(source, "beta gamma delta")])
    pipeline = Pipeline(chunker=CutChunker({}), retriever=BM25Retriever(), top_k=5)
    diagnosis = diagnose(
        pipeline, [Document("d", "alpha beta gamma")], [query], sources=[source], progress=False
    )
    assert own(diagnosis) == Finding(
        "ingest.missing",
        "The corpus of 1 document holds 9 of the evidence's 14 characters (whitespace not counted).",
        "measured",
    )


def test_text_in_no_chunk_is_counted() -> None:
    document = lines("alpha beta", "gamma delta")
    found = own(told(document, ["alpha beta"], [quoted(document, "beta\ngamma")]))
    assert found == Finding(
        "chunker.dropped_text",
        "The union of 1 chunk holds 4 of the evidence's 9 characters (whitespace not counted).",
        "measured",
    )


def test_a_split_is_proven_where_a_whole_chunk_brings_it_back() -> None:
    words = [f"{name}{n}" for n in range(6) for name in ("quartz", "basalt", "gneiss")]
    document = Document("d", " ".join(words))
    pieces = [" ".join(words[i : i + 3]) for i in range(0, 18, 3)]
    answer = " ".join(words[2:5])
    diagnosis = told(document, pieces, [quoted(document, answer)], asked=answer, top_k=1, candidates=1)
    found = own(diagnosis)
    assert (found.code, found.sureness) == ("chunker.split", "proven")
    assert found.observation == (
        "It lies in 2 of 6 chunks, of which one holds 14 of the evidence's 21 characters (whitespace not "
        "counted); with one chunk more, that holds it whole, the re-run delivered it."
    )


def test_more_chunks_than_k_are_counted() -> None:
    document = lines("alpha one", "beta two", "gamma three")
    spans = [Span.find(document, line) for line in document.text.splitlines()]
    cuts = document.text.splitlines()
    diagnosis = told(document, cuts, [Evidence.of(*spans)], top_k=2, candidates=2)
    found = own(diagnosis)
    assert (found.code, found.sureness) == ("capacity.k", "measured")
    assert found.observation == (
        "It lies in 3 of 3 chunks; the best 2 of them, k being 2, hold 18 of the evidence's 25 characters "
        "(whitespace not counted)."
    )


def test_units_that_compete_for_k_are_counted() -> None:
    document = lines("alpha one", "beta two", "gamma three")
    cuts = document.text.splitlines()
    found = own(told(document, cuts, [quoted(document, cut) for cut in cuts], top_k=2, candidates=2))
    assert found == Finding(
        "capacity.k",
        "What holds the evidence takes 1 of the 2 places. It would fit alone, and does not beside all that "
        "the query's 3 units need.",
        "measured",
    )


ALONE = "What holds the evidence, 1 of 2 chunks, takes 5 tokens of 4."
BESIDE = (
    "What holds the evidence, 1 of 2 chunks, takes 5 tokens of 5. It would fit alone, and does not beside "
    "all that the query's 2 units need."
)


@pytest.mark.parametrize(("budget", "units", "observation"), [(4, 1, ALONE), (5, 2, BESIDE)])
def test_tokens_beyond_the_budget_are_counted(budget: int, units: int, observation: str) -> None:
    document = lines("beta gamma delta epsilon zeta", "alpha one two three four")
    cuts = document.text.splitlines()
    diagnosis = told(document, cuts, [quoted(document, c) for c in cuts[:units]], packer=WordBudget(budget))
    assert own(diagnosis) == Finding("capacity.budget", observation, "measured")


def test_whole_documents_have_no_characters_to_count() -> None:
    source = Document("d", "alpha beta")
    pipeline = Pipeline(chunker=CutChunker({}), retriever=BM25Retriever(), candidates=1, top_k=1)
    queries = [Query("q", "alpha", [Evidence.of(WholeDocument("e"))])]
    documents = [source, Document("e", "gamma delta")]
    found = own(diagnose(pipeline, documents, queries, progress=False))
    assert found.code == "retriever.missed"
    assert found.observation == "What the retriever returned, 1 of 2 chunks, holds not all of the evidence."


def test_what_an_exact_search_ranks_low_has_its_rank() -> None:
    diagnosis = examine(HEALTHY.using(embedder=WordEmbedder(dimensions=6)))
    for (query_id, number), verdict in verdicts(diagnosis).items():
        finding = next((f for f in verdict.findings if f.code == "embedder.ranked_low"), None)
        if finding is None:
            continue
        position = [query.id for query in diagnosis.assessed].index(query_id)
        rank = diagnosis.outcomes[position].ranks[number].exact
        assert rank is not None
        assert rank > 12
        assert finding.observation == (
            f"By the embedder's similarity the evidence is complete at rank {rank} of 144 chunks, and 12 are "
            "candidates."
        )


@pytest.mark.parametrize("bench", ["vectors", "bare"])
def test_what_was_missed_has_its_exact_rank_and_what_the_hits_hold(bench: str) -> None:
    healthy = laboratory(bench, 4, at_most=1)
    broken = MARKING["retriever"](healthy, healthy.some_keys(0.3, 4))
    diagnosis = checked({}, broken=broken)
    lost = verdicts(diagnosis)
    assert len(lost) >= 3
    for unit, verdict in lost.items():
        [finding] = verdict.findings
        [[part]] = next(query for query in diagnosis.queries if query.id == unit[0]).evidence[0].alternatives
        assert isinstance(part, Span)
        size = len("".join(diagnosis.sources[part.doc_id].text[part.start : part.end].split()))
        hits = len(diagnosis.trace[unit[0]].retrieved)
        held = f"of 144 chunks, holds 0 of the evidence's {size} characters (whitespace not counted)."
        if bench == "bare":
            assert finding.observation == f"What the retriever returned, {hits} {held}"
            continue
        rank = diagnosis.outcomes[[q.id for q in diagnosis.assessed].index(unit[0])].ranks[0].exact
        assert finding.observation == (
            f"By the embedder's similarity the evidence is complete at rank {rank}; what the retriever "
            f"returned, {hits} {held}"
        )


def test_what_is_put_down_by_the_reranker_has_both_ranks_and_both_scores() -> None:
    diagnosis = examine(BROKEN)
    for (query_id, number), verdict in verdicts(diagnosis).items():
        position = [query.id for query in diagnosis.assessed].index(query_id)
        ranks = diagnosis.outcomes[position].ranks[number]
        scores = [hit.score for hit in diagnosis.trace[query_id].ranking]
        assert verdict.findings[0].observation == (
            f"Before the reranker the evidence was complete at rank {ranks.retrieved} of 12 candidates, "
            f"after it complete at rank {ranks.reranked} with the score "
            f"{scores[(ranks.reranked or 0) - 1]:.4g}; the top 4 go on, down to {scores[3]:.4g}."
        )


def test_an_oversize_chunk_has_its_length() -> None:
    """Undetermined: whether the chunker or the embedder is to blame is not known."""
    filler = [f"word{'abcdefghij'[i % 10]}{'klmnopqrst'[i // 10]}" for i in range(90)]
    answer = "the zirconium ledger closes"
    long = Document("long", f"{' '.join(filler[:45])} {answer} {' '.join(filler[45:])}")
    short = [Document(f"s{i}", f"the {filler[i]} ledger") for i in range(12)]
    query = Query("q", "zirconium ledger closes the", [quoted(long, answer)])
    pipeline = Pipeline(
        chunker=CutChunker({}), embedder=WordEmbedder(), retriever=ExactRetriever(), candidates=3, top_k=3
    )
    [verdict] = verdicts(diagnose(pipeline, [long, *short], [query], progress=False)).values()
    assert (verdict.stage, verdict.cause, verdict.proof) == ("embedder", "oversize", "undetermined")
    finding = verdict.findings[0]
    assert (finding.code, finding.sureness) == ("chunker.oversize", "measured")
    usual = sorted(len(document.text) for document in [long, *short])[6]
    assert finding.observation == (
        f"Chunk 'long#0-{len(long.text)}' has {len(long.text)} characters, the median chunk {usual}; by the "
        "embedder's similarity the evidence is complete at rank 13 of 13 chunks, and 3 are candidates."
    )


def test_what_the_embedder_does_not_read_is_proven_by_its_window() -> None:
    healthy = laboratory("paragraphs", 1, at_most=1)
    diagnosis = examine(healthy.using(embedder=WordEmbedder(max_tokens=14)))
    for verdict in verdicts(diagnosis).values():
        finding = verdict.findings[0]
        assert (finding.code, finding.sureness) == ("embedder.truncated", "proven")
        assert re.match(
            r"The embedder reads 14 tokens of a text, and in chunk '\S+' of \d+ characters the evidence is "
            r"beyond; by the embedder's similarity the evidence is complete at rank \d+ of 54 chunks, and 12 "
            r"are candidates\.$",
            finding.observation,
        )


# How checks are made


def checked(
    look: Mapping[str, Callable[[Bench, Loss], Finding | None]],
    flags: Sequence[Flag] = (),
    *,
    broken: Laboratory = BROKEN,
) -> Diagnosis:
    """What is observed in a broken laboratory with these checks made at the reranker."""
    index = broken.pipeline.index(broken.documents, progress=False)
    diagnosis = diagnose_index(index, broken.queries, progress=False)
    evidence_map = EvidenceMap(
        index.documents, diagnosis.sources, diagnosis.trace.chunks, diagnosis.assessed, copies=True
    )
    evidence = [evidence_map.of(query, diagnosis.trace[query.id].context) for query in diagnosis.assessed]
    units = find_lost_units(diagnosis, index, evidence_map, evidence)
    made = [Check(code, function, ("reranker",)) for code, function in look.items()]
    allowance = Allowance(None)
    return make_checks(
        diagnosis,
        index,
        evidence_map,
        units,
        pairs=Pairs(allowance),
        allowance=allowance,
        checks=made,
        flags=flags,
    )


def finds(code: str, sureness: str) -> Callable[[Bench, Loss], Finding | None]:
    return lambda _bench, _loss: Finding(code, "It is 1.", sureness)  # type: ignore[arg-type]


def test_the_surest_then_the_most_particular_finding_names_the_verdict() -> None:
    diagnosis = checked(
        {
            "reranker.ties": finds("reranker.ties", "suspected"),
            "reranker.not_promoted": finds("reranker.not_promoted", "measured"),
            "reranker.phantom": finds("reranker.phantom", "measured"),
            "packer.cut": finds("packer.cut", "proven"),
        }
    )
    for verdict in verdicts(diagnosis).values():
        assert verdict.cause == "phantom"
        codes = [finding.code for finding in verdict.findings]
        assert codes == ["reranker.phantom", "packer.cut", "reranker.not_promoted", "reranker.ties"]


def test_a_finding_of_another_stage_does_not_name_the_verdict() -> None:
    diagnosis = checked({"packer.cut": finds("packer.cut", "proven")})
    for verdict in verdicts(diagnosis).values():
        assert [finding.stage for finding in verdict.findings] == ["reranker", "packer"]
        assert verdict.findings[0].cause == verdict.cause


def test_what_a_check_lacks_and_what_a_plug_raises_is_said() -> None:
    @dataclass
    class Sometimes:
        times: int = 0

        def __call__(self, _bench: Bench, _loss: Loss) -> Finding | None:
            self.times += 1
            if self.times == 1:
                raise Void("raised", "the reranker raised ValueError: no")
            return None if self.times > 2 else Finding("reranker.ties", "It is 1.", "measured")

    def never(_bench: Bench, _loss: Loss) -> Finding | None:
        raise NotApplicable("there is nothing to see")

    diagnosis = checked({"reranker.ties": Sometimes(), "reranker.phantom": never})
    count = len(verdicts(diagnosis))
    assert count >= 5
    assert diagnosis.checks == (
        CheckOutcome("reranker.ties", "found", count - 1, 1, "the reranker raised ValueError: no"),
        CheckOutcome("reranker.phantom", "not applicable", 0, 0, "there is nothing to see"),
    )


def test_a_check_of_a_stage_without_losses_is_not_applicable() -> None:
    seen = outcome(examine(BROKEN), "packer.cutoff")
    assert seen == CheckOutcome("packer.cutoff", "not applicable", 0, 0, "no loss is blamed on the packer")


def test_a_flag_looks_at_each_delivered_unit_and_names_those_that_show_it() -> None:
    looked: list[Delivered] = []

    def first(delivered: Delivered) -> bool:
        looked.append(delivered)
        if delivered.number > 0:
            raise NotApplicable("it is not the first unit")
        return len(looked) == 1

    diagnosis = checked({}, [Flag("packer.middle", first)])
    delivered = [u for u, verdict in zip(diagnosis.units, diagnosis.verdicts, strict=True) if verdict is None]
    firsts = sum(number == 0 for _, number in delivered)
    assert [d.number for d in looked] == [number for _, number in delivered]
    query_id, number = delivered[0]
    why = f"unit {number} of query {query_id!r}"
    assert diagnosis.checks == (CheckOutcome("packer.middle", "found", firsts, 1, why),)
    for of_unit, (query_id, number) in zip(looked, delivered, strict=True):
        assert of_unit.evidence.coverage(of_unit.evidence.context)[number] == 1
        context = diagnosis.trace[query_id].context
        assert of_unit.tokens == tuple(map(WordBudget(1).tokens, context))


def test_causes_that_are_not_asked_for_are_not_looked_for() -> None:
    diagnosis = examine(BROKEN, causes=False)
    assert diagnosis.checks == ()
    assert all(verdict.findings == () for verdict in verdicts(diagnosis).values())
