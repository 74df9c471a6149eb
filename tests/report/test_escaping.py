"""Untrusted text is harmless in each kind of output, and still the same text."""

from __future__ import annotations

import html
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wcwidth import wcswidth

from ragdiag.report.escaping import (
    columns,
    cut,
    cut_middle,
    fit,
    html_text,
    markdown_text,
    one_line,
    printable,
    wrap,
)

any_text = st.text(st.characters(exclude_categories=[]), max_size=40)
"""Also lone surrogates, controls and unassigned characters."""
plain_text = st.text(st.sampled_from("ab c日本語é́ שלום\u200d🙂"), max_size=60)


@given(any_text)
def test_no_control_is_left(text: str) -> None:
    safe = printable(text)
    assert len(safe) == len(text)
    assert not {unicodedata.category(c) for c in safe if c not in "\n\t"} & {"Cc", "Cs"}
    safe.encode("utf-8")


@pytest.mark.parametrize(
    "harmful", ["\x1b[2J", "\x9b31m", "\u202e", "\u2066", "\ud800", "\U000e0041", "\x07"]
)
def test_terminal_escapes_and_false_directions_are_replaced(harmful: str) -> None:
    assert printable(harmful)[0] == "\ufffd"


def test_what_shapes_ordinary_text_is_kept() -> None:
    text = "می\u200cخواهم 👩\u200d💻 شالوم\u200f co\u00adoperate"
    assert printable(text) == text


@given(any_text)
def test_one_line_is_one_line(text: str) -> None:
    line = one_line(text)
    assert len(line.splitlines()) <= 1
    assert line == line.strip()
    assert "  " not in line


@given(any_text)
def test_html_reads_back_as_the_printable_text(text: str) -> None:
    escaped = html_text(text)
    assert not set(escaped) & set("<>\"'")
    assert html.unescape(escaped) == printable(text.replace("\r\n", "\n").replace("\r", "\n"))


@given(any_text)
def test_markdown_reads_back_as_the_same_words(text: str) -> None:
    escaped = markdown_text(text)
    assert not set(escaped) & set("|`*_<>[]~$\\!\n")
    assert html.unescape(escaped).replace("\u2060", "") == one_line(text).replace("\u2060", "")


@pytest.mark.parametrize("linking", ["@octocat", "#123", "http://example.org", "www.example.org"])
def test_markdown_pings_and_links_nobody(linking: str) -> None:
    assert linking not in html.unescape(markdown_text(f"see {linking} now"))


@given(plain_text, st.integers(2, 30))
def test_wrapped_lines_fit_and_lose_nothing(text: str, width: int) -> None:
    lines = wrap(text, width)
    assert all(columns(line) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


def test_a_word_that_is_too_wide_is_broken_after_the_line_before() -> None:
    assert wrap("ab cdefgh i", 4) == ["ab", "cdef", "gh i"]
    assert wrap("日本語日本", 5) == ["日本", "語日", "本"]


@given(plain_text, st.integers(1, 30))
def test_fit_takes_exactly_its_width(text: str, width: int) -> None:
    fitted = fit(text, width)
    assert columns(fitted) == width
    if columns(one_line(text)) <= width:
        assert fitted.rstrip() == one_line(text)
    else:
        assert fitted.rstrip().endswith("…")


@pytest.mark.parametrize("text", ["plain", "日本語", "e\u0301", "ｆｕｌｌ", "שלום", "한국"])
def test_columns_are_those_of_a_terminal(text: str) -> None:
    assert columns(text) == wcswidth(text)


def test_cuts() -> None:
    assert cut("abcdef", 6) == "abcdef"
    assert cut("abc def", 5) == "abc…"
    assert cut_middle("abc", 9) == "abc"
    short = cut_middle("x" * 50 + "y" * 50, 33)
    assert short.startswith("x" * 20)
    assert short.endswith(" … " + "y" * 10)
    assert len(short) == 33
