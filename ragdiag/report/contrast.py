"""What every face says about a comparison: the same numbers, in the same order, in the same words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile

from ragdiag.diagnosis.cause_tables import name_cause
from ragdiag.diagnosis.compare import CHANGES, DELIVERED, Comparison
from ragdiag.diagnosis.ledger import LOSS_STAGES
from ragdiag.diagnosis.result import Diagnosis
from ragdiag.measures.paired import FEWEST_QUERIES, Difference
from ragdiag.report.escaping import cut, one_line
from ragdiag.report.figures import MISSING, count, of_things, share, signed, signed_interval
from ragdiag.report.proof_words import PROOFS
from ragdiag.report.values import rows_of
from ragdiag.report.words import GLOSSES, clause, the
from ragdiag.stages.protocols import STAGES

__all__ = ["Contrast", "Flip", "Pair", "StageChange"]

_EQUAL = 1e-9  # what differs by less is the same
_NAME = 120  # characters shown of what the two are called
_TEXT = 240  # characters shown of a stage's repr: it may hold a whole system prompt
_BEGINNING, _BEFORE = (
    40,
    30,
)  # characters shown of what two long reprs share: at the start, and before they differ

_HOW_TO_READ = (
    "Differences are B less A. p: how often chance alone would give a difference this large if A and B were "
    "alike; a difference counts as shown at 0.05 or less."
)
_WHAT_CHANGED = {
    "lost": "delivered in A, lost in B",
    "regained": "lost in A, delivered in B",
    "moved": "lost in both, at another stage",
}


@dataclass(frozen=True, slots=True)
class StageChange:
    """What a stage lost of recall in both; None where a pipeline lacks the stage.

    Attributes:
        stage: which.
        loss_a, loss_b: what it lost.
        difference: of b from a, with its 95% interval from ``low`` to ``high``.
        rescue_a, rescue_b: what it brought back.
    """

    stage: str
    loss_a: float | None
    loss_b: float | None
    difference: float
    low: float
    high: float
    rescue_a: float | None
    rescue_b: float | None


@dataclass(frozen=True, slots=True)
class Flip:
    """A unit with another fate in b than in a.

    Attributes:
        query_id, unit: which.
        change: one of `CHANGES`.
        fate_a, fate_b: what became of it, in a few words.
        query, evidence: texts.
    """

    query_id: str
    unit: int
    change: str
    fate_a: str
    fate_b: str
    query: str
    evidence: str


@dataclass(frozen=True, slots=True)
class Pair:
    """Something that both have, as it is in a and in b."""

    name: str
    a: str
    b: str


@dataclass(frozen=True)
class Contrast:
    """A comparison as its faces show it."""

    comparison: Comparison

    @cached_property
    def recall(self) -> Difference:
        """The difference in recall."""
        return self.comparison.recall

    @cached_property
    def counts(self) -> Mapping[str, int]:
        """`Comparison.counts`."""
        return self.comparison.counts

    @cached_property
    def stages(self) -> tuple[StageChange, ...]:
        """The losses, in the order of the flow."""
        table = self.comparison.losses.drop(columns="net").reset_index()
        return tuple(StageChange(**row) for row in rows_of(table.astype(object).where(table.notna(), None)))

    @cached_property
    def widest(self) -> float:
        """The largest difference of any stage, where the bars end; 0 where there is none."""
        return max(abs(stage.difference) for stage in self.stages)

    @cached_property
    def flips(self) -> Mapping[str, tuple[Flip, ...]]:
        """The units that changed, by the kind of change; kinds without any are absent."""
        rows = [
            Flip(
                query_id=row["query_id"],
                unit=row["unit"],
                change=row["change"],
                fate_a=_fate(row, "a"),
                fate_b=_fate(row, "b"),
                query=row["query"],
                evidence=row["evidence"],
            )
            for row in rows_of(self.comparison.flips)
        ]
        found = {change: tuple(row for row in rows if row.change == change) for change in CHANGES}
        return {change: of_change for change, of_change in found.items() if of_change}

    @cached_property
    def measures(self) -> tuple[tuple[str, Difference], ...]:
        """The measures that tell most, each with its difference."""
        comparison = self.comparison
        named = {"Recall": self.recall, "Hard recall": comparison.hard_recall}
        least = comparison.a.min_coverage
        specs = ("MRR" if least == 1 else f"MRR(min_coverage={least})", "CP", "Precision")
        return (*named.items(), *((spec, comparison.measure(spec)) for spec in specs))

    def heading(self, change: str, shown: int) -> str:
        """What the change means, and how many units it befell, of which the first are shown."""
        units = len(self.flips[change])
        which = count(units) if units <= shown else f"the first {shown} of {count(units)}"
        return f"{_WHAT_CHANGED[change]}: {which}"

    # Sentences

    @property
    def names(self) -> tuple[Pair, ...]:
        """What the two are called, where they are called something else than A and B."""
        a, b = (cut(one_line(name), _NAME) for name in self.comparison.names)
        return () if (a, b) == ("A", "B") else (Pair("name", a, b),)

    @property
    def verdict(self) -> str:
        """Which is better, as far as that can be said."""
        recall = self.recall
        if not recall.changed:
            every = "the one query" if recall.n == 1 else f"each of the {count(recall.n)} queries"
            return f"No difference: in {every}, A and B deliver the same share of the evidence."
        if recall.n < FEWEST_QUERIES:
            return (
                f"No difference is claimed: only {of_things(recall.n, 'query is', 'queries are')} assessed."
            )
        if not recall.shown:
            return f"No difference is shown between A and B: {signed(recall.value)} in recall may be chance."
        better, worse = ("B", "A") if recall.value > 0 else ("A", "B")
        return (
            f"{better} is better than {worse}: it delivers {share(abs(recall.value))} more of the evidence."
        )

    @property
    def headline(self) -> str:
        """The two recalls and their difference."""
        return (
            "Recall is the share of the evidence that reached the prompt: "
            f"{self.figures(self.recall)}. It differs in {count(self.recall.changed)} of "
            f"{of_things(self.recall.n, 'query', 'queries')}."
        )

    def figures(self, difference: Difference) -> str:
        """A difference with all that is known of it."""
        return (
            f"{share(difference.a)} in A, {share(difference.b)} in B, a difference of "
            f"{signed(difference.value)} (95% interval "
            f"{signed_interval(difference.low, difference.high)}; {self.p(difference)})"
        )

    def p(self, difference: Difference) -> str:
        """Its p within a sentence."""
        return "p < 0.001" if difference.p < 0.0005 else f"p = {share(difference.p)}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know before using the numbers."""
        hard = self.comparison.hard_recall
        return (
            *self._power_notes(),
            _HOW_TO_READ,
            *self._cluster_notes(),
            f"Delivered only when {self._complete} (hard recall): {self.figures(hard)}.",
            *self._proof_notes(),
            *self._stage_notes(),
            *self._rescue_notes(),
        )

    @property
    def _complete(self) -> str:
        least = self.comparison.a.min_coverage
        return "complete" if least == 1 else f"covered to {least:g}"

    def _power_notes(self) -> Iterator[str]:
        recall = self.recall
        if recall.n < FEWEST_QUERIES:
            yield (
                f"Under {FEWEST_QUERIES} queries no difference is claimed: the numbers describe these "
                "queries and say nothing about others."
            )
        if not recall.changed:
            yield "The interval says how large a difference these queries may have missed in others."
        elif recall.shown:
            return
        elif recall.needed is None:
            yield (
                f"Only {of_things(recall.changed, 'query', 'queries')} of {count(recall.n)} differ: too few "
                "for any difference to be told from chance, even if all of them went the same way."
            )
        else:
            yield (
                "What so many queries, differing as much as these do, could have told from chance: a "
                f"difference of {share(recall.needed)} or more."
            )

    def _cluster_notes(self) -> Iterator[str]:
        if "understates" in self.recall.method:
            yield (
                "The evidence stands in few documents: for questions about other documents the interval is "
                "too narrow, and p too small."
            )

    def _proof_notes(self) -> Iterator[str]:
        unproven = [
            name
            for name, diagnosis in zip("AB", self._both, strict=True)
            if diagnosis.effort is None and diagnosis.counts["lost units"]
        ]
        if len(unproven) == 1:
            yield (
                f"The stages of {unproven[0]} were only observed, those of the other were checked by running "
                "the pipeline again: units may have moved for that reason alone."
            )

    def _stage_notes(self) -> Iterator[str]:
        for stage in self.stages:
            without = [name for name, loss in (("A", stage.loss_a), ("B", stage.loss_b)) if loss is None]
            if without:
                instead = " Its retriever answers for the embedder's part." * (stage.stage == "embedder")
                yield f"{without[0]} has no {stage.stage}, which counts as a loss of 0 there.{instead}"

    def _rescue_notes(self) -> Iterator[str]:
        rescues = [
            f"{stage.stage} {_or_missing(stage.rescue_a)} in A, {_or_missing(stage.rescue_b)} in B"
            for stage in self.stages
            if max(stage.rescue_a or 0, stage.rescue_b or 0) > _EQUAL
        ]
        if rescues:
            yield (
                "Rescue is what a stage brought back although an earlier one had lost it: "
                f"{'; '.join(rescues)}. In each, losses less rescues are 1 - recall."
            )

    @property
    def units(self) -> str:
        """What became of the units of evidence, in one sentence."""
        counts = self.counts
        return (
            f"Of {of_things(counts['units'], 'unit')} of evidence, pieces that an answer needs: "
            + ", ".join(f"{count(counts[change])} {change} ({_WHAT_CHANGED[change]})" for change in CHANGES)
            + f", {count(counts['delivered in both'])} delivered in both, "
            f"{count(counts['lost in both'])} lost in both at the same stage."
        )

    @property
    def glosses(self) -> str:
        """What the stages do that differ, in one sentence; empty where none does."""
        flips = self.comparison.flips
        named = {*flips["stage_a"], *flips["stage_b"]}
        named |= {stage.stage for stage in self.stages if abs(stage.difference) > _EQUAL}
        parts = [f"{the(stage)} {gloss}" for stage, gloss in GLOSSES.items() if stage in named]
        sentence = "; ".join(parts)
        return sentence and f"{sentence[0].upper()}{sentence[1:]}."

    @property
    def meanings(self) -> Mapping[str, str]:
        """What the causes and proofs mean that the units that changed have."""
        flips = self.comparison.flips
        lost = [
            found
            for side in "ab"
            for found in zip(*(flips[f"{name}_{side}"] for name in ("stage", "cause", "proof")), strict=True)
            if found[0]
        ]
        by_flow = sorted({found[:2] for found in lost}, key=lambda pair: (LOSS_STAGES.index(pair[0]), pair))
        causes = {f"{stage}.{cause}": clause(name_cause(stage, cause).meaning) for stage, cause in by_flow}
        proofs = {found[2] for found in lost}
        return {**causes, **{str(word): meaning for word, meaning in PROOFS.items() if word in proofs}}

    # What differs

    @property
    def differing(self) -> Sequence[Pair]:
        """What the two runs do not have in common: stages, n, k, documents, chunks."""
        return [pair for pair in self._parts if pair.a != pair.b]

    @property
    def common(self) -> Sequence[str]:
        """What they have in common, by name."""
        return [pair.name for pair in self._parts if pair.a == pair.b]

    @cached_property
    def _parts(self) -> Sequence[Pair]:
        a, b = self._both
        named = {
            stage: [one_line(run.trace.stages.get(stage, "none")) for run in self._both] for stage in STAGES
        }
        named["n and k"] = [
            f"{of_things(run.trace.candidates, 'candidate')}, top {count(run.trace.top_k)}"
            for run in self._both
        ]
        documents = [of_things(len(run.documents), "document") for run in self._both]
        chunks = [of_things(len(run.trace.chunks), "chunk") for run in self._both]
        documents[1] += ", not the same" * (documents[0] == documents[1] and a.documents != b.documents)
        chunks[1] += ", not the same" * (chunks[0] == chunks[1] and a.trace.chunks != b.trace.chunks)
        named |= {"documents": documents, "chunks": chunks}
        return [Pair(name, *_apart(*values)) for name, values in named.items() if values != ["none", "none"]]

    @property
    def _both(self) -> tuple[Diagnosis, Diagnosis]:
        return self.comparison.a, self.comparison.b


def _fate(row: Mapping[str, str], side: str) -> str:
    stage, cause, proof = (row[f"{name}_{side}"] for name in ("stage", "cause", "proof"))
    return f"{stage}: {cause}, {proof}" if stage else DELIVERED


def _apart(a: str, b: str) -> tuple[str, str]:
    """Two texts, each cut so that the place where they begin to differ is seen."""
    shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False)))
    start = shared - _BEFORE
    if a != b and shared > _TEXT // 2:
        a, b = (f"{text[:_BEGINNING]} … {text[start:]}" for text in (a, b))
    return cut(a, _TEXT), cut(b, _TEXT)


def _or_missing(value: float | None) -> str:
    return MISSING if value is None else share(value)
