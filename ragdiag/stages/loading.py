"""What all plugs around a model of transformers have in common: how they load, show and pickle."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

__all__ = ["changed_options", "loading_bar_only_in_a_terminal", "name_of_loaded", "options_of"]


def options_of(plug: object) -> dict[str, object]:
    """The options of a dataclass by name, without what it has loaded since: all that is pickled."""
    return {name: vars(plug)[name] for name in type(plug).__dataclass_fields__}  # type: ignore[attr-defined]


def changed_options(plug: object) -> str:
    """The options beside the model that are not the default ones, each as ``, name=value``."""
    return "".join(
        f", {name}={value!r}"
        for name, value in options_of(plug).items()
        if name != "model" and value != getattr(type(plug), name)
    )


def name_of_loaded(model: object) -> str:
    """What a model that was handed over loaded is called: after its configuration, else its class."""
    config = getattr(model, "config", None)
    return f"<loaded {getattr(config, 'name_or_path', '') or type(model).__name__}>"


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
