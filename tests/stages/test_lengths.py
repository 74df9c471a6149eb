import functools
from collections.abc import Callable

import pytest
import tiktoken
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_tokens import tiny_encoding
from tiktoken_ext.openai_public import r50k_pat_str

from ragdiag.stages.chunkers import lengths
from ragdiag.stages.chunkers.lengths import CountedText, EncodedText, lengths_of
from ragdiag.stages.tokens import Characters, Tiktoken

pytestmark = pytest.mark.usefixtures("published")

# What the patterns of the encodings treat in ways of their own, each where it could meet any other.
SCRAPS = [
    *("a", "The", "ABC", "aBc", "Ll", "don't", "'s", "'RE", "'ll ", "'\u017f", "\u2019", "_", "-"),
    *("1", "123", "4567", "\u0661\u0662", "\u00b2", "\u2167", "\u0967"),
    *(
        " ",
        "  ",
        " word",
        "\n",
        "\r\n",
        "\t",
        "\u2028",
        "\u00a0",
        "\u200b",
        "\u3000",
        "\x00",
        "\x85",
        "\ufeff",
    ),
    *(".", ",", "!", "?\n", "/", "//", "\n/", "\u20ac", '{"id":', "<|endoftext|>"),
    *(
        "\u00e9",
        "e\u0301",
        "\u0301",
        "\u01c5",
        "\u02b0",
        "\u0130",
        "\u5b57",
        "\u3002",
        "\u79df\u7ea6",
        "\u0e17\u0e22",
        "\u0e33",
    ),
    *(
        "\U0001f642",
        "\U0001f468\u200d\U0001f469",
        "\U0001f1e9\U0001f1ea",
        "\U0001d49c",
        "\U00020000",
        "\ud800",
        "x" * 30,
    ),
]
TEXT = st.lists(st.sampled_from(SCRAPS) | st.text(max_size=3), min_size=1, max_size=40).map("".join)


def with_the_pattern_of_gpt2() -> Tiktoken:
    """r50k_base (whose pattern is that of gpt2 and p50k_base), with the merges of cl100k."""
    merges = tiktoken.get_encoding("cl100k_base")._mergeable_ranks
    return Tiktoken(
        tiktoken.Encoding("r50k_base", pat_str=r50k_pat_str, mergeable_ranks=merges, special_tokens={})
    )


ENCODINGS: dict[str, Callable[[], Tiktoken]] = {
    "cl100k": lambda: Tiktoken("cl100k_base"),
    "o200k": lambda: Tiktoken("o200k_base"),
    "r50k": functools.cache(with_the_pattern_of_gpt2),
}


@pytest.mark.parametrize("block", [8, 2**18])
@pytest.mark.parametrize("encoding", ENCODINGS)
@settings(max_examples=200)
@given(data=st.data(), text=TEXT.filter(bool))
@example(data=None, text="a.'s b")
def test_ranges_count_as_their_texts_do(
    encoding: str, block: int, data: st.DataObject | None, text: str
) -> None:
    by = ENCODINGS[encoding]()
    if data is None:
        ranges = [(a, b) for a in range(len(text)) for b in range(a + 1, len(text) + 1)]
    else:
        starts = data.draw(st.lists(st.integers(0, len(text) - 1), min_size=1, max_size=8))
        ranges = [(a, data.draw(st.integers(a + 1, len(text)))) for a in starts]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lengths, "_BLOCK", block)
        counted = lengths_of(text, by)
    assert isinstance(counted, EncodedText)
    assert counted(ranges) == by.count_tokens([text[a:b] for a, b in ranges])
    for prefix in ("Guide > Limits\n", "x", "it'", "\ud800"):
        expected = by.count_tokens([prefix + text[a:b] for a, b in ranges])
        assert counted(ranges, [prefix] * len(ranges)) == expected


@pytest.mark.parametrize("encoding", ["cl100k_base", "o200k_base"])
@given(text=TEXT)
def test_ends_are_those_of_the_tokens(encoding: str, text: str) -> None:
    counted = EncodedText(text, Tiktoken(encoding))
    codec = tiktoken.get_encoding(encoding)
    clean = text.encode("utf-8", "replace").decode() if text.isascii() else text.replace("\ud800", "\ufffd")
    clean = "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in clean)
    tokens = codec.encode_ordinary(clean)
    assert len(tokens) == counted.tokens[-1]
    for end, number in zip(counted.ends.tolist(), counted.tokens.tolist(), strict=True):
        assert codec.decode_bytes(tokens[:number]) == clean[:end].encode()


def test_an_unknown_encoding_counts_each_range_by_itself() -> None:
    # Nothing is known of where its pattern divides a text.
    for by in (Tiktoken(tiny_encoding()), Characters()):
        counted = lengths_of("the thing", by)
        assert isinstance(counted, CountedText)
        assert counted([(0, 3), (4, 9)]) == by.count_tokens(["the", "thing"])
        assert counted([(0, 3)], ["in"]) == by.count_tokens(["inthe"])
        alone = by.count_tokens(["the", "thi", "ng"])
        assert counted.added(list(zip([(0, 3), (4, 7), (7, 9)], alone, strict=True))) == [
            second - first
            for first, second in zip(
                by.count_tokens(["the", "thi"]), by.count_tokens(["the thi", "thing"]), strict=True
            )
        ]


def test_a_text_without_any_sure_place_is_encoded_as_a_whole() -> None:
    text = "\u0e17\u0e35\u0e48" * 300
    by = Tiktoken("cl100k_base")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lengths, "_BLOCK", 16)
        counted = EncodedText(text, by)
    ranges = [(0, len(text)), (3, 9), (1, len(text) - 1)]
    assert counted(ranges) == by.count_tokens([text[a:b] for a, b in ranges])


def test_no_ranges_have_no_lengths() -> None:
    assert EncodedText("a text", Tiktoken("cl100k_base"))([]) == []
