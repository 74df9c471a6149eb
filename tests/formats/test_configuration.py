import importlib
import inspect
from pathlib import Path
from typing import Any

import plugs_of_my_own
import pytest

from ragdiag.errors import ConfigError, MissingExtraError
from ragdiag.formats import read_pipeline
from ragdiag.formats.configuration import _KINDS, read_plug
from ragdiag.pipeline import Pipeline
from ragdiag.stages.chunkers import (
    MarkdownChunker,
    ParentChildChunker,
    RecursiveChunker,
    SemanticChunker,
    SentenceChunker,
)
from ragdiag.stages.embedders.hashing import HashingEmbedder
from ragdiag.stages.embedders.sentence_transformer import SentenceTransformerEmbedder
from ragdiag.stages.embedders.static import StaticEmbedder
from ragdiag.stages.packers import DuplicateFilter, PackerChain, PromptOrder, TokenBudget, TopK
from ragdiag.stages.protocols import PROTOCOLS, Retriever
from ragdiag.stages.rerankers import LateInteractionReranker
from ragdiag.stages.retrievers import (
    BM25Retriever,
    DistinctRetriever,
    ExactRetriever,
    FaissRetriever,
    HybridRetriever,
    MMRRetriever,
    ThresholdRetriever,
)

FULL = """
candidates = 40
top_k = 4

[chunker]
kind = "markdown"
size = 120
overlap = 20
unit = "embedder"

[embedder]
kind = "hashing"
dimensions = 64
max_tokens = 200

[retriever]
kind = "hybrid"
fusion = "weighted"
weights = [2, 0.5]
depth = 30
[[retriever.arms]]
kind = "faiss"
factory = "IVF8,Flat"
metric = "dot"
parameters = { nprobe = 4 }
[[retriever.arms]]
kind = "bm25"
b = 0.5

[reranker]
kind = "late-interaction"
cache_bytes = 1000

[packer]
kind = "token-budget"
max_tokens = 2000
counter = "embedder"
history = ["Hello."]
overflow = "stop"
"""

NESTED = """
[chunker]
kind = "parent-child"
[chunker.parents]
kind = "sentence"
size = 600
[chunker.children]
kind = "semantic"
size = 200

[embedder]
kind = "hashing"

[retriever]
kind = "distinct"
[retriever.retriever]
kind = "mmr"
trade_off = 0.7
[retriever.retriever.retriever]
kind = "threshold"
min_score = 0.1
[retriever.retriever.retriever.retriever]
kind = "exact"

[packer]
kind = "chain"
[[packer.packers]]
kind = "duplicate-filter"
[[packer.packers]]
kind = "token-budget"
max_tokens = 900
counter = "embedder"
[[packer.packers]]
kind = "prompt-order"
order = "edges"
"""

ARMS_MISSPELLED = """
[chunker]
kind = "recursive"
[retriever]
kind = "hybrid"
arms = [{ kind = "bm25" }, { kind = "faiss", factry = "Flat" }]
"""

MINIMAL = '[chunker]\nkind = "recursive"\n[retriever]\nkind = "bm25"\n'


def _read(tmp_path: Path, text: str) -> Pipeline:
    path = tmp_path / "pipeline.toml"
    path.write_text(text, encoding="utf-8")
    return read_pipeline(path)


def _problem(tmp_path: Path, text: str) -> str:
    """What is said of a file, after its name."""
    with pytest.raises(ConfigError) as caught:
        _read(tmp_path, text)
    prefix = f"{tmp_path / 'pipeline.toml'}: "
    assert str(caught.value).startswith(prefix)
    return str(caught.value).removeprefix(prefix)


def test_every_table_becomes_the_stage_that_code_would_make(tmp_path: Path) -> None:
    pipeline = _read(tmp_path, FULL)
    embedder = HashingEmbedder(64, max_tokens=200)
    arms: list[Retriever] = [
        FaissRetriever("IVF8,Flat", metric="dot", parameters={"nprobe": 4}),
        BM25Retriever(b=0.5),
    ]
    expected = Pipeline(
        chunker=MarkdownChunker(size=120, overlap=20, unit=embedder),
        embedder=embedder,
        retriever=HybridRetriever(arms, fusion="weighted", weights=[2, 0.5], depth=30),
        reranker=LateInteractionReranker(embedder, cache_bytes=1000),
        packer=TokenBudget(2000, counter=embedder, history=["Hello."], overflow="stop"),
        candidates=40,
        top_k=4,
    )
    assert repr(pipeline) == repr(expected)
    assert isinstance(pipeline.reranker, LateInteractionReranker)
    assert id(pipeline.reranker.embedder) == id(pipeline.embedder)
    assert isinstance(pipeline.packer, TokenBudget)
    assert id(pipeline.packer.counter) == id(pipeline.embedder)


