"""Running steps: in this process, in several on this machine, or on a cluster."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ragdiag.errors import RagdiagWarning
from ragdiag.experiments.sweep.work import Work
from ragdiag.progress import track

__all__ = ["Step", "run_steps"]


@dataclass(frozen=True, slots=True)
class Step:
    """A call that any process can make.

    Attributes:
        function: of a module; it returns its `Work`, or a result and its work.
        arguments: which can be pickled.
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...]


def run_steps(
    what: str, steps: Sequence[Step], *, workers: int | None, progress: bool | None
) -> tuple[list[Any], Work]:
    """The results of some steps, in their order (None of those that return none), and all their work.

    What a step warns of in another process is warned of here.

    Args:
        what: what the progress bar says.
        steps: that need nothing of each other.
        workers: how many local processes; None for this one alone, or for what an active
            ``joblib.parallel_config`` says.
        progress: whether there is a bar; None for one on a terminal only.
    """
    if not steps:
        return [], Work()
    from joblib import Parallel, delayed
    from joblib.parallel import get_active_backend

    backend, _ = get_active_backend()
    parallel = Parallel(
        n_jobs=workers, return_as="generator" if backend.supports_return_generator else "list"
    )
    returned: Iterator[_Returned] = parallel(delayed(_run)(step, os.getpid()) for step in steps)
    results, work = [], Work()
    for one in track(returned, what, progress=progress, total=len(steps)):
        for message in one.warnings:
            warnings.warn(message, RagdiagWarning, stacklevel=5)
        results.append(one.result)
        work += one.work
    return results, work


@dataclass(frozen=True, slots=True)
class _Returned:
    result: Any
    work: Work
    warnings: tuple[str, ...]


def _run(step: Step, process: int) -> _Returned:
    """Run a step; ``process`` is the one that asked for it."""
    if os.getpid() == process:
        return _returned(step.function(*step.arguments), ())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", RagdiagWarning)
        returned = step.function(*step.arguments)
    messages = [str(one.message) for one in caught if issubclass(one.category, RagdiagWarning)]
    return _returned(returned, tuple(dict.fromkeys(messages)))


def _returned(returned: Any, messages: tuple[str, ...]) -> _Returned:
    result, work = (None, returned) if isinstance(returned, Work) else returned
    return _Returned(result, work, messages)
