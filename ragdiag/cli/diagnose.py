"""``ragdiag diagnose``: one's own pipeline over one's own documents and queries."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ragdiag.cli.arguments import add_inputs, add_reports, add_rules, add_sources
from ragdiag.cli.command import Command, Output
from ragdiag.cli.explained import LATENCY_QUERIES, add_explain, check_explained, summary
from ragdiag.cli.files import wanted_outputs, write_json, write_markdown, write_page

if TYPE_CHECKING:
    from ragdiag.diagnosis.result import Diagnosis

__all__ = ["DIAGNOSE"]


def _fill(command: argparse.ArgumentParser) -> None:
    read = command.add_argument_group("files to read")
    add_inputs(read)
    read.add_argument("--pipeline", type=Path, required=True, metavar="FILE", help="the pipeline, as TOML")
    add_sources(read)
    write = command.add_argument_group("files to write (the summary goes to standard output in any case)")
    add_reports(write)
    write.add_argument(
        "--save", type=Path, metavar="FILE", help="the diagnosis, for ragdiag compare and Diagnosis.load"
    )
    add_rules(command)
    proof = command.add_argument_group("proof (lost evidence is asked for again with stages made ideal)")
    proof.add_argument(
        "--no-verify", dest="verify", action="store_false", help="leave it out: losses are only observed"
    )
    proof.add_argument(
        "--no-causes",
        dest="causes",
        action="store_false",
        help="do not look into what exactly is wrong at the stage that lost evidence",
    )
    proof.add_argument(
        "--shapley",
        action="store_true",
        help="try every set of stages, and share the blame out among them; takes many re-runs",
    )
    proof.add_argument(
        "--max-extra-calls",
        type=int,
        metavar="N",
        help="embed and rerank at most N texts and pairs for it (default: as many as it takes)",
    )
    add_explain(command)


def _run(options: argparse.Namespace) -> Output:
    from ragdiag.diagnosis.diagnose import diagnose
    from ragdiag.formats import read_documents, read_pipeline, read_queries

    outputs: dict[str, Callable[[Diagnosis, Path], None]] = {
        "json": write_json,
        "markdown": write_markdown,
        "html": _write_html,
        "save": _write_save,
    }
    inputs = {f"--{name}": getattr(options, name) for name in ("documents", "queries", "sources", "pipeline")}
    wanted = wanted_outputs(options, outputs, inputs)

    pipeline = read_pipeline(options.pipeline)
    documents = read_documents(options.documents)
    sources = None if options.sources is None else read_documents(options.sources)
    queries = read_queries(options.queries, documents if sources is None else sources)
    check_explained(options.explain, queries)
    diagnosis = diagnose(
        pipeline,
        documents,
        queries,
        sources=sources,
        min_coverage=options.min_coverage,
        copies=options.copies,
        verify=options.verify,
        causes=options.causes,
        shapley=options.shapley,
        max_extra_calls=options.max_extra_calls,
        latency_queries=LATENCY_QUERIES,
    )
    for name, path in wanted.items():
        outputs[name](diagnosis, path)
    return Output(summary(diagnosis, options.explain))


def _write_html(diagnosis: Diagnosis, path: Path) -> None:
    from ragdiag.report.html import diagnosis_html

    write_page(f"ragdiag: recall {diagnosis.recall:.3f}", diagnosis_html(diagnosis), path)


def _write_save(diagnosis: Diagnosis, path: Path) -> None:
    diagnosis.save(path)


DIAGNOSE = Command(
    name="diagnose",
    told="diagnose your own pipeline",
    description="""\
Run a pipeline over documents and queries, and say which stage lost evidence.""",
    example="""\
example:
  ragdiag diagnose --documents docs.jsonl --queries queries.jsonl \\
      --pipeline pipeline.toml --html report.html --save diagnosis.jsonl

documents: a .jsonl file, or a folder of .md and .txt files; a line is
  {"id": "returns", "text": "Goods may be returned within 30 days."}

queries: a .jsonl file; a line is
  {"id": "q1", "text": "How long?",
   "evidence": [{"doc_id": "returns", "quote": "within 30 days"}]}

pipeline: a .toml file, such as
  candidates = 50
  top_k = 5
  [chunker]
  kind = "markdown"
  [embedder]
  kind = "static"
  [retriever]
  kind = "exact"

A stage of your own is kind = "package.module:Name". It is imported and
called, so read only files that you trust; set PYTHONPATH to its folder.
""",
    fill=_fill,
    run=_run,
)
