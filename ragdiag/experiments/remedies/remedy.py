"""What a remedy is: the causes that it answers, and how it changes a pipeline.

A remedy changes options by their names, wherever they stand in a plug made of others. So it works for any
plug that has an option of that name and is a dataclass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ragdiag.experiments.parts import change_parts, has_field
from ragdiag.pipeline import Pipeline
from ragdiag.records import Chunk, Document, Query

__all__ = ["Change", "DoesNotApply", "Remedy", "Setting", "change_options", "change_plug", "replacing"]


class DoesNotApply(Exception):  # noqa: N818  # no error: a remedy's answer where it has nothing to change
    """A remedy has nothing to change in this pipeline; the message says why, in plain words."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a remedy is applied to.

    Attributes:
        pipeline: as it was diagnosed.
        queries: that it is asked.
        documents: that it searches.
        chunks: that it makes of them.
    """

    pipeline: Pipeline
    queries: tuple[Query, ...]
    documents: tuple[Document, ...]
    chunks: tuple[Chunk, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """What a remedy makes of it.

    Attributes:
        pipeline: the changed one.
        queries: as they are to be asked now.
        what: what was changed, in plain words with its numbers.
    """

    pipeline: Pipeline
    queries: tuple[Query, ...]
    what: str


@dataclass(frozen=True, slots=True)
class Remedy:
    """One way to mend a pipeline.

    Attributes:
        name: what it is called.
        stage: what it changes: a stage, ``"capacity"`` for k, or ``"queries"``.
        answers: the codes ``stage.cause`` of the findings that suggest it.
        apply: from a setting to what becomes of it; raises `DoesNotApply` where there is nothing to change.
    """

    name: str
    stage: str
    answers: tuple[str, ...]
    apply: Callable[[Setting], Change]


def change_plug(setting: Setting, stage: str, plug: object, what: str) -> Change:
    """The setting with another plug at a stage, or with none."""
    changed: dict[str, Any] = {stage: plug}
    return Change(replace(setting.pipeline, **changed), setting.queries, what)


def change_options(
    setting: Setting, stage: str, names: Sequence[str], choose: Callable[[Any], Mapping[str, object]]
) -> Change:
    """The setting with other options in all parts of a plug that have them.

    Args:
        setting: what is changed.
        stage: of the plug.
        names: the options that a part must have.
        choose: from such a part to its new options by name; those that stay may be among them.

    Raises:
        DoesNotApply: there is no such plug, no part has the options, or all of them stay.
    """
    plug = plug_at(setting.pipeline, stage)
    words: list[str] = []
    stays: list[str] = []

    def change(part: object) -> object:
        if not all(has_field(part, name) for name in names):
            return part
        chosen = choose(part)
        new = {name: value for name, value in chosen.items() if value != getattr(part, name)}
        stays.extend(f"{name} is {getattr(part, name)!r}" for name in chosen if name not in new)
        words.extend(f"{name} from {getattr(part, name)!r} to {value!r}" for name, value in new.items())
        return replace(part, **new) if new else part  # type: ignore[type-var]  # it has fields

    changed = change_parts(stage, plug, change)
    if not words:
        wanted = " with ".join(names)
        why = f": {', '.join(stays)} already" if stays else f" has no option {wanted}"
        raise DoesNotApply(f"the {stage} {type(plug).__name__}{why}")
    return change_plug(setting, stage, changed, ", ".join(words))


def replacing(setting: Setting, stage: str, becomes: Callable[[Any], object], *, why_not: str) -> Change:
    """The setting with other parts in place of some of a plug.

    Args:
        setting: what is changed.
        stage: of the plug.
        becomes: from a part to what stands in its place, or the part itself.
        why_not: why there may be nothing to replace, in plain words.

    Raises:
        DoesNotApply: there is no such plug, or nothing is replaced.
    """
    plug = plug_at(setting.pipeline, stage)
    words: list[str] = []

    def change(part: object) -> object:
        new = becomes(part)
        if new is not part:
            words.append(f"{new!r} in place of {part!r}")
        return new

    changed = change_parts(stage, plug, change)
    if not words:
        raise DoesNotApply(why_not)
    return change_plug(setting, stage, changed, ", ".join(words))


def plug_at(pipeline: Pipeline, stage: str) -> object:
    """The plug of a stage.

    Raises:
        DoesNotApply: the pipeline has none.
    """
    plug = pipeline.plugs.get(stage)
    if plug is None:
        raise DoesNotApply(f"the pipeline has no {stage}")
    return plug
