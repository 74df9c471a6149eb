"""Two objects have one description only if they are set alike."""

from __future__ import annotations

import functools
import re
import subprocess
import sys
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import pydantic
import pytest
import tiktoken

from ragdiag.adapters.describing import describe


class Unit(Enum):
    WORDS = 1
    LINES = 2


class Plain:
    def __init__(self, size: int) -> None:
        self._size = size

    def measure(self, text: str) -> int:
        return len(text) * self._size


@dataclass(slots=True)
class Slotted:
    size: int


class Model(pydantic.BaseModel):
    size: int
    hidden: Any = pydantic.Field(default=None, exclude=True)
    callback_manager: Any = None
    _counter: Any = pydantic.PrivateAttr(default=None)

    def with_counter(self, counter: Any) -> Model:
        self._counter = counter
        return self


def counting(by: Any) -> Callable[[str], int]:
    def count(text: str) -> int:
        return len(text) // by  # type: ignore[no-any-return]

    return count


def default(by: int) -> Callable[..., int]:
    return lambda text, *, unit=by: len(text) // unit


def nested(by: int) -> Callable[[str], list[int]]:
    return lambda text: [max(0, *(len(part) // by for part in word)) for word in text.split()]


SETTINGS: dict[str, Callable[[int], object]] = {
    "number": int,
    "string": str,
    "long string": lambda n: "x" * (1000 + n),
    "bytes": lambda n: b"x" * 1000 + bytes([n]),
    "surrogate": lambda n: "x" * 1000 + "\ud800" * n,
    "list": lambda n: [1, [n]],
    "tuple": lambda n: (n,),
    "dict": lambda n: {"key": n},
    "set": lambda n: {"a", "b", f"c{n}"},
    "long set": lambda n: frozenset(f"{i}" for i in range(100 + n)),
    "pattern": lambda n: re.compile(f"a{{{n}}}"),
    "enum": Unit,
    "object": Plain,
    "slots": Slotted,
    "bound method": lambda n: Plain(n).measure,
    "builtin method": lambda n: ("a" * n).count,
    "partial": lambda n: functools.partial(int, base=n + 7),
    "partial of a position": lambda n: functools.partial(pow, n),
    "closure": counting,
    "default": default,
    "function inside a function": nested,
    "cached closure": lambda n: functools.lru_cache(counting(n)),
    "array": lambda n: np.arange(2000) * n,
    "ordered": lambda n: OrderedDict(a=n),
    "factory": lambda n: defaultdict(list, {"a": [n]}),
    "pydantic": lambda n: Model(size=n),
    "pydantic, excluded": lambda n: Model(size=0, hidden=counting(n)),
    "pydantic, private": lambda n: Model(size=0).with_counter(counting(n)),
    "encoding": lambda n: tiktoken.Encoding(
        f"own{n}", pat_str=".", mergeable_ranks={bytes([i]): i for i in range(256)}, special_tokens={}
    ),
}


@pytest.mark.parametrize("make", SETTINGS.values(), ids=SETTINGS.keys())
def test_the_same_settings_have_the_same_description_and_others_another(
    make: Callable[[int], object],
) -> None:
    described = describe(make(1))
    assert described == describe(make(1))
    assert described != describe(make(2))
    assert "0x" not in described


def test_kinds_of_one_content_are_not_the_same() -> None:
    values: list[object] = [[1], (1,), {1}, frozenset({1}), {1: 1}, 1, "1", True, Plain(1), Slotted(1), None]
    assert len({describe(value) for value in values}) == len(values)


def test_two_functions_of_one_name_differ_by_their_code() -> None:
    functions = [lambda text: len(text) - 1, lambda text: len(text) + 1, lambda text: len(text.split())]
    assert len({describe(function) for function in functions}) == 3


def test_functions_that_can_be_imported_are_known_by_name() -> None:
    assert describe(len) == "builtins.len"
    assert describe(re.compile) == "re.compile"
    assert describe(np.linalg) == "numpy.linalg"
    assert describe(Plain).endswith("Plain")
    assert describe(...) == "builtins.Ellipsis"


def test_what_a_session_holds_counts_where_a_function_of_the_session_uses_it() -> None:
    code = "def count(text): return [len(text) // unit for _ in text]"
    spaces = [{"__name__": "__main__", "unit": unit, "unused": i} for i, unit in enumerate([1, 1, 2])]
    for space in spaces:
        exec(code, space)  # noqa: S102  # as a notebook would
    first, same, other = (describe(space["count"]) for space in spaces)
    assert first == same != other


def test_a_setting_is_shown_and_a_long_one_is_shortened() -> None:
    assert describe(Plain(3)).endswith("Plain(size=3)")
    assert re.search(r"Plain\(size=<[0-9a-f]{16}>\)$", describe(Plain("x" * 500)))  # type: ignore[arg-type]


@pytest.mark.parametrize("wrap", [lambda x: x, Plain, counting, lambda x: [1, [x] * 3, "x" * 200]])
def test_what_cannot_be_known_shows_its_address_however_deep_it_lies(wrap: Callable[[Any], object]) -> None:
    lock = threading.Lock()
    assert re.search(r"lock object at 0x[0-9a-f]+>", describe(wrap(lock)))
    assert describe(wrap(lock)) != describe(wrap(threading.Lock()))


def test_an_object_of_a_local_class_that_cannot_be_known_shows_its_address_too() -> None:
    class Closed:
        def __reduce_ex__(self, _: object) -> str:
            raise TypeError

    assert re.search(r"Closed object at 0x[0-9a-f]+>", describe([Closed(), "x" * 500]))
    assert re.search(r"Closed object at 0x[0-9a-f]+>", describe([["x" * 500, {"key": Closed()}]]))


def test_an_object_inside_itself_ends() -> None:
    loop: list[object] = [1]
    loop.append(loop)
    assert describe(loop) == "[1, <the list around it>]"


def test_observers_are_no_setting() -> None:
    assert describe(Model(size=1, callback_manager=threading.Lock())) == describe(Model(size=1))


def test_other_processes_describe_alike() -> None:
    code = (
        "import re, functools\n"
        "from ragdiag.adapters.describing import describe\n"
        "words = {'a', 'b', 'c', 'd', 'e'}\n"
        "print(describe([words, re.compile('x'), lambda t: t in words, functools.partial(max, key=len)]))"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(answers) == 1
    assert b"0x" not in answers.pop()
