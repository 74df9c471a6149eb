"""A FAISS index in a file, with what it takes to tell whether it belongs to given chunks and vectors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragdiag.errors import DataError
from ragdiag.files import open_atomically
from ragdiag.stages.protocols import Similarity, Vectors

__all__ = ["FaissFile", "read_recipe", "sketch_of"]

_FORMAT = 1
_SKETCHED = 4  # numbers a row: with these few, another vector passes for the same once in 10^12 or so
_ROUNDING = 1e-4  # of a row's length: more than embedders differ by from batch to batch or machine to machine
_BLOCK = 8192


@dataclass(frozen=True, eq=False)
class FaissFile:
    """What a file holds.

    Attributes:
        factory: as in `FaissRetriever`, like ``metric`` and ``parameters``.
        chunk_ids: the ids of the chunks, a chunk a row of the index.
        dimension: of the vectors.
        sketch: `sketch_of` the rows, shape (chunks, 4).
        index: the FAISS index.
    """

    factory: str
    metric: Similarity
    parameters: Mapping[str, float]
    chunk_ids: Sequence[str]
    dimension: int
    sketch: NDArray[np.float64]
    index: Any

    def write(self, path: str | Path) -> None:
        """Write the file; it appears, or replaces the one before, only when all of it is written.

        Raises:
            DataError: it cannot be written.
        """
        import faiss

        about = {
            "format": _FORMAT,
            "faiss": faiss.__version__,
            "factory": self.factory,
            "metric": self.metric,
            "parameters": {name: float(value) for name, value in self.parameters.items()},
            "dimension": self.dimension,
        }
        index = faiss.serialize_index(self.index)
        with open_atomically(path) as file:
            np.savez(
                file,
                about=_from_json(about),
                chunk_ids=_from_json(list(self.chunk_ids)),
                sketch=self.sketch,
                index=index,
            )

    @classmethod
    def read(cls, path: str | Path) -> FaissFile:
        """Read a file back.

        Raises:
            DataError: it cannot be read, is damaged, or no file that `write` wrote.
        """
        import faiss

        about, parts = _read(path, "chunk_ids", "sketch", "index")
        try:
            return cls(
                factory=about["factory"],
                metric=about["metric"],
                parameters=about["parameters"],
                chunk_ids=_to_json(parts["chunk_ids"]),
                dimension=about["dimension"],
                sketch=parts["sketch"],
                index=faiss.deserialize_index(parts["index"]),
            )
        except RuntimeError as error:
            raise DataError(
                f"{path}: FAISS {faiss.__version__} cannot read the index, which FAISS {about['faiss']} "
                f"wrote: {error}"
            ) from error

    def difference(self, chunk_ids: Sequence[str], rows: Vectors) -> str:
        """How chunks and the rows of their index differ from what is stored, in words; empty if not at all.

        Rows that differ by no more than rounding are the same: models round differently on other machines.
        """
        if list(chunk_ids) != list(self.chunk_ids):
            return _difference_of_ids(self.chunk_ids, chunk_ids)
        if rows.shape[1] != self.dimension:
            return f"its vectors have {self.dimension} dimensions, those of the pipeline {rows.shape[1]}"
        lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))[:, None]
        apart = np.abs(sketch_of(rows) - self.sketch) > _ROUNDING * lengths
        others = np.flatnonzero(apart.any(axis=1))
        if not len(others):
            return ""
        return (
            f"{len(others)} of {len(rows)} chunks have other vectors now, the first is "
            f"{self.chunk_ids[others[0]]!r}: their texts or the embedder changed"
        )


def read_recipe(path: str | Path) -> Mapping[str, Any]:
    """How the index in a file was built: ``factory``, ``metric`` and ``parameters``; quick.

    Raises:
        DataError: the file cannot be read, is damaged, or no file that `FaissFile.write` wrote.
    """
    about, _ = _read(path)
    return {name: about[name] for name in ("factory", "metric", "parameters")}


def sketch_of(rows: Vectors) -> NDArray[np.float64]:
    """A few numbers a row that tell vectors apart but hardly move with rounding, shape (len(rows), 4).

    They are the products with fixed, irregular directions; a hash would tell last digits apart.
    """
    places = np.arange(1, rows.shape[1] + 1, dtype=np.float64)[:, None]
    directions = np.cos(np.square(places) * np.sqrt(np.arange(2, 2 + _SKETCHED)))
    sketch = np.empty((len(rows), _SKETCHED))
    for start in range(0, len(rows), _BLOCK):
        sketch[start : start + _BLOCK] = rows[start : start + _BLOCK].astype(np.float64) @ directions
    return sketch


def _read(path: str | Path, *names: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    try:
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as archive:
            about = _to_json(archive["about"])
            if about["format"] == _FORMAT:
                return about, {name: archive[name] for name in names}
            found = about["format"]
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    except Exception as error:  # what is wrong with a damaged archive may be anything
        raise DataError(
            f"{path}: is damaged, or no index that FaissSearcher.save wrote ({type(error).__name__}: {error})"
        ) from error
    raise DataError(f"{path}: has the format {found!r}, and this version of ragdiag reads {_FORMAT}")


def _difference_of_ids(stored: Sequence[str], given: Sequence[str]) -> str:
    row = next(
        (row for row, (one, other) in enumerate(zip(stored, given, strict=False)) if one != other),
        min(len(stored), len(given)),
    )
    there, here = (repr(ids[row]) if row < len(ids) else "none" for ids in (stored, given))
    return (
        f"it holds {len(stored)} chunks, the pipeline has {len(given)}, and the first that differs is chunk "
        f"{row}: {there} there, {here} here"
    )


def _from_json(value: object) -> NDArray[np.uint8]:
    return np.frombuffer(json.dumps(value).encode("ascii"), dtype=np.uint8)


def _to_json(array: NDArray[np.uint8]) -> Any:
    return json.loads(array.tobytes())
