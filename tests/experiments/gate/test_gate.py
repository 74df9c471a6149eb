"""The gate: what passes, what fails, what cannot be told, held against exact tests of scipy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from gated import DECOY, diagnosed, fates, timed
from plugs import AnyPacker, AnyRetriever, LineChunker
from scipy.stats import binomtest

from ragdiag import (
    Chunk,
    ConfigError,
    DataError,
    Diagnosis,
    Document,
    Evidence,
    HashingEmbedder,
    Hit,
    Pipeline,
    Query,
    Span,
    diagnose,
)
from ragdiag.experiments.gate import Baseline, GateResult, Judgement, gate
from ragdiag.experiments.gate.judging import whole


def verdict_of(diagnosis: Diagnosis, bar: str, **options: Any) -> str:
    return gate(diagnosis, bar, **options).verdict


def exact(kept: int, n: int, bar: float, confidence: float) -> str:
    """What the exact one-sided tests of a share say: the twin of a bar for yes/no values."""
    alternatives = ("greater", "less")
    above, below = (binomtest(kept, n, bar, alternative=side).pvalue for side in alternatives)
    return "pass" if above <= 1 - confidence else "fail" if below < 1 - confidence else "cannot tell"


@pytest.mark.parametrize(
    ("delivered", "lost"), [(40, 0), (38, 2), (36, 4), (30, 10), (20, 20), (5, 35), (0, 40), (100, 20)]
)
def test_yes_or_no_values_are_judged_as_exact_tests_do(delivered: int, lost: int) -> None:
    diagnosis = diagnosed(fates(delivered, lost))
    n = delivered + lost
    for bar in (0.05, 0.5, 0.75, 0.85, 0.93, 0.99):
        for confidence in (0.8, 0.95, 0.99):
            expected = exact(delivered, n, bar, confidence)
            assert verdict_of(diagnosis, f"recall >= {bar}", confidence=confidence) == expected
            # What the reranker loses is the same from the other side.
            mirrored = exact(delivered, n, 1 - bar, confidence)
            bar_of_loss = f"loss[reranker] <= {bar}"
            assert verdict_of(diagnosis, bar_of_loss, confidence=confidence) == mirrored


def test_queries_about_one_document_tell_less() -> None:
    """Documents succeed or fail as a whole: as few as there are documents decide."""
    mixed = {f"q{i:03}": "delivered" if i % 100 < 85 else "reranker" for i in range(200)}
    assert verdict_of(diagnosed(mixed), "recall >= 0.8") == "pass"
    assert verdict_of(diagnosed(mixed, shared=5), "recall >= 0.8") == "cannot tell"


def test_under_twenty_queries_nothing_is_claimed() -> None:
    for found, bar in ((fates(19), "recall >= 0.1"), (fates(0, 19), "recall >= 0.9")):
        [judgement] = gate(diagnosed(found), bar).judgements
        assert (judgement.verdict, judgement.needed, judgement.n) == ("cannot tell", 20, 19)
    assert verdict_of(diagnosed(fates(20)), "recall >= 0.1") == "pass"
    assert verdict_of(diagnosed(fates(0, 20)), "recall >= 0.9") == "fail"


def test_where_it_cannot_be_told_so_many_queries_would() -> None:
    """As many queries of the same mix decide it, with the power that was asked for."""
    [judgement] = gate(diagnosed(fates(36, 4)), "recall >= 0.85").judgements
    needed = judgement.needed
    assert needed is not None
    assert needed > judgement.n
    assert verdict_of(diagnosed(fates(round(0.9 * needed), round(0.1 * needed))), "recall >= 0.85") == "pass"
    generator = np.random.default_rng(0)
    passed = [exact(int(kept), needed, 0.85, 0.95) == "pass" for kept in generator.binomial(needed, 0.9, 999)]
    assert 0.75 <= np.mean(passed) <= 0.9
    [judgement] = gate(diagnosed(fates(34, 6)), "recall >= 0.85").judgements
    assert (judgement.verdict, judgement.value, judgement.needed) == ("cannot tell", 0.85, None)


def test_the_whole_is_the_worst_of_its_parts() -> None:
    diagnosis = diagnosed(fates(90, 10))
    bars = {"pass": "recall >= 0.8", "cannot tell": "recall >= 0.88", "fail": "recall >= 0.97"}
    for verdict, bar in bars.items():
        assert verdict_of(diagnosis, bar) == verdict
    for together, expected, code in (
        (["pass"], "pass", 0),
        (["pass", "pass"], "pass", 0),
        (["cannot tell", "pass"], "cannot tell", 3),
        (["pass", "cannot tell", "fail"], "fail", 1),
        (["fail", "pass"], "fail", 1),
    ):
        result = gate(diagnosis, *(bars[verdict] for verdict in together))
        assert (result.verdict, result.exit_code, result.passed) == (expected, code, code == 0)
        assert result.table["verdict"].tolist() == together
        assert whole([one.verdict for one in result.judgements]) == expected


def test_the_table_has_the_numbers() -> None:
    diagnosis = diagnosed(fates(90, 10))
    table = gate(diagnosis, "recall@1 >= 0.88", "loss[reranker] <= 0.5").table
    assert table.columns.tolist() == list(Judgement.__dataclass_fields__)
    assert table["check"].tolist() == ["Recall@1 >= 0.88", "loss[reranker] <= 0.5"]
    assert table["value"].tolist() == pytest.approx([0.9, 0.1])
    assert table["now"].tolist() == table["value"].tolist()
    assert table["before"].isna().all()
    assert table["against"].tolist() == ["bar", "bar"]
    assert table["n"].tolist() == [100, 100]
    assert table["limit"].tolist() == [0.88, 0.5]
    assert table["needed"].isna().tolist() == [False, True]
    low, high = binomtest(90, 100).proportion_ci(0.9, method="exact")
    assert (table["low"][0], table["high"][0]) == pytest.approx((low, high))
    result = gate(diagnosis, "recall >= 0.5")
    assert result.stages.empty
    assert result.stages.index.name == "stage"
    assert result.flips.empty
    assert list(result.flips) == ["query_id", "unit", "change", "before", "now", "query"]


def test_graded_values_are_judged_by_their_spread() -> None:
    """Each of 60 queries gets one of two units: recall is one half in each, and surely so."""
    documents = [Document(f"d{i}", f"First of {i}.\nSecond of {i}.") for i in range(60)]

    def find(chunks: Sequence[Chunk], request: Any, n: int) -> list[Hit]:
        own = [chunk for chunk in chunks if chunk.spans[0].doc_id == request.query_id]
        return [Hit(chunk.id, -float(rank)) for rank, chunk in enumerate(own[: min(n, 1)])]

    queries = [
        Query(d.id, "?", [Evidence.of(Span.find(d, line)) for line in d.text.split("\n")]) for d in documents
    ]
    pipeline = Pipeline(chunker=LineChunker(), retriever=AnyRetriever(find, uses_vectors=False), top_k=1)
    diagnosis = diagnose(pipeline, documents, queries, verify=False)
    assert diagnosis.recall == pytest.approx(0.5)
    assert verdict_of(diagnosis, "recall >= 0.3") == "pass"
    assert verdict_of(diagnosis, "all >= 0.3") == "fail"
    assert verdict_of(diagnosis, "hit >= 0.9") == "pass"


# Tokens


def test_tokens_are_those_of_the_contexts() -> None:
    diagnosis = diagnosed(fates(30, 10), budget=99)
    own, decoy = len("Fact of q000."), len(DECOY.text)
    mean = (30 * own + 10 * decoy) / 40
    [judgement] = gate(diagnosis, "tokens <= 17").judgements
    assert judgement.unit == "tokens"
    assert judgement.value == pytest.approx(mean)
    assert judgement.low < mean < judgement.high < 17
    assert judgement.verdict == "pass"
    assert verdict_of(diagnosis, "tokens <= 13.5") == "fail"
    [judgement] = gate(diagnosis, "tokens <= 15.1").judgements
    assert judgement.verdict == "cannot tell"
    assert judgement.needed is not None
    assert judgement.needed > 40
    # No context holds more than the largest chunk, so that nothing has to be shown.
    assert gate(diagnosis, f"tokens <= {decoy}").judgements[0].high <= decoy
    assert verdict_of(diagnosed(fates(40), budget=99), f"tokens <= {decoy}") == "pass"


def test_a_shortened_chunk_takes_its_part_of_the_tokens() -> None:
    document = Document("d", "one two three four")

    def halve(chunks: Sequence[Chunk]) -> list[Chunk]:
        return [replace(chunk, spans=(Span("d", 0, 7),), text="one two") for chunk in chunks]

    queries = [Query(f"q{i}", "?", [Evidence.of(Span("d", 0, 3))]) for i in range(20)]
    pipeline = Pipeline(
        chunker=LineChunker(),
        embedder=CountingWords(8),
        retriever=AnyRetriever(lambda chunks, *_: [Hit(chunks[0].id, 1.0)]),
        packer=AnyPacker(halve),
    )
    diagnosis = diagnose(pipeline, [document], queries, verify=False)
    [judgement] = gate(diagnosis, "tokens <= 3").judgements
    assert judgement.value == pytest.approx(4 * len("onetwo") / len("onetwothreefour"))


class CountingWords(HashingEmbedder):
    """Counts words as tokens."""

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]


def test_tokens_that_nobody_counts_are_an_error() -> None:
    with pytest.raises(DataError, match="a bar for tokens needs a packer or an embedder that counts them"):
        gate(diagnosed(fates(20)), "tokens <= 5")


# Latency


def test_latency_is_judged_by_order_statistics() -> None:
    """Exactly as the number of queries that are quick enough is: a share, for an exact test."""
    diagnosis = diagnosed(fates(20))
    generator = np.random.default_rng(1)
    for n in (20, 59, 100, 300):
        took = generator.lognormal(3, 0.5, n)
        of_n = timed(diagnosis, took.tolist())
        for limit in np.quantile(took, [0.3, 0.6, 0.9, 0.95, 0.99]) + 1e-6:
            quick = int((took <= limit).sum())
            [judgement] = gate(of_n, f"latency_p95 <= {limit}").judgements
            assert judgement.verdict == exact(quick, n, 0.95, 0.95), (n, limit)
            assert (judgement.unit, judgement.n) == ("ms", n)
            assert judgement.value == pytest.approx(np.quantile(took, 0.95))


def test_few_queries_have_no_upper_bound_of_latency() -> None:
    [judgement] = gate(timed(diagnosed(fates(20)), [5.0] * 40), "latency_p95 <= 6").judgements
    assert judgement.verdict == "cannot tell"
    assert judgement.low == pytest.approx(5.0)
    assert math.isnan(judgement.high)
    assert judgement.needed is not None
    assert judgement.needed >= 59
    assert verdict_of(timed(diagnosed(fates(20)), [5.0] * 59), "latency_p95 <= 6") == "pass"


def test_latency_that_nobody_measured_is_an_error() -> None:
    with pytest.raises(DataError, match=r"needs the latency of single queries.*latency_queries=100"):
        gate(diagnosed(fates(20)), "latency_p95 <= 5")


# Options


def test_some_queries_judge() -> None:
    diagnosis = diagnosed(fates(30, 30))
    delivered = [f"q{i:03}" for i in range(30)]
    result = gate(diagnosis, "recall >= 0.8", baseline=Baseline.of(diagnosis), judged=delivered)
    assert [one.n for one in result.judgements] == [30, 30]
    assert result.passed
    assert result.diagnosis.counts["assessed"] == 30
    with pytest.raises(DataError, match="no query has the id 'q999'"):
        gate(diagnosis, "recall >= 0.8", judged=["q999"])


@pytest.mark.parametrize(
    ("bars", "options", "problem"),
    [
        ([], {}, "gate needs a bar, such as 'recall@5 >= 0.85', or a baseline"),
        (["recall >= 0.5"], {"confidence": 0.5}, "confidence must be above 0.5 and under 1, got 0.5"),
        (["recall >= 0.5"], {"confidence": 1}, "confidence must be above 0.5 and under 1, got 1"),
        (["recall >= 0.5"], {"confidence": math.nan}, "confidence must be above 0.5"),
        (["recall >= 0.5"], {"min_effect": -0.1}, "min_effect must be in \\[0, 1\\), got -0.1"),
        (["recall >= 0.5"], {"min_effect": math.nan}, "min_effect must be in \\[0, 1\\), got nan"),
        (
            ["recall >= 0.5"],
            {"min_effect": 0.1},
            "min_effect=0.1 is a drop from a baseline, and none is given",
        ),
        (
            ["loss[embedder] <= 0.5"],
            {},
            "this pipeline has no embedder; its losses are those of ingest, chunker",
        ),
    ],
)
def test_bad_options_are_named(bars: list[str], options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        gate(diagnosed(fates(20)), *bars, **options)


def test_a_result_shows_itself() -> None:
    result = gate(diagnosed(fates(90, 10)), "recall >= 0.8", "hit >= 0.88")
    assert isinstance(result, GateResult)
    assert repr(result) == "GateResult(cannot tell: 1 pass, 1 cannot tell; 100 queries)"
