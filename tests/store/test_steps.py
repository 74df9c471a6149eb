"""Results of steps: they read back as they were, or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragdiag import ConfigError, DataError, RagdiagWarning
from ragdiag.store import Store

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec=None)),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=3), values, max_size=3),
    max_leaves=8,
)
LINES = st.lists(
    st.dictionaries(st.text(st.characters(codec=None), max_size=3), JSON, max_size=3), max_size=3
)


@given(LINES, st.text(st.characters(codec=None), max_size=5))
def test_lines_read_back_as_they_were(lines: list[dict[str, Any]], name: str) -> None:
    store = Store()
    store.write_step("a-kind", "0f", lines, name=name)
    assert store.read_step("a-kind", "0f") == lines


def test_steps_are_kept_by_kind_and_key(tmp_path: Path) -> None:
    for path in (tmp_path, None):
        store = Store(path)
        for kind, key in (("a", "1"), ("a", "2"), ("b", "1")):
            store.write_step(kind, key, [{"it": kind + key}])
        reader = store if path is None else Store(path)
        assert reader.read_step("a", "2") == [{"it": "a2"}]
        assert reader.read_step("b", "1") == [{"it": "b1"}]
        assert reader.read_step("b", "2") is None
        assert reader.read_step("c", "1") is None


def test_what_was_written_does_not_change_with_what_was_given() -> None:
    store, line = Store(), {"it": [1]}
    store.write_step("a", "1", [line])
    line["it"].append(2)
    found = store.read_step("a", "1")
    assert found == [{"it": [1]}]
    found[0]["it"].append(3)
    assert store.read_step("a", "1") == [{"it": [1]}]


def test_a_later_result_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write_step("a", "1", [{"it": 1}])
    store.write_step("a", "1", iter([{"it": 2}]))
    assert Store(tmp_path).read_step("a", "1") == [{"it": 2}]


@pytest.mark.parametrize(
    "name", ["", "..", "a/b", "A", "a.b", "-a", "a" * 101, "a\n"], ids=lambda name: repr(name[:5])
)
def test_only_plain_words_become_names_of_files(name: str, tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(ConfigError, match="kind must be 1 to 100 of a-z, 0-9 and hyphens, got "):
        store.read_step(name, "1")
    with pytest.raises(ConfigError, match="key must be 1 to 100 of a-z, 0-9 and hyphens, got "):
        store.write_step("a", name, [])
    with pytest.raises(ConfigError, match="kind must be 1 to 100"):
        store.clear(name)
    assert [path.name for path in tmp_path.iterdir()] == ["ragdiag-store.json"]


def test_what_json_cannot_hold_is_told(tmp_path: Path) -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for value in (float("nan"), object(), deep):
        with pytest.raises(DataError, match="the step 'a' of 'mine' holds what JSON cannot: "):
            Store(tmp_path).write_step("a", "1", [{"it": value}], name="mine")
    assert Store(tmp_path).read_step("a", "1") is None


# Damage


@pytest.fixture
def step(tmp_path: Path) -> Path:
    Store(tmp_path).write_step("a", "1", [{"it": 1.0}, {"it": 2.0}], name="mine")
    return tmp_path / "steps" / "a" / "1.jsonl"


def test_a_file_cut_off_anywhere_is_not_believed(step: Path, tmp_path: Path) -> None:
    content = step.read_bytes()
    for length in range(len(content)):
        step.write_bytes(content[:length])
        with pytest.warns(RagdiagWarning, match=r"1\.jsonl: was truncated or altered"):
            assert Store(tmp_path).read_step("a", "1") is None
        assert not step.exists()


def test_a_file_with_any_byte_changed_is_not_believed_in_what_matters(step: Path, tmp_path: Path) -> None:
    content = step.read_bytes()
    lines = Store(tmp_path).read_step("a", "1")
    for position in range(len(content)):
        altered = bytearray(content)
        altered[position] ^= 1
        step.write_bytes(altered)
        if b'"mine"' in content[max(0, position - 5) : position + 6]:
            continue  # the name is for people alone
        with pytest.warns(RagdiagWarning, match=r"1\.jsonl: was truncated"):
            assert Store(tmp_path).read_step("a", "1") is None
    step.write_bytes(content.replace(b'"mine"', b'"mini"'))
    assert Store(tmp_path).read_step("a", "1") == lines


def test_a_file_that_was_moved_is_not_believed(step: Path, tmp_path: Path) -> None:
    step.rename(step.with_name("2.jsonl"))
    with pytest.warns(RagdiagWarning, match=r"2\.jsonl: .*\(its header has another key\)"):
        assert Store(tmp_path).read_step("a", "2") is None


def test_a_header_that_is_no_header_is_not_believed(step: Path, tmp_path: Path) -> None:
    for content in (b"[1]\n", b"[" * 100_000 + b"\n", b"\xff\n", b"{}\n{}\n"):
        step.write_bytes(content)
        with pytest.warns(RagdiagWarning, match="its header has another format and version and kind"):
            assert Store(tmp_path).read_step("a", "1") is None


def test_what_cannot_be_read_is_left_alone(step: Path, tmp_path: Path) -> None:
    step.unlink()
    step.mkdir()
    with pytest.warns(RagdiagWarning, match=r"1\.jsonl: cannot be read .* its results are worked out again"):
        assert Store(tmp_path).read_step("a", "1") is None
    assert step.is_dir()
