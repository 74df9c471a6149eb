"""Settings for all tests."""

from __future__ import annotations

from hypothesis import settings

# No deadline: the first example pays for imports, and the machines that run this are shared. Derandomized:
# the same commit gives the same answer.
settings.register_profile("ragdiag", deadline=None, max_examples=60, derandomize=True)
settings.load_profile("ragdiag")
