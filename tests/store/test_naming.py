"""The names of plugs and the keys of what is asked of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plugs import SeededReranker

from ragdiag import ConfigError, HashingEmbedder
from ragdiag.store import Store, fingerprint, without_address
from ragdiag.store.naming import key_of


@dataclass(frozen=True)
class Options:
    """Shows whatever it is given."""

    it: Any


@dataclass(frozen=True)
class Shown:
    shown: str

    def __repr__(self) -> str:
        return self.shown


def test_a_plug_that_shows_its_options_says_what_it_is() -> None:
    for plug in (HashingEmbedder(8), Options({"a": (1, "... and so on", [2.5])}), Options(np.arange(9))):
        assert fingerprint(plug) == repr(plug)


@pytest.mark.parametrize(
    "plug",
    [
        object(),
        Options(object()),
        Options(lambda: None),
        Shown(""),
        Options(np.arange(2000)),
        Options(np.zeros((2000, 2))),
        Options(np.zeros((2, 2000))),
    ],
    ids=["object", "option", "function", "empty", "row", "rows", "columns"],
)
def test_a_plug_that_shows_an_address_or_half_an_array_cannot_say_what_it_is(plug: object) -> None:
    assert fingerprint(plug) is None


def test_two_plugs_whose_options_look_alike_are_not_taken_for_one() -> None:
    one, other = np.zeros(2000), np.zeros(2000)
    other[1000] = 1
    assert repr(Options(one)) == repr(Options(other))
    assert fingerprint(Options(one)) is None


def test_addresses_are_left_out() -> None:
    assert without_address(repr(object())) == "<object object>"
    assert without_address("Plug(<f at 0x7fAB>, 'look at 0')") == "Plug(<f>, 'look at 0')"


def test_what_has_no_lasting_name_must_be_given_one() -> None:
    class Unnamed(SeededReranker):
        __repr__ = object.__repr__

    store = Store()
    with pytest.raises(
        ConfigError, match=r"Unnamed object at 0x\w+> does not name a Unnamed for good: give name="
    ):
        store.reranker(Unnamed(1))
    assert store.reranker(Unnamed(1), name="mine").name == "mine"
    with pytest.raises(ConfigError, match=r"^'' does not name a SeededReranker"):
        store.reranker(SeededReranker(1), name="")


PARTS = st.lists(st.text(st.characters(codec=None), max_size=3), max_size=4)


@given(PARTS, PARTS)
def test_other_parts_have_another_key(one: list[str], other: list[str]) -> None:
    assert (key_of(one) == key_of(other)) == (one == other)
    assert len(key_of(one)) == 16
