import pickle
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import tiktoken

from ragdiag.errors import ConfigError, ResourceError, StageError
from ragdiag.stages import tokens
from ragdiag.stages.tokens import Characters, Tiktoken, TokenCounter, count, counter


def tiny_encoding() -> tiktoken.Encoding:
    """A real byte pair encoding with a handful of merges, and one special token."""
    merges = [b"th", b"the", b" the", b"in", b"ing", b"\xe2\x82\xac"]
    pieces = [bytes([byte]) for byte in range(256)] + [b"\xe2\x82", *merges[:2], b" t", *merges[2:]]
    return tiktoken.Encoding(
        "tiny",
        pat_str=r" ?\p{L}+| ?[^\s\p{L}]+|\s+",
        mergeable_ranks={piece: rank for rank, piece in enumerate(pieces)},
        special_tokens={"<|endoftext|>": len(pieces)},
    )


class Fixed:
    """A counter that says what it is told to."""

    def __init__(self, *counts: object) -> None:
        self.counts = counts

    def count_tokens(self, texts: Sequence[str]) -> Sequence[int]:  # noqa: ARG002
        return self.counts  # type: ignore[return-value]


def without_network(monkeypatch: pytest.MonkeyPatch, proxy: str, cache: Path) -> None:
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, proxy)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(cache))


def test_characters_are_code_points() -> None:
    assert Characters().count_tokens(["", "abc", "e\u0301", "👨‍👩‍👧", "\ud800"]) == [0, 3, 2, 5, 1]


def test_an_encoding_counts_its_merges() -> None:
    by = Tiktoken(tiny_encoding())
    assert by.count_tokens(["", "the", "the thing", "x", "€"]) == [0, 1, 4, 1, 1]


def test_special_tokens_in_a_text_are_ordinary_text() -> None:
    assert Tiktoken(tiny_encoding()).count_tokens(["<|endoftext|>"]) == [13]


def test_lone_surrogates_count_as_the_replacement_character_one_for_one() -> None:
    by = Tiktoken(tiny_encoding())
    # A high and a low surrogate side by side are still two characters of a Python string.
    assert by.count_tokens(["a\ud83d\ude00b"]) == by.count_tokens(["a\ufffd\ufffdb"]) == [8]


@pytest.mark.usefixtures("published")
def test_real_cl100k_counts_as_published() -> None:
    by = counter("cl100k_base")
    # The counts of OpenAI's cookbook, "How to count tokens with tiktoken".
    texts = ["tiktoken is great!", "antidisestablishmentarianism", "2 + 2 = 4", "お誕生日おめでとう"]
    assert by.count_tokens(texts) == [6, 6, 7, 9]
    assert by.count_tokens(["<|endoftext|>"])[0] > 1


def test_units_resolve() -> None:
    assert counter("characters") == Characters()
    assert counter("o200k_base") == Tiktoken("o200k_base")
    by = Fixed(1)
    assert counter(by) is by
    assert isinstance(by, TokenCounter)


@pytest.mark.parametrize("unit", ["tokens", "gpt-4o", "", None, 3, len, Characters])
def test_any_other_unit_is_refused_by_name_and_value(unit: object) -> None:
    with pytest.raises(ConfigError, match="unit") as caught:
        counter(unit)  # type: ignore[arg-type]
    assert repr(unit) in str(caught.value)
    assert "characters" in str(caught.value)


@pytest.mark.parametrize("encoding", ["cl100k", 7])
def test_an_unknown_encoding_is_refused_with_the_known_ones(encoding: object) -> None:
    with pytest.raises(ConfigError, match=r"cl100k_base.*got"):
        Tiktoken(encoding)  # type: ignore[arg-type]


def test_an_encoding_that_cannot_be_downloaded_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    without_network(monkeypatch, "http://127.0.0.1:9", tmp_path)
    with pytest.raises(ResourceError, match=r"'p50k_base'.*TIKTOKEN_CACHE_DIR.*sha1.*characters"):
        Tiktoken("p50k_base").count_tokens(["a"])


def test_a_cached_file_with_other_contents_is_not_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # tiktoken deletes it and downloads it anew, which fails without a network.
    damaged = tmp_path / "ec7223a39ce59f226a68acc30dc1af2788490e15"
    damaged.write_bytes(b"YQ== 0\n")
    without_network(monkeypatch, "http://127.0.0.1:9", tmp_path)
    with pytest.raises(ResourceError, match="TIKTOKEN_CACHE_DIR"):
        Tiktoken("p50k_base").count_tokens(["a"])
    assert not damaged.exists()


def test_a_network_that_never_answers_does_not_hold_the_caller(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tokens, "_LOADING_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        without_network(monkeypatch, f"http://127.0.0.1:{silent.getsockname()[1]}", tmp_path)
        with pytest.raises(ResourceError, match=r"TimeoutError: nothing came within 0\.2 seconds"):
            Tiktoken("r50k_base").count_tokens(["a"])
    for thread in threading.enumerate():  # the closed server ends it, and with it tiktoken's lock
        if thread.name == "load r50k_base":
            thread.join(10)
            assert not thread.is_alive()


def test_counts_are_checked() -> None:
    assert count(Fixed(np.int64(3), 0), ["a", "b"], stage="chunker") == [3, 0]
    assert count(Fixed(1), [], stage="chunker") == []


@pytest.mark.parametrize(
    ("counts", "problem"),
    [
        ((1,), "2 texts, 1 counts"),
        ((1, -1), "got -1 for 'second'"),
        ((1, 2.0), r"got 2\.0 for 'second'"),
        ((1, True), "got True for 'second'"),
    ],
)
def test_counts_that_are_none_are_refused(counts: tuple[object, ...], problem: str) -> None:
    with pytest.raises(StageError, match=problem) as caught:
        count(Fixed(*counts), ["first", "second"], stage="packer")
    assert caught.value.stage == "packer"


def test_counters_survive_pickling() -> None:
    assert pickle.loads(pickle.dumps(Tiktoken("cl100k_base"))) == Tiktoken("cl100k_base")  # noqa: S301
    own = pickle.loads(pickle.dumps(Tiktoken(tiny_encoding())))  # noqa: S301
    assert own.count_tokens(["the thing"]) == [4]


def test_counting_characters_loads_no_tokenizer() -> None:
    code = (
        "import sys; from ragdiag.stages.tokens import counter; counter('characters').count_tokens(['a']); "
        "sys.exit(bool({'tiktoken', 'torch', 'tokenizers'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
