"""A run against judgments: the value of each rank measure for each query, and their means."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ragdiag.errors import ConfigError, DataError
from ragdiag.measures.judgments import Judged, Qrels
from ragdiag.measures.ranking import RankMeasure, parse_rank_measure
from ragdiag.measures.runs import Rankings, Run, Ties
from ragdiag.measures.statistics import Clusters, interval

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Evaluation", "evaluate"]


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """What a run is worth, query by query.

    Attributes:
        per_query: a row a query of the judgments, in their order, indexed by ``query_id``; a column a
            measure, named by its spec. NaN where the query has no document that the measure calls relevant.
        missing: the judged queries that the run lacks; their values are those of an empty ranking.
        unjudged: the queries of the run that have no judgments; they have no row.
        qrels: the judgments.
    """

    per_query: pd.DataFrame
    missing: tuple[str, ...]
    unjudged: tuple[str, ...]
    qrels: Qrels = field(repr=False)

    def means(self) -> pd.DataFrame:
        """The mean of each measure: ``measure, value, low, high, n``.

        It is over the n queries that have a value; low and high are the ends of its 95% interval, in which
        queries that share a relevant document vary together (`interval`).

        Raises:
            DataError: no query has a value of some measure.
        """
        import pandas as pd

        rows = []
        for measure, values in self.per_query.items():
            known = values.dropna()
            if known.empty:
                raise DataError(f"{measure} has no mean: no query has a document that it calls relevant")
            relevant = [
                [document for document, grade in self.qrels[query_id].items() if grade > 0]
                for query_id in known.index
            ]
            estimate = interval(known, clusters=Clusters.of(relevant))
            rows.append((measure, estimate.value, estimate.low, estimate.high, estimate.n))
        return pd.DataFrame(rows, columns=["measure", "value", "low", "high", "n"])


def evaluate(
    run: Run, qrels: Qrels, measures: Iterable[RankMeasure | str], *, ties: Ties | None = None
) -> Evaluation:
    """Rank measures of a run of documents (or chunks) whose grades are known.

    The values are those of trec_eval, but for three differences, all on purpose:

    - A judged query that the run lacks counts like an empty ranking, 0 (as with trec_eval's ``-c``; without
      it, and in pytrec_eval, it drops out, and the mean is better the more queries a run fails to answer).
    - A query without a relevant document has no value and drops out of the mean (trec_eval: 0, which no
      system can better). ``per_query.fillna(0)`` is trec_eval's.
    - A ranking given as a sequence keeps its order among equal scores. One given as a mapping of scores has
      none, and is ordered as in trec_eval. ``ties`` asks for one rule for both.

    Args:
        run: for each query a mapping of ids to scores, or, best first, (id, score) pairs or hits.
        qrels: for each query the grade of each judged document.
        measures: as values or as specs, such as ``["nDCG@10", "MAP", "R@100", RankPrecision(5)]``.
        ties: how equal scores are ordered (`Ties`); None for what suits the form of each ranking.

    Raises:
        DataError: there are no judgments, or none for any query of the run; a score is no finite number, a
            grade no integer; a sequence is not best first, or ranks an id twice.
        ConfigError: a spec that names no rank measure, no measure, or no such rule for ties.

    Example:
        >>> qrels = {"q1": {"a": 2, "b": 1}, "q2": {"c": 1}}
        >>> found = evaluate({"q1": {"b": 0.9, "a": 0.8, "x": 0.1}}, qrels, ["nDCG@10", "RR"])
        >>> found.per_query.round(3).reset_index().values.tolist(), found.missing
        ([['q1', 0.86, 1.0], ['q2', 0.0, 0.0]], ('q2',))
    """
    import pandas as pd

    if isinstance(measures, str | RankMeasure):
        raise ConfigError(f"measures must be a list of rank measures or specs, got {measures!r} alone")
    chosen = [parse_rank_measure(spec) if isinstance(spec, str) else spec for spec in measures]
    if not chosen:
        raise ConfigError("measures must name at least one rank measure")
    if not qrels:
        raise DataError("no judgments: qrels holds no query")
    if run and qrels.keys().isdisjoint(run):
        raise DataError(
            f"run and qrels have no query in common: the run has {next(iter(run))!r}, "
            f"qrels have {next(iter(qrels))!r}, for instance"
        )
    judged = Judged.of(Rankings.of(run, qrels, ties=ties), qrels)
    return Evaluation(
        pd.DataFrame(
            {repr(measure): measure(judged) for measure in chosen}, index=pd.Index(qrels, name="query_id")
        ),
        missing=tuple(query_id for query_id in qrels if query_id not in run),
        unjudged=tuple(query_id for query_id in run if query_id not in qrels),
        qrels=qrels,
    )
