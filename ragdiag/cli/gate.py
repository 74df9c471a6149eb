"""``ragdiag gate``: whether the pipeline of a saved diagnosis may ship."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ragdiag.cli.command import Command, Output
from ragdiag.cli.files import wanted_outputs, write_json, write_markdown

if TYPE_CHECKING:
    from ragdiag.diagnosis.result import Diagnosis

__all__ = ["GATE"]


def _fill(command: argparse.ArgumentParser) -> None:
    command.add_argument("diagnosis", type=Path, metavar="DIAGNOSIS.jsonl", help="a saved diagnosis")
    command.add_argument(
        "--bar",
        dest="bars",
        action="append",
        default=[],
        metavar="BAR",
        help='what must be kept, such as "recall@5 >= 0.85"; may be given more than once',
    )
    command.add_argument(
        "--confidence",
        type=float,
        default=0.95,
        metavar="X",
        help="of each bound, one-sided, above 0.5 and under 1 (default: 0.95)",
    )
    command.add_argument(
        "--baseline", type=Path, metavar="B.json", help="what it must not be worse than, by --save-baseline"
    )
    command.add_argument(
        "--min-effect",
        type=float,
        default=0.0,
        metavar="X",
        help="the drop of a mean from the baseline that does no harm (default: 0)",
    )
    write = command.add_argument_group("files to write (the verdict goes to standard output in any case)")
    write.add_argument("--markdown", type=Path, metavar="FILE", help="the verdict, for a CI summary")
    write.add_argument("--json", type=Path, metavar="FILE", help="the tables, as JSON")
    write.add_argument(
        "--save-baseline",
        type=Path,
        metavar="FILE",
        help="the diagnosis as a baseline for later ones, whatever the verdict; alone, no bar is needed",
    )


def _run(options: argparse.Namespace) -> Output:
    from ragdiag.diagnosis.result import Diagnosis
    from ragdiag.experiments.gate import Bar, Baseline, Measure, gate

    inputs = {"DIAGNOSIS.jsonl": options.diagnosis, "--baseline": options.baseline}
    wanted = wanted_outputs(options, ("markdown", "json", "save-baseline"), inputs)
    diagnosis = Diagnosis.load(options.diagnosis)
    saved = wanted.get("save-baseline")
    if saved is not None and not options.bars and options.baseline is None:
        return Output(_save(diagnosis, (), saved))
    baseline = None if options.baseline is None else Baseline.load(options.baseline)
    result = gate(
        diagnosis,
        *options.bars,
        confidence=options.confidence,
        baseline=baseline,
        min_effect=options.min_effect,
    )
    for name, write in (("markdown", write_markdown), ("json", write_json)):
        if name in wanted:
            write(result, wanted[name])
    told = str(result)
    if saved is not None:
        bars = map(Bar.parse, options.bars)
        specs = [bar.quantity.name for bar in bars if isinstance(bar.quantity, Measure)]
        told += f"\n{_save(diagnosis, specs, saved)}"
    return Output(told, result.exit_code)


def _save(diagnosis: Diagnosis, measures: Sequence[str], path: Path) -> str:
    """Save a baseline; the line that says so."""
    from ragdiag.experiments.gate import Baseline

    baseline = Baseline.of(diagnosis, measures=measures)
    baseline.save(path)
    return f"Saved {path}: {baseline!r}."


GATE = Command(
    name="gate",
    told="may it ship? bars, and no worse than a baseline",
    description="""\
Judge a saved diagnosis by bars, and against the baseline of a former release:
may this pipeline ship? A bar is passed or failed only where the queries, as a
sample of those to come, show it; else it cannot be told, and with how many
queries it could.""",
    example="""\
example:
  ragdiag gate release.jsonl --save-baseline baseline.json
  ragdiag gate diagnosis.jsonl --bar "recall@5 >= 0.85" \\
      --bar "loss[reranker] <= 0.05" --baseline baseline.json \\
      --min-effect 0.02 --markdown "$GITHUB_STEP_SUMMARY"

bars: QUANTITY >= NUMBER, or <= where less is better. Quantities are
  recall, recall@5, recall@512t (tokens), hit@5, all@5, mrr, precision, iou,
  context_precision   span measures, of the context or of the first chunks
  loss[STAGE]         what a stage loses of recall
  tokens              of a context, in the mean

Exit status: 0 it may ship, 1 it may not, 3 it cannot be told, 2 usage or data
error, such as a baseline of another corpus or other queries.
""",
    fill=_fill,
    run=_run,
)
