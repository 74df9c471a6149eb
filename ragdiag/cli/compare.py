"""``ragdiag compare``: two saved diagnoses of the same queries side by side."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ragdiag.cli.command import Command, Output
from ragdiag.cli.files import wanted_outputs, write_json, write_page

if TYPE_CHECKING:
    from ragdiag.diagnosis.compare import Comparison

__all__ = ["COMPARE"]


def _fill(command: argparse.ArgumentParser) -> None:
    command.add_argument("first", type=Path, metavar="A.jsonl", help="a saved diagnosis")
    command.add_argument("second", type=Path, metavar="B.jsonl", help="another one, of the same queries")
    command.add_argument("--json", type=Path, metavar="FILE", help="the tables, as JSON")
    command.add_argument("--html", type=Path, metavar="FILE", help="a report, as one page")


def _run(options: argparse.Namespace) -> Output:
    from ragdiag.diagnosis.compare import compare
    from ragdiag.diagnosis.result import Diagnosis

    outputs = {"json": write_json, "html": _write_html}
    wanted = wanted_outputs(options, outputs, {"A.jsonl": options.first, "B.jsonl": options.second})
    first, second = (Diagnosis.load(path) for path in (options.first, options.second))
    comparison = compare(first, second, names=(str(options.first), str(options.second)))
    for name, path in wanted.items():
        outputs[name](comparison, path)
    return Output(str(comparison))


def _write_html(comparison: Comparison, path: Path) -> None:
    from ragdiag.report.html import comparison_html

    write_page(f"ragdiag: {' and '.join(comparison.names)}", comparison_html(comparison), path)


COMPARE = Command(
    name="compare",
    told="put two saved diagnoses side by side",
    description="""\
Put two saved diagnoses of the same queries side by side: which one is better,
at which stages, and which units of evidence it lost or regained.""",
    example="""\
example:
  ragdiag compare before.jsonl after.jsonl --html comparison.html

Both files are written by ragdiag diagnose --save. The questions and their
evidence must be the same; pipelines, documents and settings may differ.
Differences are those of the second from the first: above 0, it has more.
""",
    fill=_fill,
    run=_run,
)
