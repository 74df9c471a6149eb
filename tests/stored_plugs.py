"""For tests of the store: plugs that keep what they were asked or must not be asked, and processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from plugs import CountingEmbedder, SeededReranker

from ragdiag import HashingEmbedder
from ragdiag.records import Chunk, Document
from ragdiag.stages.protocols import Searcher, Vectors
from ragdiag.store import Store, StoredEmbedder

PACKAGE_ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class RecordingReranker:
    """Scores by chance, and keeps what it was asked."""

    asked: list[tuple[str, list[str]]] = field(default_factory=list, repr=False)

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        self.asked.append((query, list(texts)))
        return SeededReranker(3).score(query, texts)


@dataclass(frozen=True)
class RecordingChunker:
    """Cuts as another one does, shows itself like it, and keeps which documents it was given."""

    inner: Any
    given: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        return repr(self.inner)

    def chunk(self, document: Document) -> Sequence[Chunk]:
        self.given.append(document.id)
        return self.inner.chunk(document)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class RecordingRetriever:
    """Builds as another one does, shows itself like it, and keeps how many chunks it was given."""

    inner: Any
    built: list[int] = field(default_factory=list)

    def __repr__(self) -> str:
        return repr(self.inner)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "inner":
            raise AttributeError(name)
        return getattr(self.inner, name)

    def build(self, chunks: Sequence[Chunk], vectors: Vectors | None) -> Searcher:
        self.built.append(len(chunks))
        return self.inner.build(chunks, vectors)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Silent:
    """Must not be asked anything, and shows itself like the plug that it stands for."""

    called: str

    def __repr__(self) -> str:
        return self.called

    def chunk(self, document: Document) -> Sequence[Chunk]:
        raise AssertionError(document)

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        raise AssertionError(texts)

    embed_queries = embed_documents

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        raise AssertionError(texts)

    def build(self, chunks: Sequence[Chunk], vectors: Vectors | None) -> Searcher:
        raise AssertionError(chunks, vectors)

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        raise AssertionError(query, texts)


def recording(**options: Any) -> CountingEmbedder:
    """An embedder that keeps what it was asked."""
    return CountingEmbedder(HashingEmbedder(8, **options))


def kept(path: Path) -> StoredEmbedder:
    """The embedder of a folder that must hold all that it is asked for."""
    return Store(path).embedder(Silent(repr(HashingEmbedder(8))))


def script(*lines: str) -> list[str]:
    """The command that runs some lines in a process of its own, which must be given a path."""
    imports = [
        "import os, signal, sys, warnings",
        "import numpy as np",
        "from ragdiag import HashingEmbedder",
        "from ragdiag.store import Store",
        "inner, path = HashingEmbedder(8), sys.argv[1]",
    ]
    return [sys.executable, "-c", "\n".join([*imports, *lines])]


def run_script(path: Path, *lines: str) -> int:
    """How a process ends that runs some lines."""
    return subprocess.run([*script(*lines), path], cwd=PACKAGE_ROOT, check=False).returncode


def shards(path: Path) -> list[Path]:
    """All shards of a store."""
    return sorted(path.rglob("*.npy"))
