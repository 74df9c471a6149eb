"""The command ``ragdiag``: the demo, a diagnosis of one's own pipeline, and two diagnoses side by side.

Results go to standard output, everything else to standard error. The exit status is 0 when the work is done,
2 for a usage or data error (one line that begins with ``ragdiag: error:``), 130 when interrupted. Anything
else is a bug, here or in a plug, and shows its traceback.
"""

from __future__ import annotations

import argparse
import html
import io
import json
import os
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from ragdiag import __version__
from ragdiag.errors import DataError, RagdiagError, RagdiagWarning

if TYPE_CHECKING:
    from ragdiag.diagnosis.compare import Comparison
    from ragdiag.diagnosis.result import Diagnosis
    from ragdiag.records import Query

__all__ = ["main"]

_LATENCY_QUERIES = 100

_DIAGNOSE = """\
Run a pipeline over documents and queries, and say which stage lost evidence."""

_DIAGNOSE_EXAMPLE = """\
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
"""

_COMPARE = """\
Put two saved diagnoses of the same queries side by side: which one is better,
at which stages, and which units of evidence it lost or regained."""

_COMPARE_EXAMPLE = """\
example:
  ragdiag compare before.jsonl after.jsonl --html comparison.html

Both files are written by ragdiag diagnose --save. The questions and their
evidence must be the same; pipelines, documents and settings may differ.
Differences are those of the second from the first: above 0, it has more.
"""

_DEMO = """\
Diagnose a pipeline over this project's handbook: its documents, questions and
evidence are packaged with ragdiag. Needs the extra "static":
  pip install 'ragdiag-toolkit[static]'"""

_DEMO_EXAMPLE = """\
example:
  ragdiag demo
  ragdiag demo --mistakes
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with ``arguments``, those of the process where not given; the exit status.

    Raises:
        SystemExit: by argparse, for ``--help``, ``--version`` (status 0) and usage errors (2).
    """
    _use_utf8()
    try:
        options = _parse(arguments)
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        _discard_output()
    except KeyboardInterrupt:
        return 130
    except (RagdiagError, OSError) as error:
        notes = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
        print(f"ragdiag: error: {_one_line(f'{error}{notes}')}", file=sys.stderr)
        return 2
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    try:
        return _parser().parse_args(arguments)
    except SystemExit:
        sys.stdout.flush()  # the help may go to a pipe that nobody reads to its end
        raise


# Commands


def _demo(options: argparse.Namespace) -> None:
    from ragdiag.demo import demo_data, demo_pipeline
    from ragdiag.diagnosis.diagnose import diagnose

    documents, queries = demo_data()
    _check_explained(options.explain, queries)
    pipeline = demo_pipeline(mistakes=options.mistakes)
    _print(diagnose(pipeline, documents, queries, latency_queries=_LATENCY_QUERIES), options.explain)


def _diagnose(options: argparse.Namespace) -> None:
    from ragdiag.diagnosis.diagnose import diagnose
    from ragdiag.formats import read_documents, read_pipeline, read_queries

    outputs: dict[str, Callable[[Diagnosis, Path], None]] = {
        "json": _write_json,
        "markdown": _write_markdown,
        "html": _write_html,
        "save": _write_save,
    }
    wanted = {name: path for name in outputs if (path := getattr(options, name)) is not None}
    inputs = {name: getattr(options, name) for name in ("documents", "queries", "sources", "pipeline")}
    _check_outputs(wanted, {f"--{name}": path for name, path in inputs.items() if path is not None})

    pipeline = read_pipeline(options.pipeline)
    documents = read_documents(options.documents)
    sources = None if options.sources is None else read_documents(options.sources)
    queries = read_queries(options.queries, documents if sources is None else sources)
    _check_explained(options.explain, queries)
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
        latency_queries=_LATENCY_QUERIES,
    )
    # Files first: who closes the pipe early still gets them.
    for name, path in wanted.items():
        outputs[name](diagnosis, path)
    _print(diagnosis, options.explain)


def _compare(options: argparse.Namespace) -> None:
    from ragdiag.diagnosis.compare import compare
    from ragdiag.diagnosis.result import Diagnosis

    outputs: dict[str, Callable[[Comparison, Path], None]] = {"json": _write_json, "html": _write_comparison}
    wanted = {name: path for name in outputs if (path := getattr(options, name)) is not None}
    _check_outputs(wanted, {"A.jsonl": options.first, "B.jsonl": options.second})
    first, second = (Diagnosis.load(path) for path in (options.first, options.second))
    comparison = compare(first, second, names=(str(options.first), str(options.second)))
    for name, path in wanted.items():
        outputs[name](comparison, path)
    print(str(comparison).rstrip("\n"))


def _print(diagnosis: Diagnosis, explained: str | None) -> None:
    print(str(diagnosis).rstrip("\n"))
    if explained is not None:
        print("\n" + str(diagnosis.explain(explained)).rstrip("\n"))


def _write_json(result: Diagnosis | Comparison, path: Path) -> None:
    _write(path, json.dumps(result.to_dict(), ensure_ascii=False, allow_nan=False, indent=2) + "\n")


def _write_markdown(diagnosis: Diagnosis, path: Path) -> None:
    _write(path, diagnosis.to_markdown())


def _write_html(diagnosis: Diagnosis, path: Path) -> None:
    from ragdiag.report.html import diagnosis_html

    _write_page(path, f"ragdiag: recall {diagnosis.recall:.3f}", diagnosis_html(diagnosis))


