"""What a run is worth in numbers: span measures, and means and differences with an interval."""

from ragdiag.measures.delivery import Delivery
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
from ragdiag.measures.statistics import Clusters, Estimate, interval, wilson

__all__ = [
    "MRR",
    "All",
    "Clusters",
    "ContextPrecision",
    "Delivery",
    "Difference",
    "Estimate",
    "Hit",
    "IoU",
    "Omega",
    "Precision",
    "Recall",
    "SpanMeasure",
    "interval",
    "paired_difference",
    "parse_measure",
    "wilson",
]
