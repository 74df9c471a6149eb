import io
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytrec_eval
from hypothesis import example, given
from hypothesis import strategies as st

from ragdiag.errors import DataError
from ragdiag.formats import read_qrels, read_run, write_qrels, write_run
from ragdiag.measures import Ranking
from ragdiag.records import Hit

DATA = Path(os.environ.get("RAGDIAG_DATA", Path(__file__).parents[3] / "shared" / "data"))
CRANFIELD = {1: 4, 2: 3, 3: 2, 4: 1, -1: 0}
"""Its scale is inverted: 1 is best, 4 least, -1 of no interest."""

IDS = st.text(st.characters(codec="utf-8", exclude_categories=["Z", "Cc"]), min_size=1, max_size=6).filter(
    lambda text: not text.startswith("\ufeff")
)
SCORES = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([0.0, 1.0, 0.1 + 0.2])
RUNS = st.dictionaries(IDS, st.dictionaries(IDS, SCORES, min_size=1, max_size=5), min_size=1, max_size=3)
QRELS = st.dictionaries(
    IDS, st.dictionaries(IDS, st.integers(-3, 10**17), min_size=1, max_size=5), min_size=1, max_size=3
)


def _written(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def _error(function: object, *arguments: object, **options: object) -> str:
    assert callable(function)
    with pytest.raises(DataError) as caught:
        function(*arguments, **options)
    return str(caught.value)


# Runs


@given(run=RUNS)
@example(run={"q": {"b": -0.0, "a": 5e-324, "c": 0.0}})
def test_a_run_reads_back_to_the_last_bit_best_first(
    tmp_path_factory: pytest.TempPathFactory, run: dict[str, dict[str, float]]
) -> None:
    path = tmp_path_factory.mktemp("run") / "run.txt"
    write_run(path, run)
    back = read_run(path)
    assert back == run
    assert list(back) == list(run)
    for query, scores in back.items():
        expected = sorted(run[query], key=lambda document: -run[query][document])  # a stable sort
        assert list(scores) == expected
        assert [repr(score) for score in scores.values()] == [repr(run[query][doc]) for doc in expected]
    # A reader that somebody else wrote sees the same.
    assert pytrec_eval.parse_run(io.StringIO(path.read_text("utf-8"), newline="\n")) == run


def test_a_run_is_written_best_first_with_ranks_from_1_and_ties_in_the_order_given(tmp_path: Path) -> None:
    path = tmp_path / "run.txt"
    write_run(path, {"q2": {"b": 0.5, "a": 0.5, "z": 2.0}, "q1": {"é": -1.0}}, tag="mine")
    assert path.read_text("utf-8") == (
        "q2 Q0 z 1 2.0 mine\nq2 Q0 b 2 0.5 mine\nq2 Q0 a 3 0.5 mine\nq1 Q0 é 1 -1.0 mine\n"
    )


@pytest.mark.parametrize("form", [dict, tuple, lambda pairs: [Hit(*pair) for pair in pairs]])
def test_scores_pairs_and_hits_are_written_alike_and_numbers_of_numpy_like_plain_ones(
    tmp_path: Path, form: Callable[[Any], Ranking]
) -> None:
    path = tmp_path / "run.txt"
    write_run(path, {"q": form([("b", np.float32(0.1)), ("a", np.float64(0.05)), ("c", 0)])})
    assert path.read_text() == (
        "q Q0 b 1 0.10000000149011612 ragdiag\nq Q0 a 2 0.05 ragdiag\nq Q0 c 3 0.0 ragdiag\n"
    )


def test_a_query_that_found_nothing_has_no_line(tmp_path: Path) -> None:
    path = tmp_path / "run.txt"
    write_run(path, {"q1": {}, "q2": {"a": 1.0}, "q3": []})
    assert read_run(path) == {"q2": {"a": 1.0}}


def test_the_order_of_a_run_file_is_by_score_whatever_its_ranks_say(tmp_path: Path) -> None:
    path = _written(
        tmp_path / "run.txt",
        "q1 Q0 low 1 1e-3 x\nq2\t0\tother  1 .5 x\nq1 Q0 tied1 first +7. x\nq1 Q0 tied2 0 7 x\n",
    )
    run = read_run(str(path))
    assert [(query, list(scores.items())) for query, scores in run.items()] == [
        ("q1", [("tied1", 7.0), ("tied2", 7.0), ("low", 0.001)]),
        ("q2", [("other", 0.5)]),
    ]


def test_a_byte_order_mark_blank_lines_and_windows_line_ends_are_taken(tmp_path: Path) -> None:
    path = _written(tmp_path / "run.txt", b"\xef\xbb\xbfq Q0 a 1 2 t\r\n\n \t\r\nq Q0 b 2 1 t")
    assert read_run(path) == {"q": {"a": 2.0, "b": 1.0}}
    path = _written(tmp_path / "qrels", b"\xef\xbb\xbf\r\n\nq 0 a 1\r\n")
    assert read_qrels(path) == {"q": {"a": 1}}


def test_only_whitespace_of_ascii_separates_fields(tmp_path: Path) -> None:
    path = _written(tmp_path / "qrels", "q\u00a01 0 a\u2003b\x1cc 1\n")
    assert read_qrels(path) == {"q\u00a01": {"a\u2003b\x1cc": 1}}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (
            "q Q0 a 1 0.5",
            "expected 6 fields (query, Q0, document, rank, score, tag), got 5",
        ),
        (
            "q 0 a 1",
            "expected 6 fields (query, Q0, document, rank, score, tag), got 4 (read_qrels takes so many)",
        ),
        ("q Q0 a 1 0.5 my tag", "expected 6 fields (query, Q0, document, rank, score, tag), got 7"),
        ("q Q0 a 1 nan t", "score: expected a finite number, got 'nan'"),
        ("q Q0 a 1 -inf t", "score: expected a finite number, got '-inf'"),
        ("q Q0 a 1 1e999 t", "score: expected a finite number, got '1e999'"),
        ("q Q0 a 1 0,5 t", "score: expected a finite number, got '0,5'"),
        ("q Q0 a 1 1_0 t", "score: expected a finite number, got '1_0'"),
        ("q Q0 first 2 0.1 t", "document 'first' of query 'q' is already in line 2"),
    ],
)
def test_a_bad_line_of_a_run_is_named_with_its_field(tmp_path: Path, line: str, problem: str) -> None:
    path = _written(tmp_path / "run.txt", f"\nq Q0 first 1 0.5 t\nq2 Q0 first 1 0.5 t\n{line}\n")
    assert _error(read_run, path) == f"{path}:4: {problem}"


