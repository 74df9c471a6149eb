"""Chunkers in cl100k tokens, beside their peers: time, and whether offsets and limits are right.

    python benchmarks/chunker_speed.py

Times are ratios to tiktoken encoding the same texts once, taken alternately in one run. Every chunk of every
library is checked afterwards: is its text what stands at its offset, and does it count at most the size when
it is encoded by itself? Texts: the five documents of chroma_chunking; eleven languages, made of Faker's word
lists (seed 0); and the hostile documents of `ragdiag.testing`, longer. Then one document of up to 100 MB:
seconds, and the memory that a process takes at most beyond the text itself.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import chonkie
import semchunk
import tiktoken
from faker import Faker
from langchain_text_splitters import RecursiveCharacterTextSplitter, TokenTextSplitter
from real_data import cl100k, spans_data, write_result

from ragdiag import Document, RecursiveChunker, TokenChunker
from ragdiag.testing import hostile_documents

SIZE = 400
ROUNDS = 7
LANGUAGES = (
    *("en_US", "de_DE", "ru_RU", "el_GR", "ar_AA", "he_IL"),
    *("fa_IR", "zh_CN", "ja_JP", "th_TH", "vi_VN"),
)
MEGABYTES = (12, 25, 50, 100)
PEERS = ("tiktoken", "chonkie", "semchunk", "langchain-text-splitters", "faker")
SECONDS = 60  # what a library may take for the hostile texts

Located = tuple[str, int | None]
"""A chunk's text and where it starts, or None where the library does not say."""


Chunk = Callable[[str], Sequence[Located]]


@dataclass(frozen=True)
class Contender:
    """A library's chunker. It is made anew for every round, so that none remembers what it counted before."""

    name: str
    make: Callable[[], Chunk]


def ours(kind: type[RecursiveChunker | TokenChunker], overlap: int = 0) -> Callable[[], Chunk]:
    """One of ragdiag's chunkers, records and all."""

    def make() -> Chunk:
        chunker = kind(SIZE, overlap=overlap, unit="cl100k_base")
        return lambda text: [(c.text, c.spans[0].start) for c in chunker.chunk(Document("d", text))]

    return make


def of_chonkie(kind: Any, encoding: tiktoken.Encoding) -> Callable[[], Chunk]:
    """One of chonkie's."""

    def make() -> Chunk:
        chunker = kind(encoding, chunk_size=SIZE)
        return lambda text: [(chunk.text, chunk.start_index) for chunk in chunker.chunk(text)]

    return make


def of_semchunk(encoding: tiktoken.Encoding) -> Callable[[], Chunk]:
    """That of semchunk."""

    def make() -> Chunk:
        chunker = semchunk.chunkerify(encoding, chunk_size=SIZE)

        def chunk(text: str) -> list[Located]:
            texts, offsets = chunker(text, offsets=True)
            return [(found, start) for found, (start, _) in zip(texts, offsets, strict=True)]

        return chunk

    return make


def of_langchain(make_splitter: Callable[..., Any]) -> Callable[[], Chunk]:
    """One of LangChain's."""

    def make() -> Chunk:
        splitter = make_splitter(
            encoding_name="cl100k_base",
            chunk_size=SIZE,
            chunk_overlap=0,
            add_start_index=True,
            disallowed_special=(),
        )
        return lambda text: [
            (found.page_content, found.metadata["start_index"]) for found in splitter.create_documents([text])
        ]

    return make


def contenders(encoding: tiktoken.Encoding) -> list[Contender]:
    """Every chunker at 400 tokens; without an overlap but where the name says so."""
    half = SIZE // 2
    return [
        Contender("ragdiag RecursiveChunker", ours(RecursiveChunker)),
        Contender("ragdiag TokenChunker", ours(TokenChunker)),
        Contender(f"ragdiag RecursiveChunker, overlap {half}", ours(RecursiveChunker, half)),
        Contender(f"ragdiag TokenChunker, overlap {half}", ours(TokenChunker, half)),
        Contender("chonkie RecursiveChunker", of_chonkie(chonkie.RecursiveChunker, encoding)),
        Contender("chonkie TokenChunker", of_chonkie(chonkie.TokenChunker, encoding)),
        Contender("semchunk", of_semchunk(encoding)),
        Contender(
            "LangChain RecursiveCharacterTextSplitter",
            of_langchain(RecursiveCharacterTextSplitter.from_tiktoken_encoder),
        ),
        Contender("LangChain TokenTextSplitter", of_langchain(TokenTextSplitter)),
    ]


