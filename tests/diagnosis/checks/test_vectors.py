"""Causes that lie in the arrangement of the vectors: each planted by its coordinates, and its look-alikes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from faults.broken_stages import DroppingChunker, ForeignEmbedder, HoleyChunker, NoisyEmbedder
from faults.laboratory import WordEmbedder, examine, laboratory
from hypothesis import given
from hypothesis import strategies as st
from plugs import CutChunker, TableEmbedder, TableReranker, WholeChunker

from ragdiag import Diagnosis, ExactRetriever, Pipeline, diagnose
from ragdiag.diagnosis.checks.check import CheckOutcome
from ragdiag.diagnosis.checks.examine import CHECKS
from ragdiag.diagnosis.checks.places import rank_among
from ragdiag.records import Document, Evidence, Query, Span
from ragdiag.stages.protocols import Similarity

DIMENSIONS = 160
CODES = {check.code for check in CHECKS if check.at == ("embedder",)}
QUERY = 0  # the dimension of the query, where there is one
GOLD = "The lighthouse keeper retired in spring."


def near(cosine: float, own: int, *, apart: int | None = None) -> np.ndarray[Any, Any]:
    """A vector with this cosine to the query, and else a direction of its own; near-copies share that one.

    Two with the same ``own`` and different ``apart`` have a cosine of more than .98.
    """
    vector = np.zeros(DIMENSIONS)
    vector[QUERY], vector[own] = cosine, np.sqrt(1 - cosine**2)
    if apart is not None:
        vector[apart] = 0.1
    return vector


def text(number: int) -> str:
    """A text with words of its own."""
    return " ".join(f"{word}{number}" for word in ("alpha", "beta", "gamma", "delta"))


def fillers(count: int, first: int = 100) -> dict[str, np.ndarray[Any, Any]]:
    """Chunks that are far from every query."""
    return {text(first + i): near(0.0, first + i) for i in range(count)}


def searched(
    vectors: Mapping[str, np.ndarray[Any, Any]],
    queries: Mapping[str, tuple[np.ndarray[Any, Any], str]],
    *,
    n: int,
    similarity: Similarity = "cosine",
    **stages: Any,
) -> Diagnosis:
    """A chunk a text, a query for the text that is its evidence, and n candidates."""
    table = {**vectors, **{question: vector for question, (vector, _) in queries.items()}}
    documents = [Document(f"d{i}", line) for i, line in enumerate(vectors)]
    place = {document.text: document for document in documents}
    asked = [
        Query(f"q{i}", question, [Evidence.of(Span(place[gold].id, 0, len(gold)))])
        for i, (question, (_, gold)) in enumerate(queries.items())
    ]
    pipeline = Pipeline(
        chunker=WholeChunker(),
        embedder=TableEmbedder(
            {t: v.tolist() for t, v in table.items()}, (0.0,) * DIMENSIONS, similarity=similarity
        ),
        retriever=ExactRetriever(metric=similarity),
        candidates=n,
        top_k=n,
        **stages,
    )
    return diagnose(pipeline, documents, asked, progress=False)


def one_query(vectors: Mapping[str, np.ndarray[Any, Any]], *, n: int, **options: Any) -> Diagnosis:
    """The one query asks for `GOLD`; it shares no word with any text, so that no search by words finds it."""
    return searched(vectors, {"?": (near(1.0, 1), GOLD)}, n=n, **options)


def found(diagnosis: Diagnosis, unit: int = 0) -> dict[str, str]:
    """What these checks found at a lost unit: the observation by code."""
    verdict = diagnosis.verdicts[unit]
    assert verdict is not None, "it is lost"
    assert verdict.stage == "embedder"
    return {f.code: f.observation for f in verdict.findings if f.code in CODES}


def outcome(diagnosis: Diagnosis, code: str) -> CheckOutcome:
    [wanted] = [outcome for outcome in diagnosis.checks if outcome.code == code]
    return wanted


def rivals(*cosines: float) -> dict[str, np.ndarray[Any, Any]]:
    """Chunks that have nothing to do with each other."""
    return {text(i): near(cosine, 2 + i) for i, cosine in enumerate(cosines)}


# depth


@pytest.mark.parametrize("rivals_before", [3, 5])
def test_a_rank_up_to_twice_the_candidates_is_depth(rivals_before: int) -> None:
    vectors = {**rivals(*[0.9] * rivals_before), GOLD: near(0.5, 50), **fillers(10)}
    rank, total = rivals_before + 1, rivals_before + 11
    assert found(one_query(vectors, n=3)) == {
        "embedder.depth": (
            f"It has rank {rank} of {total} chunks, 3 candidates: {rank} candidates would hold it."
        )
    }
    assert GOLD in {chunk.text for chunk in one_query(vectors, n=rank).trace["q0"].context}, (
        "and they do hold it"
    )


def test_a_lower_rank_is_not() -> None:
    vectors = {**rivals(*[0.9] * 6), GOLD: near(0.5, 50), **fillers(10)}
    diagnosis = one_query(vectors, n=3)
    assert found(diagnosis) == {}
    assert outcome(diagnosis, "embedder.depth") == CheckOutcome("embedder.depth", "silent", 1, 0)
    assert diagnosis.failures["cause"].tolist() == ["ranked_low"]


@pytest.mark.parametrize("rank", [50, 51])
def test_with_a_reranker_usual_numbers_of_candidates_are_not_far(rank: int) -> None:
    vectors = {**{text(i): near(0.9, 2 + i) for i in range(rank - 1)}, GOLD: near(0.5, 60), **fillers(10)}
    diagnosis = one_query(vectors, n=3, reranker=TableReranker({GOLD: 1.0}))
    assert found(diagnosis).keys() == ({"embedder.depth"} if rank == 50 else set())


# near-copies


def copies(start: str, count: int, cosine: float, own: int) -> dict[str, np.ndarray[Any, Any]]:
    """Texts that differ in one word, and vectors that differ a little."""
    return {f"{start} number{i}": near(cosine, own, apart=60 + own % 10 * 6 + i) for i in range(count)}


def test_repeats_of_other_texts_crowd_it_out() -> None:
    many = {**copies(text(1), 4, 0.9, 2), **copies(text(2), 3, 0.8, 3), **rivals(0.7)}
    vectors = {**many, GOLD: near(0.5, 50), **fillers(10)}
    # By brute force: 8 before it, 7 of them near-copies of two texts, so that 5 can go: rank 9 becomes 4.
    rows = np.array(list(many.values()))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    alike = rows @ rows.T >= 0.95
    assert alike.sum(axis=1).tolist() == [4] * 4 + [3] * 3 + [1]
    diagnosis = one_query(vectors, n=4)
    assert found(diagnosis) == {
        "embedder.crowding": (
            "It has rank 9 of 19 chunks, 4 candidates; 7 of the 8 before it are near-copies of 2 texts "
            "(cosine >= 0.95, half of the words shared). With each text once it would have rank 4."
        )
    }
    assert diagnosis.failures["cause"].tolist() == ["crowding"]
    firsts = {t: v for t, v in vectors.items() if "number" not in t or t.endswith("number0")}
    assert one_query(firsts, n=4).failures.empty


def test_a_crowd_larger_than_a_block_is_seen() -> None:
    vectors = {GOLD: near(0.5, 50), **fillers(10)}
    for i in range(300):
        vectors[f"{text(1)} number{i}"] = near(0.9, 2) + np.random.default_rng(i).normal(0, 1e-3, DIMENSIONS)
    assert (
        "300 of the 300 before it are near-copies of 1 text ("
        in (found(one_query(vectors, n=2))["embedder.crowding"])
    )


def test_repeats_that_do_not_suffice_are_silent() -> None:
    vectors = {**copies(text(1), 3, 0.9, 2), **rivals(0.7, 0.7, 0.7, 0.7), GOLD: near(0.5, 50), **fillers(10)}
    assert found(one_query(vectors, n=3)) == {}


def test_other_texts_with_nearly_the_same_vector_are_no_repeats() -> None:
    many = {text(i): near(0.9, 2, apart=60 + i) for i in range(7)}
    vectors = {**many, GOLD: near(0.5, 50), **fillers(10)}
    assert found(one_query(vectors, n=3)) == {}


def test_near_copies_of_its_own_chunk_are_told_from_other_repeats() -> None:
    own = copies("The lighthouse keeper retired in", 5, 0.6, 50)
    vectors = {**rivals(0.9), **own, GOLD: near(0.5, 50), **fillers(10)}
    diagnosis = one_query(vectors, n=2)
    assert found(diagnosis) == {
        "embedder.near_duplicates": (
            "It has rank 7 of 17 chunks, 2 candidates; 5 of the 6 before it are near-copies of it "
            "without the evidence (cosine >= 0.95, half of the words shared), the first at rank 2. "
            "Without them it would have rank 2."
        )
    }
    assert diagnosis.failures["cause"].tolist() == ["near_duplicates"]
    assert one_query({t: v for t, v in vectors.items() if t not in own}, n=2).failures.empty


def test_near_copies_that_do_not_suffice_are_silent() -> None:
    own = copies("The lighthouse keeper retired in", 2, 0.6, 50)
    vectors = {**rivals(*[0.9] * 5), **own, GOLD: near(0.5, 50), **fillers(10)}
    assert found(one_query(vectors, n=3)) == {}


def test_other_texts_near_its_own_vector_are_no_near_copies() -> None:
    own = {text(i): near(0.6, 50, apart=60 + i) for i in range(6)}
    assert found(one_query({**own, GOLD: near(0.5, 50), **fillers(10)}, n=3)) == {}


# hubs


def asked_often(queries: int, popular: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Each query has a chunk of its own, and before that three of which the first ``popular`` are for all."""
    rng = np.random.default_rng(1)
    middle, *_ = np.eye(DIMENSIONS)
    chunks = {text(500 + i): middle + rng.normal(0, 0.001, DIMENSIONS) for i in range(popular)}
    asked = {}
    for i in range(queries):
        own = np.eye(DIMENSIONS)[1 + i]
        gold = f"gold{i} line{i}"
        asked[f"?{i}"] = (0.6 * middle + 0.8 * own, gold)
        # A cosine of .4 with its query, where the popular ones have .6.
        chunks[gold] = 0.5 * own + np.sqrt(0.75) * np.eye(DIMENSIONS)[60 + i]
        for j in range(3 - popular):
            chunks[text(1000 + 10 * i + j)] = own + rng.normal(0, 0.02, DIMENSIONS)
    return {**chunks, **fillers(20, first=130)}, asked