def _write_comparison(comparison: Comparison, path: Path) -> None:
    from ragdiag.report.html import comparison_html

    _write_page(path, f"ragdiag: {' and '.join(comparison.names)}", comparison_html(comparison))


def _write_page(path: Path, title: str, fragment: str) -> None:
    _write(
        path,
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n</head>\n<body>\n{fragment}\n</body>\n</html>\n",
    )


def _write_save(diagnosis: Diagnosis, path: Path) -> None:
    diagnosis.save(path)


def _write(path: Path, text: str) -> None:
    from ragdiag.files import open_atomically

    with open_atomically(path) as file:
        # Lone surrogates, which UTF-8 cannot hold, become "\udc80": in JSON that is how they are written.
        file.write(text.encode("utf-8", errors="backslashreplace"))


# Checks before the long run


class _NothingToWriteError(Exception):
    """Leaves `open_atomically` without writing."""


def _check_outputs(outputs: Mapping[str, Path], inputs: Mapping[str, Path]) -> None:
    """Check that each file can be written, and that none would overwrite another or an input.

    Inputs are given by what they are called on the command line, outputs by their options without the dashes.
    """
    from ragdiag.files import open_atomically

    taken = {os.path.realpath(path): name for name, path in inputs.items()}
    for name, path in outputs.items():
        option = f"--{name}"
        other = taken.setdefault(os.path.realpath(path), option)
        if other != option:
            raise DataError(f"{option} and {other} name the same file: {path}")
        with suppress(_NothingToWriteError), open_atomically(path):
            raise _NothingToWriteError


def _check_explained(query_id: str | None, queries: Sequence[Query]) -> None:
    if query_id is None:
        return
    query = next((query for query in queries if query.id == query_id), None)
    if query is None:
        raise DataError(f"--explain: no query has the id {query_id!r}")
    if not query.assessed:
        raise DataError(f"--explain: query {query_id!r} has no evidence: nothing can be lost")


# The terminal


def _use_utf8() -> None:
    """Write UTF-8 whatever the locale says; what UTF-8 cannot hold becomes a question mark."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="replace")


def _discard_output() -> None:
    """Nobody reads on: let what is still buffered go nowhere, so that the interpreter's exit is quiet."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def _show_warning(  # noqa: PLR0917  # the signature of warnings.showwarning
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ragdiag",
        description="Which stage of a RAG pipeline lost the evidence?",
        epilog="ragdiag COMMAND --help tells more and shows an example. "
        "Exit status: 0 done, 2 usage or data error, 130 interrupted.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"ragdiag {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, fill, told, description, example in (
        ("demo", _fill_demo, "diagnose a pipeline over the packaged handbook", _DEMO, _DEMO_EXAMPLE),
        ("diagnose", _fill_diagnose, "diagnose your own pipeline", _DIAGNOSE, _DIAGNOSE_EXAMPLE),
        ("compare", _fill_compare, "put two saved diagnoses side by side", _COMPARE, _COMPARE_EXAMPLE),
    ):
        fill(
            commands.add_parser(
                name,
                help=told,
                description=description,
                epilog=example,
                formatter_class=argparse.RawDescriptionHelpFormatter,
                allow_abbrev=False,
            )
        )
    return parser


def _fill_demo(command: argparse.ArgumentParser) -> None:
    command.set_defaults(run=_demo)
    command.add_argument("--mistakes", action="store_true", help="a pipeline with mistakes that people make")
    _add_explain(command)


def _fill_diagnose(command: argparse.ArgumentParser) -> None:
    command.set_defaults(run=_diagnose)
    read = command.add_argument_group("files to read")
    read.add_argument("--documents", type=Path, required=True, metavar="PATH", help="the corpus, as ingested")
    read.add_argument("--queries", type=Path, required=True, metavar="FILE", help="questions with evidence")
    read.add_argument("--pipeline", type=Path, required=True, metavar="FILE", help="the pipeline, as TOML")
    read.add_argument(
        "--sources",
        type=Path,
        metavar="PATH",
        help="the originals in which evidence is anchored, where ingestion changed the text "
        "(default: the documents)",
    )
    write = command.add_argument_group("files to write (the summary goes to standard output in any case)")
    write.add_argument("--json", type=Path, metavar="FILE", help="the tables, as JSON")
    write.add_argument("--markdown", type=Path, metavar="FILE", help="a summary, for a pull request")
    write.add_argument("--html", type=Path, metavar="FILE", help="a report, as one page")
    write.add_argument(
        "--save", type=Path, metavar="FILE", help="the diagnosis, for ragdiag compare and Diagnosis.load"
    )
    command.add_argument(
        "--min-coverage",
        type=float,
        default=1.0,
        metavar="X",
        help="the share from which a unit of evidence counts as delivered, above 0 and up to 1 (default: 1)",
    )
    command.add_argument(
        "--no-copies",
        dest="copies",
        action="store_false",
        help="do not let exact copies of evidence count as evidence",
    )
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
    _add_explain(command)


def _fill_compare(command: argparse.ArgumentParser) -> None:
    command.set_defaults(run=_compare)
    command.add_argument("first", type=Path, metavar="A.jsonl", help="a saved diagnosis")
    command.add_argument("second", type=Path, metavar="B.jsonl", help="another one, of the same queries")
    command.add_argument("--json", type=Path, metavar="FILE", help="the tables, as JSON")
    command.add_argument("--html", type=Path, metavar="FILE", help="a report, as one page")


def _add_explain(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--explain",
        metavar="QUERY_ID",
        help="also tell the story of one query: its evidence, the chunks around it, and what lost it",
    )