def multilingual() -> list[str]:
    """A text of about 100,000 characters in each language, paragraphs of made-up sentences."""
    texts = []
    for language in LANGUAGES:
        faker = Faker(language)
        faker.seed_instance(0)
        paragraphs: list[str] = []
        while sum(map(len, paragraphs)) < 100_000:
            paragraphs.append(faker.paragraph(nb_sentences=12))
        texts.append("\n\n".join(paragraphs))
    return texts


def hostile() -> list[str]:
    """The hostile documents of the test kit, and the same kinds at length."""
    values = [{"id": i, "tags": ["a", "b"], "ok": True} for i in range(3600)]
    return [
        *(document.text for document in hostile_documents()),
        json.dumps(values, separators=(",", ":")),
        "x" * 200_000,
        "The lease is lost when it is not renewed. " * 600,
    ]


def faults(text: str, chunks: Sequence[Located], encoding: tiktoken.Encoding) -> dict[str, int]:
    """How many chunks are not what they say, how many count more than the size, and what no chunk holds."""
    wrong, covered, before = 0, bytearray(len(text)), -1
    for chunk, start in chunks:
        right = start is not None and text.startswith(chunk, start) and start > before
        wrong += not right
        if right and start is not None:
            covered[start : start + len(chunk)] = b"\1" * len(chunk)
            before = start
    counts = [len(encoding.encode_ordinary(chunk)) for chunk, _ in chunks]
    lost = sum(not seen and not char.isspace() for seen, char in zip(covered, text, strict=True))
    return {"offsets": wrong, "limits": sum(count > SIZE for count in counts), "lost": lost}


def measure(contender: Contender, texts: Sequence[str], encoding: tiktoken.Encoding) -> dict[str, Any]:
    """The median ratio to encoding once, and the faults of the chunks."""
    ratios = []
    for _ in range(ROUNDS):
        chunk = contender.make()
        started = time.perf_counter()
        for text in texts:
            encoding.encode_ordinary(text)
        encoded = time.perf_counter() - started
        started = time.perf_counter()
        chunks = [chunk(text) for text in texts]
        ratios.append((time.perf_counter() - started) / encoded)
        if sum(ratios) * encoded > SECONDS:
            break
    found = [faults(text, of_text, encoding) for text, of_text in zip(texts, chunks, strict=True)]
    return {
        "ratio": statistics.median(ratios),
        "chunks": sum(map(len, chunks)),
        **{name: sum(fault[name] for fault in found) for name in ("offsets", "limits", "lost")},
    }


def measure_hostile(contender: Contender, encoding: tiktoken.Encoding) -> dict[str, Any]:
    """The faults over the hostile texts, and how many of these raised or were given up."""
    total = {"chunks": 0, "offsets": 0, "limits": 0, "lost": 0, "raised": 0}
    chunk = contender.make()
    for text in hostile():
        try:
            chunks = chunk(text)
            found = faults(text, chunks, encoding)
        except Exception as error:  # noqa: BLE001  # whatever a library raises is what is counted
            print(f"    {contender.name}: {type(error).__name__} on {text[:30]!r}", file=sys.stderr)
            total["raised"] += 1
            continue
        total["chunks"] += len(chunks)
        for name, value in found.items():
            total[name] += value
    return total