def test_stages_inside_stages_are_tables_inside_tables(tmp_path: Path) -> None:
    pipeline = _read(tmp_path, NESTED)
    embedder = HashingEmbedder()
    threshold = ThresholdRetriever(ExactRetriever(), min_score=0.1)
    expected = Pipeline(
        chunker=ParentChildChunker(SentenceChunker(600), SemanticChunker(embedder, size=200)),
        embedder=embedder,
        retriever=DistinctRetriever(MMRRetriever(threshold, trade_off=0.7)),
        packer=PackerChain([DuplicateFilter(), TokenBudget(900, counter=embedder), PromptOrder("edges")]),
    )
    assert repr(pipeline) == repr(expected)


def test_a_problem_inside_a_nested_stage_names_its_place(tmp_path: Path) -> None:
    misspelled = NESTED.replace("trade_off", "tradeoff")
    assert _problem(tmp_path, misspelled).startswith("retriever.retriever.tradeoff: is not known")
    misspelled = NESTED.replace('"edges"', '"edge"')
    assert "packer.packers[2]" in _problem(tmp_path, misspelled)


def test_what_is_not_said_is_the_default_of_the_code(tmp_path: Path) -> None:
    expected = Pipeline(chunker=RecursiveChunker(), retriever=BM25Retriever())
    assert repr(_read(tmp_path, MINIMAL)) == repr(expected)
    assert repr(_read(tmp_path, "\ufeff" + MINIMAL.replace("\n", "\r\n"))) == repr(expected)
    assert repr(read_pipeline(str(tmp_path / "pipeline.toml"))) == repr(expected)


def test_a_table_inside_a_reranker_is_its_own_embedder(tmp_path: Path) -> None:
    text = (
        MINIMAL.replace("bm25", "exact")
        + '[embedder]\nkind="static"\n[reranker]\nkind="late-interaction"\nembedder.kind = "hashing"\n'
    )
    reranker = _read(tmp_path, text).reranker
    assert isinstance(reranker, LateInteractionReranker)
    assert reranker.embedder == HashingEmbedder()


@pytest.mark.parametrize(
    ("stage", "table", "expected"),
    [
        ("chunker", 'kind = "recursive"\nsize = 9\noverlap = 2', RecursiveChunker(size=9, overlap=2)),
        ("chunker", 'kind = "markdown"', MarkdownChunker()),
        ("embedder", 'kind = "static"', StaticEmbedder()),
        ("embedder", 'kind = "hashing"\nngram = 4', HashingEmbedder(ngram=4)),
        ("retriever", 'kind = "exact"\nmetric = "l2"', ExactRetriever(metric="l2")),
        ("retriever", 'kind = "faiss"\nfactory = "Flat"', FaissRetriever("Flat")),
        ("packer", 'kind = "top-k"\nk = 3', TopK(3)),
        ("packer", 'kind = "token-budget"\nmax_tokens = 9\ncounter = "characters"', TokenBudget(9)),
    ],
)
def test_each_kind(tmp_path: Path, stage: str, table: str, expected: object) -> None:
    tables = {
        "chunker": 'kind = "recursive"',
        "embedder": 'kind = "hashing"',
        "retriever": 'kind = "exact"',
        stage: table,
    }
    pipeline = _read(tmp_path, "\n".join(f"[{name}]\n{text}" for name, text in tables.items()))
    assert repr(getattr(pipeline, stage)) == repr(expected)


def test_a_model_is_only_named_not_loaded() -> None:
    table = {"kind": "sentence-transformer", "model": "no/such-model", "query_prompt": "q: "}
    embedder = read_plug("embedder", table, None)
    assert repr(embedder) == repr(SentenceTransformerEmbedder("no/such-model", query_prompt="q: "))
    embedder = read_plug("embedder", {"kind": "minilm", "batch_size": 8}, None)
    assert repr(embedder) == repr(SentenceTransformerEmbedder.packaged_minilm(batch_size=8))


