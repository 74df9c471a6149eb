"""Settings for all tests."""

from __future__ import annotations

import published_encodings
import pytest
from hypothesis import settings

# No deadline: the first example pays for imports, and the machines that run this are shared. Derandomized:
# the same commit gives the same answer.
settings.register_profile("ragdiag", deadline=None, max_examples=60, derandomize=True)
settings.load_profile("ragdiag")


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Makes `cl100k_base` and `o200k_base` known to tiktoken without a network."""
    folder = tmp_path_factory.mktemp("encodings")
    for name in published_encodings.FILES:
        if published_encodings.load(name, folder) is None:
            pytest.skip("the encodings come with the wheel quicktok-v1, which is not installed")
