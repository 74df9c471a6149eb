"""The one call: changes of a pipeline that may mend what it loses, each run to see what it gains."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from ragdiag.diagnosis.result import Diagnosis
from ragdiag.errors import ConfigError, StageError
from ragdiag.experiments.remedies.catalog import REMEDIES
from ragdiag.experiments.remedies.remedy import Change, DoesNotApply, Setting
from ragdiag.experiments.remedies.reruns import Rerun, Reruns
from ragdiag.experiments.remedies.result import Latency, NotRun, Remedies, TriedRemedy
from ragdiag.experiments.remedies.suggestions import (
    COARSE,
    Suggestion,
    masked_together,
    suggest,
    units_by_code,
)
from ragdiag.pipeline import Pipeline
from ragdiag.progress import track
from ragdiag.stages.protocols import STAGES
from ragdiag.store import without_address

__all__ = ["remedies"]


def remedies(
    diagnosis: Diagnosis,
    pipeline: Pipeline,
    *,
    only: Collection[str] | None = None,
    latency_queries: int = 10,
    progress: bool | None = None,
) -> Remedies:
    """What would each suggested change of ``pipeline`` gain on the queries of its own diagnosis?

    Every change that the findings suggest is applied and run, on the same documents, queries and rules, and
    compared with the diagnosis query by query. Where a verdict says that several stages must be mended
    together, what gains most at each of them is run together, too. What is not run has no number.

    Only what a change touches is done again: k, budget, packer, reranker and retriever need no document
    embedded. Nothing is proven of what the changed pipelines lose.

    The best of many looks better than it is on the queries that chose it. Confirm it on others.

    Args:
        diagnosis: with proven causes (``verify=True``), which suggest more to the point than observed ones.
        pipeline: the one that was diagnosed.
        only: names of the remedies to run, suggested or not; all that are suggested where not given.
        latency_queries: over how many queries the latency of single queries is measured, each asked of all
            pipelines in turn; 0 leaves it out.
        progress: whether long work shows a bar; None shows it on a terminal only.

    Raises:
        ConfigError: the diagnosis is of another pipeline, ``only`` names what is no remedy, or
            ``latency_queries`` is negative.
        StageError: a plug of the pipeline itself broke its contract.

    Example:
        >>> from ragdiag import BM25Retriever, Document, Evidence, Pipeline, Query, RecursiveChunker, Span
        >>> from ragdiag import diagnose
        >>> faq = Document("faq", "Refunds take five days or ten by post. Cards are fine.")
        >>> query = Query("q1", "How long do refunds take?", [Evidence.of(Span.find(faq, "five days"))])
        >>> pipeline = Pipeline(chunker=RecursiveChunker(size=20), retriever=BM25Retriever(), top_k=1)
        >>> tried = remedies(diagnose(pipeline, [faq], [query]), pipeline, latency_queries=0)
        >>> tried["larger_chunks"].what, tried["larger_chunks"].gain
        ('size from 20 to 40', 0.5)
    """
    _check(diagnosis, pipeline, only, latency_queries)
    suggestions = [
        suggestion
        for suggestion in suggest(diagnosis, REMEDIES.values())
        if (suggestion.codes if only is None else suggestion.remedy.name in only)
    ]
    trials = _Trials(diagnosis, Reruns(diagnosis, pipeline))
    for suggestion in track(suggestions, "trying remedies", progress=progress):
        trials.run(_Together((suggestion,), suggestion.units))
    if only is None:
        for together in _mended_together(diagnosis, trials.ran):
            trials.run(together)
    return Remedies(
        diagnosis=diagnosis,
        tried=trials.measured(latency_queries),
        skipped=tuple(trials.skipped),
        unanswered=_unanswered(diagnosis),
    )


def _check(
    diagnosis: Diagnosis, pipeline: Pipeline, only: Collection[str] | None, latency_queries: int
) -> None:
    trace = diagnosis.trace
    for name, of_pipeline, of_diagnosis in (
        *((stage, pipeline.stages.get(stage), trace.stages.get(stage)) for stage in STAGES),
        ("candidates", pipeline.n, trace.candidates),
        ("top_k", pipeline.top_k, trace.top_k),
    ):
        if without_address(str(of_pipeline)) != without_address(str(of_diagnosis)):
            raise ConfigError(
                f"the diagnosis is of another pipeline: {name} is {of_diagnosis} in the diagnosis and "
                f"{of_pipeline} in the pipeline; give the one that was diagnosed"
            )
    if isinstance(only, str) or not set(only or ()) <= REMEDIES.keys():
        raise ConfigError(f"only must be names of remedies ({', '.join(REMEDIES)}), got {only!r}")
    if latency_queries < 0:
        raise ConfigError(f"latency_queries must be >= 0, got {latency_queries!r}")


def _unanswered(diagnosis: Diagnosis) -> Mapping[str, int]:
    """The causes that no remedy is for, with the number of lost units."""
    answered = {code for remedy in REMEDIES.values() for code in remedy.answers}
    return {code: len(units) for code, units in units_by_code(diagnosis).items() if code not in answered}


@dataclass(frozen=True, slots=True)
class _Together:
    """Suggestions that are tried as one, and the lost units that they are for."""

    suggestions: tuple[Suggestion, ...]
    units: frozenset[int]

    @property
    def name(self) -> str:
        return " + ".join(suggestion.remedy.name for suggestion in self.suggestions)

    @property
    def stage(self) -> str:
        return " + ".join(dict.fromkeys(suggestion.remedy.stage for suggestion in self.suggestions))

    @property
    def codes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(code for suggestion in self.suggestions for code in suggestion.codes))


_Ran: TypeAlias = Sequence[tuple[_Together, Rerun]]


@dataclass(frozen=True)
class _Trials:
    """What was run, and what was not."""

    diagnosis: Diagnosis
    reruns: Reruns
    ran: list[tuple[_Together, Rerun]] = field(default_factory=list)
    skipped: list[NotRun] = field(default_factory=list)

    def run(self, together: _Together) -> None:
        """Apply one remedy, or several one after the other, and run what comes of it."""
        try:
            rerun = self.reruns.run(self._applied(together))
        except DoesNotApply as reason:
            # What is suggested by nothing in particular, and does not apply, goes without saying.
            if not (together.codes and COARSE.issuperset(together.codes)):
                self._skip(together, reason)
        except (StageError, ConfigError) as refusal:
            self._skip(together, refusal)
        else:
            self.ran.append((together, rerun))

    def _skip(self, together: _Together, reason: Exception) -> None:
        self.skipped.append(
            NotRun(together.name, together.stage, together.codes, len(together.units), str(reason))
        )

    def _applied(self, together: _Together) -> Change:
        documents, chunks = self.diagnosis.documents, self.diagnosis.trace.chunks
        change = Change(self.reruns.pipeline, self.diagnosis.queries, "")
        whats = []
        for suggestion in together.suggestions:
            change = suggestion.remedy.apply(Setting(change.pipeline, change.queries, documents, chunks))
            whats.append(change.what)
        return replace(change, what="; ".join(whats))

    def measured(self, latency_queries: int) -> tuple[TriedRemedy, ...]:
        """What was run with all that it costs, what gains most recall first."""
        latencies = self.reruns.latencies([rerun for _, rerun in self.ran], latency_queries)
        tried = [
            self._measured(together, rerun, latency)
            for (together, rerun), latency in zip(self.ran, latencies, strict=True)
        ]
        return tuple(sorted(tried, key=lambda remedy: -round(remedy.gain, 9)))

    def _measured(self, together: _Together, rerun: Rerun, latency: Latency | None) -> TriedRemedy:
        embedded = [cost for cost in rerun.index.costs.stages if cost.stage == "embedder"]
        tokens = [cost.tokens for cost in embedded if cost.tokens is not None]
        return TriedRemedy(
            name=together.name,
            what=rerun.change.what,
            stage=together.stage,
            codes=together.codes,
            units=len(together.units),
            pipeline=rerun.change.pipeline,
            queries=rerun.change.queries,
            comparison=rerun.comparison,
            chunks=len(rerun.index.chunks),
            texts_embedded=sum(cost.count for cost in embedded),
            tokens_embedded=sum(tokens) if len(tokens) == len(embedded) else None,
            extra_tokens=self.reruns.extra_tokens(rerun),
            latency=latency,
        )


def _mended_together(diagnosis: Diagnosis, ran: _Ran) -> list[_Together]:
    """Where several stages must be mended together, what gains most by itself at each of them."""
    made: dict[tuple[str, ...], _Together] = {}
    for stages, units in masked_together(diagnosis).items():
        best: dict[str, Suggestion] = {}
        for stage in stages:
            at_stage = [
                (round(rerun.comparison.recall.value, 9), suggestion)
                for together, rerun in ran
                for suggestion in together.suggestions
                if suggestion.units & units and any(code.startswith(f"{stage}.") for code in suggestion.codes)
            ]
            if at_stage:
                _, suggestion = max(at_stage, key=lambda gain: gain[0])  # of equal ones the first
                best[suggestion.remedy.name] = suggestion
        if len(best) > 1:
            names = tuple(best)
            before = made[names].units if names in made else frozenset[int]()
            made[names] = _Together(tuple(best.values()), before | units)
    return list(made.values())