@pytest.mark.parametrize(
    ("stage", "kind"), [(stage, kind) for stage, kinds in _KINDS.items() for kind in kinds]
)
def test_each_kind_is_a_stage_whose_options_have_types(stage: str, kind: str) -> None:
    module, _, name = _KINDS[stage][kind].partition(":")
    target: Any = importlib.import_module(module)
    for step in name.split("."):
        target = getattr(target, step)
    made = target if inspect.isclass(target) else target.__self__
    assert all(hasattr(made, method) for method in vars(PROTOCOLS[stage]) if not method.startswith("_"))
    assert all(p.annotation is not p.empty for p in inspect.signature(target).parameters.values())


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "chunker: is missing; retriever: is missing"),
        ("top_k = \n", "not valid TOML: Invalid value (at line 1, column 9)"),
        ("top_k = 1\ntop_k = 2\n", "not valid TOML: Cannot overwrite a value (at line 2, column 10)"),
        (f"topk = 5\n{MINIMAL}", "topk: is not known; did you mean 'top_k'?"),
        (
            f"x = 5\n{MINIMAL}",
            "x: is not known; expected one of 'chunker', 'retriever', 'embedder', 'reranker', 'packer', 'ca",
        ),
        (f"top_k = '5'\n{MINIMAL}", "top_k: expected a valid integer, got '5'"),
        (f"top_k = 5.0\n{MINIMAL}", "top_k: expected a valid integer, got 5.0"),
        (f"top_k = true\n{MINIMAL}", "top_k: expected a valid integer, got True"),
        (
            f"{MINIMAL}[retreiver]\nkind = 'exact'\n",
            "retreiver: is not known; did you mean 'retriever'?",
        ),
        ("chunker = 'recursive'\n", "chunker: expected a table with a kind, got 'recursive'"),
        (
            "[chunker]\nsize = 3\n",
            (
                "chunker.kind: is missing; one of 'recursive', 'markdown', 'token', 'sentence', 'semantic', "
                "'parent-child', or 'package.module:Name'"
            ),
        ),
        ("[chunker]\nkind = 3\n", "chunker.kind: expected a string, got 3; one of 'recursive', "),
        (
            "[chunker]\nkind = 'recursiv'\n",
            "chunker.kind: 'recursiv' is not known; did you mean 'recursive'? (a class of your own is named ",
        ),
        (
            "[chunker]\nkind = 'bm25'\n",
            "chunker.kind: 'bm25' is not known; expected one of 'recursive', 'markdown', 'token'",
        ),
        ("[chunker]\nkind = 'recursive'\nsiz = 3\n", "chunker.siz: is not known; did you mean 'size'?"),
        (
            "[chunker]\nkind = 'recursive'\nsize = '3'\noverlp = 3\n",
            "chunker.size: expected a valid integer, got '3'; chunker.overlp: is not known; did you mean 'o",
        ),
        ("[chunker]\nkind = 'recursive'\nsize = 0\n", "chunker: size must be a whole number >= 1, got 0"),
        (
            "[chunker]\nkind = 'recursive'\nunit = 'embedder'\n",
            "chunker.unit: is 'embedder', and the pipeline has none",
        ),
        (
            "[chunker]\nkind = 'recursive'\nunit = 'embedder'\n[embedder]\nkind = 'plugs_of_my_own:Mute'\n",
            "chunker.unit: is 'embedder', and <plugs_of_my_own.Mute object at ",
        ),
        (
            f"{MINIMAL}[embedder]\nkind = 'static'\nsize = 3\n",
            "embedder.size: is not known; none is expected",
        ),
        (
            f"{MINIMAL}[embedder]\nkind = 'sentence-transformer'\n",
            "embedder.model: is missing",
        ),
        (
            f"{MINIMAL}[embedder]\nkind = 'sentence-transformer'\nmodel = 3\n",
            "embedder.model: expected a valid string or a path, got 3",
        ),
        (
            f"{MINIMAL}[reranker]\nkind = 'late-interaction'\n",
            "reranker.embedder: is missing: 'late-interaction' needs an embedder, and the pipeline has none",
        ),
        (
            f"{MINIMAL}[embedder]\nkind='plugs_of_my_own:Mute'\n[reranker]\nkind = 'late-interaction'\n",
            "reranker.embedder: expected an instance of TokenVectors, got <plugs_of_my_own.Mute object at ",
        ),
        (
            f"{MINIMAL}[reranker]\nkind = 'late-interaction'\nembedder.kind = 'hash'\n",
            "reranker.embedder.kind: 'hash' is not known; did you mean 'hashing'?",
        ),
        (
            "[chunker]\nkind = 'recursive'\n[retriever]\nkind = 'exact'\nmetric = 'cos'\n",
            "retriever.metric: expected 'cosine', 'dot' or 'l2', got 'cos'",
        ),
        (
            "[chunker]\nkind = 'recursive'\n[retriever]\nkind = 'faiss'\nparameters = {nprobe = '4'}\n",
            "retriever.parameters.nprobe: expected a valid number, got '4'",
        ),
        (
            "[chunker]\nkind = 'recursive'\n[retriever]\nkind = 'bm25'\nk1 = nan\n",
            "retriever.k1: expected a finite number, got nan",
        ),
        (
            "[chunker]\nkind = 'recursive'\n[retriever]\nkind = 'bm25'\ntokenize = 'words'\n",
            "retriever.tokenize: expected a function, got 'words'",
        ),
        (
            ARMS_MISSPELLED,
            "retriever.arms[1].factry: is not known; did you mean 'factory'?",
        ),
        (
            "[chunker]\nkind='recursive'\n[retriever]\nkind='hybrid'\narms = ['bm25']\n",
            "retriever.arms[0]: expected a table with a kind, got 'bm25'",
        ),
        (
            "[chunker]\nkind='recursive'\n[retriever]\nkind='hybrid'\narms = 'bm25'\n",
            "retriever.arms: expected a list, got 'bm25'",
        ),
        (
            "[chunker]\nkind='recursive'\n[retriever]\nkind='hybrid'\n[[retriever.arms]]\nkind='bm25'\n",
            "retriever: HybridRetriever.arms must be two or more retrievers, got 1",
        ),
        (f"{MINIMAL}[packer]\nkind = 'top-k'\nk = 0\n", "packer: TopK.k must be at least 1, got 0"),
        (
            f"{MINIMAL}[packer]\nkind = 'token-budget'\nmax_tokens = 5\nhistory = ['a', 3]\n",
            "packer.history[1]: expected a valid string, got 3",
        ),
        (
            f"{MINIMAL}[packer]\nkind = 'token-budget'\nmax_tokens = 5\nhistory = 'a'\n",
            "packer.history: expected a list, got 'a'",
        ),
        (
            f"{MINIMAL}[packer]\nkind = 'token-budget'\nmax_tokens = 5\ncounter = 3\n",
            "packer.counter: expected a valid string, got 3",
        ),
        (f"top_k = 0\n{MINIMAL}", "top_k must be a whole number of at least 1, got 0"),
        (f"{MINIMAL}[embedder]\nkind = 'hashing'\n", "BM25Retriever ignores vectors: drop the embedder"),
    ],
)
def test_a_mistake_is_named_by_its_key(tmp_path: Path, text: str, problem: str) -> None:
    assert _problem(tmp_path, text).startswith(problem)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "pipeline.toml"
    with pytest.raises(ConfigError, match=r"pipeline.toml: cannot be read: No such file or directory"):
        read_pipeline(path)
    path.write_bytes(b"# caf\xe9\n")
    with pytest.raises(ConfigError, match=r"pipeline.toml: not UTF-8: .* at offset 5 of the file"):
        read_pipeline(path)


