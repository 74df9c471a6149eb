"""Diagnoses to report on: one that loses something at every stage, small ones, and hostile ones.

They are not run again: what re-runs prove is made by hand here, so that every kind of verdict is there.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from plugs import BudgetPacker, CutChunker, LineChunker, OrderRetriever, TableEmbedder, TableReranker

from ragdiag import BM25Retriever, Diagnosis, ExactRetriever, HashingEmbedder, Pipeline, diagnose
from ragdiag.diagnosis.checks.check import CheckOutcome
from ragdiag.diagnosis.verdicts import Effort, Finding, Trial, Verdict
from ragdiag.records import Document, Evidence, Query, Span

LINES = {
    "ingest": "Ingestion dropped this line.",
    "chunker": "The chunker dropped this line.",
    "capacity": "One of three parts. Two of the three parts. All of the three parts.",
    "retriever": "The index did not return this.",
    "reranker": "The reranker put this line last.",
    "packer": "The packer had no room for this line, which is long.",
    "delivered": "This line is delivered.",
    "f1": "Filler that reranking puts in the first place.",
    "f2": "Filler two.",
    "f3": "Filler three.",
    "embedder": "The embedder hides this line.",
    "rescued": "The retriever found this line.",
}
"""Lines of the source by their fate: the stage that loses them, delivered, rescued, or filler."""

_FATES = [fate for fate in LINES if not fate.startswith("f")]
_SCORES = {"f1": 2.0, "f2": 1.0, "f3": 1.0, "packer": 1.5, "reranker": 0.5}


def diagnose_losses(times: int = 1) -> Diagnosis:
    """Each assessed query, ``times`` over, has the fate that is its text."""
    source = Document("handbook", "\n".join(LINES.values()))
    document = Document("handbook", "\n".join(text for fate, text in LINES.items() if fate != "ingest"))
    ranges = {
        fate: (Span.find(document, text).start, Span.find(document, text).end)
        for fate, text in LINES.items()
        if fate not in ("ingest", "chunker", "capacity")
    }
    for i, part in enumerate(re.findall(r"[^.]+\.", LINES["capacity"])):
        start = document.text.index(part)
        ranges[f"capacity{i}"] = (start, start + len(part))
    chunks = {fate: f"handbook#{low}-{high}" for fate, (low, high) in ranges.items()}
    texts = {fate: document.text[low:high] for fate, (low, high) in ranges.items()}

    found = {fate: [chunks.get(fate, chunks["f3"]), chunks["f1"], chunks["f2"]] for fate in _FATES}
    found["capacity"] = [chunks[f"capacity{i}"] for i in range(3)]
    for fate in ("retriever", "embedder", "nothing"):
        found[fate] = [chunks["f1"], chunks["f2"], chunks["f3"]]

    def axis(fate: str) -> list[float]:
        return [float(name == fate) for name in [*_FATES, "filler"]]

    hidden = {"embedder", "rescued", "f1", "f2", "f3"}
    vectors = {
        text: axis("filler" if fate in hidden else fate.rstrip("012")) for fate, text in texts.items()
    } | {fate: axis(fate) for fate in _FATES}
    queries = [
        Query(f"{fate}-{i}", fate, [Evidence.of(Span.find(source, LINES[fate]))])
        for i in range(times)
        for fate in _FATES
    ]
    queries += [Query("unassessed-0", "nothing"), Query("unanswerable-0", "nothing", answerable=False)]
    pipeline = Pipeline(
        chunker=CutChunker({"handbook": [[r] for r in sorted(ranges.values())]}),
        embedder=TableEmbedder(vectors, default=axis("filler")),
        retriever=OrderRetriever({q.id: found[q.text] for q in queries}, uses_vectors=True),
        reranker=TableReranker({text: _SCORES.get(fate, 3.0) for fate, text in texts.items()}),
        packer=BudgetPacker(75),
        candidates=3,
        top_k=2,
    )
    return diagnose(pipeline, [document], queries, sources=[source], verify=False)


@pytest.fixture(scope="session")
def losing() -> Diagnosis:
    """Loses units at every stage, over 27 assessed queries."""
    return diagnose_losses(times=3)


@pytest.fixture(scope="session")
def losing_few() -> Diagnosis:
    """The same with 9 assessed queries: too few to claim a share."""
    return diagnose_losses()


_LOST = Trial((), "lost", 0.0)
_BACK = {"outcome": "recovered", "coverage": 1.0}


def _alone(**changed: dict[str, Any]) -> tuple[Trial, ...]:
    """The same question again, and each stage made ideal alone: lost, but for what is ``changed``."""
    stages = ("chunker", "embedder", "retriever", "reranker", "packer")
    singles = (Trial((stage,), "lost", 0.25) for stage in stages)
    return (_LOST, *(replace(trial, **changed.get(trial.ideal[0], {})) for trial in singles))


VERDICTS = {
    "ingest": Verdict(
        "ingest",
        "missing",
        "verified",
        observed="ingest",
        reason="With every other stage made ideal (the reranker) the evidence is still lost.",
        trials=(Trial(("embedder", "retriever", "reranker", "packer"), "lost", 0.0),),
    ),
    "chunker": Verdict(
        "chunker", "dropped_text", "observed", observed="chunker", reason="The calls are spent."
    ),
    "capacity": Verdict(
        "chunker",
        "split",
        "verified",
        observed="capacity",
        repairs=(("chunker",), ("retriever",)),
        trials=_alone(
            chunker=_BACK,
            retriever=_BACK,
            reranker={"outcome": "evicted", "coverage": 1.0, "note": "unit 2 of the query was lost"},
            packer={"outcome": "void", "coverage": None, "note": "the packer raised KeyError: 'x'"},
        ),
        shapley={"chunker": 0.75, "retriever": 0.25, "packer": 0.0},
    ),
    "embedder": Verdict(
        "embedder",
        "truncated",
        "verified",
        observed="embedder",
        reason="The embedder reads 9 tokens, and chunk 'c' has its evidence beyond.",
        trials=(*_alone(), Trial(("embedder",), "recovered", 1.0, variant="window")),
    ),
    "retriever": Verdict(
        "embedder",
        "masked",
        "joint",
        observed="retriever",
        repairs=(("embedder", "packer"), ("embedder", "retriever"), ("retriever", "reranker", "packer")),
        trials=(
            *_alone(),
            Trial(("embedder", "packer"), "recovered", 1.0),
            Trial(("embedder", "retriever"), "recovered", 1.0),
        ),
    ),
    "reranker": Verdict(
        "reranker",
        "demoted",
        "undetermined",
        observed="reranker",
        repairs=(("retriever",),),
        reason="With the reranker alone made ideal it does not come back; with the retriever alone it does",
        trials=_alone(retriever=_BACK),
    ),
    "packer": Verdict(
        "packer",
        "dropped",
        "unreproducible",
        observed="packer",
        reason="Asked again, the packer kept it.",
        trials=(Trial((), "recovered", 1.0),),
    ),
}
"""One verdict of each kind, by the fate of the unit that it is given to."""


def judge(diagnosis: Diagnosis) -> Diagnosis:
    """The diagnosis of `diagnose_losses` with `VERDICTS` in place of what the ledger observed."""
    verdicts = [
        None if observed is None else VERDICTS[query.text]
        for query, observed in zip(diagnosis.assessed, diagnosis.verdicts, strict=True)
    ]
    effort = Effort(texts=1, pairs=12_345, searches=67, indexes=2, limit=20_000, unproven=3)
    return replace(diagnosis, verdicts=tuple(verdicts), effort=effort)


@pytest.fixture(scope="session")
def judged(losing: Diagnosis) -> Diagnosis:
    """`losing` as if it had been run again: three lost units of each kind of verdict."""
    return judge(losing)


FINDINGS = {
    "embedder": [
        Finding("embedder.truncated", "The embedder reads 9 of 40 tokens.", "proven"),
        Finding("embedder.hubs", "2 of the 3 before it are hubs", "suspected"),
    ],
    "retriever": [Finding("retriever.filter", "Without the filter it has rank 1", "measured")],
    "reranker": [Finding("reranker.ties", "3 texts score 0.5.", "measured")],
    "packer": [Finding("packer.dropped", "It is 1 of 4 that the packer left out.", "suspected")],
}
"""What checks found, by the fate of the unit; the reranker's verdict is undetermined."""