def test_hubs_are_near_to_most_queries() -> None:
    vectors, queries = asked_often(20, popular=3)
    diagnosis = searched(vectors, queries, n=3)
    total = len(vectors)
    expected = (
        f"It has rank 4 of {total} chunks, 3 candidates; 3 of the 3 before it are hubs, each among the 3 "
        f"nearest of 20 of all 20 queries, where {3 * 20 / total:.1f} would be even. Without them it would "
        "have rank 1."
    )
    assert [found(diagnosis, unit) for unit in range(20)] == [{"embedder.hubs": expected}] * 20
    assert set(diagnosis.failures["cause"]) == {"hubs"}
    without = {t: v for t, v in vectors.items() if t not in [text(500 + i) for i in range(3)]}
    assert searched(without, queries, n=3).failures.empty


def test_hubs_may_be_near_to_a_different_number_of_queries_each() -> None:
    vectors, queries = asked_often(24, popular=3)
    vectors[text(500)] -= 0.2 * np.eye(DIMENSIONS)[1:9].sum(axis=0)  # no longer near to eight of the queries
    among_three = []
    for question, _ in queries.values():
        cosines = {t: v @ question / np.linalg.norm(v) for t, v in vectors.items()}
        among_three += sorted(cosines, key=lambda t: -cosines[t])[:3]
    assert [among_three.count(text(500 + i)) for i in range(3)] == [16, 24, 24]
    diagnosis = searched(vectors, queries, n=3)
    assert [verdict is None for verdict in diagnosis.verdicts] == [True] * 8 + [False] * 16
    assert (
        "3 of the 3 before it are hubs, each among the 3 nearest of 16 to 24 of all 24 queries"
        in (found(diagnosis, 23)["embedder.hubs"])
    )


