import os
import re
import stat
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragdiag.errors import DataError
from ragdiag.files import open_atomically
from ragdiag.formats.jsonl import located, read_lines, write_lines

TEXTS = st.text(st.characters(codec=None, exclude_categories=()), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def _says_one_character(value: object) -> bool:
    """Whether a high surrogate stands before a low one, which JSON cannot tell from one character."""
    if isinstance(value, str):
        return bool(re.search("[\ud800-\udbff][\udc00-\udfff]", value))
    if isinstance(value, dict):
        return any(_says_one_character(inner) for pair in value.items() for inner in pair)
    return isinstance(value, list) and any(map(_says_one_character, value))


@settings(deadline=None)  # files are flushed to the disk
@given(objects=st.lists(st.dictionaries(TEXTS, JSON, max_size=3), max_size=4))
def test_what_is_written_reads_back_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory, objects: list[dict[str, Any]]
) -> None:
    path = tmp_path_factory.mktemp("round") / "trip.jsonl"
    if any(map(_says_one_character, objects)):
        with pytest.raises(DataError, match="would not read back as it is"):
            write_lines(path, objects)
        assert list(path.parent.iterdir()) == []
    else:
        write_lines(path, objects)
        assert list(read_lines(path)) == list(enumerate(objects, start=1))
        path.read_bytes().decode("utf-8")


def test_bytes_are_the_text_itself_and_escapes_only_where_utf8_has_none(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    write_lines(path, [{"b": "größe 🦜\u2028", "a": 1}, {"é": "\ud800"}])
    assert path.read_bytes() == (
        '{"b": "größe 🦜\u2028", "a": 1}\n'.encode() + rb'{"\u00e9": "\ud800"}' + b"\n"
    )


def test_lines_end_at_newlines_only(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes('{"a": "x\u2028\x85y"}\r\n{"b": 1}'.encode())
    assert list(read_lines(path)) == [(1, {"a": "x\u2028\x85y"}), (2, {"b": 1})]


def test_byte_order_mark_and_blank_lines_are_skipped_and_lines_still_counted(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\n\n  \t\r\n{"b": 2}\n\n')
    assert list(read_lines(path)) == [(1, {"a": 1}), (4, {"b": 2})]
    path.write_bytes(b"\xef\xbb\xbf\n")
    assert list(read_lines(path)) == []


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"[]", "expected a JSON object in each line, got a list"),
        (b'"x"', "expected a JSON object in each line, got a string"),
        (b"3", "expected a JSON object in each line, got a number"),
        (b"2.5", "expected a JSON object in each line, got a number"),
        (b"true", "expected a JSON object in each line, got a truth value"),
        (b"null", "expected a JSON object in each line, got null"),
        (b'{"a": 1', "not valid JSON: Expecting ',' delimiter at column 8; the line seems to be cut off"),
        (
            b'{"a": "text that ends he',
            "not valid JSON: Unterminated string starting at at column 7; the line seems to be cut off",
        ),
        (b'{"a": 1} {"b": 2}', "not valid JSON: Extra data at column 10"),
        (b"{'a': 1}", "not valid JSON: Expecting property name enclosed in double quotes at column 2"),
        (b'{"a": NaN}', "not valid JSON: NaN is not a JSON number"),
        (b'{"a": [-Infinity]}', "not valid JSON: -Infinity is not a JSON number"),
        (b'{"a": 1e999}', "not valid JSON: the number 1e999 is too large"),
        (b'{"a": {"b": 1, "c": 2, "c": 3}}', "not valid JSON: the key 'c' is given twice"),
        (b'{"a": ' + b"[" * 100_000, "not valid JSON: nested too deeply"),
    ],
    ids=lambda value: value[:24] if isinstance(value, bytes) else "",
)
def test_a_bad_line_is_named(tmp_path: Path, line: bytes, problem: str) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b'{"fine": 1}\n' + line + b"\n")
    with pytest.raises(DataError) as caught:
        list(read_lines(path))
    assert str(caught.value) == f"{path}:2: {problem}"


