"""JSON Lines, read with the place of every fault and written whole or not at all.

One JSON object a line, UTF-8, lines ended by a newline; a byte order mark is dropped, blank lines are
skipped. What is written reads back as the same values, or is refused.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from ragdiag.errors import ConfigError, DataError
from ragdiag.files import open_atomically

__all__ = ["located", "read_lines", "text_lines", "write_lines"]

_BOM = b"\xef\xbb\xbf"


@contextmanager
def located(place: str) -> Iterator[None]:
    """Put ``place`` (a file and line, or a field) before the message of what is raised inside.

    That is, of a `DataError` or a `ConfigError`; others pass as they are.

    Example:
        >>> with located("documents.jsonl:3"):
        ...     raise DataError("no text")
        Traceback (most recent call last):
        ragdiag.errors.DataError: documents.jsonl:3: no text
    """
    try:
        yield
    except DataError as error:
        raise DataError(f"{place}: {error}") from error
    except ConfigError as error:
        raise ConfigError(f"{place}: {error}") from error


def read_lines(path: str | Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a JSON Lines file, each with the number of its line (from 1).

    Raises:
        DataError: the file cannot be read, or a line is not UTF-8, not one JSON object (cut off, a repeated
            key, NaN, a number that no float holds); the message names the file and the line.
    """
    for number, line in text_lines(path):
        with located(f"{path}:{number}"):
            value = _parse(line)
        yield number, value


def text_lines(path: str | Path) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, without their ends, each with its number (from 1).

    Raises:
        DataError: the file cannot be read, or a line is not UTF-8; the message names the file and the line.
    """
    try:
        with Path(path).open("rb") as file:
            for number, line in enumerate(file, start=1):
                content = line.removeprefix(_BOM) if number == 1 else line
                if not content.strip():
                    continue
                try:
                    text = content.decode("utf-8")
                except UnicodeDecodeError as error:
                    offset = file.tell() - len(content) + error.start
                    raise DataError(
                        f"{path}:{number}: not UTF-8: byte 0x{content[error.start]:02x} at offset {offset} "
                        "of the file"
                    ) from error
                yield number, text.rstrip("\r\n")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def write_lines(path: str | Path, objects: Iterable[Mapping[str, Any]]) -> None:
    """Write ``objects`` to ``path``, one a line; the same objects give the same bytes.

    Text is written as it is; a line with lone surrogates, which UTF-8 cannot hold, is written with JSON's
    escapes. The file appears, or replaces the one before, only when all of it is written.

    Raises:
        DataError: the file cannot be written, or a value would not read back as it is, such as a tuple,
            NaN or a key that is not a string.
    """
    with open_atomically(path) as file:
        for number, value in enumerate(objects, start=1):
            with located(f"{path}:{number}"):
                file.write(_encode(dict(value)))


def _parse(line: str) -> dict[str, Any]:
    try:
        value = json.loads(
            line, parse_constant=_refuse_constant, parse_float=_finite, object_pairs_hook=_unique_keys
        )
    except json.JSONDecodeError as error:
        cut_off = error.pos >= len(line.rstrip()) or error.msg.startswith("Unterminated string")
        hint = "; the line seems to be cut off" if cut_off else ""
        raise DataError(f"not valid JSON: {error.msg} at column {error.colno}{hint}") from error
    except RecursionError as error:
        raise DataError("not valid JSON: nested too deeply") from error
    except ValueError as error:
        raise DataError(f"not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise DataError(f"expected a JSON object in each line, got {_json_name(value)}")
    return value


def _json_name(value: object) -> str:
    names = {list: "a list", str: "a string", bool: "a truth value", type(None): "null"}
    return names.get(type(value), "a number")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"the number {digits} is too large")
    return number


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} is given twice")
    return unique


def _encode(value: dict[str, Any]) -> bytes:
    try:
        line = json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n"
        try:
            encoded = line.encode("utf-8")
        except UnicodeEncodeError:
            line = json.dumps(value, allow_nan=False) + "\n"
            encoded = line.encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(f"cannot be written as JSON: {error}") from error
    # json.dumps turns tuples into lists and other keys into strings without a word, and the escapes of two
    # surrogates side by side are those of one character: only reading the line shows what it says.
    written = _parse(line)
    if written != value:
        changed = [key for key in value if key not in written or written[key] != value[key]]
        raise DataError(
            f"would not read back as it is, in {', '.join(map(repr, changed))}: JSON has no tuples, "
            "no keys other than strings, and no high surrogate followed by a low one"
        )
    return encoded
