"""How many small faults the tests notice: mutation testing of the arithmetic that verdicts rest on.

    pip install mutmut
    python benchmarks/mutation.py --workers 16
    python benchmarks/mutation.py ragdiag/spans.py ragdiag/measures/paired.py --left

A mutant is a module with one small change. The changes are those of mutmut's operators; they are tried one at
a time in copies of the working tree, by the test files that hold the module, up to the first test that fails.
mutmut's own runner mutates neither properties nor constants, which is why there is another one here.

`mutation_left.toml` says of each mutant that survives why it is left.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import libcst as cst
from libcst.metadata import MetadataWrapper, WhitespaceInclusivePositionProvider
from mutmut.mutation.mutators import mutation_operators
from real_data import HERE, RESULTS, write_result

ROOT = HERE.parent

TESTS = {
    "ragdiag/spans.py": ("tests/test_spans.py",),
    "ragdiag/diagnosis/ledger.py": (
        "tests/diagnosis/test_ledger_arithmetic.py",
        "tests/diagnosis/test_moved_losses.py",
        "tests/diagnosis/test_labels.py",
        "tests/diagnosis/test_ledger.py",
    ),
    "ragdiag/diagnosis/repairs.py": (
        "tests/diagnosis/test_repairs.py",
        "tests/faults/test_special_cases.py",
        "tests/faults/test_minimal_repairs.py",
    ),
    "ragdiag/measures/delivery.py": ("tests/measures/test_overlap.py",),
    "ragdiag/measures/evaluation.py": ("tests/measures/test_runs.py", "tests/measures/test_ranking.py"),
    "ragdiag/measures/judgments.py": ("tests/measures/test_runs.py", "tests/measures/test_ranking.py"),
    "ragdiag/measures/overlap.py": ("tests/measures/test_overlap.py",),
    "ragdiag/measures/paired.py": ("tests/measures/test_paired.py",),
    "ragdiag/measures/ranking.py": ("tests/measures/test_runs.py", "tests/measures/test_ranking.py"),
    "ragdiag/measures/runs.py": ("tests/measures/test_runs.py", "tests/measures/test_ranking.py"),
    "ragdiag/measures/statistics.py": ("tests/measures/test_statistics.py",),
}
"""The modules, with the tests that hold each, the fastest first. The module's own examples are run too."""

NOT_MUTATED = (
    "Not mutated are type annotations and aliases, decorators, `__all__`, docstrings, and string literals in "
    "`raise` statements."
)

TREE = ("ragdiag", "tests", "fixtures", "pyproject.toml")
"""What of the working tree the tests need."""

NO_SHRINKING = """
from hypothesis import Phase
phases = [Phase.explicit, Phase.generate]
settings.register_profile("mutation", settings.get_profile("ragdiag"), phases=phases)
settings.load_profile("mutation")
"""
"""Stands at the end of the copy's tests/conftest.py: that a test fails is all there is to know."""


@dataclass(frozen=True)
class Mutant:
    """A module with one small change; ``change`` tells it, without the line number."""

    module: str
    line: int
    change: str
    code: str


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant: killed, timed out (no less noticed) or survived."""

    module: str
    line: int
    change: str
    fate: str


def main() -> None:
    """Print and keep the table."""
    parser = argparse.ArgumentParser(description="Mutation testing.")
    parser.add_argument("modules", nargs="*", metavar="module", help="those to mutate (default: all)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="how many run at a time")
    parser.add_argument("--left", action="store_true", help="try only those that survived the last time")
    options = parser.parse_args()
    known = known_result()
    mutants = [mutant for name in options.modules or TESTS for mutant in mutants_of(name)]
    if options.left:
        left = {(name, m["line"], m["change"]) for name, counts in known.items() for m in counts["left"]}
        mutants = [mutant for mutant in mutants if (mutant.module, mutant.line, mutant.change) in left]
    print(f"{len(mutants)} mutants", flush=True)
    outcomes = try_all(mutants, options.workers)
    keep(with_outcomes(known, outcomes, again=options.left))


# Mutants


def mutants_of(module: str) -> list[Mutant]:
    """All mutants of a module, in the order of its lines."""
    source = (ROOT / module).read_text(encoding="utf-8")
    tree = MetadataWrapper(cst.parse_module(source))
    places = tree.resolve(WhitespaceInclusivePositionProvider)
    lines = source.splitlines(keepends=True)
    mutants: dict[str, Mutant] = {}  # two changes may come to the same
    for old, new in _changes(tree.module):
        place = places[old]
        first, last = place.start.line - 1, place.end.line
        before = "".join(lines[first:last])
        end = len(before) - len(lines[last - 1]) + place.end.column
        after = before[: place.start.column] + tree.module.code_for_node(new) + before[end:]
        if after != before:
            code = "".join([*lines[:first], after, *lines[last:]])
            mutants.setdefault(code, Mutant(module, first + 1, _describe(before, after), code))
    return sorted(mutants.values(), key=lambda mutant: mutant.line)


def _changes(node: cst.CSTNode, *, raising: bool = False) -> Iterator[tuple[cst.CSTNode, cst.CSTNode]]:
    """A node and all below it, each with what mutmut's operators make of it."""
    if isinstance(node, cst.Annotation | cst.Decorator) or _is_for_readers(node):
        return
    raising = raising or isinstance(node, cst.Raise)
    if not (raising and isinstance(node, cst.SimpleString)):
        for kind, operator in mutation_operators:
            if isinstance(node, kind):
                yield from ((node, new) for new in operator(node))
    for child in node.children:
        yield from _changes(child, raising=raising)


