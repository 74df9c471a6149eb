"""The command ``ragdiag``: `main`, and what all commands have in common.

Results go to standard output, everything else to standard error. The exit status is 0 when the work is done,
2 for a usage or data error (one line that begins with ``ragdiag: error:``), 130 when interrupted; ``ragdiag
gate`` adds 1 and 3. Anything else is a bug, here or in a plug, and shows its traceback.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence

from ragdiag import __version__
from ragdiag.cli.cache import CACHE
from ragdiag.cli.chunking import CHUNKING
from ragdiag.cli.compare import COMPARE
from ragdiag.cli.demo import DEMO
from ragdiag.cli.diagnose import DIAGNOSE
from ragdiag.cli.gate import GATE
from ragdiag.cli.terminal import discard_output, show_error, show_warning, use_utf8
from ragdiag.errors import RagdiagError

__all__ = ["main"]

_COMMANDS = (DEMO, DIAGNOSE, COMPARE, CHUNKING, GATE, CACHE)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with ``arguments``, those of the process where not given; the exit status.

    Raises:
        SystemExit: by argparse, for ``--help``, ``--version`` (status 0) and usage errors (2).
    """
    use_utf8()
    status = 0
    try:
        options = _parse(arguments)
        with warnings.catch_warnings():
            warnings.showwarning = show_warning
            output = options.run(options)
        status = output.status
        print(output.text.rstrip("\n"))
        sys.stdout.flush()
    except BrokenPipeError:
        discard_output()
    except KeyboardInterrupt:
        return 130
    except (RagdiagError, OSError) as error:
        show_error(error)
        return 2
    return status


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    try:
        return _parser().parse_args(arguments)
    except SystemExit:
        sys.stdout.flush()  # the help may go to a pipe that nobody reads to its end
        raise


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ragdiag",
        description="Which stage of a RAG pipeline lost the evidence?",
        epilog="ragdiag COMMAND --help tells more and shows an example. "
        "Exit status: 0 done, 2 usage or data error, 130 interrupted; gate adds 1 (fails) and 3 (cannot be "
        "told).",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"ragdiag {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in _COMMANDS:
        filled = commands.add_parser(
            command.name,
            help=command.told,
            description=command.description,
            epilog=command.example,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        command.fill(filled)
        filled.set_defaults(run=command.run)
    return parser
