"""Chunkers by name: short names that tell them apart, where only the chunkers themselves are given."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from ragdiag.errors import ConfigError
from ragdiag.stages.protocols import Chunker, require_plug

__all__ = ["Chunkers", "named_chunkers"]

Chunkers: TypeAlias = Mapping[str, Chunker] | Sequence[Chunker]
"""Chunkers by name, or those that are named by what they show themselves as."""


def named_chunkers(chunkers: Chunkers) -> dict[str, Chunker]:
    """The chunkers by name; those of a list are named by their reprs, shortened to what differs.

    Arguments by position stay; options stay where they are not what most chunkers of the class have (of as
    many, the first). Where that does not tell two of them apart, each of the two keeps its whole repr.

    Raises:
        ConfigError: fewer than two, one that is no chunker, a name that is no text, or two that show
            themselves as the same.

    Example:
        >>> from ragdiag import RecursiveChunker, SentenceChunker
        >>> list(named_chunkers([RecursiveChunker(200), RecursiveChunker(400), SentenceChunker(300)]))
        ['Recursive(200)', 'Recursive(400)', 'Sentence(300)']
        >>> list(named_chunkers([RecursiveChunker(200), RecursiveChunker(200, overlap=50)]))
        ['Recursive(200)', 'Recursive(200, overlap=50)']
    """
    given: object = chunkers
    if isinstance(given, str) or not isinstance(given, Mapping | Sequence):
        raise ConfigError(f"chunkers must be a mapping of names to chunkers, or a list, got {given!r}")
    for place, chunker in chunkers.items() if isinstance(chunkers, Mapping) else enumerate(chunkers, start=1):
        require_plug("chunker", chunker, called=f"chunker {place!r}")
    if isinstance(chunkers, Mapping):
        found = dict(chunkers)
    else:
        found = dict(zip(_shortened([repr(chunker) for chunker in chunkers]), chunkers, strict=True))
    if len(found) < 2:
        raise ConfigError(f"a comparison needs at least two chunkers, got {', '.join(found) or 'none'}")
    for name in found:
        if not isinstance(name, str) or not name.strip():
            raise ConfigError(f"the name of a chunker must be a text, got {name!r}")
    return found


def _shortened(shown: Sequence[str]) -> list[str]:
    """A shorter text for each that is unlike all others.

    Raises:
        ConfigError: two are the same.
    """
    if repeated := [text for text, times in Counter(shown).items() if times > 1]:
        raise ConfigError(
            f"two chunkers show themselves as {repeated[0]}: give a mapping of names to chunkers"
        )
    short = [_without_suffix(text) for text in _short([_parsed(text) for text in shown], shown)]
    return [
        brief if short.count(brief) == 1 and brief not in shown else whole
        for brief, whole in zip(short, shown, strict=True)
    ]


def _without_suffix(text: str) -> str:
    """Without what goes without saying: the word, and the parentheses of one without arguments."""
    return re.sub(r"(?<=\w)Chunker(?=\()", "", text).removesuffix("()")


def _parsed(text: str) -> ast.expr | None:
    """A repr as an expression; None where it is none."""
    try:
        return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None


def _short(calls: Sequence[ast.expr | None], shown: Sequence[str]) -> list[str]:
    """Each expression without the options in which it is like most others of its kind."""
    kinds = [(ast.dump(call.func), len(call.args)) if isinstance(call, ast.Call) else None for call in calls]
    short = list(shown)
    for kind in dict.fromkeys(kinds):
        places = [place for place, own in enumerate(kinds) if own == kind]
        alike = [call for place in places if isinstance(call := calls[place], ast.Call)]
        if not alike:
            continue
        arguments = [
            _short([call.args[i] for call in alike], [ast.unparse(call.args[i]) for call in alike])
            for i in range(len(alike[0].args))
        ]
        options = [{str(o.arg): ast.unparse(o.value) for o in call.keywords} for call in alike]
        usual = {
            name: Counter(values).most_common(1)[0][0]
            for name in dict.fromkeys(name for of_one in options for name in of_one)
            if (values := [of_one[name] for of_one in options if name in of_one])
        }
        for row, (place, call) in enumerate(zip(places, alike, strict=True)):
            parts = [argument[row] for argument in arguments]
            parts += [f"{name}={value}" for name, value in options[row].items() if value != usual[name]]
            short[place] = f"{ast.unparse(call.func)}({', '.join(parts)})"
    return short