@pytest.mark.parametrize(("start", "offset"), [(b"", 17), (b"\xef\xbb\xbf", 20)])
def test_bytes_that_are_not_utf8_are_named_by_their_place_in_the_file(
    tmp_path: Path, start: bytes, offset: int
) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(start + b'{"a": 1}\n{"b": "\xc3\xa9"}\n'.replace(b"\xc3\xa9", b"x\xe9"))
    with pytest.raises(
        DataError, match=rf"lines.jsonl:2: not UTF-8: byte 0xe9 at offset {offset} of the file"
    ):
        list(read_lines(path))
    assert path.read_bytes()[offset] == 0xE9


def test_a_bad_byte_in_the_first_line_counts_the_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"\xff": 1}\n')
    with pytest.raises(DataError, match=r"lines.jsonl:1: not UTF-8: byte 0xff at offset 5 "):
        list(read_lines(str(path)))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent.jsonl: cannot be read: No such file"):
        list(read_lines(tmp_path / "absent.jsonl"))
    with pytest.raises(DataError, match=r"cannot be read: Is a directory"):
        list(read_lines(tmp_path))


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"a": {1, 2}}, "cannot be written as JSON: Object of type set is not JSON serializable"),
        ({"a": float("nan")}, "cannot be written as JSON: Out of range float values are not JSON compliant"),
        ({"fine": 1, "a": (1, 2)}, "would not read back as it is, in 'a': JSON has no tuples"),
        ({"fine": 1, "a": {1: "x"}}, "would not read back as it is, in 'a': JSON has no tuples"),
        ({"fine": 1, 1: "x"}, "would not read back as it is, in 1: JSON has no tuples"),
        ({"a": "\ud83d\ude00"}, "would not read back as it is, in 'a': JSON has no tuples"),
    ],
)
def test_a_value_that_json_cannot_say_is_refused_and_nothing_is_written(
    tmp_path: Path, value: dict[str, Any], problem: str
) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text("before")
    with pytest.raises(DataError) as caught:
        write_lines(path, [{"fine": 1}, value])
    assert str(caught.value).startswith(f"{path}:2: {problem}")
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_loop_in_a_value_is_refused(tmp_path: Path) -> None:
    loop: dict[str, Any] = {}
    loop["self"] = loop
    with pytest.raises(DataError, match=r"lines.jsonl:1: cannot be written as JSON"):
        write_lines(tmp_path / "lines.jsonl", [loop])


def test_an_error_while_writing_leaves_the_file_before(tmp_path: Path) -> None:
    path = tmp_path / "result.bin"
    path.write_bytes(b"before")

    def write_half() -> None:
        with open_atomically(path) as file:
            file.write(b"half")
            file.flush()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_killed_process_leaves_the_file_before(tmp_path: Path) -> None:
    path = tmp_path / "result.jsonl"
    path.write_bytes(b"before")
    program = """
        import os, sys
        from ragdiag.formats.jsonl import write_lines

        def objects():
            yield {"text": "x" * 100_000}
            os._exit(9)

        write_lines(sys.argv[1], objects())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(path)],
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 9
    assert path.read_bytes() == b"before"


def test_a_link_is_followed_and_permissions_are_kept(tmp_path: Path) -> None:
    real, link = tmp_path / "real.jsonl", tmp_path / "link.jsonl"
    real.write_text("before")
    real.chmod(0o640)
    link.symlink_to(real)
    write_lines(link, [{"a": 1}])
    assert link.is_symlink()
    assert real.read_text() == '{"a": 1}\n'
    assert stat.S_IMODE(real.stat().st_mode) == 0o640


def test_a_new_file_has_the_permissions_that_files_have_here(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_lines(tmp_path / "lines.jsonl", [])
    assert (tmp_path / "lines.jsonl").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert (tmp_path / "lines.jsonl").read_bytes() == b""


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent/lines.jsonl: cannot be written: No such file or directory"):
        write_lines(tmp_path / "absent" / "lines.jsonl", [{"a": 1}])
    with pytest.raises(DataError, match=r"cannot be written: it is there and is not a regular file"):
        write_lines(tmp_path, [{"a": 1}])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(DataError, match=r"pipe: cannot be written: it is there and is not a regular file"):
        write_lines(pipe, [{"a": 1}])
    assert pipe.is_fifo()


def test_places_nest() -> None:
    def fail() -> None:
        with located("queries.jsonl:3"), located("evidence[0]"):
            raise DataError("empty")

    with pytest.raises(DataError, match=r"^queries.jsonl:3: evidence\[0\]: empty$"):
        fail()
