"""What all models of transformers have in common when they are loaded."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

__all__ = ["loading_bar_only_in_a_terminal"]


@contextmanager
def loading_bar_only_in_a_terminal() -> Iterator[None]:
    """Keep transformers from drawing its bar for loading weights into logs and notebooks' outputs."""
    logging = import_module("transformers.utils.logging")

    quiet = logging.is_progress_bar_enabled() and not sys.stderr.isatty()
    if quiet:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        if quiet:
            logging.enable_progress_bar()