@pytest.mark.parametrize("read", [read_run, read_qrels])
def test_a_file_that_cannot_be_read_or_is_empty_is_named(tmp_path: Path, read: object) -> None:
    assert _error(read, tmp_path / "no") == f"{tmp_path / 'no'}: cannot be read: No such file or directory"
    path = _written(tmp_path / "empty", "\n\n")
    assert _error(read, path) == f"{path}: the file has no line that names a query and a document"


@pytest.mark.parametrize(("start", "offset"), [(b"", 10), (b"\xef\xbb\xbf", 13)])
def test_bytes_that_are_not_utf8_are_named_by_their_place_in_the_file(
    tmp_path: Path, start: bytes, offset: int
) -> None:
    path = _written(tmp_path / "qrels", start + b"q 0 a 1\nq \xe9 b 1\n")
    assert path.read_bytes()[offset] == 0xE9
    assert _error(read_qrels, path) == f"{path}:2: not UTF-8: byte 0xe9 at offset {offset} of the file"
    first = _written(tmp_path / "first", start + b"q \xe9 b 1\n")
    assert _error(read_qrels, first) == (
        f"{first}:1: not UTF-8: byte 0xe9 at offset {len(start) + 2} of the file"
    )


@pytest.mark.parametrize(
    ("run", "problem"),
    [
        ({}, "no results to write"),
        ({"q": {}}, "no results to write"),
        ({"": {"a": 1.0}}, "query id '' cannot be written: it is empty"),
        ({"q 1": {"a": 1.0}}, "query id 'q 1' cannot be written: it holds ' '"),
        ({1: {"a": 1.0}}, "query id 1 cannot be written: expected a string"),
        ({"q": {"": 1.0}}, "query 'q': document id '' cannot be written: it is empty"),
        ({"q": {"a\x85": 1.0}}, "query 'q': document id 'a\\x85' cannot be written: it holds '\\x85'"),
        ({"q": [Hit("a\n", 1.0)]}, "query 'q': document id 'a\\n' cannot be written: it holds '\\n'"),
        (
            {"q": {"a\ud800": 1.0}},
            "query 'q': document id 'a\\ud800' cannot be written: it holds '\\ud800'",
        ),
        ({"\ufeffq": {"a": 1.0}}, "query id '\\ufeffq' cannot be written: it holds '\\ufeff'"),
        ({"q": {"a": float("nan")}}, "query 'q': the score of 'a' is not a finite number"),
        ({"q": {"a": "x"}}, "scores must be numbers: could not convert string to float: 'x'"),
        ({"q": [Hit("a", 2.0), Hit("a", 1.0)]}, "query 'q': 'a' is ranked twice, at 1 and at 2"),
        ({"q": [("a", 1.0), ("b", 2.0)]}, "query 'q': the score of 'b' is higher than the one before it"),
    ],
)
def test_what_a_run_file_cannot_say_is_refused_and_nothing_is_written(
    tmp_path: Path, run: object, problem: str
) -> None:
    path = _written(tmp_path / "run.txt", "before")
    assert _error(write_run, path, run).startswith(f"{path}: {problem}")
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("tag", ["", "my run"])
def test_a_tag_must_be_one_field(tmp_path: Path, tag: str) -> None:
    error = _error(write_run, tmp_path / "run.txt", {"q": {"a": 1.0}}, tag=tag)
    assert re.fullmatch(rf".*run\.txt: tag '{tag}' cannot be written: it (is empty|holds ' ')", error)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    assert "no/run.txt: cannot be written: No such file" in _error(
        write_run, tmp_path / "no" / "run.txt", {"q": {"a": 1.0}}
    )


