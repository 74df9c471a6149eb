"""What the benchmarks share: where the data sets lie, MiniLM with vectors kept on disk, and result files.

Vectors are kept in `benchmarks/cache`, so that only the first run of a benchmark waits for the model.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tiktoken

from ragdiag import Document, Query, SentenceTransformerEmbedder, read_documents, read_queries
from ragdiag.stages.protocols import Similarity, Vectors

HERE = Path(__file__).parent
DATA = Path(os.environ.get("RAGDIAG_DATA", HERE.parent.parent / "shared" / "data"))
CACHE = HERE / "cache"
RESULTS = HERE / "results"


def data_folder(name: str) -> Path:
    """The folder of a data set; ends the program with a clear message where it is missing."""
    folder = DATA / name
    if not folder.is_dir():
        raise SystemExit(f"data set {name!r} not found: set RAGDIAG_DATA to the folder that holds {name}/")
    return folder


def spans_data(name: str) -> tuple[list[Document], list[Query]]:
    """Documents and queries of a data set with span evidence."""
    folder = data_folder(name)
    documents = read_documents(folder / "documents.jsonl")
    return documents, read_queries(folder / "queries.jsonl", documents)


@dataclass(frozen=True)
class StoredEmbedder:
    """An embedder whose vectors are kept on disk, so that a second run embeds nothing."""

    embedder: SentenceTransformerEmbedder
    name: str
    similarity: Similarity = "cosine"

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """One row a text."""
        return self._stored("documents", texts, self.embedder.embed_documents)

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """One row a text."""
        return self._stored("queries", texts, self.embedder.embed_queries)

    def count_tokens(self, texts: Sequence[str]) -> Sequence[int]:
        """As the model counts."""
        return self.embedder.count_tokens(texts)

    def token_vectors(self, texts: Sequence[str]) -> Sequence[Vectors]:
        """As the model gives; kept in memory by the reranker only."""
        return self.embedder.token_vectors(texts)

    def _stored(self, kind: str, texts: Sequence[str], embed: Callable[[Sequence[str]], Vectors]) -> Vectors:
        key = hashlib.blake2b("\0".join(texts).encode("utf-8", "replace"), digest_size=12).hexdigest()
        path = CACHE / f"{self.name}-{kind}-{len(texts)}-{key}.npy"
        if path.exists():
            vectors: Vectors = np.load(path)
            return vectors
        CACHE.mkdir(exist_ok=True)
        vectors = embed(texts)
        part = path.with_suffix(".part.npy")
        np.save(part, vectors)
        part.replace(path)
        return vectors


@dataclass(frozen=True)
class StoredTokens:
    """Token vectors for late interaction that are kept on disk, in half precision.

    One file holds the rows of all texts, one after the other; another has a line a text: its hash, and where
    its rows begin and end. A text that is not there yet is encoded and added.
    """

    embedder: SentenceTransformerEmbedder
    name: str
    dimensions: int
    _bounds: dict[str, tuple[int, int]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        CACHE.mkdir(exist_ok=True)
        self._rows.touch()
        self._lines.touch()
        for line in self._lines.read_text(encoding="ascii").splitlines():
            key, start, stop = line.split()
            self._bounds[key] = int(start), int(stop)

    def token_vectors(self, texts: Sequence[str]) -> Sequence[Vectors]:
        """An array (tokens, dimensions) a text."""
        keys = {
            text: hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).hexdigest()
            for text in texts
        }
        missing = [text for text, key in keys.items() if key not in self._bounds]
        if missing:
            encoded = self.embedder.token_vectors(missing)
            self._add([keys[text] for text in missing], encoded)
        # As plain arrays: every operation on a memmap costs extra, and the reranker would keep them as such.
        stored = np.asarray(np.memmap(self._rows, dtype=np.float16, mode="r")).reshape(-1, self.dimensions)
        return [stored[slice(*self._bounds[keys[text]])].astype(np.float32) for text in texts]

    def _add(self, keys: Sequence[str], encoded: Sequence[Vectors]) -> None:
        start = self._rows.stat().st_size // (2 * self.dimensions)
        with self._rows.open("ab") as rows, self._lines.open("a", encoding="ascii") as lines:
            for key, vectors in zip(keys, encoded, strict=True):
                rows.write(vectors.astype(np.float16).tobytes())
                rows.flush()  # a line must never name rows that are not there
                self._bounds[key] = start, start + len(vectors)
                lines.write(f"{key} {start} {start + len(vectors)}\n")
                start += len(vectors)

    @property
    def _rows(self) -> Path:
        return CACHE / f"{self.name}-tokens.float16"

    @property
    def _lines(self) -> Path:
        return CACHE / f"{self.name}-tokens.txt"


def cl100k() -> tiktoken.Encoding:
    """The encoding cl100k_base, without a network, as the tests have it."""
    sys.path.append(str(HERE.parent / "tests"))
    from published_encodings import load

    with tempfile.TemporaryDirectory() as folder:
        encoding = load("cl100k_base", Path(folder))
    if encoding is None:
        raise SystemExit("cl100k_base comes with the wheel quicktok-v1, which is not installed")
    return encoding


def minilm() -> StoredEmbedder:
    """all-MiniLM-L6-v2 from its wheel."""
    return StoredEmbedder(SentenceTransformerEmbedder.packaged_minilm(), "minilm")


def minilm_tokens(embedder: StoredEmbedder) -> StoredTokens:
    """The token vectors of the same model."""
    return StoredTokens(embedder.embedder, embedder.name, dimensions=384)


def write_result(name: str, text: str, values: dict[str, Any]) -> None:
    """Print a result, and keep it as Markdown and JSON."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(text.rstrip() + "\n", encoding="utf-8")
    (RESULTS / f"{name}.json").write_text(
        json.dumps(values, indent=1, sort_keys=True) + "\n", encoding="utf-8"
    )
    print(text)
