"""What can be seen of a pipeline before a single label exists.

    check.py      what a health check is, and what it answers
    survey.py     what checks look at: chunks, vectors, what is searched for, the indexes behind a retriever
    chunks.py vectors.py searches.py prompts.py
                  the checks themselves, in the order of the flow
    examine.py    all of them over a pipeline;  result.py  what came of it

A new check is one function and one entry in the list of its module.
"""

from ragdiag.diagnosis.health.examine import health
from ragdiag.diagnosis.health.result import Health

__all__ = ["Health", "health"]