# Judgments


@given(qrels=QRELS)
def test_qrels_read_back_equal_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, qrels: dict[str, dict[str, int]]
) -> None:
    path = tmp_path_factory.mktemp("qrels") / "qrels.txt"
    write_qrels(path, qrels)
    back = read_qrels(path)
    assert [(query, list(grades.items())) for query, grades in back.items()] == [
        (query, list(grades.items())) for query, grades in qrels.items()
    ]
    assert pytrec_eval.parse_qrel(io.StringIO(path.read_text("utf-8"), newline="\n")) == qrels


def test_grades_are_turned_by_a_mapping_and_else_taken_as_they_stand(tmp_path: Path) -> None:
    path = _written(tmp_path / "qrels", "q 0 best 1\nq x least 4\nq 0 none -1\n")
    assert read_qrels(path) == {"q": {"best": 1, "least": 4, "none": -1}}
    assert read_qrels(path, grades=CRANFIELD) == {"q": {"best": 4, "least": 1, "none": 0}}
    error = _error(read_qrels, path, grades={1: 2, 4: 1})
    assert error == f"{path}:3: grade: -1 is none of those given: 1, 4"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("q 0 a", "expected 4 fields (query, iteration, document, grade), got 3"),
        (
            "q Q0 a 1 0.5 t",
            "expected 4 fields (query, iteration, document, grade), got 6 (read_run takes so many)",
        ),
        ("q 0 a 1.0", "grade: expected a whole number, got '1.0'"),
        ("q 0 a x", "grade: expected a whole number, got 'x'"),
        ("q 0 a 1_0", "grade: expected a whole number, got '1_0'"),
        ("q 0 a ٣", "grade: expected a whole number, got '٣'"),
        ("q 0 a 1000000000000000000", "grade: expected a whole number, got '1000000000000000000'"),
        ("q 1 first 0", "document 'first' of query 'q' is already in line 1"),
    ],
)
def test_a_bad_line_of_qrels_is_named_with_its_field(tmp_path: Path, line: str, problem: str) -> None:
    path = _written(tmp_path / "qrels.txt", f"q 0 first +2\n\n{line}\n")
    assert _error(read_qrels, path) == f"{path}:3: {problem}"


@pytest.mark.parametrize(
    ("qrels", "problem"),
    [
        ({}, "no judgments to write"),
        ({"q": {}}, "query 'q' has no judged document, which a file of judgments cannot say"),
        ({"a b": {"d": 1}}, "query id 'a b' cannot be written: it holds ' '"),
        ({"q": {"": 1}}, "query 'q': document id '' cannot be written: it is empty"),
        ({"q": {"d": 1.0}}, "query 'q': grade of 'd': expected a whole number, got 1.0"),
        ({"q": {"d": True}}, "query 'q': grade of 'd': expected a whole number, got True"),
        ({"q": {"d": 10**18}}, f"query 'q': grade of 'd': expected a whole number, got {10**18}"),
    ],
)
def test_what_a_qrels_file_cannot_say_is_refused_and_nothing_is_written(
    tmp_path: Path, qrels: object, problem: str
) -> None:
    path = _written(tmp_path / "qrels.txt", "before")
    assert _error(write_qrels, path, qrels) == f"{path}: {problem}"
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_integers_of_numpy_are_grades(tmp_path: Path) -> None:
    write_qrels(tmp_path / "qrels", {"q": {"d": np.int64(3)}})  # type: ignore[dict-item]
    assert read_qrels(tmp_path / "qrels") == {"q": {"d": 3}}


# Real files


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no real data in {DATA}: set RAGDIAG_DATA to their folder")
def test_cranfields_judgments_are_read_as_they_stand_and_with_their_scale_turned(tmp_path: Path) -> None:
    path = DATA / "cranfield" / "qrels.trec"
    plain: dict[str, dict[str, int]] = {}
    for line in path.read_text(encoding="ascii").splitlines():
        query, _, document, grade = line.split(" ")
        plain.setdefault(query, {})[document] = int(grade)
    assert read_qrels(path) == plain
    assert sum(map(len, plain.values())) == 1837
    turned = read_qrels(path, grades=CRANFIELD)
    assert turned == {
        query: {document: 5 - grade if grade > 0 else 0 for document, grade in grades.items()}
        for query, grades in plain.items()
    }
    write_qrels(tmp_path / "qrels.trec", plain)
    assert (tmp_path / "qrels.trec").read_bytes() == path.read_bytes()
