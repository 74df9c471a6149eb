"""A FAISS index that was built before, in place of building one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import ClassVar

from ragdiag.errors import ConfigError
from ragdiag.records import Chunk
from ragdiag.stages.protocols import Similarity, Vectors
from ragdiag.stages.retrievers.faiss_file import FaissFile, read_recipe
from ragdiag.stages.retrievers.faiss_index import FaissRetriever, FaissSearcher

__all__ = ["SavedFaissRetriever"]


@dataclass(frozen=True)
class SavedFaissRetriever:
    """The index that ``searcher.save(path)`` wrote, searched as it was: the same hits, to the last bit.

    The file is only used for the chunks and vectors that it was built from: the same ids in the same order,
    and the same vectors up to rounding (1e-4 of their length). For anything else `build` raises and says what
    differs. Re-runs of a diagnosis, which search other chunks too, build them an index by the same `recipe`.

    Args:
        path: the file; it is read when an index is built, and must come from where you trust, as FAISS reads
            it.
        parameters: search-time parameters beside or in place of the saved ones (``ht`` only in place: it
            needs an index that was trained for it).

    Raises:
        ConfigError: a parameter that cannot work; on `build`, an index of other chunks or vectors, or no
            vectors at all.
        DataError: on `build`, a file that cannot be read, is damaged or holds something else.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from ragdiag.records import Document, Request
        >>> chunks = [Chunk.of(Document(name, "text"), (0, 4)) for name in ("east", "north")]
        >>> vectors = np.eye(2, dtype=np.float32)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     FaissRetriever("Flat").build(chunks, vectors).save(f"{folder}/faiss.index")
        ...     searcher = SavedFaissRetriever(f"{folder}/faiss.index").build(chunks, vectors)
        >>> searcher.search([Request("q", "?", np.array([0.6, 0.8], dtype=np.float32))], 1)
        [[Hit(chunk_id='north#0-4', score=0.800000011920929)]]
    """

    path: str | Path
    _: KW_ONLY
    parameters: Mapping[str, float] = field(default_factory=dict, hash=False)

    uses_vectors: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", str(self.path))
        FaissRetriever(parameters=self.parameters)  # refuses what cannot be a parameter

    @property
    def recipe(self) -> FaissRetriever:
        """What built the index, and builds one like it over any chunks."""
        built_by = read_recipe(self.path)
        return FaissRetriever(
            built_by["factory"],
            metric=built_by["metric"],
            parameters={**built_by["parameters"], **self.parameters},
        )

    @property
    def metric(self) -> Similarity:
        """What the index computes."""
        return self.recipe.metric

    def build(self, chunks: Sequence[Chunk], vectors: Vectors | None) -> FaissSearcher:
        """The index in the file, if it is that of these chunks and vectors, shape (len(chunks), d)."""
        recipe = self.recipe
        rows = recipe.rows(chunks, vectors)
        stored = FaissFile.read(self.path)
        difference = stored.difference([chunk.id for chunk in chunks], rows)
        if difference:
            raise ConfigError(
                f"the index in {self.path} is not of these chunks: {difference}. Build it again with "
                f"{recipe!r} and save it"
            )
        return recipe.over(stored, chunks)