CHECKS = (
    CheckOutcome("embedder.truncated", "found", 6, 3),
    CheckOutcome("embedder.depth", "silent", 6, 0),
    CheckOutcome("embedder.missing_prompt", "not applicable", 0, 0, "the embedder declares no prompt"),
    CheckOutcome("embedder.lexical_gap", "not applicable", 0, 0, "the chunks hold no words"),
    CheckOutcome("retriever.fusion", "not applicable", 0, 0, "the retriever fuses nothing"),
    CheckOutcome("retriever.metric", "not applicable", 0, 0, "the embedder declares no prompt"),
    CheckOutcome("capacity.k", "not applicable", 0, 0, "no loss is blamed on capacity"),
    CheckOutcome("packer.overflow", "not applicable", 0, 0, "the packer declares no budget"),
    CheckOutcome("packer.middle", "found", 6, 2),
)


@pytest.fixture(scope="session")
def examined(judged: Diagnosis) -> Diagnosis:
    """`judged` with what checks found."""
    verdicts = [
        verdict and replace(verdict, findings=tuple(FINDINGS.get(verdict.observed, ())))
        for verdict in judged.verdicts
    ]
    return replace(judged, verdicts=tuple(verdicts), checks=CHECKS)


@pytest.fixture(scope="session")
def lossless() -> Diagnosis:
    """One query, delivered; BM25 and nothing else."""
    document = Document("faq", "Returns are free.\nRefunds take five days.")
    query = Query("q1", "How long do refunds take?", [Evidence.of(Span.find(document, "five days"))])
    pipeline = Pipeline(chunker=LineChunker(), retriever=BM25Retriever(), top_k=1)
    return diagnose(pipeline, [document], [query], verify=False)


@pytest.fixture(scope="session")
def diagnose_text() -> Callable[..., Diagnosis]:
    """Diagnose one text that stands everywhere: in ids, query, evidence and the repr of a plug.

    Its unit is lost, unless ``top_k`` is given as 2.
    """

    def make(text: str, *, top_k: int = 1, **plugs: Any) -> Diagnosis:
        document = Document(f"d{text}", f"{text} stands here\nand not here")
        spans = [Span(document.id, 0, len(text) + 12), Span(document.id, len(text) + 13, len(document.text))]
        query = Query(f"q{text}", f"Where is {text}?", [Evidence.of(*spans)])
        pipeline = Pipeline(
            chunker=CutChunker(
                {document.id: [[(0, len(text) + 12)], [(len(text) + 13, len(document.text))]]}
            ),
            embedder=HashingEmbedder(32),
            retriever=ExactRetriever(),
            top_k=top_k,
            **plugs,
        )
        return diagnose(pipeline, [document], [query], verify=False)

    return make
