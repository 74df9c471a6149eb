"""``ragdiag chunking``: several chunkers over one's own documents and queries."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragdiag.cli.arguments import add_inputs, add_reports, add_rules, add_sources
from ragdiag.cli.command import Command, Output
from ragdiag.cli.files import wanted_outputs, write_json, write_markdown, write_page
from ragdiag.errors import ConfigError

if TYPE_CHECKING:
    from ragdiag.experiments.chunking import ChunkerComparison, Prices
    from ragdiag.pipeline import Pipeline
    from ragdiag.stages.protocols import Chunker

__all__ = ["CHUNKING"]

_PICTURES = (".png", ".svg")


def _fill(command: argparse.ArgumentParser) -> None:
    read = command.add_argument_group("files to read")
    add_inputs(read)
    read.add_argument(
        "--chunkers", type=Path, required=True, metavar="FILE", help="the chunkers, and prices, as TOML"
    )
    read.add_argument(
        "--pipeline",
        type=Path,
        metavar="FILE",
        help="all that stands behind the chunker, as TOML; its own chunker takes no part "
        '(default: the packaged embedder of the extra "static", exact search, top 5)',
    )
    add_sources(read)
    write = command.add_argument_group("files to write (the summary goes to standard output in any case)")
    add_reports(write)
    write.add_argument(
        "--plot",
        type=Path,
        metavar="FILE",
        help="quality against tokens of context, as .png or .svg (needs the extra plots)",
    )
    command.add_argument(
        "--measure",
        metavar="SPEC",
        help="what decides, such as Recall@2048t, All or IoU (default: Recall@1024t where tokens are "
        "counted, else Recall)",
    )
    command.add_argument(
        "--min-effect",
        type=float,
        default=0.02,
        metavar="X",
        help="a difference that is too small to matter (default: 0.02)",
    )
    add_rules(command)
    command.add_argument(
        "--store",
        type=Path,
        metavar="PATH",
        help="a folder that keeps results, so that no text is embedded twice",
    )
    command.add_argument(
        "--workers", type=int, metavar="N", help="how many processes work at a time (default: this one alone)"
    )
    command.add_argument(
        "--latency-queries",
        type=int,
        default=20,
        metavar="N",
        help="measure latency over N queries; 0 leaves out all that is timed (default: 20)",
    )


def _run(options: argparse.Namespace) -> Output:
    from ragdiag.experiments.chunking import compare_chunkers
    from ragdiag.formats import read_documents, read_pipeline, read_queries

    outputs: dict[str, Callable[[ChunkerComparison, Path], None]] = {
        "json": write_json,
        "markdown": write_markdown,
        "html": _write_html,
        "plot": _write_plot,
    }
    names = ("documents", "queries", "chunkers", "pipeline", "sources")
    wanted = wanted_outputs(options, outputs, {f"--{name}": getattr(options, name) for name in names})
    if "plot" in wanted:
        _check_plot(wanted["plot"])
    pipeline = None if options.pipeline is None else read_pipeline(options.pipeline)
    chunkers, pipeline, prices = _read_chunkers(options.chunkers, pipeline)
    documents = read_documents(options.documents)
    sources = None if options.sources is None else read_documents(options.sources)
    queries = read_queries(options.queries, documents if sources is None else sources)
    comparison = compare_chunkers(
        documents,
        queries,
        chunkers,
        pipeline=pipeline,
        measure=options.measure,
        min_effect=options.min_effect,
        prices=prices,
        sources=sources,
        min_coverage=options.min_coverage,
        copies=options.copies,
        store=options.store,
        workers=options.workers,
        latency_queries=options.latency_queries,
    )
    for name, path in wanted.items():
        outputs[name](comparison, path)
    return Output(str(comparison))


# The file of chunkers


def _read_chunkers(
    path: Path, pipeline: Pipeline | None
) -> tuple[dict[str, Chunker], Pipeline, Prices | None]:
    """The chunkers of a file by name, what stands behind them, and the prices.

    Raises:
        ConfigError: as `read_pipeline`; the message names the file and the dotted key.
    """
    from ragdiag.experiments.chunking import Prices
    from ragdiag.experiments.chunking.comparing import usual_pipeline
    from ragdiag.formats.configuration import read_plug, read_settings
    from ragdiag.formats.jsonl import located
    from ragdiag.formats.options import call
    from ragdiag.stages.chunkers import RecursiveChunker

    base = usual_pipeline(RecursiveChunker()) if pipeline is None else pipeline
    with located(str(path)):
        settings = read_settings(path)
        unknown = settings.keys() - {"chunkers", "prices"}
        if unknown:
            raise ConfigError(f"{min(unknown)}: is not known; expected [chunkers.NAME] tables and [prices]")
        tables = _table(settings, "chunkers")
        chunkers = {
            name: read_plug("chunker", table, base.embedder, f"chunkers.{name}")
            for name, table in tables.items()
        }
        prices = call(Prices, _table(settings, "prices"), "prices") if "prices" in settings else None
    return chunkers, base, prices


def _table(settings: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    table = settings.get(key)
    if not isinstance(table, dict):
        came = "is missing" if table is None else f"expected a table, got {table!r}"
        raise ConfigError(f"{key}: {came}")
    return table


# Files


def _write_html(comparison: ChunkerComparison, path: Path) -> None:
    from ragdiag.report.html.chunking import chunkers_html

    write_page("ragdiag: comparison of chunkers", chunkers_html(comparison), path)


def _check_plot(path: Path) -> None:
    """Refuse before the long run what could not be drawn after it."""
    from ragdiag.report.chunking_pictures import require_matplotlib

    if path.suffix.lower() not in _PICTURES:
        raise ConfigError(f"--plot must end in {' or '.join(_PICTURES)}, got {path}")
    require_matplotlib()


def _write_plot(comparison: ChunkerComparison, path: Path) -> None:
    from ragdiag.files import open_atomically
    from ragdiag.report.chunking_pictures import picture_bytes

    drawn = picture_bytes(comparison.plot(), path.suffix.lower().removeprefix("."))
    with open_atomically(path) as file:
        file.write(drawn)


CHUNKING = Command(
    name="chunking",
    told="compare chunkers on your own documents and questions",
    description="""\
Run several chunkers before the same pipeline, and say which serves these
documents and questions best, as far as statistics carry, and at which stage.""",
    example="""\
example:
  ragdiag chunking --documents docs.jsonl --queries queries.jsonl \\
      --chunkers chunkers.toml --html chunkers.html --plot chunkers.png

chunkers: a .toml file, such as
  [chunkers.small]
  kind = "recursive"
  size = 200
  [chunkers.sections]
  kind = "markdown"
  size = 800
  [prices]              # may be left out
  embedding = 0.02      # a million tokens that are embedded
  context = 2.5         # a million tokens of context
  reranking = 2.0       # a thousand pairs

Chunks are compared at a budget of tokens; --measure Recall compares contexts
of top_k chunks, in which larger chunks bring more text.

A chunker of your own is kind = "package.module:Name". It is imported and
called, so read only files that you trust; set PYTHONPATH to its folder.
""",
    fill=_fill,
    run=_run,
)
