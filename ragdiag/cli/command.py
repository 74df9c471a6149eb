"""What each command says of itself and what comes of it, so that `main` need know none of them."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Command", "Output"]


@dataclass(frozen=True, slots=True)
class Output:
    """What a command leaves for `main` to do.

    Attributes:
        text: for standard output.
        status: of the process, whether anybody reads the text or not.
    """

    text: str
    status: int = 0


@dataclass(frozen=True, slots=True)
class Command:
    """One command of the command line.

    Attributes:
        name: what it is called by.
        told: what it does, in the list of all commands.
        description: the same, at the head of its own help.
        example: the end of its help, as it stands.
        fill: adds its options to a parser.
        run: does the work with the parsed options, and writes files.
    """

    name: str
    told: str
    description: str
    example: str
    fill: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], Output]
