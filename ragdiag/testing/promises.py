"""A promise of a plug is a small function whose docstring says it, and which finds where a plug breaks it.

Every promise of a kind of plug is looked at, so that one error shows all that are broken. A *required* one is
what a pipeline itself refuses; a *promised* one is what good results and verdicts rest on, and may be left
out; an *optional* one is only looked at on request.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeAlias, TypeVar

from ragdiag.errors import ConfigError, MissingExtraError, RagdiagError, ResourceError, StageError

__all__ = [
    "Broken",
    "ContractError",
    "Problem",
    "Promise",
    "attempt",
    "failure",
    "failures",
    "hold",
    "optional",
    "promised",
    "required",
]

Kind: TypeAlias = Literal["required", "promised", "optional"]
Case_contra = TypeVar("Case_contra", contravariant=True)
_Outcome = TypeVar("_Outcome")

_NO_PLUG_AT_FAULT = (MissingExtraError, ResourceError)
"""What is not installed or not there breaks no promise: it is raised as it is."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One input for which a promise does not hold.

    Attributes:
        at: the input, with a short quote of it.
        what: what was expected and what came.
        cause: the exception that came instead of an answer, if one did.
    """

    at: str
    what: str
    cause: Exception | None = None

    def __str__(self) -> str:
        return f"{self.at}: {self.what}" if self.at else self.what


@dataclass(frozen=True, slots=True)
class Promise(Generic[Case_contra]):
    """What a plug is held to.

    Attributes:
        kind: ``"required"``, ``"promised"`` or ``"optional"``.
        find: yields the problems of a case.
    """

    kind: Kind
    find: Callable[[Case_contra], Iterable[Problem]] = field(repr=False)

    @property
    def name(self) -> str:
        """What ``also`` and ``without`` call it."""
        return self.find.__name__

    @property
    def says(self) -> str:
        """The promise as a sentence."""
        return (self.find.__doc__ or "").partition("\n")[0]


def required(find: Callable[[Case_contra], Iterable[Problem]]) -> Promise[Case_contra]:
    """A promise without which a pipeline refuses the plug."""
    return Promise("required", find)


def promised(find: Callable[[Case_contra], Iterable[Problem]]) -> Promise[Case_contra]:
    """A promise that good results rest on."""
    return Promise("promised", find)


def optional(find: Callable[[Case_contra], Iterable[Problem]]) -> Promise[Case_contra]:
    """A promise that only some plugs make."""
    return Promise("optional", find)


@dataclass(frozen=True, slots=True)
class Broken:
    """A promise that a plug broke, with the first input that shows it.

    Attributes:
        name: of the promise.
        kind: ``"required"``, ``"promised"`` or ``"optional"``.
        says: the promise as a sentence.
        problem: the first input for which it does not hold, what was expected and what came.
        others: for how many more inputs it does not hold.
    """

    name: str
    kind: Kind
    says: str
    problem: str
    others: int

    def __str__(self) -> str:
        lines = [f"{self.name} ({self.kind}): {self.says}", f"  {self.problem}"]
        if self.others:
            lines.append(f"  and {self.others} more like this")
        return "\n".join(lines)


class ContractError(RagdiagError, AssertionError):
    """A plug broke promises; the message names each with an input that shows it.

    It is an AssertionError, so that pytest and unittest report a failed test.

    Attributes:
        stage: whose promises they are, such as ``"chunker"``.
        plug: the plug's repr, shortened.
        broken: the promises that are broken.
    """

    def __init__(self, stage: str, plug: str, broken: Sequence[Broken]) -> None:
        super().__init__(stage, plug, broken)
        self.stage = stage
        self.plug = plug
        self.broken = tuple(broken)

    def __str__(self) -> str:
        names = [promise.name for promise in self.broken if promise.kind == "promised"]
        parts = [f"{self.plug} breaks {len(self.broken)} of the promises of a {self.stage}:"]
        parts += [_indented(str(promise)) for promise in self.broken]
        if names:
            parts.append(f"What is meant so is left out with check_{self.stage}(…, without={names!r}).")
        return "\n\n".join(parts)


def hold(
    stage: str,
    plug: object,
    promises: Sequence[Promise[Case_contra]],
    case: Case_contra,
    *,
    also: Collection[str],
    without: Collection[str],
) -> None:
    """Hold ``plug`` to ``promises``: those that are not optional, and ``also``, and not ``without``.

    Raises:
        ContractError: promises are broken.
        ConfigError: ``also`` or ``without`` holds a name that cannot stand there.
    """
    broken: list[Broken] = []
    cause: Exception | None = None
    for promise in _selected(promises, also, without):
        problems = _problems(promise, case)
        if problems:
            broken.append(
                Broken(promise.name, promise.kind, promise.says, str(problems[0]), len(problems) - 1)
            )
            cause = cause or problems[0].cause
    if broken:
        raise ContractError(stage, _clipped(repr(plug)), broken) from cause


def _problems(promise: Promise[Case_contra], case: Case_contra) -> list[Problem]:
    problems: list[Problem] = []
    try:
        problems.extend(promise.find(case))
    except _NO_PLUG_AT_FAULT:
        raise
    except Exception as error:  # noqa: BLE001  # a plug may raise anything; it is shown, and chained
        problems.append(failure("", error))
    return problems


def _selected(
    promises: Sequence[Promise[Case_contra]], also: Collection[str], without: Collection[str]
) -> list[Promise[Case_contra]]:
    for option, names, kind in (("also", also, "optional"), ("without", without, "promised")):
        choices = [promise.name for promise in promises if promise.kind == kind]
        if isinstance(names, str) or not set(names) <= set(choices):
            raise ConfigError(
                f"{option} takes a list of names of {kind} promises ({', '.join(choices)}), got {names!r}"
            )
    return [
        promise
        for promise in promises
        if promise.name not in without and (promise.kind != "optional" or promise.name in also)
    ]


def attempt(call: Callable[[], _Outcome]) -> _Outcome | Exception:
    """What ``call`` returns, or the exception that it raises."""
    try:
        return call()
    except _NO_PLUG_AT_FAULT:
        raise
    except Exception as error:  # noqa: BLE001  # a plug may raise anything, and a promise is about that
        return error


def failures(outcomes: Iterable[tuple[str, object]], *, refused: bool) -> Iterable[Problem]:
    """The outcomes that are exceptions: those of a boundary that ``refused`` an answer, or all others."""
    return [
        failure(at, outcome)
        for at, outcome in outcomes
        if isinstance(outcome, Exception) and isinstance(outcome, StageError) == refused
    ]


def failure(at: str, error: Exception) -> Problem:
    """The problem that an exception came instead of an answer."""
    if isinstance(error, StageError):
        return Problem(at, _clipped(str(error), 500), error)
    notes = [note.removeprefix("ragdiag: ") for note in getattr(error, "__notes__", ())]
    what = f"expected an answer, got {type(error).__name__}: {_clipped(str(error))}"
    return Problem(at, f"{what} ({', '.join(notes)})" if notes else what, error)


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


def _clipped(text: str, limit: int = 200) -> str:
    # As Python would write it, so that a lone surrogate or a control character can be printed.
    printable = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text[:limit])
    return printable + "…" * (len(text) > limit)