def test_what_is_near_to_one_query_each_is_no_hub() -> None:
    vectors, queries = asked_often(20, popular=0)
    diagnosis = searched(vectors, queries, n=3)
    assert [found(diagnosis, unit).keys() for unit in range(20)] == [{"embedder.depth"}] * 20
    assert outcome(diagnosis, "embedder.hubs").status == "silent"


def test_few_queries_show_no_hubs() -> None:
    vectors, queries = asked_often(19, popular=3)
    diagnosis = searched(vectors, queries, n=3)
    assert found(diagnosis).keys() == {"embedder.depth"}
    assert outcome(diagnosis, "embedder.hubs") == CheckOutcome(
        "embedder.hubs", "not applicable", 0, 0, "19 queries are too few to see hubs, which takes 20"
    )


# anisotropy


def pointing_one_way(own: Sequence[float]) -> tuple[dict[str, Any], dict[str, Any]]:
    """All vectors share a long part; the evidence's own part is longer, which makes its cosine small."""
    common = 10 * np.eye(DIMENSIONS)[50]
    vectors = {t: common + 0.3 * np.eye(DIMENSIONS)[60 + i] for i, t in enumerate(map(text, range(20)))}
    vectors[GOLD] = common + np.array([*own, *[0.0] * (DIMENSIONS - len(own))])
    return vectors, {"?": (common + np.eye(DIMENSIONS)[0], GOLD)}


