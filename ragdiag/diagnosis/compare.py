"""Two diagnoses of the same queries side by side: what changed, where, and whether it is more than chance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ragdiag.diagnosis.capacity import Objective
from ragdiag.diagnosis.ledger import LOSS_STAGES
from ragdiag.diagnosis.result import Diagnosis
from ragdiag.errors import ConfigError, DataError
from ragdiag.measures.overlap import SpanMeasure, parse_measure
from ragdiag.measures.paired import Difference, paired_difference
from ragdiag.measures.statistics import Clusters
from ragdiag.records import Query, Span

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CHANGES", "DELIVERED", "Comparison", "compare"]

CHANGES = ("lost", "regained", "moved")
"""What can become of a unit from a to b: delivered and then lost, the reverse, or lost at another stage."""

DELIVERED = "delivered"
"""The fate of a unit that was not lost."""

_DESCRIPTION = ("stage", "cause", "proof")


def compare(a: Diagnosis, b: Diagnosis, *, names: tuple[str, str] = ("A", "B")) -> Comparison:
    """Put two diagnoses of the same queries side by side; every difference is that of ``b`` from ``a``.

    Pipelines, documents, n and k may differ, and so may filters, metadata and queries without evidence. The
    assessed queries must be the same, with the same text and evidence, in any order.

    Args:
        a: the one that is compared with, such as the pipeline before a change.
        b: the other one.
        names: what the reports call the two, such as the names of their files.

    Raises:
        DataError: the assessed queries, their texts or their evidence differ.
        ConfigError: units count as delivered from another coverage, or by copies in one of them only.

    Example:
        >>> from ragdiag import BM25Retriever, Document, Evidence, Pipeline, Query, RecursiveChunker, diagnose
        >>> faq = Document("faq", "Returns are free. Refunds take five days.")
        >>> query = Query("q1", "How long do refunds take?", [Evidence.of(Span.find(faq, "five days"))])
        >>> def run(size):
        ...     pipeline = Pipeline(chunker=RecursiveChunker(size), retriever=BM25Retriever(), top_k=1)
        ...     return diagnose(pipeline, [faq], [query])
        >>> comparison = compare(run(16), run(24))
        >>> comparison
        Comparison(recall 0.000 -> 1.000, 1 unit regained, 0 lost, 0 moved, 1 query)
        >>> comparison.flips[["query_id", "unit", "change", "stage_a"]].values.tolist()
        [['q1', 0, 'regained', 'retriever']]
    """
    _check_rules(a, b)
    _check_queries(a, b)
    return Comparison(a, b, names)


@dataclass(frozen=True, eq=False)
class Comparison:
    """What changed from one diagnosis to another; made by `compare`.

    Differences are b - a: of recall and other measures more is better, of losses less is. Queries and units
    stand in the order of a.

    Attributes:
        a: the diagnosis that is compared with.
        b: the other one.
        names: what the reports call the two.
    """

    a: Diagnosis
    b: Diagnosis
    names: tuple[str, str] = ("A", "B")

    # Headline

    @cached_property
    def recall(self) -> Difference:
        """The difference in recall: of the mean share of the evidence that reached the prompt."""
        return self._difference(*self._recalls("soft"))

    @cached_property
    def hard_recall(self) -> Difference:
        """The same with delivered or lost in place of coverage."""
        return self._difference(*self._recalls("hard"))

    def measure(self, spec: str | SpanMeasure) -> Difference:
        """The difference in a span measure, such as ``"CP"`` or ``"Recall@10"``; see `Diagnosis.measure`.

        Raises:
            ConfigError: there is no such measure.
            DataError: it needs tokens, and nothing counts them in one of the two.
        """
        measure = parse_measure(spec) if isinstance(spec, str) else spec
        of_b = self.b.measure_by_query(measure)[self._positions]
        return self._difference(self.a.measure_by_query(measure), of_b)

    @property
    def measures(self) -> pd.DataFrame:
        """The usual measures of both, as far as they mean the same in both.

        Columns: ``measure``, ``a``, ``b``, ``difference``, ``low`` and ``high`` (95% interval), ``p`` (of the
        measure on its own: of many, some are small by chance) and ``n``. ``Hard recall`` is recall with
        delivered or lost in place of coverage.
        """
        import pandas as pd

        of_b = set(self.b.measures["measure"])
        common = [spec for spec in self.a.measures["measure"] if spec in of_b and spec != "Recall"]
        named = {"Recall": self.recall, "Hard recall": self.hard_recall}
        named |= {spec: self.measure(spec) for spec in common}
        columns = ["measure", "a", "b", "difference", "low", "high", "p", "n"]
        rows = [(name, d.a, d.b, d.value, d.low, d.high, d.p, d.n) for name, d in named.items()]
        return pd.DataFrame(rows, columns=columns)

    @property
    def queries(self) -> pd.DataFrame:
        """A row for each query: ``query_id``, ``recall_a``, ``recall_b``, ``difference`` and ``query``."""
        import pandas as pd

        of_a, of_b = self._recalls("soft")
        return pd.DataFrame(
            {
                "query_id": [query.id for query in self.a.assessed],
                "recall_a": of_a,
                "recall_b": of_b,
                "difference": of_b - of_a,
                "query": [query.text for query in self.a.assessed],
            }
        )

    # Where

    @property
    def losses(self) -> pd.DataFrame:
        """What each stage lost of recall in both, indexed by ``stage``, in the order of the flow.

        Columns: ``loss_a`` and ``loss_b``; their ``difference`` with its 95% interval, ``low`` and ``high``
        (below 0: b loses less); ``rescue_a`` and ``rescue_b``; and ``net``, the difference of
        loss - rescue, which sums to the difference in recall, with its sign turned. Loss and rescue of a
        stage that a pipeline lacks are missing, and count as 0 in the differences.
        """
        return self._loss_table("soft")

    @property
    def hard_losses(self) -> pd.DataFrame:
        """The table `losses` with delivered or lost in place of coverage."""
        return self._loss_table("hard")

    def _loss_table(self, objective: Objective) -> pd.DataFrame:
        import pandas as pd

        steps = [diagnosis.charged_steps(objective) for diagnosis in (self.a, self.b)]
        steps[1] = steps[1][self._positions]
        stages = [diagnosis.ledger.stages for diagnosis in (self.a, self.b)]
        rows = []
        for stage in LOSS_STAGES:
            if stage not in stages[0] + stages[1]:
                continue
            there = [stage in of_one for of_one in stages]
            net = [
                of_one[:, names.index(stage)] if stage in names else np.zeros(len(of_one))
                for of_one, names in zip(steps, stages, strict=True)
            ]
            loss = self._difference(*(np.clip(values, 0, 1) for values in net))
            rescues = [float(np.clip(-values, 0, 1).mean()) for values in net]
            rows.append(
                {
                    "stage": stage,
                    "loss_a": loss.a if there[0] else np.nan,
                    "loss_b": loss.b if there[1] else np.nan,
                    "difference": loss.value,
                    "low": loss.low,
                    "high": loss.high,
                    "rescue_a": rescues[0] if there[0] else np.nan,
                    "rescue_b": rescues[1] if there[1] else np.nan,
                    "net": float((net[1] - net[0]).mean()),
                }
            )
        return pd.DataFrame(rows).set_index("stage")

    # Units

    @cached_property
    def flips(self) -> pd.DataFrame:
        """A row for each unit of evidence with another fate in b than in a.

        Columns: ``query_id``; ``unit`` (its position in the query, from 0); ``change`` (``lost``: delivered
        in a alone; ``regained``: in b alone; ``moved``: lost in both, at different stages); ``stage_a``,
        ``cause_a``, ``proof_a`` and the same of b (as in `Diagnosis.failures`; empty where it was
        delivered); ``coverage_a`` and ``coverage_b`` by the context; ``query`` and ``evidence`` (texts).
        """
        import pandas as pd

        failures = [
            {(row["query_id"], row["unit"]): row for row in diagnosis.failures.to_dict("records")}
            for diagnosis in (self.a, self.b)
        ]
        rows = []
        for query_id, number, *coverages in self._units():
            lost = [of_one.get((query_id, number)) for of_one in failures]
            fates = [DELIVERED if row is None else str(row["stage"]) for row in lost]
            if fates[0] == fates[1]:
                continue
            change = "regained" if lost[1] is None else "lost" if lost[0] is None else "moved"
            row = {"query_id": query_id, "unit": number, "change": change}
            for side, found, coverage in zip("ab", lost, coverages, strict=True):
                row |= {f"{name}_{side}": "" if found is None else found[name] for name in _DESCRIPTION}
                row[f"coverage_{side}"] = coverage
            known = lost[0] or lost[1] or {}
            rows.append(row | {name: known[name] for name in ("query", "evidence")})
        table = pd.DataFrame(rows, columns=_FLIP_COLUMNS)
        return table.astype({"unit": "int64", "coverage_a": "float64", "coverage_b": "float64"})

    @property
    def transitions(self) -> pd.DataFrame:
        """How many units had which fate in a (the index) and in b (the columns).

        A fate is ``delivered`` or the stage that lost the unit; the diagonal holds what did not change. Fates
        that no unit has are left out, in the same way on both sides.
        """
        import pandas as pd

        fates = [_fates(diagnosis) for diagnosis in (self.a, self.b)]
        pairs = Counter((fates[0][unit], fates[1][unit]) for unit in fates[0])
        names = [name for name in (DELIVERED, *LOSS_STAGES) if any(name in pair for pair in pairs)]
        counts = [[pairs[of_a, of_b] for of_b in names] for of_a in names]
        return pd.DataFrame(
            counts, index=pd.Index(names, name="fate_a"), columns=pd.Index(names, name="fate_b")
        )

    @property
    def counts(self) -> Mapping[str, int]:
        """How many queries and units are compared, and what became of the units.

        ``queries``, ``units``, ``delivered in both``, ``lost``, ``regained``, ``moved`` and ``lost in both``
        (at the same stage).
        """
        changes = Counter(self.flips["change"])
        stayed = {fate: int(self.transitions.loc[fate, fate]) for fate in self.transitions.index}
        delivered = stayed.pop(DELIVERED, 0)
        return {
            "queries": len(self.a.assessed),
            "units": len(self.a.ledger.owner),
            "delivered in both": delivered,
            **{change: changes[change] for change in CHANGES},
            "lost in both": sum(stayed.values()),
        }

    # Alignment: queries and units of b in the order of a

    @cached_property
    def _positions(self) -> NDArray[np.intp]:
        """Where each query of a stands in b."""
        position = {query.id: i for i, query in enumerate(self.b.assessed)}
        return np.array([position[query.id] for query in self.a.assessed], dtype=np.intp)

    def _units(self) -> Iterator[tuple[str, int, float, float]]:
        """Each unit: its query, its position there, and its coverage in a and b."""
        coverages = [dict(_coverages(diagnosis)) for diagnosis in (self.a, self.b)]
        for (query_id, number), coverage in coverages[0].items():
            yield query_id, number, coverage, coverages[1][query_id, number]

    def _recalls(self, objective: Objective) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        of_a, of_b = (diagnosis.ledger.values(objective)[:, -1] for diagnosis in (self.a, self.b))
        return of_a, of_b[self._positions]

    def _difference(self, of_a: NDArray[np.float64], of_b: NDArray[np.float64]) -> Difference:
        """Of values in the order of a. Chance is dealt by id, so that no order changes a number."""
        order = self._by_id
        return paired_difference(of_a[order], of_b[order], clusters=self._clusters)

    @cached_property
    def _by_id(self) -> NDArray[np.intp]:
        ids = [query.id for query in self.a.assessed]
        return np.array(sorted(range(len(ids)), key=ids.__getitem__), dtype=np.intp)

    @cached_property
    def _clusters(self) -> Clusters:
        return Clusters.of([self.a.assessed[i].doc_ids for i in self._by_id])

    # Faces. These are the only places where a comparison knows of its reports.

    def __str__(self) -> str:
        from ragdiag.report.text import comparison_text

        return comparison_text(self)

    def __repr__(self) -> str:
        from ragdiag.report.figures import of_things, share

        counts = self.counts
        return (
            f"Comparison(recall {share(self.recall.a)} -> {share(self.recall.b)}, "
            f"{of_things(counts['regained'], 'unit')} regained, {counts['lost']} lost, "
            f"{counts['moved']} moved, {of_things(counts['queries'], 'query', 'queries')})"
        )

    def _repr_html_(self) -> str:
        from ragdiag.report.html import comparison_html

        return comparison_html(self)

    def to_dict(self) -> dict[str, object]:
        """The tables as plain values, for JSON."""
        from ragdiag.report.json import comparison_dict

        return comparison_dict(self)


_FLIP_COLUMNS = [
    "query_id",
    "unit",
    "change",
    *(f"{name}_{side}" for side in "ab" for name in _DESCRIPTION),
    "coverage_a",
    "coverage_b",
    "query",
    "evidence",
]


def _coverages(diagnosis: Diagnosis) -> Iterator[tuple[tuple[str, int], float]]:
    """Each unit, as its query and its position there, with its coverage by the context."""
    yield from zip(diagnosis.units, diagnosis.ledger.soft[:, -1].tolist(), strict=True)


def _fates(diagnosis: Diagnosis) -> dict[tuple[str, int], str]:
    """Each unit with the stage that lost it, or `DELIVERED`."""
    fates = dict.fromkeys((unit for unit, _ in _coverages(diagnosis)), DELIVERED)
    failures = diagnosis.failures
    return fates | dict(
        zip(zip(failures["query_id"], failures["unit"], strict=True), failures["stage"], strict=True)
    )


# What makes two diagnoses comparable


def _check_rules(a: Diagnosis, b: Diagnosis) -> None:
    for option in ("min_coverage", "copies"):
        of_a, of_b = getattr(a, option), getattr(b, option)
        if of_a != of_b:
            raise ConfigError(
                f"the two diagnoses cannot be compared: {option} is {of_a!r} in the first and {of_b!r} in "
                "the second; diagnose both with the same"
            )


def _check_queries(a: Diagnosis, b: Diagnosis) -> None:
    queries = [{query.id: query for query in diagnosis.assessed} for diagnosis in (a, b)]
    problems = []
    for query_id in queries[0] | queries[1]:
        found = [of_one.get(query_id) for of_one in queries]
        if found[0] is None or found[1] is None:
            problems.append(
                (query_id, f"is assessed in the {'second' if found[0] is None else 'first'} only")
            )
        elif problem := _difference_of(a, found[0], b, found[1]):
            problems.append((query_id, problem))
    if problems:
        query_id, problem = problems[0]
        total = len(queries[0] | queries[1])
        raise DataError(
            f"the two diagnoses do not assess the same queries: {len(problems)} of {total} differ; "
            f"the first is {query_id!r}, which {problem}. Compare what both have with select(query_ids); "
            "where the documents changed, anchor the evidence of both in the same sources"
        )


def _difference_of(a: Diagnosis, of_a: Query, b: Diagnosis, of_b: Query) -> str:
    """The first field in which the two are not the same query, with both values; empty where they are."""
    if of_a.text != of_b.text:
        return f"differs in its text: {of_a.text!r} and {of_b.text!r}"
    if len(of_a.evidence) != len(of_b.evidence):
        return f"differs in its evidence: {len(of_a.evidence)} and {len(of_b.evidence)} units"
    for number, units in enumerate(zip(of_a.evidence, of_b.evidence, strict=True)):
        if units[0] != units[1]:
            return f"differs in its evidence, unit {number}: {units[0]} and {units[1]}"
        for alternative in units[0].alternatives:
            for span in alternative:
                if isinstance(span, Span):
                    texts = [d.sources[span.doc_id].text[span.start : span.end] for d in (a, b)]
                    if texts[0] != texts[1]:
                        return (
                            f"differs in the text of its evidence, unit {number}, at {span.start}-{span.end} "
                            f"of source {span.doc_id!r}: {texts[0]!r} and {texts[1]!r}"
                        )
    return ""
