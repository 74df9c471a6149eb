"""The quality bar: whether a pipeline may ship.

quantities.py   what a bar can be set for, with its bounds;  bars.py  a quantity and its limit
judging.py      one bar, judged
fingerprints.py baseline.py baseline_file.py
                what a former release was worth, query by query, and how it is known to be comparable
regression.py   what got worse since, at which stage, and which units flipped
deciding.py     the call;  result.py  what it returns
"""

from ragdiag.experiments.gate.bars import Bar
from ragdiag.experiments.gate.baseline import Baseline
from ragdiag.experiments.gate.deciding import gate
from ragdiag.experiments.gate.judging import GateVerdict, Judgement
from ragdiag.experiments.gate.quantities import Measure
from ragdiag.experiments.gate.result import GateResult

__all__ = ["Bar", "Baseline", "GateResult", "GateVerdict", "Judgement", "Measure", "gate"]
