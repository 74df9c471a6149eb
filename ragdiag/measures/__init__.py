"""What a run is worth in numbers: span and rank measures, and how well means and differences are known."""

from ragdiag.measures.bootstrap import cluster_bootstrap
from ragdiag.measures.bounds import Bounds, bounds, questions_needed
from ragdiag.measures.delivery import Delivery
from ragdiag.measures.effects import (
    Equivalence,
    equivalent,
    minimum_detectable_effect,
    questions_for_effect,
)
from ragdiag.measures.evaluation import Evaluation, evaluate
from ragdiag.measures.judgments import Qrels
from ragdiag.measures.multiple import AllPairs, all_pairs, holm, randomized_tukey
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
from ragdiag.measures.splits import Split, split_queries
from ragdiag.measures.standing import Standing, stand
from ragdiag.measures.statistics import Clusters, Estimate, interval, wilson

__all__ = [
    "MRR",
    "All",
    "AllPairs",
    "Bounds",
    "Clusters",
    "ContextPrecision",
    "Delivery",
    "Difference",
    "Equivalence",
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
    "Split",
    "Standing",
    "Ties",
    "all_pairs",
    "bounds",
    "chunk_run",
    "cluster_bootstrap",
    "document_run",
    "equivalent",
    "evaluate",
    "holm",
    "interval",
    "minimum_detectable_effect",
    "paired_difference",
    "parse_measure",
    "parse_rank_measure",
    "questions_for_effect",
    "questions_needed",
    "randomized_tukey",
    "split_queries",
    "stand",
    "wilson",
]
