"""A diagnosis: what was lost, at which stage, with every table behind it.

Everything here is worked out from a trace, the evidence and the exact ranks of the chunks that carry it: no
model is needed, so that a saved diagnosis answers the same questions as a fresh one.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ragdiag.diagnosis.capacity import Objective
from ragdiag.diagnosis.cause_tables import cause_table, check_table, failure_table
from ragdiag.diagnosis.causes import observe
from ragdiag.diagnosis.checks.check import CheckOutcome
from ragdiag.diagnosis.evidence import EvidenceMap, QueryEvidence
from ragdiag.diagnosis.exact import ExactSearch
from ragdiag.diagnosis.explanation import Explanation, explain_query
from ragdiag.diagnosis.ledger import Ledger, build_ledger
from ragdiag.diagnosis.outcomes import QueryOutcome, RankingName, query_outcome
from ragdiag.diagnosis.precision import QueryPrecision, charge_noise, flow_table, noise_table
from ragdiag.diagnosis.proofs import proof_table, shapley_table
from ragdiag.diagnosis.token_share import share_table
from ragdiag.diagnosis.usual_measures import measure_table
from ragdiag.diagnosis.verdicts import Effort, Verdict
from ragdiag.errors import DataError
from ragdiag.measures.overlap import Recall, SpanMeasure, parse_measure
from ragdiag.measures.statistics import Clusters, Estimate, interval
from ragdiag.records import Document, Query
from ragdiag.trace import Trace

if TYPE_CHECKING:
    import pandas as pd

    from ragdiag.diagnosis.groups import Groups

__all__ = ["Diagnosis"]


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """What a pipeline lost, and at which stage.

    Attributes:
        trace: what every stage saw and returned.
        documents: the corpus, as ingested.
        sources: the originals in which evidence is anchored, by id.
        queries: all queries that were run.
        exact: for each assessed query the exact search, or None without an embedder.
        min_coverage: the coverage from which a unit counts as delivered.
        copies: whether exact copies of evidence satisfy it.
        ledger: values of all units at every checkpoint.
        outcomes: what each assessed query got, in the order of the ledger.
        verdicts: for each unit of the ledger why it was lost, None where it was delivered.
        effort: what the re-runs behind the verdicts took; None where nothing was re-run.
        checks: what became of each check for a named cause; empty where none was made.
    """

    trace: Trace
    documents: tuple[Document, ...]
    sources: Mapping[str, Document]
    queries: tuple[Query, ...]
    exact: tuple[ExactSearch, ...] | None
    min_coverage: float
    copies: bool
    ledger: Ledger
    outcomes: tuple[QueryOutcome, ...] = field(repr=False)
    verdicts: tuple[Verdict | None, ...] = field(repr=False)
    effort: Effort | None = None
    checks: tuple[CheckOutcome, ...] = ()

    @classmethod
    def of(
        cls,
        *,
        trace: Trace,
        documents: Sequence[Document],
        sources: Mapping[str, Document],
        queries: Sequence[Query],
        evidence_map: EvidenceMap,
        evidence: Sequence[QueryEvidence],
        exact: Sequence[ExactSearch] | None,
        min_coverage: float,
        copies: bool,
    ) -> Diagnosis:
        """Work out the ledger and the outcomes; ``evidence`` and ``exact`` follow the assessed queries.

        The verdicts are what the ledger observed; `verification.verify` proves them.
        """
        assessed = [query for query in queries if query.assessed]
        searches = [None] * len(assessed) if exact is None else exact
        outcomes = tuple(
            query_outcome(trace, query, evidence_map, of_query, search, min_coverage=min_coverage)
            for query, of_query, search in zip(assessed, evidence, searches, strict=True)
        )
        ids = [query.id for query in assessed]
        ledger = build_ledger(trace, ids, evidence, exact, min_coverage=min_coverage)
        ranks = [outcome.ranks for outcome in outcomes]
        return cls(
            trace=trace,
            documents=tuple(documents),
            sources=sources,
            queries=tuple(queries),
            exact=None if exact is None else tuple(exact),
            min_coverage=min_coverage,
            copies=copies,
            ledger=ledger,
            outcomes=outcomes,
            verdicts=observe(trace, ledger, evidence, ranks, min_coverage=min_coverage),
        )

    # Queries

    @cached_property
    def assessed(self) -> tuple[Query, ...]:
        """The queries with evidence, in order."""
        return tuple(query for query in self.queries if query.assessed)

    @property
    def counts(self) -> Mapping[str, int]:
        """How many queries were run, are assessed, are unassessed, and are marked unanswerable."""
        unanswerable = sum(not query.answerable for query in self.queries)
        assessed = len(self.assessed)
        return {
            "queries": len(self.queries),
            "assessed": assessed,
            "unassessed": len(self.queries) - assessed - unanswerable,
            "unanswerable": unanswerable,
            "units": len(self.ledger.owner),
            "lost units": int((self.ledger.hard[:, -1] == 0).sum()),
        }

    @cached_property
    def _clusters(self) -> Clusters:
        return Clusters.of([query.doc_ids for query in self.assessed])

    def _estimate(self, values: NDArray[np.float64]) -> Estimate:
        return interval(values, clusters=self._clusters)

    # The ledger's tables

    @property
    def recall(self) -> float:
        """Mean over the assessed queries of the mean coverage of their units by the context."""
        return float(self.ledger.values("soft")[:, -1].mean())

    @property
    def hard_recall(self) -> float:
        """The same with delivered or lost in place of coverage."""
        return float(self.ledger.values("hard")[:, -1].mean())

    @property
    def losses(self) -> pd.DataFrame:
        """What each stage lost of recall, indexed by ``stage``.

        Columns: ``loss`` and ``rescue`` (means over queries, both >= 0; the sum of loss - rescue is
        1 - recall), ``low`` and ``high`` (95% interval of the loss).
        """
        return self._loss_table("soft")

    @property
    def hard_losses(self) -> pd.DataFrame:
        """The table `losses` with delivered or lost in place of coverage; sums to 1 - hard recall."""
        return self._loss_table("hard")

    def charged_steps(self, objective: Objective = "soft") -> NDArray[np.float64]:
        """What each query loses (or, negative, regains) by stage of the ledger, shape (queries, stages).

        A unit that a verdict moved to another stage takes along what it lost from its label on.
        """
        moved = {unit: v.stage for unit, v in enumerate(self.verdicts) if v and v.stage != v.observed}
        return self.ledger.steps(objective, moved=moved)

    def _loss_table(self, objective: Objective) -> pd.DataFrame:
        import pandas as pd

        steps = self.charged_steps(objective)
        rows = []
        for i, stage in enumerate(self.ledger.stages):
            loss = self._estimate(np.clip(steps[:, i], 0, 1))
            rescue = float(np.clip(-steps[:, i], 0, 1).mean())
            rows.append((stage, loss.value, rescue, loss.low, loss.high))
        return pd.DataFrame(rows, columns=["stage", "loss", "rescue", "low", "high"]).set_index("stage")

    @property
    def ceilings(self) -> pd.DataFrame:
        """What was still there at every checkpoint, indexed by ``checkpoint``, in the order of the flow.

        Columns: ``stage`` (charged with the step down to here), ``recall``, ``hard_recall``, and
        ``approximate`` (in how many queries the best set is not proven to be the best).
        """
        import pandas as pd

        ledger = self.ledger
        return pd.DataFrame(
            {
                "checkpoint": [checkpoint.name for checkpoint in ledger.checkpoints],
                "stage": [checkpoint.stage or "" for checkpoint in ledger.checkpoints],
                "recall": ledger.values("soft").mean(axis=0),
                "hard_recall": ledger.values("hard").mean(axis=0),
                "approximate": (~ledger.exact).sum(axis=0),
            }
        ).set_index("checkpoint")

    @property
    def failures(self) -> pd.DataFrame:
        """A row for each lost unit.

        Columns: ``query_id``; ``unit`` (its position in the query, from 0); ``stage`` that lost it, ``cause``
        and ``proof`` (see `Verdict`); ``coverage`` by the context; ``repairs`` (the minimal sets of stages
        that bring it back, a tuple of tuples); ``rank_exact``, ``rank_retrieved`` and ``rank_reranked``
        (where it is complete, from 1; missing where it never is); ``tied`` (it scores as much as the last
        of the top k); ``observed`` (the stage of its last drop in the ledger); ``reason`` (the proof in plain
        words); ``observation`` (the numbers that show the cause; empty where no check has seen it) and
        ``remedy`` (what to do about it), where several stages are to blame together those of each;
        ``findings`` (the codes of all causes that were seen, a tuple); ``query`` and ``evidence`` (texts).
        """
        return failure_table(self)

    @property
    def causes(self) -> pd.DataFrame:
        """What went wrong and what to do about it: a row for each cause, indexed by ``code``.

        A lost unit has one main cause, which its verdict is called by; where several stages are to blame
        together it has one for each. Checks may have seen other causes beside.

        Columns: ``units`` (lost units that have it) and ``loss`` (their weight, in the unit of 1 - hard
        recall); ``main`` and ``main_loss``, the same of units that it is a main cause of; ``sureness`` (of
        the surest finding, see `Finding`; empty where no check has seen it); ``meaning``; ``observation``
        (the numbers of that finding; of faults that hide each other, which stages are to be mended together)
        and ``example`` (its query); ``remedy``. Units have
        several causes, so that neither column of losses need sum to 1 - hard recall. Sorted by ``main_loss``,
        most first, then by code.
        """
        return cause_table(self)

    @property
    def check_table(self) -> pd.DataFrame:
        """What became of each check for a named cause, indexed by ``code``; of a selection that of the whole.

        Columns: ``status``, ``looked_at``, ``found`` and ``why`` (see `CheckOutcome`).
        """
        return check_table(self)

    @property
    def proofs(self) -> pd.DataFrame:
        """How many lost units of each stage are proven in which way, indexed by ``stage``.

        Columns: ``verified``, ``joint``, ``undetermined``, ``unreproducible``, ``observed`` (see `Verdict`).
        """
        return proof_table(self)

    @property
    def shapley(self) -> pd.DataFrame:
        """The order-free view beside the ledger's labels, indexed by ``stage``.

        Columns: ``ledger`` (the weight of the lost units with that label), ``shapley`` (of each lost unit the
        stage's Shapley value in the game of making stages ideal), ``difference``. Both sum to the weight
        of the lost units with Shapley values, all of them unless a re-run was void: to 1 - hard recall. The
        row ``(none)`` holds what no ideal stages bring back. Where the two differ much, the order in which
        stages are looked at matters: faults mask each other, or either of several fixes is enough.

        Raises:
            DataError: the diagnosis was made without ``shapley=True``.
        """
        return shapley_table(self)

    @cached_property
    def unit_weights(self) -> NDArray[np.float64]:
        """What each unit counts: 1 / (units of its query x assessed queries), shape (units,)."""
        counts = np.bincount(self.ledger.owner)
        weights: NDArray[np.float64] = 1 / (counts[self.ledger.owner] * len(counts))
        return weights

    @cached_property
    def units(self) -> tuple[tuple[str, int], ...]:
        """Each unit of the ledger: the id of its query, and its position there, from 0."""
        return tuple((query.id, number) for query in self.assessed for number in range(len(query.evidence)))

    # Measures

    def measure(self, spec: str | SpanMeasure) -> Estimate:
        """A span measure with its 95% interval, such as ``"Recall@10"``.

        A measure with a cut (``@10``, ``@512t``) looks at the final ranking, one without at the context.

        Raises:
            ConfigError: there is no such measure.
            DataError: it needs tokens, and nothing counts them.
        """
        return self._estimate(self.measure_by_query(spec))

    def measure_by_query(self, spec: str | SpanMeasure) -> NDArray[np.float64]:
        """The value of a span measure for each assessed query, shape (queries,)."""
        measure = parse_measure(spec) if isinstance(spec, str) else spec
        ranking: RankingName = "final" if "@" in repr(measure) else "context"
        return np.array([measure(outcome.deliveries[ranking]) for outcome in self.outcomes])

    @property
    def measures(self) -> pd.DataFrame:
        """The usual span measures: ``measure, value, low, high, n``; `measure` computes any other."""
        return measure_table(self)

    def recall_curve(self) -> pd.DataFrame:
        """Recall of the first k chunks of each ranking: ``ranking, k, recall, low, high``.

        ``ranking`` is ``retrieved`` and, with a reranker, ``reranked``; k runs from 1 to n.
        """
        import pandas as pd

        rankings: dict[str, RankingName] = {"retrieved": "retrieved"}
        if "reranker" in self.trace.stages:
            rankings["reranked"] = "final"
        rows = []
        for name, key in rankings.items():
            for k in range(1, self.trace.candidates + 1):
                measure = Recall(k)
                recall = self._estimate(np.array([measure(o.deliveries[key]) for o in self.outcomes]))
                rows.append((name, k, recall.value, recall.low, recall.high))
        return pd.DataFrame(rows, columns=["ranking", "k", "recall", "low", "high"])

    # Context precision

    @property
    def noise(self) -> pd.DataFrame:
        """What each stage took of context precision, indexed by ``stage``.

        Every irrelevant chunk above a relevant one is charged to the stage where it last came to stand there;
        where no chunk of a context is relevant, the stages that lost the query's evidence take the noise.

        Columns: ``loss`` (means over queries; the sum is 1 - CP), ``low`` and ``high`` (95% interval).
        """
        return noise_table(self.ledger.stages, self.charged_noise(), self._estimate)

    def charged_noise(self) -> NDArray[np.float64]:
        """1 - CP of each query by stage of the ledger, shape (queries, stages); `noise` is its mean."""
        return charge_noise(self._precisions, self.ledger.stages, self.charged_steps("soft"))

    @property
    def precision_flow(self) -> pd.DataFrame:
        """CP of the first k chunks at each boundary, indexed by ``boundary``, in the order of the flow.

        Columns: ``stage`` (whose list it is), ``cp`` with ``low`` and ``high`` (95% interval), and ``change``
        from the boundary before (from 1 at the first): below 0 the stage let noise in, above 0 it removed
        some. The changes sum to CP - 1. The exact top k ignores filters.
        """
        return flow_table(self.trace, self._precisions, self._estimate)

    @property
    def token_share(self) -> pd.DataFrame:
        """The share of the context's tokens that is evidence, and what the chunks allow, indexed by ``of``.

        ``context``: each chunk's tokens count as evidence in proportion to the characters of evidence that it
        adds to the chunks before it. ``attainable``: the same, were the best set of chunks (of most recall
        within k and the budget) delivered and nothing else; a context that delivers less can exceed it.

        Columns: ``share`` with ``low`` and ``high`` (95% interval), ``n``, and ``unit``: ``tokens``, or
        ``characters`` (non-whitespace) where nothing counts tokens.
        """
        return share_table(self.trace, [outcome.share for outcome in self.outcomes], self._estimate)

    @property
    def _precisions(self) -> list[QueryPrecision]:
        return [outcome.precision for outcome in self.outcomes]

    # Parts

    def by(self, key: str) -> Groups:
        """Any of these tables within groups of queries: those with the same ``metadata[key]``.

        Raises:
            DataError: no assessed query has that key, or a value of it is a list or the like.
        """
        from ragdiag.diagnosis.groups import Groups

        values: dict[Hashable, list[str]] = {}
        for query in self.assessed:
            if key in query.metadata:
                value = query.metadata[key]
                if not isinstance(value, Hashable):
                    raise DataError(f"query {query.id!r}: metadata {key!r} is no single value: {value!r}")
                values.setdefault(value, []).append(query.id)
        if not values:
            known = sorted({name for query in self.assessed for name in query.metadata})
            raise DataError(f"no assessed query has the metadata key {key!r}; there are: {known}")
        rest = [query.id for query in self.assessed if key not in query.metadata]
        if rest:
            values.setdefault("(none)", []).extend(rest)
        return Groups(key, {value: self.select(ids) for value, ids in values.items()})

    def select(self, query_ids: Sequence[str]) -> Diagnosis:
        """The diagnosis of some of the queries.

        Raises:
            DataError: there is no such query, or none of them is assessed.
        """
        wanted = set(query_ids)
        unknown = wanted - {query.id for query in self.queries}
        if unknown:
            raise DataError(f"no query has the id {min(unknown)!r}")
        positions = [i for i, query in enumerate(self.assessed) if query.id in wanted]
        if not positions:
            raise DataError("none of the selected queries has evidence")
        return Diagnosis(
            trace=self.trace,
            documents=self.documents,
            sources=self.sources,
            queries=tuple(query for query in self.queries if query.id in wanted),
            exact=None if self.exact is None else tuple(self.exact[i] for i in positions),
            min_coverage=self.min_coverage,
            copies=self.copies,
            ledger=self.ledger.select(positions),
            outcomes=tuple(self.outcomes[i] for i in positions),
            verdicts=tuple(self.verdicts[unit] for unit in self.ledger.units_of(positions)),
            effort=self.effort,
            checks=self.checks,
        )

    def explain(self, query_id: str) -> Explanation:
        """One query's evidence in its source, the chunks around it, its ranks, and the label in plain words.

        Raises:
            DataError: there is no such query, or it has no evidence.
        """
        for position, query in enumerate(self.assessed):
            if query.id == query_id:
                return explain_query(self, position)
        known = any(query.id == query_id for query in self.queries)
        raise DataError(
            f"query {query_id!r} has no evidence: nothing can be lost"
            if known
            else f"no query has the id {query_id!r}"
        )

    # Faces and files. These are the only places where a result knows of its reports and formats.

    def __str__(self) -> str:
        from ragdiag.report.text import diagnosis_text

        return diagnosis_text(self)

    def __repr__(self) -> str:
        counts = self.counts
        return (
            f"Diagnosis(recall={self.recall:.3f}, {counts['lost units']} of {counts['units']} units lost, "
            f"{counts['assessed']} queries)"
        )

    def _repr_html_(self) -> str:
        from ragdiag.report.html import diagnosis_html

        return diagnosis_html(self)

    def to_markdown(self) -> str:
        """The summary as Markdown."""
        from ragdiag.report.markdown import diagnosis_markdown

        return diagnosis_markdown(self)

    def to_dict(self) -> dict[str, object]:
        """The tables as plain values, for JSON."""
        from ragdiag.report.json import diagnosis_dict

        return diagnosis_dict(self)

    def save(self, path: str | Path) -> None:
        """Write the diagnosis as JSONL, without vectors and costs; the same one gives the same bytes."""
        from ragdiag.formats.diagnoses import write_diagnosis

        write_diagnosis(self, path)

    @classmethod
    def load(cls, path: str | Path) -> Diagnosis:
        """Read a saved diagnosis; no model is needed.

        Raises:
            DataError: the file is damaged, or of a version that this release does not read.
        """
        from ragdiag.formats.diagnoses import read_diagnosis

        return read_diagnosis(path)
