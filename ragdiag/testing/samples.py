"""Inputs that plugs stumble over: documents, texts, and a corpus with its vectors, requests and filters."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from ragdiag.records import Chunk, Document, Query, Request
from ragdiag.stages.protocols import Vectors

__all__ = [
    "RELATED",
    "filters_for",
    "hostile_documents",
    "hostile_texts",
    "sample_chunks",
    "sample_queries",
    "sample_requests",
    "sample_vectors",
]

_PROSE = (
    "Goods may be returned within 30 days. The period begins with the delivery, and ends at midnight! Is a "
    "receipt needed? It is; a copy will do (by mail, too).\n\nRefunds take five days. “Vouchers are refunded "
    "as vouchers.” Nobody pays for postage.\nGifts are exchanged.\n\n"
)
_MARKDOWN = (
    "---\ntitle: Returns\n---\n\n# Returns\n\nWithin 30 days.\n\n## Who pays\n\n| what | cost |\n|---|---|\n"
    "| parcel | none |\n| pallet | 40 |\n\n```\n# not a heading\n```\n\nThe end\n=======\n\nof the page.\n"
)


def hostile_documents() -> list[Document]:
    """Documents on which chunkers lose text, count wrongly or stop: each id says what is hard about it.

    Example:
        >>> [document.id for document in hostile_documents()][:3]
        ['empty', 'only whitespace', 'one character']
    """
    texts = {
        "empty": "",
        "only whitespace": " \t\r\n\u2003\u2029 ",
        "one character": "x",
        "prose": _PROSE * 4,
        "Markdown": _MARKDOWN * 4,
        "CRLF": (_PROSE * 3).replace("\n", "\r\n"),
        "one line of JSON": json.dumps([{"id": i, "tags": ["a"]} for i in range(60)], separators=(",", ":")),
        "a long run without a space": "x" * 1200,
        "wide gaps": "a" + " " * 700 + "b\n" + "\n" * 300 + "c",
        "one sentence again and again": "Goods may be returned within 30 days. " * 30,
        "special tokens": "Ignore <|endoftext|> and <s> [CLS] </s>, <|im_start|>system. " * 12,
        "lone surrogates": "broken \ud83d text \ude00, " * 30 + "\udc00" * 100,
        "ZWJ emoji": "👨\u200d👩\u200d👧\u200d👦" * 50,
        "flags": "🇩🇪" * 90,
        "combining marks": "e\u0301\u0323" * 120 + " " + "\u0301" * 40,
        "Thai without spaces": "สินค้าสามารถคืนได้ภายในสามสิบวันนับจากวันที่ส่งมอบ" * 12,
        "Chinese without spaces": "商品可在三十天内退回。如果没有收据,请出示副本!真的吗?是的。" * 15,
        "controls": "\x00\x01\x1b[31m\x85\u2028" * 40,
    }
    return [
        Document(name, text, {"lang": ("en", "de")[i % 2], "tags": ["hostile", name]})
        for i, (name, text) in enumerate(texts.items())
    ]


def hostile_texts() -> list[str]:
    """Short texts on which encoders stop or give NaN; the first comes again as the last.

    Example:
        >>> texts = hostile_texts()
        >>> texts[0] == texts[-1], "" in texts
        (True, True)
    """
    return [
        "Goods may be returned within 30 days.",
        "Shipping is free above 50 euros; below that it costs 4.90.",
        "",
        "   ",
        "\n",
        "?!",
        "\x00",
        "สินค้าสามารถคืนได้ภายใน 30 วัน",
        "商品は30日以内に返品できます。退货期限为三十天。",
        "a broken \ud800 surrogate",
        "naïve café 🙂 👨\u200d👩\u200d👧 🇩🇪 e\u0301\u0323",
        "Ignore <|endoftext|> and <s> [CLS] </s>.",
        "x" * 300,
        "A long text. " * 30,
        "Goods may be returned within 30 days.",
    ]


RELATED: tuple[tuple[str, str, str], ...] = (
    (
        "How long can goods be returned?",
        "Goods may be returned within 30 days.",
        "Shipping is free above 50 euros; below that it costs 4.90.",
    ),
    (
        "What does shipping cost?",
        "Shipping is free above 50 euros; below that it costs 4.90.",
        "The office is closed on Sundays and on holidays.",
    ),
    (
        "When is the office closed?",
        "The office is closed on Sundays and on holidays.",
        "Goods may be returned within 30 days.",
    ),
)
"""Questions, each with a text that answers it and one that has nothing to do with it."""

_WORDS = (
    "parcel", "refund", "courier", "invoice", "warranty", "deposit", "pickup", "voucher", "customs", "return",
)  # fmt: skip


def sample_chunks(n: int, *, seed: int = 0) -> list[Chunk]:
    """Chunks of a few words each, with metadata for filters; every tenth repeats the text before it."""
    rng = np.random.default_rng(seed)
    chunks: list[Chunk] = []
    for i in range(n):
        text = chunks[-1].text if i % 10 == 9 else " ".join(rng.choice(_WORDS, size=rng.integers(2, 9)))
        metadata = {"lang": ("en", "de", "fr")[i % 3], "even": i % 2 == 0}
        chunks.append(Chunk.of(Document(f"d{i}", text, metadata), (0, len(text))))
    return chunks


def sample_vectors(n: int, d: int = 16, *, seed: int = 0) -> Vectors:
    """Random vectors, shape (n, d), float32; every tenth repeats the one before it."""
    vectors = np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)
    vectors[9::10] = vectors[8 : n - 1 : 10][: len(vectors[9::10])]
    return vectors


def sample_requests(n: int, d: int = 16, *, seed: int = 1) -> list[Request]:
    """Requests of three words of the sample chunks and a random vector, shape (d,)."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(n, d)).astype(np.float32)
    return [Request(f"q{i}", " ".join(rng.choice(_WORDS, size=3)), vectors[i]) for i in range(n)]


def sample_queries() -> list[Query]:
    """Questions for the hostile documents."""
    texts = ["How long can goods be returned?", "Who pays for a pallet?", "商品", "?!", "a broken \ud800 one"]
    return [Query(f"q{i}", text) for i, text in enumerate(texts)]


def filters_for(chunks: Sequence[Chunk]) -> list[Mapping[str, Any]]:
    """Filters by what stands in the metadata of ``chunks``: values, members, both together, and nothing.

    Example:
        >>> filters_for([Chunk.of(Document("d", "text", {"lang": "en"}), (0, 4))])[:2]
        [{}, {'lang': 'en'}]
    """
    values: dict[str, list[Any]] = {}
    for chunk in chunks:
        for key, value in chunk.metadata.items():
            seen = values.setdefault(key, [])
            if isinstance(value, str | int | float) and value not in seen and len(seen) < 3:
                seen.append(value)
    values = {key: seen for key, seen in values.items() if seen}
    filters: list[Mapping[str, Any]] = [{}]
    for key, seen in values.items():
        filters += [{key: seen[0]}, {key: seen[-2:]}, {key: set(seen[:2])}, {key: []}, {key: "no such value"}]
    for (key, seen), (other, others) in combinations(values.items(), 2):
        filters.append({key: (seen[-1],), other: others[0]})
    filters.append({"no such key": None})
    return filters
