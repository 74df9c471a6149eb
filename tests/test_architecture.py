"""The layout is the explanation: imports run one way, and importing ragdiag is quick."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ragdiag

PACKAGE = Path(ragdiag.__file__).parent
MODULES = {
    ".".join(("ragdiag", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}

# What a group of modules may import, besides itself. The groups stand in the order of the data.
BASE = ("errors", "files", "records", "spans", "alignment", "progress", "values")
RUN = ("costs", "trace", "index", "pipeline", "store")
LAYERS = [
    ("base", BASE),
    ("stages", ("stages",)),
    ("adapters", ("adapters",)),
    ("run", RUN),
    ("testing", ("testing",)),
    ("measures", ("measures",)),
    ("diagnosis", ("diagnosis",)),
    ("experiments", ("experiments",)),
    ("formats", ("formats",)),
    ("demo", ("demo",)),
    ("report", ("report",)),
    ("cli", ("cli", "__main__")),
]
LEVEL = {name: level for level, (_, names) in enumerate(LAYERS) for name in names}
LAYER = {name: layer for layer, names in LAYERS for name in names}

# Only a result knows of its faces and files, and only inside the functions that make them.
LAZY_UPWARD = {
    ("ragdiag.diagnosis.compare", "report"),
    ("ragdiag.diagnosis.result", "report"),
    ("ragdiag.diagnosis.result", "formats"),
    ("ragdiag.diagnosis.explanation", "report"),
    ("ragdiag.diagnosis.health.result", "report"),
    ("ragdiag.experiments.gate.result", "report"),
    ("ragdiag.experiments.gate.baseline_file", "formats"),
    ("ragdiag.experiments.chunking.result", "report"),
    ("ragdiag.experiments.remedies.result", "report"),
}


def tree_of(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def part_of(module: str) -> str:
    """The part of the package that a module belongs to: its second name."""
    return module.split(".")[1] if "." in module else "ragdiag"


def type_checking_nodes(tree: ast.Module) -> set[ast.AST]:
    guards = [
        node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
    ]
    return {inner for guard in guards for inner in ast.walk(guard)}


def functions_nodes(tree: ast.Module) -> set[ast.AST]:
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {inner for function in functions for inner in ast.walk(function)}


def imports_of(module: str) -> Iterator[tuple[str, bool, bool]]:
    """The modules of ragdiag that a module imports; whether inside a function; whether for types alone."""
    tree = tree_of(module)
    inside, types = functions_nodes(tree), type_checking_nodes(tree)
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative imports hide where a name comes from"
            base = node.module or ""
            names = [
                f"{base}.{alias.name}" if f"{base}.{alias.name}" in MODULES else base for alias in node.names
            ]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            version_alone = name == "ragdiag" and ast.unparse(node) == "from ragdiag import __version__"
            if name.split(".")[0] == "ragdiag" and not version_alone:
                yield name, node in inside, node in types


def test_every_module_belongs_to_a_layer() -> None:
    unknown = {part_of(module) for module in MODULES} - LEVEL.keys() - {"ragdiag"}
    assert not unknown, f"say in LAYERS where these belong: {unknown}"


@pytest.mark.parametrize("module", [module for module in MODULES if module != "ragdiag"])
def test_imports_run_one_way(module: str) -> None:
    own = part_of(module)
    for target, inside_function, types_only in imports_of(module):
        part = part_of(target)
        assert part != "ragdiag", f"{module} imports the whole package: import from the module itself"
        upward = LEVEL[part] > LEVEL[own]
        allowed = types_only or (inside_function and (module, part) in LAZY_UPWARD)
        assert not upward or allowed, f"{module} ({LAYER[own]}) imports {target} ({LAYER[part]})"


def test_measures_know_no_pipeline() -> None:
    for module in MODULES:
        if part_of(module) == "measures":
            parts = {part_of(target) for target, _, _ in imports_of(module)}
            assert parts <= {"measures", *BASE}, module


def test_every_lazy_edge_is_still_there() -> None:
    edges = {
        (module, part_of(target))
        for module in MODULES
        for target, inside_function, _ in imports_of(module)
        if inside_function and module != "ragdiag"
    }
    assert edges >= LAZY_UPWARD, f"no longer needed: {LAZY_UPWARD - edges}"


def test_modules_import_each_other_in_no_circle() -> None:
    """Apart from imports inside functions and for types, the modules can be put in an order."""
    needs = {
        module: {
            target
            for target, inside_function, types_only in imports_of(module)
            if not inside_function and not types_only and target != module
        }
        for module in MODULES
    }
    done: set[str] = set()
    while len(done) < len(needs):
        ready = {module for module, targets in needs.items() if targets <= done} - done
        assert ready, f"a circle among {sorted(needs.keys() - done)}"
        done |= ready


@pytest.mark.parametrize("module", MODULES)
def test_every_module_says_what_it_is_for(module: str) -> None:
    docstring = ast.get_docstring(tree_of(module))
    assert docstring, module
    assert docstring.splitlines()[0].strip().endswith((".", ":")), module


@pytest.mark.parametrize("module", MODULES)
def test_nothing_prints_but_the_command_line(module: str) -> None:
    calls = [
        node.lineno
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert not calls or part_of(module) == "cli", f"{module}, lines {calls}"


def test_public_names_are_sorted_and_there() -> None:
    names = ragdiag.__all__
    assert names == sorted(names)
    assert len(set(names)) == len(names)
    for name in names:
        value = getattr(ragdiag, name)
        assert value is not None, name
        assert inspect.getdoc(value), f"{name} has no docstring"
    assert set(names) <= set(dir(ragdiag))


def test_public_names_of_the_core_are_all_exported() -> None:
    """What records, errors, costs, trace, index and pipeline make public, and the call and its result."""
    helpers = {"Alternative", "check_documents", "check_unique", "chunk_all", "count_tokens"}
    helpers |= {"Observation", "diagnose_index", "observe_index"}
    for name in ("records", "errors", "costs", "trace", "index", "pipeline", "diagnosis.diagnose"):
        module = importlib.import_module(f"ragdiag.{name}")
        for public in set(module.__all__) - helpers:
            assert getattr(ragdiag, public) is getattr(module, public), public
    for protocol in ("Chunker", "Embedder", "Retriever", "Searcher", "Reranker", "Packer"):
        assert protocol in ragdiag.__all__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Pipelin"):
        getattr(ragdiag, "Pipelin")  # noqa: B009  # as an attribute it would not pass the type check


@pytest.mark.parametrize("module", MODULES)
def test_each_module_exports_what_it_names(module: str) -> None:
    loaded = importlib.import_module(module)
    for name in getattr(loaded, "__all__", ()):
        assert hasattr(loaded, name), name


@pytest.mark.parametrize("name", ["Chunk", "Document", "Evidence", "Pipeline", "Query", "Span", "diagnose"])
def test_the_first_names_that_people_meet_have_an_example(name: str) -> None:
    value = getattr(ragdiag, name)
    examples = doctest.DocTestFinder().find(value, name, globs={})
    assert any(test.examples for test in examples), f"{name} has no example that runs"


HEAVY = [
    "torch", "faiss", "pandas", "matplotlib", "scipy", "pydantic", "tiktoken", "statsmodels", "tqdm",
    "sentence_transformers", "wordllama", "rank_bm25",
]  # fmt: skip


def loaded_by(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=PACKAGE.parent
    )
    return set(done.stdout.split())


def test_importing_ragdiag_loads_nothing_heavy() -> None:
    assert loaded_by("import ragdiag").isdisjoint(HEAVY)


def test_every_public_name_can_be_had_without_anything_heavy() -> None:
    code = "import ragdiag\nfor name in ragdiag.__all__: getattr(ragdiag, name)"
    assert loaded_by(code).isdisjoint(HEAVY)
