"""Remedies: what is suggested, what is changed, what it gains, and that only what changes is done again."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from time import sleep
from typing import Any

import numpy as np
import pytest
from html_pages import check_page
from plugs import (
    AnyPacker,
    AnyReranker,
    AnyRetriever,
    BudgetPacker,
    CountingEmbedder,
    LineChunker,
    OrderRetriever,
    TableEmbedder,
    TableReranker,
    WholeChunker,
)

from ragdiag import (
    BM25Retriever,
    Chunk,
    ConfigError,
    DataError,
    Diagnosis,
    DistinctRetriever,
    Document,
    Evidence,
    ExactRetriever,
    FaissRetriever,
    HashingEmbedder,
    Hit,
    HybridRetriever,
    LateInteractionReranker,
    MarkdownChunker,
    NearDuplicateFilter,
    PackerChain,
    ParentChildChunker,
    Pipeline,
    Query,
    RecursiveChunker,
    Request,
    SavedFaissRetriever,
    SentenceChunker,
    Span,
    StaticEmbedder,
    ThresholdRetriever,
    TokenBudget,
    TopK,
    diagnose,
    testing,
)
from ragdiag.demo import demo_data, demo_pipeline
from ragdiag.diagnosis.checks.catalog import CAUSES
from ragdiag.diagnosis.verdicts import Finding, Verdict
from ragdiag.experiments.remedies import (
    REMEDIES,
    BestWindowReranker,
    Change,
    DoesNotApply,
    HeadedChunker,
    NotRun,
    Remedies,
    Setting,
    remedies,
)
from ragdiag.experiments.remedies.suggestions import suggest
from ragdiag.measures.paired import paired_difference
from ragdiag.measures.statistics import Clusters
from ragdiag.stages.protocols import Searcher, Vectors

FAQ = Document(
    "faq",
    "Refunds take five days.\nShipping is free.\nThe warranty lasts two years.\nCards and cash are fine.",
)
LINES = FAQ.text.split("\n")


def ask(text: str, quote: str, document: Document = FAQ, **options: Any) -> Query:
    return Query("q", text, [Evidence.of(Span.find(document, quote))], **options)


ID_OF = {chunk.text: chunk.id for chunk in LineChunker().chunk(FAQ)}
WARRANTY = ask("How long is the warranty?", LINES[2])


def in_order(*places: int) -> OrderRetriever:
    """Finds the lines of the FAQ in this order, whatever is asked."""
    return OrderRetriever({"q": [ID_OF[LINES[place]] for place in places]})


def lexical(**changes: Any) -> Pipeline:
    return replace(Pipeline(chunker=LineChunker(), retriever=in_order(0, 1, 2, 3), top_k=1), **changes)


def by_table(vectors: Mapping[str, Sequence[float]], **changes: Any) -> Pipeline:
    """A pipeline that is told where texts lie; every text that it is not told of lies at (0, 1)."""
    plain = Pipeline(
        chunker=LineChunker(), embedder=TableEmbedder(vectors), retriever=ExactRetriever(), top_k=1
    )
    return replace(plain, **changes)


# Plugs of one's own: only the names of their options are known to the remedies


@dataclass(frozen=True)
class FixedChunker:
    """As many characters a chunk as it is told."""

    size: int

    def chunk(self, document: Document) -> list[Chunk]:
        text = document.text
        return [
            Chunk.of(document, (at, min(at + self.size, len(text)))) for at in range(0, len(text), self.size)
        ]


@dataclass(frozen=True)
class ProbingRetriever:
    """Looks at the first chunks alone, as many as ``parameters`` say."""

    factory: str = "IVF3,Flat"
    metric: str = "cosine"
    parameters: Mapping[str, float] = field(default_factory=dict, hash=False)

    def build(self, chunks: Sequence[Chunk], vectors: Vectors | None) -> Searcher:
        seen = int(self.parameters.get("nprobe", 1))
        assert vectors is not None
        return ExactRetriever().build(chunks[:seen], vectors[:seen])


@dataclass(frozen=True)
class PromptedEmbedder:
    """Understands a text only after its prompt."""

    query_prompt: str = ""
    document_prompt: str = ""

    @property
    def unused_prompts(self) -> dict[str, str]:
        trained = {"query": "ask: ", "document": "tell: "}
        return {side: prompt for side, prompt in trained.items() if not getattr(self, f"{side}_prompt")}

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        return self._embed(texts, self.document_prompt == "tell: ")

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return self._embed(texts, self.query_prompt == "ask: ")

    def _embed(self, texts: Sequence[str], understood: bool) -> Vectors:  # noqa: FBT001
        if understood:
            return HashingEmbedder(64).embed_documents(texts)
        return np.eye(64, dtype=np.float32)[[len(text) % 7 for text in texts]]


@dataclass(frozen=True)
class ShortSightedReranker:
    """Counts the words of the query in the first words of a text."""

    max_tokens: int = 12

    def count_pair_tokens(self, query: str, texts: Sequence[str]) -> list[int]:
        return [len(f"{query} {text}".split()) for text in texts]

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        wanted = set(query.lower().strip("?").split())
        room = self.max_tokens - len(query.split())
        return [float(len(wanted & set(text.lower().split()[:room]))) for text in texts]


# One planted problem for each remedy


@dataclass(frozen=True)
class Planted:
    """A pipeline with one problem, and the code that it would be found by.

    ``changed`` is what of the pipeline must be different once the remedy is applied, by attribute.
    """

    pipeline: Pipeline
    query: Query
    code: str
    changed: Mapping[str, object]
    documents: Sequence[Document] = (FAQ,)

    def diagnose(self) -> Diagnosis:
        return diagnose(self.pipeline, self.documents, [self.query], verify=False)


def called(diagnosis: Diagnosis, code: str) -> Diagnosis:
    """The diagnosis with every lost unit blamed on a code."""
    stage, _, cause = code.partition(".")
    verdicts = [v and Verdict(stage, cause, "verified", observed=v.observed) for v in diagnosis.verdicts]
    return replace(diagnosis, verdicts=tuple(verdicts))


def first(chunks: Sequence[Chunk], _: Request, n: int) -> list[Hit]:
    return [Hit(chunk.id, float(-place)) for place, chunk in enumerate(chunks[:n])]


IN_DOCUMENT_ORDER = AnyRetriever(first, uses_vectors=False)
RULES = Document("rules", "the new rule is that you pay\nthe new rule is free")
RUN_ON = Document("d", "aaaa bbbb cccc dddd eeee ffff gggg hhhh iiii")
GUIDE = Document("guide", "# Oven\n\nTurn the knob to two.\n\n# Fridge\n\nTurn the knob to four.")
COPIES = Document(
    "copies", "\n".join([*["the old rule is that you pay at the desk now"] * 2, "the new rule is free"])
)
LONG = Document(
    "long", "one two three four five six seven eight refunds take days\nthe refunds desk is upstairs"
)


PLANTED = {
    "overlap": Planted(
        Pipeline(chunker=RecursiveChunker(20, separators=[" "]), retriever=BM25Retriever(), top_k=1),
        ask("dddd eeee", "dddd eeee", RUN_ON),
        "chunker.split",
        {"chunker": RecursiveChunker(20, overlap=5, separators=[" "])},
        [RUN_ON],
    ),
    "smaller_chunks": Planted(
        lexical(chunker=FixedChunker(24), retriever=BM25Retriever(), packer=BudgetPacker(15)),
        ask("aaaa", "aaaa", RUN_ON),
        "capacity.budget",
        {"chunker": FixedChunker(12)},
        [RUN_ON],
    ),
    "larger_chunks": Planted(
        lexical(chunker=FixedChunker(10), retriever=BM25Retriever()),
        ask("aaaa", "aaaa bbbb cccc", RUN_ON),
        "chunker.too_small",
        {"chunker": FixedChunker(20)},
        [RUN_ON],
    ),
    "structure_aware_chunks": Planted(
        lexical(chunker=FixedChunker(40), retriever=BM25Retriever()),
        ask("fridge", "Turn the knob to four.", GUIDE),
        "chunker.split",
        {"chunker": MarkdownChunker(40)},
        [GUIDE],
    ),
    "heading_prefix": Planted(
        by_table({}, embedder=HashingEmbedder(1024, ngram=0)),
        ask("turn fridge knob", "Turn the knob to four.", GUIDE),
        "embedder.orphan_context",
        {"chunker": HeadedChunker(LineChunker())},
        [GUIDE],
    ),
    "prompts": Planted(
        by_table({}, embedder=PromptedEmbedder()),
        ask("Is the shipping free?", LINES[1]),
        "embedder.missing_prompt",
        {"embedder": PromptedEmbedder("ask: ", "tell: ")},
    ),
    "hybrid": Planted(
        by_table({LINES[2]: (1, 0), **dict.fromkeys(LINES[:2], (0.1, 1))}, top_k=2),
        WARRANTY,
        "embedder.lexical_gap",
        {"retriever": HybridRetriever([ExactRetriever(), BM25Retriever()])},
    ),
    "more_candidates": Planted(
        lexical(
            retriever=HybridRetriever([in_order(0, 1, 2, 3), in_order(1, 0, 2, 3)], depth=2),
            reranker=TableReranker({LINES[2]: 1.0}),
            candidates=1,
        ),
        WARRANTY,
        "embedder.depth",
        {
            "candidates": 4,
            "retriever": HybridRetriever([in_order(0, 1, 2, 3), in_order(1, 0, 2, 3)], depth=4),
        },
    ),
    "wider_search": Planted(
        by_table({WARRANTY.text: (1, 0), LINES[2]: (1, 0)}, retriever=ProbingRetriever()),
        WARRANTY,
        "retriever.approximate",
        {"retriever": ProbingRetriever(parameters={"nprobe": 3})},
    ),
    "exact_search": Planted(
        by_table(
            {WARRANTY.text: (1, 0), LINES[2]: (1, 0)},
            retriever=HybridRetriever([ProbingRetriever(), ProbingRetriever(metric="dot")]),
        ),
        WARRANTY,
        "retriever.missing_from_index",
        {"retriever": HybridRetriever([ExactRetriever(), ExactRetriever("dot")])},
    ),
    "own_metric": Planted(
        by_table(
            {},
            embedder=TableEmbedder(
                {WARRANTY.text: (1, 0), LINES[2]: (3, 3), LINES[0]: (1, 0)}, similarity="dot"
            ),
            retriever=DistinctRetriever(ExactRetriever("l2")),
        ),
        WARRANTY,
        "retriever.metric",
        {"retriever": DistinctRetriever(ExactRetriever("dot"))},
    ),
    "without_filter": Planted(
        lexical(retriever=BM25Retriever()),
        replace(WARRANTY, filter={"lang": "de"}),
        "retriever.filter",
        {},
    ),
    "without_threshold": Planted(
        by_table(
            {WARRANTY.text: (1, 0), LINES[2]: (1, 1)},
            retriever=ThresholdRetriever(ExactRetriever(), min_score=0.9),
        ),
        WARRANTY,
        "retriever.threshold",
        {"retriever": ExactRetriever()},
    ),
    "equal_fusion": Planted(
        lexical(
            retriever=HybridRetriever(
                [in_order(2, 1), in_order(0, 2)], fusion="weighted", weights=(0, 1), depth=2
            )
        ),
        WARRANTY,
        "retriever.fusion",
        {"retriever": HybridRetriever([in_order(2, 1), in_order(0, 2)], depth=2)},
    ),
    "deeper_fusion": Planted(
        lexical(retriever=HybridRetriever([in_order(0, 2), in_order(1, 2)], depth=1)),
        WARRANTY,
        "retriever.fusion",
        {"retriever": HybridRetriever([in_order(0, 2), in_order(1, 2)], depth=4)},
    ),
    "without_reranker": Planted(
        lexical(retriever=in_order(2, 0, 1), reranker=TableReranker({LINES[0]: 1.0}), candidates=3),
        WARRANTY,
        "reranker.demoted",
        {"reranker": None},
    ),
    "reranker_input": Planted(
        Pipeline(
            chunker=LineChunker(),
            retriever=IN_DOCUMENT_ORDER,
            reranker=ShortSightedReranker(),
            candidates=2,
            top_k=1,
        ),
        ask("How long do refunds take?", "refunds take days", LONG),
        "reranker.truncated",
        {},
        [LONG],
    ),
    "larger_k": Planted(
        lexical(packer=PackerChain([TopK(2)]), top_k=3),
        WARRANTY,
        "packer.cutoff",
        {"top_k": 4, "packer": PackerChain([TopK(4)])},
    ),
    "larger_budget": Planted(
        lexical(retriever=in_order(0, 2), packer=PackerChain([BudgetPacker(40)]), top_k=2),
        WARRANTY,
        "packer.budget",
        {"packer": PackerChain([BudgetPacker(80)])},
    ),
    "whole_chunks": Planted(
        lexical(
            retriever=in_order(0, 2, 1), packer=TokenBudget(42, separator="", overflow="truncate"), top_k=3
        ),
        ask("Is shipping free?", LINES[1]),
        "packer.cut",
        {"packer": TokenBudget(42, separator="", overflow="skip")},
    ),
    "stricter_deduplication": Planted(
        lexical(packer=NearDuplicateFilter(0.4, shingle=1), top_k=2, retriever=IN_DOCUMENT_ORDER),
        ask("What is the rule?", "is free", RULES),
        "packer.deduplicated",
        {"packer": NearDuplicateFilter(1.0, shingle=1)},
        [RULES],
    ),
    "without_packer": Planted(
        lexical(packer=AnyPacker(lambda chunks: chunks[:1]), top_k=3),
        WARRANTY,
        "packer.dropped",
        {"packer": None},
    ),
    "distinct_passages": Planted(
        lexical(
            chunker=ParentChildChunker(LineChunker(), FixedChunker(8)), retriever=IN_DOCUMENT_ORDER, top_k=2
        ),
        ask("Is shipping free?", LINES[1]),
        "chunker.duplicates",
        {"retriever": DistinctRetriever(IN_DOCUMENT_ORDER)},
    ),
    "deduplicate": Planted(
        lexical(retriever=IN_DOCUMENT_ORDER, top_k=2),
        ask("What is the rule now?", "the new rule is free", COPIES),
        "embedder.crowding",
        {"top_k": 8, "packer": PackerChain([NearDuplicateFilter(0.8), TopK(2)])},
        [COPIES],
    ),
}


def test_there_is_a_planted_problem_for_each_remedy() -> None:
    assert PLANTED.keys() == REMEDIES.keys()


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_problem_is_mended_as_a_fresh_run_of_the_changed_pipeline_says(name: str) -> None:
    planted = PLANTED[name]
    tried = remedies(called(planted.diagnose(), planted.code), planted.pipeline, latency_queries=0)
    assert name in {remedy.name for remedy in tried.tried}, tried.not_run["reason"].tolist()
    remedy = tried[name]
    assert remedy.codes == (planted.code,)
    assert remedy.gain > 0, remedy.diagnosis.failures.T
    fresh = diagnose(remedy.pipeline, planted.documents, remedy.queries, verify=False)
    assert fresh.recall == remedy.diagnosis.recall == pytest.approx(tried.diagnosis.recall + remedy.gain)
    for attribute, value in planted.changed.items():
        assert getattr(remedy.pipeline, attribute) == value
    for attribute in planted.changed and vars(planted.pipeline).keys() - planted.changed.keys():
        assert getattr(remedy.pipeline, attribute) == getattr(planted.pipeline, attribute), attribute


# What is suggested


def suggested(diagnosis: Diagnosis) -> set[str]:
    return {one.remedy.name for one in suggest(diagnosis, REMEDIES.values()) if one.codes}


def test_a_cause_suggests_the_remedies_that_answer_it_and_no_other() -> None:
    lost = PLANTED["larger_k"].diagnose()
    for code in CAUSES:
        answering = {name for name, remedy in REMEDIES.items() if code in remedy.answers}
        assert suggested(called(lost, code)) == answering


def test_every_cause_that_a_pipeline_can_mend_is_answered() -> None:
    answered = {code for remedy in REMEDIES.values() for code in remedy.answers}
    assert answered <= CAUSES.keys()
    assert CAUSES.keys() - answered == {"ingest.missing", "ingest.invalid_label", "packer.overflow"}


def test_causes_that_no_change_of_a_pipeline_mends_are_told() -> None:
    planted = PLANTED["larger_k"]
    tried = remedies(called(planted.diagnose(), "ingest.missing"), planted.pipeline)
    assert (tried.tried, tried.skipped, tried.unanswered) == ((), (), {"ingest.missing": 1})
    assert "No change of a pipeline mends these causes (lost units): ingest.missing (1)." in str(tried)
    assert "None of the suggested changes could be run." in str(tried)


def test_where_nothing_is_lost_nothing_is_suggested() -> None:
    planted = PLANTED["larger_k"]
    pipeline = replace(planted.pipeline, top_k=4, packer=None)
    tried = remedies(diagnose(pipeline, [FAQ], [WARRANTY]), pipeline)
    assert (tried.tried, tried.skipped, tried.unanswered) == ((), (), {})
    assert len(tried.table) == len(tried.not_run) == 0
    assert str(tried).startswith("Nothing was lost: there is nothing to mend.")


def test_every_finding_of_a_unit_counts() -> None:
    planted = PLANTED["hybrid"]
    [lost] = planted.diagnose().verdicts
    assert lost is not None
    findings = tuple(Finding(code, "", "measured") for code in ("embedder.depth", "chunker.oversize"))
    found = replace(lost, stage="embedder", cause="depth", findings=findings)
    verdicts = replace(planted.diagnose(), verdicts=(found,))
    assert suggested(verdicts) == {
        name
        for name, remedy in REMEDIES.items()
        if {"embedder.depth", "chunker.oversize"} & {*remedy.answers}
    }
    assert suggested(replace(verdicts, verdicts=(replace(found, cause="oversize", findings=()),))) == {
        "smaller_chunks",
        "structure_aware_chunks",
    }


def test_a_real_diagnosis_suggests_what_mends_it() -> None:
    """Causes found by re-runs and checks, not made by hand."""
    for name in (
        "overlap",
        "without_filter",
        "without_threshold",
        "own_metric",
        "larger_budget",
        "larger_chunks",
    ):
        planted = PLANTED[name]
        tried = remedies(
            diagnose(planted.pipeline, planted.documents, [planted.query]),
            planted.pipeline,
            latency_queries=0,
        )
        assert planted.code in tried[name].codes
        assert tried[name].gain == tried.tried[0].gain, "nothing gains more"


def test_only_those_asked_for_are_run_suggested_or_not() -> None:
    planted = PLANTED["larger_k"]
    diagnosis = called(planted.diagnose(), planted.code)
    tried = remedies(
        diagnosis, planted.pipeline, only=["hybrid", "larger_k", "without_packer"], latency_queries=0
    )
    assert [(one.name, one.codes) for one in tried.tried] == [
        ("larger_k", ("packer.cutoff",)),
        ("without_packer", ("packer.cutoff",)),
    ]
    assert tried.not_run.values.tolist() == [["hybrid", "retriever", (), 0, "the pipeline has no embedder"]]
    asked = remedies(
        diagnosis, planted.pipeline, only=["smaller_chunks", "without_filter"], latency_queries=0
    )
    assert asked.not_run["reason"].tolist() == [
        "the chunker LineChunker has no option size",
        "no query has a filter",
    ]


# Where there is nothing to change

BOTH = HybridRetriever([ExactRetriever(), BM25Retriever()])
PROMPTED = PromptedEmbedder("ask: ", "tell: ")
UNIQUE = Document("u", "alpha\nbeta\ngamma")
NOT_APPLICABLE: list[tuple[str, Pipeline, str]] = [
    ("overlap", lexical(), "the chunker LineChunker has no option overlap with size"),
    ("overlap", lexical(chunker=RecursiveChunker(40, overlap=20)), "RecursiveChunker: overlap is 20 already"),
    ("smaller_chunks", lexical(chunker=FixedChunker(1)), "FixedChunker: size is 1 already"),
    ("larger_chunks", lexical(), "LineChunker has no option size"),
    (
        "structure_aware_chunks",
        lexical(chunker=MarkdownChunker()),
        "MarkdownChunker cuts at headings already",
    ),
    (
        "structure_aware_chunks",
        lexical(chunker=SentenceChunker()),
        "no document has a heading, and SentenceChunker cuts between sentences already",
    ),
    ("heading_prefix", lexical(chunker=MarkdownChunker()), "MarkdownChunker: heading_path is True already"),
    ("heading_prefix", lexical(chunker=HeadedChunker(LineChunker())), "HeadedChunker puts titles before"),
    ("heading_prefix", lexical(chunker=WholeChunker()), "no chunk stands under a heading or a title"),
    ("prompts", lexical(), "the pipeline has no embedder"),
    ("prompts", by_table({}), "does not declare the prompts that its model was trained with"),
    ("prompts", by_table({}, embedder=PROMPTED), "puts all prompts that its model is known"),
    ("hybrid", by_table({}, retriever=BOTH), "BM25Retriever.* searches by words already"),
    ("more_candidates", lexical(), "the pipeline has no reranker"),
    ("more_candidates", lexical(reranker=TableReranker({})), "all 4 chunks are candidates already"),
    ("wider_search", by_table({}), "ExactRetriever has no option parameters"),
    (
        "wider_search",
        by_table({}, retriever=FaissRetriever("Flat")),
        r"FaissRetriever: parameters is \{\} already",
    ),
    (
        "wider_search",
        by_table({}, retriever=FaissRetriever("IVF2,Flat", parameters={"nprobe": 2})),
        r"parameters is \{'nprobe': 2\} already",
    ),
    ("exact_search", by_table({}), "has no search by vectors that is not exact"),
    ("exact_search", lexical(), "the pipeline has no embedder"),
    ("own_metric", by_table({}), "ExactRetriever: metric is 'cosine' already"),
    ("without_filter", lexical(), "no query has a filter"),
    ("without_threshold", by_table({}), "ExactRetriever is not around a retriever whose hits it drops"),
    ("equal_fusion", by_table({}, retriever=BOTH), "fusion is 'rrf', weights is None already"),
    ("deeper_fusion", by_table({}, retriever=replace(BOTH, depth=4)), "depth is 4 already"),
    ("without_reranker", lexical(), "the pipeline has no reranker"),
    (
        "reranker_input",
        lexical(chunker=FixedChunker(3), reranker=TableReranker({})),
        "TableReranker reads too",
    ),
    ("reranker_input", lexical(reranker=ShortSightedReranker(99)), "no chunk takes more than the 99 tokens"),
    ("reranker_input", lexical(reranker=ShortSightedReranker(5)), "ShortSightedReranker reads too little"),
    ("larger_k", lexical(top_k=4), "all 4 chunks fit into k already"),
    ("larger_budget", lexical(), "the pipeline has no packer"),
    ("larger_budget", lexical(packer=TopK(1)), "TopK declares no budget"),
    ("whole_chunks", lexical(packer=TokenBudget(99)), "overflow is 'skip' already"),
    ("whole_chunks", lexical(packer=TopK(1)), "TopK has no option overflow"),
    ("stricter_deduplication", lexical(packer=NearDuplicateFilter(1.0)), "threshold is 1.0 already"),
    ("without_packer", lexical(packer=BudgetPacker(9)), "BudgetPacker keeps the context within 9 tokens"),
    ("distinct_passages", lexical(), "no two chunks deliver the same passage"),
    (
        "distinct_passages",
        lexical(
            chunker=ParentChildChunker(LineChunker(), FixedChunker(8)),
            retriever=DistinctRetriever(BM25Retriever()),
        ),
        "DistinctRetriever returns each passage once already",
    ),
    (
        "deduplicate",
        lexical(packer=NearDuplicateFilter(0.9)),
        "NearDuplicateFilter leaves repeats out already",
    ),
]


@pytest.mark.parametrize(("name", "pipeline", "reason"), NOT_APPLICABLE)
def test_what_does_not_apply_is_told_with_its_reason_and_without_a_number(
    name: str, pipeline: Pipeline, reason: str
) -> None:
    chunks = tuple(pipeline.chunker.chunk(FAQ))
    with pytest.raises(DoesNotApply, match=reason):
        REMEDIES[name].apply(Setting(pipeline, (WARRANTY,), (FAQ,), chunks))


def test_a_packer_that_declares_a_budget_and_no_option_for_it_cannot_be_given_more() -> None:
    class Fixed(BudgetPacker):
        pass

    @dataclass(frozen=True)
    class Own:
        room: int = 30

        @property
        def budget(self) -> int:
            return self.room

        def tokens(self, chunk: Chunk) -> int:
            return len(chunk.text)

        def pack(self, query: str, chunks: Sequence[Chunk]) -> Sequence[Chunk]:
            return Fixed(self.room).pack(query, chunks)

    with pytest.raises(DoesNotApply, match="Own has no option budget or max_tokens"):
        REMEDIES["larger_budget"].apply(Setting(lexical(packer=Own()), (WARRANTY,), (FAQ,), ()))


def apply(name: str, pipeline: Pipeline, document: Document = FAQ) -> Change:
    chunks = tuple(pipeline.chunker.chunk(document))
    return REMEDIES[name].apply(Setting(pipeline, (WARRANTY,), (document,), chunks))


def test_changes_say_what_they_are_in_numbers() -> None:
    token_budget = TokenBudget(50, system_prompt="Be brief.", reserve=11)
    for name, pipeline, what in (
        ("overlap", lexical(chunker=RecursiveChunker(100, overlap=20)), "overlap from 20 to 40"),
        ("overlap", lexical(chunker=RecursiveChunker(100, overlap=35)), "overlap from 35 to 50"),
        (
            "smaller_chunks",
            lexical(chunker=HeadedChunker(RecursiveChunker(7, overlap=6))),
            "size from 7 to 3, overlap from 6 to 2",
        ),
        ("larger_k", lexical(), "top_k from 1 to 2"),
        (
            "larger_k",
            lexical(top_k=3, reranker=TableReranker({}), candidates=3),
            "top_k from 3 to 6, candidates from 3 to 6",
        ),
        ("larger_k", lexical(top_k=9, packer=TopK(2)), "k of the packer from 2 to 4"),
        ("larger_budget", lexical(packer=token_budget), "room for chunks from 30 to 60 tokens"),
        ("deeper_fusion", by_table({}, retriever=BOTH), "depth from None to 4"),
    ):
        assert apply(name, pipeline).what == what
    faiss = by_table({}, retriever=DistinctRetriever(FaissRetriever("HNSW16")))
    changed = apply("wider_search", faiss).pipeline.retriever
    assert changed == DistinctRetriever(FaissRetriever("HNSW16", parameters={"efSearch": 128}))


def test_an_index_that_was_saved_is_searched_wider(tmp_path: Path) -> None:
    chunks = tuple(LineChunker().chunk(FAQ))
    vectors = HashingEmbedder(8).embed_documents([chunk.text for chunk in chunks])
    FaissRetriever("HNSW8", parameters={"efSearch": 4}).build(chunks, vectors).save(tmp_path / "index")
    pipeline = by_table({}, retriever=SavedFaissRetriever(tmp_path / "index"))
    assert apply("wider_search", pipeline).what == "parameters from {} to {'efSearch': 32}"


def test_a_reranker_that_does_not_say_what_it_reads_gets_quarters_of_the_longest_chunk() -> None:
    changed = apply("reranker_input", lexical(reranker=TableReranker({}))).pipeline.reranker
    assert changed == BestWindowReranker(TableReranker({}), size=29 // 4, overlap=1)


def test_sentences_where_there_is_no_heading_and_the_longest_chunk_where_there_is_no_size() -> None:
    assert apply("structure_aware_chunks", lexical()).pipeline.chunker == SentenceChunker(29)
    halves = lexical(chunker=RecursiveChunker(30, overlap=5, unit=HashingEmbedder(8)))
    assert apply("structure_aware_chunks", halves, GUIDE).pipeline.chunker == MarkdownChunker(
        30, overlap=5, unit=HashingEmbedder(8)
    )
    bare = lexical(chunker=MarkdownChunker(30, heading_path=False))
    assert apply("heading_prefix", bare, GUIDE).pipeline.chunker == MarkdownChunker(30)


# What is done again


def recorded(**changes: Any) -> tuple[Pipeline, CountingEmbedder]:
    embedder = CountingEmbedder(HashingEmbedder(64))
    pipeline = Pipeline(
        chunker=RecursiveChunker(30),
        embedder=embedder,
        retriever=ThresholdRetriever(ExactRetriever(), min_score=0.0),
        reranker=LateInteractionReranker(HashingEmbedder(64)),
        packer=BudgetPacker(40),
        candidates=2,
        top_k=1,
    )
    return replace(pipeline, **changes), embedder


CODES = [f"The code of lane{i} is said to be key{i}." for i in range(24)]
DOCUMENTS = [Document(f"d{i}", f"Nothing here.\n\n{code}\n\nThe rest.") for i, code in enumerate(CODES)]
QUESTIONS = [
    Query(f"q{i}", f"What is the code of lane{i}?", [Evidence.of(Span.find(DOCUMENTS[i], code))])
    for i, code in enumerate(CODES)
]


def test_what_stands_behind_the_vectors_needs_no_document_embedded() -> None:
    pipeline, embedder = recorded()
    diagnosis = diagnose(pipeline, DOCUMENTS, QUESTIONS, verify=False)
    embedder.documents.clear()
    embedder.queries.clear()
    names = [
        "larger_k",
        "larger_budget",
        "without_reranker",
        "more_candidates",
        "without_threshold",
        "hybrid",
    ]
    tried = remedies(diagnosis, pipeline, only=names, latency_queries=0)
    assert {one.name for one in tried.tried} == {*names}
    assert tried.table["texts_embedded"].tolist() == [0] * 6
    assert tried.table["tokens_embedded"].tolist() == [0] * 6
    assert embedder.documents == []
    assert [len(texts) for texts in embedder.queries] == [24], "once for all changes"


def test_only_texts_that_are_new_are_embedded_and_each_once() -> None:
    pipeline, embedder = recorded()
    diagnosis = diagnose(pipeline, DOCUMENTS, QUESTIONS, verify=False)
    known = {chunk.index_text for chunk in diagnosis.trace.chunks}
    embedder.documents.clear()
    tried = remedies(
        diagnosis, pipeline, only=["overlap", "larger_chunks", "smaller_chunks"], latency_queries=0
    )
    asked = [text for texts in embedder.documents for text in texts]
    new = set()
    for one in tried.tried:
        texts = {chunk.index_text for chunk in one.diagnosis.trace.chunks} - known
        assert one.texts_embedded == len(texts)
        assert one.tokens_embedded == sum(HashingEmbedder(64).count_tokens(sorted(texts)))
        assert one.chunks == len(one.diagnosis.trace.chunks)
        new |= texts
    assert sorted(asked) == sorted(new)


def test_a_diagnosis_from_a_file_has_its_documents_embedded_once(tmp_path: Path) -> None:
    pipeline, embedder = recorded()
    diagnosis = diagnose(pipeline, DOCUMENTS, QUESTIONS, verify=False)
    diagnosis.save(tmp_path / "saved.jsonl")
    embedder.documents.clear()
    names = ["larger_k", "without_reranker"]
    loaded = remedies(Diagnosis.load(tmp_path / "saved.jsonl"), pipeline, only=names, latency_queries=0)
    assert len(embedder.documents) == 1
    fresh = remedies(diagnosis, pipeline, only=names, latency_queries=0)
    assert loaded.table.to_dict("records") == fresh.table.to_dict("records")


def test_pairs_are_scored_once() -> None:
    scored: list[tuple[str, str]] = []

    def score(query: str, texts: Sequence[str]) -> list[float]:
        scored.extend((query, text) for text in texts)
        return [float(len(text)) for text in texts]

    pipeline, _ = recorded(reranker=AnyReranker(score))
    diagnosis = diagnose(pipeline, DOCUMENTS, QUESTIONS, verify=False)
    scored.clear()
    remedies(diagnosis, pipeline, only=["larger_k", "larger_budget", "more_candidates"], latency_queries=0)
    assert len(scored) == len(set(scored)) > 0


# What is said of it


@cache
def tried_on_facts() -> Remedies:
    """24 questions of which many are mended, some by every change."""
    pipeline, _ = recorded(packer=BudgetPacker(90))
    names = ["larger_k", "larger_chunks", "more_candidates", "without_reranker", "overlap", "whole_chunks"]
    return remedies(
        diagnose(pipeline, DOCUMENTS, QUESTIONS, verify=False), pipeline, only=names, latency_queries=0
    )


def test_what_gains_most_comes_first_and_equal_gains_keep_the_order_of_the_flow() -> None:
    tried = tried_on_facts()
    gains = tried.table["gain"].tolist()
    assert gains == sorted(gains, reverse=True)
    places = list(REMEDIES)
    for first_one, second in pairwise(tried.tried):
        if first_one.gain == pytest.approx(second.gain):
            assert places.index(first_one.name) < places.index(second.name)


def test_the_table_says_what_the_parts_say() -> None:
    tried = tried_on_facts()
    base, clusters = tried.diagnosis, Clusters.of([query.doc_ids for query in tried.diagnosis.assessed])
    before = base.ledger.values("soft")[:, -1]
    order = sorted(range(24), key=lambda i: base.assessed[i].id)
    assert clusters.sharing.nnz == 24, "independent, so that their order does not matter"
    for row, one in zip(tried.table.to_dict("records"), tried.tried, strict=True):
        after = one.diagnosis.ledger.values("soft")[:, -1]
        assert row["recall"] == pytest.approx(after.mean())
        assert row["recall"] == pytest.approx(base.recall + row["gain"])
        expected = paired_difference(before[order], after[order])
        assert (row["low"], row["high"], row["p"]) == (expected.low, expected.high, expected.p)
        delivered = [verdict is None for verdict in base.verdicts]
        now = [verdict is None for verdict in one.diagnosis.verdicts]
        assert row["regained"] == sum(new and not old for old, new in zip(delivered, now, strict=True))
        assert row["lost"] == sum(old and not new for old, new in zip(delivered, now, strict=True))
        cp = one.diagnosis.measure("CP").value - base.measure("CP").value
        assert row["gain_precision"] == pytest.approx(cp)
        assert row["precision_low"] <= row["gain_precision"] <= row["precision_high"]
        tokens = [
            sum(len(chunk.text) for query in d.trace.queries for chunk in query.context) / 24
            for d in (base, one.diagnosis)
        ]
        assert row["extra_tokens"] == pytest.approx(tokens[1] - tokens[0])
    assert tried.table[["latency_ratio", "extra_ms"]].isna().all(axis=None)


def test_p_is_adjusted_for_the_number_of_changes() -> None:
    table = tried_on_facts().table
    ordered = sorted(table["p"])
    least = 0.0
    by_p: dict[float, float] = {}
    for place, p in enumerate(ordered):
        least = max(least, min(1.0, (len(ordered) - place) * p))
        by_p[p] = max(by_p.get(p, 0.0), least)
    assert table["p_holm"].tolist() == pytest.approx([by_p[p] for p in table["p"]])
    assert table["shown"].tolist() == [p <= 0.05 for p in table["p_holm"]]
    assert table["shown"].any()
    assert not table["shown"].all()


def test_under_twenty_queries_no_gain_is_claimed() -> None:
    pipeline, _ = recorded(packer=None)
    diagnosis = diagnose(pipeline, DOCUMENTS, QUESTIONS[:19], verify=False)
    tried = remedies(diagnosis, pipeline, only=["larger_k", "larger_chunks"], latency_queries=0)
    assert tried.tried[0].gain > 0
    assert not tried.table["shown"].any()
    assert str(tried).startswith("No gain is claimed: only 19 queries assessed.")
    assert "*" not in str(tried).split("*: shown")[0]


def test_the_same_call_says_the_same() -> None:
    pipeline, _ = recorded()
    diagnosis = diagnose(pipeline, DOCUMENTS, QUESTIONS, verify=False)
    one, two = (
        remedies(diagnosis, pipeline, only=["overlap", "hybrid"], latency_queries=queries)
        for queries in (0, 2)
    )
    timed = ["latency_ratio", "extra_ms"]
    assert one.table.drop(columns=timed).equals(two.table.drop(columns=timed))
    assert two.table[timed].notna().all(axis=None)


def test_latency_is_that_of_the_real_plugs_side_by_side() -> None:
    def slow(_: str, texts: Sequence[str]) -> list[float]:
        sleep(0.02)
        return [0.0] * len(texts)

    pipeline, _ = recorded(reranker=AnyReranker(slow))
    diagnosis = diagnose(pipeline, DOCUMENTS, QUESTIONS[:4], verify=False)
    tried = remedies(diagnosis, pipeline, only=["without_reranker", "larger_k"], latency_queries=99)
    without, with_it = tried["without_reranker"].latency, tried["larger_k"].latency
    assert without is not None
    assert with_it is not None
    assert without.before.shape == without.after.shape == (4,)
    assert without.before.min() >= 0.02, "nothing comes from a store"
    assert without.ratio < 0.9
    assert without.extra_ms < -5
    assert 0.5 < with_it.ratio < 2


def test_where_nothing_counts_tokens_their_number_is_missing() -> None:
    planted = PLANTED["without_threshold"]
    tried = remedies(called(planted.diagnose(), planted.code), planted.pipeline, latency_queries=0)
    assert tried["without_threshold"].extra_tokens is None
    assert tried["without_threshold"].tokens_embedded == 0
    pipeline = by_table({})
    diagnosis = diagnose(pipeline, [GUIDE], [ask("fridge", "Turn the knob to four.", GUIDE)], verify=False)
    embedded = remedies(diagnosis, pipeline, only=["heading_prefix"], latency_queries=0)
    assert embedded["heading_prefix"].tokens_embedded is None
    assert embedded["heading_prefix"].texts_embedded == 2
    assert embedded.table.loc[0, ["tokens_embedded", "extra_tokens"]].isna().all()


# Faults that hide each other


REFUNDS, PROMISE = Document("de", LINES[0], {"lang": "de"}), Document("en", LINES[2], {"lang": "en"})


def masked() -> Planted:
    """Left out by the filter, and demoted by the reranker where the filter is gone."""
    return Planted(
        by_table(
            {WARRANTY.text: (1, 0), LINES[2]: (1, 0)}, reranker=TableReranker({LINES[0]: 1.0}), candidates=2
        ),
        ask(WARRANTY.text, LINES[2], PROMISE, filter={"lang": "de"}),
        "",
        {},
        [REFUNDS, PROMISE],
    )


def test_faults_that_hide_each_other_are_mended_together() -> None:
    planted = masked()
    diagnosis = diagnose(planted.pipeline, planted.documents, [planted.query])
    [verdict] = diagnosis.verdicts
    assert verdict is not None
    assert verdict.blamed == ("retriever", "reranker")
    tried = remedies(diagnosis, planted.pipeline, latency_queries=0)
    best = tried.tried[0]
    assert best.name == "without_filter + without_reranker"
    assert (best.gain, best.units, best.stage) == (1.0, 1, "queries + reranker")
    assert best.pipeline == replace(planted.pipeline, reranker=None)
    assert [query.filter for query in best.queries] == [None]
    assert best.what.startswith("1 of 1 queries without their filter; no reranker in place of TableReranker")
    alone = [one for one in tried.tried if one.name in ("without_filter", "without_reranker")]
    assert [one.gain for one in alone] == [0.0, 0.0]
    assert not any(one.codes == ("retriever.missed",) for one in tried.skipped), "it goes without saying"


def test_a_stage_of_several_of_which_nothing_is_known_is_answered_by_what_answers_it_in_general() -> None:
    planted = masked()
    [lost] = planted.diagnose().verdicts
    assert lost is not None
    joint = replace(
        lost, stage="embedder", cause="masked", proof="joint", repairs=(("embedder", "packer"),), findings=()
    )
    diagnosis = replace(planted.diagnose(), verdicts=(joint,))
    wanted = {"embedder.ranked_low", "packer.dropped"}
    assert suggested(diagnosis) == {name for name, one in REMEDIES.items() if wanted & {*one.answers}}
    tried = remedies(diagnosis, planted.pipeline, latency_queries=0)
    assert len(tried.tried) > 1
    assert not any(" + " in name for name in tried.table["remedy"]), "nothing could be run at the packer"


# What cannot be


def test_the_pipeline_must_be_the_one_that_was_diagnosed() -> None:
    pipeline, _ = recorded()
    diagnosis = diagnose(pipeline, DOCUMENTS, QUESTIONS, verify=False)
    for changes, problem in (
        (
            {"packer": BudgetPacker(41)},
            r"packer is BudgetPacker\(budget=40\) in the diagnosis and BudgetP.*=41",
        ),
        ({"packer": None}, r"packer is BudgetPacker\(budget=40\) in the diagnosis and None"),
        ({"candidates": 3}, "candidates is 2 in the diagnosis and 3 in the pipeline; give the one"),
        ({"top_k": 2}, "top_k is 1 in the diagnosis and 2"),
    ):
        with pytest.raises(ConfigError, match=rf"of another pipeline: {problem}"):
            remedies(diagnosis, replace(pipeline, **changes))


def test_options_that_cannot_work_are_refused() -> None:
    planted = PLANTED["larger_k"]
    diagnosis = planted.diagnose()
    with pytest.raises(
        ConfigError, match=r"only must be names of remedies \(overlap, .*\), got \['overlaps'\]"
    ):
        remedies(diagnosis, planted.pipeline, only=["overlaps"])
    with pytest.raises(ConfigError, match=r"only must be names of remedies .*, got 'overlap'"):
        remedies(diagnosis, planted.pipeline, only="overlap")
    with pytest.raises(ConfigError, match="latency_queries must be >= 0, got -1"):
        remedies(diagnosis, planted.pipeline, latency_queries=-1)


def test_a_changed_pipeline_that_breaks_a_contract_or_cannot_be_built_is_not_run() -> None:
    @dataclass(frozen=True)
    class Picky(FixedChunker):
        def chunk(self, document: Document) -> list[Chunk]:
            chunks = super().chunk(document)
            return chunks if self.size == 10 else [chunks[0], chunks[0]]

    pipeline = lexical(chunker=Picky(10), retriever=BM25Retriever())
    diagnosis = diagnose(pipeline, [FAQ], [WARRANTY], verify=False)
    tried = remedies(
        diagnosis, pipeline, only=["smaller_chunks", "structure_aware_chunks"], latency_queries=0
    )
    [row] = tried.not_run.to_dict("records")
    assert row["remedy"] == "smaller_chunks"
    assert re.match(r"chunker: document 'faq': two chunks have the id 'faq#0-5'", row["reason"])
    with pytest.raises(
        DataError, match=r"the remedy 'smaller_chunks' was not run: chunker: .*; run were \['struct"
    ):
        tried["smaller_chunks"]
    with pytest.raises(DataError, match=r"the remedy 'hybrid' was not run; run were"):
        tried["hybrid"]


def test_an_error_of_a_plug_itself_passes_through() -> None:
    def fail(chunks: Sequence[Chunk]) -> Sequence[Chunk]:
        if len(chunks) > 1:
            raise ZeroDivisionError
        return chunks

    pipeline = lexical(packer=AnyPacker(fail))
    diagnosis = diagnose(pipeline, [FAQ], [WARRANTY], verify=False)
    with pytest.raises(ZeroDivisionError):
        remedies(diagnosis, pipeline, only=["larger_k"])


def test_a_model_whose_repr_is_its_address_can_be_mended() -> None:
    class Unnamed(HashingEmbedder):
        __repr__ = object.__repr__

    pipeline, _ = recorded(embedder=Unnamed(64))
    diagnosis = diagnose(pipeline, DOCUMENTS, QUESTIONS, verify=False)
    tried = remedies(diagnosis, pipeline, only=["larger_k", "overlap"], latency_queries=0)
    assert len(tried.tried) == 2


# The handbook


def test_the_handbook_with_common_mistakes() -> None:
    documents, queries = demo_data()
    pipeline = demo_pipeline(mistakes=True)
    assert isinstance(pipeline.embedder, StaticEmbedder)
    counting = CountingEmbedder(pipeline.embedder)
    pipeline = replace(pipeline, embedder=counting)
    diagnosis = diagnose(pipeline, documents, queries[::4], verify=False)
    counting.documents.clear()
    names = ["exact_search", "hybrid", "larger_budget", "heading_prefix"]
    tried = remedies(diagnosis, pipeline, only=names, latency_queries=1)
    best = tried.tried[0]
    assert best.gain > 0.1
    embedded = {one.name: one.texts_embedded for one in tried.tried}
    assert [len(texts) for texts in counting.documents] == [embedded["heading_prefix"]]
    assert [embedded[name] for name in names[:3]] == [0, 0, 0]
    assert diagnose(best.pipeline, documents, best.queries, verify=False).recall == best.diagnosis.recall


# The plugs that two remedies put around others


def test_titles_stand_before_what_is_searched_unless_it_holds_them() -> None:
    def texts(document: Document) -> list[str]:
        return [chunk.index_text for chunk in HeadedChunker(LineChunker()).chunk(document)]

    assert texts(GUIDE) == [
        "# Oven",
        "Oven\nTurn the knob to two.",
        "# Fridge",
        "Fridge\nTurn the knob to four.",
    ]
    assert texts(Document("t", "One is one.\nTwo is two.", {"title": "Numbers"})) == [
        "Numbers\nOne is one.",
        "Numbers\nTwo is two.",
    ]
    assert texts(Document("f", "\nOpening hours\nNine to five.")) == [
        "Opening hours",
        "Opening hours\nNine to five.",
    ]
    assert texts(Document("s", "It is a sentence.\nAnd another.")) == ["It is a sentence.", "And another."]
    assert texts(Document("e", "")) == []


def test_what_the_model_gets_stays_as_it_is() -> None:
    plain, headed = (chunker.chunk(GUIDE) for chunker in (LineChunker(), HeadedChunker(LineChunker())))
    assert [replace(chunk, index_text="") for chunk in headed] == [replace(c, index_text="") for c in plain]


def test_a_text_is_worth_its_best_window() -> None:
    inner = TableReranker({"two three": 5.0, "one": 1.0, "four": 3.0})
    best = BestWindowReranker(inner, size=10, overlap=0)
    assert best.score("?", ["one", "", "one\n\ntwo three\n\nfour", "   "]) == [1.0, 0.0, 5.0, 0.0]
    assert best.score("?", []) == []


def test_the_plugs_keep_the_promises_of_their_kind() -> None:
    testing.check_chunker(HeadedChunker(RecursiveChunker(200)))
    testing.check_reranker(
        BestWindowReranker(LateInteractionReranker(HashingEmbedder(64)), size=50, overlap=10)
    )


def test_they_refuse_what_is_no_plug() -> None:
    wrong: Any = object()
    with pytest.raises(ConfigError, match=r"HeadedChunker\.chunker must be a chunker, got <object"):
        HeadedChunker(wrong)
    with pytest.raises(ConfigError, match=r"BestWindowReranker\.reranker must be a reranker, got <object"):
        BestWindowReranker(wrong, size=5, overlap=0)
    with pytest.raises(ConfigError, match="overlap"):
        BestWindowReranker(TableReranker({}), size=5, overlap=5)


# Faces


def test_both_faces_say_what_is_best_in_the_same_words() -> None:
    tried = tried_on_facts()
    text, page = str(tried), check_page(tried._repr_html_())
    [headline] = [node.text for node in page.all("h3")]
    assert headline in text
    assert headline == f"{tried.tried[0].name} gains most: {tried.tried[0].gain:+.3f} of recall."
    assert max(map(len, text.splitlines())) <= 100
    for one in tried.tried:
        assert f"{one.gain:+.3f}" in text.replace(" 0.000", "+0.000")
        assert one.name in text
        assert one.name in page.text
    [skipped] = tried.skipped
    assert skipped.reason in text
    assert skipped.reason in page.text
    assert repr(tried).startswith(f"Remedies(5 run, 1 not run; most gain: {tried.tried[0].name} +")


def test_what_may_be_chance_is_not_claimed() -> None:
    pipeline, _ = recorded(packer=None, candidates=24, top_k=12)
    diagnosis = diagnose(pipeline, DOCUMENTS, QUESTIONS, verify=False)
    tried = remedies(diagnosis, pipeline, only=["without_reranker"], latency_queries=0)
    assert str(tried).startswith("No gain is shown: what these changes gain may be chance.")


def test_many_are_cut_and_counted() -> None:
    planted = PLANTED["without_threshold"]
    tried = remedies(called(planted.diagnose(), planted.code), planted.pipeline, latency_queries=0)
    one, reason = tried.tried[0], NotRun("hybrid", "retriever", (), 0, "no embedder")
    many = replace(tried, tried=(one,) * 17, skipped=(reason,) * 12)
    for face in (str(many), check_page(many._repr_html_()).text):
        assert "2 more: remedies.table." in face
        assert "2 more" in face.split("remedies.not_run")[0][-30:]


def test_no_text_does_harm() -> None:
    hostile = """<script>alert(1)</script></td> " onload="x' &lt; \x00\x1b[2J\u202e\ud800"""
    planted = PLANTED["without_threshold"]
    tried = remedies(called(planted.diagnose(), planted.code), planted.pipeline, latency_queries=0)
    evil = replace(
        tried,
        tried=tuple(replace(one, name=hostile, what=hostile, codes=(hostile,)) for one in tried.tried),
        skipped=(NotRun(hostile, "packer", (), 0, hostile),),
        unanswered={hostile: 1},
    )
    page = check_page(evil._repr_html_())
    assert "<script>alert(1)</script>" in page.text
    assert not set("\x00\x1b\u202e\ud800") & set(str(evil) + page.text)
