"""The chunking benchmark: which chunker for these documents and questions, and which stage it helps.

names.py      chunkers by name
comparing.py  the call: a sweep in which nothing but the chunker differs
result.py     what it returns;  columns.py  its table;  prices.py  what chunkers cost
contrasts.py  each chunker against the best, by stage;  frontier.py  quality against cost
"""

from ragdiag.experiments.chunking.comparing import compare_chunkers
from ragdiag.experiments.chunking.prices import Prices
from ragdiag.experiments.chunking.result import ChunkerComparison

__all__ = ["ChunkerComparison", "Prices", "compare_chunkers"]