def _describe(before: str, after: str) -> str:
    """The lines that differ: ``old -> new``."""
    old, new = ([line.strip() for line in text.splitlines()] for text in (before, after))
    same = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    parts = [(old[i:j], new[k:m]) for kind, i, j, k, m in same if kind != "equal"]
    return " -> ".join(" ".join(line for part in side for line in part) for side in zip(*parts, strict=True))


def _is_for_readers(node: cst.CSTNode) -> bool:
    """Whether a node is a bare string, `__all__`, or an alias of types (``Range = tuple[int, int]``)."""
    match node:
        case cst.Expr(value=cst.SimpleString()):
            return True
        case cst.Assign(targets=[cst.AssignTarget(target=cst.Name(value="__all__"))]):
            return True
        case cst.AnnAssign(annotation=cst.Annotation(annotation=cst.Name(value="TypeAlias"))):
            return True
        case cst.Assign(value=cst.Subscript(value=cst.Name(value="tuple" | "Mapping" | "NDArray"))):
            return True
    return False


# Runs


def try_all(mutants: Sequence[Mutant], workers: int) -> list[Outcome]:
    """The outcome of each mutant, in order."""
    modules = list(dict.fromkeys(mutant.module for mutant in mutants))
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(workers) as pool:
        trees = [Path(folder) / str(i) for i in range(workers)]
        for name in TREE:
            copy: Any = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
            trees[0].mkdir(exist_ok=True)
            copy(ROOT / name, trees[0] / name)
        with (trees[0] / "tests/conftest.py").open("a", encoding="utf-8") as conftest:
            conftest.write(NO_SHRINKING)
        limits = dict(zip(modules, pool.map(lambda module: _limit(trees[0], module), modules), strict=True))
        free: SimpleQueue[Path] = SimpleQueue()
        for tree in trees:
            if tree != trees[0]:
                shutil.copytree(trees[0], tree)
            free.put(tree)

        def outcome(mutant: Mutant) -> Outcome:
            tree = free.get()
            original = (tree / mutant.module).read_bytes()
            try:
                (tree / mutant.module).write_text(mutant.code, encoding="utf-8")
                fate = _fate(tree, mutant.module, limits[mutant.module])
            finally:
                (tree / mutant.module).write_bytes(original)
                free.put(tree)
            return Outcome(mutant.module, mutant.line, mutant.change, fate)

        return list(pool.map(outcome, mutants))


def _limit(tree: Path, module: str) -> float:
    """After how many seconds a mutant is stopped; the tests are run once as they are, and must pass."""
    began = time.perf_counter()
    if _fate(tree, module, None) != "survived":
        raise SystemExit(f"the tests of {module} fail as they are")
    # Bytecode is only ever taken from here, and never for what is mutated.
    for file in (tree / module).parent.glob(f"__pycache__/{Path(module).stem}.*.pyc"):
        file.unlink()
    return 20 + 3 * (time.perf_counter() - began)


def _fate(tree: Path, module: str, limit: float | None) -> str:
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider"]
    settings = {"OMP_NUM_THREADS": "1", **({} if limit is None else {"PYTHONDONTWRITEBYTECODE": "1"})}
    with subprocess.Popen(  # noqa: S603  # the project's own tests
        [*command, *TESTS[module], module],
        cwd=tree,
        env={**os.environ, **settings},
        stdout=None if limit is None else subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        try:
            return "killed" if process.wait(limit) else "survived"
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return "timed out"


# The result


def known_result() -> dict[str, Any]:
    """What the last run found, by module: how many mutants had each fate, and those that are left."""
    path = RESULTS / "mutation.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def with_outcomes(known: Mapping[str, Any], outcomes: Sequence[Outcome], *, again: bool) -> dict[str, Any]:
    """The result with new outcomes of some modules; ``again``: of those only that had survived."""
    result = dict(known)
    for module in dict.fromkeys(outcome.module for outcome in outcomes):
        of_module = [outcome for outcome in outcomes if outcome.module == module]
        fates = Counter(outcome.fate for outcome in of_module)
        before = known[module] if again else {}
        left = [{"line": o.line, "change": o.change} for o in of_module if o.fate == "survived"]
        result[module] = {
            **{fate: before.get(fate, 0) + fates[fate] for fate in ("killed", "timed out")},
            "survived": len(left),
            "left": left,
        }
    return result


def keep(known: Mapping[str, Any]) -> None:
    """Print and write the result, with the reasons why mutants are left."""
    groups = tomllib.loads((HERE / "mutation_left.toml").read_text(encoding="utf-8"))["left"]
    reasons = {(group["module"], change): group["reason"] for group in groups for change in group["changes"]}
    for module, counts in known.items():
        for mutant in counts["left"]:
            mutant["reason"] = reasons.get((module, mutant["change"]), "not looked at")
    write_result("mutation", as_text(known), dict(known))


def as_text(known: Mapping[str, Any]) -> str:
    """The result as Markdown."""
    fates = ("killed", "timed out", "survived")
    counts = {module: [known[module][fate] for fate in fates] for module in TESTS if module in known}
    counts["all"] = [sum(column) for column in zip(*counts.values(), strict=True)]
    rows = "\n".join(
        f"| {' | '.join(map(str, (module, sum(of_fate), *of_fate)))} | {1 - of_fate[-1] / sum(of_fate):.1%} |"
        for module, of_fate in counts.items()
    )
    left = "\n".join(
        f"- {module}:{mutant['line']} `{mutant['change']}`: {mutant['reason']}"
        for module in list(counts)[:-1]
        for mutant in known[module]["left"]
    )
    return f"""# Mutants that the tests notice

| module | mutants | {" | ".join(fates)} | noticed |
| --- | --- | --- | --- | --- | --- |
{rows}

The changes are those of mutmut's operators. {NOT_MUTATED}
A mutant that times out is noticed too.

Those that survived, and why they are left:

{left}
"""


if __name__ == "__main__":
    main()