def test_a_common_direction_that_hides_the_evidence_is_anisotropy() -> None:
    vectors, queries = pointing_one_way([3.0, 3.0])
    rows = np.array(list(vectors.values()))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    cosines = rows @ rows.T
    mean = cosines[np.triu_indices(len(rows), 1)].mean()
    query = queries["?"][0] / np.linalg.norm(queries["?"][0])
    scores = np.sort(rows @ query)[::-1]
    centered = rows - rows.mean(axis=0)
    own = centered @ (query - rows.mean(axis=0)) / np.linalg.norm(centered, axis=1)
    assert own.argmax() == len(rows) - 1, "centered, it comes first"
    diagnosis = searched(vectors, queries, n=3)
    assert found(diagnosis) == {
        "embedder.anisotropy": (
            f"Two chunks have a mean cosine of {mean:.3f}. It has rank 21 of 21 chunks, 3 candidates, and "
            f"misses the last of them by {scores[2] - scores[-1]:.2g} (all scores deviate by "
            f"{scores.std():.2g}); with all vectors centered it has rank 1: an exact search has it among its "
            "candidates."
        )
    }
    [verdict] = [v for v in diagnosis.verdicts if v is not None]
    assert verdict.cause == "anisotropy"
    assert verdict.findings[0].sureness == "proven"


def test_a_common_direction_that_hides_nothing_is_silent() -> None:
    vectors, queries = pointing_one_way([-1.0, 5.0])
    diagnosis = searched(vectors, queries, n=3)
    assert found(diagnosis) == {}
    assert outcome(diagnosis, "embedder.anisotropy").status == "silent"


def test_by_another_similarity_centering_changes_nothing() -> None:
    vectors, queries = pointing_one_way([-3.0, 3.0])
    diagnosis = searched(vectors, queries, n=3, similarity="dot")
    assert found(diagnosis) == {}
    assert outcome(diagnosis, "embedder.anisotropy").why == "centering vectors changes no order by dot"


def test_vectors_without_a_direction_have_none_in_common() -> None:
    vectors = {text(0): np.zeros(DIMENSIONS), text(1): np.zeros(DIMENSIONS), GOLD: np.zeros(DIMENSIONS)}
    diagnosis = one_query(vectors, n=2)
    assert outcome(diagnosis, "embedder.anisotropy").why == (
        "a mean cosine needs two vectors that are not zero, got 0"
    )


# Where it stands


