"""What goes to the standard streams, and what they need to take any text."""

from __future__ import annotations

import io
import os
import sys
import warnings
from typing import TextIO

from ragdiag.errors import RagdiagWarning

__all__ = ["discard_output", "show_error", "show_warning", "use_utf8"]


def use_utf8() -> None:
    """Write UTF-8 whatever the locale says; what UTF-8 cannot hold becomes a question mark."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="replace")


def discard_output() -> None:
    """Nobody reads on: let what is still buffered go nowhere, so that the interpreter's exit is quiet."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def show_error(error: BaseException) -> None:
    """An error with its notes as one line."""
    notes = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
    print(f"ragdiag: error: {_one_line(f'{error}{notes}')}", file=sys.stderr)


def show_warning(  # noqa: PLR0917  # the signature of warnings.showwarning
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """A warning of ragdiag's as one line; any other as Python shows it."""
    if issubclass(category, RagdiagWarning):
        print(f"ragdiag: warning: {_one_line(str(message))}", file=sys.stderr)
    else:
        text = warnings.formatwarning(message, category, filename, lineno, line)
        print(text, end="", file=file or sys.stderr)


def _one_line(text: str) -> str:
    """``text`` on one line, with control characters (which a terminal would obey) as escapes."""
    joined = " ".join(text.split("\n"))
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in joined)
