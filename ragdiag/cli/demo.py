"""``ragdiag demo``: a pipeline over the packaged handbook is diagnosed."""

from __future__ import annotations

import argparse

from ragdiag.cli.command import Command, Output
from ragdiag.cli.explained import LATENCY_QUERIES, add_explain, check_explained, summary

__all__ = ["DEMO"]


def _fill(command: argparse.ArgumentParser) -> None:
    command.add_argument("--mistakes", action="store_true", help="a pipeline with mistakes that people make")
    add_explain(command)


def _run(options: argparse.Namespace) -> Output:
    from ragdiag.demo import demo_data, demo_pipeline
    from ragdiag.diagnosis.diagnose import diagnose

    documents, queries = demo_data()
    check_explained(options.explain, queries)
    pipeline = demo_pipeline(mistakes=options.mistakes)
    diagnosis = diagnose(pipeline, documents, queries, latency_queries=LATENCY_QUERIES)
    return Output(summary(diagnosis, options.explain))


DEMO = Command(
    name="demo",
    told="diagnose a pipeline over the packaged handbook",
    description="""\
Diagnose a pipeline over this project's handbook: its documents, questions and
evidence are packaged with ragdiag. Needs the extra "static":
  pip install 'ragdiag-toolkit[static]'""",
    example="""\
example:
  ragdiag demo
  ragdiag demo --mistakes
""",
    fill=_fill,
    run=_run,
)