def memory(name: str) -> int:
    """The memory of this process in bytes: ``VmRSS`` is that of now, ``VmHWM`` the most there was."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def large(kind: str, megabytes: int) -> None:
    """Chunk one document of so many million characters, in this process; print what it took."""
    encoding = cl100k()
    documents, _ = spans_data("chroma_chunking")
    whole = "\n\n".join(document.text for document in documents)
    chunker = {"recursive": RecursiveChunker, "token": TokenChunker}[kind](SIZE, unit="cl100k_base")
    chunker.chunk(Document("d", whole[:100_000]))  # tables are made once
    text = (whole * (megabytes * 10**6 // len(whole) + 1))[: megabytes * 10**6]
    started = time.process_time()
    for at in range(0, len(text), 10**6):
        encoding.encode_ordinary(text[at : at + 10**6])
    encoded = time.process_time() - started
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # Linux: the peak begins anew
    before = memory("VmRSS")
    started = time.process_time()
    chunks = chunker.chunk(Document("d", text))
    seconds = time.process_time() - started
    peak = memory("VmHWM") - before
    print(
        json.dumps(
            {
                "chunks": len(chunks),
                "seconds": seconds,
                "ratio": seconds / encoded,
                "bytes per character": peak / len(text),
            }
        )
    )


def main() -> None:
    """Print and keep the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--large", nargs=2, metavar=("KIND", "MEGABYTES"), help="for this script itself")
    arguments = parser.parse_args()
    if arguments.large:
        large(arguments.large[0], int(arguments.large[1]))
        return
    encoding = cl100k()
    documents, _ = spans_data("chroma_chunking")
    corpora = {"chroma_chunking": [document.text for document in documents], "11 languages": multilingual()}
    rows: dict[str, dict[str, dict[str, Any]]] = {}
    for contender in contenders(encoding):
        print(contender.name, file=sys.stderr)
        rows[contender.name] = {name: measure(contender, texts, encoding) for name, texts in corpora.items()}
        rows[contender.name]["hostile"] = measure_hostile(contender, encoding)
    sizes: dict[str, dict[int, dict[str, float]]] = {}
    for kind in ("recursive", "token"):
        sizes[kind] = {}
        for megabytes in MEGABYTES:
            command = [sys.executable, __file__, "--large", kind, str(megabytes)]
            answer = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
            sizes[kind][megabytes] = json.loads(answer.stdout)
    write_result("chunker_speed", table(rows, sizes), {"chunkers": rows, "large": sizes})


def table(rows: dict[str, dict[str, dict[str, Any]]], sizes: dict[str, dict[int, dict[str, float]]]) -> str:
    """Both tables as Markdown."""
    head = ["chunker"]
    for corpus in ("chroma_chunking", "11 languages"):
        head += [f"{corpus}: time", "chunks", "wrong offsets", "over the limit", "characters lost"]
    head += ["hostile: chunks", "wrong offsets", "over the limit", "characters lost", "texts refused"]
    lines = [head, ["---"] * len(head)]
    for name, row in rows.items():
        cells = [name]
        for corpus in ("chroma_chunking", "11 languages"):
            found = row[corpus]
            cells += [f"{found['ratio']:.2f}", *(str(found[key]) for key in _COUNTS)]
        cells += [str(row["hostile"][key]) for key in (*_COUNTS, "raised")]
        lines.append(cells)
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    big = "\n".join(
        f"| {kind} | {megabytes} | {found['chunks']} | {found['seconds']:.1f} | {found['ratio']:.2f} "
        f"| {found['bytes per character']:.1f} |"
        for kind, by_size in sizes.items()
        for megabytes, found in by_size.items()
    )
    versions = ", ".join(f"{name} {version(name)}" for name in PEERS)
    return f"""# Chunkers at {SIZE} cl100k tokens

Time: median ratio to tiktoken encoding the texts once, {ROUNDS} rounds. An offset is wrong where another text
stands there, or where it does not come after the one before; a character is lost where no chunk at a right
offset holds it. Over the limit: counted by encoding the chunk by itself. Beside {versions}.

{text}

## One document

Time is the processor's, and its ratio to encoding the text in parts of a million characters; memory is what
the process took at most beyond the text, its chunks included.

| chunker | million characters | chunks | seconds | ratio | bytes per character |
| --- | --- | --- | --- | --- | --- |
{big}
"""


_COUNTS = ("chunks", "offsets", "limits", "lost")


if __name__ == "__main__":
    main()