def _own(tmp_path: Path, name: str, *options: str) -> Any:
    table = "\n".join(['[retriever]\nkind = "bm25"\n[chunker]', f'kind = "plugs_of_my_own:{name}"', *options])
    return _read(tmp_path, table).chunker


def test_a_class_of_ones_own_gets_its_options_in_the_types_that_it_names(tmp_path: Path) -> None:
    chunker = _own(
        tmp_path,
        "WholeTexts",
        "size = 3",
        "ratio = 1",
        "strict = true",
        'names = ["a", "b"]',
        "weights = [1, 2.5]",
        "limits = { a = 1 }",
        'folder = "some/where"',
        'style = "bold"',
        'model = "m"',
        "shape = 7",
        "later = [7]",
    )
    assert chunker == plugs_of_my_own.WholeTexts(
        3, 1.0, True, ("a", "b"), [1.0, 2.5], {"a": 1.0}, Path("some/where"), "bold", "m", len, 7, [7]
    )


@pytest.mark.parametrize(
    ("option", "problem"),
    [
        ("ratio = '1'", "chunker.ratio: expected a valid number, got '1'"),
        ("ratio = inf", "chunker.ratio: expected a finite number, got inf"),
        ("ratio = true", "chunker.ratio: expected a valid number, got True"),
        ("strict = 1", "chunker.strict: expected a valid boolean, got 1"),
        ("names = [1]", "chunker.names[0]: expected a valid string, got 1"),
        ("names = 'ab'", "chunker.names: expected a list, got 'ab'"),
        ("weights = [1, '2']", "chunker.weights[1]: expected a valid number, got '2'"),
        ("limits = [1]", "chunker.limits: expected an object, got [1]"),
        ("style = { name = 'x' }", "chunker.style: expected a valid string, got {'name': 'x'}"),
        ("model = 3", "chunker.model: expected a valid string, got 3"),
        ("measure = 3", "chunker.measure: expected a function, got 3"),
        ("table = 1", "chunker.table: expected an instance of _NotInAFile, got 1"),
        ("array = [1]", "chunker.array: expected an instance of ndarray, got [1]"),
        ("size = 2030-01-01", "chunker.size: expected a valid integer, got datetime.date(2030, 1, 1)"),
    ],
)
def test_an_option_of_the_wrong_type_is_named(tmp_path: Path, option: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _own(tmp_path, "WholeTexts", option)
    assert str(caught.value) == f"{tmp_path / 'pipeline.toml'}: {problem}"


def test_a_class_without_types_gets_what_the_file_says(tmp_path: Path) -> None:
    chunker = _own(tmp_path, "Untyped", "size = [1]", "else = { a = 2 }")
    assert (chunker.size, chunker.others) == ([1], {"else": {"a": 2}})


def test_a_stage_that_must_have_an_embedder_gets_the_pipelines(tmp_path: Path) -> None:
    text = MINIMAL.replace("recursive", "plugs_of_my_own:Topics").replace("bm25", "exact")
    pipeline = _read(tmp_path, text + '[embedder]\nkind = "hashing"\n')
    assert isinstance(pipeline.chunker, plugs_of_my_own.Topics)
    assert pipeline.chunker.embedder is pipeline.embedder


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        (
            "no_such_module:Name",
            "chunker.kind: cannot import 'no_such_module': ModuleNotFoundError: No module named",
        ),
        (":Name", "chunker.kind: cannot import '': ValueError: Empty module name"),
        (
            "plugs_of_my_own:WholeText",
            "chunker.kind: cannot import 'plugs_of_my_own:WholeText': <module 'plugs_of_my_own' from ",
        ),
        ("plugs_of_my_own:", "chunker.kind: cannot import 'plugs_of_my_own:': "),
        (
            "plugs_of_my_own:NOT_CALLABLE",
            "chunker.kind: 'plugs_of_my_own:NOT_CALLABLE' is neither a class nor a f",
        ),
        ("plugs_of_my_own:Mute", "chunker.kind: 'plugs_of_my_own:Mute' makes no chunker: it has no chunk()"),
        ("plugs_of_my_own:Fragile", "chunker.size: is missing"),
        ("builtins:dict", "chunker.kind: <class 'dict'> has no signature to check options against: "),
    ],
)
def test_an_import_path_that_leads_nowhere_is_named(tmp_path: Path, kind: str, problem: str) -> None:
    assert _problem(tmp_path, f'[chunker]\nkind = "{kind}"\n').startswith(problem)


def test_a_module_that_fails_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "module_that_fails.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    problem = _problem(tmp_path, '[chunker]\nkind = "module_that_fails:Name"\n')
    assert problem == "chunker.kind: cannot import 'module_that_fails': ZeroDivisionError: division by zero"


def test_a_class_that_fails_is_named(tmp_path: Path) -> None:
    problem = _problem(tmp_path, '[chunker]\nkind = "plugs_of_my_own:Fragile"\nsize = 3\n')
    assert problem == "chunker: <class 'plugs_of_my_own.Fragile'> raised KeyError: 3"


def test_a_missing_extra_stays_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingExtraError, match=r"needs the package 'package1'.*\[more\]"):
        _own(tmp_path, "needs_more")
    (tmp_path / "module_without_extra.py").write_text(
        "from ragdiag.errors import MissingExtraError\nraise MissingExtraError('Here', 'it', 'extra')"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingExtraError, match=r"Here needs the package 'it'"):
        _read(tmp_path, '[chunker]\nkind = "module_without_extra:Name"\n')
