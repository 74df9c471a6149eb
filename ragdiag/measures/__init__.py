"""What a run is worth in numbers: span measures, and means and differences with an interval."""

from ragdiag.measures.delivery import Delivery
from ragdiag.measures.evaluation import Evaluation, evaluate
from ragdiag.measures.judgments import Qrels
from ragdiag.measures.overlap import (
    MRR,
    All,
    ContextPrecision,
    Hit,
    IoU,
    Omega,
    Precision,
    Recall,
    SpanMeasure,
    parse_measure,
)
from ragdiag.measures.paired import Difference, paired_difference
from ragdiag.measures.ranking import RankMeasure, parse_rank_measure
from ragdiag.measures.runs import Ranking, Run, Ties, chunk_run, document_run
from ragdiag.measures.statistics import Clusters, Estimate, interval, wilson

__all__ = [
    "MRR",
    "All",
    "Clusters",
    "ContextPrecision",
    "Delivery",
    "Difference",
    "Estimate",
    "Evaluation",
    "Hit",
    "IoU",
    "Omega",
    "Precision",
    "Qrels",
    "RankMeasure",
    "Ranking",
    "Recall",
    "Run",
    "SpanMeasure",
    "Ties",
    "chunk_run",
    "document_run",
    "evaluate",
    "interval",
    "paired_difference",
    "parse_measure",
    "parse_rank_measure",
    "wilson",
]
