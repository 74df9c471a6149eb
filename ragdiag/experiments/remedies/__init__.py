"""What would mend a pipeline: changes that a diagnosis suggests, each run on the pipeline's own queries.

remedy.py       what a remedy is, and how options of plugs are changed by their names
chunking.py searching.py context.py
                the remedies, in the order of the flow;  catalog.py  all of them
headings.py windows.py
                plugs that two of them put around others
suggestions.py  which remedies answer what was found at the lost units
reruns.py       changed pipelines run again, sharing what does not change
trying.py       the call;  result.py  what it returns
"""

from ragdiag.experiments.remedies.catalog import REMEDIES
from ragdiag.experiments.remedies.headings import HeadedChunker
from ragdiag.experiments.remedies.remedy import Change, DoesNotApply, Remedy, Setting
from ragdiag.experiments.remedies.result import Latency, NotRun, Remedies, TriedRemedy
from ragdiag.experiments.remedies.trying import remedies
from ragdiag.experiments.remedies.windows import BestWindowReranker

__all__ = [
    "REMEDIES",
    "BestWindowReranker",
    "Change",
    "DoesNotApply",
    "HeadedChunker",
    "Latency",
    "NotRun",
    "Remedies",
    "Remedy",
    "Setting",
    "TriedRemedy",
    "remedies",
]
