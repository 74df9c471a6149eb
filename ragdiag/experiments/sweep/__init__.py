"""Sweeps: many pipelines over the same documents and queries, with no step done twice.

grids.py     the pipelines that come of every combination of some plugs
run.py       the call: the tree of shared steps, worked through level by level
steps.py     each step, as a function that any process can run;  keys.py  what its result is kept under
executing.py running steps here, in other processes or on a cluster
timing.py    seconds and latency, after all else
measuring.py from a run to what it is worth;  measured.py  the values, as a file holds them
result.py    what the call returns;  work.py  what was really done for it
"""

from ragdiag.experiments.sweep.grids import grid
from ragdiag.experiments.sweep.measured import CEILING, CUT, ChunkFacts, Measured, Timings
from ragdiag.experiments.sweep.result import Sweep
from ragdiag.experiments.sweep.run import sweep
from ragdiag.experiments.sweep.work import Work

__all__ = ["CEILING", "CUT", "ChunkFacts", "Measured", "Sweep", "Timings", "Work", "grid", "sweep"]
