"""What each pipeline of a sweep takes: seconds to index, and the latency of single queries.

Measured after all else, in one process, with the real plugs in place of those that the store answers for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from time import perf_counter

from ragdiag.experiments.sweep.keys import digest, same_plug
from ragdiag.experiments.sweep.measured import Timings
from ragdiag.experiments.sweep.steps import (
    Setting,
    chunk_documents,
    index_of,
    measured_key,
    seconds_to_chunk,
    seconds_to_embed,
)
from ragdiag.index import Index
from ragdiag.pipeline import Pipeline
from ragdiag.progress import track
from ragdiag.stages import boundary

__all__ = ["time_pipelines"]


def time_pipelines(
    setting: Setting, pipelines: Mapping[str, Pipeline], latency_queries: int, *, progress: bool | None
) -> dict[str, Timings]:
    """What each pipeline takes, by name; what is known from before is not measured again."""
    found: dict[str, Timings] = {}
    built: _Built | None = None
    for name, pipeline in track(list(pipelines.items()), "timing", progress=progress):
        key = measured_key(setting, pipeline)
        key = None if key is None else digest("timings", key, latency_queries)
        lines = None if key is None else setting.opened().read_step("timings", key)
        if lines is not None:
            found[name] = Timings.of_line(lines[0])
            continue
        if built is None or not built.serves(pipeline):
            built = _build(setting, pipeline)
        found[name] = _time(setting, pipeline, built, latency_queries)
        if key is not None:
            setting.opened().write_step("timings", key, [found[name].line()], name=repr(pipeline))
    return found


@dataclass(frozen=True, slots=True)
class _Built:
    """An index of the real retriever, and how long it took to build."""

    pipeline: Pipeline
    index: Index
    seconds: float

    def serves(self, pipeline: Pipeline) -> bool:
        """Whether it is the index of a pipeline, too."""
        return all(
            same_plug(getattr(pipeline, stage), getattr(self.pipeline, stage))
            for stage in ("chunker", "embedder", "retriever")
        )


def _build(setting: Setting, pipeline: Pipeline) -> _Built:
    stored, _ = index_of(setting, pipeline)
    began = perf_counter()
    searcher = boundary.build_index(pipeline.retriever, stored.chunks, stored.vectors)
    return _Built(pipeline, replace(stored, searcher=searcher), perf_counter() - began)


def _time(setting: Setting, pipeline: Pipeline, built: _Built, latency_queries: int) -> Timings:
    to_chunk = seconds_to_chunk(setting, pipeline.chunker)
    if to_chunk is None:  # of a chunker whose results are not kept
        to_chunk = _seconds(lambda: chunk_documents(setting, pipeline.chunker))
    real = replace(built.index, pipeline=pipeline)
    asked = setting.queries[:latency_queries]
    real.latency(asked[:1])  # models are loaded, and caches warm
    return Timings(
        chunker=to_chunk,
        embedder=seconds_to_embed(built.index.pipeline.embedder, built.index.chunks),
        retriever=built.seconds,
        latency=tuple(1e3 * each for each in real.latency(asked)["total"]),
    )


def _seconds(work: Callable[[], object]) -> float:
    began = perf_counter()
    work()
    return perf_counter() - began