@pytest.mark.parametrize(
    "embedder", [NoisyEmbedder(marked=laboratory("full", 0).some_keys(0.5, 0)), ForeignEmbedder()]
)
def test_every_rank_is_that_of_the_exact_search(embedder: Any) -> None:
    diagnosis = examine(laboratory("full", 0).using(embedder=embedder))
    stated = 0
    for verdict, rank in zip(
        [v for v in diagnosis.verdicts if v], diagnosis.failures["rank_exact"], strict=True
    ):
        for finding in verdict.findings:
            if finding.code in CODES:
                [said] = re.findall(
                    r"[Ii]t has rank ([\d,]+) of 144 chunks, 12 candidates", finding.observation
                )
                assert int(said) == rank
                stated += 1
    assert stated >= 3


def line(*chunks: tuple[int, int], n: int, order: Sequence[int]) -> Diagnosis:
    """One document in chunks, which the query finds in the given order; 0-20 is the evidence."""
    document = Document("d", "".join(chr(97 + i // 4) * 3 + " " for i in range(0, 80, 4)))
    table = {
        document.text[slice(*chunks[row])]: near(0.9 - 0.1 * place, 2 + place).tolist()
        for place, row in enumerate(order)
    }
    pipeline = Pipeline(
        chunker=CutChunker({"d": [[chunk] for chunk in chunks]}),
        embedder=TableEmbedder({**table, "?": near(1.0, 1).tolist()}, (0.0,) * DIMENSIONS),
        retriever=ExactRetriever(),
        top_k=n,
    )
    query = Query("q0", "?", [Evidence.of(Span("d", 0, 20))])
    return diagnose(pipeline, [document], [query], progress=False)


def test_of_overlapping_chunks_that_each_hold_the_evidence_the_first_counts() -> None:
    diagnosis = line((0, 22), (0, 30), (40, 50), (50, 60), n=2, order=[2, 3, 1, 0])
    assert found(diagnosis)["embedder.depth"].startswith("It has rank 3 of 4 chunks")


@given(st.lists(st.integers(0, 3), min_size=1, max_size=8), st.data())
def test_several_chunks_have_the_rank_of_the_last_one(scores: list[int], data: st.DataObject) -> None:
    rows = data.draw(st.sets(st.integers(0, len(scores) - 1), min_size=1))
    order = sorted(range(len(scores)), key=lambda row: (-scores[row], row))
    assert rank_among(np.array(scores, float), sorted(rows)) == 1 + max(order.index(row) for row in rows)


def test_what_the_embedder_does_not_read_is_called_by_nothing_else() -> None:
    """The verdict `truncated` is proven: ranks and words say only what follows from it."""
    diagnosis = examine(laboratory("paragraphs", 0, at_most=1).using(embedder=WordEmbedder(max_tokens=14)))
    truncated = [v for v in diagnosis.verdicts if v is not None and v.cause == "truncated"]
    assert truncated
    assert [f for v in truncated for f in v.findings if f.code in CODES] == []


def test_where_the_embedder_is_one_of_two_to_blame_its_own_ranks_are_looked_at() -> None:
    """The chunks lack some words and are among the candidates; whole, they would have a vector of noise."""
    healthy = laboratory("full", 0)
    marked = healthy.some_keys(0.3, 0)
    dropped = frozenset(fact.values[1] for fact in healthy.facts.values() if fact.key in marked)
    broken = healthy.using(chunker=HoleyChunker(marked), embedder=NoisyEmbedder(marked=dropped))
    diagnosis = examine(broken)
    both = [v for v in diagnosis.verdicts if v is not None and v.blamed == ("chunker", "embedder")]
    assert len(both) >= 3
    assert [f for v in both for f in v.findings if f.code in CODES] == []
    assert outcome(diagnosis, "embedder.depth").looked_at == len(both)


def test_where_no_chunk_holds_the_evidence_there_is_no_rank_to_look_at() -> None:
    healthy = laboratory("full", 0)
    marked = healthy.some_keys(0.3, 0)
    broken = healthy.using(chunker=DroppingChunker(marked), embedder=NoisyEmbedder(marked=marked))
    diagnosis = examine(broken)
    assert any(v is not None and v.blamed == ("chunker", "embedder") for v in diagnosis.verdicts)
    assert outcome(diagnosis, "embedder.depth") == CheckOutcome(
        "embedder.depth", "not applicable", 0, 0, "no chunk holds any of the evidence"
    )
